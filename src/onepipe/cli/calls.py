"""The command `call`: what can be done to a deal that is no edit of its fields."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, complete_connection, door, end, examples
from onepipe.cli.edits import Reason
from onepipe.cli.runs import Wait
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.push.calls import Called


@app.command(
    epilog=examples(
        "onepipe call acme add_tag 43 tag=VIP --reason 'asked by phone'",
        "onepipe call acme add_note 43 note='Called back'",
        "onepipe call training generate_quote 7 expires_at=2026-01-31",
        "onepipe call training render_pdf 12 --out quote.pdf",
        "onepipe connectors list",
    )
)
def call(
    ctx: typer.Context,
    connection: Annotated[str, typer.Argument(help="The connection's name.", autocompletion=complete_connection)],
    action: Annotated[
        str, typer.Argument(metavar="ACTION", help="One of the actions that `onepipe connectors list` names.")
    ],
    record_id: Annotated[
        str, typer.Argument(metavar="ID", help="The deal's id in the CRM; of render_pdf the quote's.")
    ],
    words: Annotated[list[str] | None, typer.Argument(metavar="key=value", help="What the action takes.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to keep the file of an action that answers with one."),
    ] = None,
    reason: Reason = "",
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Do something to a deal that is no edit: add a note or a tag, make a quote, send an e-mail.

    It is sent at once, once, if the connection's write mode is on. It is written down before; if the answer is lost, it
    is looked for in the CRM, and never sent again by itself. What only reads (render_pdf) is always allowed.
    """
    from onepipe.cli.progress import PUSHING, watching
    from onepipe.push.calls import call as calling

    given = _given(words or [])
    with door(ctx).project("call") as project, watching(ways=PUSHING) as watch:
        called = calling(project, connection, action, record_id, given, out=out, reason=reason, wait=wait, watch=watch)
    if as_json:
        _print(called.document())
    else:
        _tell(called)
    if called.trouble:
        screen.note(exits.sentences("what happened is kept, but not published yet", exits.paragraph(called.trouble)))
    end(called.exit_code)


def _given(words: list[str]) -> dict[str, str]:
    """The words as names and values; each once. Raises UsageError."""
    found: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise UsageError(f"{word!r} is not key=value; nothing was sent")
        if name in found:
            raise UsageError(f"{name}= is given twice; nothing was sent")
        found[name] = value
    return found


def _tell(called: "Called") -> None:
    if called.path:
        screen.say(f"Wrote {called.path} ({called.path.stat().st_size:,} bytes).")
        return
    number = f" (push {called.push_id})" if called.push_id else ""
    screen.say(screen.plain(f"{called.connection} {called.source_id} {called.action}: {called.state}{number}"))
    if called.message:
        screen.tell(screen.plain(exits.sentence(called.message)))
    if called.answer is not None:
        screen.say()
        _print(called.answer)


def _print(value: Any) -> None:
    """JSON on stdout, with every digit of its numbers."""
    import msgspec

    exact = msgspec.json.Encoder(decimal_format="number").encode(value)
    screen.say(msgspec.json.format(exact).decode())

"""The command group `conflicts`: what both sides changed, and deciding it, one by one or in a file."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.cli.edits import MODES, Reason
from onepipe.cli.query import replacing
from onepipe.cli.runs import Wait
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onepipe.push.decided import Decision
    from onepipe.push.resolve import Resolved

conflicts = typer.Typer(no_args_is_help=True, help="Decide what both sides changed.")
app.add_typer(conflicts, name="conflicts")

USAGE = "onepipe conflicts resolve ID ours|theirs|VALUE [--reason TEXT], or --from FILE.csv"
HEADINGS = ("conflict", "connection", "id", "deal", "field", "when edited", "in the CRM", "yours", "since (UTC)")
KINDS = {"delete": "(delete)", "lost": "(may have happened)"}
COLUMNS = (  # `resolution` and `reason` are for whoever decides; the file can be given back as it is
    *("conflict_id", "resolution", "reason", "connection", "source_id", "deal", "field", "when edited", "in the CRM"),
    *("yours", "because", "opened_at"),
)


@conflicts.command(
    "list",
    epilog=examples(
        "onepipe conflicts list", "onepipe conflicts list acme -o conflicts.csv", "onepipe conflicts list --json"
    ),
)
def list_(
    ctx: typer.Context,
    connections: Connections = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE.csv", help="Write a CSV file in which the decisions can be filled in."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """List what waits for a decision: what a field was when it was edited, what the CRM holds now, and your value."""
    from onepipe.push.sheet import table
    from onepipe.push.standing import conflicts as waiting

    if out and out.suffix.lower() != ".csv":
        raise UsageError(f"{out} is no name for a list of conflicts; nothing was written", "end it with .csv")
    with door(ctx).project("conflicts list") as project:
        found = waiting(project, connections or [])
    with replacing(out) as part:
        if part:
            part.write_text(table(COLUMNS, map(_cells, found)), encoding="utf-8", newline="")
    if as_json:
        screen.document({"conflicts": found})
    else:
        _tell(found, out)


def _cells(one: dict[str, Any]) -> list[str | None]:
    values = [one["base"], one["theirs"], one["ours"], one["reason"], one["opened_at"]]
    return [one["conflict_id"], "", "", one["connection"], one["source_id"], one["name"], _field(one), *values]


def _field(one: dict[str, Any]) -> str:
    return one["field"] or KINDS.get(one["kind"], "")


def _tell(found: "Sequence[dict[str, Any]]", out: Path | None) -> None:
    if not found:
        screen.say("No conflict waits for a decision.")
        return
    for line in screen.table(HEADINGS, map(_row, found)):
        screen.say(line)
    for one in found:
        if one["reason"]:
            screen.say(screen.plain(f"{one['conflict_id']}: {exits.sentence(one['reason'])}"))
    if out:
        screen.tell(
            f"They are in {out}: write ours, theirs or a value into its column `resolution`, and give it back with "
            f"`onepipe conflicts resolve --from {out}`."
        )
        return
    ways: dict[str, str] = {}
    for one in found:
        ways.setdefault(_way(one), one["conflict_id"])
    told = [f"`onepipe conflicts resolve {first} {way}" for way, first in ways.items()]
    screen.tell(" ".join([*told, "`onepipe conflicts list -o conflicts.csv` makes a file to decide in."]))


def _way(one: dict[str, Any]) -> str:
    """How a conflict of this kind is decided, and what follows."""
    if one["kind"] == "field":
        return "theirs` keeps what the CRM holds, `ours` sends your value over it, any other word is the value to send."
    if one["kind"] == "delete":
        return "theirs` lets the deal stay, `ours` deletes it."
    if one["draft"]:
        return (
            "theirs` gives the new deal up, `ours` sends it again because it is not there, the id of a deal says that "
            "this is it. Look in the CRM first."
        )
    return "theirs` closes it when you have looked in the CRM; a call is never sent again, but you can make it anew."


def _row(one: dict[str, Any]) -> list[str | None]:
    from onepipe.push.sheet import readable

    about = [one["conflict_id"], one["connection"], one["source_id"] or "(new)", one["name"], _field(one)]
    values = [readable(one["field"] or "", one[key]) for key in ("base", "theirs", "ours")]
    return [*about, *values, screen.when(one["opened_at"])]


@conflicts.command(
    context_settings={"ignore_unknown_options": True},  # a value may begin with a minus
    epilog=examples(
        "onepipe conflicts resolve 7 theirs",
        'onepipe conflicts resolve 7 ours --reason "agreed with Ann"',
        "onepipe conflicts resolve 7 110.00",
        "onepipe conflicts resolve --from conflicts.csv",
    ),
)
def resolve(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[ID ours|theirs|VALUE]", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE.csv", help="Decisions: conflict_id, resolution [, reason].")
    ] = None,
    reason: Reason = "",
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Decide conflicts; the next `onepipe push apply` sends what is to be sent.

    `theirs` keeps what the CRM holds and gives the edit up, `ours` sends the edit over it, any other word is the value
    to send instead. Should the CRM change once more before it is sent, you are asked again. Of a file all is decided,
    or nothing; a line without a resolution is left open.
    """
    from onepipe.push.resolve import resolve as decide

    decisions = _decisions(words or [], file, reason)
    with door(ctx).project("conflicts resolve") as project:
        done = decide(project, decisions, wait=wait)
    if as_json:
        screen.document(done.document())
    else:
        _tell_resolved(done)
    if done.unpublished:
        screen.note(f"The warehouse was not published. {exits.paragraph(done.unpublished)}")
        end(exits.of_error(done.unpublished))


def _decisions(words: list[str], file: Path | None, reason: str) -> "list[Decision]":
    """What was decided, of one conflict or in a file. Raises UsageError."""
    from onepipe.push.decided import Decision
    from onepipe.push.resolve import from_csv

    if (file is None) == (not words) or (words and len(words) != 2):
        raise UsageError("Name one conflict and what is decided; nothing was decided", f"usage: {USAGE}")
    if file is None:
        return [Decision(conflict_id=words[0], how=words[1], reason=reason)]
    return [replace(one, reason=one.reason or reason) for one in from_csv(file)]


def _tell_resolved(done: "Resolved") -> None:
    for one in done.resolved:
        about = " ".join(filter(None, (one.connection, one.source_id or "(new)", one.field)))
        screen.say(screen.plain(f"{one.conflict_id}: {about}: {one.resolution}: {one.next}"))
    if not done.resolved:
        screen.say("No line holds a resolution: nothing was decided.")
        return
    sent = {one.connection for one in done.resolved if one.resolution != "theirs"}
    for mode, text in MODES.items():
        names = [name for name, theirs in done.modes.items() if theirs == mode and name in sent]
        if names:
            screen.tell(text.format(names=exits.listed(names)))

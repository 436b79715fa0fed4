"""The command group `push`: what would be sent, sending it, how that stands, and taking it back."""

import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.outcome as outcome
import onepipe.cli.planned as planned
import onepipe.cli.screen as screen
from onepipe.cli.app import CONNECTIONS_HELP, Connections, Json, app, complete_connection, door, end, examples
from onepipe.cli.edits import Reason, tell_queued
from onepipe.cli.query import replacing
from onepipe.cli.runs import Wait
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onepipe.config import Config
    from onepipe.project import Project
    from onepipe.push.revert import Reverted
    from onepipe.push.words import Plan, PushReport

push = typer.Typer(no_args_is_help=True, help="Send queued edits to the CRMs, after showing what would be sent.")
app.add_typer(push, name="push")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
SUFFIXES = (".json", ".csv", ".html", ".htm")


@push.command(
    "plan",
    epilog=examples(
        "onepipe push plan", "onepipe push plan acme -o plan.html", "onepipe push plan label:client=Acme -o plan.json"
    ),
)
def plan_(
    ctx: typer.Context,
    connections: Connections = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Keep it: .json can be applied, .csv is for a spreadsheet, .html for whoever has to agree.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the queued edits would change; nothing is sent.

    Each deal is read from its CRM as it is now, and compared with what it was when it was edited.
    """
    from onepipe import push as pushing
    from onepipe.cli.steps import watching
    from onepipe.push.standing import left_alone

    if out and out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{out} is no name for a plan; nothing was read",
            "end it with .json (which `onepipe push apply` takes), .csv or .html",
        )
    with replacing(out) as part, door(ctx).project("push plan") as project:
        with watching() as watch:
            found = pushing.plan(project, connections or [], watch)
        left = left_alone(project, connections or [])
        if part and out:
            part.write_text(_written(found, out), encoding="utf-8", newline="")
        if as_json:
            screen.document(found.document() | {"left_alone": left})
        else:
            planned.show(found, project.config, left)
            _tell_kept(found, out, project.config)
    end(_code(found.errors))


def _written(found: "Plan", out: Path) -> str:
    """A plan as its file's name says."""
    import json

    from onepipe.push import page, sheet

    if out.suffix.lower() == ".json":
        return json.dumps(found.document(), indent=2, ensure_ascii=False) + "\n"
    return sheet.as_csv(found) if out.suffix.lower() == ".csv" else page.as_html(found)


def _tell_kept(found: "Plan", out: Path | None, config: "Config") -> None:
    goes = planned.may_go(found, config)
    if out and out.suffix.lower() != ".json":
        screen.say(f"The plan is in {out}, to be read; `onepipe push plan -o plan.json` makes one that can be applied.")
    elif out:
        screen.say(f"The plan is in {out}" + (f"; `onepipe push apply {out}` sends exactly this." if goes else "."))
    elif goes:
        screen.say(
            "Nothing was sent. `onepipe push apply` shows it once more and sends it; with `-o plan.html` this makes a "
            "page for whoever has to agree, with `-o plan.json` a plan of which exactly that is sent."
        )
    else:
        screen.say("Nothing was sent.")


def _code(errors: "Mapping[str, Mapping[str, object]]") -> int:
    """The exit code of a plan with connections that could not be read."""
    kinds = {error["kind"] for error in errors.values()}
    return exits.BUSY if kinds == {"lease"} else exits.FAILED if kinds else 0


@push.command(
    epilog=examples("onepipe push apply", "onepipe push apply plan.json --yes", "onepipe push apply --yes --json")
)
def apply(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="PLAN", help="A plan kept as .json: exactly it is sent.", show_default=False),
    ] = None,
    connection: Annotated[
        list[str] | None,
        typer.Option("--connection", metavar="CONNECTION", help=CONNECTIONS_HELP, autocompletion=complete_connection),
    ] = None,
    yes: Yes = False,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Send the queued edits to the CRMs.

    Each deal is read just before it is written, and once more after. What changed in the CRM meanwhile is not written
    over unasked. Without PLAN a plan is made, shown, and sent after you agreed. Ctrl-C ends after what is on its way.
    """
    from onepipe.push.standing import left_alone

    _may_ask(yes, as_json)
    words = connection or []
    with door(ctx).project("push apply") as project:
        found = _read(file, project.config) if file else None
        if not yes:
            found = found or _planned(project, words)
            _agreed(found, project.config)
        report = _sent(project, words, found, wait)
        left = [] if file else left_alone(project, words)
    if as_json:
        screen.document(report.document() | {"left_alone": left})
    else:
        outcome.report(report, left)
    end(report.exit_code)


def _read(file: Path, config: "Config") -> "Plan":
    """The plan in a file. Raises UsageError."""
    from onepipe import push as pushing

    if str(file) in config.connections and not file.exists():
        raise UsageError(f"{file} is a connection and no plan; nothing was sent", f"write --connection {file}")
    return pushing.read_plan(file)


def _may_ask(yes: bool, as_json: bool) -> None:
    """Whoever cannot be asked has to have agreed. Raises UsageError."""
    if yes or (sys.stdin.isatty() and not as_json):
        return
    raise UsageError(
        "this sends to CRMs, and nobody can be asked whether it should; nothing was sent",
        "look at `onepipe push plan`, then add --yes; or keep the plan with `-o plan.json` and apply exactly that",
    )


def _planned(project: "Project", words: list[str]) -> "Plan":
    from onepipe import push as pushing
    from onepipe.cli.steps import watching

    with watching() as watch:
        return pushing.plan(project, words, watch)


def _agreed(found: "Plan", config: "Config") -> None:
    """Show a plan and ask; what sends nothing needs nobody's leave. Ends the command where it is refused."""
    planned.show(found, config)
    deals = planned.sent(found)
    if deals and not typer.confirm(f"Write to {screen.counted(deals, 'deal')} in the CRM?", err=True):
        screen.note("Nothing was sent; the edits wait. `onepipe edit drop ID` gives one up.")
        end(exits.FAILED)


def _sent(project: "Project", words: list[str], found: "Plan | None", wait: float) -> "PushReport":
    from onepipe import push as pushing
    from onepipe.cli.steps import watching

    pause = Event()
    with watching(pause) as watch:
        return pushing.apply(project, words, plan=found, watch=watch, wait=wait, stop=pause)


@push.command(epilog=examples("onepipe push status", "onepipe push status acme --json"))
def status(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """Tell what waits to be sent, what is not settled, and what the last run did."""
    from onepipe.push.standing import status as standing

    with door(ctx).project("push status") as project:
        found = standing(project, connections or [])
    if as_json:
        screen.document(found)
    else:
        outcome.status(found)


@push.command(epilog=examples("onepipe push show 12", "onepipe push show 12 --json"))
def show(
    ctx: typer.Context,
    push_id: Annotated[
        str, typer.Argument(metavar="ID", help="As `onepipe push status` and the table pushes name it.")
    ],
    as_json: Json = False,
) -> None:
    """Tell the life of one push: who asked for it and why, each request, what was read back, and how it ended."""
    from onepipe.push.standing import show as life

    with door(ctx).project("push show") as project:
        found = life(project, push_id)
    if as_json:
        screen.document(found)
    else:
        outcome.show(found)


@push.command(
    epilog=examples("onepipe push revert 20260115-115500-3f2a", "onepipe push revert RUN --apply --yes --reason wrong")
)
def revert(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `onepipe push apply` told it.")],
    at_once: Annotated[bool, typer.Option("--apply", help="Send them, too.")] = False,
    yes: Yes = False,
    reason: Reason = "",
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Queue the opposite of all that a run wrote.

    What was changed since, in the CRM or by a later edit, is a conflict then, and is not written over.
    """
    from onepipe.push.revert import revert as queue

    if at_once:
        _may_ask(yes, as_json)
    with door(ctx).project("push revert") as project:
        done = queue(project, run, reason)
        told = done.document()
        if not as_json:
            _tell_reverted(done)
        sent = _send_back(project, done, yes, wait) if at_once else None
        if as_json:
            screen.document(told | ({"applied": sent.document()} if sent else {}))
        elif sent:
            outcome.report(sent)
    end(sent.exit_code if sent and sent.exit_code else exits.FAILED if done.refused else 0)


def _tell_reverted(done: "Reverted") -> None:
    for one in done.refused:
        about = " ".join(filter(None, (one.connection, one.source_id, one.field)))
        screen.say(screen.plain(f"{about}: cannot be taken back: {one.reason}"))
    tell_queued(done.queued, done.nothing, done.modes)


def _send_back(project: "Project", done: "Reverted", yes: bool, wait: float) -> "PushReport | None":
    """Send the opposites that wait, and of other deals nothing."""
    waiting = [*done.queued, *(one for one in done.nothing if one.edit_id)]
    ids = {one.edit_id for one in waiting}
    names = sorted({one.connection for one in waiting})
    if not waiting:
        return None
    found = _planned(project, names)
    mine = replace(found, items=tuple(item for item in found.items if ids & set(item.edits)))
    if not yes:
        _agreed(mine, project.config)
    return _sent(project, names, mine, wait)

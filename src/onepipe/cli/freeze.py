"""The command `freeze`: a day's deals and figures, kept under a name."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.config import Config

HEADINGS = ("name", "day", "frozen (UTC)", "deals", "note")
KEYS = ("name", "as_of", "frozen_at", "run_id", "generation", "deals", "note")


@app.command(
    epilog=examples(
        'onepipe freeze board-2026-01 --as-of 2026-01-31 --note "shown to the board"',
        "onepipe freeze --list",
        "onepipe freeze --drop board-2026-01 --yes",
        "onepipe report diff board-2026-01",
    )
)
def freeze(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Letters, digits, _ and -.", show_default=False)
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="DAY", help="The end of that day, YYYY-MM-DD; today if left out.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", metavar="TEXT", help="What it was made for.")] = None,
    every: Annotated[bool, typer.Option("--list", help="List what is frozen.")] = False,
    drop: Annotated[str | None, typer.Option("--drop", metavar="NAME", help="Remove what is frozen so.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a day's deals and figures as tables that nothing changes any more.

    They are frozen.NAME and frozen.NAME_figures in the warehouse; `report diff NAME` tells what differs by now.
    """
    from onepipe.cli.reports import day

    if [name is not None, every, drop is not None].count(True) != 1:
        raise UsageError("Give one of NAME, --list and --drop NAME; nothing was done")
    if name is None and (as_of is not None or note is not None):
        raise UsageError("--as-of and --note belong to a NAME that is to be frozen; nothing was done")
    if every:
        _list(door(ctx).load(), as_json)
    elif drop is not None:
        _drop(ctx, drop, yes, as_json)
    elif name is not None:
        _freeze(ctx, name, day(as_of), note, as_json)


def _freeze(ctx: typer.Context, name: str, as_of: Any, note: str | None, as_json: bool) -> None:
    from onepipe import freezing

    with door(ctx).project("freeze") as project:
        kept = freezing.freeze(project, name, as_of, note, screen.note)
    if as_json:
        screen.document(_document(kept))
        return
    deals = screen.counted(kept["deals"], "deal")
    screen.say(f"{kept['name']}: {deals} as they stood at the end of {kept['as_of']}, by what is known now.")
    screen.say(
        f'They are frozen."{kept["name"]}" and frozen."{kept["name"]}_figures"; `onepipe report diff {kept["name"]}` '
        "tells later what differs."
    )


def _list(config: "Config", as_json: bool) -> None:
    import onepipe.warehouse.frozen as frozen
    from onepipe.warehouse.work import published

    with published(config.warehouse) as db:
        found = [_document(one) for one in frozen.listed(db)]
    if as_json:
        screen.document({"frozen": found})
    elif not found:
        screen.say("Nothing is frozen; `onepipe freeze NAME` keeps today.")
    else:
        for line in screen.table(HEADINGS, map(_row, found), right=[3]):
            screen.say(line)


def _drop(ctx: typer.Context, name: str, yes: bool, as_json: bool) -> None:
    import onepipe.warehouse.frozen as frozen
    from onepipe import freezing
    from onepipe.warehouse.work import published

    config = door(ctx).load()
    with published(config.warehouse) as db:
        found = frozen.one(db, name)
    if not yes:
        _confirm(found)
    with door(ctx).project("freeze") as project:
        gone = freezing.drop(project, found["name"], screen.note)
    if as_json:
        screen.document(_document(gone))
    else:
        screen.say(f"{gone['name']} was removed.")


def _confirm(found: dict[str, Any]) -> None:
    """Ask on a terminal; refuse elsewhere. Raises UsageError."""
    about = f"{screen.counted(found['deals'], 'deal')} of {found['as_of']}"
    if not sys.stdin.isatty():
        raise UsageError(
            f"--drop {found['name']} would remove {about}; nothing was changed",
            "add --yes to remove it without being asked",
        )
    screen.note(f"{found['name']}, {about}, frozen on {found['frozen_at'][:10]}, cannot be made again as it was.")
    typer.confirm("Remove it?", abort=True, err=True)


def _document(one: dict[str, Any]) -> dict[str, Any]:
    frozen_at = one["frozen_at"][:19] + "Z"
    return {key: one[key] for key in KEYS} | {"as_of": str(one["as_of"]), "frozen_at": frozen_at}


def _row(one: dict[str, Any]) -> list[str | None]:
    minute = one["frozen_at"][:16].replace("T", " ")
    return [one["name"], one["as_of"], minute, screen.count(one["deals"]), one["note"]]

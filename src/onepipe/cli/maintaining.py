"""The command `maintain`: what takes room, and giving back what is not needed."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.keeping.maintaining import House, Kept

SHOWN = 12  # lines of each table


@app.command(
    epilog=examples(
        "onepipe maintain --plan",
        "onepipe maintain",
        "onepipe maintain --keep-versions 3 --keep-days 90 --yes",
        "onepipe maintain --drop-copies --yes",
    )
)
def maintain(
    ctx: typer.Context,
    keep_versions: Annotated[
        int | None,
        typer.Option("--keep-versions", min=1, metavar="N", help="Drop superseded answers but for the newest N."),
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option("--keep-days", min=0, metavar="D", help="Drop only those that are older than D days."),
    ] = None,
    drop_copies: Annotated[
        bool, typer.Option("--drop-copies", help="Remove copies from before an upgrade or a restore, too.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what takes room and what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Drop without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Give room back to the disk, and say what takes it.

    Removes what killed processes left, and writes the work file anew where that makes it smaller. With --keep-versions
    or --keep-days it also drops answers of sub-requests that were superseded and that no version in history rests on;
    everything else in raw stays, so that a mapping reads the same history as before.
    """
    from onepipe.cli.progress import watching
    from onepipe.keeping import maintaining
    from onepipe.keeping.maintaining import Wanted

    wanted = Wanted(versions=keep_versions, days=keep_days, copies=drop_copies)
    with door(ctx).project("maintain") as project, watching() as watch:
        house = maintaining.look(project, wanted)
        if not plan:
            _agreed(house, wanted.copies, yes)
            done = maintaining.maintain(project, wanted, watch)
            house = maintaining.look(project, Wanted())
    if as_json:
        screen.document(_house(house) | ({} if plan else {"done": _kept(done)}))
        return
    if not plan:
        _tell_kept(done)
    _tell_house(house, wanted.compacts and plan, plan)


def _agreed(house: "House", copies: bool, yes: bool) -> None:
    """Ask before anything is dropped that somebody may want. Raises UsageError where nobody can be asked."""
    kept = [one for one in house.left if one.is_copy] if copies else []
    if yes or not (house.rows or kept):
        return
    parts = [f"{screen.counted(house.rows, 'row')} of raw"] if house.rows else []
    parts += [f"{screen.counted(len(kept), 'copy', 'copies')} ({screen.size(sum(one.bytes for one in kept))})"] * bool(
        kept
    )
    about = exits.listed(parts)
    if not sys.stdin.isatty():
        raise UsageError(f"this would drop {about}; nothing was changed", "add --yes to do so without being asked")
    screen.note(f"This drops {about}; `onepipe maintain --plan` shows more.")
    typer.confirm("Drop it?", abort=True, err=True)


def _tell_kept(done: "Kept") -> None:
    if done.rows:
        screen.say(f"{screen.counted(done.rows, 'superseded answer')} dropped from raw.")
    if done.removed:
        freed = screen.size(sum(one.bytes for one in done.removed))
        screen.say(f"{screen.counted(len(done.removed), 'leftover')} removed ({freed}).")
    before, after = done.rewritten.before, done.rewritten.after
    kept = f"The work file stays as it is ({screen.size(before)}): a new one would not be smaller."
    anew = f"The work file was written anew: {screen.size(after)} instead of {screen.size(before)}."
    screen.say(kept if done.rewritten.kept else anew)
    for message in done.busy:
        screen.note(message)
    screen.say()


def _tell_house(house: "House", compacting: bool, plan: bool) -> None:
    rows = [(one.table, screen.count(one.rows), screen.size(one.bytes)) for one in house.tables[:SHOWN]]
    for line in screen.table(("table", "rows", "size"), rows, right=(1, 2)):
        screen.say(line)
    screen.say()
    files = [(name, screen.size(size)) for name, size in house.files[:SHOWN]]
    for line in screen.table(("in the state folder", "size"), files, right=(1,)):
        screen.say(line)
    screen.tell(
        f"{screen.size(house.unused)} of the work file are unused, {screen.size(house.free)} are free on the disk."
    )
    if compacting:
        _tell_spare(house)
    for one in house.left:
        how = "--drop-copies removes it" if one.is_copy else "is removed" if plan else "is left"
        screen.say(f"{one.path.name}: {screen.size(one.bytes)}, {one.why}; {how}.")
    if plan:
        screen.say("Nothing was changed.")


def _tell_spare(house: "House") -> None:
    """What would go of raw, and what would not."""
    rows = [
        (one.connection, one.resource, screen.count(one.rows), screen.count(one.spare), screen.size(one.bytes))
        for one in house.spare
    ]
    for line in screen.table(("connection", "answers", "rows", "would go", "size"), rows, right=(2, 3, 4)):
        screen.say(line)
    screen.tell(
        "Only answers go that were superseded before a version ended. What versions in history were read from, "
        "reference lists and the newest of everything stay: a mapping reads the same history before and after."
    )


def _house(house: "House") -> dict[str, Any]:
    return {
        "tables": [{"table": one.table, "rows": one.rows, "bytes": one.bytes} for one in house.tables],
        "files": [{"name": name, "bytes": size} for name, size in house.files],
        "unused_bytes": house.unused,
        "free_bytes": house.free,
        "leftovers": [_left(one) for one in house.left],
        "raw": [
            {"connection": one.connection, "resource": one.resource, "rows": one.rows, "drop": one.spare,
             "bytes": one.bytes}
            for one in house.spare
        ],
    }  # fmt: skip


def _left(one: Any) -> dict[str, Any]:
    return {"path": str(one.path), "bytes": one.bytes, "why": one.why, "copy": one.is_copy}


def _kept(done: "Kept") -> dict[str, Any]:
    return {
        "rows_dropped": done.rows,
        "removed": [_left(one) for one in done.removed],
        "work_bytes_before": done.rewritten.before,
        "work_bytes_after": done.rewritten.after,
        "busy": list(done.busy),
    }

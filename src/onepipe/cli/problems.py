"""The command `problems`: the values that could not be read, what to do about them, and trying them again."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.cli.standing import chosen_names
from onepipe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.mapping import Mapping
    from onepipe.replay import Replayed
    from onepipe.warehouse.unread import Unread

HEADINGS = ("connection", "field", "values", "older", "deals", "why", "such as")
LENGTH = 30  # letters of a value that are shown; --json has all
NAMED = 5  # deals that are named; --json has all


@app.command(
    epilog=examples("onepipe problems", "onepipe problems acme --field amount --csv", "onepipe problems --replay")
)
def problems(
    ctx: typer.Context,
    connections: Connections = None,
    field: Annotated[str | None, typer.Option("--field", metavar="FIELD", help="Only those of one column.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that only older versions or deleted deals have.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay", help="Read these deals again, from what is stored: after an upgrade of onepipe.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every value by itself, as CSV.")] = False,
    as_json: Json = False,
) -> None:
    """List the values that could not be read, and what to do.

    They are NULL in the tables; their deals were loaded all the same. No CRM is asked.
    """
    if as_csv and (as_json or replay):
        raise UsageError("--csv goes neither with --json nor with --replay", "choose one of them")
    if replay and (field or every):
        raise UsageError("--replay reads whole deals again, all that have a problem", "leave --field and --all away")
    if replay:
        _again(ctx, connections or [], as_json)
        return
    _list(ctx, connections or [], field, every, as_csv, as_json)


def _list(ctx: typer.Context, words: list[str], field: str | None, every: bool, as_csv: bool, as_json: bool) -> None:
    import onepipe.warehouse.unread as unread
    from onepipe.warehouse.work import published

    config = door(ctx).load()
    with published(config.snapshot) as db:
        known = {str(name) for (name,) in db.run("SELECT connection FROM connections")}
        names = sorted(chosen_names(config, words, known) & known)
        if as_csv:
            screen.say(_csv(unread.SINGLE, unread.single(db, names, field, every)).rstrip("\n"))
            return
        found = unread.groups(db, names, field)
        applied = {str(name): version for name, version in db.run("SELECT connection, version FROM store.mappings")}
    mappings = {name: _mapping(config, name) for name in {one.connection for one in found}}
    shown = [(one, _remedy(one, mappings[one.connection])) for one in found if every or one.values]
    waiting = sorted(name for name, one in mappings.items() if one and one.version != applied.get(name))
    if as_json:
        screen.document({"problems": [_document(*line) for line in shown], "mappings_to_apply": waiting})
        return
    _tell(shown, sum(one.older for one in found if not (every or one.values)), field)
    for name in waiting:
        screen.say(f"The mapping of {name} was edited: `onepipe mapping plan {name}` shows what it would mend.")


def _csv(headings: Sequence[str], rows: Iterator[tuple[str | None, ...]]) -> str:
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(headings)
    lines.writerows(rows)
    return text.getvalue()


def _mapping(config: "Config", name: str) -> "Mapping | None":
    """The mapping as its file says by now; None where it cannot be read, or the connection is retired."""
    from onepipe.account import mapping_of

    try:
        return mapping_of(config, config.connections[name]) if name in config.connections else None
    except ConfigError:
        return None


def _place(one: "Unread", mapping: "Mapping | None") -> str | None:
    """FILE:LINE where the mapping says how the field is read."""
    if mapping is None:
        return None
    field, _, inner = one.field.partition("[]")
    inner = inner.removeprefix(".")
    place = ("children", field, "fields", inner) if inner else ("fields", field)
    if field.startswith("x_"):
        place = ("columns", field.removeprefix("x_"))
    if place not in mapping.marks.keys:
        return None
    fault = mapping.marks.fault(place, "", key=True)
    return f"{fault.file}:{fault.line}"


def _remedy(one: "Unread", mapping: "Mapping | None") -> str:
    """What to do about one kind of problem."""
    place = _place(one, mapping)
    where = f"{one.field} in {place}" if place else f"{one.field} in the connection's mapping"
    if one.field == "source_id":
        return "a record without a usable id cannot be kept: look for it in the CRM"
    if one.field == "payload":
        return "the CRM sent something else than a record: `onepipe get` shows what it answers"
    if one.reason.startswith("not one of"):
        return f"if the word is a new one of the CRM's, add it to `values:` of {where}"
    if "moment" in one.reason:
        return f"if no zone is printed, name it: `as: instant_in` and `zone:`, for {where}; else correct it in the CRM"
    return f"correct it in the CRM; or, if the CRM means it so, change how {where} is read"


def _document(one: "Unread", remedy: str) -> dict[str, Any]:
    return {
        "connection": one.connection,
        "field": one.field,
        "reason": one.reason,
        "values": one.values,
        "older_values": one.older,
        "deals": [*one.deals],
        "samples": [*one.samples],
        "remedy": remedy,
    }


def _tell(shown: "list[tuple[Unread, str]]", hidden: int, field: str | None) -> None:
    """The list for people."""
    what = f" of {field}" if field else ""
    for line in screen.table(HEADINGS, (_row(one) for one, _ in shown), right=(2, 3, 4)):
        if shown:
            screen.say(line)
    for one, remedy in shown:
        ids = ", ".join(one.deals[:NAMED]) + (" ..." if len(one.deals) > NAMED else "")
        deals = f" ({'deal' if len(one.deals) == 1 else 'deals'} {ids})" if ids else ""
        screen.tell(f"{one.connection} {one.field}{deals}: {exits.stopped(remedy)}")
    if not shown:
        screen.say(f"Every value{what} of the deals as they are now could be read.")
    if hidden:
        values = screen.counted(hidden, "value")
        screen.say(f"{values}{what} of older versions could not be read; --all lists them, too.")


def _row(one: "Unread") -> list[str | None]:
    samples = ", ".join(_short(value) for value in one.samples)
    counts = [screen.count(one.values), screen.count(one.older or None), screen.count(len(one.deals))]
    return [one.connection, one.field, *counts, one.reason, samples]


def _short(value: str) -> str:
    from onepipe.warehouse.samples import shown

    text = shown(value, "")
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _again(ctx: typer.Context, words: list[str], as_json: bool) -> None:
    """Read again, and say what was mended."""
    from onepipe import replay
    from onepipe.cli.progress import watching

    with door(ctx).project("problems --replay") as project, watching() as watch:
        done = replay.replay(project, words, watch)
    if as_json:
        keys = ("connection", "mended", "lost", "left", "edited")
        screen.document({"replayed": [{key: getattr(one, key) for key in keys} for one in done]})
        return
    for one in done:
        screen.say(_replayed(one))
        if one.edited:
            told = f"The mapping of {one.connection} was edited and waits; this read with the one before."
            screen.note(f"{told} `onepipe mapping plan {one.connection}` shows what the edit would mend.")
    if not done:
        screen.say("There is no value to read again.")
    end(0)


def _replayed(one: "Replayed") -> str:
    if not (one.mended or one.lost):
        values = screen.counted(one.left, "value")
        return f"{one.connection}: {values} tried again, none of them can be read; nothing was changed."
    lost = f", {screen.count(one.lost)} can no longer be read" if one.lost else ""
    return f"{one.connection}: {screen.counted(one.mended, 'value')} mended{lost}, {screen.count(one.left)} left."

"""The command `drift`: which source fields are new, vanished or of another type, and what that means for the tables."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.cli.standing import chosen_names
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.warehouse.database import Database
    from onepipe.warehouse.drift import Cut, Drift, Side
    from onepipe.warehouse.mapped import Use

USUAL = timedelta(days=7)  # what was fetched in it is held against all before
HEADINGS = ("", "what", "resource", "field", "before", "since", "such as", "read into")


@app.command(
    epilog=examples("onepipe drift", "onepipe drift acme --since 2026-01-01", "onepipe drift --since 2026-01-15 --fail")
)
def drift(
    ctx: typer.Context,
    connections: Connections = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="DAY|RUN",
            help="Compare with what was fetched from then on; the newest 7 days if left out.",
        ),
    ] = None,
    fail: Annotated[bool, typer.Option("--fail", help="End with exit code 1 where there is drift.")] = False,
    as_json: Json = False,
) -> None:
    """List source fields that are new, vanished or of another type.

    Found in what is stored: no CRM is asked. A field has vanished when chance would hardly have left it out so often.
    """
    import onepipe.warehouse.drift as finding
    import onepipe.warehouse.mapped as mapped
    from onepipe.warehouse.work import whole

    config = door(ctx).load()
    with whole(config.snapshot) as db:
        kinds = {str(name): str(kind) for name, kind in db.run("SELECT connection, connector FROM connections")}
        names = sorted(chosen_names(config, connections or [], set(kinds)) & set(kinds))
        cuts = finding.cuts(db, names, _since(db, since), datetime.now(UTC) - USUAL)
        found, seen = finding.drifts(db, cuts)
        uses = mapped.uses(db)
    told = [_document(cut, kinds[cut.connection], seen[cut.connection], found, uses) for cut in cuts]
    if as_json:
        screen.document({"connections": told})
    else:
        for one in told:
            _tell(one)
        if not told:
            screen.say("Nothing was fetched yet: there is nothing to compare.")
    end(exits.FAILED if fail and found else 0)


def _since(db: "Database", word: str | None) -> datetime | None:
    """The instant that a day, an instant or a run names. Raises UsageError."""
    from onepipe.cli.runs import instant
    from onepipe.warehouse.instants import iso, moment
    from onepipe.yamlmarks import did_you_mean

    if word is None:
        return None
    rows = db.run(f"SELECT {iso('min(started_at)')} FROM sync_runs WHERE run_id = ?", [word])
    if rows and rows[0][0]:
        return moment(rows[0][0])
    try:
        return instant(word, "--since")
    except UsageError as error:
        runs = [str(row[0]) for row in db.run("SELECT run_id FROM sync_runs GROUP BY run_id ORDER BY max(started_at)")]
        guess = did_you_mean(word, runs)
        told = f"; {guess}" if guess.startswith("did") else ""
        hint = "write YYYY-MM-DD, or a run that `onepipe runs --json` names"
        raise UsageError(f"--since {word!r} is neither a day nor a run{told}", hint) from error


def _document(
    cut: "Cut", connector: str, seen: tuple[int, int], found: list["Drift"], uses: dict[str, list["Use"]]
) -> dict[str, Any]:
    """One connection, as `--json` tells it."""
    lines = [_line(one, uses.get(cut.connection, [])) for one in found if one.connection == cut.connection]
    return {
        "connection": cut.connection,
        "connector": connector,
        "since": None if cut.at is None else cut.at.replace("+00:00", "Z"),
        "first_fetch": cut.first_run,
        "records_before": seen[0],
        "records_since": seen[1],
        "drift": sorted(lines, key=lambda line: not line["important"]),
    }


def _line(one: "Drift", uses: list["Use"]) -> dict[str, Any]:
    import onepipe.warehouse.mapped as mapped

    columns = mapped.reading(uses, one.resource, one.steps)
    return {
        "kind": one.kind,
        "resource": one.resource,
        "field": one.field,
        "important": bool(columns),
        "columns": [use.column for use in columns],
        "meaning": _meaning(one, columns),
        "before": _side(one.before),
        "since": _side(one.since),
    }


def _side(side: "Side") -> dict[str, Any]:
    return {"held": side.held, "records": side.records, "types": [*side.types], "samples": [*side.samples]}


def _meaning(one: "Drift", columns: list["Use"]) -> str | None:
    """What it means for the tables; None where the mapping does not read the field."""
    if not columns:
        return None
    alone = [use.column for use in columns if use.alone]
    others = [use.column for use in columns if not use.alone]
    if one.kind == "vanished":
        lost = [f"{exits.listed(alone)} will be NULL"] if alone else []
        left = [f"{exits.listed(others)} {_is(others)} left with what else the mapping names"] if others else []
        return f"a mapped field vanished: {', '.join(lost + left)}"
    names = exits.listed([use.column for use in columns])
    if one.kind == "retyped":
        return f"a mapped field is of another type: see in `problems` whether {names} can still be read"
    return f"a field that the mapping waits for came: {names} {_is(columns)} read from it"


def _is(many: list[Any]) -> str:
    return "is" if len(many) == 1 else "are"


def _tell(one: dict[str, Any]) -> None:
    """One connection, for people."""
    where = f"since {one['since'][:16].replace('T', ' ')} UTC" if one["since"] else "after the first fetch"
    counts = f"{screen.count(one['records_since'])} against {screen.count(one['records_before'])} before"
    head = f"{one['connection']}: records fetched {where}, {counts}"
    if not one["drift"]:
        missing = not one["records_before"] or not one["records_since"]
        screen.say(f"{head}: {'nothing to compare' if missing else 'no drift'}.")
        return
    screen.say(screen.strong(f"{head}:"))
    for text in screen.table(HEADINGS, map(_row, one["drift"]), margin="  "):
        screen.say(text)
    for line in one["drift"]:
        if line["meaning"]:
            screen.tell(f"{one['connection']}, {line['resource']} {line['field']}: {exits.stopped(line['meaning'])}")
    screen.say()


def _row(line: dict[str, Any]) -> list[str | None]:
    shown = line["before"] if line["kind"] == "vanished" else line["since"]
    samples = ", ".join(shown["samples"])
    if line["kind"] == "retyped":
        samples = f"{', '.join(line['before']['samples'][:1])} -> {samples}"
    sides = [_told(line["before"]), _told(line["since"])]
    mark = "!" if line["important"] else None
    return [mark, line["kind"], line["resource"], line["field"], *sides, samples, ", ".join(line["columns"])]


def _told(side: dict[str, Any]) -> str:
    """`text, in 12 of 60`."""
    counts = f"in {screen.count(side['held'])} of {screen.count(side['records'])}"
    return f"{' or '.join(side['types'])} {counts}" if side["types"] else counts

"""The commands `stages` and `people`: everything seen, how it is read, and what stages.csv and people.csv say of it."""

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, examples
from onepipe.cli.query import replacing
from onepipe.cli.standing import chosen_names
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.beside import Beside
    from onepipe.config import Config
    from onepipe.warehouse.labels import SeenOwner, SeenStage

UNTOUCHED = "What stages.csv and people.csv say is in force; no deal is read otherwise than before."
MANY = 20  # stages of unknown status that are named
STAGE_HEADINGS = (
    *("connection", "pipeline", "stage", "group", "status", "weight", "deals", "open", "read as", "decided"),
)
PERSON_HEADINGS = ("connection", "owner id", "owner", "person", "team", "deals", "open", "decided")
Row = dict[str, Any]

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV to fill in: the lines there are, then what none is of.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write that CSV to this file, which is replaced.")
]


@app.command(
    epilog=examples("onepipe stages", "onepipe stages -o stages.csv", "onepipe stages --apply", "onepipe stages --json")
)
def stages(
    ctx: typer.Context,
    connections: Connections = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Read deals again by what stages.csv decides now; no CRM is asked.")
    ] = False,
    as_csv: AsCsv = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """List every stage ever seen, and how its deals are read.

    stages.csv beside config.yaml decides of them: a group, a status, a weight. It is in force from the next sync on, or
    with --apply.
    """
    import onepipe.beside.listing as listing

    _one_form(as_csv or out is not None, as_json, apply)
    if apply:
        _apply(ctx, connections or [], as_json)
        return
    config = door(ctx).load()
    to_fill_in = as_csv or out is not None
    said, seen, _, chosen = _known(config, connections or [], whole=to_fill_in)
    found = listing.of_stages(said, seen)
    if as_json:
        lost = [_unknown(one) for one in seen if one.unknown]
        screen.document({"stages": [_document(row) for row in found.rows()], "unknown_status": lost})
    elif to_fill_in:
        _write(listing.STAGE_KEYS, found.to_fill_in(chosen), out)
    else:
        _table(STAGE_HEADINGS, listing.STAGE_KEYS, found.rows(), right=(5, 6, 7))
        _tell_waiting([row for row in found.rows() if row["connection"] in config.connections])
        _tell_unknown(seen)
    _tell_unheard(listing.unheard(said, seen, []), as_json)


@app.command(epilog=examples("onepipe people", "onepipe people -o people.csv", "onepipe people acme --json"))
def people(
    ctx: typer.Context,
    connections: Connections = None,
    as_csv: AsCsv = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """List every owner ever seen, and for whom each stands.

    people.csv beside config.yaml says so: a person and a team for an owner. It is in force from the next sync on, or
    with `onepipe stages --apply`.
    """
    import onepipe.beside.listing as listing

    _one_form(as_csv or out is not None, as_json)
    config = door(ctx).load()
    to_fill_in = as_csv or out is not None
    said, _, seen, chosen = _known(config, connections or [], whole=to_fill_in)
    found = listing.of_people(said, seen)
    if as_json:
        screen.document({"people": [_document(row) for row in found.rows()]})
    elif to_fill_in:
        _write(listing.PERSON_KEYS, found.to_fill_in(chosen), out)
    else:
        _table(PERSON_HEADINGS, listing.PERSON_KEYS, found.rows(), right=(5, 6))
    _tell_unheard(listing.unheard(said, [], seen), as_json)


def _one_form(as_csv: bool, as_json: bool, apply: bool = False) -> None:
    if as_csv and (as_json or apply):
        other = "--json" if as_json else "--apply"
        raise UsageError(f"CSV and {other} do not go together; nothing was done")


def _known(
    config: "Config", words: list[str], whole: bool
) -> "tuple[Beside, list[SeenStage], list[SeenOwner], list[str]]":
    """What the files say of the chosen connections, what was seen of them, and which they are. Raises ConfigError.

    `whole`: what is said and seen of all connections.
    """
    import onepipe.warehouse.labels as labels
    import onepipe.warehouse.ledger as ledger
    from onepipe import beside
    from onepipe.warehouse.work import published

    said = beside.load(config)
    with published(config.snapshot) as db:
        known = set(ledger.names(db))
        chosen = sorted(chosen_names(config, words, known))
        names = sorted(chosen_names(config, [], known)) if whole else chosen
        return said if whole else said.about(names), labels.stages(db, names), labels.owners(db, names), chosen


def _apply(ctx: typer.Context, words: Sequence[str], as_json: bool) -> None:
    from onepipe import restage
    from onepipe.cli.progress import watching

    with door(ctx).project("stages --apply") as project, watching() as watch:
        done = restage.apply(project, words, watch)
    if as_json:
        screen.document({"applied": [{"connection": one.connection, "versions": one.versions} for one in done]})
        return
    for one in done:
        screen.say(f"{one.connection}: {one.told}.")
    screen.say("What stages.csv and people.csv say is in force." if done else UNTOUCHED)


def _document(row: Row) -> Row:
    return row | {"decided": row["decided"] is not None, "line": row["decided"]}


def _cells(keys: Sequence[str], row: Row) -> Iterator[str | None]:
    for key in keys:
        value = row[key]
        if key == "decided":
            yield "no" if value is None else f"line {value}"
        else:
            yield value if value is None or isinstance(value, str) else str(value)


def _write(keys: Sequence[str], rows: Sequence[Row], out: Path | None) -> None:
    def write(stream: TextIO) -> None:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(keys)
        lines.writerows(list(_cells(keys, row)) for row in rows)

    with replacing(out) as part:
        if part is None:
            write(sys.stdout)
            return
        with part.open("w", encoding="utf-8-sig", newline="") as stream:  # or spreadsheets take letters for others
            write(stream)


def _table(headings: Sequence[str], keys: Sequence[str], rows: Sequence[Row], right: Sequence[int]) -> None:
    """Columns in which nothing stands are left out."""
    cells = [list(_cells(keys, row)) for row in rows]
    kept = [n for n in range(len(keys)) if any(line[n] for line in cells)]
    flush = [place for place, n in enumerate(kept) if n in right]
    if not cells:
        screen.say("Nothing was seen yet.")
        return
    for line in screen.table([headings[n] for n in kept], ([line[n] for n in kept] for line in cells), flush):
        screen.say(line)


def _tell_waiting(rows: Sequence[Row]) -> None:
    """Whose deals are read otherwise than stages.csv has it by now."""
    late = [one for one in rows if one["status"] and one["deals"] and one["read_as"] != one["status"]]
    if names := list(dict.fromkeys(one["connection"] for one in late)):
        screen.tell(
            f"Not in force yet in {exits.listed(names)}: `onepipe stages --apply`, or the next sync, sees to it."
        )


def _unknown(one: "SeenStage") -> Row:
    return {"connection": one.connection, "pipeline": one.pipeline, "stage": one.stage, "deals": one.unknown}


def _tell_unknown(seen: "Sequence[SeenStage]") -> None:
    """How many deals are in no figure, and in which stages, the fullest first."""
    lost = sorted((one for one in seen if one.unknown), key=lambda one: -one.unknown)
    if not lost:
        return
    named = [
        f"{one.connection}: {' / '.join(filter(None, (one.pipeline, one.stage))) or '(no stage)'} ({one.unknown:,})"
        for one in lost[:MANY]
    ]
    more = [f"{len(lost) - MANY} more stages"] if len(lost) > MANY else []
    deals = screen.counted(sum(one.unknown for one in lost), "deal")
    verb = "is" if deals == "1 deal" else "are"
    screen.tell(
        screen.plain(f"{deals} of unknown status {verb} in no figure: {exits.listed([*named, *more])}.")
        + " A line in stages.csv with a status decides of a stage."
    )


def _tell_unheard(texts: Iterator[str], as_json: bool) -> None:
    for text in () if as_json else texts:
        screen.note(exits.stopped(text))

"""Days that are kept as they stood: tables of the schema `frozen`, which no rebuild and no publish touches.

`frozen.NAME` holds that day's deals, `frozen.NAME_figures` the lines of `pipeline_as_of`, and `frozen.frozen` tells of
each when and of what it was made. All three are written in the caller's transaction and never again.
"""

import json
import re
from datetime import date, datetime
from typing import Any

import onepipe.warehouse.decisions as decisions
from onepipe.errors import UsageError
from onepipe.model import Column
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import iso
from onepipe.warehouse.layout import dress
from onepipe.warehouse.pipeline import PIPELINE_AS_OF
from onepipe.warehouse.reporting import RETIRED, ZONE, day_end
from onepipe.warehouse.schema import literal, quoted

Row = dict[str, Any]
BOOK = "frozen"  # the table that tells of all others, in the schema of the same name
FIGURES = "_figures"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,59}")  # one with - in front is an option to a shell

KEPT = (
    Column("name", "VARCHAR", "The name it was frozen under: the deals are in frozen.NAME"),
    Column("as_of", "DATE", "The day, in the reporting zone, at whose end they stood so"),
    Column("frozen_at", "TIMESTAMPTZ", "When it was frozen, UTC"),
    Column("run_id", "VARCHAR", "The newest run the warehouse held then"),
    Column("generation", "BIGINT", "The generation of the warehouse that it was made of"),
    Column("mappings", "JSON", "Which version of its mapping each connection was read with then"),
    Column("note", "VARCHAR", "What whoever froze it had to say"),
    Column("deals", "BIGINT", "How many deals were kept"),
    Column("ends_at", "TIMESTAMPTZ", "The instant at which that day ended"),
    Column("seq", "BIGINT", "The newest row of raw that was known then: raw.records.seq"),
    Column("retired", "VARCHAR[]", "The connections that were retired then"),
    Column("reporting_currency", "VARCHAR", "The reporting currency then; NULL: none"),
    Column("rates", "JSON", "What one unit of each currency was worth in it on that day"),
    Column("statuses", "JSON", "Which stages stages.csv gave which status then"),
)
BESIDE = (
    Column("version", "BIGINT", "Which version of the deal it is: opportunity_history.version"),
    Column("valid_from", "TIMESTAMPTZ", "From when that version held"),
    Column("recorded_at", "TIMESTAMPTZ", "When we had fetched it"),
    Column("in_pipeline", "BOOLEAN", "Whether it was in the pipeline, and so in the figures"),
)


def keep(db: Database, name: str, day: date | None, note: str | None, now: datetime) -> Row:
    """Freeze a day, today if none is given; the row of `frozen.frozen`. The caller's transaction holds all of it.

    Raises UsageError for a name that cannot be one or is in use, and for a day to come.
    """
    _begin(db)
    _free(db, name)
    present = today(db, now)
    as_of = day or present
    if as_of > present:
        raise UsageError(f"{as_of} is still to come, today is {present}; nothing was frozen")
    values = {"day": str(as_of)}
    dress(db)  # a work file that was never published has no `deals` yet
    db.run(f"CREATE TABLE {_place(name)} AS {_deals(db)}", values)
    db.run(f"CREATE TABLE {_place(name + FIGURES)} AS SELECT * FROM pipeline_as_of($day::DATE)", values)
    _book(db, name, as_of, note, now)
    _comment(db, name, as_of)
    return listed(db, name)[0]


def today(db: Database, now: datetime) -> date:
    """The day of an instant in the reporting zone."""
    found: date = db.one(f"SELECT ($now::TIMESTAMPTZ AT TIME ZONE {ZONE})::DATE", {"now": now.isoformat()})
    return found


def listed(db: Database, name: str | None = None) -> list[Row]:
    """What is frozen, oldest first, or the one of a name; instants as ISO texts, JSON read."""
    if not _there(db):
        return []
    picked = ", ".join(iso(one.name) if one.type == "TIMESTAMPTZ" else one.name for one in KEPT)
    wanted = "WHERE lower(name) = lower($name)" if name is not None else ""
    rows = db.run(
        f"SELECT {picked} FROM frozen.frozen {wanted} ORDER BY frozen_at, name", {"name": name} if wanted else None
    )
    found = [dict(zip((one.name for one in KEPT), row, strict=True)) for row in rows]
    return [row | {one.name: json.loads(row[one.name] or "{}") for one in KEPT if one.type == "JSON"} for row in found]


def drop(db: Database, name: str) -> Row:
    """Remove what is frozen under a name; its row. Raises UsageError where there is none."""
    found = one(db, name)
    for table in (found["name"], found["name"] + FIGURES):
        db.run(f"DROP TABLE {_place(table)}")
    db.run("DELETE FROM frozen.frozen WHERE name = ?", [found["name"]])
    return found


def one(db: Database, name: str) -> Row:
    """The row of a name. Raises UsageError where nothing is frozen under it."""
    found = listed(db, name)
    if not found:
        known = ", ".join(row["name"] for row in listed(db))
        raise UsageError(
            f"nothing is frozen under the name {name!r}",
            f"there is: {known}" if known else "`onepipe freeze NAME` does",
        )
    return found[0]


def _there(db: Database) -> bool:
    return bool(
        db.one(
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'frozen' AND database_name = current_database()"
        )
    )


def _begin(db: Database) -> None:
    """The schema and its book, made when they are first needed."""
    db.run("CREATE SCHEMA IF NOT EXISTS frozen")
    if _there(db):
        return
    db.run(f"CREATE TABLE frozen.frozen ({', '.join(f'{quoted(one.name)} {one.type}' for one in KEPT)})")
    db.run("COMMENT ON TABLE frozen.frozen IS 'One row for each day that was kept: frozen.NAME, frozen.NAME_figures'")
    for column in KEPT:
        db.run(f"COMMENT ON COLUMN frozen.frozen.{quoted(column.name)} IS {literal(column.meaning)}")


def _free(db: Database, name: str) -> None:
    """Raise UsageError for a name that cannot be one, or that a table has; DuckDB takes `A` and `a` for the same."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a frozen day; nothing was frozen",
            "a name is made of at most 60 letters, digits, _ and -, the first of them no -",
        )
    rows = db.run(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'frozen' AND database_name = current_database()"
    )
    taken = {str(table).lower() for (table,) in rows}
    if taken & {name.lower(), (name + FIGURES).lower()}:
        raise UsageError(
            f"the name {name!r} is in use, and what is frozen is never replaced; nothing was frozen",
            "take another name; `onepipe freeze --list` shows those in use",
        )


def _place(name: str) -> str:
    return f"frozen.{quoted(name)}"


def stood(ends: str) -> str:
    """SQL: each deal's version as it stood at an instant (a SQL expression), deleted ones too, as history has it."""
    return f"SELECT * FROM opportunity_history WHERE valid_from < {ends} AND (valid_to IS NULL OR valid_to >= {ends})"


def _deals(db: Database) -> str:
    """SQL: the deals of $day with every column that `deals` has, and what tells later how they came to be so."""
    own = decisions.OWN
    names = ", ".join(
        f"{own[name]} AS {quoted(name)}" if name in own else f"o.{quoted(name)}" for name in db.names("FROM deals")
    )
    ends = f"(SELECT {day_end('$day')})"
    inside = f"o.status IS NOT DISTINCT FROM 'open' AND NOT o.is_archived AND o.connection NOT IN {RETIRED}"
    return (
        f"SELECT {names}, o.version, o.valid_from, o.recorded_at, {inside} AS in_pipeline "
        f"FROM ({stood(ends)}) o {decisions.staged('o')} {decisions.owned('o')} "
        "WHERE NOT o.is_deleted ORDER BY o.connection, o.source_id"
    )


def _book(db: Database, name: str, as_of: date, note: str | None, now: datetime) -> None:
    """Write down what it was made of."""
    pairs = db.run("SELECT connection, version FROM store.mappings ORDER BY connection")
    rates = db.run("SELECT currency, rate::VARCHAR FROM store.day_rates WHERE day = ? ORDER BY currency", [str(as_of)])
    statuses = [
        list(row) for row in db.run("SELECT connection, pipeline, stage, status FROM store.stage_statuses ORDER BY ALL")
    ]
    db.run(
        f"""INSERT INTO frozen.frozen SELECT $name, $day::DATE, $now::TIMESTAMPTZ, m.run_id, m.generation, $mappings,
               $note, (SELECT count(*) FROM {_place(name)}), {day_end("$day")}, (SELECT max(seq) FROM store.raw),
               (SELECT coalesce(list(connection ORDER BY connection), []) FROM {RETIRED}),
               (SELECT currency FROM store.reporting), $rates, $statuses FROM store.meta m""",
        {
            "name": name,
            "day": str(as_of),
            "now": now.isoformat(),
            "note": note,
            "mappings": json.dumps(dict(pairs)),
            "rates": json.dumps(dict(rates)),
            "statuses": json.dumps(statuses),
        },
    )


def _comment(db: Database, name: str, as_of: date) -> None:
    told = {"": f"The deals as they stood at the end of {as_of}", FIGURES: f"pipeline_as_of('{as_of}') as it was then"}
    meanings: dict[str, str] = dict(
        db.run(
            "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 'deals' AND schema_name = 'main' "
            "AND database_name = current_database()"
        )
    )
    meanings |= {column.name: column.meaning for column in BESIDE}
    figures = {column.name: column.meaning for column in PIPELINE_AS_OF.columns}
    for end, about in told.items():
        place = _place(name + end)
        db.run(f"COMMENT ON TABLE {place} IS {literal(about)}")
        for column in db.names(f"FROM {place}"):
            meaning = (figures if end else meanings).get(column)
            if meaning:
                db.run(f"COMMENT ON COLUMN {place}.{quoted(column)} IS {literal(meaning)}")

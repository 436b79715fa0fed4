"""What pushes read and did, put in place as a pull would have: versions, details, deletions; and who wanted it.

A read before a write is an observation like any other (origin source); a read after it is our own write read back
(origin push). Everything here runs inside the caller's transaction.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import onepipe.warehouse.verdicts as verdicts
from onepipe.records import Stored
from onepipe.warehouse.arrivals import append_raw, from_reads, newest
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text
from onepipe.warehouse.landing import differing, existing, land_deletions
from onepipe.warehouse.schema import TABLES
from onepipe.warehouse.versions import Payloads, Reading, become_versions

Origin = Literal["source", "push"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The push behind a version. `named` are the columns it was to change; all else it changed is a side effect."""

    push_id: str
    named: tuple[str, ...]
    reason: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a push saw of one record at one time. `record` None: it is gone since `at`."""

    source_id: str
    record: Stored | None
    at: datetime
    origin: Origin
    run_id: str
    cause: Cause


def land(db: Database, reading: Reading, sights: Sequence[Sight]) -> None:
    """Put sights of one run and one origin in place, no two of one record; what is as stored makes no version."""
    before, run_id, origin = newest(db), sights[0].run_id, sights[0].origin
    there = [one.record for one in sights if one.record is not None]
    if there:
        _land_records(db, reading, run_id, origin, there)
    gone = [(one.source_id, "gone", None, one.at) for one in sights if one.record is None]
    if gone:
        land_deletions(db, reading, run_id, gone, origin)
        verdicts.marked(db, reading.connection)
    if origin == "push":
        _attribute(db, reading.connection, before, sights)
    values: dict[str, Any] = {"connection": reading.connection, "ids": [one.source_id for one in sights]}
    db.run("DELETE FROM store.read_back WHERE connection = $connection AND list_contains($ids, source_id)", values)
    db.run(
        "INSERT INTO store.read_back SELECT $connection, unnest($ids::VARCHAR[]), unnest($at::TIMESTAMPTZ[])",
        values | {"at": [as_text(one.at) for one in sights]},
    )


def _land_records(db: Database, reading: Reading, run_id: str, origin: Origin, records: Sequence[Stored]) -> None:
    from_reads(db, reading, records)
    raw_origin = "push" if origin == "push" else "pull"
    if origin == "source":  # one kept since a run that was killed may be older than what a pull saw after it
        _drop_outdated(db, reading.connection)
    verdicts.met(db, reading.connection)
    differing(db, reading, origin)
    changed = db.one("SELECT count(*) FROM changed")
    if changed:
        append_raw(db, reading, run_id, "opportunity", source="changed JOIN arrivals USING (place)", origin=raw_origin)
    _keep_answers(db, reading, run_id, raw_origin)
    if changed:
        become_versions(db, reading, run_id, Payloads("arrivals", "place"))
        _owe_unanswered(db, reading)
    if db.one("SELECT count(*) FROM completed"):
        existing(db, reading.connection, "SELECT * FROM completed", origin)
        become_versions(db, reading, run_id, only_if_different=True)


def _drop_outdated(db: Database, connection: str) -> None:
    db.run(
        "DELETE FROM arrivals USING store.current c "
        "WHERE c.connection = ? AND c.source_id = arrivals.source_id AND c.recorded_at > arrivals.fetched_at",
        [connection],
    )
    db.run("DELETE FROM answers WHERE source_id NOT IN (SELECT source_id FROM arrivals)")


def _keep_answers(db: Database, reading: Reading, run_id: str, raw_origin: str) -> None:
    """Take over what sub-requests answered; `completed` are the records of which nothing else changed.

    The raw rows come after those of `changed`: a version is read with the details that follow its own row.
    """
    values = {"connection": reading.connection}
    db.run(
        """CREATE OR REPLACE TEMP TABLE answered AS
        SELECT a.source_id, a.detail, a.payload, a.payload_hash, r.fetched_at, b.completes,
               a.source_id IN (SELECT source_id FROM changed) AS begins,
               $newest + row_number() OVER (ORDER BY r.place, a.detail) AS seq
        FROM answers a JOIN arrivals r USING (source_id)
        LEFT JOIN (SELECT * FROM store.details WHERE connection = $connection) d USING (source_id, detail)
        LEFT JOIN (SELECT * FROM store.debts WHERE connection = $connection) b USING (source_id, detail)
        WHERE d.payload_hash IS DISTINCT FROM a.payload_hash""",
        values | {"newest": newest(db)},
    )
    db.run(
        "INSERT INTO store.raw SELECT $connection, detail, source_id, 'record', $origin, payload, payload_hash, "
        "fetched_at, $run_id, seq, begins OR coalesce(completes, false) FROM answered ORDER BY seq",
        values | {"run_id": run_id, "origin": raw_origin},
    )
    for table in ("details", "debts"):
        db.run(
            f"DELETE FROM store.{table} USING answers a WHERE {table}.connection = $connection "
            f"AND {table}.detail = a.detail AND {table}.source_id = a.source_id",
            values,
        )
    db.run(
        "INSERT INTO store.details SELECT $connection, detail, source_id, a.payload, a.payload_hash, r.fetched_at "
        "FROM answers a JOIN arrivals r USING (source_id)",
        values,
    )
    db.run(
        "CREATE OR REPLACE TEMP TABLE completed AS SELECT source_id, any_value(fetched_at) AS observed_at, "
        "bool_and(coalesce(completes, false)) AS completes, 'record' AS kind, NULL AS deleted_at, min(seq) AS seq "
        "FROM answered WHERE NOT begins GROUP BY source_id"
    )


def _owe_unanswered(db: Database, reading: Reading) -> None:
    """What changed owes the details that were not read with it; one known before makes a version if it differs."""
    for detail in reading.details:
        values = {"connection": reading.connection, "detail": detail}
        db.run(
            "DELETE FROM store.debts WHERE connection = $connection AND detail = $detail "
            "AND source_id IN (SELECT source_id FROM changed)",
            values,
        )
        db.run(
            "INSERT INTO store.debts SELECT $connection, $detail, source_id, fetched_at, source_id NOT IN "
            "(SELECT source_id FROM store.details WHERE connection = $connection AND detail = $detail) "
            "FROM changed WHERE source_id NOT IN (SELECT source_id FROM answers WHERE detail = $detail)",
            values,
        )


def _attribute(db: Database, connection: str, before: int, sights: Sequence[Sight]) -> None:
    """Note the push behind each version that began with a raw row after `before`."""
    causes = [one.cause for one in sights]
    db.run(
        "INSERT INTO store.pushed SELECT c.connection, c.seq, w.push_id, w.named, w.reason, w.actor "
        "FROM store.current c JOIN (SELECT unnest($ids::VARCHAR[]) AS source_id, "
        "unnest($pushes::VARCHAR[]) AS push_id, unnest($named::VARCHAR[][]) AS named, "
        "unnest($reasons::VARCHAR[]) AS reason, "
        "unnest($actors::VARCHAR[]) AS actor) w USING (source_id) WHERE c.connection = $connection AND c.seq > $before",
        {
            "connection": connection,
            "before": before,
            "ids": [one.source_id for one in sights],
            "pushes": [one.push_id for one in causes],
            "named": [list(one.named) for one in causes],
            "reasons": [one.reason for one in causes],
            "actors": [one.actor for one in causes],
        },
    )


@dataclass(frozen=True, slots=True)
class Landed:
    """Up to where a control file's journal was landed, and up to which change its conflicts."""

    journal_id: int = 0
    change: int = 0


def landed(db: Database, control: str) -> Landed:
    """How far a control file was landed; from the beginning for one that is new to this warehouse."""
    rows = db.run("SELECT journal_id, change FROM store.landed WHERE control = ?", [control])
    return Landed(*rows[0]) if rows else Landed()


def keep_landed(db: Database, control: str, now: Landed) -> None:
    """Note how far a control file is landed, with the rows that tell of it."""
    db.run("DELETE FROM store.landed WHERE control = ?", [control])
    db.run("INSERT INTO store.landed VALUES (?, ?, ?)", [control, now.journal_id, now.change])


def as_json(value: Any) -> str | None:
    """A value for a column of type JSON; None is NULL."""
    return None if value is None else json.dumps(value, ensure_ascii=False)


def tell(db: Database, table: Literal["pushes", "conflicts"], rows: Iterable[tuple[Any, ...]]) -> None:
    """Put rows of a table in place; the last one of each id wins. Instants are texts in UTC.

    An id alone is not enough: a control file made anew gives it again, but not with the same instant.
    """
    columns = [column.name for column in TABLES[table][1]]
    key, at = columns[0], "created_at" if table == "pushes" else "opened_at"
    newest_of = {(row[0], row[columns.index(at)]): row for row in rows}
    values = {name: [row[n] for row in newest_of.values()] for n, name in enumerate(columns)}
    given = ", ".join(f"unnest(${name}::VARCHAR[])" for name in columns)
    db.run(
        f"DELETE FROM {table} USING (SELECT unnest($key::VARCHAR[]) AS key, unnest($at::TIMESTAMPTZ[]) AS at) given "
        f"WHERE {table}.{key} = given.key AND {table}.{at} = given.at",
        {"key": values[key], "at": values[at]},
    )
    db.run(f"INSERT INTO {table} SELECT {given}", values)

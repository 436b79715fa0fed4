"""The books the engine keeps in the warehouse: slices, labels, runs, mappings, fences.

Every function runs inside the caller's transaction, so that the books change together with the rows they tell of.
Instants go in and out as aware datetimes in UTC; inside they are TIMESTAMPTZ.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from onepipe.errors import LeaseHeld, OnepipeError
from onepipe.report import Counts
from onepipe.warehouse import pieces
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment

# A sweep that was not believed counts here: the next one is due an interval later, or when somebody asks for it.
LAST_SWEEP = """greatest(last_sweep_at,
(SELECT max(found_at) FROM store.suspects s WHERE s.connection = coverage.connection))"""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One scan that is under way: what it asks for, and how far it came.

    `kind` is "first" (the first load), "full" (everything again: a sweep), "change" (what changed since `lo`) or
    "backfill" (what changed between `lo` and `until`). `hi` is where the cursor will stand once the scan is complete.
    `resume` is the paging token to go on with; `merged_to` the number of the last segment merged; `resumed` whether an
    earlier process began it.
    """

    connection: str
    name: str
    kind: str
    lo: datetime | None
    hi: datetime | None
    until: datetime | None = None
    resume: Any = None
    merged_to: int = 0
    fetched: int = 0
    started_at: datetime
    resumed: bool = False


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the warehouse knows of a connection when a run begins."""

    cursor: datetime | None
    last_sweep_at: datetime | None
    slice: Slice | None
    source_count: int | None
    live: int
    listed: int
    distrust: frozenset[str]


def standing(db: Database, connection: str) -> Standing:
    """Where a connection stands."""
    rows = db.run(
        f"SELECT {iso('complete_through')}, {iso(LAST_SWEEP)}, source_count FROM coverage "
        "WHERE connection = ? AND resource = 'opportunity'",
        [connection],
    )
    cursor, sweep, source_count = rows[0] if rows else (None, None, None)
    live, listed = db.run(
        "SELECT count(*), count(*) FILTER (WHERE source_id NOT IN (SELECT source_id FROM store.unlisted "
        "WHERE connection = $connection UNION ALL SELECT source_id FROM store.acknowledged "
        "WHERE connection = $connection)) FROM store.current WHERE connection = $connection AND NOT is_deleted",
        {"connection": connection},
    )[0]
    distrust = db.run("SELECT DISTINCT fact FROM store.distrust WHERE connection = ?", [connection])
    return Standing(
        cursor=moment(cursor),
        last_sweep_at=moment(sweep),
        slice=_slice(db, connection),
        source_count=source_count,
        live=live,
        listed=listed,
        distrust=frozenset(row[0] for row in distrust),
    )


def _slice(db: Database, connection: str) -> Slice | None:
    rows = db.run(
        f"SELECT slice, kind, {iso('lo')}, {iso('hi')}, {iso('until')}, resume, merged_to, fetched, "
        f"{iso('started_at')}, resumed FROM store.slices WHERE connection = ?",
        [connection],
    )
    for name, kind, lo, hi, until, resume, merged_to, fetched, started, resumed in rows:
        return Slice(
            connection=connection,
            name=name,
            kind=kind,
            lo=moment(lo),
            hi=moment(hi),
            until=moment(until),
            resume=json.loads(resume) if resume else None,
            merged_to=merged_to,
            fetched=fetched,
            started_at=moment(started) or datetime.now(UTC),
            resumed=resumed,
        )
    return None


def keep_slice(db: Database, piece: Slice) -> None:
    """Write down how far a slice came."""
    db.run("DELETE FROM store.slices WHERE connection = ?", [piece.connection])
    resume = json.dumps(piece.resume) if piece.resume is not None else None
    moments = [as_text(piece.lo), as_text(piece.hi), as_text(piece.until)]
    db.run(
        "INSERT INTO store.slices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            *(piece.connection, piece.name, piece.kind, *moments, resume, piece.merged_to, piece.fetched),
            *(as_text(piece.started_at), piece.resumed),
        ],
    )
    pieces.tell_open(db, piece.connection)


def drop_slice(db: Database, connection: str) -> None:
    """A slice ended, or was given up: no page is left that could be older than what a push read."""
    db.run("DELETE FROM store.slices WHERE connection = ?", [connection])
    db.run("DELETE FROM store.read_back WHERE connection = ?", [connection])
    pieces.tell_open(db, connection)


def describe(db: Database, connections: Mapping[str, tuple[str, str | None, bool]]) -> None:
    """Take over labels (JSON), currency and enabled from config.yaml; a name that is not there is retired.

    One statement, however many connections there are; none where nothing is different.
    """
    names = list(connections)
    values = {
        "names": names,
        "labels": [connections[name][0] for name in names],
        "currencies": [connections[name][1] for name in names],
        "states": ["active" if connections[name][2] else "disabled" for name in names],
    }
    db.run(
        "UPDATE connections SET labels = d.labels, currency = d.currency, state = d.state FROM ("
        "SELECT c.connection, coalesce(f.labels::JSON, c.labels) AS labels, "
        "CASE WHEN f.name IS NULL THEN c.currency ELSE f.currency END AS currency, "
        "coalesce(f.state, 'retired') AS state FROM connections c LEFT JOIN (SELECT unnest($names::VARCHAR[]) AS name, "
        "unnest($labels::VARCHAR[]) AS labels, unnest($currencies::VARCHAR[]) AS currency, "
        "unnest($states::VARCHAR[]) AS state) f ON f.name = c.connection) d "
        "WHERE d.connection = connections.connection AND (d.labels, d.currency, d.state) IS DISTINCT FROM "
        "(connections.labels, connections.currency, connections.state)",
        values,
    )


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One line of sync_runs."""

    run_id: str
    command: str
    connection: str
    resource: str
    status: str
    started_at: datetime
    finished_at: datetime
    counts: Counts
    requests: int
    error_kind: str | None
    error_message: str | None


def record_runs(db: Database, rows: Iterable[RunRow]) -> None:
    """Write run history; a line that is there already (an earlier commit of the same run) is replaced."""
    for row in rows:
        db.run(
            "DELETE FROM sync_runs WHERE run_id = ? AND connection = ? AND resource = ?",
            [row.run_id, row.connection, row.resource],
        )
        counts = row.counts
        db.fill(
            "sync_runs",
            [
                (
                    *(row.run_id, row.command, row.connection, row.resource, row.status),
                    *(as_text(row.started_at), as_text(row.finished_at)),
                    *(counts.fetched, counts.new, counts.changed, counts.unchanged, counts.deleted, counts.problems),
                    *(row.requests, row.error_kind, row.error_message),
                )
            ],
        )


def record_refusal(
    db: Database, run_id: str, command: str, connection: str, now: datetime, error: OnepipeError
) -> None:
    """Write down that a connection could not even begin: a run that failed, and since when it fails."""
    row = RunRow(
        run_id=run_id,
        command=command,
        connection=connection,
        resource="opportunity",
        status="failed",
        started_at=now,
        finished_at=now,
        counts=Counts(),
        requests=0,
        error_kind=error.kind,
        error_message=error.message,
    )
    record_runs(db, [row])
    db.run(
        "UPDATE coverage SET oldest_failure_at = coalesce(oldest_failure_at, ?::TIMESTAMPTZ) "
        "WHERE connection = ? AND resource = 'opportunity'",
        [as_text(now), connection],
    )


def mapping(db: Database, connection: str) -> tuple[str, str] | None:
    """Version and text of the mapping that reads a connection; None before its first run."""
    rows = db.run("SELECT version, text FROM store.mappings WHERE connection = ?", [connection])
    return rows[0] if rows else None


def keep_mapping(db: Database, connection: str, version: str, text: str, now: datetime) -> None:
    """Note which mapping reads a connection from now on."""
    db.run("DELETE FROM store.mappings WHERE connection = ?", [connection])
    db.run("INSERT INTO store.mappings VALUES (?, ?, ?, ?)", [connection, version, text, as_text(now)])


def note_reread(db: Database, connection: str, now: datetime) -> None:
    """Note that rows of a connection were read again without anything new: exports of what changed hold all of it."""
    db.run("UPDATE store.mappings SET applied_at = ? WHERE connection = ?", [as_text(now), connection])


def fence(db: Database, lease: str, number: int) -> None:
    """Let only the newest holder of a lease commit: a paused one that wakes after its lease went to another cannot.

    Raises LeaseHeld.
    """
    newest = db.one("SELECT max(number) FROM store.fences WHERE lease = ?", [lease])
    if newest is not None and newest > number:
        raise LeaseHeld(f"{lease} was taken over by another process meanwhile; nothing of this commit was kept")
    if newest != number:
        db.run("DELETE FROM store.fences WHERE lease = ?", [lease])
        db.run("INSERT INTO store.fences VALUES (?, ?)", [lease, number])


def distrust(db: Database, connection: str, fact: str, now: datetime) -> None:
    """Stop believing a declared fact of this account; what is not believed already stays as it is."""
    db.run(
        "INSERT INTO store.distrust SELECT $connection, $fact, $now WHERE NOT EXISTS "
        "(SELECT 1 FROM store.distrust WHERE connection = $connection AND fact = $fact)",
        {"connection": connection, "fact": fact, "now": as_text(now)},
    )


def distrusted_before(db: Database, connection: str, facts: list[str], before: datetime) -> list[str]:
    """Those of the facts that are not believed since an instant before `before`."""
    rows = db.run(
        "SELECT DISTINCT fact FROM store.distrust WHERE connection = $connection "
        "AND list_contains($facts::VARCHAR[], fact) AND since < $before::TIMESTAMPTZ",
        {"connection": connection, "facts": facts, "before": as_text(before)},
    )
    return [fact for (fact,) in rows]


def trust(db: Database, connection: str, fact: str) -> None:
    """Believe a declared fact of this account again."""
    db.run("DELETE FROM store.distrust WHERE connection = ? AND fact = ?", [connection, fact])

"""What arrived, held against what is stored. Everything here runs inside the caller's transaction.

spool segments -> arrivals -> changed -> store.raw -> versions (see versions.py)
"""

from collections.abc import Sequence
from datetime import datetime

import onepipe.warehouse.staged as staged
import onepipe.warehouse.unreadable as unreadable
from onepipe.report import Counts
from onepipe.spool import Segment
from onepipe.warehouse.arrivals import append_raw, from_segments, newest
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text
from onepipe.warehouse.versions import Payloads, Reading, become_versions


def land(db: Database, reading: Reading, run_id: str, segments: Sequence[Segment]) -> Counts:
    """Merge segments of opportunities; rows whose content is as stored write nothing."""
    fetched = from_segments(db, reading, segments)
    differing(db, reading)
    problems, unkept = unreadable.note(db, reading.connection, run_id, segments)
    counts = Counts(fetched=fetched, problems=problems, unkept=unkept)
    if not db.one("SELECT count(*) FROM changed"):
        return counts
    append_raw(db, reading, run_id, "opportunity", source="changed JOIN arrivals USING (place)")
    counts.new = db.one("SELECT count(*) FROM changed WHERE current_row IS NULL")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE current_row IS NOT NULL")
    exact = any(segment.meta.long_numbers for segment in segments)
    counts.problems += become_versions(db, reading, run_id, Payloads("arrivals", "place", exact))
    owe_details(db, reading)
    return counts


def differing(db: Database, reading: Reading, origin: str = "source") -> None:
    """`changed`: of `arrivals`, what is not as stored. A page fetched before a push read the record says nothing."""
    db.run(
        """CREATE OR REPLACE TEMP TABLE changed AS SELECT *, seq AS payload_seq FROM (
        SELECT a.source_id, a.place, a.payload_hash, a.weight, a.fetched_at, 'record' AS kind, $origin AS origin,
               NULL::TIMESTAMPTZ AS deleted_at, false AS completes, c.row AS current_row,
               $newest + row_number() OVER (ORDER BY a.place) AS seq
        FROM arrivals a
        LEFT JOIN (SELECT rowid AS row, source_id, payload_hash, is_deleted FROM store.current
                   WHERE connection = $connection) c USING (source_id)
        LEFT JOIN (SELECT source_id, read_at FROM store.read_back WHERE connection = $connection) b USING (source_id)
        WHERE (c.row IS NULL OR c.payload_hash IS DISTINCT FROM a.payload_hash OR c.is_deleted)
          AND ($origin = 'push' OR b.read_at IS NULL OR a.fetched_at >= b.read_at))""",
        {"connection": reading.connection, "newest": newest(db), "origin": origin},
    )
    _drop_permuted(db, reading)


def land_reference(db: Database, reading: Reading, run_id: str, resource: str, segments: Sequence[Segment]) -> Counts:
    """Merge one reference list; when it changed what a deal reads as, the deals concerned get a new version."""
    counts = Counts(fetched=from_segments(db, reading, segments))
    values = {"connection": reading.connection, "resource": resource}
    db.run(
        """CREATE OR REPLACE TEMP TABLE listed AS
        SELECT a.*, 'record' AS kind, r.payload_hash AS hash_before, r.place AS position_before
        FROM (SELECT * EXCLUDE (kind), row_number() OVER (ORDER BY place) AS position FROM arrivals) a
        LEFT JOIN (SELECT * FROM store.reference WHERE connection = $connection AND resource = $resource) r
               ON r.record_id = a.source_id""",
        values,
    )
    db.run(
        "CREATE OR REPLACE TEMP TABLE changed AS SELECT *, $newest + row_number() OVER (ORDER BY place) AS seq "
        "FROM listed WHERE hash_before IS DISTINCT FROM payload_hash",
        {"newest": newest(db)},
    )
    counts.new = db.one("SELECT count(*) FROM changed WHERE hash_before IS NULL")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE hash_before IS NOT NULL")
    db.run(  # what left the list has no place in it
        "UPDATE store.reference SET place = NULL WHERE connection = $connection AND resource = $resource "
        "AND record_id NOT IN (SELECT source_id FROM listed)",
        values,
    )
    if not db.one("SELECT count(*) FROM listed WHERE position IS DISTINCT FROM position_before") and not counts.changed:
        return counts
    append_raw(db, reading, run_id, resource)
    db.run(
        "DELETE FROM store.reference WHERE connection = $connection AND resource = $resource "
        "AND record_id IN (SELECT source_id FROM listed)",
        values,
    )
    db.run(
        "INSERT INTO store.reference SELECT $connection, $resource, source_id, payload_hash, position FROM listed",
        values,
    )
    if reading.rules and reading.rules.resource == resource:
        staged.take_list(db, reading.rules)
    told = (
        "SELECT source_id, (SELECT max(fetched_at) FROM listed) AS observed_at, false AS completes, 'record' AS kind, "
        "NULL AS deleted_at, (SELECT max(seq) FROM store.raw) AS seq FROM store.current WHERE connection = $connection"
    )
    existing(db, reading.connection, told)
    if db.one("SELECT count(*) FROM changed"):  # planning the mapping's SELECT costs 50 ms, also for no row
        become_versions(db, reading, run_id, only_if_different=True)
    return counts


def land_details(db: Database, reading: Reading, run_id: str, detail: str, segments: Sequence[Segment]) -> Counts:
    """Merge sub-requests of one kind; a detail that was owed completes its version, any other change makes one."""
    counts = Counts(fetched=from_segments(db, reading, segments))
    values = {"connection": reading.connection, "detail": detail}
    db.run(
        """CREATE OR REPLACE TEMP TABLE changed AS
        SELECT a.source_id, a.payload, a.payload_hash, a.fetched_at, 'record' AS kind,
               d.payload_hash IS NULL AS is_new, coalesce(b.completes, false) AS owed,
               $newest + row_number() OVER (ORDER BY a.place) AS seq
        FROM arrivals a
        LEFT JOIN (SELECT source_id, payload_hash FROM store.details
                   WHERE connection = $connection AND detail = $detail) d USING (source_id)
        LEFT JOIN (SELECT source_id, completes FROM store.debts WHERE connection = $connection AND detail = $detail) b
               USING (source_id)
        WHERE d.payload_hash IS DISTINCT FROM a.payload_hash""",
        values | {"newest": newest(db)},
    )
    counts.new = db.one("SELECT count(*) FROM changed WHERE is_new")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE NOT is_new")
    if counts.new or counts.changed:
        append_raw(db, reading, run_id, detail, owed="owed")
        db.run(
            "DELETE FROM store.details WHERE connection = $connection AND detail = $detail "
            "AND source_id IN (SELECT source_id FROM changed)",
            values,
        )
        db.run(
            "INSERT INTO store.details "
            "SELECT $connection, $detail, source_id, payload, payload_hash, fetched_at FROM changed",
            values,
        )
        db.run(
            "CREATE OR REPLACE TEMP TABLE told AS "
            "SELECT source_id, fetched_at AS observed_at, owed AS completes, seq FROM changed"
        )
        existing(db, reading.connection, "SELECT *, 'record' AS kind, NULL AS deleted_at FROM told")
        counts.problems = become_versions(db, reading, run_id, only_if_different=True)
    db.run(
        "UPDATE store.details SET read_at = a.fetched_at FROM arrivals a "
        "WHERE connection = $connection AND detail = $detail AND details.source_id = a.source_id",
        values,
    )
    db.run(
        "DELETE FROM store.debts WHERE connection = $connection AND detail = $detail "
        "AND source_id IN (SELECT source_id FROM arrivals)",
        values,
    )
    return counts


def land_deletions(
    db: Database,
    reading: Reading,
    run_id: str,
    gone: Sequence[tuple[str, str, datetime | None, datetime]],
    origin: str = "pull",
    latest: datetime | None = None,
) -> Counts:
    """Mark records as deleted: (source_id, evidence, deleted_at where known, observed at). Unknown ids are ignored.

    `latest` is the present by the CRM's clock: a stamp beyond it says nothing of when a record was last alive.
    """
    counts = Counts()
    if not gone:
        return counts
    db.run(
        "CREATE OR REPLACE TEMP TABLE told "
        "(source_id VARCHAR, kind VARCHAR, deleted_at TIMESTAMPTZ, observed_at TIMESTAMPTZ)"
    )
    db.fill("told", [(key, kind, as_text(deleted), as_text(at)) for key, kind, deleted, at in gone])
    existing(
        db,
        reading.connection,
        "SELECT source_id, any_value(observed_at) AS observed_at, false AS completes, any_value(kind) AS kind, "
        "coalesce(min(deleted_at), any_value(observed_at)) AS deleted_at, "
        "$newest + row_number() OVER (ORDER BY source_id) AS seq FROM told "
        "WHERE source_id NOT IN (SELECT source_id FROM store.current WHERE connection = $connection AND is_deleted) "
        "GROUP BY source_id",
    )
    # A tombstone older than what we hold is of a record that was created again since.
    db.run(
        "DELETE FROM changed WHERE current_row IN "
        "(SELECT rowid FROM store.current WHERE updated_at > changed.deleted_at "
        "AND coalesce(updated_at <= $latest::TIMESTAMPTZ, true) AND changed.kind = 'tombstone')",
        {"latest": as_text(latest)},
    )
    counts.deleted = db.one("SELECT count(*) FROM changed")
    if counts.deleted:
        append_raw(db, reading, run_id, "opportunity", payload="NULL", origin=origin)
        become_versions(db, reading, run_id)
        db.run(
            "DELETE FROM store.debts WHERE connection = ? AND source_id IN (SELECT source_id FROM changed)",
            [reading.connection],
        )
    return counts


def existing(db: Database, connection: str, told: str, origin: str = "source") -> None:
    """`changed` from stored payloads, for the ids that `told` answers.

    Its columns: source_id, observed_at, completes, kind, deleted_at, seq.
    """
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE changed AS
        SELECT source_id, r.payload, c.payload_hash, t.observed_at AS fetched_at, t.kind, $origin AS origin,
               t.deleted_at::TIMESTAMPTZ AS deleted_at, t.completes, c.weight, t.seq, c.payload_seq,
               c.row AS current_row
        FROM ({told}) t
        JOIN (SELECT rowid AS row, source_id, payload_hash, payload_seq, weight, is_deleted FROM store.current
              WHERE connection = $connection) c USING (source_id)
        JOIN store.raw r ON r.seq = c.payload_seq
        WHERE NOT c.is_deleted""",
        {"connection": connection, "origin": origin} | ({"newest": newest(db)} if "$newest" in told else {}),
    )


def _drop_permuted(db: Database, reading: Reading) -> None:
    """Take out of `changed` what differs from the stored payload in the order of keys only: that is no change.

    Only payloads of one weight are compared, so that a change costs no look at the payload before it; where fields
    drift by themselves the weight says nothing, and all are compared.
    """
    candidates = "changed x JOIN store.current c ON c.rowid = x.current_row AND NOT c.is_deleted"
    if not reading.drifting:
        candidates += " AND c.weight = x.weight"
    if not db.one(f"SELECT count(*) FROM {candidates}"):
        return
    pairs = db.run(
        f"SELECT x.place, a.payload, r.payload FROM {candidates} JOIN arrivals a ON a.place = x.place "
        "JOIN store.raw r ON r.seq = c.payload_seq"
    )
    same = [(place,) for place, now, before in pairs if reading.same(now.encode(), before.encode())]
    db.run("CREATE OR REPLACE TEMP TABLE permuted (place BIGINT)")
    db.fill("permuted", same)
    db.run("DELETE FROM changed WHERE place IN (SELECT place FROM permuted)")


def owe_details(db: Database, reading: Reading) -> None:
    """What changed owes all its details anew."""
    for detail in reading.details:
        values = {"connection": reading.connection, "detail": detail}
        db.run(
            "DELETE FROM store.debts WHERE connection = $connection AND detail = $detail "
            "AND source_id IN (SELECT source_id FROM changed)",
            values,
        )
        db.run("INSERT INTO store.debts SELECT $connection, $detail, source_id, fetched_at, true FROM changed", values)

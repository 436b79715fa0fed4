"""What arrived, held against what is stored. Everything here runs inside the caller's transaction.

spool segments -> arrivals -> changed -> store.raw -> versions (see versions.py)
"""

from collections.abc import Sequence
from datetime import datetime

import onepipe.warehouse.unreadable as unreadable
from onepipe.report import Counts
from onepipe.spool import Segment
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import literal
from onepipe.warehouse.versions import Payloads, Reading, become_versions, keep_stages


def land(db: Database, reading: Reading, run_id: str, segments: Sequence[Segment]) -> Counts:
    """Merge segments of opportunities; rows whose content is as stored write nothing."""
    fetched = _arrive(db, reading, segments)
    db.run(
        """CREATE OR REPLACE TEMP TABLE changed AS SELECT *, seq AS payload_seq FROM (
        SELECT a.source_id, a.place, a.payload_hash, a.weight, a.fetched_at, 'record' AS kind, 'source' AS origin,
               NULL::TIMESTAMPTZ AS deleted_at, false AS completes, c.row AS current_row,
               $newest + row_number() OVER (ORDER BY a.place) AS seq
        FROM arrivals a
        LEFT JOIN (SELECT rowid AS row, source_id, payload_hash, is_deleted FROM store.current
                   WHERE connection = $connection) c USING (source_id)
        WHERE c.row IS NULL OR c.payload_hash IS DISTINCT FROM a.payload_hash OR c.is_deleted)""",
        {"connection": reading.connection, "newest": _newest(db)},
    )
    _drop_permuted(db, reading)
    problems, unkept = unreadable.note(db, reading.connection, run_id, segments)
    counts = Counts(fetched=fetched, problems=problems, unkept=unkept)
    if not db.one("SELECT count(*) FROM changed"):
        return counts
    _append_raw(db, reading, run_id, "opportunity", source="changed JOIN arrivals USING (place)")
    counts.new = db.one("SELECT count(*) FROM changed WHERE current_row IS NULL")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE current_row IS NOT NULL")
    exact = any(segment.meta.long_numbers for segment in segments)
    counts.problems += become_versions(db, reading, run_id, Payloads("arrivals", "place", exact))
    _owe_details(db, reading)
    return counts


def land_reference(db: Database, reading: Reading, run_id: str, resource: str, segments: Sequence[Segment]) -> Counts:
    """Merge one reference list; when it changed what a deal reads as, the deals concerned get a new version."""
    counts = Counts(fetched=_arrive(db, reading, segments))
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
        {"newest": _newest(db)},
    )
    counts.new = db.one("SELECT count(*) FROM changed WHERE hash_before IS NULL")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE hash_before IS NOT NULL")
    if not db.one("SELECT count(*) FROM listed WHERE position IS DISTINCT FROM position_before") and not counts.changed:
        return counts
    _append_raw(db, reading, run_id, resource)
    db.run(
        "DELETE FROM store.reference WHERE connection = $connection AND resource = $resource "
        "AND record_id IN (SELECT source_id FROM listed)",
        values,
    )
    db.run(
        "INSERT INTO store.reference SELECT $connection, $resource, source_id, payload_hash, position FROM listed",
        values,
    )
    db.run("CREATE OR REPLACE TEMP VIEW source AS SELECT source_id, payload FROM listed ORDER BY position")
    keep_stages(db, reading, resource)
    told = (
        "SELECT source_id, (SELECT max(fetched_at) FROM listed) AS observed_at, false AS completes, 'record' AS kind, "
        "NULL AS deleted_at, (SELECT max(seq) FROM store.raw) AS seq FROM store.current WHERE connection = $connection"
    )
    _exists(db, reading.connection, told)
    if db.one("SELECT count(*) FROM changed"):  # planning the mapping's SELECT costs 50 ms, also for no row
        become_versions(db, reading, run_id, only_if_different=True)
    return counts


def land_details(db: Database, reading: Reading, run_id: str, detail: str, segments: Sequence[Segment]) -> Counts:
    """Merge sub-requests of one kind; a detail that was owed completes its version, any other change makes one."""
    counts = Counts(fetched=_arrive(db, reading, segments))
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
        values | {"newest": _newest(db)},
    )
    counts.new = db.one("SELECT count(*) FROM changed WHERE is_new")
    counts.changed = db.one("SELECT count(*) FROM changed WHERE NOT is_new")
    if counts.new or counts.changed:
        _append_raw(db, reading, run_id, detail, owed="owed")
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
        _exists(db, reading.connection, "SELECT *, 'record' AS kind, NULL AS deleted_at FROM told")
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
    db: Database, reading: Reading, run_id: str, gone: Sequence[tuple[str, str, datetime | None, datetime]]
) -> Counts:
    """Mark records as deleted: (source_id, evidence, deleted_at where known, observed at). Unknown ids are ignored."""
    counts = Counts()
    if not gone:
        return counts
    db.run(
        "CREATE OR REPLACE TEMP TABLE told "
        "(source_id VARCHAR, kind VARCHAR, deleted_at TIMESTAMPTZ, observed_at TIMESTAMPTZ)"
    )
    db.fill("told", [(key, kind, _text(deleted), _text(at)) for key, kind, deleted, at in gone])
    _exists(
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
        "AND changed.kind = 'tombstone')"
    )
    counts.deleted = db.one("SELECT count(*) FROM changed")
    if counts.deleted:
        _append_raw(db, reading, run_id, "opportunity", payload="NULL")
        become_versions(db, reading, run_id)
        db.run(
            "DELETE FROM store.debts WHERE connection = ? AND source_id IN (SELECT source_id FROM changed)",
            [reading.connection],
        )
    return counts


def _arrive(db: Database, reading: Reading, segments: Sequence[Segment]) -> int:
    """Read segments into `arrivals`, the newest of each id; how many rows there were."""
    longest = max((segment.meta.longest for segment in segments), default=0)
    files = [str(segment.path) for segment in segments if segment.meta.rows]
    hashed = "payload"
    if reading.drifting:
        nothing = ", ".join(f'"{name}": null' for name in reading.drifting)
        # The patch passes numbers through a double; what that could round away is put back behind it.
        long = "CASE WHEN regexp_matches(payload, '[0-9.]{17}') THEN regexp_extract_all(payload, '[0-9.]{17,}') END"
        hashed = f"concat(json_merge_patch(payload, {literal('{' + nothing + '}')})::VARCHAR, ({long})::VARCHAR)"
    rows = (
        f"SELECT place, source_id, fetched_at, kind, stamp, weight, payload, md5({hashed}) AS payload_hash "
        f"FROM read_csv({_listed(files)}, delim = chr(31), quote = '', escape = '', header = false, "
        "auto_detect = false, null_padding = false, columns = {'place': 'BIGINT', 'source_id': 'VARCHAR', "
        "'fetched_at': 'TIMESTAMPTZ', 'kind': 'VARCHAR', 'stamp': 'VARCHAR', 'weight': 'BIGINT', "
        "'payload': 'VARCHAR'}, "
        f"max_line_size = {max(longest + 1, 100_000)}, buffer_size = {max(16 * longest, 4_000_000)})"
    )
    if not files:
        rows = (
            "SELECT 0::BIGINT AS place, '' AS source_id, now() AS fetched_at, '' AS kind, '' AS stamp, "
            "0::BIGINT AS weight, '' AS payload, '' AS payload_hash WHERE false"
        )
    db.run(f"CREATE OR REPLACE TEMP TABLE arrivals AS {rows}")
    fetched, distinct = db.run("SELECT count(*), count(DISTINCT source_id) FROM arrivals")[0]
    if fetched != distinct:
        db.run(
            "CREATE OR REPLACE TEMP TABLE arrivals AS SELECT * FROM arrivals QUALIFY row_number() OVER "
            "(PARTITION BY source_id ORDER BY try_cast(stamp AS TIMESTAMPTZ) DESC NULLS LAST, place DESC) = 1"
        )
    return int(fetched)


def _exists(db: Database, connection: str, told: str) -> None:
    """`changed` from stored payloads, for the ids that `told` answers.

    Its columns: source_id, observed_at, completes, kind, deleted_at, seq.
    """
    db.run(
        f"""CREATE OR REPLACE TEMP TABLE changed AS
        SELECT source_id, r.payload, c.payload_hash, t.observed_at AS fetched_at, t.kind, 'source' AS origin,
               t.deleted_at::TIMESTAMPTZ AS deleted_at, t.completes, c.weight, t.seq, c.payload_seq,
               c.row AS current_row
        FROM ({told}) t
        JOIN (SELECT rowid AS row, source_id, payload_hash, payload_seq, weight, is_deleted FROM store.current
              WHERE connection = $connection) c USING (source_id)
        JOIN store.raw r ON r.seq = c.payload_seq
        WHERE NOT c.is_deleted""",
        {"connection": connection, "newest": _newest(db)} if "$newest" in told else {"connection": connection},
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


def _newest(db: Database) -> int:
    """The seq of the newest raw row; what is appended next counts on from it."""
    return int(db.one("SELECT coalesce(max(seq), 0) FROM store.raw"))


def _append_raw(
    db: Database,
    reading: Reading,
    run_id: str,
    resource: str,
    *,
    owed: str = "false",
    payload: str = "payload",
    source: str = "changed",
) -> None:
    """Append `changed` to store.raw."""
    db.run(
        f"INSERT INTO store.raw SELECT $connection, $resource, changed.source_id, changed.kind, 'pull', {payload}, "
        f"changed.payload_hash, changed.fetched_at, $run_id, seq, {owed} FROM {source} ORDER BY seq",
        {"connection": reading.connection, "resource": resource, "run_id": run_id},
    )


def _owe_details(db: Database, reading: Reading) -> None:
    for detail in reading.details:
        values = {"connection": reading.connection, "detail": detail}
        db.run(
            "DELETE FROM store.debts WHERE connection = $connection AND detail = $detail "
            "AND source_id IN (SELECT source_id FROM changed)",
            values,
        )
        db.run("INSERT INTO store.debts SELECT $connection, $detail, source_id, fetched_at, true FROM changed", values)


def _listed(files: list[str]) -> str:
    return "[" + ", ".join(literal(file) for file in files) + "]"


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

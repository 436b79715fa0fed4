"""What arrived, as a relation: `arrivals`, from spool segments or from single reads; and how raw rows are appended.

Its columns: place, source_id, fetched_at, kind, stamp, weight, payload, payload_hash.
"""

from collections.abc import Sequence

from onepipe.decode.content import weight
from onepipe.records import Stored
from onepipe.spool import Segment
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text
from onepipe.warehouse.schema import literal
from onepipe.warehouse.versions import Reading


def from_segments(db: Database, reading: Reading, segments: Sequence[Segment]) -> int:
    """Read segments into `arrivals`, the newest of each id; how many rows there were."""
    longest = max((segment.meta.longest for segment in segments), default=0)
    files = [str(segment.path) for segment in segments if segment.meta.rows]
    rows = (
        f"SELECT place, source_id, fetched_at, kind, stamp, weight, payload, {hashed(reading)} AS payload_hash "
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


def from_reads(db: Database, reading: Reading, records: Sequence[Stored]) -> None:
    """Put single reads into `arrivals`, no two of one record, and what their sub-requests answered into `answers`."""
    db.run(
        "CREATE OR REPLACE TEMP TABLE arrivals AS SELECT place, source_id, fetched_at::TIMESTAMPTZ AS fetched_at, "
        f"'record' AS kind, '' AS stamp, weight, payload, {hashed(reading)} AS payload_hash FROM ("
        "SELECT unnest(range(1, $rows + 1)) AS place, unnest($ids::VARCHAR[]) AS source_id, "
        "unnest($read::VARCHAR[]) AS fetched_at, unnest($weights::BIGINT[]) AS weight, "
        "unnest($payloads::VARCHAR[]) AS payload)",
        {
            "rows": len(records),
            "ids": [one.source_id for one in records],
            "read": [as_text(one.read_at) for one in records],
            "weights": [weight(one.payload.encode()) for one in records],
            "payloads": [one.payload for one in records],
        },
    )
    told = [
        (one.source_id, name, one.details[name]) for one in records for name in reading.details if name in one.details
    ]
    db.run(
        f"CREATE OR REPLACE TEMP TABLE answers AS SELECT *, {hashed(reading)} AS payload_hash FROM ("
        "SELECT unnest($ids::VARCHAR[]) AS source_id, unnest($names::VARCHAR[]) AS detail, "
        "unnest($payloads::VARCHAR[]) AS payload)",
        {key: [one[n] for one in told] for n, key in enumerate(("ids", "names", "payloads"))},
    )


def hashed(reading: Reading) -> str:
    """SQL for the hash of `payload`: MD5 without the fields that drift by themselves, which a list does not have."""
    if not reading.drifting:
        return "md5(payload)"
    nothing = ", ".join(f'"{name}": null' for name in reading.drifting)
    # The patch passes numbers through a double; what that could round away is put back behind it.
    long = "CASE WHEN regexp_matches(payload, '[0-9.]{17}') THEN regexp_extract_all(payload, '[0-9.]{17,}') END"
    still = f"concat(json_merge_patch(payload, {literal('{' + nothing + '}')})::VARCHAR, ({long})::VARCHAR)"
    return f"md5(CASE WHEN payload LIKE '[%' THEN payload ELSE {still} END)"  # of a list the patch would leave nothing


def newest(db: Database) -> int:
    """The seq of the newest raw row; what is appended next counts on from it."""
    return int(db.one("SELECT coalesce(max(seq), 0) FROM store.raw"))


def append_raw(
    db: Database,
    reading: Reading,
    run_id: str,
    resource: str,
    *,
    owed: str = "false",
    payload: str = "payload",
    source: str = "changed",
    origin: str = "pull",
) -> None:
    """Append `changed` to store.raw."""
    db.run(
        f"INSERT INTO store.raw SELECT $connection, $resource, changed.source_id, changed.kind, $origin, {payload}, "
        f"changed.payload_hash, changed.fetched_at, $run_id, seq, {owed} FROM {source} ORDER BY seq",
        {"connection": reading.connection, "resource": resource, "run_id": run_id, "origin": origin},
    )


def _listed(files: list[str]) -> str:
    return "[" + ", ".join(literal(file) for file in files) + "]"

"""What of raw nothing rests on, and may be dropped: answers of sub-requests that were superseded within a version.

A version is read from its own payload and from the newest answer of each sub-request that came before it ended
(`rebuild`); stages are read from reference lists and from deals. All of these stay, however old they are, so that a
mapping reads the same versions before and after. What is left are answers that made no version: each was replaced by
another one before any version ended, and no mapping of the future can ask for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class Spare:
    """Of one kind of answer (`resource`): how many rows there are, how many nothing rests on, and their payloads."""

    connection: str
    resource: str
    rows: int
    spare: int
    bytes: int


def find(db: Database, versions: int, before: datetime | None) -> list[Spare]:
    """What may go: of each record's answers all but the newest `versions`, fetched before `before`, that are spare.

    `spare` holds their rows. Kinds of which nothing may go are told as well.
    """
    db.run(_SPARE, {"versions": max(versions, 1), "before": as_text(before), "forever": FOREVER})
    rows = db.run(
        f"SELECT connection, resource, count(*), count(s.seq), coalesce(sum(strlen(payload)) FILTER (s.seq IS NOT NULL)"
        f", 0)::BIGINT FROM (SELECT * FROM store.raw WHERE {_ANSWERS}) LEFT JOIN spare s USING (seq) "
        "GROUP BY ALL ORDER BY ALL"
    )
    return [Spare(*row) for row in rows]


def drop(db: Database, found: Sequence[Spare]) -> int:
    """Drop what `find` found, in the caller's transaction; how many rows."""
    db.run("DELETE FROM store.raw WHERE seq IN (SELECT seq FROM spare)")
    return sum(one.spare for one in found)


_ANSWERS = (
    "kind = 'record' AND resource <> 'opportunity' "
    "AND (connection, resource) NOT IN (SELECT (connection, resource) FROM store.reference)"
)
# An answer is what a version is read with if the version ended after it, and not after the one that followed.
_SPARE = f"""CREATE OR REPLACE TEMP TABLE spare AS
    WITH versions AS (SELECT connection, source_id, version, is_deleted, seq, payload_seq FROM store.closed UNION ALL
                      SELECT connection, source_id, version, is_deleted, seq, payload_seq FROM store.current),
    lives AS (SELECT connection, source_id AS record_id, CASE WHEN is_deleted THEN seq + 1 ELSE lead(seq, 1, $forever)
                     OVER (PARTITION BY connection, source_id ORDER BY version) END AS until FROM versions),
    answers AS (SELECT connection, record_id, seq, fetched_at, lead(seq) OVER record AS following,
                       count(*) OVER record_back AS nth
                FROM store.raw WHERE {_ANSWERS}
                WINDOW record AS (PARTITION BY connection, resource, record_id ORDER BY seq),
                       record_back AS (PARTITION BY connection, resource, record_id ORDER BY seq DESC))
    SELECT a.seq FROM answers a
    WHERE nth > $versions AND following IS NOT NULL AND coalesce(fetched_at < $before::TIMESTAMPTZ, true)
      AND seq NOT IN (SELECT seq FROM versions UNION SELECT payload_seq FROM versions WHERE payload_seq IS NOT NULL)
      AND seq NOT IN (SELECT seq FROM store.pushed WHERE seq IS NOT NULL)
      AND NOT EXISTS (SELECT 1 FROM lives l WHERE l.connection = a.connection AND l.record_id = a.record_id
                      AND l.until > a.seq AND l.until <= a.following)"""

"""The values that could not be read, counted for people; and reading the deals that hold them once more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import onepipe.warehouse.comparison as comparison
from onepipe.warehouse.database import Database
from onepipe.warehouse.rebuild import replace, reread
from onepipe.warehouse.versions import Reading

SAMPLES = 3
SINGLE = ("connection", "source_id", "field", "value", "reason", "version", "run_id")
_MET = "SELECT DISTINCT source_id, payload_hash, field"
# line_items[2].price and line_items[7].price are one field of a mapping. What has no id is of no version: it is now.
_SEEN = """
    SELECT p.connection, p.source_id, p.field AS place, regexp_replace(p.field, '\\[[0-9]+\\]', '[]', 'g') AS field,
           p.value, p.reason, p.run_id, p.source_id IS NULL OR c.source_id IS NOT NULL AS current
    FROM problems p LEFT JOIN store.current c ON c.connection = p.connection AND c.source_id = p.source_id
        AND c.payload_hash = p.payload_hash AND NOT c.is_deleted
    WHERE list_contains($names, p.connection) AND ($field IS NULL OR lower($field) IN (lower(p.field), lower(
        regexp_replace(p.field, '\\[[0-9]+\\]', '[]', 'g'))))"""


@dataclass(frozen=True, slots=True)
class Unread:
    """Values of one field that could not be read for one reason.

    `values` and `deals` are of live deals as they are now, `older` values of versions before and of deleted deals.
    """

    connection: str
    field: str
    reason: str
    values: int
    older: int
    deals: tuple[str, ...]
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What reading again came to: values that were problems and are read, new problems, and those that are left."""

    mended: int
    lost: int
    left: int


def groups(db: Database, names: Sequence[str], field: str | None = None) -> list[Unread]:
    """The problems of some connections, by connection, field and reason, those of most current values first."""
    rows = db.run(
        f"""SELECT connection, field, reason, sum(now)::BIGINT, sum(older)::BIGINT,
               list_sort(list_distinct(flatten(list(ids)))),
               list(value ORDER BY now DESC, older DESC, value)[:{SAMPLES}]
        FROM (SELECT connection, field, reason, value, count(*) FILTER (current) AS now,
                     count(*) FILTER (NOT current) AS older,
                     coalesce(list(DISTINCT source_id) FILTER (current AND source_id IS NOT NULL), []) AS ids
              FROM ({_SEEN}) GROUP BY ALL)
        GROUP BY ALL ORDER BY connection, sum(now) DESC, sum(older) DESC, field, reason""",
        {"names": list(names), "field": field},
    )
    return [
        Unread(connection, one, reason, now, older, tuple(ids), tuple(value or "" for value in values))
        for connection, one, reason, now, older, ids, values in rows
    ]


def single(db: Database, names: Sequence[str], field: str | None, older: bool) -> Iterator[tuple[str | None, ...]]:
    """Every problem by itself, in the order of SINGLE; `version` is current or older."""
    yield from db.run(
        f"""SELECT connection, source_id, place, value, reason,
                   CASE WHEN current THEN 'current' ELSE 'older' END, run_id
        FROM ({_SEEN}) WHERE current OR $older ORDER BY ALL""",
        {"names": list(names), "field": field, "older": older},
    )


def count(db: Database, connection: str) -> int:
    """How many problems of a connection belong to records that can be read again."""
    told = "SELECT count(*) FROM problems WHERE connection = ? AND source_id IS NOT NULL"
    return int(db.one(told, [connection]))


def read_again(db: Database, reading: Reading) -> Outcome:
    """Read the deals that have problems again, all their versions; every other row stays as it is.

    Within a transaction of the caller's; where all comes out as it was, nothing was put in place.
    """
    own = {"connection": reading.connection}
    db.run(
        "CREATE OR REPLACE TEMP TABLE had AS "
        f"{_MET} FROM problems WHERE connection = $connection AND source_id IS NOT NULL",
        own,
    )
    reread(db, reading, only="SELECT source_id FROM had")
    mended = int(db.one(f"SELECT count(*) FROM (FROM had EXCEPT {_MET} FROM unread)"))
    lost = int(db.one(f"SELECT count(*) FROM ({_MET} FROM unread EXCEPT FROM had)"))
    if mended or lost or comparison.changes(db):
        replace(db, reading)
    return Outcome(mended, lost, count(db, reading.connection))

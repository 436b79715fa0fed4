"""Rows that were not seen when their own time of change was read: written down, so that an overlap can be proposed.

late    the CRM states a time that we had taken for read: the row became visible afterwards
silent  the content changed and the stated time did not move; only complete reads find such a row
future  the stated time lies after the present; the row is loaded, and moves no cursor
undated the CRM states no time, though its records have one; only complete reads find such a row
"""

from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment

AHEAD = "INTERVAL 10 MINUTE"  # between clocks that differ, and during a long scan, a row is not from the future

_KIND = f"""CASE WHEN c.updated_at > greatest(x.fetched_at, $hi::TIMESTAMPTZ) + {AHEAD} THEN 'future'
     WHEN c.updated_at IS NULL THEN CASE WHEN $stamped AND b.source_id IS NULL THEN 'undated' END
     WHEN c.updated_at >= $cursor::TIMESTAMPTZ THEN NULL
     WHEN b.updated_at >= c.updated_at THEN 'silent'
     ELSE 'late' END"""


def note(db: Database, connection: str, run_id: str, found_by: str, hi: datetime | None, *, stamped: bool) -> None:
    """Write down which of the versions just made came late; nothing on the first load, where nothing was read before.

    `found_by` is the kind of slice, `hi` the CRM's time when it began; `stamped` says whether its records have a time.
    """
    cursor = covered(db, connection)
    values = {"connection": connection, "run_id": run_id, "found_by": found_by, "stamped": stamped}
    values |= {"cursor": as_text(cursor), "hi": as_text(hi)}
    late = f"SELECT * FROM ({_found()}) WHERE kind IS NOT NULL"
    if cursor is None:
        late += " AND kind = 'future'"
    db.run(f"INSERT INTO late_rows {late}", values)


def covered(db: Database, connection: str) -> datetime | None:
    """Up to where every change was taken for read, before the slice that is under way."""
    sql = f"SELECT {iso('complete_through')} FROM coverage WHERE connection = ? AND resource = 'opportunity'"
    return moment(db.one(sql, [connection]))


def _found() -> str:
    return f"""SELECT $connection, c.source_id, {_KIND} AS kind, c.updated_at, $cursor::TIMESTAMPTZ, x.fetched_at,
       date_diff('second', c.updated_at, CASE WHEN kind = 'future' THEN x.fetched_at ELSE $cursor::TIMESTAMPTZ END),
       $found_by, $run_id
FROM changed x JOIN store.current c ON c.connection = $connection AND c.source_id = x.source_id
LEFT JOIN before b ON b.source_id = x.source_id"""

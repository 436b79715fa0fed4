"""The slices of a backfill by date of last change: which part of the history each is, and which are done.

They tile the time from the first to the last without a gap, and are read one after the other, in the order of their
places. Every function runs inside the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment

_OPEN = """
UPDATE coverage SET open_slices = greatest(
    (SELECT count(*) FROM store.slices WHERE connection = $connection),
    (SELECT CASE WHEN count(*) = 0 THEN 0 ELSE greatest(1, count(*) FILTER (done_at IS NULL)) END
     FROM store.pieces WHERE connection = $connection))
WHERE connection = $connection AND resource = 'opportunity'
"""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One slice: what last changed from `lo` to `until`, None for no bound, instants in UTC.

    `rows` are those the CRM counts in it (None where it does not tell), once it is done those that were read. `hi` is
    the CRM's time when the backfill began, the same in all of them.
    """

    place: int
    lo: datetime | None
    until: datetime | None
    rows: int | None
    hi: datetime | None = None
    began_at: datetime | None = None
    done_at: datetime | None = None


def of(db: Database, connection: str) -> list[Piece]:
    """The slices of a connection's unfinished backfill, in their order; none where there is no such."""
    columns = ", ".join(iso(name) for name in ("lo", "until", "hi", "began_at", "done_at"))
    rows = db.run(f"SELECT place, rows, {columns} FROM store.pieces WHERE connection = ? ORDER BY place", [connection])
    return [
        Piece(
            place=place,
            rows=count,
            lo=moment(lo),
            until=moment(until),
            hi=moment(hi),
            began_at=moment(began),
            done_at=moment(done),
        )
        for place, count, lo, until, hi, began, done in rows
    ]


def keep(db: Database, connection: str, pieces: Sequence[Piece]) -> None:
    """Write a backfill down, in place of one that is given up."""
    db.run("DELETE FROM store.pieces WHERE connection = ?", [connection])
    rows = [
        (
            *(connection, one.place, as_text(one.lo), as_text(one.until), one.rows),
            *(as_text(one.began_at), as_text(one.done_at), as_text(one.hi)),
        )
        for one in pieces
    ]
    db.fill("store.pieces", rows)
    tell_open(db, connection)


def drop(db: Database, connection: str) -> None:
    """A backfill came to its end, was given up, or is out of date because everything was read."""
    keep(db, connection, [])


def ended(db: Database, connection: str, kind: str, rows: int, began_at: datetime, now: datetime) -> None:
    """A scan of this kind was read whole: it was the first slice that is not done, or makes all of them needless."""
    if kind in ("first", "full"):
        db.run("DELETE FROM store.pieces WHERE connection = ?", [connection])
    elif kind == "backfill":
        db.run(
            "UPDATE store.pieces SET rows = $rows, began_at = $began, done_at = $now WHERE connection = $connection "
            "AND place = (SELECT min(place) FROM store.pieces WHERE connection = $connection AND done_at IS NULL)",
            {"connection": connection, "rows": rows, "began": as_text(began_at), "now": as_text(now)},
        )


def tell_open(db: Database, connection: str) -> None:
    """Put the number of slices that are not done into coverage; a backfill that is not settled counts as one."""
    db.run(_OPEN, {"connection": connection})

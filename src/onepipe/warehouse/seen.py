"""What a complete read met, and what it did not: the books of a sweep."""

from collections.abc import Sequence
from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text, iso, moment

# Live records that the complete read $slice of $connection did not meet, but for those a person left alive.
MISSING = """SELECT c.source_id, c.payload_seq FROM store.current c
WHERE c.connection = $connection AND NOT c.is_deleted
AND c.source_id NOT IN (SELECT source_id FROM store.seen WHERE connection = $connection AND slice = $slice)
AND c.source_id NOT IN (SELECT source_id FROM store.acknowledged WHERE connection = $connection)"""


def note(db: Database, connection: str, name: str) -> None:
    """Note which ids a complete read has met so far (those of the landing just done)."""
    db.run("INSERT INTO store.seen SELECT ?, ?, source_id FROM arrivals", [connection, name])


def forget(db: Database, connection: str, name: str) -> None:
    """Drop what reads other than `name` met, which came to no end."""
    db.run("DELETE FROM store.seen WHERE connection = ? AND slice <> ?", [connection, name])


def missing(db: Database, connection: str, name: str, asked: datetime) -> list[tuple[str, bytes]]:
    """Live records that the complete read just ended did not meet: (source_id, newest payload).

    Those never asked for by id first, then those asked for longest ago, and none that answered later than `asked`.
    """
    rows = db.run(
        f"SELECT c.source_id, r.payload FROM ({MISSING}) c JOIN store.raw r ON r.seq = c.payload_seq "
        "LEFT JOIN store.unlisted u ON u.connection = $connection AND u.source_id = c.source_id "
        "WHERE coalesce(u.asked_at <= $asked::TIMESTAMPTZ, true) ORDER BY u.asked_at NULLS FIRST, c.source_id",
        {"connection": connection, "slice": name, "asked": as_text(asked)},
    )
    return [(source_id, payload.encode()) for source_id, payload in rows]


def asked_since(db: Database, connection: str, name: str, asked: datetime) -> datetime | None:
    """When the first of those was asked for that `missing` leaves out, since they answered later than `asked`."""
    return moment(
        db.one(
            f"SELECT {iso('min(u.asked_at)')} FROM ({MISSING}) c JOIN store.unlisted u ON u.connection = $connection "
            "AND u.source_id = c.source_id AND u.asked_at > $asked::TIMESTAMPTZ",
            {"connection": connection, "slice": name, "asked": as_text(asked)},
        )
    )


def witnesses(db: Database, connection: str, name: str) -> list[tuple[str, bytes]]:
    """Some records that the complete read met: proof, when asked for by id, that asking by id works."""
    rows = db.run(
        "SELECT c.source_id, r.payload FROM store.current c JOIN store.raw r ON r.seq = c.payload_seq "
        "WHERE c.connection = $connection AND NOT c.is_deleted AND c.source_id IN "
        "(SELECT source_id FROM store.seen WHERE connection = $connection AND slice = $slice) LIMIT 3",
        {"connection": connection, "slice": name},
    )
    return [(source_id, payload.encode()) for source_id, payload in rows]


def left_alive(db: Database, connection: str) -> int:
    """How many live records a person left alive: no sweep judges them, nor are they known to be listed."""
    return int(db.one("SELECT count(*) FROM store.acknowledged WHERE connection = ?", [connection]))


def answered(db: Database, connection: str, asked: Sequence[str], at: datetime) -> None:
    """Keep that live records which no list shows answered when they were asked for by id."""
    db.run(
        "DELETE FROM store.unlisted WHERE connection = ? AND source_id IN (SELECT unnest(?::VARCHAR[]))",
        [connection, list(asked)],
    )
    db.run(
        "INSERT INTO store.unlisted SELECT ?, unnest(?::VARCHAR[]), ?::TIMESTAMPTZ",
        [connection, list(asked), as_text(at)],
    )


def end(db: Database, connection: str, name: str, asked: Sequence[str], since: datetime) -> None:
    """Forget what was seen; keep which live records no list shows (archived ones), and when each was asked for.

    Called after the dead were marked; `asked` were asked for by id in a sweep that was begun at `since`.
    """
    db.run(
        "CREATE OR REPLACE TEMP TABLE unlisted AS SELECT c.source_id, CASE WHEN u.asked_at > $since::TIMESTAMPTZ "
        "OR c.source_id IN (SELECT unnest($asked::VARCHAR[])) THEN $since::TIMESTAMPTZ ELSE u.asked_at END AS asked_at "
        f"FROM ({MISSING}) c LEFT JOIN store.unlisted u ON u.connection = $connection AND u.source_id = c.source_id",
        {"connection": connection, "slice": name, "asked": list(asked), "since": as_text(since)},
    )
    db.run("DELETE FROM store.unlisted WHERE connection = ?", [connection])
    db.run("INSERT INTO store.unlisted SELECT ?, source_id, asked_at FROM unlisted", [connection])
    drop(db, connection)


def drop(db: Database, connection: str) -> None:
    """Forget what was seen."""
    db.run("DELETE FROM store.seen WHERE connection = ?", [connection])

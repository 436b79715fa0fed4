"""What a complete read met, and what it did not: the books of a sweep."""

from collections.abc import Sequence
from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text


def note(db: Database, connection: str, name: str) -> None:
    """Note which ids a complete read has met so far (those of the landing just done)."""
    db.run("INSERT INTO store.seen SELECT ?, ?, source_id FROM arrivals", [connection, name])


def forget(db: Database, connection: str, name: str) -> None:
    """Drop what reads other than `name` met, which came to no end."""
    db.run("DELETE FROM store.seen WHERE connection = ? AND slice <> ?", [connection, name])


def missing(db: Database, connection: str, name: str) -> list[tuple[str, bytes]]:
    """Live records that the complete read just ended did not meet: (source_id, newest payload)."""
    rows = db.run(
        "SELECT c.source_id, r.payload FROM store.current c JOIN store.raw r ON r.seq = c.payload_seq "
        "LEFT JOIN store.unlisted u ON u.connection = c.connection AND u.source_id = c.source_id "
        "WHERE c.connection = $connection AND NOT c.is_deleted AND c.source_id NOT IN "
        "(SELECT source_id FROM store.seen WHERE connection = $connection AND slice = $slice) "
        "ORDER BY u.asked_at NULLS FIRST, c.source_id",
        {"connection": connection, "slice": name},
    )
    return [(source_id, payload.encode()) for source_id, payload in rows]


def witnesses(db: Database, connection: str, name: str) -> list[tuple[str, bytes]]:
    """Some records that the complete read met: proof, when asked for by id, that asking by id works."""
    rows = db.run(
        "SELECT c.source_id, r.payload FROM store.current c JOIN store.raw r ON r.seq = c.payload_seq "
        "WHERE c.connection = $connection AND NOT c.is_deleted AND c.source_id IN "
        "(SELECT source_id FROM store.seen WHERE connection = $connection AND slice = $slice) LIMIT 3",
        {"connection": connection, "slice": name},
    )
    return [(source_id, payload.encode()) for source_id, payload in rows]


def end(db: Database, connection: str, unlisted: Sequence[str], now: datetime) -> None:
    """Forget what was seen; keep which live records no list shows (archived ones), and when they were asked for."""
    db.run("DELETE FROM store.seen WHERE connection = ?", [connection])
    db.run("DELETE FROM store.unlisted WHERE connection = ?", [connection])
    db.fill("store.unlisted", [(connection, source_id, as_text(now)) for source_id in unlisted])

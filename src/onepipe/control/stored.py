"""Records kept as they were read, and the texts in which instants are kept."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from onepipe.control.file import Row
from onepipe.records import Stored

Clock = Callable[[], float]
FURTHEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


def instant_text(moment: datetime) -> str:
    """An aware instant as text that sorts as instants do: ISO 8601 in UTC, to the microsecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def instant(text: str) -> datetime:
    """What `instant_text` wrote."""
    return datetime.fromisoformat(text)


def present(clock: Clock) -> str:
    """The present by a clock of ours, in seconds since 1970."""
    return instant_text(datetime.fromtimestamp(clock(), UTC))


def moment(seconds: float) -> datetime:
    """Seconds since 1970 as an instant in UTC; what lies beyond every calendar is its last day."""
    return datetime.fromtimestamp(min(seconds, FURTHEST), UTC)


def keep(db: sqlite3.Connection, connection: str, record: Stored) -> int:
    """Keep a record as it was read; its stored_id. The same reading is kept once."""
    values = (
        *(connection, record.source_id, record.payload, record.payload_hash),
        *(json.dumps(dict(sorted(record.details.items())), ensure_ascii=False), instant_text(record.read_at)),
    )
    found = db.execute(
        "SELECT stored_id FROM stored WHERE connection = ? AND source_id = ? AND payload = ? AND payload_hash = ? "
        "AND details = ? AND read_at = ?",
        values,
    ).fetchone()
    if found is not None:
        return int(found["stored_id"])
    made = db.execute(
        "INSERT INTO stored (connection, source_id, payload, payload_hash, details, read_at) VALUES (?, ?, ?, ?, ?, ?)",
        values,
    )
    return int(made.lastrowid or 0)


def load(db: sqlite3.Connection, stored_id: int | None) -> Stored | None:
    """A record that was kept; None for None."""
    if stored_id is None:
        return None
    return _record(db.execute("SELECT * FROM stored WHERE stored_id = ?", (stored_id,)).fetchone())


def last_read(db: sqlite3.Connection, connection: str, source_id: str) -> Stored | None:
    """What a read after the last verified write of ours found; None where there was none."""
    row = db.execute(
        "SELECT s.* FROM journal j JOIN stored s ON s.stored_id = j.read_id "
        "WHERE j.connection = ? AND j.source_id = ? ORDER BY j.journal_id DESC LIMIT 1",
        (connection, source_id),
    ).fetchone()
    return _record(row) if row else None


def as_document(one: Stored) -> dict[str, Any]:
    """A reading as JSON, for the outbox."""
    names = ("source_id", "payload", "payload_hash")
    told = {name: getattr(one, name) for name in names}
    return {**told, "details": dict(one.details), "read_at": instant_text(one.read_at)}


def _record(row: Row) -> Stored:
    return Stored(
        source_id=row["source_id"],
        payload=row["payload"],
        payload_hash=row["payload_hash"],
        details=json.loads(row["details"]),
        read_at=instant(row["read_at"]),
    )

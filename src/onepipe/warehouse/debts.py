"""Details owed: sub-requests that a new or changed record still needs, written down with the record itself."""

from collections.abc import Sequence
from datetime import datetime

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text


def owed(db: Database, connection: str, limit: int) -> list[tuple[str, str, bytes]]:
    """Details owed, oldest first: (detail, source_id, newest payload of the record)."""
    rows = db.run(
        "SELECT d.detail, d.source_id, r.payload FROM (SELECT * FROM store.debts WHERE connection = $connection "
        "ORDER BY since, source_id, detail LIMIT $limit) d "
        "JOIN store.current c ON c.connection = d.connection AND c.source_id = d.source_id "
        "JOIN store.raw r ON r.seq = c.payload_seq",
        {"connection": connection, "limit": limit},
    )
    return [(detail, source_id, payload.encode()) for detail, source_id, payload in rows]


def pay(db: Database, connection: str, paid: Sequence[tuple[str, str]]) -> None:
    """Strike debts that nothing can be fetched for: (detail, source_id) of records that are gone."""
    for detail, source_id in paid:
        db.run(
            "DELETE FROM store.debts WHERE connection = ? AND detail = ? AND source_id = ?",
            [connection, detail, source_id],
        )


def left(db: Database, connection: str, detail: str, asked: Sequence[str]) -> list[str]:
    """Those of the ids `asked` that still owe the detail."""
    rows = db.run(
        "SELECT source_id FROM store.debts WHERE connection = $connection AND detail = $detail "
        "AND list_contains($asked::VARCHAR[], source_id)",
        {"connection": connection, "detail": detail, "asked": list(asked)},
    )
    return [source_id for (source_id,) in rows]


def ever_paid(db: Database, connection: str, detail: str) -> bool:
    """Whether the account has ever answered the detail, for any record."""
    sql = "SELECT 1 FROM store.details WHERE connection = ? AND detail = ? LIMIT 1"
    return bool(db.run(sql, [connection, detail]))


def forgive(db: Database, connection: str, details: Sequence[str]) -> None:
    """Drop debts of details that are switched off."""
    db.run(
        "DELETE FROM store.debts WHERE connection = $connection AND NOT list_contains($details, detail)",
        {"connection": connection, "details": list(details)},
    )


def owe_all(db: Database, connection: str, details: Sequence[str], now: datetime) -> None:
    """Ask for every live record's details again (`--full`): what differs then is a change, it completes nothing."""
    for detail in details:
        db.run(
            "INSERT INTO store.debts SELECT connection, $detail, source_id, $now, false FROM store.current "
            "WHERE connection = $connection AND NOT is_deleted AND source_id NOT IN "
            "(SELECT source_id FROM store.debts WHERE connection = $connection AND detail = $detail)",
            {"connection": connection, "detail": detail, "now": as_text(now)},
        )


def owe_new(db: Database, connection: str, details: Sequence[str], now: datetime) -> None:
    """Ask for details that nobody asked for before, of every live record: they complete its version, and make none."""
    for detail in details:
        values = {"connection": connection, "detail": detail}
        db.run("DELETE FROM store.debts WHERE connection = $connection AND detail = $detail", values)
        db.run(
            "INSERT INTO store.debts SELECT connection, $detail, source_id, $now, true FROM store.current "
            "WHERE connection = $connection AND NOT is_deleted",
            values | {"now": as_text(now)},
        )


def never_asked(db: Database, connection: str, details: Sequence[str]) -> list[str]:
    """Those of the details that no run has ever asked for: they were switched off as long as there are records."""
    places = (("sync_runs", "resource"), ("store.debts", "detail"), ("store.details", "detail"))
    asked = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE connection = $connection AND {column} = $detail)"
        for table, column in places
    )
    return [name for name in details if not db.one(f"SELECT {asked}", {"connection": connection, "detail": name})]


def roll(db: Database, connection: str, details: Sequence[str], before: datetime, limit: int, now: datetime) -> int:
    """Ask again for the details that were read longest ago, before `before`; how many, at most `limit`.

    A change in them moves no stamp of the opportunity, so that nothing else would find it.
    """
    values = {"connection": connection, "details": list(details), "before": as_text(before), "now": as_text(now)}
    return int(
        db.one(
            "INSERT INTO store.debts SELECT d.connection, d.detail, d.source_id, $now, false FROM store.details d "
            "JOIN store.current c ON c.connection = d.connection AND c.source_id = d.source_id AND NOT c.is_deleted "
            "WHERE d.connection = $connection AND list_contains($details, d.detail) "
            "AND coalesce(d.read_at < $before::TIMESTAMPTZ, true) AND NOT EXISTS (SELECT 1 FROM store.debts b "
            "WHERE b.connection = d.connection AND b.detail = d.detail AND b.source_id = d.source_id) "
            "ORDER BY d.read_at NULLS FIRST, d.source_id LIMIT $limit",
            values | {"limit": limit},
        )
    )


def stale(db: Database, connection: str, before: datetime) -> bool:
    """Whether a detail was read before `before`, and not since."""
    sql = "SELECT 1 FROM store.details WHERE connection = ? AND coalesce(read_at < ?::TIMESTAMPTZ, true) LIMIT 1"
    return bool(db.run(sql, [connection, as_text(before)]))

"""A connection's name in every table: another one in its place, or nothing of it left."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import onepipe.warehouse.bindings as bindings
from onepipe.report import Counts
from onepipe.warehouse import books
from onepipe.warehouse.database import Database

FORGOTTEN = "connection forget"  # the command of the one line that stays


def known(db: Database, connection: str) -> bool:
    """Whether the warehouse was ever told of a connection by this name, and still has something of it."""
    return bool(db.one("SELECT count(*) FROM connections WHERE connection = ?", [connection]))


def rows(db: Database, connection: str) -> dict[str, int]:
    """How many rows each table has of a connection; tables without any are left out."""
    counts = {
        table: int(db.one(f"SELECT count(*) FROM {table} WHERE connection = $name {_but(table)}", {"name": connection}))
        for table in _own(db)
    }
    return {table.replace('"', "").removeprefix("main."): count for table, count in counts.items() if count}


def rename(db: Database, before: str, after: str) -> None:
    """Put all that is stored of one name under another, what was frozen too; no row is read again for it."""
    values = {"old": before, "new": after}
    for table in bindings.tables(db):
        db.run(f"UPDATE {table} SET connection = $new WHERE connection = $old", values)
    _frozen(db, lambda name: after if name == before else name)


def forget(db: Database, connection: str, run_id: str, now: datetime) -> int:
    """Remove every row of a connection, and leave one line in sync_runs that says so; how many rows."""
    gone = sum(rows(db, connection).values())
    for table in _own(db):
        db.run(f"DELETE FROM {table} WHERE connection = $name {_but(table)}", {"name": connection})
    _frozen(db, lambda name: None if name == connection else name)
    db.run("DELETE FROM store.fences WHERE lease = ?", [f"connection:{connection}"])
    if gone or not db.one(f"SELECT count(*) FROM sync_runs WHERE connection = ? AND {_MARKER}", [connection]):
        line = books.RunRow(
            run_id=run_id,
            command=FORGOTTEN,
            connection=connection,
            resource="all",
            status="complete",
            started_at=now,
            finished_at=now,
            counts=Counts(deleted=gone),
            requests=0,
            error_kind=None,
            error_message=None,
        )
        books.record_runs(db, [line])
    return gone


def _own(db: Database) -> list[str]:
    """Tables of a connection's own; markers of who was erased hold nothing of theirs, and stay."""
    return [table for table in bindings.tables(db) if table != bindings.place("main", "erasures")]


_MARKER = f"command = '{FORGOTTEN}'"


def _but(table: str) -> str:
    return f"AND NOT {_MARKER}" if table == '"main"."sync_runs"' else ""


def _frozen(db: Database, renamed: Callable[[str], str | None]) -> None:
    """The names of connections in the book of what was frozen, and how many deals each day has by now."""
    if not db.one(f"SELECT count(*) FROM duckdb_tables() WHERE {_BOOK}"):
        return
    for name, mappings, statuses, retired in db.run(
        "SELECT name, mappings::VARCHAR, statuses::VARCHAR, retired FROM frozen.frozen"
    ):
        kept = {new: one for old, one in json.loads(mappings or "{}").items() if (new := renamed(old))}
        lines = [[new, *rest] for old, *rest in json.loads(statuses or "[]") if (new := renamed(old))]
        away = [new for old in retired or [] if (new := renamed(old))]
        values: dict[str, Any] = {"name": name, "mappings": json.dumps(kept), "statuses": json.dumps(lines)}
        place = bindings.place("frozen", name)
        db.run(
            "UPDATE frozen.frozen SET mappings = $mappings, statuses = $statuses, retired = $away, "
            f"deals = (SELECT count(*) FROM {place}) WHERE name = $name",
            values | {"away": away},
        )


_BOOK = "database_name = current_database() AND schema_name = 'frozen' AND table_name = 'frozen'"

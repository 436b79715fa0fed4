"""A connection's name in the control file: another one in its place, or nothing of it left.

Tables are found by their columns, `connection` or `key`, so that none which comes later is forgotten.
"""

import sqlite3
from collections.abc import Collection

from onepipe.control.conflicts import next_change
from onepipe.control.file import ControlFile

_OF_A_PUSH = ("push_edit", "attempt", "look")  # tables that know a connection through its push alone
_STAY = ("erased", "erased_kept")


def rows(file: ControlFile, connection: str) -> dict[str, int]:
    """How many rows each table has of a connection; tables without any are left out."""
    with file.reading() as db:
        return {table: count for table, count in _counted(db, connection).items() if count}


def rename(file: ControlFile, before: str, after: str) -> None:
    """Put all that is kept of one name under another, in one transaction; what the other had by itself gives way."""
    with file.writing() as db:
        for table, column, prefix in _places(db):
            db.execute(
                f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {column} = ?", (prefix + after, prefix + before)
            )


def forget(file: ControlFile, connection: str) -> int:
    """Remove all that is kept of a connection, in one transaction, and overwrite where it stood; how many rows.

    Who was erased stays erased, should the name come back: markers stay, which hold nothing of a person. Its lease
    stays: the number in it may only grow. Of its conflicts the newest stays as an empty line, for the
    number of its change is never given again.
    """
    with file.reading() as db:
        db.execute("PRAGMA secure_delete = ON")
    with file.writing() as db:
        gone = sum(_counted(db, connection).values())
        last = next_change(db) - 1
        for table in _OF_A_PUSH:
            db.execute(
                f"DELETE FROM {table} WHERE push_id IN (SELECT push_id FROM push WHERE connection = ?)", (connection,)
            )
        db.execute(
            "UPDATE conflict SET connection = '', source_id = NULL, draft = NULL, field = '', slot = conflict_id, "
            "base = NULL, ours = NULL, theirs = NULL, record_id = NULL, reason = '', state = 'closed', "
            "resolution = NULL, actor = NULL, why = '' WHERE connection = ? AND change = ?",
            (connection, last),
        )
        for table, column, prefix in _places(db, but=_STAY):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (prefix + connection,))
    with file.reading() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return gone


def _counted(db: sqlite3.Connection, connection: str) -> dict[str, int]:
    counts = {
        table: db.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (prefix + connection,)).fetchone()[0]
        for table, column, prefix in _places(db, but=_STAY)
    }
    return {
        **counts,
        **{
            table: db.execute(
                f"SELECT count(*) FROM {table} JOIN push USING (push_id) WHERE connection = ?", (connection,)
            ).fetchone()[0]
            for table in _OF_A_PUSH
        },
    }


def _places(db: sqlite3.Connection, but: Collection[str] = ()) -> list[tuple[str, str, str]]:
    """Where names of connections stand: table, column, and what stands before the name in it. Leases have their own."""
    tables = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    found = list[tuple[str, str, str]]()
    for table in (one for one in tables if one not in but):
        columns = {row["name"] for row in db.execute(f"PRAGMA table_info({table})").fetchall()}
        if "connection" in columns:
            found.append((table, "connection", ""))
        elif table.startswith("quota"):
            found.append((table, "key", "connection:"))
    return found

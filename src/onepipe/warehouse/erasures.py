"""The table of those who were erased: the markers of the control file, told to whoever reads the warehouse."""

from collections.abc import Sequence
from typing import Any

from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import iso


def mark(db: Database) -> str | None:
    """Up to which change of which control file the table was told; None: nobody was ever erased."""
    told: str | None = db.one("SELECT mark FROM store.erased")
    return told


def rows(db: Database) -> list[dict[str, Any]]:
    """Every marker that the table tells of, as the control file keeps it; all of them are carried out."""
    found = db.run(
        "SELECT erasure_id, connection, source_id, fingerprint, found_by AS cause, "
        f"{iso('erased_at')} AS erased_at, actor, reason FROM erasures"
    )
    names = ("erasure_id", "connection", "source_id", "fingerprint", "cause", "erased_at", "actor", "reason")
    return [dict(zip(names, row, strict=True)) | {"done_at": row[5]} for row in found]


def tell(db: Database, told: Sequence[tuple[Any, ...]], mark: str | None) -> None:
    """Put the table in place, as of a mark; rows are in the order of its columns."""
    db.run("DELETE FROM erasures")
    for row in told:
        db.run("INSERT INTO erasures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", list(row))
    db.run("DELETE FROM store.erased")
    if mark is not None:
        db.run("INSERT INTO store.erased VALUES (?)", [mark])

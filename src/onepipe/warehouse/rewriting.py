"""The work file made anew: DuckDB gives room in a file to new rows, and never back to the disk.

    checkpointed and closed -> copied, table by table, into a new file -> compared -> renamed into place

All under the commit lock. The old file stays in place until the new one is known to hold the same.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from onepipe.errors import DiskTrouble
from onepipe.spool import sync_folder
from onepipe.warehouse.database import Database, Engine
from onepipe.warehouse.files import part_of, sweep
from onepipe.warehouse.moved import raise_generation
from onepipe.warehouse.schema import literal, quoted
from onepipe.warehouse.work import Warehouse

WORTH = 0.98  # of the old size: a file that is hardly smaller is not put in place


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of it, in bytes. `kept` where the old file stayed, for the new one was not worth it."""

    before: int
    after: int
    kept: bool


def rewrite(warehouse: Warehouse, *, always: bool = False) -> Rewritten:
    """Make the work file anew, if that makes it smaller; with `always` in any case, so that no dropped row is left.

    With `always` it is of a new generation, too: what somebody published meanwhile may hold dropped rows, and is
    replaced by whoever publishes next.

    Raises DiskTrouble where there is no room for a second one, or it does not hold the same: the old one stays then.
    """
    part = part_of(warehouse.path)
    with warehouse.lock():
        sweep(warehouse.path)
        with warehouse.opened() as db:  # what a killed process left in the log is in the file from here on
            generation = int(db.one("SELECT generation FROM store.meta"))
        before = warehouse.path.stat().st_size
        try:
            made_anew(warehouse.path, part)
            if always:
                raise_generation(part, generation + 1)
            after = part.stat().st_size
            if after > before * WORTH and not always:
                return Rewritten(before, before, kept=True)
            _put_in_place(part, warehouse.path)
        except OSError as error:
            raise DiskTrouble(
                f"the work file {warehouse.path} could not be made anew: {error}",
                "it is as it was; free some space there and run again",
            ) from error
        finally:
            part.unlink(missing_ok=True)
            part.with_name(part.name + ".wal").unlink(missing_ok=True)
    return Rewritten(before, after, kept=False)


def made_anew(source: Path, target: Path) -> None:
    """Write all that a closed file holds into a new one. Raises DiskTrouble where that does not hold the same."""
    engine = Engine()
    try:
        target.unlink(missing_ok=True)
        with engine.writing(target) as db:
            db.run(f"ATTACH {literal(str(source))} AS whole (READ_ONLY)")
            db.run("COPY FROM DATABASE whole TO work")
            for what, ours, theirs in ((one, *_held(db, one)) for one in _contents(db)):
                if ours != theirs:
                    raise DiskTrouble(
                        f"{source} could not be made anew: of {what} the new file holds something else",
                        "the old one is as it was; report this",
                    )
            db.run("DETACH whole")
    finally:
        engine.close()


def _contents(db: Database) -> list[str]:
    """What is compared: the layout, and each table."""
    rows = db.run(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name IN ('work', 'whole') GROUP BY ALL"
    )
    return ["", *(f"{quoted(schema)}.{quoted(table)}" for schema, table in rows)]


def _held(db: Database, what: str) -> tuple[object, object]:
    """What the new file and the old one hold: of a table its rows, in whatever order; of "" the layout."""
    return _told(db, "work", what), _told(db, "whole", what)


def _told(db: Database, database: str, table: str) -> object:
    if table:
        return db.run(f"SELECT count(*), sum(hash(t)) FROM {database}.{table} t")
    return [
        db.run(sql, [database])
        for sql in (
            "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() "
            "WHERE database_name = ? AND NOT internal ORDER BY ALL",
            "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL",
            "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE database_name = ? AND NOT internal "
            "ORDER BY ALL",
            "SELECT schema_name, function_name FROM duckdb_functions() WHERE database_name = ? AND NOT internal "
            "ORDER BY ALL",
        )
    ]


def _put_in_place(part: Path, target: Path) -> None:
    handle = os.open(part, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    part.chmod(target.stat().st_mode & 0o777)
    part.rename(target)
    sync_folder(target.parent)

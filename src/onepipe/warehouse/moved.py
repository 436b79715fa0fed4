"""A work file that was brought back from a backup: which one it is, and that it goes on above what others know."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from onepipe.errors import OnepipeError
from onepipe.warehouse import work
from onepipe.warehouse.database import Engine, reading


@dataclass(frozen=True, slots=True)
class Place:
    """Which warehouse a file holds, how new it is, and in which layout."""

    warehouse_id: str
    generation: int
    schema_version: int


def place(path: Path) -> Place | None:
    """What a work file or a snapshot says of itself; None where there is none, or it cannot be read."""
    if not path.is_file():
        return None
    try:
        with reading(path) as db:
            rows = db.run("SELECT warehouse_id, generation, schema_version FROM store.meta")
    except (OnepipeError, duckdb.Error):
        return None
    return Place(*rows[0]) if rows else None


def refuse_newer(found: Place, path: Path) -> None:
    """Raise ConfigError for what a newer onepipe wrote."""
    work.refuse_newer(found.schema_version, path)


def raise_generation(path: Path, generation: int) -> None:
    """Say in a work file that it is of this generation. Raises DiskTrouble."""
    engine = Engine()
    try:
        with engine.writing(path) as db:
            db.run("UPDATE store.meta SET generation = ?", [generation])
    finally:
        engine.close()

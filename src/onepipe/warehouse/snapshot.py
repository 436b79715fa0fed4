"""The published file as seen from the warehouse: its marker, the user's views, and what goes into it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from onepipe.errors import ConfigError, OnepipeError
from onepipe.warehouse.database import Database, reading
from onepipe.warehouse.layout import dress
from onepipe.warehouse.schema import PRODUCT, quoted


@dataclass(frozen=True, slots=True)
class Marker:
    """Which warehouse a file is a snapshot of, how new, and what was left out of it (`raw, contact_email`), if any."""

    warehouse_id: str
    generation: int
    left_out: str | None = None


def marker(path: Path) -> Marker | None:
    """The marker of a file, None where it is not one of ours. Raises DiskTrouble while somebody else writes in it."""
    try:
        with reading(path) as db:
            rows = db.run("SELECT warehouse_id, generation FROM about WHERE product = ?", [PRODUCT])
            lacks = left_out(db)
    except (ConfigError, duckdb.CatalogException, duckdb.BinderException):
        return None
    return Marker(rows[0][0], rows[0][1] or 0, lacks) if rows else None


def left_out(db: Database) -> str | None:
    """What a published file was made without; None for a whole one, as are all that an older onepipe made."""
    told: str | None = db.one("SELECT to_json(about) ->> 'left_out' FROM about")
    return told


def current(db: Database) -> Marker:
    """The marker that a whole snapshot taken now would have."""
    rows = db.run("SELECT warehouse_id, generation FROM store.meta")
    return Marker(rows[0][0], rows[0][1])


def prepare(db: Database, now: datetime, views: Path) -> dict[str, str]:
    """Make the work file fit to be copied: marker, views, the user's views; what is wrong with those, by name."""
    with db.transaction():
        db.run(
            "UPDATE about SET published_at = ?, run_id = m.run_id, generation = m.generation, "
            "onepipe_version = m.onepipe_version, schema_version = m.schema_version FROM store.meta m",
            [now.isoformat()],
        )
        dress(db)
        db.run('DROP SCHEMA IF EXISTS "user" CASCADE')
        db.run('CREATE SCHEMA "user"')
    broken = {}
    for path in sorted(views.glob("*.sql")) if views.is_dir() else ():
        try:
            _create_view(db, path)
        except (duckdb.Error, OnepipeError, OSError, UnicodeError) as error:
            broken[path.name] = str(error).splitlines()[0]
    return broken


def _create_view(db: Database, path: Path) -> None:
    text = path.read_text(encoding="utf-8").strip().rstrip(";")
    statements = duckdb.extract_statements(text)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ConfigError("a view's file holds one SELECT and nothing else")
    db.run(f'CREATE VIEW "user".{quoted(path.stem)} AS {text}')

"""Laying the tables out: in a new work file, or in one of an older onepipe, which only gains what it lacks."""

from uuid import uuid4

import duckdb

import onepipe.warehouse.changes as changes
from onepipe.model import OPPORTUNITY, VERSION, Column
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import (
    FRESHNESS,
    KEPT,
    PRODUCT,
    RAW,
    SCHEMA_VERSION,
    STORE,
    TABLES,
    VIEWS,
    literal,
    quoted,
)


def version(db: Database) -> int | None:
    """Which layout a work file has; None for one without tables, whose making was interrupted or is still to come."""
    try:
        return int(db.one("SELECT schema_version FROM store.meta"))
    except duckdb.CatalogException:
        return None


def create(db: Database, onepipe_version: str) -> None:
    """Lay out a new work file."""
    with db.transaction():
        db.run("CREATE SCHEMA store")
        db.run("CREATE SCHEMA raw")
        for name in ("current", "closed"):
            extra = ", valid_to TIMESTAMPTZ" if name == "closed" else ""
            db.run(f"CREATE TABLE store.{name} ({_columns(KEPT)}{extra})")
        _bring_up(db)
        db.run(
            "INSERT INTO store.meta VALUES (?, ?, 0, NULL, NULL, ?)",
            [str(uuid4()), SCHEMA_VERSION, onepipe_version],
        )
        db.run("INSERT INTO about (product, warehouse_id) SELECT ?, warehouse_id FROM store.meta", [PRODUCT])
        _records(db)
        create_views(db)


def migrate(db: Database) -> None:
    """Give a work file of an older version what it lacks: tables, and columns at the end of tables; nothing is lost."""
    with db.transaction():
        _bring_up(db)
        create_views(db)
        db.run("UPDATE store.meta SET schema_version = ?", [SCHEMA_VERSION])


def _bring_up(db: Database) -> None:
    for statement in STORE.split(";"):
        if statement.strip():
            db.run(statement)
    for name, (comment, columns) in TABLES.items():
        db.run(f"CREATE TABLE IF NOT EXISTS {name} ({_columns(columns)})")
        for column in columns:
            db.run(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {column.type}")
        _comment(db, "TABLE", name, comment, columns)


def _records(db: Database) -> None:
    """The two views every other one stands on, and raw."""
    names = ", ".join(quoted(column.name) for column in OPPORTUNITY)
    history = ", ".join(quoted(column.name) for column in (*OPPORTUNITY, *VERSION))
    open_ended = history.replace('"valid_to"', "NULL::TIMESTAMPTZ AS valid_to")
    raw = ", ".join(f"{column.name}::JSON AS payload" if column.type == "JSON" else column.name for column in RAW)
    db.run(f"CREATE VIEW opportunities AS SELECT {names} FROM store.current")
    db.run(
        f"CREATE VIEW opportunity_history AS SELECT {history} FROM store.closed "
        f"UNION ALL SELECT {open_ended} FROM store.current"
    )
    db.run(f"CREATE VIEW raw.records AS SELECT {raw} FROM store.raw")
    _comment(
        db, "VIEW", "opportunities", "One row per opportunity, also archived, closed and deleted ones", OPPORTUNITY
    )
    _comment(db, "VIEW", "opportunity_history", "Every version of every opportunity", (*OPPORTUNITY, *VERSION))
    _comment(db, "VIEW", "raw.records", "Everything the CRMs ever answered; append-only", RAW)


def create_views(db: Database) -> None:
    """The views people start from; made again at every publish, so that a newer onepipe's are in place at once."""
    meanings = {column.name: column.meaning for column in OPPORTUNITY}
    for name, (comment, query) in VIEWS.items():
        db.run(f"CREATE OR REPLACE VIEW {name} AS {query}")
        db.run(f"COMMENT ON VIEW {name} IS {literal(comment)}")
        for column in db.names(f"SELECT * FROM {name}"):
            meaning = meanings.get(column) or FRESHNESS.get(column) or ""
            db.run(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(meaning)}")
    db.run(f"CREATE OR REPLACE VIEW field_changes AS {changes.query()}")
    _comment(db, "VIEW", "field_changes", changes.COMMENT, changes.COLUMNS)


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)


def _comment(db: Database, kind: str, name: str, comment: str, columns: tuple[Column, ...]) -> None:
    db.run(f"COMMENT ON {kind} {name} IS {literal(comment)}")
    for column in columns:
        db.run(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(column.meaning)}")

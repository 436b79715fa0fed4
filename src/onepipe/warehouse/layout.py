"""Laying the tables out: in a new work file, or in one of an older onepipe, which only gains what it lacks.

What only readers need, figures and the comments of everything, is made when a snapshot is: `dress`.
"""

import hashlib
from uuid import uuid4

import duckdb

import onepipe.warehouse.changes as changes
import onepipe.warehouse.children as children
import onepipe.warehouse.decisions as decisions
import onepipe.warehouse.staged as staged
import onepipe.warehouse.views as views
from onepipe.model import NESTED, OPPORTUNITY, VERSION, Column
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
    query_of,
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
        _bring_up(db, new=True)
        db.run(
            "INSERT INTO store.meta VALUES (?, ?, 0, NULL, NULL, ?)",
            [str(uuid4()), SCHEMA_VERSION, onepipe_version],
        )
        db.run("INSERT INTO about (product, warehouse_id) SELECT ?, warehouse_id FROM store.meta", [PRODUCT])
        create_records(db)


def migrate(db: Database) -> None:
    """Give a work file of an older version what it lacks: tables, and columns at the end of tables; nothing is lost."""
    with db.transaction():
        _bring_up(db)
        staged.fill(db)
        create_records(db)
        db.run("UPDATE store.meta SET schema_version = ?", [SCHEMA_VERSION])


def _bring_up(db: Database, *, new: bool = False) -> None:
    for statement in STORE.split(";"):
        if statement.strip():
            db.run(statement)
    for name, (_, columns) in TABLES.items():
        db.run(f"CREATE TABLE IF NOT EXISTS {name} ({_columns(columns)})")
        for column in () if new else columns:
            db.run(f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {column.type}")
    for table in ("current", "closed"):  # at their end, behind columns that mappings have added
        for column in NESTED:
            db.run(f"ALTER TABLE store.{table} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {column.type}")


def typed(db: Database) -> tuple[Column, ...]:
    """The columns that mappings have added to the tables so far, in their order: x_arr."""
    columns = "pragma_table_info('store.current')"
    rows = db.run(f"SELECT name, type FROM {columns} WHERE starts_with(name, 'x_') ORDER BY cid")
    types = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}
    meaning = "What mappings call {} under `columns`; NULL where a connection's does not"
    return tuple(Column(name, types.get(type_) or type_, meaning.format(name[2:])) for name, type_ in rows)


def create_records(db: Database) -> None:
    """The views every other one stands on: records, what belongs to them, and raw. Their comments go with `dress`."""
    own = typed(db)
    names = ", ".join(quoted(column.name) for column in (*OPPORTUNITY, *own))
    history = ", ".join(quoted(column.name) for column in (*OPPORTUNITY, *VERSION, *own))
    open_ended = history.replace('"valid_to"', "NULL::TIMESTAMPTZ AS valid_to")
    raw = ", ".join(f"{column.name}::JSON AS payload" if column.type == "JSON" else column.name for column in RAW)
    db.run(f"CREATE OR REPLACE VIEW opportunities AS SELECT {names} FROM store.current")
    db.run(
        f"CREATE OR REPLACE VIEW opportunity_history AS SELECT {history} FROM store.closed "
        f"UNION ALL SELECT {open_ended} FROM store.current"
    )
    db.run(f"CREATE OR REPLACE VIEW raw.records AS SELECT {raw} FROM store.raw")
    for view in children.views():
        db.run(f"CREATE OR REPLACE VIEW {view.name} AS {view.query}")
    db.run("DELETE FROM store.laid_out")


def dress(db: Database) -> None:
    """At every publish: make the views and comments again unless they are this onepipe's; making them takes 0.5 s."""
    own = typed(db)
    mark = _mark(own)
    if db.one("SELECT views FROM store.laid_out") == mark:
        return
    create_records(db)
    _comment_records(db, own)
    _create_views(db, own)
    db.run("INSERT INTO store.laid_out VALUES (?)", [mark])


def _mark(own: tuple[Column, ...]) -> str:
    records = (*OPPORTUNITY, *VERSION, *RAW, *own)
    made = (views.DEFINED, children.views(), changes.query(), changes.COLUMNS)
    ours = repr((duckdb.__version__, TABLES, VIEWS, FRESHNESS, records, *made))
    return hashlib.sha256(ours.encode()).hexdigest()


def _comment_records(db: Database, own: tuple[Column, ...]) -> None:
    for name, (comment, columns) in TABLES.items():
        _comment(db, "TABLE", name, comment, columns)
    about = "One row per opportunity, also archived, closed and deleted ones"
    _comment(db, "VIEW", "opportunities", about, (*OPPORTUNITY, *own))
    _comment(db, "VIEW", "opportunity_history", "Every version of every opportunity", (*OPPORTUNITY, *VERSION, *own))
    _comment(db, "VIEW", "raw.records", "Everything the CRMs ever answered; append-only", RAW)
    for view in children.views():
        _comment(db, "VIEW", view.name, view.comment, view.columns)


def _create_views(db: Database, own: tuple[Column, ...]) -> None:
    """The views and macros people start from."""
    meanings = {column.name: column.meaning for column in (*OPPORTUNITY, *own, *decisions.COLUMNS)}
    for name, (comment, _) in VIEWS.items():
        db.run(f"CREATE OR REPLACE VIEW {name} AS {query_of(name, own)}")
        db.run(f"COMMENT ON VIEW {name} IS {literal(comment)}")
        for column in db.names(f"SELECT * FROM {name}"):
            meaning = meanings.get(column) or FRESHNESS.get(column) or ""
            db.run(f"COMMENT ON COLUMN {name}.{quoted(column)} IS {literal(meaning)}")
    db.run(f"CREATE OR REPLACE VIEW field_changes AS {changes.query(own)}")
    _comment(db, "VIEW", "field_changes", changes.COMMENT, changes.COLUMNS)
    views.create(db)


def _columns(columns: tuple[Column, ...]) -> str:
    return ", ".join(f"{quoted(column.name)} {column.type}" for column in columns)


def _comment(db: Database, kind: str, name: str, comment: str, columns: tuple[Column, ...]) -> None:
    db.run(f"COMMENT ON {kind} {name} IS {literal(comment)}")
    for column in columns:
        db.run(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(column.meaning)}")

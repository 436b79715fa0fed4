"""Columns that mapping files add (`columns:`), called x_NAME: at the end of the tables, and there for good."""

import onepipe.warehouse.layout as layout
from onepipe.model import Column
from onepipe.warehouse import mapped
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import literal, quoted
from onepipe.warehouse.versions import Reading

_TABLES = ("current", "closed")


def fit(db: Database, reading: Reading, *, force: bool = False) -> list[str]:
    """Make room for the columns of a reading; what speaks against it, and then nothing is made.

    One name has one type in all connections. The type of a column that only this connection's mapping has is changed
    with `force`; its rows have to be read again then.
    """
    there = {column.name: column.type for column in layout.typed(db)}
    others = _others(db, reading.connection)
    changed = [column for column in reading.typed if there.get(column.name, column.type) != column.type]
    against = [_against(column, there[column.name], others.get(column.name), force) for column in changed]
    refused = [reason for reason in against if reason]
    new = [column for column in reading.typed if column.name not in there]
    if refused or not (new or changed):
        return refused
    for table in _TABLES:
        for column in new:
            db.run(f"ALTER TABLE store.{table} ADD COLUMN {quoted(column.name)} {column.type}")
        for column in changed:
            name = quoted(column.name)
            db.run(f"ALTER TABLE store.{table} ALTER {name} TYPE {column.type} USING TRY_CAST({name} AS {column.type})")
    layout.create_records(db)
    return []


def _others(db: Database, connection: str) -> dict[str, str]:
    """Which other connection has each column: by its mapping, or in rows of a name that has no mapping any more."""
    found: dict[str, str] = {}
    for name, columns in mapped.columns(db).items():
        if name != connection:
            found |= dict.fromkeys(columns, name)
    for column in layout.typed(db):
        rows = " UNION ALL ".join(
            f"SELECT connection FROM store.{table} WHERE {quoted(column.name)} IS NOT NULL" for table in _TABLES
        )
        name = db.one(f"SELECT any_value(connection) FROM ({rows}) WHERE connection <> {literal(connection)}")
        if name is not None:
            found.setdefault(column.name, name)
    return found


def _against(column: Column, there: str, other: str | None, force: bool) -> str | None:
    if other is not None:
        return f"{column.name} is {there} in {other} and would be {column.type} here: one name has one type"
    return None if force else f"{column.name} would change its type, from {there} to {column.type}"

"""Which account a name belongs to: tied on its first run, and moved only when a person says so (`onepipe rebind`)."""

from collections.abc import Iterable
from datetime import datetime

from onepipe.errors import ConfigError
from onepipe.warehouse import books, verdicts
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text
from onepipe.warehouse.schema import quoted

UNFINISHED = ("slices", "pieces", "seen", "suspects")  # in store: of reads under way, and of an undecided sweep


def bind(db: Database, connection: str, connector: str, base_url: str, now: datetime) -> None:
    """Tie a name to its account on its first run. Raises ConfigError where it belongs to another one."""
    rows = db.run("SELECT connector, base_url FROM connections WHERE connection = ?", [connection])
    if not rows:
        db.run(
            "INSERT INTO connections (connection, connector, base_url, state, first_run_at) "
            "VALUES (?, ?, ?, 'active', ?)",
            [connection, connector, base_url, as_text(now)],
        )
        db.run("INSERT INTO coverage (connection, resource, open_slices) VALUES (?, 'opportunity', 0)", [connection])
    elif rows[0] != (connector, base_url):
        raise ConfigError(
            f"the name {connection} belongs to {rows[0][0]} at {rows[0][1]}, and config.yaml now says "
            f"{connector} at {base_url}; nothing was read or changed",
            f"`onepipe rebind {connection}` moves the name to what config.yaml says (see `onepipe rebind --help`); "
            "to keep both accounts, give the other one a name of its own in config.yaml",
        )


def bound(db: Database) -> dict[str, tuple[str, str]]:
    """Every name that was ever bound: its connector and base_url."""
    return {row[0]: (row[1], row[2]) for row in db.run("SELECT connection, connector, base_url FROM connections")}


def rows(db: Database, connection: str) -> int:
    """How many opportunities are stored under a name, deleted ones too."""
    return int(db.one("SELECT count(*) FROM store.current WHERE connection = ?", [connection]))


def move(db: Database, connection: str, base_url: str) -> None:
    """The account of a name is at another address: its rows stay, and the next run reads everything."""
    _drop_unfinished(db, connection)
    db.run("UPDATE connections SET base_url = ? WHERE connection = ?", [base_url, connection])
    db.run("UPDATE coverage SET complete_through = NULL, source_count = NULL WHERE connection = ?", [connection])


def retire(db: Database, connection: str, retired: str) -> None:
    """Put all that is stored of a name under the name `retired`; the name itself is free again, as if it never ran."""
    _drop_unfinished(db, connection)
    for table in tables(db):
        db.run(f"UPDATE {table} SET connection = ? WHERE connection = ?", [retired, connection])
    db.run("UPDATE connections SET state = 'retired' WHERE connection = ?", [retired])


def free_name(connection: str, taken: Iterable[str]) -> str:
    """`connection-1`, or the first such name that is not taken."""
    known = set(taken)
    number = 1
    while f"{connection}-{number}" in known:
        number += 1
    return f"{connection}-{number}"


def _drop_unfinished(db: Database, connection: str) -> None:
    """What a read under way left leads nowhere in another account or at another address."""
    verdicts.clear(db, connection)
    books.drop_slice(db, connection)
    for table in UNFINISHED:
        db.run(f"DELETE FROM store.{table} WHERE connection = ?", [connection])


def tables(db: Database) -> list[str]:
    """Every table of the warehouse that is keyed by connection."""
    found = db.run(
        "SELECT c.schema_name, c.table_name FROM duckdb_columns() c JOIN duckdb_tables() t "
        "USING (database_name, schema_name, table_name) "
        "WHERE c.database_name = current_database() AND c.column_name = 'connection' AND NOT t.temporary ORDER BY ALL"
    )
    return [place(schema, table) for schema, table in found]


def place(schema: str, table: str) -> str:
    """A table as SQL names it."""
    return f"{quoted(schema)}.{quoted(table)}"

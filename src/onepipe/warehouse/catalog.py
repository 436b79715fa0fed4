"""What a published file offers to people: its tables and views with their columns, types and comments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onepipe.model import Column
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import iso
from onepipe.warehouse.schema import quoted
from onepipe.warehouse.snapshot import left_out

SCHEMAS = ("main", "raw", "user", "frozen")


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view; `word` is how a query names it, without `main`."""

    schema: str
    name: str
    comment: str
    columns: tuple[Column, ...]

    @property
    def word(self) -> str:
        """`deals`, `raw.records`, `user.big`."""
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    @property
    def place(self) -> str:
        """Its name in SQL."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def has(self, *columns: str) -> bool:
        """Whether it has all of these columns."""
        return set(columns) <= {column.name for column in self.columns}


def about(db: Database) -> dict[str, Any]:
    """What the open file says of itself; instants as text."""
    rows = db.run(
        f"SELECT warehouse_id, generation, schema_version, onepipe_version, {iso('published_at')} || 'Z' FROM about"
    )
    keys = ("warehouse_id", "generation", "schema_version", "onepipe_version", "published_at")
    return dict(zip(keys, rows[0], strict=True)) | {"left_out": left_out(db)}


def tables(db: Database, schemas: Sequence[str] = SCHEMAS) -> list[Table]:
    """Every table and view in these schemas of the open file, by name. What has no comment has an empty one."""
    rows = db.run(
        """SELECT schema_name, table_name, any_value(of.comment), list(column_name ORDER BY column_index),
               list(data_type ORDER BY column_index), list(coalesce(c.comment, '') ORDER BY column_index)
        FROM duckdb_columns() c JOIN (
            SELECT database_name, schema_name, table_name, comment FROM duckdb_tables()
            UNION ALL SELECT database_name, schema_name, view_name, comment FROM duckdb_views()
        ) of USING (database_name, schema_name, table_name)
        WHERE database_name = current_database() AND NOT c.internal AND list_contains($schemas, schema_name)
        GROUP BY schema_name, table_name ORDER BY schema_name, table_name""",
        {"schemas": list(schemas)},
    )
    return [
        Table(schema, name, comment or "", tuple(map(Column, names, types, meanings)))
        for schema, name, comment, names, types, meanings in rows
    ]

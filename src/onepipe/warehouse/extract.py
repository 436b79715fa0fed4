"""Tables of the published file written out as Parquet, CSV or another DuckDB file, always in the same order.

What changed since a run is told by the order of arrival (`seq`), not by clocks: commits of several processes may end
in another order than their times say. The unit is the deal: all rows of one that changed are written, its children,
versions and problems too, so that whoever takes them over replaces that deal's rows by them.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

from onepipe import model
from onepipe.errors import UsageError
from onepipe.warehouse.catalog import Table
from onepipe.warehouse.database import STORAGE, Database
from onepipe.warehouse.query import Column
from onepipe.warehouse.schema import literal, quoted

Form = Literal["parquet", "csv", "duckdb"]
MEMORY = "1GB"
SPILL = ".spill"  # a folder for what does not fit into that, while tables are sorted
_ALWAYS_WHOLE = ("pushes", "conflicts", "late_rows")  # they change without their deal
_ORDERS = (  # the first whose columns a table has; all columns, where none fits
    ("connection", "source_id", "version", "position"),
    ("connection", "source_id", "version"),
    ("connection", "source_id", "position"),
    ("connection", "resource", "record_id", "seq"),
    ("run_id", "connection", "resource"),
)
_ONE_A_DEAL = ("opportunities", "deals", "open_deals")
_FORMATS = {
    "parquet": "FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false",
    "csv": r"FORMAT csv, HEADER true, NULLSTR '', NEW_LINE '\r\n', USE_TMP_FILE false",
}


@dataclass(frozen=True, slots=True)
class Since:
    """What came after a run: rows that arrived after `seq`; `reread` are connections read anew by another mapping."""

    run_id: str
    seq: int
    reread: tuple[str, ...]


def since(db: Database, run_id: str) -> Since | None:
    """What changed after a run; None for one that the file does not know.

    A run's connections end one after the other, and the file may have been published between: counted as known is
    what its first connection brought, and what runs brought that were over before it began.
    """
    rows = db.run(
        "SELECT min(started_at)::VARCHAR, min(finished_at)::VARCHAR FROM sync_runs WHERE run_id = ?", [run_id]
    )
    if rows[0][0] is None:
        return None
    values = {"run": run_id, "began": rows[0][0], "ended": rows[0][1]}
    seq = db.one(
        """SELECT max(seq) FROM store.raw SEMI JOIN (
            SELECT run_id, connection FROM sync_runs GROUP BY ALL
            HAVING max(finished_at) <= $began::TIMESTAMPTZ
                OR (run_id = $run AND max(finished_at) = $ended::TIMESTAMPTZ)) USING (run_id, connection)""",
        values,
    )
    reread = db.run(
        "SELECT connection FROM store.mappings WHERE applied_at > $began::TIMESTAMPTZ ORDER BY connection",
        {"began": rows[0][0]},
    )
    return Since(run_id, seq or 0, tuple(name for (name,) in reread))


def latest_runs(db: Database, count: int = 5) -> list[str]:
    """The newest runs that the file knows, the last one first."""
    rows = db.run(
        "SELECT run_id FROM sync_runs GROUP BY run_id ORDER BY max(finished_at) DESC, run_id LIMIT ?", [count]
    )
    return [run_id for (run_id,) in rows]


class Writer:
    """Writes tables of an open file into a folder. `connections` and `after` bound the rows; None bounds nothing."""

    def __init__(
        self,
        db: Database,
        folder: Path,
        form: Form,
        connections: Collection[str] | None = None,
        after: Since | None = None,
    ) -> None:
        self._db, self._folder, self._form = db, folder, form
        self._connections, self._after = connections, after

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Whatever has to stand around the tables: a target file, temporary tables, bounds of memory."""
        self._db.run(f"SET memory_limit = '{MEMORY}'")
        self._db.run(f"SET temp_directory = {literal(str(self._folder / SPILL))}")
        if self._after:
            self._note_changed(self._after)
        if self._form != "duckdb":
            yield
            return
        target = literal(str(self._folder / self.file("")))
        self._db.run(f"ATTACH {target} AS made (READ_WRITE, STORAGE_VERSION '{STORAGE}')")
        yield
        self._db.run("CHECKPOINT made")
        self._db.run("DETACH made")

    def file(self, table: str) -> str:
        """The name of the file that a table is written to."""
        return "onepipe.duckdb" if self._form == "duckdb" else f"{table}.{self._form}"

    def bounded(self, table: Table) -> bool:
        """Whether of a table only what changed is written."""
        return bool(self._after) and table.has("connection", "source_id") and table.name not in _ALWAYS_WHOLE

    def write(self, table: Table) -> int:
        """Write one table; how many rows. Raises UsageError for a user's view that fails."""
        query = f"SELECT * FROM {table.place} {self._where(table)} ORDER BY {_order(table)}"
        try:
            return self._copied(table, query) if self._form == "duckdb" else self._filed(table, query)
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.DataError) as error:
            if table.schema != "user":
                raise
            raise UsageError(f"{table.word} could not be exported: {error}") from error

    def _filed(self, table: Table, query: str) -> int:
        if self._form == "csv":  # ordered first: as texts 10 comes before 2
            query = f"SELECT {', '.join(map(_as_text, table.columns))} FROM ({query})"
        path = literal(str(self._folder / self.file(table.word)))
        return int(self._db.one(f"COPY ({query}) TO {path} ({_FORMATS[self._form]})"))

    def _copied(self, table: Table, query: str) -> int:
        schema = f"made.{quoted(table.schema)}"
        target = f"{schema}.{quoted(table.name)}"
        self._db.run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self._db.run(f"CREATE TABLE {target} AS {query}")
        self._db.run(f"COMMENT ON TABLE {target} IS {literal(table.comment)}")
        for column in table.columns:
            self._db.run(f"COMMENT ON COLUMN {target}.{quoted(column.name)} IS {literal(column.meaning)}")
        return int(self._db.one(f"SELECT count(*) FROM {target}"))

    def _where(self, table: Table) -> str:
        wanted = []
        if self._connections is not None and table.has("connection"):
            wanted.append(f"connection IN ({', '.join(map(literal, self._connections)) or 'NULL'})")
        if self.bounded(table):
            changed = "SELECT connection, source_id FROM temp.changed_deals"
            wanted.append(f"(source_id IS NULL OR (connection, source_id) IN ({changed}))")
        return f"WHERE {' AND '.join(wanted)}" if wanted else ""

    def _note_changed(self, after: Since) -> None:
        values: dict[str, Any] = {"seq": after.seq, "reread": list(after.reread)}
        self._db.run(
            """CREATE TEMP TABLE changed_deals AS
            SELECT connection, source_id FROM store.current WHERE seq > $seq OR list_contains($reread, connection)
            UNION SELECT connection, record_id FROM store.raw WHERE seq > $seq AND record_id IS NOT NULL""",
            values,
        )


def _order(table: Table) -> str:
    if table.schema == "user":
        return "ALL"
    if table.word in _ONE_A_DEAL:
        return "connection, source_id"
    found: Sequence[str] = next((columns for columns in _ORDERS if table.has(*columns)), ())
    return ", ".join(found) if found else "ALL"


def _as_text(column: model.Column) -> str:
    """SQL for a value as text in CSV: instants end in Z, lists and objects are JSON; an empty text is nothing."""
    return f"nullif({Column(column.name, column.type).as_text}, '') AS {quoted(column.name)}"

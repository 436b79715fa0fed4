"""DuckDB behind one small wrapper: opening, running, and saying in our words what went wrong.

Both 1.5 and 2.0 run every statement of ours; where their Python interfaces differ (2.0 streams a result and keeps the
connection busy until it is drained) the wrapper hides it. Instants leave as text: fetching a TIMESTAMPTZ needs pytz.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from onepipe.errors import ConfigError, DiskTrouble, UsageError

MEMORY = "512MB"  # peak use of the process ends 350-450 MB above it (measured, 1,000,000 rows)
STORAGE = "v1.5.0"  # files that 1.5 and 2.0 both read
ROWS_A_GROUP = 30_720  # a commit compresses the last, unfilled group again, so DuckDB's 122,880 is much for small ones
Rows = list[tuple[Any, ...]]
_DISK = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.FatalException)
_FULL = re.compile(
    r"No space left|File too large|Could not write|Input/output error|Checkpoint failed|disk quota", re.I
)


class Database:
    """One open DuckDB file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, defined: set[str] | None = None) -> None:
        self._connection = connection
        self._defined = set() if defined is None else defined
        self.made_temporary = False
        self.taken: Any = None  # what config.yaml and the files beside it said when it was last taken over

    def define(self, statements: Iterable[str]) -> None:
        """Run statements that create temporary macros, each once while the instance lives."""
        for statement in statements:
            if statement not in self._defined:
                self._connection.execute(statement)
                self._defined.add(statement)

    def run(self, sql: str, values: Mapping[str, Any] | list[Any] | None = None) -> Rows:
        """Execute one statement and fetch all its rows; values are always bound, never written into the text."""
        self.made_temporary |= " TEMP " in sql[:30]
        return self._connection.execute(sql, values if values else None).fetchall()

    def one(self, sql: str, values: Mapping[str, Any] | list[Any] | None = None) -> Any:
        """The first value of the first row, None where there is none."""
        rows = self.run(sql, values)
        return rows[0][0] if rows else None

    def tidy(self) -> None:
        """Drop temporary tables and views: the next user begins without them."""
        if self.made_temporary:
            _drop_temporary(self._connection)
            self.made_temporary = False

    def names(self, sql: str) -> list[str]:
        """The column names a query answers with."""
        return [row[0] for row in self.run(f"DESCRIBE {sql}")]

    def fill(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert a few rows that come from Python; large ones come from files."""
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing: rolls back on any error."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def stream(self, sql: str) -> tuple[list[tuple[str, str]], Iterator[tuple[Any, ...]]]:
        """Names and types of a user's query, and its rows, fetched in blocks. Raises UsageError in DuckDB's words."""
        try:
            cursor = self._connection.execute(sql)
            columns = [(str(column[0]), str(column[1])) for column in cursor.description or []]
            return columns, _blocks(cursor)
        except duckdb.Error as error:
            raise UsageError(str(error)) from error


def _blocks(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while True:
        try:
            block = cursor.fetchmany(2_000)
        except duckdb.Error as error:
            raise UsageError(str(error)) from error
        if not block:
            return
        yield from block


class Engine:
    """A DuckDB instance that opens one work file after the other: starting one costs 20 ms, attaching a file 2 ms.

    Used by one thread at a time. Nothing is held between two uses but the instance itself and its temporary macros;
    an error throws it away.
    """

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._defined: set[str] = set()

    def close(self) -> None:
        """Give the instance's memory and threads back; the next use starts another one."""
        connection, self._connection = self._connection, None
        self._defined = set()
        if connection is not None:
            connection.close()

    @contextmanager
    def writing(self, path: Path, memory: str = MEMORY) -> Iterator[Database]:
        """Open a file for writing; checkpointed and closed at the end, so that a copy of the file is whole.

        Raises ConfigError where the path is not a DuckDB file, DiskTrouble where it cannot be written.
        """
        try:
            with _translated(path):
                connection = self._attach(path, memory)
                database = Database(connection, self._defined)
                yield database
                database.tidy()
                _detach(connection)
        except BaseException:
            self.close()
            raise

    def _attach(self, path: Path, memory: str) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            # A transaction larger than the threshold goes straight into the file at COMMIT, without a copy in the log.
            config = {
                "memory_limit": memory,
                "checkpoint_threshold": "1MB",
                "temp_directory": f"{path}.tmp",
            }
            self._connection = _connected(path, ":memory:", read_only=False, config=config)
        file = f"'{str(path).replace(chr(39), chr(39) * 2)}'"
        how = f"STORAGE_VERSION '{STORAGE}', ROW_GROUP_SIZE {ROWS_A_GROUP}"
        try:
            self._connection.execute(f"ATTACH {file} AS work ({how})")
        except duckdb.Error as error:
            raise _refused(path, error) from error
        self._connection.execute("USE work")
        return self._connection


def _drop_temporary(connection: duckdb.DuckDBPyConnection) -> None:
    tables = "SELECT table_name FROM duckdb_tables() WHERE temporary"
    views = "SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal"
    for kind, names in (("VIEW", views), ("TABLE", tables)):
        for (name,) in connection.execute(names).fetchall():
            connection.execute(f'DROP {kind} temp."{name}"')


def _detach(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CHECKPOINT work")
    connection.execute("USE memory")
    connection.execute("DETACH work")


@contextmanager
def reading(path: Path, fenced: bool = False) -> Iterator[Database]:
    """Open a file read-only. `fenced`: a user's SQL runs there, and may not reach outside or change settings."""
    with _opened(path, str(path), read_only=True, config={}) as connection:
        if fenced:
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        yield Database(connection)


@contextmanager
def _opened(path: Path, name: str, *, read_only: bool, config: dict[str, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = _connected(path, name, read_only=read_only, config=config)
    try:
        with _translated(path):
            yield connection
    finally:
        connection.close()


def _connected(path: Path, name: str, *, read_only: bool, config: dict[str, str]) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(name, read_only=read_only, config=dict(config))
    except duckdb.Error as error:
        raise _refused(path, error) from error
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # 1.5 draws one on stdout where Python looks interactive
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        if not (isinstance(error, _DISK) or _FULL.search(str(error))):
            raise
        raise DiskTrouble(
            f"{path} could not be read or written: {error}",
            "what was committed before is safe; free space on that disk and run again",
        ) from error


def _refused(path: Path, error: duckdb.Error) -> Exception:
    text = str(error)
    if "lock" in text:
        return DiskTrouble(
            f"{path} is held open by another program: {text.splitlines()[0]}",
            "close it there, or open the published warehouse with `duckdb -readonly` instead",
        )
    if isinstance(error, duckdb.IOException) and ("not a valid" in text or "version number" in text):
        return ConfigError(f"{path} is not a DuckDB file that this version reads: {text.splitlines()[0]}")
    return DiskTrouble(f"{path} could not be opened: {text.splitlines()[0]}")

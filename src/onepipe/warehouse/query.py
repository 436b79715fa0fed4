"""A user's SQL on the published warehouse: one statement, read-only, every value answered as exact text.

DuckDB itself turns values into text, so that no DECIMAL passes through a float and no instant through Python, and a
user's query stays what it is: it stands unchanged inside of ours.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from onepipe.errors import UsageError
from onepipe.warehouse.database import Database
from onepipe.warehouse.schema import literal, quoted
from onepipe.warehouse.snapshot import left_out
from onepipe.warehouse.work import published

_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT")
_NUMBER = re.compile(r"U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|BIGNUM|DECIMAL\(.*\)")
_INSTANT = "regexp_replace(strftime({0}, '%Y-%m-%dT%H:%M:%S.%f'), '\\.000000$', '')"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an answer: its name, unique in the answer, and DuckDB's type."""

    name: str
    type: str

    @property
    def is_number(self) -> bool:
        """Whether its text is a number."""
        return _NUMBER.fullmatch(self.type) is not None

    @property
    def is_json(self) -> bool:
        """Whether its text is JSON: a JSON value, a list, a struct, a truth value."""
        return self.type in ("JSON", "BOOLEAN") or self._is_nested

    @property
    def as_text(self) -> str:
        """The SQL that writes it as text; instants as ISO 8601."""
        name = quoted(self.name)
        if self.type.startswith("TIMESTAMP"):
            return _INSTANT.format(name) + (" || 'Z'" if self.type.endswith("ZONE") else "")
        return f"to_json({name})::VARCHAR" if self._is_nested else f"{name}::VARCHAR"

    @property
    def _is_nested(self) -> bool:
        return self.type.startswith(_NESTED) or self.type.endswith("]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query answers: rows of texts, None for NULL."""

    columns: list[Column]
    rows: Iterator[tuple[str | None, ...]]


class Desk:
    """Where a user's SQL is run. Every error of it is a UsageError in DuckDB's words.

    `left_out` is what the file was published without: `raw`, and columns.
    """

    def __init__(self, db: Database, left_out: Sequence[str] = ()) -> None:
        self._db = db
        self.left_out = left_out

    def ask(self, sql: str) -> Answer:
        """Run one statement; its rows are fetched as they are taken."""
        query, is_select = _one_statement(sql)
        if not is_select:  # EXPLAIN, PRAGMA and the like cannot stand inside of another; what writes is refused here
            names, rows = self._db.stream(query)
            columns = [Column(*name) for name in names]
            return Answer(columns, (tuple(None if value is None else str(value) for value in row) for row in rows))
        columns = self._columns(query)
        wanted = ", ".join(f"{column.as_text} AS {quoted(column.name)}" for column in columns)
        with _their_lines():
            _, rows = self._db.stream(f"SELECT {wanted} FROM (\n{query}\n) AS query({_names(columns)})")
        return Answer(columns, _told(rows))

    def save(self, sql: str, target: Path) -> None:
        """Write the answer of one SELECT to a Parquet file, with DuckDB's own types."""
        query, is_select = _one_statement(sql)
        if not is_select:
            raise UsageError("Only the answer of a SELECT can be written as Parquet; nothing was run.")
        names = _names(self._columns(query))
        into = f"TO {literal(str(target))} (FORMAT parquet, USE_TMP_FILE false)"
        with _their_lines():
            list(self._db.stream(f"COPY (FROM (\n{query}\n) AS query({names})) {into}")[1])

    def _columns(self, query: str) -> list[Column]:
        with _their_lines():
            columns, rows = self._db.stream(f"SELECT * FROM (\n{query}\n) LIMIT 0")
            list(rows)
        return [Column(name, type_) for name, type_ in columns]


@contextmanager
def open_desk(warehouse: Path, target: Path | None = None) -> Iterator[Desk]:
    """The published warehouse, fenced: a query reaches no other file but `target`, and changes no setting.

    Raises ConfigError where nothing is published yet.
    """
    with published(warehouse, fenced=False) as db:
        lacks = left_out(db)
        if target:
            db.run(f"SET allowed_paths = [{literal(str(target))}]")
        db.run("SET enable_external_access = false")
        db.run("SET lock_configuration = true")
        yield Desk(db, lacks.split(", ") if lacks else ())


@contextmanager
def scratch() -> Iterator[Database]:
    """An empty database in memory, for SQL that needs no file."""
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield Database(connection)
    finally:
        connection.close()


def _one_statement(sql: str) -> tuple[str, bool]:
    """The only statement of a text, and whether it is a SELECT. Raises UsageError."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise UsageError(str(error)) from error
    if not statements:
        raise UsageError("There is no SQL to run.", 'Write a query: onepipe sql "FROM opportunities LIMIT 5"')
    if len(statements) > 1:
        raise UsageError(f"These are {len(statements)} statements, and one is run at a time; nothing was run.")
    query = _without_semicolon(sql)
    # 1.5 turns a PRAGMA into a SELECT, but only where it stands alone.
    is_select = statements[0].type == duckdb.StatementType.SELECT and not query.lower().startswith("pragma")
    return query, is_select


def _without_semicolon(sql: str) -> str:
    """The text up to a semicolon that is one: not in a string, a name or a comment. Tokens are placed by bytes."""
    text = sql.lstrip("; \t\r\n").encode()
    ends = [place for place, _ in duckdb.tokenize(text.decode()) if text[place : place + 1] == b";"]
    return text[: ends[0]].decode() if ends else text.decode()


def _names(columns: list[Column]) -> str:
    return ", ".join(quoted(column.name) for column in columns)


def _told(rows: Iterator[tuple[str | None, ...]]) -> Iterator[tuple[str | None, ...]]:
    with _their_lines():
        yield from rows


@contextmanager
def _their_lines() -> Iterator[None]:
    """Errors count lines of the user's query, which begins on the second line of ours."""
    try:
        yield
    except UsageError as error:
        told = re.sub(r"^LINE (\d+):", lambda found: f"LINE {int(found[1]) - 1}:", error.message, flags=re.MULTILINE)
        raise UsageError(told, error.hint) from error

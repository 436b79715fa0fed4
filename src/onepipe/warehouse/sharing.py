"""A snapshot that may be shared: a file made anew, without raw and without the columns that config.yaml leaves out.

What is left out is never written into the new file, so no page of it can hold it still; dropping it from a copy would
leave the bytes where they were. Tables of `store` are filled only where a view or macro reads them. Only what is named
is left out: a telephone number that somebody typed into a description stays, unless `description` is named, too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onepipe.model import CHILDREN, POSITION
from onepipe.warehouse.database import Database, Engine
from onepipe.warehouse.schema import RAW, literal, quoted

_ALWAYS = ("store.meta", "store.laid_out", "store.mappings", "store.stage_statuses")
_KEPT = {  # all that field_changes and `onepipe export --changed-since` need of these
    "store.raw": ("connection", "resource", "record_id", "run_id", "seq"),
    "store.mappings": ("connection", "version", "applied_at"),
}
_NOT_DEALS = ("connections", "coverage", "sync_runs")  # their columns mean something else by the same names
_TOLD = {  # a row is about one field; these are its values
    "problems": ("value",),
    "conflicts": ("base", "ours", "theirs", "resolution"),
}
_MADE_OF = {  # columns of frozen tables
    "weighted_amount": ("amount", "probability"),
    "reporting_amount": ("amount",),
    "reporting_weighted_amount": ("amount", "probability"),
    "statuses": ("pipeline", "stage", "status"),
}
_STORED = re.compile(r'\bstore\."?(\w+)')


@dataclass(frozen=True, slots=True)
class _Table:
    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def place(self) -> str:
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def word(self) -> str:
        return self.name if self.schema == "main" else f"{self.schema}.{self.name}"

    def has(self, column: str) -> bool:
        return any(name == column for name, _ in self.columns)


def make(whole: Path, target: Path, left_out: Sequence[str]) -> list[str]:
    """Write the file; which names in `left_out` no table has. `whole` is a closed snapshot. Raises DiskTrouble."""
    engine = Engine()
    try:
        with engine.writing(target) as db:
            db.run(f"ATTACH {literal(str(whole))} AS whole (READ_ONLY)")
            db.run("COPY FROM DATABASE whole TO work (SCHEMA)")  # views, macros and comments come along
            tables, read = _tables(db), _read_by_views(db)
            for table in tables:
                if table.schema != "store" or table.word in _ALWAYS or table.name in read:
                    _fill(db, table, left_out)
            _empty_raw(db)
            db.run("DETACH whole")
    finally:
        engine.close()
    return [name for name in left_out if not _known(name, tables)]


def _tables(db: Database) -> list[_Table]:
    rows = db.run(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index), "
        "list(data_type ORDER BY column_index) FROM duckdb_columns() JOIN duckdb_tables() "
        "USING (database_name, schema_name, table_name) "
        "WHERE database_name = 'work' GROUP BY ALL ORDER BY ALL"
    )
    return [_Table(schema, name, tuple(zip(names, types, strict=True))) for schema, name, names, types in rows]


def _read_by_views(db: Database) -> set[str]:
    """The tables of `store` that a view or macro names."""
    rows = db.run(
        "SELECT sql FROM duckdb_views() WHERE database_name = 'work' UNION ALL SELECT macro_definition "
        "FROM duckdb_functions() WHERE database_name = 'work' AND macro_definition IS NOT NULL"
    )
    return {name for (text,) in rows for name in _STORED.findall(text)}


def _fill(db: Database, table: _Table, left_out: Sequence[str]) -> None:
    values = ", ".join(_value(table, name, type_, left_out) for name, type_ in table.columns)
    db.run(f"INSERT INTO work.{table.place} SELECT {values} FROM whole.{table.place}")


def _empty_raw(db: Database) -> None:
    """Make raw.records a view without rows; what its columns mean stays told."""
    ((text, comment),) = db.run(
        "SELECT sql, comment FROM duckdb_views() WHERE database_name = 'work' AND schema_name = 'raw' "
        "AND view_name = 'records'"
    )
    query = text.rstrip("; \n").partition(" AS ")[2]
    db.run(f"CREATE OR REPLACE VIEW raw.records AS SELECT * FROM ({query}) WHERE false")
    db.run(f"COMMENT ON VIEW raw.records IS {literal(f'{comment}; not in this file')}")
    for column in RAW:
        db.run(f"COMMENT ON COLUMN raw.records.{quoted(column.name)} IS {literal(column.meaning)}")


def _value(table: _Table, name: str, type_: str, left_out: Sequence[str]) -> str:
    """SQL for what a column of a table becomes."""
    if table.word in _KEPT:
        kept = name in _KEPT[table.word]
    elif table.word in _TOLD:
        return _of_a_field(table, name, left_out)
    elif table.word == "pushes":
        return _of_a_push(name, left_out)
    elif table.word == "about" and name == "left_out":
        return literal(", ".join(left_out))
    elif type_.startswith("STRUCT") and name in CHILDREN and name not in left_out:
        return _children(name, left_out)
    else:
        kept = name != "payload" and not _is_left_out(table, name, left_out)
    return quoted(name) if kept else "NULL"


def _is_left_out(table: _Table, name: str, left_out: Sequence[str]) -> bool:
    """Whether a column of a table is left out, or was made of one that is: what was frozen is not computed anew."""
    if table.schema == "frozen" and any(one in left_out for one in _MADE_OF.get(name, ())):
        return True
    return table.has("connection") and table.word not in _NOT_DEALS and name in left_out


def _of_a_field(table: _Table, name: str, left_out: Sequence[str]) -> str:
    """A column of a table whose rows are about one field each.

    A row without a field, about a record without an id, or about one that is no record, may hold all that was sent.
    """
    if name not in _TOLD[table.name]:
        return quoted(name)
    hidden = f"{_hides('field', left_out)} OR coalesce(field, '') IN ('', 'source_id', 'payload')"
    return f"CASE WHEN {hidden} THEN NULL ELSE {quoted(name)} END"


def _of_a_push(name: str, left_out: Sequence[str]) -> str:
    """A column of `pushes`: of an action only that it was done; of other pushes each field by itself."""
    keys = "json_keys(coalesce(fields, '{}'))"
    if name == "request":
        return "NULL"
    if name == "message":
        hidden = f"len(list_filter({keys}, lambda k: {_hides('k', left_out)})) > 0"
        return f"CASE WHEN op = 'call' OR {hidden} THEN NULL ELSE message END"
    if name != "fields":
        return quoted(name)
    pointer = "'/' || replace(replace(k, '~', '~0'), '/', '~1')"
    state = f"json_object('state', json_extract_string(fields, {pointer} || '/state'))::VARCHAR"
    whole = f"json_extract(fields, {pointer})::VARCHAR"
    pairs = (
        f"list_transform({keys}, lambda k: to_json(k)::VARCHAR || ':' || "
        f"CASE WHEN {_hides('k', left_out)} THEN {state} ELSE {whole} END)"
    )
    return f"CASE WHEN op = 'call' OR fields IS NULL THEN NULL ELSE '{{' || array_to_string({pairs}, ',') || '}}' END"


def _hides(field: str, left_out: Sequence[str]) -> str:
    """SQL: whether a field, as edits and problems name it (`custom.Region`, `contacts[2].email`), is left out.

    So is a list as a whole, or an element of it, whose values hold a column that is left out.
    """
    bare = rf"regexp_replace({field}, '\[\d+\]', '', 'g')"
    names = [*left_out, *(name.partition(".")[0] for name in left_out)]
    inside, whole = (f"[{', '.join(map(literal, dict.fromkeys(one)))}]" for one in (left_out, names))
    return f"(list_contains({inside}, split_part({bare}, '.', 1)) OR list_contains({whole}, {bare}))"


def _children(name: str, left_out: Sequence[str]) -> str:
    """A version's children, without those columns of theirs that are left out."""
    columns = (POSITION, *CHILDREN[name].columns)
    if not any(f"{name}.{column.name}" in left_out for column in columns):
        return quoted(name)
    parts = ", ".join(
        f"{quoted(one.name)}: " + ("NULL" if f"{name}.{one.name}" in left_out else f"c.{quoted(one.name)}")
        for one in columns
    )
    return f"list_transform({quoted(name)}, lambda c: {{{parts}}})"


def _known(name: str, tables: Sequence[_Table]) -> bool:
    child, _, column = name.partition(".")
    if name == "raw" or child in CHILDREN:
        return column == "" or any(one.name == column for one in CHILDREN[child].columns)
    return any(table.has(name) for table in tables)

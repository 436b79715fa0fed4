"""Where else a person may stand: rows of pushes and conflicts, frozen days, and any text of any table."""

import json
from collections.abc import Sequence
from typing import Any

from onepipe.model import NESTED
from onepipe.redaction import PERSONAL, Addresses, fields_of, is_figure, without
from onepipe.warehouse.database import Database
from onepipe.warehouse.layout import typed
from onepipe.warehouse.schema import literal, quoted

# Names, ids and hashes by which rows are found; and what people wrote into files of their own, which say it anew.
_KEYS = ("connection", "connector", "source_id", "record_id", "run_id", "push_id", "conflict_id", "payload_hash")
_NOT_OURS = ("store.mappings", "store.people", "store.stage_decisions", "store.stage_statuses", "main.connections")
_DONE = ("store.raw", "store.details", "main.erasures")  # by the redaction itself; those who were erased, by no name


def versions(db: Database, connection: str, deals: Sequence[str]) -> None:
    """Blank what versions of these deals say beside figures, where they cannot be read again."""
    names = [*PERSONAL, *(column.name for column in (*NESTED, *typed(db)))]
    for table in ("current", "closed"):
        _nothing(db, f"store.{table}", names, connection, deals)
    db.run(
        "DELETE FROM problems WHERE connection = $connection AND list_contains($deals, source_id)",
        {"connection": connection, "deals": list(deals)},
    )


def beside(db: Database, connection: str, deals: Sequence[str]) -> None:
    """Blank what pushes, conflicts and frozen days say of these deals beside figures."""
    values = {"connection": connection, "deals": list(deals)}
    own = "connection = $connection AND list_contains($deals, source_id)"
    for push, at, op, fields in db.run(
        f"SELECT push_id, created_at::VARCHAR, op, fields FROM pushes WHERE {own} AND (request IS NOT NULL "
        "OR reason IS NOT NULL OR message IS NOT NULL OR fields IS NOT NULL)",
        values,
    ):
        left = json.dumps(fields_of(op, json.loads(fields)), ensure_ascii=False) if fields else None
        db.run(
            "UPDATE pushes SET fields = ?, request = NULL, reason = NULL, message = NULL "
            "WHERE push_id = ? AND created_at::VARCHAR = ?",
            [left, push, at],
        )
    db.run(f"UPDATE conflicts SET reason = NULL, why = NULL WHERE {own}", values)
    fields = [field for (field,) in db.run(f"SELECT DISTINCT field FROM conflicts WHERE {own}", values)]
    db.run(
        f"UPDATE conflicts SET base = NULL, ours = NULL, theirs = NULL, resolution = NULL WHERE {own} "
        "AND (kind = 'lost' OR list_contains($hidden, field))",
        values | {"hidden": [one for one in fields if not is_figure(one)]},
    )
    db.run(
        "UPDATE store.pushed SET reason = '' WHERE connection = $connection AND seq IN "
        "(SELECT seq FROM store.raw WHERE connection = $connection AND list_contains($deals, record_id))",
        values,
    )
    for name, columns in _tables(db).items():
        if name.startswith('"frozen".') and {"connection", "source_id"} <= columns.keys():
            _nothing(db, name, [one for one in columns if one in PERSONAL or one.startswith("x_")], connection, deals)


def _nothing(db: Database, place: str, names: Sequence[str], connection: str, deals: Sequence[str]) -> None:
    told = " OR ".join(f"{quoted(name)} IS NOT NULL" for name in names)
    if not names or not deals:
        return
    db.run(
        f"UPDATE {place} SET {', '.join(f'{quoted(name)} = NULL' for name in names)} "
        f"WHERE connection = $connection AND list_contains($deals, source_id) AND ({told})",
        {"connection": connection, "deals": list(deals)},
    )


def texts(db: Database, connection: str | None, addresses: Addresses, hints: Sequence[str]) -> int:
    """Blank every text of every table in which an erased address stands; how many texts that were.

    Of one connection, or (None) of the tables whose rows belong to none.
    """
    blanked = 0
    for place, columns in _tables(db).items():
        bare = place.replace('"', "")
        names = [name for name, type_ in columns.items() if name not in _KEYS and _is_text(type_)]
        if bare in (*_NOT_OURS, *_DONE) or not names or ("connection" in columns) != (connection is not None):
            continue
        own = f"connection = {literal(connection)} AND" if connection is not None else ""
        for name in names:
            blanked += _column(db, place, name, columns[name], own, addresses, hints)
    return blanked


def _column(
    db: Database, place: str, name: str, type_: str, own: str, addresses: Addresses, hints: Sequence[str]
) -> int:
    text = f"{quoted(name)}::VARCHAR"
    suspect = f"len(list_filter($texts::VARCHAR[], lambda t: NOT contains(lower({text}), t))) = 0"
    values = db.run(
        f"SELECT DISTINCT {text} FROM {place} WHERE {own} {suspect} AND regexp_matches({text}, '@|%|&|u0040')",
        {"texts": list(hints)},
    )
    held = [value for (value,) in values if addresses.known(value)]
    for value in held:
        db.run(f"UPDATE {place} SET {quoted(name)} = ? WHERE {own} {text} = ?", [_left(type_, value, addresses), value])
    return len(held)


def _left(type_: str, value: str, addresses: Addresses) -> Any:
    """What stays of a text: of JSON all but the texts in it that hold an address."""
    if type_ != "JSON":
        return None
    try:
        return json.dumps(without(addresses, json.loads(value)), ensure_ascii=False)
    except ValueError:
        return None


def _is_text(type_: str) -> bool:
    return type_ in ("VARCHAR", "JSON") or type_.endswith("[]")


def _tables(db: Database) -> dict[str, dict[str, str]]:
    """Every table's columns with their types."""
    rows = db.run(
        "SELECT schema_name, table_name, list(column_name ORDER BY column_index), "
        "list(data_type ORDER BY column_index) FROM duckdb_columns() JOIN duckdb_tables() "
        "USING (database_name, schema_name, table_name) WHERE database_name = current_database() AND NOT temporary "
        "GROUP BY ALL ORDER BY ALL"
    )
    return {
        f"{quoted(schema)}.{quoted(table)}": dict(zip(names, types, strict=True))
        for schema, table, names, types in rows
    }

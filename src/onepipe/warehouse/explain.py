"""Everything the warehouse knows of one record: its versions, what each was made of, and what still waits for it."""

import json
from typing import Any

from onepipe.model import CHILDREN, MAPPED, NESTED, Column
from onepipe.warehouse.changes import as_json
from onepipe.warehouse.database import Database, Rows
from onepipe.warehouse.layout import typed
from onepipe.warehouse.schema import quoted

NEAR = 5
Row = dict[str, Any]

_INSTANT = "regexp_replace(strftime({}, '%Y-%m-%dT%H:%M:%S.%f'), '\\.000000$', '') || 'Z'"
_OBJECTS = ("custom", "extra")
_THIS = "connection = $connection AND source_id = $source_id"
_KEYS = (
    *("version", "valid_from", "valid_to", "recorded_at", "change_origin", "changed_fields", "mapping_version"),
    *("payload_hash", "is_deleted", "deleted_at", "evidence", "seq", "payload_seq", "connector", "first_seen_at"),
    *("payload", "values"),
)


def record(db: Database, connection: str, source_id: str) -> Row | None:
    """One record and all its versions, oldest first; None where it was never seen. Instants are ISO texts in UTC."""
    known = _versions(db, connection, source_id)
    if not known:
        return None
    rows = _raw(db, connection, source_id, known)
    runs = _runs(db, connection, source_id, {row["run_id"] for row in rows.values()})
    unreadable = _unreadable(db, connection, source_id)
    newest = known[-1]
    ends = [*(one["seq"] for one in known[1:]), None]
    versions = [
        {
            **{key: one[key] for key in ("version", "valid_from", "valid_to", "recorded_at", "change_origin")},
            "changes": _changes(before, one) if before else [],
            "unseen_changes": _unseen(before, one) if before else [],
            "deleted": {"at": one["deleted_at"], "evidence": one["evidence"]} if one["is_deleted"] else None,
            "run": runs.get(rows[one["seq"]]["run_id"]) if one["seq"] in rows else None,
            "began_with": rows.get(one["seq"]),
            "read_from": rows.get(one["payload_seq"]),
            "details": [row for row in rows.values() if row["is_detail"] and _within(row["seq"], one["seq"], end)],
            "mapping_version": one["mapping_version"],
            "unreadable": unreadable.get(one["payload_hash"], []),
        }
        for before, one, end in zip([None, *known], known, ends, strict=False)
    ]
    values = newest["values"]
    return {
        "connection": connection,
        "source_id": source_id,
        "connector": newest["connector"],
        "state": "deleted" if newest["is_deleted"] else "archived" if values["is_archived"] == "true" else "live",
        "first_seen_at": newest["first_seen_at"],
        "now": {column.name: _typed(column, values[column.name]) for column in _columns(db)},
        "versions": versions,
        "late": _late(db, connection, source_id),
        "owed": _owed(db, connection, source_id),
        "notes": _notes(db, connection, source_id),
    }


def near(db: Database, connection: str, source_id: str) -> list[str]:
    """Ids of the connection that resemble one that is not there, the nearest first."""
    rows = db.run(
        "SELECT source_id FROM store.current WHERE connection = $connection AND (contains(source_id, $id) "
        "OR levenshtein(lower(source_id), lower($id)) <= greatest(1, len($id) // 3)) "
        "ORDER BY levenshtein(lower(source_id), lower($id)), source_id LIMIT $limit",
        {"connection": connection, "id": source_id, "limit": NEAR},
    )
    return [key for (key,) in rows]


def elsewhere(db: Database, source_id: str) -> list[str]:
    """Connections that do have a record of this id, by name."""
    rows = db.run("SELECT connection FROM store.current WHERE source_id = ? ORDER BY ALL LIMIT 5", [source_id])
    return [name for (name,) in rows]


def _versions(db: Database, connection: str, source_id: str) -> list[Row]:
    values = ", ".join(f"{quoted(column.name)}: {_text(column)}" for column in _columns(db))
    times = {name: _INSTANT.format(f"v.{name}") for name in ("valid_from", "valid_to", "recorded_at", "deleted_at")}
    rows = db.run(
        f"""SELECT v.version, {times["valid_from"]}, {times["valid_to"]}, {times["recorded_at"]}, v.change_origin,
               v.changed_fields, v.mapping_version, v.payload_hash, v.is_deleted, {times["deleted_at"]},
               v.deleted_evidence, v.seq, v.payload_seq, v.connector, {_INSTANT.format("v.first_seen_at")},
               r.payload, to_json({{{values}}})::VARCHAR
        FROM (SELECT * FROM store.closed WHERE {_THIS}
              UNION ALL BY NAME SELECT * FROM store.current WHERE {_THIS}) v
        LEFT JOIN store.raw r ON r.seq = v.payload_seq ORDER BY v.version""",
        {"connection": connection, "source_id": source_id},
    )
    found = [dict(zip(_KEYS, row, strict=True)) for row in rows]
    return [one | {"values": json.loads(one["values"])} for one in found]


def _columns(db: Database) -> tuple[Column, ...]:
    """What is read from a record; a file of an older onepipe may lack the lists of its children."""
    there = db.names("SELECT * FROM store.current")
    return (*MAPPED, *(column for column in NESTED if column.name in there), *typed(db))


def _text(column: Column) -> str:
    """SQL for a column's value as text; instants as ISO 8601, lists as JSON."""
    name = f"v.{quoted(column.name)}"
    if column.name in CHILDREN:
        return as_json(name, CHILDREN[column.name])
    if column.type == "TIMESTAMPTZ":
        return _INSTANT.format(name)
    return f"to_json({name})::VARCHAR" if column.type.endswith("]") else f"{name}::VARCHAR"


def _changes(before: Row, after: Row) -> list[Row]:
    """What changed: field, old and new as text; of `custom` and `extra` each key by itself, `custom.Region`."""
    found = []
    for name in after["changed_fields"]:
        if name == "is_deleted":
            old, new = ("true" if one["is_deleted"] else "false" for one in (before, after))
            found.append({"field": name, "old": old, "new": new})
        elif name in _OBJECTS:
            olds, news = (_opened(one["values"][name]) for one in (before, after))
            keys = [key for key in {**olds, **news} if olds.get(key) != news.get(key)]
            found += [{"field": f"{name}.{key}", "old": olds.get(key), "new": news.get(key)} for key in keys]
        else:
            found.append({"field": name, "old": before["values"][name], "new": after["values"][name]})
    return found


def _unseen(before: Row, after: Row) -> list[str]:
    """The payload's keys that differ where no column does."""
    if after["changed_fields"] or before["payload_seq"] == after["payload_seq"]:
        return []
    old, new = _opened(before["payload"]), _opened(after["payload"])
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]


def _opened(text: str | None) -> dict[str, str]:
    """A JSON object's values, each as text."""
    data = json.loads(text or "{}", parse_float=str, parse_int=str)
    if not isinstance(data, dict):
        return {}
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for key, value in data.items()
    }


def _typed(column: Column, text: str | None) -> Any:
    """A value for JSON: objects, lists and truth values as such, all else as text, so that no digit is lost."""
    if text is None or not (column.type in ("JSON", "BOOLEAN") or column.type.endswith("]")):
        return text
    return json.loads(text, parse_float=_number)


def _number(text: str) -> float | str:
    return float(text) if repr(float(text)) == text else text


def _within(seq: int, begin: int, end: int | None) -> bool:
    return begin <= seq and (end is None or seq < end)


def _raw(db: Database, connection: str, source_id: str, versions: list[Row]) -> dict[int, Row]:
    """By seq: the raw rows that versions began with and were read from, and all details of the record."""
    rows = db.run(
        f"""SELECT seq, resource, record_id, kind, origin, payload_hash, {_INSTANT.format("fetched_at")}, run_id, owed,
               resource <> 'opportunity' AND record_id = $source_id AND resource NOT IN
                   (SELECT resource FROM store.reference WHERE connection = $connection) AS is_detail
        FROM store.raw WHERE connection = $connection AND (is_detail OR list_contains($rows, seq)) ORDER BY seq""",
        {
            "connection": connection,
            "source_id": source_id,
            "rows": sorted({one[key] for one in versions for key in ("seq", "payload_seq")}),
        },
    )
    keys = (
        *("seq", "resource", "record_id", "kind", "origin", "payload_hash", "fetched_at", "run_id"),
        *("completed", "is_detail"),
    )
    return {row[0]: dict(zip(keys, row, strict=True)) for row in rows}


def _runs(db: Database, connection: str, source_id: str, runs: set[str]) -> dict[str, Row]:
    """The runs of these ids, as far as they came to be recorded; one that was killed has its id alone.

    A push that the record was part of has the command push, and no more.
    """
    rows = db.run(
        f"""SELECT run_id, any_value(command), any_value(status), {_INSTANT.format("min(started_at)")},
               {_INSTANT.format("max(finished_at)")}, sum(requests)::BIGINT
        FROM sync_runs WHERE connection = $connection AND list_contains($runs, run_id) GROUP BY run_id""",
        {"connection": connection, "runs": sorted(runs)},
    )
    keys = ("run_id", "command", "status", "started_at", "finished_at", "requests")
    pushes = {run for (run,) in _if_there(db, "pushes", "SELECT DISTINCT run_id", "", connection, source_id)}
    unrecorded = {
        run: dict.fromkeys(keys) | {"run_id": run, "command": "push" if run in pushes else None} for run in runs
    }
    return unrecorded | {row[0]: dict(zip(keys, row, strict=True)) for row in rows}


def _unreadable(db: Database, connection: str, source_id: str) -> dict[str, list[Row]]:
    """What could not be read, by payload hash."""
    rows = db.run(
        f"SELECT payload_hash, field, value, reason FROM problems WHERE {_THIS} ORDER BY field",
        {"connection": connection, "source_id": source_id},
    )
    found: dict[str, list[Row]] = {}
    for payload_hash, field, value, reason in rows:
        found.setdefault(payload_hash, []).append({"field": field, "value": value, "reason": reason})
    return found


def _late(db: Database, connection: str, source_id: str) -> list[Row]:
    times = ", ".join(_INSTANT.format(name) for name in ("updated_at", "cursor_at", "seen_at"))
    rows = _if_there(
        db, "late_rows", f"SELECT kind, {times}, late_by, found_by, run_id", "ORDER BY seen_at", connection, source_id
    )
    keys = ("kind", "updated_at", "cursor_at", "seen_at", "late_by", "found_by", "run_id")
    return [dict(zip(keys, row, strict=True)) for row in rows]


def _owed(db: Database, connection: str, source_id: str) -> list[str]:
    """The details that are still to be read."""
    rows = _if_there(db, "debts", "SELECT DISTINCT detail", "ORDER BY detail", connection, source_id)
    return [detail for (detail,) in rows]


def _notes(db: Database, connection: str, source_id: str) -> list[Row]:
    """Where else its id is written down: `unlisted`, `suspect`, `acknowledged`, each with since when."""
    found = []
    for table, column, note in (
        ("unlisted", "asked_at", "unlisted"),
        ("suspects", "found_at", "suspect"),
        ("acknowledged", "since", "acknowledged"),
    ):
        rows = _if_there(db, table, f"SELECT {_INSTANT.format(column)}", "", connection, source_id)
        found += [{"note": note, "since": since} for (since,) in rows[:1]]
    return found


def _if_there(db: Database, table: str, select: str, order: str, connection: str, source_id: str) -> Rows:
    """Rows of one record from a table that a file of an older onepipe may lack."""
    schema = db.one("SELECT schema_name FROM duckdb_tables() WHERE table_name = ?", [table])
    if schema is None:
        return []
    return db.run(
        f"{select} FROM {quoted(schema)}.{table} WHERE {_THIS} {order}",
        {"connection": connection, "source_id": source_id},
    )

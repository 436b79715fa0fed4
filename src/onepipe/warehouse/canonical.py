"""Single records as the warehouse knows them, and stored payloads read through a mapping, as Python values.

This is how an edit's base comes to be: kept as it was sent, read through whatever mapping is in force when it is
needed. Works on the work file and on the published one; nothing is written but temporary tables.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import onepipe.mapping as mapped
from onepipe.merge import MISSING
from onepipe.model import MAPPED, Column
from onepipe.records import Stored
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import iso, moment
from onepipe.warehouse.schema import quoted
from onepipe.warehouse.versions import Payloads, Reading, read

_UNTOLD = ("custom", "tags")  # NULL in these says that the CRM was not asked or does not tell; none at all is empty
_LABELS = {"pipeline_id": "pipeline", "owner_id": "owner", "company_id": "company", "contact_id": "contact"}


@dataclass(frozen=True, kw_only=True)
class Known:
    """A record's current version; its payload is the last one fetched, where it is deleted by now."""

    record: Stored
    is_deleted: bool


def newest(db: Database, connection: str, source_ids: Iterable[str]) -> dict[str, Known]:
    """The current version of each of these records, by id, with what its details last answered; unknown ids lack."""
    values = {"connection": connection, "ids": list(source_ids)}
    wanted = "connection = $connection AND source_id IN (SELECT unnest($ids::VARCHAR[]))"
    details: dict[str, dict[str, str]] = {}
    for source_id, detail, payload in db.run(
        f"SELECT source_id, detail, payload FROM store.details WHERE {wanted}", values
    ):
        details.setdefault(source_id, {})[detail] = payload
    rows = db.run(
        f"SELECT c.source_id, r.payload, c.payload_hash, {iso('greatest(c.recorded_at, r.fetched_at)')}, c.is_deleted "
        f"FROM (SELECT * FROM store.current WHERE {wanted}) c JOIN store.raw r ON r.seq = c.payload_seq",
        values,
    )
    return {
        source_id: Known(record=_stored(source_id, payload, digest, at, details.get(source_id, {})), is_deleted=gone)
        for source_id, payload, digest, at, gone in rows
    }


def seen_before(db: Database, connection: str, source_ids: Iterable[str], moment: datetime) -> set[str]:
    """Those of these records that were first seen, by our clock, before a moment."""
    rows = db.run(
        "SELECT source_id FROM store.current WHERE connection = $connection AND first_seen_at < $moment::TIMESTAMPTZ "
        "AND source_id IN (SELECT unnest($ids::VARCHAR[]))",
        {"connection": connection, "moment": moment.isoformat(), "ids": list(source_ids)},
    )
    return {row[0] for row in rows}


def canonical(
    db: Database, reading: Reading, mapping: mapped.Mapping, stored: Sequence[Stored]
) -> list[dict[str, Any]]:
    """What a mapping makes of stored records, in their order: canonical column -> Python value, as `merge` wants it.

    Numbers are Decimal, instants aware and in UTC, `custom` and `extra` objects, tags a list. MISSING stands where
    nothing was fetched that could tell. `reading` is that mapping, compiled for its connection.
    """
    if not stored:
        return []
    _put(db, stored)
    answered = "SELECT * FROM given_details"
    # Stages are looked up, none are taken over; and what people decide of them is no word of the CRM.
    read(db, replace(reading, stages={}, decided=False), Payloads(), details=answered)
    columns = ", ".join(_fetched(column) for column in MAPPED)
    rows = db.run(f"SELECT {columns} FROM fresh ORDER BY source_id::BIGINT")
    return [_record(mapping, one, row) for one, row in zip(stored, rows, strict=True)]


def stages(db: Database, connection: str) -> list[dict[str, str | None]]:
    """Every stage that is known of a connection: stage_id, stage, pipeline_id, pipeline, in the CRM's order."""
    names = ("stage_id", "stage", "pipeline_id", "pipeline")
    rows = db.run(
        f"SELECT {', '.join(names)} FROM stages WHERE connection = ? ORDER BY pipeline, position, stage_id",
        [connection],
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def pairs(db: Database, connection: str, id_column: str) -> list[tuple[str, str]]:
    """Every (id, label) that the deals of a connection name as their pipeline, owner, company or contact."""
    label = _LABELS[id_column]
    rows = db.run(
        f"SELECT DISTINCT {id_column}, {label} FROM store.current WHERE connection = ? "
        f"AND {id_column} IS NOT NULL AND {label} IS NOT NULL ORDER BY ALL",
        [connection],
    )
    return [(id_, name) for id_, name in rows]


def pairs_at(db: Database, connection: str, column: str, place: tuple[str, ...]) -> list[tuple[str, str]]:
    """Every (id, label) of a column whose id stands in the payload alone, at `place`: that of the newest deal."""
    rows = db.run(
        f"SELECT json_extract_string(r.payload, $path) AS id, c.label FROM (SELECT {quoted(column)} AS label, "
        f"max(payload_seq) AS seq FROM store.current WHERE connection = $connection AND {quoted(column)} IS NOT NULL "
        "GROUP BY 1) c JOIN store.raw r USING (seq) WHERE id IS NOT NULL ORDER BY ALL",
        {"connection": connection, "path": "".join(f"/{step}" for step in place)},
    )
    return [(id_, label) for id_, label in rows]


def customs(db: Database, connection: str) -> frozenset[str]:
    """The keys of custom that any deal of a connection has."""
    rows = db.run(
        "SELECT DISTINCT unnest(json_keys(custom)) FROM store.current WHERE connection = ? AND custom IS NOT NULL",
        [connection],
    )
    return frozenset(key for (key,) in rows)


def _stored(source_id: str, payload: str, digest: str, at: str, details: Mapping[str, str]) -> Stored:
    read_at = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return Stored(source_id=source_id, payload=payload, payload_hash=digest, details=details, read_at=read_at)


def _put(db: Database, stored: Sequence[Stored]) -> None:
    """`changed` and `given_details`, keyed by place: one record may be read in several of its forms at once."""
    db.run(
        "CREATE OR REPLACE TEMP TABLE changed AS "
        "SELECT unnest($places::VARCHAR[]) AS source_id, unnest($payloads::VARCHAR[]) AS payload",
        {"places": [str(n) for n in range(len(stored))], "payloads": [one.payload for one in stored]},
    )
    details = [(name, str(n), text) for n, one in enumerate(stored) for name, text in one.details.items()]
    db.run(
        "CREATE OR REPLACE TEMP TABLE given_details AS SELECT unnest($names::VARCHAR[]) AS detail, "
        "unnest($places::VARCHAR[]) AS source_id, unnest($payloads::VARCHAR[]) AS payload",
        {key: [one[n] for one in details] for n, key in enumerate(("names", "places", "payloads"))},
    )


def _fetched(column: Column) -> str:
    name = quoted(column.name)
    return iso(name) if column.type == "TIMESTAMPTZ" else f"{name}::VARCHAR" if column.type == "JSON" else name


def _record(mapping: mapped.Mapping, stored: Stored, row: tuple[Any, ...]) -> dict[str, Any]:
    values = {column.name: _value(column, value) for column, value in zip(MAPPED, row, strict=True)}
    return {
        name: MISSING if value is None and _untold(mapping.fields.get(name), name, stored) else value
        for name, value in values.items()
    }


def _untold(made: mapped.MappedField | None, name: str, stored: Stored) -> bool:
    """Whether a column is NULL because nothing was fetched that could fill it."""
    if made is None:
        return name in _UNTOLD
    asked = [source.steps[0] for source in made.sources if source.root == "@"]
    return name in _UNTOLD or any(detail not in stored.details for detail in asked)


def _value(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.type == "TIMESTAMPTZ":
        return moment(value)
    return json.loads(value, parse_float=Decimal) if column.type == "JSON" else value

"""The base of an edit: what was known of a record, by whichever read was the last.

Either the published version, or what we read back ourselves after our last verified write, which may not be published
yet.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from onepipe.control import Control, Edit
from onepipe.edit.target import Target
from onepipe.mapping import Mapping as MappingFile
from onepipe.merge import Refused, seen, value
from onepipe.merge.words import CLEAR, Record
from onepipe.records import Stored
from onepipe.warehouse.canonical import Known, canonical, newest
from onepipe.warehouse.database import Database

LINE_ITEMS = "line_items"  # kept beside the details, under this name, where a push read them; else as the detail


def last_known(db: Database, control: Control, connection: str, source_ids: Collection[str]) -> dict[str, Known]:
    """What is known of these records, by id: the later of the published version and our own last read-back."""
    published = newest(db, connection, source_ids)
    ours = control.edits.last_read(connection, source_ids)
    for source_id, record in ours.items():
        before = published.get(source_id)
        if before is None:
            published[source_id] = Known(record=record, is_deleted=False)
        elif record.read_at > before.record.read_at:
            published[source_id] = Known(record=_with_details(record, before.record), is_deleted=False)
    return published


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All that is wanted of one record. `ours`: field -> value, or CLEAR. `bases`: field -> the record it rests on,
    read through the mapping in force, with what a person saw who decided; None where there is none."""

    connection: str
    source_id: str | None
    draft: str | None
    op: str
    edits: tuple[Edit, ...]
    ours: Mapping[str, Any]
    bases: Mapping[str, Record | None]


def asked(db: Database, target: Target, edits: Sequence[Edit]) -> list[Asked]:
    """The open edits of one connection, record by record, in the order they were first asked for."""
    bases = _bases(db, target, edits)
    records: dict[str, list[Edit]] = {}
    for edit in edits:
        records.setdefault(edit.source_id or edit.draft or "", []).append(edit)
    return [
        Asked(
            connection=target.name,
            source_id=found[0].source_id,
            draft=found[0].draft,
            op=found[0].op,
            edits=tuple(found),
            ours={one.field: wanted(one) for one in found if one.op != "delete"},
            bases={one.field: bases[one.edit_id] for one in found},
        )
        for found in records.values()
    ]


def wanted(edit: Edit) -> Any:
    """The canonical value of an edit as it is kept, or CLEAR."""
    if edit.value is None:
        return CLEAR
    read = value.read(edit.field, edit.value)
    if isinstance(read, Refused):  # kept values were read before; only another version of onepipe can refuse one
        raise AssertionError(f"edit {edit.edit_id}: {edit.field} {read.reason}")
    return read.value


def records(db: Database, target: Target, stored: Sequence[Stored]) -> list[dict[str, Any]]:
    """Stored records read through the mapping in force, in their order; with line items, where those were read."""
    read = canonical(db, target.reading, target.mapping, stored)
    items = target.writes.items if target.writes else None
    named = labels(target.mapping)
    for one, record in zip(stored, read, strict=True):
        listed = one.details.get(LINE_ITEMS) or one.details.get(items.read) if items else None
        if items and listed:
            record[LINE_ITEMS] = items.rows(listed.encode())
        if named and named in one.details and isinstance(record.get("custom"), dict):
            record["custom"] = _by_full_name(record["custom"], one.details[named])
    return read


def labels(mapping: MappingFile) -> str | None:
    """The detail that custom fields are read from by label, where a label may stand for several of them."""
    custom = mapping.fields.get("custom")
    return custom.sources[0].steps[0] if custom and custom.transform.name == "labelled" and custom.sources else None


def _by_full_name(custom: dict[str, Any], detail: str) -> dict[str, Any]:
    """Custom fields under their full names as well, `Region (Deals)`.

    A deal that has but one of several fields of a label shows it by the label alone; an edit names the field.
    """
    found = dict(custom)
    for one in msgspec.json.decode(detail, type=list[dict[str, Any]]):
        mark = one.get("tag") or one.get("id")
        label = one.get("label") or mark
        if label in custom and mark is not None:
            found.setdefault(f"{label} ({mark})", custom[label])
    return found


def _bases(db: Database, target: Target, edits: Sequence[Edit]) -> dict[str, Record | None]:
    """By edit_id: its base; of what a person saw, the field and all that goes with it are laid over it."""
    kept = [(edit, one) for edit in edits for one in (edit.base, edit.seen) if one is not None]
    read = dict(zip([id(one) for _, one in kept], records(db, target, [one for _, one in kept]), strict=True))
    found: dict[str, Record | None] = {}
    for edit in edits:
        base: Record | None = read.get(id(edit.base))
        if edit.seen is not None:  # of a record that we made, all that is known
            now = read[id(edit.seen)]
            base = seen(base or {}, now, edit.field) if edit.field else now
        found[edit.edit_id] = base
    return found


def _with_details(record: Stored, before: Stored) -> Stored:
    """A read-back that asked for no detail says nothing of it: what was known of it stays known."""
    return Stored(
        source_id=record.source_id,
        payload=record.payload,
        payload_hash=record.payload_hash,
        details={**before.details, **record.details},
        read_at=record.read_at,
    )

"""Every wish held against what is known: queued, nothing to do, or a fault. Nothing is written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from onepipe.control import Edit, Wish
from onepipe.edit.fields import Meant, at_odds, cleared, meant, missing, not_written
from onepipe.edit.rows import Row
from onepipe.edit.target import Target, slot
from onepipe.merge import MISSING, Refused, same, value, value_of
from onepipe.records import Stored

Record = Mapping[str, Any]
EMPTY = "the value is empty, which changes nothing; op clear, or --clear, empties a field"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of one wish, for people: `base` and `value` as they would be written, None where there is none.

    `edit_id` of a queued one; `reason` of one that asks for nothing; `instead` is the edit it took the place of.
    """

    place: str = ""
    connection: str
    source_id: str | None
    op: str
    field: str
    base: str | None = None
    value: str | None = None
    note: str = ""
    reason: str = ""
    edit_id: str | None = None
    instead: str | None = None


@dataclass(slots=True)
class Verdicts:
    """What was judged so far. `withdrawn`: queued edits that a wish takes back."""

    faults: list[str] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    queued: list[Told] = field(default_factory=list)
    nothing: list[Told] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One record as its edits see it: as it was last known, and the open edits of it with what each rests on."""

    stored: Stored
    record: Record
    open: Mapping[str, Edit] = field(default_factory=dict)
    bases: Mapping[str, Record] = field(default_factory=dict)


def judge(verdicts: Verdicts, target: Target, subject: Subject, rows: Sequence[Row]) -> None:
    """The wishes for fields of one known record."""
    if "" in subject.open:
        edit = subject.open[""].edit_id
        verdicts.faults += [
            row.fault(f"the record is to be deleted by edit {edit}; `onepipe edit drop {edit}` first") for row in rows
        ]
        return
    fields = {row.field for row in rows} | {edit.field for edit in subject.open.values()}
    for row in _once(verdicts, rows):
        made = _meant(target, row, {**subject.record, **_pipeline(rows)}, new=False)
        if isinstance(made, Refused):
            verdicts.faults.append(row.fault(made.reason))
        elif odd := at_odds(subject.record, row.field, fields):
            verdicts.faults.append(row.fault(odd))
        else:
            _settle(verdicts, target, subject, row, made)


def judge_new(verdicts: Verdicts, target: Target, rows: Sequence[Row], open_: Sequence[Edit], now: datetime) -> None:
    """The wishes for one new record: all of what its CRM wants must be there."""
    rows = [*rows, *_defaults(target, rows, now)]
    draft, wishes, told = f"new:{uuid4().hex[:12]}", list[Wish](), list[Told]()
    for row in _once(verdicts, rows):
        made = _meant(target, row, _pipeline(rows), new=True)
        if isinstance(made, Refused):
            verdicts.faults.append(row.fault(made.reason))
        elif made.value is MISSING:
            verdicts.nothing.append(_told(row, "create", reason=EMPTY))
        else:
            wishes.append(_wish(target, row, made, op="create", draft=draft))
            told.append(_told(row, "create", value=value.shown(row.field, made.value), note=made.note))
    if lacking := missing(target, [row.field for row in rows if row.text.strip()]):
        told_of = f"{'; '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"
        verdicts.faults.append(f"{target.name} (new): {told_of}: the CRM makes no deal without")
    if waits := _same_draft(wishes, open_):
        verdicts.nothing += [replace(one, reason=f"this very record waits already, as edit {waits}") for one in told]
        return
    verdicts.wishes += wishes
    verdicts.queued += told


def judge_delete(verdicts: Verdicts, target: Target, subject: Subject, row: Row) -> None:
    """The wish to delete a known record."""
    if target.writes is None or not target.connector.can("delete"):
        verdicts.faults.append(row.fault(f"{target.connector.facts.title} has no way to delete a deal"))
    elif "" in subject.open:
        edit = subject.open[""].edit_id
        verdicts.nothing.append(_told(row, "delete", reason=f"it waits to be deleted already, as edit {edit}"))
    elif subject.open:
        edits = ", ".join(edit.edit_id for edit in subject.open.values())
        verdicts.faults.append(row.fault(f"edits of it wait: {edits}; `onepipe edit drop` them first"))
    else:
        name = value.shown("name", subject.record.get("name"))
        wish = Wish(
            connection=target.name, source_id=row.source_id, op="delete", base=subject.stored, reason=row.reason
        )
        verdicts.wishes.append(wish)
        verdicts.queued.append(_told(row, "delete", base=name))


def _meant(target: Target, row: Row, record: Record, *, new: bool) -> Meant | Refused:
    if reason := not_written(target, row.field, new):
        return Refused(reason)
    if row.clear and new:
        return Refused("cannot be cleared: the record is new")
    return cleared(target, row.field) if row.clear else meant(target, row.field, row.text, record)


def _settle(verdicts: Verdicts, target: Target, subject: Subject, row: Row, made: Meant) -> None:
    """A wish that can be read: it is queued, unless there is nothing to do."""
    waiting = subject.open.get(slot(row.field))
    if made.value is MISSING:
        verdicts.nothing.append(_told(row, "update", reason=EMPTY))
        return
    if waiting and waiting.state == "pushing":
        verdicts.faults.append(row.fault(f"edit {waiting.edit_id} of it may be on its way to the CRM; push that first"))
        return
    base = subject.bases.get(waiting.edit_id, {}) if waiting else subject.record
    if waiting and same(row.field, made.value, value_of(base, row.field), target.habits):
        verdicts.withdrawn.append(waiting.edit_id)  # back to what it was; what has become of it since is judged anew
        waiting, base = None, subject.record
        taken_back = verdicts.withdrawn[-1]
    else:
        taken_back = ""
    shown = {"base": value.shown(row.field, value_of(base, row.field)), "value": value.shown(row.field, made.value)}
    if same(row.field, made.value, value_of(base, row.field), target.habits):
        reason = f"edit {taken_back} is taken back: that is what it was" if taken_back else "that is what it is already"
        verdicts.nothing.append(_told(row, "update", reason=reason, **shown))
        return
    note = "; ".join(filter(None, (made.note, _unread(base, row.field))))
    verdicts.wishes.append(replace(_wish(target, row, made), base=subject.stored, note=note))
    instead = waiting.edit_id if waiting else taken_back or None
    verdicts.queued.append(_told(row, "update", note=note, instead=instead, **shown))


def _unread(base: Record, name: str) -> str:
    if value_of(base, name) is not MISSING:
        return ""
    return "what the CRM has there was never read: another value than this will be a conflict"


def _once(verdicts: Verdicts, rows: Sequence[Row]) -> list[Row]:
    """The rows, each field once; one that is given again must say the same."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(slot(row.field), row)
        if known is not row and (known.field, known.text, known.clear) != (row.field, row.text, row.clear):
            at = f" on {known.place}" if known.place else ""
            verdicts.faults.append(row.fault(f"is given twice: also as {_said(known)}{at}"))
    return list(first.values())


def _said(row: Row) -> str:
    return f"clear {row.field}" if row.clear else f"{row.field}={row.text}"


def _pipeline(rows: Sequence[Row]) -> Record:
    """The pipeline that the same wishes give, of which a stage must be one."""
    found = {row.field: row.text.strip() for row in rows if slot(row.field) == "pipeline" and not row.clear}
    return {"pipeline_id": None, **found} if found else {}


def _defaults(target: Target, rows: Sequence[Row], now: datetime) -> list[Row]:
    given = {slot(row.field) for row in rows if row.text.strip()}
    today = now.astimezone(ZoneInfo(target.reading.timezone)).date().isoformat()
    defaults = target.writes.defaults if target.writes else {}
    return [
        Row(
            connection=target.name,
            source_id=None,
            field=name,
            text=today if text == "$today" else text,
            reason=rows[0].reason if rows else "",
        )
        for name, text in defaults.items()
        if slot(name) not in given
    ]


def _same_draft(wishes: Sequence[Wish], open_: Sequence[Edit]) -> str:
    """An edit of a queued new record that asks for exactly the same; empty where there is none."""
    drafts: dict[str, list[Edit]] = {}
    for edit in open_:
        drafts.setdefault(edit.draft or "", []).append(edit)
    ours = {(wish.field, wish.value) for wish in wishes}
    return next(
        (edits[0].edit_id for edits in drafts.values() if {(one.field, one.value) for one in edits} == ours), ""
    )


def _wish(target: Target, row: Row, made: Meant, *, op: str = "update", draft: str | None = None) -> Wish:
    kept = None if made.value is None else value.as_text(made.value)
    return Wish(
        connection=target.name,
        source_id=row.source_id,
        draft=draft,
        op="create" if op == "create" else "update",
        field=row.field,
        slot=slot(row.field),
        value=kept,
        reason=row.reason,
        note=made.note,
    )


def _told(row: Row, op: str, **more: Any) -> Told:
    return Told(place=row.place, connection=row.connection, source_id=row.source_id, op=op, field=row.field, **more)

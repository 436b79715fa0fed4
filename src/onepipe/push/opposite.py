"""The opposite of what was written: for each field an edit that asks for what the CRM held before.

Each rests on what was read back just after the write, so that whatever was changed since is a conflict by itself when
the edit is sent.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onepipe.edit.fields as editing
from onepipe.control import Control, Edit, Wish
from onepipe.edit import Meant, Target, Told, last_known, records, slot
from onepipe.edit.target import PARTNER
from onepipe.merge import MISSING, Refused, same, value, value_of
from onepipe.push.written import Written
from onepipe.records import Stored
from onepipe.warehouse.database import Database

Record = Mapping[str, Any]

OVERWRITTEN = "another hand has written over it since, so nothing of ours is left to take back"
_ONE_WAY = {
    "delete": "a deleted deal cannot be brought back; `onepipe edit --new` makes another one",
    "call": "what an action did cannot be taken back from here; undo it in the CRM",
}


@dataclass(slots=True)
class Findings:
    """What was found so far: every wish has its row in `queued`; the others have their reasons."""

    wishes: list[Wish] = field(default_factory=list)
    queued: list[Told] = field(default_factory=list)
    nothing: list[Told] = field(default_factory=list)
    refused: list[Told] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """One record: what it held before and after our write, and holds now as far as that is known."""

    written: Written
    target: Target
    before: Record
    after: Record
    now: Record
    open: Mapping[str, Edit]
    reason: str

    def told(self, name: str = "", **more: Any) -> Told:
        """A row about one field, with what the CRM held after and before."""
        sides = {"base": self.after, "value": self.before} if name else {}
        shown = {side: value.shown(name, value_of(record, name)) for side, record in sides.items()}
        return told(self.written, name, **{**shown, **more})

    def wish(self, **more: Any) -> Wish:
        """A wish for it, resting on what was read back."""
        return Wish(
            connection=self.target.name,
            source_id=self.written.push.source_id,
            base=self.written.after,
            reason=self.reason,
            **more,
        )


def take_back(
    found: Findings, db: Database, control: Control, target: Target, written: Sequence[Written], reason: str
) -> None:
    """Find what takes back the pushes of one connection."""
    elsewhere = _elsewhere(db, target.name)
    known = last_known(db, control, target.name, {one.push.source_id for one in written if one.push.source_id})
    edits = control.edits.open({target.name})
    there = list[tuple[Written, Stored]]()
    for one in written:
        now = known.get(one.push.source_id or "")
        if refusal := _refusal(one, elsewhere, gone=now is None or now.is_deleted):
            found.refused.append(told(one, reason=refusal))
        elif now is not None:
            there.append((one, now.record))
    for place in _places(db, target, there, edits, reason):
        _one(found, place)


def told(written: Written, name: str = "", **more: Any) -> Told:
    """A row about one push, or one field of it."""
    push = written.push
    about = {"connection": push.connection, "source_id": push.source_id, "op": push.op, "field": name}
    return Told(**{**about, **more})


def _elsewhere(db: Database, connection: str) -> set[str]:
    """The pushes of other names: a name that was bound to another account has left its own to another name."""
    if not db.one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'pushes'"):
        return set()  # published by an older onepipe
    return {push_id for (push_id,) in db.run("SELECT push_id FROM pushes WHERE connection <> ?", [connection])}


def _refusal(one: Written, elsewhere: Container[str], *, gone: bool) -> str:
    """Why a push as a whole cannot be taken back; empty where it can."""
    if one.unsure:
        return "it is not known yet whether it happened: `onepipe push apply` finds out"
    if one.push.op in _ONE_WAY:
        return _ONE_WAY[one.push.op]
    if str(one.push.push_id) in elsewhere:
        return "the connection's name belongs to another account since"
    if gone:
        return "the CRM no longer has the record"
    return "" if one.after else "what the CRM held after it was never read"


def _places(
    db: Database, target: Target, there: Sequence[tuple[Written, Stored]], edits: Sequence[Edit], reason: str
) -> Iterator[_Place]:
    """The records of these pushes, read through the mapping in force all at once."""
    kept = [one for written, now in there for one in (written.before, written.after, now) if one is not None]
    read = dict(zip(map(id, kept), records(db, target, kept), strict=True))
    for written, now in there:
        yield _Place(
            written=written,
            target=target,
            before=read.get(id(written.before), {}),
            after=read.get(id(written.after), {}),
            now=read[id(now)],
            open={edit.slot: edit for edit in edits if edit.source_id == written.push.source_id},
            reason=reason,
        )


def _one(found: Findings, place: _Place) -> None:
    """What takes one push back: a deletion of what it made, else an edit of each field it wrote."""
    if place.written.push.op == "create":
        _delete(found, place)
        return
    for name, state in place.written.fields.items():
        if state == "overwritten":
            found.refused.append(place.told(name, reason=OVERWRITTEN))
        else:
            _field(found, place, name)


def _delete(found: Findings, place: _Place) -> None:
    target, waiting = place.target, place.open.get("")
    about: dict[str, Any] = {"op": "delete", "base": value.shown("name", place.after.get("name"))}
    if target.writes is None or not target.connector.can("delete"):
        reason = f"{target.connector.facts.title} has no way to delete a deal; close or archive it there"
        found.refused.append(place.told(reason=reason, **about))
    elif waiting:
        reason = f"it waits to be deleted already, as edit {waiting.edit_id}"
        found.nothing.append(place.told(reason=reason, edit_id=waiting.edit_id, **about))
    elif place.open:
        edits = ", ".join(edit.edit_id for edit in place.open.values())
        found.refused.append(place.told(reason=f"edits of it wait: {edits}; push or drop them first", **about))
    else:
        found.wishes.append(place.wish(op="delete"))
        found.queued.append(place.told(**about))


def _field(found: Findings, place: _Place, name: str) -> None:
    was, after = value_of(place.before, name), value_of(place.after, name)
    waiting = place.open.get(slot(name)) or place.open.get("")
    column, made = _wanted(place.target, name, place.before)
    if was is MISSING:
        found.refused.append(place.told(name, reason="what it was before was never read"))
    elif same(name, was, after, place.target.habits):
        found.nothing.append(place.told(name, reason="it is what it was before"))
    elif isinstance(made, Refused):
        found.refused.append(place.told(name, reason=made.reason))
    elif waiting and (waiting.field, waiting.value) == (column, _kept(made)):
        reason = f"that waits already, as edit {waiting.edit_id}"
        found.nothing.append(place.told(name, reason=reason, edit_id=waiting.edit_id))
    elif waiting:
        told_of = f"edit {waiting.edit_id} waits for it: push it, or `onepipe edit drop {waiting.edit_id}`, first"
        found.refused.append(place.told(name, reason=told_of))
    else:
        found.wishes.append(place.wish(field=column, slot=slot(column), value=_kept(made), note=made.note))
        note = "; ".join(filter(None, (made.note, _changed_since(place, name))))
        found.queued.append(place.told(column, note=note))


def _wanted(target: Target, name: str, before: Record) -> tuple[str, Meant | Refused]:
    """What it takes to have a field as it was: its own column, or the id where the label alone does not do."""
    made = [(one, _as_it_was(target, one, before)) for one in (name, PARTNER.get(name)) if one]
    return next((pair for pair in made if isinstance(pair[1], Meant)), made[0])


def _as_it_was(target: Target, name: str, before: Record) -> Meant | Refused:
    if reason := editing.not_written(target, name, new=False):
        return Refused(reason)
    was = value.as_text(value_of(before, name))
    return editing.meant(target, name, was, before) if was.strip() else editing.cleared(target, name)


def _kept(made: Meant) -> str | None:
    return None if made.value is None else value.as_text(made.value)


def _changed_since(place: _Place, name: str) -> str:
    now, after = value_of(place.now, name), value_of(place.after, name)
    if after is MISSING:
        return "what the CRM held after it was never read: it will be a conflict"
    changed = now is not MISSING and not same(name, now, after, place.target.habits)
    return "it was changed since, which will be a conflict" if changed else ""

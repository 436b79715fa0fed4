"""Edits: what people want their CRMs to hold, read, judged and queued. Nothing is sent from here.

`rows` reads what was written, `target` is what a connection's edits are judged by, `judge` judges, `known` tells the
base, and this page puts them together.
"""

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import onepipe.warehouse.explain as explaining
from onepipe.config import Config
from onepipe.control import Control, Edit
from onepipe.edit.fields import Meant, meant
from onepipe.edit.judge import Subject, Told, Verdicts, judge, judge_delete, judge_new
from onepipe.edit.known import Asked, asked, last_known, records, wanted
from onepipe.edit.rows import Row, from_file, from_query, from_words, refuse
from onepipe.edit.target import Target, mode_of, open_target, slot
from onepipe.merge import value, value_of
from onepipe.merge.words import CLEAR
from onepipe.warehouse import ledger
from onepipe.warehouse.canonical import Known
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import whole
from onepipe.yamlmarks import did_you_mean

__all__ = [
    "Asked",
    "Meant",
    "Outcome",
    "Row",
    "Target",
    "Told",
    "actor",
    "asked",
    "create",
    "delete",
    "from_file",
    "from_query",
    "from_words",
    "last_known",
    "meant",
    "open_target",
    "queue",
    "records",
    "slot",
    "waiting",
    "wanted",
]


GUESSES = 20  # faults up to which ids that resemble an unknown one are looked for: each costs a scan


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a set of wishes. `modes`: the write mode of each connection that something waits for."""

    queued: list[Told] = field(default_factory=list)
    nothing: list[Told] = field(default_factory=list)
    modes: Mapping[str, str] = field(default_factory=dict)


def queue(config: Config, control: Control, rows: Sequence[Row]) -> Outcome:
    """Queue edits of known records: all of them, or none. Raises UsageError with every fault, a line each."""
    verdicts = Verdicts(faults=[row.fault(row.wrong) for row in rows if row.wrong])
    with whole(config.snapshot) as db:
        for target, mine in _by_connection(config, db, [row for row in rows if not row.wrong], verdicts):
            wishes = _grouped(mine)
            known = last_known(db, control, target.name, wishes.keys())
            subjects = _subjects(db, control, target, known)
            for source_id, ours in wishes.items():
                if source_id in subjects:
                    judge(verdicts, target, subjects[source_id], ours)
                else:
                    reason = _not_there(db, target, source_id, known, guess=len(verdicts.faults) < GUESSES)
                    verdicts.faults += [row.fault(reason) for row in ours]
    return _done(config, control, verdicts, rows)


def create(
    config: Config, control: Control, connection: str, rows: Sequence[Row], now: datetime | None = None
) -> Outcome:
    """Queue one new record. Raises UsageError with every fault."""
    verdicts = Verdicts()
    wanted_rows = rows or [Row(connection=connection, source_id=None, field="name")]
    with whole(config.snapshot) as db:
        for target, mine in _by_connection(config, db, wanted_rows, verdicts):
            drafts = [edit for edit in control.edits.open({target.name}) if edit.draft]
            judge_new(verdicts, target, mine, drafts, now or datetime.now(UTC))
    return _done(config, control, verdicts, wanted_rows)


def delete(config: Config, control: Control, connection: str, source_id: str, reason: str = "") -> Outcome:
    """Queue the deletion of one record. Raises UsageError."""
    row = Row(connection=connection, source_id=source_id, field="", reason=reason)
    verdicts = Verdicts()
    with whole(config.snapshot) as db:
        for target, _ in _by_connection(config, db, [row], verdicts):
            known = last_known(db, control, target.name, {source_id})
            subjects = _subjects(db, control, target, known)
            if source_id in subjects:
                judge_delete(verdicts, target, subjects[source_id], row)
            else:
                verdicts.faults.append(row.fault(_not_there(db, target, source_id, known)))
    return _done(config, control, verdicts, [row])


def waiting(config: Config, control: Control, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Every open edit of these connections, or of all, oldest first, with the base as it reads today."""
    edits = control.edits.open(set(names) or None)
    found: dict[str, dict[str, Any]] = {}
    with whole(config.snapshot) as db:
        for name in dict.fromkeys(edit.connection for edit in edits):
            mine = [edit for edit in edits if edit.connection == name]
            bases = _bases(config, db, name, mine)
            found |= {edit.edit_id: _listed(edit, bases.get(edit.edit_id)) for edit in mine}
    return [found[edit.edit_id] for edit in edits]


def actor() -> str:
    """Who queues an edit: the user of this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _by_connection(
    config: Config, db: Database, rows: Sequence[Row], verdicts: Verdicts
) -> list[tuple[Target, list[Row]]]:
    """The rows of each connection that is known; the others are faults."""
    stored = ledger.names(db)
    found = []
    for name in dict.fromkeys(row.connection for row in rows):
        mine = [row for row in rows if row.connection == name]
        if name not in config.connections:
            verdicts.faults += [row.fault(_no_connection(config, name, stored)) for row in mine]
        elif name not in stored:
            reason = f"nothing is stored of {name}: `onepipe sync {name}` loads it"
            verdicts.faults += [row.fault(reason) for row in mine]
        else:
            customs = any(row.field.startswith("custom.") for row in mine)
            found.append((open_target(config, config.connections[name], db, customs=customs), mine))
    return found


def _no_connection(config: Config, name: str, stored: Iterable[str]) -> str:
    if name in stored:
        return "the connection is retired: it is no longer in config.yaml"
    return f"no connection is called {name!r}; {did_you_mean(name, config.connections)}"


def _not_there(db: Database, target: Target, source_id: str, known: dict[str, Known], guess: bool = True) -> str:
    if source_id in known:
        return "the record is deleted in the CRM"
    near = ", ".join(repr(one) for one in explaining.near(db, target.name, source_id)) if guess else ""
    told = f"; ids that resemble it: {near}" if near else f"; `onepipe sync {target.name}` reads what the CRM has now"
    return f"there is no deal {source_id!r} in {target.name}{told}"


def _subjects(db: Database, control: Control, target: Target, known: dict[str, Known]) -> dict[str, Subject]:
    """The records that are there, read through the mapping in force, with the edits that wait for them."""
    alive = {source_id: one.record for source_id, one in known.items() if not one.is_deleted}
    read = dict(zip(alive, records(db, target, list(alive.values())), strict=True))
    edits = [edit for edit in control.edits.open({target.name}) if edit.source_id in alive]
    bases = _based(asked(db, target, edits))
    slots: dict[str | None, dict[str, Edit]] = {}
    for edit in edits:
        slots.setdefault(edit.source_id, {})[edit.slot] = edit
    return {
        source_id: Subject(stored=alive[source_id], record=record, open=slots.get(source_id, {}), bases=bases)
        for source_id, record in read.items()
    }


def _grouped(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows by record."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.source_id or "", []).append(row)
    return found


def _based(found: Sequence[Asked]) -> dict[str, Any]:
    """By edit_id, the record it rests on."""
    return {edit.edit_id: one.bases[edit.field] or {} for one in found for edit in one.edits}


def _bases(config: Config, db: Database, name: str, edits: Sequence[Edit]) -> dict[str, Any]:
    """The same for a connection of this name; nothing where it is in config.yaml no more."""
    if name not in config.connections or name not in ledger.names(db):
        return {}
    return _based(asked(db, open_target(config, config.connections[name], db), edits))


def _listed(edit: Edit, base: Any) -> dict[str, Any]:
    told = {
        "edit_id": edit.edit_id,
        "connection": edit.connection,
        "source_id": edit.source_id,
        "draft": edit.draft,
        "op": edit.op,
        "field": edit.field or None,
        "base": value.shown(edit.field, value_of(base, edit.field)) if base and edit.field else None,
        "value": _wanted_text(edit),
        "clear": edit.op != "delete" and edit.value is None,
    }
    keys = ("reason", "note", "actor", "state", "created_at")
    return told | {key: getattr(edit, key) for key in keys} | {"name": (base or {}).get("name")}


def _wanted_text(edit: Edit) -> str | None:
    """The value of an edit as people would write it; None where it clears, or deletes."""
    if edit.op == "delete":
        return None
    made = wanted(edit)
    return None if made is CLEAR else value.shown(edit.field, made)


def _done(config: Config, control: Control, verdicts: Verdicts, rows: Sequence[Row]) -> Outcome:
    """Queue what was judged, if nothing is wrong with any of it."""
    refuse(_in_order(verdicts.faults, [row.place for row in rows]))
    ids = control.edits.put(verdicts.wishes, actor(), verdicts.withdrawn)
    queued = [replace(told, edit_id=edit_id) for told, edit_id in zip(verdicts.queued, ids, strict=True)]
    names = dict.fromkeys(told.connection for told in queued)
    modes = {name: mode_of(config.connections[name]) for name in names}
    return Outcome(queued=queued, nothing=verdicts.nothing, modes=modes)


def _in_order(faults: Sequence[str], places: Sequence[str]) -> list[str]:
    """Faults in the order of the file's lines, which they begin with."""
    order = {place: number for number, place in reversed(list(enumerate(places)))}
    return sorted(faults, key=lambda fault: order.get(fault.partition(": ")[0], 0))

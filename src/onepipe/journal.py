"""The journal of pushes: landed in the warehouse by whichever process commits next, as part of its transaction.

A push tells what it did, and what it read, in one line of the control file. Every commit lands the lines that are not
yet in the warehouse, and up to where they are is stored with them: a process that dies anywhere in between leaves
them to the next commit, and none is landed twice.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from onepipe.account import applied_mapping, closed_connector, reading_of
from onepipe.config import Config
from onepipe.control import Conflict, Control, Entry, Erasure
from onepipe.control.stored import instant
from onepipe.errors import ConfigError
from onepipe.model import MAPPED
from onepipe.records import Stored
from onepipe.warehouse import bindings, books, erasures, pushed
from onepipe.warehouse.database import Database
from onepipe.warehouse.pushed import Cause, Landed, Sight
from onepipe.warehouse.versions import Reading


def land(db: Database, config: Config, control: Control) -> None:
    """Land what waits, inside the caller's transaction. Cheap where nothing does."""
    began = done = pushed.landed(db, control.identity)
    while lines := control.outbox.journal(done.journal_id):
        _land_lines(db, config, lines)
        done = Landed(lines[-1].journal_id, done.change)
    while changes := control.conflicts.changed(done.change):
        pushed.tell(db, "conflicts", [_conflict_row(one) for _, one in changes])
        done = Landed(done.journal_id, changes[-1][0])
    if done != began:
        pushed.keep_landed(db, control.identity, done)
    _land_erasures(db, control)


def _land_erasures(db: Database, control: Control) -> None:
    """Tell who was erased; a control file that was made anew, or is an older one, is told in turn."""
    number = control.erased.changes()
    mark = f"{control.identity}:{number}" if number else None
    if mark == erasures.mark(db):
        return
    known = {one.erasure_id for one in control.erased.rows()}
    if lost := [Erasure(**row) for row in erasures.rows(db) if row["erasure_id"] not in known]:
        control.erased.take(lost)
        mark = f"{control.identity}:{control.erased.changes()}"
    erasures.tell(db, [(*_erasure_row(one),) for one in control.erased.rows()], mark)


def waits(db: Database, control: Control) -> bool:
    """Whether something is not landed yet."""
    done = pushed.landed(db, control.identity)
    return bool(control.outbox.journal(done.journal_id, 1) or control.conflicts.changed(done.change, 1))


def _land_lines(db: Database, config: Config, lines: Sequence[Entry]) -> None:
    pushed.tell(db, "pushes", [_push_row(line) for line in lines if line.told.get("push")])
    for connection, own in groupby(sorted(lines, key=lambda line: line.connection), lambda line: line.connection):
        sights = [sight for line in own for sight in _sights(line)]
        reading = _reading(db, config, connection) if sights else None
        if reading is not None:
            for batch in _batches(sights):
                pushed.land(db, reading, batch)


def _reading(db: Database, config: Config, connection: str) -> Reading | None:
    """How a connection's rows are read; None where it is not in use, or its name means another account by now.

    None, too, where that cannot be told: every connection commits through here, and none may stop the others.
    """
    one, kept = config.connections.get(connection), books.mapping(db, connection)
    if one is None or kept is None:
        return None
    try:
        connector = closed_connector(config, one)
        if bindings.bound(db).get(connection) != (one.connector, connector.base_url):
            return None
        return reading_of(config, one, applied_mapping(config, one, kept), connector)
    except ConfigError:  # its own run says what is wrong; once that is put right, it reads these records itself
        return None


def _sights(line: Entry) -> Iterator[Sight]:
    """What a line's push read of its record, in order: before it wrote, after it, and that the record is gone."""
    push, before, gone_at = (line.told.get(key) for key in ("push", "before", "gone_at"))
    if push is None:
        return
    cause = Cause(
        push_id=str(line.push_id), named=_named(push), reason=push["reason"] or "", actor=push["requested_by"] or ""
    )

    def sight(source_id: str, record: Stored | None, at: datetime, origin: pushed.Origin) -> Sight:
        return Sight(source_id=source_id, record=record, at=at, origin=origin, run_id=push["run_id"], cause=cause)

    if before is not None:
        record = Stored(**{**before, "read_at": instant(before["read_at"])})
        yield sight(record.source_id, record, record.read_at, "source")
    if line.read is not None:
        yield sight(line.read.source_id, line.read, line.read.read_at, "push")
    if gone_at is not None and line.source_id is not None:
        yield sight(line.source_id, None, instant(gone_at), "push")


def _named(push: dict[str, Any]) -> tuple[str, ...]:
    """The columns that a push was to change: of an id and its label either stands for both."""
    if push["op"] == "delete":
        return ("is_deleted",)
    if push["op"] == "call":  # all that an action changes is what it was asked for
        return tuple(column.name for column in MAPPED)
    named = {form for name in push["fields"] for form in (name, f"{name}_id", name.removesuffix("_id"))}
    return tuple(sorted(named))


def _batches(sights: Sequence[Sight]) -> Iterator[list[Sight]]:
    """The sights of each record in their order, many records at a time: reading one by one would cost 50 ms each."""
    turns: dict[str, int] = {}
    rounds: list[list[Sight]] = []
    for sight in sights:
        turn = turns.get(sight.source_id, 0)
        turns[sight.source_id] = turn + 1
        rounds += [[]] if turn == len(rounds) else []
        rounds[turn].append(sight)
    for one in rounds:
        for _, batch in groupby(sorted(one, key=_kind), _kind):
            yield list(batch)


def _kind(sight: Sight) -> tuple[str, str]:
    return sight.run_id, sight.origin


def _push_row(line: Entry) -> tuple[Any, ...]:
    push = line.told["push"]
    fields, request = (pushed.as_json(push[name]) for name in ("fields", "request"))
    return (
        *(str(line.push_id), push["run_id"], line.connection, line.source_id, push["op"], push["state"]),
        *(fields, request, push["reason"], push["requested_by"], push["created_at"], push["finished_at"]),
        push["message"],
    )


def _erasure_row(one: Erasure) -> tuple[Any, ...]:
    told = (one.erasure_id, one.connection, one.source_id, one.fingerprint, one.cause, one.erased_at, one.actor)
    return (*told, one.reason, list(one.fields))


def _conflict_row(one: Conflict) -> tuple[Any, ...]:
    return (
        *(one.conflict_id, one.connection, one.source_id, one.field, one.base, one.ours, one.theirs, one.state),
        *(one.reason, one.opened_at, one.resolved_at, one.resolution, one.kind),
        *(None if one.push_id is None else str(one.push_id), one.actor, one.why or None),
    )

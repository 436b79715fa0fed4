"""The queue of edits: what people want the CRMs to hold, and what each edit rests on. Storage alone, no judgement."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from onepipe.control.conflicts import close_of_connection, close_of_edits, say_anew
from onepipe.control.file import ControlFile, Row
from onepipe.control.stored import last_read, load, present
from onepipe.control.veil import keep, refuse_edit, veil_of
from onepipe.errors import UsageError
from onepipe.records import Stored

Op = Literal["update", "create", "delete"]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """An edit to be queued. `value` is text as people write it, None clears; a delete has no field.

    `slot` is what one open edit stands for: the same for `stage` and `stage_id`. `draft` holds the edits of one new
    record together, which has no `source_id` yet. `base` is the record as it was known when the edit was made.
    """

    connection: str
    source_id: str | None = None
    draft: str | None = None
    op: Op = "update"
    field: str = ""
    slot: str = ""
    value: str | None = None
    base: Stored | None = None
    reason: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Edit(Wish):
    """An edit in the queue. `edit_id` is text.

    `state`: queued; pushing (a request may carry it); settled, dropped, replaced. `seen` is the record as a person saw
    it who decided for ours: of it, the field and all that goes with it count as known. Instants are texts in UTC.
    """

    edit_id: str
    actor: str
    state: str
    seen: Stored | None = None
    created_at: str
    changed_at: str


class Edits:
    """The edits in a control file."""

    def __init__(self, file: ControlFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def open(self, connections: Collection[str] | None = None) -> list[Edit]:
        """Every edit that is queued or on its way, of these connections or of all, oldest first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT * FROM edit WHERE state IN ('queued', 'pushing') ORDER BY edit_id").fetchall()
            return [_edit(db, row) for row in rows if connections is None or row["connection"] in connections]

    def get(self, edit_id: str) -> Edit | None:
        """One edit in whatever state; None where there is none of that id."""
        with self._file.reading() as db:
            row = db.execute("SELECT * FROM edit WHERE edit_id = ?", (_number(edit_id),)).fetchone()
            return _edit(db, row) if row else None

    def put(self, wishes: Iterable[Wish], actor: str, withdrawn: Sequence[str] = ()) -> list[str]:
        """Queue edits, and withdraw others, all of it or nothing; the ids of the new ones.

        One over an edit that is still queued replaces it and takes over its base. Raises UsageError where the edit
        before it may be on its way, and for what would bring back somebody who was erased.
        """
        with self._file.writing() as db:
            now = present(self._clock)
            _move(db, withdrawn, ("queued",), "dropped", now)
            close_of_edits(db, map(_number, withdrawn), now)
            return [_put(db, wish, actor, now) for wish in wishes]

    def drop(self, edit_ids: Sequence[str]) -> list[str]:
        """Give up edits that are still queued, and with one of a new record all of that record's; the ids of all.

        Raises UsageError, and drops none, where one is not queued.
        """
        dropped: dict[str, None] = {}
        now = present(self._clock)
        with self._file.writing() as db:
            for edit_id in edit_ids:
                row = db.execute("SELECT * FROM edit WHERE edit_id = ?", (_number(edit_id),)).fetchone()
                if row is None or (row["state"] != "queued" and edit_id not in dropped):
                    hint = "`onepipe edit list` shows those that wait"
                    raise UsageError(f"{_not_queued(edit_id, row)}; nothing was dropped", hint)
                found = db.execute(
                    "UPDATE edit SET state = 'dropped', changed_at = ? "
                    "WHERE state = 'queued' AND (edit_id = ? OR draft = ?) RETURNING edit_id",
                    (now, row["edit_id"], row["draft"]),
                )
                dropped |= dict.fromkeys(str(one["edit_id"]) for one in found.fetchall())
            close_of_edits(db, map(int, dropped), now)
        return sorted(dropped, key=int)

    def saw(self, edit_id: str, record: Stored) -> None:
        """Note what a person saw of the CRM's side who decided for this edit."""
        with self._file.writing() as db:
            connection = db.execute("SELECT connection FROM edit WHERE edit_id = ?", (_number(edit_id),)).fetchone()
            seen = keep(db, connection["connection"], record)
            db.execute("UPDATE edit SET seen_id = ? WHERE edit_id = ?", (seen, _number(edit_id)))

    def forget(self, connection: str) -> None:
        """Give up all that waits for an account which the name no longer belongs to."""
        now = present(self._clock)
        with self._file.writing() as db:
            db.execute(
                "UPDATE edit SET state = 'dropped', changed_at = ? WHERE connection = ? "
                "AND state IN ('queued', 'pushing')",
                (now, connection),
            )
            db.execute(
                "UPDATE push SET finished_at = ?, changed_at = ? WHERE connection = ? AND finished_at IS NULL",
                (now, now, connection),
            )
            close_of_connection(db, connection, now)

    def last_read(self, connection: str, source_ids: Iterable[str]) -> dict[str, Stored]:
        """By id: what the read after our own last verified write found; an id without one is not there."""
        with self._file.reading() as db:
            found = {source_id: last_read(db, connection, source_id) for source_id in source_ids}
        return {source_id: record for source_id, record in found.items() if record is not None}


def _put(db: sqlite3.Connection, wish: Wish, actor: str, now: str) -> str:
    refuse_edit(veil_of(db, wish.connection, now), wish.source_id, wish.field, wish.value)
    before = db.execute(
        "SELECT edit_id, base_id, seen_id, state FROM edit WHERE connection = ? AND coalesce(source_id, draft) = ? "
        "AND slot = ? AND state IN ('queued', 'pushing')",
        (wish.connection, wish.source_id or wish.draft, wish.slot),
    ).fetchone()
    if before is not None and before["state"] == "pushing":
        raise UsageError(
            f"{wish.connection} {wish.source_id} {wish.field}: edit {before['edit_id']} may be on its way to the CRM; "
            "nothing was queued",
            "let the push settle it first",
        )
    if before is not None:
        _move(db, [str(before["edit_id"])], ("queued",), "replaced", now)
        say_anew(db, wish.connection, wish.source_id or wish.draft, wish.slot, wish.value)
        base, seen = before["base_id"], before["seen_id"]
    else:
        base, seen = (keep(db, wish.connection, wish.base) if wish.base else None), None
    made = db.execute(
        "INSERT INTO edit (connection, source_id, draft, op, field, slot, value, base_id, seen_id, reason, actor, "
        "note, state, created_at, changed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
        (
            *(wish.connection, wish.source_id, wish.draft, wish.op, wish.field, wish.slot, wish.value),
            *(base, seen, wish.reason, actor, wish.note, now, now),
        ),
    )
    return str(made.lastrowid)


def _move(db: sqlite3.Connection, edit_ids: Iterable[str], before: Sequence[str], after: str, now: str) -> None:
    """Put edits into another state, those of them that are in one of `before`."""
    marks = ", ".join("?" * len(before))
    db.executemany(
        f"UPDATE edit SET state = ?, changed_at = ? WHERE edit_id = ? AND state IN ({marks})",
        [(after, now, _number(one), *before) for one in edit_ids],
    )


def _edit(db: sqlite3.Connection, row: Row) -> Edit:
    texts = ("connection", "source_id", "draft", "op", "field", "slot", "value", "reason", "note", "actor", "state")
    return Edit(
        edit_id=str(row["edit_id"]),
        base=load(db, row["base_id"]),
        seen=load(db, row["seen_id"]),
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        **{name: row[name] for name in texts},
    )


def _number(edit_id: str) -> int:
    """The number of an edit; no edit has number 0."""
    return int(edit_id) if edit_id.isascii() and edit_id.isdigit() and len(edit_id) < 18 else 0


def _not_queued(edit_id: str, row: Row | None) -> str:
    if row is None:
        return f"There is no edit {edit_id!r}"
    if row["state"] == "pushing":
        return f"Edit {edit_id} may be on its way to the CRM: what became of it has to be found out first"
    return f"Edit {edit_id} waits no longer: it was {row['state']}"

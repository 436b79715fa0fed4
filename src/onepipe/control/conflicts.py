"""Conflicts: what both sides changed, or what may have happened, until a person decides or it is over by itself."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from onepipe.control.file import ControlFile, Row
from onepipe.control.stored import load, present
from onepipe.control.veil import keep, veil_of
from onepipe.errors import UsageError
from onepipe.records import Stored
from onepipe.redaction import is_figure

Kind = Literal["field", "delete", "lost"]
OVER = "no longer a conflict"
DROPPED = "the edit was dropped"


@dataclass(frozen=True, kw_only=True)
class Clash:
    """A conflict as a run meets it: of a field, of a delete, or of a create or call that may have happened (lost).

    `base`, `ours` and `theirs` are as people write them, None is NULL or was never read. `record` is the CRM's side as
    it was read: what a person sees who decides. `reason` is why it is a conflict.
    """

    connection: str
    source_id: str | None
    draft: str | None
    kind: Kind
    field: str = ""
    slot: str = ""
    push_id: int | None = None
    base: str | None = None
    ours: str | None = None
    theirs: str | None = None
    record: Stored | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Conflict(Clash):
    """A conflict that was written down. `conflict_id` is text; instants are texts in UTC.

    `state`: open; resolved, by a person (`actor`, who said `why`); closed, because it is none any more.
    """

    conflict_id: str
    state: str
    opened_at: str
    resolved_at: str | None
    resolution: str | None
    actor: str | None
    why: str


class Conflicts:
    """The conflicts in a control file."""

    def __init__(self, file: ControlFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def meet(self, connection: str, record: str, clashes: Sequence[Clash]) -> list[str]:
        """Take these for all the conflicts that a record (its id, or its draft) has now; their ids, in order.

        One that is open already keeps its id and is brought up to date; one that is not met any more is closed.
        """
        with self._file.writing() as db:
            now = present(self._clock)
            known = {_place(row): row for row in _open_of(db, connection, record)}
            clashes = _veiled(db, connection, clashes, now)
            met = [_meet(db, clash, known.pop((clash.kind, _slot(clash)), None), now) for clash in clashes]
            _close(db, (row for row in known.values() if not _is_of_open_call(db, row)), OVER, now)
        return [str(one) for one in met]

    def open(self, connections: Collection[str] | None = None) -> list[Conflict]:
        """Every open conflict, of these connections or of all, oldest first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT * FROM conflict WHERE state = 'open' ORDER BY conflict_id").fetchall()
            return [_conflict(db, row) for row in rows if connections is None or row["connection"] in connections]

    def open_of(self) -> list[tuple[int, str]]:
        """The number and the connection of every open conflict, oldest first, and nothing of what it is about."""
        with self._file.reading() as db:
            rows = db.execute("SELECT conflict_id, connection FROM conflict WHERE state = 'open' ORDER BY conflict_id")
            return [(int(row["conflict_id"]), str(row["connection"])) for row in rows]

    def get(self, conflict_id: str) -> Conflict | None:
        """One conflict in whatever state; None where there is none of that id."""
        with self._file.reading() as db:
            row = _row(db, conflict_id)
            return _conflict(db, row) if row else None

    def resolve(
        self, conflict_id: str, resolution: str, actor: str, reason: str = "", about: Conflict | None = None
    ) -> None:
        """A person has decided. Do it before an edit is dropped for it, which closes the conflict undecided.

        `about` is the conflict as that person saw it: its `ours` stays, whatever the edit was changed to for it. Raises
        UsageError where it is not open.
        """
        with self._file.writing() as db:
            row = _row(db, conflict_id)
            if row is None or row["state"] != "open":
                what = f"conflict {conflict_id} is {row['state']}" if row else f"there is no conflict {conflict_id!r}"
                raise UsageError(f"{what}; nothing was decided", "`onepipe conflicts list` shows those that are open")
            db.execute(
                "UPDATE conflict SET state = 'resolved', resolved_at = ?, resolution = ?, actor = ?, why = ?, "
                "ours = ?, change = ? WHERE conflict_id = ?",
                (
                    *(present(self._clock), resolution, actor, reason, about.ours if about else row["ours"]),
                    *(next_change(db), row["conflict_id"]),
                ),
            )

    def changed(self, after: int, limit: int = 1_000) -> list[tuple[int, Conflict]]:
        """What was opened, brought up to date or ended after the change of this number, in order, with its number."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT * FROM conflict WHERE change > ? ORDER BY change LIMIT ?", (after, limit)
            ).fetchall()
            return [(row["change"], _conflict(db, row)) for row in rows]


def close_of_edits(db: sqlite3.Connection, edit_ids: Iterable[int], now: str) -> None:
    """Close the open conflicts of edits that were dropped, within their transaction."""
    for edit_id in edit_ids:
        rows = db.execute(
            "SELECT c.* FROM conflict c JOIN edit e ON e.connection = c.connection "
            "AND coalesce(e.source_id, e.draft) = coalesce(c.source_id, c.draft) "
            "AND CASE c.kind WHEN 'field' THEN e.slot = c.slot WHEN 'delete' THEN e.op = 'delete' END "
            "WHERE e.edit_id = ? AND e.state = 'dropped' AND c.state = 'open'",
            (edit_id,),
        ).fetchall()
        _close(db, rows, DROPPED, now)


def say_anew(db: sqlite3.Connection, connection: str, record: str | None, slot: str, ours: str | None) -> None:
    """The edit of an open conflict was replaced, within the caller's transaction: another value is ours now."""
    rows = db.execute(
        "SELECT * FROM conflict WHERE connection = ? AND coalesce(source_id, draft) = ? AND kind = 'field' "
        "AND slot = ? AND state = 'open'",
        (connection, record, slot),
    ).fetchall()
    for row in rows:
        values = (ours, next_change(db), row["conflict_id"])
        db.execute("UPDATE conflict SET ours = ?, change = ? WHERE conflict_id = ?", values)


def close_of_connection(db: sqlite3.Connection, connection: str, now: str) -> None:
    """Close all that is open of an account which the name no longer belongs to."""
    rows = db.execute("SELECT * FROM conflict WHERE connection = ? AND state = 'open'", (connection,)).fetchall()
    _close(db, rows, DROPPED, now)


def close_of_deals(db: sqlite3.Connection, connection: str, deals: str, resolution: str, now: str) -> None:
    """Close all that is open of these deals (a JSON list of their ids), within the caller's transaction."""
    rows = db.execute(
        "SELECT * FROM conflict WHERE connection = ? AND state = 'open' AND source_id IN "
        "(SELECT value FROM json_each(?))",
        (connection, deals),
    ).fetchall()
    _close(db, rows, resolution, now)


def _meet(db: sqlite3.Connection, clash: Clash, known: Row | None, now: str) -> int:
    if known is None:
        made = db.execute(
            "INSERT INTO conflict (connection, source_id, draft, kind, field, slot, push_id, base, ours, theirs, "
            "record_id, reason, state, opened_at, why, change) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, '', ?)",
            (
                *(clash.connection, clash.source_id, clash.draft, clash.kind, clash.field, _slot(clash)),
                *_said(clash),
                *(_kept(db, clash), clash.reason, now, next_change(db)),
            ),
        )
        return int(made.lastrowid or 0)
    before = _conflict(db, known)
    if (*_said(clash), clash.field, clash.reason) != (*_said(before), before.field, before.reason) or not _same_record(
        clash.record, before.record
    ):
        db.execute(
            "UPDATE conflict SET push_id = ?, base = ?, ours = ?, theirs = ?, field = ?, reason = ?, record_id = ?, "
            "change = ? WHERE conflict_id = ?",
            (*_said(clash), clash.field, clash.reason, _kept(db, clash), next_change(db), known["conflict_id"]),
        )
    return int(known["conflict_id"])


def _veiled(db: sqlite3.Connection, connection: str, clashes: Sequence[Clash], now: str) -> Sequence[Clash]:
    """Conflicts as they may be kept: of an erased deal the values of figures alone."""
    veil = veil_of(db, connection, now)
    if veil is None:
        return clashes
    hidden = [one.source_id in veil.deals and not (one.kind == "field" and is_figure(one.field)) for one in clashes]
    return [
        replace(one, base=None, ours=None, theirs=None) if hides else one
        for one, hides in zip(clashes, hidden, strict=True)
    ]


def _said(clash: Clash) -> tuple[object, ...]:
    return clash.push_id, clash.base, clash.ours, clash.theirs


def _slot(clash: Clash) -> str:
    """What of a record one open conflict stands for: a field's slot, its deletion, or one push of unknown fate."""
    return clash.slot if clash.kind == "field" else "" if clash.kind == "delete" else str(clash.push_id or "")


def _place(row: Row) -> tuple[str, str]:
    return row["kind"], row["slot"]


def _is_of_open_call(db: sqlite3.Connection, row: Row) -> bool:
    """Whether it is about a call of unknown fate: that ends with its push, not with the edits of the same record."""
    found = db.execute(
        "SELECT 1 FROM push WHERE push_id = ? AND op = 'call' AND finished_at IS NULL", (row["push_id"],)
    )
    return row["kind"] == "lost" and found.fetchone() is not None


def _kept(db: sqlite3.Connection, clash: Clash) -> int | None:
    return keep(db, clash.connection, clash.record) if clash.record else None


def _same_record(one: Stored | None, other: Stored | None) -> bool:
    """Whether two readings say the same, so that meeting a conflict again changes nothing."""
    if one is None or other is None:
        return one is other
    return (one.payload, dict(one.details)) == (other.payload, dict(other.details))


def _open_of(db: sqlite3.Connection, connection: str, record: str) -> list[Row]:
    found = db.execute(
        "SELECT * FROM conflict WHERE connection = ? AND coalesce(source_id, draft) = ? AND state = 'open'",
        (connection, record),
    )
    return found.fetchall()


def _close(db: sqlite3.Connection, rows: Iterable[Row], resolution: str, now: str) -> None:
    for row in rows:
        db.execute(
            "UPDATE conflict SET state = 'closed', resolved_at = ?, resolution = ?, change = ? WHERE conflict_id = ?",
            (now, resolution, next_change(db), row["conflict_id"]),
        )


def next_change(db: sqlite3.Connection) -> int:
    """A number above all that were given: conflicts are never removed."""
    return int(db.execute("SELECT coalesce(max(change), 0) + 1 FROM conflict").fetchone()[0])


def _row(db: sqlite3.Connection, conflict_id: str) -> Row | None:
    number = int(conflict_id) if conflict_id.isascii() and conflict_id.isdigit() and len(conflict_id) < 18 else 0
    found: Row | None = db.execute("SELECT * FROM conflict WHERE conflict_id = ?", (number,)).fetchone()
    return found


def _conflict(db: sqlite3.Connection, row: Row) -> Conflict:
    texts = ("connection", "source_id", "draft", "kind", "field", "slot", "base", "ours", "theirs", "reason")
    ends = ("push_id", "state", "opened_at", "resolved_at", "resolution", "actor", "why")
    return Conflict(
        conflict_id=str(row["conflict_id"]),
        record=load(db, row["record_id"]),
        **{name: row[name] for name in (*texts, *ends)},
    )

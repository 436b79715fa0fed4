"""What the outbox holds, as its readers see it: pushes, their requests, and lines of the journal."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from onepipe.control.file import Row
from onepipe.control.stored import load
from onepipe.records import Stored


@dataclass(frozen=True, kw_only=True)
class Push:
    """One record's edits, or one call, in one run. `asked` is what is wanted; instants are texts in UTC."""

    push_id: int
    run_id: str
    connection: str
    source_id: str | None
    draft: str | None
    op: str
    asked: Any
    reason: str
    actor: str
    state: str
    message: str
    tries: int
    next_at: str | None
    created_at: str
    finished_at: str | None
    edits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One request. `outcome` None: it may be on its way. `late`: told by a process that had lost its lease.

    Instants are texts in UTC.
    """

    n: int
    request: str
    before: Any
    sent_at: str
    outcome: str | None
    answer: str | None
    answered_at: str | None
    late: bool


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the journal: what the tables of pushes are told, and what a read after the write found, if any.

    `at` is when it was written, as text in UTC.
    """

    journal_id: int
    push_id: int
    connection: str
    source_id: str | None
    told: Any
    read: Stored | None
    at: str


def load_push(db: sqlite3.Connection, push_id: int) -> Push:
    """One push, with the edits it carries."""
    row = db.execute("SELECT * FROM push WHERE push_id = ?", (push_id,)).fetchone()
    carried = db.execute("SELECT edit_id FROM push_edit WHERE push_id = ? ORDER BY edit_id", (push_id,)).fetchall()
    plain = ("run_id", "connection", "source_id", "draft", "op", "reason", "actor", "state", "message", "tries")
    return Push(
        push_id=push_id,
        asked=json.loads(row["asked"]),
        edits=tuple(str(one["edit_id"]) for one in carried),
        **{name: row[name] for name in (*plain, "next_at", "created_at", "finished_at")},
    )


def attempt_of(row: Row) -> Attempt:
    """A row of the table attempt."""
    return Attempt(
        before=json.loads(row["before"]),
        late=bool(row["late"]),
        **{name: row[name] for name in ("n", "request", "sent_at", "outcome", "answer", "answered_at")},
    )


def entry_of(db: sqlite3.Connection, row: Row) -> Entry:
    """A row of the table journal."""
    plain = ("journal_id", "push_id", "connection", "source_id", "at")
    return Entry(told=json.loads(row["told"]), read=load(db, row["read_id"]), **{name: row[name] for name in plain})

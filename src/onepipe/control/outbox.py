"""The outbox: what becomes of edits on their way to a CRM, each step on disk before the next is taken.

    add -> claim -> attempt -> (the request) -> answered -> settle, which writes the journal
                       `recovered`: whatever was in `sending` when its process died is `unknown`

No request is made in here, and none may be made that `attempt` has not returned for: it commits (synchronous=FULL)
first. A step taken under a lease that is no longer the newest has no effect. States are those of `merge.states`.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from onepipe.control.file import ControlFile, Row
from onepipe.control.pushes import Attempt, Entry, Push, attempt_of, entry_of, load_push
from onepipe.control.stored import instant_text, present
from onepipe.control.veil import answer_of, keep, line_of
from onepipe.control.veil import attempt_of as veiled
from onepipe.errors import LeaseHeld
from onepipe.merge import states
from onepipe.records import Stored

Outcome = Literal["answered", "unapplied", "lost"]
_ON_ITS_WAY = ("sending", "unknown", "ambiguous")  # its edits may have been carried out


class Outbox:
    """The outbox in a control file."""

    def __init__(self, file: ControlFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def add(
        self,
        run_id: str,
        connection: str,
        op: str,
        asked: Any,
        *,
        source_id: str | None = None,
        draft: str | None = None,
        edits: Sequence[str] = (),
        reason: str = "",
        actor: str = "",
    ) -> int | None:
        """Write down what a run is about to do; its push_id: that of the record's open push, where one sent nothing.

        None where an older one may have been carried out: it has to be settled first.
        """
        now = present(self._clock)
        told = (run_id, connection, source_id, draft, op, _json(asked), reason, actor, now)
        with self._file.writing() as db:
            older = None if op == "call" else _open_push(db, connection, source_id or draft)
            if older is not None and older["state"] in _ON_ITS_WAY:
                return None
            if older is not None and older["wrote"]:  # a part of it is done: the rest is another push, of another run
                db.execute("UPDATE push SET finished_at = ? WHERE push_id = ?", (now, older["push_id"]))
                older = None
            if older is None:
                made = db.execute(
                    "INSERT INTO push (run_id, connection, source_id, draft, op, asked, reason, actor, changed_at, "
                    "state, message, lease, tries, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'ready', '', 0, 0, ?)",
                    (*told, now),
                )
                push_id = int(made.lastrowid or 0)
            else:
                push_id = int(older["push_id"])
                db.execute(
                    "UPDATE push SET run_id = ?, connection = ?, source_id = ?, draft = ?, op = ?, asked = ?, "
                    "reason = ?, actor = ?, changed_at = ?, state = 'ready', message = '', next_at = NULL "
                    "WHERE push_id = ?",
                    (*told, push_id),
                )
                db.execute("DELETE FROM push_edit WHERE push_id = ?", (push_id,))
            db.executemany("INSERT INTO push_edit VALUES (?, ?)", [(push_id, int(one)) for one in edits])
        return push_id

    def claim(self, push_id: int, lease: int) -> Push | None:
        """Take one to work on under a lease; None where it is finished, or a newer lease has it.

        What an older lease left in `sending` is `unknown` from now on.
        """
        with self._file.writing() as db:
            row = db.execute("SELECT * FROM push WHERE push_id = ?", (push_id,)).fetchone()
            if row is None or row["finished_at"] is not None or row["lease"] > lease:
                return None
            state = states.after_restart(row["state"]) if row["lease"] < lease else row["state"]
            db.execute("UPDATE push SET lease = ?, state = ? WHERE push_id = ?", (lease, state, push_id))
            return load_push(db, push_id)

    def recovered(self, connection: str, lease: int) -> list[Push]:
        """Take over, under a new lease, all that is open of a connection, as it is after a restart."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT push_id FROM push WHERE connection = ? AND finished_at IS NULL ORDER BY push_id", (connection,)
            ).fetchall()
        found = (self.claim(row["push_id"], lease) for row in rows)
        return [one for one in found if one is not None]

    def attempt(self, push_id: int, lease: int, request: str, before: Any = None) -> int | None:
        """Note that a request is about to be sent; its number. On disk when this returns; send it only then.

        `request` is kept as it is, `before` is what was read just before. None, and nothing may be sent: an edit of it
        was dropped or replaced meanwhile. Raises LeaseHeld where the push is no longer ours, AssertionError for one
        that may have been sent already.
        """
        now = present(self._clock)
        with self._file.writing() as db:
            if _given_up(db, push_id):
                return None
            _enter(db, push_id, lease, "sending", now)
            db.execute("UPDATE push SET tries = tries + 1, next_at = NULL WHERE push_id = ?", (push_id,))
            for edit_id in load_push(db, push_id).edits:
                _edit_becomes(db, edit_id, "sending", None, now)
            n = int(db.execute("SELECT count(*) FROM attempt WHERE push_id = ?", (push_id,)).fetchone()[0]) + 1
            request, before = veiled(db, push_id, request, before, now)
            db.execute(
                "INSERT INTO attempt (push_id, n, request, before, lease, sent_at) VALUES (?, ?, ?, ?, ?, ?)",
                (push_id, n, request, _json(before), lease, now),
            )
        return n

    def answered(self, push_id: int, n: int, lease: int, outcome: Outcome, answer: str = "") -> bool:
        """Keep what came back of a request; whether it still counts. It never moves the push's state."""
        with self._file.writing() as db:
            row = db.execute("SELECT lease, state FROM push WHERE push_id = ?", (push_id,)).fetchone()
            late = row["lease"] != lease or row["state"] != "sending"
            db.execute(
                "UPDATE attempt SET outcome = ?, answer = ?, answered_at = ?, late = ? WHERE push_id = ? AND n = ?",
                (outcome, answer_of(db, push_id, answer), present(self._clock), late, push_id, n),
            )
        return not late

    def settle(
        self,
        push_id: int,
        lease: int,
        state: str,
        told: Any,
        *,
        message: str = "",
        source_id: str | None = None,
        read: Stored | None = None,
        next_at: datetime | None = None,
        each: Mapping[str, str] | None = None,
    ) -> int:
        """Put a push into a state, with its edits and one journal line, in one transaction; the line's id.

        `told` is for the tables pushes, field_changes and conflicts; `read` what was read back; `source_id` that of a
        record just made, whose edits are of a known record from then on. `each` is the state of single edits, by id,
        where that is another: an edit in a final one is settled, any other waits for the next run. Raises LeaseHeld
        where the push is no longer ours, AssertionError where `merge.states` does not allow it.
        """
        now = present(self._clock)
        with self._file.writing() as db:
            _enter(db, push_id, lease, state, now)
            db.execute(
                "UPDATE push SET message = ?, source_id = coalesce(?, source_id), next_at = ?, finished_at = ? "
                "WHERE push_id = ?",
                (
                    *(message, source_id, next_at and instant_text(next_at)),
                    *(now if states.STATES[state].final else None, push_id),
                ),
            )
            for edit_id in load_push(db, push_id).edits:
                _edit_becomes(db, edit_id, (each or {}).get(edit_id, state), source_id, now)
            row = db.execute("SELECT connection, source_id FROM push WHERE push_id = ?", (push_id,)).fetchone()
            read_id = keep(db, row["connection"], read) if read else None
            told = line_of(db, push_id, told, now)
            made = db.execute(
                "INSERT INTO journal (push_id, connection, source_id, told, read_id, at) VALUES (?, ?, ?, ?, ?, ?)",
                (push_id, row["connection"], row["source_id"], _json(told), read_id, now),
            )
            return int(made.lastrowid or 0)

    def looked(self, push_id: int, found: Any) -> None:
        """Keep what a look after a lost answer found."""
        with self._file.writing() as db:
            values = (push_id, present(self._clock), _json(found))
            db.execute("INSERT INTO look (push_id, at, found) VALUES (?, ?, ?)", values)

    def looks(self, push_id: int) -> list[tuple[str, Any]]:
        """When was looked, and what was found, in order."""
        with self._file.reading() as db:
            rows = db.execute("SELECT at, found FROM look WHERE push_id = ? ORDER BY look_id", (push_id,)).fetchall()
        return [(row["at"], json.loads(row["found"])) for row in rows]

    def waiting(self, connections: Collection[str] | None = None) -> list[Push]:
        """Every push that is not finished, oldest first."""
        with self._file.reading() as db:
            rows = db.execute("SELECT push_id, connection FROM push WHERE finished_at IS NULL ORDER BY push_id")
            wanted = [row for row in rows.fetchall() if connections is None or row["connection"] in connections]
            return [load_push(db, row["push_id"]) for row in wanted]

    def of_connection(self, connection: str) -> list[Push]:
        """Every push of a connection that ever was, oldest first."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT push_id FROM push WHERE connection = ? ORDER BY push_id", (connection,)
            ).fetchall()
            return [load_push(db, row["push_id"]) for row in rows]

    def get(self, push_id: int) -> Push | None:
        """One push; None where there is none of that id."""
        with self._file.reading() as db:
            known = db.execute("SELECT 1 FROM push WHERE push_id = ?", (push_id,)).fetchone()
            return load_push(db, push_id) if known else None

    def attempts(self, push_id: int) -> list[Attempt]:
        """The requests of a push, in the order they were sent."""
        with self._file.reading() as db:
            rows = db.execute("SELECT * FROM attempt WHERE push_id = ? ORDER BY n", (push_id,)).fetchall()
        return [attempt_of(row) for row in rows]

    def lines(self, push_id: int) -> list[Entry]:
        """The journal's lines of one push, in order."""
        with self._file.reading() as db:
            rows = db.execute("SELECT * FROM journal WHERE push_id = ? ORDER BY journal_id", (push_id,)).fetchall()
            return [entry_of(db, row) for row in rows]

    def of_run(self, run_id: str) -> list[Push]:
        """Every push that a run worked on, by its id, also one that a later run took up again."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT push_id FROM push WHERE run_id = :run UNION "
                "SELECT push_id FROM journal WHERE json_extract(told, '$.push.run_id') = :run ORDER BY push_id",
                {"run": run_id},
            ).fetchall()
            return [load_push(db, row["push_id"]) for row in rows]

    def last_run(self, connections: Collection[str] | None = None) -> str | None:
        """The newest run that pushed edits, of these connections or of all; ids of runs begin with their time."""
        with self._file.reading() as db:
            rows = db.execute("SELECT DISTINCT run_id, connection FROM push WHERE op <> 'call'").fetchall()
        known = (row["run_id"] for row in rows if connections is None or row["connection"] in connections)
        return max(known, default=None)

    def journal(self, after: int, limit: int = 1_000) -> list[Entry]:
        """The lines after an id, in order: what a commit has to land."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT * FROM journal WHERE journal_id > ? ORDER BY journal_id LIMIT ?", (after, limit)
            ).fetchall()
            return [entry_of(db, row) for row in rows]


def _enter(db: sqlite3.Connection, push_id: int, lease: int, state: str, now: str) -> None:
    """Move a push to a state, if it is this lease's and the table of states allows it."""
    row = db.execute("SELECT lease, state, finished_at FROM push WHERE push_id = ?", (push_id,)).fetchone()
    if row["lease"] != lease:
        raise LeaseHeld(f"push {push_id} was taken over by another process meanwhile; nothing was changed")
    if row["finished_at"] is not None or not states.may_become(row["state"], state):
        raise AssertionError(f"push {push_id} is {row['state']}, which cannot become {state}")
    db.execute("UPDATE push SET state = ?, changed_at = ? WHERE push_id = ?", (state, now, push_id))


def _open_push(db: sqlite3.Connection, connection: str, record: str | None) -> Row | None:
    """The push of a record that is not finished; there is one at the most."""
    found: Row | None = db.execute(
        "SELECT push_id, state, EXISTS (SELECT 1 FROM attempt a WHERE a.push_id = push.push_id "
        "AND a.outcome = 'answered') AS wrote FROM push WHERE connection = ? AND coalesce(source_id, draft) = ? "
        "AND finished_at IS NULL AND op <> 'call'",
        (connection, record),
    ).fetchone()
    return found


def _given_up(db: sqlite3.Connection, push_id: int) -> bool:
    """Whether an edit that a push carries is no longer wanted."""
    found = db.execute(
        "SELECT 1 FROM push_edit JOIN edit USING (edit_id) WHERE push_id = ? AND state NOT IN ('queued', 'pushing')",
        (push_id,),
    )
    return found.fetchone() is not None


def _edit_becomes(db: sqlite3.Connection, edit_id: str, state: str, made_id: str | None, now: str) -> None:
    """Move an edit along with what became of it; that of a new record now belongs to the one that was made."""
    after = "pushing" if state in _ON_ITS_WAY else "settled" if states.STATES[state].final else "queued"
    db.execute(
        "UPDATE edit SET state = ?, changed_at = ? WHERE edit_id = ? AND state IN ('queued', 'pushing')",
        (after, now, int(edit_id)),
    )
    if made_id is not None:
        db.execute(
            "UPDATE edit SET source_id = ?, op = 'update' WHERE edit_id = ? AND source_id IS NULL",
            (made_id, int(edit_id)),
        )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

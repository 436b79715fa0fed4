"""A control file for a backup, and one that came back from a backup: nothing in it may be sent without being asked.

What was queued when the backup was made may have been sent since, and what was sent then may have been sent again. Of
an update or a deletion the base is dropped, so that a push finds a conflict wherever the CRM does not hold it already;
a creation becomes one that may have happened, which no look settles and a person decides. Calls are never sent again
by themselves in any case.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from onepipe.control.conflicts import Clash, Conflicts
from onepipe.control.file import MIGRATIONS, ControlFile
from onepipe.control.markers import Erased, erasure
from onepipe.control.stored import present
from onepipe.errors import ConfigError, DiskTrouble, LeaseHeld

ROOM = 1_000  # numbers that are left out behind the newest that is known: people's plans name them
MORE_ROOM = 100_000  # and where the newest is not known
_NUMBERED = ("edit", "push", "journal", "conflict")
_PASSING = ("wish", "alert_message")  # tables of what was to happen at once, then


@dataclass(frozen=True, slots=True)
class Held:
    """What waits for a person after a restore: edits of known records, records that were to be created, erasures.

    `erased` are those that were carried out since the backup was made, and have to be again.
    """

    edits: int
    creates: int
    erased: int


def copy(file: ControlFile, target: Path) -> None:
    """Write the file as it stands into a new one, without what was deleted from it; mode 0600. Raises DiskTrouble."""
    target.unlink(missing_ok=True)
    with file.reading() as db:
        db.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)


def version(path: Path) -> int:
    """The state version of a control file that nobody has open. Raises ConfigError for what is none, or a newer one."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            [[sound]] = db.execute("PRAGMA quick_check(1)").fetchall()
            found = int(db.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise ConfigError(f"{path.name} in the backup is no control file: {error}; nothing was changed") from error
    if sound != "ok" or not found:
        raise ConfigError(f"{path.name} in the backup is damaged: {sound}; nothing was changed")
    if found > len(MIGRATIONS):
        raise ConfigError(
            f"the backup was made by a newer onepipe (state version {found}, this one knows {len(MIGRATIONS)}); "
            "nothing was changed",
            "restore it with that version",
        )
    return found


def settle_down(path: Path) -> None:
    """Merge a control file's log into it. Raises LeaseHeld while another process has it open; a broken one stays."""
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=2, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            return
        raise LeaseHeld(
            f"Another process has {path} open. Nothing was changed.",
            "Stop the daemon and every other command of this project, then restore again.",
        ) from error
    except sqlite3.DatabaseError:
        return


def make_safe(path: Path, made_at: str, before: Path, clock: Callable[[], float]) -> Held:
    """Make a control file out of a backup fit to take the place of `before`, which may be missing or broken.

    Leases are free, numbers of edits and pushes go on behind the newest ones, and nothing is sent unasked.
    """
    file = ControlFile(path)
    try:
        with file.writing() as db:
            db.execute("UPDATE lease SET pid = NULL, expires = 0")
            _number(db, before)
            for table in _PASSING:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
                    db.execute(f"DELETE FROM {table}")
            edits = _doubt_edits(db, made_at, present(clock))
            drafts = _doubt_creates(db, made_at, present(clock))
        conflicts = Conflicts(file, clock)
        for connection, draft, name, push_id in drafts:
            clash = Clash(
                connection=connection,
                source_id=None,
                draft=draft,
                kind="lost",
                push_id=push_id,
                ours=name,
                reason=f"it was to be made when the backup of {made_at[:16]} was made, and may have been made since",
            )
            conflicts.meet(connection, draft, [clash])
        erased = _erase_again(file, before, clock)
    except sqlite3.Error as error:
        raise DiskTrouble(f"the control file of the backup cannot be used: {error}; nothing was changed") from error
    finally:
        file.close()
        for copied in path.parent.glob("control.v*.sqlite"):
            copied.unlink()
    settle_down(path)
    return Held(edits, len(drafts), erased)


def _erase_again(file: ControlFile, before: Path, clock: Callable[[], float]) -> int:
    """Take over who was erased since the backup was made, to be erased again; how many markers."""
    try:
        if not before.is_file():
            return 0
        with closing(sqlite3.connect(f"{before.absolute().as_uri()}?mode=ro", uri=True)) as other:
            other.row_factory = sqlite3.Row
            rows = [erasure(row) for row in other.execute("SELECT * FROM erased ORDER BY erased_at").fetchall()]
            keys = other.execute("SELECT * FROM fingerprint_key").fetchall()
    except sqlite3.Error:
        return 0
    markers = Erased(file, clock)
    known = {one.erasure_id for one in markers.rows()}
    new = [replace(one, done_at=None) for one in rows if one.erasure_id not in known]
    if new and keys:  # fingerprints of addresses are of use with their own key alone
        with file.writing() as db:
            db.execute("INSERT OR REPLACE INTO fingerprint_key VALUES (?, ?)", tuple(keys[0]))
    markers.take(new)
    return len(new)


def _number(db: sqlite3.Connection, before: Path) -> None:
    """Go on counting behind the newest numbers of the file whose place it takes."""
    newest, room = dict[str, int](), MORE_ROOM
    try:
        if before.is_file():
            with closing(sqlite3.connect(f"{before.absolute().as_uri()}?mode=ro", uri=True)) as other:
                newest, room = dict(other.execute("SELECT name, seq FROM sqlite_sequence").fetchall()), ROOM
    except sqlite3.Error:
        newest, room = {}, MORE_ROOM
    known = dict(map(tuple, db.execute("SELECT name, seq FROM sqlite_sequence").fetchall()))
    for table in _NUMBERED:
        number = max(known.get(table, 0), newest.get(table, 0)) + room
        if table in known:
            db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (number, table))
        else:
            db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))


def _doubt_edits(db: sqlite3.Connection, made_at: str, now: str) -> int:
    """Of updates and deletions that wait nobody knows any more what they rest on; how many there are."""
    note = f"restored from the backup of {made_at[:16]}: it may have been sent since"
    return db.execute(
        "UPDATE edit SET base_id = NULL, seen_id = NULL, changed_at = :now, note = CASE note WHEN '' THEN :note "
        "ELSE note || '; ' || :note END WHERE state IN ('queued', 'pushing') AND op <> 'create'",
        {"now": now, "note": note},
    ).rowcount


def _doubt_creates(db: sqlite3.Connection, made_at: str, now: str) -> list[tuple[str, str, str | None, int]]:
    """Each record that was to be created, in a push that is in doubt: connection, draft, name, push."""
    rows = db.execute(
        "SELECT connection, draft, max(CASE field WHEN 'name' THEN value END) AS name, max(reason) AS reason, "
        "max(actor) AS actor FROM edit WHERE state IN ('queued', 'pushing') AND op = 'create' "
        "GROUP BY connection, draft ORDER BY min(edit_id)"
    ).fetchall()
    return [(row["connection"], row["draft"], row["name"], _doubted(db, row, made_at, now)) for row in rows]


def _doubted(db: sqlite3.Connection, row: sqlite3.Row, made_at: str, now: str) -> int:
    """The push of a record that was to be created, made where there was none; its id."""
    record = (row["connection"], row["draft"])
    found = db.execute(
        "SELECT push_id, asked FROM push WHERE connection = ? AND draft = ? AND finished_at IS NULL AND op = 'create'",
        record,
    ).fetchone()
    asked = json.loads(found["asked"]) if found else {"op": "create", "fields": {}, "writes": {}}
    text = json.dumps({**asked, "restored": made_at}, ensure_ascii=False)
    if found:
        push_id = int(found["push_id"])
        db.execute(
            "UPDATE push SET asked = ?, state = 'ambiguous', changed_at = ? WHERE push_id = ?", (text, now, push_id)
        )
    else:
        made = db.execute(
            "INSERT INTO push (run_id, connection, draft, op, asked, reason, actor, state, message, lease, tries, "
            "created_at, changed_at) VALUES ('restore', ?, ?, 'create', ?, ?, ?, 'ambiguous', '', 0, 0, ?, ?)",
            (*record, text, row["reason"] or "", row["actor"] or "", now, now),
        )
        push_id = int(made.lastrowid or 0)
    open_ = "connection = ? AND draft = ? AND state IN ('queued', 'pushing') AND op = 'create'"
    db.execute(f"INSERT OR IGNORE INTO push_edit SELECT ?, edit_id FROM edit WHERE {open_}", (push_id, *record))
    db.execute(f"UPDATE edit SET state = 'pushing', changed_at = ? WHERE {open_}", (now, *record))
    return push_id

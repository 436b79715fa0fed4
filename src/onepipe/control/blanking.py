"""Taking a person out of the control file: what rests on deals that were erased, and texts that hold an address.

What still waited to be pushed to such a deal is given up. `scrub` makes the file anew, without what was in it before.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from onepipe.control.conflicts import DROPPED, close_of_deals
from onepipe.control.file import ControlFile
from onepipe.control.stored import load, present
from onepipe.control.veil import document_of, request_of, told_of, veil_of
from onepipe.errors import DiskTrouble
from onepipe.redaction import Addresses, Redaction, is_figure, without

_KEYS = ("connection", "source_id", "name", "erasure_id", "fingerprint", "op", "state", "kind", "field", "slot")
_NOT_OURS = ("erased", "erased_kept", "identity", "fingerprint_key", "credential", "token", "lease")
_CHECKPOINT = 30.0  # seconds to wait for those who read the file


def blank(file: ControlFile, connection: str, clock: Callable[[], float]) -> None:
    """Blank what a connection's deals left in the file, as its markers stand; in one transaction."""
    with file.writing() as db:
        db.execute("PRAGMA secure_delete = ON")
        now = present(clock)
        veil = veil_of(db, connection, now)
        if veil is None:
            return
        deals = json.dumps(sorted(veil.deals))
        _give_up(db, connection, deals, now)
        _stored(db, connection, veil)
        _pushes(db, connection, veil)
        _edits(db, connection, deals)
        _conflicts(db, connection, deals)
        _texts(db, connection, veil.addresses)


def scrub(file: ControlFile) -> None:
    """Write the whole file anew, and empty its log. Raises DiskTrouble where others read it all the time."""
    with file.reading() as db:
        db.execute("PRAGMA secure_delete = ON")
        db.execute("VACUUM")
        until = time.monotonic() + _CHECKPOINT
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > until:
                raise DiskTrouble(
                    f"the log of {file.path} cannot be emptied: another program reads that file without a pause",
                    "end it there, and run `onepipe erase --resume`",
                )
            time.sleep(0.05)


def _give_up(db: sqlite3.Connection, connection: str, deals: str, now: str) -> None:
    """What waits to be pushed to erased deals rests on what is gone."""
    of = "connection = ? AND source_id IN (SELECT value FROM json_each(?))"
    db.execute(
        f"UPDATE edit SET state = 'dropped', changed_at = ? WHERE {of} AND state IN ('queued', 'pushing')",
        (now, connection, deals),
    )
    db.execute(
        f"UPDATE push SET finished_at = ?, changed_at = ? WHERE {of} AND finished_at IS NULL",
        (now, now, connection, deals),
    )
    close_of_deals(db, connection, deals, DROPPED, now)


def _stored(db: sqlite3.Connection, connection: str, veil: Redaction) -> None:
    for row in db.execute("SELECT stored_id FROM stored WHERE connection = ?", (connection,)).fetchall():
        before = load(db, row["stored_id"])
        after = veil.stored(before) if before else None
        if before is not None and after is not None and after is not before:
            db.execute(
                "UPDATE stored SET payload = ?, payload_hash = ?, details = ? WHERE stored_id = ?",
                (
                    *(after.payload, after.payload_hash, json.dumps(dict(sorted(after.details.items())))),
                    row["stored_id"],
                ),
            )


def _pushes(db: sqlite3.Connection, connection: str, veil: Redaction) -> None:
    pushes = db.execute("SELECT * FROM push WHERE connection = ?", (connection,)).fetchall()
    for push in pushes:
        push_id, erased = push["push_id"], push["source_id"] in veil.deals
        if erased:
            asked = _asked(push["op"], json.loads(push["asked"]))
            db.execute(
                "UPDATE push SET asked = ?, reason = '', message = '' WHERE push_id = ?", (json.dumps(asked), push_id)
            )
            db.execute("DELETE FROM look WHERE push_id = ?", (push_id,))
        for one in db.execute("SELECT * FROM attempt WHERE push_id = ?", (push_id,)).fetchall():
            before = json.dumps(document_of(veil, json.loads(one["before"])), ensure_ascii=False)
            request = request_of(one["request"]) if erased else one["request"]
            db.execute(
                "UPDATE attempt SET before = ?, request = ?, answer = CASE WHEN ? THEN '' ELSE answer END "
                "WHERE push_id = ? AND n = ?",
                (before, request, erased and one["answer"] is not None, push_id, one["n"]),
            )
        for line in db.execute("SELECT * FROM journal WHERE push_id = ?", (push_id,)).fetchall():
            told = json.loads(line["told"])
            if isinstance(told, dict) and "before" in told:
                told["before"] = document_of(veil, told["before"])
            if erased:
                told = told_of(told)
                if told.get("push"):
                    told["push"]["reason"] = None
            db.execute(
                "UPDATE journal SET told = ? WHERE journal_id = ?",
                (json.dumps(told, ensure_ascii=False), line["journal_id"]),
            )


def _asked(op: str, asked: Any) -> Any:
    """What was wanted, of figures alone: of a call its action."""
    if not isinstance(asked, dict):
        return None
    if op == "call":
        return {"action": asked.get("action"), "given": {}, "look": None}
    return {key: value for key, value in asked.items() if key in ("op", "source_id", "draft")}


def _edits(db: sqlite3.Connection, connection: str, deals: str) -> None:
    of = "connection = ? AND source_id IN (SELECT value FROM json_each(?))"
    rows = db.execute(f"SELECT edit_id, field FROM edit WHERE {of}", (connection, deals)).fetchall()
    for row in rows:
        db.execute(
            "UPDATE edit SET reason = '', note = '', value = CASE WHEN ? THEN value END WHERE edit_id = ?",
            (is_figure(row["field"]), row["edit_id"]),
        )


def _conflicts(db: sqlite3.Connection, connection: str, deals: str) -> None:
    of = "connection = ? AND source_id IN (SELECT value FROM json_each(?))"
    rows = db.execute(f"SELECT conflict_id, field, kind FROM conflict WHERE {of}", (connection, deals)).fetchall()
    for row in rows:
        db.execute("UPDATE conflict SET reason = '', why = '' WHERE conflict_id = ?", (row["conflict_id"],))
        if row["kind"] == "lost" or not is_figure(row["field"]):
            db.execute(
                "UPDATE conflict SET base = NULL, ours = NULL, theirs = NULL, resolution = NULL WHERE conflict_id = ?",
                (row["conflict_id"],),
            )


def _texts(db: sqlite3.Connection, connection: str, addresses: Addresses) -> None:
    """Every other text of this connection in which an address stands."""
    for table, columns in _tables(db).items():
        own = " WHERE connection = ?" if "connection" in columns else ""
        given: Sequence[str] = (connection,) if own else ()
        names = [name for name in columns if name not in _KEYS]
        keys = [name for name, (_, key) in columns.items() if key]
        for row in db.execute(f'SELECT * FROM "{table}"{own}', given).fetchall():
            for name in names:
                value = row[name]
                if isinstance(value, str) and name not in keys and addresses.known(value):
                    left = _left(value, needed=columns[name][0])
                    place = " AND ".join(f'"{key}" = ?' for key in keys)
                    db.execute(
                        f'UPDATE "{table}" SET "{name}" = ? WHERE {place}',
                        (_of_json(addresses, value) or left, *(row[key] for key in keys)),
                    )


def _of_json(addresses: Addresses, value: str) -> str | None:
    """A JSON text with null for every text in it that holds an address; None where it is none."""
    try:
        told = json.loads(value)
    except ValueError:
        return None
    return json.dumps(without(addresses, told), ensure_ascii=False) if isinstance(told, dict | list) else None


def _left(value: str, *, needed: bool) -> str | None:
    return "" if needed and value else None


def _tables(db: sqlite3.Connection) -> dict[str, dict[str, tuple[bool, bool]]]:
    """Every table's text columns, and the columns of its key: whether each is NOT NULL, and of the key."""
    names = [row["name"] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
    found = {}
    for table in names:
        columns = db.execute(f'PRAGMA table_info("{table}")').fetchall()
        if table in _NOT_OURS or table.startswith("sqlite_") or not any(one["pk"] for one in columns):
            continue
        found[table] = {
            one["name"]: (bool(one["notnull"]), bool(one["pk"]))
            for one in columns
            if one["type"] == "TEXT" or one["pk"]
        }
    return found

"""What is written into the control file of a deal whose person was erased: its figures, and nothing else.

Everything here runs inside the caller's transaction, so that what is taken out never reaches the disk.
"""

import json
import secrets
import sqlite3
from typing import Any

import msgspec

import onepipe.control.stored as stored
from onepipe.control.stored import as_document, instant, instant_text
from onepipe.errors import UsageError
from onepipe.records import Stored
from onepipe.redaction import Addresses, Kept, Redaction, fields_of, is_figure


def veil_of(db: sqlite3.Connection, connection: str, now: str) -> Redaction | None:
    """How a connection's answers are redacted, as the markers stand; None where nobody was erased. `now` is a text."""
    if db.execute("SELECT 1 FROM erased LIMIT 1").fetchone() is None:
        return None
    deals = db.execute("SELECT source_id FROM erased WHERE connection = ? AND source_id IS NOT NULL", (connection,))
    ids = [row["source_id"] for row in deals.fetchall()]
    told = db.execute("SELECT kept FROM erased_kept WHERE connection = ?", (connection,)).fetchone()
    kept = msgspec.json.decode(told["kept"], type=Kept) if told else Kept()
    return Redaction(kept, ids, addresses_of(db, connection), lambda deal: met(db, connection, deal, now))


def addresses_of(db: sqlite3.Connection, connection: str) -> Addresses:
    """The addresses that were erased in a connection."""
    rows = db.execute(
        "SELECT fingerprint FROM erased WHERE fingerprint IS NOT NULL AND coalesce(connection, ?) = ?",
        (connection, connection),
    ).fetchall()
    key = db.execute("SELECT key FROM fingerprint_key").fetchone() if rows else None
    return Addresses(key["key"] if key else b"", frozenset(row["fingerprint"] for row in rows if key))


def keep(db: sqlite3.Connection, connection: str, record: Stored) -> int:
    """Keep a record as it may be kept; its stored_id. The same reading is kept once."""
    veil = veil_of(db, connection, instant_text(record.read_at))
    return stored.keep(db, connection, veil.stored(record) if veil else record)


def mark(
    db: sqlite3.Connection,
    place: tuple[str | None, str | None, bytes | None],
    now: str,
    actor: str,
    reason: str,
    cause: str | None = None,
) -> str:
    """Write a marker down (connection, source_id, fingerprint); its id. One that is there already is begun again."""
    known = db.execute(
        "SELECT erasure_id FROM erased WHERE connection IS ? AND source_id IS ? AND fingerprint IS ?", place
    ).fetchone()
    if known is not None:
        db.execute(
            "UPDATE erased SET done_at = NULL, change = ? WHERE erasure_id = ?", (next_change(db), known["erasure_id"])
        )
        return str(known["erasure_id"])
    made = secrets.token_hex(6)
    db.execute(
        "INSERT INTO erased VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        (made, *place, cause, now, actor, reason, next_change(db)),
    )
    return made


def met(db: sqlite3.Connection, connection: str, source_id: str, now: str) -> None:
    """A deal turned out to be that of somebody whose address was erased: it is marked, and begun.

    What comes from now on is blank; what was stored of it before is left for `onepipe erase --resume`.
    """
    cause = db.execute(
        "SELECT * FROM erased WHERE fingerprint IS NOT NULL AND coalesce(connection, ?) = ? ORDER BY erased_at DESC",
        (connection, connection),
    ).fetchone()
    mark(db, (connection, source_id, None), now, cause["actor"], cause["reason"], cause["erasure_id"])


def next_change(db: sqlite3.Connection) -> int:
    """A number above all that were given."""
    return int(db.execute("SELECT coalesce(max(change), 0) + 1 FROM erased").fetchone()[0])


def refuse_edit(veil: Redaction | None, deal: str | None, field: str, value: str | None) -> None:
    """Raise UsageError for an edit that would bring back what was erased."""
    if veil is None:
        return
    if deal in veil.deals and not is_figure(field):
        raise UsageError(
            f"{field} of deal {deal} cannot be edited: the person behind it was erased here, and it stays blank; "
            "nothing was queued",
            "edit it in the CRM itself",
        )
    if value is not None and veil.addresses.known(value):
        raise UsageError(
            f"the value for {field} holds an address that was erased here; nothing was queued",
            "write it in the CRM itself",
        )


def attempt_of(db: sqlite3.Connection, push_id: int, request: str, before: Any, now: str) -> tuple[str, Any]:
    """A request that is about to be sent and what was read before it, as they may be kept."""
    veil, deal = _of_push(db, push_id, now)
    if veil is None:
        return request, before
    before = document_of(veil, before)
    return (request_of(request) if _hides(veil, deal, request) else request), before


def answer_of(db: sqlite3.Connection, push_id: int, answer: str) -> str:
    """What came back of a request, as it may be kept: of an erased deal the id it made, or its status."""
    veil, deal = _of_push(db, push_id, "")
    if veil is None or not _hides(veil, deal, answer):
        return answer
    try:
        told = json.loads(answer)
    except ValueError:
        return ""
    return json.dumps({name: told[name] for name in ("made", "status") if name in told})


def line_of(db: sqlite3.Connection, push_id: int, told: Any, now: str) -> Any:
    """A line of the journal as it may be kept; the message of its push goes with it."""
    veil, deal = _of_push(db, push_id, now)
    if veil is None or not isinstance(told, dict):
        return told
    told = told | {"before": document_of(veil, told.get("before"))} if "before" in told else told
    if not _hides(veil, deal, json.dumps(told.get("push"), ensure_ascii=False)):
        return told
    db.execute("UPDATE push SET message = '' WHERE push_id = ?", (push_id,))
    return told_of(told)


def document_of(veil: Redaction, document: Any) -> Any:
    """A reading as the outbox keeps it, as it may be kept."""
    if not document:
        return document
    return as_document(veil.stored(Stored(**{**document, "read_at": instant(document["read_at"])})))


def request_of(text: str) -> str:
    """A request without what it carries."""
    return json.dumps(json.loads(text) | {"body": None, "query": {}}, ensure_ascii=False)


def told_of(told: dict[str, Any]) -> dict[str, Any]:
    """A line of the journal: of fields that are no figures their state alone, of requests that they were made."""
    push = told.get("push")
    if push is None:
        return told
    fields = fields_of(push["op"], push.get("fields"))
    return told | {"push": push | {"fields": fields, "request": None, "message": ""}}


def _of_push(db: sqlite3.Connection, push_id: int, now: str) -> tuple[Redaction | None, str | None]:
    row = db.execute("SELECT connection, source_id FROM push WHERE push_id = ?", (push_id,)).fetchone()
    return veil_of(db, row["connection"], now), row["source_id"]


def _hides(veil: Redaction, deal: str | None, text: str) -> bool:
    return deal in veil.deals or veil.addresses.known(text)

"""What belongs to each record of a simulated CRM, as the rows of the published tables, in plain Python.

It shares nothing with the mappings. Each reader gives lists of rows without their place; the place is their number.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from onepipe.sandbox.crm import Crm
from tests.truth.values import Row, day, instant, money, of, text, verbatim

COLUMNS = {
    "line_items": ("item_id", "name", "quantity", "unit_amount", "amount", "description"),
    "quotes": ("quote_id", "amount", "currency", "expires_on", "created_at"),
    "documents": ("document_id", "name", "body", "created_at", "updated_at"),
    "notes": ("note_id", "kind", "title", "body", "author", "created_at"),
    "contacts": ("contact_id", "name", "email", "role"),
}
Lists = dict[str, list[Row]]
LONDON = ZoneInfo("Europe/London")


def children(crm: Crm, key: Any, record: Row, details: bool = True) -> Lists:
    """The rows of every table for one record; none of those that only a sub-request tells, where `details` are off."""
    told = READERS[crm.name](crm, key, record, details)
    return {
        name: [{**dict.fromkeys(columns), **row, "position": place} for place, row in enumerate(told.get(name, []), 1)]
        for name, columns in COLUMNS.items()
    }


def administrate(crm: Any, key: Any, record: Row, details: bool) -> Lists:
    """All of it stands in the record."""
    interests = record["interests"]
    people = chain.from_iterable(one["delegates"] for one in interests)
    return {
        "line_items": [_interest(one) for one in interests],
        "contacts": [
            {
                "contact_id": text(one["id"]),
                "name": text(" ".join(filter(None, (one["first_name"].strip(), one["last_name"].strip())))),
                "email": text(one["email"]),
                "role": "delegate",
            }
            for one in people
        ],
        "quotes": [
            {
                "quote_id": text(one["id"]),
                "amount": money(one["value"]),
                "currency": text(of(one["currency"], "id")),
                "expires_on": day(one["expires_at"]),
                "created_at": instant(one["created_at"]),
            }
            for one in record["quotes"]
        ],
        "documents": [
            {
                "document_id": text(one["id"]),
                "name": verbatim(one["name"]),
                "body": verbatim(one["body"]),
                "created_at": instant(one["created_at"]),
                "updated_at": instant(one["updated_at"]),
            }
            for one in record["documents"]
        ],
    }


def _interest(one: Row) -> Row:
    named = next((one[kind] for kind in ("event", "course", "item", "track") if one[kind]), None)
    quantity, price = money(one["quantity"]), money(one["price"])
    both = one["quantity"] is not None and one["price"] is not None
    return {
        "item_id": text(one["id"]),
        "name": verbatim(of(named, "title") or of(named, "name")),
        "quantity": quantity,
        "unit_amount": price,
        "amount": money(Decimal(one["quantity"]) * Decimal(one["price"])) if both else None,
        "description": verbatim(one["notes"]),
    }


def tactile(crm: Any, key: Any, record: Row, details: bool) -> Lists:
    """The timeline, newest first. The later source names no zone: an hour that London repeats is read as its second."""
    second = crm.options.extra_keys
    notes = sorted(crm.notes.get(key, []), key=lambda note: (note["created"], note["id"]), reverse=True)
    return {
        "notes": [
            {
                "note_id": text(one["id"]),
                "kind": "note",
                "title": text(one["title"]),
                "body": verbatim(one["note"]),
                "author": text(one["owner"]),
                "created_at": _utc(one["created"].replace(fold=second)),
            }
            for one in notes
        ]
        if details
        else []
    }


def _utc(wall: datetime) -> datetime:
    return (wall if wall.tzinfo else wall.replace(tzinfo=LONDON)).astimezone(UTC)


def capsule(crm: Any, key: Any, record: Row, details: bool) -> Lists:
    """History, newest first, and the additional parties; each a request of its own."""
    if not details:
        return {}
    history = sorted(crm.history.get(key, []), key=lambda note: str(note["entryDate"]), reverse=True)
    parties = [crm.parties[number] for number in crm.extra_parties.get(key, [])]
    return {
        "notes": [
            {
                "note_id": text(one["id"]),
                "kind": text(one["type"]),
                "title": text(one["subject"]),
                "body": verbatim(one["note"]),
                "author": text(one["creatorName"]),
                "created_at": instant(one["entryDate"]),
            }
            for one in history
        ],
        "contacts": [
            {
                "contact_id": text(one["id"]),
                "name": text(" ".join(filter(None, (one.get(part) for part in ("firstName", "lastName", "name"))))),
                "email": text("; ".join(crm.emails.get(one["id"], []))),
                "role": "additional",
            }
            for one in parties
        ],
    }


def onautomate(crm: Any, key: Any, record: Row, details: bool) -> Lists:
    """There is none of it."""
    return {}


def overplane(crm: Any, key: Any, record: Row, details: bool) -> Lists:
    """Items in the order of their idx."""
    items = sorted(crm.children["opportunity-item"].get(key, []), key=lambda one: int(one["idx"]))
    return {
        "line_items": [
            {
                "item_id": text(one["id"]),
                "name": verbatim(one["item_name"] or one["item_code"]),
                "quantity": money(one["qty"]),
                "unit_amount": money(one["rate"]),
                "amount": money(one["amount"]),
                "description": verbatim(one["description"]),
            }
            for one in items
        ]
        if details
        else []
    }


READERS: dict[str, Callable[[Any, Any, Row, bool], Lists]] = {
    "administrate": administrate,
    "tactile": tactile,
    "capsule": capsule,
    "onautomate": onautomate,
    "overplane": overplane,
}

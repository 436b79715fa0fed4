"""What a CRM holds of one record right now: read through the connector, kept as sent, read through the mapping."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from onepipe.connector import Connector
from onepipe.control.stored import as_document, instant
from onepipe.edit import Target, records
from onepipe.edit.known import LINE_ITEMS
from onepipe.records import Record, Stored
from onepipe.warehouse.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Theirs:
    """One record as a CRM holds it: as it was sent, and canonical column -> value."""

    stored: Stored
    record: Mapping[str, Any]


class Reader:
    """Reads stored records through the mapping in force, on the published warehouse; one thread at a time."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._turn = Lock()

    @contextmanager
    def alone(self) -> Iterator[Database]:
        """The warehouse, for this thread alone."""
        with self._turn:
            yield self._db

    def read(self, target: Target, stored: Sequence[Stored]) -> list[dict[str, Any]]:
        """The canonical records, in their order."""
        with self.alone() as db:
            return records(db, target, stored)


def wanted_details(target: Target, fields: Collection[str]) -> tuple[str, ...]:
    """The sub-requests that tell what these fields hold."""
    columns = {name.partition(".")[0] for name in fields}
    made = (target.mapping.fields.get(name) for name in columns)
    named = {source.steps[0] for one in made if one for source in one.sources if source.root == "@"}
    return tuple(name for name in target.connector.facts.details if name in named)


def ask(
    connector: Connector,
    target: Target,
    record_id: str,
    known: Stored | None,
    fields: Collection[str],
    now: Callable[[], datetime],
) -> Stored:
    """Read one record, with what tells of these fields. `known` is its newest stored form. Raises Gone."""
    found: Record = connector.get(record_id, known.payload.encode() if known else None)
    details = {
        name: connector.detail(name, record_id, found.payload).decode()  # type: ignore[attr-defined]
        for name in wanted_details(target, fields)
    }
    if LINE_ITEMS in fields and target.writes and target.writes.items:
        details[LINE_ITEMS] = bytes(connector.ask(target.writes.items.read, {"id": record_id})).decode()
    return stored(found.id, found.payload, details, now())


def stored(record_id: str, payload: bytes, details: Mapping[str, str], at: datetime) -> Stored:
    """A record as it was read."""
    digest = hashlib.md5(payload, usedforsecurity=False).hexdigest()
    return Stored(source_id=record_id, payload=payload.decode(), payload_hash=digest, details=dict(details), read_at=at)


def landed(one: Stored) -> Stored:
    """What of a reading the warehouse takes: line items are a list of their own."""
    details = {name: text for name, text in one.details.items() if name != LINE_ITEMS}
    return stored(one.source_id, one.payload.encode(), details, one.read_at)


def stored_document(one: Stored) -> dict[str, Any]:
    """A reading as JSON, for the outbox."""
    return as_document(one)


def stored_of(document: Mapping[str, Any]) -> Stored:
    """What `stored_document` wrote."""
    return Stored(**{**document, "read_at": instant(document["read_at"])})

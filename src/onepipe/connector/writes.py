"""What a connector says of writing: a request described before it is sent, the facts, and the named actions.

Nothing here sends. `Connector.send` puts a described request through the one door.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from lxml import etree

from onepipe.connector.reads import Read
from onepipe.errors import UsageError
from onepipe.merge import PLAIN, Habits

Verb = TypeVar("Verb", bound=Callable[..., Any])
Change = Mapping[str, Any]
"""What `compile.invert` gives: the CRM's own names, nested as it nests them; None clears."""


class Request(msgspec.Struct, frozen=True):
    """One write, whole, before it is sent; no secret is in it.

    `body` is what JSON can hold (Decimal is a number), or text that is sent as it is. `carries` names the parts of a
    change, by their first name, that this request is for. `gone`: statuses that say that the record is not there.
    """

    method: str
    path: str
    body: Any = None
    query: dict[str, Any] = {}
    headers: dict[str, str] = {}
    carries: tuple[str, ...] = ()
    gone: tuple[int, ...] = (404, 410)

    def document(self) -> dict[str, Any]:
        """What people are shown: method, path, body, and the query where there is one."""
        told = {"method": self.method, "path": self.path, "body": self.body}
        return told | ({"query": dict(self.query)} if self.query else {})

    def stored(self) -> bytes:
        """All of it as JSON, to be kept until it is settled."""
        return _encoder.encode(self)

    @classmethod
    def restored(cls, stored: bytes | str) -> "Request":
        """The request that was kept, digit for digit."""
        return _decoder.decode(stored)


_rows = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(Request, float_hook=Decimal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Line items that can be written one by one.

    `read` is the named read that lists them. `columns`: canonical column -> the CRM's names for it, of which the first
    that is not blank is read, and the first is written; `computed` are columns that the CRM makes of others.
    """

    read: str
    columns: Mapping[str, tuple[str, ...]]
    computed: frozenset[str] = frozenset()

    def rows(self, listed: bytes) -> list[dict[str, Any]]:
        """The canonical rows, in the order listed, of what the read answers."""
        found = _rows.decode(listed)
        return [
            {"item_id": str(row["id"]), "position": number, **self._row(row)} for number, row in enumerate(found, 1)
        ]

    def native(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """What the CRM is sent for columns of one row. Raises UsageError for one it does not have."""
        sent = {}
        for name, value in columns.items():
            whole, _, own = name.partition(".")
            if whole != "extra" and name not in self.columns:
                raise UsageError(f"a line item has no {name} here; it has {', '.join(self.columns)}, or extra.NAME")
            if name not in self.computed:
                sent[own if whole == "extra" else self.columns[name][0]] = value
        if columns and not sent:
            raise UsageError(f"{' and '.join(columns)} of a line item cannot be set: the CRM makes it of the others")
        return sent

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: [row.get(own) for own in owns] for name, owns in self.columns.items()}
        values = {name: next((one for one in found if one not in (None, "")), None) for name, found in told.items()}
        numbers = ("quantity", "unit_amount", "amount")
        return {n: Decimal(str(v)) if n in numbers and v is not None else v for n, v in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What is known of writing to a CRM, declared once.

    `required`: columns of a new record; either of an id and its label counts, a tuple among them means one of these.
    `defaults`: column -> value of a new record where none is given; "$today" is the day. `places`: fields that the
    mapping does not write -> where they stand in a change, `extra.NAME` among them; `by_id` those of them that are
    written by the CRM's id. `new_only`: given for a new record only. `habits`: what the CRM does to values. `derived`:
    columns it moves by itself when others are written. `unstamped`: own names whose change may not move the record's
    stamp. `forced`: what its form wants sent along, by its own names, with
    the value just read. `guards`: path of a stamp -> the own name whose change alone moves it. `items`: line items.
    `notes`: field or list -> what is unproven. `lag`: how late a list may show a new record; `late`: how long after a
    lost answer a request may still take effect.
    """

    required: tuple[str | tuple[str, ...], ...]
    defaults: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_id: frozenset[str] = frozenset()
    new_only: frozenset[str] = frozenset()
    habits: Habits = PLAIN
    derived: tuple[str, ...] = ()
    unstamped: frozenset[str] = frozenset()
    forced: tuple[str, ...] = ()
    guards: Mapping[str, str] = field(default_factory=dict)
    items: Items | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    lag: timedelta = timedelta(seconds=10)
    late: timedelta = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Action(Read):
    """A named action, something to be done that is no edit; its first parameter is the ID of the command.

    `reads`: it only reads, and is asked like any read. `look`: the method that tells what a call changes, if one can.
    """

    reads: bool = False
    look: str | None = None


def action(look: str | None = None) -> Callable[[Verb], Verb]:
    """Mark a method as an action: a docstring, typed keyword arguments, the ID first; it answers the `Request`.

    `look` names a method with the same arguments that reads what the call would change, as plain values: read before
    the request and after a lost answer, it tells whether the call took effect; None where the account does not tell.
    """

    def mark(verb: Verb) -> Verb:
        verb.__dict__["onepipe_action"] = look or ""
        return verb

    return mark


def xml_body(root: str, content: Change | list[Change]) -> str:
    """An XML document: keys are elements, a list repeats its element, None is empty. Raises UsageError for text that
    XML cannot hold.
    """
    element = etree.Element(root)
    try:
        _fill(element, content)
    except ValueError:
        raise UsageError(f"the text for <{root}> holds characters that XML cannot carry") from None
    return '<?xml version="1.0" encoding="UTF-8"?>' + etree.tostring(element, encoding="unicode")


def id_number(value: Any) -> Any:
    """An id as the number that a CRM prints: "42" is 42; any other value, "GBP" or "042", stays as it is."""
    plain = isinstance(value, str) and value.isascii() and value.isdigit() and not value.startswith("0")
    return int(value) if plain else value


def relation(value: Any) -> Any:
    """`{"id": "42"}` as a CRM with numbers wants it: `{"id": 42}`, or null for `{"id": None}`; other values stay."""
    if not isinstance(value, Mapping) or value.keys() != {"id"}:
        return value
    return None if value["id"] is None else {"id": id_number(value["id"])}


def given(**values: Any) -> dict[str, Any]:
    """The arguments of an action that people gave; days and instants as ISO text."""
    told = {name: value for name, value in values.items() if value is not None}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in told.items()}


def _fill(element: Any, content: Any) -> None:
    if isinstance(content, Mapping):
        for name, value in content.items():
            for one in value if isinstance(value, list | tuple) else [value]:
                _fill(etree.SubElement(element, name), one)
    elif content is not None:
        element.text = _text(content)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:f}" if isinstance(value, Decimal) else str(value)

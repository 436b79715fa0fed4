"""What is left of an answer of a CRM of which a person was erased: the same answer in, the same bytes out.

Of a marked deal what its figures are made of stays, and nothing else. Where an erased address stands elsewhere, the
smallest element of a list that holds it goes; outside of all lists it is the deal's own, and the deal is marked.
"""

import html
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import blake2b, md5
from typing import Any
from urllib.parse import unquote

import msgspec

from onepipe.model import CHILDREN, MAPPED
from onepipe.records import Record, Stored

OPPORTUNITY = "opportunity"
FIGURES = (
    *("amount", "currency", "unit_amount", "period", "periods", "pipeline_id", "pipeline", "stage_id", "stage"),
    *("status", "probability", "expected_close_date", "closed_at", "owner_id", "owner", "created_at", "updated_at"),
    "is_archived",
)
"""The mapped columns that an erased deal keeps."""
PERSONAL = tuple(column.name for column in MAPPED if column.name not in FIGURES)
BLANKED = (*PERSONAL, *CHILDREN)
"""The columns that it loses."""

Path = tuple[str, ...]
EACH = "[]"  # the step into an element of a list
_DOMAIN = re.compile(r'[^\s"<>(),;:\\\[\]@/?&=#%\'|{}]+')
_BREAK = frozenset(' \t\r\n\f\v"<>(),;:\\[]@\xa0')  # no address has one of these before its @
_LONGEST = 320  # letters of an address
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.S)
_AT = re.compile(r"@|%40|%2540|&#|&commat;|\\u0040", re.I)
_BEFORE = re.compile(r"[=/?&'|{}*!#$^`~%]")
_encode = msgspec.json.Encoder(decimal_format="number").encode


class Kept(msgspec.Struct, frozen=True):
    """Where in a connection's records the figures stand, and where those who belong to a deal.

    `paths` are those of single values, `parts` those of elements, with "[]" as the step into a list; the first step of
    either is the name of the detail they stand in, "" for the record itself. `reference` are the lists beside deals.
    """

    paths: tuple[Path, ...] = (("", "id"),)
    parts: tuple[Path, ...] = ()
    reference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Erased addresses, known by their keyed fingerprints alone."""

    key: bytes
    fingerprints: frozenset[bytes]

    def known(self, text: str) -> bool:
        """Whether one of them stands in a text, as it is or escaped as in URLs, HTML or JSON."""
        if not self.fingerprints or not _AT.search(text):
            return False
        return any(fingerprint(self.key, one) in self.fingerprints for one in set(_addresses(text)))


def fingerprint(key: bytes, address: str) -> bytes:
    """A keyed hash of an address; its case counts for nothing."""
    return blake2b(address.strip().casefold().encode(), key=key, digest_size=16, person=b"erased").digest()


def _addresses(text: str) -> Iterator[str]:
    """Whatever in a text may be an address; too many rather than too few."""
    for told in _readings(text):
        at = told.find("@")
        while at >= 0:
            begin, end = at, _DOMAIN.match(told, at + 1)
            while begin > max(0, at - _LONGEST) and told[begin - 1] not in _BREAK:
                begin -= 1
            if end:
                yield from _endings(told[begin:at].casefold(), end[0].casefold().rstrip(".-_"))
            at = told.find("@", at + 1)


def _endings(local: str, domain: str) -> Iterator[str]:
    """An address, and what it is without the words of a URL or a sentence before it."""
    yield f"{local}@{domain}"
    yield f"{local.lstrip('.-')}@{domain}"
    for found in _BEFORE.finditer(local):
        yield f"{local[found.end() :]}@{domain}"
        yield f"{local[found.end() :].lstrip('.-')}@{domain}"


def _readings(text: str) -> set[str]:
    """A text as it is, and with its escapes undone, two deep."""
    found, newest = {text}, {text}
    for _ in range(2):
        newest = {reading for one in newest for reading in _undone(one)} - found
        found |= newest
    return found


def _undone(text: str) -> Iterator[str]:
    if "\\" in text:
        yield _ESCAPE.sub(lambda found: chr(int(found[1][1:], 16)) if len(found[1]) > 1 else " ", text)
    if "%40" in text or "%25" in text:
        yield unquote(text)
    if "&#" in text or "&commat;" in text:
        yield html.unescape(text)


class Redaction:
    """How one connection's answers are redacted. `mark` is told of each deal that turns out to be an erased person's.

    A record whose bytes need no redaction is returned itself.
    """

    def __init__(
        self, kept: Kept, deals: Collection[str], addresses: Addresses, mark: Callable[[str], None] = lambda _: None
    ) -> None:
        self.kept = kept
        self.deals = set(deals)
        self.met: list[str] = []
        """Deals that turned out to be an erased person's while this was in use."""
        self.addresses = addresses
        self._mark = mark
        self._paths = frozenset(kept.paths)
        self._parts = frozenset(kept.parts)

    def page(self, resource: str, records: Sequence[Record]) -> list[Record]:
        """The records of a page, or the answers to one detail; one look at the page where nobody is concerned."""
        concerned = resource not in self.kept.reference and any(one.id in self.deals for one in records)
        if not concerned and not self._told(b"\n".join(one.payload for one in records)):
            return list(records)
        return [replace_payload(one, self.payload(resource, one.id, one.payload)) for one in records]

    def unreadable(self, items: Sequence[bytes]) -> list[bytes]:
        """Elements of a list that are no record; what of them holds an erased address says no more than that."""
        return [b'{"erased":true}' if self._told(item) else item for item in items]

    def payload(self, resource: str, record_id: str, payload: bytes) -> bytes:
        """One record of a resource, or the answer to one detail of it."""
        root = "" if resource == OPPORTUNITY else resource
        if resource in self.kept.reference:
            return self._texts(payload) if self._told(payload) else payload
        if record_id in self.deals:
            return self._figures(root, payload)
        if not self._told(payload):
            return payload
        data = _read(payload)
        left, spilled = self._without(data, (root,), False)
        if spilled or data is None:
            self.meet(record_id)
            return self._figures(root, payload)
        return _encode(left)

    def meet(self, deal: str) -> None:
        """A deal turned out to be that of somebody erased."""
        self.deals.add(deal)
        self.met.append(deal)
        self._mark(deal)

    def stored(self, one: Stored) -> Stored:
        """A record as it was read, with what its sub-requests answered; itself where nobody is concerned."""
        payload = self.payload(OPPORTUNITY, one.source_id, one.payload.encode())
        details = {
            name: self.payload(name, one.source_id, text.encode()).decode() for name, text in one.details.items()
        }
        if one.source_id in self.deals:  # a detail may have told whose deal it is
            payload = self.payload(OPPORTUNITY, one.source_id, payload)
        if payload == one.payload.encode() and details == dict(one.details):
            return one
        digest = md5(payload, usedforsecurity=False).hexdigest()
        return replace(one, payload=payload.decode(), payload_hash=digest, details=details)

    def _told(self, payload: bytes) -> bool:
        return bool(self.addresses.fingerprints) and self.addresses.known(payload.decode(errors="replace"))

    def _figures(self, root: str, payload: bytes) -> bytes:
        """What stays of a marked deal: the values at the kept paths."""
        data = _read(payload)
        if isinstance(data, list):
            return b"[]"
        left: dict[str, Any] = {}
        for path in sorted(self._paths):
            value = _at(data, path[1:]) if path[0] == root else None
            if value is not None and not isinstance(value, dict | list) and not self._holds(value):
                _put(left, path[1:], value)
        return _encode(left)

    def _without(self, node: Any, place: Path, inside: bool) -> tuple[Any, bool]:
        """A value without what holds an address, and whether that is for the one around it to settle.

        `inside`: an element of a list of those who belong to the deal is around it.
        """
        if isinstance(node, dict):
            left: dict[str, Any] = {}
            spilled = False
            for key, value in node.items():
                at = (*place, key)
                if at in self._paths and self._holds(value):
                    left[key] = None
                    continue
                left[key], more = self._without(value, at, inside)
                spilled |= more or self._holds(key)
            return left, spilled
        if isinstance(node, list):
            return self._without_elements(node, (*place, EACH), inside)
        return node, self._holds(node)

    def _without_elements(self, node: list[Any], place: Path, inside: bool) -> tuple[list[Any], bool]:
        part, rest, spilled = place in self._parts, [], False
        for element in node:
            left, holds = self._without(element, place, inside or part)
            if holds and (part or not inside):
                continue
            rest.append(left)
            spilled |= holds
        return rest, spilled

    def _texts(self, payload: bytes) -> bytes:
        """A record of a list beside deals: only the texts that hold an address are blanked."""
        return _encode(without(self.addresses, _read(payload)))

    def _holds(self, value: Any) -> bool:
        return isinstance(value, str) and self.addresses.known(value)


def is_figure(name: str) -> bool:
    """Whether an erased deal keeps a field; "" is the deal as a whole."""
    return name in ("", *FIGURES)


def fields_of(op: str, fields: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a push as they may be kept: of those that are no figures their state alone."""
    return {
        name: one if is_figure(name) and op != "call" else {"state": one.get("state")}
        for name, one in (fields or {}).items()
    }


def without(addresses: Addresses, node: Any) -> Any:
    """A value as JSON has it, with null for every text in it that holds an address."""
    if isinstance(node, dict):
        return {key: without(addresses, value) for key, value in node.items() if not addresses.known(key)}
    if isinstance(node, list):
        return [without(addresses, one) for one in node]
    return None if isinstance(node, str) and addresses.known(node) else node


def replace_payload(record: Record, payload: bytes) -> Record:
    """The record with another payload."""
    return record if payload is record.payload else Record(record.id, payload, record.stamp)


def paths_kept(figures: Iterable[Path], personal: Iterable[Path]) -> tuple[Path, ...]:
    """Of the paths that figures are read from those that nothing personal is read from, at them or below."""
    gone = set(personal)
    return tuple(sorted({path for path in figures if not any(one[: len(path)] == path for one in gone)}))


def _read(payload: bytes) -> Any:
    """The JSON of a payload, its numbers exact; None where it is none."""
    try:
        return json.loads(payload, parse_float=Decimal, parse_int=lambda digits: _whole(digits))
    except (ValueError, RecursionError):
        return None


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < 18 else Decimal(digits)


def _at(data: Any, steps: Path) -> Any:
    for step in steps:
        data = data.get(step) if isinstance(data, dict) else None
    return data


def _put(data: dict[str, Any], steps: Path, value: Any) -> None:
    for step in steps[:-1]:
        data = data.setdefault(step, {})
    data[steps[-1]] = value

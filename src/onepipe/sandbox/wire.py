"""What goes over the wire, and the small values in it: requests, answers, refusals, exact JSON, stamps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec

Row = dict[str, Any]

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)


def dump(value: Any) -> bytes:
    """JSON as UTF-8; a Decimal is printed digit for digit, never through a float."""
    return _encoder.encode(value)


def load(body: bytes) -> Any:
    """Python values of a JSON text; fractions become Decimal. Raises `Refused` (400) when it is not JSON."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(Answer(400, dump({"message": f"not JSON: {error}"}))) from error


def whole(text: str | None, default: int) -> int:
    """The integer in `text`, or `default` where there is none."""
    try:
        return int(text) if text is not None else default
    except ValueError:
        return default


def shuffled(row_id: object, salt: object = "") -> bytes:
    """A sort key that looks random but is stable for one salt."""
    return hashlib.md5(f"{salt}/{row_id}".encode(), usedforsecurity=False).digest()


@dataclass(slots=True)
class Call:
    """One request as a CRM sees it: `path` is relative to the CRM's base URL, still percent-encoded."""

    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes
    cap: int | None = None
    ignore_filters: bool = False
    ignore_order: bool = False
    query: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.query = parse_qsl(self.query_string, keep_blank_values=True)

    def param(self, name: str) -> str | None:
        """The last value of a query parameter; None when it was not sent."""
        return next((value for key, value in reversed(self.query) if key == name), None)

    def json(self) -> Any:
        """The body as JSON; an empty body is an empty object."""
        return load(self.body) if self.body.strip() else {}


@dataclass(slots=True)
class Answer:
    """One response; `cut` says how the connection fails while sending: "" | "reset" | "short"."""

    status: int = 200
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=lambda: [("Content-Type", "application/json")])
    cut: str = ""

    def header(self, name: str) -> str | None:
        """The value of a header, by case-insensitive name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def set(self, name: str, value: str | None) -> None:
        """Replaces a header; None removes it."""
        self.headers = [(key, old) for key, old in self.headers if key.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


class Refused(Exception):
    """Carries the answer with which a CRM turns a request down."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body[:200]!r}")
        self.answer = answer


def as_utc(value: datetime | str) -> datetime:
    """An aware UTC instant from a datetime or an ISO text; a text without a zone is UTC."""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def seconds_z(at: datetime) -> str:
    """`2024-03-01T10:00:05Z`: whole seconds, cut off, not rounded."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def next_id(rows: Iterable[int]) -> int:
    """One more than the greatest id there is."""
    return max(rows, default=0) + 1

"""Values as people write them, read into canonical ones and shown again."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Literal

from onepipe.merge.compare import FLAGS, kind
from onepipe.merge.lists import read_items, read_tags
from onepipe.merge.scale import Refused
from onepipe.merge.words import MISSING
from onepipe.model import KEY, MAPPED, OBSERVED, STATUSES

Given = Literal["value", "id", "label", "either"]

_NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ]00:00(:00([.]0+)?)?(Z|[+]00:?00)?)?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})"
)
_NEVER = {column.name for column in (*KEY, *OBSERVED)} | {"url", "created_at", "updated_at"}
_FIELDS = [column.name for column in MAPPED if column.name not in {*_NEVER, "custom", "extra"}] + ["line_items"]
_LABELS = {"pipeline", "stage", "owner", "company", "contact"}
_EITHER = {"type", "lead_source"}
_MOST = Decimal(10) ** 14  # DECIMAL(18,4)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value as read. `given`: an id, a label, or text that may be either (`choose` tells); MISSING for empty text."""

    value: Any
    given: Given = "value"


def read(column: str, text: str) -> Wanted | Refused:
    """The value that a text means in a column, `custom.KEY`, `extra.NAME` or `line_items` (JSON); or why it has none.

    Empty text changes nothing: its value is MISSING. To empty a field is another intent, CLEAR.
    """
    if reason := not_editable(column):
        return Refused(reason)
    if not text.strip():
        return Wanted(MISSING)
    reader = _BY_COLUMN.get(column) or _BY_KIND.get(kind(column), str.strip)
    value = reader(text)
    return value if isinstance(value, Refused) else Wanted(value, given(column))


def not_editable(column: str) -> str:
    """Why no edit can name this field, whatever the CRM and its mapping; empty where one can."""
    whole, _, key = column.partition(".")
    if whole in ("custom", "extra"):
        one = f"{whole}.{'KEY' if whole == 'custom' else 'NAME'}"
        return "" if key.strip() else f"is edited one by one, as {one}"
    if column in _NEVER:
        return "is never edited: it is what the CRM, or onepipe, says of the record"
    if column in _FIELDS:
        return ""
    near = get_close_matches(column, _FIELDS, 1)
    return f"is no field; did you mean {near[0]!r}?" if near else f"is no field; fields: {', '.join(_FIELDS)}"


def given(column: str) -> Given:
    """Whether a text for this column is an id, a label, one of both, or just a value."""
    if column in _EITHER:
        return "either"
    return "label" if column in _LABELS else "id" if column.removesuffix("_id") in _LABELS else "value"


def choose(text: str, options: Iterable[tuple[str, str]], by: Given) -> tuple[str, str] | Refused:
    """The one of `options` (id, label) that a text names: as its label, its id, or ("either") first as its label."""
    known = list(dict.fromkeys(options))
    for place in {"label": [1], "id": [0]}.get(by, [1, 0]):
        found = [one for one in known if one[place] == text]
        if len(found) == 1:
            return found[0]
        if found:
            return Refused(f"{text!r} is not one but several: give the id, one of {', '.join(id_ for id_, _ in found)}")
    names = [one[0 if by == "id" else 1] for one in known]
    near = "".join(f" (did you mean {one!r}?)" for one in get_close_matches(text, names, 1))
    return Refused(f"{text!r} is not there{near}; there are: {', '.join(names) or 'none'}")


def as_text(value: Any) -> str:
    """A value of a typed file or query as the text that `read` takes; None is empty."""
    if value is None or value is MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z" if value.tzinfo else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=lambda one: as_text(one))
    return f"{Decimal(str(value)):f}"


def shown(column: str, value: Any) -> str | None:
    """A value as people write it, so that `read` gives it again; money with two decimals at the least. None is NULL."""
    if value is None or value is MISSING:
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = f"{Decimal(str(value)).normalize():f}"
        whole, _, rest = number.partition(".")
        return f"{whole}.{rest:0<2}" if column in ("amount", "unit_amount") else number
    return as_text(value)


def _number(text: str) -> Decimal | Refused:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return Refused(f"{text!r} is no plain number, such as 1234.50")
    value = Decimal(text)
    return value if abs(value) < _MOST else Refused(f"{text!r} is larger than 14 digits before the point")


def _fraction(text: str) -> Decimal | Refused:
    value = _number(text.strip().removesuffix("%"))
    if isinstance(value, Decimal) and not text.strip().endswith("%") and 0 <= value <= 1:
        return value
    return Refused(f"{text.strip()!r} is not from 0 to 1; 50 % is 0.5")


def _day(text: str) -> date | Refused:
    found = _DAY.fullmatch(text.strip())
    try:
        return date.fromisoformat(found[1]) if found else Refused(f"{text.strip()!r} is no day, such as 2024-01-31")
    except ValueError:
        return Refused(f"{text.strip()!r} is not in the calendar")


def _instant(text: str) -> datetime | Refused:
    refused = Refused(f"{text.strip()!r} is no moment with its zone, such as 2024-01-31T09:30:00Z")
    if not _INSTANT.fullmatch(text.strip()):
        return refused
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        return refused


def _flag(text: str) -> bool | Refused:
    value = FLAGS.get(text.strip().lower())
    return Refused(f"{text.strip()!r} is not true or false") if value is None else value


def _word(pattern: str, example: str, form: Callable[[str], str] = str) -> Callable[[str], str | Refused]:
    def read_word(text: str) -> str | Refused:
        text = form(text.strip())
        return text if re.fullmatch(pattern, text) else Refused(f"{text!r} is not {example}")

    return read_word


def _verbatim(text: str) -> str:
    return text


_BY_KIND: dict[str, Callable[[str], Any]] = {
    "DECIMAL(18,4)": _number,
    "DECIMAL(5,4)": _fraction,
    "DATE": _day,
    "TIMESTAMPTZ": _instant,
    "BOOLEAN": _flag,
    "VARCHAR[]": read_tags,
    "ITEMS": read_items,
}
_BY_COLUMN: dict[str, Callable[[str], Any]] = {
    "name": _verbatim,
    "description": _verbatim,
    "status": _word("|".join(STATUSES), f"one of {', '.join(STATUSES)}", str.lower),
    "currency": _word("[A-Z]{3}", "a currency of three letters, such as EUR", str.upper),
    "period": _word("[a-z]+", "a period, such as month", str.lower),
    "contact_email": _word(r"[^@\s]+@[^@\s]+", "an e-mail address"),
}

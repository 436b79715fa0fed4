"""How single values of a CRM become those of a column: texts, money, percents, dates, instants, what is left over."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Row = dict[str, Any]


def verbatim(value: Any) -> str | None:
    """Names and descriptions: as sent, the empty text is NULL."""
    return str(value) if value not in (None, "") else None


def text(value: Any) -> str | None:
    """Every other text: without outer blanks, blank is NULL; an id that is a number is its digits."""
    return (str(value).strip(" \t\r\n") or None) if value is not None else None


def money(value: Any) -> Decimal | None:
    """DECIMAL(18,4), never rounded; what the column cannot hold, or is no number, cannot be read."""
    try:
        exact = Decimal(str(value))
        fits = exact == exact.quantize(Decimal("0.0001")) and abs(exact) < 10**14
        return exact.quantize(Decimal("0.0001")) if fits else None
    except InvalidOperation:
        return None


def percent(value: Any) -> Decimal | None:
    """Percent as a fraction of one; more than all of it cannot be read."""
    share = money(value)
    return (share / 100).quantize(Decimal("0.0001")) if share is not None and 0 <= share <= 100 else None


def day(value: str | None) -> date | None:
    """A calendar date, also one printed as midnight, in no zone."""
    if value is None or re.fullmatch(r"\d{4}-\d\d-\d\d(T00:00:00Z)?", value) is None:
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def instant(value: str | None) -> datetime | None:
    """A moment in UTC; blanks after colons are forgiven."""
    told = text(value)
    return datetime.fromisoformat(re.sub(r":\s+", ":", told)).astimezone(UTC) if told else None


def of(value: Row | None, name: str) -> Any:
    """A field of an object that may be missing."""
    return value.get(name) if value else None


def left_over(record: Row, read: set[str]) -> Row:
    """`extra`: scalars, and ids and names of objects, that no column reads; NULLs (empty texts too) left out."""
    rest: Row = {}
    for key, value in record.items():
        if key in read:
            continue
        if isinstance(value, dict):
            inner = {name: value[name] for name in ("id", "name") if name in value and f"{key}.{name}" not in read}
            kept = {
                name: one for name, one in inner.items() if one not in (None, "") and not isinstance(one, dict | list)
            }
            rest |= {key: kept} if kept else {}
        elif value not in (None, "") and not isinstance(value, list):
            rest[key] = value
    return rest

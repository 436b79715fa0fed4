"""Values in words: `1,234.50`, `12.5 %`, `3 deals`, `2026-01`."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from onepipe.reports.words import Column, Kind

NOTHING = "-"
CENT, PLACES = Decimal("0.01"), Decimal("0.0001")


def told(value: Any, kind: Kind) -> str:
    """A cell as people read it; a dash where there is no number, nothing where there is no text."""
    if value is None or value == "":
        return "" if kind == "text" else NOTHING
    if kind == "share":
        return f"{Decimal(value) * 100:.1f} %"
    if kind == "money":
        return money(value)
    if kind == "change":
        return signed(value)
    if kind in ("count", "days"):
        return f"{value:,}"
    return written(value, kind)


def shown(value: Any, column: Column) -> str:
    """A cell of a column as people read it."""
    if value is None and column.none:
        return column.none
    return told(column.words.get(value, value) if column.words else value, column.kind)


def written(value: Any, kind: Kind) -> str:
    """A day, a month, an instant, a yes or no, or a text."""
    if kind == "month":
        return f"{value:%Y-%m}"
    if kind == "instant":
        return minute(str(value))
    if kind == "flag":
        return "yes" if value else "no"
    return str(value)


def money(value: Decimal) -> str:
    """An amount with thousands separators, rounded to two decimals; to four where it is smaller than a cent."""
    if abs(value) >= CENT:
        return f"{value.quantize(CENT, ROUND_HALF_UP):,}"
    return exact(value)


def exact(value: Decimal) -> str:
    """An amount with two decimals, and the third and fourth where they are not zero."""
    text = f"{value.quantize(PLACES, ROUND_HALF_UP) + 0:,}"  # adding 0 makes no -0.00
    return text[:-2] if text.endswith("00") else text


def signed(value: Decimal) -> str:
    """A difference, with its sign."""
    return f"+{money(value)}" if value > 0 else money(value)


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 deal`, `1,234 deals`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def minute(text: str) -> str:
    """An ISO instant in UTC as `2026-01-15 11:55`."""
    return text[:16].replace("T", " ")


def listed(words: list[str], most: int = 6) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    shown = words if len(words) <= most else [*words[: most - 1], f"{len(words) - most + 1:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def month_before(day: date) -> date:
    """The last day of the month before that of a day."""
    return date.fromordinal(day.replace(day=1).toordinal() - 1)

"""When two values of a canonical column are the same to a CRM, however each is written.

Everywhere: blank is NULL; outer blanks, the form of line ends, zeros behind a decimal, the order of tags and the
case of an e-mail address or a currency do not count. What else one CRM does not keep is in its `Habits`.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from onepipe.merge.words import MISSING, PLAIN, Habits, Record, value_of
from onepipe.model import MAPPED

FLAGS = {**dict.fromkeys(("true", "t", "yes", "1"), True), **dict.fromkeys(("false", "f", "no", "0"), False)}
_TYPES = {column.name: column.type for column in MAPPED} | {"line_items": "ITEMS"}
_CASELESS = ("contact_email", "currency")
_NUMBERS = ("quantity", "unit_amount", "amount")  # of a line item


def kind(column: str) -> str:
    """What a column holds: a type of DuckDB's, ITEMS, or FREE (`custom.KEY`, `extra.NAME`: whatever the CRM says)."""
    return "FREE" if "." in column else _TYPES.get(column, "VARCHAR")


def is_blank(value: Any) -> bool:
    """Whether a value says nothing: NULL, blank text, an empty list or object."""
    return value is None or value in ([], {}, ()) or (isinstance(value, str) and not value.strip())


def same(column: str, a: Any, b: Any, habits: Habits = PLAIN) -> bool:
    """Whether two values are the same to the CRM. What was not fetched is the same as nothing at all."""
    if a is MISSING or b is MISSING:
        return False
    nothing = [_says_nothing(column, one, habits) for one in (a, b)]
    if any(nothing):
        return all(nothing)
    found = kind(column)
    if found in _PLAIN:
        return _PLAIN[found](a, b)
    comparing = _BY_COLUMN.get(found) or (_same_number if found.startswith("DECIMAL") else _same_text)
    return comparing(column, a, b, habits)


def changes(base: Record, theirs: Record, habits: Habits = PLAIN) -> tuple[str, ...]:
    """The columns both records know and that differ, in the model's order; drifting parts of `extra` do not count."""
    return tuple(name for name in _TYPES if moved(name, base, theirs, habits))


def moved(name: str, base: Record, theirs: Record, habits: Habits = PLAIN) -> bool:
    """Whether a field is known to both records and differs."""
    old, new = value_of(base, name), value_of(theirs, name)
    return MISSING not in (old, new) and not same(name, old, new, habits)


def same_line(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two line items agree in every column that both give; their places do not count."""
    shared = [key for key in a if key in b and key != "position"]
    return bool(set(shared) - {"item_id"}) and all(
        same("amount" if key in _NUMBERS else "extra.any", a[key], b[key]) for key in shared
    )


def text_form(value: Any) -> str:
    """Text without outer blanks and with plain line ends."""
    return str(value).replace("\r\n", "\n").replace("\r", "\n").strip()


def number_form(value: Any) -> Decimal | None:
    """A number, not through a double; None where it is none."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def day_form(value: Any) -> Any:
    """The calendar day of a date or of an instant, in UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC)).date()
    return value


def folded(column: str, value: Any, habits: Habits) -> str:
    """Text as `same` sees it: a phone number is its digits, and case counts only where the CRM keeps it."""
    text = text_form(value)
    if column == "contact_phone":
        return "".join(filter(str.isdigit, text)) or text
    return text.casefold() if column in _CASELESS or column in habits.caseless else text


def _says_nothing(column: str, value: Any, habits: Habits) -> bool:
    if is_blank(value):
        return True
    shows = column in habits.empty or column.partition(".")[0] in habits.empty
    return shows and (value is False or number_form(value) == 0)


def _same_text(column: str, a: Any, b: Any, habits: Habits) -> bool:
    return folded(column, a, habits) == folded(column, b, habits)


def _same_number(column: str, a: Any, b: Any, habits: Habits) -> bool:
    scale = habits.scales.get(column)
    forms = [number_form(one) for one in (a, b)]
    numbers = [one for one in forms if one is not None]
    if len(numbers) < 2:
        return bool(text_form(a) == text_form(b))
    if column == "probability":  # never above 1 by itself: 50 is percent
        numbers = [one / 100 if one > 1 else one for one in numbers]
    held = [scale.held(one) if scale else one for one in numbers]
    return held[0] == held[1]


def _same_day(a: Any, b: Any) -> bool:
    return bool(day_form(a) == day_form(b))


def _same_instant(a: Any, b: Any) -> bool:
    """A CRM that keeps whole seconds has cut the rest off."""
    one, other = _instant(a), _instant(b)
    if not one.microsecond or not other.microsecond:
        return one.replace(microsecond=0) == other.replace(microsecond=0)
    return one == other


def _instant(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _same_tags(column: str, a: Iterable[str], b: Iterable[str], habits: Habits) -> bool:
    return {folded(column, one, habits) for one in a} == {folded(column, one, habits) for one in b}


def _same_items(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> bool:
    left = list(b)
    for row in a:
        found = next((index for index, other in enumerate(left) if same_line(row, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _same_flag(a: Any, b: Any) -> bool:
    one, other = (FLAGS.get(text_form(value).lower(), value) for value in (a, b))
    return bool(one == other)


def _same_free(column: str, a: Any, b: Any, habits: Habits) -> bool:
    """A typed value and the text people write for it are the same; two texts are compared as texts: 007 is not 7."""
    a, b = (one["id"] if isinstance(one, Mapping) and "id" in one else one for one in (a, b))
    if isinstance(a, str) and isinstance(b, str):
        return _same_text(column, a, b, habits)
    if not all(isinstance(one, str | bool | int | float | Decimal) for one in (a, b)):
        return bool(a == b)
    if isinstance(a, bool) or isinstance(b, bool):
        return _same_flag(a, b)
    return _same_number(column, a, b, habits)


def _same_object(column: str, a: Any, b: Any, habits: Habits) -> bool:
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        return bool(a == b)
    names = (a.keys() | b.keys()) - (habits.drifting if column == "extra" else frozenset())
    return all(same(f"{column}.{name}", a.get(name), b.get(name), habits) for name in names)


_PLAIN: dict[str, Callable[[Any, Any], bool]] = {
    "DATE": _same_day,
    "TIMESTAMPTZ": _same_instant,
    "BOOLEAN": _same_flag,
    "ITEMS": _same_items,
}
_BY_COLUMN: dict[str, Callable[[str, Any, Any, Habits], bool]] = {
    "VARCHAR[]": _same_tags,
    "JSON": _same_object,
    "FREE": _same_free,
}

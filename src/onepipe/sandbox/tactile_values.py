"""How Tactile reads and prints values: London wall time, strtotime, save's fields, PHP's JSON.

Source: Tactile CRM documentation of /opportunities and /opportunities/save, and its PHP source.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from onepipe.sandbox.wire import Call, Row, dump, whole

LONDON = ZoneInfo("Europe/London")  # stamps are stored as its wall time; two such datetimes compare as wall times
USERS = ("dave", "paul", "greg", "zoë")
FIELD: dict[str, Any] = {
    "id": "7",
    "name": "Region",
    "type": "s",
    "enabled_for": {"organisations": "f", "opportunities": "t", "activities": "f", "people": "f"},
    "options": {"12": {"id": "12", "value": "North"}, "13": {"id": "13", "value": "Süd & Ost"}},
}
TWIN = {**FIELD, "id": "8", "type": "t", "options": None}  # a second definition with the same name


def wall_time(at: datetime) -> datetime:
    """London wall time, rounded to the second as `timestamp(0)` does; the repeated autumn hour is not told apart."""
    return (at + timedelta(milliseconds=500)).astimezone(LONDON).replace(microsecond=0, fold=0)


def strtotime(text: str, now: datetime) -> datetime | None:
    """A subset of PHP's strtotime, read in London: dates, ISO stamps, `@epoch`, `-N days`. None: cannot be read."""
    text = text.strip()
    if re.fullmatch(r"@-?\d+", text):
        return wall_time(datetime.fromtimestamp(int(text[1:]), LONDON))
    ago = re.fullmatch(r"([+-]\d+) (second|minute|hour|day|week)s?", text)
    if ago:
        return wall_time(now + timedelta(**{f"{ago[2]}s": int(ago[1])}))
    if re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?(Z|[+-]\d\d:?\d\d)?", text) is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return wall_time(at if at.tzinfo else at.replace(tzinfo=LONDON))


def escaped(text: str | None) -> str | None:
    """HTML-escaped, as names that were looked up are."""
    return escape(text, quote=False) if text else text


def custom_values(row: Row) -> list[Row]:
    """The custom values of one row in the later era, all scalars texts."""
    if row["region"] is None:
        return []
    value = {
        "id": str(row["id"]),
        "field_id": "7",
        "opportunity_id": str(row["id"]),
        "value": None,
        "value_numeric": None,
    }
    value |= {"enabled": None, "option": row["region"], "hash": f"opp{row['id']}", "option_name": "North"}
    return [value | {"name": "Region", "type": "s"}]


def body_of(call: Call, name: str) -> Row:
    """The object under `name` of a JSON body, or form fields `name[key]`."""
    if "application/json" in call.headers.get("content-type", ""):
        body = call.json()
        inner = body.get(name) if isinstance(body, dict) else None
        return dict(inner) if isinstance(inner, dict) else {}
    pairs = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {match[1]: value for key, value in pairs if (match := re.fullmatch(rf"{name}\[(\w+)\]", key))}


def _set_cost(row: Row, value: Any) -> str:
    try:
        row["cost"] = Decimal(str(value or 0)).quantize(Decimal("0.01"))
    except InvalidOperation:
        return "The value for Cost must be a number"
    return ""


def _set_probability(row: Row, value: Any) -> str:
    row["probability"] = whole(str(value or 0), -1)
    return "" if 0 <= row["probability"] <= 100 else "The value for Probability must be between 0 and 100"


def _set_enddate(row: Row, value: Any) -> str:
    """The user's display format d/m/Y is tried first, then YYYY-MM-DD."""
    text = str(value or "")
    british = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    text = f"{british[3]}-{british[2]:0>2}-{british[1]:0>2}" if british else text
    row["enddate"] = text or None
    if not text:
        return ""
    try:
        datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=LONDON)
    except ValueError:
        return "Enddate is not a valid date"
    return ""


def _set_archived(row: Row, value: Any) -> str:
    row["archived"] = value in (True, "true", "t", "1", 1)
    return ""


def _set_assigned(row: Row, value: Any) -> str:
    name = str(value or "").partition("//")[0]
    row["assigned_to"] = name or None
    return "" if name in ("", *USERS) else "Invalid ID specified"


SETTERS: dict[str, Callable[[Row, Any], str]] = {
    "cost": _set_cost,
    "probability": _set_probability,
    "enddate": _set_enddate,
    "archived": _set_archived,
    "assigned_to": _set_assigned,
}


def php_json(value: Any) -> bytes:
    """JSON as PHP prints it: `\\/` and `\\uXXXX`."""
    return re.sub(r"[^\x00-\x7f]|/", _php, dump(value).decode()).encode("ascii")


def _php(found: re.Match[str]) -> str:
    if found[0] == "/":
        return r"\/"
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))

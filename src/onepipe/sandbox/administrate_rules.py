"""Administrate's pipeline (steps, transitions, triggers) and its attribute filters with suffixes.

Source: Administrate REST API v2.5, opportunity steps and behaviour of lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from onepipe.sandbox.wire import Row, as_utc

STAGES = {1: ("New", "Open"), 2: ("Working", "Open"), 3: ("Closed Won", "Won"), 4: ("Closed Lost", "Lost")}
STEPS = {  # id: name, stage, probability
    1: ("Enquiry", 1, 10),
    2: ("Qualified", 1, 25),
    3: ("Proposal", 2, 50),
    4: ("Negotiation", 2, 75),
    5: ("Won", 3, 100),
    6: ("Lost", 4, 0),
}
MOVES = ((1, 2), (2, 3), (3, 4), (4, 5), (1, 6), (2, 6), (3, 6), (4, 6))  # legal transitions, from and to
COLUMNS = frozenset(
    (
        *("id", "name", "created_at", "updated_at", "value", "closing_date", "external_id", "age", "categories_order"),
        *("contact_id", "user_id", "source_type_id"),
    )
)
STAMPS = ("created_at", "updated_at")


# Steps


def step_of(number: int, embedded: bool = False) -> Row:
    """A step; embedded in an opportunity its own numbers are null (example responses of v2.5)."""
    name, stage, probability = STEPS[number]
    odds = {"probability": None if embedded else probability}
    blank = dict.fromkeys(("time_in_step", "time_to_win", "value", "current", "time_to_win_days", "closed"))
    moves = [(index, move) for index, move in enumerate(MOVES, start=1) if move[0] == number]
    return {
        **blank,
        **odds,
        "name": name,
        "attributes": [],
        "transitions": [
            {
                "to_step_id": to,
                "from_step_id": start,
                "name": "Lose" if to == 6 else "Go On",
                "triggers": triggers_of(to),
                "required": required_for(start, to),
                "id": index,
            }
            for index, (start, to) in moves
        ],
        "id": number,
        "stage": {"status": STAGES[stage][1], "id": stage, "name": STAGES[stage][0]},
    }


def triggers_of(to: int) -> dict[str, bool]:
    """What entering a step creates by itself."""
    return {f"create_{name}": to == 5 for name in ("invoice", "contact", "account", "registration")}


def required_for(start: int, to: int) -> Row:
    """Fields that must be set for a transition."""
    return {"currency": True} if (start, to) == (4, 5) else {}


# Filters


def reader(column: str, now: datetime) -> Callable[[Row], Any]:
    """How a filter or order gets a column's value from a row; None stands for null."""
    if column == "age":
        return lambda row: (now - row["created_at"]).days
    if column.endswith("_id") and column != "external_id":
        relation = column.removesuffix("_id")
        return lambda row: row[relation] and row[relation]["id"]
    return lambda row: row[column]


def sortable(column: str) -> Callable[[Row], Any]:
    """A sort key of one column, nulls first."""
    read = reader("created_at" if column == "age" else column, datetime.now(UTC))
    return lambda row: (read(row) is not None, read(row) if read(row) is not None else 0)


def _typed(column: str, text: str) -> Any:
    """A filter value as the column's type. Raises ValueError; a raw `+` arrives as a space and spoils a stamp."""
    if column in STAMPS:
        return as_utc(text)
    if column == "value":
        return Decimal(text)
    return int(text) if column in ("id", "age") or (column.endswith("_id") and column != "external_id") else text


def _compare(passes: Callable[[Any, Any], bool]) -> Callable[[str, str], Callable[[Any], bool]]:
    def build(column: str, text: str) -> Callable[[Any], bool]:
        wanted = _typed(column, text)
        return lambda value: value is not None and passes(value, wanted)

    return build


def _match(pattern: str) -> Callable[[str, str], Callable[[Any], bool]]:
    def build(_: str, text: str) -> Callable[[Any], bool]:
        body = re.escape(text) if pattern != "{}" else "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in text)
        regex = re.compile(pattern.replace("{}", body), re.IGNORECASE | re.DOTALL)
        return lambda value: value is not None and regex.fullmatch(str(value)) is not None

    return build


def _within(inside: bool) -> Callable[[str, str], Callable[[Any], bool]]:
    def build(column: str, text: str) -> Callable[[Any], bool]:
        wanted = [_typed(column, part.strip()) for part in text.split(",")]
        return lambda value: value is not None and (value in wanted) is inside

    return build


def _is_null(_: str, text: str) -> Callable[[Any], bool]:
    wanted = text.lower() in ("", "1", "true", "yes")
    return lambda value: (value is None) is wanted


TESTS: dict[str, Callable[[str, str], Callable[[Any], bool]]] = {
    "eq": _compare(lambda value, wanted: bool(value == wanted)),
    "ne": _compare(lambda value, wanted: bool(value != wanted)),
    "lt": _compare(lambda value, wanted: bool(value < wanted)),
    "le": _compare(lambda value, wanted: bool(value <= wanted)),
    "gt": _compare(lambda value, wanted: bool(value > wanted)),
    "ge": _compare(lambda value, wanted: bool(value >= wanted)),
    "lk": _match("{}"),
    "ct": _match(".*{}.*"),
    "sw": _match("{}.*"),
    "ew": _match(".*{}"),
    "nl": _is_null,
    "in": _within(True),
    "ni": _within(False),
}

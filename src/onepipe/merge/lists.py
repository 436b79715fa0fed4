"""Tags and line items as people write them."""

import json
from decimal import Decimal
from typing import Any

from onepipe.merge.compare import number_form
from onepipe.merge.scale import Refused

_TEXTS, _NUMBERS = ("name", "description"), ("quantity", "unit_amount", "amount")
ITEM_KEYS = ("item_id", "position", *_TEXTS, *_NUMBERS)


def read_tags(text: str) -> list[str] | Refused:
    """`a, b` or a JSON list, as the wanted set: sorted, each once. A tag with a comma in it needs the JSON list."""
    words: Any = text.split(",")
    if text.lstrip().startswith("["):
        words = _json(text)
        if isinstance(words, Refused):
            return words
        if not all(isinstance(word, str) for word in words):
            return Refused("is a list of texts")
    return sorted({word.strip() for word in words} - {""})


def read_items(text: str) -> list[dict[str, Any]] | Refused:
    """The wanted line items, a JSON list of objects; `extra.NAME` in one is the CRM's own column. Ids are texts."""
    rows = _json(text)
    if isinstance(rows, Refused) or not isinstance(rows, list):
        return rows if isinstance(rows, Refused) else Refused("is a JSON list of objects")
    read = [_item(number, row) for number, row in enumerate(rows, 1)]
    faults = [row.reason for row in read if isinstance(row, Refused)]
    items = [row for row in read if isinstance(row, dict)]
    ids = [row["item_id"] for row in items if "item_id" in row]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    faults += [f"item_id {', '.join(twice)} stands there twice"] if twice else []
    return Refused("; ".join(faults)) if faults else items


def _item(number: int, row: Any) -> dict[str, Any] | Refused:
    if not isinstance(row, dict):
        return Refused(f"row {number} is no object")
    faults, item = list[str](), dict[str, Any]()
    for key, value in row.items():
        made = _cell(key, value)
        if isinstance(made, Refused):
            faults.append(f"row {number}: {key} {made.reason}")
        elif made is not None or key != "item_id":
            item[key] = made
    if not faults and not item.keys() - {"position"}:
        faults.append(f"row {number} says nothing")
    return Refused("; ".join(faults)) if faults else item


def _cell(key: str, value: Any) -> Any:
    if key.startswith("extra.") and key != "extra.":
        return value
    if key not in ITEM_KEYS:
        return Refused(
            f"is no column of a line item; those are {', '.join(ITEM_KEYS)}, or extra.NAME for the CRM's own"
        )
    if value is None:
        return None
    if isinstance(value, dict | list | bool):
        return Refused("is no plain value")
    if key in _TEXTS or key == "item_id":
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    number = number_form(value)
    return Refused(f"{value!r} is no plain number, such as 12.50") if number is None else number


def _json(text: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError):
        return Refused("is no JSON that can be read")

"""How names, values, paths and shapes are written in SQL."""

import json
import re
from collections.abc import Iterable
from typing import Any

# Words that are names in quotes only, in 1.5 or in 2.0.
_KEYWORD = re.compile(
    "all|analyse|analyze|and|anti|any|array|as|asc|asof|at|binary|both|by|case|cast|check|collate|column|create|cross|"
    "default|desc|describe|distinct|do|else|end|except|false|fetch|for|foreign|freeze|from|full|glob|group|having|ilike|"
    "in|initially|inner|intersect|into|is|isnull|join|lambda|lateral|leading|left|like|limit|natural|not|notnull|null|"
    "offset|on|only|or|order|outer|overlaps|pivot|placing|positional|primary|qualify|references|returning|right|select|"
    "semi|show|similar|some|summarize|symmetric|table|tablesample|then|to|trailing|true|union|unique|unpack|unpivot|using|"
    "variadic|verbose|when|where|window|with",
    re.IGNORECASE,
)


def name(word: str) -> str:
    """A column or a key of a struct, in quotes where it needs them."""
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word) and not _KEYWORD.fullmatch(word)
    return word if plain else '"' + word.replace('"', '""') + '"'


def dotted(root: str, steps: Iterable[str]) -> str:
    """crm.step.stage"""
    return ".".join([root, *(name(step) for step in steps)])


def literal(text: str) -> str:
    """A text value."""
    return "'" + text.replace("'", "''") + "'"


def listed(words: Iterable[str]) -> str:
    """Text values, separated."""
    return ", ".join(literal(word) for word in words)


def json_path(steps: Iterable[str]) -> str:
    """$.step.stage"""
    return "$" + "".join(f".{step}" if re.fullmatch(r"\w+", step) else f'."{step}"' for step in steps)


def shape(data: Any) -> str:
    """A JSON structure or patch as a text value, in one line."""
    return literal(json.dumps(data, separators=(",", ":"), ensure_ascii=False))


def tree(leaves: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """Paths and their values as the nested object they belong to."""
    whole: dict[str, Any] = {}
    for steps, value in leaves:
        place = whole
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place.setdefault(steps[-1], value)
    return whole

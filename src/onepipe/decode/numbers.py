"""JSON made plain, for readers that pass numbers through a double, or take the first of a key that stands twice."""

import json
import re
from decimal import Decimal
from typing import Any

import msgspec

_encode = msgspec.json.Encoder(decimal_format="number").encode

# A first look costs a microsecond for a record: with every digit and dot written as 0, what could be long shows.
_ZEROS = bytes(ord("0") if chr(c) in "0123456789." else ord("e") if chr(c) == "E" else c for c in range(256))
_LONG = b"0" * 16
_LARGE = re.compile(rb"0e[+-]?000")
# Strings are matched whole, so that nothing inside one is taken for a number.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.]*(?:[eE][+-]?\d+)?', re.S)
_EXACT_DIGITS = 15
_EXACT_POWERS = range(-290, 290)


def long_numbers_quoted(payload: bytes) -> bytes:
    """Return the same JSON with each number a double would not carry exactly turned into a string.

    That is: more than 15 significant digits, or a power of ten near a double's limits. Texts inside strings stay as
    they are; a payload without such a number is returned itself. Works on one record and on many joined alike.
    """
    first_look = payload.translate(_ZEROS)
    if _LONG not in first_look and not (b"0e" in first_look and _LARGE.search(first_look)):
        return payload
    return _TOKEN.sub(_quoted, payload)


def plain_json(payload: bytes) -> bytes:
    """Return the same JSON object with long numbers quoted and, of a key that stands twice, only the last value.

    A payload that needs neither is returned itself.
    """
    quoted, twice = long_numbers_quoted(payload), False

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        found = dict(pairs)
        twice |= len(found) < len(pairs)
        return found

    try:
        read = json.loads(quoted, object_pairs_hook=once, parse_float=Decimal)
    except (ValueError, RecursionError):  # what is no JSON is told by whoever reads it
        return quoted
    return _encode(read) if twice else quoted


def _quoted(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[:1] == b'"' or (len(token) <= _EXACT_DIGITS and b"e" not in token and b"E" not in token):
        return token
    digits, _, power = token.lower().partition(b"e")
    significant = digits.translate(None, b"-.").lstrip(b"0")
    if len(significant) <= _EXACT_DIGITS and (not power or int(power) in _EXACT_POWERS):
        return token
    return b'"%b"' % token

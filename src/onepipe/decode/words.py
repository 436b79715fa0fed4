"""What a CRM says when it refuses something, by the field it names."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from onepipe.decode.body import body_of
from onepipe.errors import BadPayload
from onepipe.excerpt import visible

_TEXTS = ("message", "msg", "error", "detail", "error_description")
_NAMES = ("param", "field", "path")


def refusal(content: bytes) -> dict[str, str]:
    """The CRM's words by field, "" where it names none; empty where it says nothing that people can read.

    Few of our CRMs document the shape of an error, so every usual one is read: `{"message": ...}`, `{"error": {...}}`,
    `{"errors": [...]}`, an object of messages by field, a list of texts, XML, a page.
    """
    try:
        found = msgspec.json.decode(body_of(content))
    except (msgspec.DecodeError, RecursionError, BadPayload):
        found = visible(content)
    words: dict[str, str] = {}
    for name, text in _told(found, ""):
        words[name] = f"{words[name]}; {text}" if name in words else text
    return words


def _told(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for one in value:
            yield from _told(one, name)
    elif isinstance(value, Mapping):
        yield from _by_name(value, name)
    elif isinstance(value, str) and value.strip():
        yield name, value.strip()


def _by_name(value: Mapping[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Out of an object: its words about the field it names; else each key is a field."""
    inner = [value[key] for key in ("messages", "errors") if value.get(key)]
    texts = [value[key] for key in _TEXTS if value.get(key)]
    named = next((value[key] for key in _NAMES if isinstance(value.get(key), str) and value[key]), name)
    if inner or texts:
        for one in inner or texts[:1]:
            yield from _told(one, named)
        return
    for key, one in value.items():
        if isinstance(one, str | list | Mapping):
            yield from _told(one, key)

"""Values out of stored payloads, fit to be shown: short, on one line, without what looks like a secret."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from onepipe.warehouse.database import Database

AT_MOST = 3
LENGTH = 40
HIDDEN = "***"
_SECRET_NAME = re.compile(r"token|secret|passw|api_?key|credential|authoriz", re.IGNORECASE)
_SECRET_WORD = re.compile(r"[\w+/=~-]{32,}")
_QUERY = re.compile(r"\?[^\s\"'<>]+")


def payloads(db: Database, rows: Iterable[int]) -> dict[int, str]:
    """The payloads of raw rows, by their seq."""
    return dict(db.run("SELECT seq, payload FROM store.raw WHERE seq IN (SELECT unnest($rows))", {"rows": list(rows)}))


def of(texts: Iterable[str], steps: Sequence[str]) -> tuple[str, ...]:
    """Some values of one field in these payloads, each once; numbers as they were sent. `steps` is as in a Drift."""
    found: dict[str, None] = {}
    for text in texts:
        for value in _values(json.loads(text, parse_float=_Written, parse_int=_Written), steps):
            found[shown(value, steps[-1])] = None
            if len(found) == AT_MOST:
                return tuple(found)
    return tuple(found)


def shown(value: Any, name: str) -> str:
    """A value as JSON, cut; hidden where its name or its form is that of a secret."""
    if secret(name):
        return HIDDEN
    text = _json(value)
    text = _SECRET_WORD.sub("…", _QUERY.sub("?…", " ".join(text.split())))
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def secret(name: str) -> bool:
    """Whether what is called so may be a secret."""
    return _SECRET_NAME.search(name) is not None


class _Written(str):
    """A number as the CRM wrote it."""


def _json(value: Any) -> str:
    """A value as JSON: numbers as they were sent, and nothing of what is named like a secret."""
    if isinstance(value, dict):
        shown = {key: _json(HIDDEN if _SECRET_NAME.search(key) else one) for key, one in value.items()}
        return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {one}" for key, one in shown.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, _Written) else json.dumps(value, ensure_ascii=False)


def _values(data: Any, steps: Sequence[str]) -> Iterator[Any]:
    if not steps:
        if data not in (None, [], {}):
            yield data
    elif steps[0] == "[]":
        for item in data if isinstance(data, list) else ():
            yield from _values(item, steps[1:])
    elif isinstance(data, dict) and steps[0] in data:
        yield from _values(data[steps[0]], steps[1:])

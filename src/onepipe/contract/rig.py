"""A fake CRM to run a connector against: what the suite asks of it, and how a connector's author writes one.

The fake of `connectors/mycrm.py` is the functions `row` and `serve` in that file, or in `mycrm.fake.py` beside it:

    def row(number, text):       # the number-th opportunity as the CRM prints it, `text` in every field a user types
        return {"id": number, "title": text, "updated_at": "2024-03-01T10:00:05Z"}

    def serve(rows, asked):      # what the CRM answers: (status, body) or (status, body, headers)
        if asked.path == "/deals":
            start = int(asked.query.get("offset", 0))
            return 200, {"data": rows[start : start + 100], "total": len(rows)}
        found = [row for row in rows if asked.path == f"/deals/{row['id']}"]
        return (200, found[0]) if found else (404, {"error": "not found"})

A body is bytes, text, or anything JSON can hold. `rows` is the list as it stands now, `asked` an Asked. `ID` names the
id's field where it is not "id"; `SETTINGS` are settings the connector needs. With a third parameter, `cap`, serve also
plays a CRM that gives at most so many rows a page, whatever was asked for (None: as many as were asked for).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from onepipe.connector import Connector
from onepipe.errors import ConfigError
from onepipe.registry import module_of


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `path` is below the base_url, percent-decoded; `query` holds the last value of each parameter."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw_path: str = ""
    raw_query: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One answer. `cut` leaves the end of the body out while announcing all of it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True)
class Rig:
    """A fake CRM in the hands of the suite.

    `fill(count, text)` starts afresh with `count` opportunities, `text` in every text a user types, and answers their
    ids; `remove(id)` deletes one as a user would; `answer` is the CRM itself; `cap`, where the fake can do it, sets how
    many rows a page holds at most, whatever was asked for.
    """

    credentials: Mapping[str, str]
    fill: Callable[[int, str], list[str]]
    remove: Callable[[str], None]
    answer: Callable[[Asked], Told]
    settings: Mapping[str, Any] = field(default_factory=dict)
    cap: Callable[[int | None], None] | None = None


def rig_beside(connector: type[Connector], path: Path) -> Rig:
    """The rig a connector file brings along. Raises ConfigError where it brings none."""
    beside = path.with_name(f"{path.stem}.fake.py")
    module = module_of(beside if beside.is_file() else path)
    if not callable(getattr(module, "row", None)) or not callable(getattr(module, "serve", None)):
        raise ConfigError(
            f"{path.name} has no fake CRM to be tested against",
            hint=f"write the functions row and serve in {beside.name} beside it; docs/connector.md has an example",
        )
    return _rig(connector, module)


def _rig(connector: type[Connector], fake: ModuleType) -> Rig:
    rows: list[dict[str, Any]] = []
    key = getattr(fake, "ID", "id")
    can_cap = len(signature(fake.serve).parameters) > 2
    caps: list[int | None] = [None]

    def fill(count: int, text: str) -> list[str]:
        rows[:] = [fake.row(number, text) for number in range(1, count + 1)]
        return [str(row[key]) for row in rows]

    def remove(record_id: str) -> None:
        rows[:] = [row for row in rows if str(row[key]) != record_id]

    def answer(asked: Asked) -> Told:
        status, body, *headers = fake.serve(list(rows), asked, *(caps if can_cap else ()))
        return Told(status, _bytes(body), headers[0] if headers else {"Content-Type": "application/json"})

    def cap(count: int | None) -> None:
        caps[0] = count

    credentials = {name: f"contract-{name}-s3cr3t+/=" for name in connector.facts.credentials}
    return Rig(credentials, fill, remove, answer, getattr(fake, "SETTINGS", {}), cap if can_cap else None)


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()

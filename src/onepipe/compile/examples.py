"""Runs the examples that stand in a mapping file: what a CRM sends, and what must be read from it."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from onepipe.compile.query import select
from onepipe.decode import long_numbers_quoted
from onepipe.errors import Fault
from onepipe.mapping import STAGE_TYPES, Example, Mapping
from onepipe.model import CHILDREN, POSITION, Column
from onepipe.transform import macros
from onepipe.yamlmarks import Place

Run = Callable[[str, dict[str, Any] | list[Any] | None], list[tuple[Any, ...]]]

_GIVEN = {"connection": "example", "currency": None, "base_url": "https://example.test", "timezone": "UTC"}


def check_examples(mapping: Mapping, run: Run) -> list[Fault]:
    """A fault for every value that an example expects and the mapping does not read.

    `run(sql, values)` executes one statement on a DuckDB that nobody else uses (in memory) and fetches all rows.
    """
    for statement in ("SET TimeZone = 'UTC'", *macros()):
        run(statement, None)
    return [fault for example in mapping.examples for fault in _check(mapping, example, run)]


def _check(mapping: Mapping, example: Example, run: Run) -> list[Fault]:
    _prepare(mapping, example, run)
    names = ", ".join(_as_text(mapping, name) for name in example.out)
    fields = "list_transform(problems, lambda problem: problem.field)"
    row = run(f"SELECT {fields}, {names or 'NULL'} FROM ({select(mapping)})", _GIVEN | example.settings)[0]
    faults = []
    for name, read in zip(example.out, row[1:], strict=False):
        place = (*example.place, "out", name)
        if name in CHILDREN and example.out[name] is not None:
            faults += _check_children(mapping, example, name, read, run)
            continue
        wanted = _wanted(mapping, example, name, run)
        if wanted != (json.loads(read) if read is not None and _is_json(mapping, name) else read):
            faults.append(mapping.marks.fault(place, f"expected {_shown(wanted)}, read {_shown(read)}"))
    if sorted(row[0]) != sorted(example.problems):
        message = f"expected problems with {_listed(example.problems)}, found them with {_listed(row[0])}"
        faults.append(mapping.marks.fault((*example.place, "problems"), message))
    return faults


def _check_children(mapping: Mapping, example: Example, name: str, read: str | None, run: Run) -> list[Fault]:
    """The rows that an example states, each compared in the columns that it states."""
    place, types = (*example.place, "out", name), {one.name: one.type for one in _child_columns(name)}
    expected = example.out[name]
    if read is None or len(json.loads(read)) != len(expected):
        return [mapping.marks.fault(place, f"expected {len(expected)} of them, read {_shown(read)}")]
    faults = []
    for n, (wanted, row) in enumerate(zip(expected, json.loads(read), strict=True)):
        for column, value in wanted.items():
            at = (*place, n, column)
            typed = None if value is None else _typed(mapping, value, at, types[column], run)
            if typed != row[column]:
                faults.append(mapping.marks.fault(at, f"expected {_shown(typed)}, read {_shown(row[column])}"))
    return faults


def _child_columns(name: str) -> tuple[Column, ...]:
    return (POSITION, *CHILDREN[name].columns)


def _prepare(mapping: Mapping, example: Example, run: Run) -> None:
    columns = ", ".join(f"{name} {type_}" for name, type_ in {"connection": "VARCHAR", **STAGE_TYPES}.items())
    run(f"CREATE OR REPLACE TEMP TABLE stages ({columns})", None)
    for stage in example.stages:
        values = [_GIVEN["connection"], *(stage.get(name) for name in STAGE_TYPES)]
        run(f"INSERT INTO stages VALUES ({', '.join('?' * len(values))})", values)
    details = "".join(f", detail_{name} VARCHAR" for name in mapping.details)
    run(f"CREATE OR REPLACE TEMP TABLE source (source_id VARCHAR, payload VARCHAR{details})", None)
    sent = example.sent if isinstance(example.sent, str) else json.dumps(example.sent, ensure_ascii=False)
    payload = long_numbers_quoted(sent.encode()).decode()
    fetched = [json.dumps(example.details[name]) if name in example.details else None for name in mapping.details]
    run(f"INSERT INTO source VALUES ({', '.join('?' * (2 + len(fetched)))})", ["example", payload, *fetched])


def _wanted(mapping: Mapping, example: Example, name: str, run: Run) -> Any:
    """What an example expects, in the form a column is fetched in; numbers exactly as they are written."""
    if example.out[name] is None or _is_json(mapping, name):
        return example.out[name]
    return _typed(mapping, example.out[name], (*example.place, "out", name), mapping.types[name], run)


def _typed(mapping: Mapping, value: Any, place: Place, type_: str, run: Run) -> str:
    """A value that stands in an example, in the form that one of a type is fetched in."""
    text = mapping.marks.texts.get(place, str(value))
    try:
        return str(run(f"SELECT CAST(CAST(? AS {type_}) AS VARCHAR)", [text])[0][0])
    except Exception as error:  # the driver's own error classes are known to one room only
        return f"{text} ({str(error).splitlines()[0]})"


def _is_json(mapping: Mapping, name: str) -> bool:
    return mapping.types.get(name, "JSON") in ("JSON", "VARCHAR[]")


def _as_text(mapping: Mapping, name: str) -> str:
    if name in CHILDREN:
        texts = ", ".join(f"'{one.name}': one.\"{one.name}\"::VARCHAR" for one in _child_columns(name))
        return f'to_json(list_transform("{name}", lambda one: {{{texts}}}))::VARCHAR'
    return f'to_json("{name}")::VARCHAR' if _is_json(mapping, name) else f'"{name}"::VARCHAR'


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"

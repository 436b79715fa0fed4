"""Which connections a line of a file beside config.yaml is about, and which lines are about the same thing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from onepipe.beside.sheet import Line
from onepipe.errors import Fault
from onepipe.yamlmarks import did_you_mean

Row = TypeVar("Row")
Meaning = tuple[str, ...]  # what a line decides of, apart from the connection


def matching(glob: str, names: Sequence[str]) -> list[str]:
    """The connections that a name or glob (acme-*) means, in their order."""
    if glob in names:
        return [glob]
    return [name for name in names if fnmatchcase(name, glob)]


def faults(lines: Iterable[tuple[Line, Sequence[Meaning]]], names: Sequence[str]) -> list[Fault]:
    """What is wrong with the lines' connections: missing, unknown, or two lines that mean the same.

    Each line comes with its meanings, none for one that decides nothing; two lines clash where, in one connection, they
    share one.
    """
    found = list[Fault]()
    taken: dict[tuple[str, Meaning], Line] = {}
    for line, meanings in lines:
        glob = line["connection"]
        own = matching(glob, names)
        if not glob:
            found.append(line.fault("connection", "it is missing; * means every connection"))
        elif not own:
            found.append(line.fault("connection", f"no connection is named by {glob!r}; {did_you_mean(glob, names)}"))
        clashes: dict[int, list[str]] = defaultdict(list)
        for name in own:
            for meaning in meanings:
                first = taken.setdefault((name, meaning), line)
                if first is not line and name not in clashes[first.number]:
                    clashes[first.number].append(name)
        for number, where in clashes.items():
            found.append(line.fault("connection", f"line {number} means the same in {_some(where)}; keep one of them"))
    return found


def distinct(rows: Iterable[Row], key: Callable[[Row], Meaning]) -> list[Row]:
    """The first row of each key."""
    kept: dict[Meaning, Row] = {}
    for row in rows:
        kept.setdefault(key(row), row)
    return list(kept.values())


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

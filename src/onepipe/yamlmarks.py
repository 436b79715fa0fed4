"""YAML that knows where everything stands, so that a mistake is named by file, line and column.

Only the rules of the YAML 1.2 core schema hold: `NO`, `off`, `12:30` and `2026-01-15` stay text. Keys are always the
text that was written (`010`, `true` and `1` as keys stay so). Duplicate keys, unknown tags and endless references are
faults.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from onepipe.errors import ConfigError, Fault

Place = tuple[str | int, ...]  # where a value stands in the data: ("connections", "acme", "labels")

_TAG = "tag:yaml.org,2002:"
_CORE = [  # YAML 1.2.2, section 10.3.2; each with the characters such a scalar may begin with
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _CoreLoader(_Loader):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}


for _name, _pattern, _first in _CORE:
    _CoreLoader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(frozen=True)
class Marks:
    """Where each key and value of one file stands, the text of each scalar, and what was wrong with the YAML itself.

    `files` names the file of each place that stands in another one; `text` is the whole of it.
    """

    file: Path
    text: str = ""
    keys: dict[Place, tuple[int, int]] = field(default_factory=dict)
    values: dict[Place, tuple[int, int]] = field(default_factory=dict)
    texts: dict[Place, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    files: dict[Place, Path] = field(default_factory=dict)

    def saying(self, text: str) -> "Marks":
        """The same marks of another text."""
        return replace(self, text=text)

    def fault(self, place: Sequence[str | int], message: str, *, key: bool = False) -> Fault:
        """A fault at the value (or the key) of `place`; where that is not in the file, at the nearest one above it."""
        whole = tuple(place)
        for end in range(len(whole), -1, -1):
            found = self.keys.get(whole[:end]) if key or end < len(whole) else None
            found = found or self.values.get(whole[:end])
            if found:
                return Fault(self.files.get(whole[:end], self.file), *found, dotted(whole), message)
        return Fault(self.file, 1, 1, dotted(whole), message)


def load(path: Path) -> tuple[Any, Marks]:
    """The data of a YAML file and its marks. An empty file is None.

    Raises ConfigError where the file is missing, unreadable or no YAML at all. Lesser mistakes are in `marks.faults`,
    for the caller to report together with its own.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    marks = Marks(path, text)
    try:
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.YAMLError as error:
        fault = _syntax_fault(path, error)
        raise ConfigError(str(fault), faults=(fault,)) from error
    return (None if node is None else _data(node, (), marks, ())), marks


def refuse(faults: Iterable[Fault]) -> None:
    """Raise one ConfigError naming all faults, each once, in the order of the file; nothing if there is none."""
    every = sorted(set(faults), key=lambda fault: (str(fault.file), fault.line, fault.column, fault.message))
    if every:
        raise ConfigError("\n".join(str(fault) for fault in every), faults=tuple(every))


def dotted(place: Sequence[str | int]) -> str:
    """How people write a place: connections.acme.write.limits, examples[0].in; the whole file is "(file)"."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(parts).removeprefix(".") or "(file)"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown word: the nearest known one, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(word.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    if near:
        return f"did you mean {next(name for name in names if name.lower() == near[0])!r}?"
    return f"known: {', '.join(names)}" if names else "none is known"


def _data(node: yaml.Node, place: Place, marks: Marks, above: tuple[yaml.Node, ...]) -> Any:
    marks.values[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if any(node is one for one in above):
        marks.faults.append(marks.fault(place, "refers to itself without end"))
        return None
    if not node.tag.startswith(_TAG):
        marks.faults.append(marks.fault(place, f"the tag {node.tag!r} means nothing here; take it out"))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, marks, (*above, node))
    if isinstance(node, yaml.SequenceNode):
        return [_data(item, (*place, n), marks, (*above, node)) for n, item in enumerate(node.value)]
    marks.texts[place] = node.value
    try:
        return _scalar(node)
    except ValueError:  # "!!int abc", or a number of thousands of digits
        marks.faults.append(marks.fault(place, f"{node.value[:40]!r} is no {node.tag.removeprefix(_TAG)}"))
        return None


def _mapping(node: yaml.MappingNode, place: Place, marks: Marks, above: tuple[yaml.Node, ...]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in node.value:
        at = (key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            marks.faults.append(Fault(marks.file, *at, dotted(place), "a key must be one word or text"))
        elif key.value in data:
            first = marks.keys[(*place, key.value)][0]
            message = f"the key {key.value!r} stands twice, first in line {first}; keep one"
            marks.faults.append(Fault(marks.file, *at, dotted((*place, key.value)), message))
        else:
            marks.keys[(*place, key.value)] = at
            data[key.value] = _data(value, (*place, key.value), marks, above)
    return data


def _scalar(node: yaml.Node) -> Any:
    text = node.value
    match node.tag.removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        case "float":
            return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
        case _:
            return text


def _syntax_fault(path: Path, error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = [getattr(error, name, None) for name in ("context", "problem")]
    message = ", ".join(part for part in said if part) or str(error).partition("\n")[0]
    if "cannot start any token" in message:
        message += " (YAML is indented with spaces, never tabs; text that begins with @ ` % needs quotes)"
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    return Fault(path, line, column, "(file)", f"this is not YAML: {message}")

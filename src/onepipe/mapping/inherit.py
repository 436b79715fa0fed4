"""`extends`: a mapping that takes everything from another one and states only what differs.

The two become one, of which every part still knows the file it stands in. Examples are not taken: they prove the file
that they stand in.
"""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onepipe import yamlmarks
from onepipe.model import CHILDREN
from onepipe.yamlmarks import Marks, Place

Resolve = Callable[[str], Sequence[Path]]  # the files of mappings called so, the one to be used first

_CHILDREN: tuple[Place, ...] = tuple(("children", name) for name in CHILDREN)
_FIELDS: tuple[Place, ...] = (  # in these each entry is a field
    *(("fields",), ("columns",), ("stages", "fields")),
    *((*child, "fields") for child in _CHILDREN),
)
_BLOCKS: tuple[Place, ...] = (*_FIELDS, ("stages",), ("children",), *_CHILDREN)  # laid over each other entry by entry
_WAYS = ("from", "lookup", "template")  # a field that says where it is read from stands for itself
_OWN = ("extends", "examples")


def load(path: Path, resolve: Resolve, above: tuple[Path, ...] = ()) -> tuple[Any, Marks]:
    """The data of a mapping file laid over what it extends, and where each part stands. Raises ConfigError.

    `above` are the files that led here. What `marks.text` holds can be read by itself, wherever it is kept.
    """
    data, marks = yamlmarks.load(path)
    if not isinstance(data, dict) or "extends" not in data:
        return data, marks
    base = _base(data["extends"], path, resolve)
    led = (*above, path)
    if base is None:
        message = "is no mapping's name" if not isinstance(data["extends"], str) else "there is no mapping called so"
        message += "; looked for beside config.yaml, then among those that come with a connector"
        yamlmarks.refuse([*marks.faults, marks.fault(("extends",), message)])
    elif base.resolve() in [one.resolve() for one in led]:
        way = " -> ".join(one.name for one in (*led, base))
        yamlmarks.refuse([*marks.faults, marks.fault(("extends",), f"goes round in a circle: {way}")])
    else:
        return _Laid(marks, data, *load(base, resolve, led)).whole()
    return data, marks


def _base(name: Any, path: Path, resolve: Resolve) -> Path | None:
    """The file that is extended. One that extends its own name means the next one of that name."""
    found = list(resolve(name)) if isinstance(name, str) else []
    places = [one.resolve() for one in found]
    if name == path.stem and path.resolve() in places:
        found = found[places.index(path.resolve()) + 1 :]
    return found[0] if found else None


class _Laid:
    """One file (`own`) laid over another (`base`)."""

    def __init__(self, own_marks: Marks, own: Any, base: Any, base_marks: Marks) -> None:
        self.own, self.base = (own, own_marks), (base if isinstance(base, dict) else {}, base_marks)
        self.marks = Marks(own_marks.file, faults=[*own_marks.faults, *base_marks.faults])

    def whole(self) -> tuple[Any, Marks]:
        """The data and the marks of both in one."""
        base = {key: value for key, value in self.base[0].items() if key not in _OWN}
        own = {key: value for key, value in self.own[0].items() if value is not None}  # `fields:` alone states nothing
        self._mark(self.own[1], ())
        data = self._block(own, base, ())
        text = f"# {self.marks.file.name} and what it extends, in one\n"
        kept = {key: value for key, value in data.items() if key != "extends"}
        return data, self.marks.saying(text + _written(kept, self.marks))

    def _block(self, own: dict[str, Any], base: dict[str, Any], place: Place) -> dict[str, Any]:
        data = {}
        for key in {**base, **own}:
            inner = (*place, key)
            if key not in own:
                data[key] = self._take(base[key], self.base[1], inner)
            elif own[key] is None and place in _BLOCKS:
                self._take_out(key in base, inner)
            elif inner in _BLOCKS and isinstance(own[key], dict) and isinstance(base.get(key), dict):
                self._mark(self.own[1], inner)
                data[key] = self._block(own[key], base[key], inner)
            elif place in _FIELDS and base.get(key) is not None and _states_differences(own[key]):
                data[key] = self._field(own[key], base[key], inner)
            else:
                data[key] = self._take(own[key], self.own[1], inner)
        return data

    def _take_out(self, there: bool, place: Place) -> None:
        if not there:
            message = "is to be taken out, and is not in what this file extends"
            self.marks.faults.append(self.own[1].fault(place, message, key=True))

    def _field(self, own: dict[str, Any], base: Any, place: Place) -> dict[str, Any]:
        """The keys of a field laid over those of the one it is taken from, which may be in its short form."""
        self._mark(self.own[1], place)
        short = not isinstance(base, dict)
        data = {}
        for key, value in ({"from": base} if short else base).items():
            if key not in own:
                data[key] = self._take(value, self.base[1], (*place, key), place if short else None)
        return data | {key: self._take(value, self.own[1], (*place, key)) for key, value in own.items()}

    def _take(self, data: Any, marks: Marks, place: Place, was: Place | None = None) -> Any:
        """`data` as it is, and the marks of all that stands below; `was` is its place in its own file."""
        was = place if was is None else was
        for inner in marks.values:
            if inner[: len(was)] == was:
                self._mark(marks, (*place, *inner[len(was) :]), inner)
        return data

    def _mark(self, marks: Marks, place: Place, was: Place | None = None) -> None:
        was = place if was is None else was
        for ours, theirs in ((self.marks.keys, marks.keys), (self.marks.values, marks.values)):
            if was in theirs:
                ours[place] = theirs[was]
        if was in marks.texts:
            self.marks.texts[place] = marks.texts[was]
        self.marks.files[place] = marks.files.get(was, marks.file)


def _states_differences(own: Any) -> bool:
    return isinstance(own, dict) and not any(way in own for way in _WAYS)


def _written(data: dict[str, Any], marks: Marks) -> str:
    """YAML that says the same, with every value as it was written: 010 stays 010."""
    lines = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            lines.append(f"{_key(key)}:")
            lines += [f"  {_key(inner)}: {_flow(one, marks, (key, inner))}" for inner, one in value.items()]
        else:
            lines.append(f"{_key(key)}: {_flow(value, marks, (key,))}")
    return "\n".join(lines) + "\n"


def _flow(data: Any, marks: Marks, place: Place) -> str:
    if isinstance(data, dict):
        return "{" + ", ".join(f"{_key(key)}: {_flow(one, marks, (*place, key))}" for key, one in data.items()) + "}"
    if isinstance(data, list):
        return "[" + ", ".join(_flow(one, marks, (*place, n)) for n, one in enumerate(data)) + "]"
    if isinstance(data, str):
        return _quoted(data)
    return marks.texts.get(place) or '!!null ""'


def _key(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z_]\w*", word, re.ASCII) else _quoted(word)


def _quoted(text: str) -> str:
    """A text in quotes; JSON's escapes are YAML's, but for what is beyond 16 bits and what YAML does not take raw."""
    quoted = json.dumps(text, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda found: found[0] if found[0].isprintable() else f"\\U{ord(found[0]):08x}", quoted)

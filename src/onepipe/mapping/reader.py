"""Reading the parts of a mapping file: each step answers something usable, adds a fault for what is wrong, goes on."""

from collections.abc import Iterable
from typing import Any

from onepipe.mapping.form import Source, parse_source
from onepipe.yamlmarks import Marks, Place, did_you_mean


class Reader:
    """One reading of one file; all faults are gathered in `marks`. `fills_custom`: a field fills the column custom."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.fills_custom = False

    def block(self, data: Any, place: Place, known: Iterable[str] = ()) -> dict[str, Any]:
        """`data` if it is keys and values, with a fault for each key that is not known; all are, if none is named."""
        if data is None:
            return {}
        if not isinstance(data, dict):
            self.fault(place, "must be keys and values")
            return {}
        words = list(known)
        for key in data:
            if words and key not in words:
                self.fault((*place, key), f"{key!r} is not known here; {did_you_mean(key, words)}", key=True)
        return data

    def items(self, data: Any, place: Place) -> list[Any]:
        """`data` if it is a list."""
        if data is not None and not isinstance(data, list):
            self.fault(place, "must be a list")
            return []
        return data or []

    def words(self, data: Any, place: Place) -> tuple[str, ...]:
        """One word or a list of them, each as it is written."""
        many = isinstance(data, list)
        places = [(*place, n) for n in range(len(data))] if many else [place]
        return tuple(self.word(one) for one in places)

    def word(self, place: Place) -> str:
        """One value as it is written: 010 stays 010."""
        if place not in self.marks.texts:
            self.fault(place, "must be one value")
        return self.marks.texts.get(place, "")

    def text(self, data: Any, place: Place) -> str:
        """`data` if it is text."""
        if not isinstance(data, str) or not data:
            self.fault(place, "must be text")
            return ""
        return data

    def needs(self, data: dict[str, Any], place: Place, *keys: str) -> None:
        """A fault for each key that is not there."""
        for key in keys:
            if key not in data:
                self.fault(place, f"misses the key {key!r}")

    def source(self, data: Any, place: Place) -> Source | None:
        """`data` if it is a path, and one that has a meaning here."""
        if isinstance(data, str) and data.startswith("custom.") and data != "custom." and self._of_custom(place):
            return Source(data, "custom", (data.removeprefix("custom."),))
        source = parse_source(data) if isinstance(data, str) else None
        if source is None:
            self.fault(
                place, f"{data!r} is no path; one is written a.b, a.list[], @detail[].name, in stages ^.a and $key"
            )
        elif place[0] == "children" and (source.root in ("^", "@") or source.text in ("$value", "$position")):
            self.fault(place, f"{source.text!r}: a child is read from its own element alone")
        elif source.root in ("^", "$") and place[0] not in ("stages", "children"):
            self.fault(place, f"{source.text!r} has a meaning in `stages` only")
        elif source.root == "@" and place[0] == "stages":
            self.fault(place, f"{source.text!r}: a reference record has no details")
        return source

    def _of_custom(self, place: Place) -> bool:
        """Whether `custom.KEY` at this place is a key of the column custom, and no path of the record."""
        return place[0] == "columns" or (place[0] == "fields" and self.fills_custom and place[1:2] != ("custom",))

    def sources(self, data: Any, place: Place) -> tuple[Source, ...]:
        """One path or a list of them."""
        many = enumerate(data) if isinstance(data, list) else [(None, data)]
        found = [self.source(one, place if n is None else (*place, n)) for n, one in many if data is not None]
        return tuple(source for source in found if source)

    def fault(self, place: Place, message: str, *, key: bool = False) -> None:
        """Note a mistake at a value, or at its key."""
        self.marks.faults.append(self.marks.fault(place, message, key=key))

"""`{column}` in the texts of an entry of `connections_from:`, filled in from one row of its list.

Within `${NAME_{column}}` a cell becomes a part of a variable's name, within `${file:secrets/{column}}` of a file's.
What a cell itself holds is never a placeholder: a list of accounts can neither read the environment nor a file by it.
"""

import re
from collections.abc import Iterator
from typing import Any

from onepipe.config.rows import Row
from onepipe.errors import Fault
from onepipe.yamlmarks import Place, did_you_mean

COLUMN = re.compile(r"(?<!\$)\{([^{}$]*)\}")
_PLACEHOLDER = re.compile(r"\$?\$\{(?:[^{}]|\{[^{}]*\})*\}")
_PART_OF_ADDRESS = re.compile(r"[A-Za-z0-9._~-]+")
_PART_OF_FILE = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9_@+. -]*")
_NEEDED = ("connector", "base_url", "credentials")  # elsewhere an empty cell leaves a key to its default


def named(template: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every column that the texts of a template name, each with where."""
    if isinstance(template, dict):
        for key, value in template.items():
            yield from named(value, (*place, key))
    elif isinstance(template, list):
        for number, value in enumerate(template):
            yield from named(value, (*place, number))
    elif isinstance(template, str):
        yield from ((place, found) for found in COLUMN.findall(template))


def unknown(template: Any, columns: tuple[str, ...]) -> Iterator[tuple[Place, str]]:
    """Every place that names a column there is none of, and what to say of it."""
    for place, name in named(template):
        if name not in columns:
            yield place, f"the list has no column {name!r}; {did_you_mean(name, columns)}"


def text_of(template: str, row: Row) -> str:
    """A text with its columns filled in, as it is: for names."""
    return COLUMN.sub(lambda found: row.cells[found[1]], template)


class Filling:
    """One row laid into a template; `faults` are what is wrong with its cells."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self.faults: list[tuple[str, Fault]] = []  # each with the key of the connection that it spoils

    def fill(self, template: Any, place: Place = ()) -> Any:
        """The template with every column filled in. A key whose only content is an empty cell is left out."""
        if isinstance(template, dict):
            filled = {key: self.fill(value, (*place, key)) for key, value in template.items()}
            return {key: value for key, value in filled.items() if value is not None or template[key] is None}
        if isinstance(template, list):
            return [self.fill(value, (*place, number)) for number, value in enumerate(template)]
        return self._text(template, place) if isinstance(template, str) and "{" in template else template

    def _text(self, template: str, place: Place) -> str | None:
        empty = [name for name in COLUMN.findall(template) if not self._row.cells[name]]
        if empty and place[0] in _NEEDED:
            for name in empty:
                self._wrong(place, name, f"is empty, and {_dotted(place)} needs it")
            return template
        if empty and COLUMN.fullmatch(template):
            return None
        text, columns = "", list[str]()
        for part, is_placeholder in _parts(template):
            if text.endswith("$") and part.startswith("$") and columns:
                self._wrong(place, columns[-1], "may not end in $, since ${...} follows it")
            text, columns = text + self._part(part, is_placeholder, template, place), COLUMN.findall(part)
        return text

    def _part(self, part: str, is_placeholder: bool, template: str, place: Place) -> str:
        def cell(found: re.Match[str]) -> str:
            name = found[1]
            value = self._row.cells[name]
            if not is_placeholder:
                if place == ("base_url",) and found[0] != template and not _PART_OF_ADDRESS.fullmatch(value):
                    self._wrong(place, name, "may hold letters, digits and . _ ~ - only, as a part of an address")
                return value
            if part.startswith("${file:"):
                if not _PART_OF_FILE.fullmatch(value):
                    self._wrong(place, name, "cannot be a part of a file's name: no / and no . at its beginning")
                return value
            return re.sub(r"[^A-Za-z0-9_]", "_", value).upper()

        filled = COLUMN.sub(cell, part)
        if is_placeholder:
            return filled
        begins = 3 if part.startswith("$${") else 0
        # Only now: two cells side by side can make what neither of them holds.
        return filled[:begins] + filled[begins:].replace("${", "$${")

    def _wrong(self, place: Place, column: str, message: str) -> None:
        self.faults.append((str(place[0]), self._row.fault(column, message)))


def _parts(template: str) -> Iterator[tuple[str, bool]]:
    """A text in pieces: those that are `${...}`, and those between."""
    at = 0
    for found in _PLACEHOLDER.finditer(template):
        yield template[at : found.start()], False
        yield found[0], not found[0].startswith("$$")
        at = found.end()
    yield template[at:], False


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))

"""A CSV file beside config.yaml, as people and spreadsheets write it: its lines, each with its number, and its faults.

A byte order mark, `;` or a tab between the cells, blank lines and blank cells at the end of a line are all fine.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from onepipe.errors import Fault
from onepipe.yamlmarks import did_you_mean

_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: its number, from 1, and the text of its cells by column, without blanks around it."""

    file: Path
    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """A cell's text; empty where the file has no such column."""
        return self.cells.get(column, "")

    def fault(self, column: str, message: str) -> Fault:
        """A mistake in a cell of this line."""
        return Fault(self.file, self.number, 0, column, message)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file holds that can be read, and what is wrong with the rest of it."""

    lines: tuple[Line, ...] = ()
    faults: tuple[Fault, ...] = ()


def read(path: Path, columns: Sequence[str], needed: Sequence[str] = (), printed: Sequence[str] = ()) -> Sheet:
    """The lines of a CSV file with a line of headings.

    `columns` are read, those in `needed` have to be there, those in `printed` may be and are passed over. Never raises:
    a file that is missing or no CSV is one fault.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return Sheet(faults=(Fault(path, 1, 0, "(file)", f"it cannot be read: {_why(error)}"),))
    records = _records(text)
    headings = [name.strip().lower() for name in next(records, (1, [""]))[1]]
    faults = [Fault(path, 1, 0, "(headings)", wrong) for wrong in _wrong(headings, columns, needed, printed)]
    if faults:
        return Sheet(faults=tuple(faults))
    lines = list[Line]()
    for number, cells in records:
        if isinstance(cells, str):
            faults.append(Fault(path, number, 0, "(line)", cells))
        elif any(map(str.strip, cells)):
            lines.append(Line(path, number, dict(zip(headings, map(str.strip, cells), strict=False))))
            if len(cells) < len(headings) or any(map(str.strip, cells[len(headings) :])):
                wrong = f"it has {len(cells)} cells, and there are {len(headings)} columns"
                faults.append(Fault(path, number, 0, "(line)", wrong))
                lines.pop()
    return Sheet(tuple(lines), tuple(faults))


def number(text: str) -> Decimal | None:
    """The number that a cell holds, exact, with a point or a comma before its decimals; None where it holds none."""
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _records(text: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record with the line it begins at; where the text is no CSV, what is wrong, and no more."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    begins = 1
    try:
        for cells in lines:
            yield begins, cells
            begins = lines.line_num + 1
    except csv.Error as error:
        yield begins, f"this is no CSV: {error}"


def _delimiter(text: str) -> str:
    """A comma, or what spreadsheets write where the comma is for decimals: told by the line of headings."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _wrong(
    headings: Sequence[str], columns: Sequence[str], needed: Sequence[str], printed: Sequence[str]
) -> Iterator[str]:
    every = (*columns, *printed)
    for name in headings:
        if name and name not in every:
            yield f"there is no column {name!r}; {did_you_mean(name, columns)}"
    for name in needed:
        if name not in headings:
            yield f"the column {name!r} is missing"
    for name in dict.fromkeys(headings):
        if name and headings.count(name) > 1:
            yield f"the column {name!r} stands there twice"


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8; save it as CSV UTF-8"
    return getattr(error, "strerror", None) or str(error)

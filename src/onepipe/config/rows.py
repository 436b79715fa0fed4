"""A list of accounts as it arrives from a file or a program, CSV with headings or JSON lines: its rows and faults."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onepipe.errors import Fault


@dataclass(frozen=True, slots=True)
class Row:
    """One account: the number of its line, from 1, and the text of its cells by column, without blanks around it."""

    file: Path
    line: int
    cells: Mapping[str, str]

    def fault(self, column: str, message: str) -> Fault:
        """A mistake in this row. The message must show no cell that may be a secret."""
        return Fault(self.file, self.line, 0, column, message)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a list holds: its columns in order, and its rows; `faults` are of the list as a whole or of lines."""

    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    faults: tuple[Fault, ...] = field(default=())


def read(text: str, file: Path) -> Rows:
    """The rows of a list; `file` is how its faults name it. Never raises."""
    text = text.removeprefix("\ufeff")
    return _json_lines(text, file) if text.lstrip().startswith("{") else _csv(text, file)


def _csv(text: str, file: Path) -> Rows:
    records = _records(text)
    try:
        number, headings = next(records, (1, []))
        columns = tuple(heading.strip() for heading in headings)
        if not any(columns):
            return Rows()
        faults = [Fault(file, number, 0, "(headings)", wrong) for wrong in _wrong(columns)]
        rows = []
        for number, cells in records:
            extra = len(cells) - len(columns)
            if extra > 0 and any(cell.strip() for cell in cells[len(columns) :]):
                faults.append(Fault(file, number, 0, "(line)", f"has {extra} more cells than there are headings"))
                continue
            filled = [*(cell.strip() for cell in cells), *[""] * -extra]
            rows.append(Row(file, number, dict(zip(columns, filled, strict=False))))
    except csv.Error as error:
        return Rows(faults=(Fault(file, 1, 0, "(file)", f"is no CSV: {error}"),))
    return Rows(columns, tuple(rows), tuple(faults))


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not blank, each with the number of the one it begins in."""
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1


def _wrong(columns: tuple[str, ...]) -> Iterator[str]:
    if "" in columns:
        yield "there is a column without a name"
    for name in dict.fromkeys(columns):
        if name and columns.count(name) > 1:
            yield f"the column {name!r} stands twice"


def _json_lines(text: str, file: Path) -> Rows:
    columns: dict[str, None] = {}
    rows, faults = list[Row](), list[Fault]()
    for number, line in enumerate(text.split("\n"), start=1):  # U+2028 and the like may stand in a text
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            cells = {str(name).strip(): _text(value) for name, value in data.items()}
        except (ValueError, AttributeError, TypeError):  # what stands there is not shown: it may be a secret
            faults.append(Fault(file, number, 0, "(line)", "is no JSON object of texts, numbers, true, false and null"))
            continue
        columns.update(dict.fromkeys(cells))
        rows.append(Row(file, number, cells))
    filled = tuple(Row(file, row.line, dict.fromkeys(columns, "") | dict(row.cells)) for row in rows)
    return Rows(tuple(columns), filled, tuple(faults))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise TypeError("neither text nor number")

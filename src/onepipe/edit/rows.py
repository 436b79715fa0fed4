"""Edits as people write them: words of a command, lines of a CSV file, rows of a Parquet file or of a query."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onepipe.errors import UsageError
from onepipe.warehouse.query import Answer, Desk, open_desk, scratch
from onepipe.warehouse.schema import literal
from onepipe.yamlmarks import did_you_mean

NEEDED = ("connection", "source_id", "field", "value")
COLUMNS = (*NEEDED, "op", "reason")
OPS = ("set", "clear")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One wish: a field of a record, and the text of its new value. `place` is where it was written, if in a file.

    `wrong` is why it can be none at all, told with the faults of all the others.
    """

    place: str = ""
    connection: str
    source_id: str | None
    field: str
    text: str = ""
    clear: bool = False
    reason: str = ""
    wrong: str = ""

    def fault(self, reason: str) -> str:
        """What is wrong with it, as a line for people."""
        record = "(new)" if self.source_id is None else self.source_id
        about = " ".join(filter(None, (self.connection, record, self.field)))
        return ": ".join(filter(None, (self.place, about, reason)))


def from_words(
    connection: str, source_id: str | None, words: Iterable[str], clear: Iterable[str], reason: str
) -> list[Row]:
    """`field=value` words of one record, and the fields to clear. Raises UsageError for what is no such word."""
    rows = []
    for word in words:
        field, sign, text = word.partition("=")
        if not sign or not field.strip():
            raise UsageError(f"{word!r} is not field=value; nothing was queued", "e.g. amount=120.00 or stage=Won")
        if field.strip() == "line_items" and text.startswith("@"):
            text = _content(Path(text[1:]))
        rows.append(Row(connection=connection, source_id=source_id, field=field.strip(), text=text, reason=reason))
    return rows + [
        Row(connection=connection, source_id=source_id, field=field.strip(), clear=True, reason=reason)
        for field in clear
    ]


def from_file(path: Path, reason: str) -> list[Row]:
    """The rows of a CSV or Parquet file. Raises UsageError for what is no such file."""
    if path.suffix.lower() == ".parquet":
        return _from_parquet(path, reason)
    return _rows(csv_lines(path), str(path), reason)


def csv_lines(path: Path, safe: str = "nothing was queued") -> Iterator[tuple[str, list[str]]]:
    """Each record of a CSV file with the place it begins at; cells may hold line ends.

    Raises UsageError for what is no CSV; `safe` is what it says then.
    """
    text = _content(path, safe)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    begins = 1
    try:
        for cells in lines:
            yield f"{path}:{begins}", cells
            begins = lines.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{path}:{lines.line_num}: this is no CSV: {error}; {safe}") from error


def from_query(sql: str, warehouse: Path, reason: str) -> list[Row]:
    """The rows that a query on the published warehouse answers with. Raises UsageError, ConfigError."""
    with open_desk(warehouse) as desk:
        return _rows(_answered(desk.ask(sql), "row {}"), "the query", reason)


def _content(path: Path, safe: str = "nothing was queued") -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # line ends as they are: they may belong to a value
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}; {safe}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}; {safe}") from error


def _delimiter(text: str) -> str:
    """A comma, or what spreadsheets write where the comma is for decimals: told by the line of headings."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def _from_parquet(path: Path, reason: str) -> list[Row]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; nothing was queued")
    with scratch() as db:
        answer = Desk(db).ask(f"SELECT * FROM read_parquet({literal(str(path))})")
        return _rows(_answered(answer, f"{path}, row {{}}"), str(path), reason)


def _answered(answer: Answer, place: str) -> Iterator[tuple[str, list[str]]]:
    yield place.format(0), [column.name for column in answer.columns]
    for number, row in enumerate(answer.rows, 1):
        yield place.format(number), [cell or "" for cell in row]


def _rows(lines: Iterator[tuple[str, list[str]]], source: str, reason: str) -> list[Row]:
    headings = [name.strip().lower() for name in next(lines, ("", []))[1]]
    _fitting(headings, source)
    rows = list[Row]()
    for place, cells in lines:
        if len(cells) != len(headings) and any(cell.strip() for cell in cells):
            wrong = f"has {len(cells)} cells, and there are {len(headings)} columns"
            rows.append(Row(place=place, connection="", source_id="", field="", wrong=wrong))
        elif any(cell.strip() for cell in cells):
            rows.append(_row(place, dict(zip(headings, cells, strict=True)), reason))
    return rows


def _fitting(headings: Sequence[str], source: str) -> None:
    faults = [f"there is no column {name!r}; {did_you_mean(name, COLUMNS)}" for name in headings if name not in COLUMNS]
    faults += [f"the column {name!r} is missing" for name in NEEDED if name not in headings]
    faults += [f"the column {name!r} stands there twice" for name in COLUMNS if headings.count(name) > 1]
    refuse([f"{source}: {fault}" for fault in faults])


def _row(place: str, cells: dict[str, str], reason: str) -> Row:
    """A row, with what is wrong with it."""
    op = cells.get("op", "").strip().lower() or "set"
    row = Row(
        place=place,
        connection=cells["connection"].strip(),
        source_id=cells["source_id"].strip(),
        field=cells["field"].strip(),
        text=cells["value"],
        clear=op == "clear",
        reason=cells.get("reason", "").strip() or reason,
    )
    missing = [name for name in NEEDED[:3] if not cells[name].strip()]
    wrong = f"{' and '.join(missing)} is missing" if missing else ""
    if row.clear and row.text.strip():
        wrong = "op is clear, and there is a value"
    return replace(row, wrong=wrong if op in OPS else f"op is {op!r}, and can be set or clear")


def refuse(faults: Sequence[str], hint: str | None = None) -> None:
    """Raise one UsageError with all faults, a line each, or return where there is none."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise UsageError("\n".join([*faults, f"{count}; nothing was queued."]), hint)

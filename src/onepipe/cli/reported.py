"""A report on a terminal: paragraphs and plain tables. Names wrap, numbers never do; pictures are for the page."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import onepipe.cli.screen as screen

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Drawn

    from onepipe.reports.words import Column, Report, Table

NARROWEST = 16  # letters that a column of names may be wrapped to
GAP = 2
INDENT = "  "  # of rows below a heading
Cells = tuple["Column", Sequence[str]]  # a column, and its cells as people read them


def show(report: "Report") -> None:
    """Print a report; columns of counts in which nothing stands are left out."""
    console = _console()
    screen.say(screen.strong(report.title))
    for line in map(screen.plain, report.first.splitlines()):
        _paragraph(console, line if report.is_fresh else screen.tinted(line, screen.YELLOW))
    for text in report.about:
        _paragraph(console, screen.plain(text))
    for section in report.sections:
        screen.say("\n" + screen.strong(section.title))
        for text in section.texts:
            _paragraph(console, screen.plain(text))
        for table in section.tables:
            screen.say()
            if table.title != section.title:
                screen.say(screen.plain(table.title))
            _table(console, table)


def _console() -> "Console":
    from rich.console import Console

    width = shutil.get_terminal_size().columns
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def _drawn(console: "Console", what: Any) -> None:
    """What rich draws, without blanks at the ends of lines."""
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        screen.say(line.rstrip())


def _paragraph(console: "Console", text: str) -> None:
    from rich.text import Text

    _drawn(console, Text.from_ansi(text))


def _table(console: "Console", table: "Table") -> None:
    """A table; one that is too wide comes in parts, which begin with the same column."""
    from onepipe.reports.numbers import shown

    kept = [n for n, column in enumerate(table.columns) if n >= table.group and _says(column, table.rows, n)]
    columns = [(table.columns[n], [screen.plain(shown(row[n], table.columns[n])) for row in table.rows]) for n in kept]
    heads = _heads(table)
    for number, part in enumerate(_parts(columns, console.width - len(INDENT) * any(heads))):
        if number:
            screen.say()
        for head, drawn in _lying(part, heads, console.width):
            if head:
                screen.say(head)
            _drawn(console, drawn)


def _says(column: "Column", rows: Sequence[Sequence[Any]], place: int) -> bool:
    return column.key == "deals" or any(row[place] not in (None, "", 0) for row in rows)


def _heads(table: "Table") -> list[str]:
    """The heading that each row stands under."""
    heads = (" / ".join(str(cell) for cell in row[: table.group] if cell is not None) for row in table.rows)
    return [screen.plain(head) for head in heads]


def _parts(columns: Sequence[Cells], width: int) -> Iterator[list[Cells]]:
    """The columns in as few groups as fit; each begins with the first column, which names the rows."""
    first, *others = columns
    part, left = [first], width - _least(first)
    for one in others:
        if _least(one) + GAP > left and len(part) > 1:
            yield part
            part, left = [first], width - _least(first)
        part.append(one)
        left -= _least(one) + GAP
    yield part


def _least(one: Cells) -> int:
    """How narrow a column can be: names wrap, numbers do not, and headings between words."""
    from rich.cells import cell_len

    column, cells = one
    heading = max(map(len, column.title.split()))
    widest = max(map(cell_len, cells), default=0)
    return max(heading, min(widest, NARROWEST) if column.kind == "text" else widest)


def _widths(columns: Sequence[Cells], indent: int, room: int) -> list[int]:
    """How wide each column is drawn: what is left over goes where most is missing."""
    from rich.cells import cell_len

    widths = [_least(one) for one in columns]
    wanted = [max(len(column.title), *map(cell_len, cells)) for column, cells in columns]
    widths[0], wanted[0] = widths[0] + indent, wanted[0] + indent
    left = room - sum(widths) - GAP * (len(widths) - 1)
    while left > 0 and widths != wanted:
        missing = [want - width for want, width in zip(wanted, widths, strict=True)]
        widths[missing.index(max(missing))] += 1
        left -= 1
    return widths


def _lying(columns: Sequence[Cells], heads: Sequence[str], room: int) -> "Iterator[tuple[str, Drawn]]":
    """The headings of the columns, then the rows below each heading of theirs, all in columns of the same width."""
    from rich.padding import Padding
    from rich.text import Text

    indent = len(INDENT) * any(heads)
    widths = _widths(columns, indent, room)
    yield "", _begun(columns, widths, headed=True)
    for head, places in groupby(range(len(heads)), key=heads.__getitem__):
        drawn = _begun(columns, widths, headed=False)
        for n in places:
            first, *others = (Text(cells[n]) for _, cells in columns)
            drawn.add_row(Padding(first, (0, 0, 0, indent)), *others)
        yield head, drawn


def _begun(columns: Sequence[Cells], widths: Sequence[int], headed: bool) -> "Drawn":
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=headed)
    for (column, _), width in zip(columns, widths, strict=True):
        drawn.add_column(
            Text(column.title), width=width, overflow="fold", justify="right" if column.is_number else "left"
        )
    return drawn

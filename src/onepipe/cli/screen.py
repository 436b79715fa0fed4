"""What people see: tables, numbers and times in words. Data goes to stdout; notes, progress and errors to stderr."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, TextIO

MEASURED = 1_000  # rows that decide how wide the columns are; later ones may stand out
NARROWEST = 12  # letters that a column may be cut down to before rows are shown one field a line
GAP = "  "
FAINT, RED, GREEN, YELLOW, CYAN = 2, 31, 32, 33, 36

Row = Sequence[str | None]
Tint = Callable[[str], int | None]


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def say(text: str = "") -> None:
    """A line of a report, on stdout."""
    sys.stdout.write(text + "\n")


def tell(text: str) -> None:
    """A paragraph of a report, on stdout, after an empty line."""
    say("\n" + _wrapped(text, sys.stdout))


def note(text: str) -> None:
    """A paragraph beside the report, on stderr."""
    sys.stderr.write(_wrapped(text, sys.stderr) + "\n")
    sys.stderr.flush()


def _wrapped(text: str, stream: TextIO) -> str:
    """A paragraph in lines that end between words, on a terminal. What has lines of its own keeps them."""
    if not stream.isatty() or "\n" in text:
        return text
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def strong(text: str, stream: TextIO | None = None) -> str:
    """A text in bold, where that can be shown."""
    return f"\x1b[1m{text}\x1b[0m" if colored(stream or sys.stdout) else text


def faint(text: str, stream: TextIO | None = None) -> str:
    """A text less bright than the rest, where that can be shown."""
    return f"\x1b[2m{text}\x1b[0m" if colored(stream or sys.stdout) else text


def tinted(text: str, tint: int | None) -> str:
    """A text in a colour (GREEN, YELLOW, RED, CYAN), or FAINT, where stdout can show that; as it is for None."""
    return f"\x1b[{tint}m{text}\x1b[0m" if tint is not None and colored(sys.stdout) else text


def colored(stream: TextIO) -> bool:
    """Whether a stream takes bold, faint and colours."""
    return not os.environ.get("NO_COLOR") and lively(stream)


def lively(stream: TextIO) -> bool:
    """Whether a stream is a terminal on which lines can be drawn anew."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def table(
    headings: Sequence[str],
    rows: Iterable[Row],
    right: Iterable[int] = (),
    null: str = "",
    margin: str = "",
    tint: Tint | None = None,
) -> Iterator[str]:
    """The lines of a table, each behind `margin`. Columns in `right` are set flush right; `null` stands for None.

    `tint` says the colour of a cell by its text.

    On a terminal too narrow for it columns are cut, and if that is not enough each row is shown one field a line.
    """
    texts = ([null if cell is None else plain(cell) for cell in row] for row in rows)
    first = list(islice(texts, MEASURED))
    widths = [max(map(_width, column)) for column in zip(headings, *first, strict=True)]
    between = len(GAP) * (len(widths) - 1) + len(margin)
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sum(widths) + between
    fitting = _fit(widths, room - between)
    if fitting is None:
        lines = _upright(headings, chain(first, texts), tint)
    else:
        lines = _lying(headings, chain(first, texts), fitting, frozenset(right), tint)
    return (margin + line for line in lines)


def _lying(
    headings: Sequence[str],
    rows: Iterable[list[str]],
    widths: list[int],
    right: frozenset[int],
    tint: Tint | None,
) -> Iterator[str]:
    def line(cells: Sequence[str], tint: Tint | None = None) -> str:
        placed = (_place(cell, width, n in right) for n, (cell, width) in enumerate(zip(cells, widths, strict=True)))
        tints = (tint(cell) if tint else None for cell in cells)
        return GAP.join(tinted(cell, color) for cell, color in zip(placed, tints, strict=True)).rstrip()

    yield strong(line(headings))
    yield faint(GAP.join("─" * width for width in widths))
    for row in rows:
        yield line(row, tint)


def _upright(headings: Sequence[str], rows: Iterable[list[str]], tint: Tint | None) -> Iterator[str]:
    edge = max(map(_width, headings))
    for number, row in enumerate(rows, start=1):
        yield faint(f"── {number} ──")
        for heading, cell in zip(headings, row, strict=True):
            told = tinted(cell, tint(cell) if tint else None)
            yield f"{strong(_place(heading, edge, False))}{GAP}{told}".rstrip()


def _fit(widths: list[int], room: int) -> list[int] | None:
    """The widths, the widest cut down until all of them fit; None where they cannot."""
    fitting = list(widths)
    while sum(fitting) > room:
        widest = max(range(len(fitting)), key=lambda n: fitting[n])
        if fitting[widest] <= NARROWEST:
            return None
        fitting[widest] -= 1
    return fitting


def _place(text: str, width: int, right: bool) -> str:
    missing = width - _width(text)
    if missing < 0:
        from rich.cells import set_cell_size

        return set_cell_size(text, width - 1) + "…"
    return " " * missing + text if right else text + " " * missing


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def plain(text: str) -> str:
    """A text in one line, without what could steer a terminal."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def count(number: int | None) -> str:
    """`1,234`; nothing for None."""
    return "" if number is None else f"{number:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 request`, `1,234 requests`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(count: int) -> str:
    """So many bytes as `340 MB`, `1.2 GB`."""
    amount = count / 1_000_000
    return f"{amount / 1000:.1f} GB" if amount >= 1000 else f"{amount:.0f} MB" if amount >= 10 else f"{amount:.1f} MB"


def when(text: str | None, zone: str = "", now: Callable[[], datetime] | None = None) -> str:
    """An instant of ours, in UTC, as `2026-01-15 11:55 (4 min ago)`; `zone` stands after the time."""
    if text is None:
        return ""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    seconds = ((now or _now)() - moment).total_seconds()
    told = f"in {duration(-seconds)}" if seconds < 0 else f"{duration(seconds)} ago"
    return f"{moment:%Y-%m-%d %H:%M}{zone} ({told})"


def duration(seconds: float) -> str:
    """A length of time in its largest whole unit: `40 s`, `4 min`, `3 h`, `2 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _now() -> datetime:
    return datetime.now(UTC)

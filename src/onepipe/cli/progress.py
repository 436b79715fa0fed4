"""Progress on stderr while a run works: bars on a terminal, one plain line every ten seconds elsewhere."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.report import ConnectionReport, Watch

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 10.0  # seconds between two plain lines
NAMED = 3  # connections named in one plain line
Ways = tuple[str, str]
PAUSING = "\nPausing: the page that is being read is kept, then it ends. Once more to end at once.\n"
INTERRUPTED = (
    "\nInterrupted. Everything committed is safe, and pages already fetched are kept on disk. "
    "Run the same command again: it goes on from there.\n"
)
PULLING: Ways = (PAUSING, INTERRUPTED)  # what is said where Ctrl-C asks to end, and where it ends at once
PUSHING: Ways = (
    "\nPausing: what is on its way is settled, then it ends. Once more to end at once.\n",
    "\nInterrupted. Every request was written down before it was sent. Run `onepipe push apply` again: it looks what "
    "became of them before it sends anything.\n",
)


@dataclass(frozen=True, slots=True)
class Part:
    """Which slice of a backfill is being read: the `place`-th `of` so many, `loaded` of `expected` rows before it."""

    place: int
    of: int
    loaded: int
    expected: int


@dataclass
class Pace:
    """How fast one resource of one connection comes in. Times in seconds of a monotonic clock."""

    resource: str
    began: float
    before: int
    rows: int = 0
    total: int | None = None
    requests: int = 0
    part: Part | None = None

    def rate(self, now: float) -> float:
        """Rows a second since it began; what was there before this run does not count."""
        return (self.rows - self.before) / max(now - self.began, 0.001)

    def left(self, now: float) -> float | None:
        """Seconds until the end; None where it cannot be told."""
        rate = self.rate(now)
        return max(self.total - self.rows, 0) / rate if self.total is not None and rate > 0 else None

    def words(self, now: float) -> str:
        """`1,200 of 5,000 opportunities, 14 requests, 120 rows/s, about 40 s left`."""
        of = f" of {self.total:,}" if self.total is not None else ""
        left = self.left(now)
        parts = [f"slice {self.part.place} of {self.part.of}"] if self.part and self.part.of > 1 else []
        parts += [f"{self.rows:,}{of} {_plural(self.resource)}", screen.counted(self.requests, "request")]
        parts += [f"{self.rate(now):,.0f} rows/s"] if now - self.began >= 1 else []
        parts += [f"about {screen.duration(left)} left"] if left and left >= 1 else []
        return ", ".join(parts)


@dataclass
class Lines(Watch):
    """Plain lines, for logs and pipes: notices at once, and how far everything is every ten seconds."""

    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    every: float = EVERY

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._paces = Paces()
        self._ended = 0
        self._told = self.clock()

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        """A first load says what it expects to cost."""
        self._paces.expected[connection] = rows
        self.say(connection, expectation(rows, requests, seconds))

    def slice(self, connection: str, place: int, of: int, loaded: int, expected: int) -> None:
        """A slice of a backfill begins."""
        with self._lock:
            self._paces.slices[connection] = Part(place, of, loaded, expected)

    def page(self, connection: str, resource: str, fetched: int, total: int | None, requests: int) -> None:
        """Note a page; tell all of them when ten seconds have passed."""
        with self._lock:
            now = self.clock()
            self._paces.page(connection, resource, fetched, total, requests, now)
            if now - self._told >= self.every:
                self._told = now
                self._write(self._summary(now))

    def step(self, done: int, of: int, text: str) -> None:
        """Note a record of a push; tell how many are done when ten seconds have passed."""
        with self._lock:
            now = self.clock()
            if now - self._told >= self.every:
                self._told = now
                self._write(f"{done:,} of {screen.counted(of, 'deal')}, {text}")

    def say(self, connection: str, text: str) -> None:
        """A notice at once."""
        with self._lock:
            self._write(f"{connection}: {text}" if connection else text)

    def ended(self, report: ConnectionReport) -> None:
        """A connection is done; the table at the end tells how."""
        with self._lock:
            self._paces.at_work.pop(report.connection, None)
            self._ended += 1

    def _summary(self, now: float) -> str:
        busiest = sorted(self._paces.at_work.items(), key=lambda item: -item[1].rows)
        parts = [f"{name}: {pace.words(now)}" for name, pace in busiest[:NAMED]]
        parts += [f"{len(busiest) - NAMED} more at work"] if len(busiest) > NAMED else []
        parts += [f"{screen.counted(self._ended, 'connection')} done"] if self._ended else []
        return "; ".join(parts)

    def _write(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()


class Bars(Watch):
    """A bar for each connection at work, on a terminal."""

    def __init__(self, progress: "Progress", notices: bool = True) -> None:
        self._progress = progress
        self._notices = notices
        self._lock = threading.Lock()
        self._paces = Paces()
        self._tasks: dict[str, TaskID] = {}

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        """A first load says what it expects to cost."""
        self._paces.expected[connection] = rows
        self.say(connection, expectation(rows, requests, seconds))

    def slice(self, connection: str, place: int, of: int, loaded: int, expected: int) -> None:
        """A slice of a backfill begins."""
        with self._lock:
            self._paces.slices[connection] = Part(place, of, loaded, expected)

    def page(self, connection: str, resource: str, fetched: int, total: int | None, requests: int) -> None:
        """Move the connection's bar."""
        with self._lock:
            now = time.monotonic()
            seen = self._paces.page(connection, resource, fetched, total, requests, now)
            if connection not in self._tasks:
                self._tasks[connection] = self._progress.add_task(connection, total=None, words="")
            self._progress.update(self._tasks[connection], completed=seen.rows, total=seen.total, words=seen.words(now))

    def step(self, done: int, of: int, text: str) -> None:
        """Move the bar of all records of a push."""
        with self._lock:
            if "" not in self._tasks:
                self._tasks[""] = self._progress.add_task("push", total=None, words="")
            words = f"{done:,} of {screen.counted(of, 'deal')}, {text}"
            self._progress.update(self._tasks[""], completed=done, total=of, words=words)

    def say(self, connection: str, text: str) -> None:
        """A notice above the bars."""
        if self._notices:
            line = f"{connection}: {text}" if connection else text
            self._progress.console.print(line, markup=False, highlight=False)

    def ended(self, report: ConnectionReport) -> None:
        """Take the bar away; the table at the end tells how it went."""
        with self._lock:
            task = self._tasks.pop(report.connection, None)
            if task is not None:
                self._progress.remove_task(task)


@dataclass
class Paces:
    """The pace of every connection at work. A first load's expectation stands in where a list tells no total."""

    at_work: dict[str, Pace] = field(default_factory=dict)
    slices: dict[str, Part] = field(default_factory=dict)
    expected: dict[str, int | None] = field(default_factory=dict)

    def page(self, connection: str, resource: str, rows: int, total: int | None, requests: int, now: float) -> Pace:
        """The connection's pace with one more page in it; begun anew when it turns to another resource."""
        known, part = self.at_work.get(connection), self.slices.get(connection)
        if part is not None and resource == "opportunity":
            rows, total = part.loaded + rows, max(part.expected, part.loaded + rows)
        if known is None or known.resource != resource or rows < known.rows:
            known = self.at_work[connection] = Pace(resource, now, rows)
        if total is None and resource == "opportunity":
            total = self.expected.get(connection)
        # A list in parts tells the total of a part; one that rows have passed says nothing.
        known.total = total if total is not None and total >= rows else None
        known.rows, known.requests = rows, requests
        known.part = part if resource == "opportunity" else None
        return known


def expectation(rows: int | None, requests: int | None, seconds: float | None) -> str:
    """What a first load expects to cost, in words."""
    if rows is None:
        return "first load: everything is read once; this CRM does not tell how much there is"
    cost = [f"about {screen.counted(requests, 'request')}"] if requests is not None else []
    cost += [f"about {screen.duration(seconds)}"] if seconds is not None and seconds >= 1 else []
    about = f" ({', '.join(cost)})" if cost else ""
    return f"first load: {screen.counted(rows, 'opportunity', 'opportunities')} to read{about}"


@contextmanager
def watching(notices: bool = True, pause: threading.Event | None = None, ways: Ways = PULLING) -> Iterator[Watch]:
    """Bars if people look on, plain lines if not; without notices nothing but bars.

    Ctrl-C ends the process, and says so in one of `ways`; where there is a `pause`, the first one, or SIGTERM, sets it.
    """
    if not screen.lively(sys.stderr):
        with _interruptible(lambda: None, pause, ways):
            yield Lines() if notices else Watch()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    words = TextColumn("{task.fields[words]}", markup=False, table_column=Column(no_wrap=True))
    columns = (TextColumn("{task.description}", markup=False), BarColumn(20), words)
    with (
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
        _interruptible(progress.stop, pause, ways),
    ):
        yield Bars(progress, notices)


@contextmanager
def _interruptible(tidy: Callable[[], None], pause: threading.Event | None, ways: Ways) -> Iterator[None]:
    """Ctrl-C ends the process at once, saying what is safe: waiting for every answer under way would take minutes.

    That is safe because it is the same as being killed, which no file of ours minds. What can be paused is asked to
    end first, also by SIGTERM.
    """

    def leave(number: int, _frame: FrameType | None) -> None:
        if pause is not None and not pause.is_set():
            pause.set()
            sys.stderr.write(ways[0])
            sys.stderr.flush()
            return
        tidy()
        sys.stderr.write(ways[1])
        sys.stderr.flush()
        os._exit(exits.INTERRUPTED if number == signal.SIGINT else 128 + number)

    numbers = [signal.SIGINT] + ([signal.SIGTERM] if pause is not None else [])
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _plural(resource: str) -> str:
    return "opportunities" if resource == "opportunity" else resource if resource.endswith("s") else f"{resource}s"

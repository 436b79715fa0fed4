"""A daemon's desk with a simulated clock, and runs that are made of nothing but their length and their end."""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onepipe.config import Config, Connection
from onepipe.config import load as load_config
from onepipe.control import Broken, Hold, Remembered, Turn
from onepipe.daemon.after import Ended
from onepipe.daemon.desk import Desk
from onepipe.daemon.onlooker import Event, Onlooker
from onepipe.errors import AuthRefused, OnepipeError, Unavailable
from onepipe.report import ConnectionReport

NOON = datetime(2026, 1, 12, 12, 0, tzinfo=UTC)  # a Monday
SECOND = timedelta(seconds=1)

Fate = Callable[[str, datetime], OnepipeError | None]


def config(folder: Path, schedules: dict[str, str], **daemon: object) -> Config:
    """Connections with these schedules; `daemon` are keys below `daemon:`."""
    lines = [f"  {key}: {value}" for key, value in daemon.items()]
    text = "daemon:\n" + "\n".join(lines) + "\n" if lines else ""
    text += "connections:\n"
    for name, schedule in schedules.items():
        told = "{connector: capsule, base_url: 'http://127.0.0.1:1', credentials: {token: word}, schedule: "
        text += f"  {name}: {told}'{schedule}'}}\n"
    (folder / "config.yaml").write_text(text)
    return load_config(folder / "config.yaml")


@dataclass
class Seen(Onlooker):
    """What an onlooker was told."""

    events: list[Event] = field(default_factory=list)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    passes: list[tuple[str, str, int]] = field(default_factory=list)  # one after the other

    def happened(self, event: Event) -> None:
        self.events.append(event)

    def passed_over(self, connection: str, why: str, times: int = 1) -> None:
        self.passed[connection, why] += times
        self.passes.append((connection, why, times))

    def told(self, connection: str | None = None) -> list[str]:
        """The events of one, in order."""
        return [one.event for one in self.events if connection in (None, one.connection)]


@dataclass
class World:
    """One desk after the other (a daemon may be restarted), what they remembered, and the runs that were made.

    `length` is how long a run takes; `fate` what error it ends with, None for none.
    """

    config: Config
    now: datetime = NOON
    length: Callable[[str], timedelta] = lambda _: 2 * SECOND
    fate: Fate = lambda *_: None
    held: dict[str, Hold] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    made: list[tuple[datetime, str]] = field(default_factory=list)  # when a run began, by the clock
    lived: timedelta = timedelta()  # time that really went by
    marks: list[tuple[str, timedelta, datetime, int, int]] = field(default_factory=list)  # of each run: both; counts
    anchors: int = 0  # how often all intervals began to count anew
    turns: dict[str, Turn] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    passes: Remembered = field(default_factory=Remembered)
    most: int = 0  # runs side by side
    token: str = "word"
    _under_way: list[tuple[datetime, int, str]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self.desk = self._new()

    def _new(self) -> Desk:
        desk = Desk(self._start, self._held, lambda one: f"{self.token} {one.plain_credentials()}".encode(), self.seen)
        desk.take(self.config, self.now, self.turns, self.broken)
        return desk

    def _held(self, connection: Connection) -> Hold | None:
        hold = self.held.get(connection.name)
        return hold if hold and hold.until > self.now else None

    def _start(self, connection: Connection) -> None:
        self._number += 1
        self.made.append((self.now, connection.name))
        self.marks.append((connection.name, self.lived, self.now, len(self.seen.passes), self.anchors))
        heapq.heappush(self._under_way, (self.now + self.length(connection.name), self._number, connection.name))
        self.most = max(self.most, len(self._under_way))

    def tick(self) -> None:
        """One turn of the loop: runs that came to their end, then the desk."""
        while self._under_way and self._under_way[0][0] <= self.now:
            _, number, name = heapq.heappop(self._under_way)
            report = ConnectionReport(name, "capsule", self.now)
            if error := self.fate(name, self.now):
                report.fall("failed", error)
            self.desk.ended(Ended(report, f"run {number}", 2.0, self.now))
        self.desk.tick(self.now)
        self._remember()

    def live(self, span: timedelta) -> None:
        """Let so much time go by, from one thing that happens to the next."""
        end = self.now + span
        self.tick()
        while self.now < end:
            times = [one for one in (self.desk.soonest(), *(one[0] for one in self._under_way[:1]), end) if one]
            before, self.now = self.now, min(max(min(times), self.now + timedelta(milliseconds=20)), end)
            self.lived += self.now - before
            self.tick()

    def set_clock(self, by: timedelta) -> None:
        """The clock jumps; what runs takes as long as before. Only a jump back is told to the desk."""
        self.now += by
        self._under_way = [(at + by, number, name) for at, number, name in self._under_way]
        if by < timedelta():
            self.anchors += 1
            self.desk.set_back(self.now, -by)

    def sleep(self, span: timedelta) -> None:
        """The machine sleeps, and its runs with it."""
        self.lived += span
        self.set_clock(span)

    def restart(self, down: timedelta = timedelta()) -> None:
        """The daemon is killed, and another one begins later: it knows what was written down, and runs are lost."""
        self._under_way = []
        self.now += down
        self.lived += down
        self.anchors += 1
        self.desk = self._new()

    def count(self, name: str, since: datetime = NOON) -> int:
        """How many runs one had."""
        return sum(one == name and at >= since for at, one in self.made)

    def times(self, name: str) -> list[datetime]:
        """When the runs of one began."""
        return [at for at, one in self.made if one == name]

    def reasons(self, name: str) -> dict[str, int]:
        """How many due runs of one were not made, by reason."""
        return {why: one.times for (connection, why), one in self.passes.passed.items() if connection == name}

    def _remember(self) -> None:
        """What the control file does."""
        news, self.desk.news = self.desk.news, Remembered()
        self.turns |= news.turns
        for name, broken in news.breakers.items():
            if broken is None:
                self.broken.pop(name, None)
            else:
                self.broken[name] = broken
        for one in news.passed.values():
            self.passes.passes(one.connection, one.why, one.last, one.times)


def unavailable(*names: str) -> Fate:
    """These do not answer."""
    return lambda name, _: Unavailable("no answer") if name in names else None


def refused(*names: str) -> Fate:
    """The credential of these is not accepted."""
    return lambda name, _: AuthRefused("401") if name in names else None

"""What a connection usually brings, learned from its complete runs: kept small, and judged so as to be seldom wrong."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta

KEPT = 28  # days
LEARNED = 7  # days, at least, before anything is called unusual
ENOUGH = 20  # deals: of fewer nothing is said
PAUSES = 20  # changes that were seen before a pause is called long
LONGER = 3  # times as long as the longest pause ever is far longer
A_DAY = 86_400.0
BUSY = 50  # changes a week, at least, before a week is called quiet


@dataclass
class Usual:
    """Of one connection, by day (ISO): the fewest deals that a run read, the changes, and the deals that are live.

    `last_change` is when a run last brought any (epoch seconds), `longest` the longest time between two such runs in
    seconds, `pauses` how many such times there were, `began` when the first of them began.
    """

    leanest: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    live: dict[str, int] = field(default_factory=dict)
    last_change: float | None = None
    longest: float = 0.0
    pauses: int = 0
    began: float | None = None

    @classmethod
    def read(cls, text: str) -> "Usual":
        """What `text` wrote."""
        return cls(**json.loads(text))

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def changed(self, number: int, at: float, today: date) -> bool:
        """A complete run brought so many changes; whether there is anything new to keep."""
        if not number:
            return False
        if self.last_change is not None:
            self.longest = max(self.longest, at - self.last_change)
            self.pauses += 1
        self.began = at if self.began is None else self.began
        self.last_change = at
        _add(self.changes, today, self.changes.get(str(today), 0) + number)
        return True

    def is_quiet(self, at: float) -> str | None:
        """Why no changes at all, for so long, are unusual; None where they are not."""
        if self.last_change is None or self.began is None or self.pauses < PAUSES:
            return None
        if self.last_change - self.began < LEARNED * A_DAY or self.longest == 0:
            return None
        pause = at - self.last_change
        if pause <= max(LONGER * self.longest, A_DAY):
            return None
        return f"nothing has changed for {_long(pause)}; the longest time without a change was {_long(self.longest)}"

    def is_thin(self, at: float, today: date) -> str | None:
        """Why the changes of the last seven days are unusually few; None where they are not."""
        days = [self.changes.get(str(today - timedelta(days=n)), 0) for n in range(1, KEPT)]
        if self.began is None or at - self.began < (KEPT - 1) * A_DAY:
            return None
        usual = statistics.median(sum(days[start : start + 7]) for start in (7, 14, 20))
        now = sum(days[:7])
        if usual < BUSY or now * 10 > usual:
            return None
        return f"only {now} changes came within the last seven days, and {usual:g} within a usual week"

    def is_lean(self, read: int, today: date) -> str | None:
        """Why a run that read so few deals is unusual; None where it is not, and then that is kept."""
        before = [number for day, number in _kept(self.leanest, today) if day < str(today)]
        least = min(before, default=0)
        if len(before) >= LEARNED and least >= ENOUGH and read * 2 < least:
            return f"the run read {read} deals; in {len(before)} days before it none read fewer than {least}"
        return None

    def reads(self, read: int, today: date) -> bool:
        """A run read so many deals; whether that is less than any of its day."""
        known = self.leanest.get(str(today))
        if known is not None and known <= read:
            return False
        _add(self.leanest, today, read)
        return True

    def is_shrunk(self, live: int, today: date) -> str | None:
        """Why so few live deals are unusual; None where they are not."""
        most = max((number for _, number in _kept(self.live, today)), default=0)
        if most - live >= ENOUGH and live * 2 < most:
            return f"{live} deals are left that are not deleted, and there were {most}"
        return None

    def lives(self, live: int, today: date) -> bool:
        """There are so many live deals; whether that is new."""
        if self.live.get(str(today)) == live:
            return False
        _add(self.live, today, live)
        return True


def _kept(days: dict[str, int], today: date) -> list[tuple[str, int]]:
    """Those that are not too long ago: what is unusual is not added, and ends so."""
    first = str(today - timedelta(days=KEPT))
    return [(day, number) for day, number in days.items() if day > first]


def _add(days: dict[str, int], today: date, number: int) -> None:
    days[str(today)] = number
    if len(days) > KEPT:
        kept = _kept(days, today)
        days.clear()
        days.update(kept)


def _long(seconds: float) -> str:
    days, hours = seconds / A_DAY, seconds / 3600
    return f"{days:.0f} days" if days >= 2 else f"{hours:.0f} hours" if hours >= 2 else f"{seconds / 60:.0f} minutes"

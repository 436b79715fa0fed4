"""What a simulated CRM held at every moment, who put it there, and what our last read of each record could see."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Sheet = dict[str, dict[str, str | None]]  # record -> field -> value as people write it; nothing is None

OURS, OTHERS, GAP, LATE, HABIT = "ours", "others", "gap", "late", "habit"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of one field since a moment. `hand`: ours, others, gap (others, after our read), late (ours), habit."""

    seq: int
    at: datetime
    value: str | None
    hand: str


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one record that just changed."""

    key: str
    field: str
    before: str | None
    entry: Entry


@dataclass
class Ledger:
    """Kept by looking at the CRM before and after everything that happens to it."""

    sheet: Callable[[], Sheet]
    clock: Callable[[], datetime]
    seq: int = 0
    rows: Sheet = field(default_factory=dict)
    history: dict[tuple[str, str], list[Entry]] = field(default_factory=dict)
    made: list[tuple[str, str, str]] = field(default_factory=list)
    """Every record that came to be: its id, its name then, whose hand."""
    gone: dict[str, str] = field(default_factory=dict)
    last_read: dict[str, tuple[int, Mapping[str, str | None]]] = field(default_factory=dict)
    struck: list[tuple[int, str]] = field(default_factory=list)
    """The troubles that the CRM made, as they struck."""
    changed: list[Change] = field(default_factory=list)
    """What the last `by` block changed of records that had been there."""
    removed: list[str] = field(default_factory=list)

    @contextmanager
    def by(self, hand: str) -> Iterator[None]:
        """Whatever changes inside is this hand's."""
        try:
            yield
        finally:
            self._compare(hand)

    def read(self, key: str) -> None:
        """We have just read this record."""
        self.seq += 1
        self.last_read[key] = (self.seq, dict(self.rows[key]))

    def strike(self, what: str) -> None:
        """The CRM makes trouble."""
        self.seq += 1
        self.struck.append((self.seq, what))

    def value(self, key: str, name: str, at: datetime) -> str | None:
        """What a field held at an instant."""
        known = [one for one in self.history.get((key, name), ()) if one.at <= at]
        return known[-1].value if known else None

    def since(self, key: str, name: str, seq: int) -> list[Entry]:
        """What a field held from a moment on, beginning with what it held then."""
        entries = self.history.get((key, name), [])
        before = [one for one in entries if one.seq <= seq][-1:]
        return before + [one for one in entries if one.seq > seq]

    def last_hand(self, key: str, name: str) -> str:
        """Who put there what a field holds now."""
        return self.history[key, name][-1].hand

    def troubles(self, seq: int) -> list[str]:
        """What struck since."""
        return [what for at, what in self.struck if at > seq]

    def _compare(self, hand: str) -> None:
        now, before = self.sheet(), self.rows
        self.changed = []
        self.removed = [key for key in before if key not in now]
        for key in self.removed:
            self.gone[key] = hand
        for key, row in now.items():
            if key not in before:
                self.made.append((key, row["name"] or "", hand))
            for name, value in row.items():
                if key not in before or before[key][name] != value:
                    self._enter(key, name, before.get(key, {}).get(name), value, hand)
        self.rows = now

    def _enter(self, key: str, name: str, before: Any, value: str | None, hand: str) -> None:
        self.seq += 1
        entry = Entry(self.seq, self.clock(), value, hand)
        self.history.setdefault((key, name), []).append(entry)
        if key in self.rows:
            self.changed.append(Change(key, name, before, entry))

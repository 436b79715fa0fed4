"""Those that are due and wait for a free worker: the stalest goes first."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta

ORDERED = timedelta(seconds=5)  # how long an order stands: all grow staler, each at its own pace


class Waiting:
    """Names in the order of `staleness(name, now)`, the largest first; those asked for by a person before all others.

    Putting them in order takes n log n for n names, once in a few seconds, however many are taken.
    """

    def __init__(self, staleness: Callable[[str, datetime], float]) -> None:
        self._staleness = staleness
        self._asked: dict[str, bool] = {}
        self._heap: list[tuple[bool, float, str]] = []
        self._ordered: datetime | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._asked

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, name: str, now: datetime, *, asked: bool = False) -> None:
        """Let a name wait; again changes nothing, but for one that is now asked for."""
        if name not in self._asked or (asked and not self._asked[name]):
            self._asked[name] = asked
            heapq.heappush(self._heap, self._entry(name, now))

    def discard(self, name: str) -> None:
        """Let a name wait no longer."""
        self._asked.pop(name, None)

    def clear(self) -> list[str]:
        """Let nobody wait any longer; who did."""
        names, self._asked, self._heap = list(self._asked), {}, []
        return names

    def take(self, now: datetime) -> str | None:
        """The first one, which waits no longer; None where nobody does."""
        if self._ordered is None or not timedelta() <= now - self._ordered < ORDERED:
            self._heap = sorted(self._entry(name, now) for name in self._asked)
            self._ordered = now
        while self._heap:
            entry = heapq.heappop(self._heap)
            if self._asked.get(entry[2]) is (not entry[0]):
                del self._asked[entry[2]]
                return entry[2]
        return None

    def _entry(self, name: str, now: datetime) -> tuple[bool, float, str]:
        return not self._asked[name], -self._staleness(name, now), name

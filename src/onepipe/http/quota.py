"""When the next request may leave: within the documented quota, and not before a server said so."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from onepipe.errors import RateLimited

MAX_WAIT = 60.0
"""Seconds. A longer wait is not slept through: the run ends and is scheduled again."""


class Pace:
    """The queue that all threads of a door stand in. `quota` is (requests, seconds): never more in any such span."""

    def __init__(
        self,
        quota: tuple[int, float] | None,
        clock: Callable[[], float],
        tick: Callable[[], float],
        sleep: Callable[[float], object],
        max_wait: float = MAX_WAIT,
    ) -> None:
        self._span = quota[1] if quota else 0.0
        self._sent: deque[float] | None = deque(maxlen=quota[0]) if quota else None
        self._clock, self._tick, self._sleep = clock, tick, sleep
        self._max_wait = max_wait
        self._not_before = 0.0
        self._lock = threading.Lock()

    def hold(self, seconds: float) -> None:
        """Let nothing leave for so long, whichever thread asks."""
        with self._lock:
            self._not_before = max(self._not_before, self._tick() + seconds)

    def turn(self) -> float:
        """Wait until a request may leave, count it, return the seconds waited. Raises RateLimited for a long wait."""
        waited = 0.0
        while (wait := self._reserve()) > 0:
            if waited + wait > self._max_wait:
                raise self.too_long(wait)
            self._sleep(wait)
            waited += wait
        return waited

    def too_long(self, seconds: float, said: str = "The quota is used up") -> RateLimited:
        """Return the error for a wait that is not slept through."""
        until = datetime.fromtimestamp(self._clock(), UTC) + timedelta(seconds=seconds)
        return RateLimited(f"{said}; requests may go on at {until:%Y-%m-%d %H:%M:%S} UTC.", until=until)

    def _reserve(self) -> float:
        with self._lock:
            now = self._tick()
            wait = self._not_before - now
            if wait <= 0 and self._sent is not None:
                full = len(self._sent) == self._sent.maxlen
                wait = self._sent[0] + self._span - now if full else 0.0
                if wait <= 0:
                    self._sent.append(now)
            return max(wait, 0.0)

"""When the next request may leave: as a ledger grants it, one account's or one that only this door knows.

Asking the ledger for each request would be slow, so it grants a few at a time, for a moment: see `quotas.Grant`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from onepipe.errors import DiskTrouble, RateLimited, Stopped
from onepipe.http.answer import LONGEST, Answer, until_reset
from onepipe.quotas import DAY, SPENT, Grant, Quota, Told

MAX_WAIT = 60.0
"""Seconds. A longer wait is not slept through: the run ends and is scheduled again."""


class Ledger(Protocol):
    """Who knows how many requests may leave. `share` is how much of each quota is ours; `hint` is for people.

    `changed` is a number that differs from before when grants made earlier must not be used any more.
    """

    @property
    def share(self) -> float: ...

    @property
    def hint(self) -> str | None: ...

    @property
    def changed(self) -> int: ...

    @property
    def clock(self) -> Callable[[], float]:
        """The time, in seconds, of `until`, `begins` and `left_at`."""

    def take(self, back: Grant | None, told: Sequence[Told]) -> Grant:
        """Grant some requests. What is left of the grant before is given back; `told` is news from the server."""

    def give_back(self, back: Grant | None, told: Sequence[Told]) -> None:
        """Take back what is left of a grant, at the end."""

    def refused(self, left_at: float, wait: float, why: str, *, slower: bool) -> float:
        """Let nothing leave for `wait` seconds; return how many it became. `slower`: the CRM said we are too fast."""


class Pace:
    """The queue that all threads of a door stand in. `sleep` waits, and answers true where the run is to end."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        max_wait: float = MAX_WAIT,
    ) -> None:
        self._ledger, self._clock, self._sleep, self._max_wait = ledger, clock, sleep, max_wait
        self._grant: Grant | None = None
        self._granted_at = 0.0
        self._changed = ledger.changed
        self._told: Sequence[Told] = ()
        self._lock = threading.Lock()
        self.waited = 0.0  # seconds, in all threads together

    def close(self) -> None:
        """Give back what was granted and not used."""
        with self._lock:
            if self._grant or self._told:
                with suppress(
                    DiskTrouble
                ):  # what cannot be given back is counted too much: no reason to fail good work
                    self._ledger.give_back(self._grant, self._told)
            self._grant, self._told = None, ()

    def turn(self) -> float:
        """Wait until a request may leave, count it, return when that was. Raises RateLimited for a long wait."""
        waited, booked = 0.0, False
        while not booked:
            wait, why, booked = self._next()
            if wait > 0:
                if waited + wait > self._max_wait:
                    raise self.too_long(wait, why)
                if self._sleep(wait):
                    raise Stopped("The run was told to end while it waited for its turn. What was committed is safe")
                waited += wait
        if waited:
            with self._lock:
                self.waited += waited
        return self._ledger.clock()

    def hear(self, told: Sequence[Told]) -> None:
        """Pass on what an answer said of the quota; a grant is not used further once nothing of it is ours."""
        if not told:
            return
        with self._lock:
            self._told = told
            if any(one.remaining <= one.requests * (1 - self._ledger.share) for one in told):
                self._changed = -1

    def refused(self, left_at: float, wait: float, why: str, *, slower: bool) -> float:
        """Let nothing leave for `wait` seconds, or longer if the ledger says so; return how many."""
        return self._ledger.refused(left_at, wait, why, slower=slower)

    def too_long(self, seconds: float, said: str = SPENT) -> RateLimited:
        """Return the error for a wait that is not slept through."""
        until = datetime.fromtimestamp(self._clock(), UTC) + timedelta(seconds=seconds)
        said = f"{said.rstrip('.')}; requests may go on at {until:%Y-%m-%d %H:%M:%S} UTC."
        return RateLimited(said, self._ledger.hint, until=until)

    def _next(self) -> tuple[float, str, bool]:
        """Seconds to wait, why, and whether the request may leave after them without asking again."""
        with self._lock:
            now = self._ledger.clock()
            grant = self._grant
            used_up = grant and (not grant.left or max(now, grant.begins) > grant.until)
            used_up = used_up or now < self._granted_at  # our clock was set back: what it names is far off
            if grant is None or used_up or self._changed != self._ledger.changed:
                self._changed = self._ledger.changed
                grant = self._grant = self._ledger.take(grant, self._told)
                self._told = ()
                now = self._granted_at = self._ledger.clock()
            if not grant.left:
                return max(grant.wait, 0.001), grant.why, False
            at = max(now, grant.begins)
            grant.left, grant.begins = grant.left - 1, at + grant.spacing
            return at - now, grant.why, True


class Alone:
    """A ledger in memory, for a door that no others share: exact, and gone with it."""

    share = 1.0
    hint = None

    def __init__(self, quotas: Sequence[Quota], tick: Callable[[], float]) -> None:
        self.clock = tick
        self.changed = 0
        self._sent = [(quota.seconds, deque[float](maxlen=quota.requests)) for quota in quotas]
        self._held = (0.0, SPENT)
        self._lock = threading.Lock()

    def take(self, back: Grant | None, told: Sequence[Told]) -> Grant:  # noqa: ARG002
        """One request at a time."""
        with self._lock:
            now = self.clock()
            until, why = self._held
            if until > now:
                return Grant(0, wait=until - now, why=why)
            wait = max((sent[0] + span - now for span, sent in self._sent if len(sent) == sent.maxlen), default=0.0)
            if wait > 0:
                return Grant(0, wait=wait)
            for _, sent in self._sent:
                sent.append(now)
            return Grant(1, until=now)

    def give_back(self, back: Grant | None, told: Sequence[Told]) -> None:
        """Nothing is kept."""

    def refused(self, left_at: float, wait: float, why: str, *, slower: bool) -> float:  # noqa: ARG002
        """Hold."""
        with self._lock:
            if self.clock() + wait > self._held[0]:
                self._held = (self.clock() + wait, why)
            self.changed += 1
        return wait


def told(answer: Answer, now: float) -> tuple[Told, ...]:
    """What the headers of an answer say of quotas; `now` is our clock, for a server that does not tell its own.

    X-RateLimit-Limit, -Remaining and -Reset in epoch seconds (Capsule API v1); X-RateLimit-Max, -Remaining and
    -Interval-Milliseconds, X-RateLimit-Limit-Daily and -Daily-Remaining (LeadConnector).
    """
    found = []
    left = answer.number("x-ratelimit-remaining")
    limit = answer.number("x-ratelimit-limit") or answer.number("x-ratelimit-max")
    if left is not None and limit:
        reset, interval = answer.number("x-ratelimit-reset"), answer.number("x-ratelimit-interval-milliseconds")
        server_now = answer.date.timestamp() if answer.date else now
        resets = None if reset is None else until_reset(reset, server_now)
        found.append(Told(limit, left, resets, min(interval / 1000, LONGEST) if interval else None))
    daily, left = answer.number("x-ratelimit-limit-daily"), answer.number("x-ratelimit-daily-remaining")
    if daily and left is not None:
        found.append(Told(daily, left, seconds=DAY))
    return tuple(found)

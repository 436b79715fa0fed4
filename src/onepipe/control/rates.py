"""How fast an account may be asked after it refused us: half as fast as before, and then a little faster all the time.

A refusal cuts the rate once: those of requests that left before the cut, or within a second of it from processes that
did not know yet, belong to the same burst. Each 400 requests that are not refused allow one more a second (fewer where
the rate is below one a second), so that finding the limit again costs less than one request in a hundred.
"""

from dataclasses import astuple, dataclass, fields, replace
from sqlite3 import Connection

from onepipe.quotas import DAY

COOL_DOWN = 1.0  # seconds after a refusal in which another does not count as a new one
QUIET = 10.0  # seconds without a refusal, after a pause, after which pauses are short again
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds in which nothing leaves after a refusal; doubled for each further one
SLOWEST = 0.1  # requests a second: no refusal makes us slower
UNKNOWN = 10.0  # requests a second that are taken for the rate before a cut where too few were seen to tell
STEP = 400  # requests that were not refused, for one more a second


@dataclass(frozen=True, slots=True)
class Rate:
    """An account's rate: requests a second, None where it never refused us or not within a day."""

    rate: float | None = None
    base: float = 0.0
    clean: int = 0
    refused_at: float = 0.0
    refusals: int = 0
    next_at: float = 0.0

    def now(self, now: float) -> float | None:
        """The rate with what was gained since the cut, in requests a second; None for no bounds."""
        if self.rate is None or not 0 <= now - self.refused_at < DAY:
            return None
        return self.rate + self.clean * min(1.0, self.base) / STEP

    def refused(self, left_at: float, measured: float | None, now: float) -> "Rate":
        """The rate after a refusal of a request that left at `left_at`, when `measured` requests a second left."""
        if self.refused_at <= now and left_at <= self.refused_at + COOL_DOWN:
            return self
        again = now - self.refused_at < self.pause + QUIET
        base = UNKNOWN if measured is None else measured
        base = min(base, self.now(now) or base)
        cut = max(base / 2, SLOWEST)
        return Rate(cut, base, 0, now, self.refusals + 1 if again else 1, now)

    def waits(self, now: float) -> float:
        """Seconds until the next request fits; 0 where that is further off than any is booked: a clock was set back."""
        wait = self.next_at - now
        return wait if 0.0005 < wait <= 1 / SLOWEST else 0.0

    @property
    def pause(self) -> float:
        """Seconds in which nothing leaves after the refusal: longer for each that comes right after the one before."""
        return min(FIRST_PAUSE * 2.0 ** max(self.refusals - 1, 0), LONGEST_PAUSE)

    def booked(self, requests: int, begins: float, spacing: float) -> "Rate":
        """The rate when so many requests will leave from `begins` on."""
        return replace(self, clean=self.clean + requests, next_at=begins + requests * spacing)


_NAMES = ", ".join(field.name for field in fields(Rate))
_MARKS = ", ".join("?" for _ in fields(Rate))
_NEWS = ", ".join(f"{field.name} = excluded.{field.name}" for field in fields(Rate))


def read(db: Connection, key: str) -> Rate:
    """An account's rate, as it is kept."""
    row = db.execute(f"SELECT {_NAMES} FROM quota WHERE key = ?", (key,)).fetchone()
    return Rate(*row) if row else Rate()


def keep(db: Connection, key: str, rate: Rate) -> None:
    """Keep an account's rate."""
    insert = f"INSERT INTO quota (key, {_NAMES}) VALUES (?, {_MARKS}) ON CONFLICT DO UPDATE SET {_NEWS}"
    db.execute(insert, (key, *astuple(rate)))

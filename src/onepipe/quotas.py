"""What a CRM allows: how many requests in how long, counted for whom; and leave for some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

DAY = 86_400
SPENT = "The quota is used up"


@dataclass(frozen=True, slots=True)
class Quota:
    """`requests` within any `seconds`. `scope`: each account has its own, or all requests from our address share it."""

    requests: int
    seconds: int
    scope: Literal["account", "address"] = "account"

    def __str__(self) -> str:
        shared = " from one address" if self.scope == "address" else ""
        return f"{self.requests:,} requests in {span(self.seconds)}{shared}"

    def ours(self, share: float) -> int:
        """How many of the requests we may use, if `share` (0 to 1) of them are ours: one at the least."""
        return max(1, int(self.requests * share + 1e-9))


@dataclass(slots=True)
class Grant:
    """Leave for `left` requests until the instant `until`, each `spacing` seconds after the one before.

    `begins` is when the next of them may leave. If nothing may leave now, `left` is 0 and `wait` says how many seconds
    that lasts, `why` in words. `counted` is the ledger's own: how many it granted, and where it counted them.
    """

    left: int
    until: float = 0.0
    begins: float = 0.0
    spacing: float = 0.0
    wait: float = 0.0
    why: str = SPENT
    counted: tuple[int, Sequence[tuple[str, int, int]]] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer's headers say of a quota: `remaining` of `requests` are left, all users together.

    `resets` is in how many seconds the server begins to count anew, `seconds` how long its interval is; None where the
    headers do not say.
    """

    requests: int
    remaining: int
    resets: float | None = None
    seconds: float | None = None


def span(seconds: float) -> str:
    """A length of time in the largest unit that fits it whole: `10 s`, `5 min`, `1 h`, `1 day`."""
    for unit, size in (("day", DAY), ("h", 3600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return f"{number} {unit}" + ("s" if unit == "day" and number > 1 else "")
    return f"{seconds:g} s"


def lasting(quotas: Sequence[Quota], share: float = 1.0) -> float | None:
    """How many requests a second may leave in the long run; None where no quota is known."""
    return min((quota.ours(share) / quota.seconds for quota in quotas), default=None)


def duration(requests: int, quotas: Sequence[Quota], share: float = 1.0) -> float | None:
    """How many seconds so many requests take at the least, begun with nothing used; None where no quota is known."""
    return max((max(0, requests - one.ours(share)) / one.ours(share) * one.seconds for one in quotas), default=None)

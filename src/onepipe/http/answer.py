"""What came back: status, headers, content and both clocks."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Headers(dict[str, str]):
    """Response headers by name in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """Return a header's value, `default` where it was not sent."""
        return super().get(name.lower(), default)


LONGEST = 366 * 86400.0
"""Seconds. No word of a server holds us for longer: what says more has mistaken a unit or a year."""
_MILLISECONDS = 100_000_000_000  # as seconds this is the year 5138, as milliseconds 1973
_DIGITS = 18  # of more, no database makes a number


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the CRM. `path` is how it was asked for, without query; `at` is when it arrived, by our clock."""

    status: int
    headers: Headers = field(repr=False)
    content: bytes = field(repr=False)
    path: str
    at: datetime

    @property
    def date(self) -> datetime | None:
        """The server's clock when it answered, in UTC; None without a usable Date header."""
        return http_date(self.headers.get("date"))

    def number(self, header: str) -> int | None:
        """Return a header that holds a whole number below 10**18; None where it is missing or holds something else."""
        text = (self.headers.get(header) or "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def http_date(text: str | None) -> datetime | None:
    """Read an HTTP date as an instant in UTC; None where there is none."""
    try:
        instant = parsedate_to_datetime(text or "")
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):  # the last: in UTC it is past the year 9999
        return None


def until_reset(reset: int, now: float) -> float:
    """Seconds from `now` to a server's reset, a year at most; told in epoch seconds or milliseconds, or in seconds."""
    at = reset / 1000 if reset > _MILLISECONDS else float(reset)
    return min(max(0.0, at - now if at > 1_000_000_000 else at), LONGEST)

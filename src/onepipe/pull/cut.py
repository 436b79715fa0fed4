"""Cutting a history into slices by what the CRM counts: calendar years, and where one holds much, months and days."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from onepipe.connector import Connector, Facts, Window

MOST = 10_000
"""Rows. A slice that is expected to hold more is cut in two, down to a day."""
DAWN = datetime(1970, 1, 2, tzinfo=UTC)
"""Everything that has a date at all is from later; an instant all the same, so that the filter is asked for."""

Bound = datetime | None
Count = Callable[[Bound, Bound], int | None]


@dataclass(frozen=True, slots=True)
class Part:
    """A slice to be: what last changed from `lo` to `until`, None for no bound, and how many rows that is."""

    lo: Bound
    until: Bound
    rows: int | None


def counting(connector: Connector, go_on: Callable[[], None] = lambda: None) -> Count:
    """How a connector counts what changed between two instants. `go_on` is called before each request."""

    def count(lo: Bound, until: Bound) -> int | None:
        go_on()
        return connector.count(Window(since=lo, until=until, history=True))

    return count


def widened(facts: Facts, lo: Bound, until: Bound) -> tuple[Bound, Bound]:
    """The bounds to ask with, so that no row falls between neighbours, nor out at the ends.

    Whether the filter is strict then does not matter, nor what the CRM's zone does to an hour (the floor).
    """
    margin = facts.floor + facts.resolution
    return (lo - margin if lo else None), (until + margin if until else None)


def cut(count: Count, since: Bound, until: Bound, now: datetime) -> list[Part]:
    """The slices of a history, oldest first, without a gap; one of unknown size where the CRM does not count.

    What has no date belongs to none of them. Costs a request, one for each year, and one for each further cut.
    """
    dated = count(since or DAWN, until)
    if dated is None:
        return [Part(since, until, None)]
    years = _years(count, since, until, now, dated)
    return [part for year, lo, hi in years for part in _split(count, year, lo, hi)]


def _years(
    count: Count, since: Bound, until: Bound, now: datetime, dated: int
) -> list[tuple[Part, datetime, datetime]]:
    """Each calendar year with rows in it, oldest first, and where its months begin and end.

    A year without rows is part of the slice after or before it.
    """
    years: list[tuple[Part, datetime, datetime]] = []
    upper, end, held = until, until or now + timedelta(days=1), 0
    newest = (end - timedelta(microseconds=1)).year
    for year in range(newest, DAWN.year - 1, -1):
        start = max(datetime(year, 1, 1, tzinfo=UTC), since or DAWN)
        through = dated if start == (since or DAWN) else count(start, until) or 0
        if through > held:
            years.append((Part(start, upper, through - held), start, end))
            upper, held = start, through
        end = start
        if held >= dated:
            break
    if not years:
        return [(Part(since, until, dated), end, end)]
    oldest, lo, hi = years[-1]
    years[-1] = replace(oldest, lo=since), lo, hi
    return years[::-1]


def _split(count: Count, part: Part, lo: datetime, hi: datetime) -> list[Part]:
    """A slice as it is, or halved where a month or a day begins, as often as needed; its rows are from `lo` to `hi`."""
    starts = _starts(lo, hi)
    if part.rows is None or part.rows <= MOST or not starts:
        return [part]
    middle = starts[len(starts) // 2]
    newer = count(middle, part.until) or 0
    older = part.rows - newer
    if older <= 0:
        return _split(count, part, middle, hi)
    if newer <= 0:
        return _split(count, part, lo, middle)
    first, second = Part(part.lo, middle, older), Part(middle, part.until, newer)
    return _split(count, first, lo, middle) + _split(count, second, middle, hi)


def _starts(lo: datetime, hi: datetime) -> list[datetime]:
    """Where a month begins between two instants; where none does, where a day does."""
    day = (lo + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [day + timedelta(days=n) for n in range((hi - day).days + 1)]
    days = [one for one in days if lo < one < hi]
    return [one for one in days if one.day == 1] or days

"""rates.csv: how many units of the reporting currency one unit of another currency is worth, from a day on.

config.yaml names the file (`reporting: {currency: GBP, rates: rates.csv}`). A rate holds until the next line of its
currency, at most 31 days; the reporting currency is worth 1, and needs no line.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import onepipe.beside.sheet as sheet
from onepipe.beside.sheet import Line
from onepipe.errors import Fault
from onepipe.warehouse.rates import HOLDS

FILE = "rates.csv"  # as everybody calls it; config.yaml may name another one
COLUMNS = ("date", "currency", "rate")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_DIGITS, _DECIMALS = 9, 9  # before and after the point
_NAMED = 5  # gaps of one currency that are named one by one


@dataclass(frozen=True, slots=True)
class RateLine:
    """From `day` on one unit of `currency` is worth `rate`; `number` is the line's, in the file."""

    number: int
    day: date
    currency: str
    rate: Decimal

    @property
    def row(self) -> tuple[date, str, Decimal]:
        """day, currency, rate."""
        return self.day, self.currency, self.rate


def read(path: Path, reporting: str) -> tuple[tuple[RateLine, ...], list[Fault]]:
    """The lines of the file, and what is wrong with it; `reporting` is the reporting currency."""
    found = sheet.read(path, COLUMNS, COLUMNS)
    faults, lines = list(found.faults), list[RateLine]()
    first: dict[tuple[date, str], int] = {}
    for line in found.lines:
        day, rate = _day(line["date"]), sheet.number(line["rate"])
        wrong = [line.fault(*one) for one in _wrong(line, day, rate, reporting)]
        faults += wrong
        if wrong or day is None or rate is None:
            continue
        one = RateLine(line.number, day, line["currency"].upper(), rate)
        taken = first.setdefault((one.day, one.currency), one.number)
        if taken == one.number:
            lines.append(one)
        else:
            faults.append(
                line.fault("date", f"line {taken} has a rate of {one.currency} for that day; keep one of them")
            )
    return tuple(lines), faults


def mark(lines: Sequence[RateLine]) -> str:
    """Another text where the lines say something else; empty for none."""
    return hashlib.sha256(repr([one.row for one in lines]).encode()).hexdigest() if lines else ""


def gaps(lines: Sequence[RateLine], today: date) -> Iterator[str]:
    """For each currency with days without a rate between its first line and today: those days and their lines."""
    by_currency: dict[str, list[RateLine]] = defaultdict(list)
    for one in sorted(lines, key=lambda one: one.row):
        by_currency[one.currency].append(one)
    for currency, own in by_currency.items():
        places = [
            _gap(one, after) for one, after in zip(own, [*own[1:], None], strict=True) if _ends(one, after, today)
        ]
        if places:
            more = f", and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
            yield f"{currency} has no rate {', '.join(places[:_NAMED])}{more}; amounts of those days are not converted"


def _ends(one: RateLine, after: RateLine | None, today: date) -> bool:
    return (after.day if after else today + timedelta(1)) - one.day > timedelta(HOLDS)


def _gap(one: RateLine, after: RateLine | None) -> str:
    until = one.day + timedelta(HOLDS)
    if after is None:
        return f"since {until} (line {one.number} is the last one)"
    return f"from {until} to {after.day - timedelta(1)} (lines {one.number} and {after.number})"


def _wrong(line: Line, day: date | None, rate: Decimal | None, reporting: str) -> Iterator[tuple[str, str]]:
    """What is wrong in which column."""
    if day is None:
        yield "date", f"{line['date']!r} is no day, such as 2026-01-31"
    if not _CURRENCY.fullmatch(line["currency"]):
        yield "currency", f"{line['currency']!r} is no currency of three letters, such as EUR"
    if rate is None:
        yield "rate", f"{line['rate']!r} is no number, such as 0.8512"
    elif rate <= 0:
        yield "rate", f"{line['rate']!r} is not more than zero"
    elif rate >= 10**_DIGITS or round(rate, _DECIMALS) != rate:
        yield (
            "rate",
            f"{line['rate']!r} has more than {_DIGITS} digits before or {_DECIMALS} behind the point; round it",
        )
    elif line["currency"].upper() == reporting and rate != 1:
        yield "rate", f"{reporting} is the reporting currency: it is worth 1 on every day"


@cache
def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None

"""What all reports share: the file they are of, the connections chosen, the first line, and what is in no figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import onepipe.reports.beside as beside
import onepipe.reports.freshness as freshness
import onepipe.warehouse.figures as figures
from onepipe.reports.numbers import counted, listed, minute, money
from onepipe.reports.words import Column, Report, Section, code
from onepipe.warehouse.database import Database

Row = dict[str, Any]
BARS = 40  # lines of a picture, at the most; tables have them all


@dataclass(frozen=True)
class Frame:
    """A published file, and how the chosen connections stand; `lines` is their pipeline, as of `day` if any."""

    db: Database
    standings: Sequence[Row]
    head: Row
    lines: Sequence[Row]
    day: date | None = None

    @property
    def names(self) -> list[str]:
        """The chosen connections."""
        return [one["connection"] for one in self.standings]

    @property
    def retired(self) -> list[str]:
        """Those of them that config.yaml does not have any more."""
        return [one["connection"] for one in self.standings if one["state"] == "retired"]

    @property
    def today(self) -> date:
        """The day of the file in the reporting zone."""
        found: date = self.head["today"]
        return found


def framed(db: Database, standings: Sequence[Row], day: date | None = None) -> Frame:
    """Open a report. `standings`: the chosen connections as `onepipe status` judges them. Raises ConfigError."""
    head = figures.head(db)
    return Frame(db, standings, head, figures.pipeline(db, [one["connection"] for one in standings], day), day)


def finished(frame: Frame, name: str, title: str, sections: Sequence[Section], **facts: Any) -> Report:
    """A report of these sections, with its first line and with what is in no figure."""
    stale = freshness.stale(frame.standings)
    names = frame.names
    of = f"{counted(len(names), 'connection')}: {listed(names)}." if names else "There is no connection yet."
    made = f"Made of the warehouse of {minute(frame.head['published_at'])} UTC" if frame.head["published_at"] else ""
    return Report(
        name,
        title,
        freshness.line(frame.standings),
        bool(names) and not stale,
        [of, f"{made}; days and months are those of {frame.head['zone']}.", *lacks(frame.head)],
        [*sections, beside.left_out(frame.lines, frame.retired)],
        {
            "published_at": frame.head["published_at"],
            "timezone": frame.head["zone"],
            "day": frame.day or frame.today,
            "connections": names,
            "stale": stale,
            "left_out": beside.facts(frame.lines, frame.retired),
            **facts,
        },
    )


def currencies(*many: Sequence[Row]) -> list[str]:
    """The currencies of lines in order of their names; last, by connection, those of deals that have none."""
    found = {line["currency"] for lines in many for line in lines}
    return sorted(found, key=lambda one: (code(one) is None, one))


def unit(currency: str) -> str:
    """What an axis of amounts measures."""
    return f"amount in {currency}" if code(currency) else "amount, the currency is not known"


def lacks(head: Row) -> list[str]:
    """What the file does not hold, in a sentence: a figure that is missing need not be missing in the CRM."""
    told = head["left_out"]
    return [f"The published file was made without {told}, see `publish:` in config.yaml."] if told else []


def total(lines: Sequence[Row], key: str) -> Any:
    """The sum of what is there; None where nothing is, as in the views."""
    found = [line[key] for line in lines if line[key] is not None]
    return sum(found) if found else None


def converted(lines: Sequence[Row]) -> tuple[str | None, list[Row]]:
    """The reporting currency, None where there is none, and the lines that have a rate, with their amounts in it."""
    into = next((line["reporting_currency"] for line in lines if line["reporting_currency"]), None)
    with_rate = [line for line in lines if into and not line["deals_without_rate"]]
    worths = ("amount", "weighted_amount")
    return into, [line | {key: line[f"reporting_{key}"] for key in worths} | {"currency": into} for line in with_rate]


def in_one_currency(lines: Sequence[Row]) -> list[str]:
    """The whole in the reporting currency, in a sentence; none where there is no such currency."""
    into, mine = converted(lines)
    if into is None:
        return []
    amount, weighted = (total(mine, key) for key in ("amount", "weighted_amount"))
    told = "no amount has a rate" if amount is None else f"{money(amount)} {into}"
    beside_it = f", {money(weighted)} weighted" if weighted is not None else ""
    without = total(lines, "deals_without_rate") or 0
    return [f"In {into}, at the rates of the day: {told}{beside_it}; {without:,} with an amount but no rate."]


def worth(amount: Any, deals: int, without: int, told: str) -> str:
    """What stands beside a bar: `1,200.00, 3 deals, 1 without an amount`."""
    beside_it = f", {without:,} without an amount" if without and without != deals else ""
    return f"{told if amount is not None else 'no amount'}, {counted(deals, 'deal')}{beside_it}"


COUNTS = (
    Column("deals_without_amount", "no amount", "count"),
    Column("deals_without_probability", "no probability", "count"),
    Column("deals_without_close_date", "no close date", "count"),
)
MONEY = (Column("deals", "deals", "count"), Column("amount", "amount", "money"))
WEIGHTED = Column("weighted_amount", "weighted", "money")

"""The forecast: what is expected to close month by month, what is overdue, and what was won of what was closed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import onepipe.warehouse.figures as figures
from onepipe.reports.frame import (
    COUNTS,
    MONEY,
    WEIGHTED,
    Frame,
    converted,
    currencies,
    finished,
    in_one_currency,
    total,
    unit,
    worth,
)
from onepipe.reports.numbers import money
from onepipe.reports.words import Bar, Column, Picture, Report, Section, Table, Tone, code

Row = dict[str, Any]
MONTHS = 24  # newest months of win_rate that are shown
_SUMS = ("deals", "amount", "weighted_amount", *(column.key for column in COUNTS[:2]))
_LEGEND: tuple[tuple[Tone, str], ...] = (
    ("pale", "amount"),
    ("plain", "amount weighted by probability"),
    ("late", "the same of overdue deals"),
)


def report(frame: Frame) -> Report:
    """The report."""
    lines = figures.forecast(frame.db, frame.names)
    closed = figures.win_rate(frame.db, frame.names)
    blocks = [_block(one, [line for line in lines if line["currency"] == one]) for one in currencies(lines)]
    sections = [_overdue(lines), *blocks, *_converted(lines), *_won(closed)]
    return finished(frame, "forecast", f"Forecast on {frame.today}", sections)


def _overdue(lines: Sequence[Row]) -> Section:
    """What should have closed by now; and what all of it is worth in the reporting currency."""
    late = [line for line in lines if line["overdue"]]
    deals = total(late, "deals") or 0
    if not lines:
        return Section("In all", ["No deal is in the pipeline."])
    if not deals:
        return Section("In all", ["No open deal is overdue.", *in_one_currency(lines)])
    sums = [(one, total([line for line in late if line["currency"] == one], "amount")) for one in currencies(late)]
    told = ", ".join(f"{money(amount)} {one}" for one, amount in sums if amount is not None)
    are = "deal is" if deals == 1 else "deals are"
    text = (
        f"{deals:,} {are} overdue: still open, though the day expected for closing is over{f' ({told})' * bool(told)}."
    )
    return Section("In all", [text, *in_one_currency(lines)])


def _converted(lines: Sequence[Row]) -> list[Section]:
    """The reporting currency as a block of its own, where amounts of other currencies are told in it."""
    into, mine = converted(lines)
    if into is None or not mine or {line["currency"] for line in lines} == {into}:
        return []
    block = _block(into, mine)
    texts = ["Amounts of all currencies, at the rates of the day; lines without a rate are left out."]
    tables = [replace(table, name="by_month_converted") for table in block.tables]
    return [replace(block, title=f"All that has a rate, in {into}", texts=texts, tables=tables)]


def _block(currency: str, lines: Sequence[Row]) -> Section:
    places: dict[tuple[date | None, bool], list[Row]] = {}
    for line in lines:
        places.setdefault((line["month"], bool(line["overdue"])), []).append(line)
    rows = [
        {"month": month, "overdue": late} | {key: total(mine, key) for key in _SUMS}
        for (month, late), mine in places.items()
    ]
    columns = (
        Column("month", "month", "month", none="no date"),
        Column("overdue", "overdue", "flag"),
        *MONEY,
        WEIGHTED,
        *COUNTS[:2],
    )
    table = Table(
        "by_month",
        f"By month of the expected close date ({currency})",
        columns,
        [tuple(row[column.key] for column in columns) for row in rows],
        currency,
    )
    bars = [_bar(row) for row in rows]
    picture = Picture("Expected to close, by month", unit(currency), "money", bars, _LEGEND)
    return Section(f"Forecast {'in' if code(currency) else 'with'} {currency}", (), [picture], [table])


def _bar(row: Row) -> Bar:
    month, amount, weighted = row["month"], row["amount"], row["weighted_amount"]
    label = "no expected date" if month is None else f"{month:%Y-%m}{', overdue' if row['overdue'] else ''}"
    told = money(amount) if amount is not None else ""
    if weighted is not None:
        told += f" ({money(weighted)} weighted)"
    text = worth(amount, row["deals"], row["deals_without_amount"], told)
    tone: Tone = "late" if row["overdue"] else "plain"
    return Bar(label, text, weighted or Decimal(0), behind=amount or Decimal(0), tone=tone)


def _won(lines: Sequence[Row]) -> list[Section]:
    """Of what was closed month by month: how much was won. Counts are of all currencies, amounts of one each."""
    if not lines:
        return [Section("Win rate", ["No deal was closed yet."])]
    months = list(dict.fromkeys(line["month"] for line in lines))[-MONTHS:]
    shown = [line for line in lines if line["month"] in months]
    rows = [_rate(month, [line for line in shown if line["month"] == month]) for month in months]
    columns = (
        Column("month", "month", "month"),
        *(Column(key, key, "count") for key in ("won", "lost", "abandoned")),
        Column("win_rate", "win rate", "share"),
        Column("closed_before_first_seen", "closed when first seen", "count"),
    )
    table = Table("win_rate", "Deals closed, by month", columns, [tuple(row[c.key] for c in columns) for row in rows])
    bars = [Bar(_month(row), _told(row), row["win_rate"] or Decimal(0), tone="good") for row in rows]
    picture = Picture("Win rate, by month of closing", "share of won and lost deals that were won", "share", bars)
    texts = ["Won / (won + lost), by number of deals; abandoned ones are not part of it, retired connections are."]
    if len(months) == MONTHS:
        texts.append(f"The newest {MONTHS} months; the view win_rate has all.")
    tables = [table, *(_amounts(one, shown) for one in currencies(shown)), *_amounts_converted(shown)]
    return [Section("Win rate", texts, [picture], tables)]


def _rate(month: date | None, lines: Sequence[Row]) -> Row:
    counts = {key: total(lines, key) or 0 for key in ("won", "lost", "abandoned", "closed_before_first_seen")}
    decided = counts["won"] + counts["lost"]
    rate = (Decimal(counts["won"]) / decided).quantize(Decimal("0.0001")) if decided else None
    return {"month": month, "win_rate": rate} | counts


def _month(row: Row) -> str:
    return "day not known" if row["month"] is None else f"{row['month']:%Y-%m}"


def _told(row: Row) -> str:
    if row["win_rate"] is None:
        return f"none won or lost, {row['abandoned']:,} abandoned"
    return f"{row['win_rate'] * 100:.1f} %, {row['won']:,} won of {row['won'] + row['lost']:,}"


def _amounts_converted(lines: Sequence[Row]) -> list[Table]:
    """Amounts closed in the reporting currency, each deal by the rate of its closing day."""
    into = next((line["reporting_currency"] for line in lines if line["reporting_currency"]), None)
    if into is None:
        return []
    columns = (
        Column("month", "month", "month"),
        Column("reporting_won_amount", "won", "money"),
        Column("reporting_lost_amount", "lost", "money"),
        Column("deals_without_rate", "no rate", "count"),
    )
    rows = [
        (month, *(total([line for line in lines if line["month"] == month], column.key) for column in columns[1:]))
        for month in dict.fromkeys(line["month"] for line in lines)
    ]
    return [Table("closed_amounts_converted", f"All amounts closed, in {into}", columns, rows, into)]


def _amounts(currency: str, lines: Sequence[Row]) -> Table:
    columns = (
        Column("month", "month", "month"),
        Column("won_amount", "won", "money"),
        Column("lost_amount", "lost", "money"),
        Column("won_without_amount", "won, no amount", "count"),
        Column("lost_without_amount", "lost, no amount", "count"),
    )
    mine = [line for line in lines if line["currency"] == currency]
    rows = [
        (month, *(total([line for line in mine if line["month"] == month], column.key) for column in columns[1:]))
        for month in dict.fromkeys(line["month"] for line in mine)
    ]
    return Table("closed_amounts", f"Amounts closed ({currency})", columns, rows, currency)

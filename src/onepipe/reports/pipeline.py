"""The pipeline: by stage, by connection, and what made it of last month's, one block a currency."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import onepipe.warehouse.figures as figures
from onepipe.reports.frame import (
    BARS,
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
from onepipe.reports.numbers import money, month_before, signed
from onepipe.reports.words import Bar, Column, Picture, Report, Section, Table, Tone, code

Row = dict[str, Any]
_SUMS = ("deals", "amount", "weighted_amount", *(column.key for column in COUNTS))
_LEGEND: tuple[tuple[Tone, str], ...] = (("pale", "amount"), ("plain", "amount weighted by probability"))
_TONES: dict[str, Tone] = {"begin": "plain", "end": "plain"}
STEPS = {
    "begin": "at the beginning",
    "new": "new deals",
    "first_seen": "older deals, first seen in between",
    "reopened": "opened again",
    "returned": "returned (deleted, archived or unknown before)",
    "increased": "amounts that grew",
    "decreased": "amounts that shrank",
    "recurrencied": "moved to another currency",
    "won": "won",
    "lost": "lost",
    "abandoned": "abandoned",
    "deleted": "deleted",
    "archived": "archived",
    "unknown_status": "of unknown status now",
    "fx": "rates that changed",
    "end": "at the end",
    "closed_before_first_seen": "closed when first seen (in no step)",
    "retired": "of retired connections (in no step)",
}


def report(frame: Frame) -> Report:
    """The report. A frame with a day shows the pipeline as it stood at the end of that day."""
    lines = [line for line in frame.lines if line["deals"] and line["observed"]]
    ended = (frame.day or frame.today).toordinal()
    last = frame.day if frame.day and date.fromordinal(ended + 1).day == 1 else month_before(date.fromordinal(ended))
    flow = figures.waterfall(frame.db, frame.names, month_before(last), last)
    title = f"Pipeline at the end of {frame.day}" if frame.day else f"Pipeline on {frame.today}"
    blocks = [_block(one, lines, flow, (month_before(last), last)) for one in currencies(lines, flow)]
    sections = [_totals(lines), *blocks, *_converted(lines, flow, (month_before(last), last))]
    return finished(frame, "pipeline", title, sections, as_of=frame.day)


def _totals(lines: Sequence[Row]) -> Section:
    """What it comes to in each currency; and in the reporting currency, as far as there are rates."""
    if not lines:
        return Section("In all", ["No deal is in the pipeline."])
    columns = (Column("currency", "currency"), *MONEY, WEIGHTED, *COUNTS)
    groups = {one: [line for line in lines if line["currency"] == one] for one in currencies(lines)}
    rows = [(one, *(total(mine, key) for key in _SUMS)) for one, mine in groups.items()]
    texts = ["Amounts of different currencies are never added up."] if len(rows) > 1 else []
    return Section("In all", [*texts, *in_one_currency(lines)], (), [Table("totals", "By currency", columns, rows)])


def _converted(lines: Sequence[Row], flow: Sequence[Row], span: tuple[date, date]) -> list[Section]:
    """The reporting currency as a block of its own, where amounts of other currencies are told in it."""
    into, mine = converted(lines)
    if into is None or not mine or {line["currency"] for line in lines} == {into}:
        return []
    texts = ["Amounts of all currencies, at the rates of the day; lines without a rate are left out."]
    pictures, tables = [_connections(mine, into)], [replace(_by_connection(mine, into), name="converted")]
    steps = flow_converted(flow)
    if steps:
        pictures.append(_flow_picture(steps, into, span))
        tables.append(replace(_flow_table(steps, into, span), name="waterfall_converted"))
    return [Section(f"All that has a rate, in {into}", texts, pictures, tables)]


def flow_converted(flow: Sequence[Row]) -> list[Row]:
    """The steps of all currencies together, in the reporting currency: those of lines that have both rates."""
    found: dict[str, Row] = {}
    for line in sorted(flow, key=lambda line: line["position"]):
        if line["reporting_amount"] is not None:
            nothing = {"step": line["step"], "deals": 0, "amount": Decimal(0), "deals_without_amount": 0}
            one = found.setdefault(line["step"], nothing)
            for key, value in (("amount", "reporting_amount"), ("deals", "deals"), ("deals_without_amount",) * 2):
                one[key] += line[value]
    return list(found.values())


def _block(currency: str, lines: Sequence[Row], flow: Sequence[Row], span: tuple[date, date]) -> Section:
    mine = [line for line in lines if line["currency"] == currency]
    steps = [line for line in flow if line["currency"] == currency and line["step"] != "fx"]
    pictures, tables = [], []
    if mine:
        pictures += [_funnel(mine, currency), _connections(mine, currency)]
        tables += [_by_stage(mine, currency), _by_connection(mine, currency)]
    if any(line["amount"] is not None for line in steps):
        pictures.append(_flow_picture(steps, currency, span))
    if steps:
        tables.append(_flow_table(steps, currency, span))
    return Section(f"Pipeline {'in' if code(currency) else 'with'} {currency}", (), pictures, tables)


def _funnel(lines: Sequence[Row], currency: str) -> Picture:
    kept = sorted(lines, key=lambda line: -abs(line["amount"] or 0))[:BARS]
    shown = [line for line in lines if line in kept]
    note = f"The {BARS} largest of {len(lines):,} stages; the table has them all." if len(lines) > BARS else ""
    bars = [_bar(line["stage"] or "no stage", line, _group(line)) for line in shown]
    return Picture("By stage", unit(currency), "money", bars, _LEGEND, note)


def _connections(lines: Sequence[Row], currency: str) -> Picture:
    rows = sorted(_summed(lines), key=lambda line: -(line["amount"] or 0))
    note = f"The {BARS} largest of {len(rows):,} connections; the table has them all." if len(rows) > BARS else ""
    bars = [_bar(line["connection"], line, "") for line in rows[:BARS]]
    return Picture("By connection", unit(currency), "money", bars, _LEGEND, note)


def _bar(label: str, line: Row, group: str) -> Bar:
    amount, weighted = line["amount"], line["weighted_amount"]
    told = money(amount) if amount is not None else ""
    if weighted is not None:
        told += f" ({money(weighted)} weighted)"
    text = worth(amount, line["deals"], line["deals_without_amount"], told)
    return Bar(label, text, weighted or Decimal(0), behind=amount or Decimal(0), group=group)


def _group(line: Row) -> str:
    return " / ".join(filter(None, (line["connection"], line["pipeline"])))


def _summed(lines: Sequence[Row]) -> list[Row]:
    names = dict.fromkeys(line["connection"] for line in lines)
    groups = {name: [line for line in lines if line["connection"] == name] for name in names}
    return [{"connection": name} | {key: total(mine, key) for key in _SUMS} for name, mine in groups.items()]


def _by_stage(lines: Sequence[Row], currency: str) -> Table:
    keys = (
        Column("connection", "connection"),
        Column("pipeline", "pipeline"),
        Column("stage", "stage", none="no stage"),
    )
    rows = [tuple(line[key] for key in ("connection", "pipeline", "stage", *_SUMS)) for line in lines]
    title = f"By stage ({currency})"
    return Table("by_stage", title, (*keys, *MONEY, WEIGHTED, *COUNTS), rows, currency, group=2)


def _by_connection(lines: Sequence[Row], currency: str) -> Table:
    rows = [tuple(line[key] for key in ("connection", *_SUMS)) for line in _summed(lines)]
    columns = (Column("connection", "connection"), *MONEY, WEIGHTED, *COUNTS)
    return Table("by_connection", f"By connection ({currency})", columns, rows, currency)


def flow_bars(steps: Sequence[Row]) -> list[Bar]:
    """Bars that hang from each other: where one ends, the next begins."""
    bars, at = [], Decimal(0)
    for line in steps:
        if line["amount"] is None:
            continue
        amount = line["amount"]
        start = Decimal(0) if line["step"] in ("begin", "end") else at
        at = start + amount
        tone: Tone = _TONES.get(line["step"]) or ("good" if amount >= 0 else "bad")
        told = money(amount) if line["step"] in ("begin", "end") else signed(amount)
        text = worth(amount, line["deals"], line["deals_without_amount"], told)
        bars.append(Bar(STEPS[line["step"]], text, at, start, tone=tone))
    return bars


def _flow_picture(steps: Sequence[Row], currency: str, span: tuple[date, date]) -> Picture:
    legend: tuple[tuple[Tone, str], ...] = (("plain", "pipeline"), ("good", "adds"), ("bad", "takes away"))
    title = f"From the end of {span[0]} to the end of {span[1]}"
    note = "A deal without an amount counts as 0 here."
    return Picture(title, unit(currency), "money", flow_bars(steps), legend, note)


def _flow_table(steps: Sequence[Row], currency: str, span: tuple[date, date]) -> Table:
    columns = (
        Column("step", "what happened", words=STEPS),
        Column("deals", "deals", "count"),
        Column("amount", "amount", "money"),
        Column("deals_without_amount", "no amount", "count"),
    )
    rows = [tuple(line[column.key] for column in columns) for line in steps]
    title = f"From {span[0]} to {span[1]} ({currency})"
    return Table("waterfall", title, columns, rows, currency)

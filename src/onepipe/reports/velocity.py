"""How fast deals move: how long they stay in a stage, how many come further, how old they are, how they slip."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import onepipe.warehouse.figures as figures
from onepipe.reports.frame import BARS, Frame, currencies, finished, total
from onepipe.reports.numbers import counted
from onepipe.reports.words import Bar, Column, Picture, Report, Section, Table, Tone

Row = dict[str, Any]
MOST = 20  # slipped deals that are listed
_STAGE = (Column("connection", "connection"), Column("pipeline", "pipeline"), Column("stage", "stage", none="no stage"))


def report(frame: Frame) -> Report:
    """The report."""
    sections = [_durations(frame), _conversions(frame), _ages(frame), _slipped(frame)]
    return finished(frame, "velocity", f"Velocity on {frame.today}", sections)


def _durations(frame: Frame) -> Section:
    lines = figures.durations(frame.db, frame.names)
    columns = (
        *_STAGE,
        Column("median_days", "median", "days"),
        Column("p75_days", "3 of 4 within", "days"),
        *(Column("finished", "finished stays", "count"), Column("running", "running", "count")),
        Column("entry_not_seen", "begin not seen", "count"),
        Column("ended_by_deletion", "ended by deletion", "count"),
    )
    legend: tuple[tuple[Tone, str], ...] = (("plain", "half of the stays"), ("pale", "three of four stays"))
    known = [line for line in lines if line["median_days"] is not None]
    picture = _picture("Days in a stage", "days of 24 hours", "days", known, _duration, legend)
    texts = ["Of stays that were seen to begin and to end; those that go on are in no duration."]
    if not known:
        texts.append("No stay was seen from its beginning to its end yet.")
    return Section("How long deals stay in a stage", texts, picture, _table("stage_duration", "Stays", columns, lines))


def _duration(line: Row) -> Bar:
    stays = counted(line["finished"], "stay")
    told = f"median {line['median_days']:,} days, 3 of 4 within {line['p75_days']:,}, {stays}"
    return Bar(_stage(line), told, line["median_days"], behind=line["p75_days"], group=_group(line))


def _conversions(frame: Frame) -> Section:
    lines = figures.conversions(frame.db, frame.names)
    counts = ("entered", "advanced", "won", "lost", "abandoned", "still_open", "undecided")
    columns = (
        *_STAGE,
        Column("conversion", "came further", "share"),
        *(Column(key, key.replace("_", " "), "count") for key in counts),
    )
    picture = _picture(
        "Deals that came further", "share of the deals that ever stood in the stage", "share", lines, _conversion, ()
    )
    texts = ["Later seen in a later stage of the same pipeline, or won. Undecided ones are open and may still come."]
    return Section("How many come further", texts, picture, _table("stage_conversion", "Stages", columns, lines))


def _conversion(line: Row) -> Bar:
    told = f"{line['conversion'] * 100:.1f} %, {line['advanced']:,} of {counted(line['entered'], 'deal')}"
    return Bar(_stage(line), told, line["conversion"], group=_group(line))


def _ages(frame: Frame) -> Section:
    lines = figures.ages(frame.db, frame.names)
    names = list(dict.fromkeys(line["age"] for line in lines if line["age"]))
    names += [None] * any(line["age"] is None for line in lines)
    sums = [(name, total([line for line in lines if line["age"] == name], "deals")) for name in names]
    bars = [Bar(_age(name), counted(deals, "deal"), Decimal(deals)) for name, deals in sums]
    picture = Picture("Open deals by age", "deals of all currencies", "count", bars)
    columns = (
        Column("age", "age in days", none="not known"),
        Column("deals", "deals", "count"),
        Column("amount", "amount", "money"),
        Column("deals_without_amount", "no amount", "count"),
    )
    tables = [
        Table(
            "aging",
            f"Open deals by age ({one})",
            columns,
            [tuple(line[column.key] for column in columns) for line in lines if line["currency"] == one],
            one,
        )
        for one in currencies(lines)
    ]
    if not lines:
        return Section("How old open deals are", ["No deal is open."])
    texts = ["From the day a deal was created, as the CRM tells it."]
    return Section("How old open deals are", texts, [picture], tables)


def _slipped(frame: Frame) -> Section:
    lines = figures.slipped(frame.db, frame.names, MOST)
    all_of_them = figures.slipping(frame.db, frame.names)
    dated, pushed = all_of_them["dated"], all_of_them["pushed"]
    texts = [f"{pushed:,} of {counted(dated, 'open deal')} that ever showed a date moved it to a later one."]
    if not lines:
        return Section("Which deals slipped", texts)
    columns = (
        *(Column("connection", "connection"), Column("source_id", "id"), Column("name", "deal")),
        *(Column("stage", "stage"), Column("owner", "owner"), Column("amount", "amount", "money")),
        *(Column("currency", "currency"), Column("first_expected", "first", "day")),
        *(Column("last_expected", "now", "day"), Column("pushes", "times", "count")),
        Column("days_pushed", "days", "days"),
    )
    if len(lines) == MOST:
        texts.append(f"The {MOST} that were moved the furthest, all their moves together; the view slippage has all.")
    bars = [
        Bar(
            f"{line['name'] or 'no name'} ({line['connection']} {line['source_id']})",
            f"{counted(line['days_pushed'], 'day')} in {counted(line['pushes'], 'move')}",
            Decimal(line["days_pushed"]),
            tone="late",
        )
        for line in lines
    ]
    picture = Picture("How far expected close dates were moved", "days to a later date", "days", bars)
    rows = [tuple(line[column.key] for column in columns) for line in lines]
    return Section("Which deals slipped", texts, [picture], [Table("slippage", "Most slipped deals", columns, rows)])


def _table(name: str, title: str, columns: tuple[Column, ...], lines: Sequence[Row]) -> list[Table]:
    rows = [tuple(line[column.key] for column in columns) for line in lines]
    return [Table(name, title, columns, rows, group=2)] if rows else []


def _picture(
    title: str,
    axis: str,
    kind: Any,
    lines: Sequence[Row],
    bar: Callable[[Row], Bar],
    legend: tuple[tuple[Tone, str], ...],
) -> list[Picture]:
    """A picture with a line for each stage; of very many, the first ones."""
    note = f"The first {BARS} of {len(lines):,} stages; the table has them all." if len(lines) > BARS else ""
    return [Picture(title, axis, kind, [bar(line) for line in lines[:BARS]], legend, note)] if lines else []


def _stage(line: Row) -> str:
    return str(line["stage"] or "no stage")


def _group(line: Row) -> str:
    return " / ".join(filter(None, (line["connection"], line["pipeline"])))


def _age(name: str | None) -> str:
    return f"{name} days" if name else "not known"

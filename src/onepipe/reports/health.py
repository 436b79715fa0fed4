"""Whether the figures can be relied on: how fresh and complete each connection is, and what waits for somebody."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import onepipe.warehouse.drift as drift
import onepipe.warehouse.figures as figures
import onepipe.warehouse.mapped as mapped
from onepipe.reports.frame import BARS, Frame, finished
from onepipe.reports.numbers import counted
from onepipe.reports.words import Bar, Column, Picture, Report, Section, Table, Tone

Row = dict[str, Any]
LONG = 72 * 3_600  # seconds, above which an age is told in days
MOST = 50  # lines of what waits that are listed
USUAL = timedelta(days=7)  # what was fetched in it is held against all before, as `onepipe drift` does
_STANDING = (
    Column("connection", "connection"),
    Column("state", "state"),
    Column("complete_through", "complete through (UTC)", "instant"),
    Column("last_success_at", "last success (UTC)", "instant"),
    Column("last_sweep_at", "last sweep (UTC)", "instant"),
    Column("live_count", "deals", "count"),
    Column("source_count", "in the CRM", "count"),
    Column("details_owed", "details owed", "count"),
    Column("late_rows", "late", "count"),
    Column("problems", "unreadable", "count"),
)
LATE = {
    "late": "visible only after its time was read",
    "silent": "changed without moving its time",
    "future": "dated after the present",
    "undated": "without a time of change",
}


def report(frame: Frame, now: datetime | None = None) -> Report:
    """The report; `now` says which records are new to drift."""
    waits = figures.waiting(frame.db, frame.names)
    sections = [
        _standing(frame.standings),
        _unreadable(figures.unreadable(frame.db, frame.names)),
        _waiting(
            "Conflicts to decide", "conflicts", waits["conflicts"], "`onepipe conflicts list` tells them in full."
        ),
        _waiting("Pushes that are not over", "pushes", waits["pushes"], "`onepipe push status` tells what to do."),
        _late(figures.late(frame.db, frame.names)),
        _drift(frame, now or datetime.now(UTC)),
    ]
    return finished(frame, "health", f"Health on {frame.today}", sections)


def _standing(standings: Sequence[Row]) -> Section:
    rows = [tuple(one[column.key] for column in _STANDING) for one in standings]
    awaited = [
        one for one in standings if one["behind_seconds"] is not None and one["state"] not in ("retired", "disabled")
    ]
    oldest = sorted(awaited, key=lambda one: (-one["behind_seconds"], one["connection"]))
    unit, seconds = ("days", 86_400) if oldest and oldest[0]["behind_seconds"] > LONG else ("hours", 3_600)
    bars = [_age(one, unit, seconds) for one in oldest[:BARS]]
    note = f"The {BARS} oldest of {len(oldest):,} connections." if len(oldest) > BARS else ""
    legend: tuple[tuple[Tone, str], ...] = (("plain", "as its schedule promises"), ("late", "older: stale"))
    picture = Picture("How long ago each was complete", f"{unit} before now", "days", bars, legend, note)
    tables = [Table("freshness", "Connections", _STANDING, rows)] if rows else []
    texts = [] if rows else ["No connection was ever read."]
    return Section("How fresh and how complete", texts, [picture] if bars else [], tables)


def _age(one: Row, unit: str, seconds: int) -> Bar:
    age = (Decimal(one["behind_seconds"]) / seconds).quantize(Decimal("0.1"))
    stale = ", stale" if one["stale"] else ""
    return Bar(one["connection"], f"{age:,} {unit}{stale}", age, tone="late" if stale else "plain")


def _unreadable(lines: Sequence[Row]) -> Section:
    title = "What could not be read"
    if not lines:
        return Section(title, ["Every value of every deal, as it is now, could be read."])
    fields: dict[tuple[str, str], int] = {}
    for line in lines:
        key = (line["connection"], line["field"] or "payload")
        fields[key] = fields.get(key, 0) + line["deals"]
    largest = sorted(fields.items(), key=lambda one: (-one[1], one[0]))[:BARS]
    bars = [Bar(name, counted(deals, "value"), Decimal(deals), tone="late", group=of) for (of, name), deals in largest]
    picture = Picture("Values that could not be read, by field", "values of deals as they are now", "count", bars)
    columns = (
        *(Column("connection", "connection"), Column("field", "field"), Column("reason", "why")),
        *(Column("deals", "deals", "count"), Column("sample", "such as")),
    )
    rows = [tuple(line[column.key] for column in columns) for line in lines[:MOST]]
    texts = [f"{counted(sum(fields.values()), 'value')}: NULL in every table. `onepipe problems` lists them."]
    if len(lines) > MOST:
        texts.append(f"The {MOST} commonest of {len(lines):,} kinds.")
    return Section(title, texts, [picture], [Table("problems", "By field and reason", columns, rows)])


def _waiting(title: str, name: str, lines: Sequence[Row], hint: str) -> Section:
    if not lines:
        return Section(title, ["None."])
    columns = tuple(Column(key, key.replace("_", " "), "instant" if key == "since" else "text") for key in lines[0])
    rows = [tuple(line.values()) for line in lines[:MOST]]
    texts = [f"{len(lines):,} in all. {hint}"]
    return Section(title, texts, (), [Table(name, title, columns, rows)])


def _late(lines: Sequence[Row]) -> Section:
    title = "Deals that came late"
    if not lines:
        return Section(title, ["None ever did."])
    columns = (
        *(Column("connection", "connection"), Column("kind", "what", words=LATE), Column("deals", "deals", "count")),
        Column("longest", "longest, in seconds", "count"),
    )
    rows = [tuple(line[column.key] for column in columns) for line in lines]
    texts = ["Not seen when their own time of change was read; sweeps find them. `overlap:` can be too short."]
    return Section(title, texts, (), [Table("late_rows", title, columns, rows)])


def _drift(frame: Frame, now: datetime) -> Section:
    """Source fields that are new, vanished or of another type: those that a mapping reads, and how many others."""
    title = "Fields of the CRMs that changed"
    if frame.head["left_out"]:
        return Section(title, ["The published file does not hold what the CRMs sent; `onepipe drift` looks into it."])
    found, _ = drift.drifts(frame.db, drift.cuts(frame.db, frame.names, None, now - USUAL))
    uses = mapped.uses(frame.db)
    rows = [(one, mapped.reading(uses.get(one.connection, []), one.resource, one.steps)) for one in found]
    told = [
        (one.connection, one.kind, one.resource, one.field, ", ".join(use.column for use in read))
        for one, read in rows
        if read
    ]
    others = len(rows) - len(told)
    texts = [f"{counted(others, 'field')} that no mapping reads: `onepipe drift` lists them."] if others else []
    if not rows:
        texts = ["None in the newest seven days."]
    names = ("connection", "kind", "resource", "field", "columns")
    titles = ("connection", "what", "resource", "field", "read into")
    columns = tuple(Column(key, head) for key, head in zip(names, titles, strict=True))
    return Section(title, texts, (), [Table("drift", "Fields that a mapping reads", columns, told)] if told else [])

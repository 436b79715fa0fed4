"""What a report is made of, whatever it is shown on: sections of paragraphs, tables and pictures.

A cell is a value as it is (int, Decimal, date, text, None); its column says what it is a value of, and each way out
writes it accordingly: a terminal, a page, JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from onepipe.warehouse.figures import NO_CURRENCY

Kind = Literal["text", "count", "money", "change", "share", "days", "day", "month", "instant", "flag"]
Tone = Literal["plain", "pale", "good", "bad", "late"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its name in JSON, its heading, and what its values are.

    `words` tells them to people, `none` what stands where there is none.
    """

    key: str
    title: str
    kind: Kind = "text"
    words: Mapping[str, str] = field(default_factory=dict)
    none: str = ""

    @property
    def is_number(self) -> bool:
        """Whether its cells are set flush right."""
        return self.kind in ("count", "money", "change", "share", "days")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. `currency` is that of its money, `no currency (acme)` where acme does not tell which, ""
    where it holds none; `name` is the same for all currencies. The first `group` columns are told as a line of their
    own above the rows that share them.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    currency: str = ""
    group: int = 0


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a picture: from `start` to `end` on its axis, and what to read beside it.

    `behind` is a longer, paler bar from `start`; `group` a heading above the first of its lines.
    """

    label: str
    told: str
    end: Decimal
    start: Decimal = Decimal(0)
    behind: Decimal | None = None
    tone: Tone = "plain"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """Bars over one axis: what it measures, and in which unit; `legend` says what each tone stands for."""

    title: str
    axis: str
    kind: Kind
    bars: Sequence[Bar]
    legend: tuple[tuple[Tone, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a report under a heading."""

    title: str
    texts: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report. `first` is the line that everybody reads: what is stale, or that nothing is.

    `facts` go into JSON beside the tables; `is_told_by_facts`: instead of them.
    """

    name: str
    title: str
    first: str
    is_fresh: bool
    about: Sequence[str]
    sections: Sequence[Section]
    facts: dict[str, Any] = field(default_factory=dict)
    is_told_by_facts: bool = False


def document(report: Report) -> dict[str, Any]:
    """A report as one JSON document: the same numbers, money as exact text."""
    told = {"report": report.name, "first": report.first, **{key: plain(value) for key, value in report.facts.items()}}
    if report.is_told_by_facts:
        return told
    return told | {"tables": [_table(table) for section in report.sections for table in section.tables]}


def _table(table: Table) -> dict[str, Any]:
    rows = [{column.key: plain(cell) for column, cell in zip(table.columns, row, strict=True)} for row in table.rows]
    return {"table": table.name, "title": table.title, **purse(table.currency), "rows": rows}


def purse(currency: str) -> dict[str, str | None]:
    """What an amount is told in: a currency, None where it is not known; then the connection that does not tell it."""
    if currency.startswith(NO_CURRENCY):
        return {"currency": None, "connection": currency.removeprefix(f"{NO_CURRENCY} (").removesuffix(")")}
    return {"currency": currency or None, "connection": None}


def code(currency: str) -> str | None:
    """A currency; None where it is not known."""
    return purse(currency)["currency"]


def plain(value: Any) -> Any:
    """A value as JSON holds it; no digit of a Decimal is lost."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, date) else value

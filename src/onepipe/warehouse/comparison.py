"""What reading everything again changes: `versions` as they are against `rebuilt`, both made by `rebuild.reread`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from onepipe.model import CHILDREN, MAPPED, NESTED, OBSERVED, VERSION, Column
from onepipe.warehouse.changes import as_json
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import iso
from onepipe.warehouse.layout import typed
from onepipe.warehouse.schema import quoted

SAMPLES = 3
LONGEST = 200  # letters of a sample
_FOLLOWS = ("closed_on", "closed_on_evidence", "valid_from")  # made of mapped columns and of what was there before
_SIDES = ("versions", "rebuilt")


@dataclass(frozen=True, slots=True)
class Change:
    """One column, in numbers of rows: current ones, and versions that are history.

    `emptied` and `filled` are values that get lost and values that appear; `values` how many there were before. Each is
    (current rows, superseded versions).
    """

    column: str
    type: str
    changed: tuple[int, int]
    emptied: tuple[int, int]
    filled: tuple[int, int]
    values: tuple[int, int]

    @property
    def refusal(self) -> str | None:
        """Why this is not applied without being told to, with the figures; None where nothing speaks against it."""
        if self.column in ("extra", *_FOLLOWS):  # `extra` is what other columns leave
            return None
        whole = sum(self.values)
        if whole and sum(self.emptied) == whole and not sum(self.filled):
            return f"{self.column} would be empty: all of its values ({self._of(0)}) would be gone"
        if any(2 * lost > had for lost, had in zip(self.emptied, self.values, strict=True)):
            return f"{self.column} would lose more than half of its values: {self._of(1)}"
        return None

    def _of(self, said: int) -> str:
        places = zip(self.emptied, self.values, ("current rows", "history"), strict=True)
        return ", ".join(
            f"{n:,} of {had:,} in {where}" if said else f"{n:,} in {where}" for n, had, where in places if had
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """A value before and after, as text, in how many versions, and one record that has them."""

    source_id: str
    before: str | None
    after: str | None
    rows: int


def changes(db: Database) -> list[Change]:
    """Every column that would hold something else in any row, in the order of the table."""
    columns = _columns(db)
    changed = _counts(db, [_differs(column) for column in columns])
    found = [(column, counts) for column, counts in zip(columns, changed, strict=True) if any(counts)]
    told = iter(_counts(db, [condition for column, _ in found for condition in _told(column)]))
    return [Change(column.name, column.type, counts, next(told), next(told), next(told)) for column, counts in found]


def samples(db: Database, change: Change) -> list[Sample]:
    """The most frequent changes of a column's value."""
    name = quoted(change.column)
    before, after = (_text(f"{side}.{name}", change) for side in "vr")
    rows = db.run(
        "SELECT min(source_id), before, after, count(*) AS n FROM ("
        f"SELECT source_id, {before} AS before, {after} AS after FROM versions v JOIN rebuilt r "
        f"USING (source_id, version) WHERE v.{name} IS DISTINCT FROM r.{name}) GROUP BY before, after "
        f"ORDER BY n DESC, before NULLS LAST, after NULLS LAST LIMIT {SAMPLES}"
    )
    return [Sample(*row) for row in rows]


def problems(db: Database, connection: str) -> dict[str, tuple[int, int]]:
    """For each field with problems, how many stored versions have one: by now, and after it."""
    found: dict[str, tuple[int, int]] = {}
    before = "SELECT DISTINCT source_id, payload_hash, field FROM problems WHERE connection = $connection"
    now = "SELECT DISTINCT source_id, payload_hash, field FROM unread"
    rows = db.run(
        "SELECT field, count(*) FILTER (NOT after), count(*) FILTER (after) FROM ("
        f"SELECT *, false AS after FROM ({before}) WHERE source_id IS NOT NULL UNION ALL "
        f"SELECT *, true AS after FROM ({now})) GROUP BY field ORDER BY field",
        {"connection": connection},
    )
    for field, *counts in rows:
        found[field] = (counts[0], counts[1])
    return found


def month_ends(db: Database, ends: Sequence[tuple[date, datetime]]) -> list[dict[str, Any]]:
    """How things stood at the end of these days (each with the instant at which it was over), before and after.

    `deals` by status, deleted ones left out; `open_amount` by currency: the sum over those that are open and not
    archived, and how many of them have no amount. Money is text.
    """
    values = {"days": [day.isoformat() for day, _ in ends], "instants": [over.isoformat() for _, over in ends]}
    told: dict[str, dict[str, dict[Any, dict[str, Any]]]] = {day: {"deals": {}, "open": {}} for day in values["days"]}
    for side, when in zip(_SIDES, ("before", "after"), strict=True):
        for day, status, deals in db.run(_standing("status, count(*)", side), values):
            told[day]["deals"].setdefault(status, {"before": 0, "after": 0})[when] = deals
        figures = "currency, sum(amount)::VARCHAR, count(*) FILTER (amount IS NULL)"
        for day, currency, amount, without in db.run(
            _standing(figures, side, "AND status = 'open' AND NOT is_archived"), values
        ):
            line = told[day]["open"].setdefault(currency, {})
            line[when], line[f"{when}_without_amount"] = amount, without
    return [_month(day, told[day]["deals"], told[day]["open"]) for day in values["days"]]


def _month(day: str, deals: dict[Any, dict[str, Any]], amounts: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    nothing = {"before": None, "after": None, "before_without_amount": 0, "after_without_amount": 0}
    return {
        "day": day,
        "deals": [{"status": status} | deals[status] for status in sorted(deals, key=str)],
        "open_amount": [{"currency": one} | nothing | amounts[one] for one in sorted(amounts, key=str)],
    }


def _standing(what: str, side: str, condition: str = "") -> str:
    """SQL: figures over the versions of a side that held when each day was over."""
    return (
        f"SELECT day, {what} FROM (SELECT unnest($days::VARCHAR[]) AS day, "
        f"unnest($instants::VARCHAR[])::TIMESTAMPTZ AS over) d JOIN {side} v ON v.valid_from < d.over "
        f"WHERE (v.valid_to IS NULL OR v.valid_to >= d.over) AND NOT is_deleted {condition} GROUP BY ALL"
    )


def _columns(db: Database) -> tuple[Column, ...]:
    follows = [column for column in (*OBSERVED, *VERSION) if column.name in _FOLLOWS]
    return (*MAPPED, *NESTED, *typed(db), *follows)


def _counts(db: Database, conditions: Sequence[str]) -> list[tuple[int, int]]:
    """Of how many current rows, and of how much history, each condition holds."""
    if not conditions:
        return []
    counted = ", ".join(f"count(*) FILTER ({condition})" for condition in conditions)
    rows = db.run(
        f"SELECT r.valid_to IS NULL, {counted} FROM versions v JOIN rebuilt r USING (source_id, version) GROUP BY ALL"
    )
    nothing = (0,) * len(conditions)
    found = {current: counts for current, *counts in rows}
    return list(zip(found.get(True, nothing), found.get(False, nothing), strict=True))


def _differs(column: Column) -> str:
    return f"v.{quoted(column.name)} IS DISTINCT FROM r.{quoted(column.name)}"


def _told(column: Column) -> tuple[str, str, str]:
    """SQL: whether a value gets lost, whether one appears, and whether there was one."""
    before, after = (f"{side}.{quoted(column.name)}" for side in "vr")
    return _lost(before, after, column), _lost(after, before, column), _holds(before, column.type)


def _lost(before: str, after: str, column: Column) -> str:
    """SQL: whether a value says nothing any more; of children, whether any of their columns does not."""
    if column.name not in CHILDREN:
        return f"{_holds(before, column.type)} AND NOT {_holds(after, column.type)}"
    fields = [quoted(field.name) for field in CHILDREN[column.name].columns]
    held, holds = (
        [f"coalesce(len(list_filter({side}, lambda one: one.{field} IS NOT NULL)), 0) > 0" for field in fields]
        for side in (before, after)
    )
    return "(" + " OR ".join(f"{had} AND NOT {has}" for had, has in zip(held, holds, strict=True)) + ")"


def _holds(name: str, type_: str) -> str:
    """SQL: whether a value says something; an empty list or object and a `false` do not."""
    is_list = {type_: f"len({name}) > 0"} if type_.endswith("]") else {}
    says = {"JSON": f"{name}::VARCHAR <> '{{}}'", "BOOLEAN": name, **is_list}.get(type_)
    return f"coalesce({says}, false)" if says else f"{name} IS NOT NULL"


def _text(name: str, change: Change) -> str:
    """SQL: a value as people write it."""
    type_, child = change.type, CHILDREN.get(change.column)
    if type_ == "TIMESTAMPTZ":
        return f"regexp_replace({iso(name)}, '\\.000000$', '') || 'Z'"
    if type_.startswith("DECIMAL"):
        return f"regexp_replace({name}::VARCHAR, '\\.?0+$', '')"
    text = f"to_json({name})::VARCHAR" if type_.endswith("]") else f"{name}::VARCHAR"
    text = as_json(name, child) if child else text
    return f"CASE WHEN length({text}) > {LONGEST} THEN left({text}, {LONGEST}) || '...' ELSE {text} END"

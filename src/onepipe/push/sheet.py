"""A plan as people read it: lines in plain words, and a CSV file for a spreadsheet."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from onepipe.push.words import Item, Plan

Group = Literal["to be sent", "needs you", "nothing to send"]
GROUPS: tuple[Group, ...] = ("to be sent", "needs you", "nothing to send")
_GROUP: Mapping[str, Group] = {"write": "to be sent", "conflict": "needs you", "refused": "needs you"}
DECISIONS = {
    "conflict": "you decide",
    "refused": "cannot be sent",
    "take": "the CRM's value is kept",
    "converged": "the CRM holds it already",
    "nothing": "nothing to do",
}
WHOLE = {"create": "the deal is made", "delete": "the deal is deleted", "update": "the deal is changed"}
COLUMNS = (
    *("connection", "source_id", "deal", "url", "owner", "field", "known", "in the CRM", "new", "what happens"),
    *("because", "asked by", "why", "beside it"),
)
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[\d.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One field of a planned record, or the record as a whole where `field` is "".

    `known` is what it was when the edit was made, `now` what the CRM held when the plan was made, `new` what it is to
    hold; None is nothing. `outcome` says what happens, `reason` why so.
    """

    item: Item
    group: Group
    outcome: str
    field: str = ""
    known: str | None = None
    now: str | None = None
    new: str | None = None
    reason: str = ""


def lines(plan: Plan) -> Iterator[Line]:
    """Every line of a plan, record by record."""
    for item in plan.items:
        yield from lines_of(item)


def lines_of(item: Item) -> Iterator[Line]:
    """The lines of one record; one line for it as a whole where it is deleted, or no field is concerned."""
    if item.op == "delete" or not item.fields:
        new = "(deleted)" if item.op == "delete" else None
        outcome = WHOLE.get(item.op, item.op) if item.decision == "write" else _plainly(item.decision)
        group = _GROUP.get(item.decision, "nothing to send")
        yield Line(item=item, group=group, outcome=outcome, now=item.name, new=new, reason=item.reason)
        return
    for name, one in item.fields.items():
        # A record that is refused, or that waits for something, sends nothing, whatever its fields came to.
        decision = item.decision if one.decision == "write" and not _sends(item) else one.decision
        yield Line(
            item=item,
            group=_GROUP.get(decision, "nothing to send"),
            outcome=_written(item, one.theirs, one.ours) if decision == "write" else _plainly(decision),
            field=name,
            known=one.base,
            now=one.theirs,
            new=one.ours,
            reason=one.reason or (item.reason if decision != one.decision else ""),
        )


def _plainly(decision: str) -> str:
    return DECISIONS.get(decision, decision)


def _sends(item: Item) -> bool:
    """Whether anything of it is to be sent: beside a conflict, what is sound goes all the same."""
    return item.decision in ("write", "conflict")


def _written(item: Item, now: str | None, new: str | None) -> str:
    if item.op == "create":
        return "is set in the new deal"
    return "is emptied" if new is None else "is filled in" if now is None else "is changed"


def group_of(item: Item) -> Group:
    """Where a record stands among people's concerns: a decision before a request, a request before nothing."""
    found = {line.group for line in lines_of(item)}
    return next(one for one in ("needs you", "to be sent", "nothing to send") if one in found)


def deal(item: Item) -> str:
    """What a deal is called; a new one by the name it is to have."""
    new = item.fields.get("name")
    return item.name or (new.ours if new and item.op == "create" and new.ours else "") or "(without a name)"


def sums(plan: Plan) -> list[str]:
    """How much there is of each group: `to be sent: 3 changes in 2 deals`."""
    found = []
    for one in GROUPS:
        mine = [line for line in lines(plan) if line.group == one]
        deals = len({(line.item.connection, line.item.record) for line in mine})
        changes = f"{len(mine)} {'change' if len(mine) == 1 else 'changes'}"
        found += [f"{one}: {changes} in {deals} {'deal' if deals == 1 else 'deals'}"] if mine else []
    return found or ["no edit waits"]


def readable(field: str, value: str | None) -> str | None:
    """A value for people: line items as `3 x Nut at 0.10`, lists with commas; all else as it is written."""
    if field not in ("line_items", "tags") or not value:
        return value
    try:
        return ", ".join(map(_item, json.loads(value))) or None
    except (ValueError, TypeError, AttributeError):
        return value


def _item(one: Any) -> str:
    if isinstance(one, str):
        return one
    told = str(one.get("name") or one.get("item_id") or "(new)")
    told = f"{one['quantity']} x {told}" if one.get("quantity") else told
    return f"{told} at {one['unit_amount']}" if one.get("unit_amount") else told


def as_csv(plan: Plan) -> str:
    """One line for each field, for a spreadsheet."""
    rows = ([*_about(line.item), *_told(line), *_asked(line.item)] for line in lines(plan))
    return table(COLUMNS, rows)


def _about(item: Item) -> list[str | None]:
    return [item.connection, item.source_id or "(new)", deal(item), item.url, item.owner]


def _told(line: Line) -> list[str | None]:
    return [line.field, line.known, line.now, line.new, line.outcome, line.reason]


def _asked(item: Item) -> list[str | None]:
    return [item.who, item.why, " ".join(item.notes)]


def table(headings: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    """Rows as CSV that spreadsheets open as it is meant: letters beyond ASCII are kept, and no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(headings)
    writer.writerows([_tame(cell or "") for cell in row] for row in rows)
    return "\ufeff" + out.getvalue()


def _tame(cell: str) -> str:
    """A deal's name comes from strangers, and a spreadsheet carries out what begins like a formula."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell

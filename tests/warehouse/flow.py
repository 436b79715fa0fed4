"""What pipeline_waterfall must show, deal by deal in plain Python."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.warehouse.figures import at, in_use, stands
from tests.warehouse.money import rate, rounded
from tests.warehouse.world import CLOSED, Row, World

BESIDE = ("closed_before_first_seen", "retired")
Move = tuple[str, str | None, Decimal | None, bool]  # step, currency, what it adds, whether its amount is known


Told = tuple[int, Decimal | None, int]


def waterfall(world: World, first: date, last: date) -> dict[tuple[Any, ...], Told]:
    """(connection, currency, step) -> deals, amount, deals without an amount; without the step that rates make."""
    since, until = world.end(first), world.end(last)
    found: dict[tuple[Any, ...], list[tuple[Decimal | None, bool]]] = defaultdict(list)
    for (connection, _), versions in world.deals.items():
        before, after = at(versions, since), at(versions, until)
        for step, currency, amount, known in _moves(before, after, since, first) if after else ():
            found[connection, currency, step].append((amount, known))
    for connection, currency in {key[:2] for key in found}:
        found[connection, currency, "begin"] += []
        found[connection, currency, "end"] += []
    return {
        key: (
            len(moves),
            None
            if key[2] in ("retired", "closed_before_first_seen")
            else sum((m[0] or Decimal(0) for m in moves), Decimal(0)),
            sum(not known for _, known in moves),
        )
        for key, moves in found.items()
    }


def converted(world: World, first: date, last: date) -> dict[tuple[Any, ...], tuple[Decimal | None, int]]:
    """(connection, currency, step) -> reporting amount, deals without a rate; `fx` where rates or rounding make one."""
    told = waterfall(world, first, last)
    found: dict[tuple[Any, ...], tuple[Decimal | None, int]] = {}
    for key in {key[:2] for key in told}:
        steps = {step: line for (*one, step), line in told.items() if tuple(one) == key}
        before, worth = rate(world, key[1], first), rate(world, key[1], last)
        known = worth is not None and (before is not None or not steps["begin"][0])
        values = {}
        for step, (deals, amount, without) in steps.items():
            used = before if step == "begin" and deals else worth
            if amount is not None and known and used is not None:
                values[step] = rounded(amount * used)
            found[*key, step] = values.get(step), 0 if known or amount is None else deals - without
        made = values.get("end", Decimal(0)) - sum(value for step, value in values.items() if step != "end")
        if made:
            found[*key, "fx"] = made, 0
    return found


def _moves(before: Row | None, after: Row, since: datetime, first: date) -> Iterator[Move]:
    was, stood = stands(before), stands(after)
    if not in_use(after):
        if was or stood:
            yield "retired", after["currency"], None, True
        return
    old = before["amount"] if before else None
    new = after["amount"]
    closed = _closed(after)
    passed = not was and not stood and closed and _closed_since(before, after, since, first)
    if before is None and closed and not passed:
        yield "closed_before_first_seen", after["currency"], None, True
    if was and before:
        yield "begin", before["currency"], old, old is not None
        if before["currency"] != after["currency"]:
            yield "recurrencied", before["currency"], -(old or Decimal(0)), old is not None
            yield "recurrencied", after["currency"], new, new is not None
        elif (new or 0) != (old or 0):
            step = "increased" if (new or 0) > (old or 0) else "decreased"
            yield step, after["currency"], (new or Decimal(0)) - (old or Decimal(0)), None not in (old, new)
    elif stood or passed:
        yield _came(before, after, since), after["currency"], new, new is not None
    if stood:
        yield "end", after["currency"], new, new is not None
    elif was or passed:
        yield _went(after), after["currency"], -(new or Decimal(0)), new is not None


def _closed(row: Row | None) -> bool:
    return row is not None and row["status"] in CLOSED and not row["is_deleted"]


def _born_since(after: Row, since: datetime) -> bool:
    return after["created_at"] is not None and after["created_at"] >= since


def _closed_since(before: Row | None, after: Row, since: datetime, first: date) -> bool:
    if before is None and _born_since(after, since):
        return True
    if after["closed_on_evidence"] == "first_seen" or after["closed_on"] <= first:
        return False
    return before is None or not _closed(before) or before["closed_on"] != after["closed_on"]


def _came(before: Row | None, after: Row, since: datetime) -> str:
    if before is None:
        return "new" if _born_since(after, since) else "first_seen"
    return "reopened" if _closed(before) else "returned"


def _went(after: Row) -> str:
    if after["is_deleted"]:
        return "deleted"
    if after["status"] in CLOSED:
        return str(after["status"])
    return "archived" if after["is_archived"] else "unknown_status"

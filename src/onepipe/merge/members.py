"""Tags and line items, merged member by member: what we added and removed since base is done to theirs.

Members that only the CRM's side touched stay as they are. A clash is one member that both sides changed, differently.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from onepipe.merge.compare import folded, same, same_line
from onepipe.merge.words import PLAIN, Habits

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Members:
    """Both ways of merging: `ours` and `theirs` differ in the clashing members only, which `clashes` names."""

    ours: list[Any]
    theirs: list[Any]
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One request's worth of a list of line items; `columns` holds what is sent."""

    do: Literal["add", "change", "remove"]
    item_id: str | None
    columns: Line


def merge_tags(base: Iterable[str], ours: Iterable[str], theirs: Iterable[str], habits: Habits = PLAIN) -> Members:
    """Tags never clash: one that both sides added or removed is where both want it. A tag in theirs keeps its form."""
    old, wanted, there = ({folded("tags", one, habits): one for one in tags} for tags in (base, ours, theirs))
    kept = {key: tag for key, tag in there.items() if key in wanted or key not in old}
    added = {key: tag for key, tag in wanted.items() if key not in old and key not in there}
    tags = sorted((kept | added).values())
    return Members(tags, tags)


def merge_items(base: list[Line], ours: list[Line], theirs: list[Line]) -> Members:
    """Line items by their item_id; a wanted row without one is new, unless the same row stands there already."""
    if any(row.get("item_id") is None for row in (*base, *theirs)):
        return _as_one(base, ours, theirs)
    old, there = _by_id(base), _by_id(theirs)
    wanted = _recognised(ours, theirs, base)
    with_id = _by_id([row for row in wanted if row.get("item_id") is not None])
    new = [row for row in wanted if row.get("item_id") is None]
    mine, others, clashes = list[Line](), list[Line](), list[str]()
    for key in (*there, *(key for key in with_id if key not in there)):
        ours_wins, theirs_wins = _line(old.get(key), with_id.get(key), there.get(key))
        mine += ours_wins
        others += theirs_wins
        clashes += [key] if ours_wins != theirs_wins else []
    return Members(mine + new, others + new, tuple(clashes))


def steps(theirs: list[Line], wanted: list[Line]) -> list[Step]:
    """What to do to theirs to make it the wanted list: removals, then changes, then new rows; order is left alone.

    Raises ValueError where theirs has rows without an id, which no request could name.
    """
    if any(row.get("item_id") is None for row in theirs):
        raise ValueError("line items without an id cannot be changed one by one")
    there = _by_id(theirs)
    kept = {row["item_id"]: row for row in wanted if row.get("item_id") in there}
    removed = [Step("remove", key, {}) for key in there if key not in kept]
    changed = [Step("change", key, columns) for key, row in kept.items() if (columns := _differing(there[key], row))]
    added = [Step("add", None, _columns(row)) for row in wanted if row.get("item_id") not in there]
    return removed + changed + added


def seen_items(base: list[Line], theirs: list[Line]) -> list[Line]:
    """Base, as if what became of its rows in the CRM had been known; rows added there are no affair of ours."""
    old = {row.get("item_id") for row in base}
    return theirs if None in old else [row for row in theirs if row.get("item_id") in old]


def _line(old: Line | None, wanted: Line | None, there: Line | None) -> tuple[list[Line], list[Line]]:
    """One member's rows (one or none), if ours wins and if theirs does; the same where nothing clashes."""
    if wanted is None:
        return _left_out(old, there)
    wish = wanted if old is None else _differing(old, wanted)  # a column left as it was asks for nothing
    if there is None:  # removed in the CRM: an id cannot come back, so ours would be a new row
        added = [_columns(wanted)] if wish else []
        return added, added if old is None else []  # without base, the removal was known when ours was wanted
    if not wish or same_line(wish, there):
        return [there], [there]
    changed = {**there, **wanted}  # whole, so that a row laid over another is the row that was meant
    if "amount" not in wish and wish.keys() & {"quantity", "unit_amount"}:
        changed.pop("amount", None)  # CRMs compute it of the other two
    return [changed], [changed] if old is not None and same_line(old, there) else [there]


def _left_out(old: Line | None, there: Line | None) -> tuple[list[Line], list[Line]]:
    """A row that is not wanted: added in the CRM since base, or to be removed."""
    stays = [there] if there is not None else []
    if old is None:
        return stays, stays
    untouched = there is None or same_line(old, there)
    return [], [] if untouched else stays


def _as_one(base: list[Line], ours: list[Line], theirs: list[Line]) -> Members:
    """Rows without ids cannot be told apart: the list is one value."""
    if same("line_items", base, theirs):
        return Members(ours, ours)
    return Members(ours, theirs, ("line_items",))


def _recognised(ours: list[Line], *known: list[Line]) -> list[Line]:
    """The wanted rows; one without an id that is the same as a row we know takes that one's id, each id once."""
    taken = {row.get("item_id") for row in ours}

    def found(row: Line) -> Iterator[str]:
        return (one["item_id"] for rows in known for one in rows if one["item_id"] not in taken and same_line(row, one))

    named = []
    for row in ours:
        key = row.get("item_id") or next(found(row), None)
        taken.add(key)
        named.append({**row, "item_id": key} if key is not None else _columns(row))
    return named


def _differing(there: Line, row: Line) -> Line:
    return {key: value for key, value in _columns(row).items() if not same_line({key: value}, {key: there.get(key)})}


def _columns(row: Line) -> Line:
    return {key: value for key, value in row.items() if key not in ("item_id", "position")}


def _by_id(rows: Iterable[Line]) -> dict[str, Line]:
    return {row["item_id"]: row for row in rows}


MERGING: dict[str, Callable[[list[Any], list[Any], list[Any], Habits], Members]] = {
    "tags": merge_tags,
    "line_items": lambda base, ours, theirs, _: merge_items(base, ours, theirs),
}

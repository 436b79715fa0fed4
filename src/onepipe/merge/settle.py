"""What became of a value that was sent, told by reading it back."""

import html
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from onepipe.merge.compare import FLAGS, folded, is_blank, kind, number_form, same, same_line, text_form
from onepipe.merge.members import Line, Step, steps
from onepipe.merge.words import CLEAR, MISSING, PLAIN, Habits

Settled = Literal["done", "done_normalised", "not_applied", "overwritten"]

_MARKUP = re.compile(r"<[^<>]*>")
_STUMP = 3  # signs before the dots that tell of a cut
_CUT_AT = 20  # a shorter beginning of what was sent is somebody's own text rather than ours cut off


def settled(
    column: str, before: Any, wanted: Any, now: Any, habits: Habits = PLAIN, foreign: bool | None = None
) -> Settled:
    """What a write of `wanted` came to, given theirs before it and as read back.

    `foreign`: whether the CRM's own stamps say that another hand wrote in between; None where they do not tell. Then a
    value that no CRM would make of what it was sent counts as somebody else's. Raises ValueError where `now` was not
    read: a write that was not read back is not settled.
    """
    if now is MISSING:
        raise ValueError(f"{column} was not read back")
    wanted = None if wanted is CLEAR else wanted
    if kind(column) in _MEMBERS:
        return _MEMBERS[kind(column)](*(one if isinstance(one, list) else [] for one in (before, wanted, now)))
    if _exact(column, wanted, now):
        return "done"
    if same(column, wanted, now, habits):
        return "done_normalised"
    if foreign:
        return "overwritten"
    if same(column, before, now, habits):
        return "not_applied"
    return "done_normalised" if foreign is False or _own_form(column, wanted, now) else "overwritten"


def _settled_tags(before: list[str], wanted: list[str], now: list[str]) -> Settled:
    """Tags are settled by what we added and removed; what others added meanwhile is theirs to keep."""
    old, ours, there = ({text_form(tag).casefold() for tag in tags} for tags in (before, wanted, now))
    if (ours - old) - there or (old - ours) & there:
        return "not_applied"
    kept = [tag for tag in wanted if text_form(tag).casefold() in there]
    return "done" if set(kept) <= set(now) else "done_normalised"


def _settled_items(before: list[Line], wanted: list[Line], now: list[Line]) -> Settled:
    """Line items by what we added, changed and removed; a row that is there otherwise than sent is the CRM's form."""
    there = {row["item_id"]: row for row in now}
    old = {row["item_id"] for row in before}
    new = [row for key, row in there.items() if key not in old]
    missed = [step for step in steps(before, wanted) if not _made(step, there, new)]
    if not missed:
        return "done"
    if same("line_items", before, now):
        return "not_applied"
    return "done_normalised" if len(wanted) == len(now) else "overwritten"


def _made(step: Step, there: dict[str, Line], new: list[Line]) -> bool:
    if step.do == "remove":
        return step.item_id not in there
    if step.do == "change":
        return step.item_id in there and same_line(step.columns, there[step.item_id])
    found = next((row for row in new if same_line(step.columns, row)), None)
    if found is not None:
        new.remove(found)  # two new rows that are the same must be there twice
    return found is not None


_MEMBERS: dict[str, Callable[[list[Any], list[Any], list[Any]], Settled]] = {
    "VARCHAR[]": _settled_tags,
    "ITEMS": _settled_items,
}


def _exact(column: str, wanted: Any, now: Any) -> bool:
    """Whether nothing was done to the value at all."""
    if is_blank(wanted) or is_blank(now):
        return is_blank(wanted) and is_blank(now)
    if isinstance(wanted, str) and isinstance(now, str):
        return wanted == now
    return same(column, wanted, now)


def _own_form(column: str, wanted: Any, now: Any) -> bool:
    """Whether a CRM may have made this of what it was sent: cut, rounded, squeezed, escaped, or its own blank."""
    if wanted is None:
        return now is False or number_form(now) == 0
    if isinstance(wanted, date | datetime) or FLAGS.get(str(wanted).lower()) is not None or now is None:
        return False
    number, read = number_form(wanted), number_form(now)
    if number is not None and read is not None:
        return _rounded(column, number, read)
    return _squeezed(column, str(wanted), str(now))


def _rounded(column: str, wanted: Decimal, now: Decimal) -> bool:
    """Coarser than what was sent, and near it: 0.63 as 0.65, 99.50 as 100, but not 120 as 119.99."""
    near = Decimal("0.05") if column == "probability" else Decimal(1)
    return (
        abs(wanted - now) <= near
        if column == "probability"
        else abs(wanted - now) < near and _fine(now) < _fine(wanted)
    )


def _fine(number: Decimal) -> int:
    return max(0, -int(number.normalize().as_tuple().exponent))


def _squeezed(column: str, wanted: str, now: str) -> bool:
    """Whether a text is ours with its markup, its blanks, its end or what is beyond ASCII taken away."""
    if column == "contact_phone":  # with the country's code before it, and without the leading zero
        digits, read = (folded(column, text, PLAIN).lstrip("0") for text in (wanted, now))
        return bool(digits) and read.endswith(digits)
    ours = {_plain(form) for form in (wanted, _MARKUP.sub("", wanted), *_ascii(wanted))}
    kept = text_form(now)
    end = next((mark for mark in ("...", "\u2026") if kept.endswith(mark)), "")
    stump = kept.removesuffix(end).rstrip()
    cut = len(stump) >= (_STUMP if end else _CUT_AT) and text_form(wanted).startswith(stump)
    return _plain(now) in ours or cut


def _plain(text: str) -> str:
    return "".join(html.unescape(text).split()).casefold()


def _ascii(text: str) -> tuple[str, str]:
    """A text in a CRM that has no other letters: they become question marks, or nothing."""
    asked, none = (text.encode("ascii", errors).decode() for errors in ("replace", "ignore"))
    return (asked, none) if none.strip() else (asked, asked)

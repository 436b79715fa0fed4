"""Base, ours, theirs: what is done with each edited field. Pure: no clock, no request, no state."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onepipe.merge.compare import changes, is_blank, same
from onepipe.merge.members import MERGING, seen_items
from onepipe.merge.units import changed, covers, groups, partner, rests_on
from onepipe.merge.words import (
    CLEAR,
    MISSING,
    PLAIN,
    Decision,
    FieldMerge,
    Habits,
    Merged,
    Policy,
    Record,
    value_of,
)

GONE = "the CRM no longer has this record"
UNREAD = "the CRM was asked and did not tell it"
UNKNOWN = "never read before, so nobody knows who changed it"
FILLED = "not blank in the CRM"
THEIRS_ONLY = "changed in the CRM only"


def merge(
    base: Record | None,
    ours: Mapping[str, Any],
    theirs: Record | None,
    policy: Callable[[str], Policy],
    habits: Habits = PLAIN,
    refusals: Mapping[str, str] | None = None,
) -> Merged:
    """What is done with each field of `ours`, an edit of one record: value or CLEAR by field.

    `base` is the record as it was when the edit was made (None: never read), `theirs` as it is now (None: gone).
    `policy` is asked for each field; `refusals` names fields that must not be sent, and why.
    """
    if theirs is None:
        side = _Side(base or {}, {}, policy, habits)
        made = [side.told(name, value, "refused", GONE) for name, value in ours.items()]
        return Merged({one.field: one for one in made}, gone=True, reason=GONE)
    side = _Side(base or {}, theirs, policy, habits)
    fields: dict[str, FieldMerge] = {}
    for group in groups(ours):
        edits = {name: None if ours[name] is CLEAR else ours[name] for name in group}
        for one in _group(side, edits, refusals or {}):
            fields[one.field] = one
    return Merged({name: fields[name] for name in ours})


def merge_new(
    ours: Mapping[str, Any], policy: Callable[[str], Policy], refusals: Mapping[str, str] | None = None
) -> Merged:
    """A record to be created: every field is written, or, if one may not be, none."""
    side = _Side({}, {}, policy, PLAIN)
    word: Decision = "refused" if refusals else "write"
    reasons = refusals or {}
    made = [
        side.told(name, value, word, reasons.get(name, _joined(reasons)), value=None if value is CLEAR else value)
        for name, value in ours.items()
    ]
    return Merged({one.field: one for one in made})


def merge_delete(base: Record | None, theirs: Record | None, habits: Habits = PLAIN) -> Merged:
    """A record to be deleted: a conflict where the CRM holds anything that base has not seen."""
    if theirs is None:
        return Merged(gone=True, told="converged", reason=GONE)
    if base is None:
        return Merged(told="conflict", reason="it was never read, so nobody has seen what would be deleted")
    unseen = changes(base, theirs, habits)
    if unseen:
        return Merged(told="conflict", changed=unseen, reason=f"changed in the CRM unseen: {', '.join(unseen)}")
    return Merged(told="write")


def seen(base: Record, theirs: Record, name: str) -> dict[str, Any]:
    """Base, as if what theirs says of a field and of all that goes with it had been known when the edit was made.

    So a person who saw both sides and decided for ours makes a plain write of it; anything newer is a conflict again.
    """
    known = {other: value for other in rests_on([name]) if (value := value_of(theirs, other)) is not MISSING}
    if name == "line_items" and value_of(base, name) is not MISSING:
        known = {name: seen_items(base.get(name) or [], known.get(name) or [])}
    return {**base, **known}


@dataclass(frozen=True, slots=True)
class _Side:
    """What every decision on one record looks at."""

    base: Record
    theirs: Record
    policy: Callable[[str], Policy]
    habits: Habits

    def told(
        self,
        name: str,
        ours: Any,
        decision: Decision,
        reason: str = "",
        *,
        value: Any = MISSING,
        laid_over: bool = False,
        together: Iterable[str] = (),
    ) -> FieldMerge:
        """A decision in its full form. `value`: what the CRM should hold; theirs if not given."""
        base, theirs = value_of(self.base, name), value_of(self.theirs, name)
        ours = None if ours is CLEAR else ours
        value = theirs if value is MISSING else value
        others = tuple(sorted(set(together) - {name}))
        return FieldMerge(name, base, ours, theirs, self.policy(name), decision, value, reason, laid_over, others)

    def equal(self, name: str, value: Any) -> bool:
        return same(name, value, value_of(self.theirs, name), self.habits)

    def kept(self, name: str, value: Any) -> bool:
        """Whether our edit is what base said already, so that we changed nothing."""
        return same(name, value, value_of(self.base, name), self.habits)

    def filled(self, name: str) -> bool:
        """Whether a field may only be filled, and is not blank."""
        return self.policy(name) == "fill_if_blank" and not is_blank(value_of(self.theirs, name))

    def unknown(self, name: str) -> bool:
        """Whether nobody can say who changed a field, and it matters."""
        return self.policy(name) != "fill_if_blank" and value_of(self.base, name) is MISSING


def _group(side: _Side, edits: Mapping[str, Any], refusals: Mapping[str, str]) -> list[FieldMerge]:
    """The fields of one unit: converged ones by themselves, all others with one decision."""
    stopped = {name: refusals[name] for name in edits if name in refusals} or {
        name: UNREAD for name in edits if value_of(side.theirs, name) is MISSING
    }
    if stopped:
        return [
            side.told(name, value, "refused", stopped.get(name, f"goes together with {_names(stopped)}"))
            for name, value in edits.items()
        ]
    [first, *others] = edits
    if not others and first in MERGING:
        return [_members(side, first, edits[first])]
    open_ = {name: value for name, value in edits.items() if not side.equal(name, value)}
    equal = [side.told(name, value, "converged") for name, value in edits.items() if name not in open_]
    return equal + _open(side, edits, open_)


def _open(side: _Side, edits: Mapping[str, Any], open_: dict[str, Any]) -> list[FieldMerge]:
    """Those fields of a unit in which ours and theirs differ."""
    settled = {name for name in edits if name not in open_}
    settled |= {other for name in settled if (other := partner(name)) is not None}
    foreign = {name for name in rests_on(open_) - settled if changed(name, side.base, side.theirs, side.habits)}
    decision, reason = _decided(side, edits, open_, foreign)
    writing = decision == "write"
    return [
        side.told(
            name,
            value,
            decision,
            reason,
            value=value if writing else MISSING,
            laid_over=writing and name in foreign and side.policy(name) == "local_wins",
            together=foreign | open_.keys() if foreign else (),
        )
        for name, value in open_.items()
    ]


def _decided(side: _Side, edits: Mapping[str, Any], open_: dict[str, Any], foreign: set[str]) -> tuple[Decision, str]:
    """One decision for all open fields of a unit, given what the CRM's side changed in it."""
    if all(side.kept(name, value) for name, value in open_.items()):
        return "take", THEIRS_ONLY
    filled = [name for name in open_ if side.filled(name)]
    if len(filled) == len(open_):
        return "take", FILLED
    if filled:
        return "conflict", f"{_names(filled)}: {FILLED}"
    unknown = [name for name in open_ if side.unknown(name)]
    if unknown:
        return "conflict", f"{_names(unknown)}: {UNKNOWN}"
    if not foreign:
        return "write", ""
    policies = {side.policy(name) for name in open_}
    return _clash(policies, foreign, [name for name in foreign if not covers(edits, name)])


def _clash(policies: set[Policy], foreign: set[str], uncovered: list[str]) -> tuple[Decision, str]:
    """Both sides changed a unit: the most careful policy of the edited fields decides."""
    both = f"changed in the CRM as well: {_names(foreign)}"
    if "ask" in policies:
        return "conflict", both
    if "remote_wins" in policies:
        return "take", both
    if uncovered:
        return "conflict", f"{both}; what the edit means depends on it"
    return "write", both


def _members(side: _Side, name: str, ours: Any) -> FieldMerge:
    """Tags or line items."""
    base, theirs, policy = value_of(side.base, name), value_of(side.theirs, name), side.policy(name)
    if side.equal(name, ours):
        return side.told(name, ours, "converged")
    if base is not MISSING and side.kept(name, ours):
        return side.told(name, ours, "take", THEIRS_ONLY)
    if policy == "fill_if_blank":
        if is_blank(theirs):
            return side.told(name, ours, "write", value=ours)
        return side.told(name, ours, "take", FILLED)
    if base is MISSING:
        return side.told(name, ours, "conflict", UNKNOWN)
    made = MERGING[name](base or [], ours or [], theirs or [], side.habits)
    if made.clashes and policy == "ask":
        return side.told(name, ours, "conflict", f"changed in the CRM as well: {_names(made.clashes)}")
    value = made.theirs if policy == "remote_wins" else made.ours
    if side.equal(name, value):
        return side.told(name, ours, "take" if made.clashes else "converged")
    return side.told(name, ours, "write", value=value, laid_over=bool(made.clashes) and policy == "local_wins")


def _names(fields: Iterable[str]) -> str:
    return ", ".join(sorted(fields))


def _joined(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {reason}" for name, reason in reasons.items())

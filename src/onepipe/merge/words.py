"""The words of merging: values that are not there, what a merge came to, and what a CRM does to what it is sent.

A record is a mapping from canonical column to Python value: str, Decimal, date, aware datetime, bool, list of str for
`tags`, dict for `custom` and `extra`, list of dicts for `line_items`. None is NULL: the CRM says nothing. MISSING, or
a column that is not in the record: it was not fetched. An edit is a value, or CLEAR.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Literal

from onepipe.merge.scale import Scale

Record = Mapping[str, Any]
Policy = Literal["ask", "remote_wins", "local_wins", "fill_if_blank"]
Decision = Literal["write", "converged", "take", "conflict", "refused"]
Verdict = Literal["write", "converged", "conflict", "refused", "nothing"]


class Mark(Enum):
    """What stands where no value does."""

    MISSING = "missing"
    CLEAR = "clear"

    def __repr__(self) -> str:
        return self.name


MISSING: Final = Mark.MISSING
CLEAR: Final = Mark.CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """What one CRM does to what it is sent, as far as it is known; without any, only what all of them do.

    `scales`: column -> how fine a number it holds. `caseless`: columns whose case it does not keep. `empty`: columns,
    or "custom", where 0 or false is how it shows nothing. `drifting`: names in `extra` that change without a write.
    """

    scales: Mapping[str, Scale] = field(default_factory=dict)
    caseless: frozenset[str] = frozenset()
    empty: frozenset[str] = frozenset()
    drifting: frozenset[str] = frozenset()


PLAIN: Final = Habits()


@dataclass(frozen=True, slots=True)
class FieldMerge:
    """What is done with one edited field, and why.

    `value` is what the CRM should hold afterwards: what to send where `decision` is write (for members, the whole list
    as it should be), else theirs. `laid_over`: theirs was changed by somebody and is written over; keep it. `together`
    names the other members of the merge unit that were changed on either side.
    """

    field: str
    base: Any
    ours: Any
    theirs: Any
    policy: Policy
    decision: Decision
    value: Any
    reason: str = ""
    laid_over: bool = False
    together: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """What is done with one record. `gone`: the CRM no longer has it. `changed`: what a delete would lay over."""

    fields: dict[str, FieldMerge] = field(default_factory=dict)
    gone: bool = False
    reason: str = ""
    changed: tuple[str, ...] = ()
    told: Verdict | None = None

    @property
    def decision(self) -> Verdict:
        """The most pressing of the fields'; beside a conflict, the record's other units are written all the same."""
        if self.told:
            return self.told
        found = {one.decision for one in self.fields.values()}
        order: tuple[Verdict, ...] = ("refused", "conflict", "write", "converged")
        return next((one for one in order if one in found), "nothing")

    @property
    def writes(self) -> dict[str, Any]:
        """Field -> value to send; None clears. Empty: no request is made."""
        return {name: one.value for name, one in self.fields.items() if one.decision == "write"}

    @property
    def laid_over(self) -> dict[str, Any]:
        """Field -> what somebody set in the CRM and `local_wins` writes over."""
        return {name: one.theirs for name, one in self.fields.items() if one.laid_over}


def value_of(record: Record, name: str) -> Any:
    """A field's value in a record: a column, or `custom.KEY` and `extra.NAME` within theirs; MISSING if not fetched.

    A key that `custom` or `extra` was fetched without is NULL.
    """
    if name in record:
        return record[name]
    whole, _, key = name.partition(".")
    inside = record.get(whole) if key else None
    return inside.get(key) if isinstance(inside, Mapping) else MISSING

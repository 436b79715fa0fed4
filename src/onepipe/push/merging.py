"""What is decided on one record: each edit's own base, ours, and theirs as read a moment ago."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onepipe.edit.fields as editing
from onepipe.edit import Asked, Meant, Target
from onepipe.merge import CLEAR, MISSING, Merged, Refused, merge, merge_delete, merge_new, value, value_of
from onepipe.merge.units import groups, rests_on
from onepipe.merge.words import Policy, Record
from onepipe.push.theirs import Theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One record's edits, decided. `theirs` is None where the CRM has the record no more, or not yet.

    `meant` holds what each edit means to this CRM; `seen` is what the decision rests on of theirs, as people write it.
    """

    asked: Asked
    merged: Merged
    theirs: Theirs | None
    meant: Mapping[str, Meant]
    seen: Mapping[str, str | None]

    @property
    def record(self) -> Record:
        """Theirs, column by column; nothing where there is none."""
        return self.theirs.record if self.theirs else {}


def weigh(target: Target, asked: Asked, theirs: Theirs | None, policy: Callable[[str], Policy]) -> Weighed:
    """Decide on one record's edits, given what the CRM holds."""
    record = theirs.record if theirs else {}
    meant, refusals = _meanings(target, asked, record)
    if asked.op == "delete":
        merged = merge_delete(asked.bases[""], theirs.record if theirs else None, target.habits)
    elif asked.op == "create":
        merged = merge_new(asked.ours, policy, refusals)
    else:
        merged = _merged(target, asked, theirs, policy, refusals)
    names = record if asked.op == "delete" else rests_on(asked.ours) if theirs else ()
    return Weighed(asked=asked, merged=merged, theirs=theirs, meant=meant, seen=_shown(record, names))


def based(asked: Asked, fields: Iterable[str]) -> Record | None:
    """The base of fields that are decided together: what the first of their edits rests on, and of each its own.

    So the CRM's side of the unit counts as known only as far as it was known to the edit that knew least of it.
    """
    known = {name: base for name in fields if (base := asked.bases[name]) is not None}
    if not known:
        return None
    order = {edit.field: number for number, edit in enumerate(asked.edits)}
    oldest = min(known, key=lambda name: (asked_of(asked, name).seen is not None, order[name]))
    own = {name: value_of(base, name) for name, base in known.items()}
    return {**known[oldest], **{name: one for name, one in own.items() if one is not MISSING}}


def asked_of(asked: Asked, name: str) -> Any:
    """The edit of a field."""
    return next(edit for edit in asked.edits if edit.field == name)


def _merged(
    target: Target, asked: Asked, theirs: Theirs | None, policy: Callable[[str], Policy], refusals: Mapping[str, str]
) -> Merged:
    """Every unit merged with its own base."""
    if theirs is None:
        return merge(None, asked.ours, None, policy, target.habits)
    parts = []
    for names in groups(asked.ours):
        ours = {name: asked.ours[name] for name in names}
        stopped = {name: refusals[name] for name in names if name in refusals}
        parts.append(merge(based(asked, names), ours, theirs.record, policy, target.habits, stopped))
    return Merged({name: one for part in parts for name, one in part.fields.items()})


def _meanings(target: Target, asked: Asked, record: Record) -> tuple[dict[str, Meant], dict[str, str]]:
    """What each edit means to this CRM now, and why some must not be sent: rules and lists may have changed since."""
    meant, refusals = dict[str, Meant](), dict[str, str]()
    pipeline = {name: one for name, one in asked.ours.items() if name in ("pipeline", "pipeline_id")}
    near = {**record, **({"pipeline_id": None} if pipeline else {}), **pipeline}
    for name, ours in asked.ours.items():
        found: Meant | Refused = _means(target, asked, name, ours, near)
        if isinstance(found, Refused):
            refusals[name] = found.reason
        else:
            meant[name] = found
    return meant, refusals


def _means(target: Target, asked: Asked, name: str, ours: Any, record: Record) -> Meant | Refused:
    if reason := editing.not_written(target, name, new=asked.op == "create"):
        return Refused(reason)
    if ours is CLEAR:
        return editing.cleared(target, name)
    return editing.meant(target, name, value.as_text(ours), record)


def _shown(record: Record, names: Collection[str]) -> dict[str, str | None]:
    known = {name: value_of(record, name) for name in sorted(names) if name not in ("extra", "custom")}
    return {name: value.shown(name, one) for name, one in known.items() if one is not MISSING}

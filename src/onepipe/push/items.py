"""The item of one record: what the report, the tables and people are told of it."""

from collections.abc import Iterator
from typing import Any

from onepipe.control.conflicts import Clash
from onepipe.edit import Asked, slot
from onepipe.merge import FieldMerge, states, value, value_of
from onepipe.push.merging import Weighed
from onepipe.push.site import Site
from onepipe.push.words import Done, DoneField

NOT_SENT: dict[str, str] = {
    "converged": "converged",
    "take": "kept_remote",
    "conflict": "conflict",
    "refused": "refused",
}


def begun(site: Site, weighed: Weighed) -> Done:
    """The item of a record before anything is sent: fields to be written are `ready`."""
    asked, merged = weighed.asked, weighed.merged
    fields = {}
    for name, one in merged.fields.items():
        state = "ready" if one.decision == "write" else "gone" if merged.gone else NOT_SENT[one.decision]
        sides = {"base": one.base, "ours": one.ours, "theirs": one.theirs}
        texts = {side: value.shown(name, it) for side, it in sides.items()}
        message = "; ".join(filter(None, (one.reason, *_neighbours(weighed, one))))
        fields[name] = DoneField(state=state, message=message, now=texts["theirs"], **texts)
    if asked.op == "delete":
        state, message = NOT_SENT.get(merged.decision, "ready"), merged.reason
    else:
        state, message = states.worst(one.state for one in fields.values()), ""
    record = weighed.record or next((base for base in asked.bases.values() if base), {})
    return Done(
        connection=site.name,
        source_id=asked.source_id,
        op=asked.op,
        state=state,
        fields=fields,
        message=message,
        draft=asked.draft,
        name=record.get("name") or asked.ours.get("name"),
    )


def _neighbours(weighed: Weighed, one: FieldMerge) -> Iterator[str]:
    """What became of the fields that a conflict is about, beside its own: nobody could decide without."""
    base = weighed.asked.bases.get(one.field)
    if one.decision != "conflict" or base is None:
        return
    for name in one.together:
        was, is_ = (value.shown(name, value_of(record, name)) for record in (base, weighed.record))
        if was != is_:
            yield f"{name} was {was or 'empty'}, is {is_ or 'empty'}"


def clashes(site: Site, weighed: Weighed, done: Done, push_id: int | None) -> list[Clash]:
    """What of a record a person has to decide."""
    asked, theirs = weighed.asked, weighed.theirs
    where: dict[str, Any] = {
        "connection": site.name,
        "source_id": asked.source_id,
        "draft": asked.draft,
        "push_id": push_id,
        "record": theirs.stored if theirs else None,
    }
    if asked.op == "delete":
        told = Clash(**where, kind="delete", reason=done.message)
        return [told] if done.state == "conflict" else []
    return [
        Clash(
            **where,
            kind="field",
            field=name,
            slot=slot(name),
            base=one.base,
            ours=one.ours,
            theirs=one.theirs,
            reason=one.message,
        )
        for name, one in done.fields.items()
        if one.state == "conflict"
    ]


def who(asked: Asked) -> str:
    """Who asked for it."""
    return ", ".join(dict.fromkeys(edit.actor for edit in asked.edits))


def why(asked: Asked) -> str:
    """The reasons people gave."""
    return "; ".join(dict.fromkeys(edit.reason for edit in asked.edits if edit.reason))

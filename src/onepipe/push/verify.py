"""Reading back: what a write came to is what the CRM shows afterwards, whatever it answered."""

from collections.abc import Sequence
from typing import Any

from onepipe.decode import json_facts
from onepipe.errors import OnepipeError
from onepipe.merge import same, settled, value_of
from onepipe.merge.words import MISSING
from onepipe.push.theirs import Theirs
from onepipe.push.work import Work

AGAIN = 1.0  # seconds until a read-back that shows another value than was sent is made once more
LAID_OVER = (
    "another hand changed {} between our read and our write, and this CRM's form, which sends it along, put the old "
    "one back: look at the deal in the CRM"
)
UNSEEN = "the CRM said yes, and does not show this field"
WORDS = {
    "done_normalised": "the CRM keeps its own form",
    "not_applied": "the CRM said yes and did not do it",
    "overwritten": "the CRM holds something else than was sent: another hand wrote in between, or a rule of its own",
}


def read_back(work: Work, record_id: str, names: Sequence[str], wanted: dict[str, Any]) -> Theirs | None:
    """Read the record and say of each of these fields what its write came to; None where the record is gone.

    A value that is not what was sent is looked at twice. Raises every SourceError.
    """
    fields = work.asked.ours if work.asked.op == "create" else names  # what is still to be written rests on this read
    now = work.site.look(record_id, fields)
    if now is None:
        return None
    states = _states(work, now, names, wanted)
    if {"not_applied", "overwritten"} & set(states.values()):
        work.site.sleep(AGAIN)
        now = work.site.look(record_id, fields) or now
        states = _states(work, now, names, wanted)
    for name, state in states.items():
        work.put([name], state, WORDS.get(state, ""))
        if value_of(now.record, name) is MISSING:
            work.put([name], "done", UNSEEN)
    work.saw(now)
    return now


def laid_over(work: Work, now: Theirs) -> str:
    """What a form laid over, which sends fields along that nobody edited; empty where no stamp tells of such a thing.

    A guarded stamp has moved, and its field is what we sent along: so it was something else in between.
    """
    theirs, writes = work.weighed.theirs, work.site.target.writes
    if theirs is None or writes is None:
        return ""
    sent = {name for one in work.sent if one.answer for name in one.request.carries}
    paths = {path: name for path, name in writes.guards.items() if name in writes.forced and name not in sent}
    before, after = theirs.stored.payload.encode(), now.stored.payload.encode()
    moved = [
        name
        for path, name in paths.items()
        if json_facts(before, path) != json_facts(after, path) and json_facts(before, name) == json_facts(after, name)
    ]
    return LAID_OVER.format(", ".join(moved)) if moved and sent else ""


def shows(work: Work, now: Theirs, names: Sequence[str], wanted: dict[str, Any]) -> bool:
    """Whether the CRM holds all that was wanted."""
    habits = work.site.target.habits
    return all(same(name, wanted[name], value_of(now.record, name), habits) for name in names)


def _states(work: Work, now: Theirs, names: Sequence[str], wanted: dict[str, Any]) -> dict[str, str]:
    foreign, habits = _foreign(work, now), work.site.target.habits
    derived = work.site.target.writes.derived if work.site.target.writes else ()
    found = dict[str, str]()
    for name in names:
        held = value_of(now.record, name)
        if held is MISSING:
            found[name] = "done"
            continue
        before = value_of(work.weighed.record, name) if work.weighed.theirs else None
        state: str = settled(name, None if before is MISSING else before, wanted[name], held, habits, foreign)
        found[name] = "done_normalised" if name in derived and state == "overwritten" else state
    return found


def _foreign(work: Work, now: Theirs) -> bool | None:
    """Whether the CRM's stamps tell that another hand wrote in between; they do for a single request at most."""
    theirs, [*sent] = work.weighed.theirs, [one for one in work.sent if one.answer or one.lost]
    if theirs is None or len(sent) != 1 or sent[0].answer is None:
        return None
    change = dict.fromkeys(sent[0].request.carries)
    before, after = theirs.stored.payload.encode(), now.stored.payload.encode()
    try:
        return work.site.connector.foreign(before, sent[0].answer, after, change)
    except OnepipeError:
        return None

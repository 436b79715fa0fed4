"""What a run of pushes wrote, as the outbox remembers it: what can be taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from onepipe.control import Attempt, Entry, Outbox, Push
from onepipe.push.theirs import stored_of
from onepipe.records import Stored

WROTE = ("done", "done_normalised", "overwritten")
UNSURE = ("sending", "unknown", "ambiguous")


@dataclass(frozen=True, kw_only=True)
class Written:
    """What one push wrote in a run: its fields with their states, and the record as read before and after.

    `unsure`: it may have been carried out, and nobody knows yet.
    """

    push: Push
    fields: Mapping[str, str] = field(default_factory=dict)
    before: Stored | None = None
    after: Stored | None = None
    unsure: bool = False


def written(outbox: Outbox, run_id: str) -> list[Written]:
    """What the pushes of a run wrote, or may have written; those that wrote nothing are left out.

    What followed the making of a record is told with it, as one.
    """
    found = (_of_push(outbox, push, run_id) for push in outbox.of_run(run_id))
    return _joined([one for one in found if one is not None])


def _of_push(outbox: Outbox, push: Push, run_id: str) -> Written | None:
    if push.run_id == run_id and push.state in UNSURE:
        return Written(push=push, unsure=True)
    lines, sent = outbox.lines(push.push_id), outbox.attempts(push.push_id)
    number = _outcome(lines, sent, push, run_id)
    if number is None:
        return None
    told = lines[number].told["push"]
    wrote = {name: one["state"] for name, one in told["fields"].items() if one["state"] in WROTE}
    if not wrote and (push.op == "update" or told["state"] not in WROTE):
        return None
    since = max((line.at for line in lines[:number] if _said(line, "state") not in UNSURE), default="")
    before = [one.before for one in sent if one.sent_at >= since and one.outcome != "unapplied"]
    return Written(
        push=push,
        fields=wrote,
        before=stored_of(before[0]) if before and before[0] else None,
        after=lines[number].read,
    )


def _outcome(lines: Sequence[Entry], sent: Sequence[Attempt], push: Push, run_id: str) -> int | None:
    """Which line of a push tells what the run's requests came to: its last, or one of a later run that found out."""
    ours = [number for number, line in enumerate(lines) if _said(line, "run_id") == run_id]
    if not ours and push.run_id == run_id and sent:  # killed before it could say anything
        ours = [number for number, line in enumerate(lines) if line.at >= sent[-1].sent_at]
    if not ours:
        return None
    return next((number for number in range(ours[-1], len(lines)) if _said(lines[number], "state") not in UNSURE), None)


def _said(line: Entry, key: str) -> str | None:
    said: str | None = line.told.get("push", {}).get(key)
    return said


def _joined(found: Sequence[Written]) -> list[Written]:
    """Of a record made in the run, one for all: to take it back is to delete it, as it was read last."""
    made = {(one.push.connection, one.push.source_id): one for one in found if one.push.op == "create"}
    last = {(one.push.connection, one.push.source_id): one.after for one in found if one.after is not None}
    joined = []
    for one in found:
        key = (one.push.connection, one.push.source_id)
        if made.get(key, one) is one:
            joined.append(replace(one, after=last.get(key)) if key in made else one)
    return joined

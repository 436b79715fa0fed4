"""What a call is, and what its outbox row, its item in the report and its journal line say of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onepipe.connector import Action, Request
from onepipe.control import Push
from onepipe.control.conflicts import Clash
from onepipe.control.stored import instant_text
from onepipe.merge import states
from onepipe.push.site import Site
from onepipe.push.theirs import Theirs, landed, stored_document, stored_of
from onepipe.push.words import Done, DoneField, plain


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is to be called, on which record, with which words."""

    action: Action
    record_id: str
    given: Mapping[str, str]
    reason: str = ""

    def asked(self, look: Any) -> dict[str, Any]:
        """What the outbox keeps; `look` is what was seen before it."""
        return {"action": self.action.name, "given": dict(self.given), "look": look}

    def is_of(self, push: Push) -> bool:
        """Whether a push is the same call."""
        same = (push.op, push.source_id) == ("call", self.record_id)
        return same and (push.asked["action"], push.asked["given"]) == (self.action.name, dict(self.given))


def look(site: Site, action: str, record_id: str, given: Mapping[str, str]) -> Any:
    """What the call changes, as it is now and as JSON keeps it; None where nobody can tell."""
    return json.loads(json.dumps(site.connector.look(action, record_id, given)))


def words(push: Push) -> str:
    """What was called, as people write it."""
    return " ".join(f"{name}={value}" for name, value in push.asked["given"].items())


def settle(
    site: Site,
    push: Push,
    state: str,
    message: str,
    *,
    read: Theirs | None = None,
    found: Any = None,
    next_at: datetime | None = None,
) -> Done:
    """Put the call into a state, durably, with its journal line."""
    done = item(push, state, message, found)
    done.next_at = instant_text(next_at) if next_at else None
    attempts = site.outbox.attempts(push.push_id)
    told = {"push": _told(site, push, done, [one.request for one in attempts]), "before": None, "gone_at": None}
    if read is not None and attempts[-1].before:
        told["before"] = stored_document(landed(stored_of(attempts[-1].before)))
    kept = landed(read.stored) if read else None
    site.outbox.settle(push.push_id, site.number, state, told, message=message, read=kept, next_at=next_at)
    if states.STATES[state].final:
        meet(site, push)
    return done


def item(push: Push, state: str, message: str, found: Any) -> Done:
    """A call in the report; its one field is the action, with what was seen of it before and after."""
    seen, now = (None if one is None else json.dumps(one, ensure_ascii=False) for one in (push.asked["look"], found))
    sides = DoneField(state=state, ours=words(push), theirs=seen, now=now, message=message)
    return Done(
        connection=push.connection,
        source_id=push.source_id,
        op="call",
        state=state,
        fields={push.asked["action"]: sides},
        message=message,
        push_id=push.push_id,
    )


def _told(site: Site, push: Push, done: Done, requests: list[str]) -> dict[str, Any]:
    """The row of the table pushes."""
    sent = [plain(Request.restored(one).document()) for one in requests]
    return {
        "push_id": str(push.push_id),
        "run_id": push.run_id,
        "connection": push.connection,
        "source_id": push.source_id,
        "op": "call",
        "state": done.state,
        "fields": done.document()["fields"],
        "request": sent[0] if sent else None,
        "reason": push.reason,
        "requested_by": push.actor,
        "created_at": push.created_at,
        "finished_at": instant_text(site.now()) if states.STATES[done.state].final else None,
        "message": done.message,
    }


def meet(site: Site, push: Push, *clashes: Clash) -> None:
    """Say which conflicts the record has on account of this call; the others it has stay."""
    mine = [one for one in site.conflicts.open({site.name}) if one.source_id == push.source_id]
    others = [one for one in mine if one.push_id != push.push_id or one.kind != "lost"]
    if clashes or len(others) < len(mine):
        site.conflicts.meet(site.name, push.source_id or "", [*others, *clashes])

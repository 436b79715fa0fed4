"""Actions that are no edits of fields: written down, sent once, and never sent again by us.

    read and look -> outbox -> attempt -> (the request) -> answered -> read again -> settle

What a call may have done although its answer was lost is told by looking, here and in later runs (`settle_lost`).
"""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import onepipe.push.callrow as row
from onepipe.connector import Answer, Writes
from onepipe.control import Push
from onepipe.control.conflicts import Clash
from onepipe.control.stored import instant
from onepipe.edit import actor
from onepipe.errors import Gone, OnepipeError, RateLimited, Rejected, UsageError
from onepipe.merge import states
from onepipe.pull import unforeseen
from onepipe.push.site import Site
from onepipe.push.theirs import Theirs, stored_document
from onepipe.push.words import Done

NOT_AGAIN = "it is not sent again by itself"


def send(site: Site, call: row.Call) -> tuple[Done, Answer | None]:
    """Send a call, unless the same one may have happened already; what became of it, and what the CRM answered.

    Raises Gone, UsageError and every SourceError before anything is written down or sent.
    """
    earlier = _earlier(site, call)
    if earlier is not None:
        return earlier, None
    try:
        before = site.read(call.record_id)
    except Gone as gone:
        told = f"there is no deal {call.record_id} in {site.name} that this credential may see"
        raise Gone(f"{told}; nothing was sent") from gone
    request = site.connector.act(call.action.name, call.record_id, call.given)
    push = _written_down(site, call, row.look(site, call.action.name, call.record_id, call.given))
    n = site.outbox.attempt(push.push_id, site.number, request.stored().decode(), stored_document(before.stored))
    if n is None:
        raise AssertionError(f"push {push.push_id} carries no edit that could be dropped")
    try:
        answer = site.connector.send(request)
    except OnepipeError as error:
        return _failed(site, push, n, error), None
    except Exception as error:
        return _failed(site, push, n, unforeseen(error)), None
    kept = {"status": answer.status, "answer": answer.content[:4000].decode(errors="replace")}
    site.outbox.answered(push.push_id, n, site.number, "answered", json.dumps(kept))
    return _done(site, push, ""), answer


def settle_lost(site: Site, push: Push) -> Done:
    """Find out what became of a call that was left open, by looking; it is never sent.

    `push` was taken over under this site's lease. Raises every SourceError of the look.
    """
    attempts = site.outbox.attempts(push.push_id)
    if not attempts:
        return row.settle(site, push, "dead", "it was never sent, because the process ended before; call it again")
    if push.state != "ambiguous" and attempts[-1].outcome == "answered":
        return _done(site, push, "the CRM said yes; the process ended before that was noted")
    if push.state != "ambiguous" and attempts[-1].outcome == "unapplied":
        return row.settle(site, push, "not_applied", f"{attempts[-1].answer} Nothing was changed; call it again")
    try:
        found = row.look(site, push.asked["action"], push.source_id or "", push.asked["given"])
    except Gone as gone:
        return row.settle(site, push, "gone" if push.state == "unknown" else "dead", gone.message)
    except UsageError:  # the connector has changed since
        found = None
    if found is None or push.asked["look"] is None:
        return _ambiguous(site, push)
    site.outbox.looked(push.push_id, found)
    if found != push.asked["look"]:
        return _done(site, push, "its answer was lost, and reading shows that it happened", found)
    return _unseen(site, push, found)


def _earlier(site: Site, call: row.Call) -> Done | None:
    """The same call from before, if it happened meanwhile or may have; None where nothing stands against calling."""
    for push in site.outbox.waiting({site.name}):
        claimed = site.outbox.claim(push.push_id, site.number) if call.is_of(push) else None
        if claimed is None:
            continue
        done = settle_lost(site, claimed)
        if states.STATES[done.state].group == "failed":  # it certainly did not happen
            continue
        told = f"this is push {push.push_id}, the same call, and nothing was sent now: {done.message}"
        return replace(done, message=told)
    return None


def _written_down(site: Site, call: row.Call, look: Any) -> Push:
    """The call in the outbox, taken under our lease."""
    push_id = site.outbox.add(
        site.run_id,
        site.name,
        "call",
        call.asked(look),
        source_id=call.record_id,
        reason=call.reason,
        actor=actor(),
    )
    push = site.outbox.claim(push_id, site.number) if push_id is not None else None
    if push is None:
        raise AssertionError(f"{site.name} {call.record_id}: a call that was just written down is not there")
    return push


def _failed(site: Site, push: Push, n: int, error: OnepipeError) -> Done:
    """A request that brought no yes."""
    site.outbox.answered(push.push_id, n, site.number, "unapplied" if error.unapplied else "lost", error.message)
    if isinstance(error, Rejected):
        said = "; ".join(f"{name}: {told}" if name else told for name, told in error.words.items())
        return row.settle(site, push, "rejected", said or error.message)
    if isinstance(error, Gone):
        return row.settle(site, push, "gone", error.message)
    if error.unapplied:
        until = error.until if isinstance(error, RateLimited) else None
        when = f"call it again after {until:%Y-%m-%d %H:%M:%S} UTC" if until else "call it again when that is put right"
        return row.settle(site, push, "dead", f"{error.message} Nothing was changed; {when}")
    return _lost(site, push, error)


def _lost(site: Site, push: Push, error: OnepipeError) -> Done:
    """A lost answer: unknown at first; looked at now and, where that shows nothing, once more when lists have settled.

    A look that fails leaves it as it is: a later run looks again.
    """
    told = f"it may have happened, and {NOT_AGAIN}; {_next(site, push)} ({error.message.rstrip('.')})"
    lag, late = _times(site)
    done = row.settle(site, push, "unknown", told, next_at=site.now() + max(lag, late))
    for pause in (0.0, lag.total_seconds()) if push.asked["look"] is not None else ():
        if pause:
            site.sleep(pause)
        with suppress(OnepipeError):
            done = settle_lost(site, _as_it_is(site, push))
        if done.state != "unknown":
            break
    return done


def _done(site: Site, push: Push, message: str, look: Any = None) -> Done:
    """It happened: read the record again, so that what it did is in the warehouse."""
    now: Theirs | None = None
    record_id, asked = push.source_id or "", push.asked
    try:
        now = site.read(record_id, _detailed(site))
        look = look if look is not None else row.look(site, asked["action"], record_id, asked["given"])
    except OnepipeError as error:
        unread = f"the record could not be read again, which a later sync does: {error.message}"
        message = "; ".join(filter(None, (message, unread)))
    if not message and look is not None and look == asked["look"]:
        message = "the CRM said yes, and reading shows no difference: it was so already, or will show later"
    return row.settle(site, push, "done", message, read=now, found=look)


def _unseen(site: Site, push: Push, found: Any) -> Done:
    """Looked for and not found: it did not happen once two looks, with time between, have found nothing of it."""
    lag, late = _times(site)
    looks = site.outbox.looks(push.push_id)
    due = max(instant(site.outbox.attempts(push.push_id)[-1].sent_at) + late, instant(looks[0][0]) + lag)
    if len(looks) > 1 and site.now() >= due and push.state == "unknown":
        told = f"its answer was lost, and {len(looks)} looks found nothing of it; call it again if it is still wanted"
        return row.settle(site, push, "not_applied", told, found=found)
    told = (
        push.message
        or f"it may have happened, and {NOT_AGAIN}; `onepipe push apply --connection {site.name}` looks again"
    )
    return row.settle(site, push, push.state, told, found=found, next_at=due)


def _ambiguous(site: Site, push: Push) -> Done:
    """Nothing tells: a person has to look in the CRM, and say so."""
    told = f"it may have happened, and no read tells; {NOT_AGAIN}: look in the CRM, then resolve the conflict"
    known = push.state == "ambiguous"
    done = row.item(push, push.state, push.message, None) if known else row.settle(site, push, "ambiguous", told)
    clash = Clash(
        connection=site.name,
        source_id=push.source_id,
        draft=None,
        kind="lost",
        field=push.asked["action"],
        push_id=push.push_id,
        ours=row.words(push),
        reason="the answer to this call was lost, and no read tells whether it happened",
    )
    row.meet(site, push, clash)
    return done


def _next(site: Site, push: Push) -> str:
    """What people can do about a call that may have happened."""
    command = f"`onepipe push apply --connection {site.name}`"
    if push.asked["look"] is None:
        return f"no read tells: look in the CRM; {command} makes a conflict of it, for you to decide"
    return f"{command} looks again"


def _as_it_is(site: Site, push: Push) -> Push:
    """The push as it stands in the outbox now."""
    found = site.outbox.get(push.push_id)
    if found is None:
        raise AssertionError(f"push {push.push_id} is not in the outbox any more")
    return found


def _times(site: Site) -> tuple[timedelta, timedelta]:
    """How late lists may show what was done, and how long after a lost answer it may still be done."""
    writes = site.connector.writes or Writes(required=())
    return writes.lag, writes.late


def _detailed(site: Site) -> list[str]:
    """The columns that sub-requests tell, as far as this connection asks for them."""
    asked = set(site.target.reading.details)
    return [
        name
        for name, made in site.target.mapping.fields.items()
        if any(source.root == "@" and source.steps[0] in asked for source in made.sources)
    ]

"""What an earlier run left open: requests that may have been carried out. Reads decide, or a person does."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import onepipe.push.calls as calls
from onepipe.connector import Request
from onepipe.control import Attempt, Push
from onepipe.control.conflicts import Clash
from onepipe.control.stored import instant, instant_text
from onepipe.edit import Asked
from onepipe.errors import UsageError
from onepipe.project import Project
from onepipe.push.halting import Halted
from onepipe.push.made import Sighted, adopt, finish, made, sent_at
from onepipe.push.sending import decided
from onepipe.push.site import Site, open_site, reading
from onepipe.push.words import Done
from onepipe.push.work import Work, taken

OPEN = ("sending", "unknown", "ambiguous")
RESTORED = "it was restored from a backup, and nobody knows when it may have been sent since"


def settle_lost(site: Site, push: Push, asked: Asked | None) -> Done | None:
    """Find out what became of a push; None where it certainly did nothing, and its edits go on like any others.

    Raises every SourceError of the reads, Halted and LeaseHeld.
    """
    if push.op == "call":
        return calls.settle_lost(site, push)
    if asked is None:
        return _forgotten(site, push)
    if push.op == "create":
        return _create(site, push, asked)
    return _written(site, push, asked)


def close(site: Site, push: Push) -> None:
    """Close a push that nothing is wanted of any more: a person kept the CRM's value, or dropped its edits."""
    kept = push.state == "conflict"
    state = "kept_remote" if kept else "dead"
    message = "the CRM's value was kept: a person decided so" if kept else "its edits were dropped"
    lines = [line.told["push"] for line in site.outbox.lines(push.push_id) if line.told.get("push")]
    told = {**lines[-1], "state": state, "message": message, "finished_at": instant_text(site.now())} if lines else None
    site.outbox.settle(push.push_id, site.number, state, {"push": told}, message=message)


def link(project: Project, push_id: int, source_id: str, agreed: Callable[[], object] = lambda: None) -> Done:
    """A person says which record a lost create made: read it, and settle the push with it. Nothing is sent: what is
    still to be written to it waits for the next run.

    `agreed` is called once the record was read, before anything is settled.
    Raises UsageError where that push is no create that may have happened, Gone where there is no such record.
    """
    push = project.control.outbox.get(push_id)
    if push is None or push.op != "create" or push.state not in OPEN:
        raise UsageError(f"push {push_id} is no creation whose answer was lost; nothing was decided")
    connection = project.config.connections[push.connection]
    with (
        project.control.lease(f"connection:{push.connection}") as lease,
        reading(project) as reader,
        open_site(project, connection, reader, run_id=push.run_id, lease=lease) as site,
    ):
        [held] = [one for one in site.outbox.recovered(push.connection, lease.number) if one.push_id == push_id]
        asked = next(one for one in site.asked if one.draft == push.draft)
        site.read(source_id)
        agreed()
        try:
            return adopt(taken(site, decided(site, asked, None), held), source_id)[0]
        except Halted as halted:  # it could not be read a second time, which the next run does
            return halted.done


def proven(site: Site, push_id: int, sent: datetime) -> bool:
    """Whether a request is proved not to have happened: two looks with time between found nothing, the last of them
    later than the CRM may still carry it out.
    """
    writes = site.target.writes
    lag, late = (writes.lag, writes.late) if writes else (timedelta(), timedelta())
    times = [instant(at) for at, found in site.outbox.looks(push_id) if not _found(found)]
    return len(times) > 1 and times[-1] - times[0] >= lag and times[-1] - sent >= late


def _found(look: Any) -> bool:
    return bool(look.get("found")) or bool(look.get("there") and look.get("shows"))


def _create(site: Site, push: Push, asked: Asked) -> Done | None:
    work = taken(site, decided(site, asked, None), push)
    attempts = site.outbox.attempts(push.push_id)
    told = _told_id(attempts)
    if not told and "restored" in push.asked:
        return _ambiguous(work, push, None, RESTORED)
    found = Sighted([told], []) if told else made(site, work.weighed, sent_at(site, push.push_id))
    if found is not None and found.sure:
        return finish(work, found.sure)
    site.outbox.looked(push.push_id, {"found": None if found is None else found.all})
    names = list(work.weighed.merged.writes)
    if found is None or found.all:
        return _ambiguous(work, push, None if found is None else found.all)
    if proven(site, push.push_id, sent_at(site, push.push_id)):
        work.settle("ready", "two looks found no such record: it is sent again")
        return None
    again = sent_at(site, push.push_id) + (site.target.writes.late if site.target.writes else timedelta())
    when = f"{again.astimezone(UTC):%H:%M:%S} UTC"
    message = f"no such record is there so far; `onepipe push apply` after {when} may decide"
    work.put(names, "unknown", message)
    return _still(work, push, "unknown")


def _ambiguous(work: Work, push: Push, found: list[str] | None, told: str = "this CRM has no list to look in") -> Done:
    """Several records may be it, or none can be asked for, as is `told`: a person has to say."""
    there = f"one of these may be it: {', '.join(found)}" if found else told
    message = f"it may have been made; {there}"
    work.put(list(work.weighed.merged.writes), "ambiguous", message)
    done = _still(work, push, "ambiguous")
    done.message = f"{message}; `onepipe conflicts list` says how to decide"
    clash = Clash(
        connection=work.site.name,
        source_id=None,
        draft=push.draft,
        kind="lost",
        push_id=push.push_id,
        ours=work.done.name,
        theirs=", ".join(found or []) or None,
        reason=message,
    )
    work.site.conflicts.meet(work.site.name, work.record, [clash])
    return done


def _written(site: Site, push: Push, asked: Asked) -> Done | None:
    """An update or a delete: what the CRM holds now tells."""
    weighed = decided(site, asked, site.look(push.source_id or "", asked.ours))
    work = taken(site, weighed, push)
    attempts = site.outbox.attempts(push.push_id)
    work.before = attempts[-1].before if attempts else None
    work.sent = []
    if weighed.theirs is None:
        gone = push.op == "delete"
        work.put(list(work.done.fields), "gone", weighed.merged.reason)
        return work.settle("done" if gone else "gone", "" if gone else weighed.merged.reason, gone_at=_gone(site, gone))
    names = [name for name in push.asked["writes"] if name in work.done.fields]
    shown = bool(names) and all(work.done.fields[name].state == "converged" for name in names)
    site.outbox.looked(push.push_id, {"there": True, "shows": shown})
    if shown:
        work.put(names, "done", "the answer was lost; the CRM holds it")
        return work.settle(read=weighed.theirs)
    if any(_adds(one) for one in attempts) and not proven(site, push.push_id, sent_at(site, push.push_id)):
        work.put(names, "unknown", "a new line may have been added; it is looked for again before anything is sent")
        return _still(work, push, "unknown")
    partly = any(work.done.fields[name].state == "converged" for name in names)
    work.settle("ready", "the CRM does not hold it all: it is sent again", read=weighed.theirs if partly else None)
    return None


def _gone(site: Site, gone: bool) -> datetime | None:
    return site.now() if gone else None


def _still(work: Work, push: Push, state: str) -> Done:
    """The item of a push that stays open; written down only where its state is another than before."""
    work.done.state = state
    if push.state != state:
        return work.settle(state)
    work.done.message = next((one.message for one in work.done.fields.values() if one.message), "")
    return work.done


def _forgotten(site: Site, push: Push) -> Done:
    """A push whose edits are wanted no more, as after the connection was bound to another account."""
    return Done(
        connection=site.name,
        source_id=push.source_id,
        op=push.op,
        state=push.state if push.state != "sending" else "unknown",
        message="its edits are wanted no more, and it may have been carried out: look in the CRM",
        draft=push.draft,
        push_id=push.push_id,
    )


def _told_id(attempts: list[Attempt]) -> str | None:
    """The id that a create's answer told, where one came."""
    told = [json.loads(one.answer).get("made") for one in attempts if one.outcome == "answered" and one.answer]
    return next((str(one) for one in told if one), None)


def _adds(attempt: Attempt) -> bool:
    """Whether a request may add a line once more if it is repeated."""
    request = Request.restored(attempt.request)
    return attempt.outcome in (None, "lost") and request.method == "POST" and "line_items" in request.carries

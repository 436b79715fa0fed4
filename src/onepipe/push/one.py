"""One record's edits, from the read before the write to the read after it."""

from collections.abc import Sequence

from onepipe.edit import Asked
from onepipe.errors import (
    BadPayload,
    Gone,
    OnepipeError,
    Rejected,
    SourceError,
    UsageError,
)
from onepipe.merge.units import groups
from onepipe.push.halting import Halted, halt_of, halted, patiently
from onepipe.push.items import begun
from onepipe.push.merging import Weighed
from onepipe.push.sending import apart, carried, change_of, decided, named, requests
from onepipe.push.site import Site
from onepipe.push.verify import laid_over, read_back, shows
from onepipe.push.words import Done, Item
from onepipe.push.work import Withdrawn, Work, begin

LOOK_AGAIN = 2.0  # seconds until a lost answer is looked after again
EDITED = "the edits of this record have changed since"
UNTOLD = "no usable answer came, and the CRM does not show it yet"


def carry_out(site: Site, asked: Asked, planned: Item | None = None) -> Done:
    """An update or a delete: read, decide, send, read back. Raises Halted, LeaseHeld, and SourceError of the read."""
    weighed = decided(site, asked, site.look(asked.source_id or "", asked.ours))
    work = begin(site, weighed)
    if work is None:
        return unclear(begun(site, weighed))
    if planned is not None and (reason := stale(planned, weighed)):
        return _stale(work, reason)
    if weighed.merged.gone and asked.op == "update":
        return work.settle("gone", weighed.merged.reason)
    try:
        if asked.op == "delete":
            return _delete(work)
        return _update(work)
    except Withdrawn:
        return work.settle("stale", EDITED)


def stale(planned: Item, weighed: Weighed) -> str:
    """What has changed since a plan was made; empty where nothing did, or where nothing is to be sent any more."""
    if set(planned.edits) != {edit.edit_id for edit in weighed.asked.edits}:
        return EDITED
    if weighed.merged.gone or (weighed.asked.op == "update" and weighed.merged.decision in ("converged", "nothing")):
        return ""
    names = planned.seen.keys() | weighed.seen.keys()
    moved = sorted(name for name in names if planned.seen.get(name) != weighed.seen.get(name))
    return f"changed in the CRM since the plan: {', '.join(moved)}" if moved else ""


def unclear(done: Done) -> Done:
    """The item of a record whose earlier push may have been carried out."""
    done.state = "unknown"
    done.message = "an earlier push of it may have been carried out; `onepipe push apply` looks before it sends again"
    return done


def send_fields(work: Work, names: Sequence[str]) -> list[str]:
    """Send what these fields need; those that the CRM may have taken. What it refuses is said of each field.

    Where it names the fields it refuses, the others of the record are sent without them and all that goes with them.
    """
    left, taken = list(names), list[str]()
    while left:
        blamed = _round(work, left, taken)
        left = [name for name in left if name not in taken and work.done.fields[name].state == "ready"]
        if not blamed:
            break
    return [*taken, *left]  # what needed no request is read back like the rest


def verified(
    work: Work, record_id: str, names: Sequence[str], *, source_id: str | None = None, wait_for: Sequence[str] = ()
) -> Done:
    """Read back what was sent, and settle; `wait_for` are fields that follow. What cannot be read is unknown."""
    wanted = work.weighed.merged.writes
    try:
        now = read_back(work, record_id, names, wanted)
    except SourceError as error:
        work.put(names, "unknown", f"sent, and it could not be read back: {error.message}")
        done = work.settle("unknown")
        halt = halt_of(error, work.site.now())
        if halt is not None:
            raise Halted(done, halt) from error
        return done
    if now is None:
        work.put(names, "gone", "the record was gone when it was read back")
        return work.settle(source_id=source_id)
    laid = laid_over(work, now)
    return work.settle("overwritten" if laid else None, laid, read=now, source_id=source_id, wait_for=wait_for)


def _update(work: Work) -> Done:
    names = list(work.weighed.merged.writes)
    if not names:
        return work.settle()
    try:
        taken = send_fields(work, names)
    except UsageError as error:  # before anything was sent
        against = apart(work.site, work.weighed, names, error.message)
        for name, reason in against.items():
            work.put([name], "refused", reason)
        left = [name for name in names if name not in against]
        taken = send_fields(work, left) if left else []
    except _Stopped as stopped:
        return _after(work, names, stopped)
    if taken:
        return verified(work, work.record, taken)
    if any(isinstance(one.error, Rejected) for one in work.sent) and _lacks(work):
        work.put(names, "gone", "the CRM no longer has this record")
    return work.settle()


def _lacks(work: Work) -> bool:
    """Whether the record is gone: some CRMs refuse an id they do not know like a wrong value."""
    try:
        return work.site.ask(work.record) is None
    except SourceError:
        return False


def _delete(work: Work) -> Done:
    if work.weighed.merged.decision != "write" or work.weighed.theirs is None:
        return work.settle(work.done.state, work.done.message)
    [request] = requests(work.site, work.weighed, {})
    sent = patiently(work, request)
    if sent.error is not None and sent.error.unapplied and not isinstance(sent.error, Gone):
        return halted(work, sent.error)
    try:
        there = work.site.look(work.record)
    except SourceError as error:
        return work.settle("unknown", f"sent, and it could not be read back: {error.message}")
    if there is None:
        return work.settle("done", gone_at=work.site.now())
    if sent.lost:
        return work.settle("unknown", UNTOLD)
    return work.settle("not_applied", "the CRM said yes, and still has the record", read=there)


class _Stopped(Exception):
    """The requests of a record ended before all were made."""

    def __init__(self, error: OnepipeError, taken: list[str]) -> None:
        super().__init__(error.message)
        self.error = error
        self.taken = taken


def _round(work: Work, left: list[str], taken: list[str]) -> bool:
    """Send once what these fields need; whether the CRM refused some of them by name, and others are left to try."""
    site, target = work.site, work.site.target
    for request in requests(site, work.weighed, change_of(site, work.weighed, left)):
        names = [name for name in carried(target, work.weighed, left, request) if name not in taken]
        sent = patiently(work, request)
        if isinstance(sent.error, Rejected):
            blamed = _blamed(work, sent.error, names or left)
            if blamed and set(names) - blamed.keys():
                return True
        elif isinstance(sent.error, Gone):
            work.put([name for name in left if name not in taken], "gone", sent.error.message)
            return False
        elif sent.error is not None:
            raise _Stopped(sent.error, [*taken, *(names if sent.lost else [])])
        else:
            taken += names
    return False


def _blamed(work: Work, error: Rejected, names: Sequence[str]) -> dict[str, str]:
    """Say of each field what the CRM said; those it named, with all that is decided together with them."""
    told = named(work.site.target, error.words, names)
    units = [unit for unit in groups(names) if set(unit) & told.keys()]
    refused = {name: told.get(name, error.message) for unit in units for name in unit}
    for name in refused or names:
        words = refused.get(name) or "; ".join(f"{key} {text}".strip() for key, text in error.words.items())
        work.put([name], "rejected", words or error.message)
    return refused


def _after(work: Work, names: Sequence[str], stopped: _Stopped) -> Done:
    """A request that did nothing for now, or one whose answer was lost: the CRM's own state decides."""
    if not stopped.taken:
        return halted(work, stopped.error)
    if work.sent[-1].lost:
        return _lost(work, names, stopped)
    work.put([name for name in names if name not in stopped.taken], "waiting", stopped.error.message)
    done = verified(work, work.record, stopped.taken)
    halt = halt_of(stopped.error, work.site.now())
    if halt is not None:
        raise Halted(done, halt)
    return done


def _lost(work: Work, names: Sequence[str], stopped: _Stopped) -> Done:
    """Look whether a request whose answer was lost was carried out; what cannot be told yet stays unknown."""
    wanted, now = work.weighed.merged.writes, None
    for pause in (0.0, LOOK_AGAIN):
        if pause:
            work.site.sleep(pause)
        try:
            now = work.site.look(work.record, names)
        except SourceError:
            continue
        work.site.outbox.looked(work.push_id, {"there": now is not None})
        if now is not None and shows(work, now, stopped.taken, wanted):
            return verified(work, work.record, stopped.taken)
    left = [name for name in names if work.done.fields[name].state == "ready"]
    if now is not None and isinstance(stopped.error, BadPayload):  # it had answered, so nothing is on its way any more
        work.put(left, "rejected", stopped.error.message)
        return work.settle(read=now)
    work.put(left, "unknown", UNTOLD)
    return work.settle("unknown", f"{UNTOLD}: {stopped.error.message}")


def _stale(work: Work, reason: str) -> Done:
    for one in work.done.fields.values():
        one.state, one.message = "stale", reason
    return work.settle("stale", reason)

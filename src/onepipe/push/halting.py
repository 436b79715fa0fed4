"""Requests that certainly did nothing: tried again after a short wait, or the reason to stop with a connection."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from onepipe.connector import Request
from onepipe.errors import AuthRefused, OnepipeError, RateLimited, Unavailable, WriteRefused
from onepipe.push.site import Site
from onepipe.push.words import Done
from onepipe.push.work import Sent, Work

PAUSES = (1.0, 4.0)  # seconds before a request that certainly did nothing is sent again
LONGEST = timedelta(seconds=60)  # a longer wait ends the connection's part of the run
LATER = timedelta(minutes=1)
TRIES = 10  # runs in which a request did nothing, until the push is given up


@dataclass(frozen=True, slots=True)
class Halt:
    """Why the rest of a connection is not attempted in this run, and the state its records are in."""

    state: str
    error: OnepipeError
    next_at: datetime | None = None


class Halted(Exception):
    """This record is settled, and the connection's others are not attempted."""

    def __init__(self, done: Done, halt: Halt) -> None:
        super().__init__(halt.error.message)
        self.done = done
        self.halt = halt


def halt_of(error: OnepipeError, now: datetime) -> Halt | None:
    """What an error that did nothing means for the rest of the connection; None where it is this record's alone."""
    if isinstance(error, AuthRefused):
        return Halt("ready", error)
    if isinstance(error, RateLimited):
        return Halt("waiting", error, error.until or now + LATER)
    if isinstance(error, Unavailable) and not error.lasting:
        return Halt("waiting", error, now + LATER)
    return None


def halted(work: Work, error: OnepipeError) -> Done:
    """Settle a push whose request certainly did nothing. Raises Halted where the connection has to stop."""
    halt = halt_of(error, work.site.now())
    names = [name for name, one in work.done.fields.items() if one.state == "ready"]
    if halt is None:
        state = "refused" if isinstance(error, WriteRefused) else "rejected"
        work.put(names, state, error.message)
        return work.settle(None if names else state, "" if names else error.message)
    state = "dead" if isinstance(error, Unavailable) and _given_up(work) else halt.state
    work.put(names, state, error.message)
    done = work.settle(None if names else state, error.message, next_at=halt.next_at)
    raise Halted(done, halt)


def _given_up(work: Work) -> bool:
    """Whether the CRM could not be reached in so many runs; one that asks to wait is waited for, however long."""
    push = work.site.outbox.get(work.push_id)
    return push is not None and push.tries >= TRIES * (len(PAUSES) + 1)


def patiently(work: Work, request: Request) -> Sent:
    """Send a request, again after a short wait where it certainly did nothing and may do better."""
    sent = work.send(request)
    for pause in PAUSES:
        wait = _wait(work.site, sent.error, pause)
        if wait is None:
            break
        work.site.sleep(wait)
        sent = work.send(request)
    return sent


def _wait(site: Site, error: OnepipeError | None, pause: float) -> float | None:
    """How long to wait before the same request is sent again; None where that makes no sense."""
    if error is None or not error.unapplied:
        return None
    if isinstance(error, RateLimited):
        wait = error.until - site.now() if error.until else timedelta(seconds=pause)
        return max(0.0, wait.total_seconds()) if wait <= LONGEST else None
    return pause if isinstance(error, Unavailable) else None

"""What a run that ended changes for its connection: what is remembered, who is told, and when it runs again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import onepipe.daemon.breaker as breaker
from onepipe import logs
from onepipe.control import Broken, Turn
from onepipe.daemon.onlooker import Event
from onepipe.daemon.seat import Seat, instant
from onepipe.errors import OnepipeError, RateLimited
from onepipe.report import ConnectionReport, described


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that ended `at`, and how."""

    report: ConnectionReport
    run_id: str
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of the connection. `next_at` is a time to run beyond its schedule, `passed` why the run was none."""

    broken: Broken | None
    turn: Turn
    events: tuple[Event, ...] = ()
    next_at: datetime | None = None
    passed: str | None = None


def judged(seat: Seat, end: Ended, gap: timedelta, fingerprint: Callable[[], bytes]) -> Judged:
    """What a run that ended means. `gap` is the connection's interval."""
    report, error, found = end.report, end.report.error, breaker.outcome(end.report)
    if found in ("elsewhere", "stopped", "skipped"):
        word = {"elsewhere": "elsewhere", "stopped": "stopping", "skipped": "paused"}[found]
        return Judged(seat.broken, seat.turn, passed=word)
    at = end.at.timestamp()
    turn = replace(seat.turn, ended=at, status=report.status, error=_told(error))
    if found == "complete":
        events = (_recovered(seat, end),) if seat.broken or seat.told else ()
        return Judged(None, replace(turn, succeeded=at), events)
    suspect = (_event("suspect", seat, end, f"{seat.name} is suspect"),) if error and error.kind == "suspect" else ()
    if found == "limited" and isinstance(error, RateLimited):
        return Judged(seat.broken, turn, next_at=error.until)
    if found == "partial" or error is None:
        return Judged(seat.broken, turn, suspect)
    return _failed(seat, end, error, turn, gap, fingerprint() if found == "refused" else None)


def _failed(
    seat: Seat, end: Ended, error: OnepipeError, turn: Turn, gap: timedelta, fingerprint: bytes | None
) -> Judged:
    before, at, began = seat.broken, end.at.timestamp(), (seat.running or end.at).timestamp()
    failures = before.failures + 1 if before and (before.fingerprint is None) == (fingerprint is None) else 1
    rest = breaker.probe(failures) if fingerprint else breaker.rest(failures, gap)
    broken = Broken(
        failures=failures,
        since=before.since if before else at,
        until=max(began + rest.total_seconds(), at),  # from its beginning: a daily one keeps its hour
        kind=error.kind,
        why=logs.redact(error.message),
        hint=logs.redact(error.hint) if error.hint else None,
        fingerprint=fingerprint,
    )
    events = [_event("failed", seat, end, f"{seat.name} fails")] if not (before or seat.told) else []
    if fingerprint and not (before and before.fingerprint):
        events.append(_paused(seat, end, instant(broken.until)))
    return Judged(broken, turn, tuple(events), instant(broken.until))


def _event(word: str, seat: Seat, end: Ended, head: str) -> Event:
    error = end.report.error
    return Event(
        event="suspect" if word == "suspect" else "failed",
        at=end.at,
        connection=seat.name,
        text=f"{head}: {logs.redact(error.message) if error else ''}",
        hint=logs.redact(error.hint or "") if error else "",
        kind=error.kind if error else None,
        run_id=end.run_id,
    )


def _paused(seat: Seat, end: Ended, until: datetime) -> Event:
    told = _event("failed", seat, end, f"{seat.name} is left alone: its credential, or what that may see, is refused")
    hint = (
        "put a credential that is accepted into config.yaml, .env or its file, and reload the daemon (SIGHUP); or type "
        f"`onepipe resume {seat.name}`. It is tried once more at {until:%Y-%m-%d %H:%M} UTC"
    )
    return replace(told, event="paused", hint=hint)


def _recovered(seat: Seat, end: Ended) -> Event:
    failures = seat.broken.failures if seat.broken else 0
    runs = f"{failures} runs that failed" if failures > 1 else "a run that failed"
    return Event(
        event="recovered",
        at=end.at,
        connection=seat.name,
        text=f"{seat.name} is complete again after {runs}",
        run_id=end.run_id,
        details={"failures": failures},
    )


def _told(error: OnepipeError | None) -> dict[str, str] | None:
    told = described(error)
    return {key: logs.redact(str(value)) for key, value in told.items() if value} if told else None

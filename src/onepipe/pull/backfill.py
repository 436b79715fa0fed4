"""A history loaded in slices by date of last change, where the CRM can narrow a list to a range of dates.

count -> cut -> one slice after the other, each committed when it is whole -> count again -> the cursor, at the instant
when the backfill began. What has no date is in no slice: where the count tells of such rows, everything is read once.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from onepipe.errors import NotAccepted, OnepipeError, RateLimited, Rejected, Stopped, UsageError
from onepipe.pull.cut import DAWN, Bound, counting, cut, widened
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.pull.recount import looked_into
from onepipe.pull.scan import FOR_NOW, server_time
from onepipe.warehouse import books, coverage, pieces
from onepipe.warehouse.books import Slice, Standing
from onepipe.warehouse.pieces import Piece

SMALL = 2_000  # rows; up to so many are read in one piece, unless a part of the history is asked for
LOOKS = 3  # at the count, while rows come in

Choose = Callable[[Standing], Slice]
Scan = Callable[[Choose], None]
"""Begin the chosen scan, or go on with it, and read it to its end."""


def load(job: Job, scan: Scan) -> bool:
    """Load a history in slices, or go on with it; False where the run has to be, or is still to be, one of one scan.

    Raises UsageError where another backfill is unfinished, and what a scan raises.
    """
    with job.warehouse.look() as db:
        kept = pieces.of(db, job.name)
        if not kept and job.options.command != "backfill":
            return False
        standing = books.standing(db, job.name)
    if job.options.command != "backfill" and not _is_first_load(standing, kept):
        _set_aside(job, kept)
        return False
    plan = _plan(job, standing, kept)
    for piece in plan:
        if piece.done_at is None and not _read(job, scan, plan, piece):
            return True
    return bool(plan) and _finish(job, scan, plan, in_one_go=plan is not kept)


def tell(job: Job) -> None:
    """Add to the error that held a backfill back, if one did, how far it came and how to go on."""
    error = job.report.error
    if job.options.command != "backfill" or not isinstance(error, RateLimited | Stopped):
        return
    with suppress(OnepipeError), job.warehouse.look() as db:
        _add(job, error, books.standing(db, job.name).live, pieces.of(db, job.name))


def _add(job: Job, error: RateLimited | Stopped, live: int, kept: Sequence[Piece]) -> None:
    loaded = f"{_done(kept)} of {len(kept)} slices are done and " if kept else ""
    if isinstance(error, Stopped):
        error.message = f"{job.name}: paused"
    error.message = f"{error.message.rstrip('.')}; {loaded}{live:,} opportunities are loaded"
    then = f" from {error.until:%Y-%m-%d %H:%M:%S} UTC on" if isinstance(error, RateLimited) and error.until else ""
    error.hint = f"run the same command{then} to go on from there"


def _is_first_load(standing: Standing, kept: Sequence[Piece]) -> bool:
    """Whether an unfinished backfill is what a sync would have to do first in any case."""
    return standing.cursor is None and _bounds(kept) == (None, None)


def _set_aside(job: Job, kept: Sequence[Piece]) -> None:
    """Leave an unfinished backfill to the command that began it: changes do not wait for it."""
    since, until = _bounds(kept)
    words = "".join(f" --{name} {at:%Y-%m-%dT%H:%M:%SZ}" for name, at in (("since", since), ("until", until)) if at)
    job.say(
        f"a backfill is unfinished ({_done(kept)} of {len(kept)} slices are done): `onepipe backfill {job.name}{words}`"
        " goes on with it; this run brings what changed"
    )


def _plan(job: Job, standing: Standing, kept: list[Piece]) -> list[Piece]:
    """The slices to work on, written down; none where the list is to be read in one piece."""
    if not sliceable(job, standing):
        if kept:
            with job.commit() as db:
                pieces.drop(db, job.name)
        return []
    asked = job.options.since, job.options.until
    if kept and not job.options.restart:
        if job.options.command == "backfill" and asked != _bounds(kept):
            raise _unfinished(job, kept)
        job.say(f"goes on with the backfill: {_done(kept)} of {len(kept)} slices are done")
        return kept
    if standing.slice is not None and standing.slice.kind != "backfill" and not (job.options.restart or any(asked)):
        return []
    return _cut(job, asked)


def sliceable(job: Job, standing: Standing) -> bool:
    """Whether the list can be narrowed to a range of dates, and did not prove otherwise for this account."""
    return job.account.facts.filter == "range" and not {"filter", "range"} & standing.distrust


def _unfinished(job: Job, kept: Sequence[Piece]) -> UsageError:
    since, until = (f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else None for at in _bounds(kept))
    part = " ".join(filter(None, (since and f"since {since}", until and f"until {until}"))) or "of everything"
    return UsageError(
        f"{job.name}: another backfill, {part}, is unfinished ({_done(kept)} of {len(kept)} slices are done); "
        "nothing was begun",
        "finish that one with its own --since and --until, or give it up for this one with --restart",
    )


def _cut(job: Job, asked: tuple[Bound, Bound]) -> list[Piece]:
    count, http = counting(job.account.connector, job.go_on), job.account.http
    before = http.requests
    try:
        total = count(None, None)
        if total is None or (total <= SMALL and not any(asked)):
            return []
        try:
            parts = cut(count, *asked, job.account.now())
        except (NotAccepted, Rejected) as refusal:
            return _uncut(job, refusal)
    except RateLimited as error:
        error.message = f"{error.message.rstrip('.')} while the history was counted, which begins anew next time"
        raise
    finally:
        job.report.of(OPPORTUNITY).requests += http.requests - before
    hi = server_time(job)
    plan = [Piece(place=n, lo=one.lo, until=one.until, rows=one.rows, hi=hi) for n, one in enumerate(parts, start=1)]
    with job.commit() as db:
        books.drop_slice(db, job.name)
        pieces.keep(db, job.name, plan)
    rows = sum(one.rows or 0 for one in plan)
    job.watch.expects(job.name, *job.account.cost(rows))
    job.say(f"cut into {len(plan)} slices by date of last change" if len(plan) > 1 else "read in one slice")
    return plan


def _uncut(job: Job, refusal: OnepipeError) -> list[Piece]:
    """No slices: the list is counted, but refuses the dates it was asked for."""
    job.say(f"the list refuses the dates that were asked for ({refusal}): everything is read in one piece")
    with job.commit() as db:
        for fact in ("filter", f"filter{FOR_NOW}"):
            books.distrust(db, job.name, fact, job.account.now())
    return []


def _read(job: Job, scan: Scan, plan: Sequence[Piece], piece: Piece) -> bool:
    """One slice to its end; False where that did not settle it, or everything was read instead."""
    job.go_on()
    loaded = sum(one.rows or 0 for one in plan if one.place < piece.place)
    job.watch.slice(job.name, piece.place, len(plan), loaded, sum(one.rows or 0 for one in plan))
    lo, until = widened(job.account.facts, piece.lo, piece.until)
    scan(lambda standing: _slice(job, standing, lo, until, piece.hi))
    with job.warehouse.look() as db:
        return any(one.place == piece.place and one.done_at is not None for one in pieces.of(db, job.name))


def _slice(job: Job, standing: Standing, lo: Bound, until: Bound, hi: datetime | None) -> Slice:
    """The scan of these bounds that an earlier run left unfinished, or a new one."""
    kept = standing.slice
    if kept is not None and kept.kind == "backfill" and (kept.lo, kept.until) == (lo, until):
        return replace(kept, resumed=True)
    name, now = uuid4().hex[:12], job.account.now()
    return Slice(connection=job.name, name=name, kind="backfill", lo=lo, until=until, hi=hi, started_at=now)


def _finish(job: Job, scan: Scan, plan: Sequence[Piece], *, in_one_go: bool) -> bool:
    """Settle a backfill whose slices are all done; False where everything has to be read once more, in one scan."""
    if any(_bounds(plan)):
        with job.commit() as db:
            pieces.drop(db, job.name)
        return True
    hi = plan[-1].hi
    lo, _ = widened(job.account.facts, hi, None)
    for look in range(LOOKS):
        total, dated = _counts(job)
        with job.warehouse.look() as db:
            missing = total - books.standing(db, job.name).listed
        if dated < total or missing <= 0:
            break
        if look + 1 < LOOKS:  # rows that came while the last slice was read
            scan(lambda standing: _slice(job, standing, lo, None, hi))
    whole = dated >= total and missing <= 0
    _settle(job, hi, total, whole=whole, in_one_go=in_one_go or job.account.facts.order is not None)
    return whole


def _counts(job: Job) -> tuple[int, int]:
    """How many rows the CRM counts, and how many of those have a date; what it does not count is taken for missing."""
    count, http = counting(job.account.connector, job.go_on), job.account.http
    before = http.requests
    try:
        for _ in range(2):  # a row deleted between the two is none without a date
            total, dated = count(None, None), count(DAWN, None)
            if total is not None and dated is not None and dated >= total:
                break
    finally:
        job.report.of(OPPORTUNITY).requests += http.requests - before
    return (total or 0, -1) if total is None or dated is None else (total, dated)


def _settle(job: Job, hi: datetime | None, total: int, *, whole: bool, in_one_go: bool) -> None:
    """The end of a backfill: the cursor where it began, or, where the count tells of rows in no slice, none yet.

    `in_one_go`: no row can have moved between two pages while no run was at work; else the next run sweeps.
    """
    with job.commit() as db:
        before = books.standing(db, job.name)
        pieces.drop(db, job.name)
        coverage.cover(db, job.name, source_count=total)
        if whole:
            through = before.cursor or hi  # a slice is not read again where rows changed places in it
            coverage.cover(db, job.name, complete_through=through)
            job.report.of(OPPORTUNITY).complete_through = through
        hidden = whole and before.listed > total  # no list shows them any more: closed, archived, or deleted meanwhile
        looked_into(db, job, total - before.listed if hidden else 0, explained=hidden)
        if whole and before.cursor is None and in_one_go:
            coverage.cover(db, job.name, last_sweep_at=hi)
    if not whole:
        known = f"the CRM counts {total} opportunities and {before.listed} are known, or some have no time of change"
        job.say(f"{known}: everything is read once more")


def _bounds(plan: Sequence[Piece]) -> tuple[Bound, Bound]:
    return plan[0].lo, plan[-1].until


def _done(plan: Sequence[Piece]) -> int:
    return sum(one.done_at is not None for one in plan)

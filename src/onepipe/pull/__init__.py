"""Pulling: one run of one connection, from the CRM's answer to the committed row.

begin -> scan (reference lists, then opportunities), merging behind -> tombstones -> close the slice, move the cursor
      -> sweep, where everything was read -> details owed -> settle the books
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from onepipe.errors import DiskTrouble, OnepipeError, RateLimited, Stopped
from onepipe.pull import backfill
from onepipe.pull.details import pay, roll
from onepipe.pull.job import OPPORTUNITY, Job, Options, unforeseen
from onepipe.pull.pages import place, take_over
from onepipe.pull.reading import after, read
from onepipe.pull.scan import new_slice, open_slice
from onepipe.pull.turn import await_turn
from onepipe.spool import forget
from onepipe.warehouse import books, coverage, debts, seen
from onepipe.warehouse.books import RunRow, Slice, Standing
from onepipe.warehouse.database import Database

__all__ = ["Job", "Options", "pull", "unforeseen"]


def pull(job: Job, executor: ThreadPoolExecutor) -> None:
    """Bring one connection up to date; how it went is in job.report, also when it failed."""
    try:
        await_turn(job)
        # A history in slices, asked for or unfinished; else one scan.
        if not backfill.load(job, lambda choose: _scan(job, choose, executor)):
            _scan(job, lambda standing: open_slice(job, standing) or new_slice(job, standing), executor)
        after(job, pay)
        if job.report.status == "complete":
            after(job, roll)
            after(job, pay)
    except OnepipeError as failure:
        error = _cause(job, failure)
        got_somewhere = any(one.counts.fetched for one in job.report.resources.values())
        asked = job.options.max_requests is not None or job.options.command == "backfill"
        held_back = isinstance(error, RateLimited | Stopped) and (got_somewhere or asked)
        job.report.fall("partial" if held_back else "failed", error)
    except Exception as error:
        job.report.fall("failed", unforeseen(error))
    backfill.tell(job)
    _settle(job)


def _cause(job: Job, error: OnepipeError) -> OnepipeError:
    """What really went wrong: files that vanished are not the disk's fault where another process took over."""
    lease = job.account.lease
    if isinstance(error, DiskTrouble) and lease is not None:
        try:
            lease.check()
        except OnepipeError as lost:
            return lost
    return error


def _scan(job: Job, choose: Callable[[Standing], Slice], executor: ThreadPoolExecutor) -> None:
    """Begin the chosen scan, or go on with it, and read it to its end."""
    standing, piece = _begin(job, choose)
    read(job, standing, piece, executor)
    if piece.resumed and piece.kind != "backfill" and job.report.status == "complete":
        _catch_up(job, standing, executor)


def _catch_up(job: Job, standing: Standing, executor: ThreadPoolExecutor) -> None:
    """A read that an earlier run began is complete as of then: what changed since on pages read back then is owed."""
    if job.account.facts.filter == "none" or "filter" in standing.distrust:
        job.say(
            "this read was begun by an earlier run: what changed since on pages it had read comes with the next one"
        )
        return
    kind = "full" if job.options.sweep else "change"
    _scan(job, lambda standing: new_slice(job, standing, kind), executor)


def _begin(job: Job, choose: Callable[[Standing], Slice]) -> tuple[Standing, Slice]:
    """Where the connection stands, and the slice to work on, which is written down."""
    with job.commit() as db:
        standing = books.standing(db, job.name)
        details = job.account.reading.details
        debts.forgive(db, job.name, details)
        if job.options.full:
            debts.owe_all(db, job.name, details, job.account.now())
        debts.owe_new(db, job.name, debts.never_asked(db, job.name, details), job.account.now())
        take_over(job, standing.slice.name if standing.slice else None)
        piece = choose(standing)
        books.keep_slice(db, piece)
        seen.forget(db, job.name, piece.name)
    if standing.slice and standing.slice.name != piece.name:
        forget(place(job, standing.slice.name))
    if not standing.live:
        job.account.seen_whole()  # whatever comes is what this credential sees
    job.report.of(OPPORTUNITY).complete_through = standing.cursor
    return replace(standing, slice=piece), piece


def _settle(job: Job) -> None:
    """Close the books of this run, whatever happened."""
    report, now = job.report, job.account.now()
    report.of(OPPORTUNITY)
    error = report.error
    rows = [
        RunRow(
            run_id=job.run_id,
            command=job.options.command,
            connection=job.name,
            resource=resource.resource,
            status=report.status,
            started_at=report.started_at,
            finished_at=now,
            counts=resource.counts,
            requests=resource.requests,
            error_kind=error.kind if error else None,
            error_message=error.message if error else None,
        )
        for resource in report.resources.values()
    ]
    try:
        with job.commit() as db:
            books.record_runs(db, rows)
            complete = report.status == "complete"
            coverage.settle(db, job.name, now, complete=complete, whole=not job.options.bounded)
            _settle_parts(db, job)
    except OnepipeError as trouble:
        report.fall("failed", trouble)


def _settle_parts(db: Database, job: Job) -> None:
    """The coverage of reference lists, which were read if they are in the report, and of details."""
    lists, details = job.account.facts.reference, job.account.reading.details
    complete = job.report.status == "complete"
    read = [name for name in lists if name in job.report.resources and complete]
    through = job.account.http.first_date or job.report.started_at
    coverage.cover_parts(db, job.name, [*read, *details], through if complete else None)

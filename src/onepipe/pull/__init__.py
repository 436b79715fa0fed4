"""Pulling: one run of one connection, from the CRM's answer to the committed row.

begin -> scan (reference lists, then opportunities), merging behind -> tombstones -> close the slice, move the cursor
      -> sweep, where everything was read -> details owed -> settle the books
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from onepipe.errors import (
    DiskTrouble,
    Incomplete,
    OnepipeError,
    PagingLoop,
    RateLimited,
    SourceError,
    Stopped,
    Suspect,
)
from onepipe.pull import backfill
from onepipe.pull.details import pay, roll
from onepipe.pull.job import OPPORTUNITY, Job, Options, lies_ahead, unforeseen
from onepipe.pull.learned import remember_lacks, tell_unkept
from onepipe.pull.merge import Merging
from onepipe.pull.pages import place, take_over
from onepipe.pull.recount import Recount
from onepipe.pull.scan import Distrusted, Scan, new_slice, open_slice
from onepipe.pull.sweep import sweep
from onepipe.pull.turn import await_turn, note_scan
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
        _after(job, pay)
        if job.report.status == "complete":
            job.account.seen_first()
            _after(job, roll)
            _after(job, pay)
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
    _read(job, standing, piece, executor)
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
    job.report.of(OPPORTUNITY).complete_through = standing.cursor
    return replace(standing, slice=piece), piece


def _read(job: Job, standing: Standing, piece: Slice, executor: ThreadPoolExecutor, *, again: bool = False) -> None:
    """One scan to its end; and the sweep, where it was a complete read or the CRM's own count asks for one.

    `again`: it is read a second time, since its rows may have changed places; two reads hardly miss the same row.
    """
    merging = Merging(job, piece, executor)
    scan = Scan(job, standing, merging)
    began, before = job.account.now(), job.account.http.requests
    try:
        scan.run()
        _tombstones(job, standing, merging)
    except Distrusted as broken:
        return _read_without(job, standing, broken.fact, broken.sentence, merging, executor)
    except Incomplete as error:  # read to its end; only what it states is not so, whatever its order
        _give_up(job, merging)
        return job.report.fall("partial", error)
    except PagingLoop as error:
        if job.account.facts.order is None or "order" in standing.distrust:
            _give_up(job, merging)
            raise
        sentence = f"the list does not keep to its order ({error.message})"
        return _read_without(job, standing, "order", sentence, merging, executor)
    except SourceError:
        merging.keep()
        raise
    if piece.kind == "first" and piece.resumed and job.account.facts.order is None and (lack := _lack(job, merging)):
        _give_up(job, merging)
        return job.report.fall("partial", lack)
    if piece.kind == "first":  # before what it saw is kept: else nothing would be known of it after a kill
        job.account.seen_first()
    once_more = scan.stirred and not again and piece.kind != "backfill"
    merging.close(standing.cursor, moves=not once_more)
    tell_unkept(job, standing, merging)
    note_scan(job, standing, piece, job.account.http.requests - before, began)
    remember_lacks(job, standing, piece)
    if once_more:
        job.say("deals were added or changed while their pages were read: the list is read once more")
        return _read(job, *_same_again(job, standing, piece), executor, again=True)
    if piece.kind == "change" and lies_ahead(standing.cursor, merging.slice.hi):
        job.say("the cursor lies ahead of the CRM's clock, which was wrong then or is now: everything is read")
        return _read(job, standing, _instead(job, standing, "full"), executor)
    return _compare(job, standing, piece, scan.stated, executor)


def _lack(job: Job, merging: Merging) -> Incomplete | None:
    """What a first load in several runs missed of a list that may have shifted between them: fewer than are counted."""
    merging.keep()
    with job.warehouse.look() as db:
        listed = books.standing(db, job.name).listed
    if merging.source_count is None or listed >= merging.source_count:
        return None
    return Incomplete(
        f"{job.name}: the CRM counts {merging.source_count} opportunities and {listed} were found by a read that was "
        "interrupted; the next run reads everything from its beginning"
    )


def _same_again(job: Job, standing: Standing, piece: Slice) -> tuple[Standing, Slice]:
    """The slice just read, from its beginning: the same changes, or everything."""
    if piece.kind == "change":
        return standing, _instead(job, standing, "change")
    with job.warehouse.look() as db:
        standing = books.standing(db, job.name)
    return standing, _instead(job, standing, "full")


def _compare(job: Job, standing: Standing, piece: Slice, stated: int | None, executor: ThreadPoolExecutor) -> None:
    """What a scan tells of the rows it did not meet: the sweep after a complete read, the CRM's own count after any."""
    whole = not piece.resumed
    if piece.kind == "first":
        with job.warehouse.look() as db:
            standing = books.standing(db, job.name)
        _after(job, lambda job: Recount(job, standing).after_all(stated if whole else None, whole=whole))
    elif piece.kind == "full" and piece.resumed and job.account.facts.order is None:
        job.say("this complete read was interrupted and its list may have shifted: only another one finds deletions")
    elif piece.kind == "full":
        broken = _after(job, lambda job: sweep(job, piece, standing.live))
        if broken is None or isinstance(broken, Suspect):  # a sweep that broke off explains no count
            if standing.source_count is None:  # asked for the first time, beside this very read
                with job.warehouse.look() as db:
                    standing = books.standing(db, job.name)
            _after(job, lambda job: Recount(job, standing).after_all(stated if whole else None))
    elif piece.kind == "change":
        recount = Recount(job, standing)
        if recount.differs_anew():
            _read(job, recount.standing, _instead(job, standing, "full"), executor)


def _read_without(
    job: Job, standing: Standing, fact: str, sentence: str, merging: Merging, executor: ThreadPoolExecutor
) -> None:
    """Stop believing a fact of this account, and read the whole list without it."""
    merging.wait()
    job.say(f"{sentence}; from now on everything is read without relying on that")
    with job.commit() as db:
        books.distrust(db, job.name, fact, job.account.now())
    forget(merging.folder)
    standing = replace(standing, distrust=standing.distrust | {fact})
    _read(job, standing, _instead(job, standing, "full" if standing.live else "first"), executor)


def _instead(job: Job, standing: Standing, kind: str) -> Slice:
    piece = new_slice(job, standing, kind)
    with job.commit() as db:
        books.keep_slice(db, piece)
    return piece


def _give_up(job: Job, merging: Merging) -> None:
    """A list that cannot be read is begun anew next time: its token leads nowhere."""
    merging.keep()
    with job.commit() as db:
        books.drop_slice(db, job.name)
    forget(merging.folder)


def _tombstones(job: Job, standing: Standing, merging: Merging) -> None:
    """Ask for deletions after the list was read, so that none falls between."""
    account = job.account
    if not account.connector.can("deleted") or merging.slice.kind in ("first", "backfill"):
        return
    before = account.http.requests
    since = standing.cursor - max(account.overlap, account.facts.floor) if standing.cursor else None
    for page in account.connector.deleted(since):  # type: ignore[attr-defined]
        now = account.now()
        merging.gone += [(record.id, "tombstone", account.instant(record.stamp), now) for record in page.records]
    job.report.of(OPPORTUNITY).requests += account.http.requests - before


def _after(job: Job, step: Callable[[Job], None]) -> SourceError | None:
    """A step whose failure leaves a loaded list loaded: the run is partial, and says what is missing; the failure."""
    try:
        step(job)
    except SourceError as error:
        job.report.fall("partial", error)
        return error
    return None


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

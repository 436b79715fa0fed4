"""One scan to its end, and what it tells of the rows it did not meet; read anew where a declared fact proved wrong."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from onepipe.errors import Incomplete, PagingLoop, SourceError, Suspect
from onepipe.pull.job import OPPORTUNITY, Job, lies_ahead
from onepipe.pull.learned import believe_again, remember_lacks, tell_unkept
from onepipe.pull.merge import Merging
from onepipe.pull.recount import Recount
from onepipe.pull.scan import Distrusted, Scan, new_slice
from onepipe.pull.sweep import sweep
from onepipe.pull.turn import note_scan
from onepipe.spool import forget
from onepipe.warehouse import books
from onepipe.warehouse.books import Slice, Standing


def read(job: Job, standing: Standing, piece: Slice, executor: ThreadPoolExecutor, *, again: bool = False) -> None:
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
        return _read_without(job, standing, broken.facts, broken.sentence, merging, executor)
    except Incomplete as error:  # read to its end; only what it states is not so, whatever its order
        _give_up(job, merging)
        return job.report.fall("partial", error)
    except PagingLoop as error:
        if job.account.facts.order is None or "order" in standing.distrust:
            _give_up(job, merging)
            raise
        sentence = f"the list does not keep to its order ({error.message})"
        return _read_without(job, standing, ("order",), sentence, merging, executor)
    except SourceError:
        merging.keep()
        raise
    if piece.kind == "first" and piece.resumed and job.account.facts.order is None and (lack := _lack(job, merging)):
        _give_up(job, merging)
        return job.report.fall("partial", lack)
    once_more = scan.stirred and not again and piece.kind != "backfill"
    merging.close(standing.cursor, moves=not once_more)
    tell_unkept(job, standing, merging)
    note_scan(job, standing, piece, job.account.http.requests - before, began)
    remember_lacks(job, standing, piece)
    believe_again(job, standing, piece)
    if once_more:
        job.say("deals were added or changed while their pages were read: the list is read once more")
        return read(job, *_same_again(job, standing, piece), executor, again=True)
    if piece.kind == "change" and lies_ahead(standing.cursor, merging.slice.hi):
        job.say("the cursor lies ahead of the CRM's clock, which was wrong then or is now: everything is read")
        return read(job, standing, _instead(job, standing, "full"), executor)
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
        after(job, lambda job: Recount(job, standing).after_all(stated if whole else None, whole=whole))
    elif piece.kind == "full" and piece.resumed and job.account.facts.order is None:
        job.say("this complete read was interrupted and its list may have shifted: only another one finds deletions")
    elif piece.kind == "full":
        broken = after(job, lambda job: sweep(job, piece, standing.live))
        if broken is None or isinstance(broken, Suspect):  # a sweep that broke off explains no count
            if standing.source_count is None:  # asked for the first time, beside this very read
                with job.warehouse.look() as db:
                    standing = books.standing(db, job.name)
            after(job, lambda job: Recount(job, standing).after_all(stated if whole else None))
    elif piece.kind == "change":
        recount = Recount(job, standing)
        if recount.differs_anew():
            read(job, recount.standing, _instead(job, standing, "full"), executor)


def _read_without(
    job: Job,
    standing: Standing,
    facts: Sequence[str],
    sentence: str,
    merging: Merging,
    executor: ThreadPoolExecutor,
) -> None:
    """Stop believing facts of this account, and read the whole list without them."""
    merging.wait()
    job.say(f"{sentence}; from now on everything is read without relying on that")
    with job.commit() as db:
        for fact in facts:
            books.distrust(db, job.name, fact, job.account.now())
    forget(merging.folder)
    standing = replace(standing, distrust=standing.distrust.union(facts))
    read(job, standing, _instead(job, standing, "full" if standing.live else "first"), executor)


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


def after(job: Job, step: Callable[[Job], None]) -> SourceError | None:
    """A step whose failure leaves a loaded list loaded: the run is partial, and says what is missing; the failure."""
    try:
        step(job)
    except SourceError as error:
        job.report.fall("partial", error)
        return error
    return None

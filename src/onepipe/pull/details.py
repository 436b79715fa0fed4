"""Details: sub-requests owed for new and changed records, paid oldest first; all others are read again in turn."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from onepipe.decode import Record
from onepipe.errors import AuthRefused, BadPayload, Gone, RateLimited, SourceError, Unavailable
from onepipe.pull.job import Job
from onepipe.pull.pages import place
from onepipe.spool import Spool, forget, segments
from onepipe.warehouse import coverage, debts, landing

AT_A_TIME = 500  # debts paid in one transaction
SIDE_BY_SIDE = 4  # requests under way at once
GIVE_UP_AFTER = 10  # so many debts that cannot be paid: it is not the records
ROLLING_SHARE = 0.25  # of what may be asked, spent on reading details again that nothing says have changed
ROLLING_SPAN = timedelta(hours=1)  # time without a run that counts towards that, at the most

Debt = tuple[str, str, bytes]


def roll(job: Job) -> None:
    """Owe again what was read longest ago, beyond the connection's sweep interval: a changed tag moves no stamp.

    At most a quarter of what could have been asked since the last run, so never everything as one block.
    """
    details, now = job.account.reading.details, job.account.now()
    if not details or job.options.bounded:
        return
    with job.warehouse.look() as db:
        last = coverage.last_success(db, job.name)
        stale = debts.stale(db, job.name, now - job.account.sweep)
    if last is None or not stale:
        return
    elapsed = min(now - last, ROLLING_SPAN).total_seconds()
    limit = int(ROLLING_SHARE * job.account.rate * elapsed)
    if limit > 0:
        with job.commit() as db:
            debts.roll(db, job.name, details, now - job.account.sweep, limit, now)


def pay(job: Job) -> None:
    """Fetch and land what is owed; what could not be fetched stays owed, and its error is raised after the rest.

    One record whose detail cannot be read keeps no other one waiting; ten of them end the attempt.
    """
    if not job.account.reading.details:
        return  # what was owed before is forgiven by then
    unpaid: set[tuple[str, str]] = set()
    trouble: SourceError | None = None
    while owed := _owed(job, unpaid):
        detail = owed[0][0]
        paid, failed = _fetch(job, [debt for debt in owed if debt[0] == detail])
        failed |= _land(job, detail, paid)
        unpaid |= {(detail, source_id) for source_id in failed}
        trouble = trouble or next(iter(failed.values()), None)
        if trouble and (len(unpaid) >= GIVE_UP_AFTER or isinstance(trouble, AuthRefused | RateLimited)):
            break
        job.go_on()
    if trouble:
        raise trouble


def _owed(job: Job, unpaid: set[tuple[str, str]]) -> list[Debt]:
    with job.warehouse.look() as db:
        found = debts.owed(db, job.name, AT_A_TIME + len(unpaid))
    return [debt for debt in found if debt[:2] not in unpaid]


def _fetch(job: Job, owed: list[Debt]) -> tuple[list[Record | str], dict[str, SourceError]]:
    """For each debt its answer, or the bare id where the record is gone; and the errors, by id."""
    http, connector = job.account.http, job.account.connector
    before, paid, failed = http.requests, list[Record | str](), dict[str, SourceError]()
    with job.warehouse.look() as db:
        answers = debts.ever_paid(db, job.name, owed[0][0])

    def ask(debt: Debt) -> Record | str | SourceError:
        detail, source_id, payload = debt
        try:
            return Record(source_id, connector.detail(detail, source_id, payload))  # type: ignore[attr-defined]
        except Gone as gone:
            return _told(job, debt, gone) if answers else source_id
        except SourceError as error:
            return error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for start in range(0, len(owed), SIDE_BY_SIDE * 4):
            part = owed[start : start + SIDE_BY_SIDE * 4]
            for (_, source_id, _), answer in zip(part, pool.map(ask, part), strict=True):
                if isinstance(answer, SourceError):
                    failed[source_id] = answer
                else:
                    paid.append(answer)
                    answers |= isinstance(answer, Record)
            job.watch.page(job.name, owed[0][0], start + len(part), len(owed), http.requests)
            final = any(isinstance(error, AuthRefused | RateLimited) for error in failed.values())
            if final or len(failed) >= GIVE_UP_AFTER or job.stop.is_set():
                break
    job.report.of(owed[0][0]).requests += http.requests - before
    return paid, failed


def _told(job: Job, debt: Debt, gone: Gone) -> str | SourceError:
    """What a detail that is not there tells where the account has answered it before: only a deal that is gone, too.

    A path may be missing for a minute; the debt of a deal that still answers is owed until it is back.
    """
    detail, source_id, payload = debt
    try:
        job.account.connector.get(source_id, payload)
    except Gone:
        return source_id
    except SourceError as error:
        return error
    return Unavailable(f"{job.name}: {detail} of {source_id} is not there, although the deal is: {gone.message}")


def _land(job: Job, detail: str, paid: list[Record | str]) -> dict[str, SourceError]:
    """Land what was fetched; the errors of what could not be kept, by id, which else would be asked for without end."""
    folder = place(job, "details")
    forget(folder)
    spool = Spool(folder, redaction=job.account.redaction)
    spool.add(detail, [answer for answer in paid if isinstance(answer, Record)], at=job.account.now())
    spool.flush()
    with job.commit() as db:
        counts = landing.land_details(db, job.account.reading, job.run_id, detail, list(segments(folder)))
        debts.pay(db, job.name, [(detail, answer) for answer in paid if isinstance(answer, str)])
        asked = [answer if isinstance(answer, str) else answer.id for answer in paid]
        left = debts.left(db, job.name, detail, asked)
    job.report.of(detail).counts.add(counts)
    forget(folder)
    return {
        one: BadPayload(f"{job.name}: what {detail} of {one} answers cannot be kept: it is no compact JSON")
        for one in left
    }

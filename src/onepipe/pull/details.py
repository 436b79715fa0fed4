"""Details: sub-requests owed for new and changed records, paid oldest first."""

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from operator import itemgetter

from onepipe.decode import Record
from onepipe.errors import Gone, SourceError
from onepipe.pull.job import Job
from onepipe.spool import Spool, forget, segments
from onepipe.warehouse import debts, landing

AT_A_TIME = 500  # debts paid in one transaction
SIDE_BY_SIDE = 4  # requests under way at once

Debt = tuple[str, str, bytes]


def pay(job: Job) -> None:
    """Fetch and land what is owed; what could not be fetched stays owed, and its error is raised after the rest."""
    while owed := _owed(job):
        paid, trouble = _fetch(job, owed)
        _land(job, paid)
        if trouble:
            raise trouble
        job.go_on()


def _owed(job: Job) -> list[Debt]:
    with job.warehouse.look() as db:
        return sorted(debts.owed(db, job.name, AT_A_TIME), key=itemgetter(0))


def _fetch(job: Job, owed: list[Debt]) -> tuple[list[tuple[str, Record | str]], SourceError | None]:
    """For each debt its answer, or the bare id where the record is gone; and the first error, where there was one."""
    http = job.account.http
    before, paid, trouble = http.requests, [], None

    def ask(debt: Debt) -> Record | str | SourceError:
        detail, source_id, payload = debt
        try:
            return Record(source_id, job.account.connector.detail(detail, source_id, payload), None)  # type: ignore[attr-defined]
        except Gone:
            return source_id
        except SourceError as error:
            return error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for start in range(0, len(owed), SIDE_BY_SIDE * 4):
            part = owed[start : start + SIDE_BY_SIDE * 4]
            for (detail, _, _), answer in zip(part, pool.map(ask, part), strict=True):
                if isinstance(answer, SourceError):
                    trouble = trouble or answer
                else:
                    paid.append((detail, answer))
            job.watch.page(job.name, "details", start + len(part), len(owed), http.requests)
            if trouble or job.stop.is_set():
                break
    if owed:
        job.report.of(owed[0][0]).requests += http.requests - before
    return paid, trouble


def _land(job: Job, paid: list[tuple[str, Record | str]]) -> None:
    folder = job.warehouse.spool / job.name / "details"
    forget(folder)
    spool = Spool(folder)
    now = job.account.now()
    for detail, group in groupby(paid, key=itemgetter(0)):
        spool.add(detail, [answer for _, answer in group if isinstance(answer, Record)], at=now)
    spool.flush()
    with job.warehouse.commit(job.run_id) as db:
        job.account.fence(db)
        for segment in segments(folder):
            detail = segment.meta.resource
            counts = landing.land_details(db, job.account.reading, job.run_id, detail, [segment])
            job.report.of(detail).counts.add(counts)
        debts.pay(db, job.name, [(detail, answer) for detail, answer in paid if isinstance(answer, str)])
    forget(folder)

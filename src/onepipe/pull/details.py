"""Details: sub-requests owed for new and changed records, paid oldest first."""

from concurrent.futures import ThreadPoolExecutor

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
        detail = owed[0][0]
        paid, trouble = _fetch(job, [debt for debt in owed if debt[0] == detail])
        _land(job, detail, paid)
        if trouble:
            raise trouble
        job.go_on()


def _owed(job: Job) -> list[Debt]:
    with job.warehouse.look() as db:
        return debts.owed(db, job.name, AT_A_TIME)


def _fetch(job: Job, owed: list[Debt]) -> tuple[list[Record | str], SourceError | None]:
    """For each debt its answer, or the bare id where the record is gone; and the first error, where there was one."""
    http, connector = job.account.http, job.account.connector
    before, paid, trouble = http.requests, list[Record | str](), None

    def ask(debt: Debt) -> Record | str | SourceError:
        detail, source_id, payload = debt
        try:
            return Record(source_id, connector.detail(detail, source_id, payload))  # type: ignore[attr-defined]
        except Gone:
            return source_id
        except SourceError as error:
            return error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for start in range(0, len(owed), SIDE_BY_SIDE * 4):
            part = owed[start : start + SIDE_BY_SIDE * 4]
            for answer in pool.map(ask, part):
                if isinstance(answer, SourceError):
                    trouble = trouble or answer
                else:
                    paid.append(answer)
            job.watch.page(job.name, owed[0][0], start + len(part), len(owed), http.requests)
            if trouble or job.stop.is_set():
                break
    job.report.of(owed[0][0]).requests += http.requests - before
    return paid, trouble


def _land(job: Job, detail: str, paid: list[Record | str]) -> None:
    folder = job.warehouse.spool / job.name / "details"
    forget(folder)
    spool = Spool(folder)
    spool.add(detail, [answer for answer in paid if isinstance(answer, Record)], at=job.account.now())
    spool.flush()
    with job.warehouse.commit(job.run_id) as db:
        job.account.fence(db)
        counts = landing.land_details(db, job.account.reading, job.run_id, detail, list(segments(folder)))
        debts.pay(db, job.name, [(detail, answer) for answer in paid if isinstance(answer, str)])
    job.report.of(detail).counts.add(counts)
    forget(folder)

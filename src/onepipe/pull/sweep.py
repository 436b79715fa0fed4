"""Deletions by absence: what a complete read did not meet is asked for by id, and only a refusal is believed.

The guard: more than 10 rows and 5 % refused, or more than half of 4 or more, or an empty list, and nothing is marked.
"""

from datetime import datetime

from onepipe.decode import Record
from onepipe.errors import Gone, Suspect
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.spool import Spool, forget, segments
from onepipe.warehouse import books, landing, seen
from onepipe.warehouse.books import Slice

ASK_AT_MOST = 2_000  # ids in one sweep, those asked longest ago first
SAMPLE = 20  # refused one after the other at the very beginning, they make a large absence suspect without asking on


def sweep(job: Job, piece: Slice, known: int) -> None:
    """Settle what became of records that a complete read, `piece`, did not meet; `known` were live before it.

    Raises Suspect, with nothing marked, when the guard stops it.
    """
    with job.warehouse.look() as db:
        missing = seen.missing(db, job.name, piece.name)
        witnesses = seen.witnesses(db, job.name, piece.name)
    if missing and not witnesses:
        raise _suspect(job, f"the list came back empty, where {known} records are known")
    refused, answered = _ask(job, missing[:ASK_AT_MOST], known, witnesses)
    if _too_many(len(refused), known):
        raise _suspect(job, f"{len(refused)} of {known} records seem to be gone")
    _land(job, refused, answered, [source_id for source_id, _ in missing], piece.started_at)


def _ask(
    job: Job, missing: list[tuple[str, bytes]], known: int, witnesses: list[tuple[str, bytes]]
) -> tuple[list[tuple[str, str]], list[Record]]:
    """Each missing id by itself: refused ones with their evidence, and the records that answered."""
    refused: list[tuple[str, str]] = []
    answered: list[Record] = []
    connector, told = job.account.connector, job.report.of(OPPORTUNITY)
    before = job.account.http.requests
    for source_id, payload in missing:
        try:
            answered.append(connector.get(source_id, payload))
        except Gone as gone:
            if not refused:
                _prove(job, witnesses)
            refused.append((source_id, gone.evidence))
        if not answered and len(refused) == SAMPLE and _too_many(len(missing), known):
            break
    told.requests += job.account.http.requests - before
    if len(refused) == SAMPLE and not answered and _too_many(len(missing), known):
        raise _suspect(job, f"{len(missing)} of {known} records are missing, and the first {SAMPLE} asked for are gone")
    return refused, answered


def _prove(job: Job, witnesses: list[tuple[str, bytes]]) -> None:
    """Return if a record known to live answers when asked for by id: only then a refusal of another one counts."""
    for witness in witnesses:
        try:
            job.account.connector.get(*witness)
        except Gone:  # deleted since the list was read, perhaps
            continue
        return
    raise _suspect(job, "even records that the list shows are refused when asked for by id")


def _too_many(count: int, known: int) -> bool:
    return (count > 10 and count > known * 0.05) or (known >= 4 and count > known / 2)


def _suspect(job: Job, finding: str) -> Suspect:
    return Suspect(
        f"{job.name}: {finding}; nothing was marked as deleted, and everything that did arrive is loaded",
        "see in the CRM whether they were really deleted, or whether this credential sees less than before",
    )


def _land(
    job: Job, refused: list[tuple[str, str]], answered: list[Record], missing: list[str], started_at: datetime
) -> None:
    folder = job.warehouse.spool / job.name / "sweep"
    forget(folder)
    spool = Spool(folder)
    spool.add(OPPORTUNITY, answered, at=job.account.now())
    spool.flush()
    now = job.account.now()
    dead = {source_id for source_id, _ in refused}
    with job.warehouse.commit(job.run_id) as db:
        job.account.fence(db)
        counts = landing.land(db, job.account.reading, job.run_id, list(segments(folder)))
        gone = landing.land_deletions(
            db, job.account.reading, job.run_id, [(source_id, evidence, None, now) for source_id, evidence in refused]
        )
        seen.end(db, job.name, [source_id for source_id in missing if source_id not in dead], now)
        books.cover(db, job.name, last_sweep_at=started_at)
    forget(folder)
    counts.add(gone)
    job.report.of(OPPORTUNITY).counts.add(counts)

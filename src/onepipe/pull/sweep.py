"""Deletions by absence: what a complete read did not meet is asked for by id, and only a refusal is believed.

The guard: more than 10 rows and 5 % refused, or more than half of 4 or more, or an empty list, or anything at all that
a new credential does not see, and nothing is marked. What was found is written down, and a person decides about it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from onepipe.decode import Record
from onepipe.errors import Gone, SourceError, Suspect
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.pull.pages import place
from onepipe.spool import Spool, forget, segments
from onepipe.warehouse import books, coverage, landing, seen, verdicts
from onepipe.warehouse.books import Slice

ASK_AT_MOST = 2_000  # ids in one sweep, those asked longest ago first; what a person decided about is asked for whole
AT_A_TIME = 500  # ids of a decision that are asked for and marked in one transaction
PROOF = timedelta(seconds=10)  # so long a refusal counts after a record known to live has answered
SAMPLE = 20  # refused one after the other at the very beginning, they make a large absence suspect without asking on

Known = tuple[str, bytes]  # the id and the newest payload of a record that is stored


class _Doubt(Exception):
    """Why the finding of a sweep is not to be believed, as a part of a sentence."""


@dataclass(slots=True)
class _Absence:
    """What a complete read did not meet. `known` records were judged; `decided` are missing, and a person said so."""

    job: Job
    read: Slice
    known: int
    missing: list[Known]
    decided: list[Known]
    witnesses: list[Known]
    since: datetime
    """When the sweep began: with the read, or with what answered before an earlier one was interrupted."""
    refused: dict[str, str] = field(default_factory=dict)
    answered: list[Record] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    proved_at: datetime | None = None
    """When a record known to live last answered when asked for by id."""
    evidence: str | None = None
    """What stands for the evidence of each refusal, where asking by id proves nothing."""


def sweep(job: Job, piece: Slice, known: int) -> None:
    """Settle what became of records that a complete read, `piece`, did not meet; `known` were live before it.

    Raises Suspect, with nothing marked and the finding written down, when the guard stops it.
    What answered before it was interrupted is landed, and not asked for again by the next one.
    """
    absence = _absence(job, piece, known)
    try:
        _judge(absence)
    except SourceError:
        _break_off(absence)
        raise
    except _Doubt as doubt:
        count = _write_down(absence, str(doubt))  # a new credential stays new until somebody has decided
        raise suspect(job, f"{doubt}; {count} wait for a decision") from doubt
    _land(absence)
    for part in _parts(absence.decided):
        _ask(absence, part)
        _land(absence)
    _end(absence)
    job.account.seen_whole()


def suspect(job: Job, finding: str) -> Suspect:
    """The error that names a finding, and how to decide about it."""
    return Suspect(
        f"{job.name}: {finding}; nothing was marked as deleted, and everything that did arrive is loaded",
        f"`onepipe sweep show {job.name}` lists them; see in the CRM whether they were really deleted "
        f"(`onepipe sweep approve {job.name}`), or whether this credential sees less than before "
        f"(`onepipe sweep discard {job.name}` leaves them as they are)",
    )


def _absence(job: Job, piece: Slice, known: int) -> _Absence:
    with job.warehouse.look() as db:
        swept = books.standing(db, job.name).last_sweep_at
        asked = max(filter(None, (swept, job.account.now() - job.account.sweep)))
        missing = seen.missing(db, job.name, piece.name, asked)
        since = seen.asked_since(db, job.name, piece.name, asked) or piece.started_at
        witnesses = seen.witnesses(db, job.name, piece.name)
        approved = verdicts.waiting(db, job.name) if job.options.approve else frozenset()
        known -= seen.left_alive(db, job.name)
    decided = [one for one in missing if one[0] in approved]
    rest = [one for one in missing if one[0] not in approved]
    return _Absence(job, piece, known - len(decided), rest, decided, witnesses, min(since, piece.started_at))


def _judge(absence: _Absence) -> None:
    """Ask for what is missing and not decided. Raises _Doubt where the answer is not to be believed."""
    missing, known = absence.missing, absence.known
    if missing and not absence.witnesses and (not absence.decided or too_many(len(missing), known)):
        raise _Doubt(f"the list came back empty, where {known + len(absence.decided)} records are known")
    many = too_many(len(missing), known)
    if many:
        _ask(absence, missing[:SAMPLE])
        if not absence.answered and len(missing) > SAMPLE:
            raise _Doubt(f"{len(missing)} of {known} records are missing, and the first {SAMPLE} asked for are gone")
    _ask(absence, missing[SAMPLE if many else 0 : ASK_AT_MOST])
    likely = len(absence.refused) * len(missing) // max(len(absence.asked), 1)
    if too_many(likely, known):
        about = "about " if len(missing) > len(absence.asked) else ""
        raise _Doubt(f"{about}{likely} of {known} records seem to be gone")
    if absence.refused and absence.job.account.sees_anew():
        count = len(absence.refused)
        raise _Doubt(f"the credential or the address is new, and does not show {count} of {known} records known before")


def _ask(absence: _Absence, missing: list[Known]) -> None:
    """Ask for each id by itself: it is refused, or its record answers; behind the last refusal a known one must."""
    connector, http = absence.job.account.connector, absence.job.account.http
    before, refused = http.requests, len(absence.refused)
    try:
        for source_id, payload in missing:
            absence.job.go_on()
            try:
                absence.answered.append(connector.get(source_id, payload))
            except Gone as gone:
                _prove(absence)
                absence.refused[source_id] = absence.evidence or gone.evidence
            absence.asked.append(source_id)
        if len(absence.refused) > refused:
            absence.proved_at = None
            _prove(absence)
    finally:
        absence.job.report.of(OPPORTUNITY).requests += http.requests - before


def _prove(absence: _Absence) -> None:
    """Return if a record known to live answers when asked for by id: only then a refusal of another one counts.

    Where a person decided, their word stands in for a list that is empty; and where even records that the list shows
    are refused, it stands for the refusal.
    """
    now = absence.job.account.now()
    if absence.evidence or (absence.proved_at and now - absence.proved_at < PROOF):
        return
    for witness in absence.witnesses:
        try:
            absence.job.account.connector.get(*witness)
        except Gone:  # deleted since the list was read, perhaps
            continue
        absence.proved_at = now
        return
    if not absence.decided:
        raise _Doubt("even records that the list shows are refused when asked for by id")
    if absence.witnesses:
        absence.evidence = "absent"


def too_many(count: int, known: int) -> bool:
    """Whether so many refusals among so many known records are no deletions, but a list or a credential gone wrong."""
    return (count > 10 and count > known * 0.05) or (known >= 4 and count > known / 2)


def _parts(decided: list[Known]) -> Iterator[list[Known]]:
    """What was decided, in parts small enough that little is asked again after an interruption."""
    rest = iter(decided)
    while part := list(islice(rest, AT_A_TIME)):
        yield part


def _write_down(absence: _Absence, doubt: str) -> int:
    job, now = absence.job, absence.job.account.now()
    answered = [record.id for record in absence.answered]
    with job.commit() as db:
        count = verdicts.suspect(db, job.name, absence.read.name, absence.refused, answered, doubt, now)
        seen.drop(db, job.name)
    return count


def _break_off(absence: _Absence) -> None:
    """Keep what answered of a sweep that was interrupted; refusals are judged together, and are asked for again."""
    answered, absence.refused = [record.id for record in absence.answered], {}
    _land(absence)
    with absence.job.commit() as db:
        seen.answered(db, absence.job.name, answered, absence.read.started_at)


def _land(absence: _Absence) -> None:
    """Land what answered and mark what was refused, since the last time."""
    job, now = absence.job, absence.job.account.now()
    gone = [(source_id, evidence, None, now) for source_id, evidence in absence.refused.items()]
    if not gone and not absence.answered:
        return
    folder = place(job, "sweep")
    forget(folder)
    spool = Spool(folder, redaction=job.account.redaction)
    spool.add(OPPORTUNITY, absence.answered, at=now)
    spool.flush()
    with job.commit() as db:
        counts = landing.land(db, job.account.reading, job.run_id, list(segments(folder)))
        verdicts.met(db, job.name)
        counts.add(landing.land_deletions(db, job.account.reading, job.run_id, gone))
        verdicts.marked(db, job.name)
    forget(folder)
    absence.answered, absence.refused = [], {}
    job.report.of(OPPORTUNITY).counts.add(counts)


def _end(absence: _Absence) -> None:
    job = absence.job
    with job.commit() as db:
        seen.end(db, job.name, absence.read.name, absence.asked, absence.since)
        verdicts.clear(db, job.name)
        coverage.cover(db, job.name, last_sweep_at=absence.since)

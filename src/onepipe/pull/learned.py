"""What a read taught about its account, kept beside the facts that proved wrong."""

from onepipe.errors import BadPayload
from onepipe.pull.job import Job
from onepipe.pull.merge import UNKEPT, Merging
from onepipe.pull.scan import FOR_NOW
from onepipe.warehouse import books
from onepipe.warehouse.books import Slice, Standing


def tell_unkept(job: Job, standing: Standing, merging: Merging) -> None:
    """Be partial while the CRM is known to hold records that cannot be kept.

    One met for the first time holds the cursor, so that the next run asks for it again. One that is as it was then
    holds nothing up, and is told until a complete read meets none.
    """
    known = UNKEPT in standing.distrust
    complete = merging.slice.kind in ("first", "full") and not merging.slice.resumed
    new = merging.unkept > 0 and not known and not merging.slice.resumed
    if merging.met or (known and complete):
        with job.commit() as db:
            if merging.met and not new:
                books.distrust(db, job.name, UNKEPT, job.account.now())
            else:
                books.trust(db, job.name, UNKEPT)
    if merging.met or (known and not complete):
        job.report.fall(
            "partial",
            BadPayload(
                f"{job.name}: the CRM holds records that could not be kept, for want of a usable id or of text that is "
                "UTF-8; all others are loaded",
                f"they are in the table `problems`, without source_id; `onepipe sync {job.name} --sweep` asks for them "
                "once more",
            ),
        )


def remember_lacks(job: Job, standing: Standing, piece: Slice) -> None:
    """Keep which optional lists this account does not have; a complete read has just asked for all of them again."""
    lacks = job.account.connector.lacks
    known = {fact for fact in standing.distrust if fact.startswith("no ")}
    found = known - lacks if piece.kind in ("first", "full") else set()
    if lacks - known or found:
        with job.commit() as db:
            for fact in lacks - known:
                books.distrust(db, job.name, fact, job.account.now())
            for fact in found:
                books.trust(db, job.name, fact)


def believe_again(job: Job, standing: Standing, piece: Slice) -> None:
    """Believe a fact again that was found wrong for now, a sweep's interval ago: the next run tries it once more."""
    doubted = [fact for fact in standing.distrust if fact.endswith(FOR_NOW)]
    if not doubted or piece.kind not in ("first", "full"):
        return
    with job.commit() as db:
        for fact in books.distrusted_before(db, job.name, doubted, job.account.now() - job.account.sweep):
            books.trust(db, job.name, fact)
            books.trust(db, job.name, fact.removesuffix(FOR_NOW))

"""The count check: what the CRM counts against what its lists are known to hold. Only where it tells one.

A difference is looked into once, by reading everything. What remains is explained where the list, read whole, states
that very count (it holds ids twice, or rows without one); else the runs are partial until the difference changes.
What a stopped sweep did not find explains nothing: a person decides about it first.
"""

from dataclasses import replace

from onepipe.errors import Incomplete
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.pull.sweep import suspect
from onepipe.warehouse import books, coverage, verdicts
from onepipe.warehouse.books import Standing
from onepipe.warehouse.database import Database

EXPLAINED = "count"
LOOKED_INTO = "count off by "  # so many rows more (or -so many fewer) than are known, after everything was read


class Recount:
    """One look at the count. `standing` is from before; afterwards it holds what the CRM counts and we know now."""

    def __init__(self, job: Job, standing: Standing) -> None:
        self.job = job
        self.before = self.standing = standing

    def differs_anew(self) -> bool:
        """Whether the count is off by another number of rows than when it was looked into."""
        off = self._off() if self.before.source_count is not None else 0
        if off and f"{LOOKED_INTO}{off}" in self.before.distrust:
            if EXPLAINED not in self.before.distrust:
                self._fall()
            return False
        if off:
            self.job.say(f"{self._words()}: everything is read to find out why")
            return True
        if not any(fact.startswith(LOOKED_INTO) for fact in self.before.distrust):
            return False
        with self.job.commit() as db:
            looked_into(db, self.job, 0)
        return self._undecided() > 0  # what a sweep missed may be back, which only another one can tell

    def after_all(self, stated: int | None, *, whole: bool = True) -> None:
        """After everything was read, in a list that `stated` so many rows; not `whole`: in several runs."""
        if not _off(self.before):
            self._keep_up()
            return
        off = self._off()
        explained = off != 0 and self.standing.source_count == stated and not self._undecided()
        settled = explained or (off == _off(self.before) and not self._moved())  # else the next run looks again
        with self.job.commit() as db:
            looked_into(db, self.job, off if settled and whole else 0, explained=explained)
        if off and settled and not explained and (whole or off > 0):  # rows that no list shows: the next run looks
            self._fall()

    def _moved(self) -> bool:
        """Whether the complete read found rows, or that some are gone: then what is left is another difference."""
        deleted = self.job.report.of(OPPORTUNITY).counts.deleted
        return deleted > 0 or self.standing.listed != self.before.listed

    def _keep_up(self) -> None:
        """Note the count anew where a complete read moved what is known, and both agree."""
        with self.job.warehouse.look() as db:
            now = books.standing(db, self.job.name)
        if _off(now) and (count := self._count()) == now.listed:
            with self.job.commit() as db:
                coverage.cover(db, self.job.name, source_count=count)

    def _off(self) -> int:
        """By how many rows the CRM counts more than we know; 0 where it does not count any more."""
        count = self._count()
        if count is None:
            return 0
        with self.job.commit() as db:
            coverage.cover(db, self.job.name, source_count=count)
            listed = books.standing(db, self.job.name).listed
        self.standing = replace(self.before, source_count=count, listed=listed)
        return _off(self.standing)

    def _count(self) -> int | None:
        """What the CRM counts now."""
        http = self.job.account.http
        before = http.requests
        count = self.job.account.connector.count()
        self.job.report.of(OPPORTUNITY).requests += http.requests - before
        return count

    def _words(self) -> str:
        return f"the CRM counts {self.standing.source_count} opportunities and {self.standing.listed} are known"

    def _fall(self) -> None:
        finding = f"{self._words()}, also after everything was read"
        undecided = self._undecided()
        if undecided:
            error = suspect(self.job, f"{self._words()}; {undecided} that a sweep did not find wait for a decision")
            return self.job.report.fall("partial", error)
        return self.job.report.fall("partial", Incomplete(f"{self.job.name}: {finding}"))

    def _undecided(self) -> int:
        """How many records that a sweep did not find wait for a decision."""
        with self.job.warehouse.look() as db:
            return len(verdicts.waiting(db, self.job.name))


def looked_into(db: Database, job: Job, off: int, *, explained: bool = False) -> None:
    """Write down by how many rows the count is off after everything was read, and whether that is explained."""
    known = books.standing(db, job.name).distrust
    for fact in (one for one in known if one == EXPLAINED or one.startswith(LOOKED_INTO)):
        books.trust(db, job.name, fact)
    if off:
        books.distrust(db, job.name, f"{LOOKED_INTO}{off}", job.account.now())
    if explained:
        books.distrust(db, job.name, EXPLAINED, job.account.now())


def _off(standing: Standing) -> int:
    return 0 if standing.source_count is None else standing.source_count - standing.listed

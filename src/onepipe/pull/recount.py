"""The count check: what the CRM counts against what its lists are known to hold. Only where it told a count at first.

A difference is looked into once, by reading everything. What remains is explained where the list, read whole, states
that very count (it holds ids twice, or rows without one); else the runs are partial until the difference changes.
"""

from dataclasses import replace

from onepipe.errors import Incomplete
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.warehouse import books, coverage
from onepipe.warehouse.books import Standing

EXPLAINED = "count"


class Recount:
    """One look at the count. `standing` is from before; afterwards it holds what the CRM counts and we know now."""

    def __init__(self, job: Job, standing: Standing) -> None:
        self.job = job
        self.before = self.standing = standing

    def differs_anew(self) -> bool:
        """Whether the count is off by another number of rows than when it was looked into."""
        off = self._off() if self.before.source_count is not None else 0
        known = off == _off(self.before)
        if off and known and EXPLAINED not in self.before.distrust:
            self._fall()
        if known or not off:
            return False
        self.job.say(f"{self._words()}: everything is read to find out why")
        return True

    def after_all(self, stated: int | None) -> None:
        """After everything was read, in a list that `stated` so many rows."""
        if not _off(self.before):
            return
        off = self._off()
        explained = off != 0 and self.standing.source_count == stated
        with self.job.warehouse.commit(self.job.run_id) as db:
            books.trust(db, self.job.name, EXPLAINED)
            if explained:
                books.distrust(db, self.job.name, EXPLAINED, self.job.account.now())
        if off and off == _off(self.before) and not explained:  # where it moved, the next run looks again
            self._fall()

    def _off(self) -> int:
        """By how many rows the CRM counts more than we know; 0 where it does not count any more."""
        http = self.job.account.http
        before = http.requests
        count = self.job.account.connector.count()
        self.job.report.of(OPPORTUNITY).requests += http.requests - before
        if count is None:
            return 0
        with self.job.warehouse.commit(self.job.run_id) as db:
            coverage.cover(db, self.job.name, source_count=count)
            listed = books.standing(db, self.job.name).listed
        self.standing = replace(self.before, source_count=count, listed=listed)
        return _off(self.standing)

    def _words(self) -> str:
        return f"the CRM counts {self.standing.source_count} opportunities and {self.standing.listed} are known"

    def _fall(self) -> None:
        finding = f"{self._words()}, also after everything was read"
        self.job.report.fall("partial", Incomplete(f"{self.job.name}: {finding}"))


def _off(standing: Standing) -> int:
    return 0 if standing.source_count is None else standing.source_count - standing.listed

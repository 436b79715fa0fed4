"""One scan of a CRM's lists into the spool, each page held against what was asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from onepipe.connector import Window
from onepipe.errors import BadPayload, PagingLoop
from onepipe.paging import Page
from onepipe.pull.job import OPPORTUNITY, Job
from onepipe.pull.merge import Merging
from onepipe.spool import Spool, segments
from onepipe.warehouse.books import Slice, Standing

NO_DATE = timedelta(minutes=10)  # how far we step back when the server sends no usable Date
END = ["end"]  # what the last page of a list leads to; any other page leads to ["next", token]


class Distrusted(Exception):
    """A declared fact proved wrong while a list was read."""

    def __init__(self, fact: str, sentence: str) -> None:
        super().__init__(sentence)
        self.fact = fact
        self.sentence = sentence


def open_slice(job: Job, standing: Standing) -> Slice | None:
    """The slice an earlier run left unfinished, unless beginning anew is as cheap and safer.

    A change scan over a list without a stable order is begun anew: rows may have moved behind its token since.
    """
    piece = standing.slice
    if piece is None or job.options.restart or job.options.full:
        return None
    if job.options.bounded and (piece.lo, piece.until) != (job.options.since, job.options.until):
        return None
    if piece.kind == "change" and not job.account.facts.order:
        return None
    return replace(piece, resumed=True)


def new_slice(job: Job, standing: Standing, kind: str | None = None) -> Slice:
    """A scan from its beginning: the first load, everything again, what changed, or a bounded part of the history."""
    kind = kind or _kind(job, standing)
    lo, until = (job.options.since, job.options.until) if kind == "backfill" else (None, None)
    if kind == "change" and standing.cursor:
        facts = job.account.facts
        lo = standing.cursor - max(job.account.overlap, facts.floor) - facts.resolution
    name = uuid4().hex[:12]
    return Slice(connection=job.name, name=name, kind=kind, lo=lo, hi=None, until=until, started_at=job.account.now())


def _kind(job: Job, standing: Standing) -> str:
    if job.options.bounded:
        return "backfill"
    if not standing.live:
        return "first"
    swept = standing.last_sweep_at
    due = swept is None or job.account.now() - swept >= job.account.sweep
    blind = job.account.facts.filter == "none" or "filter" in standing.distrust or standing.cursor is None
    asked = job.options.sweep or job.options.full or job.options.command == "backfill"
    return "full" if due or blind or asked else "change"


class Scan:
    """The fetching half of a slice; the merging half runs behind it."""

    def __init__(self, job: Job, standing: Standing, merging: Merging) -> None:
        self.job = job
        self.standing = standing
        self.merging = merging
        self.since = merging.slice.lo
        self.spool = Spool(merging.folder, merging.slice.merged_to)
        self.counted = job.account.http.requests
        self.stated: int | None = None
        """How many opportunities the list itself said it holds, when last it did; of those from where a scan began."""

    def run(self) -> None:
        """Fetch the reference lists, then the opportunities. Raises Distrusted, and every SourceError."""
        account = self.job.account
        try:
            for resource in account.facts.reference:
                self._refer(resource)
            kept = self._kept()
            if kept == END:
                return
            self._expect(kept is None)
            filters = account.facts.filter != "none" and "filter" not in self.standing.distrust
            window = Window(
                since=self.since if filters else None,
                until=self.merging.slice.until if filters else None,
                resume=kept[1] if kept else None,
                distrust=self.standing.distrust,
            )
            self._fill(OPPORTUNITY, self._checked(account.connector.pull(OPPORTUNITY, window)))
        finally:
            self.spool.flush()

    def _refer(self, resource: str) -> None:
        """One reference list. One that cannot be read keeps no deal out; labels follow once it can."""
        try:
            self._fill(resource, self.job.account.connector.pull(resource, Window(distrust=self.standing.distrust)))
        except (BadPayload, PagingLoop) as error:
            self.job.report.fall("partial", error)

    def _kept(self) -> list[Any] | None:
        """Where the last page that is kept leads, merged or still in the spool; None where there is none yet."""
        for segment in reversed(list(segments(self.merging.folder))):
            if segment.meta.resource == OPPORTUNITY:
                return cast("list[Any] | None", segment.meta.resume)
        return cast("list[Any] | None", self.merging.slice.resume)

    def _expect(self, from_start: bool) -> None:
        """A first load says what it expects to cost before it begins."""
        if self.merging.slice.kind == "first" and from_start:
            self.merging.source_count = self.job.account.connector.count()
            self.job.watch.expects(self.job.name, *self.job.account.cost(self.merging.source_count))

    def _fill(self, resource: str, pages: Iterator[Page]) -> None:
        job, fetched = self.job, 0
        for page in pages:
            self._count(resource)
            fetched += len(page.records)
            if self.merging.slice.hi is None:
                self.merging.begins(self._server_time())
            whole = self.spool.add(
                resource,
                page.records,
                at=job.account.now(),
                resume=END if page.next is None else ["next", page.next],
                hi=self.merging.slice.hi,
                unreadable=page.unreadable,
            )
            if resource == OPPORTUNITY and page.total is not None:
                self.stated = page.total
            job.watch.page(job.name, resource, fetched, page.total, self.counted)
            self.merging.fetched(len(page.records), whole)
            job.go_on()
        self._count(resource)

    def _count(self, resource: str) -> None:
        """Put the requests sent since the last call on a resource's account."""
        requests = self.job.account.http.requests
        self.job.report.of(resource).requests += requests - self.counted
        self.counted = requests

    def _server_time(self) -> datetime:
        """Where the cursor will stand: the server's own clock when this scan began."""
        date = self.job.account.http.first_date
        if date is None:
            self.job.say("the server sends no usable Date header; our own clock less ten minutes stands in for it")
            return self.job.account.now() - NO_DATE
        if abs(date - self.job.account.now()) > timedelta(minutes=1):
            self.job.say(f"the CRM's clock reads {date:%Y-%m-%d %H:%M:%S} UTC, which is not ours; we go by the CRM's")
        return date

    def _checked(self, pages: Iterator[Page]) -> Iterator[Page]:
        """The pages, as long as no row is from before what was asked, or out of the declared order."""
        account = self.job.account
        ordered = account.facts.order is not None and "order" not in self.standing.distrust
        filtered = self.since if "filter" not in self.standing.distrust else None
        last = -1
        for page in pages:
            if filtered and any(account.before(record.stamp, filtered) for record in page.records):
                raise Distrusted("filter", "the list answers rows from before the instant that was asked for")
            for record in page.records if ordered else ():
                place = int(record.id) if record.id.isdecimal() else last
                if place < last:
                    raise Distrusted("order", "the list does not keep to the order that was asked for")
                last = place
            yield page

"""One scan of a CRM's lists into the spool, each page held against what was asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from onepipe.connector import Window
from onepipe.errors import BadPayload, NotAccepted, PagingLoop, Rejected, SourceError
from onepipe.paging import Page, Token
from onepipe.pull.job import NO_DATE, OPPORTUNITY, Job
from onepipe.pull.merge import Merging
from onepipe.pull.pages import place
from onepipe.spool import Spool, segments
from onepipe.warehouse.books import Slice, Standing

FOR_NOW = " for now"  # behind a fact that is believed again a sweep's interval later
END = ["end"]  # what the last page of a list leads to; any other page leads to ["next", token]


class Distrusted(Exception):
    """A declared fact proved wrong while a list was read; not `for_good`: it may have been so at that hour only."""

    def __init__(self, fact: str, sentence: str, *, for_good: bool = True) -> None:
        super().__init__(sentence)
        self.facts = (fact,) if for_good else (fact, f"{fact}{FOR_NOW}")
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
    if piece.kind == "backfill" and not job.options.bounded:
        return None
    resumed = piece.resume is not None or _is_kept(place(job, piece.name))
    if piece.kind == "change" and not (resumed and job.account.facts.order):
        return None
    return replace(piece, resumed=resumed)


def _is_kept(folder: Path) -> bool:
    return any(segment.meta.resource == OPPORTUNITY for segment in segments(folder))


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
    swept, now = standing.last_sweep_at, job.account.now()
    due = swept is None or now - swept >= job.account.sweep or swept - now > NO_DATE  # our clock was set back
    blind = job.account.facts.filter == "none" or "filter" in standing.distrust or standing.cursor is None
    asked = job.options.sweep or job.options.full or job.options.command == "backfill"
    return "full" if due or blind or asked else "change"


def server_time(job: Job) -> datetime:
    """Where the cursor will stand: the server's own clock when this run began to ask."""
    date = job.account.http.first_date
    if date is None:
        job.say("the server sends no usable Date header; our own clock less ten minutes stands in for it")
        return job.account.now() - NO_DATE
    if abs(date - job.account.now()) > timedelta(minutes=1):
        job.say(f"the CRM's clock reads {date:%Y-%m-%d %H:%M:%S} UTC, which is not ours; we go by the CRM's")
    return date


def _led(pages: Iterator[Page], token: Token) -> Iterator[tuple[Page, list[Any] | None]]:
    """Each page with where a later run goes on after it; `token` is where this one began.

    Only the very last page leads to the end. A list may be followed by more (Tactile's hidden rows): of what comes
    without a token a later run would know nothing, so it goes on before that.
    """
    held: Page | None = None
    try:
        for page in pages:
            if held is not None:
                last, held = held, None
                yield last, None if token is None else ["next", token]
            if page.next is None:
                held = page
            else:
                token = page.next
                yield page, ["next", token]
    except SourceError:
        if held is not None:
            yield held, None if token is None else ["next", token]
        raise
    if held is not None:
        yield held, END


class Scan:
    """The fetching half of a slice; the merging half runs behind it."""

    def __init__(self, job: Job, standing: Standing, merging: Merging) -> None:
        self.job = job
        self.standing = standing
        self.merging = merging
        self.since = merging.slice.lo
        self.spool = Spool(merging.folder, merging.slice.merged_to, redaction=job.account.redaction)
        self.counted = job.account.http.requests
        self.stated: int | None = None
        """How many opportunities the list itself said it holds, when last it did; of those from where a scan began."""
        self.unjoined = self.edited = False

    def run(self) -> None:
        """Fetch the reference lists, then the opportunities. Raises Distrusted, and every SourceError."""
        self._go_on()
        account, history = self.job.account, self.merging.slice.kind == "backfill"
        try:
            for resource in account.facts.reference:
                if not (history and resource in self.job.report.resources):  # a slice before this one read it
                    self._refer(resource)
            kept = self._kept()
            self._expect(kept is None)
            if kept == END:
                return
            filters = account.facts.filter != "none" and "filter" not in self.standing.distrust
            window = Window(
                since=self.since if filters else None,
                until=self.merging.slice.until if filters else None,
                resume=kept[1] if kept else None,
                distrust=self.standing.distrust,
                history=history,
            )
            self._fill(OPPORTUNITY, self._checked(self._accepted(window)), window.resume)
        finally:
            self._count(OPPORTUNITY)  # also what was asked for before it broke off
            self.spool.flush()

    def _go_on(self) -> None:
        """Where the scan goes on with pages in the spool: it began when the first of them was fetched, not now."""
        begun = [segment.meta.hi for segment in segments(self.merging.folder) if segment.meta.hi]
        if begun and self.merging.slice.hi is None:
            self.merging.begins(datetime.fromisoformat(begun[0]))

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
        """A first load says what it expects to cost before it begins; what it must come to, also when it goes on.

        A complete read asks for the count where the first load left none: without one no later run has what to compare.
        """
        full = self.merging.slice.kind == "full" and self.job.account.facts.filter == "range"
        if self.merging.slice.kind != "first" and not (full and self.standing.source_count is None):
            return
        self.merging.source_count = self.job.account.connector.count()
        if from_start and not full:
            self.job.watch.expects(self.job.name, *self.job.account.cost(self.merging.source_count))

    def _fill(self, resource: str, pages: Iterator[Page], begun: Token = None) -> None:
        job, fetched = self.job, 0
        for page, resume in _led(pages, begun):
            self._count(resource)
            fetched += len(page.records)
            if self.merging.slice.hi is None:
                self.merging.begins(server_time(job))
            whole = self.spool.add(
                resource,
                page.records,
                at=job.account.now(),
                resume=resume,
                hi=self.merging.slice.hi,
                unreadable=page.unreadable,
            )
            if resource == OPPORTUNITY:
                self._look_at(page)
            job.watch.page(job.name, resource, fetched, page.total, self.counted)
            self.merging.fetched(len(page.records), whole)
            job.go_on()
        self._count(resource)

    def _look_at(self, page: Page) -> None:
        """Note what the list states, and whether its rows may have changed places unseen while it was read."""
        self.stated = self.stated if page.total is None else page.total
        self.unjoined |= page.unjoined
        hi, account = self.merging.slice.hi, self.job.account
        if hi and not self.edited:
            latest = max(hi, account.now()) + NO_DATE  # a row of the future was not changed just now
            self.edited = any(account.within(record.stamp, hi, latest) for record in page.records)

    @property
    def stirred(self) -> bool:
        """Whether the list was changed while it was read page by page, without a row that joins them.

        One deal deleted and one added leave its total as it was, and a row may have slipped from one page to another.
        """
        return self.unjoined and self.edited

    def _count(self, resource: str) -> None:
        """Put the requests sent since the last call on a resource's account."""
        requests = self.job.account.http.requests
        self.job.report.of(resource).requests += requests - self.counted
        self.counted = requests

    def _accepted(self, window: Window) -> Iterator[Page]:
        """The pages; of a list that answers, but refuses twice the dates it was asked for, nothing can be narrowed."""
        connector = self.job.account.connector
        pages = iter(connector.pull(OPPORTUNITY, window))
        try:
            first = next(pages, None)
        except (NotAccepted, Rejected):
            if window.since is None and window.until is None:
                raise
            connector.count()  # raises where the list answers nothing at all
            pages = iter(connector.pull(OPPORTUNITY, window))
            try:
                first = next(pages, None)
            except (NotAccepted, Rejected) as refusal:
                raise Distrusted(
                    "filter", f"the list refuses the dates that were asked for ({refusal})", for_good=False
                ) from refusal
        if first is not None:
            yield first
            yield from pages

    def _checked(self, pages: Iterator[Page]) -> Iterator[Page]:
        """The pages, as long as no row is from outside of what was asked, or out of the declared order.

        A bound is taken wider by the floor: so far may a stamp be off where a CRM's zone repeats an hour.
        """
        account, until = self.job.account, self.merging.slice.until
        ordered = account.facts.order is not None and "order" not in self.standing.distrust
        filters = account.facts.filter != "none" and "filter" not in self.standing.distrust
        first = self.since - account.facts.floor if self.since and filters else None
        final = until + account.facts.floor if until and filters else None
        last = -1
        for page in pages:
            if first and any(account.before(record.stamp, first) for record in page.records):
                raise Distrusted("filter", "the list answers rows from before the instant that was asked for")
            # A page without a total holds a record asked for by itself, which may have changed since it was listed.
            if final and page.total is not None and any(account.after(one.stamp, final) for one in page.records):
                raise Distrusted("range", "the list answers rows from after the instant that was asked for")
            for record in page.records if ordered else ():
                place = int(record.id) if record.id.isdecimal() else last
                if place < last:
                    raise Distrusted("order", "the list does not keep to the order that was asked for")
                last = place
            yield page

"""Lists asked for by place (page number or row offset), whose rows move while they are read.

Rows deleted before our place pull the rest up, and the next page begins too late: rows are missed. Rows added push the
rest down, and rows come twice. So every page must join the one before: by offset, it begins with the rows that ended
it; by page number, the list's total has not changed. A page that does not join is accepted only if the last row
stands in it; otherwise we go back until a page holds a row of the last good one. What joins so is complete for
every record that kept its place in the list's order. One that is renamed from ahead of us to behind us is found by
the count at the end or, since it has changed, by the next run.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from onepipe.errors import PagingLoop
from onepipe.paging.ahead import Ahead
from onepipe.paging.places import Numbers, Offsets, Places, Seam
from onepipe.paging.scan import RESCANS, Scan
from onepipe.records import Page, Token

STEPS_BACK = 3
"""So often we go back for one gap before the whole list is read again."""


def by_page(
    fetch: Callable[[int], Page], resume: Token = None, first: int = 1, ahead: int = 8, fixed: bool = False
) -> Iterator[Page]:
    """Ask for page after page: `fetch(first)`, `fetch(first + 1)`, ...

    The end is `more`, else `pages`, else `total`, else an empty page. Where the list states its pages or its total, up
    to `ahead` pages are fetched at once while answers are slow; their order stays. `fixed` says that rows are ordered
    by what never changes (an id, a creation date): rows that come twice are then no reason to look again.

    Raises PagingLoop for a list that repeats itself or does not end, Incomplete for one that, read again, still holds
    fewer or more rows than it states.
    """
    return _Walk(Ahead(fetch, ahead), Numbers(first), fixed=fixed).pages(resume)


def by_offset(
    fetch: Callable[[int], Page],
    resume: Token = None,
    size: int = 100,
    overlap: int = 1,
    ahead: int = 8,
    fixed: bool = False,
) -> Iterator[Page]:
    """Ask from offset after offset, from 0: by the rows received, less `overlap` rows to see whether any moved.

    `size` is the number of rows asked for; a list may give fewer. The end is `more`, else `total`, else a page
    without a row after the overlap. The rest is as for `by_page`.
    """
    return _Walk(Ahead(fetch, ahead), Offsets(size, overlap), fixed=fixed).pages(resume)


class _Walk:
    """One scan of one list, in one or more passes."""

    def __init__(self, ahead: Ahead[int], places: Places, *, fixed: bool) -> None:
        self._ahead, self._places, self._fixed = ahead, places, fixed
        self._scan = Scan()
        self._size = 0
        """How many rows the longest page had."""
        self._seam: Seam | None = None
        """None where the next page need not join: at the beginning, and after an empty page."""
        self._opening: tuple[str, ...] = ()
        """The ids of the list's first page."""
        self._repeated: int | None = None
        """The place that gave an earlier page's rows; whether that is a loop, the first page read again tells."""
        self._passes = 0
        self._known = 0
        """How many rows were known before this pass."""
        self._anew: Token = [places.first, None, 0]
        self._token: Token = self._anew

    def pages(self, resume: Token) -> Iterator[Page]:
        """Yield pages until the list was read whole. `resume` is the `next` of a page that was kept."""
        place = self._places.first
        if resume is not None and resume[1] is not None:
            place, last, self._size = resume
            self._seam = Seam(place, self._size, (last,))
        with closing(self._ahead):
            while True:
                whole = yield from self._pass(place)
                if whole and not self._look_again():
                    return
                if whole and self._passes and self._scan.known == self._known:
                    if self._scan.holds_twice:
                        return
                    raise self._scan.incomplete()  # another pass would find no more
                if self._passes == RESCANS:
                    raise self._scan.incomplete() if whole else PagingLoop(f"The list moves too fast: {self._scan}.")
                place, self._seam, self._known = self._places.first, None, self._scan.known
                self._passes += 1
                self._scan.again()

    def _look_again(self) -> bool:
        """Say whether this pass, read to the end, may have missed rows: not so many as stated, or some changed places.

        A row that came twice although the list did not grow has moved. Reading again ends when that finds nothing new.
        """
        if not self._scan.settled:
            return True
        found_more = self._passes == 0 or self._scan.known > self._known
        return self._scan.astray > 0 and not self._fixed and found_more and self._passes < RESCANS

    def _pass(self, place: int) -> Generator[Page, None, bool]:
        """Read from `place` to the end; return whether it was reached without a gap or a repeated page."""
        resuming = searching = self._seam is not None
        steps, furthest = 0, -1
        while True:
            page = self._ahead.page(place, self._following(place))
            ids, rows = tuple(record.id for record in page.records), len(page.records) + len(page.unreadable)
            changed, self._size = self._scan.note(page), max(rows, self._size)
            ended = self._ended(place, rows, page)
            empty_inside = not (rows or ended or changed)
            if not empty_inside and not self._joins(place, ids, page, searching=searching, changed=changed):
                steps += 1
                self._ahead.forget()
                if self._seam is None or steps > STEPS_BACK:
                    return False
                searching, place, self._seam.shared = True, self._places.before(place, self._seam), 0
                continue
            reread = place <= furthest
            if not reread and not changed and self._repeats(place, ids):
                return False
            if resuming:
                self._scan.kept = self._places.rows_before(place, self._size)
            page.unjoined = place > self._places.first and not (self._seam and self._seam.shared)
            steps = 0 if self._take(page, reread=reread) else steps
            resuming, searching, furthest = False, False, max(place, furthest)
            self._seam = Seam(place, rows, ids) if rows else None
            page.token, page.next = place, self._next(ended=ended)
            yield page
            if ended:
                return True
            careful = self._passes > 0
            place = self._places.after(self._seam, careful=careful) if self._seam else self._places.beyond(place)

    def _take(self, page: Page, *, reread: bool) -> bool:
        return self._scan.take(page, reread=reread, shared=self._seam.shared if self._seam else 0)

    def _following(self, place: int) -> range:
        return self._places.ahead(place, self._seam, self._scan.total, self._scan.pages) if self._seam else range(0)

    def _ended(self, place: int, rows: int, page: Page) -> bool:
        if page.more is not None:
            return not page.more
        full = rows >= self._size > 0
        if full and page.total is not None and self._places.rows_through(place, rows) != page.total:
            return False  # a total or a number of pages that proves wrong is no end
        return self._places.ended(place, rows, self._size, self._seam, page)

    def _joins(self, place: int, ids: tuple[str, ...], page: Page, *, searching: bool, changed: bool) -> bool:
        """Say whether a page leaves no gap to the last good one; notes it where rows have moved."""
        seam = self._seam
        if seam is None or not seam.ids:
            return True
        if place <= self._places.first:
            return bool(ids) or not searching  # a list that is suddenly empty did not move: it went away
        if not ids and self._scan.has_met(page.unreadable):
            return True  # rows without an id have no other way to show that they stood on the page before
        if searching:
            return not set(ids).isdisjoint(seam.ids)
        if seam.shared == 0 and not changed:
            return True
        if seam.shared and ids[: seam.shared] == seam.ids[-seam.shared :]:
            return True
        self._scan.moved |= len(seam.ids) == seam.rows  # unreadable rows have no id to compare by
        return seam.ids[-1] in ids

    def _repeats(self, place: int, ids: tuple[str, ...]) -> bool:
        """Say whether these rows were a page before: the list is in a loop, or moved by just one page."""
        if place == self._places.first:
            if self._repeated is not None and ids == self._opening:
                raise PagingLoop(f"The list repeats a page: place {self._repeated} gave rows that came before.")
            self._opening, self._repeated = ids, None
        elif ids and len(ids) > (self._seam.shared if self._seam else 0) and self._scan.repeats(ids):
            self._repeated = place
        return self._repeated is not None

    def _next(self, *, ended: bool) -> Token:
        if self._seam and self._seam.ids:
            self._token = self._places.token(self._seam)
        if ended:
            return self._anew if self._look_again() else None
        return self._token

"""Paging: every way through a list, over lists that stand still, move, lie and never end."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.errors import BadPayload, Incomplete, PagingLoop, Unavailable
from onepipe.paging import Page, Token, by_cursor, by_key, by_offset, by_page, by_part
from onepipe.paging.ahead import Ahead
from onepipe.records import Record

Change = tuple[str, int, int]
BRISK = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def record(name: str, version: int = 0) -> Record:
    return Record(name, f'{{"id":"{name}","v":{version}}}'.encode())


@dataclass
class Shelf:
    """A list in the CRM: rows in order, changes that happen between two requests, and what it says of itself."""

    rows: list[str]
    size: int = 3
    says_total: bool = True
    says_more: bool = False
    says_pages: bool = False
    changes: list[list[Change]] = field(default_factory=list)
    asked: list[Token] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    added: int = 0

    def page(self, number: int) -> Page:
        return self._answer(number, (number - 1) * self.size)

    def offset(self, offset: int) -> Page:
        return self._answer(offset, offset)

    def key(self, after: Token) -> Page:
        self._begin(after)
        rows = sorted(row for row in self.rows if after is None or row > after)
        return Page([record(row) for row in rows[: self.size]], more=len(rows) > self.size if self.says_more else None)

    def _answer(self, place: Token, start: int) -> Page:
        self._begin(place)
        return Page(
            [record(row) for row in self.rows[start : start + self.size]],
            total=len(self.rows) if self.says_total else None,
            pages=-(-len(self.rows) // self.size) if self.says_pages else None,
            more=start + self.size < len(self.rows) if self.says_more else None,
        )

    def _begin(self, place: Token) -> None:
        changes = self.changes[len(self.asked)] if self.asked and len(self.asked) < len(self.changes) else []
        self.asked.append(place)
        for change in changes:
            self._change(change)

    def _change(self, change: Change) -> None:
        what, where, to = change
        if what == "add":
            self.added += 1
            self.rows.insert(where % (len(self.rows) + 1), f"{where % 90:02}new{self.added}")
        elif self.rows and what == "delete":
            self.gone.add(self.rows.pop(where % len(self.rows)))
        elif self.rows:
            moved = self.rows.pop(where % len(self.rows))
            self.renamed.add(moved)
            self.rows.insert(to % (len(self.rows) + 1), moved)


def ids(pages: list[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records]


def names(count: int) -> list[str]:
    return [f"{number:02}" for number in range(count)]


def read(pages: Iterator[Page]) -> tuple[list[Page], bool]:
    """Return the pages, and whether the scan says that it is whole."""
    got: list[Page] = []
    try:
        for page in pages:
            got.append(page)  # noqa: PERF402 - what came before an error counts
    except PagingLoop:
        return got, False
    return got, True


def of(*words: str) -> st.SearchStrategy[list[list[Change]]]:
    """Changes between the requests, at most eight gaps long; each gap holds one kind of change."""
    places = st.integers(0, 40)
    gaps = [st.lists(st.tuples(st.just(word), places, places), max_size=3) for word in words]
    return st.lists(st.one_of(*gaps), max_size=8)


mixed = st.lists(
    st.lists(st.tuples(st.sampled_from(["add", "delete"]), st.integers(0, 40), st.integers(0, 40)), max_size=3),
    max_size=8,
)
WAYS: dict[str, Callable[[Shelf, Token], Iterator[Page]]] = {
    "page": lambda shelf, resume: by_page(shelf.page, resume),
    "offset": lambda shelf, resume: by_offset(shelf.offset, resume, size=shelf.size),
    "key": lambda shelf, resume: by_key(shelf.key, resume),
}


@pytest.mark.parametrize("way", WAYS)
@BRISK
@given(count=st.integers(0, 20), size=st.integers(1, 6), says=st.tuples(*[st.booleans()] * 3))
def test_a_list_that_stands_still_is_read_once(way: str, count: int, size: int, says: tuple[bool, ...]) -> None:
    """Each row comes once and in order, whatever the list says of itself, and only the last page has no next."""
    shelf = Shelf(names(count), size, *says)
    pages, whole = read(WAYS[way](shelf, None))
    assert (names(count), True) == (ids(pages), whole)
    assert [False] * (len(pages) - 1) + [True] == [page.next is None for page in pages]
    assert not any(page.moved for page in pages)


@pytest.mark.parametrize("way", WAYS)
@BRISK
@given(count=st.integers(1, 20), size=st.integers(1, 6), total=st.booleans(), stop=st.integers(0, 10))
def test_a_scan_goes_on_where_it_was_left(way: str, count: int, size: int, total: bool, stop: int) -> None:
    """What was kept before a kill and what a resumed scan gives are together the whole list."""
    shelf = Shelf(names(count), size, total)
    first, _ = read(WAYS[way](shelf, None))
    kept = first[: stop % len(first) + 1]
    if kept[-1].next is None:
        return
    rest, whole = read(WAYS[way](Shelf(names(count), size, total), kept[-1].next))
    assert (set(names(count)), True) == (set(ids(kept)) | set(ids(rest)), whole)
    assert len(ids(kept)) + len(ids(rest)) <= count + size


@BRISK
@given(count=st.integers(0, 20), size=st.integers(2, 6), total=st.booleans(), more=st.booleans(), changes=mixed)
def test_rows_added_and_deleted_between_offsets_lose_no_other_row(
    count: int, size: int, total: bool, more: bool, changes: list[list[Change]]
) -> None:
    """Every record that stood in the list all the while is yielded, or the scan says that it is not whole."""
    shelf = Shelf(names(count), size, total, more, changes=changes)
    pages, whole = read(by_offset(shelf.offset, size=size))
    assert not whole or set(names(count)) - shelf.gone <= set(ids(pages))


@BRISK
@given(count=st.integers(0, 20), size=st.integers(2, 6), pages=st.booleans(), changes=of("add", "delete"))
def test_rows_added_or_deleted_between_page_numbers_lose_no_other_row(
    count: int, size: int, pages: bool, changes: list[list[Change]]
) -> None:
    """As above, for lists whose total tells that rows moved: between two requests only added, or only deleted."""
    shelf = Shelf(names(count), size, says_pages=pages, changes=changes)
    got, whole = read(by_page(shelf.page))
    assert not whole or set(names(count)) - shelf.gone <= set(ids(got))


@pytest.mark.parametrize("way", ["page", "offset"])
@BRISK
@given(count=st.integers(0, 20), size=st.integers(2, 6), changes=of("rename"))
def test_a_renamed_row_is_found_by_the_count(way: str, count: int, size: int, changes: list[list[Change]]) -> None:
    """Where rows only change places and the list states its total, every row is yielded or the scan says it is not."""
    shelf = Shelf(names(count), size, changes=changes)
    pages, whole = read(WAYS[way](shelf, None))
    assert not whole or set(names(count)) <= set(ids(pages))


@BRISK
@given(count=st.integers(0, 20), size=st.integers(1, 6), changes=mixed)
def test_by_key_nothing_moves(count: int, size: int, changes: list[list[Change]]) -> None:
    """A list by key is always read whole, however many rows are added and deleted meanwhile."""
    shelf = Shelf(names(count), size, changes=changes)
    pages, whole = read(by_key(shelf.key))
    assert whole
    assert set(names(count)) - shelf.gone <= set(ids(pages))


@pytest.mark.parametrize("way", ["page", "offset"])
@BRISK
@given(count=st.integers(1, 20), size=st.integers(2, 6), stop=st.integers(0, 9), changes=of("add", "delete"))
def test_a_list_that_moved_while_we_were_away_is_read_whole(
    way: str, count: int, size: int, stop: int, changes: list[list[Change]]
) -> None:
    """A resumed scan finds its place again or begins anew: no record that stood all the while is lost."""
    shelf = Shelf(names(count), size)
    first, _ = read(WAYS[way](shelf, None))
    kept = first[: stop % len(first) + 1]
    for change in (change for gap in changes for change in gap):
        shelf._change(change)
    if kept[-1].next is None:
        return
    rest, whole = read(WAYS[way](shelf, kept[-1].next))
    assert not whole or set(names(count)) - shelf.gone <= set(ids(kept)) | set(ids(rest))


def still(count: int, size: int = 3, total: int | None = None, more: bool | None = None) -> Callable[[int], Page]:
    """A list by page number that never moves."""
    rows = names(count)
    return lambda number: Page(
        [record(row) for row in rows[(number - 1) * size : number * size]], total=total, more=more
    )


def fail(pages: Iterator[Page], most: int = 60) -> tuple[str, list[str]]:
    """Return the words of the PagingLoop that a scan ends with, and the ids it gave before."""
    got: list[Page] = []
    with pytest.raises(PagingLoop) as caught:
        for page in pages:
            got.append(page)
            assert len(got) < most, "the scan does not end"
    return str(caught.value), ids(got)


def test_a_page_number_that_is_ignored_is_a_loop() -> None:
    """A list that gives its first page for ever fails within one extra request, and its rows are kept."""
    asked: list[int] = []

    def fetch(number: int) -> Page:
        asked.append(number)
        return Page([record("a"), record("b")], more=True)

    said, kept = fail(by_page(fetch))
    assert ([1, 2, 1], ["a", "b"]) == (asked, kept)
    assert "repeats a page: place 2" in said


def test_an_offset_that_is_ignored_is_a_loop() -> None:
    """The same holds by offset, with and without a stated total."""
    for total in (None, 9):
        said, kept = fail(by_offset(lambda _, total=total: Page([record("a"), record("b")], total=total)))
        assert "repeats a page" in said
        assert ["a", "b"] == kept


def test_pages_in_a_circle_are_a_loop() -> None:
    """A cycle of pages A-B-A-B ends as soon as a page comes again."""
    pages = [["a", "b"], ["c", "d"]]
    said, kept = fail(by_page(lambda number: Page([record(i) for i in pages[number % 2]], more=True)))
    assert "repeats a page: place 3" in said
    assert ["a", "b", "c", "d"] == sorted(kept)


def test_a_cursor_that_comes_twice_is_a_loop() -> None:
    """A token that repeats, at once or in a cycle, is named and ends the scan without another request."""
    numbers = iter(range(99))
    turns = {None: "x", "x": "y", "y": "x"}
    said, _ = fail(by_cursor(lambda token: Page([record(str(next(numbers)))], cursor=turns[token], more=True)))
    assert "gives the cursor x a second time" in said
    said, _ = fail(by_cursor(lambda _: Page([record(str(next(numbers)))], cursor="z", more=True)))
    assert "gives the cursor z a second time" in said


def test_three_pages_without_an_unseen_id_are_a_loop() -> None:
    """Fresh tokens do not save a list that only ever shuffles the rows it gave before."""
    orders = ["abcd", "bcda", "cdab", "dabc", "acbd", "abdc"]
    tokens = iter(range(1, 99))
    said, kept = fail(
        by_cursor(lambda token: Page([record(i) for i in orders[token or 0]], cursor=next(tokens), more=True))
    )
    assert "no unseen id on 3 pages running" in said
    assert list("abcd") == kept


def test_a_list_that_passes_its_own_total_is_a_loop() -> None:
    """Two pages beyond the stated total end the scan, however new their rows look."""
    said, kept = fail(by_page(lambda n: Page([record(f"{n}{i}") for i in "abc"], total=6, more=True)))
    assert "2 pages beyond its own total" in said
    assert 9 == len(kept)
    said, kept = fail(
        by_cursor(lambda n: Page([record(f"{n}{i}") for i in "abc"], total=6, more=True, cursor=(n or 0) + 1))
    )
    assert "2 pages beyond its own total" in said


def test_empty_pages_before_the_end_are_passed_over_three_times() -> None:
    """A list may have holes; the fourth empty page running is too many."""
    holes = still(12, more=True)
    filled = {1: 1, 3: 2, 6: 3, 10: 4}

    def fetch(number: int) -> Page:
        page = holes(filled[number]) if number in filled else Page([], more=True)
        page.more = number < 10
        return page

    assert names(12) == ids(list(by_page(fetch)))
    filled[11] = filled.pop(10)
    said, kept = fail(by_page(lambda number: Page(fetch(number).records, more=True)))
    assert "4 empty pages running" in said
    assert names(9) == kept


def test_an_empty_page_in_a_list_with_a_total_is_read_again() -> None:
    """What an empty page kept from us is found by the count at the end and fetched by another pass."""
    shelf = Shelf(names(9))
    hiccup = iter([False, True])

    def fetch(number: int) -> Page:
        page = shelf.page(number)
        return Page([], total=9) if number == 2 and next(hiccup, False) is False and shelf.asked.count(2) == 1 else page

    assert set(names(9)) == set(ids(list(by_page(fetch))))


def test_a_list_with_fewer_rows_than_it_states_is_not_whole() -> None:
    """Rows short of the stated total are looked for once more, and then the scan says that it is not whole."""
    shelf = Shelf(names(5))
    said, kept = fail(by_page(lambda number: Page(shelf.page(number).records, total=6)))
    assert "5 rows were found where it states 6" in said
    assert names(5) == kept
    assert [1, 2, 1, 2] == shelf.asked


def test_a_short_page_is_not_the_end() -> None:
    """A list capped below the size we ask for is read to its end, by offset and by page."""
    shelf = Shelf(names(23), size=4, says_total=False)
    assert names(23) == ids(list(by_offset(shelf.offset, size=100)))
    assert names(23) == ids(list(by_page(Shelf(names(23), size=4, says_total=False).page)))


def test_a_changed_row_is_yielded_again_and_an_unchanged_one_is_not() -> None:
    """A row that comes twice is given once, unless it changed in between."""
    pages = [[record("a"), record("b")], [record("b"), record("a", 2), record("c")], []]
    got = list(by_page(lambda number: Page(pages[number - 1]), fixed=True))
    assert [record("a"), record("b"), record("a", 2), record("c")] == [r for page in got for r in page.records]


def test_unreadable_rows_count_as_rows() -> None:
    """Rows without an id take part in offsets and totals, and are given once."""
    rows = [record("a"), b"null", record("b"), b"7", record("c"), record("d")]

    def fetch(offset: int) -> Page:
        part = rows[offset : offset + 3]
        odd = [row for row in part if isinstance(row, bytes)]
        return Page([row for row in part if isinstance(row, Record)], odd, total=len(rows))

    pages = list(by_offset(fetch, size=3))
    assert list("abcd") == ids(pages)
    assert [b"null", b"7"] == [row for page in pages for row in page.unreadable]


def test_movement_is_noted_on_the_pages() -> None:
    """From the page on where rows were seen to move, pages say so."""
    shelf = Shelf(names(9), changes=[[], [("add", 0, 0)]])
    assert [False, True, True, True] == [page.moved for page in by_page(shelf.page)][:4]


def test_parts_follow_each_other_and_a_run_resumes_in_its_part() -> None:
    """Tokens of a list in parts name the part; when it is gone everything is read again."""
    lists = {"x": names(4), "y": [], "z": ["90", "91"]}

    def pages(part: str, resume: Token) -> Iterator[Page]:
        return by_page(Shelf(lists[part]).page, resume)

    got = list(by_part(lists, pages))
    assert [*names(4), "90", "91"] == ids(got)
    assert None is got[-1].next
    assert all(page.next is not None for page in got[:-1])
    assert ["03", "90", "91"] == ids(list(by_part(lists, pages, got[0].next)))[-3:]
    assert ["90", "91"] == ids(list(by_part(lists, pages, got[1].next)))
    assert [*names(4), "90", "91"] == ids(list(by_part(lists, pages, ["gone", [2, "01", 3]])))


def slowly(fetch: Callable[[int], Page], seconds: float = 0.02) -> tuple[Callable[[int], Page], list[int]]:
    """The same list, but slow; and how many requests were under way at once, for each."""
    under_way, most, lock = set[int](), list[int](), threading.Lock()

    def slow(place: int) -> Page:
        with lock:
            under_way.add(place)
            most.append(len(under_way))
        time.sleep(seconds)
        with lock:
            under_way.discard(place)
        return fetch(place)

    return slow, most


def test_slow_pages_are_fetched_ahead_and_come_in_order() -> None:
    """Known pages of a slow list overlap, never more than allowed; their order stays and each is fetched once."""
    shelf = Shelf(names(60))
    slow, under_way = slowly(shelf.page)
    assert names(60) == ids(list(by_page(slow, ahead=4)))
    assert list(range(1, 21)) == sorted(shelf.asked)
    assert 2 <= max(under_way) <= 4
    shelf = Shelf(names(60))
    slow, under_way = slowly(shelf.offset)
    assert names(60) == ids(list(by_offset(slow, size=3, ahead=4)))
    assert 2 <= max(under_way) <= 4


def test_fast_pages_are_fetched_one_by_one() -> None:
    """A list that answers at once is not worth a thread."""
    names_of_threads = set[str]()
    shelf = Shelf(names(60))

    def fetch(number: int) -> Page:
        names_of_threads.add(threading.current_thread().name)
        return shelf.page(number)

    assert names(60) == ids(list(by_page(fetch)))
    assert {threading.current_thread().name} == names_of_threads


def test_an_error_ahead_surfaces_in_its_turn() -> None:
    """The pages before a failing one are yielded before its error is raised."""

    def fetch(number: int) -> Page:
        time.sleep(0.02)
        if number == 4:
            raise Unavailable("down")
        return still(30, total=30)(number)

    got: list[str] = []
    with pytest.raises(Unavailable):
        for page in by_page(fetch):
            got += ids([page])
    assert names(9) == got


def test_a_body_that_cannot_be_decoded_is_asked_for_once_more() -> None:
    """One bad answer costs a request; a second one is the list's own."""
    tries: list[int] = []

    def fetch(number: int) -> Page:
        tries.append(number)
        if len(tries) < 2:
            raise BadPayload("cut")
        return Page([])

    assert [] == ids(list(by_page(fetch)))
    assert [1, 1] == tries
    with pytest.raises(BadPayload):
        list(by_page(lambda _: (_ for _ in ()).throw(BadPayload("cut"))))


def test_a_scan_that_is_left_leaves_no_thread_at_work() -> None:
    """Who stops reading half way gets the threads back."""
    before = threading.active_count()
    slow, _ = slowly(Shelf(names(60)).page)
    pages = by_page(slow)
    next(pages), next(pages)
    pages.close()  # type: ignore[attr-defined]
    for _ in range(1000):
        if threading.active_count() <= before:
            break
        time.sleep(0.01)
    assert before >= threading.active_count(), "threads of other tests may have ended meanwhile"


def test_waiting_pages_are_dropped_once_the_list_moves() -> None:
    """What was fetched ahead of a movement is not used after it."""
    ahead = Ahead(lambda place: Page([record(str(place))]), depth=3, tick=iter(range(99)).__next__)
    ahead.page(1, [2, 3, 4])
    ahead.page(2, [3, 4, 5])
    ahead.forget()
    assert {} == ahead._coming
    ahead.close()


@pytest.mark.parametrize("size", [2, 3, 10])
def test_a_list_that_holds_an_id_twice_is_read_once_it_stands_still(size: int) -> None:
    """Total and rows agree, but one id stands there twice: that is no loop, and each id comes."""
    rows = ["a", "b", "b", "c", "d", "e"]

    def fetch(number: int) -> Page:
        part = rows[(number - 1) * size : number * size]
        return Page([Record(one, one.encode()) for one in part], total=len(rows))

    assert set(rows) == {record.id for page in by_page(fetch) for record in page.records}


def counted(rows: list[str], off: int, size: int = 3) -> dict[str, Iterator[Page]]:
    """One list in each way, which states `off` rows more than it holds."""
    total, count = len(rows) + off, -(-(len(rows) + off) // size)

    def part(start: int) -> list[Record]:
        return [record(row) for row in rows[start : start + size]]

    def left(after: Token) -> Page:
        start = 0 if after is None else rows.index(after) + 1
        return Page(part(start), total=total - start, more=False if total - start <= size else None)

    def cursor(start: Token) -> Page:
        following = (start or 0) + size
        return Page(part(start or 0), total=total, cursor=following if following < len(rows) else None)

    return {
        "page": by_page(lambda number: Page(part((number - 1) * size), total=total, pages=count)),
        "offset": by_offset(lambda start: Page(part(start), total=total), size=size),
        "key": by_key(left),
        "cursor": by_cursor(cursor),
    }


@pytest.mark.parametrize(
    ("way", "off"),
    [("page", -5), ("offset", -4), ("key", -5), ("cursor", -5), ("page", 4), ("offset", 4), ("key", 4), ("cursor", 4)],
)
def test_a_list_that_does_not_hold_what_it_states_is_incomplete(way: str, off: int) -> None:
    """Fewer or more rows than stated: all that is there comes, and then the scan says that it is not whole."""
    got: list[Page] = []
    with pytest.raises(Incomplete, match=r"10 rows were found.* states"):
        for page in counted(names(10), off)[way]:
            got.append(page)  # noqa: PERF402 - what came before the error counts
    assert names(10) == sorted(ids(got))
    assert names(10) == sorted(ids(list(counted(names(10), 0)[way])))


@pytest.mark.parametrize("way", ["page", "offset", "key", "cursor"])
@pytest.mark.parametrize("more", [True, None])
def test_ever_new_ids_beyond_the_total_are_a_loop(way: str, more: bool | None) -> None:
    """A list of ever new ids, whatever it says of more, is given up two pages beyond its own total."""
    asked: list[Token] = []

    def fetch(place: Token) -> Page:
        asked.append(place)
        new = [record(f"{len(asked):03}{letter}") for letter in "abc"]
        return Page(new, total=8, more=more, cursor=len(asked))

    ways = {
        "page": by_page(fetch),
        "offset": by_offset(fetch, size=3),
        "key": by_key(fetch),
        "cursor": by_cursor(fetch),
    }
    said, kept = fail(ways[way])
    assert "2 pages beyond its own total" in said
    assert 14 >= len(kept)


def test_an_empty_page_with_a_cursor_is_passed_over_and_its_rows_are_looked_for() -> None:
    """By cursor, an empty page before the stated total is no end, and what it kept from us comes in another pass."""
    rows, holes = names(9), [3]

    def fetch(cursor: Token) -> Page:
        start = cursor or 0
        found = [] if start in holes else [record(row) for row in rows[start : start + 3]]
        holes.clear() if start in holes else None
        return Page(found, total=9, cursor=start + 3 if start + 3 < 9 else None)

    assert rows == sorted(ids(list(by_cursor(fetch))))


def test_an_empty_page_that_leads_to_itself_is_asked_for_again() -> None:
    """By cursor, a hole that gives its own cursor back is asked again, three times and no more."""
    rows, tries = names(6), list[Token]()

    def fetch(cursor: Token) -> Page:
        tries.append(cursor)
        start = cursor or 0
        if start == 3 and tries.count(3) <= 2:
            return Page([], total=6, cursor=3)
        return Page([record(row) for row in rows[start : start + 3]], total=6, cursor=start + 3)

    assert rows == ids(list(by_cursor(fetch)))
    assert [None, 3, 3, 3, 6] == tries
    said, _ = fail(by_cursor(lambda cursor: Page([] if cursor else [record("a")], total=6, cursor=1)))
    assert "4 empty pages running" in said


def test_a_resumed_cursor_counts_the_rows_before_it() -> None:
    """What an earlier run kept counts for the total, so a resumed scan does not begin anew."""
    rows, asked = names(9), list[Token]()

    def fetch(cursor: Token) -> Page:
        asked.append(cursor)
        start = cursor or 0
        return Page([record(row) for row in rows[start : start + 3]], total=9, cursor=start + 3 if start < 6 else None)

    token = next(iter(by_cursor(fetch))).next
    asked.clear()
    assert rows[3:] == ids(list(by_cursor(fetch, token)))
    assert [3, 6] == asked


def test_by_cursor_a_list_may_hold_an_id_twice() -> None:
    """Total and rows agree and one id stands there twice: every id comes, and the list is whole."""
    rows = [*names(4), "03", b"null"]

    def fetch(cursor: Token) -> Page:
        part = rows[cursor or 0 : (cursor or 0) + 2]
        odd = [row for row in part if isinstance(row, bytes)]
        found = [record(row) for row in part if isinstance(row, str)]
        return Page(found, odd, total=6, cursor=(cursor or 0) + 2 if (cursor or 0) < 4 else None)

    assert names(4) == ids(list(by_cursor(fetch)))


@BRISK
@given(count=st.integers(0, 20), size=st.integers(1, 6), changes=mixed)
def test_by_key_rows_that_come_and_go_are_no_wrong_total(count: int, size: int, changes: list[list[Change]]) -> None:
    """Totals of what is left follow the rows that are added and deleted: the list is still whole."""
    shelf = Shelf(names(count), size, changes=changes)

    def fetch(after: Token) -> Page:
        page = shelf.key(after)
        page.total = sum(after is None or row > after for row in shelf.rows)
        return page

    pages, whole = read(by_key(fetch))
    assert whole
    assert set(names(count)) - shelf.gone <= set(ids(pages))

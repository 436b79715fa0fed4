"""Paging: every way through a list, over lists that stand still, move, lie and never end."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.errors import BadPayload, PagingLoop, Unavailable
from onepipe.paging import Page, Token, by_cursor, by_key, by_offset, by_page, by_part
from onepipe.paging.ahead import Ahead
from onepipe.records import Record

Change = tuple[str, int, int]
BRISK = settings(max_examples=120, deadline=None, derandomize=True, database=None)


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
    st.lists(st.tuples(st.sampled_from(["add", "delete"]), st.integers(0, 40), st.integers(0, 40)), max_size=3), max_size=8
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

"""The two ways to name a place in a list: the number of a page, the offset of a row."""

from dataclasses import dataclass
from typing import Protocol

from onepipe.records import Page, Token


@dataclass(slots=True)
class Seam:
    """The last good page, where the next must join: its place, its rows, and how many the next should share with it.

    `rows` counts unreadable ones, `ids` cannot.
    """

    place: int
    rows: int
    ids: tuple[str, ...]
    shared: int = 0

    def ends_with(self, page: Page) -> bool:
        """Say whether a page ends with the very row that this one ended with."""
        return bool(self.ids and page.records) and page.records[-1].id == self.ids[-1]


class Places(Protocol):
    """How places follow each other."""

    @property
    def first(self) -> int:
        """The place where the list begins."""

    def after(self, seam: Seam, *, careful: bool) -> int:
        """Return the place after the seam's page and note what it shares; `careful` is for reading a list again."""

    def beyond(self, place: int) -> int:
        """Return the place after an empty page."""

    def before(self, place: int, seam: Seam) -> int:
        """Return the place one page back."""

    def rows_before(self, place: int, size: int) -> int:
        """Return how many rows stand before a place, in a list of pages with `size` rows."""

    def rows_through(self, place: int, rows: int) -> int:
        """Return how many rows stand up to the end of a full page of `rows`."""

    def ended(self, place: int, rows: int, size: int, seam: Seam | None, page: Page) -> bool:
        """Say whether this page is the last, by the total or pages it states or else by what it holds."""

    def ahead(self, place: int, seam: Seam, total: int | None, pages: int | None) -> range:
        """Return the places after `place` that will surely be asked for."""

    def token(self, seam: Seam) -> Token:
        """Return [place, id, rows of a page]: a later run begins at this place and must find this id there."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Pages by number. Nothing is shared between them, so only the list's total shows that rows moved."""

    first: int

    def after(self, seam: Seam, *, careful: bool) -> int:  # noqa: ARG002 - see Places
        return seam.place + 1

    def beyond(self, place: int) -> int:
        return place + 1

    def before(self, place: int, seam: Seam) -> int:  # noqa: ARG002 - see Places
        return max(self.first, place - 1)

    def rows_before(self, place: int, size: int) -> int:
        return (place - self.first) * size

    def rows_through(self, place: int, rows: int) -> int:
        return self.rows_before(place + 1, rows)

    def ended(self, place: int, rows: int, size: int, seam: Seam | None, page: Page) -> bool:  # noqa: ARG002 - see Places
        if page.pages is not None:
            return place - self.first + 1 >= page.pages
        return self.rows_before(place + 1, size) >= page.total if page.total is not None else rows == 0

    def ahead(self, place: int, seam: Seam, total: int | None, pages: int | None) -> range:
        if pages is None:
            pages = -(-total // seam.rows) if total is not None and seam.rows else 0
        return range(place + 1, self.first + pages)

    def token(self, seam: Seam) -> Token:
        return [seam.place, seam.ids[-1], seam.rows]


@dataclass(frozen=True, slots=True)
class Offsets:
    """Rows by offset from 0. Each page begins with the last `overlap` rows of the one before."""

    size: int
    overlap: int
    first: int = 0

    def after(self, seam: Seam, *, careful: bool) -> int:
        wanted = max(self.overlap, seam.rows // 2 if careful else 0) + seam.rows - len(seam.ids)
        seam.shared = max(0, min(wanted, seam.rows - 1))
        return seam.place + seam.rows - seam.shared

    def beyond(self, place: int) -> int:
        return place + self.size

    def before(self, place: int, seam: Seam) -> int:
        return max(0, place - max(1, seam.rows - 1))

    def rows_before(self, place: int, size: int) -> int:  # noqa: ARG002 - see Places
        return place

    def rows_through(self, place: int, rows: int) -> int:
        return place + rows

    def ended(self, place: int, rows: int, size: int, seam: Seam | None, page: Page) -> bool:
        if page.total is not None:
            return place + rows >= page.total
        # Nothing follows the row we had; where one was added before it, the page holds more than that row.
        return not rows or (rows < size and seam is not None and seam.ends_with(page))

    def ahead(self, place: int, seam: Seam, total: int | None, pages: int | None) -> range:  # noqa: ARG002 - see Places
        step = seam.rows - seam.shared
        return range(place + step, total, step) if total is not None and step > 0 else range(0)

    def token(self, seam: Seam) -> Token:
        return [seam.place + seam.rows - 1, seam.ids[-1], seam.rows]

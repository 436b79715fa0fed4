"""What one scan of a list has seen: drops what was yielded before, and stops a list that never ends."""

from dataclasses import dataclass, field

from onepipe.errors import Incomplete, PagingLoop
from onepipe.records import Page, Record

STALE_PAGES = 3
"""So many pages running without an id that is new to the scan are a loop."""
EMPTY_PAGES = 3
"""So many empty pages running are passed over before the end that the list states."""
PAGES_BEYOND = 2
"""So many pages beyond the number of rows that the list states are a loop."""
RESCANS = 3
"""So often the whole list is read again before it counts as moving too fast, or as not holding what it states."""


@dataclass
class Scan:
    """The memory of one scan over all its passes. `kept` is how many rows an earlier run had already kept."""

    kept: int = 0
    total: int | None = None
    pages: int | None = None
    moved: bool = False
    astray: int = 0
    """How many rows of this pass came a second time although the list had not just grown by so many: they moved."""
    received: int = 0
    """How many rows of this pass came, those that came twice counted twice, those read again on purpose once."""
    _growth: int = 0
    """By how many rows the list grew since the last good page: so many may well come twice."""
    _least: int | None = None
    """The smallest total stated in this pass: so many rows at least stood there all the while, if none was added."""
    _most: int | None = None
    """The largest total stated in this pass."""
    _size: int = 0
    """How many rows the longest page had."""
    _yielded: dict[str, int] = field(default_factory=dict)
    _passed: set[str] = field(default_factory=set)
    _odd: set[bytes] = field(default_factory=set)
    _signatures: set[int] = field(default_factory=set)
    _stale: int = 0
    _empty: int = 0

    def __str__(self) -> str:
        return f"{self.rows} rows were found" + ("" if self.total is None else f" where it states {self.total}")

    def again(self) -> None:
        """Begin another pass: what was yielded is remembered, what the guard counts is not."""
        self.kept = self.astray = self.received = self._growth = self._stale = self._empty = 0
        self.total = self.pages = self._least = self._most = None
        self._passed, self._signatures = set(), set()

    @property
    def rows(self) -> int:
        """How many different rows this pass has seen, those kept by an earlier run and unreadable ones included."""
        return self.kept + len(self._passed) + len(self._odd)

    @property
    def known(self) -> int:
        """How many different rows all passes together have seen."""
        return self.kept + len(self._yielded) + len(self._odd)

    @property
    def short(self) -> bool:
        """Whether fewer rows were seen than the list holds by its own word."""
        return self._least is not None and self.known < self._least

    @property
    def over(self) -> bool:
        """Whether more different rows were seen than the list states, and its total stood still all the while."""
        return self._most is not None and self._least == self._most and self.rows > self._most

    @property
    def vanished(self) -> bool:
        """Whether a pass saw nothing of a list that had rows before."""
        return self.rows == 0 < self.known

    @property
    def settled(self) -> bool:
        """Whether as many rows were seen as the list states, as far as that can be said of one that moves."""
        return not (self.short or self.over or self.vanished)

    def incomplete(self) -> Incomplete:
        """The error for a list that does not hold what it states."""
        return Incomplete(f"The list does not hold what it states: {self}.")

    @property
    def holds_twice(self) -> bool:
        """Whether the list stood still and gave as many rows as it states: then it holds some ids more than once."""
        stood = not self.moved and not self.over and self.total is not None
        return stood and self.kept + self.received >= (self.total or 0)

    def note(self, page: Page) -> bool:
        """Remember what the list says it holds; return whether its total changed since the page before."""
        self.pages = self.pages if page.pages is None else page.pages
        if page.total is None:
            return False
        grown = page.total - (page.total if self.total is None else self.total)
        self._growth, changed = self._growth + max(0, grown), grown != 0
        self.moved |= changed
        self.total = page.total
        self._least = page.total if self._least is None else min(page.total, self._least)
        self._most = page.total if self._most is None else max(page.total, self._most)
        return changed

    def repeats(self, ids: tuple[str, ...]) -> bool:
        """Say whether these very rows were a page of this pass before."""
        return hash(ids) in self._signatures

    def has_met(self, unreadable: list[bytes]) -> bool:
        """Say whether there are such rows, and all of them came before."""
        return bool(unreadable) and self._odd.issuperset(unreadable)

    def take(self, page: Page, *, reread: bool = False, shared: int = 0) -> bool:
        """Take in a page and leave on it only what was not yielded before; return whether it held an unseen row.

        `reread`: we went back on purpose, which the guard must not count. `shared`: so many rows stood on the page
        before. Raises PagingLoop.
        """
        ids = [record.id for record in page.records]
        odd = [row for row in page.unreadable if row not in self._odd]
        seen = sum(map(self._passed.__contains__, ids))
        filled, fresh = bool(ids or page.unreadable), bool(odd) or seen < len(ids)
        self._signatures.add(hash(tuple(ids)))
        self._passed.update(ids)
        self._odd.update(odd)
        self._size = max(self._size, len(ids) + len(page.unreadable))
        if fresh and self._most is not None and self.rows >= self._most + PAGES_BEYOND * self._size:
            raise PagingLoop(f"The list goes {PAGES_BEYOND} pages beyond its own total: {self}.")
        if not reread:
            self.received += len(ids) + len(page.unreadable) - shared
            self.astray += max(0, seen - shared - self._growth)
            self._growth = 0
            self._guard(filled=filled, fresh=fresh)
        page.records = [record for record in page.records if self._is_news(record)]
        page.unreadable, page.moved = odd, self.moved
        return fresh

    def _guard(self, *, filled: bool, fresh: bool) -> None:
        self._empty = 0 if filled else self._empty + 1
        self._stale = 0 if fresh or not filled else self._stale + 1
        if self._empty > EMPTY_PAGES:
            raise PagingLoop(f"The list gives {self._empty} empty pages running and says that more follows: {self}.")
        if self._stale >= STALE_PAGES:
            raise PagingLoop(f"The list gives no unseen id on {self._stale} pages running: {self}.")

    def _is_news(self, record: Record) -> bool:
        mark = hash(record.payload)
        if self._yielded.get(record.id) == mark:
            return False
        self._yielded[record.id] = mark
        return True

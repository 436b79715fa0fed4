"""Lists where each page says how to ask for the next: by the last row's key, by a cursor; and lists in parts."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from onepipe.errors import Incomplete, PagingLoop
from onepipe.paging.scan import EMPTY_PAGES, RESCANS, Scan
from onepipe.records import Page, Record, Token


def by_key(
    fetch: Callable[[Token], Page], resume: Token = None, key: Callable[[Record], Token] = lambda record: record.id
) -> Iterator[Page]:
    """Ask for the rows after the last row's key: `fetch(None)`, `fetch(key(last row))`, ...

    The list must be ordered by a key that is unique and never changes. Rows that are added or deleted meanwhile shift
    nothing. A page's `total` means the rows from there on; it is turned into that of the whole list. Ends on `more` =
    False or an empty page. Raises PagingLoop when a key comes twice or no end comes, Incomplete when the last page
    holds fewer rows than it states, or any page more.
    """
    scan, used, token, left, wrong = Scan(), {msgspec.json.encode(resume)}, resume, None, ""
    while True:
        page, fault = _looked_at(fetch, token)
        _refuse_repeated(scan, page, "key", token)
        wrong = wrong or fault
        ended = (page.more is not True and not _rows(page)) or (page.more is False and not fault)
        after = None if ended else _last_key(page, key)
        _refuse_used(scan, used, after, "key", ended=ended)
        if page.total is not None:
            nearer, left = left is None or page.total < left, page.total
            page.total += scan.rows
            if nearer:  # a list that does not come nearer to its end is held to what it stated before
                scan.note(page)
        scan.take(page)
        page.token, page.next = token, after or (token if wrong else None)
        yield page
        if ended and wrong:
            raise Incomplete(f"The list does not hold what it states: {scan.rows} rows were found, and {wrong}.")
        if ended:
            return
        token = after


def by_cursor(fetch: Callable[[Token], Page], resume: Token = None) -> Iterator[Page]:
    """Ask with what the page before gave: `fetch(None)`, `fetch(page.cursor)`, ...

    Ends on `more` = False and, where that is not said, on a page without a cursor, or an empty one once the stated
    total has come. A list that gives a cursor even on its last page needs `more` or a total. Raises PagingLoop when a
    cursor comes twice, Incomplete for a list that, read again, still holds fewer or more rows than it states.
    """
    scan, known = Scan(), -1
    token, scan.kept = (resume["cursor"], resume["rows"]) if resume else (None, 0)
    for passes in range(RESCANS + 1):
        if passes:
            scan.again()
        yield from _follow(fetch, scan, token)
        if scan.settled:
            return
        if scan.known == known:
            if scan.holds_twice:
                return
            break  # another pass would find no more
        token, known = None, scan.known
    raise scan.incomplete()


def by_part(
    parts: Iterable[str], pages: Callable[[str, Token], Iterator[Page]], resume: Token = None
) -> Iterator[Page]:
    """Read several lists one after the other, such as the deals of each pipeline: `pages(part, resume)`.

    Tokens become [part, token]. A run resumes in the part it was in; if that is gone, everything is read again.
    """
    ahead = list(parts)
    at, token = resume or (None, None)
    if at in ahead:
        ahead = ahead[ahead.index(at) :]
    for number, part in enumerate(ahead):
        after = [ahead[number + 1], None] if number + 1 < len(ahead) else None
        for page in pages(part, token if part == at else None):
            page.token = [part, page.token]
            page.next = after if page.next is None else [part, page.next]
            yield page


def _follow(fetch: Callable[[Token], Page], scan: Scan, token: Token) -> Iterator[Page]:
    """One pass from cursor to cursor. A `next` is {cursor, rows before it}; a list to be read again begins anew."""
    used = {msgspec.json.encode(token)}
    while True:
        page = fetch(token)
        _refuse_repeated(scan, page, "cursor", token)
        scan.note(page)
        after, counted = page.cursor, scan.total is not None and not _rows(page)
        ended = after is None if page.more is None else not page.more
        if counted and page.more is None:
            ended |= scan.rows >= (scan.total or 0)
        if not (counted and after == token):  # a hole may lead to itself: it is asked for again
            _refuse_used(scan, used, after, "cursor", ended=ended)
        scan.take(page)
        page.token, page.next = token, {"cursor": after, "rows": scan.rows}
        if ended:
            page.next = None if scan.settled else {"cursor": None, "rows": 0}
        yield page
        if ended:
            return
        token = after


def _looked_at(fetch: Callable[[Token], Page], token: Token) -> tuple[Page, str]:
    """A page by key, and what it says that is not so; asked again then, since a row may come while it counts."""
    page = fetch(token)
    for _ in range(EMPTY_PAGES):
        if not _fault(page):
            break
        page = fetch(token)
    return page, _fault(page)


def _fault(page: Page) -> str:
    rows = _rows(page)
    ended = page.more is False or not rows
    if page.total is None or (rows == page.total if ended else rows <= page.total):
        return ""
    return f"a page of {rows} states {page.total} from there on"


def _rows(page: Page) -> int:
    return len(page.records) + len(page.unreadable)


def _last_key(page: Page, key: Callable[[Record], Token]) -> Token:
    if page.unreadable and not page.records:
        raise PagingLoop("No row of a page has an id, so there is no key to go on with.")
    return key(page.records[-1]) if page.records else None


def _refuse_repeated(scan: Scan, page: Page, word: str, token: Token) -> None:
    if page.records and scan.repeats(tuple(record.id for record in page.records)):
        raise PagingLoop(f"The list repeats a page: {word} {token} gives rows that came before.")


def _refuse_used(scan: Scan, used: set[bytes], after: Token, word: str, *, ended: bool) -> None:
    """Raise for a token that came before; note it otherwise."""
    mark = msgspec.json.encode(after)
    if not ended and (after is None or mark in used):
        raise PagingLoop(f"The list says that more follows and gives the {word} {after} a second time: {scan}.")
    used.add(mark)

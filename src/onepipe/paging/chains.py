"""Lists where each page says how to ask for the next: by the last row's key, by a cursor; and lists in parts."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from onepipe.errors import PagingLoop
from onepipe.paging.scan import Scan
from onepipe.records import Page, Record, Token


def by_key(
    fetch: Callable[[Token], Page], resume: Token = None, key: Callable[[Record], Token] = lambda record: record.id
) -> Iterator[Page]:
    """Ask for the rows after the last row's key: `fetch(None)`, `fetch(key(last row))`, ...

    The list must be ordered by a key that is unique and never changes. Rows that are added or deleted meanwhile shift
    nothing. Ends on `more` = False or an empty page; a total is not believed, since such a list counts what is left.
    Raises PagingLoop when a key comes twice.
    """

    def following(page: Page) -> Token:
        if page.unreadable and not page.records:
            raise PagingLoop("No row of a page has an id, so there is no key to go on with.")
        return key(page.records[-1]) if page.records else None

    return _chain(fetch, following, resume, "key")


def by_cursor(fetch: Callable[[Token], Page], resume: Token = None) -> Iterator[Page]:
    """Ask with what the page before gave: `fetch(None)`, `fetch(page.cursor)`, ...

    Ends on `more` = False and, where that is not said, on a page without a cursor; a list that gives a cursor even on
    its last page needs `more`. Raises PagingLoop when a cursor comes twice.
    """
    return _chain(fetch, lambda page: page.cursor, resume, "cursor")


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


def _chain(
    fetch: Callable[[Token], Page], following: Callable[[Page], Token], token: Token, word: str
) -> Iterator[Page]:
    scan, used = Scan(), {msgspec.json.encode(token)}
    while True:
        page = fetch(token)
        if page.records and scan.repeats(tuple(record.id for record in page.records)):
            raise PagingLoop(f"The list repeats a page: {word} {token} gives rows that came before.")
        after = following(page)
        ended = after is None if page.more is None else not page.more
        mark = msgspec.json.encode(after)
        if not ended and (after is None or mark in used):
            raise PagingLoop(f"The list says that more follows and gives the {word} {after} a second time: {scan}.")
        used.add(mark)
        if word == "cursor":
            scan.note(page)
        scan.take(page, beyond=scan.total is not None and scan.rows >= scan.total)
        page.token, page.next = token, None if ended else after
        yield page
        if ended:
            return
        token = after

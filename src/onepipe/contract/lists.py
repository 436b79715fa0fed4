"""Promises about lists: every row, once, unchanged, resumable, filtered as declared."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from onepipe.connector import Window
from onepipe.contract.bench import (
    PLAIN,
    SINCE,
    SOME,
    Bench,
    Broken,
    Skipped,
    ids_of,
    many,
    pulled,
    records,
    whole,
)
from onepipe.contract.hostile import honest
from onepipe.contract.rig import Asked, Told
from onepipe.errors import PagingLoop

HOSTILE = (
    "hello? \"quoted\" 'single' < > & \u2260 \u4e16\u754c \U0001f4b0",
    "]]> <![CDATA[ &amp; &#65; </name>",
    'back\\slash \\u0041 {"a": [1]} %41 %2F ${HOME} {{x}}',
    "  outer blanks  ",
    "two\nlines\tand a tab",
    "\u202eright to left\u202c, e\u0301, zero\u200bwidth, \u2028",
    "'; DROP TABLE opportunities; --",
    "NULL",
    "12,5 %",
    "x" * 10_000,
)


def reads_every_row(bench: Bench, count: int) -> None:
    """Every row of the list comes exactly once."""
    with bench.account(count) as connection:
        whole(bench, count, ids_of(connection))


def reads_what_a_cap_leaves(bench: Bench, cap: int) -> None:
    """A CRM that gives fewer rows a page than it was asked for still gives them all."""
    if bench.rig.cap is None:
        raise Skipped("the fake has no cap")
    bench.rig.cap(cap)
    try:
        reads_every_row(bench, 2 * cap + 1)
    finally:
        bench.rig.cap(None)


def misses_no_row_beside_a_deleted_one(bench: Bench) -> None:
    """A row that is deleted while the list is read takes no other row with it, or the scan ends as PagingLoop."""
    count = many(bench.connector)
    first: list[str] = []

    def delete(_: Asked, told: Told) -> Told:
        if first:
            bench.rig.remove(first.pop())
            bench.server.spoil = honest
        return told

    with bench.account(count, spoil=delete) as connection:
        ids: list[str] = []
        try:
            for page in connection.pull("opportunity", Window()):
                if not ids and page.records:
                    first.append(page.records[0].id)
                ids += [record.id for record in page.records]
        except PagingLoop:
            return
    lost = sorted(set(bench.ids) - set(ids))
    if lost:
        raise Broken(f"after a deletion on the first page {len(lost)} other rows are missing: {lost[:3]}")


def reads_the_same_twice(bench: Bench) -> None:
    """A second scan of an unchanged list gives the same ids with the same payloads."""
    with bench.account(SOME) as connection:
        first = records(pulled(connection))
        second = records(pulled(connection))
    differing = [key for key in first if first[key].payload != second.get(key, first[key]).payload]
    if first.keys() != second.keys() or differing:
        raise Broken(f"ids differ: {sorted(first.keys() ^ second.keys())[:3]}, payloads differ: {differing[:3]}")


def gives_whole_records(bench: Bench) -> None:
    """A payload is one JSON object in one line, its id is text, and its stamp stands where the facts say."""
    stamp = bench.connector.facts.stamp
    with bench.account(SOME) as connection:
        found = records(pulled(connection)).values()
    for record in found:
        if not isinstance(json.loads(record.payload), dict) or b"\n" in record.payload or b"\r" in record.payload:
            raise Broken(f"the payload of {record.id} is no JSON object in one line")
        if stamp and not record.stamp:
            raise Broken(f"the record {record.id} came without its stamp ({stamp})")


def goes_on_where_it_stopped(bench: Bench) -> None:
    """A scan that resumes with a page's token gives everything that page left."""
    count = many(bench.connector)
    with bench.account(count) as connection:
        first, second, *_ = [*pulled(connection), None, None]
    if first is None or second is None or second.next is None:
        raise Skipped("the whole list is one page, or two")
    with bench.connection() as connection:
        rest = set(ids_of(connection, Window(resume=json.loads(json.dumps(second.next)))))
    beginning = {record.id for record in first.records}
    whole(bench, count, sorted(beginning | {record.id for record in second.records} | rest))
    if beginning <= rest:
        raise Broken("the scan began again from the first page")


def filters_iff_it_says_so(bench: Bench) -> None:
    """The instant asked from reaches the wire if, and only if, the facts declare a filter."""
    asked: list[list[str]] = []
    bench.ids = bench.rig.fill(SOME, PLAIN)
    for since in (None, SINCE, SINCE + timedelta(days=3)):
        with bench.connection() as connection:
            pulled(connection, window=Window(since=since))
        asked.append(sorted(request.raw_query for request in bench.server.asked))
    told_apart = asked[1] != asked[2] and asked[0] != asked[1]
    if told_apart != (bench.connector.facts.filter != "none"):
        verb = "reaches" if told_apart else "does not reach"
        raise Broken(f"filter is declared {bench.connector.facts.filter!r}, but the instant {verb} the wire")


def reads_its_reference_lists(bench: Bench) -> None:
    """Each declared reference list can be read, and its records have different ids."""
    if not bench.connector.facts.reference:
        raise Skipped("has no reference lists")
    with bench.account(SOME) as connection:
        for resource in bench.connector.facts.reference:
            ids = [record.id for page in pulled(connection, resource) for record in page.records]
            if not ids or len(ids) != len(set(ids)):
                raise Broken(f"{resource}: {len(ids)} records, {len(set(ids))} different ids")


def counts_with_one_request(bench: Bench) -> None:
    """The check of a connection is one request, and what it counts is right or None."""
    with bench.account(SOME) as connection:
        count = connection.count()
    if len(bench.server.asked) != 1:
        raise Broken(f"made {len(bench.server.asked)} requests")
    if count not in (None, SOME):
        raise Broken(f"counted {count} of {SOME}")


def counts_within_a_window(bench: Bench) -> None:
    """Where lists can be narrowed to a range, both instants narrow the count, too: backfills are cut by it."""
    if bench.connector.facts.filter != "range":
        raise Skipped("its lists cannot be narrowed to a range")
    asked = set()
    with bench.account(SOME) as connection:
        for window in (None, Window(since=SINCE), Window(since=SINCE, until=SINCE + timedelta(days=3))):
            bench.server.asked.clear()
            connection.count(window)
            asked |= {request.raw_query for request in bench.server.asked}
    if len(asked) != 3:
        raise Broken("the instants of the window do not reach the wire")


def only_reads(bench: Bench) -> None:
    """Nothing but GET leaves while reading, and every request stays below the base_url."""
    with bench.account(SOME) as connection:
        for resource in ("opportunity", *bench.connector.facts.reference):
            pulled(connection, resource)
        some = next(iter(records(pulled(connection)).values()))
        connection.get(some.id, some.payload)
        writes = sorted({asked.method for asked in bench.server.asked} - {"GET", "HEAD"})
        if writes or bench.server.strays:
            raise Broken(f"methods: {writes}, paths outside of the base_url: {bench.server.strays[:3]}")


def keeps_hostile_text(bench: Bench, text: str) -> None:
    """What people type comes through unchanged, whatever it looks like."""
    with bench.account(2, text) as connection:
        for record in records(pulled(connection)).values():
            for payload in (record.payload, connection.get(record.id, record.payload).payload):
                if text not in _texts(json.loads(payload)):
                    raise Broken(f"{text[:60]!r} is not in the payload: {payload[:300]!r}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts(child)

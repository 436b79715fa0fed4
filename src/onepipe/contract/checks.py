"""What must hold of every connector: one function a promise, and the promise is its docstring.

A check raises Broken with what it saw, or Skipped where the connector lacks the capability it is about; any other
error that gets out of it breaks the promise too. Nothing here knows a connector's name.
"""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from onepipe.connector import Answer, Connector, Window
from onepipe.contract.bench import ENOUGH_REQUESTS, Bench, Broken, Skipped, pulled, records, told
from onepipe.contract.hostile import Spoil
from onepipe.contract.rig import Asked, Told
from onepipe.contract.spoils import always, lists_only
from onepipe.errors import Gone, OnepipeError, PagingLoop, SourceError

SOME = 7
SINCE = datetime(2024, 3, 1, 10, 0, 5, tzinfo=UTC)
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


def many(connector: type[Connector]) -> int:
    """More rows than two pages hold."""
    return 2 * connector.facts.page_size + SOME


# What a file says of itself


def says_what_it_is(bench: Bench) -> None:
    """The file and its facts name the API, its version, what it was verified against, its credentials and settings."""
    facts, page = bench.connector.facts, sys.modules[bench.connector.__module__].__doc__ or ""
    empty = [name for name in ("title", "api", "verified", "base_url") if not getattr(facts, name)]
    silent = [name for name, sentence in facts.settings.items() if not sentence]
    if not page.strip():
        raise Broken("the file has no docstring")
    if empty or silent or not facts.credentials:
        raise Broken(
            f"says nothing of: {', '.join([*empty, *silent, *([] if facts.credentials else ['credentials'])])}"
        )
    if facts.filter != "none" and not facts.stamp:
        raise Broken("declares a filter by time of change, but not where that time stands (Facts.stamp)")


def documents_its_reads(bench: Bench) -> None:
    """Every named read has a docstring, and those that need nothing answer JSON."""
    reads = bench.connector.reads()
    if not reads:
        raise Skipped("has no named reads")
    silent = [read.name for read in reads.values() if not read.doc]
    if silent:
        raise Broken(f"reads without a docstring: {', '.join(silent)}")
    with bench.account(SOME) as connection:
        for read in reads.values():
            if any(parameter.required for parameter in read.parameters):
                continue
            try:
                found = connection.ask(read.name, {})
            except SourceError:  # documented, but not in every account
                continue
            if not isinstance(found, Answer):
                json.loads(found) if isinstance(found, bytes) else json.dumps(found)


# Reading a list


def reads_every_row(bench: Bench, count: int) -> None:
    """Every row of the list comes exactly once."""
    with bench.account(count) as connection:
        _same(bench, count, _ids(connection))


def _same(bench: Bench, count: int, ids: list[str]) -> None:
    expected = set(bench.ids)
    if len(expected) != count:
        raise Broken(f"the fake made {len(expected)} different ids for {count} rows")
    lost, invented = sorted(expected - set(ids)), sorted(set(ids) - expected)
    if lost or invented or len(ids) != len(set(ids)):
        twice = len(ids) - len(set(ids))
        raise Broken(
            f"of {count} rows {len(lost)} are missing {lost[:3]}, {len(invented)} invented {invented[:3]}, {twice} twice"
        )


def _ids(connection: Connector, window: Window | None = None) -> list[str]:
    return [record.id for page in pulled(connection, window=window) for record in page.records]


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
        pages = pulled(connection)
        kept = {record.id for record in pages[0].records}
        if pages[0].next is None:
            raise Skipped("the whole list is one page")
        token = json.loads(json.dumps(pages[0].next))
    with bench.connection() as connection:
        rest = set(_ids(connection, Window(resume=token)))
    _same(bench, count, sorted(kept | rest))
    if kept <= rest and len(pages) > 1:
        raise Broken("the scan began again from the first page")


def filters_iff_it_says_so(bench: Bench) -> None:
    """The instant asked from reaches the wire if, and only if, the facts declare a filter."""
    asked: list[list[str]] = []
    for since in (None, SINCE, SINCE + timedelta(days=3)):
        with bench.account(SOME) as connection:
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


# Reading one record


def reads_one_record(bench: Bench) -> None:
    """A record can be read by its id, with and without its stored payload."""
    with bench.account(SOME) as connection:
        for record in list(records(pulled(connection)).values())[:2]:
            for payload in (record.payload, None):
                if (found := connection.get(record.id, payload)).id != record.id:
                    raise Broken(f"asked for {record.id}, got {found.id}")


def says_gone(bench: Bench) -> None:
    """Reading a record that was deleted raises Gone."""
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
        bench.rig.remove(record.id)
        try:
            connection.get(record.id, record.payload)
        except Gone:
            return
    raise Broken("a deleted record was read without an error")


def never_gone_by_failure(bench: Bench, status: int) -> None:
    """A failing server does not make a record gone."""
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
    with bench.connection(always(status)) as connection:
        try:
            connection.get(record.id, record.payload)
        except SourceError:
            return
    raise Broken(f"status {status} did not raise")


def reads_details(bench: Bench) -> None:
    """Each declared detail is a JSON array, raises Gone for a deleted record, and is never empty by failure."""
    if not bench.connector.facts.details:
        raise Skipped("has no details")
    with bench.account(SOME) as connection:
        record = next(iter(records(pulled(connection)).values()))
        for name in bench.connector.facts.details:
            if not isinstance(json.loads(_detail(connection, name, record)), list):
                raise Broken(f"{name} is no JSON array")
    for name in bench.connector.facts.details:
        with bench.connection(always(503)) as connection:
            try:
                _detail(connection, name, record)
            except SourceError:
                continue
        raise Broken(f"{name}: a failing server gave an array all the same")


def _detail(connection: Any, name: str, record: Any) -> bytes:
    found: bytes = connection.detail(name, record.id, record.payload)
    return found


def tells_deletions(bench: Bench) -> None:
    """Where the CRM keeps tombstones, a deleted record has one, with its instant in the stamp."""
    if not bench.connector.can("deleted"):
        raise Skipped("has no tombstones")
    with bench.account(SOME) as connection:
        gone = bench.ids[0]
        bench.rig.remove(gone)
        deleted: Any = getattr(connection, "deleted")  # noqa: B009 - not every connector has the verb
        stones = {record.id: record.stamp for page in deleted(SINCE) for record in page.records}
    if not stones.get(gone):
        raise Broken(f"{gone} was deleted; tombstones: {stones}")


# A server that misbehaves


def sorts_refusals(bench: Bench, spoil: Spoil, kind: type[OnepipeError]) -> None:
    """A refusal raises the error that says what to do next, in a list and in a count."""
    with bench.account(SOME, spoil=spoil) as connection:
        for verb in (lambda: pulled(connection), connection.count):
            try:
                verb()
            except OnepipeError as error:
                if not isinstance(error, kind):
                    raise Broken(f"{type(error).__name__} instead of {kind.__name__}: {error}") from error
                continue
            raise Broken(f"no error at all instead of {kind.__name__}")


def never_an_empty_page(bench: Bench, spoil: Spoil) -> None:
    """An answer that is not what was promised raises; it is never an empty list."""
    with bench.account(SOME, spoil=spoil) as connection:
        try:
            found = records(pulled(connection))
        except SourceError:
            return
    raise Broken(f"the scan ended without an error, with {len(found)} of {SOME} rows")


def fails_in_the_middle(bench: Bench, spoil: Spoil) -> None:
    """A failure on a later page ends the scan with an error, never as if the list were over."""
    count = many(bench.connector)
    with bench.account(count, spoil=lists_only(spoil, skip=1)) as connection:
        try:
            found = records(pulled(connection))
        except SourceError:
            return
    raise Broken(f"the scan ended without an error, with {len(found)} of {count} rows")


def notices_loops(bench: Bench, begin: Callable[[], Spoil]) -> None:
    """A list that repeats itself ends as PagingLoop, after few requests."""
    with bench.account(many(bench.connector), spoil=begin()) as connection:
        try:
            pulled(connection)
        except PagingLoop:
            if len(bench.server.asked) > ENOUGH_REQUESTS:
                raise Broken(f"only after {len(bench.server.asked)} requests") from None
            return
    raise Broken(f"no error after {len(bench.server.asked)} requests")


def tells_no_secret(bench: Bench) -> None:
    """No credential is in an error, its hint or cause, a log line or a repr, even where the server sends it back."""
    texts: list[str] = []
    for spoil in (*(always(status) for status in (400, 401, 404, 500)), _echo(200), _echo(400), _echo(403), _echo(500)):
        with bench.account(SOME, spoil=spoil) as connection:
            texts += [repr(connection), repr(connection.http), str(connection)]
            for verb in (lambda: pulled(connection), connection.count, lambda: connection.get("1", b"{}")):
                try:
                    verb()
                except OnepipeError as error:
                    texts += told(error)
    leaks = bench.leaks(texts + bench.logs.lines)
    if leaks:
        raise Broken(f"{len(leaks)} texts hold a credential, such as one of {len(leaks[0])} characters")


def _echo(status: int) -> Spoil:
    """A server that sends back what it was sent, credentials included."""

    def spoil(asked: Asked, _: Told) -> Told:
        said = {
            "message": f"{asked.raw_path}?{asked.raw_query}",
            "headers": dict(asked.headers),
            "url": asked.raw_query,
        }
        return Told(status, json.dumps(said).encode(), {"Content-Type": "application/json"})

    return spoil

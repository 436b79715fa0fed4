"""Promises about a server that misbehaves: each failure is the right error, and never an empty list."""

import json
from collections.abc import Callable

from onepipe.contract.bench import ENOUGH_REQUESTS, SOME, Bench, Broken, ids_of, many, pulled, records, told, whole
from onepipe.contract.hostile import Spoil
from onepipe.contract.rig import Asked, Told
from onepipe.contract.spoils import always, lists_only, once
from onepipe.errors import OnepipeError, PagingLoop, SourceError


def gets_over_a_hiccup(bench: Bench, spoil: Spoil) -> None:
    """A failure that is over at the next try costs nothing: every row comes."""
    with bench.account(SOME, spoil=once(spoil)) as connection:
        whole(bench, SOME, ids_of(connection))


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

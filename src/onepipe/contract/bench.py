"""Where a check stands: a connector class, a fake CRM, the hostile server between them, a clock that never waits."""

import base64
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self
from urllib.parse import quote, quote_plus

from onepipe.connector import Connector, Http, Page, Record, Window
from onepipe.contract.hostile import HostileServer, Spoil, honest
from onepipe.contract.rig import Rig
from onepipe.errors import OnepipeError
from onepipe.http import Gate

ENOUGH_REQUESTS = 80
PLAIN = "Plain text"
SOME = 7
SINCE = datetime(2024, 3, 1, 10, 0, 5, tzinfo=UTC)


class Broken(Exception):
    """A promise that does not hold, and what was seen instead."""


class Skipped(Exception):
    """The promise is about something this connector cannot do."""


class _Clock:
    """Time that passes only by sleeping, so that no check waits for a retry."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.now += seconds


class _Logs(logging.Handler):
    """Keeps what is logged while a check runs."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Bench:
    """Opens connections to the fake and keeps everything that could be told to a user: `told`."""

    def __init__(self, connector: type[Connector], rig: Rig) -> None:
        self.connector, self.rig = connector, rig
        self.server = HostileServer(rig.answer)
        self.logs = _Logs()
        self.ids: list[str] = []

    def __enter__(self) -> Self:
        self.server.__enter__()
        logging.getLogger().addHandler(self.logs)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self.logs)
        self.server.__exit__()

    @contextmanager
    def account(self, count: int, text: str = PLAIN, spoil: Spoil = honest) -> Iterator[Connector]:
        """A fresh account with `count` opportunities, and a connection to it."""
        self.ids = self.rig.fill(count, text)
        with self.connection(spoil) as connection:
            yield connection

    @contextmanager
    def connection(self, spoil: Spoil = honest) -> Iterator[Connector]:
        """A connection to the account as it is."""
        self.server.reset(spoil)
        made = self.connector(self.server.base_url, self.rig.credentials, self.rig.settings)
        made.http = made.open(partial(self._door, made.base_url))
        try:
            yield made
        finally:
            made.http.close()

    def _door(self, base_url: str, **authorised: Any) -> Http:
        clock = _Clock()
        secrets = (*authorised.pop("secrets", ()), *self.rig.credentials.values())
        gate = Gate(writing_paths=self.connector.facts.writing_paths)
        return Http(base_url, gate=gate, secrets=secrets, clock=clock, tick=clock, sleep=clock.sleep, **authorised)

    def leaks(self, texts: list[str]) -> list[str]:
        """Those of the texts that hold a credential, in any of the forms it travels in."""
        return [text for text in texts if any(form in text for form in self._secret_forms())]

    def _secret_forms(self) -> set[str]:
        values = list(self.rig.credentials.values())
        basic = [base64.b64encode(f"{a}:{b}".encode()).decode() for a in values for b in (*values, "x", "")]
        return {form for value in values for form in (value, quote(value, safe=""), quote_plus(value))} | set(basic)


def pulled(connection: Connector, resource: str = "opportunity", window: Window | None = None) -> list[Page]:
    """Every page of a scan; a scan that takes far more requests than its pages need is broken."""
    pages = []
    for page in connection.pull(resource, window or Window()):
        pages.append(page)
        if len(pages) > ENOUGH_REQUESTS:
            raise Broken(f"the scan was stopped after {ENOUGH_REQUESTS} pages")
    return pages


def records(pages: list[Page]) -> dict[str, Record]:
    """The newest record of each id, in the order of arrival."""
    return {record.id: record for page in pages for record in page.records}


def many(connector: type[Connector]) -> int:
    """More rows than two pages hold."""
    return 2 * connector.facts.page_size + SOME


def ids_of(connection: Connector, window: Window | None = None) -> list[str]:
    """The ids of a scan in the order of arrival, doubles included."""
    return [record.id for page in pulled(connection, window=window) for record in page.records]


def whole(bench: Bench, count: int, ids: Iterable[str]) -> None:
    """Raise Broken unless these are the account's `count` ids, each once."""
    ids = list(ids)
    expected = set(bench.ids)
    if len(expected) != count:
        raise Broken(f"the fake made {len(expected)} different ids for {count} rows")
    lost, invented = sorted(expected - set(ids)), sorted(set(ids) - expected)
    if lost or invented or len(ids) != len(set(ids)):
        twice = len(ids) - len(set(ids))
        raise Broken(
            f"of {count} rows {len(lost)} are missing {lost[:3]}, {len(invented)} are new {invented[:3]}, {twice} twice"
        )


def told(error: BaseException) -> list[str]:
    """Everything an error could print: itself, its hint, its causes."""
    texts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen)]
        if isinstance(seen, OnepipeError):
            texts.append(str(seen.hint))
        seen = seen.__cause__ or seen.__context__
    return texts

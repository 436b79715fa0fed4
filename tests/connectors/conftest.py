"""A connector of ours and the CRM it speaks to: the sandbox, or a server written for one test."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from onepipe import registry
from onepipe.compile import invert
from onepipe.connector import Connector, Http, Rejected, Request, Window
from onepipe.contract import Asked, Told
from onepipe.contract.hostile import HostileServer
from onepipe.http import Gate
from onepipe.mapping import load_mapping
from onepipe.sandbox import Sandbox
from onepipe.sandbox.crm import Seen
from onepipe.sandbox.server import CRMS
from onepipe.sandbox.wire import dump


@dataclass
class Account:
    """One account: the connection to it, and for the sandbox the CRM itself."""

    connector: Any
    crm: Any = None

    def change(self, **values: Any) -> dict[str, Any]:
        """Canonical values in the form that the CRM is sent, as the push makes it; __ stands for a dot."""
        name = next(one for one in CRMS if isinstance(self.crm, CRMS[one]))
        mapping = load_mapping(registry.find("mappings", name, None).path)
        given = {key.replace("__", "."): value for key, value in values.items()}
        return invert(mapping, given, self.connector.writes.places)

    def send(self, *requests: Request) -> list[Any]:
        """Sends what was described, and checks that this and nothing else left the process."""
        self.crm.log.clear()
        answers = [self.connector.send(request) for request in requests]
        assert [_described(request) for request in requests] == [_seen(seen) for seen in self.crm.log]
        return answers

    def refused(self, request: Request) -> Rejected:
        """The refusal of what was described; nothing can have changed then."""
        with pytest.raises(Rejected) as caught:
            self.connector.send(request)
        assert caught.value.unapplied
        return caught.value

    def ids(self, resource: str = "opportunity", **window: Any) -> list[str]:
        """The ids of a scan in the order of arrival."""
        return [record.id for page in self.connector.pull(resource, Window(**window)) for record in page.records]

    def asked(self) -> list[tuple[str, dict[str, str]]]:
        """What arrived since the last call: path and query of each request."""
        seen = [(seen.path, seen.query) for seen in self.crm.log]
        self.crm.log.clear()
        return seen


def _described(request: Request) -> tuple[Any, ...]:
    body = request.body if isinstance(request.body, str) else json.loads(dump(request.body))
    return request.method, request.path, {name: str(value) for name, value in request.query.items()}, body


def _seen(seen: Seen) -> tuple[Any, ...]:
    text = seen.body.decode()
    query = {name: value for name, value in seen.query.items() if name != "api_token"}
    return seen.method, seen.path, query, text if text[:1] == "<" else json.loads(text or "null")


def connected(name: str, base_url: str, credentials: dict[str, str], settings: dict[str, Any]) -> Connector:
    """An open connector, whose waits take no time."""
    made = registry.load(name, None)
    connector = made(base_url, credentials, settings)
    gate = Gate(writing_paths=made.facts.writing_paths)
    connector.http = connector.open(partial(Http, connector.base_url, gate=gate, sleep=lambda _: None))
    return connector


@pytest.fixture
def close() -> Iterator[ExitStack]:
    """What is to be closed after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def account(close: ExitStack) -> Callable[..., Account]:
    """Makes an account in the sandbox: `account("capsule", rows=5, settings={}, era="head")`."""

    def make(name: str, rows: int = 0, settings: dict[str, Any] | None = None, **options: Any) -> Account:
        sandbox = close.enter_context(Sandbox(rows=rows, crms=[name]))
        crm = sandbox[name]
        crm.options.apply(options)
        connector = connected(name, sandbox.urls[name], sandbox.credentials[name], settings or {})
        close.callback(connector.http.close)
        return Account(connector, crm)

    return make


@pytest.fixture
def writer(account: Callable[..., Account]) -> Callable[..., Account]:
    """Makes an account in the sandbox whose gate is open for writes."""

    def make(name: str, **options: Any) -> Account:
        acme = account(name, **options)
        acme.connector.http.gate.writing = True
        return acme

    return make


@pytest.fixture
def stranger(close: ExitStack) -> Callable[..., Account]:
    """Makes an account in a CRM written for one test: `stranger("capsule", answer)`; answer(asked) gives the body.

    A body is text, or what JSON can hold; (status, body) or a Told where it is not 200.
    """

    def make(name: str, answer: Callable[[Asked], Any], path: str = "", **settings: Any) -> Account:
        log: list[Asked] = []

        def told(asked: Asked) -> Told:
            log.append(asked)
            body = answer(asked)
            if isinstance(body, Told):
                return body
            status, body = body if isinstance(body, tuple) else (200, body)
            return Told(status, body.encode() if isinstance(body, str) else json.dumps(body).encode())

        server = close.enter_context(HostileServer(told))
        secrets = {"username": "u", "password": "p", "api_token": "t", "token": "t", "api_key": "k"}
        connector = connected(name, server.base_url + path, secrets, settings)
        close.callback(connector.http.close)
        return Account(connector, log)

    return make

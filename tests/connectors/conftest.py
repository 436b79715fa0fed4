"""A connector of ours and the CRM it speaks to: the sandbox, or a server written for one test."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from onepipe import registry
from onepipe.connector import Connector, Http, Window
from onepipe.contract import Asked, Told
from onepipe.contract.hostile import HostileServer
from onepipe.http import Gate
from onepipe.sandbox import Sandbox


@dataclass
class Account:
    """One account: the connection to it, and for the sandbox the CRM itself."""

    connector: Any
    crm: Any = None

    def ids(self, resource: str = "opportunity", **window: Any) -> list[str]:
        """The ids of a scan in the order of arrival."""
        return [record.id for page in self.connector.pull(resource, Window(**window)) for record in page.records]

    def asked(self) -> list[tuple[str, dict[str, str]]]:
        """What arrived since the last call: path and query of each request."""
        seen = [(seen.path, seen.query) for seen in self.crm.log]
        self.crm.log.clear()
        return seen


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

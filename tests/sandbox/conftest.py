"""Sandboxes on loopback for the tests of this folder, each with a client that holds the right credentials."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from onepipe.sandbox import Sandbox

NOW = datetime(2025, 6, 2, 12, 0, tzinfo=UTC)
TLS = ssl.create_default_context()  # made once: it is the slow part of a client
At = Callable[..., tuple[Any, httpx.Client]]


def signed(sandbox: Sandbox, name: str) -> httpx.Client:
    """A client for one CRM, its base URL and credentials set."""
    given = sandbox.credentials[name]
    how: dict[str, Any] = {
        "administrate": {"auth": (given.get("username", ""), given.get("password", ""))},
        "tactile": {"params": {"api_token": given.get("api_token")}},
        "capsule": {"auth": (given.get("token", ""), "x"), "headers": {"Accept": "application/json"}},
        "onautomate": {"headers": {"Authorization": f"Bearer {given.get('api_key')}"}},
        "overplane": {"headers": {"Authorization": f"Bearer {given.get('api_key')}"}},
    }[name]
    return httpx.Client(base_url=sandbox.urls[name], timeout=5, trust_env=False, verify=TLS, **how)


@pytest.fixture
def at() -> Iterator[At]:
    """at("capsule", rows=20) -> the simulated CRM, its clock at NOW, and a client; both are closed after the test."""
    with ExitStack() as stack:

        def start(name: str, rows: int = 40) -> tuple[Any, httpx.Client]:
            sandbox = stack.enter_context(Sandbox(rows=rows, crms=[name], now=NOW))
            sandbox[name].clock = lambda: NOW
            return sandbox[name], stack.enter_context(signed(sandbox, name))

        yield start

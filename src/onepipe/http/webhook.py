"""Telling people: a text posted to an address of theirs, never to a CRM, and without any credential."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from onepipe.errors import Unavailable
from onepipe.http.paths import Origin, origin
from onepipe.http.wire import Lost, Timeouts, Wire

SECONDS = 10.0  # for all of it: connecting, sending, and the answer


def place(url: str) -> Origin:
    """Where a webhook leads: https, or http to this machine. Raises ConfigError."""
    return origin(url.partition("?")[0])


def post(url: str, content: bytes, key: str, tick: Callable[[], float] = time.monotonic) -> None:
    """POST JSON to `url`, once; `key` is the same for each try of one message. Redirects are not followed.

    Raises Unavailable, in words that do not show the address beyond its host, unless it was answered 2xx in time.
    """
    there = place(url)
    timeouts = Timeouts(connect=SECONDS, read=SECONDS, whole=SECONDS)
    wire = Wire(there, timeouts, tick, keep_alive=False)
    headers = {
        "host": there.netloc,
        "user-agent": "onepipe",
        "content-type": "application/json",
        "content-length": str(len(content)),
        "idempotency-key": key,
    }
    parts = urlsplit(url)
    line = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}".encode()
    try:
        got = wire.send("POST", line, [(n.encode(), v.encode()) for n, v in headers.items()], content, tick() + SECONDS)
    finally:
        wire.close()
    if isinstance(got, Lost):
        raise Unavailable(f"the webhook at {there.netloc} did not take it: {got.reason}", sent=got.sent)
    if not 200 <= got.status < 300:
        raise Unavailable(f"the webhook at {there.netloc} answered {got.status}")

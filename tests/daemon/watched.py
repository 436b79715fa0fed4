"""What the tests of being watched share: a state of the daemon, a clock, an address that takes posts."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from onepipe.daemon.onlooker import Line, State

NOON = datetime(2026, 1, 12, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Epoch seconds that go on when they are told to."""

    now: float = NOON.timestamp()

    def __call__(self) -> float:
        return self.now

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


def line(name: str = "acme", **changed: Any) -> Line:
    """A connection that waits for its time."""
    told = {"connector": "capsule", "labels": {}, "place": "waiting", "interval": 900.0, "last_success": NOON} | changed
    return Line(connection=name, **told)


def state(*lines: Line, **changed: Any) -> State:
    """A daemon that does well."""
    return State(**({"started_at": NOON, "looked_at": NOON, "lines": lines or (line(),)} | changed))


@dataclass
class Got:
    """What an address was posted."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Inbox:
    """An address on this machine that takes posts. `answers` are its next statuses, 200 when there are none."""

    port: int = 0
    posts: list[Got] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str = "/hooks/a-long-secret-word") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_for(self, number: int, seconds: float = 20) -> list[Got]:
        """Until so many posts arrived. Fails after a while."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.posts) >= number, seconds), self.posts
            return list(self.posts)


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Served for a `with`."""
    made = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got = Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with made.arrived:
                made.posts.append(got)
                made.arrived.notify_all()
                status = made.answers.pop(0) if made.answers else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def ask(address: str, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of a page."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    finally:
        connection.close()


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds. Fails after a while."""
    import time

    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)

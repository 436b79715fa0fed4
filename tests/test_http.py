"""The door to the network, against a real server on loopback that breaks connections, drips, lies and redirects."""

import gzip
import io
import logging
import re
import socket
import ssl
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from onepipe.errors import (
    AuthRefused,
    BadPayload,
    ConfigError,
    Gone,
    OnepipeError,
    RateLimited,
    Unavailable,
    WriteRefused,
)
from onepipe.http import Answer, Budget, Gate, Http, part
from onepipe.http.paths import origin
from onepipe.http.quota import told
from onepipe.http.wire import Timeouts, _proxy
from onepipe.quotas import Quota, Told

TOKEN = "tok+en/with=odd&signs-0123456789"
PASSWORD = "p4ss word/with+signs"
NOON = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
BRIEF = Timeouts(connect=0.4, read=0.4, whole=1.2)


@dataclass
class Reply:
    """One answer of the server; `play` instead of it writes to the socket itself."""

    status: int = 200
    body: bytes = b'{"ok":true}'
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    play: Callable[[socket.socket], None] | None = None


@dataclass
class Seen:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


class Crm(ThreadingHTTPServer):
    """Answers with what `replies` holds for a path, one after the other, the last for ever; keeps what it saw."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: dict[str, list[Reply]] = {}
        self.seen: list[Seen] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, path: str, *replies: Reply) -> None:
        self.replies[path] = list(replies)

    def handle_error(self, *_: object) -> None:
        """Clients that go away are part of the play."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Crm

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        replies = self.server.replies.get(urlsplit(self.path).path, [Reply()])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if reply.play:
            reply.play(self.connection)
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        sent = {"Date": format_datetime(NOON, usegmt=True), "Content-Type": "application/json"} | reply.headers
        sent["Content-Length"] = str(len(reply.body) if reply.length is None else reply.length)
        for name, value in sent.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.close_connection = reply.length is not None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def crm() -> Iterator[Crm]:
    server = Crm()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Clock:
    """A clock that only sleeping moves; what was slept is kept."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def door(crm: Crm, clock: Clock | None = None, **options: Any) -> Http:
    """A door to the server whose waits take no time."""
    clock = clock or Clock()
    return Http(crm.url, **{"clock": clock.time, "tick": clock.time, "sleep": clock.sleep} | options)


def html(title: str, body: str = "", status: int = 200) -> Reply:
    page = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body>{body}</body></html>"
    return Reply(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


# What a request looks like and what an answer holds


def test_a_read_says_exactly_what_was_asked(crm: Crm) -> None:
    """None is left out, values are percent-encoded, the path prefix is kept and secrets come with every request."""
    http = Http(
        f"{crm.url}/base/", auth=("user", PASSWORD), headers={"Accept": "application/xml"}, query={"key": TOKEN}
    )
    answer = http.get(
        "/api/opportunity", start=0, since="2026-01-15T12:00:00+00:00", none=None, flag=True, name="R&D ä"
    )
    seen = crm.seen[0]
    assert "/base/api/opportunity" == urlsplit(seen.target).path
    expected = {"start": "0", "since": "2026-01-15T12:00:00+00:00", "flag": "true", "name": "R&D ä", "key": TOKEN}
    assert expected == seen.query
    assert "%2B00%3A00" in seen.target
    assert "application/xml" == seen.headers["accept"]
    assert "Basic dXNlcjpwNHNzIHdvcmQvd2l0aCtzaWducw==" == seen.headers["authorization"]
    assert (200, b'{"ok":true}', "/api/opportunity") == (answer.status, answer.content, answer.path)


def test_an_answer_knows_both_clocks_and_its_headers(crm: Crm) -> None:
    """The server's Date is an instant in UTC, ours is the clock we were given; headers have no case."""
    crm.says("/x", Reply(headers={"X-Total": "41", "X-Odd": "4.1", "X-Long": "9" * 5000}))
    http = door(crm)
    answer = http.get("/x")
    assert (NOON, NOON) == (answer.date, answer.at)
    assert [41, None, None, None] == [answer.number(name) for name in ("x-total", "X-Odd", "X-Long", "X-None")]
    assert "41" == answer.headers["x-TOTAL"] == answer.headers.get("X-Total")
    assert ("X-Total" in answer.headers, "x" in answer.headers) == (True, False)
    assert (1, NOON, {200: 1}) == (http.requests, http.first_date, dict(http.statuses))


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Dec 9999 23:59:59 -0500"])
def test_a_date_that_is_missing_or_nonsense_is_none(crm: Crm, date: str) -> None:
    """Without a usable Date header, one within the years 1 to 9999 in UTC, the server's clock is not known."""
    crm.says("/x", Reply(headers={"Date": date}))
    http = door(crm)
    assert None is http.get("/x").date
    assert None is http.first_date


def test_no_cookie_is_kept_and_the_connection_is(crm: Crm) -> None:
    """A session cookie is never sent back; reads share one connection."""
    crm.says("/x", Reply(headers={"Set-Cookie": "session=1; Path=/"}))
    with door(crm) as http:
        http.get("/x"), http.get("/x")
    assert [None, None] == [seen.headers.get("cookie") for seen in crm.seen]
    assert 1 == crm.connections


@pytest.mark.parametrize(
    ("packing", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda b: zlib.compress(b, wbits=-15))],
)
def test_packed_answers_are_unpacked(crm: Crm, packing: str, pack: Callable[[bytes], bytes]) -> None:
    """gzip and both kinds of deflate are asked for and read."""
    crm.says("/x", Reply(body=pack(b'{"n":1}'), headers={"Content-Encoding": packing}))
    assert b'{"n":1}' == door(crm).get("/x").content
    assert "gzip, deflate" == crm.seen[0].headers["accept-encoding"]


# Where requests may go


@pytest.mark.parametrize(
    "url",
    ["http://acme.example.com", "http://localhost.example.com", "ftp://localhost", "acme.example.com", "https://", ""],
)
def test_only_https_and_loopback(url: str) -> None:
    """Credentials never travel unencrypted, and a base_url is a URL."""
    with pytest.raises(ConfigError):
        Http(url)


@pytest.mark.parametrize("url", ["https://u:p@a.example.com", "https://a.example.com/?k=v", "https://a.example.com/#x"])
def test_a_base_url_holds_no_credentials(url: str) -> None:
    """What belongs under credentials is refused in the base_url."""
    with pytest.raises(ConfigError):
        Http(url)


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://127.0.0.9:1", "http://[::1]:1", "https://ACME.example.com/v1/"]
)
def test_places_that_are_fine(url: str) -> None:
    """https anywhere, http on this machine."""
    assert url.lower().rstrip("/") == str(Http(url).origin)


@pytest.mark.parametrize(
    "path",
    ["x", "//evil.example.com/x", "/a/../x", "/a/%2e%2e/x", "/a?b=1", "/a#b", "/a b", "http://e.example.com/", "/ä"],
)
def test_a_path_cannot_leave_the_account(crm: Crm, path: str) -> None:
    """Nothing that stands in a path, an id out of a record included, leads elsewhere; nothing is sent."""
    with pytest.raises(BadPayload):
        door(crm).get(path)
    assert [] == crm.seen


def test_an_id_becomes_one_segment() -> None:
    """Whatever an id holds, it is one segment of a path."""
    assert ("43", "a%2Fb%3Fc", "%C3%A4%20") == (part(43), part("a/b?c"), part("ä "))
    for odd in ("", ".", ".."):
        with pytest.raises(BadPayload):
            part(odd)


# Trying again


def breaks(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()


def hangs(connection: socket.socket) -> None:
    time.sleep(1.6)


def drips(connection: socket.socket) -> None:
    """A body that comes a byte at a time, each well within the time a read may take."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    for _ in range(40):
        connection.sendall(b" ")
        time.sleep(0.1)


def drips_headers(connection: socket.socket) -> None:
    """The same with a header that never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    for _ in range(40):
        connection.sendall(b"x")
        time.sleep(0.1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_read_is_tried_again(crm: Crm, status: int) -> None:
    """What may pass is tried again after a pause that grows; two failures and an answer are three requests."""
    clock = Clock()
    crm.says("/x", Reply(status), Reply(status), Reply())
    http = door(crm, clock)
    assert 200 == http.get("/x").status
    assert (3, {status: 2, 200: 1}) == (http.requests, dict(http.statuses))
    assert 0.25 <= clock.slept[0] <= 0.5 <= clock.slept[1] <= 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(play=breaks),
        Reply(body=b'{"ok":', length=100),
        Reply(body=b'{"data":[{"id":1},{"id'),
        Reply(body=b'{"data":[{"id":1}'),
        Reply(body=b"<a><b>1</b><b>2</b>"),
        Reply(body=gzip.compress(b'{"n":1}' * 99)[:-9], headers={"Content-Encoding": "gzip"}),
        Reply(body=b"no gzip", headers={"Content-Encoding": "gzip"}),
    ],
    ids=["reset", "short body", "half JSON", "JSON without its end", "half XML", "half gzip", "no gzip"],
)
def test_a_broken_answer_is_asked_for_again(crm: Crm, reply: Reply) -> None:
    """A lost connection and a cut body, whether its length tells or only its contents, cost a try."""
    crm.says("/x", reply, Reply())
    http = door(crm)
    assert b'{"ok":true}' == http.get("/x").content
    assert 2 == http.requests


@pytest.mark.parametrize(
    "body", [b'[{"id":1,"v":NaN}]', b'[{"id":1,"v":"\\ud800"}]', b'{"a":"}{["}', b"<a/>", b"", b"text"]
)
def test_an_odd_but_whole_answer_is_not_asked_for_again(crm: Crm, body: bytes) -> None:
    """What is odd for other reasons is for the decoder to judge."""
    crm.says("/x", Reply(body=body))
    http = door(crm)
    assert body == http.get("/x").content
    assert 1 == http.requests


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(503, b"down"), Unavailable, "GET /x was answered 503: it begins: down"),
        (Reply(429, b"slow"), RateLimited, "slow"),
        (Reply(play=breaks), Unavailable, "the connection broke"),
        (Reply(body=b'{"ok":', length=100), BadPayload, "received 6 bytes, expected 100"),
        (Reply(body=b'{"data":[{"id":1}'), BadPayload, "17 bytes that end in the middle"),
    ],
)
def test_tries_are_bounded(crm: Crm, reply: Reply, error: type[OnepipeError], words: str) -> None:
    """After five tries a read is given up with the error of the last."""
    crm.says("/x", reply)
    http = door(crm)
    with pytest.raises(error, match=re.escape(words)):
        http.get("/x")
    assert 5 == http.requests


def test_nobody_there(crm: Crm) -> None:
    """A refused connection is tried again, and the error knows that nothing was sent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock = Clock()
    http = Http(f"http://127.0.0.1:{port}", clock=clock.time, tick=clock.time, sleep=clock.sleep)
    with pytest.raises(Unavailable, match="no connection") as caught:
        http.get("/x")
    assert (False, 5) == (caught.value.sent, http.requests)


@pytest.mark.parametrize("play", [hangs, drips, drips_headers])
def test_a_request_that_hangs_is_given_up(crm: Crm, play: Callable[[socket.socket], None]) -> None:
    """Silence, and bytes that come too slowly, end with all tries within the time for the whole."""
    crm.says("/x", Reply(play=play))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        Http(crm.url, timeouts=BRIEF).get("/x")
    assert time.monotonic() - began < BRIEF.whole + 5


def test_the_time_for_the_whole_is_below_the_contract() -> None:
    """A hanging request is given up within 90 seconds, all tries together."""
    assert Timeouts().whole < 90


def test_an_answer_that_never_ends_is_given_up(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer larger than any page, packed or not, is neither kept in memory nor asked for again."""
    monkeypatch.setattr("onepipe.http.wire.LARGEST", 1000)
    for reply in (
        Reply(body=b" " * 2000),
        Reply(body=gzip.compress(b" " * 2000), headers={"Content-Encoding": "gzip"}),
    ):
        crm.says("/x", reply)
        http = door(crm)
        with pytest.raises(Unavailable, match="larger than"):
            http.get("/x")
        assert 1 == http.requests


# Waiting


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "4"}, 4),
        (503, {"Retry-After": "4"}, 4),
        (429, {"Retry-After": format_datetime(NOON.replace(second=7), usegmt=True)}, 7),
        (429, {"Retry-After": format_datetime(NOON.replace(year=2020), usegmt=True)}, 0.25),
        (429, {"X-RateLimit-Reset": str(int(NOON.timestamp()) + 9)}, 9),
        (429, {"X-RateLimit-Reset": f"{int(NOON.timestamp()) + 9}000"}, 9),  # milliseconds
        (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Interval-Milliseconds": "10000"}, 10),
    ],
)
def test_the_server_says_how_long(crm: Crm, status: int, headers: dict[str, str], wait: float) -> None:
    """Retry-After in both forms and the limit headers are waited for, on the server's own clock."""
    clock = Clock()
    clock.now += 600  # ten minutes fast: only the server's Date counts
    crm.says("/x", Reply(status, headers=headers), Reply())
    assert 200 == door(crm, clock).get("/x").status
    assert wait - 0.01 <= sum(clock.slept) <= wait + 0.5


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({"Retry-After": "3600"}, 3600),
        ({"Retry-After": format_datetime(NOON.replace(hour=13), usegmt=True)}, 3600),
        ({"Retry-After": "99999999999999"}, 366 * 86400),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 366 * 86400),
        ({"X-RateLimit-Reset": "9" * 18}, 366 * 86400),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Interval-Milliseconds": "9" * 18}, 366 * 86400),
    ],
)
def test_a_long_wait_is_not_slept_through(crm: Crm, headers: dict[str, str], until: int) -> None:
    """Beyond a minute the run ends and knows when it may go on, in a year at the latest, whatever the server says."""
    clock = Clock()
    crm.says("/x", Reply(429, headers=headers))
    http = door(crm, clock)
    with pytest.raises(RateLimited, match="may go on at 2") as caught:
        http.get("/x")
    assert caught.value.until is not None
    assert (until, [], 1) == ((caught.value.until - NOON).total_seconds(), clock.slept, http.requests)
    with pytest.raises(RateLimited) as caught:
        door(crm, clock, max_wait=10).get("/x")


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [(f"{int(NOON.timestamp()) + 9}", 9), (f"{int(NOON.timestamp()) + 9}000", 9), ("9" * 18, 366 * 86400)],
)
def test_a_quota_begins_anew_within_a_year(crm: Crm, reset: str, seconds: int) -> None:
    """What an answer tells of a quota holds until its reset, in seconds or milliseconds, and never for ever."""
    interval = {"X-RateLimit-Interval-Milliseconds": "9" * 18}
    crm.says("/x", Reply(headers={"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": reset}))
    crm.says("/y", Reply(headers={"X-RateLimit-Max": "10", "X-RateLimit-Remaining": "5", **interval}))
    http = door(crm)
    assert (Told(10, 5, resets=seconds),) == told(http.get("/x"), 0)
    assert (Told(10, 5, seconds=366 * 86400),) == told(http.get("/y"), 0)


def test_waits_add_up(crm: Crm) -> None:
    """A server that says half a minute again and again is not waited for five times."""
    clock = Clock()
    crm.says("/x", Reply(429, headers={"Retry-After": "30"}))
    http = door(crm, clock)
    with pytest.raises(RateLimited):
        http.get("/x")
    assert (3, 60) == (http.requests, sum(clock.slept))


def test_a_used_up_limit_is_respected_before_it_is_hit(crm: Crm) -> None:
    """After the last request that the server allows we wait for its reset without being told off."""
    clock = Clock()
    reset = str(int(NOON.timestamp()) + 20)
    crm.says("/x", Reply(headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}))
    crm.says("/y", Reply(headers={"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": reset}))
    http = door(crm, clock)
    http.get("/y"), http.get("/x")
    assert [] == clock.slept
    http.get("/y")
    assert 20 == sum(clock.slept)


def test_the_quota_is_kept(crm: Crm) -> None:
    """In no span as long as the quota's do more requests leave than it allows; a long wait ends the run."""
    clock = Clock()
    http = door(crm, clock, quota=[Quota(3, 10)])
    left = []
    for _ in range(8):
        http.get("/x")
        left.append(clock.now - NOON.timestamp())
    assert [0, 0, 0, 10, 10, 10, 20, 20] == left
    http = door(crm, Clock(), quota=[Quota(2, 3600)])
    http.get("/x"), http.get("/x")
    with pytest.raises(RateLimited, match="quota is used up") as caught:
        http.get("/x")
    assert NOON.replace(hour=13) == caught.value.until


def test_a_budget_is_not_overspent(crm: Crm) -> None:
    """The request that would be one too many does not leave."""
    budget = Budget(2)
    http = door(crm, budget=budget)
    http.get("/x"), http.get("/x")
    with pytest.raises(RateLimited, match="budget of 2 requests"):
        http.get("/x")
    assert (2, 2, 2) == (len(crm.seen), http.requests, budget.spent)


def test_threads_share_quota_and_count(crm: Crm) -> None:
    """Eight threads at one door count every request and keep its quota together."""
    http = Http(crm.url, quota=[Quota(40, 1)])
    began = time.monotonic()
    threads = [threading.Thread(target=lambda: [http.get("/x") for _ in range(6)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (48, 48) == (http.requests, len(crm.seen))
    assert time.monotonic() - began >= 1


# Refusals


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential(crm: Crm, status: int) -> None:
    """401 and 403 are AuthRefused at once, with or without a readable body."""
    crm.says("/x", html("Sign in", status=status))
    http = door(crm)
    with pytest.raises(AuthRefused, match="Sign in"):
        http.get("/x")
    assert 1 == http.requests


def test_a_missing_record_is_gone_and_a_missing_path_is_not(crm: Crm) -> None:
    """404 and 410 mean Gone only where one record was asked for; else it is the path, and the API's end is told."""
    for status in (404, 410):
        crm.says("/x", Reply(status))
        with pytest.raises(Gone):
            door(crm).get("/x", gone=True)
        with pytest.raises(Unavailable, match=r"/x.*end of this API was announced: 2026-05-12"):
            door(crm, ends="2026-05-12").get("/x")
    crm.says("/x", Reply(400))
    with pytest.raises(Gone):
        door(crm).get("/x", gone=(400, 404, 410))
    with pytest.raises(BadPayload):
        door(crm).get("/x", gone=True)


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_request_that_is_not_accepted(crm: Crm, status: int) -> None:
    """Other refusals carry the CRM's words and are not repeated."""
    crm.says("/x", Reply(status, b'{"message":"value not formatted as a number"}'))
    http = door(crm)
    with pytest.raises(BadPayload, match="value not formatted as a number"):
        http.get("/x")
    assert 1 == http.requests


@pytest.mark.parametrize(
    ("reply", "error", "tries"),
    [
        (html("Sign in to Acme"), AuthRefused, 1),
        (html("Acme CRM", "<form><input type=password></form>"), AuthRefused, 1),
        (html("Welcome", "<style>h1 {font-weight: 500}</style>"), AuthRefused, 1),
        (html("Down for maintenance"), Unavailable, 5),
        (html("502 Bad Gateway"), Unavailable, 5),
        (
            Reply(body=b"\xef\xbb\xbf \n<HTML><title>Log in</title>", headers={"Content-Type": "application/json"}),
            AuthRefused,
            1,
        ),
        (Reply(body=b"Please log in", headers={"Content-Type": "text/html"}), AuthRefused, 1),
        (Reply(body=b'<?xml version="1.0"?>\n<!-- <a> -->\n<!DOCTYPE HTML><title>Sign in</title>'), AuthRefused, 1),
        (Reply(body=b"<h1>Please log in</h1>"), AuthRefused, 1),
    ],
)
def test_html_is_never_data(crm: Crm, reply: Reply, error: type[OnepipeError], tries: int) -> None:
    """A page with status 200 is a login page unless it speaks of maintenance, whatever its Content-Type."""
    crm.says("/x", reply)
    http = door(crm, ends="2018-01-31")
    with pytest.raises(error, match="2018-01-31") as caught:
        http.get("/x")
    assert tries == http.requests
    title = re.search(rb"<title>(.*?)</title>", reply.body)
    assert (title[1] if title else b"Please log in").decode() in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"html":"<html>"}',
        b"<opportunities><opportunity/></opportunities>",
        b"<?xml version='1.0'?><!-- <html> -->\n<parties><person><title>Prof</title></person></parties>",
        b"<headings><head>x</head></headings>",
        b'"<html>"',
        b"[]",
        b"%PDF-1.4",
    ],
)
def test_what_is_not_html_is_data(crm: Crm, body: bytes) -> None:
    """Neither a wrong Content-Type, nor markup in a text, nor an element that HTML has too makes data a page."""
    crm.says("/x", Reply(body=body, headers={"Content-Type": "text/html" if body[:1] != b"%" else "application/pdf"}))
    assert body == door(crm).get("/x").content


@pytest.mark.parametrize(
    ("location", "error", "words"),
    [
        ("/login?next=x", AuthRefused, "leads to the page /login"),
        ("/suspension", AuthRefused, "/suspension"),
        ("https://evil.example.com/api", Unavailable, "evil.example.com/api"),
        ("", Unavailable, "nowhere"),
    ],
)
def test_redirects_are_refused(crm: Crm, location: str, error: type[OnepipeError], words: str) -> None:
    """A redirect is never followed, so credentials go nowhere else; to a login page it is a refused credential."""
    crm.says("/x", Reply(302, b"", {"Location": location}))
    http = door(crm, query={"api_token": TOKEN})
    with pytest.raises(error, match=words):
        http.get("/x")
    assert 1 == len(crm.seen)


def test_the_connector_looks_into_every_answer(crm: Crm) -> None:
    """What `check` raises for a 200 is the answer's error; it does not see pages of HTML."""

    def check(answer: Answer) -> None:
        if b"Failed to login" in answer.content:
            raise AuthRefused(f"Tactile says Failed to login to {TOKEN}")

    crm.says("/x", Reply(body=b'{"status":"error","messages":{"403":"Failed to login"}}'))
    with pytest.raises(AuthRefused, match="Failed to login to \\*\\*\\*"):
        door(crm, check=check, secrets=[TOKEN]).get("/x")
    assert 200 == door(crm, check=check).get("/y").status


# Writing


def test_nothing_but_reads_leaves_unless_writing_is_on(crm: Crm) -> None:
    """Every other method, and a GET that writes, is stopped before it is sent."""
    http = door(crm, gate=Gate(writing_paths=["/opportunities/add_tag*"]))
    for method in ("POST", "PUT", "PATCH", "DELETE", "delete", "OPTIONS"):
        with pytest.raises(WriteRefused, match="writing is off"):
            http.send(method, "/x")
    for path in ("/opportunities/add_tag", "/opportunities/add_tag/7", "/opportunities/ADD%5Ftag"):
        with pytest.raises(WriteRefused):
            http.get(path, id=1, tag="x")
        with pytest.raises(WriteRefused):
            http.send("GET", path, id=1, tag="x")
    assert ([], 0) == (crm.seen, http.requests)


def test_a_write_is_sent_once(crm: Crm) -> None:
    """With writing on, body, type and query arrive exactly; Decimal stays a number; a write has its own connection."""
    http = door(crm, gate=Gate(writing=True, writing_paths=["/tag"]), query={"k": TOKEN}, headers={"Accept": "a/b"})
    http.send("put", "/x", json={"amount": Decimal("12.50"), "name": "ä"}, dry=True)
    http.send("POST", "/x", content="<a>ä</a>", headers={"Content-Type": "application/xml", "Accept": "c/d"})
    http.send("DELETE", "/x")
    http.send("GET", "/tag", tag="x")
    put, post, delete, tag = crm.seen
    assert ('{"amount":12.50,"name":"ä"}'.encode(), {"dry": "true", "k": TOKEN}) == (put.body, put.query)
    assert ("application/json", "a/b") == (put.headers["content-type"], put.headers["accept"])
    assert ("<a>ä</a>".encode(), "application/xml", "c/d") == (
        post.body,
        post.headers["content-type"],
        post.headers["accept"],
    )
    assert ("DELETE", b"", "0") == (delete.method, delete.body, delete.headers["content-length"])
    assert {"tag": "x", "k": TOKEN} == tag.query
    with pytest.raises(WriteRefused, match="may be repeated"):
        http.get("/tag", tag="x")


@pytest.mark.parametrize(
    "reply", [Reply(503), Reply(429, headers={"Retry-After": "1"}), Reply(play=breaks), Reply(length=99)]
)
def test_a_write_is_never_repeated(crm: Crm, reply: Reply) -> None:
    """Whatever comes back, a second request is not ours to make."""
    crm.says("/x", reply)
    clock = Clock()
    http = door(crm, clock, gate=Gate(writing=True))
    with pytest.raises(OnepipeError):
        http.send("POST", "/x", json={})
    assert (1, 1, []) == (len(crm.seen), http.requests, clock.slept)


# Secrets


def everything_said(error: BaseException | None) -> str:
    """All that a traceback, a log line or a debugger could show of an error and of those behind it."""
    text = ""
    while error is not None:
        text += repr(error) + str(error) + str(getattr(error, "hint", "")) + repr(vars(error))
        text += "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return text


FORMS = [TOKEN, "tok%2Ben%2Fwith%3Dodd%26signs-0123456789", PASSWORD, "p4ss%20word", "dXNlcjpwNHNz", "sk_test_very"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(play=breaks),
        Reply(play=hangs),
        Reply(body=b"{", length=9),
        Reply(302, b"", {"Location": f"https://evil.example.com/x?api_token={FORMS[1]}"}),
        html(f"Bad token {TOKEN}"),
        html("Maintenance"),
        *[
            Reply(
                status,
                f"no: {TOKEN} {FORMS[1]} {PASSWORD} Basic dXNlcjpwNHNzIHdvcmQvd2l0aCtzaWducw== sk_test_very1".encode(),
            )
            for status in (400, 401, 404, 429, 500)
        ],
    ],
)
def test_no_error_shows_a_secret(crm: Crm, reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    """Token in the query, Basic and Bearer: no message, repr, traceback, cause or log line holds any form of them."""
    crm.says("/x", reply)
    caplog.set_level(logging.DEBUG)
    options: list[dict[str, Any]] = [
        {"query": {"api_token": TOKEN}, "secrets": [PASSWORD, "sk_test_very1"]},
        {"auth": ("user", PASSWORD), "secrets": [TOKEN, "sk_test_very1"]},
        {"headers": {"Authorization": "Bearer sk_test_very1"}, "secrets": [TOKEN, PASSWORD], "auth": None},
    ]
    for option in options:
        clock = Clock()
        waits = {} if reply.play is hangs else {"tick": clock.time}
        http = Http(crm.url, timeouts=Timeouts(0.1, 0.1, 0.3), clock=clock.time, sleep=clock.sleep, **waits, **option)
        with pytest.raises(OnepipeError) as caught:
            http.get("/x", start=0)
        said = everything_said(caught.value) + repr(http) + repr(http.gate) + repr(http._redact)
        if "auth" not in option:
            said = said.replace("dXNlcjpwNHNz", "")  # only known to the door that sends it
        shown = [form for form in FORMS if form in said + caplog.text]
        assert [] == shown


def test_an_answer_that_echoes_the_credential_does_not_keep_it(crm: Crm) -> None:
    """No raw row can hold the token; short words and e-mail addresses are data and stay."""
    body = f'{{"next":"/x?api_token={TOKEN}","by":"someone@example.com","x":"acme"}}'
    crm.says("/x", Reply(body=body.encode()))
    answer = door(crm, query={"api_token": TOKEN}, auth=("someone@example.com", "acme")).get("/x")
    assert b'{"next":"/x?api_token=***","by":"someone@example.com","x":"acme"}' == answer.content
    assert TOKEN not in repr(answer)


def test_a_credential_that_no_header_can_carry(crm: Crm) -> None:
    """A token with a line break is a mistake in the config, said without showing it."""
    with pytest.raises(ConfigError, match="authorization") as caught:
        door(crm, headers={"Authorization": "Bearer abc\r\nX-Evil: 1"})
    assert "abc" not in str(caught.value)


def test_what_is_printed_of_a_door() -> None:
    """A door shows its account's address and nothing else."""
    http = Http("https://acme.example.com/v1", auth=("user", PASSWORD))
    out = io.StringIO()
    print(http, [http], file=out)
    assert "Http(https://acme.example.com/v1) [Http(https://acme.example.com/v1)]\n" == out.getvalue()


# TLS and proxies

# Made for this test alone: a key that protects nothing, and its own certificate for localhost, 2020 to 2120.
LOCALHOST = """
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQguODaDWkDjQ6am7Jr
U0Kq3MQLjMCwa2G2XfRotZvkb8ShRANCAAQWJ90K4iIV4e/j2/5HB0hdN2GsTXcy
wiRj/8wRaBBXuycaBirtIMdGHCeKpc0jvofwPvA9DzpXIh6Il2+QQhRb
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBZDCCAQqgAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBYn3QriIhXh7+Pb
/kcHSF03YaxNdzLCJGP/zBFoEFe7JxoGKu0gx0YcJ4qlzSO+h/A+8D0POlciHoiX
b5BCFFujSzBJMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAMBgNVHRMEBTAD
AQH/MB0GA1UdDgQWBBS+a8mHaHG5KY6KNBGdzt7oM6NgRzAKBggqhkjOPQQDAgNI
ADBFAiEAyZZwGfFUEHrnmlOiZyVR5V5ETxYHcWIq3OgN+Q9872sCIAY/FODb3eGJ
yX1qtVGmYEShv7yNM9dp2xo+UUIyENBq
-----END CERTIFICATE-----
"""


@pytest.fixture
def secure(crm: Crm, tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """The server behind TLS, and a client's context that trusts its certificate."""
    pem = tmp_path / "localhost.pem"
    pem.write_text(LOCALHOST.strip())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    crm.socket = context.wrap_socket(crm.socket, server_side=True)
    return f"https://localhost:{crm.server_port}", ssl.create_default_context(cafile=str(pem))


def test_a_certificate_that_nobody_vouches_for_is_refused(crm: Crm, secure: tuple[str, ssl.SSLContext]) -> None:
    """TLS is verified: the connection fails at once, before a credential is sent."""
    http = Http(secure[0], auth=("user", PASSWORD))
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED") as caught:
        http.get("/x")
    assert (False, 1, []) == (caught.value.sent, http.requests, crm.seen)


def test_a_trusted_certificate_is_read(
    crm: Crm, secure: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS a read is like any other, time limits included."""
    url, trusted = secure
    monkeypatch.setattr("onepipe.http.wire._trusted", lambda: trusted)
    crm.says("/slow", Reply(play=drips))
    with Http(url, timeouts=BRIEF) as http:
        assert b'{"ok":true}' == http.get("/x").content
        with pytest.raises(Unavailable, match="within the time allowed"):
            http.get("/slow")


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY and NO_PROXY are respected."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example.com")
    assert "http://proxy.example.com:3128" == _proxy(origin("https://acme.example.com"))
    assert None is _proxy(origin("https://inside.example.com"))

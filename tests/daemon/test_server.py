"""The port: who is alive, who is ready, how everything stands; it tells no secret and nobody can hold it up."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from onepipe import logs
from onepipe.config.notation import Address
from onepipe.daemon.lookout import DEAF, Lookout
from onepipe.daemon.onlooker import Event, State
from onepipe.daemon.server import AT_ONCE, SECONDS, Page, Server
from onepipe.errors import ConfigError, DiskTrouble, Unavailable
from onepipe.project import Project
from onepipe.report import ConnectionReport
from tests.daemon.watched import NOON, Clock, ask, line, state, until


class Watched:
    """A project whose daemon stands as the test says, and its port."""

    def __init__(self, folder: Path, **daemon: Any) -> None:
        connections = {
            name: {
                "connector": "capsule",
                "base_url": f"https://{name}.capsulecrm.com",
                "credentials": {"token": "a-secret-token"},
            }
            for name in ("acme", "beta")
        }
        config = {"daemon": {"listen": "127.0.0.1:0", **daemon}, "connections": connections}
        logs.add_secrets(["a-secret-token"])
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.project = Project(folder / "config.yaml", "onepipe daemon")
        self.clock, self.ticks = Clock(), Clock(1000.0)
        self.state: State | Exception = state(line(), line("beta", place="disabled"))
        self.lookout = Lookout(self.project, self.stands, self.clock, self.ticks)
        self.lookout.reloaded(self.project.config)
        self.address = self.lookout.address or ""

    def stands(self) -> State:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    def close(self) -> None:
        self.lookout.stopped()
        self.project.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


def test_alive_is_who_goes_round(watched: Watched) -> None:
    """/livez fails when the loop has not gone round for half a minute, and says so; starting is no failure."""
    assert (200, "starting\n") == ask(watched.address, "/livez")[:2]
    watched.lookout.beat(NOON)
    assert (200, "ok\n") == ask(watched.address, "/livez")[:2]
    watched.ticks.now += DEAF + 1
    assert (503, "the daemon's loop has not gone round for 31 seconds\n") == ask(watched.address, "/livez")[:2]
    assert (503, "not ready: the daemon's loop hangs\n") == ask(watched.address, "/readyz")[:2]
    assert 503 == ask(watched.address, "/status.json")[0]
    watched.lookout.beat(NOON)
    assert 200 == ask(watched.address, "/livez")[0]


def test_ready_is_who_makes_runs(watched: Watched) -> None:
    """/readyz fails while the daemon starts or ends, or cannot use its state, and says which."""
    assert (503, "not ready: the daemon is starting\n") == ask(watched.address, "/readyz")[:2]
    watched.lookout.beat(NOON)
    assert (200, "ok\n") == ask(watched.address, "/readyz")[:2]
    watched.state = state(draining=True)
    assert (503, "not ready: the daemon is ending: no new runs are made\n") == ask(watched.address, "/readyz")[:2]
    watched.state = DiskTrouble("The control file cannot be used")
    assert (503, True) == (ask(watched.address, "/readyz")[0], "cannot be used" in ask(watched.address, "/readyz")[1])
    watched.state = state(refused="config.yaml:3: unknown key")
    assert (200, "ok; the newest config.yaml was not taken: config.yaml:3: unknown key\n") == ask(
        watched.address, "/readyz"
    )[:2]
    (watched.project.config.state / "control.sqlite").unlink()
    assert (503, True) == (ask(watched.address, "/readyz")[0], "is not there" in ask(watched.address, "/readyz")[1])


def test_the_front_page_names_the_others(watched: Watched) -> None:
    """Whoever finds the port finds the rest; what is not there says so."""
    status, text, headers = ask(watched.address)
    assert (200, "onepipe daemon: /livez /readyz /metrics /status.json\n") == (status, text)
    assert ("no-store", "nosniff", "onepipe") == tuple(
        headers[name].strip() for name in ("cache-control", "x-content-type-options", "server")
    )
    assert 404 == ask(watched.address, "/nothing")[0]
    assert 200 == ask(watched.address, "/livez?x=1")[0]


def test_status_tells_how_everything_stands(watched: Watched) -> None:
    """One document: the daemon, the totals, each connection with what keeps it and its quota, and what people know."""
    error = {"kind": "auth", "message": "refused: a-secret-token", "hint": "renew it"}
    stands = line(place="broken", why="The CRM does not answer", failures=3, last_error=error, next_due=NOON)
    watched.state = state(stands, line("beta"), generation=12, published=10, published_at=NOON, lag=0.25, beat=NOON)
    watched.project.control.quotas.allowance("acme", "capsule").refused(time.time(), 3600, "Wait", slower=False)
    watched.lookout.beat(NOON)
    watched.lookout.happened(Event(event="failed", at=NOON, connection="acme", text="acme failed"))
    until(lambda: bool(told(watched)["alerts"]["standing"]))
    document = told(watched)
    assert (1, True, None) == tuple(document[key] for key in ("schema_version", "ready", "why_not_ready"))
    assert (12, 10, 2) == tuple(document["warehouse"][key] for key in ("generation", "published", "unpublished"))
    assert {"connections": 2, "broken": 1, "waiting": 1, "failing": 1}.items() <= document["totals"].items()
    acme = document["connections"][0]
    assert ("acme", "broken", "The CRM does not answer", 3, "2026-01-12T12:00:00Z") == tuple(
        acme[key] for key in ("connection", "place", "why", "failures", "next_due_at")
    )
    assert {"kind": "auth", "message": "refused: ***", "hint": "renew it"} == acme["last_error"]
    assert ("Wait", [], 0, False) == (acme["held_why"], acme["passed_over"], acme["conflicts"], acme["stale"])
    assert [("failed", "acme", 1)] == [
        (one["event"], one["connection"], one["times"]) for one in document["alerts"]["standing"]
    ]


def told(watched: Watched) -> dict[str, Any]:
    status, text, headers = ask(watched.address, "/status.json")
    assert (200, "application/json") == (status, headers["content-type"]), text
    found: dict[str, Any] = json.loads(text)
    return found


def test_no_page_tells_a_secret(watched: Watched) -> None:
    """Neither a credential nor the address of a webhook, wherever an error may have put it."""
    watched.lookout.beat(NOON)
    broken = Unavailable("GET /?token=a-secret-token failed")
    report = ConnectionReport("acme", "capsule", NOON, status="failed", error=broken)
    watched.state = state(line(why="a-secret-token"), refused="a-secret-token")
    watched.lookout.ran(report, "run-1", 1.0)
    for path in ("/", "/livez", "/readyz", "/metrics", "/status.json"):
        assert "a-secret-token" not in ask(watched.address, path)[1]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_nothing_can_be_done_here(watched: Watched, method: str) -> None:
    """Reading is all."""
    status, _, headers = ask(watched.address, "/livez", method)
    assert (405, "GET, HEAD") == (status, headers["allow"])


def test_head_is_get_without_its_text(watched: Watched) -> None:
    """Some probes ask so."""
    status, text, headers = ask(watched.address, "/", "HEAD")
    assert (200, "", "53") == (status, text, headers["content-length"])


def test_a_foreign_name_is_refused_on_the_loopback(watched: Watched) -> None:
    """A web page that lets its own name point here reads nothing; addresses and localhost are asked as ever."""
    assert 403 == ask(watched.address, "/status.json", Host="evil.example:9464")[0]
    for host in ("localhost:9464", "127.0.0.1", "[::1]:9464"):
        assert 200 == ask(watched.address, "/livez", Host=host)[0]


def test_port_0_is_told(watched: Watched) -> None:
    """Any free port is taken, and its number is known."""
    host, _, port = watched.address.partition(":")
    assert ("127.0.0.1", True) == (host, int(port) > 0)


def test_a_port_in_use_is_named() -> None:
    """With host and port, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"names 127\.0\.0\.1:{port}, which cannot be used: Address already"):
            Server(Address("127.0.0.1", port), {})


@pytest.fixture
def bare() -> Iterator[tuple[Server, Clock]]:
    ticks = Clock()
    server = Server(Address("127.0.0.1", 0), {"/": lambda _: Page("here\n")}, ticks)
    yield server, ticks
    server.close()


def test_who_asks_slowly_is_hung_up_on(bare: tuple[Server, Clock]) -> None:
    """A request has its time as a whole, however regularly it drips."""
    server, ticks = bare
    with socket.create_connection((server.address.host, server.address.port)) as slow:
        slow.sendall(b"GET / HT")
        until(lambda: bool(server._http._open))
        ticks.now += SECONDS + 1
        slow.settimeout(5)
        assert b"" == slow.recv(100)
    until(lambda: not server._http._open)


def test_many_at_once_are_sent_away(bare: tuple[Server, Clock]) -> None:
    """They hold no thread each; those who are there are answered."""
    server, ticks = bare
    held = [socket.create_connection((server.address.host, server.address.port)) for _ in range(AT_ONCE)]
    until(lambda: len(server._http._open) == AT_ONCE)
    with socket.create_connection((server.address.host, server.address.port)) as one_more:
        one_more.settimeout(5)
        assert b"" == one_more.recv(100)
    for one in held:
        one.close()
    until(lambda: not server._http._open)
    assert 200 == ask(str(server.address))[0]
    assert ticks


def test_a_long_request_is_refused(bare: tuple[Server, Clock]) -> None:
    """Neither a line nor headers without end are read."""
    server, _ = bare
    assert 414 == ask(str(server.address), "/" + "x" * 70_000)[0]
    assert 431 == ask(str(server.address), "/", **{f"X-{n}": "x" for n in range(200)})[0]


def test_a_page_that_fails_fails_alone() -> None:
    """It is logged, says nothing of why to whoever asks, and the next page comes."""

    def broken(_: str) -> Page:
        raise ZeroDivisionError("a secret")

    server = Server(Address("127.0.0.1", 0), {"/": lambda _: Page("here\n"), "/broken": broken})
    try:
        status, text, _ = ask(str(server.address), "/broken")
        assert (500, False) == (status, "secret" in text)
        assert 200 == ask(str(server.address))[0]
    finally:
        server.close()


def test_it_listens_on_ipv6() -> None:
    """Where the machine has it."""
    try:
        server = Server(Address("::1", 0), {"/": lambda _: Page("here\n")})
    except ConfigError:
        pytest.skip("no IPv6 here")
    try:
        assert 200 == ask(str(server.address))[0]
    finally:
        server.close()

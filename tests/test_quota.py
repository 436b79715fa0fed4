"""The quota ledger: what leaves, from however many threads and processes, and what a server says of it."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import onepipe.control.quota as ledger
from onepipe.control import Allowance, Control, Hold
from onepipe.control.look import look
from onepipe.control.rates import Rate
from onepipe.errors import RateLimited, Stopped
from onepipe.http import Http
from onepipe.http.quota import Pace
from onepipe.quotas import Grant, Quota, Told, duration, lasting, span

NOON = datetime(2026, 1, 15, 12, 0, 0, tzinfo=UTC)
HOURLY = Quota(4000, 3600)
READER = """
import sys, threading, time
from pathlib import Path
from onepipe.control import Control
from onepipe.http import Http
from onepipe.quotas import Quota
state, url, threads, seconds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
with Control(state) as control:
    account = control.quotas.allowance("acme", "capsule", [Quota(40, 2)], 0.5)
    until = time.monotonic() + seconds
    with Http(url, ledger=account) as http:
        def work():
            while time.monotonic() < until:
                http.get("/x")
        workers = [threading.Thread(target=work) for _ in range(threads)]
        [one.start() for one in workers], [one.join() for one in workers]
    print(http.requests)
"""
TAKER = """
import sys, time
from pathlib import Path
from onepipe.control import Control
from onepipe.http.quota import Pace
from onepipe.quotas import Quota
control = Control(Path(sys.argv[1]))
pace = Pace(control.quotas.allowance("acme", "capsule", [Quota(100_000, 3600)], 0.5), time.time, time.sleep)
for n in range(1, 100_000):
    pace.turn()
    print(n, flush=True)
    time.sleep(0.001)
"""


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = NOON.timestamp()
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def control(tmp_path: Path, clock: Clock) -> Iterator[Control]:
    with Control(tmp_path, clock=clock) as opened:
        yield opened


def pace(account: Allowance, clock: Clock) -> Pace:
    return Pace(account, clock, clock.sleep)


def busiest(times: list[float], seconds: float) -> int:
    """The most instants in any window of so many seconds."""
    times = sorted(times)
    return max(sum(1 for other in times[n:] if other < begin + seconds) for n, begin in enumerate(times))


@dataclass
class Server:
    """A CRM on loopback: `answers` says status and headers for each request, and when each came is in `seen`."""

    answers: Callable[[int], tuple[int, dict[str, str]]] = lambda _: (200, {})
    seen: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self) -> tuple[int, dict[str, str]]:
        with self._lock:
            self.seen.append(time.monotonic())
            status, headers = self.answers(len(self.seen))
            self.statuses.append(status)
            return status, headers


@pytest.fixture
def crm() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers = told.answer()
            self.send_response_only(status)
            for name, value in {"Date": format_datetime(NOON, usegmt=True), "Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


# What leaves


def test_no_window_holds_more_than_our_part(tmp_path: Path, clock: Clock) -> None:
    """Two processes that take and leave grants at random never send more than half the quota in any ten seconds."""
    chance, sent = random.Random(7), []
    with Control(tmp_path, clock=clock) as one, Control(tmp_path, clock=clock) as two:
        quotas = [Quota(100, 10), Quota(1000, 300)]
        paces = [pace(each.quotas.allowance("acme", "onautomate", quotas, 0.5), clock) for each in (one, two)]
        for _ in range(1500):
            try:
                chance.choice(paces).turn()
            except RateLimited as error:
                assert error.until
                clock.now = error.until.timestamp()
                continue
            sent.append(clock.now)
            clock.now += chance.choice((0, 0, 0.01, 0.2, 1.1))
    assert 45 <= busiest(sent, 10) <= 50
    assert 450 <= busiest(sent, 300) <= 500


def test_two_processes_keep_one_quota(tmp_path: Path, crm: Server) -> None:
    """Two real processes of four threads each: the CRM never sees more than 20 requests in 2 seconds, and not far less.

    A request may be on its way for a moment, so the window that is looked at is a twentieth shorter.
    """
    command = [sys.executable, "-c", READER, str(tmp_path), crm.url, "4", "4.2"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as one,
        subprocess.Popen(command, stdout=subprocess.PIPE) as two,
    ):
        counts = [int(each.communicate(timeout=30)[0]) for each in (one, two)]
    assert len(crm.seen) == sum(counts)
    assert min(counts) > 0
    assert busiest(crm.seen, 1.9) <= 20
    assert len(crm.seen) >= 40


def test_a_killed_process_leaves_no_more_than_a_block(tmp_path: Path) -> None:
    """After kill -9 what was counted is what was sent, or up to a block more; never less."""
    with subprocess.Popen([sys.executable, "-c", TAKER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for line in child.stdout:
            if int(line) >= 150:
                break
        child.send_signal(signal.SIGKILL)
        sent = max(int(line) for line in [line, *child.stdout])
    with Control(tmp_path) as control:
        (room,) = control.quotas.allowance("acme", "capsule", [Quota(100_000, 3600)], 0.5).state().quotas
    assert sent <= room.used <= sent + ledger.BLOCK


def test_what_is_not_used_is_given_back(control: Control, clock: Clock) -> None:
    """A door that is closed, or slow, does not spend what it never sent."""
    account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
    queue = pace(account, clock)
    for _ in range(40):
        queue.turn()
    for _ in range(5):
        clock.now += 5
        queue.turn()
    queue.close()
    assert 45 == account.state().quotas[0].used


def test_the_rest_is_for_people(control: Control, clock: Clock) -> None:
    """Of each quota we use the part that is ours, one request at the least; then the run ends and says until when."""
    account = control.quotas.allowance("acme", "capsule", [Quota(40, 3600)], 0.25)
    queue = pace(account, clock)
    for _ in range(10):
        queue.turn()
    with pytest.raises(
        RateLimited, match=r"part of the quota is used up: 10 of 40 requests in 1 h; 30 are kept"
    ) as caught:
        queue.turn()
    assert caught.value.until
    assert timedelta(hours=1) <= caught.value.until - NOON <= timedelta(hours=1, minutes=2)
    assert "`onepipe quota acme`" in str(caught.value.hint)
    assert [] == clock.slept
    assert 1 == Quota(1, 10).ours(0.05)


def test_connections_at_one_address_share_its_quota(control: Control, clock: Clock) -> None:
    """What is counted by source address is counted for all connections of that CRM, and for no other CRM."""
    limit = [Quota(20, 3600, "address")]
    queues = [pace(control.quotas.allowance(name, "administrate", limit, 0.5), clock) for name in ("acme", "globex")]
    for _ in range(5):
        for queue in queues:
            queue.turn()
    for queue in queues:
        with pytest.raises(RateLimited):
            queue.turn()
    pace(control.quotas.allowance("initech", "other", limit, 0.5), clock).turn()


def test_a_grant_needs_no_transaction_of_its_own(control: Control, clock: Clock) -> None:
    """At full speed requests are granted in blocks, and the ledger keeps no more than a window's buckets."""
    account = control.quotas.allowance("acme", "capsule", [Quota(100_000_000, 300)], 0.5)
    queue = pace(account, clock)
    for _ in range(200):
        queue.turn()
    assert ledger.BLOCK == account.take(None, ()).left
    for _ in range(400):
        clock.now += 7
        queue.turn()
    with control.quotas.durable.reading() as db:
        (rows,) = db.execute("SELECT count(*) FROM quota_used").fetchone()
    assert rows <= 32


def test_a_clock_set_back_locks_nobody_out(control: Control, clock: Clock) -> None:
    """What was counted in a future that is far away does not count."""
    queue = pace(control.quotas.allowance("acme", "capsule", [Quota(40, 60)], 0.5), clock)
    clock.now += 86_400
    for _ in range(20):
        queue.turn()
    clock.now -= 86_400
    queue.turn()
    assert [] == clock.slept


def test_a_clock_set_back_lets_the_rest_of_a_grant_go(control: Control, clock: Clock) -> None:
    """A grant that is under way names instants of the old time, which nobody waits for."""
    queue = pace(control.quotas.allowance("acme", "capsule", (), 0.5), clock)
    for _ in range(4):
        queue.turn()
    clock.now -= 7_200
    queue.turn()
    assert [] == clock.slept


def test_a_clock_set_back_after_a_refusal_waits_for_nothing_far_off(control: Control, clock: Clock) -> None:
    """A cut rate goes on at once; whoever comes next waits no longer than the slowest rate asks for."""
    account = control.quotas.allowance("acme", "capsule", (), 0.5)
    account.refused(clock.now, 0.0, "The CRM said to wait", slower=True)
    clock.now += 10_000
    queue = pace(account, clock)
    queue.turn()
    queue.close()
    clock.now -= 7_200
    pace(account, clock).turn()
    assert [] == clock.slept


def test_a_stopped_run_does_not_wait(control: Control, clock: Clock) -> None:
    """Where sleeping says that the run is to end, the request does not leave."""
    account = control.quotas.allowance("acme", "onautomate", [Quota(2, 10)], 0.5)
    queue = Pace(account, clock, lambda _: True)
    queue.turn()
    with pytest.raises(Stopped):
        queue.turn()


# What the server says


def headers(remaining: int, reset: float = 1800, limit: int = 4000) -> dict[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": int(NOON.timestamp() + reset)}
    return {f"X-RateLimit-{name}": str(value) for name, value in values.items()}


def door(crm: Server, account: Allowance, clock: Clock, **how: object) -> Http:
    return Http(crm.url, ledger=account, clock=clock, tick=clock, sleep=clock.sleep, **how)  # type: ignore[arg-type]


def test_the_server_counts_more_than_we_do(crm: Server, control: Control, clock: Clock) -> None:
    """Once people and other programs have used so much that only their half is left, we stop until the reset."""
    crm.answers = lambda number: (200, headers(3000 - number))
    account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
    with door(crm, account, clock) as http:
        for _ in range(40):
            http.get("/x")
        crm.answers = lambda _: (200, headers(2000))
        http.get("/x")
        with pytest.raises(RateLimited, match="2,000 of 4,000 requests in 1 h are left to all its users") as caught:
            http.get("/x")
    assert NOON + timedelta(seconds=1800) == caught.value.until
    assert 41 == len(crm.seen)


def test_the_server_counts_less_than_we_do(crm: Server, control: Control, clock: Clock) -> None:
    """Its reset gives us our half again, though by our own count the hour is not over."""
    account = control.quotas.allowance("acme", "capsule", [Quota(40, 3600)], 0.5)
    crm.answers = lambda number: (200, headers(40 - (number - 1) % 20 - 1, 1800, limit=40))
    with door(crm, account, clock) as http:
        for _ in range(20):
            http.get("/x")
        with pytest.raises(RateLimited):
            http.get("/x")
        clock.now += 1801
        http.get("/x")
        assert 19 == account.state().quotas[0].left
    assert 21 == len(crm.seen)


def test_a_limit_that_the_server_tells_is_the_limit(crm: Server, control: Control, clock: Clock) -> None:
    """Another plan has other limits: the server's word, also on a day's quota, replaces the documented one."""
    day = {"X-RateLimit-Limit-Daily": "500", "X-RateLimit-Daily-Remaining": "252"}
    burst = {"X-RateLimit-Max": "1000", "X-RateLimit-Remaining": "999", "X-RateLimit-Interval-Milliseconds": "10000"}
    crm.answers = lambda _: (200, day | burst)
    account = control.quotas.allowance("acme", "onautomate", [Quota(100, 10), Quota(200_000, 86_400)], 0.5)
    with door(crm, account, clock) as http:
        http.get("/x")
    first, second = account.state().quotas
    assert (500, 250, 2) == (first.ours, second.ours, second.left)
    assert (Quota(1000, 10), Quota(500, 86_400)) == (first.allowed, second.allowed)


# Waiting as told


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_behaviour_19_the_wait_is_the_servers(
    status: int, form: str, crm: Server, control: Control, clock: Clock
) -> None:
    """Given Retry-After in seconds or as a date, the wait matches within 1 s of the server's clock, not of ours."""
    clock.now += 600  # our clock is ten minutes fast
    told = {"seconds": "40", "date": format_datetime(NOON + timedelta(seconds=40), usegmt=True)}[form]
    crm.answers = lambda number: (status, {"Retry-After": told}) if number == 1 else (200, {})
    with door(crm, control.quotas.allowance("acme", "capsule", [HOURLY], 0.5), clock) as http:
        http.get("/x")
    assert 40 <= sum(clock.slept) < 41


@pytest.mark.parametrize("status", [429, 503])
def test_behaviour_20_a_long_wait_is_remembered(status: int, crm: Server, tmp_path: Path, clock: Clock) -> None:
    """Given Retry-After of an hour the run ends at once; a later process asks nothing before, and says why."""
    crm.answers = lambda _: (status, {"Retry-After": "3600"})
    with Control(tmp_path, clock=clock) as control:
        account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
        with door(crm, account, clock) as http, pytest.raises(RateLimited, match="may go on at 2026-01-15 13:00:00"):
            http.get("/x")
    clock.now += 600
    with Control(tmp_path, clock=clock) as control:
        account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
        with door(crm, account, clock) as http, pytest.raises(RateLimited, match=f"/x was answered {status}") as caught:
            http.get("/x")
        assert (1, []) == (len(crm.seen), clock.slept)
        assert NOON + timedelta(hours=1) == caught.value.until
        assert "`onepipe quota --forget acme`" in str(caught.value.hint)
        held = account.held()
        assert held and (NOON + timedelta(hours=1), f"GET /x was answered {status}") == (held.until, held.why[-23:])
        crm.answers = lambda _: (200, {})
        clock.now += 3000
        with door(crm, account, clock) as http:
            http.get("/x")


def test_other_connections_are_not_held(crm: Server, control: Control, clock: Clock) -> None:
    """A hold is the account's; but where requests are counted by address, a 429 is for all that share it."""
    crm.answers = lambda _: (429, {"Retry-After": "3600"})
    address = [Quota(6000, 300, "address")]
    for quotas, others in (([HOURLY], False), (address, True)):
        account = control.quotas.allowance("acme", "some", quotas, 0.5)
        with door(crm, account, clock) as http, pytest.raises(RateLimited):
            http.get("/x")
        assert others == (control.quotas.allowance("globex", "some", quotas, 0.5).held() is not None)
        account.forget()


def test_a_person_can_drop_a_hold(crm: Server, control: Control, clock: Clock) -> None:
    """After `forget` the next request leaves at once."""
    account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
    account.refused(clock.now, 3600, "The CRM said to wait", slower=False)
    assert account.held()
    account.forget()
    assert account.held() is None
    with door(crm, account, clock) as http:
        http.get("/x")


def test_a_hold_beyond_every_calendar_is_told_and_can_be_dropped(
    control: Control, clock: Clock, tmp_path: Path
) -> None:
    """An old file may hold one: everything that reads it goes on, and a person can put it right."""
    account = control.quotas.allowance("acme", "capsule", (), 0.5)
    with control.quotas.durable.writing() as db:
        db.execute("INSERT INTO quota (key, held_until, scan_next) VALUES ('connection:acme', 1e18, 1e18)")
    last = datetime(9999, 12, 31, tzinfo=UTC)
    waits, seen = control.quotas.waiting()["connection:acme"], look(tmp_path, clock)
    assert {last} == {
        waits.next_scan,
        waits.hold and waits.hold.until,
        account.next_scan(),
        seen.held["connection:acme"][0],
    }
    with pytest.raises(RateLimited):
        pace(account, clock).turn()
    account.forget()
    assert (None, None) == (account.held(), account.next_scan())
    account = control.quotas.allowance("globex", "capsule", [HOURLY], 0.5)
    account.give_back(None, [Told(4000, 0, resets=1e18)])
    with pytest.raises(RateLimited):
        pace(account, clock).turn()


def test_a_hold_reaches_a_process_that_is_at_work(tmp_path: Path, clock: Clock) -> None:
    """What one process is told, another one's grants outlive by a second at the most."""
    with Control(tmp_path, clock=clock) as one, Control(tmp_path, clock=clock) as two:
        queue = pace(one.quotas.allowance("acme", "tactile", (), 0.5), clock)
        for _ in range(50):
            queue.turn()
        two.quotas.allowance("acme", "tactile", (), 0.5).refused(clock.now, 50, "wait", slower=False)
        clock.now += 1.01
        began = clock.now
        queue.turn()
        assert clock.now - began > 48


# After a refusal


def test_a_burst_of_refusals_cuts_the_rate_once(tmp_path: Path, clock: Clock) -> None:
    """Eight threads that are refused together halve the rate once, to half of what was measured; it outlives us."""
    with Control(tmp_path, clock=clock) as control:
        account = control.quotas.allowance("acme", "tactile", (), 0.5)
        queue = pace(account, clock)
        for _ in range(80):
            left_at = queue.turn()
            clock.now += 0.05
        for _ in range(8):
            clock.now += 0.01
            account.refused(left_at, 0, "too fast", slower=True)
        assert 9 <= (account.state().rate or 0) <= 11
    with Control(tmp_path, clock=clock) as control:
        account = control.quotas.allowance("acme", "tactile", (), 0.5)
        assert 9 <= (account.state().rate or 0) <= 11
        clock.now += 5
        sent = [pace(account, clock).turn() for _ in range(2)]
        assert sent[1] - sent[0] >= 0.09


def test_the_rate_grows_while_nothing_is_refused() -> None:
    """Each 400 requests answered allow one more a second; after a day without a refusal there is no bound."""
    rate = Rate().refused(5.0, measured=20.0, now=6.0)
    assert 10.0 == rate.now(7.0)
    assert 11.0 == rate.booked(400, 7.0, 0.1).now(8.0)
    assert rate.now(6.0 + 86_401) is None
    assert 0.1 == Rate(rate=0.15, base=0.3, refused_at=1.0).refused(50.0, measured=0.1, now=60.0).rate
    assert rate is rate.refused(5.5, measured=20.0, now=6.5)


@pytest.mark.parametrize("limit", [3, 20])
def test_behaviour_21_after_a_storm_few_are_refused(limit: int, control: Control, clock: Clock) -> None:
    """Given a 429 storm from 8 workers, the rate is cut once per cool-down, and under 2 % are refused afterwards."""
    account = control.quotas.allowance("acme", "tactile", (), 0.5)
    queue = Pace(account, clock, clock.sleep, max_wait=1e9)
    accepted: list[float] = []
    refused = 0

    def ask(left_at: float) -> None:
        nonlocal refused
        if len([one for one in accepted[-limit:] if one > clock.now - 1]) < limit:
            accepted.append(clock.now)
        else:
            refused += 1
            account.refused(left_at, 0.3, "too fast", slower=True)

    def work(requests: int) -> None:
        flying: list[float] = []
        for _ in range(requests):
            flying.append(queue.turn())
            clock.now += 0.001
            if len(flying) == 8 or clock.now - flying[0] > 0.05:
                for left_at in flying:
                    ask(left_at)
                flying.clear()

    work(200)
    storm, refused = refused, 0
    work(6000)
    assert storm > 8
    assert refused < 0.02 * 6000
    assert account.state().rate and limit / 4 < account.state().rate


def test_eight_threads_after_a_storm(tmp_path: Path, crm: Server) -> None:
    """The same with real threads and a real server that bears 30 requests a second."""

    def answers(_: int) -> tuple[int, dict[str, str]]:
        recent = [at for at, status in zip(crm.seen[-200:], crm.statuses[-199:], strict=False) if status == 200]
        return (429 if sum(at > time.monotonic() - 1 for at in recent) >= 30 else 200), {}

    crm.answers = answers
    with Control(tmp_path) as control:
        account = control.quotas.allowance("acme", "tactile", (), 0.5)
        until = time.monotonic() + 5

        def work() -> None:
            while time.monotonic() < until:
                http.get("/x")

        with Http(crm.url, ledger=account) as http:
            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert account.state().rate
    late = [status for at, status in zip(crm.seen, crm.statuses, strict=True) if at > until - 2]
    assert 20 < len(late)
    assert late.count(429) <= 1
    assert 429 in crm.statuses


# Complete reads


def test_a_complete_read_rests_as_long_as_our_part_needs(control: Control, clock: Clock) -> None:
    """A scan of 3,000 requests begins again no earlier than our half of the tightest quota allows as many."""
    quotas = [Quota(100, 10), Quota(200_000, 86_400)]
    account = control.quotas.allowance("acme", "onautomate", quotas, 0.5)
    assert account.next_scan() is None
    account.scan_ended(3000, NOON)
    assert NOON + timedelta(seconds=2592) == account.next_scan()
    account.scan_ended(3, NOON - timedelta(seconds=5))
    assert account.next_scan() is None
    account.scan_ended(3000, NOON)
    control.quotas.allowance("initech", "capsule").refused(clock.now, 90, "The CRM said to wait", slower=False)
    waiting = control.quotas.waiting()
    assert {"connection:acme", "connection:initech"} == set(waiting)
    assert (None, NOON + timedelta(seconds=2592)) == (
        waiting["connection:acme"].hold,
        waiting["connection:acme"].next_scan,
    )
    assert Hold(NOON + timedelta(seconds=90), "The CRM said to wait") == waiting["connection:initech"].hold
    unknown = control.quotas.allowance("globex", "overplane", (), 0.5)
    unknown.scan_ended(3000, NOON)
    assert unknown.next_scan() is None


def test_an_account_that_is_another_begins_anew(control: Control, clock: Clock) -> None:
    """A name that is bound to another account takes none of the old one's counts and holds with it."""
    account = control.quotas.allowance("acme", "capsule", [HOURLY], 0.5)
    account.take(None, [Told(4000, 17, resets=100.0)])
    account.refused(clock.now, 3600, "wait", slower=True)
    control.forget("acme")
    state = account.state()
    assert (None, None, 0, 2000) == (state.hold, state.rate, state.quotas[0].used, state.quotas[0].left)


def test_quotas_in_words_and_numbers() -> None:
    """How a quota is told, and how fast requests may leave in the long run, by the tightest."""
    assert "6,000 requests in 5 min from one address" == str(Quota(6000, 300, "address"))
    assert ("10 s", "1 h", "1 day", "2 days", "90 s") == tuple(span(n) for n in (10, 3600, 86_400, 172_800, 90))
    both = [Quota(100, 10), Quota(200_000, 86_400)]
    assert (None, 10.0) == (lasting(()), lasting(both[:1]))
    assert 200_000 / 86_400 / 2 == lasting(both, 0.5)
    assert (None, 0.0, 10.0) == (duration(5, ()), duration(50, both[:1], 0.5), duration(100, both[:1], 0.5))


def test_the_ledger_keeps_no_secret(crm: Server, control: Control, clock: Clock, tmp_path: Path) -> None:
    """What is kept of a refusal names the request without its query, and nothing of the answer."""
    crm.answers = lambda _: (429, {"Retry-After": "3600"})
    account = control.quotas.allowance("acme", "tactile", (), 0.5)
    with door(crm, account, clock, query={"api_token": "s3cret-token"}) as http, pytest.raises(RateLimited):
        http.get("/x", email="someone@example.org")
    assert account.state().hold
    kept = b"".join(path.read_bytes() for path in (tmp_path).glob("control.sqlite*"))
    assert b"/x was answered 429" in kept
    assert b"s3cret" not in kept and b"example.org" not in kept


def test_a_grant_is_one_moment_long(control: Control, clock: Clock) -> None:
    """A grant lasts a second at the most, and not beyond the bucket it was counted in."""
    account = control.quotas.allowance("acme", "onautomate", [Quota(100, 10)], 0.5)
    grant = account.take(None, ())
    assert isinstance(grant, Grant) and clock.now < grant.until <= clock.now + 10 / 30 + 0.001
    assert clock.now + 1 == control.quotas.allowance("globex", "tactile", (), 0.5).take(None, ()).until
    assert json.dumps(grant.counted)

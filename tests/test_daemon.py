"""The daemon: schedules as people mean them, publishing soon but not all the time, and a clean end."""

import io
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from onepipe import logs
from onepipe.config.notation import schedule
from onepipe.control import Control
from onepipe.daemon import Publisher, first_run, trigger_of
from onepipe.errors import DiskTrouble
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

MONDAY = datetime(2026, 1, 12, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("30 6 * * *", "2026-01-13 06:30"),
        ("0 6 * * 0", "2026-01-18 06:00"),
        ("0 6 * * 7", "2026-01-18 06:00"),
        ("0 6 * * sun", "2026-01-18 06:00"),
        ("0 6 * * 1-5", "2026-01-13 06:00"),
        ("0 6 * * mon-fri", "2026-01-13 06:00"),
        ("*/20 * * * *", "2026-01-12 12:20"),
        ("90m", "2026-01-12 13:30"),
        ("1d", "2026-01-13 12:00"),
    ],
)
def test_a_schedule_means_what_people_mean(text: str, due: str) -> None:
    """Sunday is 0, 7 and sun; times are UTC; a daemon that starts anew goes on from the last success."""
    found = first_run(schedule(text), MONDAY)
    assert found and due == f"{found:%Y-%m-%d %H:%M}"
    assert trigger_of(schedule(text)) is not None


def test_what_never_ran_is_due_at_once() -> None:
    """A new connection does not wait for its first interval."""
    assert first_run(schedule("6h"), None) is None


@dataclass
class Copies:
    """A clock, and copies that take their time."""

    now: float = 0.0
    took: float = 0.1
    made: list[float] = field(default_factory=list)
    full: bool = False

    def __call__(self) -> float:
        return self.now

    def copy(self) -> bool:
        self.now += self.took
        if self.full:
            raise DiskTrouble("no space left", "free some")
        self.made.append(self.now)
        return True

    def pass_by(self, publisher: Publisher, seconds: int) -> None:
        """Look every half second, as the daemon does."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            if publisher.due():
                publisher.publish()


def test_a_change_is_published_within_ten_seconds() -> None:
    """At once after a quiet time, else after a rest; without a change never."""
    copies = Copies()
    publisher = Publisher(copies.copy, clock=copies)
    copies.pass_by(publisher, 60)
    assert [] == copies.made
    publisher.changed()
    copies.pass_by(publisher, 1)
    publisher.changed()
    copies.pass_by(publisher, 60)
    assert 2 == len(copies.made)
    assert copies.made[1] - copies.made[0] < 10


def test_a_large_warehouse_is_not_copied_all_day() -> None:
    """A copy of 5 seconds rests 50, however many changes come."""
    copies = Copies(took=5.0)
    publisher = Publisher(copies.copy, clock=copies)
    for _ in range(300):
        publisher.changed()
        copies.pass_by(publisher, 1)
    pauses = [later - earlier for earlier, later in zip(copies.made, copies.made[1:], strict=False)]
    assert 50 <= min(pauses) <= max(pauses) < 60


def test_a_publish_that_fails_is_tried_again() -> None:
    """The change is not forgotten because the disk was full."""
    told = io.StringIO()
    logs.configure("json", stream=told)
    copies = Copies(full=True)
    publisher = Publisher(copies.copy, clock=copies)
    publisher.changed()
    copies.pass_by(publisher, 5)
    copies.full = False
    copies.pass_by(publisher, 20)
    assert 1 == len(copies.made)
    assert "no space left" in told.getvalue()


class Running:
    """A daemon in a process of its own, and the log lines it has written."""

    def __init__(self, place: Place, log: Path, *words: str) -> None:
        self.log = log
        with log.open("w") as stream:
            self.process = place.start("daemon", *words, stderr=stream)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]

    def wait_for(self, event: str, times: int = 1, **facts: Any) -> None:
        """Until a line was logged so many times. Fails after 30 seconds, or when the daemon has ended without it."""
        deadline = time.monotonic() + 30
        while True:
            ended = self.process.poll() is not None
            found = [one for one in self.lines() if event == one["event"] and facts.items() <= one.items()]
            if len(found) >= times:
                return
            assert not ended and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self, seconds: float = 20) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def daemon(place: Place, *words: str) -> Iterator[Running]:
    running = Running(place, place.folder / "log", *words)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@pytest.fixture
def capsule(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project with one Capsule that is due every second."""
    with Sandbox(rows=5, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule", schedule="1s", settings={"details": False}))
        yield Place(tmp_path), crms


def test_it_runs_publishes_and_ends_cleanly(capsule: tuple[Place, Sandbox]) -> None:
    """Due connections run again and again; a change is in the published warehouse soon; SIGTERM ends with 0."""
    place, crms = capsule
    with daemon(place) as running:
        running.wait_for("run ended", status="complete", new=5)
        running.wait_for("published")
        published(place, "SELECT count(*) AS n FROM opportunities", 5)
        crms["capsule"].insert(name="Seen by the daemon")
        running.wait_for("run ended", new=1)
        published(place, "SELECT count(*) AS n FROM opportunities WHERE name = 'Seen by the daemon'", 1)
        assert 0 == running.stop()
        assert "daemon stopped" == running.lines()[-1]["event"]
    assert {"daemon"} == {one["command"] for one in place.run("runs", "--json").json["runs"]}


def test_a_second_daemon_names_the_first_and_the_first_publishes_before_it_ends(capsule: tuple[Place, Sandbox]) -> None:
    """75 for the second, so that no supervisor takes it for a fault; all that the first committed can be seen."""
    place, _ = capsule
    with daemon(place) as running:
        running.wait_for("run ended")
        second = place.start("daemon")
        _, err = second.communicate(timeout=20)
        assert (75, True) == (second.returncode, f"process {running.process.pid} " in err)
        assert 0 == running.stop()
    assert [{"n": 5}] == place.run("sql", "SELECT count(*) AS n FROM opportunities", "--json").json


def test_a_run_under_way_comes_to_its_end(capsule: tuple[Place, Sandbox]) -> None:
    """SIGTERM starts nothing new and waits for what runs."""
    place, crms = capsule
    crms["capsule"].faults.add("slow", seconds=2, count=1, lists=True)
    with daemon(place) as running:
        wait_for_request(crms)
        assert 0 == running.stop()
        assert ["run ended"] == [one["event"] for one in running.lines() if "status" in one]
        assert "complete" == next(one["status"] for one in running.lines() if "status" in one)


def test_a_run_that_takes_too_long_is_cut_short(capsule: tuple[Place, Sandbox]) -> None:
    """After the deadline the daemon ends with 0 all the same, and the next run goes on."""
    place, crms = capsule
    crms["capsule"].faults.add("hang", lists=True)
    with daemon(place, "--drain", "0.5") as running:
        wait_for_request(crms)
        began = time.monotonic()
        assert 0 == running.stop()
        assert time.monotonic() - began < 12
        assert any(["capsule"] == one.get("connections") for one in running.lines())
    crms["capsule"].faults.clear()
    assert 0 == place.run("sync").code


def test_the_second_signal_ends_it_at_once(capsule: tuple[Place, Sandbox]) -> None:
    """Somebody who presses Ctrl-C twice means it."""
    place, crms = capsule
    crms["capsule"].faults.add("hang", lists=True)
    with daemon(place) as running:
        wait_for_request(crms)
        running.process.send_signal(signal.SIGINT)
        running.wait_for("stopping: no new runs")
        running.process.send_signal(signal.SIGINT)
        assert 130 == running.process.wait(5)


def test_a_failing_connection_does_not_stop_the_daemon(capsule: tuple[Place, Sandbox]) -> None:
    """It is logged with its kind, tried again at its time, and recovers."""
    place, crms = capsule
    crms["capsule"].faults.add("login_page", count=4)
    with daemon(place) as running:
        running.wait_for("run ended", status="failed", kind="auth")
        running.wait_for("run ended", status="complete")
        assert 0 == running.stop()
        assert crms["capsule"].credentials["token"] not in running.log.read_text()


def test_a_connection_that_is_held_back_runs_when_it_is_time(capsule: tuple[Place, Sandbox]) -> None:
    """What any process was told to wait for, the daemon waits for, and then it does not wait for the next round."""
    place, crms = capsule
    write(place.folder, connection(crms, "capsule", schedule="6h", settings={"details": False}))
    with Control(place.folder / ".onepipe") as control:
        control.quotas.allowance("capsule", "capsule").refused(time.time(), 5, "The CRM said to wait", slower=False)
        until = time.time() + 5
    with daemon(place) as running:
        running.wait_for("held back", connection="capsule", why="The CRM said to wait")
        assert [] == list(crms["capsule"].log)
        running.wait_for("run ended", status="complete")
        assert 0 <= time.time() - until < 4
        assert 0 == running.stop()


def published(place: Place, query: str, expected: int) -> None:
    """Until the published warehouse answers so: a snapshot may have been taken in the middle of the run."""
    deadline = time.monotonic() + 15
    while [{"n": expected}] != place.run("sql", query, "--json").json:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_for_request(crms: Sandbox) -> None:
    """Until a list of the Capsule is being waited for: faults hold the answer back after their hit was counted."""
    deadline = time.monotonic() + 20
    while not any(fault.fired for fault in crms["capsule"].faults):
        assert time.monotonic() < deadline
        time.sleep(0.05)

"""Being watched, in a real daemon: people hear of what happens, the port answers, and neither holds the daemon up."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection
from tests.daemon.watched import Got, Inbox, ask, inbox, until


class Running:
    """A daemon in a process of its own, and its log."""

    def __init__(self, place: Place, log: Path) -> None:
        self.log = log
        with log.open("w") as stream:
            self.process = place.start("daemon", stderr=stream)

    def lines(self, event: str) -> list[dict[str, Any]]:
        told = [json.loads(one) for one in self.log.read_text().splitlines() if one.endswith("}")]
        return [one for one in told if one["event"] == event]

    def address(self) -> str:
        until(lambda: bool(self.lines("listening")) or self.process.poll() is not None)
        return str(self.lines("listening")[0]["address"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def daemon(place: Place, log: str = "log") -> Iterator[Running]:
    running = Running(place, place.folder / log)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@pytest.fixture
def crms() -> Iterator[Sandbox]:
    with Sandbox(rows=5, seed=7, crms=("capsule",)) as made:
        yield made


@pytest.fixture
def box() -> Iterator[Inbox]:
    with inbox() as made:
        yield made


def project(folder: Path, crms: Sandbox, on_event: dict[str, Any], **changed: Any) -> Place:
    """A Capsule that is due every second, and whom to tell of what."""
    settings = {"schedule": "1s", "settings": {"details": False}} | changed
    told = {"listen": "127.0.0.1:0", "on_event": on_event}
    text = f"daemon: {json.dumps(told)}\nconnections:\n{connection(crms, 'capsule', **settings)}"
    (folder / "config.yaml").write_text(text)
    return Place(folder)


def events(box: Inbox, *wanted: str) -> list[Got]:
    """Wait until all of these came; every post so far."""
    until(lambda: set(wanted) <= {one.body["event"] for one in list(box.posts)}, 60)
    return list(box.posts)


def told(posts: list[Got]) -> list[Got]:
    """Those that are of runs."""
    return [one for one in posts if one.body["event"] != "published"]


@pytest.mark.long
def test_people_hear_of_a_failure_and_of_its_end_once(tmp_path: Path, crms: Sandbox, box: Inbox) -> None:
    """A CRM that is down for a few runs is one message, and one more when it is well; a restart adds none."""
    to = {"webhook": box.url()}
    place = project(tmp_path, crms, {"failed": to, "recovered": to, "published": {"webhook": box.url("/published")}})
    crms["capsule"].faults.add("status", status=400, count=None)
    with daemon(place) as running:
        (failed,) = told(events(box, "failed"))
        assert ("capsule", "bad_payload") == (failed.body["connection"], failed.body["kind"])
        until(lambda: len(running.lines("run ended")) >= 2)
        assert 0 == running.stop()
    crms["capsule"].faults.clear()
    with daemon(place, "log2") as running:
        events(box, "recovered", "published")
        until(lambda: len(running.lines("run ended")) >= 3)
        assert 0 == running.stop()
    assert ["failed", "recovered"] == [one.body["event"] for one in told(box.posts)]
    published = [one.body["details"]["generation"] for one in box.posts if one not in told(box.posts)]
    assert sorted(set(published)) == published


def test_a_refused_credential_is_told_with_what_to_do(tmp_path: Path, crms: Sandbox, box: Inbox) -> None:
    """Paused, with the command that ends it; the token stands nowhere."""
    place = project(tmp_path, crms, {event: {"webhook": box.url()} for event in ("failed", "paused")})
    crms["capsule"].faults.add("login_page")
    with daemon(place) as running:
        (paused,) = events(box, "paused")
        assert ("paused", "auth") == (paused.body["event"], paused.body["kind"])
        assert "onepipe resume capsule" in paused.body["hint"]
        address = running.address()
        status = json.loads(ask(address, "/status.json")[1])
        assert ("paused", 1) == (status["connections"][0]["place"], status["totals"]["paused"])
        shown = running.log.read_text() + json.dumps(paused.body) + ask(address, "/metrics")[1] + json.dumps(status)
        assert crms["capsule"].credentials["token"] not in shown
        assert "a-long-secret-word" not in shown
        assert 0 == running.stop()


def test_a_new_way_is_told_from_the_reload_on(tmp_path: Path, crms: Sandbox, box: Inbox) -> None:
    """SIGHUP: whom config.yaml names now hears of what goes wrong."""
    place = project(tmp_path, crms, {})
    with daemon(place) as running:
        until(lambda: bool(running.lines("run ended")))
        project(tmp_path, crms, {"failed": {"webhook": box.url()}})
        running.process.send_signal(signal.SIGHUP)
        until(lambda: bool(running.lines("the new config is in force")))
        crms["capsule"].faults.add("status", status=400, count=None)
        (failed,) = events(box, "failed")
        assert "capsule" == failed.body["connection"]
        assert 0 == running.stop()


@pytest.mark.long
def test_a_way_that_hangs_holds_nobody_up(tmp_path: Path, crms: Sandbox) -> None:
    """Runs go on while a command hangs, and the daemon ends in time all the same."""
    place = project(tmp_path, crms, {"failed": {"command": ["sh", "-c", "echo $$ > begun; sleep 60"]}})
    crms["capsule"].faults.add("status", status=400, count=None)  # once might be over before it is told
    with daemon(place) as running:
        until(lambda: (tmp_path / "begun").exists())
        crms["capsule"].faults.clear()
        before = len(running.lines("run ended"))
        until(lambda: len(running.lines("run ended")) >= before + 2)
        assert 200 == ask(running.address(), "/livez")[0]
        assert 0 == running.stop()
    assert not Path(f"/proc/{(tmp_path / 'begun').read_text().strip()}").exists()


@pytest.mark.long
def test_due_runs_that_are_not_made_are_told_with_their_reason(tmp_path: Path, crms: Sandbox) -> None:
    """A run that takes longer than its interval: what was due meanwhile is in /status.json and in the figures."""
    place = project(tmp_path, crms, {})
    crms["capsule"].faults.add("slow", seconds=3, count=1, lists=True)
    with daemon(place) as running:
        address = running.address()
        until(lambda: "onepipe_passed_over_total{" in ask(address, "/metrics")[1], 30)
        until(lambda: bool(json.loads(ask(address, "/status.json")[1])["connections"][0]["passed_over"]))
        passed = json.loads(ask(address, "/status.json")[1])["connections"][0]["passed_over"][0]
        assert {"why", "times", "first_at", "last_at"} == passed.keys()
        assert 0 == running.stop()

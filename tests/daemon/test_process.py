"""The daemon as a process: it runs, publishes and ends as it is told to; it is refused beside another."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import daemon, published, wait_for_request, wait_until


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


@pytest.mark.long
def test_a_second_daemon_names_the_first_and_the_first_publishes_before_it_ends(capsule: tuple[Place, Sandbox]) -> None:
    """75 for the second, so that no supervisor takes it for a fault; all that the first committed can be seen."""
    place, _ = capsule
    with daemon(place) as running:
        running.wait_for("run ended")
        second = place.start("daemon")
        _, err = second.communicate(timeout=120)
        assert (75, True) == (second.returncode, f"process {running.process.pid} " in err)
        assert 0 == running.stop()
    assert [{"n": 5}] == place.run("sql", "SELECT count(*) AS n FROM opportunities", "--json").json


@pytest.mark.long
def test_a_run_under_way_comes_to_its_end(capsule: tuple[Place, Sandbox]) -> None:
    """SIGTERM starts nothing new and waits for what runs."""
    place, crms = capsule
    crms["capsule"].faults.add("slow", seconds=2, count=1, lists=True)
    with daemon(place) as running:
        wait_for_request(crms)
        assert 0 == running.stop()
        assert ["run ended"] == [one["event"] for one in running.lines() if "status" in one]
        assert "complete" == next(one["status"] for one in running.lines() if "status" in one)


@pytest.mark.long
def test_a_run_that_takes_too_long_is_cut_short(capsule: tuple[Place, Sandbox]) -> None:
    """After the deadline the daemon ends with 0 all the same, and the next run goes on."""
    place, crms = capsule
    crms["capsule"].faults.add("hang", lists=True)
    with daemon(place, "--drain", "0.5") as running:
        wait_for_request(crms)
        began = time.monotonic()
        assert 0 == running.stop()
        assert time.monotonic() - began < 60
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
        assert 130 == running.process.wait(60)


@pytest.mark.long
def test_a_failing_connection_does_not_stop_the_daemon(capsule: tuple[Place, Sandbox]) -> None:
    """It is logged with its kind, tried again by itself, and recovers."""
    place, crms = capsule
    crms["capsule"].faults.add("status", status=404, lists=True)
    with daemon(place) as running:
        running.wait_for("run ended", status="failed", kind="unavailable")
        crms["capsule"].faults.clear()
        running.wait_for("run ended", status="complete")
        assert 0 == running.stop()
        assert crms["capsule"].credentials["token"] not in running.log.read_text()


@pytest.mark.long
def test_a_refused_credential_is_not_tried_again_and_again(capsule: tuple[Place, Sandbox]) -> None:
    """It is due each second, and asked once; `status` says until when, and a sync by hand sets it going again."""
    place, crms = capsule
    crms["capsule"].faults.add("login_page")
    with daemon(place) as running:
        running.wait_for("run ended", status="failed", kind="auth")
        asked = len(crms["capsule"].log)
        wait_until(lambda: place.run("status", "--json").json["connections"][0]["passed_over"])
        time.sleep(1.5)
        assert asked == len(crms["capsule"].log)
        (told,) = place.run("status", "--json").json["connections"]
        assert ("auth", 1) == (told["left_alone_for"], told["failures"])
        assert "tries once more at" in " ".join(told["advice"])
        crms["capsule"].faults.clear()
        assert 0 == place.run("sync").code
        running.wait_for("run ended", status="complete")
        assert 0 == running.stop()
    assert "paused" in place.run("status", "capsule").out


@pytest.mark.long
def test_a_connection_that_is_held_back_runs_when_it_is_time(capsule: tuple[Place, Sandbox]) -> None:
    """What any process was told to wait for, the daemon waits for, and then it does not wait for the next round."""
    place, crms = capsule
    write(place.folder, connection(crms, "capsule", schedule="6h", settings={"details": False}))
    with Control(place.folder / ".onepipe") as control:
        control.quotas.allowance("capsule", "capsule").refused(time.time(), 30, "The CRM said to wait", slower=False)
        until = time.time() + 30
    with daemon(place) as running:
        running.wait_for("held back", connection="capsule", why="The CRM said to wait")
        assert [] == list(crms["capsule"].log)
        running.wait_for("run ended", status="complete")
        assert 0 <= time.time() - until < 300
        assert 0 == running.stop()

"""What happens to a daemon in real life: its folder is taken away, its disk is full, its file is not its own."""

import resource
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.errors import DiskTrouble
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import daemon, wait_for_request, wait_until


@pytest.fixture
def capsule(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project with one Capsule that is due every second."""
    with Sandbox(rows=5, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule", schedule="1s", settings={"details": False}))
        yield Place(tmp_path), crms


def test_a_state_folder_that_is_taken_away_stops_it(capsule: tuple[Place, Sandbox]) -> None:
    """It names the folder and ends with 1; no new state is begun, and nothing is loaded a second time."""
    place, _ = capsule
    state = place.folder / ".onepipe"
    with daemon(place) as running:
        running.wait_for("published")
        published = (place.folder / "warehouse.duckdb").stat().st_mtime_ns
        state.rename(place.folder / "away")
        assert 1 == running.process.wait(120)
        text = running.log.read_text()
    assert f"The state folder {state} was removed or replaced" in text
    assert not (state / "control.sqlite").exists()
    assert not (state / "work.duckdb").exists()
    assert published == (place.folder / "warehouse.duckdb").stat().st_mtime_ns
    shutil.rmtree(state, ignore_errors=True)
    (place.folder / "away").rename(state)
    assert 0 == place.run("sync").code


def test_nothing_is_committed_into_another_state_folder(tmp_path: Path) -> None:
    """Whoever opened the one that was there before is refused, also where another one was made in its place."""
    with Control(tmp_path / "state") as control:
        with control.commit_lock():
            pass
        (tmp_path / "state").rename(tmp_path / "away")
        with Control(tmp_path / "state"), pytest.raises(DiskTrouble, match="was removed"), control.commit_lock():
            pass


@pytest.mark.long
def test_a_place_that_another_daemon_took_ends_it_with_75(capsule: tuple[Place, Sandbox]) -> None:
    """As of a machine that slept, also while a run is under way that has to be cut short: it is no fault."""
    place, crms = capsule
    with daemon(place) as running:
        running.wait_for("published")
        crms["capsule"].faults.add("hang", lists=True, count=None)
        wait_for_request(crms)
        with sqlite3.connect(place.folder / ".onepipe" / "control.sqlite") as db:
            db.execute("UPDATE lease SET number = number + 1 WHERE name = 'daemon'")
        assert 75 == running.process.wait(120)
        assert running.found("cut short; what was fetched is kept, the next run goes on from there")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of another process can be set on Linux alone")
def test_a_full_disk_is_survived(capsule: tuple[Place, Sandbox]) -> None:
    """No file may grow any more: it goes on and says so, and when there is room again everything is loaded."""
    place, crms = capsule
    with daemon(place) as running:
        running.wait_for("published")
        whole = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (4096, whole[1]))
        crms["capsule"].insert(name="Seen when there is room")
        wait_until(
            lambda: "disk" in {one.get("kind") for one in running.lines()} or "cannot be used" in str(running.lines())
        )
        assert None is running.process.poll()
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, whole)
        place.run("run-now")
        wait_until(lambda: running.found("run ended", status="complete", new=1))
        assert 0 == running.stop()


@pytest.mark.long
def test_a_published_file_that_is_not_ours_is_left_alone(capsule: tuple[Place, Sandbox]) -> None:
    """Somebody put another project's file there: no run is made until it is gone, and it is never replaced."""
    place, _ = capsule
    target = place.folder / "warehouse.duckdb"
    with daemon(place) as running:
        running.wait_for("run ended", status="complete")
        running.wait_for("published")
        foreign = place.folder / "foreign"
        foreign.write_bytes(b"not a warehouse")
        foreign.replace(target)
        running.wait_for("no run is made", kind="config")
        assert b"not a warehouse" == target.read_bytes()
        wait_until(lambda: {"warehouse"} <= reasons(place))
        target.unlink()
        running.wait_for("the published file is ours again: runs go on")
        wait_until(target.is_file)
        assert 0 == running.stop()
    assert [{"n": 5}] == place.run("sql", "SELECT count(*) AS n FROM opportunities", "--json").json


def reasons(place: Place) -> set[str]:
    with Control(place.folder / ".onepipe") as control:
        return {one.why for one in control.service.passed()}


@pytest.mark.long
def test_a_published_file_that_is_taken_away_is_made_again(capsule: tuple[Place, Sandbox]) -> None:
    """Nothing is lost with it."""
    place, _ = capsule
    with daemon(place) as running:
        running.wait_for("published")
        (place.folder / "warehouse.duckdb").unlink()
        wait_until((place.folder / "warehouse.duckdb").is_file)
        assert 0 == running.stop()

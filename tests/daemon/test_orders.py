"""What people say to the daemon: `run-now`, `pause` and `resume`, with a daemon at work and without one."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.control import Broken, Control, Passed, Remembered, Turn
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import daemon, wait_until


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project with a Capsule and an Administrate, each due four times a day."""
    with Sandbox(rows=5, seed=7, crms=("capsule", "administrate")) as crms:
        names = ("capsule", "administrate")
        write(tmp_path, *(connection(crms, one, schedule="6h", settings={"details": False}) for one in names))
        yield Place(tmp_path), crms


def test_a_paused_connection_is_skipped(two: tuple[Place, Sandbox]) -> None:
    """`sync` and `backfill` leave it out, say so, and end with 0; `status` tells who and why; `resume` ends it."""
    place, crms = two
    told = place.run("pause", "capsule", "--reason", "they move it", "--json")
    assert (0, {"paused": ["capsule"], "already": []}) == (told.code, told.json)
    for command in ("sync", "backfill"):
        ran = place.run(command, "--json")
        assert (0, ["skipped", "complete"]) == (ran.code, [one["status"] for one in ran.json["connections"]])
        assert "left out: paused since" in ran.err
    assert [] == list(crms["capsule"].log)
    (found,) = place.run("status", "capsule", "--json").json["connections"]
    assert "paused" == found["state"]
    assert found["paused"].endswith("(they move it)")
    assert "`onepipe resume capsule`" in found["advice"][0]
    assert "Paused before: capsule." in place.run("pause", "capsule").err
    assert {"resumed": ["capsule"], "already": []} == place.run("resume", "capsule", "--json").json
    assert "Nothing kept these from running: capsule." in place.run("resume", "capsule").err
    assert {"complete"} == {one["status"] for one in place.run("sync", "--json").json["connections"]}


def test_two_thousand_are_paused_at_once(tmp_path: Path) -> None:
    """One transaction each: a word for a whole fleet takes a moment, and the sentence stays short."""
    told = "{connector: capsule, base_url: 'http://127.0.0.1:1', credentials: {token: word}}"
    write(tmp_path, *(f"  a{number}: {told}\n" for number in range(2000)))
    place = Place(tmp_path)
    assert 2000 == len(place.run("pause", "a*", "--json").json["paused"])
    assert "and 1,995 more" in place.run("resume", "a*").out
    assert 2 == place.run("pause", "nobody").code


def test_run_now_without_a_daemon_begins_nothing(two: tuple[Place, Sandbox]) -> None:
    """It says what to type instead, and ends with 1."""
    place, crms = two
    told = place.run("run-now", "capsule")
    assert (1, "") == (told.code, told.out)
    assert "No daemon is at work" in told.err
    assert "`onepipe sync capsule`" in told.err
    assert {"daemon": None, "asked": [], "paused": []} == place.run("run-now", "--json").json
    assert [] == list(crms["capsule"].log)


def test_a_daemon_heeds_within_two_seconds(two: tuple[Place, Sandbox]) -> None:
    """A run asked for, a pause, and its end: each is seen while the daemon works, and the pause holds against a run."""
    place, _ = two
    with daemon(place) as running:
        running.wait_for("run ended", connection="capsule")
        running.wait_for("run ended", connection="administrate")
        said = time.time()
        assert {"asked": ["capsule"], "paused": []}.items() <= place.run("run-now", "capsule", "--json").json.items()
        running.wait_for("run ended", times=2, connection="capsule")
        assert 0 == place.run("pause", "capsule").code
        wait_until(lambda: place.run("run-now", "capsule").code == 1)
        told = place.run("run-now")
        assert ("Left out, since paused: capsule" in told.err, "administrate" in told.out) == (True, True)
        running.wait_for("run ended", times=2, connection="administrate")
        assert 2 == len(running.found("run ended", connection="capsule"))
        assert 0 == place.run("resume", "capsule").code
        running.wait_for("run ended", times=3, connection="capsule")
        assert 0 == running.stop()
    with Control(place.folder / ".onepipe") as control:
        began = control.service.turns()["capsule"].started
    assert began and began > said


def test_what_is_remembered_is_bounded_and_adds_up(tmp_path: Path) -> None:
    """A row for each connection and reason, however often; forgotten and renamed with the connection."""
    with Control(tmp_path) as control:
        for number in range(50):
            news = Remembered(turns={"acme": Turn(counted=float(number), error={"kind": "auth"})})
            news.passes("acme", "held", float(number), times=2)
            news.breakers["acme"] = Broken(number, 0.0, 9.0, "auth", "401", None, b"x")
            control.service.remember(news)
        assert [Passed("acme", "held", 100, 0.0, 49.0)] == control.service.passed()
        control.service.rename("acme", "beta")
        assert ["beta"] == list(control.service.turns()) == list(control.service.breakers())
        assert ({"kind": "auth"}, 49.0) == (
            control.service.turns()["beta"].error,
            control.service.turns()["beta"].counted,
        )
        control.service.forget("beta")
        assert ([], {}, {}) == (control.service.passed(), control.service.turns(), control.service.breakers())


def test_a_complete_run_by_hand_is_heard_by_the_daemon(tmp_path: Path) -> None:
    """It closes the breaker and is said; where nothing was held against it, nothing is written."""
    with Control(tmp_path) as control:
        before = control.service.said
        control.service.recovered("acme")
        assert before == control.service.said
        control.service.remember(Remembered(breakers={"acme": Broken(1, 0.0, 9.0, "auth", "401")}))
        control.service.recovered("acme")
        assert (before + 1, {}) == (control.service.said, control.service.breakers())

"""`status` and `runs`: what people look at first in the morning."""

from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.conftest import ROWS
from tests.cli.place import Place, connection, write


def test_status_tells_fresh_from_complete(synced: Place) -> None:
    """Each connection with how far it is complete, how old that is, and how many deals it holds."""
    told = synced.run("status", "--json").json["connections"]
    assert [("administrate", "complete", ROWS), ("capsule", "complete", ROWS)] == [
        (one["connection"], one["state"], one["live_count"]) for one in told
    ]
    assert all(one["complete_through"].endswith("Z") and one["details_owed"] == 0 for one in told)
    assert " ago)" in synced.run("status").out


def test_status_names_what_never_ran(place: Place) -> None:
    """A connection in the config is not forgotten because it was never synced; no warehouse is no error."""
    told = place.run("status")
    assert 0 == told.code
    assert "capsule: never run; `onepipe sync capsule` loads it." in told.out


def test_status_can_be_asked_of_some(synced: Place) -> None:
    """By name, glob or label, as everywhere."""
    told = synced.run("status", "label:client=Acme", "--json")
    assert ["capsule"] == [one["connection"] for one in told.json["connections"]]


def test_status_tells_why_a_connection_fails(tmp_path: Path, crms: Sandbox) -> None:
    """Since when, the kind, and the sentence of the last run."""
    write(tmp_path, connection(crms, "capsule"))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    write(tmp_path, connection(crms, "capsule", credentials={"token": "wrong"}))
    assert 1 == place.run("sync").code
    (one,) = place.run("status", "--json").json["connections"]
    assert ("failing", "auth", ROWS) == (one["state"], one["error_kind"], one["live_count"])
    assert "capsule: failing since " in place.run("status").out


def test_status_knows_disabled_and_retired(tmp_path: Path, crms: Sandbox) -> None:
    """Their rows stay, and nobody takes them for fresh."""
    write(tmp_path, connection(crms, "capsule"), connection(crms, "administrate"))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    write(tmp_path, connection(crms, "administrate", enabled=False))
    assert 0 == place.run("sync").code
    told = place.run("status", "--json").json["connections"]
    assert [("administrate", "disabled"), ("capsule", "retired")] == [(one["connection"], one["state"]) for one in told]
    assert (0, 0) == (place.run("status", "capsule").code, place.run("runs", "--connection", "capsule").code)


def test_status_waits_for_nobody(synced: Place) -> None:
    """While a sync runs, and while it commits, status answers at once."""
    control = Control(synced.folder / ".onepipe", command="onepipe sync")
    with control, control.lease("connection:capsule"), control.commit_lock():
        assert 0 == synced.run("status").code
        assert 0 == synced.run("runs").code


def test_runs_are_listed_newest_first(place: Place) -> None:
    """With limit and choice of connections; times and counts as in sync_runs."""
    for words in (["capsule"], []):
        assert 0 == place.run("sync", *words).code
    told = place.run("runs", "--json").json["runs"]
    expected = [("administrate", ROWS), ("capsule", 0), ("capsule", ROWS)]
    assert expected == sorted((one["connection"], one["new"]) for one in told)
    starts = [one["started_at"] for one in told]
    assert (sorted(starts, reverse=True), ("capsule", ROWS)) == (starts, (told[-1]["connection"], told[-1]["new"]))
    only = place.run("runs", "--connection", "caps*", "--limit", "1", "--json").json["runs"]
    assert [("capsule", 0, "sync", "complete")] == [
        (one["connection"], one["new"], one["command"], one["status"]) for one in only
    ]
    assert 2 + 3 == len(place.run("runs").out.splitlines())


@pytest.mark.parametrize("words", [("--limit", "0"), ("--connection", "nope")])
def test_runs_of_nothing_are_refused(synced: Place, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert 2 == synced.run("runs", *words).code

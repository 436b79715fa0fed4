"""`sweep show`, `approve`, `discard` and `rebind`: a person decides, and the command says what came of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.effort import some

ROWS = 40
DEAD = "SELECT count(*) FILTER (is_deleted) AS dead, count(*) AS deals FROM opportunities"


@pytest.fixture
def crms() -> Iterator[Sandbox]:
    """Two simulated CRMs to be spoilt."""
    with Sandbox(rows=ROWS, seed=7, crms=("administrate", "capsule")) as sandbox:
        yield sandbox


@pytest.fixture
def stopped(tmp_path: Path, crms: Sandbox) -> Place:
    """A project with both; the guard stopped a sweep of capsule, which did not find 21 of 40 deals."""
    write(tmp_path, connection(crms, "administrate"), connection(crms, "capsule", settings={"details": False}))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    served = crms["capsule"]
    with served.lock:
        for record_id in list(served.rows)[:21]:
            del served.rows[record_id]
        served.touched()
    told = place.run("sync", "capsule", "--sweep", "--json")
    (one,) = told.json["connections"]
    assert (1, "partial", "suspect") == (told.code, one["status"], one["error"]["kind"])
    assert all(f"`onepipe sweep {verb} capsule`" in one["error"]["hint"] for verb in ("show", "approve", "discard"))
    return place


def dead(place: Place) -> tuple[int, int]:
    """Deals marked as deleted and deals in all, over both connections."""
    (row,) = place.run("sql", DEAD, "--json").json
    return row["dead"], row["deals"]


def test_what_waits_can_be_looked_at(stopped: Place) -> None:
    """Each record with its name, what the CRM said when asked, and its page there; and how to decide."""
    (one,) = stopped.run("sweep", "show", "--json").json["connections"]
    assert ("capsule", 21) == (one["connection"], one["rows"])
    assert 21 == len(one["records"])
    assert {"source_id", "name", "status", "owner", "evidence", "url"} == set(one["records"][0])
    assert all(record["name"] and record["url"].startswith("http") for record in one["records"])
    assert {"gone", None} == {record["evidence"] for record in one["records"]}
    told = stopped.run("sweep", "show", "capsule")
    assert 0 == told.code
    assert all(f"onepipe sweep {verb} capsule" in told.out for verb in ("approve", "discard"))
    assert one["reason"] in told.out
    assert [] == stopped.run("sweep", "show", "administrate", "--json").json["connections"]
    assert "Nothing waits" in stopped.run("sweep", "show", "administrate").out


@pytest.mark.parametrize("as_json", some([True, False], every=2))
def test_approved_rows_are_marked_and_counted(stopped: Place, as_json: bool) -> None:
    """Exit 0, published, and nothing waits any more."""
    told = stopped.run("sweep", "approve", "capsule", *(["--json"] if as_json else []))
    assert 0 == told.code, told.err
    if as_json:
        (one,) = told.json["connections"]
        assert ("complete", 21) == (one["status"], one["marked"])
    else:
        assert "capsule: 21 records marked as deleted." in told.out
    assert (21, 80) == dead(stopped)
    assert "Nothing waits" in stopped.run("sweep", "show").out


@pytest.mark.long
@pytest.mark.parametrize("as_json", some([False, True], every=2))
def test_discarded_rows_stay_alive(stopped: Place, as_json: bool) -> None:
    """Exit 0, published; a sync and a sweep afterwards are complete and leave them alone."""
    told = stopped.run("sweep", "discard", "*", *(["--json"] if as_json else []))
    assert 0 == told.code, told.err
    if as_json:
        assert {"connections": [{"connection": "capsule", "left": 21}]} == told.json
    else:
        assert "capsule: 21 records left alive" in told.out
    (one,) = stopped.run("status", "capsule", "--json").json["connections"]
    assert ("complete", None, None) == (one["state"], one["failing_since"], one["error_kind"])
    assert [0, 0] == [stopped.run("sync", *words).code for words in ((), ("--sweep",))]
    assert (0, 80) == dead(stopped)


@pytest.mark.parametrize("verb", some(["approve", "discard"], every=2))
def test_what_does_not_wait_cannot_be_decided(stopped: Place, verb: str) -> None:
    """Exit 2 for a connection without a finding, for an unknown one and for none at all; nothing is changed."""
    for words in (["administrate"], ["capsule", "administrate"], ["nobody"], []):
        assert 2 == stopped.run("sweep", verb, *words).code
    assert "nothing waits for a decision on administrate" in stopped.run("sweep", verb, "administrate").err.lower()
    assert 1 == len(stopped.run("sweep", "show", "--json").json["connections"])


def test_a_paused_or_disabled_connection_can_only_be_discarded(stopped: Place, crms: Sandbox) -> None:
    """To approve means to read again, which somebody wants not to be done; to discard needs nobody."""
    assert 0 == stopped.run("pause", "capsule").code
    told = stopped.run("sweep", "approve", "capsule")
    assert (2, True) == (told.code, "`onepipe resume capsule` first" in told.err), told
    write(stopped.folder, connection(crms, "capsule", enabled=False))
    assert 2 == stopped.run("sweep", "approve", "capsule").code
    assert 0 == stopped.run("sweep", "discard", "capsule").code


@pytest.mark.long
@pytest.mark.parametrize("words", [("sweep", "approve"), ("sweep", "discard"), ("rebind", "--new-account")])
def test_nobody_decides_while_another_process_is_at_work(stopped: Place, words: tuple[str, ...]) -> None:
    """Exit 75, naming it; with --wait it is waited for."""
    with Control(stopped.folder / ".onepipe", command="onepipe daemon") as control:
        with control.lease("connection:capsule"):
            told = stopped.run(*words, "capsule")
            assert (75, True) == (told.code, "onepipe daemon" in told.out + told.err)
            waited = stopped.start(*words, "capsule", "--wait", "60")
        assert 0 == waited.wait(60), waited.communicate()
        waited.communicate()


@pytest.mark.long
def test_a_name_is_moved_to_another_account(stopped: Place) -> None:
    """It says what it will do and did; the rows stay under the retired name; 2 where there is nothing to move."""
    told = stopped.run("rebind", "capsule", "--new-account", "--json")
    assert 0 == told.code, told.err
    assert ("capsule-1", ROWS, told.json["before"]) == (told.json["retired"], told.json["rows"], told.json["now"])
    assert "kept under the retired name capsule-1" in told.err
    states = {one["connection"]: one["state"] for one in stopped.run("status", "--json").json["connections"]}
    assert ("never run", "retired") == (states["capsule"], states["capsule-1"])
    assert [2, 2] == [stopped.run("rebind", name).code for name in ("capsule", "administrate")]
    assert 0 == stopped.run("sync", "capsule").code


@pytest.mark.long
def test_a_name_is_moved_to_another_address(stopped: Place, crms: Sandbox) -> None:
    """The refusal of a sync names the command; afterwards the rows are where they were."""
    with Sandbox(rows=ROWS, seed=7, crms=("capsule",)) as other:
        write(stopped.folder, connection(other, "capsule", settings={"details": False}))
        told = stopped.run("sync")
        assert (2, True) == (told.code, "`onepipe rebind capsule`" in told.err)
        told = stopped.run("rebind", "capsule")
        assert (0, True) == (told.code, "Run `onepipe sync capsule` next" in told.out)
        assert 0 == stopped.run("sync").code
        assert (0, 80) == dead(stopped)

"""`sync` and `backfill`: what they print, how they end, and being interrupted."""

import signal
import time
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.conftest import ROWS
from tests.cli.place import Place, connection, write


def test_the_second_sync_finds_nothing_new(place: Place) -> None:
    """The document has the shape scripts rely on; a first load says what it costs; running twice changes nothing."""
    first, second = place.run("sync", "--json"), place.run("sync", "--json")
    assert f"administrate: first load: {ROWS} opportunities to read (about 1 request)\n" in first.err
    assert "first load" not in second.err
    assert (0, 0) == (first.code, second.code), first.err
    assert {"run_id", "status", "connections"} == set(first.json)
    for told, new in ((first.json, ROWS), (second.json, 0)):
        assert ["administrate", "capsule"] == [one["connection"] for one in told["connections"]]
        for one in told["connections"]:
            assert {"connection", "connector", "status", "error", "notices", "resources"} == set(one)
            (deals,) = [resource for resource in one["resources"] if resource["resource"] == "opportunity"]
            assert ("complete", None, new) == (one["status"], one["error"], deals["new"])
            assert deals["complete_through"].endswith("Z")


def test_one_bad_credential_does_not_stop_the_others(tmp_path: Path, crms: Sandbox) -> None:
    """Exit code 1, the other connection is loaded, and the paragraph names who failed, and why."""
    write(tmp_path, connection(crms, "administrate"), connection(crms, "capsule", credentials={"token": "wrong"}))
    told = Place(tmp_path).run("sync")
    assert 1 == told.code
    assert "capsule failed. " in told.err
    assert "wrong" not in told.err
    answer = Place(tmp_path).run("sql", "SELECT count(*) AS n FROM opportunities", "--json")
    assert [{"n": ROWS}] == answer.json


def test_connections_are_chosen_by_name_glob_and_label(place: Place) -> None:
    """Only what was named is asked."""
    told = place.run("sync", "label:client=Acme", "caps*", "--json")
    assert ["capsule"] == [one["connection"] for one in told.json["connections"]]


def test_an_unknown_connection_is_refused_before_anything_is_asked(place: Place, crms: Sandbox) -> None:
    """With what was probably meant; exit code 2."""
    before = len(crms["capsule"].log)
    told = place.run("sync", "capsul")
    assert (2, True, before) == (told.code, "did you mean 'capsule'?" in told.err, len(crms["capsule"].log))


def test_a_connection_that_another_process_holds_ends_with_75(place: Place) -> None:
    """The message names who holds it, and a script can try again later."""
    with Control(place.folder / ".onepipe", command="onepipe daemon") as control, control.lease("connection:capsule"):
        told = place.run("sync", "capsule", "--json")
        assert 75 == told.code
        (one,) = told.json["connections"]
        assert ("failed", "lease") == (one["status"], one["error"]["kind"])
        assert "onepipe daemon" in one["error"]["message"]


def test_a_name_bound_to_another_account_is_refused(place: Place, crms: Sandbox) -> None:
    """The rows of two accounts must never mix under one name; exit code 2."""
    assert 0 == place.run("sync", "capsule").code
    elsewhere = crms.urls["capsule"].replace("127.0.0.1", "localhost")
    write(place.folder, connection(crms, "capsule", base_url=elsewhere))
    told = place.run("sync")
    assert (2, True) == (told.code, "belongs to capsule at" in told.err)


def test_a_run_out_of_requests_is_partial_and_goes_on(spoilt: tuple[Place, Sandbox]) -> None:
    """`--max-requests` ends cleanly: exit code 1, and the next run completes it."""
    place, _ = spoilt
    told = place.run("sync", "--max-requests", "2", "--json")
    assert (1, "partial", "rate_limited") == (
        told.code,
        told.json["connections"][0]["status"],
        told.json["connections"][0]["error"]["kind"],
    )
    assert 0 == place.run("sync").code


def test_a_project_without_connections_says_so(tmp_path: Path) -> None:
    """Nothing to do is no failure."""
    (tmp_path / "config.yaml").write_text("timezone: UTC\n")
    told = Place(tmp_path).run("sync")
    assert (0, True) == (told.code, "names no connections yet" in told.err)


def test_interrupted_it_says_what_is_safe_and_goes_on_later(spoilt: tuple[Place, Sandbox]) -> None:
    """Ctrl-C ends at once, also while an answer is awaited, with 130 and without a traceback."""
    place, crms = spoilt
    crms["capsule"].faults.add("hang", lists=True)
    process = place.start("sync")
    while not crms["capsule"].log and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 30
    assert (130, "", False) == (process.returncode, out, "Traceback" in err)
    assert "Run the same command again: it goes on from there." in err
    crms["capsule"].faults.clear()
    assert 0 == place.run("sync").code


def test_a_plan_costs_one_request_and_loads_nothing(place: Place) -> None:
    """`backfill --plan` says rows and requests where the CRM tells; no warehouse is made."""
    told = place.run("backfill", "--plan", "--json")
    plans = {one["connection"]: one for one in told.json["connections"]}
    assert (0, ROWS, None) == (told.code, plans["administrate"]["rows"], plans["capsule"]["rows"])
    assert not (place.folder / "warehouse.duckdb").exists()
    assert "not told" in place.run("backfill", "--plan").out


def test_a_backfill_loads_everything(place: Place) -> None:
    """A one-shot history load ends like a sync and is told apart in the run history."""
    told = place.run("backfill", "capsule", "--json")
    resources = {one["resource"]: one["new"] for one in told.json["connections"][0]["resources"]}
    assert (0, ROWS) == (told.code, resources["opportunity"])
    assert {"backfill"} == {one["command"] for one in place.run("runs", "--json").json["runs"]}


@pytest.mark.parametrize(
    "words", [("--since", "yesterday"), ("--until", "2026-13-01"), ("--since", "2026-02-01", "--until", "2026-01-01")]
)
def test_dates_that_make_no_sense_are_refused(place: Place, words: tuple[str, ...]) -> None:
    """Exit code 2, before anything is asked."""
    assert 2 == place.run("backfill", *words).code

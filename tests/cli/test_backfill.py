"""`backfill`: what it would cost, what it may cost, and how it is paused."""

import io
import signal
import time
from pathlib import Path

import pytest

import onepipe.pull.backfill as backfill
import onepipe.pull.cut as cut
from onepipe.cli.progress import Lines
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of 20 rows, for accounts of any size."""
    monkeypatch.setattr(backfill, "SMALL", 0)
    monkeypatch.setattr(cut, "MOST", 20)


def files(place: Place) -> set[str]:
    """Everything in the project but the control file, which counts requests."""
    return {path.name for path in place.folder.rglob("*") if path.is_file() and "control" not in path.name}


def test_a_plan_is_what_the_backfill_then_does(tmp_path: Path, fine: None) -> None:
    """Slices, rows and requests before anything but counts is sent; nothing is written, and then it is so."""
    with Sandbox(rows=60, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        place = Place(tmp_path)
        before = files(place)
        (plan,) = place.run("backfill", "--plan", "--json").json["connections"]
        assert before == files(place)
        assert {"1"} == {seen.query["_limit"] for seen in crms["administrate"].log}
        assert (60, len(plan["pieces"]), None) == (plan["rows"], plan["slices"], plan["error"])
        assert plan["slices"] > 2
        assert 60 == sum(one["rows"] for one in plan["pieces"])
        assert [None, *(one["until"] for one in plan["pieces"])] == [
            *(one["since"] for one in plan["pieces"]),
            None,
        ]
        assert round(plan["requests"] / 6_000, 4) == plan["quota_share"]
        assert plan["seconds"] > 0
        crms["administrate"].log.clear()
        assert 0 == place.run("backfill").code
        read = [seen for seen in crms["administrate"].log if seen.query.get("_limit") == "100"]
        assert abs(len(read) - plan["requests"]) <= 2


def test_a_plan_in_words_names_slices_and_sums(tmp_path: Path, fine: None) -> None:
    """A line for each connection, one for all, the slices of each, and what details cost where nothing is counted."""
    with Sandbox(rows=60, seed=7, crms=["administrate", "capsule"]) as crms:
        write(tmp_path, connection(crms, "administrate"), connection(crms, "capsule"))
        told = Place(tmp_path).run("backfill", "--plan")
        assert 0 == told.code
        assert all(word in told.out for word in ("in all", "not told", "the beginning", "now", "changed since (UTC)"))
        assert "each takes 4 requests more" in told.err


def test_a_plan_holds_what_is_read_for_each_opportunity(tmp_path: Path) -> None:
    """Details are most of the cost where there are any, and can be switched off."""
    with Sandbox(rows=60, seed=7, crms=["overplane"]) as crms:
        for settings, requests in (({}, 1 + 2 * 60), ({"details": False}, 1)):
            write(tmp_path, connection(crms, "overplane", settings=settings))
            (plan,) = Place(tmp_path).run("backfill", "--plan", "--json").json["connections"]
            assert (60, requests) == (plan["rows"], plan["requests"])


def test_a_plan_of_an_unfinished_backfill_is_what_is_left(tmp_path: Path, fine: None) -> None:
    """What is done costs nothing any more; other bounds, of which the command itself is refused, have no price."""
    with Sandbox(rows=60, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        place = Place(tmp_path)
        (whole,) = place.run("backfill", "--plan", "--json").json["connections"]
        assert 1 == place.run("backfill", "--budget", "10").code
        (left,) = place.run("backfill", "--plan", "--json").json["connections"]
        assert 0 < left["slices"] < whole["slices"]
        (anew,) = place.run("backfill", "--plan", "--restart", "--json").json["connections"]
        assert whole["slices"] == anew["slices"]
        other = ("backfill", "--since", "2026-02-01", "--json")
        plan, real = place.run(*other, "--plan"), place.run(*other)
        kinds = [told.json["connections"][0]["error"]["kind"] for told in (plan, real)]
        assert (2, 2, ["config", "config"]) == (plan.code, real.code, kinds)
        assert None is plan.json["connections"][0]["rows"]
        assert 0 == place.run(*other, "--plan", "--restart").code


def test_a_plan_that_fails_ends_as_the_backfill_would(tmp_path: Path) -> None:
    """1 where a CRM refuses the credential, unless --fail-on bears it; a paused connection is left out."""
    with Sandbox(rows=5, seed=7, crms=["administrate", "tactile"]) as crms:
        write(tmp_path, connection(crms, "administrate"), connection(crms, "tactile", credentials={"api_token": "no"}))
        place = Place(tmp_path)
        told = place.run("backfill", "--plan", "--json")
        errors = [one["error"] and one["error"]["kind"] for one in told.json["connections"]]
        assert (1, [None, "auth"]) == (told.code, errors)
        assert [0, 1] == [place.run("backfill", "--plan", "--fail-on", most).code for most in ("2", "50%")]
        assert 0 == place.run("pause", "tactile").code
        told = place.run("backfill", "--plan", "--json")
        assert (0, ["administrate"]) == (told.code, [one["connection"] for one in told.json["connections"]])
        assert "tactile: left out: paused since " in told.err


@pytest.mark.long
@pytest.mark.parametrize(("bounds", "budget"), [("--since 2026-02-01T00:00:00Z", "5"), ("", "9")])
def test_status_names_what_goes_on_with_a_backfill(tmp_path: Path, fine: None, bounds: str, budget: str) -> None:
    """A sync where nothing was loaded before; else that very backfill alone, also after a sync that was complete."""
    with Sandbox(rows=60, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        place, command = Place(tmp_path), f"onepipe backfill administrate {bounds}".strip()
        assert 1 == place.run("backfill", "--budget", "10").code
        (one,) = place.run("status", "--json").json["connections"]
        assert (None, "held back") == (one["backfill"], one["state"])
        assert "else `onepipe sync administrate` does" in " ".join(one["advice"])
        assert 0 == place.run("sync").code
        assert 1 == place.run("backfill", *bounds.split(), "--budget", budget).code
        states = []
        for _ in range(2):
            (one,) = place.run("status", "--json").json["connections"]
            states.append(one["state"])
            assert command == one["backfill"]["command"]
            assert any(f"only `{command}` goes on with it" in text for text in one["advice"])
            assert not any("`onepipe sync administrate` goes on with it" in text for text in one["advice"])
            told = place.run("sync")
            assert (0, True) == (told.code, f"`{command}` goes on with it" in told.err)
        assert ["held back", "complete"] == states
        assert 0 == place.run(*command.split()[1:]).code
        assert None is place.run("status", "--json").json["connections"][0]["backfill"]


@pytest.mark.long
def test_a_budget_in_requests_ends_cleanly_and_goes_on(tmp_path: Path, fine: None) -> None:
    """So many requests and no more; partial, with how far it came; the same command ends it at last."""
    with Sandbox(rows=60, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        place = Place(tmp_path)
        told = place.run("backfill", "--budget", "10", "--json")
        (one,) = told.json["connections"]
        assert (1, "partial", "rate_limited") == (told.code, one["status"], one["error"]["kind"])
        assert 10 == len(crms["administrate"].log)
        assert "budget of 10 requests is spent" in one["error"]["message"]
        assert "slices are done and" in one["error"]["message"]
        runs = [place.run("backfill", "--budget", "10").code for _ in range(3)]
        assert 0 == runs[-1]


def test_a_budget_in_percent_is_of_the_known_quota(tmp_path: Path) -> None:
    """0.05 % of 6,000 requests in five minutes are three, and it says from when on there are more."""
    with Sandbox(rows=60, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        told = Place(tmp_path).run("backfill", "--budget", "0.05%", "--json")
        (one,) = told.json["connections"]
        assert (1, "rate_limited", 3) == (told.code, one["error"]["kind"], len(crms["administrate"].log))
        assert "until" in one["error"]
        assert "of 6,000 requests in 5 min" in one["error"]["message"]


def test_a_percentage_of_an_unknown_quota_is_refused(tmp_path: Path) -> None:
    """Exit code 2 before anything is asked, naming what can be said instead."""
    with Sandbox(rows=5, seed=7, crms=["tactile"]) as crms:
        write(tmp_path, connection(crms, "tactile"))
        told = Place(tmp_path).run("backfill", "--budget", "20%")
        assert (2, []) == (told.code, crms["tactile"].log)
        assert all(word in told.err for word in ("tactile", "--budget N", "--max-requests N"))


@pytest.mark.parametrize("text", ["0", "much", "120%", "0%", "-5", "1.5"])
def test_a_budget_that_makes_no_sense_is_refused(place: Place, text: str) -> None:
    """Exit code 2, before anything is asked."""
    assert 2 == place.run("backfill", f"--budget={text}").code


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """The first one pauses after the page; while that does not come, a second one ends the process."""
    with Sandbox(rows=30, seed=7, crms=["administrate"]) as crms:
        write(tmp_path, connection(crms, "administrate"))
        crms["administrate"].faults.add("hang", lists=True, nth=2, count=None)
        process = Place(tmp_path).start("backfill")
        while not crms["administrate"].log and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 30
        assert (130, True, False) == (process.returncode, "Pausing" in err, "Traceback" in err)
        crms["administrate"].faults.clear()
        assert 0 == Place(tmp_path).run("backfill").code


def test_progress_counts_over_all_slices() -> None:
    """Rows, rate and time left are of the whole backfill, and the slice is named."""
    out, now = io.StringIO(), [0.0]
    lines = Lines(out, lambda: now[0])
    lines.slice("acme", 3, 9, 20_000, 90_000)
    lines.page("acme", "opportunity", 100, 9_000, 1)
    now[0] = 10
    lines.page("acme", "opportunity", 5_100, 9_000, 51)
    assert (
        "acme: slice 3 of 9, 25,100 of 90,000 opportunities, 51 requests, 500 rows/s, about 2 min left\n"
        == out.getvalue()
    )

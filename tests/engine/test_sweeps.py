"""Deletions: what a sweep believes, what it leaves to a person, and what comes of their word."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from onepipe.control import Control
from onepipe.decide import approve, discard
from onepipe.errors import UsageError
from onepipe.project import Project
from onepipe.pull.sweep import too_many
from onepipe.report import RunReport
from onepipe.sandbox import Sandbox
from tests.engine.conftest import Shop, error, resource

DEAD = "SELECT count(*) FROM opportunities WHERE is_deleted"
WAITING = "SELECT suspect_rows, suspect_since IS NOT NULL, suspect_reason FROM coverage WHERE resource = 'opportunity'"
CALM = [(None, False, None)]
VERBS = ("show", "approve", "discard")
SWEEP = import_module("onepipe.pull.sweep")


def hide(shop: Shop, crm: str, count: int = 0, ids: Sequence[Any] = ()) -> dict[Any, Any]:
    """Take the first so many records, or these, out of a simulated CRM; `unhide` puts them back as they were."""
    served = shop.sandbox[crm]
    with served.lock:
        hidden = {record_id: served.rows.pop(record_id) for record_id in ids or list(served.rows)[:count]}
        served.touched()
    return hidden


def unhide(shop: Shop, crm: str, hidden: dict[Any, Any]) -> None:
    served = shop.sandbox[crm]
    with served.lock:
        served.rows.update(hidden)
        served.touched()


def approved(shop: Shop, *words: str) -> RunReport:
    """`onepipe sweep approve`."""
    with Project(shop.config, "test") as project:
        return approve(project, words, shop.notes)


def discarded(shop: Shop, *words: str) -> list[tuple[str, int]]:
    """`onepipe sweep discard`."""
    with Project(shop.config, "test") as project:
        done, trouble = discard(project, words, shop.notes)
    assert trouble is None
    return [(one.connection, one.rows) for one in done]


def kind(report: RunReport, crm: str = "administrate") -> tuple[str, str | None]:
    return report.status, error(report, crm).get("kind")


# --- a finding that waits


def test_what_a_stopped_sweep_found_is_written_down(shop: Shop) -> None:
    """Every missing id, with its evidence as far as asked; nothing marked; the hint names both ways to decide."""
    shop.sync()
    gone = {str(key) for key in hide(shop, "administrate", 24)}
    report = shop.sync(sweep=True)
    assert ("partial", "suspect") == kind(report)
    assert all(f"`onepipe sweep {verb} administrate`" in error(report, "administrate")["hint"] for verb in VERBS)
    assert [(0,)] == shop.sql(DEAD)
    assert gone == {key for (key,) in shop.work("SELECT source_id FROM store.suspects")}
    evidence = "SELECT evidence, count(*) FROM store.suspects GROUP BY 1 ORDER BY 1 NULLS LAST"
    assert [("gone", 20), (None, 4)] == shop.work(evidence)
    ((rows, since, reason),) = shop.sql(WAITING)
    assert (24, True) == (rows, since)
    assert "24 of 60 records are missing" in reason


def test_a_later_sweep_that_misses_nothing_clears_the_finding(shop: Shop) -> None:
    """The rows were there all along: nothing waits any more, and nothing was marked."""
    shop.sync()
    hidden = hide(shop, "administrate", 24)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    unhide(shop, "administrate", hidden)
    assert "complete" == shop.sync(sweep=True).status
    assert (CALM, [(0,)], []) == (shop.sql(WAITING), shop.sql(DEAD), shop.work("SELECT * FROM store.suspects"))


@pytest.mark.long
def test_a_run_that_knows_of_missing_rows_does_not_say_complete(shop: Shop) -> None:
    """While the CRM counts fewer rows than we hold and nobody decided, every run is partial; none reads all anew."""
    shop.sync()
    hidden = hide(shop, "administrate", 24)
    shop.sync(sweep=True)
    shop.sync()
    again = shop.sync()
    assert ("partial", "suspect", 0) == (*kind(again), resource(again, "administrate")["fetched"])
    unhide(shop, "administrate", hidden)
    assert "complete" == shop.sync().status
    assert CALM == shop.sql(WAITING)


def test_a_sweep_that_was_stopped_is_not_repeated_by_every_run(tmp_path: Path) -> None:
    """Where the CRM counts nothing, runs go on reading changes until the next sweep is due."""
    with Sandbox(rows=60, seed=7, crms=("capsule",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["capsule"])
        shop.connections["capsule"]["settings"] = {"details": False}
        shop.sync()
        hide(shop, "capsule", 24)
        with Project(shop.config, "test") as project, project.warehouse.commit("test") as db:
            db.run("UPDATE coverage SET last_sweep_at = last_sweep_at - INTERVAL 2 DAY")
        assert ("partial", "suspect") == kind(shop.sync(), "capsule")
        assert ("complete", 0) == ((report := shop.sync()).status, resource(report, "capsule")["fetched"])
        assert [(24,)] == shop.sql("SELECT suspect_rows FROM coverage WHERE resource = 'opportunity'")


def test_the_guard_stops_at_its_limits() -> None:
    """More than 10 records and 5 %, or more than half of 4 or more, are too many; not one fewer."""
    fine = [(10, 30), (11, 220), (50, 1000), (2, 4), (3, 3), (10, 20)]
    wrong = [(11, 219), (11, 30), (51, 1000), (3, 4), (6, 10)]
    assert fine == [pair for pair in fine + wrong if not too_many(*pair)]


def test_the_guard_sees_through_what_it_did_not_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too much is missing to be asked for at once, the share refused of what was asked stands for the rest."""
    monkeypatch.setattr(SWEEP, "SAMPLE", 2)
    monkeypatch.setattr(SWEEP, "ASK_AT_MOST", 8)
    with Sandbox(rows=60, seed=7, crms=("tactile",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["tactile"])
        shop.sync()
        live = sorted((key for key, row in sandbox["tactile"].records.items() if not row.get("archived")), key=str)
        sandbox["tactile"].update(live[0], silently=True, archived=True)
        hide(shop, "tactile", ids=live[1:25])
        report = shop.sync(sweep=True)
        assert ("partial", "suspect", [(0,)]) == (*kind(report, "tactile"), shop.sql(DEAD))
        assert "about 21 of " in error(report, "tactile")["message"]


def test_a_sweep_that_is_believed_leaves_no_finding(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not of records that it did not come to: they stay, and the next sweep asks for them."""
    shop.sync()
    hide(shop, "administrate", 4)
    exchange(shop)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    exchange(shop, back=True)
    monkeypatch.setattr(SWEEP, "ASK_AT_MOST", 3)
    assert "suspect" != kind(shop.sync(sweep=True))[1]
    assert ([(3,)], CALM) == (shop.sql(DEAD), shop.sql(WAITING))
    assert ("complete", [(4,)]) == (shop.sync(sweep=True).status, shop.sql(DEAD))


def test_what_answers_is_not_put_before_anybody(tmp_path: Path) -> None:
    """Of what is missing, archived rows answer by id: only the others wait for a decision."""
    with Sandbox(rows=60, seed=7, crms=("tactile",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["tactile"])
        shop.sync()
        live = sorted(key for key, row in sandbox["tactile"].records.items() if not row.get("archived"))
        for record_id in live[:5]:
            sandbox["tactile"].update(record_id, silently=True, archived=True)
        hide(shop, "tactile", ids=live[5:29])
        assert ("partial", "suspect") == kind(shop.sync(sweep=True), "tactile")
        waiting = {key for (key,) in shop.work("SELECT source_id FROM store.suspects")}
        assert {str(key) for key in live[5:29]} == waiting


def test_a_refusal_counts_only_while_a_known_record_answers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CRM that begins to refuse everything in the middle of a sweep has deleted nothing."""
    monkeypatch.setattr(SWEEP, "PROOF", timedelta(0))
    shop.sync()
    hide(shop, "administrate", 2)
    shop.sandbox["administrate"].faults.add("status", status=404, path="*/opportunities/*", nth=3, count=None)
    assert ("partial", "suspect", [(0,)]) == (*kind(shop.sync(sweep=True)), shop.sql(DEAD))


# --- approve


@pytest.mark.long
def test_approved_rows_are_marked_and_those_that_came_back_are_not(shop: Shop) -> None:
    """The person's word lifts the guard; everything is read and asked for again first."""
    shop.sync()
    hidden = hide(shop, "administrate", 24)
    shop.sync(sweep=True)
    back = dict(list(hidden.items())[:4])
    unhide(shop, "administrate", back)
    report = approved(shop, "administrate")
    assert ("complete", 0, 20) == (report.status, report.exit_code, resource(report, "administrate")["deleted"])
    marked = shop.sql("SELECT source_id FROM opportunities WHERE is_deleted AND deleted_evidence = 'gone'")
    assert {str(key) for key in hidden} - {str(key) for key in back} == {key for (key,) in marked}
    assert CALM == shop.sql(WAITING)
    assert ("complete", None) == kind(shop.sync(sweep=True))


@pytest.mark.long
def test_a_record_that_no_list_shows_but_answers_is_never_marked(tmp_path: Path) -> None:
    """Approved, and back as archived, which Tactile's list leaves out: asked for by id it answers, so it lives."""
    with Sandbox(rows=60, seed=7, crms=("tactile",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["tactile"])
        shop.sync()
        archived = shop.sql("SELECT count(*) FROM opportunities WHERE is_archived")[0][0]
        live = [key for key, row in sandbox["tactile"].records.items() if not row.get("archived")]
        hidden = hide(shop, "tactile", ids=live[:24])
        assert ("partial", "suspect") == kind(shop.sync(sweep=True), "tactile")
        unhide(shop, "tactile", hidden)
        for record_id in hidden:
            sandbox["tactile"].update(record_id, silently=True, archived=True)
        report = approved(shop, "tactile")
        assert ("complete", 0, [(0,)]) == (report.status, resource(report, "tactile")["deleted"], shop.sql(DEAD))
        assert [(archived + 24,)] == shop.sql("SELECT count(*) FROM opportunities WHERE is_archived")


@pytest.mark.long
def test_an_account_whose_every_deal_was_deleted(shop: Shop) -> None:
    """No record is left to prove that asking by id works: the person's word stands in for it."""
    shop.sync()
    hide(shop, "administrate", 60)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    assert "the list came back empty" in shop.sql(WAITING)[0][2]
    report = approved(shop, "administrate")
    assert ("complete", 60) == (report.status, resource(report, "administrate")["deleted"])
    assert ([(60,)], CALM) == (shop.sql(DEAD), shop.sql(WAITING))
    assert "complete" == shop.sync().status


@pytest.mark.long
def test_an_approval_reaches_beyond_what_one_sweep_asks_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many were approved: all of them are asked for, part by part, and all are marked."""
    monkeypatch.setattr(SWEEP, "ASK_AT_MOST", 15)
    monkeypatch.setattr(SWEEP, "AT_A_TIME", 12)
    shop.sync()
    hide(shop, "administrate", 55)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    report = approved(shop, "administrate")
    assert ("complete", 55) == (report.status, resource(report, "administrate")["deleted"])
    assert ([(55,)], CALM) == (shop.sql(DEAD), shop.sql(WAITING))


@pytest.mark.long
def test_an_approval_that_is_interrupted_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was marked stays marked; the rest still waits, and is approved by saying so again."""
    monkeypatch.setattr(SWEEP, "AT_A_TIME", 10)
    shop.sync()
    hide(shop, "administrate", 24)
    shop.sync(sweep=True)
    shop.sandbox["administrate"].faults.add("refused_200", path="*/opportunities/*", nth=14, count=None)
    report = approved(shop, "administrate")
    assert "partial" == report.status
    marked = shop.sql(DEAD)[0][0]
    assert 0 < marked < 24
    assert [(24 - marked,)] == shop.sql("SELECT suspect_rows FROM coverage WHERE resource = 'opportunity'")
    shop.sandbox["administrate"].faults.clear()
    assert "complete" == approved(shop, "administrate").status
    assert ([(24,)], CALM) == (shop.sql(DEAD), shop.sql(WAITING))


@pytest.mark.long
def test_much_more_missing_than_was_approved_is_suspect_again(shop: Shop) -> None:
    """The word covers what was shown; a set that has grown far beyond it waits again, whole, and nothing is marked."""
    shop.sync()
    hide(shop, "administrate", 14)
    shop.sync(sweep=True)
    hide(shop, "administrate", 25)
    assert ("partial", "suspect") == kind(approved(shop, "administrate"))
    assert ([(0,)], 39) == (shop.sql(DEAD), shop.sql(WAITING)[0][0])
    assert ("complete", 39) == ((report := approved(shop, "administrate")).status, shop.sql(DEAD)[0][0])
    assert 39 == resource(report, "administrate")["deleted"]


@pytest.mark.long
def test_a_little_more_missing_than_was_approved_is_judged_as_ever(shop: Shop) -> None:
    """Below the guard, what is refused by id is marked along with what was approved."""
    shop.sync()
    hide(shop, "administrate", 24)
    shop.sync(sweep=True)
    hide(shop, "administrate", 1)
    assert ("complete", 25) == (approved(shop, "administrate").status, shop.sql(DEAD)[0][0])


def test_where_asking_by_id_proves_nothing_only_a_person_can_mark(shop: Shop) -> None:
    """Even listed records are refused by id: suspect; approved, the evidence is that every way of asking failed."""
    shop.sync()
    shop.sandbox["administrate"].faults.add("status", status=404, path="*/opportunities/*", count=None)
    hide(shop, "administrate", 2)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    assert "even records that the list shows" in shop.sql(WAITING)[0][2]
    assert "complete" == approved(shop, "administrate").status
    dead = "SELECT deleted_evidence, count(*) FROM opportunities WHERE is_deleted GROUP BY 1"
    assert [("absent", 2)] == shop.sql(dead)


# --- discard


@pytest.mark.long
def test_discarded_rows_stay_and_are_not_judged_until_seen_again(shop: Shop) -> None:
    """A plain run and a sweep that miss only those are complete; once seen, they are judged like any other."""
    shop.sync()
    hidden = hide(shop, "administrate", 24)
    shop.sync(sweep=True)
    assert [("administrate", 24)] == discarded(shop, "administrate")
    assert (CALM, [(0,)]) == (shop.sql(WAITING), shop.sql(DEAD))
    assert [(None,)] == shop.sql("SELECT oldest_failure_at FROM coverage WHERE resource = 'opportunity'")
    assert ["complete"] * 3 == [shop.sync(sweep=sweep).status for sweep in (False, True, False)]
    assert [(0, 60)] == shop.sql("SELECT count(*) FILTER (is_deleted), count(*) FROM opportunities")
    unhide(shop, "administrate", hidden)
    assert "complete" == shop.sync().status
    assert [] == shop.work("SELECT * FROM store.acknowledged")
    hide(shop, "administrate", 2)
    assert ("complete", 2) == (shop.sync(sweep=True).status, shop.sql(DEAD)[0][0])


@pytest.mark.long
def test_the_guard_measures_against_what_is_judged(shop: Shop) -> None:
    """Rows left alive count neither as missing nor as known: 8 of the other 12 are more than half."""
    shop.sync()
    hide(shop, "administrate", 48)
    shop.sync(sweep=True)
    discarded(shop, "administrate")
    hide(shop, "administrate", 8)
    assert ("partial", "suspect") == kind(shop.sync(sweep=True))
    assert (8, [(0,)]) == (shop.sql(WAITING)[0][0], shop.sql(DEAD))


def test_a_finding_that_nobody_has_cannot_be_decided(shop: Shop) -> None:
    """Refused, before anything is asked or changed; also where another chosen connection waits."""
    shop.sync()
    for decision in (approved, discarded):
        with pytest.raises(UsageError, match="nothing waits"):
            decision(shop, "administrate")
        with pytest.raises(UsageError, match="nothing waits"):
            decision(shop, "*")


# --- a new credential


def exchange(shop: Shop, back: bool = False) -> None:
    """Another password, at the CRM and in config.yaml; or the former one again."""
    served = shop.sandbox["administrate"]
    former = served.credentials["password"]
    served.credentials["password"] = former.removesuffix("-new") if back else f"{former}-new"
    shop.connections["administrate"]["credentials"] = dict(served.credentials)


@pytest.mark.long
def test_a_new_credential_only_reports_at_first(shop: Shop) -> None:
    """Its sweeps mark nothing, however little is missing, until somebody has decided; then they act under the guard."""
    shop.sync()
    hide(shop, "administrate", 2)
    exchange(shop)
    report = shop.sync(sweep=True)
    assert ("partial", "suspect", [(0,)]) == (*kind(report), shop.sql(DEAD))
    assert (
        "the credential or the address is new, and does not show 2 of 60 records"
        in error(report, "administrate")["message"]
    )
    assert ("partial", "suspect", [(0,)]) == (*kind(shop.sync(sweep=True)), shop.sql(DEAD))
    assert ("complete", [(2,)]) == (approved(shop, "administrate").status, shop.sql(DEAD))
    assert CALM == shop.sql(WAITING)
    hide(shop, "administrate", 2)
    assert ("complete", [(4,)]) == (shop.sync(sweep=True).status, shop.sql(DEAD))


def test_a_new_credential_that_misses_nothing_is_proved_at_once(shop: Shop) -> None:
    """It saw everything: what is missing later is judged as ever."""
    shop.sync()
    exchange(shop)
    assert "complete" == shop.sync(sweep=True).status
    hide(shop, "administrate", 2)
    assert ("complete", [(2,)]) == (shop.sync(sweep=True).status, shop.sql(DEAD))


def test_a_credential_that_nothing_is_known_of_only_reports(shop: Shop) -> None:
    """With a lost control file the fingerprints are lost: whoever is there then may see less than who was before."""
    shop.sync()
    for path in (shop.folder / ".onepipe").glob("control.sqlite*"):
        path.unlink()
    assert "complete" == shop.sync().status
    hide(shop, "administrate", 2)
    report = shop.sync(sweep=True)
    assert ("partial", "suspect", [(0,)]) == (*kind(report), shop.sql(DEAD))


def test_a_first_load_that_was_given_up_leaves_no_new_credential(tmp_path: Path) -> None:
    """The credential of the first rows is known from then on, however often their load is begun anew."""
    with Sandbox(rows=60, seed=7, crms=("onautomate",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["onautomate"])
        served = sandbox["onautomate"]
        good = shop.connections["onautomate"]["credentials"]
        shop.connections["onautomate"]["credentials"] = dict.fromkeys(good, "mistyped")
        assert "failed" == shop.sync().status
        shop.connections["onautomate"]["credentials"] = good
        fault = served.faults.add("status", status=503, lists=True, nth=2, count=None)
        assert "complete" != shop.sync().status
        served.faults.remove(fault)
        hide(shop, "onautomate", 1)
        assert ("complete", None) == kind(shop.sync(full=True), "onautomate")


def test_what_a_new_credential_does_not_see_can_be_decided(shop: Shop) -> None:
    """Approved, it is marked; the credential of the first run is new to nobody."""
    shop.sync()
    hide(shop, "administrate", 2)
    exchange(shop)
    shop.sync(sweep=True)
    assert ("complete", [(2,)]) == (approved(shop, "administrate").status, shop.sql(DEAD))


def test_a_tombstone_counts_whatever_the_credential(tmp_path: Path) -> None:
    """The CRM itself says what was deleted: a new credential changes nothing about that."""
    with Sandbox(rows=30, seed=7, crms=("capsule",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["capsule"])
        shop.connections["capsule"]["settings"] = {"details": False}
        shop.sync()
        served = sandbox["capsule"]
        served.credentials["token"] += "new"
        shop.connections["capsule"]["credentials"] = dict(served.credentials)
        served.delete(next(iter(served.records)))
        assert "complete" == shop.sync(sweep=True).status
        assert [("tombstone",)] == shop.sql("SELECT deleted_evidence FROM opportunities WHERE is_deleted")


def fingerprints(control: Control) -> set[bytes]:
    with control._file.reading() as db:
        return {row["fingerprint"] for row in db.execute("SELECT fingerprint FROM credential")}


def test_the_fingerprint_of_a_credential_gives_nothing_away(tmp_path: Path) -> None:
    """No file holds the secret; two connections with one secret differ; another state folder's is another."""
    with Control(tmp_path / "one") as control:
        control.credential("acme", {"token": "open sesame"}).keep()
        control.credential("globex", {"token": "open sesame"}).keep()
        assert not control.credential("acme", {"token": "open sesame"}).is_new()
        assert control.credential("acme", {"token": "other"}).is_new()
        assert control.credential("nobody", {"token": "other"}).is_new()
        kept = fingerprints(control)
        control.doubt_credential("acme")
        assert control.credential("acme", {"token": "open sesame"}).is_new()
    with Control(tmp_path / "two") as other:
        other.credential("acme", {"token": "open sesame"}).keep()
        kept |= fingerprints(other)
    assert 3 == len(kept)
    texts = [path.read_bytes() for path in (tmp_path / "one").iterdir()]
    assert not any(b"sesame" in text for text in texts)


# --- what is no deletion, and what undoes one


def test_a_record_that_appears_again_is_alive_again(shop: Shop) -> None:
    """Seen by any run, it is no longer deleted, and its history says both."""
    shop.sync()
    hidden = hide(shop, "administrate", 1)
    shop.sync(sweep=True)
    assert [(1,)] == shop.sql(DEAD)
    unhide(shop, "administrate", hidden)
    shop.sync()
    assert [(0,)] == shop.sql(DEAD)
    (record_id,) = hidden
    versions = f"SELECT is_deleted FROM opportunity_history WHERE source_id = '{record_id}' ORDER BY version"
    assert [(False,), (True,), (False,)] == shop.sql(versions)


def test_a_suspected_record_that_a_run_meets_no_longer_waits(tmp_path: Path) -> None:
    """A change shows that it is there: it leaves the finding at once, also where nothing else of it is decided."""
    with Sandbox(rows=60, seed=7, crms=("capsule",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["capsule"])
        shop.connections["capsule"]["settings"] = {"details": False}
        shop.sync()
        hidden = hide(shop, "capsule", 24)
        shop.sync(sweep=True)
        back = dict(list(hidden.items())[:1])
        unhide(shop, "capsule", back)
        sandbox["capsule"].update(next(iter(back)), name="Here again")
        shop.sync()
        assert (23, 23) == (shop.sql(WAITING)[0][0], shop.work("SELECT count(*) FROM store.suspects")[0][0])


def test_an_archived_row_is_not_deleted(tmp_path: Path) -> None:
    """Tactile's list drops archived rows; asked for by id they answer, however many they are."""
    with Sandbox(rows=60, seed=7, crms=("tactile",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["tactile"])
        shop.sync()
        served = sandbox["tactile"]
        live = [key for key, row in served.records.items() if not row.get("archived")]
        for record_id in live[:20]:
            served.update(record_id, silently=True, archived=True)
        report = shop.sync(sweep=True)
        assert ("complete", [(0,)]) == (report.status, shop.sql(DEAD))
        assert [(20,)] <= shop.sql("SELECT count(*) FROM opportunities WHERE is_archived")


def test_a_row_moved_to_another_pipeline_is_not_deleted(tmp_path: Path) -> None:
    """OnAutomate keeps a list for each pipeline: what leaves one is found in the other, or by asking all of them."""
    with Sandbox(rows=40, seed=7, crms=("onautomate",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["onautomate"])
        shop.sync()
        served = sandbox["onautomate"]
        record_id = next(iter(served.records))
        home = served.records[record_id]["pipelineId"]
        other = next(row for row in served.records.values() if row["pipelineId"] != home)
        served.update(record_id, pipelineId=other["pipelineId"], pipelineStageId=other["pipelineStageId"])
        assert "complete" == shop.sync(sweep=True).status
        moved = f"SELECT pipeline_id, is_deleted FROM opportunities WHERE source_id = '{record_id}'"
        assert [(other["pipelineId"], False)] == shop.sql(moved)


@pytest.mark.long
def test_a_list_that_was_read_in_two_halves_deletes_nothing(tmp_path: Path) -> None:
    """Capsule's order may have shifted between a kill and going on: nobody is judged before another whole read."""
    with Sandbox(rows=700, seed=7, crms=("capsule",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["capsule"])
        shop.connections["capsule"] |= {"settings": {"details": False}, "sweep": "1s"}
        shop.sync()
        hide(shop, "capsule", 3)
        time.sleep(1.1)
        served = sandbox["capsule"]
        before = len(served.log)
        served.faults.add("slow", seconds=0.6, count=None, lists=True)
        killed = subprocess.Popen([sys.executable, "-m", "tests.engine.runner", str(shop.config)])
        spooled = shop.folder / ".onepipe" / "spool"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(list(spooled.rglob("*.rows"))) < 2 and killed.poll() is None:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        assert 0 < len([one for one in served.log[before:] if "start" in one.query]) < 7
        served.faults.clear()
        assert ("complete", [(0,)]) == (shop.sync().status, shop.sql(DEAD))
        before = len(served.log)
        assert ("complete", [(3,)]) == (shop.sync().status, shop.sql(DEAD))
        assert any("only another one finds deletions" in text for text in shop.notes.said)
        paths = [f"{entry.path}?{entry.query.get('start')}" for entry in served.log[before:]]
        by_id = next(n for n, path in enumerate(paths) if re.match(r"/api/opportunity/\d", path))
        assert paths.index("/api/opportunity?0") < by_id


def test_a_list_that_broke_off_deletes_nothing(shop: Shop) -> None:
    """A complete read that fails on a page marks nothing, and puts nobody under suspicion."""
    shop.sync()
    hide(shop, "administrate", 2)
    shop.sandbox["administrate"].faults.add("wrong_shape", shape="object", count=None)
    assert "complete" != shop.sync(sweep=True).status
    assert ([(0,)], CALM) == (shop.sql(DEAD), shop.sql(WAITING))


@pytest.mark.long
def test_rows_that_no_list_shows_are_asked_for_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are more than one sweep asks for, the next one asks for those it did not come to."""
    monkeypatch.setattr(SWEEP, "ASK_AT_MOST", 5)
    monkeypatch.setattr(SWEEP, "SAMPLE", 5)
    with Sandbox(rows=60, seed=7, crms=("tactile",)) as sandbox:
        shop = Shop(tmp_path, sandbox, ["tactile"])
        shop.sync()
        served = sandbox["tactile"]
        for record_id in [key for key, row in served.records.items() if not row.get("archived")][:15]:
            served.update(record_id, silently=True, archived=True)
        for left in (10, 5, 0):
            shop.sync(sweep=True)
            assert [(left,)] == shop.work("SELECT count(*) FROM store.unlisted WHERE asked_at IS NULL")

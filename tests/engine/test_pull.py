"""Pulling: what a run must do whatever the CRM, the network or the operating system does meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from onepipe.sandbox import Sandbox
from tests.engine.conftest import Shop, error, resource


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    """A no-change run writes no data row: no raw row, no version."""
    shop.sync()
    before = shop.sql("SELECT (SELECT count(*) FROM raw.records), (SELECT count(*) FROM opportunity_history)")
    report = shop.sync()
    assert "complete" == report.status
    assert before == shop.sql("SELECT (SELECT count(*) FROM raw.records), (SELECT count(*) FROM opportunity_history)")
    assert 0 == resource(report, "administrate")["new"] + resource(report, "administrate")["changed"]


def test_first_load_says_what_it_expects_to_cost(shop: Shop) -> None:
    """The first load of a connection tells rows and requests before it begins, later runs do not."""
    shop.sync()
    shop.sync()
    assert [("administrate", 60, 1)] == shop.notes.expected


def test_one_failing_connection_leaves_the_others_whole(five: Shop) -> None:
    """A refused credential fails its connection alone; the others load and are published."""
    five.connections["overplane"]["credentials"]["api_key"] = "sk_test_wrong"
    report = five.sync()
    assert "partial" == report.status
    assert 1 == report.exit_code
    assert "auth" == error(report, "overplane")["kind"]
    assert [4] == [len(five.sql("SELECT DISTINCT connection FROM opportunities"))]


def test_a_spent_budget_ends_cleanly_and_goes_on(tmp_path: Path) -> None:
    """--max-requests ends as partial with what it read loaded; the next run goes on behind the last page kept."""
    with Sandbox(rows=350, seed=3) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        report = shop.sync(max_requests=4)
        assert "partial" == report.status
        assert "rate_limited" == error(report, "administrate")["kind"]
        loaded = shop.sql("SELECT count(*) FROM opportunities")[0][0]
        assert 0 < loaded < 350
        seen = len(sandbox["administrate"].log)
        assert "complete" == shop.sync().status
        asked = [entry for entry in sandbox["administrate"].log[seen:] if "id__gt" in entry.query]
        assert [(350,)] == shop.sql("SELECT count(*) FROM opportunities")
        assert all(entry.query["id__gt"] != "0" for entry in asked)


def test_cursor_stands_where_the_server_clock_was(shop: Shop) -> None:
    """complete_through is the server's Date when the scan began, and only a complete scan moves it."""
    shop.sync()
    first = shop.sql("SELECT epoch(complete_through)::BIGINT FROM coverage")[0][0]
    assert abs(first - time.time()) < 60
    shop.sandbox["administrate"].faults.add("status", status=500, path="*/opportunities", count=None)
    report = shop.sync()
    assert "failed" == report.status
    assert first == shop.sql("SELECT epoch(complete_through)::BIGINT FROM coverage")[0][0]


def test_an_ignored_filter_is_noticed_and_not_believed_again(shop: Shop) -> None:
    """Rows from before what was asked turn the filter off for the account: everything is read, and it is said."""
    shop.sync()
    shop.sandbox["administrate"].faults.add("ignore_filter", count=None)
    report = shop.sync()
    assert "complete" == report.status
    assert any("before the instant" in text for text in shop.notes.said)
    assert 60 == resource(report, "administrate")["fetched"] or 120 == resource(report, "administrate")["fetched"]
    assert [("filter",)] == shop.work("SELECT fact FROM store.distrust")


def test_a_vanished_record_is_found_by_the_count_and_marked_once_refused(shop: Shop) -> None:
    """A deletion shows in the CRM's own count: everything is read, the missing id is asked for, then marked."""
    shop.sync()
    crm = shop.sandbox["administrate"]
    victim = next(iter(crm.records))
    crm.delete(victim)
    report = shop.sync()
    assert "complete" == report.status
    assert 1 == resource(report, "administrate")["deleted"]
    rows = shop.sql("SELECT source_id, is_deleted, deleted_evidence FROM opportunities WHERE is_deleted")
    assert [(str(victim), True, "gone")] == rows


def test_a_sweep_that_would_delete_too_much_marks_nothing(shop: Shop) -> None:
    """More than 5 % and 10 rows missing: partial, kind suspect, nothing marked."""
    shop.sync()
    crm = shop.sandbox["administrate"]
    for victim in list(crm.records)[:20]:
        crm.delete(victim)
    report = shop.sync(sweep=True)
    assert "partial" == report.status
    assert "suspect" == error(report, "administrate")["kind"]
    assert [(0,)] == shop.sql("SELECT count(*) FROM opportunities WHERE is_deleted")


def test_an_empty_list_deletes_nothing(shop: Shop) -> None:
    """A list that suddenly is empty is suspect, never sixty deletions."""
    shop.sync()
    shop.sandbox["administrate"].faults.add("empty_page", count=None)
    report = shop.sync(sweep=True)
    assert report.status in ("partial", "failed")
    assert [(0,)] == shop.sql("SELECT count(*) FROM opportunities WHERE is_deleted")


def test_a_killed_first_load_goes_on_behind_the_last_durable_page(tmp_path: Path) -> None:
    """kill -9 in a first load: the next run loads everything and repeats at most the last second's pages."""
    with Sandbox(rows=3000, seed=5) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        sandbox["administrate"].faults.add("slow", seconds=0.15, count=None, lists=True)
        killed = subprocess.Popen([sys.executable, "-m", "tests.engine.runner", str(shop.config)])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and len(_pages(sandbox)) < 20:
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        before = _pages(sandbox)
        assert 20 <= len(before) < 30
        sandbox["administrate"].faults.clear()
        assert "complete" == shop.sync().status
        again = [page for page in _pages(sandbox)[len(before) :] if page in before]
        assert len(again) <= 9, "pages of about one second"
        assert [(3000, 3000)] == shop.sql("SELECT count(*), count(DISTINCT source_id) FROM opportunities")
        assert [(3000,)] == shop.sql("SELECT count(*) FROM opportunity_history")


def _pages(sandbox: Sandbox) -> list[str]:
    return [entry.query["id__gt"] for entry in list(sandbox["administrate"].log) if "id__gt" in entry.query]


def test_two_processes_do_not_pull_one_connection(tmp_path: Path) -> None:
    """While one process holds a connection, another one gets kind lease and exit code 75, naming the owner."""
    with Sandbox(rows=400, seed=5) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        sandbox["administrate"].faults.add("slow", seconds=0.5, count=None, lists=True)
        other = subprocess.Popen([sys.executable, "-m", "tests.engine.runner", str(shop.config)])
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not _pages(sandbox):
                time.sleep(0.02)
            report = shop.sync()
        finally:
            other.wait()
        assert 75 == report.exit_code
        assert "lease" == error(report, "administrate")["kind"]
        assert str(other.pid) in error(report, "administrate")["message"]


def test_rows_left_in_the_spool_by_two_processes_are_told_apart(tmp_path: Path) -> None:
    """Segments of a killed run and of the one that goes on are merged together: every row once."""
    with Sandbox(rows=120, seed=5) as sandbox:
        shop = Shop(tmp_path, sandbox, ["overplane"])
        shop.connections["overplane"]["settings"] = {"details": False}
        sandbox["overplane"].options.limit_cap = 10
        sandbox["overplane"].faults.add("slow", seconds=0.2, count=None, lists=True)
        killed = subprocess.Popen([sys.executable, "-m", "tests.engine.runner", str(shop.config)])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not list(tmp_path.rglob("spool/**/*.rows")) and killed.poll() is None:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        sandbox["overplane"].faults.clear()
        assert "complete" == shop.sync().status
        assert [(120, 120)] == shop.sql("SELECT count(*), count(DISTINCT source_id) FROM opportunities")
        assert [(120,)] == shop.sql("SELECT count(*) FROM opportunity_history")

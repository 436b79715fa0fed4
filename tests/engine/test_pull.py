"""Pulling: what a run must do whatever the CRM, the network or the operating system does meanwhile."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from onepipe.decode.content import same_content, weight
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


@pytest.mark.long
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


def _count(shop: Shop, total: int | None) -> None:
    """Let Administrate's own count say something; None: the truth again."""
    faults = shop.sandbox["administrate"].faults
    faults.clear()
    if total is not None:
        faults.add("headers", headers={"X-Pagination-Total": str(total)}, query={"_limit": "1"}, lists=True, count=None)


def test_a_list_that_does_not_hold_what_it_states_is_partial(shop: Shop) -> None:
    """What came is loaded, no cursor moves, the order is believed on, and the next honest run is complete."""
    faults = shop.sandbox["administrate"].faults
    faults.add("headers", headers={"X-Pagination-Total": "70"}, lists=True, count=None)
    report = shop.sync()
    assert ("partial", "paging") == (report.status, error(report, "administrate")["kind"])
    assert "60 rows were found" in error(report, "administrate")["message"]
    assert [(60, None, 0)] == shop.sql("SELECT live_count, complete_through, open_slices FROM coverage")
    assert [] == shop.work("SELECT fact FROM store.distrust")
    faults.clear()
    assert "complete" == shop.sync().status


def test_a_count_that_differs_unexplained_is_partial_and_looked_into_once(shop: Shop) -> None:
    """One whole read; then every run says partial without another, until the count agrees."""
    shop.sync()
    _count(shop, 63)
    first, notes = shop.sync(), len(shop.notes.said)
    assert ("partial", "paging") == (first.status, error(first, "administrate")["kind"])
    assert "counts 63 opportunities and 60 are known" in error(first, "administrate")["message"]
    assert 60 <= resource(first, "administrate")["fetched"]
    again = shop.sync()
    assert ("partial", "paging", notes) == (
        again.status,
        error(again, "administrate")["kind"],
        len(shop.notes.said),
    )
    assert 0 == resource(again, "administrate")["fetched"]
    _count(shop, None)
    assert "complete" == shop.sync().status


def test_keys_in_another_order_are_no_change() -> None:
    """A server that prints its keys in another order on every answer makes no version; a list's order still counts."""
    for payload, other, same in (
        (b'{"a":1,"b":{"x":1,"y":[1,2]}}', b'{"b":{"y":[1,2],"x":1},"a":1}', True),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
        (b'{"a":12,"b":21}', b'{"a":21,"b":12}', False),
        (b'{"a":1.10}', b'{"a":1.01}', False),
    ):
        assert weight(payload) == weight(other)
        assert same == same_content(payload, other)
    assert same_content(b'{"age":1,"b":2}', b'{"b":2,"age":77}', apart=["age"])


def test_a_server_that_permutes_its_keys_makes_no_version(tmp_path: Path) -> None:
    """End to end: the same records with their keys turned round are unchanged."""
    turned = [False]

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            row = {"id": "opportunity_1", "title": "A", "status": "Open", "created_at": "2024-01-15T09:30:00Z"}
            row |= {"updated_at": "2024-01-15T09:30:00Z", "opportunity_amount": 12.5, "currency": "EUR"}
            rows = [dict(reversed(row.items()))] if turned[0] else [row]
            known = self.path.startswith("/api/crm/opportunity?")
            body = json.dumps({"data": rows if known else [], "has_more": False, "total": int(known)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server, Sandbox(rows=1) as sandbox:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop = Shop(tmp_path, sandbox, ["overplane"])
        shop.connections["overplane"]["base_url"] = f"http://127.0.0.1:{server.server_port}"
        assert "complete" == shop.sync().status
        turned[0] = True
        report = shop.sync()
        server.shutdown()
        assert (0, 1) == (resource(report, "overplane")["changed"], resource(report, "overplane")["unchanged"])
        assert [(1,)] == shop.sql("SELECT count(*) FROM opportunity_history")


@pytest.mark.long
def test_a_row_without_an_id_is_named_asked_for_again_and_then_known(shop: Shop) -> None:
    """A record that cannot be kept makes runs partial; it holds the cursor once, and one that stays so no longer.

    The list states the row that no id can name, and so does the count: that is explained, and read once.
    """
    crm = shop.sandbox["administrate"]
    nameless = next(iter(crm.rows))
    crm.rows[nameless]["id"] = None
    first = shop.sync()
    assert ("partial", "bad_payload") == (first.status, error(first, "administrate")["kind"])
    assert [(59, None)] == shop.sql("SELECT live_count, complete_through FROM coverage WHERE resource = 'opportunity'")
    assert [(1,)] == shop.sql("SELECT count(*) FROM problems WHERE source_id IS NULL")
    again = shop.sync()
    assert ("partial", 59) == (again.status, resource(again, "administrate")["fetched"])
    quiet = shop.sync()
    assert ("partial", 0) == (quiet.status, resource(quiet, "administrate")["fetched"])
    crm.rows[nameless]["id"] = nameless
    assert "complete" == shop.sync(sweep=True).status
    assert [(60,)] == shop.sql("SELECT count(*) FROM opportunities")

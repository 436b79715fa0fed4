"""A history in slices: nothing falls between them, nothing that is done is read again, and the end is proved."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import onepipe.pull.backfill as backfill
import onepipe.pull.cut as cut
from onepipe.sandbox import Sandbox
from tests.engine.conftest import Shop, error, resource

OURS = "first_seen_at, last_changed_at, closed_on"  # by our clock: they differ from run to run
COMPARED = {
    "opportunities": f"SELECT * EXCLUDE ({OURS}) FROM opportunities",
    "history": f"SELECT * EXCLUDE ({OURS}, valid_from, valid_to, recorded_at) FROM opportunity_history",
    "raw": "SELECT * EXCLUDE (fetched_at, run_id, seq) FROM raw.records",
    "stages": "FROM stages",
    "problems": "SELECT * EXCLUDE (run_id) FROM problems",
    "coverage": "SELECT connection, resource, source_count, live_count, open_slices, details_owed, "
    "complete_through IS NULL, last_sweep_at IS NULL FROM coverage",
    "distrust": "SELECT connection, fact FROM store.distrust",
    "owed": "SELECT * EXCLUDE (since) FROM store.debts",
}
COMMAND = [sys.executable, "-m", "onepipe", "--config"]


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of 15 rows, for accounts of any size: the sandbox stays small."""
    monkeypatch.setattr(backfill, "SMALL", 0)
    monkeypatch.setattr(cut, "MOST", 15)


def same(one: Shop, other: Shop) -> None:
    """Both projects hold the same rows, table for table, but for our own clock."""
    for query in COMPARED.values():
        text = f"SELECT t::VARCHAR FROM ({query}) t ORDER BY 1"
        assert one.sql(text) == other.sql(text)


def slices(shop: Shop, crm: str, since: str, until: str) -> set[tuple[str | None, str | None]]:
    """The bounds of every list that was asked for, counts left out."""
    return {
        (seen.query.get(since), seen.query.get(until))
        for seen in shop.sandbox[crm].log
        if seen.path.endswith("/opportunities") and "1" not in (seen.query.get("_limit"), seen.query.get("limit"))
    }


def administrate(shop: Shop) -> set[tuple[str | None, str | None]]:
    return slices(shop, "administrate", "updated_at__ge", "updated_at__le")


@pytest.mark.long
@pytest.mark.parametrize(("crm", "era"), [("administrate", None), ("tactile", "doc"), ("tactile", "head")])
def test_slices_hold_what_one_scan_holds(tmp_path: Path, fine: None, crm: str, era: str | None) -> None:
    """Table for table a backfill in slices leaves what a first sync leaves, and the next sync finds nothing."""
    with Sandbox(rows=150, seed=11, crms=[crm]) as sandbox:
        if era:
            sandbox[crm].options.use_era(era)
        (tmp_path / "whole").mkdir()
        (tmp_path / "sliced").mkdir()
        whole, sliced = Shop(tmp_path / "whole", sandbox, [crm]), Shop(tmp_path / "sliced", sandbox, [crm])
        assert "complete" == whole.sync().status
        assert "complete" == sliced.sync(command="backfill").status
        same(sliced, whole)
        again = sliced.sync()
        assert ("complete", 0) == (again.status, resource(again, crm)["new"])
        assert len(sandbox[crm].records) >= sliced.sql("SELECT count(*) FROM opportunities")[0][0] > 90


def test_slices_are_years_then_months_then_days() -> None:
    """A year of few rows is a slice, one of many is cut where months and then days begin; the ends are open."""
    busy = datetime(2024, 5, 17, tzinfo=UTC)
    stamps = [datetime(2019, 3, 1, tzinfo=UTC) + timedelta(days=n) for n in range(200)]
    stamps += [datetime(2021, 7, 1, tzinfo=UTC)] * 5 + [busy + timedelta(seconds=n) for n in range(30_000)]
    stamps += [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(100)]
    asked = []

    def count(lo: datetime | None, until: datetime | None) -> int:
        asked.append((lo, until))
        return sum((lo is None or lo <= one) and (until is None or one < until) for one in stamps)

    parts = cut.cut(count, None, None, datetime(2024, 11, 3, tzinfo=UTC))
    bounds = [(part.lo and f"{part.lo:%Y-%m-%d}", part.until and f"{part.until:%Y-%m-%d}") for part in parts]
    assert [(None, "2021-01-01"), ("2021-01-01", "2024-01-01")] == bounds[:2], "years without rows go with their elder"
    assert None is bounds[-1][1]
    assert [until for _, until in bounds[:-1]] == [lo for lo, _ in bounds[1:]]
    assert 30_000 in {part.rows for part in parts}, "a day is not cut"
    assert len(stamps) == sum(part.rows or 0 for part in parts)
    assert len(asked) < 25


def test_no_slice_holds_much_more_than_ten_thousand_rows() -> None:
    """A busy account is cut into days, as many to a slice as fit; cutting costs about one request a slice."""
    start, asked = datetime(2023, 1, 1, tzinfo=UTC), []

    def count(lo: datetime | None, until: datetime | None) -> int:
        asked.append(lo)
        minutes = [(max(one, start) - start).total_seconds() // 60 for one in (lo or start, until or now)]
        return int(max(minutes[1] - minutes[0], 0)) * 2

    now = datetime(2024, 3, 5, 17, 30, tzinfo=UTC)
    parts = cut.cut(count, None, None, now)
    assert max(part.rows or 0 for part in parts) <= 10_000
    assert min(part.rows or 0 for part in parts) >= 2_000
    assert {"00:00:00"} == {f"{part.lo:%H:%M:%S}" for part in parts if part.lo}
    assert len(asked) < len(parts) + 5


def test_a_history_without_rows_and_a_crm_that_does_not_count_are_one_slice() -> None:
    """Nothing to cut, or nothing to cut by: one slice, from the beginning on."""
    now = datetime(2024, 11, 3, tzinfo=UTC)
    assert [cut.Part(None, None, 0)] == cut.cut(lambda *_: 0, None, None, now)
    assert [cut.Part(None, None, None)] == cut.cut(lambda *_: None, None, None, now)


@pytest.mark.parametrize("crm", ["administrate", "tactile"])
def test_rows_in_the_second_of_a_boundary_are_in_a_slice(tmp_path: Path, fine: None, crm: str) -> None:
    """Strict or inclusive: rows of the second where two slices meet, and of those beside it, are all loaded."""
    stamp = {"administrate": "updated_at", "tactile": "lastupdated"}[crm]
    with Sandbox(rows=60, seed=11, crms=[crm]) as sandbox:
        shop = Shop(tmp_path, sandbox, [crm])
        wanted = set()
        edges = [datetime(2026, 1, 1, tzinfo=UTC), *(datetime(2026, month, 1, tzinfo=UTC) for month in range(2, 11))]
        for edge in edges:
            for seconds in (-1, 0, 1):
                made = sandbox[crm].insert()
                sandbox[crm].update(made, silently=True, **{stamp: (edge + timedelta(seconds=seconds)).isoformat()})
                wanted.add(str(made))
        report = shop.sync(command="backfill")
        assert "complete" == report.status
        assert wanted <= {row[0] for row in shop.sql("SELECT source_id FROM opportunities")}
        assert not any("once more" in text for text in shop.notes.said)


@pytest.mark.long
def test_the_hour_that_london_repeats_is_loaded_whole(tmp_path: Path, fine: None) -> None:
    """Bounds inside of the repeated hour of October lose no row, whichever of its two passes a row is from."""
    with Sandbox(rows=1, seed=11, crms=["tactile"], now=datetime(2026, 11, 1, tzinfo=UTC)) as sandbox:
        crm, wanted = sandbox["tactile"], {}
        for minute in range(0, 180, 10):
            made = crm.insert()
            moment = datetime(2026, 10, 25, 0, 0, tzinfo=UTC) + timedelta(minutes=minute)
            crm.update(made, silently=True, lastupdated=moment.isoformat())
            wanted[moment] = str(made)
        shop = Shop(tmp_path, sandbox, ["tactile"])
        edge = datetime(2026, 10, 25, 1, 20, tzinfo=UTC)
        for number, (since, until) in enumerate([(None, edge), (edge, None), (edge + timedelta(hours=1), None)]):
            folder = tmp_path / str(number)
            folder.mkdir()
            shop = Shop(folder, sandbox, ["tactile"])
            assert "complete" == shop.sync(command="backfill", since=since, until=until).status
            loaded = {row[0] for row in shop.sql("SELECT source_id FROM opportunities")}
            asked = {key for moment, key in wanted.items() if (since or moment) <= moment <= (until or moment)}
            assert asked <= loaded
            assert [] == shop.work("SELECT fact FROM store.distrust WHERE fact IN ('filter', 'range')")


@pytest.mark.long
def test_the_cursor_stands_where_the_backfill_began(shop: Shop, fine: None) -> None:
    """Rows edited while it ran, also in slices read before, are found by the next sync."""
    crm = shop.sandbox["administrate"]
    oldest, newest = next(iter(crm.records)), list(crm.records)[-1]
    edited = []

    def edit() -> None:
        if not edited:
            edited.append(datetime.now(UTC))
            time.sleep(1.1)
            crm.update(oldest, name="edited while it ran")

    crm.faults.add("hook", call=edit, nth=16, count=1, lists=True)
    report = shop.sync(command="backfill")
    assert "complete" == report.status
    through = datetime.fromisoformat(resource(report, "administrate")["complete_through"])
    assert edited
    assert through <= edited[0]
    shop.sync()
    assert [("edited while it ran",)] == shop.sql(f"SELECT name FROM opportunities WHERE source_id = '{oldest}'")
    assert newest != oldest


def undated(shop: Shop, crm: str, count: int) -> None:
    """Let some rows have no time of change: the CRM prints null, and no filter meets them."""
    served = shop.sandbox[crm]
    show, stamp = served.show, "updated_at"

    def shown(row: dict[str, Any]) -> dict[str, Any]:
        return show({**row, stamp: row["created_at"]}) | {stamp: None} if row[stamp] is None else show(row)

    served.show = shown
    for key in list(served.rows)[:count]:
        served.rows[key][stamp] = None
    served.touched()


@pytest.mark.long
def test_rows_without_a_stamp_are_found_by_the_count(shop: Shop, fine: None) -> None:
    """They belong to no slice: the unfiltered count tells of them, everything is read once, and that is complete."""
    undated(shop, "administrate", 3)
    report = shop.sync(command="backfill")
    assert "complete" == report.status, error(report, "administrate")
    assert [(60, 0)] == shop.sql("SELECT live_count, open_slices FROM coverage WHERE resource = 'opportunity'")
    assert 1 == sum("everything is read once more" in text for text in shop.notes.said)
    assert "complete" == shop.sync().status


def test_rows_without_a_stamp_are_found_among_rows_that_no_list_counts(tmp_path: Path, fine: None) -> None:
    """Where closed rows are known and not counted, what has no stamp does not show in the sum, and is asked for."""
    with Sandbox(rows=60, seed=11, crms=["tactile"]) as sandbox:
        crm = sandbox["tactile"]
        crm.options.use_era("head")
        stamped, tested = crm._stamp, crm._test

        def test(name: str, value: str) -> Any:
            passes = tested(name, value)
            return passes and (lambda row: row["lastupdated"] is not None and passes(row))

        crm._stamp, crm._test = lambda wall: wall and stamped(wall), test
        undated = [key for key, row in crm.records.items() if row["status"] == "New" and not row["archived"]][:2]
        for key in undated:
            crm.rows[key]["lastupdated"] = None
        shop = Shop(tmp_path, sandbox, ["tactile"])
        report = shop.sync(command="backfill")
        assert "complete" == report.status, error(report, "tactile")
        assert {str(key) for key in undated} <= {row[0] for row in shop.sql("SELECT source_id FROM opportunities")}


@pytest.mark.long
def test_rows_that_come_while_it_ends_are_read_and_cost_no_whole_read(shop: Shop, fine: None) -> None:
    """A row made after the last slice was read is counted, and known: what came since the beginning is read once."""
    crm, made = shop.sandbox["administrate"], []

    def insert() -> None:
        if not made and any(until is None for _, until in administrate(shop)):
            made.append(str(crm.insert(name="made at the last moment")))

    crm.faults.add("hook", call=insert, query={"_limit": "1"}, lists=True, count=None)
    assert "complete" == shop.sync(command="backfill").status
    assert made
    assert [(61,)] == shop.sql("SELECT count(*) FROM opportunities")
    assert (None, None) not in administrate(shop)


@pytest.mark.long
def test_reference_lists_are_read_once(shop: Shop, fine: None) -> None:
    """Not once for each slice."""
    shop.sync(command="backfill")
    steps = [seen for seen in shop.sandbox["administrate"].log if seen.path.endswith("/opportunity_steps")]
    assert 1 == len(steps)


@pytest.mark.long
def test_a_count_that_stays_off_is_partial(shop: Shop, fine: None) -> None:
    """What the CRM counts and never lists is named, also after everything was read."""
    headers = {"X-Pagination-Total": "63"}
    faults = shop.sandbox["administrate"].faults
    shop.sync(command="backfill", max_requests=30)
    faults.add("headers", headers=headers, query={"_limit": "1"}, lists=True, count=None)
    report = shop.sync(command="backfill")
    assert ("partial", "paging") == (report.status, error(report, "administrate")["kind"])
    assert "counts 63 opportunities and 60 are known" in error(report, "administrate")["message"]


def test_a_small_account_is_read_in_one_piece(shop: Shop) -> None:
    """Up to 2,000 rows need no slices: the list is read as a first sync reads it."""
    assert "complete" == shop.sync(command="backfill").status
    assert {(None, None)} == administrate(shop)


def test_bounds_are_kept_and_move_no_cursor(shop: Shop) -> None:
    """A part of the history loads that part, a little beyond its ends, and says nothing of the rest."""
    since, until = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    assert "complete" == shop.sync(command="backfill", since=since, until=until).status
    rows = shop.sandbox["administrate"].rows
    wanted = {str(key) for key, row in rows.items() if since <= row["updated_at"] <= until}
    loaded = {row[0] for row in shop.sql("SELECT source_id FROM opportunities")}
    assert wanted <= loaded
    assert len(loaded) < 60
    stands = "SELECT complete_through IS NULL, open_slices, last_sweep_at IS NULL FROM coverage"
    assert [(True, 0, True)] == shop.sql(f"{stands} WHERE resource = 'opportunity'")
    assert "complete" == shop.sync(command="backfill", since=datetime(2000, 1, 1, tzinfo=UTC)).status
    cursor = "SELECT live_count, complete_through IS NULL FROM coverage WHERE resource = 'opportunity'"
    assert [(60, True)] == shop.sql(cursor)


def test_a_paused_backfill_goes_on_in_its_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of requests in a slice of many pages, it goes on there at its page, and reads no slice that is done again."""
    monkeypatch.setattr(backfill, "SMALL", 0)
    monkeypatch.setattr(cut, "MOST", 400)
    with Sandbox(rows=900, seed=3, crms=["administrate"]) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        first = shop.sync(command="backfill", max_requests=14)
        kind, message = error(first, "administrate")["kind"], error(first, "administrate")["message"]
        assert ("partial", "rate_limited") == (first.status, kind)
        assert "slices are done and" in message
        assert "run the same command" in error(first, "administrate")["hint"]
        (open_slices,) = shop.sql("SELECT open_slices FROM coverage WHERE resource = 'opportunity'")[0]
        done = pages(sandbox)
        sandbox["administrate"].log.clear()
        assert open_slices > 0
        assert "complete" == shop.sync(command="backfill").status
        again = pages(sandbox)
        assert [] == [page for page in again if page in done]
        assert done[-1][:2] == again[0][:2]
        assert None is not again[0][2], "the open slice goes on at its page"
        assert [(900, 900)] == shop.sql("SELECT count(*), count(DISTINCT source_id) FROM opportunities")


@pytest.mark.long
def test_a_first_sync_goes_on_with_an_unfinished_backfill(shop: Shop, fine: None) -> None:
    """Nothing was loaded before it, so a sync would have to load it: it finishes the slices, and says so."""
    assert "partial" == shop.sync(command="backfill", max_requests=18).status
    shop.sandbox["administrate"].log.clear()
    assert "complete" == shop.sync().status
    assert any("goes on with the backfill" in text for text in shop.notes.said)
    assert (None, None) not in administrate(shop)
    assert [(60,)] == shop.sql("SELECT count(*) FROM opportunities")


@pytest.mark.long
def test_a_later_sync_does_not_wait_for_an_unfinished_backfill(shop: Shop, fine: None) -> None:
    """Where everything was loaded before, changes come first: the backfill stays for the command that began it."""
    shop.sync()
    assert "partial" == shop.sync(command="backfill", max_requests=18).status
    crm = shop.sandbox["administrate"]
    crm.update(next(iter(crm.records)), name="changed")
    report = shop.sync()
    assert ("complete", 1) == (report.status, resource(report, "administrate")["changed"])
    assert any("`onepipe backfill administrate` goes on with it" in text for text in shop.notes.said)
    assert shop.sql("SELECT open_slices FROM coverage WHERE resource = 'opportunity'")[0][0] > 0
    assert "complete" == shop.sync(command="backfill").status
    assert [(0,)] == shop.sql("SELECT open_slices FROM coverage WHERE resource = 'opportunity'")


@pytest.mark.long
def test_another_backfill_does_not_drop_an_unfinished_one(shop: Shop, fine: None) -> None:
    """Other bounds are refused before anything is asked, until --restart gives the first one up."""
    shop.sync(command="backfill", max_requests=18)
    since = datetime(2026, 2, 1, tzinfo=UTC)
    shop.sandbox["administrate"].log.clear()
    refused = shop.sync(command="backfill", since=since)
    assert ("failed", "config", []) == (
        refused.status,
        error(refused, "administrate")["kind"],
        shop.sandbox["administrate"].log,
    )
    assert "complete" == shop.sync(command="backfill", since=since, restart=True).status
    stands = "SELECT complete_through IS NULL, open_slices FROM coverage WHERE resource = 'opportunity'"
    assert [(True, 0)] == shop.sql(stands)


@pytest.mark.long
def test_restart_reads_what_was_done_again(shop: Shop, fine: None) -> None:
    """--restart begins with the first slice."""
    shop.sync(command="backfill", max_requests=18)
    shop.sandbox["administrate"].log.clear()
    assert "complete" == shop.sync(command="backfill", restart=True).status
    assert None in {since for since, _ in administrate(shop)}


def test_an_upper_bound_that_is_ignored_is_noticed(shop: Shop, fine: None) -> None:
    """Rows from after a slice mean that the list cannot be cut: everything is read once; `since` is believed on."""
    crm = shop.sandbox["administrate"]
    believed = crm.is_filter
    crm.is_filter = lambda name: believed(name) and name != "updated_at__le"
    report = shop.sync(command="backfill")
    assert "complete" == report.status, error(report, "administrate")
    assert [(60, 0)] == shop.sql("SELECT live_count, open_slices FROM coverage WHERE resource = 'opportunity'")
    assert [("range",)] == shop.work("SELECT fact FROM store.distrust")
    assert resource(report, "administrate")["fetched"] <= 120
    assert 0 == resource(shop.sync(), "administrate")["fetched"]


def test_a_filter_that_is_ignored_is_noticed(shop: Shop, fine: None) -> None:
    """Where neither bound narrows the list, it is read once and whole."""
    shop.sandbox["administrate"].faults.add("ignore_filter", count=None)
    report = shop.sync(command="backfill")
    assert "complete" == report.status, error(report, "administrate")
    assert [(60, 0)] == shop.sql("SELECT live_count, open_slices FROM coverage WHERE resource = 'opportunity'")


def pages(sandbox: Sandbox) -> list[tuple[str | None, ...]]:
    """Every page that was asked for: its slice and its key."""
    names = ("updated_at__ge", "updated_at__le", "id__gt")
    asked = [seen for seen in list(sandbox["administrate"].log) if seen.path.endswith("/opportunities")]
    return [tuple(map(seen.query.get, names)) for seen in asked if seen.query["_limit"] == "100"]


@pytest.mark.long
def test_a_killed_backfill_repeats_at_most_the_last_second(tmp_path: Path) -> None:
    """kill -9 in a slice: done slices are not read again, and of the open one only the pages of a second."""
    with Sandbox(rows=3000, seed=5, crms=["administrate"]) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        sandbox["administrate"].faults.add("slow", seconds=0.15, count=None, query={"_limit": "100"})
        killed = subprocess.Popen([*COMMAND, str(shop.config), "backfill"], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and len(pages(sandbox)) < 22 and killed.poll() is None:
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        before = pages(sandbox)
        assert len({page[:2] for page in before}) > 1, "more than one slice was begun"
        sandbox["administrate"].faults.clear()
        assert "complete" == shop.sync(command="backfill").status
        again = [page for page in pages(sandbox)[len(before) :] if page in before]
        assert len(again) <= 9, "pages of about one second"
        assert {before[-1][:2]} >= {page[:2] for page in again}
        assert [(3000, 3000)] == shop.sql("SELECT count(*), count(DISTINCT source_id) FROM opportunities")
        assert [(3000,)] == shop.sql("SELECT count(*) FROM opportunity_history")


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_pauses_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    """The page that is being read is kept, the exit code is 1, and the message says what to do."""
    with Sandbox(rows=3000, seed=5, crms=["administrate"]) as sandbox:
        shop = Shop(tmp_path, sandbox, ["administrate"])
        sandbox["administrate"].faults.add("slow", seconds=0.15, count=None, query={"_limit": "100"})
        paused = subprocess.Popen([*COMMAND, str(shop.config), "backfill"], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline and len(pages(sandbox)) < 6 and paused.poll() is None:
            time.sleep(0.02)
        paused.send_signal(number)
        _, told = paused.communicate(timeout=30)
        assert 1 == paused.returncode
        assert "paused; " in told
        assert "Run the same command to go on from there." in told
        before = pages(sandbox)
        sandbox["administrate"].faults.clear()
        assert "complete" == shop.sync(command="backfill").status
        assert [] == [page for page in pages(sandbox)[len(before) :] if page in before]
        assert [(3000,)] == shop.sql("SELECT count(*) FROM opportunities")

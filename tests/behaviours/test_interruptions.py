"""What an interruption between two requests, or a clock that was wrong once, must not hide."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from onepipe.decode import Record
from onepipe.errors import DiskTrouble
from onepipe.project import Project
from onepipe.pull.pages import place, take_over
from onepipe.spool import Spool, segments
from tests.behaviours.conftest import Make
from tests.behaviours.desk import OF_DEALS

DEAD = "SELECT count(*) FROM opportunities WHERE is_deleted"


class _Job:
    """As much of a run as its pages ask for: a connection's lease in one project."""

    def __init__(self, project: Project, lease: object) -> None:
        self.account, self.warehouse, self.name = self, project.warehouse, "administrate"
        self.lease = lease


def test_an_overtaken_holder_writes_nothing_among_the_pages_of_the_next(desk: Make) -> None:
    """A holder that wakes after its lease went to another neither adds pages to those of the other nor takes any."""
    made = desk("administrate", rows=0)
    with Project(made.config, "test") as project:
        with project.control.lease("connection:administrate") as lease:
            early = _Job(project, lease)
        slow = Spool(place(early, "abc"))
        slow.add("opportunity", [Record("1", b"{}")], at=made.now)
        slow.flush()
        slow.add("opportunity", [Record("2", b"{}")], at=made.now)
        with project.control.lease("connection:administrate") as lease:
            late = _Job(project, lease)
            take_over(late, "abc")
            spool = Spool(place(late, "abc"))
            spool.add("opportunity", [Record("3", b"{}")], at=made.now)
            slow.add("opportunity", [Record("4", b"{}")], at=made.now)
            with pytest.raises(DiskTrouble):
                slow.flush()
            slow.add("opportunity", [Record("5", b"{}")], at=made.now)
            slow.flush()
            spool.flush()
            rows = [segment.path.read_bytes().split(b"\x1f")[1] for segment in segments(place(late, "abc"))]
            assert [b"1", b"3"] == rows
            take_over(late, "abc")
            assert [place(late, "abc")] == list((project.warehouse.spool / "administrate").iterdir())


@pytest.mark.long
def test_the_count_is_asked_for_where_the_first_load_left_none(desk: Make) -> None:
    """An account whose count was never noted is counted with the next complete read, and held to it from then on."""
    made = desk("administrate")
    made.sync()
    with Project(made.config, "test") as project, project.warehouse.commit("test") as db:
        db.run(f"UPDATE coverage SET source_count = NULL {OF_DEALS}")
    assert "complete" == made.sync(sweep=True).status
    assert [(12,)] == made.work(f"SELECT source_count FROM coverage {OF_DEALS}")
    made.crm.faults.add("headers", lists=True, headers={"X-Pagination-Total": "13"}, count=None)
    assert ("partial", "paging") == made.said(made.sync())


def test_the_cursor_waits_for_the_second_read(desk: Make) -> None:
    """A list whose rows changed places is read again; until that came to its end the cursor stays where it was."""
    made = desk("tactile", rows=12, cap=5)
    made.sync()
    before = made.cursor()
    made.later(hours=3)
    ids = list(made.crm.records)
    for row_id in ids:
        made.rename(row_id, f"new {row_id}")

    def stir() -> None:
        made.later(minutes=1)
        with made.crm.lock:
            del made.crm.rows[min(ids, key=lambda row_id: made.crm.rows[row_id]["name"])]
            made.crm.touched()
        made.insert("zzz")
        made.crm.faults.add(
            "status", status=503, path="/opportunities", query={"limit": "100", "page": "1"}, count=None
        )

    made.between(stir)
    assert ("failed", "unavailable") == made.said(made.sync())
    assert "the list is read once more" in " ".join(made.notes.said)
    assert made.cursor() == before


def test_a_record_that_cannot_be_kept_is_told_behind_an_interruption(desk: Make) -> None:
    """What was met before a run broke off is still told by the run that goes on behind it."""
    made = desk("administrate", rows=20, cap=5)
    made.crm.rows[next(iter(made.crm.rows))]["id"] = None
    fault = made.spoil("status", status=503, nth=3, count=None)
    assert "failed" == made.sync().status
    made.crm.faults.remove(fault)
    assert ("partial", "bad_payload") == made.said(made.sync())
    assert 19 == len(made.held())


@pytest.mark.parametrize("crm", ["administrate", "capsule"])
def test_a_clock_that_was_far_ahead_once_hides_nothing(desk: Make, crm: str) -> None:
    """Where the cursor lies ahead of the CRM's clock everything is read, and the cursor comes back."""
    made = desk(crm, date_skew_seconds=400 * 86400)
    made.sync()
    assert made.cursor() - made.now > timedelta(days=399)
    made.crm.options.apply({"date_skew_seconds": 0})
    made.later(minutes=30)
    made.insert("new")
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    assert made.cursor() == made.now


def test_a_sweep_that_was_asked_for_is_made_after_a_run_that_got_nothing(desk: Make) -> None:
    """A run that died on its first page leaves nothing to go on with: `--sweep` reads everything."""
    made = desk("administrate")
    made.sync()
    fault = made.spoil("status", status=503, count=None)
    made.sync()
    made.crm.faults.remove(fault)
    made.later(hours=3)
    report = made.sync(sweep=True)
    assert ("complete", 12) == (report.status, made.line(report)["fetched"])


@pytest.mark.long
def test_a_sweep_that_does_not_fit_into_one_run_goes_on(desk: Make) -> None:
    """What answered by itself before a sweep was interrupted is not asked for again; it is dated when it began."""
    made = desk("tactile", rows=30)
    made.sync()
    for row_id in list(made.crm.records)[:25]:
        made.crm.update(row_id, silently=True, archived=True)
    made.later(minutes=5)
    assert ("partial", "rate_limited") == made.said(made.sync(sweep=True, max_requests=20))
    between = datetime.now(UTC)
    time.sleep(1)
    assert "complete" == made.sync(sweep=True, max_requests=20).status
    assert [(0,)] == made.work(DEAD)
    assert between > made.moment("last_sweep_at")
    made.later(minutes=5)
    before = len(made.crm.log)
    made.sync(sweep=True)
    assert 25 == sum("/view/" in seen.path for seen in made.crm.log[before:])


def test_what_is_refused_last_counts_only_if_a_known_record_answers_behind_it(desk: Make) -> None:
    """A CRM that begins to refuse every id in the middle of a sweep has deleted nothing."""
    made = desk("administrate", rows=40)
    made.sync()
    with made.crm.lock:
        for _ in range(2):
            made.crm.rows.popitem()
        made.crm.touched()
    made.crm.faults.add("status", status=404, path="*/opportunities/*", nth=3, count=None)
    assert ("partial", "suspect") == made.said(made.sync(sweep=True))
    assert [(0,)] == made.work(DEAD)


@pytest.mark.parametrize(
    ("crm", "path"), [("capsule", "*/tag"), ("overplane", "*/opportunity-item*"), ("tactile", "*/timeline*")]
)
def test_a_path_of_details_that_is_missing_for_a_while_strikes_no_debt(desk: Make, crm: str, path: str) -> None:
    """Where the account has answered a detail before, only a deal that is gone itself owes it no longer."""
    made = desk(crm, rows=3, details=True)
    assert "complete" == made.sync().status
    made.later(minutes=1)
    made.insert("new")
    fault = made.crm.faults.add("status", status=404, path=path, count=None)
    assert ("partial", "unavailable") == made.said(made.sync())
    made.crm.faults.remove(fault)
    assert "complete" == made.sync().status
    assert [(0,)] == made.work("SELECT count(*) FROM store.debts")
    assert [(4,)] == made.work("SELECT min(c) FROM (SELECT count(*) c FROM store.details GROUP BY detail)")


@pytest.mark.long
def test_a_side_list_that_fails_keeps_nothing_out(desk: Make) -> None:
    """Tombstones that cannot be read leave the cursor where it was; what was listed before them is loaded."""
    made = desk("capsule")
    made.sync()
    before = made.cursor()
    made.later(minutes=30)
    made.insert("new")
    fault = made.crm.faults.add("status", status=503, path="*/deleted", count=None)
    assert ("failed", "unavailable") == made.said(made.sync())
    assert (made.truth(), before) == (made.held(), made.cursor())
    made.crm.faults.remove(fault)
    assert "complete" == made.sync().status
    assert made.now == made.cursor()


@pytest.mark.long
@pytest.mark.parametrize("crm", ["administrate", "capsule"])
def test_a_filter_that_is_refused_is_not_asked_with_again(desk: Make, crm: str) -> None:
    """A list that answers, but not when asked for what changed, is read in full; one that answers nothing fails."""
    made = desk(crm)
    made.sync()
    made.later(hours=1)
    made.insert("new")
    name = "updated_at__ge" if crm == "administrate" else "lastmodified"
    whole = made.crm.faults.add("status", status=400, lists=True, count=None)
    assert ("failed", "bad_payload") == made.said(made.sync())
    made.crm.faults.remove(whole)
    made.crm.faults.add("status", status=400, lists=True, query={name: "*"}, count=None)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    made.later(hours=1)
    made.insert("newer")
    before = len(made.crm.log)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    assert not any(name in query for query in made.asked(before))
    with Project(made.config, "test") as project, project.warehouse.commit("test") as db:
        db.run("UPDATE store.distrust SET since = since - INTERVAL 2 DAY")
    made.sync()
    before = len(made.crm.log)
    made.sync()
    assert any(name in query for query in made.asked(before))


@pytest.mark.parametrize("crm", ["administrate", "tactile"])
def test_a_filter_that_was_refused_once_is_relied_on(desk: Make, crm: str) -> None:
    """One refusal of what is accepted a moment later makes no full read."""
    made = desk(crm)
    made.sync()
    made.later(hours=3)
    made.insert("new")
    made.spoil("status", status=400)
    assert "complete" == made.sync().status
    assert [] == made.work("SELECT fact FROM store.distrust WHERE fact LIKE 'filter%'")
    assert made.truth() == made.held()


@pytest.mark.long
def test_what_a_failed_run_did_not_read_is_no_fresher(desk: Make) -> None:
    """A run that failed moves the coverage of no detail and of no list."""
    made = desk("capsule", rows=2, details=True)
    assert "complete" == made.sync().status
    told = "SELECT resource, complete_through::VARCHAR, details_through::VARCHAR FROM coverage ORDER BY resource"
    before = made.work(told)
    made.later(days=1)
    made.crm.faults.add("status", status=401, count=None)
    assert "failed" == made.sync().status
    assert before == made.work(told)

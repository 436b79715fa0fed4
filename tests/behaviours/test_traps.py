"""Habits of the five CRMs that lose rows where nobody knows of them."""

from datetime import UTC, datetime

import pytest

from tests.behaviours.conftest import Make
from tests.behaviours.desk import FILTERING

AUTUMN = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)  # London reads 01:50; from 01:00 UTC on it reads 01:00 again


def test_tactiles_hour_that_comes_twice_hides_no_edit(desk: Make) -> None:
    """Given an edit in London's repeated hour, whose wall time is before that of the cursor, then it is found."""
    made = desk("tactile", rows=0)
    made.now = AUTUMN
    first, *_ = made.fill(5)
    made.sync()
    assert made.now == made.cursor()
    made.later(minutes=15)
    made.rename(first, "edited at 01:05 London time, for the second time")
    assert "00:05:00" in str(made.crm.rows[first]["lastupdated"].astimezone(UTC))
    made.later(minutes=15)
    report = made.sync()
    assert ("complete", 1) == (report.status, made.line(report)["changed"])


def test_tactile_is_never_asked_for_more_than_it_gives(desk: Make) -> None:
    """Given that a limit above 100 falls back to 30, then 100 is what is asked for, and every row of 101 arrives."""
    made = desk("tactile", rows=101)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    assert {"1", "100"} == {asked["limit"] for asked in made.asked() if "limit" in asked}


@pytest.mark.parametrize("era", ["doc", "head"])
def test_what_leaves_tactiles_list_is_followed_and_not_deleted(desk: Make, era: str) -> None:
    """Given a deal that is won, or archived, and so leaves the list, then it is stored as that, and is not deleted."""
    made = desk("tactile", rows=6, era=era)
    won, archived, *_ = made.crm.records
    made.sync()
    made.later(minutes=5)
    made.crm.update(won, status="Won")
    made.crm.update(archived, archived=True)
    made.sync(sweep=True)
    rows = made.work(f"SELECT status, is_archived, is_deleted FROM opportunities WHERE source_id = '{won}'")
    assert [("won", False, False)] == rows
    rows = made.work(f"SELECT is_archived, is_deleted FROM opportunities WHERE source_id = '{archived}'")
    assert [(True, False)] == rows
    made.later(minutes=5)
    made.rename(won, "edited after it was won")  # the count does not tell: it is in the list, or it was not before
    assert "complete" == made.sync().status
    assert "edited after it was won" == made.held()[str(won)]


def test_a_deal_in_another_pipeline_of_onautomate_is_not_deleted(desk: Make) -> None:
    """Given a deal that moved to another pipeline between two lists, then it is stored there and is not deleted."""
    made = desk("onautomate", rows=6)
    made.sync()
    made.later(minutes=5)
    first, *_ = made.crm.records
    *_, last = made.crm.pipelines
    made.crm.update(first, pipelineId=last)
    report = made.sync()
    assert ("complete", 0) == (report.status, made.line(report)["deleted"])
    assert [(last, False)] == made.work(
        f"SELECT pipeline_id, is_deleted FROM opportunities WHERE source_id = '{first}'"
    )


def test_a_deal_that_moves_while_onautomate_is_read_is_not_missed(desk: Make) -> None:
    """Given a deal that moves from a pipeline still to be read into one read before, then it is not taken for gone."""
    made = desk("onautomate", rows=6)
    one, *_, other = made.crm.pipelines
    ids = list(made.crm.records)
    for row_id in ids[:3]:
        made.crm.update(row_id, pipelineId=other)
    made.sync()
    made.later(minutes=5)
    made.spoil("hook", call=lambda: made.crm.update(ids[0], pipelineId=one), path=f"*{other}*")
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


def test_a_list_of_onautomate_that_lags_makes_no_deletion(desk: Make) -> None:
    """Given lists that show a write only seconds later, then a new deal comes a run later, and none is deleted."""
    made = desk("onautomate", rows=6, index_lag_seconds=30)
    made.later(minutes=5)
    made.sync()
    late = made.insert("late")
    assert "complete" == made.sync().status
    assert str(late) not in made.held()
    made.later(minutes=1)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


@pytest.mark.parametrize("options", [{"cursor_id": "opportunity"}, {"next_page_url": "until_end"}])
def test_many_deals_of_one_millisecond_all_arrive(desk: Make, options: dict[str, str]) -> None:
    """Given an import that put many deals of OnAutomate on one millisecond, then the id half of the cursor parts them.

    6. A keyset of stamp and id goes through more equal stamps than a page holds.
    """
    made = desk("onautomate", rows=0, cap=4, **options)
    for number in range(11):
        made.insert(f"Deal {number:02}", contact={"email": f"p{number}@example.org"})
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


@pytest.mark.parametrize("crm", FILTERING)
def test_06_more_edits_of_one_second_than_a_page_holds(desk: Make, crm: str) -> None:
    """6. Given one stamp on more rows than fit a page, then each of them arrives in the next run."""
    made = desk(crm, rows=17, cap=5)
    made.sync()
    made.later(minutes=10)
    for number, row_id in enumerate(list(made.crm.records)):
        made.rename(row_id, f"imported {number:02}")
    report = made.sync()
    assert ("complete", 17) == (report.status, made.line(report)["changed"])
    assert made.truth() == made.held()


@pytest.mark.parametrize("mode", ["spaced", "mixed"])
def test_overplanes_spaced_stamps_are_read(desk: Make, mode: str) -> None:
    """Given `2024-01-15T09: 30: 00Z`, on all rows or on some, then no stamp is a problem and nothing seems changed."""
    made = desk("overplane", rows=6, timestamps=mode)
    report = made.sync()
    assert ("complete", 0) == (report.status, made.line(report)["problems"])
    assert [(6,)] == made.work("SELECT count(updated_at) FROM opportunities")


def test_overplanes_ties_may_change_places(desk: Make) -> None:
    """Given rows of one second that come in another order on each request, then none is lost at a page's edge."""
    made = desk("overplane", rows=0, cap=5, shuffle_ties=True)
    for number in range(11):
        made.insert(f"Deal {number:02}")
    report = made.sync()
    assert made.truth() == made.held() or "complete" != report.status


@pytest.mark.parametrize(("crm", "most"), [("administrate", 5), ("tactile", 5), ("capsule", 5)])
def test_a_run_without_changes_costs_at_most_five_requests(desk: Make, crm: str, most: int) -> None:
    """Given nothing new, then a run of a CRM that can filter asks five times at most, all included."""
    made = desk(crm, details=True, rows=12)
    for _ in range(2):
        made.sync()
        made.later(minutes=15)
    since = len(made.crm.log)
    report = made.sync()
    assert ("complete", 0) == (report.status, made.line(report)["changed"])
    assert most >= len(made.crm.log) - since, [seen.path for seen in made.crm.log[since:]]

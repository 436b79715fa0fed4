"""The cursor: what a run asks for next time, and that no edit slips between two runs. Behaviours 1 to 5."""

from datetime import datetime, timedelta

import pytest

from tests.behaviours.conftest import Make
from tests.behaviours.desk import FILTERING

STRICT_AND_INCLUSIVE = [
    ("administrate", {}),
    ("tactile", {}),
    ("capsule", {"lastmodified": "inclusive"}),
    ("capsule", {"lastmodified": "strict"}),
]


@pytest.mark.parametrize(("crm", "filters"), STRICT_AND_INCLUSIVE)
def test_01_two_edits_in_the_second_of_the_cursor(desk: Make, crm: str, filters: dict[str, str]) -> None:
    """1. Given a deal edited twice in one second with a run between, when the next run reads, then it stores both.

    The filter may be strict (Tactile) or inclusive; neither edit moves the stamp past the cursor.
    """
    made = desk(crm, **filters)
    first, *_ = made.crm.records
    made.rename(first, "before the run")
    made.sync()
    assert made.now == made.cursor()
    made.rename(first, "after it, in the same second")
    made.later(minutes=5)
    report = made.sync()
    assert ("complete", 1) == (report.status, made.line(report)["changed"])
    assert "after it, in the same second" == made.held()[str(first)]


@pytest.mark.parametrize("crm", FILTERING)
def test_02_a_row_that_shows_late_is_stored_within_the_overlap(desk: Make, crm: str) -> None:
    """2. Given a stamp 90 s below the cursor on a row that shows only now, then the next run stores it as late."""
    made = desk(crm)
    made.sync()
    covered = made.now
    made.later(minutes=10)
    late = made.insert("late", **{made.stamp: covered - timedelta(seconds=90)})
    report = made.sync()
    assert ("complete", "late") == (report.status, made.held()[str(late)])
    logged = made.work("SELECT kind, late_by, found_by FROM late_rows")
    assert [("late", 90, "change")] == logged


def test_02_a_row_that_shows_after_the_overlap_is_found_by_the_sweep(desk: Make) -> None:
    """2. Given a row that shows later than any overlap, then the sweep stores it and says by how much it was late."""
    made = desk("capsule")
    made.sync()
    covered = made.now
    made.later(minutes=10)
    late = made.insert("late", **{made.stamp: covered - timedelta(minutes=40)})
    made.sync()
    assert str(late) not in made.held()
    report = made.sync(sweep=True)
    assert ("complete", "late") == (report.status, made.held()[str(late)])
    ((kind, seconds, found_by),) = made.work("SELECT kind, late_by, found_by FROM late_rows")
    assert ("late", "full") == (kind, found_by)
    assert 40 * 60 <= seconds


@pytest.mark.parametrize("crm", FILTERING)
def test_03_an_edit_behind_our_back_is_stored_next_time(desk: Make, crm: str) -> None:
    """3. Given an edit of a row whose page was read already, then the cursor stays at the scan's start, or before."""
    made = desk(crm, rows=12, cap=4)
    first, *_ = made.fill(12)
    began = made.now

    def edit() -> None:
        made.later(minutes=30)
        made.crm.update(first, **{"description" if crm != "administrate" else "external_id": "edited"})

    made.between(edit, page=3)
    assert "complete" == made.sync().status
    assert began == made.cursor()
    made.later(minutes=30)
    report = made.sync()
    assert ("complete", 1) == (report.status, made.line(report)["changed"])


@pytest.mark.parametrize("crm", ("administrate", "tactile"))
def test_04_a_row_from_the_future_moves_no_cursor(desk: Make, crm: str) -> None:
    """4. Given a stamp in 2099, then the row is stored and flagged, and later edits of others are still found."""
    made = desk(crm)
    first, second, *_ = made.crm.records
    made.rename(first, "from the future", **{made.stamp: "2099-01-01T00:00:00Z"})
    made.sync()
    assert made.now == made.cursor()
    assert "from the future" == made.held()[str(first)]
    made.later(minutes=10)
    made.rename(second, "edited today")
    assert "complete" == made.sync().status
    assert made.now == made.cursor()
    assert "edited today" == made.held()[str(second)]
    assert [("future", str(first))] == made.work("SELECT DISTINCT kind, source_id FROM late_rows")


@pytest.mark.parametrize(("crm", "minutes"), [("administrate", -10), ("tactile", 90)])
def test_05_the_servers_clock_decides(desk: Make, crm: str, minutes: int) -> None:
    """5. Given clocks that differ by minutes or more, then the cursor is the server's Date, and the skew is said."""
    made = desk(crm)
    made.later(minutes=minutes)
    made.sync()
    assert made.now == made.cursor()
    assert [text for text in made.notes.said if "clock" in text and "not ours" in text]
    made.later(minutes=5)
    first, *_ = made.crm.records
    made.rename(first, "edited")
    assert "complete" == made.sync().status
    assert "edited" == made.held()[str(first)]


def test_05_without_a_date_our_clock_is_held_back(desk: Make) -> None:
    """5. Given no Date header, then our own clock less ten minutes stands in for the server's, which is said."""
    made = desk("administrate", date_header=False)
    made.sync()
    cursor = made.cursor()
    assert isinstance(cursor, datetime)
    assert timedelta(minutes=9) < made.now - cursor < timedelta(minutes=11)
    assert [text for text in made.notes.said if "no usable Date" in text]
    first, *_ = made.crm.records
    made.rename(first, "edited", **{made.stamp: made.now - timedelta(minutes=9)})
    assert ("complete", 1) == ((report := made.sync()).status, made.line(report)["changed"])

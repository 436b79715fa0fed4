"""Where a list ends, and lists that lie about it or about what was asked. Behaviours 14, 15, 17 and 18."""

import pytest

from tests.behaviours.conftest import Make
from tests.behaviours.desk import CRMS, NEWEST_FIRST, STATING, counting

ENOUGH = 50
"""Requests. A list that cannot be read is given up within so many, however long it is."""


@pytest.mark.parametrize("crm", CRMS)
def test_14_an_empty_page_in_the_middle_is_passed_over(desk: Make, crm: str) -> None:
    """14. Given an empty page before the stated end, then paging goes on, and no row is missing."""
    made = desk(crm, rows=17, cap=5)
    made.spoil("empty_page", nth=2)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


@pytest.mark.parametrize("crm", CRMS)
def test_14_nothing_but_empty_pages_is_no_end(desk: Make, crm: str) -> None:
    """14. Given empty pages without an end where rows are promised, then the scan fails after a few of them."""
    made = desk(crm, rows=17, cap=5)
    made.spoil("empty_page", nth=2, count=None)
    report = made.sync()
    assert report.status in ("partial", "failed")
    assert "paging" == made.said(report)[1]
    assert None is made.cursor()
    assert ENOUGH > len(made.crm.log)


def test_14_empty_pages_that_promise_more_for_ever(desk: Make) -> None:
    """14. Given empty pages that each say that more follows, and no total, then a stated number of them is the most."""
    made = desk("overplane", rows=9, cap=5)
    made.rewrite(lambda _: b'{"data": [], "has_more": true}', nth=2)
    report = made.sync()
    assert ("failed", "paging") == made.said(report)
    assert "empty pages running" in made.told(report)
    assert ENOUGH > len(made.crm.log)


@pytest.mark.parametrize(("crm", "kind"), [*((crm, "cycle") for crm in CRMS), ("tactile", "repeat_page")])
def test_15_a_list_that_goes_round_is_left(desk: Make, crm: str, kind: str) -> None:
    """15. Given a page or token that comes again, alone or in a circle, then the scan fails as paging, saying where."""
    made = desk(crm, rows=17, cap=5)
    made.spoil(kind, count=None)
    report = made.sync()
    assert ("failed", "paging") == made.said(report)
    assert any(character.isdigit() for character in made.told(report))
    assert None is made.cursor()
    assert ENOUGH > len(made.crm.log)


@pytest.mark.parametrize("crm", STATING)
def test_17_fewer_rows_than_stated_are_not_complete(desk: Make, crm: str) -> None:
    """17. Given a total that the rows received do not reach, then the run is partial and names both numbers."""
    made = desk(crm, rows=9)
    if crm == "administrate":
        made.spoil("headers", headers={"X-Pagination-Total": "20"}, count=None)
    else:
        made.rewrite(lambda body: counting(body, 20))
    report = made.sync()
    assert ("partial", "paging") == made.said(report)
    assert "9 rows were found" in made.told(report)
    assert "20" in made.told(report)
    assert None is made.cursor()
    assert made.truth() == made.held()


def test_17_a_list_read_besides_is_held_to_what_it_states(desk: Make) -> None:
    """17. Given a list_all of Tactile that states more rows than it holds, then the run is partial, as of any list."""
    made = desk("tactile", rows=9, era="head")
    made.crm.faults.add("rewrite", path="*/list_all", edit=lambda body: body.replace(b"{", b'{"total": 20, ', 1))
    report = made.sync()
    assert ("partial", "paging") == made.said(report)
    assert "list_all states 20 rows" in made.told(report)
    assert None is made.cursor()


@pytest.mark.parametrize("crm", NEWEST_FIRST)
def test_18_an_error_behind_the_newest_rows_moves_no_cursor(desk: Make, crm: str) -> None:
    """18. Given a list that begins with the newest rows and breaks on page 2, then the cursor stays where it was."""
    made = desk(crm, rows=17, cap=5)
    made.sync()
    before = made.cursor()
    made.later(minutes=10)
    newest = made.insert("new")
    oldest = next(iter(made.crm.records))
    made.rename(oldest, "changed at the list's end")
    made.spoil("error_envelope", nth=2, count=None)
    report = made.sync()
    assert report.status in ("partial", "failed")
    assert before == made.cursor()
    made.crm.faults.clear()
    assert "complete" == made.sync().status
    held = made.held()
    assert ("new", "changed at the list's end") == (held[str(newest)], held[str(oldest)])
    assert made.now == made.cursor()


@pytest.mark.parametrize("crm", ["administrate", "tactile", "capsule"])
def test_an_ignored_filter_is_noticed(desk: Make, crm: str) -> None:
    """Given a filter that a host ignores with a 200, then it is said, never believed again, and nothing is lost."""
    made = desk(crm, rows=12, cap=5)
    first, *_ = made.crm.records
    made.rename(first, "old", **{made.stamp: "2024-01-01T00:00:00Z"})
    made.sync()
    made.crm.options.ignore_filters = True
    made.later(minutes=10)
    made.rename(first, "edited without a stamp", silently=True)
    assert "complete" == made.sync().status
    assert [("filter",)] == made.work("SELECT fact FROM store.distrust WHERE fact = 'filter'")
    assert [text for text in made.notes.said if "before the instant" in text]
    assert "edited without a stamp" == made.held()[str(first)]


@pytest.mark.parametrize("crm", ["administrate", "tactile", "onautomate"])
def test_an_ignored_order_loses_no_row(desk: Make, crm: str) -> None:
    """Given rows in an order that means nothing, then every one of them is read all the same."""
    made = desk(crm, rows=17, cap=5, ignore_order=True)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


@pytest.mark.parametrize(("crm", "cap"), [("capsule", 3), ("overplane", 3), ("tactile", 30), ("onautomate", 7)])
def test_a_hidden_limit_is_no_end(desk: Make, crm: str, cap: int) -> None:
    """Given fewer rows a page than asked for (Capsule, Overplane; Tactile's 30 for a limit it dislikes), all arrive."""
    made = desk(crm, rows=2 * cap + 1, cap=cap)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


def test_capsules_size_counts_a_page_and_is_no_total(desk: Make) -> None:
    """Given size="4" on each page of Capsule, then it is not taken for the number of rows in all."""
    made = desk("capsule", rows=10, cap=4)
    bodies: list[bytes] = []
    made.rewrite(lambda body: bodies.append(body) or body)  # type: ignore[func-returns-value]
    assert "complete" == made.sync().status
    assert b'<opportunities size="4">' in bodies[0]
    assert made.truth() == made.held()


def test_onautomates_link_on_the_last_page_leads_nowhere(desk: Make) -> None:
    """Given a nextPageUrl on the last page too, in plain http, then it is not followed and the scan ends."""
    made = desk("onautomate", rows=10, cap=5)
    bodies: list[bytes] = []
    made.rewrite(lambda body: bodies.append(body) or body)  # type: ignore[func-returns-value]
    assert "complete" == made.sync().status
    assert all(b"nextPageUrl" in body and b'"nextPageUrl":null' not in body for body in bodies)
    assert made.truth() == made.held()
    assert 12 > len(made.asked())

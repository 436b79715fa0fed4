"""Paging over a list whose rows come, go and change places while it is read. Behaviours 11, 12, 13 and 16."""

from datetime import timedelta
from typing import Any

import pytest

from onepipe.sandbox.wire import seconds_z
from tests.behaviours.conftest import Make
from tests.behaviours.desk import CRMS, Desk

Ways = pytest.mark.parametrize("way", [*CRMS, "administrate by number"])
"""By key (Administrate), page number (Tactile), offset (Capsule; Overplane, with a total), cursor (OnAutomate)."""


def _paged(desk: Make, way: str, rows: int = 17) -> tuple[Desk, list[Any]]:
    """An account with pages of 5, and its ids in the list's order."""
    crm, _, by_number = way.partition(" ")
    made = desk(crm, rows=0, cap=5)
    ids = made.fill(rows)
    if by_number:  # once its order proved wrong, an account is read by page number
        fault = made.crm.faults.add("ignore_order", count=None)
        made.sync()
        made.crm.faults.remove(fault)
        assert [("order",)] == made.work("SELECT fact FROM store.distrust")
        made.later(minutes=5)
    return made, ids


@Ways
def test_11_a_delete_between_two_pages_hides_no_other_row(desk: Make, way: str) -> None:
    """11. Given a deletion on page 1 while page 2 is on its way, then the shift is noticed and no id is missing."""
    made, ids = _paged(desk, way)
    made.rename(ids[11], "renamed")
    made.between(lambda: made.crm.delete(ids[1]))
    report = made.sync(sweep=True)
    assert "complete" == report.status
    assert made.truth().items() <= made.held().items()


@Ways
def test_11_a_delete_that_an_insert_makes_up_for(desk: Make, way: str) -> None:
    """11. Given a deletion behind us and an insertion ahead, so that the total stands still, then no row is missing."""
    made, ids = _paged(desk, way)

    def exchange() -> None:
        made.crm.delete(ids[1])
        made.insert("Zuletzt")

    made.between(exchange)
    assert made.sync(sweep=True).status in ("complete", "partial")  # partial where the count tells of the deletion
    assert {str(row_id) for row_id in ids if row_id != ids[1]} <= set(made.held())


@pytest.mark.parametrize("way", ["tactile", "capsule"])
def test_11_an_edit_that_moves_a_row_hides_no_other_row(desk: Make, way: str) -> None:
    """11. Given a rename that takes a row from page 1 to the list's end, then the row that moves up is not missed."""
    made, ids = _paged(desk, way)
    made.between(lambda: made.rename(ids[0], "Zuletzt"))
    assert "complete" == made.sync().status
    assert set(made.truth()) == set(made.held())


@pytest.mark.parametrize("way", ["tactile", "capsule", "overplane"])
def test_12_an_insert_between_two_pages_makes_no_double(desk: Make, way: str) -> None:
    """12. Given an insertion on page 1 that pushes a row onto page 2 once more, then one of it arrives and stays."""
    made, _ = _paged(desk, way)
    made.between(lambda: made.insert("Deal 00"))
    report = made.sync(sweep=True)
    assert ("complete", len(made.held())) == (report.status, made.line(report)["fetched"])
    assert made.held().items() >= {key: name for key, name in made.truth().items() if name != "Deal 00"}.items()
    doubles = "SELECT source_id FROM opportunities GROUP BY source_id HAVING count(*) > 1"
    versions = "SELECT record_id FROM raw.records WHERE resource = 'opportunity' GROUP BY ALL HAVING count(*) > 1"
    assert [] == made.work(doubles)
    assert [] == made.work(versions)


@pytest.mark.parametrize("newer_first", [True, False])
def test_13_the_newer_of_two_versions_wins(desk: Make, newer_first: bool) -> None:
    """13. Given one id on two pages in two versions, then the one with the newer stamp wins, whichever came first."""
    made, ids = _paged(desk, "capsule", rows=9)
    row = "<id>{}</id><name>{}</name><updatedOn>{}</updatedOn></opportunity>"
    older = row.format(ids[1], "older", seconds_z(made.now - timedelta(minutes=2))).encode()
    newer = row.format(ids[1], "newer", seconds_z(made.now - timedelta(minutes=1))).encode()
    for page, version in enumerate((newer, older) if newer_first else (older, newer), start=1):

        def put(body: bytes, version: bytes = version) -> bytes:
            rows = body.split(b"<opportunity>")
            return b"<opportunity>".join([*rows[:2], version, *rows[3:]])

        made.rewrite(put, nth=page, count=1)
    made.sync()
    assert "newer" == made.held()[str(ids[1])]


@pytest.mark.parametrize("way", ["tactile", "overplane"])
def test_16_a_page_of_which_nothing_is_left_is_no_end(desk: Make, way: str) -> None:
    """16. Given a page whose every row was seen before, and so falls away on our side, then paging goes on."""
    made, _ = _paged(desk, way)
    pushed = 5 if way == "tactile" else 4  # offsets overlap by one row

    def push() -> None:
        for number in range(pushed):
            made.insert(f"Deal 00 {number}")

    made.between(push)
    report = made.sync()
    assert "complete" == report.status
    old = {key: name for key, name in made.truth().items() if not name.startswith("Deal 00")}
    assert old.items() <= made.held().items()

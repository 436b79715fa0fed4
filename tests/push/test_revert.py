"""Taking a run back: what can be is queued, resting on our own read-back; what cannot be is said."""

import json
from typing import Any

import pytest

import onepipe.edit as editing
from onepipe.errors import UsageError
from onepipe.push.revert import Reverted, revert
from onepipe.rebind import intended, rebind
from tests.push.conftest import Make
from tests.push.desk import Desk


def _revert(made: Desk, run_id: str, reason: str = "") -> Reverted:
    with made.project() as project:
        return revert(project, run_id, reason)


def _pushed(desk: Make, crm: str = "overplane", **fields: str) -> tuple[Desk, str, str]:
    """A desk whose one deal was edited and pushed; the deal's id, and the run's."""
    made = desk(crm)
    row = made.deal(crm)
    made.sync()
    made.edit(crm, row, **(fields or {"name": "Ours", "amount": "120.25"}))
    return made, str(row), made.apply().run_id


def test_the_opposite_is_queued_with_its_reason(desk: Make) -> None:
    """What the CRM held before is wanted again, by whom and why, and rests on what was read back after our write."""
    made, row, run_id = _pushed(desk)
    done = _revert(made, run_id, "wrong deal")
    assert [("name", "Ours", "Deal"), ("amount", "120.25", "100.25")] == [
        (one.field, one.base, one.value) for one in done.queued
    ]
    assert ([], [], {"overplane": "on"}) == (done.nothing, done.refused, done.modes)
    queue = made.queue()
    assert [f"revert of {run_id}: wrong deal"] * 2 == [one["reason"] for one in queue]
    assert [one.edit_id for one in done.queued] == [one["edit_id"] for one in queue]
    assert ["Ours", "120.25"] == [one["base"] for one in queue]
    assert {editing.actor()} == {one["actor"] for one in queue}
    assert {row} == {one["source_id"] for one in done.document()["queued"]}


@pytest.mark.long
def test_a_revert_is_a_run_like_any_other(desk: Make) -> None:
    """It can be reverted itself; the deal is then as the first run had made it."""
    made, row, run_id = _pushed(desk)
    _revert(made, run_id)
    second = made.apply()
    assert ("Deal", "100.25") == (made.held("overplane", row, "name"), made.held("overplane", row, "amount"))
    _revert(made, second.run_id)
    assert 0 == made.apply().exit_code
    assert ("Ours", "120.25") == (made.held("overplane", row, "name"), made.held("overplane", row, "amount"))


@pytest.mark.long
def test_what_was_empty_is_emptied(desk: Make) -> None:
    """A field that held nothing before our write holds nothing after it is taken back; custom fields one by one."""
    made = desk("capsule")
    row = made.deal("capsule", description=None)
    made.sync()
    made.edit("capsule", row, description="Ours", tags="new", custom__Seats="5")
    run = made.apply()
    assert 0 == run.exit_code, run.document()
    done = _revert(made, run.run_id)
    assert {"description", "tags", "custom.Seats"} == {one.field for one in done.queued}
    back = made.apply()
    assert 0 == back.exit_code, back.document()
    ((description, tags, custom),) = made.sql("SELECT description, tags, custom->>'Seats' FROM opportunities")
    assert (None, [], None) == (description, tags, custom)


@pytest.mark.long
def test_line_items_are_as_they_were(desk: Make) -> None:
    """What the run changed, added and removed is as before; a row that somebody added since stays."""
    made = desk("overplane")
    row = made.deal("overplane", items=[{"item_name": "One", "qty": 1}, {"item_name": "Two", "qty": 2}])
    made.sync()
    one = _items(made, row)["One"]["id"]
    wanted = [{"item_id": one, "name": "One", "quantity": 5}, {"name": "Three", "quantity": 3}]
    made.edit("overplane", row, line_items=json.dumps(wanted))
    run = made.apply()
    assert 0 == run.exit_code, run.document()
    assert {"One": 5, "Three": 3} == {name: item["qty"] for name, item in _items(made, row).items()}
    made.crm("overplane")._add_child("opportunity-item", {"item_name": "Foreign", "qty": 7, "opportunity_id": row})
    assert ["line_items"] == [one.field for one in _revert(made, run.run_id).queued]
    back = made.apply()
    assert 0 == back.exit_code, back.document()
    assert {"One": 1, "Two": 2, "Foreign": 7} == {name: item["qty"] for name, item in _items(made, row).items()}


def _items(made: Desk, row: Any) -> dict[str, Any]:
    """The CRM's line items of a deal, by name."""
    return {one["item_name"]: one for one in made.crm("overplane").children["opportunity-item"][row]}


def test_unknown_runs_and_runs_that_wrote_nothing_are_refused(desk: Make) -> None:
    """Nothing is queued, and the words say which of both it is."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    made.change("overplane", row, name="Ours")
    nothing = made.apply().run_id
    with pytest.raises(UsageError, match="wrote nothing"):
        _revert(made, nothing)
    with pytest.raises(UsageError, match="no run of pushes is called"):
        _revert(made, "20200101T000000-abcdef")
    assert [] == made.queue()


@pytest.mark.long
def test_an_edit_that_waits_is_not_replaced(desk: Make) -> None:
    """Somebody's newer wish stays; the fields without one are taken back; the same opposite is queued once."""
    made, row, run_id = _pushed(desk)
    made.edit("overplane", row, amount="777")
    done = _revert(made, run_id)
    assert ["name"] == [one.field for one in done.queued]
    assert [("amount", "edit 3 waits")] == [(one.field, one.reason[:12]) for one in done.refused]
    again = _revert(made, run_id)
    assert ([], ["name"]) == ([one.field for one in again.queued], [one.field for one in again.nothing])
    assert ["777.00", "Deal"] == [one["value"] for one in made.queue()]


@pytest.mark.long
def test_what_was_changed_since_is_said_and_is_a_conflict(desk: Make) -> None:
    """A change that is known already is told when the opposite is queued; when it is sent, it is a conflict."""
    made, row, run_id = _pushed(desk)
    made.change("overplane", row, amount="140.25")
    made.sync()
    done = _revert(made, run_id)
    assert ["", "it was changed since, which will be a conflict"] == [one.note for one in done.queued]
    made.apply()
    assert ["amount"] == [one.field for one in made.conflicts()]


@pytest.mark.long
@pytest.mark.parametrize("crm", ["capsule", "overplane", "tactile"])
def test_a_record_that_was_made_is_deleted_where_that_can_be(desk: Make, crm: str) -> None:
    """One deletion for all that the run wrote to it, tags that took a request of their own among it."""
    more = {
        "capsule": {"company_id": "2", "stage": "New", "tags": "a,b"},
        "overplane": {"company_id": "customer_1", "extra__company": "Example Corp"},
        "tactile": {"expected_close_date": "2027-01-31", "stage": "New"},
    }
    made = desk(crm, limits={"max_deletes": 1})
    made.deal(crm)
    made.sync()
    made.new(crm, name="New", **more[crm])
    run = made.apply()
    assert 0 == run.exit_code, run.document()
    done = _revert(made, run.run_id)
    if crm == "tactile":
        assert [] == done.queued
        assert ["Tactile CRM has no way to delete a deal"] == [one.reason[:39] for one in done.refused]
        return
    assert [("delete", "New", "")] == [(one.op, one.base, one.field) for one in done.queued]
    assert ["it waits to be deleted already, as edit"] == [one.reason[:39] for one in _revert(made, run.run_id).nothing]
    back = made.apply()
    assert 0 == back.exit_code, back.document()
    assert [] == made.named(crm, "New")
    with pytest.raises(UsageError):
        _revert(made, "nothing")
    gone = _revert(made, back.run_id)
    assert ["a deleted deal cannot be brought back"] == [one.reason[:37] for one in gone.refused]


@pytest.mark.long
def test_a_deal_that_is_gone_cannot_be_taken_back(desk: Make) -> None:
    """As soon as it is known that the CRM has it no more."""
    made, row, run_id = _pushed(desk)
    made.connections["overplane"]["write"]["limits"] = {"max_deletes": 1}
    made.delete("overplane", row)
    made.apply()
    assert ["the CRM no longer has the record"] == [one.reason for one in _revert(made, run_id).refused]


@pytest.mark.long
def test_a_write_whose_answer_was_lost_is_taken_back_once_it_is_known(desk: Make) -> None:
    """Nobody knows: refused. A later run finds out: either run can be taken back, to what was there before both."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    made.lose("overplane")
    hidden = made.crm("overplane").faults.add("status", status=503, method="GET", nth=2, count=None)
    first = made.apply()
    assert ["unknown"] == [one.state for one in first.items], first.document()
    assert ["it is not known yet whether it happened"] == [
        one.reason[:39] for one in _revert(made, first.run_id).refused
    ]
    made.crm("overplane").faults.clear()
    second = made.apply()
    assert ["done"] == [one.state for one in second.items]
    for run_id in (first.run_id, second.run_id):
        done = _revert(made, run_id)
        assert [("Ours", "Deal")] == [(one.base, one.value) for one in (*done.queued, *done.nothing)]
    assert hidden is not None


@pytest.mark.long
def test_a_name_of_another_account_is_left_alone(desk: Make) -> None:
    """Pushes to an account that the name no longer means are not taken back in the new one; nor those of a retired
    connection.
    """
    made, _, run_id = _pushed(desk)
    with made.project() as project:
        rebind(project, intended(project, "overplane", new_account=True), made.notes)
    made.sync()
    assert ["the connection's name belongs to another account since"] == [
        one.reason for one in _revert(made, run_id).refused
    ]
    made.connections["other"] = made.connections.pop("overplane")
    assert ["the connection is retired: it is no longer in config.yaml"] == [
        one.reason for one in _revert(made, run_id).refused
    ]

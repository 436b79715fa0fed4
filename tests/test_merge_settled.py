"""What became of a write, told by reading it back; and the states of an edit."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from onepipe.merge import CLEAR, MISSING, settled, states


@pytest.mark.parametrize(
    ("column", "before", "wanted", "now", "expected"),
    [
        ("name", "a", "b", "b", "done"),
        ("name", "a", " b ", "b", "done_normalised"),
        ("name", "a", "b", "a", "not_applied"),
        ("name", "a", "b", "c", "overwritten"),
        ("name", "a", "R & D", "R &amp; D", "done_normalised"),
        ("name", "a", "x" * 300, "x" * 255, "done_normalised"),
        ("name", "a", "abc", "ab", "overwritten"),
        ("name", "a", CLEAR, None, "done"),
        ("name", "a", CLEAR, "a", "not_applied"),
        ("name", "a", "b", None, "overwritten"),
        ("name", "b", "b", "c", "overwritten"),  # sent along only because a form wants it
        ("amount", Decimal(1), CLEAR, Decimal(0), "done_normalised"),
        ("amount", Decimal(1), Decimal("99.50"), Decimal(100), "done_normalised"),
        ("amount", Decimal(1), Decimal(120), Decimal("119.99"), "overwritten"),
        ("probability", None, Decimal("0.63"), Decimal("0.65"), "done_normalised"),
        ("probability", None, Decimal("0.63"), Decimal("0.9"), "overwritten"),
        ("contact_email", None, "Ana@b", "ana@b", "done_normalised"),
        ("contact_phone", None, "020 7946 0000", "+442079460000", "done_normalised"),
        ("expected_close_date", None, date(2024, 1, 1), date(2024, 1, 2), "overwritten"),
        ("tags", ["a"], ["a", "b"], ["a", "b", "c"], "done"),
        ("tags", ["a"], ["B", "a"], ["a", "b"], "done_normalised"),
        ("tags", ["a"], ["a", "b"], ["a"], "not_applied"),
        ("custom.x", None, "12.50", Decimal("12.5"), "done"),
        ("is_archived", False, True, False, "not_applied"),
    ],
)
def test_the_read_back_tells_what_became_of_a_write(
    column: str, before: Any, wanted: Any, now: Any, expected: str
) -> None:
    """As sent, in the CRM's own form, not at all, or somebody else's."""
    assert expected == settled(column, before, wanted, now)


def test_the_stamps_of_a_crm_settle_what_the_value_cannot() -> None:
    """Where they prove that no other hand was there, whatever is read back is the CRM's own form."""
    assert "done_normalised" == settled("name", "a", "b", "c", foreign=False)
    assert "overwritten" == settled("name", "a", "b", "a", foreign=True)
    assert "done" == settled("name", "a", "b", "b", foreign=True)
    with pytest.raises(ValueError, match="not read back"):
        settled("name", "a", "b", MISSING)


ROW = {"item_id": "1", "quantity": Decimal(1), "unit_amount": Decimal(5)}


@pytest.mark.parametrize(
    ("wanted", "now", "expected"),
    [
        ([ROW, {"name": "Nut"}], [ROW, {"item_id": "2", "name": "Nut"}], "done"),
        ([ROW, {"name": "Nut"}, {"name": "Nut"}], [ROW, {"item_id": "2", "name": "Nut"}], "overwritten"),
        ([ROW | {"quantity": Decimal(2)}], [ROW | {"quantity": Decimal(2)}, {"item_id": "9"}], "done"),
        ([ROW | {"quantity": Decimal(2)}], [ROW], "not_applied"),
        ([ROW | {"quantity": Decimal("2.5")}], [ROW | {"quantity": Decimal(3)}], "done_normalised"),
        ([], [], "done"),
    ],
)
def test_line_items_are_settled_row_by_row(wanted: Any, now: Any, expected: str) -> None:
    """Rows that others added meanwhile, and columns we did not send, do not count."""
    assert expected == settled("line_items", [ROW], wanted, now)


def test_every_state_is_told_to_people() -> None:
    """Each has a group, a meaning, and, where it is neither done nor over, something to do or to wait for."""
    for state in states.STATES.values():
        assert state.group in states.GROUPS
        assert state.meaning
        assert state.final != bool(state.next)
        assert set(state.next) <= set(states.STATES)
        assert state.advice or state.group in ("done", "waiting") or state.name == "gone"


def test_the_states_are_those_that_are_promised() -> None:
    """Names, exit codes and finality are part of what others build on."""
    sound = {"done", "done_normalised", "converged", "kept_remote", "waiting"}
    others = {"conflict", "stale", "rejected", "not_applied", "overwritten", "unknown", "ambiguous", "gone", "ready"}
    assert sound | others | {"refused", "dead"} == set(states.SHOWN)
    assert sound == {name for name in states.SHOWN if states.exit_code([name]) == 0}
    assert 0 == states.exit_code([])
    assert states.STATES["rejected"].final
    assert states.STATES["not_applied"].final


def test_an_item_is_in_the_state_of_its_most_pressing_field() -> None:
    """So that nothing that needs somebody hides behind what went well."""
    assert "done" == states.worst(["converged", "kept_remote", "done"])
    assert "conflict" == states.worst(["done", "conflict", "waiting"])
    assert "converged" == states.worst([])


def test_what_may_be_on_the_wire_is_unknown_after_a_crash() -> None:
    """It never becomes ready by dying, and only reads or a person make it so."""
    assert {name: name for name in states.SHOWN} == {name: states.after_restart(name) for name in states.SHOWN}
    assert "unknown" == states.after_restart("sending")
    assert not states.may_become("done", "ready")
    assert states.may_become("unknown", "ready")
    assert not states.may_become("ambiguous", "sending")


def test_whatever_sent_nothing_can_be_given_up() -> None:
    """An edit that is dropped, or decided against, leaves no push that could never be closed."""
    ways = {"waiting": "dead", "ready": "dead", "stale": "dead", "refused": "dead", "conflict": "kept_remote"}
    for state, after in ways.items():
        assert states.may_become(state, after)

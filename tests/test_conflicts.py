"""Conflicts in the control file: met again and again, decided by a person once, or over by themselves."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onepipe.control import Clash, Conflict, Control, Wish
from onepipe.control.file import MIGRATIONS, ControlFile
from onepipe.control.pushing import CONFLICTS
from onepipe.errors import UsageError
from onepipe.records import Stored

READ = datetime(2026, 1, 15, 12, tzinfo=UTC)
RECORD = Stored(source_id="43", payload='{"id": 43}', payload_hash="h", details={"tag": "[]"}, read_at=READ)
CLASH = Clash(
    connection="acme",
    source_id="43",
    draft=None,
    kind="field",
    field="amount",
    slot="amount",
    base="100.00",
    ours="120.00",
    theirs="110.00",
    record=RECORD,
    reason="both sides changed it",
)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control(tmp_path / "state", clock=lambda: READ.timestamp()) as control:
        yield control


def get(control: Control, conflict_id: str) -> Conflict:
    found = control.conflicts.get(conflict_id)
    assert found is not None
    return found


def queued(control: Control, field: str = "amount", **changed: str | None) -> str:
    told = {"connection": "acme", "source_id": "43", "field": field, "slot": field, "value": "120.00"}
    (edit_id,) = control.edits.put([Wish(**(told | changed))], "ann")  # type: ignore[arg-type]
    return edit_id


def test_a_conflict_is_kept_as_it_was_met(control: Control) -> None:
    """All of the clash, with the CRM's record, and when it was opened; it is open until something ends it."""
    (conflict_id,) = control.conflicts.meet("acme", "43", [CLASH])
    (one,) = control.conflicts.open()
    assert one == get(control, conflict_id)
    assert {name: getattr(CLASH, name) for name in CLASH.__dataclass_fields__} == {
        name: getattr(one, name) for name in CLASH.__dataclass_fields__
    }
    assert ("open", "2026-01-15T12:00:00.000000Z", None, None, None) == (
        *(one.state, one.opened_at, one.resolved_at, one.resolution, one.actor),
    )


def test_meeting_the_same_again_changes_nothing(control: Control) -> None:
    """A plan made twice opens a conflict once, keeps no second copy of the record, and gives nothing to land."""
    (first,) = control.conflicts.meet("acme", "43", [CLASH])
    ((change, _),) = control.conflicts.changed(0)
    later = replace(CLASH, record=replace(RECORD, read_at=READ.replace(hour=13)))
    assert [first] == control.conflicts.meet("acme", "43", [later])
    assert [] == control.conflicts.changed(change)
    assert RECORD == get(control, first).record


def test_a_conflict_is_brought_up_to_date_under_its_id(control: Control) -> None:
    """Of an id and its label, the slot is one; what a person sees is what was read last."""
    (first,) = control.conflicts.meet("acme", "43", [CLASH])
    now = replace(RECORD, payload='{"id": 43, "value": 115}', read_at=READ.replace(hour=13))
    assert [first] == control.conflicts.meet("acme", "43", [replace(CLASH, theirs="115.00", record=now, push_id=7)])
    one = get(control, first)
    assert ("115.00", now, 7) == (one.theirs, one.record, one.push_id)


def test_what_is_not_met_any_more_is_closed(control: Control) -> None:
    """Conflicts of other records stay; a closed one that comes back is another."""
    first, second = control.conflicts.meet("acme", "43", [CLASH, replace(CLASH, field="name", slot="name")])
    (other,) = control.conflicts.meet("acme", "44", [replace(CLASH, source_id="44")])
    assert [second] == control.conflicts.meet("acme", "43", [replace(CLASH, field="name", slot="name")])
    assert ("closed", "no longer a conflict") == (get(control, first).state, get(control, first).resolution)
    assert [second, other] == [one.conflict_id for one in control.conflicts.open()]
    again = control.conflicts.meet("acme", "43", [CLASH])
    assert first not in again
    assert [other] == [one.conflict_id for one in control.conflicts.open() if one.source_id == "44"]
    assert [] == control.conflicts.open(["another"])


def test_a_delete_is_one_conflict_whichever_push_meets_it(control: Control) -> None:
    """A plan and the pushes after it mean the same; a lost call is one for each push."""
    delete = replace(CLASH, kind="delete", field="", slot="", base=None, ours=None, theirs=None)
    (planned,) = control.conflicts.meet("acme", "43", [delete])
    assert [planned] == control.conflicts.meet("acme", "43", [replace(delete, push_id=3)])
    lost = replace(delete, kind="lost")
    calls = control.conflicts.meet("acme", "43", [replace(lost, push_id=4), replace(lost, push_id=5)])
    assert 2 == len({planned, *calls} - {planned})


def test_a_decision_ends_it_once(control: Control) -> None:
    """Who decided what, when and why; a second decision is refused, and so is one of an unknown conflict."""
    (first,) = control.conflicts.meet("acme", "43", [CLASH])
    control.conflicts.resolve(first, "ours", "ann", "agreed by phone")
    one = get(control, first)
    assert ("resolved", "ours", "ann", "agreed by phone", "both sides changed it") == (
        *(one.state, one.resolution, one.actor, one.why, one.reason),
    )
    for unknown in (first, "99", "x"):
        with pytest.raises(UsageError):
            control.conflicts.resolve(unknown, "theirs", "bob")
    assert "ours" == get(control, first).resolution


def test_dropping_an_edit_closes_its_conflict(control: Control) -> None:
    """Dropped, withdrawn or forgotten: nothing is left to decide; conflicts of other fields stay."""
    edit_id = queued(control)
    queued(control, "name")
    first, second = control.conflicts.meet("acme", "43", [CLASH, replace(CLASH, field="name", slot="name")])
    control.edits.drop([edit_id])
    assert ("closed", "the edit was dropped") == (get(control, first).state, get(control, first).resolution)
    assert "open" == get(control, second).state
    (withdrawn,) = [one.edit_id for one in control.edits.open() if one.slot == "name"]
    control.edits.put([], "ann", withdrawn=[withdrawn])
    assert [] == control.conflicts.open()
    control.conflicts.meet("acme", "43", [CLASH])
    control.conflicts.meet("other", "43", [replace(CLASH, connection="other")])
    control.forget("acme")
    assert ["other"] == [one.connection for one in control.conflicts.open()]


def test_an_edit_over_one_in_conflict_says_what_we_want_now(control: Control) -> None:
    """Whoever lists conflicts sees the value that `ours` would send."""
    queued(control)
    (first,) = control.conflicts.meet("acme", "43", [CLASH])
    queued(control, value="130.00")
    assert "130.00" == get(control, first).ours


def test_changes_come_in_order_and_in_parts(control: Control) -> None:
    """What was changed after a number, the last change of each conflict alone, however few at a time."""
    for number in range(3):
        control.conflicts.meet("acme", str(number), [replace(CLASH, source_id=str(number))])
    control.conflicts.meet("acme", "0", [])
    seen, after = [], 0
    while found := control.conflicts.changed(after, limit=1):
        after = found[-1][0]
        seen += [(one.source_id, one.state) for _, one in found]
    assert [("1", "open"), ("2", "open"), ("0", "closed")] == seen


def test_a_file_from_before_conflicts_is_brought_up(tmp_path: Path) -> None:
    """It gains the table, and an identity of its own."""
    state = tmp_path / "state"
    ControlFile(state / "control.sqlite", migrations=MIGRATIONS[: MIGRATIONS.index(CONFLICTS)]).close()
    with Control(state) as control, Control(tmp_path / "other") as other:
        assert ["1"] == control.conflicts.meet("acme", "43", [CLASH])
        assert 16 == len(control.identity)
        assert other.identity != control.identity

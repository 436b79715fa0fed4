"""Conflicts are decided by a person: ours, theirs or another value; all that one says, or nothing of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from onepipe.control import Clash
from onepipe.errors import Gone, LeaseHeld, UsageError
from onepipe.push.decided import Decision
from onepipe.push.resolve import Resolved, from_csv, resolve
from onepipe.push.standing import conflicts
from tests.effort import some_rows
from tests.push.conftest import Make
from tests.push.desk import Desk

NEW = {"name": "New", "company_id": "customer_1", "extra__company": "Example Corp"}


def _resolve(made: Desk, *said: tuple[str, str] | Decision) -> Resolved:
    decisions = [one if isinstance(one, Decision) else Decision(conflict_id=one[0], how=one[1]) for one in said]
    with made.project() as project:
        return resolve(project, decisions, now=made.at)


def _clashing(desk: Make, crm: str = "overplane", **fields: tuple[str, str]) -> tuple[Desk, Any]:
    """A desk with a deal that both sides changed: field=(ours, theirs); the apply that met it was made."""
    made = desk(crm)
    row = made.deal(crm)
    made.sync()
    wanted = fields or {"amount": ("120.25", "140.25")}
    made.edit(crm, row, **{field: ours for field, (ours, _) in wanted.items()})
    made.change(crm, row, **{field: theirs for field, (_, theirs) in wanted.items()})
    made.apply()
    return made, row


@pytest.mark.parametrize(
    ("how", "held", "waits"), some_rows([("160.25", "160.25", 1), ("ours", "120.25", 1), ("theirs", "140.25", 0)])
)
@pytest.mark.parametrize("crm", ["overplane", "capsule"])
def test_a_decision_is_carried_out_by_the_next_push(desk: Make, crm: str, how: str, held: str, waits: int) -> None:
    """Nothing is sent by deciding; then the CRM holds what was decided, and the table says who decided what."""
    made, row = _clashing(desk, crm)
    (conflict,) = made.conflicts()
    sent = len(made.writes(crm))
    done = _resolve(made, Decision(conflict_id=conflict.conflict_id, how=how, reason="agreed"))
    assert ([how], waits, sent) == ([one.resolution for one in done.resolved], len(made.queue()), len(made.writes(crm)))
    assert [("resolved", how, "agreed")] == made.sql("SELECT state, resolution, why FROM conflicts")
    assert 0 == made.apply().exit_code
    assert (held, []) == (made.held(crm, row, "amount"), made.queue())
    assert [] == made.conflicts()


@pytest.mark.long
def test_the_value_before_can_be_decided_for(desk: Make) -> None:
    """A value that is the edit's own base is written over theirs, not taken for taking the edit back."""
    made, row = _clashing(desk)
    _resolve(made, ("1", "100.25"))
    assert ["done"] == [one.state for one in made.apply().items]
    assert "100.25" == made.held("overplane", row, "amount")


@pytest.mark.long
def test_each_field_is_decided_by_itself(desk: Make) -> None:
    """Ours of one field and theirs of another; the words are taken as spreadsheets write them."""
    made, row = _clashing(desk, name=("Ours", "Theirs"), amount=("120.25", "140.25"))
    done = _resolve(made, ("1", " Theirs "), ("2", "OURS"), ("2", "ours"))
    assert ["theirs", "ours"] == [one.resolution for one in done.resolved]
    assert ["the CRM keeps Theirs, and edit 1 is dropped", "the next push writes 120.25"] == [
        one.next for one in done.resolved
    ]
    made.apply()
    assert ("Theirs", "120.25") == (made.held("overplane", row, "name"), made.held("overplane", row, "amount"))


@pytest.mark.long
def test_what_changed_since_the_decision_is_met_again(desk: Make) -> None:
    """A decision is about what was seen; a third value in the CRM is not written over."""
    made, row = _clashing(desk)
    _resolve(made, ("1", "ours"))
    made.change("overplane", row, amount="150.25")
    assert ["conflict"] == [one.state for one in made.apply().items]
    (again,) = made.conflicts()
    assert ("2", "150.25", "120.25") == (again.conflict_id, again.theirs, again.ours)


@pytest.mark.long
def test_all_is_decided_or_nothing(desk: Make) -> None:
    """Every fault is told, each with its line, and no sound decision beside them is carried out."""
    made, _ = _clashing(desk, name=("Ours", "Theirs"), amount=("120.25", "140.25"))
    said: Sequence[tuple[str, str]] = [("1", "ours"), ("2", "a lot"), ("7", "ours"), ("x", "ours"), ("1", "theirs")]
    decisions = [Decision(conflict_id=one, how=how, place=f"f.csv:{n}") for n, (one, how) in enumerate(said, 2)]
    with pytest.raises(UsageError) as told:
        _resolve(made, *decisions)
    assert [
        "f.csv:3: conflict 2: amount 'a lot' is no plain number, such as 1234.50; or say ours or theirs",
        "f.csv:4: conflict 7: there is none of this id",
        "f.csv:5: conflict x: there is none of this id",
        "f.csv:6: conflict 1: is decided twice, differently",
        "4 faults; nothing was decided.",
    ] == told.value.message.splitlines()
    assert ["1", "2"] == [one.conflict_id for one in made.conflicts()]
    assert [None, None] == [one.seen for one in _edits(made)]


@pytest.mark.long
def test_what_is_over_is_not_decided(desk: Make) -> None:
    """A conflict that was resolved, or whose edit waits no longer, is named with what became of it."""
    made, _ = _clashing(desk)
    _resolve(made, ("1", "theirs"))
    with pytest.raises(UsageError, match="conflict 1: it is resolved already: theirs"):
        _resolve(made, ("1", "ours"))
    assert Resolved() == _resolve(made)


@pytest.mark.long
def test_a_value_that_cannot_be_written_is_refused(desk: Make) -> None:
    """Another value is judged as an edit is: a stage that is none, an empty text."""
    made, _ = _clashing(desk, "capsule", stage=("Bid", "Won"))
    for value, words in (("Nowhere", "is not there"), (" ", "the value is empty")):
        with pytest.raises(UsageError, match=words):
            _resolve(made, ("1", value))
    _resolve(made, ("1", "Negotiation"))
    assert 0 == made.apply().exit_code


@pytest.mark.long
def test_a_deletion_is_decided_by_ours_or_theirs(desk: Make) -> None:
    """Ours deletes what was seen; theirs lets it stay; a value means nothing."""
    made = desk("overplane", limits={"max_deletes": 2})
    rows = [made.deal("overplane", name=name) for name in ("One", "Two")]
    made.sync()
    for row in rows:
        made.delete("overplane", row)
        made.change("overplane", row, amount="140.25")
    made.apply()
    assert ["delete", "delete"] == [one.kind for one in made.conflicts()]
    with pytest.raises(UsageError, match="a deletion is decided by ours or theirs"):
        _resolve(made, ("1", "100"))
    _resolve(made, ("1", "ours"), ("2", "theirs"))
    made.apply()
    assert ([], ["Two"]) == (made.queue(), [row["title"] for row in made.crm("overplane").records.values()])


def _ambiguous(desk: Make) -> Desk:
    """A desk with a create whose answer was lost, and two deals that may be it."""
    made = desk("overplane")
    made.deal("overplane")
    made.sync()
    made.new("overplane", **NEW)
    made.on_write("overplane", lambda: _twin(made), after=True, method="POST")
    made.lose("overplane", method="POST")
    made.apply()
    made.later(hours=1)
    assert ["ambiguous"] == [one.state for one in made.apply().items]
    return made


def _twin(made: Desk) -> None:
    """Somebody makes the very same deal at the same moment."""
    with made.crm("overplane").lock:
        rows = made.crm("overplane").rows
        (key,) = (key for key, row in rows.items() if row["title"] == "New")
        rows[f"twin_of_{key}"] = {**rows[key], "id": f"twin_of_{key}"}
        made.crm("overplane").touched()


@pytest.mark.long
def test_a_lost_create_that_did_not_happen_is_sent_again(desk: Make) -> None:
    """Ours: a person looked, and it is made by the next push, once."""
    made = _ambiguous(desk)
    for key in made.named("overplane", "New"):
        made.crm("overplane").delete(key)
    (conflict,) = made.conflicts()
    assert "lost" == conflict.kind
    _resolve(made, (conflict.conflict_id, "ours"))
    assert (2, "queued") == (_posts(made) + 1, made.queue()[0]["state"])
    assert ["done"] == [one.state for one in made.apply().items]
    assert (1, 2, []) == (len(made.named("overplane", "New")), _posts(made), made.queue())


@pytest.mark.long
def test_a_lost_create_can_be_given_up(desk: Make) -> None:
    """Theirs: nothing more is sent for it, its edits are over, and the table says by whose word."""
    made = _ambiguous(desk)
    _resolve(made, Decision(conflict_id=made.conflicts()[0].conflict_id, how="theirs", reason="it is there"))
    assert ([], [], []) == (made.queue(), made.conflicts(), made.apply().items)
    ((state, message),) = made.sql("SELECT state, message FROM pushes")
    assert ("dead", True) == (state, message.endswith("leave it as it is (it is there)"))
    assert 1 == _posts(made)


@pytest.mark.long
def test_a_record_can_be_named_as_the_one_that_was_made(desk: Make) -> None:
    """A value is the id of the deal: it is read, and is the push's from then on; one that is not there is refused."""
    made = _ambiguous(desk)
    (conflict,) = made.conflicts()
    with pytest.raises(Gone):
        _resolve(made, (conflict.conflict_id, "no_such"))
    assert ["open"] == [one.state for one in made.conflicts()]
    one, other = made.named("overplane", "New")
    _resolve(made, (conflict.conflict_id, one))
    assert ([], []) == (made.queue(), made.conflicts())
    assert [("done", one)] == made.sql("SELECT state, source_id FROM pushes")
    assert [("resolved", one)] == made.sql("SELECT state, resolution FROM conflicts")
    assert (other != one, 1) == (True, _posts(made))


def test_a_push_at_work_is_not_decided_over(desk: Make) -> None:
    """While another process has the connection, what became of its request is not for a person to say: nothing is
    decided.
    """
    made = _ambiguous(desk)
    (conflict,) = made.conflicts()
    with made.project() as other, other.control.lease("connection:overplane"), pytest.raises(LeaseHeld):
        _resolve(made, (conflict.conflict_id, "theirs"))
    assert ["open"] == [one.state for one in made.conflicts()]


def test_a_call_is_never_sent_again(desk: Make) -> None:
    """Ours is refused: a call that did not happen is called anew. Theirs closes it, as soon as reading cannot tell."""
    made = desk("overplane")
    row = str(made.deal("overplane"))
    made.sync()
    with made.project() as project, project.control.lease("connection:overplane") as lease:
        outbox = project.control.outbox
        asked = {"action": "add_lost_reason", "given": {"lost_reason": "price"}, "look": None}
        push_id = outbox.add("run-1", "overplane", "call", asked, source_id=row)
        assert push_id is not None
        outbox.claim(push_id, lease.number)
        outbox.attempt(push_id, lease.number, '{"method": "POST", "path": "/x"}')
        clash = Clash(connection="overplane", source_id=row, draft=None, kind="lost", push_id=push_id)
        project.control.conflicts.meet("overplane", row, [clash])
    with pytest.raises(UsageError, match="found out by the next"):
        _resolve(made, ("1", "theirs"))
    with made.project() as project, project.control.lease("connection:overplane") as lease:
        assert ["unknown"] == [one.state for one in project.control.outbox.recovered("overplane", lease.number)]
        project.control.outbox.settle(push_id, lease.number, "ambiguous", {})
    with pytest.raises(UsageError, match="a call is never sent again"):
        _resolve(made, ("1", "ours"))
    _resolve(made, ("1", "theirs"))
    assert [("dead", "call", row)] == made.sql("SELECT state, op, source_id FROM pushes")
    assert ([], []) == (made.conflicts(), made.apply().items)


def test_decisions_are_read_from_a_file(tmp_path: Path) -> None:
    """As people and spreadsheets write it; other columns are ignored, an empty resolution decides nothing."""
    file = tmp_path / "decided.csv"
    file.write_text("\ufeffConflict_ID;deal;resolution;reason\n7;Roof;theirs;agreed\n8;Hall;;\n9;Shed; 1.50;\n")
    assert [
        Decision(conflict_id="7", how="theirs", reason="agreed", place=f"{file}:2"),
        Decision(conflict_id="9", how=" 1.50", place=f"{file}:4"),
    ] == from_csv(file)
    file.write_text("conflict_id,resolution\n,ours\n")
    with pytest.raises(UsageError, match=":2: there is a resolution, and no conflict_id"):
        from_csv(file)
    file.write_text("id,how\n1,ours\n")
    with pytest.raises(UsageError, match=r"'conflict_id' is missing\n.*'resolution' is missing\n2 faults"):
        from_csv(file)
    with pytest.raises(UsageError, match=r"there is no file.*nothing was decided"):
        from_csv(tmp_path / "none.csv")


@pytest.mark.long
def test_the_reason_of_the_conflict_is_not_that_of_the_decision(desk: Make) -> None:
    """A file made of what `conflicts` tells can be given back: its own reason says nothing of why one decided so."""
    made, _ = _clashing(desk)
    with made.project() as project:
        (told,) = conflicts(project)
    _resolve(made, Decision(conflict_id=told["conflict_id"], how="ours", reason=told["reason"]))
    assert [("ours", None)] == made.sql("SELECT resolution, why FROM conflicts")


def _edits(made: Desk) -> list[Any]:
    with made.project() as project:
        return project.control.edits.open()


def _posts(made: Desk) -> int:
    return sum(seen.method == "POST" for seen in made.writes("overplane"))

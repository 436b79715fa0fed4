"""The queue of edits and the outbox: what is on disk when a process is killed between any two steps."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from onepipe.control import Control, Push, Wish
from onepipe.control.file import MIGRATIONS, ControlFile
from onepipe.control.pushing import PUSHING
from onepipe.errors import LeaseHeld, UsageError
from onepipe.merge import states
from onepipe.records import Stored

READ = datetime(2026, 1, 15, 12, tzinfo=UTC)


def stored(payload: str = '{"id": 43}', **changed: object) -> Stored:
    told = {"source_id": "43", "payload": payload, "payload_hash": "h", "details": {"tag": "[]"}, "read_at": READ}
    return Stored(**(told | changed))  # type: ignore[arg-type]


def wish(field: str = "amount", text: str | None = "120.00", **changed: object) -> Wish:
    told = {"connection": "acme", "source_id": "43", "field": field, "slot": field, "value": text, "base": stored()}
    return Wish(**(told | changed))  # type: ignore[arg-type]


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control(tmp_path / "state", clock=lambda: READ.timestamp()) as control:
        yield control


def pushed(control: Control, *fields: str) -> int:
    """A push of new edits of these fields."""
    ids = control.edits.put([wish(field) for field in fields], "ann")
    push_id = control.outbox.add("run-1", "acme", "update", {"amount": "120.00"}, source_id="43", edits=ids)
    assert push_id is not None
    return push_id


def state(control: Control, push_id: int) -> str:
    found = control.outbox.get(push_id)
    assert found is not None
    return found.state


# --- edits


def test_an_edit_is_kept_with_its_base(control: Control) -> None:
    """What was wanted, why, by whom, and the record as it was read, digit for digit."""
    payload = '{"id":43,"value":1.10,"name":"Ærø"}'
    (edit_id,) = control.edits.put([wish(base=stored(payload), reason="signed", note="rounded")], "ann")
    (edit,) = control.edits.open()
    assert (edit_id, "acme", "43", "update", "amount", "120.00") == (
        *(edit.edit_id, edit.connection, edit.source_id, edit.op, edit.field, edit.value),
    )
    assert ("signed", "rounded", "ann", "queued") == (edit.reason, edit.note, edit.actor, edit.state)
    assert stored(payload) == edit.base
    assert "2026-01-15T12:00:00.000000Z" == edit.created_at


def test_an_edit_over_a_queued_one_replaces_it_and_keeps_its_base(control: Control) -> None:
    """The id of an edit never means another wish; the base is that of the first."""
    (first,) = control.edits.put([wish(slot="stage", field="stage", value="Bid")], "ann")
    (second,) = control.edits.put([wish(slot="stage", field="stage_id", value="2", base=stored('{"later": 1}'))], "bob")
    (edit,) = control.edits.open()
    assert (second, "stage_id", "2", "bob", stored()) == (edit.edit_id, edit.field, edit.value, edit.actor, edit.base)
    replaced = control.edits.get(first)
    assert replaced is not None
    assert "replaced" == replaced.state


def test_an_edit_on_its_way_is_not_replaced_or_dropped(control: Control) -> None:
    """Until it is known whether it happened, nothing is laid over it, and nothing else of the command is queued."""
    push_id = pushed(control, "amount")
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    with pytest.raises(UsageError, match="may be on its way"):
        control.edits.put([wish("name"), wish("amount")], "ann")
    with pytest.raises(UsageError, match="may be on its way"):
        control.edits.drop(["1"])
    assert ["amount"] == [edit.field for edit in control.edits.open()]


def test_dropping_is_all_or_nothing(control: Control) -> None:
    """One id that does not wait spares the others; the edits of a new record go together."""
    control.edits.put([wish("amount"), wish("name")], "ann")
    for wrong in ("99", "x", "0", "-1", "9" * 30):
        with pytest.raises(UsageError, match="nothing was dropped"):
            control.edits.drop(["1", wrong])
    assert ["1", "2"] == [edit.edit_id for edit in control.edits.open({"acme"})]
    new = {"source_id": None, "draft": "new:1", "op": "create", "base": None}
    control.edits.put([wish("name", "Roof", **new), wish("stage", "Bid", **new)], "ann")
    assert ["3", "4"] == control.edits.drop(["4", "3"])
    assert [] == control.edits.open({"other"})
    assert ["1", "2"] == [edit.edit_id for edit in control.edits.open()]


def test_what_a_person_saw_is_kept_beside_the_base(control: Control) -> None:
    """A decision for ours rests on what was seen; an edit that takes its place keeps that, too."""
    (edit_id,) = control.edits.put([wish()], "ann")
    control.edits.saw(edit_id, stored('{"value": 110}'))
    control.edits.put([wish(value="130")], "ann")
    (edit,) = control.edits.open()
    assert (stored(), stored('{"value": 110}')) == (edit.base, edit.seen)


def test_a_name_that_belongs_to_another_account_forgets_its_edits(control: Control) -> None:
    """They were for the account before; other names keep theirs."""
    push_id = pushed(control, "amount")
    control.edits.put([wish(connection="other")], "ann")
    control.forget("acme")
    assert ["other"] == [edit.connection for edit in control.edits.open()]
    assert [] == control.outbox.waiting()
    assert control.outbox.claim(push_id, 5) is None


# --- the outbox


def test_a_push_that_is_read_back_is_one_line_of_the_journal(control: Control) -> None:
    """State, edits, what the tables are told and the read-back change together; the read-back is the next base."""
    push_id = pushed(control, "amount")
    control.outbox.claim(push_id, 7)
    assert 1 == control.outbox.attempt(push_id, 7, '{"value":1.10}', {"payload": "{}"})
    assert ["pushing"] == [edit.state for edit in control.edits.open()]
    assert control.outbox.answered(push_id, 1, 7, "answered", "200")
    back = stored('{"id": 43, "value": 120}', read_at=READ + timedelta(minutes=1))
    assert 1 == control.outbox.settle(push_id, 7, "done", {"state": "done"}, message="as sent", read=back)
    assert ([], []) == (control.edits.open(), control.outbox.waiting())
    (entry,) = control.outbox.journal(after=0)
    assert (1, push_id, "acme", "43", {"state": "done"}, back) == (
        *(entry.journal_id, entry.push_id, entry.connection, entry.source_id, entry.told, entry.read),
    )
    assert [] == control.outbox.journal(after=1)
    assert {"43": back} == control.edits.last_read("acme", ["43", "44"])
    (attempt,) = control.outbox.attempts(push_id)
    told = (attempt.request, attempt.before, attempt.outcome, attempt.answer, attempt.late)
    assert ('{"value":1.10}', {"payload": "{}"}, "answered", "200", False) == told


@pytest.mark.parametrize("name", [one for one in states.SHOWN if one in states.STATES["sending"].next])
def test_a_state_decides_what_becomes_of_the_edits(control: Control, name: str) -> None:
    """Final: settled. Certainly not applied: queued again. Possibly applied: on their way still."""
    push_id = pushed(control, "amount")
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    control.outbox.settle(push_id, 1, name, {})
    expected = "settled" if states.STATES[name].final else "pushing" if name == "unknown" else "queued"
    edit = control.edits.get("1")
    assert edit is not None
    assert expected == edit.state
    assert states.STATES[name].final == (control.outbox.waiting() == [])


def test_each_edit_of_a_record_has_its_own_end(control: Control) -> None:
    """What was done or rejected is over; the field in conflict waits on, although the record's push is over."""
    push_id = pushed(control, "amount", "name", "stage")
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    control.outbox.settle(push_id, 1, "rejected", {}, each={"1": "done", "2": "conflict"})
    assert ["name"] == [edit.field for edit in control.edits.open()]
    assert [] == control.outbox.waiting()
    assert control.outbox.add("run-2", "acme", "update", {}, source_id="43", edits=["2"]) is not None


def test_the_word_of_an_older_lease_has_no_effect(control: Control) -> None:
    """A paused process that wakes keeps its answer as evidence, and changes nothing."""
    push_id = pushed(control, "amount")
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    (taken,) = control.outbox.recovered("acme", 2)
    assert "unknown" == taken.state
    assert not control.outbox.answered(push_id, 1, 1, "answered", "200")
    with pytest.raises(LeaseHeld, match="taken over"):
        control.outbox.settle(push_id, 1, "done", {})
    with pytest.raises(LeaseHeld, match="taken over"):
        control.outbox.attempt(push_id, 1, "{}")
    assert ("unknown", None) == (state(control, push_id), control.outbox.claim(push_id, 1))
    assert [("200", True)] == [(one.answer, one.late) for one in control.outbox.attempts(push_id)]


def test_what_may_have_been_sent_is_not_sent_again(control: Control) -> None:
    """Only after a look has put it back to ready; and no second push of the record is begun meanwhile."""
    push_id = pushed(control, "amount")
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    control.outbox.recovered("acme", 2)
    with pytest.raises(AssertionError, match="cannot become sending"):
        control.outbox.attempt(push_id, 2, "{}")
    assert control.outbox.add("run-2", "acme", "update", {}, source_id="43") is None
    control.outbox.looked(push_id, {"found": 0})
    control.outbox.looked(push_id, {"found": 0})
    assert [{"found": 0}] * 2 == [found for _, found in control.outbox.looks(push_id)]
    control.outbox.settle(push_id, 2, "ready", {})
    assert 2 == control.outbox.attempt(push_id, 2, "{}")


def test_a_push_that_sent_nothing_gives_way_to_the_next_run(control: Control) -> None:
    """A conflict is judged anew; a call beside it has a place of its own."""
    first = pushed(control, "amount")
    control.outbox.claim(first, 1)
    control.outbox.settle(first, 1, "conflict", {})
    second = control.outbox.add("run-2", "acme", "update", {}, source_id="43", edits=["1"])
    call = control.outbox.add("run-2", "acme", "call", {"action": "add_note"}, source_id="43")
    waiting: list[Push] = control.outbox.waiting({"acme"})
    assert [second, call] == [one.push_id for one in waiting]
    assert [("1",), ()] == [one.edits for one in waiting]


def test_nothing_is_sent_for_an_edit_that_was_given_up(control: Control) -> None:
    """Dropped or replaced between the plan and the request: the attempt is not even written down."""
    push_id = pushed(control, "amount", "name")
    control.edits.put([wish("amount", "130")], "ann")
    control.outbox.claim(push_id, 1)
    assert control.outbox.attempt(push_id, 1, "{}") is None
    assert ("ready", []) == (state(control, push_id), control.outbox.attempts(push_id))


def test_a_new_record_is_known_by_its_id_once_the_crm_has_told_it(control: Control) -> None:
    """Further requests of the same push are for that id, and what waits on never makes a second record."""
    new = {"source_id": None, "draft": "new:1", "op": "create", "base": None}
    ids = control.edits.put([wish("name", "Roof", **new), wish("tags", "[]", **new)], "ann")
    push_id = control.outbox.add("run-1", "acme", "create", {}, draft="new:1", edits=ids)
    assert push_id is not None
    control.outbox.claim(push_id, 1)
    control.outbox.attempt(push_id, 1, "{}")
    control.outbox.settle(push_id, 1, "sending", {}, source_id="77")
    assert 2 == control.outbox.attempt(push_id, 1, "{}")
    control.outbox.settle(push_id, 1, "done", {}, read=stored(source_id="77"), each={"2": "conflict"})
    assert ["77"] == list(control.edits.last_read("acme", ["77"]))
    assert [("update", "77", "tags")] == [(one.op, one.source_id, one.field) for one in control.edits.open()]


STEPS = ("add", "claim", "attempt", "answered", "settle")
LEFT = {  # killed after the step: the push's state after a restart, and that of its edit
    "add": ("ready", "queued"),
    "claim": ("ready", "queued"),
    "attempt": ("unknown", "pushing"),
    "answered": ("unknown", "pushing"),
    "settle": (None, "settled"),
}
CHILD = """
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from onepipe.control import Control
    from onepipe.records import Stored

    def upto(step):
        if step == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    control = Control(Path(sys.argv[1]))
    push_id = control.outbox.add("run-1", "acme", "update", {}, source_id="43", edits=["1"])
    upto("add")
    control.outbox.claim(push_id, 1)
    upto("claim")
    control.outbox.attempt(push_id, 1, "{}")
    upto("attempt")
    control.outbox.answered(push_id, 1, 1, "answered", "200")
    upto("answered")
    back = Stored(source_id="43", payload="{}", payload_hash="h", read_at=datetime.now(UTC))
    control.outbox.settle(push_id, 1, "done", {}, read=back)
    upto("settle")
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_after_any_step_leaves_what_is_true(tmp_path: Path, step: str) -> None:
    """As it was until the request is written down; then unknown, until a read tells; settled with its read-back."""
    with Control(tmp_path) as control:
        control.edits.put([wish()], "ann")
    child = subprocess.run([sys.executable, "-c", dedent(CHILD), str(tmp_path), step], check=False)
    assert -signal.SIGKILL == child.returncode
    with Control(tmp_path) as control:
        found = control.outbox.recovered("acme", 2)
        edit = control.edits.get("1")
        assert edit is not None
        assert LEFT[step] == (found[0].state if found else None, edit.state)
        assert (step == "settle") == bool(control.edits.last_read("acme", ["43"]))


def test_an_older_control_file_gains_the_tables(tmp_path: Path) -> None:
    """What it held is kept, and a copy from before stays beside it."""
    path = tmp_path / "control.sqlite"
    older = MIGRATIONS[: MIGRATIONS.index(PUSHING)]
    file = ControlFile(path, older)
    with file.writing() as db:
        db.execute("INSERT INTO token VALUES ('acme', 'access', 'word')")
    file.close()
    with Control(tmp_path) as control:
        assert {"access": "word"} == control.tokens("acme")
        assert ["1"] == control.edits.put([wish()], "ann")
    assert (tmp_path / f"control.v{len(older)}.sqlite").exists()


def test_one_record_has_one_open_edit_a_field_and_one_open_push(control: Control, tmp_path: Path) -> None:
    """The file itself refuses a second one, whatever the code above it does."""
    pushed(control, "amount")
    with sqlite3.connect(tmp_path / "state" / "control.sqlite") as db:
        for table, key in (("edit", "edit_id"), ("push", "push_id")):
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] != key]
            columns = ", ".join(names)
            with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
                db.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}")
    db.close()

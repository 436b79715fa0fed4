"""How things stand: what waits, what is to be decided, what the last run came to, and the life of one push."""

from typing import Any

import pytest

import onepipe.edit as editing
from onepipe.control import Clash
from onepipe.errors import UsageError
from onepipe.push.standing import conflicts, show, status
from tests.push.conftest import Make
from tests.push.desk import Desk


def _status(made: Desk, *words: str) -> dict[str, Any]:
    with made.project() as project:
        return status(project, words)


def _show(made: Desk, push_id: str | int) -> dict[str, Any]:
    with made.project() as project:
        return show(project, push_id)


def test_what_waits_is_told_by_connection(desk: Make) -> None:
    """Edits that wait, with the mode that lets them go or not; what is not chosen is left out."""
    made = desk("overplane", "capsule")
    rows = {crm: made.deal(crm) for crm in ("overplane", "capsule")}
    made.sync()
    nothing: dict[str, Any] = {"connections": [], "pushes": [], "conflicts": [], "last_run": None}
    assert nothing == _status(made)
    made.edit("overplane", rows["overplane"], name="Ours", amount="120.25")
    made.edit("capsule", rows["capsule"], name="Ours")
    made.connections["capsule"]["write"]["mode"] = "plan"
    told = _status(made)
    lone = {"connection": "capsule", "mode": "plan", "edits": 1, "pushes": 0, "conflicts": 0}
    assert [lone, {**lone, "connection": "overplane", "mode": "on", "edits": 2}] == told["connections"]
    assert [lone] == _status(made, "capsule")["connections"]
    del made.connections["capsule"]
    assert [None, "on"] == [one["mode"] for one in _status(made)["connections"]]


@pytest.mark.long
def test_what_the_last_run_came_to(desk: Make) -> None:
    """Counts by state and by group; a record whose conflict is open is told with it, and is over once decided."""
    made = desk("overplane")
    rows = [made.deal("overplane", name=name) for name in ("One", "Two")]
    made.sync()
    for row in rows:
        made.edit("overplane", row, amount="120.25")
    made.change("overplane", rows[0], amount="140.25")
    report = made.apply()
    told = _status(made)
    assert {"run_id": report.run_id, "states": {"conflict": 1, "done": 1},
            "groups": {"done": 1, "waiting": 0, "needs you": 1, "failed": 0}} == told["last_run"]  # fmt: skip
    (push,) = told["pushes"]
    assert (str(rows[0]), "conflict", "needs you", "One") == (
        *(push["source_id"], push["state"], push["group"], push["name"]),
    )
    (conflict,) = told["conflicts"]
    expected = {
        "connection": "overplane", "source_id": str(rows[0]), "field": "amount", "base": "100.25", "ours": "120.25",
        "theirs": "140.25", "name": "One", "kind": "field", "state": "open", "edit_id": "1", "draft": None,
    }  # fmt: skip
    assert expected == {key: conflict[key] for key in expected}
    made.drop("1")
    assert ([], []) == (_status(made)["pushes"], _status(made)["conflicts"])


def test_conflicts_of_what_is_not_there_yet_have_its_name(desk: Make) -> None:
    """A create that may have happened is told by the name that the deal is to have."""
    made = desk("overplane")
    made.deal("overplane")
    made.sync()
    made.new("overplane", name="New", company_id="customer_1", extra__company="Example Corp")
    with made.project() as project:
        draft = project.control.edits.open()[0].draft or ""
        clash = Clash(connection="overplane", source_id=None, draft=draft, kind="lost", push_id=1)
        project.control.conflicts.meet("overplane", draft, [clash])
        (told,) = conflicts(project)
        assert ("New", None, None, draft) == (told["name"], told["field"], told["edit_id"], told["draft"])
        assert [] == conflicts(project, ["over*"])[1:]


def test_the_life_of_a_push(desk: Make) -> None:
    """Who wanted it and why, what was sent, what came back, what was read, how it ended, and that it is landed."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, amount="120.25")
    made.apply()
    told = _show(made, 1)
    assert ("done", "done", True, str(row)) == (told["state"], told["group"], told["landed"], told["source_id"])
    assert ["asked", "written down", "read", "sent", "answered", "read back", "done", "landed"] == [
        line["what"] for line in told["lines"]
    ]
    asked, _, _, sent, _, back, _, _ = told["lines"]
    assert f"{editing.actor()} wants it amount 120.25 (edit 1): because" == asked["detail"]
    assert ("PATCH", {"opportunity_amount": 120.25}) == (sent["request"]["method"], sent["request"]["body"])
    assert "amount 100.25 -> 120.25" == back["detail"]
    assert sorted(line["at"] for line in told["lines"][:-1]) == [line["at"] for line in told["lines"][:-1]]
    assert "done" == told["fields"]["amount"]["state"]
    assert told == _show(made, "1")


def test_the_life_of_a_push_that_nobody_knows_the_end_of(desk: Make) -> None:
    """A lost answer is told as such, and every look after it."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, amount="120.25")
    made.lose("overplane", applied=False)
    made.apply()
    told = _show(made, 1)
    what = [line["what"] for line in told["lines"]]
    assert ["asked", "written down", "read", "sent", "answer lost", "looked"] == what[:6]
    assert ("unknown", "waiting", "unknown") == (told["state"], told["group"], what[-2])
    assert ["unknown"] == [one["state"] for one in _status(made)["pushes"]]


def test_an_unknown_push_is_refused(desk: Make) -> None:
    """Whatever was typed."""
    made = desk("overplane")
    for wrong in ("7", "x", "-1", "9" * 30):
        with pytest.raises(UsageError, match="there is no push"):
            _show(made, wrong)

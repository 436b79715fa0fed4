"""What both sides changed, decided field by field. Behaviours 1 to 4, 23 to 25."""

import json
from typing import Any

import pytest

import onepipe.push as push
from onepipe.errors import UsageError
from tests.push.conftest import Make
from tests.push.desk import CRMS, OWN, SECOND, VALUES, Desk, states

CLEARED = {"administrate": "expected_close_date", "tactile": "description", "capsule": "description"}
CLEARED |= {"onautomate": "lead_source", "overplane": "expected_close_date"}


def _ready(desk: Make, crm: str, **fields: Any) -> tuple[Desk, Any, str]:
    """A desk with one deal that is known here, and the name of its second field."""
    made = desk(crm)
    row = made.deal(crm, **fields)
    made.sync()
    return made, row, SECOND[crm]


@pytest.mark.parametrize("crm", CRMS)
def test_01_only_our_change_is_sent(desk: Make, crm: str) -> None:
    """1. Given that they moved the stage and we changed another field, then only that is sent, and both survive."""
    made, row, field = _ready(desk, crm)
    _, ours, *_ = VALUES[field]
    stands = made.move(crm, row)
    made.edit(crm, row, **{field: ours})
    done = made.pushed()
    assert ("done", {field: "done"}) == (done.state, states(done))
    assert (True, ours) == (stands(), made.held(crm, row, field))
    assert [{OWN[crm][field]}] == made.sent(crm)


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_02_both_changed_it(desk: Make, crm: str) -> None:
    """2. Given both changed a field differently, then it is not sent and a conflict shows all three; the rest goes."""
    made, row, field = _ready(desk, crm)
    base, ours, theirs, _ = VALUES[field]
    made.edit(crm, row, name="Ours", **{field: ours})
    made.change(crm, row, **{field: theirs})
    report = made.apply()
    (done,) = report.items
    assert ("conflict", 1) == (done.state, report.exit_code)
    assert {"name": "done", field: "conflict"} == states(done)
    assert ("Ours", theirs) == (made.held(crm, row, "name"), made.held(crm, row, field))
    assert 1 == len(made.writes(crm))
    (conflict,) = made.conflicts()
    assert (crm, str(row), field, base, ours, theirs) == (
        *(conflict.connection, conflict.source_id, conflict.field, conflict.base, conflict.ours, conflict.theirs),
    )
    assert conflict.opened_at.startswith(f"{made.now:%Y-%m-%d}")
    shown = made.sql("SELECT conflict_id, source_id, field, base, ours, theirs, state FROM conflicts")
    assert [(conflict.conflict_id, str(row), field, base, ours, theirs, "open")] == shown
    assert [field] == [edit["field"] for edit in made.queue()]


@pytest.mark.long
def test_02_an_open_conflict_is_met_again_and_sends_nothing(desk: Make) -> None:
    """2. Given a conflict that nobody decided, then each run shows the same one, and none sends the field."""
    made, row, field = _ready(desk, "overplane")
    _, ours, theirs, later = VALUES[field]
    made.edit("overplane", row, **{field: ours})
    made.change("overplane", row, **{field: theirs})
    made.apply()
    (first,) = made.conflicts()
    made.change("overplane", row, **{field: later})
    assert "conflict" == made.pushed().state
    (again,) = made.conflicts()
    assert (first.conflict_id, later) == (again.conflict_id, again.theirs)
    assert [] == made.writes("overplane")


@pytest.mark.long
@pytest.mark.parametrize(("policy", "state", "kept"), [("remote_wins", "kept_remote", 2), ("local_wins", "done", 1)])
@pytest.mark.parametrize("crm", ["capsule", "onautomate"])
def test_02_a_policy_decides(desk: Make, crm: str, policy: str, state: str, kept: int) -> None:
    """2. Given a policy other than ask, then it decides; under local_wins the value laid over is kept."""
    made = desk(crm, conflict=policy)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.change(crm, row, **{field: VALUES[field][2]})
    assert state == made.pushed().state
    assert VALUES[field][kept] == made.held(crm, row, field)
    assert [] == made.conflicts()
    made.sync()
    changes = made.sql(
        f"SELECT old, new, origin FROM field_changes WHERE field = '{field}' ORDER BY changed_at, origin DESC"
    )
    laid = [(VALUES[field][0], VALUES[field][2], "source"), (VALUES[field][2], VALUES[field][1], "push")]
    assert laid[: 1 + (policy == "local_wins")] == [(_plain(old), _plain(new), origin) for old, new, origin in changes]


def _plain(text: str) -> str:
    return f"{float(text):.2f}"


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_03_both_changed_it_alike(desk: Make, crm: str) -> None:
    """3. Given both sides changed a field to the same value, then nothing is sent, and that value is the base."""
    made, row, field = _ready(desk, crm)
    _, ours, _, other = VALUES[field]
    made.edit(crm, row, **{field: ours})
    made.change(crm, row, **{field: ours})
    report = made.apply()
    assert (["converged"], 0) == ([one.state for one in report.items], report.exit_code)
    assert [] == made.writes(crm)
    assert [] == made.queue()
    made.edit(crm, row, **{field: other})
    assert [ours] == [edit["base"] for edit in made.queue()]
    assert "done" == made.pushed().state


def _kept_in_a_file(made: Desk) -> Any:
    """A plan, written down as `push plan -o` does it, and read again."""
    path = made.folder / "plan.json"
    path.write_text(json.dumps(made.plan().document()))
    return push.read_plan(path)


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_04_a_plan_holds_for_what_it_was_made_for(desk: Make, crm: str) -> None:
    """4. Given they changed a deal after the plan, then it is stale and shows their value; the others are applied."""
    made = desk(crm)
    field = SECOND[crm]
    _, ours, theirs, _ = VALUES[field]
    rows = [made.deal(crm, name=f"Deal {number}") for number in range(3)]
    made.sync()
    for row in rows:
        made.edit(crm, row, **{field: ours})
    plan = _kept_in_a_file(made)
    assert [] == made.writes(crm)
    made.change(crm, rows[0], **{field: theirs})
    made.change(crm, rows[1], name="Theirs")  # nothing that the plan rests on
    report = made.apply(plan=plan)
    assert {str(rows[0]): "stale", str(rows[1]): "done", str(rows[2]): "done"} == {
        one.source_id: one.state for one in report.items
    }
    stale = next(one for one in report.items if one.state == "stale")
    assert (theirs, 1) == (stale.fields[field].theirs, report.exit_code)
    assert [theirs, ours, ours] == [made.held(crm, row, field) for row in rows]
    assert "Theirs" == made.held(crm, rows[1], "name")


@pytest.mark.long
def test_04_a_plan_carries_out_only_what_it_holds(desk: Make) -> None:
    """4. Given edits queued or replaced after the plan, then they are not what was approved, and wait."""
    made = desk("overplane")
    one, other = made.deal("overplane"), made.deal("overplane")
    made.sync()
    made.edit("overplane", one, name="Approved")
    plan = _kept_in_a_file(made)
    made.edit("overplane", other, name="Later")
    made.edit("overplane", one, amount="777.25")
    report = made.apply(plan=plan)
    assert ["stale"] == [item.state for item in report.items]
    assert [] == made.writes("overplane")
    assert ["name", "name", "amount"] == [edit["field"] for edit in made.queue()]
    plan = _kept_in_a_file(made)
    made.edit("overplane", other, name="Another")
    report = made.apply(plan=plan)
    assert {"done", "stale"} == {item.state for item in report.items}
    assert ["Approved", "Deal"] == [made.held("overplane", row, "name") for row in (one, other)]


@pytest.mark.long
def test_04_a_plan_applied_twice_does_its_work_once(desk: Make) -> None:
    """4. Given a plan that was carried out, then it can be applied again and sends nothing."""
    made, row, _ = _ready(desk, "capsule")
    made.edit("capsule", row, name="Ours")
    plan = _kept_in_a_file(made)
    made.apply(plan=plan)
    made.apply(plan=plan)
    assert 1 == len(made.writes("capsule"))


ZONES = [  # days on which clocks change, each with an account
    ("administrate", "Europe/Berlin", "2026-03-29"),
    ("tactile", "Europe/London", "2026-10-25"),
    ("capsule", "America/New_York", "2026-11-01"),
    ("overplane", "Pacific/Auckland", "2026-09-27"),
    ("tactile", "America/New_York", "2026-03-08"),
    ("capsule", "Pacific/Kiritimati", "2026-03-29"),
]


@pytest.mark.long
@pytest.mark.parametrize(("crm", "zone", "day"), ZONES)
def test_23_a_day_is_that_day(desk: Make, crm: str, zone: str, day: str) -> None:
    """23. Given a close date on a day on which clocks change, then it is that day there, here, and ever after."""
    made = desk(crm)
    made.timezone = zone
    row = made.deal(crm, expected_close_date="2026-01-15")
    made.sync()
    made.edit(crm, row, expected_close_date=day)
    assert {"expected_close_date": "done"} == states(made.pushed())
    assert day == made.held(crm, row, "expected_close_date")
    versions = "SELECT count(*), strftime(max(expected_close_date), '%Y-%m-%d') FROM opportunity_history"
    assert [(2, day)] == made.sql(versions)
    made.sync(full=True)
    assert [(2, day)] == made.sql(versions)
    assert [] == made.apply().items


@pytest.mark.long
def test_24_what_was_not_told_is_not_blank(desk: Make) -> None:
    """24. Given a field that we may not read, then it is never written and never cleared; the other fields go."""
    made, row, _ = _ready(desk, "overplane")
    made.edit("overplane", row, "expected_close_date", name="Ours", amount="120.25")
    hide = made.crm("overplane").faults.add(
        "rewrite", lists=False, method="GET", path=f"*/{row}", count=None, edit=_without("opportunity_amount")
    )
    done = made.pushed()
    assert (True, "done") == (hide.fired > 0, done.fields["name"].state)
    assert done.fields["amount"].state in ("refused", "conflict")
    assert ("Ours", "100.25") == (made.held("overplane", row, "name"), made.held("overplane", row, "amount"))
    assert "opportunity_amount" not in set().union(*made.sent("overplane"))
    assert ["amount"] == [edit["field"] for edit in made.queue()]
    made.crm("overplane").faults.clear()
    assert "done" == made.pushed().state
    assert "120.25" == made.held("overplane", row, "amount")


def _without(name: str) -> Any:
    def edit(body: bytes) -> bytes:
        told = json.loads(body)
        told.pop(name, None)
        return json.dumps(told).encode()

    return edit


@pytest.mark.long
def test_24_a_form_is_not_filled_in_with_what_was_not_told(desk: Make) -> None:
    """24. Given a form that demands a field, and a read that does not tell it, then nothing is made up for it."""
    made, row, _ = _ready(desk, "onautomate")
    before = made.crm("onautomate").rows[row]["contact"]
    made.edit("onautomate", row, name="Ours")
    made.crm("onautomate").faults.add(
        "rewrite", lists=False, method="GET", path=f"*/{row}", count=None, edit=_without("contact")
    )
    made.apply()
    assert before == made.crm("onautomate").rows[row]["contact"]
    assert all(b'"contactId": null' not in seen.body for seen in made.writes("onautomate"))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_25_only_a_clear_clears(desk: Make, crm: str) -> None:
    """25. Given an empty value, then theirs stays; given an explicit clear, then it is cleared and verified."""
    made = desk(crm)
    field = CLEARED[crm]
    text = "2027-01-31" if field == "expected_close_date" else "something"
    row = made.deal(crm, **{field: text})
    made.sync()
    assert [] == made.edit(crm, row, **{field: ""})
    assert [] == made.apply().items
    assert text == made.held(crm, row, field)
    made.edit(crm, row, field)
    done = made.pushed()
    assert ("done", None) == (done.state, done.fields[field].now)
    assert made.held(crm, row, field) in (None, "")
    assert [(None,)] == made.sql(f"SELECT {field} FROM opportunities")


@pytest.mark.long
def test_25_what_may_not_be_empty_is_not_cleared(desk: Make) -> None:
    """25. Given a field that no deal can be without, then clearing it is refused when it is asked for."""
    made, row, _ = _ready(desk, "tactile")
    with pytest.raises(UsageError, match="cannot be empty"):
        made.edit("tactile", row, "expected_close_date")
    assert [] == made.queue()

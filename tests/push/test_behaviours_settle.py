"""What a write came to, told by reading it back. Behaviours 5 to 8 and 20 to 22."""

import json
from typing import Any

import pytest

from tests.push.conftest import Make
from tests.push.desk import CRMS, OWN, SECOND, VALUES, WRITING, Desk, states

LONG = "A name that is longer than this CRM can hold of one"
CUT = LONG[:30]
ROUNDED = {  # field, what is asked, what the CRM makes of it, and how it reads the request for that
    "administrate": ("name", LONG, CUT, (LONG, CUT)),
    "tactile": ("name", LONG, CUT, (LONG, CUT)),
    "capsule": ("probability", "0.63", "0.65", ("<probability>63<", "<probability>65<")),
    "onautomate": ("name", LONG, CUT, (LONG, CUT)),
    "overplane": ("probability", "0.63", "0.65", ("63", "65")),
}


def _ready(desk: Make, crm: str, **fields: Any) -> tuple[Desk, Any, str]:
    """A desk with one deal that is known here, and the name of its second field."""
    made = desk(crm)
    row = made.deal(crm, **fields)
    made.sync()
    return made, row, SECOND[crm]


@pytest.mark.parametrize("crm", ["administrate", "tactile", "capsule", "overplane"])
def test_05_a_change_between_our_read_and_our_write_of_another_field(desk: Make, crm: str) -> None:
    """5. Given they change another field between our read and our write, then nothing is lost: only ours was sent."""
    made, row, field = _ready(desk, crm)
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.on_write(crm, lambda: made.change(crm, row, name="Theirs"), after=False)
    assert {field: "done"} == states(made.pushed())
    assert ("Theirs", VALUES[field][1]) == (made.held(crm, row, "name"), made.held(crm, row, field))
    assert [("Theirs",)] == made.sql("SELECT name FROM opportunities")


@pytest.mark.long
def test_05_a_form_that_laid_an_old_status_over_theirs_is_told(desk: Make) -> None:
    """5. Given they close the deal between our read and our form, then the form's old status over it is told."""
    made, row, field = _ready(desk, "onautomate")
    made.edit("onautomate", row, **{field: VALUES[field][1]})
    made.on_write("onautomate", lambda: made.change("onautomate", row, status="won"), after=False)
    report = made.apply()
    assert (["overwritten"], 1) == ([one.state for one in report.items], report.exit_code)
    assert VALUES[field][1] == made.held("onautomate", row, field)


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_06_another_hand_after_our_write(desk: Make, crm: str) -> None:
    """6. Given they write over our value before we have read it back, then both are told, and theirs is left alone."""
    made, row, field = _ready(desk, crm)
    _, ours, theirs, _ = VALUES[field]
    made.edit(crm, row, **{field: ours})
    made.on_write(crm, lambda: made.change(crm, row, **{field: theirs}), after=True)
    report = made.apply()
    (done,) = report.items
    assert ("overwritten", 1) == (done.state, report.exit_code)
    assert (ours, theirs) == (done.fields[field].ours, done.fields[field].now)
    assert theirs == made.held(crm, row, field)
    ((fields,),) = made.sql("SELECT fields FROM pushes")
    assert (ours, theirs) == (json.loads(fields)[field]["ours"], json.loads(fields)[field]["now"])
    assert [] == made.apply().items
    assert 1 == len(made.writes(crm))
    made.edit(crm, row, **{field: ours})  # to restore it is one edit, whose base is theirs
    assert [theirs] == [edit["base"] for edit in made.queue()]
    assert "done" == made.pushed().state


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_07_the_crm_keeps_its_own_form(desk: Make, crm: str) -> None:
    """7. Given the CRM rounds or cuts what it is sent, then that is the base, and the next three runs send nothing."""
    made, row, _ = _ready(desk, crm)
    field, asked, kept, (before, after) = ROUNDED[crm]
    made.crm(crm).faults.add(
        "misread", method=WRITING[crm], count=None, edit=lambda body: body.replace(before.encode(), after.encode())
    )
    made.edit(crm, row, **{field: asked})
    report = made.apply()
    (done,) = report.items
    assert ("done_normalised", 0) == (done.state, report.exit_code)
    assert (asked, kept) == (done.fields[field].ours, done.fields[field].now)
    for _ in range(3):
        made.sync()
        assert [] == made.apply().items
    assert 1 == len(made.writes(crm))
    assert [(2,)] == made.sql("SELECT count(*) FROM opportunity_history")
    assert [] == made.edit(crm, row, **{field: kept})


ENVELOPES = {  # a refusal that comes with 200
    "tactile": b'{"status":"error", "messages": ["The value for Cost must be a number"]}',
    "administrate": b'{"success": false, "message": "closing_date is not a date"}',
    "onautomate": b'{"msg": "Bad Request"}',
    "overplane": b'{"error": {"type": "invalid_request_error", "message": "amount is locked", "param": null}}',
}


@pytest.mark.long
@pytest.mark.parametrize("crm", ENVELOPES)
def test_08_a_refusal_with_200_is_none_the_less_one(desk: Make, crm: str) -> None:
    """8. Given a 200 that says no, then nothing counts as done and no base moves; a refusal is told in its words."""
    made, row, field = _ready(desk, crm)
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.crm(crm).faults.add("status", status=200, body=ENVELOPES[crm].decode(), method=WRITING[crm])
    report = made.apply()
    assert 1 == report.exit_code
    assert VALUES[field][0] == made.held(crm, row, field)
    assert report.items[0].state in (("rejected",) if crm == "tactile" else ("rejected", "unknown", "not_applied"))
    if crm == "tactile":
        assert "must be a number" in report.items[0].message
        assert [] == made.queue()
    made.sync()
    assert [(1,)] == made.sql("SELECT count(*) FROM opportunity_history")
    if made.queue():
        return
    made.edit(crm, row, **{field: VALUES[field][1]})
    assert [VALUES[field][0]] == [edit["base"] for edit in made.queue()]


REFUSALS = {
    "administrate": (400, '{"message": "closing_date is locked"}', "closing_date is locked"),
    "tactile": (200, '{"status":"error", "messages": {"opportunity_cost": "Cost must be less"}}', "Cost must be less"),
    "capsule": (400, "<error><message>value is locked</message></error>", "value is locked"),
    "onautomate": (422, '{"monetaryValue": {"message": "is too small", "rule": "min"}}', "is too small"),
    "overplane": (422, '{"error": {"message": "is locked", "param": "opportunity_amount"}}', "is locked"),
}


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_08_a_refusal_is_told_in_the_crms_words(desk: Make, crm: str) -> None:
    """8. Given a refusal, then it is final, in the CRM's own words; the other deals go on, and the edit is over."""
    made = desk(crm)
    one, other, field = made.deal(crm), made.deal(crm, name="Other"), SECOND[crm]
    made.sync()
    for row in (one, other):
        made.edit(crm, row, **{field: VALUES[field][1]})
    status, body, words = REFUSALS[crm]
    made.crm(crm).faults.add("status", status=status, body=body, method=WRITING[crm])
    report = made.apply()
    assert (["rejected", "done"], 1) == ([one.state for one in report.items], report.exit_code)
    assert words in f"{report.items[0].message} {report.items[0].fields[field].message}"
    assert [] == made.queue()
    assert [] == made.apply().items
    assert 2 == len(made.writes(crm))
    assert [("rejected",), ("done",)] == made.sql("SELECT state FROM pushes ORDER BY push_id")


WON: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {  # what is asked, and what the CRM does beside it
    "capsule": ({"stage": "Won"}, ("status", "probability", "closed_at")),
    "onautomate": ({"status": "won"}, ("closed_at",)),
    "tactile": ({"stage": "Won"}, ("status",)),
}


@pytest.mark.long
@pytest.mark.parametrize("crm", WON)
def test_20_what_the_crm_does_beside_it_is_a_side_effect(desk: Make, crm: str) -> None:
    """20. Given a deal is won, then what the CRM derives from it is recorded as our push's side effect, no edit."""
    made, row, _ = _ready(desk, crm)
    asked, beside = WON[crm]
    made.edit(crm, row, **asked)
    done = made.pushed()
    assert "done" == done.state
    rows = made.sql("SELECT field, origin, reason FROM field_changes WHERE origin = 'push'")
    told = {field: reason for field, _, reason in rows}
    assert set(asked) | set(beside) <= set(told)
    assert {"because"} == {told[field] for field in asked}
    assert {f"side effect of push {done.push_id}"} == {told[field] for field in beside}
    made.sync(full=True)
    assert [] == made.sql("SELECT field FROM field_changes WHERE origin = 'source' AND old IS NOT NULL")


VERSIONS = "SELECT connection, source_id, version, epoch(valid_from), epoch(recorded_at) FROM opportunity_history"


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_21_our_own_write_that_comes_back_is_no_change(desk: Make, crm: str) -> None:
    """21. Given our write comes back in later runs, then there is no change and no push, here or in another CRM."""
    other = "overplane" if crm != "overplane" else "capsule"
    made = desk(crm, other)
    row, field = made.deal(crm), SECOND[crm]
    made.deal(other)
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    assert "done" == made.pushed().state
    before = made.sql(VERSIONS)
    for full in (False, True, True):
        report = made.sync(full=full)
        lines = [line for one in report.document()["connections"] for line in one["resources"]]
        assert [] == [line for line in lines if line["resource"] == "opportunity" and line["changed"] + line["new"]]
    assert before == made.sql(VERSIONS)
    assert [] == made.apply().items
    assert (1, 0) == (len(made.writes(crm)), len(made.writes(other)))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_22_a_rule_that_puts_it_back_is_not_fought(desk: Make, crm: str) -> None:
    """22. Given a rule of the CRM that undoes our write, then that is told once, and no run writes it again."""
    made, row, field = _ready(desk, crm)
    was, ours, *_ = VALUES[field]

    def put_back() -> None:
        made.crm(crm).update(row, silently=True, **made.own(crm, **{field: was}))

    made.on_write(crm, put_back, after=True, count=None)
    made.edit(crm, row, **{field: ours})
    report = made.apply()
    assert (["not_applied"], 1) == ([one.state for one in report.items], report.exit_code)
    for _ in range(3):
        made.sync()
        assert [] == made.apply().items
    assert (1, was) == (len(made.writes(crm)), made.held(crm, row, field))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_22_a_field_that_the_crm_ignores(desk: Make, crm: str) -> None:
    """22. Given a field that the CRM takes and does not keep, then that is told, and the other fields are done."""
    made, row, field = _ready(desk, crm)
    name = OWN[crm][field].encode()
    made.crm(crm).faults.add(
        "misread", method=WRITING[crm], count=None, edit=lambda body: body.replace(name, b"nothing_of_ours")
    )
    made.edit(crm, row, name="Ours", **{field: VALUES[field][1]})
    done = made.pushed()
    assert {"name": "done", field: "not_applied"} == states(done)
    assert ("Ours", VALUES[field][0]) == (made.held(crm, row, "name"), made.held(crm, row, field))
    assert [] == made.apply().items

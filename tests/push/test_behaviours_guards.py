"""What is refused, held back or taken back. Behaviours 17 to 19 and 26 to 29."""

import json
from typing import Any

import pytest

from onepipe.errors import UsageError
from onepipe.push.revert import revert
from tests.push.conftest import Make
from tests.push.desk import CRMS, SECOND, VALUES, WRITING, Desk
from tests.push.test_behaviours_lost import NEW

DELETING = ("administrate", "capsule", "onautomate", "overplane")


def _ready(desk: Make, crm: str, **write: Any) -> tuple[Desk, Any, str]:
    """A desk with one deal that is known here, and the name of its second field."""
    made = desk(crm, **write)
    row = made.deal(crm)
    made.deal(crm, name="Other")
    made.sync()
    return made, row, SECOND[crm]


@pytest.mark.parametrize("crm", CRMS)
def test_17_a_deal_they_deleted(desk: Make, crm: str) -> None:
    """17. Given they deleted the deal, then nothing is sent and none is made anew; history shows the evidence."""
    made, row, field = _ready(desk, crm)
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.crm(crm).delete(row)
    report = made.apply()
    assert (["gone"], 1) == ([one.state for one in report.items], report.exit_code)
    assert ([], []) == (made.writes(crm), made.queue())
    assert 1 == len(made.crm(crm).records)
    made.sync(sweep=True)
    found = f"SELECT is_deleted, deleted_evidence IS NOT NULL FROM opportunities WHERE source_id = '{row}'"
    assert [(True, True)] == made.sql(found)
    assert [] == made.apply().items


@pytest.mark.parametrize("crm", DELETING)
def test_17_a_deal_they_deleted_between_our_read_and_our_write(desk: Make, crm: str) -> None:
    """17. Given it was deleted just before our write, then it is gone, not rejected, and none is made anew."""
    made, row, field = _ready(desk, crm)
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.on_write(crm, lambda: made.crm(crm).delete(row), after=False)
    report = made.apply()
    assert ["gone"] == [one.state for one in report.items], report.document()
    assert ([], 1) == (made.queue(), len(made.crm(crm).records))


@pytest.mark.long
@pytest.mark.parametrize("crm", DELETING)
def test_18_a_deletion_of_what_we_have_seen(desk: Make, crm: str) -> None:
    """18. Given nothing has changed since, then the deal is deleted, read back as gone, and marked so."""
    made, row, _ = _ready(desk, crm, limits={"max_deletes": 1})
    made.delete(crm, row)
    report = made.apply()
    assert (["done"], 0) == ([one.state for one in report.items], report.exit_code)
    assert row not in made.crm(crm).records
    found = f"SELECT is_deleted, deleted_evidence, change_origin FROM opportunity_history WHERE source_id = '{row}'"
    assert (True, "gone", "deletion") == made.sql(f"{found} ORDER BY version")[-1]
    made.sync(sweep=True)
    assert (True, "gone", "deletion") == made.sql(f"{found} ORDER BY version")[-1]
    assert ["DELETE"] == [seen.method for seen in made.writes(crm)]


@pytest.mark.long
@pytest.mark.parametrize("crm", DELETING)
def test_18_a_deletion_over_what_nobody_here_has_seen(desk: Make, crm: str) -> None:
    """18. Given they changed the deal since, then the deletion is a conflict and nothing is deleted."""
    made, row, _ = _ready(desk, crm, limits={"max_deletes": 1}, conflict="local_wins")
    made.delete(crm, row)
    made.change(crm, row, name="Theirs")
    report = made.apply()
    assert (["conflict"], 1) == ([one.state for one in report.items], report.exit_code)
    assert ([], True) == (made.writes(crm), row in made.crm(crm).records)
    (conflict,) = made.conflicts()
    assert ("delete", str(row), True) == (conflict.kind, conflict.source_id, "name" in conflict.reason)


@pytest.mark.long
@pytest.mark.parametrize("crm", DELETING)
def test_18_a_deletion_whose_answer_was_lost(desk: Make, crm: str) -> None:
    """18. Given a deletion that took effect and whose answer was lost, then a read finds it done."""
    made, row, _ = _ready(desk, crm, limits={"max_deletes": 1})
    made.delete(crm, row)
    made.lose(crm, method="DELETE")
    for _ in range(3):
        made.apply()
        made.later(minutes=3)
    assert (1, []) == (len(made.writes(crm)), made.queue())
    assert [(True,)] == made.sql(f"SELECT is_deleted FROM opportunities WHERE source_id = '{row}'")


@pytest.mark.parametrize(
    ("crm", "valid"), [("administrate", "Negotiation"), ("capsule", "Negotiation"), ("tactile", "Discussion")]
)
def test_19_an_unknown_stage(desk: Make, crm: str, valid: str) -> None:
    """19. Given a stage that does not exist, then the edit is refused naming those that do; none is chosen instead."""
    made, row, _ = _ready(desk, crm)
    with pytest.raises(UsageError, match=valid):
        made.edit(crm, row, stage="No such stage")
    assert ([], []) == (made.queue(), made.writes(crm))


def test_19_a_stage_of_another_pipeline(desk: Make) -> None:
    """19. Given a stage of another pipeline, then the edit is refused naming the pipeline's own."""
    made, row, _ = _ready(desk, "onautomate")
    first, second, *_ = made.crm("onautomate").pipelines.values()
    assert made.crm("onautomate").rows[row]["pipelineId"] == first["id"]
    with pytest.raises(UsageError, match="Contacted"):
        made.edit("onautomate", row, stage=second["stages"][0]["name"])
    with pytest.raises(UsageError, match=first["stages"][1]["id"]):
        made.edit("onautomate", row, stage_id=second["stages"][0]["id"])
    assert [] == made.queue()


def test_19_a_stage_that_is_gone_when_it_is_sent(desk: Make) -> None:
    """19. Given a deal that moved to another pipeline meanwhile, then the stage it was given is not put into it."""
    made, row, _ = _ready(desk, "onautomate")
    first, second, *_ = made.crm("onautomate").pipelines.values()
    made.edit("onautomate", row, stage=first["stages"][1]["name"])
    made.later(seconds=1)
    made.crm("onautomate").update(row, pipelineId=second["id"])
    assert made.pushed().state in ("conflict", "refused", "rejected")
    held = made.crm("onautomate").rows[row]
    assert (second["id"], second["stages"][0]["id"]) == (held["pipelineId"], held["pipelineStageId"])


def test_19_a_move_that_the_crm_does_not_allow(desk: Make) -> None:
    """19. Given a step that no transition leads to, then the plan says so, and the CRM's refusal is told."""
    made, row, _ = _ready(desk, "administrate")
    made.edit("administrate", row, stage="Negotiation")
    (item,) = made.plan().items
    assert any("no transition" in note for note in item.notes), item.notes
    done = made.pushed()
    assert ("rejected", True) == (done.state, "no transition" in done.message)


@pytest.mark.parametrize("crm", CRMS)
def test_26_what_a_new_deal_lacks(desk: Make, crm: str) -> None:
    """26. Given a new deal without what its CRM wants, then it is refused by name, and no placeholder is made up."""
    made, _, _ = _ready(desk, crm)
    for name in NEW[crm].keys() - {"amount"}:
        given = {key: value for key, value in NEW[crm].items() if key != name}
        field = {"pipeline": "pipeline|stage", "contact_email": "contact"}.get(name, name.replace("__", "."))
        with pytest.raises(UsageError, match=field):
            made.new(crm, name="New", **given)
    with pytest.raises(UsageError, match="name"):
        made.new(crm, **NEW[crm])
    assert ([], []) == (made.queue(), made.writes(crm))


@pytest.mark.long
def test_27_a_wait_of_one_connection(desk: Make) -> None:
    """27. Given a 429 with Retry-After, then its connection waits, no try is burned, and the others go on."""
    made = desk("overplane", "capsule")
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(3)]
    other = made.deal("capsule")
    made.sync()
    for row in rows:
        made.edit("overplane", row, name="Ours")
    made.edit("capsule", other, name="Ours")
    made.crm("overplane").faults.add("status", status=429, retry_after=3600, method="PATCH", nth=2)
    report = made.apply()
    found = [(one.connection, one.state) for one in report.items]
    assert [("capsule", "done")] == [one for one in found if one[0] == "capsule"]
    assert {"done", "waiting"} >= {state for name, state in found if name == "overplane"} - {"ready"}
    assert 2 == len(made.writes("overplane"))
    with made.project() as project:
        waits = [one for one in project.control.outbox.waiting() if one.state == "waiting"]
        assert all(one.next_at and one.next_at > f"{made.now:%Y-%m-%dT%H:%M}" for one in waits)
    assert "Ours" == made.held("capsule", other, "name")
    made.apply()
    assert 2 == len(made.writes("overplane"))
    for _ in range(3):
        made.later(hours=2)
        made.apply()
    assert ["Ours"] * 3 == [made.held("overplane", row, "name") for row in rows]
    assert (4, []) == (len(made.writes("overplane")), made.queue())


@pytest.mark.long
@pytest.mark.parametrize("long", [False, True], ids=["asked each time", "held back by ourselves"])
def test_27_waiting_uses_nothing_up(desk: Make, long: bool) -> None:
    """27. Given a CRM that says "later" in a dozen runs, then the edit is not given up: it waits, and is sent once."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    made.crm("overplane").faults.add("status", status=429, retry_after=3600, method="PATCH", count=None)
    for _ in range(12):
        report = made.apply()
        assert (["waiting"], 0) == ([one.state for one in report.items], report.exit_code)
        made.later(minutes=3 if long else 61)
    made.crm("overplane").faults.clear()
    made.later(hours=2)
    assert "done" == made.pushed().state
    assert "Ours" == made.held("overplane", row, "name")


@pytest.mark.long
def test_27_a_crm_that_is_down_for_a_while(desk: Make) -> None:
    """27. Given a CRM that cannot be reached in a few runs, then nothing is given up, and it is sent once it can."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    down = made.crm("overplane").faults.add("status", status=503, count=None)
    for _ in range(6):
        report = made.apply()
        assert {"waiting", "ready"} >= {one.state for one in report.items}
        made.later(minutes=10)
    made.crm("overplane").faults.remove(down)
    made.later(minutes=10)
    assert "done" == made.pushed().state


@pytest.mark.long
@pytest.mark.parametrize("status", [401, 403])
def test_27_a_refused_credential_pauses_its_connection(desk: Make, status: int) -> None:
    """27. Given a refused credential, then its connection stops, nothing is burned, and a good one goes on."""
    made = desk("overplane", "capsule")
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(3)]
    other = made.deal("capsule")
    made.sync()
    for row in rows:
        made.edit("overplane", row, name="Ours")
    made.edit("capsule", other, name="Ours")
    made.crm("overplane").faults.add("status", status=status, method="PATCH", nth=2, count=None)
    report = made.apply()
    assert (1, "auth") == (report.exit_code, report.errors["overplane"]["kind"])
    assert 2 == len(made.writes("overplane"))
    assert {"done", "ready"} == {one.state for one in report.items}
    assert "Ours" == made.held("capsule", other, "name")
    made.crm("overplane").faults.clear()
    assert 0 == made.apply().exit_code
    assert ["Ours"] * 3 == [made.held("overplane", row, "name") for row in rows]


def test_28_more_rows_than_allowed(desk: Make) -> None:
    """28. Given more records than max_rows, then the run is refused whole, before the first request."""
    made = desk("overplane", limits={"max_rows": 2})
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(3)]
    made.sync()
    for row in rows:
        made.edit("overplane", row, name="Ours")
    before = len(made.crm("overplane").log)
    with pytest.raises(UsageError, match="max_rows"):
        made.apply()
    assert before == len(made.crm("overplane").log)
    assert 3 == len(made.queue())


def test_28_more_deletions_than_allowed(desk: Make) -> None:
    """28. Given more deletions than max_deletes, of which none is the default, then the run is refused whole."""
    made = desk("overplane")
    one, other = made.deal("overplane"), made.deal("overplane")
    made.sync()
    made.delete("overplane", one)
    made.edit("overplane", other, name="Ours")
    before = len(made.crm("overplane").log)
    with pytest.raises(UsageError, match="max_deletes"):
        made.apply()
    assert before == len(made.crm("overplane").log)


def _many(desk: Make, count: int, canary: int) -> tuple[Desk, list[Any]]:
    made = desk("overplane", limits={"canary": canary})
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(count)]
    made.sync()
    for row in rows:
        made.edit("overplane", row, name="Ours")
    return made, rows


@pytest.mark.long
def test_28_the_first_few_are_verified_before_the_rest(desk: Make) -> None:
    """28. Given a canary, then so many are written and read back before any other is written."""
    made, rows = _many(desk, 5, canary=2)
    began = len(made.crm("overplane").log)
    assert 0 == made.apply().exit_code
    asked = [(seen.method, seen.path.rpartition("/")[2]) for seen in made.crm("overplane").log[began:]]
    written = [place for place, one in enumerate(asked) if one[0] == "PATCH"]
    verified = [asked[place][1] for place in written[:2]]
    assert set(verified) <= {name for method, name in asked[written[1] + 1 : written[2]] if method == "GET"} | {
        name for method, name in asked[written[0] + 1 : written[1]] if method == "GET"
    }
    assert ["Ours"] * 5 == [made.held("overplane", row, "name") for row in rows]


@pytest.mark.long
def test_28_one_mismatch_among_the_first_stops_the_run(desk: Make) -> None:
    """28. Given one of the first is not as it was sent, then the rest is not attempted, and says so."""
    made, _ = _many(desk, 6, canary=2)
    made.crm("overplane").faults.add(
        "misread", method="PATCH", edit=lambda body: body.replace(b'"title"', b'"ignored"')
    )
    report = made.apply()
    told = [one.state for one in report.items]
    assert (1, 1) == (told.count("not_applied"), report.exit_code)
    assert (4, 2) == (told.count("ready"), len(made.writes("overplane")))
    assert 4 == len(made.queue())
    assert {"done"} == {one.state for one in made.apply().items}


@pytest.mark.long
def test_28_a_refusal_among_the_first_stops_the_run(desk: Make) -> None:
    """28. Given one of the first is rejected, then the rest is not attempted."""
    made, _ = _many(desk, 6, canary=2)
    made.crm("overplane").faults.add("status", status=422, method="PATCH", body='{"message": "no"}')
    report = made.apply()
    told = [one.state for one in report.items]
    assert (1, 4, 2) == (told.count("rejected"), told.count("ready"), len(made.writes("overplane")))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_29_a_run_is_reverted(desk: Make, crm: str) -> None:
    """29. Given a field edited since, then revert restores the others, that one is a conflict, both runs are told."""
    made, row, field = _ready(desk, crm)
    was, ours, theirs, _ = VALUES[field]
    made.edit(crm, row, name="Ours", **{field: ours})
    first = made.apply()
    made.change(crm, row, **{field: theirs})
    with made.project() as project:
        revert(project, first.run_id)
    assert {"name", field} == {edit["field"] for edit in made.queue()}
    second = made.apply()
    assert {"name": "done", field: "conflict"} == {
        name: one.state for item in second.items for name, one in item.fields.items()
    }
    assert ("Deal", theirs) == (made.held(crm, row, "name"), made.held(crm, row, field))
    changes = made.sql(
        "SELECT old, new, run_id FROM field_changes WHERE field = 'name' AND origin = 'push' ORDER BY old"
    )
    assert [("Deal", "Ours"), ("Ours", "Deal")] == [one[:2] for one in changes]
    assert [first.run_id, second.run_id] == [run for (run,) in made.sql("SELECT run_id FROM pushes ORDER BY push_id")]
    assert was != theirs


@pytest.mark.long
def test_29_an_undisturbed_run_is_reverted_whole(desk: Make) -> None:
    """29. Given nothing was edited since, then after revert and apply the deals are what they were."""
    made = desk("overplane")
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(3)]
    made.sync()
    before = {row: made.crm("overplane").records[row] for row in rows}
    for row in rows:
        made.edit("overplane", row, "expected_close_date", name="Ours", amount="120.25", stage="Negotiation/Review")
    run = made.apply()
    with made.project() as project:
        revert(project, run.run_id)
    assert 0 == made.apply().exit_code
    for row in rows:
        now = made.crm("overplane").records[row]
        assert {} == {
            key: now[key]
            for key in now
            if json.dumps(now[key], default=float) != json.dumps(before[row][key], default=float)
            and key not in ("updated_at", "base_opportunity_amount")
        }
    assert all(seen.method == WRITING["overplane"] for seen in made.writes("overplane"))


@pytest.mark.long
def test_an_edit_that_was_refused_and_dropped_stops_nothing(desk: Make) -> None:
    """Whoever does what the message of a refusal advises finds the connection at work again."""
    made, row, _ = _ready(desk, "capsule")
    edit_id = made.edit("capsule", row, **{"custom.Nope": "x"})
    report = made.apply()
    assert ["refused"] == [one.state for one in report.items], report.document()
    made.drop(*([edit_id] if isinstance(edit_id, str) else edit_id))
    made.edit("capsule", row, name="After")
    report = made.apply()
    assert (["done"], {}) == ([one.state for one in report.items], report.errors), report.document()

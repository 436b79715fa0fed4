"""Answers that were lost, and processes that died: what may have happened is found out by reading. 9 to 16."""

import copy
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from onepipe.control import Control, Outbox
from onepipe.errors import UsageError
from onepipe.push.words import PushReport
from tests.cli.place import Place
from tests.push.conftest import Make
from tests.push.desk import CRMS, SECOND, VALUES, Desk
from tests.simulation.steps import swapped

NEW: dict[str, dict[str, str]] = {
    "administrate": {"company_id": "1", "stage": "Enquiry", "owner_id": "1", "currency": "GBP"},
    "tactile": {"expected_close_date": "2027-01-31", "stage": "New", "amount": "99.25"},
    "capsule": {"company_id": "2", "stage": "New", "amount": "99.25"},
    "onautomate": {"pipeline": "Sales", "stage": "New lead", "status": "open", "contact_email": "new@example.org"},
    "overplane": {"company_id": "customer_1", "extra__company": "Example Corp"},
}
POST = {"method": "POST"}


def _asked_for_a_new_one(desk: Make, crm: str, **options: Any) -> Desk:
    """A desk with a new deal, "New", in its queue."""
    made = desk(crm)
    made.deal(crm)
    made.sync()
    made.crm(crm).options.apply(options)
    made.new(crm, name="New", **NEW[crm])
    return made


def _states(report: PushReport) -> list[str]:
    return [one.state for one in report.items]


def _posts(made: Desk, crm: str) -> int:
    return sum(seen.method == "POST" for seen in made.writes(crm))


@pytest.mark.parametrize("crm", CRMS)
def test_10_a_create_is_made_once_and_linked(desk: Make, crm: str) -> None:
    """10. Given a new deal, then it is made, read back, linked and in the warehouse; the next sync sees no change."""
    made = _asked_for_a_new_one(desk, crm)
    done = made.pushed()
    assert ("done", "create", made.named(crm, "New")) == (done.state, done.op, [done.source_id])
    assert [] == made.queue()
    found = "SELECT source_id, change_origin FROM opportunity_history WHERE name = 'New'"
    assert [(done.source_id, "push")] == made.sql(found)
    made.sync(full=True)
    assert [(done.source_id, "push")] == made.sql(found)
    assert [] == made.apply().items


@pytest.mark.parametrize("crm", CRMS)
def test_10_a_create_whose_answer_was_lost(desk: Make, crm: str) -> None:
    """10. Given a create that took effect and whose answer was lost, then there is one deal, found and linked."""
    made = _asked_for_a_new_one(desk, crm)
    made.lose(crm, **POST)
    for _ in range(2):
        report = made.apply()
        made.later(minutes=3)
    assert 1 == len(made.named(crm, "New"))
    assert 1 == _posts(made, crm)
    assert ([], []) == (made.queue(), report.items)
    assert made.named(crm, "New") == [one for (one,) in made.sql("SELECT source_id FROM deals WHERE name = 'New'")]
    assert [(made.named(crm, "New")[0], "done")] == made.sql("SELECT source_id, state FROM pushes WHERE op = 'create'")


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_10_a_lost_create_that_a_sync_finds_first(desk: Make, crm: str) -> None:
    """10. Given a lost create, and a sync that brings the new deal before it is settled, then it is linked all the
    same, and there is one deal here as there.
    """
    made = _asked_for_a_new_one(desk, crm, list_lag_seconds=60)
    made.lose(crm, **POST)
    assert ["unknown"] == _states(made.apply())
    made.later(minutes=3)
    made.sync()
    assert [(1,)] == made.sql("SELECT count(*) FROM deals WHERE name = 'New'")
    assert (["done"], 1) == (_states(made.apply()), _posts(made, crm))
    assert ([], [(1, 1)]) == (
        made.queue(),
        made.sql("SELECT count(*), max(version) FROM opportunity_history WHERE name = 'New'"),
    )


def _settled(made: Desk, crm: str, *, step: float, times: int) -> list[list[str]]:
    """So many pushes, some seconds apart; never more than one new deal, and no second POST before two looks."""
    found = []
    for _ in range(times):
        before = _posts(made, crm)
        found.append(_states(made.apply()))
        assert len(made.named(crm, "New")) <= 1
        if before and _posts(made, crm) > before:
            assert _looks(made) >= 2
        made.later(seconds=step)
    return found


def _looks(made: Desk) -> int:
    """How often the first create was looked for."""
    with made.project() as project:
        return len(project.control.outbox.looks(1))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_11_lists_that_lag(desk: Make, crm: str, applied: bool) -> None:
    """11. Given a lost create and lists ten seconds late, then there is one deal, and two looks before any other."""
    made = _asked_for_a_new_one(desk, crm, list_lag_seconds=10)
    made.lose(crm, applied=applied, **POST)
    told = _settled(made, crm, step=100, times=4)
    assert ["done" if applied else "unknown"] == told[0]  # the second look comes when the list has to show it
    assert ([], 1) == (made.queue(), len(made.named(crm, "New")))
    assert (1 if applied else 2) == _posts(made, crm)
    made.sync(full=True)
    assert [(1,)] == made.sql("SELECT count(*) FROM deals WHERE name = 'New'")


@pytest.mark.parametrize(("crm", "step"), [*zip(CRMS, (30, 45, 61, 90, 200), strict=True)])
def test_11_a_create_that_takes_effect_late(desk: Make, crm: str, step: float) -> None:
    """11. Given a create that takes effect a minute after its answer was lost, then there is one deal."""
    made = _asked_for_a_new_one(desk, crm, list_lag_seconds=10)
    made.crm(crm).faults.add("late", seconds=60, **POST)
    _settled(made, crm, step=step, times=1 + int(250 / step))
    made.later(days=1)
    made.apply()
    assert ([], 1, 1) == (made.queue(), len(made.named(crm, "New")), _posts(made, crm))


def _twin(made: Desk, crm: str) -> None:
    """Somebody makes the very same deal as the newest, by hand."""
    with made.crm(crm).lock:
        rows = made.crm(crm).rows
        key = list(rows)[-1]
        other = key + 1 if isinstance(key, int) else "twin_of_" + key
        rows[other] = copy.copy(rows[key]) | {"id": other}
        made.crm(crm).touched()


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_12_what_cannot_be_told_is_asked(desk: Make, crm: str) -> None:
    """12. Given a lost create and two deals that could be it, then both are named, and none is made without a word."""
    made = _asked_for_a_new_one(desk, crm, list_lag_seconds=60)
    made.lose(crm, **POST)
    assert ["unknown"] == _states(made.apply())
    _twin(made, crm)
    for _ in range(2):
        made.later(hours=3)
        report = made.apply()
        assert (["ambiguous"], 1) == (_states(report), report.exit_code)
    (conflict,) = made.conflicts()
    assert "lost" == conflict.kind
    told = f"{conflict.reason} {report.items[0].message}"
    assert all(one in told for one in made.named(crm, "New")), told
    assert 1 == _posts(made, crm)
    with pytest.raises(UsageError):
        made.drop(*(edit["edit_id"] for edit in made.queue()))


class Crash(BaseException):
    """The end of a process, as far as this one can play it."""


@contextmanager
def _dying(point: str, *, after: bool) -> Iterator[None]:
    """The next push ends just before, or just after, a step is on disk."""
    own = getattr(Outbox, point)

    def step(*given: Any, **named: Any) -> Any:
        if after:
            own(*given, **named)
        raise Crash

    with swapped(Outbox, point, step):
        yield


STEPS = ("add", "claim", "attempt", "answered", "settle")


@pytest.mark.long
@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize(("crm", "after"), [("capsule", False), ("onautomate", True)])
def test_13_a_process_that_dies_at_any_step(desk: Make, point: str, crm: str, after: bool) -> None:
    """13. Given an end at each step, then the next runs lose nothing, make nothing twice, and look before they send."""
    made = desk(crm)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.new(crm, name="New", **NEW[crm])
    with ExitStack() as stack:
        stack.enter_context(_dying(point, after=after))
        stack.enter_context(pytest.raises(Crash))
        made.apply()
    _settled(made, crm, step=130, times=4)
    assert ([], 1) == (made.queue(), len(made.named(crm, "New")))
    assert VALUES[field][1] == made.held(crm, row, field)
    assert (1, 2) >= (_posts(made, crm), len(made.writes(crm)) - _posts(made, crm))
    made.sync(full=True)
    assert [(2,)] == made.sql("SELECT count(*) FROM deals")


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_14_an_update_whose_answer_was_lost(desk: Make, crm: str) -> None:
    """14. Given an update that took effect and whose answer was lost, then it is found there and not sent again."""
    made = desk(crm)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.lose(crm)
    made.apply()
    made.later(minutes=5)
    made.apply()
    assert ([], 1, VALUES[field][1]) == (made.queue(), len(made.writes(crm)), made.held(crm, row, field))
    assert [] == made.apply().items


LOST: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 408},
    {"kind": "status", "status": 504},
    {"kind": "html"},
    {"kind": "login_page"},
    {"kind": "short_body"},
    {"kind": "truncated"},
    {"kind": "redirect"},
    {"kind": "wrong_shape", "shape": "list"},
    {"kind": "error_envelope"},
]


@pytest.mark.long
@pytest.mark.parametrize("fault", LOST, ids=lambda fault: "-".join(map(str, fault.values())))
def test_14_answers_that_do_not_say_what_happened(desk: Make, fault: dict[str, Any]) -> None:
    """14. Given a new deal and an update that took effect under an answer that is none, then each is there once."""
    made = _asked_for_a_new_one(desk, "overplane")
    row = next(iter(made.crm("overplane").records))
    made.edit("overplane", row, amount="120.25")
    for method in ("POST", "PATCH"):
        made.crm("overplane").faults.add(**fault, after=True, method=method)
    for _ in range(3):
        made.apply()
        made.later(minutes=3)
    assert ([], 1) == (made.queue(), len(made.named("overplane", "New")))
    assert ("120.25", 1) == (made.held("overplane", row, "amount"), _posts(made, "overplane"))
    assert 1 == sum(seen.method == "PATCH" for seen in made.writes("overplane"))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_14_an_update_that_never_arrived(desk: Make, crm: str) -> None:
    """14. Given an update that was lost on its way, then it is found missing and sent again, with the same base."""
    made = desk(crm)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    made.lose(crm, applied=False)
    for _ in range(3):
        made.apply()
        made.later(minutes=3)
    assert ([], 2, VALUES[field][1]) == (made.queue(), len(made.writes(crm)), made.held(crm, row, field))


@pytest.mark.long
@pytest.mark.parametrize("crm", CRMS)
def test_14_a_crash_after_the_answer(desk: Make, crm: str) -> None:
    """14. Given an end between the CRM's answer and our commit, then the next run finds it done and sends nothing."""
    made = desk(crm)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    with _dying("answered", after=False), pytest.raises(Crash):
        made.apply()
    assert VALUES[field][1] == made.held(crm, row, field)
    made.later(minutes=5)
    done = made.pushed()
    assert done.state in ("done", "converged")
    assert (1, []) == (len(made.writes(crm)), made.queue())
    made.edit(crm, row, **{field: VALUES[field][3]})
    assert "done" == made.pushed().state


@pytest.mark.long
def test_14_their_change_after_a_lost_update_is_not_laid_over(desk: Make) -> None:
    """14. Given a lost update, and a change of theirs since, then that is a conflict, never written over."""
    made = desk("capsule")
    row = made.deal("capsule")
    made.sync()
    made.edit("capsule", row, amount="120.25")
    made.lose("capsule", applied=False)
    made.apply()
    made.change("capsule", row, amount="140.25")
    made.later(minutes=5)
    made.apply()
    assert "140.25" == made.held("capsule", row, "amount")
    assert ["amount"] == [one.field for one in made.conflicts()]


@pytest.mark.long
@pytest.mark.parametrize("crm", ["overplane", "capsule"])
def test_09_of_several_requests_only_what_is_missing_is_sent_again(desk: Make, crm: str) -> None:
    """9. Given a deal whose wish takes several requests, and one lost answer, then nothing of it is done twice."""
    made = desk(crm)
    row = made.deal(crm)
    made.sync()
    items = '[{"name": "A", "quantity": 1, "unit_amount": 1}, {"name": "B", "quantity": 2, "unit_amount": 2}, '
    items += '{"name": "C", "quantity": 3, "unit_amount": 3}]'
    made.edit(crm, row, **({"line_items": items} if crm == "overplane" else {"tags": "a,b,c", "name": "Ours"}))
    made.lose(crm, nth=2, method="POST")
    told = []
    for _ in range(3):
        told += _states(made.apply())
        made.later(minutes=3)
    assert ["unknown", "done"] == told
    if crm == "overplane":
        there = [one["item_name"] for one in made.crm(crm).children["opportunity-item"][row]]
    else:
        there = made.crm(crm).tags[row]
        assert "Ours" == made.held(crm, row, "name")
    assert sorted("ABC" if crm == "overplane" else "abc") == sorted(there)
    assert [] == made.queue()


@pytest.mark.long
def test_15_two_pushes_at_once(desk: Make) -> None:
    """15. Given two processes that push the same edits at the same time, then each is sent once, and both end well."""
    made = desk("overplane")
    rows = [made.deal("overplane", name=f"Deal {number}") for number in range(4)]
    made.sync()
    for row in rows:
        made.edit("overplane", row, name="Ours")
    made.crm("overplane").faults.add("slow", seconds=0.05, count=None)
    place = Place(made.config.parent)
    both = [place.start("push", "apply", "--yes", "--json", "--wait", "120") for _ in range(2)]
    told = [process.communicate(timeout=300) for process in both]
    assert [0, 0] == [process.returncode for process in both], told
    assert len(rows) == len(made.writes("overplane"))
    assert {"done"} == {one["state"] for out, _ in told for one in json.loads(out)["items"]}
    assert [] == made.queue()


@pytest.mark.long
def test_15_a_connection_that_another_holds_is_left_alone(desk: Make) -> None:
    """15. Given another process at work on the connection, then nothing is sent, and the exit code says so."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    with made.project() as other, other.control.lease("connection:overplane"):
        report = made.apply()
    assert (75, "lease") == (report.exit_code, report.errors["overplane"]["kind"])
    assert [] == made.writes("overplane")
    assert "done" == made.pushed().state


@pytest.mark.long
def test_15_an_edit_on_its_way_is_not_replaced(desk: Make) -> None:
    """15. Given an edit that a request may carry, then another value for it is refused until it is settled."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, name="Ours")
    told: list[tuple[int, str]] = []

    def meanwhile() -> None:
        other = Place(made.folder).start("edit", "overplane", row, "name=Another")
        told.append((other.wait(timeout=120), other.communicate()[1]))

    made.on_write("overplane", meanwhile, after=True)
    assert "done" == made.pushed().state
    ((code, said),) = told
    assert (2, True) == (code, "may be on its way" in said), said
    assert (1, "Ours") == (len(made.writes("overplane")), made.held("overplane", row, "name"))


@pytest.mark.long
@pytest.mark.parametrize("crm", ["overplane", "administrate"])
def test_16_an_answer_for_one_who_lost_the_lease(desk: Make, crm: str) -> None:
    """16. Given a lease that another took meanwhile, then the answer is kept as evidence and changes no state."""
    made = desk(crm)
    row, field = made.deal(crm), SECOND[crm]
    made.sync()
    made.edit(crm, row, **{field: VALUES[field][1]})
    taken: list[int] = []

    def take() -> None:
        made.later(seconds=31)
        control = Control(made.folder / ".onepipe", "other", clock=lambda: made.now.timestamp())
        with control as other, other.lease(f"connection:{crm}") as lease:
            taken.append(lease.number)
            other.outbox.recovered(crm, lease.number)

    made.on_write(crm, take, after=True)
    report = made.apply()
    assert ("lease", ["unknown"]) == (report.errors[crm]["kind"], _states(report))
    with made.project() as project:
        (waits,) = project.control.outbox.waiting()
        (sent,) = project.control.outbox.attempts(waits.push_id)
    assert ("unknown", True, "answered") == (waits.state, sent.late, sent.outcome)
    made.later(minutes=5)
    assert made.pushed().state in ("done", "converged")
    assert (1, []) == (len(made.writes(crm)), made.queue())

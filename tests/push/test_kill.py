"""`kill -9` at every step of a push: nothing is done twice, no edit is lost, the warehouse is what the CRM holds.

Each push is a process of its own that ends without a word; the next one finds out by reading what had happened.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onepipe.warehouse.work import published
from tests.effort import some
from tests.push.conftest import Make
from tests.push.desk import CURRENCY, VALUES, Desk
from tests.push.driver import LANDING, SENDING
from tests.push.machine.laws import unlike_the_crm
from tests.push.test_behaviours_lost import NEW

CRM = "overplane"
OPS = ("update", "create", "delete")
HOUSE = Path(__file__).parents[2]
KILLED = -9
OURS = VALUES["amount"][1]


def _desk(desk: Make) -> Desk:
    made = desk(CRM, limits={"max_deletes": 9})
    for name in ("Changed", "Deleted", "Called"):
        made.deal(CRM, name=name)
    made.sync()
    return made


def _queue(made: Desk, *ops: str) -> None:
    """One edit of each kind."""
    queue: dict[str, Callable[[], Any]] = {
        "update": lambda: made.edit(CRM, made.named(CRM, "Changed")[0], amount=OURS),
        "create": lambda: made.new(CRM, name="New", **NEW[CRM]),
        "delete": lambda: made.delete(CRM, made.named(CRM, "Deleted")[0]),
    }
    for op in ops:
        queue[op]()


def _killed(made: Desk, step: str, *words: str, nth: int = 1) -> None:
    """A push by a process that is killed at a step."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.push.driver", str(made.config), step, str(nth), *words],
        capture_output=True,
        text=True,
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert KILLED == done.returncode, done.stdout + done.stderr


def _comes_to_rest(made: Desk) -> None:
    """Another process pushes what is left, until nothing is."""
    for _ in range(5):
        made.later(minutes=3)
        report = made.apply()
        assert {} == report.errors
        if not report.items:
            return
    raise AssertionError(report.document())


def _as_it_should_be(made: Desk, *ops: str) -> None:
    """Each op was carried out once, all are settled, and the warehouse shows what the CRM holds."""
    held = {
        "update": lambda: OURS == made.held(CRM, made.named(CRM, "Changed")[0], "amount"),
        "create": lambda: 1 == len(made.named(CRM, "New")),
        "delete": lambda: [] == made.named(CRM, "Deleted"),
    }
    assert [] == [op for op in ops if not held[op]()]
    assert [] == made.queue()
    assert {(op, "done") for op in ops} == set(made.sql("SELECT op, state FROM pushes"))
    assert len(ops) == made.sql("SELECT count(*) FROM pushes")[0][0]
    _is_the_crm(made)


def _is_the_crm(made: Desk) -> None:
    """The warehouse shows what the CRM holds, before and after the next sync, to which it is no change."""
    versions = "SELECT source_id, version, change_origin FROM opportunity_history ORDER BY ALL"
    with published(made.warehouse) as db:
        assert [] == unlike_the_crm(db, made.crm(CRM), CURRENCY.get(CRM))
        before = db.run(versions)
    made.sync(full=True)
    assert before == made.sql(versions)
    assert [] == made.apply().items


@pytest.mark.parametrize("op", some(OPS))
@pytest.mark.parametrize("step", some(SENDING))
def test_killed_while_sending(desk: Make, op: str, step: str) -> None:
    """Wherever it was killed, the request is carried out once in all."""
    made = _desk(desk)
    _queue(made, op)
    _killed(made, step, "apply")
    _comes_to_rest(made)
    _as_it_should_be(made, op)
    sent = [seen.status for seen in made.writes(CRM)]
    assert [200] * len(sent) == sent
    assert 1 == len(sent)


@pytest.mark.long
@pytest.mark.parametrize("step", some(LANDING, every=6))
def test_killed_while_landing(desk: Make, step: str) -> None:
    """Whoever commits next lands what was done, once; nothing is sent again."""
    made = _desk(desk)
    _queue(made, *OPS)
    _killed(made, step, "apply")
    assert len(OPS) == len(made.writes(CRM))
    made.sync()
    _as_it_should_be(made, *OPS)
    assert len(OPS) == len(made.writes(CRM))


@pytest.mark.long
def test_killed_again_and_again(desk: Make) -> None:
    """Each process dies at the next step, and what the ones before left open comes to the same end."""
    made = _desk(desk)
    _queue(made, *OPS)
    for step in SENDING:
        _killed(made, step, "apply")
    _comes_to_rest(made)
    _as_it_should_be(made, *OPS)


@pytest.mark.long
@pytest.mark.parametrize("step", some(SENDING, every=6, first=1))
def test_killed_while_calling(desk: Make, step: str) -> None:
    """An action that may have happened is not sent again; whether it did is found out by looking."""
    made = _desk(desk)
    row = made.named(CRM, "Called")[0]
    _killed(made, step, "call", CRM, "add_lost_reason", row, "lost_reason=Price")
    _comes_to_rest(made)
    reasons = [one["lost_reason"] for one in made.crm(CRM).children["opportunity-lost-reason-detail"].get(row, [])]
    happened = step not in ("before the attempt is written down", "before the request")
    assert ["Price"] * happened == reasons
    failed = "dead" if step == "before the attempt is written down" else "not_applied"
    state = "done" if happened else failed
    assert [("call", state)] == made.sql("SELECT op, state FROM pushes")
    _is_the_crm(made)


@pytest.mark.long
def test_killed_and_renamed_meanwhile(desk: Make) -> None:
    """A deal that was made, and changed by another hand before it could be found, is not made a second time."""
    made = _desk(desk)
    _queue(made, "create")
    _killed(made, "before the answer is kept", "apply")
    (row,) = made.named(CRM, "New")
    made.change(CRM, row, name="Renamed by a rule")
    for _ in range(3):
        made.later(minutes=3)
        (done,) = made.apply().items
        assert ("ambiguous", 1) == (done.state, len(made.writes(CRM)))
    (conflict,) = made.conflicts()
    assert row == conflict.theirs

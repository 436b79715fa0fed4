"""kill -9 in the middle of erasing: what is read stays blank from the markers on, and the next command ends it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import onepipe.erase as erasing
from tests.effort import some, some_rows
from tests.erase.conftest import EMAIL

RUNNER = Path(__file__).parent / "runner.py"
STEPS = (
    ("onepipe.control.markers:Erased.blank", "before"),
    ("onepipe.control.markers:Erased.scrub", "after"),
    ("onepipe.warehouse.erasing:.blank", "after"),
    ("onepipe.erase:.rewrite", "before"),
    ("onepipe.warehouse.rewriting:.made_anew", "after"),
    ("onepipe.erase:.publish", "before"),
    ("onepipe.erase.files:.remove", "before"),
)


@pytest.mark.parametrize(("step", "when"), some_rows(STEPS, every=7, first=4))
@pytest.mark.parametrize("how", some(["again", "resume"], every=2))
def test_killed_at_any_step_it_is_ended_by_the_next_command(house: Any, step: str, when: str, how: str) -> None:
    """Killed, then synced, then run again or resumed: nothing of the person is left, and figures are as they were."""
    if how == "resume" and step not in (STEPS[0][0], STEPS[3][0]):
        pytest.skip("the same as for the command")
    desk = house("overplane", rows=1)
    deal = desk.person()
    desk.sync()
    desk.change("overplane", deal, amount="250.50")
    desk.sync()
    figures = "SELECT source_id, version, amount, stage, status, owner, valid_from::VARCHAR FROM opportunity_history"
    before = sorted(desk.sql(figures))
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(desk.config), str(deal), step, when], capture_output=True, check=False
    )
    assert -9 == done.returncode, done.stderr.decode()
    report = desk.sync(sweep=True)
    assert 0 == report.connections[0].of("opportunity").counts.new
    if how == "again":
        desk.erase(deal=("overplane", str(deal)))
    else:
        with desk.project() as project:
            assert erasing.resume(project, wait=0.0).erasures
    assert [] == desk.traces()
    assert before == sorted(desk.sql(figures))
    with desk.project() as project:
        assert [] == [one for one in project.control.erased.rows() if one.done_at is None]


@pytest.mark.long
def test_an_address_is_ended_by_resume_without_being_told_again(house: Any) -> None:
    """Killed before anything was looked for, resume finds by the fingerprint alone what the address would."""
    desk = house("overplane", rows=1)
    desk.person()
    desk.sync()
    with desk.project() as project:
        project.control.erased.mark_address(EMAIL, (), "operator", "")
    desk.sync()
    with desk.project() as project:
        assert erasing.resume(project, wait=0.0).erasures
        assert [] == [one for one in project.control.erased.rows() if one.done_at is None]
    assert [] == desk.traces()

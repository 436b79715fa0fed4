"""`kill -9` at every step of a run, and at random moments: what was committed stays, nothing is lost or doubled."""

import os
import time
from pathlib import Path
from random import Random

import pytest

from onepipe.sandbox import Sandbox
from tests.effort import some, some_rows
from tests.simulation.conftest import Shed, counts, moved, shed
from tests.simulation.steps import STEPS

KILLED = -9
KILLS = int(os.environ.get("KILLS", "12"))
KILLS_A_STORY = 4
OFTEN = (  # a first load comes by these with each page; by the others only once or twice
    *("after a page was spooled", "before a spool flush", "after a spool flush", "before the raw write"),
    *("after the raw write", "after the merge", "before a commit", "after a commit"),
    "before a merged segment is forgotten",
)
FIRST = [step for step in STEPS if step not in ("after the deletions", "after the details", "in the sweep")]


@pytest.fixture(scope="module")
def uninterrupted(loaded: Shed, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the second run makes of the warehouse when nothing stops it."""
    one = moved(loaded, tmp_path_factory.mktemp("whole") / "p")
    assert "complete" == one.desk.sync(sweep=True).status
    assert [] == one.wrong()
    return counts(one.desk.picture())


@pytest.mark.parametrize("step", some(STEPS, every=19))
def test_killed_in_a_later_run(loaded: Shed, uninterrupted: dict[str, object], tmp_path: Path, step: str) -> None:
    """Wherever a run is killed, the snapshot stays readable and the next run ends as if nothing had happened."""
    one = moved(loaded, tmp_path / "p")
    before = one.readable()
    code, said = one.drive("kill", step, "1", "sweep=true")
    assert KILLED == code, said
    assert one.readable() in (before, 15), "one run's whole state"
    assert "complete" == one.desk.sync(sweep=True).status
    assert [] == one.wrong()
    assert uninterrupted == counts(one.desk.picture())


@pytest.mark.parametrize(
    ("step", "number"), some_rows([*((step, 1) for step in FIRST), *((step, 5) for step in OFTEN)], every=25)
)
def test_killed_in_a_first_load(tmp_path: Path, step: str, number: int) -> None:
    """A first load goes on behind the last page that was made durable; no such page is asked for again."""
    with Sandbox(rows=18, seed=3, crms=["administrate"]) as sandbox:
        sandbox["administrate"].options.limit_cap = 3
        one = shed(tmp_path / "p", sandbox, "administrate")
        code, said = one.drive("kill", step, str(number), "paged")
        assert code in (KILLED, 0), said  # merging may take several pages at once, and so come by less often
        assert KILLED == code or number > 1
        first = one.pages("administrate", "id__gt")
        assert one.readable() in (None, 18)
        if code == KILLED and "commit" in step:
            assert first or number == 1
        merged = len(one.desk.work().opportunities)
        report = one.desk.sync()
        assert "complete" == report.status
        if merged < 18:
            assert 18 - merged == report.connections[0].resources["opportunity"].counts.fetched, "each row once"
        again = one.pages("administrate", "id__gt")[len(first) :]
        resumed = [page for page in again if page in first]
        assert len(resumed) <= 1, "at most the page that was under way"
        assert [] == one.wrong()
        assert {1} == {len(versions) for versions in one.desk.picture().history.values()}


@pytest.mark.long
@pytest.mark.parametrize("story", some(range(-(-KILLS // KILLS_A_STORY))))
def test_killed_at_random_moments(tmp_path: Path, story: int) -> None:
    """Backfill and sync killed again and again, with edits in between, end with exactly the CRM's rows."""
    seed = int(os.environ.get("ONEPIPE_SEED", "100")) + story
    random, again = Random(seed), f"again with ONEPIPE_SEED={seed}"
    crms = random.choice((("administrate", "overplane"), ("tactile", "capsule"), ("onautomate", "administrate")))
    with Sandbox(rows=90, seed=seed, crms=crms) as sandbox:
        for crm in crms:
            sandbox[crm].options.limit_cap = 10
            sandbox[crm].faults.add("slow", seconds=0.04, count=None, lists=True)
        one = shed(tmp_path / "p", sandbox, *crms)
        for number in range(min(KILLS_A_STORY, KILLS)):
            _kill(one, random, 'command="backfill"' if number % 2 == 0 else "sweep=true")
            for crm in crms:
                keys = list(sandbox[crm].rows)
                name = "title" if crm == "overplane" else "name"
                sandbox[crm].update(random.choice(keys), **{name: f"edited {number}"})
                sandbox[crm].insert(**{name: f"added {number}"})
        for crm in crms:
            sandbox[crm].faults.clear()
        for _ in range(3):  # the first may only end a scan that was interrupted
            report = one.desk.sync(sweep=True)
        assert "complete" == report.status, again
        assert [] == one.wrong(), again


def _kill(one: Shed, random: Random, *words: str) -> None:
    """Start a run, and kill it some time after its first request."""
    crm = one.desk.sandbox[one.desk.crms[0]]
    seen, process = len(crm.log), one.start("paged" if random.random() < 0.3 else "", *words)
    deadline = time.monotonic() + 30
    while len(crm.log) == seen and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.random() * 1.2)
    process.kill()
    process.communicate()
    one.readable()

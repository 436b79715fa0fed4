"""Thirty simulated days in which everything goes wrong: each run that was due is made, or its reason is on record."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from onepipe.control import Hold, Pause
from onepipe.errors import AuthRefused, OnepipeError, Unavailable
from tests.daemon.simulated import NOON, SECOND, World, config

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
INTERVALS = {"ten": "10m", "quarter": "15m", "hour": "1h", "two": "2h", "six": "6h", "day": "1d", "slow": "10m"}
CRONS = {"morning": "0 6 * * *", "often": "*/20 * * * *", "weekly": "30 5 * * mon"}
SPANS = {"ten": 10, "quarter": 15, "hour": 60, "two": 120, "six": 360, "day": 1440, "slow": 10, "morning": 1440}
SPANS |= {"often": 20, "weekly": 10_080}  # minutes
SLACK = MINUTE  # for workers that were busy


class Month:
    """A month of one seed. Each day a credential fails, and other troubles come as they like."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        self.world = World(config(folder, INTERVALS | CRONS, workers=3, jitter="40s"), now=NOON)
        self.bad: dict[str, OnepipeError] = {}
        self.pauses: dict[str, Pause] = {}
        self.world.fate = lambda name, _: self.bad.get(name)
        self.world.length = lambda name: timedelta(minutes=25) if name == "slow" else 3 * SECOND

    def play(self) -> None:
        while self.world.now < NOON + 30 * DAY:
            self.credentials()
            end = self.world.now + DAY
            while self.world.now < end:
                self.world.live(timedelta(seconds=self.random.randint(300, 15_000)))
                self.random.choice([self.restart, self.jump, self.back, self.sleep, self.hold, self.pause, self.fail])()

    def credentials(self) -> None:
        """Today's tokens: one is refused, and those of yesterday are put right, which a reload tells the desk."""
        self.world.token = f"token of {self.world.now:%d}"
        self.bad = {self.random.choice(list(SPANS)): AuthRefused("401")}
        self.world.desk.take(self.world.config, self.world.now, {}, {})

    def restart(self) -> None:
        self.world.restart(timedelta(minutes=self.random.choice([0, 1, 90, 600])))
        self.world.desk.heed(self.pauses, dict(self.world.broken), self.world.now)

    def jump(self) -> None:
        self.world.set_clock(timedelta(minutes=self.random.choice([3, 60, 120])))

    def back(self) -> None:
        self.world.set_clock(-timedelta(minutes=self.random.choice([3, 60])))

    def sleep(self) -> None:
        self.world.sleep(timedelta(minutes=self.random.choice([5, 480])))

    def hold(self) -> None:
        until = self.world.now + timedelta(minutes=self.random.choice([1, 45]))
        self.world.held = {self.random.choice(list(SPANS)): Hold(until, "429")}

    def pause(self) -> None:
        self.pauses = {} if self.pauses else {self.random.choice(list(SPANS)): Pause(0.0, "operator")}
        self.world.desk.heed(self.pauses, dict(self.world.broken), self.world.now)

    def fail(self) -> None:
        self.bad[self.random.choice(list(SPANS))] = Unavailable("no answer")

    def between(self, name: str) -> list[tuple[timedelta, int, int]]:
        """Of each two runs in a row: what went by by the clock, how many runs were passed over, and how often its
        intervals began to count anew, which each time takes less than one away.
        """
        marks = [one for one in self.world.marks if one[0] == name]
        return [
            (
                later[2] - earlier[2],
                sum(times for who, _, times in self.world.seen.passes[earlier[3] : later[3]] if who == name),
                later[4] - earlier[4],
            )
            for earlier, later in pairwise(marks)
        ]


@pytest.fixture(scope="module", params=range(6))
def month(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Month:
    """A month that was lived."""
    made = Month(tmp_path_factory.mktemp("month"), request.param)
    made.play()
    return made


@pytest.mark.parametrize("name", SPANS)
def test_each_due_run_was_made_or_its_reason_is_on_record(month: Month, name: str) -> None:
    """Between two runs as many were passed over, with a reason, as there were times of the schedule; one is the run."""
    span = SPANS[name] * MINUTE
    for clock, passed, anew in month.between(name):
        due = (clock - SLACK) // span
        assert due <= passed + 1 + anew, (clock, passed)


@pytest.mark.parametrize("name", SPANS)
def test_nothing_runs_in_a_burst(month: Month, name: str) -> None:
    """In real time two runs have most of an interval between them, but where a person, an end of a hold or a restart
    brought one about, or the clock was set; in ten intervals there are never many more than ten."""
    span, marks = SPANS[name] * MINUTE, [one[1] for one in month.world.marks if one[0] == name]
    for first in range(0, len(marks) - 20, 5):
        assert marks[first + 20] - marks[first] > 8 * span


def test_every_connection_lived(month: Month) -> None:
    """The trouble was not so large that nothing was tested: all ran, and most of the reasons came up."""
    world = month.world
    assert set(SPANS) == {name for _, name in world.made}
    assert world.count("ten") > 1000
    reasons = {why for _, why in world.seen.passed}
    assert {"still running", "clock", "not at work", "broken", "paused", "held"} <= reasons
    assert world.most <= 3
    assert {"failed", "paused", "recovered"} <= set(world.seen.told())


def test_what_is_told_is_what_is_remembered(month: Month) -> None:
    """What onlookers were told of runs not made is what stands in the control file."""
    told = {key: times for key, times in month.world.seen.passed.items() if times}
    assert told == {key: one.times for key, one in month.world.passes.passed.items()}

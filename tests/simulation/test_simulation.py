"""Stories made of seeds, played by the real engine against a simulated CRM; the oracle is what the CRM itself was like.

Replay one aloud: SEED=123 make soak. Fresh ones: make soak SEEDS=1000.
"""

import pytest

from tests.simulation.play import played
from tests.simulation.story import story

SEEDS = 200
AT_A_TIME = 10

# Each failure ever found, by the seed that found it, with what it was.
NAMED = {
    12: "a full disk while the work file was being made left one without tables, which no later run could open",
    105: "a scan of which nothing was merged yet went on with the next run's time as its cursor",
    116: "one refused answer to Tactile's list_all was taken for an account that has none: closed deals were missing",
    156: "a spool that could not be written was written once more, and that error hid the first",
}


@pytest.mark.parametrize("first", range(0, SEEDS, AT_A_TIME))
def test_fixed_seeds(first: int) -> None:
    """Whatever happens between two requests: nothing is lost, doubled, invented or wrongly called deleted."""
    for seed in range(first, first + AT_A_TIME):
        play = played(seed)
        assert [] == play.wrong, str(play)


@pytest.mark.parametrize("seed", NAMED)
def test_named_seeds(seed: int) -> None:
    """What failed once does not fail again; NAMED says what it was."""
    play = played(seed)
    assert [] == play.wrong, f"{NAMED[seed]}\n{play}"


def test_a_seed_is_one_story() -> None:
    """The same number is the same story: the CRM and its options, edits, faults, crashes."""
    assert str(story(4711)) == str(story(4711))
    assert str(story(4711)) != str(story(4716))

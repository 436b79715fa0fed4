"""Stories made of seeds, played by the real engine against a simulated CRM; the oracle is what the CRM itself was like.

Replay one aloud: SEED=123 make soak. Fresh ones: make soak SEEDS=1000.
"""

import pytest

from tests.effort import some
from tests.simulation.named import NAMED, RULES
from tests.simulation.play import played
from tests.simulation.story import story

# A run that is ended as if it were killed leaves its files open, which a real one's system closes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

SEEDS = 60
AT_A_TIME = 5


@pytest.mark.parametrize("first", some(range(0, SEEDS, AT_A_TIME), every=6))
def test_fixed_seeds(first: int) -> None:
    """Whatever happens between two requests: nothing is lost, doubled, invented or wrongly called deleted."""
    for seed in range(first, first + AT_A_TIME):
        play = played(story(seed))
        assert [] == play.wrong, str(play)


@pytest.mark.long
@pytest.mark.parametrize("sentence", some(NAMED, every=6))
def test_named_stories(sentence: str) -> None:
    """What failed once does not fail again."""
    play = played(NAMED[sentence])
    assert [] == play.wrong, f"{sentence}\n{play}"


@pytest.mark.long
@pytest.mark.parametrize("sentence", some(RULES, every=2))
def test_rules(sentence: str) -> None:
    """A rule that chance tries too seldom, tried on purpose."""
    play = played(RULES[sentence])
    assert [] == play.wrong, f"{sentence}\n{play}"


def test_a_seed_is_one_story() -> None:
    """The same number is the same story: the CRM and its options, edits, faults, crashes."""
    assert str(story(4711)) == str(story(4711))
    assert str(story(4711)) != str(story(4716))

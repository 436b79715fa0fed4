"""Who runs and who runs next: fairness, failures, refusals, pauses, holds, reloads; and what is said of each."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from onepipe.config import load
from onepipe.control import Hold, Pause
from onepipe.daemon.breaker import probe, rest
from onepipe.errors import AuthRefused, LeaseHeld, RateLimited, Stopped
from tests.daemon.simulated import NOON, SECOND, World, config, refused, unavailable

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def many(count: int, schedule: str = "10m") -> dict[str, str]:
    return {f"a{number}": schedule for number in range(count)}


# --- workers and fairness


def test_no_more_run_than_there_are_workers(tmp_path: Path) -> None:
    """A hundred are due at once; the threads are bounded."""
    world = World(config(tmp_path, many(100), workers=3))
    world.live(5 * MINUTE)
    assert (3, 100) == (world.most, len({name for _, name in world.made}))


def test_the_stalest_goes_first(tmp_path: Path) -> None:
    """Relative to its own interval: an hour late is little for a daily one, and much for one of each minute."""
    world = World(config(tmp_path, {"daily": "1d", "hourly": "1h", "often": "1m"}, workers=1))
    world.live(10 * MINUTE - 20 * SECOND)
    world.now += 25 * HOUR
    since = world.now
    world.live(MINUTE / 2)
    order = [name for at, name in world.made if at >= since]
    assert ["often", "hourly", "daily"] == order[:3]


def test_slow_ones_delay_nobody(tmp_path: Path) -> None:
    """Connections that never succeeded, and take an hour to say so, leave half of the workers to the others."""
    slow = [f"slow{number}" for number in range(20)]
    world = World(config(tmp_path, {**dict.fromkeys(slow, "1m"), **many(20, "1m")}, workers=8))
    world.fate = unavailable(*slow)
    world.live(10 * SECOND)
    world.length = lambda name: HOUR if name in slow else 2 * SECOND
    since = world.now
    world.live(2 * HOUR)
    for name in many(20):
        assert 115 <= world.count(name, since) <= 121


def test_bad_tokens_delay_nobody(tmp_path: Path) -> None:
    """Half of a fleet is refused: the others keep their ten minutes, to the second."""
    bad = [f"bad{number}" for number in range(500)]
    world = World(config(tmp_path, {**dict.fromkeys(bad, "10m"), **many(500)}), fate=refused(*bad))
    world.live(HOUR)
    for name in many(500):
        times = world.times(name)
        assert len(times) >= 4
        assert max(after - before for before, after in pairwise(times)) < 11 * MINUTE


def test_two_thousand_are_none_late(tmp_path: Path) -> None:
    """Each ten minutes, two seconds each, on eight workers: none is later than its interval."""
    world = World(config(tmp_path, many(2000)))
    world.live(HOUR)
    for name in many(2000):
        times = world.times(name)
        gaps = [after - before for before, after in pairwise(times)]
        assert gaps and max(gaps) < 20 * MINUTE


def test_jitter_spreads_what_is_due_at_once(tmp_path: Path) -> None:
    """All at six: with jitter they begin over ten minutes, in the same order each day."""
    world = World(config(tmp_path, many(50, "0 6 * * *"), workers=64, jitter="10m"))
    world.live(2 * DAY)
    mornings = [[(at, name) for at, name in world.made if at.day == day] for day in (13, 14)]
    assert [50, 50] == [len(one) for one in mornings]
    assert [name for _, name in mornings[0]] == [name for _, name in mornings[1]]
    assert 9 * MINUTE < mornings[0][-1][0] - mornings[0][0][0] < 10 * MINUTE


# --- failures


def test_one_that_fails_is_asked_less_and_less(tmp_path: Path) -> None:
    """Interval times 2, 4, 8, up to an hour; told once, and once when it is well again."""
    world = World(config(tmp_path, {"acme": "5m"}), fate=unavailable("acme"))
    world.live(5 * HOUR)
    times = world.times("acme")
    minutes = [round((after - before) / MINUTE) for before, after in pairwise(times)]
    assert [10, 20, 40, 60, 60] == minutes[:5]
    assert ["failed"] == world.seen.told()
    world.fate = lambda *_: None
    world.live(2 * HOUR)
    assert ["failed", "recovered"] == world.seen.told()
    assert {} == world.broken
    assert world.reasons("acme")["broken"] > 40


def test_a_long_interval_is_not_made_longer() -> None:
    """A daily connection that fails is tried again the next day, not later."""
    assert [DAY, DAY] == [rest(failures, DAY) for failures in (1, 30)]
    assert [2 * MINUTE, HOUR] == [rest(failures, MINUTE) for failures in (1, 1000)]
    assert [HOUR, 2 * HOUR, 4 * HOUR, DAY, DAY] == [probe(failures) for failures in (1, 2, 3, 6, 1000)]


def test_what_fails_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """A daemon that is restarted does not begin to hammer."""
    world = World(config(tmp_path, {"acme": "1m"}), fate=unavailable("acme"))
    world.live(3 * HOUR)
    before = world.count("acme")
    for _ in range(20):
        world.restart()
        world.live(MINUTE)
    assert world.count("acme") - before <= 2


def test_a_refused_credential_pauses_and_tells(tmp_path: Path) -> None:
    """No account is locked by us: a try after 1, 2, 4 hours, then once a day; told at once, and once."""
    world = World(config(tmp_path, {"acme": "5m"}), fate=refused("acme"))
    world.live(5 * DAY)
    assert 5 <= world.count("acme") <= 10
    assert ["failed", "paused"] == world.seen.told()
    (line,) = world.desk.lines(world.now)
    assert ("paused", "401") == (line.place, line.why)


def test_another_credential_goes_on_at_once(tmp_path: Path) -> None:
    """After a reload, or a restart; a reload with the same one changes nothing."""
    world = World(config(tmp_path, {"acme": "5m"}), fate=refused("acme"))
    world.live(10 * MINUTE)
    world.desk.take(world.config, world.now, {}, {})
    world.live(MINUTE)
    assert 1 == world.count("acme")
    world.token, world.fate = "another", lambda *_: None
    world.desk.take(world.config, world.now, {}, {})
    world.live(MINUTE)
    assert (2, ["failed", "paused", "recovered"]) == (world.count("acme"), world.seen.told())


def test_a_credential_that_came_while_the_old_one_was_being_refused_is_tried_at_once(tmp_path: Path) -> None:
    """What was refused is the one that the run began with, not the one that is in force when it ends."""
    world = World(config(tmp_path, {"acme": "1d"}), length=lambda _: 10 * MINUTE)
    world.fate = lambda *_: AuthRefused("401") if world.count("acme") == 1 else None
    world.live(MINUTE)
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace("word", "another"))
    world.desk.take(load(path), world.now, {}, {})
    world.live(30 * MINUTE)
    assert (2, "recovered") == (world.count("acme"), world.seen.told()[-1])


def test_what_a_sync_by_hand_mended_goes_on(tmp_path: Path) -> None:
    """The control file holds nothing against it any more: it runs at once, and people are told."""
    world = World(config(tmp_path, {"acme": "6h"}), fate=refused("acme"))
    world.live(10 * MINUTE)
    world.broken.clear()
    world.fate = lambda *_: None
    world.desk.heed({}, {}, world.now)
    world.live(MINUTE)
    assert (2, "recovered") == (world.count("acme"), world.seen.told()[-1])


def test_a_quota_is_no_failure(tmp_path: Path) -> None:
    """The CRM says until when; it runs then, and not before, and is not left alone for longer."""
    world = World(config(tmp_path, {"acme": "6h"}))
    world.fate = lambda *_: RateLimited("429", until=NOON + 40 * MINUTE) if world.now < NOON + 30 * MINUTE else None
    world.live(HOUR)
    assert [NOON, NOON + 40 * MINUTE] == world.times("acme")
    assert [] == world.seen.told()


@pytest.mark.parametrize(
    ("error", "why"), [(LeaseHeld("a sync has it"), "elsewhere"), (Stopped("told to stop"), "stopping")]
)
def test_what_is_nobodys_fault_is_no_failure(tmp_path: Path, error: Exception, why: str) -> None:
    """Another process reads it just now; or we are ending. The reason is on record."""
    world = World(config(tmp_path, {"acme": "10m"}), fate=lambda *_: error)  # type: ignore[arg-type,return-value]
    world.live(25 * MINUTE)
    assert (3, {why: 3}, []) == (world.count("acme"), world.reasons("acme"), world.seen.told())


# --- what people say


def test_a_pause_is_kept_and_ended(tmp_path: Path) -> None:
    """Nothing runs while it lasts, each due run is on record; afterwards it runs at once."""
    world = World(config(tmp_path, {"acme": "10m"}))
    world.live(MINUTE)
    world.desk.heed({"acme": Pause(0.0, "operator", "a move")}, {}, world.now)
    world.live(HOUR)
    assert (1, {"paused": 6}) == (world.count("acme"), world.reasons("acme"))
    (line,) = world.desk.lines(world.now)
    assert ("paused", "by operator: a move", None) == (line.place, line.why, line.next_due)
    world.desk.heed({}, {}, world.now)
    world.live(SECOND)
    assert 2 == world.count("acme")


def test_a_run_that_is_asked_for_is_made_now(tmp_path: Path) -> None:
    """Before all others, and although it is left alone; its interval counts from then."""
    world = World(config(tmp_path, {"acme": "1h", **many(30, "1h")}, workers=1))
    world.live(2 * MINUTE)
    world.now = NOON + HOUR - SECOND
    world.desk.ask(["acme"], world.now)
    world.live(20 * MINUTE)
    assert "acme" == next(name for at, name in world.made if at >= NOON + HOUR - SECOND)
    assert [NOON + HOUR - SECOND] == [at for at in world.times("acme") if at > NOON + 10 * MINUTE]


def test_a_failing_one_that_is_asked_for_runs(tmp_path: Path) -> None:
    """A person knows better than the breaker; a paused one is not run."""
    world = World(config(tmp_path, {"acme": "5m", "beta": "5m"}), fate=unavailable("acme"))
    world.live(MINUTE)
    world.desk.heed({"beta": Pause(0.0, "operator")}, dict(world.broken), world.now)
    world.desk.ask(["acme", "beta", "nobody"], world.now)
    world.live(SECOND)
    assert (2, 1) == (world.count("acme"), world.count("beta"))


# --- holds and what bars all


def test_a_hold_of_the_ledger_is_waited_for(tmp_path: Path) -> None:
    """Whoever was told so: due runs are on record as held, and it runs when it is time."""
    world = World(config(tmp_path, {"acme": "10m"}))
    world.held["acme"] = Hold(NOON + 35 * MINUTE, "The CRM said to wait")
    world.live(34 * MINUTE)
    (line,) = world.desk.lines(world.now)
    assert ("held", NOON + 35 * MINUTE, {"held": 4}) == (line.place, line.next_due, world.reasons("acme"))
    world.live(2 * MINUTE)
    assert [NOON + 35 * MINUTE] == world.times("acme")


def test_a_warehouse_that_is_not_ours_bars_all(tmp_path: Path) -> None:
    """Nobody runs, each due run is on record; when that is over those that were due go first."""
    world = World(config(tmp_path, {"acme": "10m", "late": "1d"}))
    world.live(MINUTE)
    world.desk.bar("another project's file", world.now)
    world.live(HOUR)
    assert (1, {"warehouse": 6}) == (world.count("acme"), world.reasons("acme"))
    world.desk.bar(None, world.now)
    world.live(SECOND)
    assert 2 == world.count("acme")


# --- another config


def test_a_reload_touches_only_what_changed(tmp_path: Path) -> None:
    """New ones run at once, those that are gone no more, a new schedule counts from the last run, others go on."""
    world = World(config(tmp_path, {"same": "1h", "gone": "1h", "slower": "1h", "off": "1h"}))
    world.live(30 * MINUTE)
    anew = config(tmp_path, {"same": "1h", "slower": "3h", "new": "1h", "off": "1h"})
    off = anew.connections["off"].model_copy(update={"enabled": False})
    world.config = anew.model_copy(update={"connections": {**anew.connections, "off": off}})
    world.desk.take(world.config, world.now, {}, {})
    world.live(3 * HOUR - MINUTE)
    assert [NOON + n * HOUR for n in range(4)] == world.times("same")
    assert [NOON + 30 * MINUTE + n * HOUR for n in range(3)] == world.times("new")
    assert [1, 1, 2] == [world.count(name) for name in ("gone", "off", "slower")]
    assert NOON + 3 * HOUR + 2 * SECOND == world.times("slower")[1]
    assert ["waiting", "waiting", "waiting", "disabled"] == [one.place for one in world.desk.lines(world.now)]


def test_what_runs_is_left_to_run_when_it_is_taken_out(tmp_path: Path) -> None:
    """It comes to its end, and nothing is said of it any more."""
    world = World(config(tmp_path, {"acme": "1h", "beta": "1h"}), length=lambda _: 10 * MINUTE)
    world.live(MINUTE)
    world.desk.take(config(tmp_path, {"beta": "1h"}), world.now, {}, {})
    assert ["acme", "beta"] == world.desk.running
    world.live(20 * MINUTE)
    assert [] == world.desk.running
    assert ["beta"] == [one.connection for one in world.desk.lines(world.now)]


# --- the end


def test_what_waits_at_the_end_is_on_record(tmp_path: Path) -> None:
    """No run begins after the word to stop; those that were due say why."""
    world = World(config(tmp_path, many(5), workers=2), length=lambda _: MINUTE)
    world.tick()
    world.desk.drain(world.now)
    world.live(30 * MINUTE)
    assert (2, []) == (len(world.made), world.desk.running)
    assert all(world.reasons(name).get("stopping") for name in many(5))

"""When a connection is due: schedules as people mean them, the rhythm of the last success, jitter, and wrong clocks."""

from datetime import datetime, timedelta

import pytest

from onepipe.config.notation import schedule
from onepipe.daemon.timetable import Due, Rhythm, Timetable, part_of
from tests.daemon.simulated import NOON

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("30 6 * * *", "2026-01-13 06:30"),
        ("0 6 * * 0", "2026-01-18 06:00"),
        ("0 6 * * 7", "2026-01-18 06:00"),
        ("0 6 * * sun", "2026-01-18 06:00"),
        ("0 6 * * 1-5", "2026-01-13 06:00"),
        ("0 6 * * mon-fri", "2026-01-13 06:00"),
        ("*/20 * * * *", "2026-01-12 12:20"),
        ("90m", "2026-01-12 13:30"),
        ("1d", "2026-01-13 12:00"),
    ],
)
def test_a_schedule_means_what_people_mean(text: str, due: str) -> None:
    """Sunday is 0, 7 and sun; times are UTC; a daemon that starts anew goes on from the last success."""
    found = Rhythm(schedule(text)).next(NOON)
    assert found and due == f"{found:%Y-%m-%d %H:%M}"


def put(text: str, last: datetime | None, now: datetime = NOON, jitter: timedelta = timedelta()) -> Timetable:
    """A timetable of one connection, acme."""
    table = Timetable(jitter)
    table.put("acme", schedule(text), last, now)
    return table


def test_what_never_ran_is_due_at_once() -> None:
    """A new connection does not wait for its first interval."""
    assert [Due("acme", NOON)] == put("6h", None).due(NOON)


def test_a_daemon_that_starts_anew_goes_on_with_the_rhythm() -> None:
    """Due an interval after the last success, however often the daemon was restarted since."""
    assert NOON + HOUR == put("2h", NOON - HOUR).next("acme")


def test_what_went_by_is_made_once_and_counted() -> None:
    """Nobody was at work for ten hours: one run, and the other times are told."""
    table = put("1h", NOON - 10 * HOUR - 30 * MINUTE)
    (due,) = table.due(NOON)
    assert ("acme", NOON - 9 * HOUR - 30 * MINUTE, 9) == (due.connection, due.at, due.missed)
    assert [] == table.due(NOON + 29 * MINUTE)
    assert 1 == len(table.due(NOON + 30 * MINUTE))


def test_times_of_a_cron_line_that_went_by_are_counted() -> None:
    """The same for cron: three mornings went by, one run is made."""
    table = put("0 6 * * *", NOON - 3 * DAY)
    assert [2] == [due.missed for due in table.due(NOON)]
    assert NOON + 18 * HOUR == table.next("acme")


def test_what_a_daemon_before_counted_is_not_counted_again() -> None:
    """A pause of ten hours is on record hour by hour; the daemon that starts then adds nothing."""
    table = Timetable()
    table.put("acme", schedule("1h"), NOON - 10 * HOUR, NOON, counted=NOON - MINUTE)
    (due,) = table.due(NOON)
    assert due.missed <= 1


def test_each_connection_has_its_own_part_of_the_jitter() -> None:
    """Spread over the whole of it, the same at every start, and no interval grows by it."""
    names = [f"a{number}" for number in range(1000)]
    parts = [part_of(10 * MINUTE, name) for name in names]
    assert parts == [part_of(10 * MINUTE, name) for name in names]
    assert timedelta() <= min(parts) < 30 * timedelta(seconds=1)
    assert 570 * timedelta(seconds=1) < max(parts) < 10 * MINUTE
    table = put("1h", NOON - HOUR, jitter=10 * MINUTE)
    first = table.next("acme")
    assert first == NOON + part_of(10 * MINUTE, "acme")
    table.due(first)
    assert first + HOUR == table.next("acme")


def test_jitter_does_not_skip_a_morning() -> None:
    """A cron line with jitter comes once a day, also where a run was asked for in between."""
    table = put("0 6 * * *", NOON - DAY, NOON - HOUR, jitter=10 * MINUTE)
    first = table.next("acme")
    assert first and first.hour == 6
    table.rearm("acme", first - MINUTE)
    assert first == table.next("acme")


@pytest.mark.parametrize("text", ["15m", "*/15 * * * *", "0 6 * * *", "1d"])
@pytest.mark.parametrize("back", [HOUR, 30 * DAY])
def test_a_clock_set_back_brings_the_next_run_near(text: str, back: timedelta) -> None:
    """Nothing is further away than an interval, and nothing comes at once because of it."""
    table = put(text, NOON - MINUTE)
    now = NOON - back
    gap = table.gap("acme", now)
    table.set_back(now, back)
    soonest = table.next("acme")
    assert soonest and now <= soonest <= now + gap


def test_a_cron_time_that_was_made_comes_no_second_time() -> None:
    """The clock is set back over this morning's run by an hour: the next one is tomorrow's."""
    six = NOON + 18 * HOUR
    table = put("0 6 * * *", NOON)
    assert 1 == len(table.due(six))
    table.set_back(six - HOUR, HOUR)
    assert six + DAY == table.next("acme")


def test_a_last_success_in_the_future_is_taken_for_now() -> None:
    """It was written while the clock was wrong; the connection is not left alone until then."""
    assert NOON + HOUR == put("1h", NOON + 400 * DAY).next("acme")


def test_a_line_that_never_comes_is_never_due() -> None:
    """The thirtieth of February: nothing fails, nothing runs."""
    table = put("0 6 30 2 *", NOON)
    assert (None, []) == (table.next("acme"), table.due(NOON + 400 * DAY))


def test_the_heap_does_not_grow() -> None:
    """Times that were replaced are forgotten, however often somebody asks for a run."""
    table = put("1d", NOON)
    for number in range(10_000):
        table.rearm("acme", NOON + number * timedelta(seconds=1))
        table.also("acme", NOON + HOUR + number * timedelta(seconds=1))
    assert len(table._heap) < 100
    assert 1 == len(table.due(NOON + 12 * HOUR))

"""Each trap of APScheduler 3.11 as a law: its own scheduler breaks it with what it does by default, and we keep it."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from onepipe.config import Connection
from onepipe.config.notation import schedule
from onepipe.daemon import Daemon, Onlooker
from onepipe.daemon.desk import Desk
from onepipe.daemon.loop import TICK
from onepipe.daemon.timetable import Rhythm, Timetable
from onepipe.errors import LeaseHeld
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import daemon, wait_for_request
from tests.daemon.simulated import NOON, SECOND, World, config

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PATIENCE = 20.0  # seconds that a test waits for what must come


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def theirs(kind: type[Any] = BackgroundScheduler, **how: Any) -> Iterator[Any]:
    """APScheduler's own scheduler, in UTC, and otherwise with its defaults."""
    scheduler = kind(timezone=UTC, **how)
    try:
        yield scheduler
    finally:
        if scheduler.running:
            scheduler.shutdown(wait=False)


class Told:
    """What became of the jobs of a scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self.codes: list[int] = []
        self._news = threading.Condition()
        scheduler.add_listener(
            self._hear, EVENT_JOB_EXECUTED | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_ERROR
        )

    def _hear(self, event: Any) -> None:
        with self._news:
            self.codes.append(event.code)
            self._news.notify_all()

    def wait_for(self, *codes: int) -> int:
        """Until one of these was told; the first of them."""
        with self._news:
            assert self._news.wait_for(lambda: set(codes) & set(self.codes), PATIENCE)
            return next(code for code in self.codes if code in codes)


# --- a run that is late is made


def test_theirs_drops_a_run_that_is_late() -> None:
    """Two seconds late, because the machine was busy: the default grace is one second, and nobody is told."""
    with theirs() as scheduler, pytest.raises(AssertionError):
        told = Told(scheduler)
        scheduler.add_job(lambda: None, "interval", hours=1, next_run_time=now() - 2 * SECOND)
        scheduler.start()
        assert EVENT_JOB_EXECUTED == told.wait_for(EVENT_JOB_EXECUTED, EVENT_JOB_MISSED)


def test_ours_makes_a_run_that_is_late(tmp_path: Path) -> None:
    """However late it is."""
    for late in (2 * SECOND, HOUR, 400 * DAY):
        world = World(config(tmp_path, {"acme": "1h"}))
        world.live(SECOND)
        world.now += HOUR + late
        world.live(SECOND)
        assert 2 == world.count("acme")


# --- a run that came due while the one before worked is made when that is over


def test_theirs_lets_a_whole_interval_pass_after_an_overrun() -> None:
    """MAX_INSTANCES: the run is skipped, and the next one comes an hour later."""
    over = threading.Event()
    with theirs() as scheduler, pytest.raises(AssertionError):
        told = Told(scheduler)
        job = scheduler.add_job(lambda: over.wait(PATIENCE), "interval", hours=1, next_run_time=now())
        scheduler.start()
        job.modify(next_run_time=now())
        told.wait_for(EVENT_JOB_MAX_INSTANCES)
        over.set()
        told.wait_for(EVENT_JOB_EXECUTED)
        assert job.next_run_time <= now() + SECOND


def test_ours_runs_again_when_an_overrun_is_over(tmp_path: Path) -> None:
    """One run for all that came due meanwhile, at once; it is counted, and the next is an interval later."""
    world = World(config(tmp_path, {"acme": "10m"}), length=lambda _: timedelta(minutes=25))
    world.live(timedelta(minutes=26))
    assert [NOON, NOON + timedelta(minutes=25)] == world.times("acme")
    assert {"still running": 2} == world.reasons("acme")
    world.length = lambda _: SECOND
    world.live(timedelta(minutes=40))
    assert 3 <= world.count("acme") <= 5


# --- a run under way comes to its end


def test_theirs_cancels_what_runs() -> None:
    """`AsyncIOScheduler.shutdown(wait=True)` does not wait: the coroutine is cancelled."""
    ended = []

    async def main() -> None:
        begun, over = asyncio.Event(), asyncio.Event()

        async def run() -> None:
            begun.set()
            await over.wait()
            ended.append(True)

        scheduler = AsyncIOScheduler(timezone=UTC)
        scheduler.add_job(run, next_run_time=now())
        scheduler.start()
        await asyncio.wait_for(begun.wait(), PATIENCE)
        scheduler.shutdown(wait=True)
        over.set()
        await asyncio.sleep(0.1)

    asyncio.run(main())
    with pytest.raises(AssertionError):
        assert [True] == ended


@pytest.fixture
def capsule(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project with one Capsule."""
    with Sandbox(rows=5, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule", schedule="6h", settings={"details": False}))
        yield Place(tmp_path), crms


def test_ours_lets_what_runs_come_to_its_end(capsule: tuple[Place, Sandbox]) -> None:
    """SIGTERM in the middle of a run: that run is complete all the same."""
    place, crms = capsule
    crms["capsule"].faults.add("slow", seconds=1, count=1, lists=True)
    with daemon(place) as running:
        wait_for_request(crms)
        assert 0 == running.stop()
        assert ["complete"] == [one["status"] for one in running.lines() if "status" in one], running.log.read_text()


# --- one that blocks holds nobody else up


def law_of_the_blocked(begin: Callable[[Callable[[], None], Callable[[], None]], object]) -> None:
    """Of two that are due the first waits until the second began; `begin` has both run."""
    second, over = threading.Event(), threading.Event()
    found: list[bool] = []

    def first() -> None:
        found.append(second.wait(1.0))
        over.set()

    begin(first, second.set)
    assert over.wait(PATIENCE)
    assert [True] == found


def test_theirs_is_stalled_by_one_that_blocks() -> None:
    """A coroutine that makes one blocking call: no other job begins."""

    def begin(first: Callable[[], None], second: Callable[[], None]) -> None:
        async def main() -> None:
            async def one() -> None:
                first()

            async def two() -> None:
                second()

            scheduler = AsyncIOScheduler(timezone=UTC)
            scheduler.add_job(one, next_run_time=now() - HOUR, misfire_grace_time=None)
            scheduler.add_job(two, next_run_time=now(), misfire_grace_time=None)
            scheduler.start()
            await asyncio.sleep(0.1)
            scheduler.shutdown()

        asyncio.run(main())

    with pytest.raises(AssertionError):
        law_of_the_blocked(begin)


def test_ours_is_not_stalled_by_one_that_blocks(tmp_path: Path) -> None:
    """Runs are in threads of their own, the loop in another."""
    with ThreadPoolExecutor(2) as pool:

        def begin(first: Callable[[], None], second: Callable[[], None]) -> None:
            what = {"first": first, "second": second}

            def start(one: Connection) -> None:
                pool.submit(what[one.name])

            desk = Desk(start, lambda _: None, lambda _: b"", Onlooker())
            desk.take(config(tmp_path, {"first": "1h", "second": "1h"}), NOON, {}, {})
            desk.tick(NOON)

        law_of_the_blocked(begin)


# --- a day of the week is the one that people mean


def law_of_sundays(next_of: Callable[[str], datetime | None]) -> None:
    """`0 3 * * 0` and `0 3 * * 7` are Sundays, as in every crontab."""
    for text in ("0 3 * * 0", "0 3 * * 7", "0 3 * * sun"):
        found = next_of(text)
        assert found and "Sunday" == f"{found:%A}", text


def test_theirs_takes_sunday_for_monday() -> None:
    """0 is Monday to `from_crontab`, and 7 is refused."""
    with pytest.raises(AssertionError):
        law_of_sundays(lambda text: CronTrigger.from_crontab(text, timezone=UTC).get_next_fire_time(None, NOON))
    with pytest.raises(ValueError, match="7"):
        CronTrigger.from_crontab("0 3 * * 7")


def test_ours_takes_sunday_for_sunday() -> None:
    """Days are told to the trigger by name."""
    law_of_sundays(lambda text: Rhythm(schedule(text)).next(NOON))
    with pytest.raises(ValueError, match="five fields"):
        schedule("@hourly")


# --- a daily run comes once a day


def law_of_days(next_of: Callable[[datetime], datetime | None]) -> None:
    """In a whole year no day, by the clock on the wall, has two runs at half past two."""
    found, days = datetime(2026, 1, 1, tzinfo=UTC), []
    while (later := next_of(found + SECOND)) and later.year == 2026:
        days.append(f"{later:%m-%d}")
        found = later.astimezone(UTC)
    assert 365 <= len(days)
    assert len(days) == len(set(days))


def test_theirs_runs_twice_in_autumn() -> None:
    """Where a clock is set back in the night, an hour comes twice."""
    trigger = CronTrigger.from_crontab("30 2 * * *", timezone="Europe/Berlin")
    with pytest.raises(AssertionError):
        law_of_days(lambda after: trigger.get_next_fire_time(None, after))


def test_ours_runs_once_in_autumn() -> None:
    """Schedules are in UTC."""
    rhythm = Rhythm(schedule("30 2 * * *"))
    law_of_days(lambda after: rhythm.after(after, after))


# --- a clock that jumps is seen


def test_theirs_sleeps_on_when_the_clock_jumps() -> None:
    """It sleeps until the next run by the clock of before: an hour, whatever the clock says meanwhile."""
    with theirs() as scheduler, pytest.raises(AssertionError):
        scheduler.add_job(lambda: None, "interval", hours=1)
        scheduler.start(paused=True)
        scheduler.state = 1  # running, but for the thread: what the thread would sleep is asked here
        assert scheduler._process_jobs() <= 2


def test_ours_looks_at_the_clock_each_second(tmp_path: Path) -> None:
    """After a jump forwards, or a night's sleep, what is due runs at once: one run, and the others are on record."""
    assert TICK <= 2
    world = World(config(tmp_path, {"acme": "1h"}))
    world.live(SECOND * 5)
    world.sleep(9 * HOUR + timedelta(minutes=30))
    world.tick()
    assert (2, {"clock": 8}) == (world.count("acme"), world.reasons("acme"))


# --- two of them make each run once


def test_theirs_runs_everything_twice_beside_another() -> None:
    """Two schedulers with the same jobs know nothing of each other."""
    made: list[int] = []
    with theirs() as one, theirs() as other, pytest.raises(AssertionError):
        for number, scheduler in enumerate((one, other)):
            told = Told(scheduler)
            scheduler.add_job(made.append, args=[number], id="acme")
            scheduler.start()
            told.wait_for(EVENT_JOB_EXECUTED)
        assert 1 == len(made)


def test_ours_begins_nothing_beside_another(capsule: tuple[Place, Sandbox]) -> None:
    """The second one is refused before it asks any CRM, and names the first."""
    place, crms = capsule
    with ExitStack() as stack:
        first, other = (stack.enter_context(Project(place.config, "onepipe daemon")) for _ in range(2))
        stack.enter_context(first.control.lease("daemon"))
        with pytest.raises(LeaseHeld, match="already at work"):
            Daemon(other).run()
    assert [] == list(crms["capsule"].log)


# --- a connection that is put in twice runs once


def test_theirs_keeps_the_same_id_twice() -> None:
    """Before it is started, `add_job` takes the same id again and again."""
    with theirs() as scheduler, pytest.raises(AssertionError):
        for _ in range(2):
            scheduler.add_job(lambda: None, "interval", hours=1, id="acme")
        assert 1 == len(scheduler.get_jobs())


def test_ours_keeps_a_name_once() -> None:
    """A later word replaces the one before."""
    table = Timetable()
    for text in ("1h", "2h"):
        table.put("acme", schedule(text), NOON, NOON)
    assert [[], [NOON + 2 * HOUR]] == [[one.at for one in table.due(NOON + n * HOUR)] for n in (1, 2)]


# --- a daemon that is restarted each hour still runs a two-hour job


def law_of_restarts(next_run: Callable[[], datetime]) -> None:
    """A two-hour connection last ran an hour ago: whenever we are asked, it is due in an hour."""
    assert abs(next_run() - (now() + HOUR)) < timedelta(minutes=1)


def test_theirs_begins_its_interval_anew() -> None:
    """Restarted each hour, a two-hour job never runs."""

    def next_run() -> datetime:
        with theirs() as scheduler:
            job = scheduler.add_job(lambda: None, "interval", hours=2)
            scheduler.start(paused=True)
            found: datetime = job.next_run_time
            return found

    with pytest.raises(AssertionError):
        law_of_restarts(next_run)


def test_ours_goes_on_from_the_last_success() -> None:
    """As the published warehouse and the control file tell it."""

    def next_run() -> datetime:
        table = Timetable()
        table.put("acme", schedule("2h"), now() - HOUR, now())
        found = table.next("acme")
        assert found
        return found

    law_of_restarts(next_run)


# --- SIGTERM is ours, also where a page is served

UVICORN = """
import asyncio, os, signal, uvicorn

async def app(scope, receive, send):
    pass

async def main():
    stop = asyncio.Event()
    told = lambda: os._exit(143) if stop.is_set() else stop.set()  # a second signal is not discussed
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told)
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_level="critical"))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.wait([serving, asyncio.ensure_future(stop.wait())], return_when="FIRST_COMPLETED")
    await asyncio.sleep(0.5)  # the run under way
    print("run ended", flush=True)

asyncio.run(main())
"""


def test_a_page_of_uvicorn_takes_the_signal_away() -> None:
    """With its defaults it captures SIGTERM, and raises it again when it stops: for who runs it it is a second one."""
    process = subprocess.Popen([sys.executable, "-c", UVICORN], stdout=subprocess.PIPE, text=True)
    assert process.stdout and "ready\n" == process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    with pytest.raises(AssertionError):
        assert (0, "run ended\n") == (process.returncode, out)


@pytest.mark.long
def test_our_page_leaves_the_signal_to_us(capsule: tuple[Place, Sandbox]) -> None:
    """With a port for health and metrics the run under way comes to its end, and the daemon ends with 0."""
    place, crms = capsule
    text = place.config.read_text()
    place.config.write_text(f"daemon: {{listen: '127.0.0.1:0'}}\n{text}")
    crms["capsule"].faults.add("slow", seconds=1, count=1, lists=True)
    with daemon(place) as running:
        wait_for_request(crms)
        assert 0 == running.stop()
        assert ["complete"] == [one["status"] for one in running.lines() if "status" in one], running.log.read_text()

"""The daemon: a loop that compares the wall clock with the timetable, about once a second and whenever a run ends.

Everything that happens (a signal, a run that ended, a config read again) is put into one inbox and done by the loop, in
its turn. Being killed loses nothing, so an end that takes too long is cut short.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from onepipe import logs
from onepipe.account import utc_now
from onepipe.config import Connection
from onepipe.daemon.desk import Desk
from onepipe.daemon.ledger import Holds, Memory, remembered
from onepipe.daemon.memory import few_arenas, give_back
from onepipe.daemon.notify import Notify
from onepipe.daemon.onlooker import Event, Onlooker, State
from onepipe.daemon.place import Place, held
from onepipe.daemon.publishing import Publisher, Publishing
from onepipe.daemon.reload import Reloading, Reread
from onepipe.daemon.runs import Runs
from onepipe.daemon.signals import ENDING, heeded
from onepipe.errors import DiskTrouble, LeaseHeld, OnepipeError
from onepipe.project import Project
from onepipe.publish import guard, publish, restore

TICK = 1.0  # seconds between two looks at the clock, at the most
LAST_PAGE = 3.0  # seconds more that runs may take once they are told to end as they are
RENEWED = 60.0  # seconds between two looks at lists of accounts that change by themselves
JUMP = timedelta(seconds=2)  # a clock that differs by more from the time that went by was set, or the machine slept
MOST_THREADS = 64  # as many as `daemon.workers` may be
TAKEN = 75  # the exit code where another daemon has our place

Told = Callable[[datetime], None]


class Daemon:
    """Runs until it is told to stop. One at a time for each state folder.

    `drain` is how many seconds runs may take to end then, by default what config.yaml says. `clock` is the wall clock.
    """

    def __init__(
        self,
        project: Project,
        drain: float | None = None,
        onlooker: Onlooker | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._project = project
        self._drain = drain
        self._onlooker = onlooker or Onlooker()
        self._clock = clock
        self._inbox: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._cut = threading.Event()  # runs under way end after the page they read
        self._lock = threading.RLock()  # the desk, for those who ask how it stands
        self._notify = Notify()
        self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="run")
        self._publisher = Publisher(self._copy, done=self._published)
        self._publishing = Publishing(self._publisher, lambda: project.config.warehouse, self._guard, self._barred)
        self._runs = Runs(project, self._publisher.changed, self._cut)
        self._holds = Holds(project)
        self._desk = Desk(self._start, self._holds.held, self._holds.fingerprint, self._onlooker)
        self._memory = Memory(project.control.service, self._desk)
        self._reloading = Reloading(
            project,
            found=lambda found: self._inbox.put(lambda now: self._take(found, now)),
            refused=lambda error: self._inbox.put(lambda _: self._keep(error)),
        )
        self._started = self._looked = clock()
        self._last_tick = self._renewed = time.monotonic()
        self._config_read = self._started
        self._lag = 0.0
        self._refused: str | None = None
        self._published_at: datetime | None = None
        self._deadline: float | None = None  # of the drain, and then of the last page
        self._fatal: OnepipeError | None = None

    def state(self) -> State:
        """How the daemon stands now. For any thread."""
        warehouse = self._project.warehouse
        with self._lock:
            now = self._clock()
            return State(
                started_at=self._started,
                looked_at=now,
                lines=self._desk.lines(now),
                draining=self._desk.draining,
                lag=self._lag,
                beat=self._looked,
                config_read_at=self._config_read,
                refused=self._refused,
                generation=warehouse.generation,
                published=warehouse.published,
                published_at=self._published_at,
            )

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises LeaseHeld where another daemon is at work or took our place, ConfigError, and DiskTrouble where the state
        folder is taken away.
        """
        with held(self._project.control) as place, heeded(self._signalled):
            self._begin()
            while not self._over():
                self._turn(place)
            self._end()

    def _begin(self) -> None:
        few_arenas()
        project, service = self._project, self._project.control.service
        restore(project.warehouse, project.config.warehouse, logs.get().warning)
        guard(project.warehouse, project.config.warehouse)
        turns = remembered(project)
        now = self._clock()
        self._desk.take(project.config, now, turns, service.breakers())
        self._onlooker.reloaded(project.config)
        if project.warehouse.path.exists():
            self._publisher.changed()  # a run that was killed may have committed and not published
        self._publishing.start()
        for text in project.config.notices:
            logs.get().warning(text)
        count = sum(one.enabled for one in project.config.connections.values())
        logs.get().info("daemon started", pid=os.getpid(), connections=count)
        self._notify.ready(f"{count} connections")

    def _turn(self, place: Place) -> None:
        """Wait for the next thing to do, at most until something is due, and do it."""
        wait, before = self._wait(), time.monotonic()
        told: list[Told] = []
        with suppress(queue.Empty):
            told.append(self._inbox.get(timeout=wait))
            while True:
                told.append(self._inbox.get_nowait())
        with self._lock:
            tick, now = time.monotonic(), self._clock()
            self._lag = max(tick - before - wait, 0.0)
            self._compare(now, tick)
            for one in told:
                one(now)
            self._look(now, tick, place)
            self._desk.tick(now)
        self._onlooker.beat(now)
        self._notify.alive(tick)

    def _wait(self) -> float:
        soonest = self._desk.soonest()
        due = (soonest - self._clock()).total_seconds() if soonest else TICK
        return min(max(due, 0.01), TICK)

    def _compare(self, now: datetime, tick: float) -> None:
        """Whether the wall clock was set, or the machine slept; forwards makes things due, and that is all."""
        by = timedelta(seconds=tick - self._last_tick) - (now - self._looked)
        if abs(by) > JUMP:
            word = "set back" if by > JUMP else "set forwards, or this machine slept"
            logs.get().warning(f"the clock was {word}", seconds=round(abs(by).total_seconds()))
        if by > JUMP:
            self._desk.set_back(now, by)
        self._looked, self._last_tick = now, tick

    def _look(self, now: datetime, tick: float, place: Place) -> None:
        """Whether we have our place, what people said, and what has to be written down."""
        lost = place.lost(tick) if self._fatal is None else None
        if lost:
            self._fall(lost, now)
        if tick >= self._renewed + RENEWED:
            self._renewed = tick
            self._renew(now)
        self._memory.look(now)

    def _start(self, connection: Connection) -> None:
        self._pool.submit(self._work, connection)

    def _work(self, connection: Connection) -> None:
        ended = self._runs.make(connection)
        self._inbox.put(lambda _: self._desk.ended(ended))

    def _signalled(self, number: int) -> None:
        told = self._stop if number in ENDING else self._reload
        self._inbox.put(lambda now: told(now, signal.Signals(number).name))

    def _stop(self, now: datetime, why: str) -> None:
        seconds = self._drain
        if seconds is None:
            seconds = self._project.config.daemon.drain.total_seconds()
        logs.get().info("stopping: no new runs", signal=why, seconds=seconds)
        self._notify.stopping(f"{len(self._desk.running)} runs under way")
        self._deadline = time.monotonic() + seconds
        self._desk.drain(now)

    def _fall(self, error: OnepipeError, now: datetime) -> None:
        """Go no further: what runs is told to end as it is."""
        self._fatal = error
        logs.get().error("stopping", kind=error.kind, error=error.message, hint=error.hint)
        self._desk.drain(now)
        self._cut.set()
        self._deadline = time.monotonic() + LAST_PAGE

    def _renew(self, now: datetime) -> None:
        """Look at what changes without anybody's word: lists of accounts."""
        if self._project.config.outdated(self._clock().timestamp()):
            self._reload(now, "a list of accounts")

    def _reload(self, _now: datetime, why: str) -> None:
        logs.get().info("reading config.yaml again", signal=why)
        self._notify.reloading()
        self._reloading.begin()

    def _keep(self, error: OnepipeError) -> None:
        self._refused = logs.redact(error.message)
        logs.get().error("the new config is wrong; the old one stays in force", error=error.message, hint=error.hint)
        self._notify.ready("the new config is wrong; the old one stays in force")

    def _take(self, found: Reread, now: datetime) -> None:
        service = self._project.control.service
        known, there = self._project.config.connections, found.config.connections
        new, gone = [name for name in there if name not in known], [name for name in known if name not in there]
        try:
            turns, broken = (service.turns(), service.breakers()) if new else ({}, {})
        except DiskTrouble as error:
            self._keep(error)
            return
        self._project.take(found.config, found.beside)
        self._holds.clear()
        self._desk.take(found.config, now, turns, broken)
        self._memory.look_anew()
        self._refused, self._config_read = None, now
        self._onlooker.reloaded(found.config)
        for text in found.config.notices:
            logs.get().warning(text)
        count = sum(one.enabled for one in there.values())
        logs.get().info("the new config is in force", connections=count, added=new[:20], gone=gone[:20])
        self._notify.ready(f"{count} connections")

    def _copy(self) -> bool:
        project = self._project
        try:
            return publish(project.warehouse, project.config.warehouse, project.views, logs.get().warning)
        finally:
            project.warehouse.rest()
            give_back()

    def _published(self, seconds: float) -> None:
        self._published_at = self._clock()
        self._onlooker.published(seconds)

    def _guard(self) -> None:
        guard(self._project.warehouse, self._project.config.warehouse)

    def _barred(self, error: OnepipeError | None) -> None:
        """Nobody runs while the published file is not ours; called by the thread that publishes."""
        if error is None:
            logs.get().info("the published file is ours again: runs go on")
        else:
            logs.get().error("no run is made", kind=error.kind, error=error.message, hint=error.hint)
            text, hint = logs.redact(error.message), error.hint or ""
            self._onlooker.happened(Event(event="failed", at=self._clock(), text=text, hint=hint, kind=error.kind))
        self._inbox.put(lambda now: self._desk.bar(error.message if error else None, now))

    def _over(self) -> bool:
        """Whether everything came to its end, or took too long to."""
        if self._deadline is None:
            return False
        if not self._desk.running:
            return True
        if time.monotonic() < self._deadline:
            return False
        if self._cut.is_set():
            return True
        self._cut.set()
        self._deadline = time.monotonic() + LAST_PAGE
        return False

    def _end(self) -> None:
        """Publish what was committed; say what was cut short."""
        late = self._desk.running
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._publishing.end()
        if self._fatal is None:
            self._publisher.publish()
            self._memory.look(self._clock())
        self._onlooker.stopped()
        if late:
            logs.get().warning("cut short; what was fetched is kept, the next run goes on from there", connections=late)
        logs.get().info("daemon stopped", at=f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        if late:
            # Their threads would hold the process; to all our files this is the same as being killed.
            os._exit(TAKEN if isinstance(self._fatal, LeaseHeld) else 1 if self._fatal else 0)
        if self._fatal:
            raise self._fatal

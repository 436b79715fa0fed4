"""The daemon: every connection on its schedule, the snapshot soon after a change, a clean end on SIGTERM or SIGINT.

APScheduler only says when a connection is due; what runs, and what is still running when the end comes, is ours: its
own shutdown would drop what runs. Being killed loses nothing, so an end that takes too long is cut short.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from onepipe import logs
from onepipe.account import allowance
from onepipe.config import Connection, Schedule
from onepipe.control import Hold
from onepipe.errors import LeaseHeld, OnepipeError, RateLimited
from onepipe.project import Project
from onepipe.publish import guard, publish
from onepipe.report import ConnectionReport, Watch
from onepipe.run import Options, sync
from onepipe.warehouse.work import published

AT_WORK = 8  # connections pulled at once
DRAIN = 20.0  # seconds that runs may take to end once the daemon is told to
# Without these a run that is a second late is dropped, and one that is due twice runs twice.
RULES = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1, "replace_existing": True}
LAST_PAGE = 3.0  # seconds more that they may take once they are told to end as they are
REST = 5.0  # seconds between two publishes, so that a change is out within ten
REST_PER_COPY = 10  # or so many times as long as the last copy took: large warehouses are not copied all day


@dataclass
class Publisher:
    """Publishes soon after a change, but not all the time. `copy` does it, and answers whether there was a need."""

    copy: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _changed: threading.Event = field(default_factory=threading.Event)
    _rested: float = 0.0  # the time from which the next copy may begin

    def changed(self) -> None:
        """Something was committed."""
        self._changed.set()

    def due(self) -> bool:
        """Whether there is something to publish, and it is time."""
        return self._changed.is_set() and self.clock() >= self._rested

    def publish(self) -> None:
        """Publish now. What keeps it from being done is logged, and it is tried again."""
        began = self.clock()
        self._changed.clear()
        try:
            if not self.copy():
                return
        except OnepipeError as error:
            self._changed.set()
            logs.get().error("the warehouse was not published", kind=error.kind, error=error.message, hint=error.hint)
        else:
            logs.get().info("published", seconds=round(self.clock() - began, 2))
        self._rested = self.clock() + max(REST, REST_PER_COPY * (self.clock() - began))


class Daemon:
    """Runs until it is told to stop. One at a time for each state folder."""

    def __init__(self, project: Project, drain: float = DRAIN) -> None:
        self._project = project
        self._drain = drain
        self._stop = threading.Event()  # no new runs
        self._cut = threading.Event()  # those under way end after the page they read
        self._lock = threading.Lock()
        self._running: dict[str, Future[None]] = {}
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._pool = ThreadPoolExecutor(AT_WORK, thread_name_prefix="run")
        self._publisher = Publisher(self._copy)

    def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises LeaseHeld where another daemon is at work, ConfigError."""
        with self._lease(), _signals(self._stopped):
            guard(self._project.warehouse, self._project.config.warehouse)
            self._schedule()
            self._scheduler.start()
            logs.get().info("daemon started", pid=os.getpid(), connections=len(self._scheduler.get_jobs()))
            if self._project.warehouse.path.exists():
                self._publisher.changed()  # a run that was killed may have committed and not published
            while not self._stop.wait(0.5):
                if self._publisher.due():
                    self._publisher.publish()
            self._scheduler.shutdown(wait=False)
            self._end()

    @contextmanager
    def _lease(self) -> Iterator[None]:
        owner = self._project.control.owner("daemon")
        if owner:
            raise LeaseHeld(
                f"A daemon is already at work on this project: {owner}. Nothing was started",
                "stop that one first, if this one is to take its place",
            )
        with self._project.control.lease("daemon"):
            yield

    def _schedule(self) -> None:
        last, now = self._last_successes(), datetime.now(UTC)
        for connection in self._project.config.connections.values():
            if connection.enabled:
                first = max(first_run(connection.schedule, last.get(connection.name)) or now, now)
                trigger = trigger_of(connection.schedule)
                self._scheduler.add_job(
                    self._due, trigger, [connection], id=connection.name, next_run_time=first, **RULES
                )

    def _last_successes(self) -> dict[str, datetime]:
        """When each connection was last read whole: a daemon that is restarted goes on with its rhythm."""
        if not self._project.config.warehouse.is_file():
            return {}
        with published(self._project.config.warehouse) as db:
            rows = db.run(
                "SELECT connection, strftime(last_success_at, '%Y-%m-%dT%H:%M:%S+00:00') FROM connections "
                "WHERE last_success_at IS NOT NULL"
            )
        return {name: datetime.fromisoformat(text) for name, text in rows}

    def _due(self, connection: Connection) -> None:
        with self._lock:
            before = self._running.get(connection.name)
            held = self._held(connection)
            if before and not before.done():
                logs.get().warning("not started: the run before is still at work", connection=connection.name)
            elif self._stop.is_set():
                return
            elif held:
                logs.get().info("held back", connection=connection.name, until=str(held.until), why=held.why)
                self._again(connection, held.until)
            else:
                self._running[connection.name] = self._pool.submit(self._work, connection)

    def _held(self, connection: Connection) -> Hold | None:
        """Until when the ledger says to leave a connection alone, whichever process was told so; None for no hold."""
        try:
            allowed = allowance(self._project.config, connection, self._project.control.quotas)
            held, scan = allowed.held(), allowed.next_scan()
        except OnepipeError:
            return None  # the run itself will say what is wrong
        if scan and (held is None or scan > held.until):
            return Hold(scan, "this CRM is read whole each time, with no more than our part of its quota")
        return held

    def _again(self, connection: Connection, at: datetime) -> None:
        """Run a connection once more at that time, between two runs of its schedule."""
        if not self._stop.is_set():
            self._scheduler.add_job(
                self._due, DateTrigger(at, UTC), [connection], id=f"{connection.name} again", **RULES
            )

    def _work(self, connection: Connection) -> None:
        began = time.monotonic()
        watch = _Log(self._publisher.changed)
        try:
            chosen = Options(command="daemon")
            report = sync(self._project, [connection.name], chosen, watch, publishing=False, stop=self._cut)
        except OnepipeError as error:
            logs.get().error(
                "run refused", connection=connection.name, kind=error.kind, error=error.message, hint=error.hint
            )
        except Exception:
            logs.get().exception("a fault in onepipe itself", connection=connection.name)
        else:
            for one in report.connections:
                _tell(one, report.run_id, time.monotonic() - began)
                if isinstance(one.error, RateLimited) and one.error.until:
                    self._again(connection, one.error.until)
        self._publisher.changed()

    def _copy(self) -> bool:
        project = self._project
        return publish(
            project.warehouse, project.config.warehouse, project.views, lambda text: logs.get().warning(text)
        )

    def _stopped(self, signal_name: str) -> None:
        logs.get().info("stopping: no new runs", signal=signal_name, seconds=self._drain)
        self._stop.set()

    def _end(self) -> None:
        """Let what runs come to its end, publish; cut short what takes too long."""
        with self._lock:
            self._pool.shutdown(wait=False, cancel_futures=True)
        late = wait(self._running.values(), timeout=self._drain).not_done
        if late:
            self._cut.set()
            late = wait(late, timeout=LAST_PAGE).not_done
        self._publisher.publish()
        if late:
            names = [name for name, future in self._running.items() if future in late]
            logs.get().warning(
                "cut short; what was fetched is kept, the next run goes on from there", connections=names
            )
        logs.get().info("daemon stopped")
        if late:
            os._exit(0)  # their threads would hold the process; to all our files this is the same as being killed


class _Log(Watch):
    """What a run tells, as log lines."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        """A first load begins."""
        logs.get().info("first load", connection=connection, rows=rows, requests=requests, seconds=seconds)

    def page(self, *_: object) -> None:
        """Pages that came in will be committed soon, long before a large load ends."""
        self._changed()

    def say(self, connection: str, text: str) -> None:
        """A notice for people."""
        logs.get().warning(text, **({"connection": connection} if connection else {}))


def trigger_of(schedule: Schedule) -> Any:
    """APScheduler's trigger for a schedule; cron in UTC, where no hour comes twice."""
    if schedule.every is not None:
        return IntervalTrigger(seconds=int(schedule.every.total_seconds()), timezone=UTC)
    return CronTrigger.from_crontab(schedule.cron, timezone=UTC)


def first_run(schedule: Schedule, last: datetime | None) -> datetime | None:
    """When a connection that last succeeded at `last` is due; None where it never did, which is at once."""
    if last is None:
        return None
    if schedule.every is not None:
        return last + schedule.every
    found: datetime | None = trigger_of(schedule).get_next_fire_time(None, last + timedelta(microseconds=1))
    return found


def _tell(report: ConnectionReport, run_id: str, seconds: float) -> None:
    """One line on how a run ended; as a warning where it is not complete."""
    deals = report.resources.get("opportunity")
    counts = deals.counts if deals else None
    told: dict[str, Any] = {"connection": report.connection, "status": report.status, "run_id": run_id}
    if counts:
        told |= {"read": counts.fetched, "new": counts.new, "changed": counts.changed, "deleted": counts.deleted}
    told |= {"requests": sum(one.requests for one in report.resources.values()), "seconds": round(seconds, 2)}
    if report.error:
        error = report.error
        logs.get().warning("run ended", **told, kind=error.kind, error=error.message, hint=error.hint)
    else:
        logs.get().info("run ended", **told)


@contextmanager
def _signals(stopped: Callable[[str], None]) -> Iterator[None]:
    """Call `stopped` on the first SIGTERM or SIGINT; end at once on the second."""
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if seen:
            os._exit(128 + number)
        seen.append(number)
        # Not in the handler itself: it may have interrupted a line being logged, whose lock is not ours to wait for.
        threading.Thread(target=stopped, args=[signal.Signals(number).name]).start()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)

"""Who looks on in the real daemon: answers on the port, counts, and tells people. It never keeps the daemon waiting.

What the daemon says is noted at once where that is cheap; the rest is thought about by a thread of its own, and told by
another. Neither can stop the daemon.
"""

import json
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import onepipe.daemon.judging as judging
import onepipe.daemon.standing as standing
import onepipe.daemon.ways as ways
from onepipe import logs
from onepipe.config import Config
from onepipe.daemon.alerts import Bulletin
from onepipe.daemon.mail import Mail
from onepipe.daemon.metrics import Counted, Figures, Moment
from onepipe.daemon.onlooker import Event, Onlooker, State
from onepipe.daemon.rooms import Rooms
from onepipe.daemon.server import Page, Server
from onepipe.daemon.silence import Silence
from onepipe.daemon.staleness import Staleness
from onepipe.errors import DiskTrouble, OnepipeError, Unavailable
from onepipe.project import Project
from onepipe.report import ConnectionReport

DEAF = 30.0  # seconds without a beat: the loop hangs
STARTING = 600.0  # seconds that starting may take
CHECKED_EVERY = 30.0  # seconds between two looks at who is stale, paused, or has new conflicts
COMPLAINS = 60.0  # seconds between two lines on the same trouble
THOUGHTS = 10_000  # things to think about that may wait
ROOT = "onepipe daemon: /livez /readyz /metrics /status.json\n"


class Lookout(Onlooker):
    """Ties together the port, the figures, the alerts and the silence detector.

    `state` says how the daemon stands; `clock` is the time of day in epoch seconds, `tick` a clock that never jumps.
    """

    def __init__(
        self,
        project: Project,
        state: Callable[[], State],
        clock: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self._project, self._state, self._clock, self._tick = project, state, clock, tick
        self._config = project.config
        self._control = project.control
        self._counted = Counted()
        self._rooms = Rooms(project.control, tick)
        self._figures = Figures(self._counted, self._moment)
        self._bulletin = Bulletin(self._control.alerts, clock)
        self._mail = Mail(self._control.alerts, clock)
        self._silence = Silence(self._control.alerts, self._bulletin, lambda: self._config.snapshot, clock)
        self._staleness = Staleness()
        self._server: Server | None = None
        self._thoughts: queue.Queue[Callable[[], None] | None] = queue.Queue(THOUGHTS)
        self._thread: threading.Thread | None = None
        self._began = tick()
        self._checked = self._complained = float("-inf")
        self._beat: float | None = None
        self._pages = {
            "/": lambda _: Page(ROOT),
            "/livez": lambda _: self._livez(),
            "/readyz": lambda _: self._readyz(),
            "/metrics": self._metrics,
            "/status.json": lambda _: self._status(),
        }

    @property
    def address(self) -> str | None:
        """Where the port is, as host:port; None for none."""
        return str(self._server.address) if self._server else None

    def reloaded(self, config: Config) -> None:
        """This config is in force. Raises ConfigError where its port cannot be used; nothing is begun then."""
        listen = config.daemon.listen
        if listen and self._server is None:  # another address is taken only by a daemon that starts
            self._server = Server(listen, self._pages, self._tick)
        self._config = config
        logs.add_secrets(ways.secrets(config))
        told = ways.every(config)
        for against in {way.against for several in told.values() for way in several if way.against}:
            logs.get().error("nobody is told this way", error=against)
        self._counted.keep_only(config.connections)
        self._rooms.reload(config)
        self._mail.reload(told)
        self._think(lambda: self._bulletin.reload(told, config.connections.keys()))
        self._think(lambda: self._silence.reload(config.connections.keys()))
        if self._thread is None:
            self._mail.start()
            self._thread = threading.Thread(target=self._work, name="lookout", daemon=True)
            self._thread.start()

    def ran(self, report: ConnectionReport, run_id: str, seconds: float) -> None:
        """A run of one connection ended."""
        self._counted.ran(report, seconds)
        now = self._now()
        self._think(lambda: judging.judge_run(self._bulletin, report, run_id, now))
        self._think(lambda: self._silence.ran(report, run_id))

    def passed_over(self, connection: str, why: str, times: int = 1) -> None:
        """Runs that were due are not made."""
        one = self._config.connections.get(connection)
        if one:
            self._counted.passed.add(connection, one.connector, why, value=times)

    def happened(self, event: Event) -> None:
        """Something to be told."""
        self._think(lambda: self._bulletin.happened(event))

    def published(self, seconds: float) -> None:
        """A new snapshot is in place."""
        self._counted.published += 1
        self._counted.publishing += seconds
        now = self._now()
        self._silence.published()
        self._think(lambda: judging.judge_published(self._bulletin, self._control, self._state(), seconds, now))

    def beat(self, now: datetime) -> None:  # noqa: ARG002
        """The loop went round."""
        self._beat = self._tick()

    def stopped(self) -> None:
        """Tell what is to be told still, for a few seconds, and close the port."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._thoughts.put(None, timeout=1)
            self._thread.join(5)
            self._mail.close()
        if self._server:
            self._server.close()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _think(self, thought: Callable[[], None]) -> None:
        try:
            self._thoughts.put_nowait(thought)
        except queue.Full:
            logs.get().error("too much happens to tell people of all of it")

    def _work(self) -> None:
        """Think until told to stop: about what the daemon said, and about what shows only with time."""
        told_at = float("-inf")
        going = True
        while going:
            with suppress(queue.Empty):
                thought = self._thoughts.get(timeout=1.0)
                going = thought is not None
                self._safely(thought or (lambda: self._silence.keep(at_once=True)))
            if not going or self._tick() - told_at >= 1.0:
                told_at = self._tick()
                self._safely(self._check)
                self._safely(self._tell)

    def _tell(self) -> None:
        try:
            told = self._bulletin.tell()
        except DiskTrouble:
            self._mail.hand_over(self._bulletin.take_messages())
            raise
        if told:
            self._mail.wake()

    def _check(self) -> None:
        if self._tick() - self._checked < CHECKED_EVERY:
            return
        self._checked = self._tick()
        now = self._now()
        judging.judge_conflicts(self._bulletin, self._control, now)
        judging.judge_state(self._bulletin, self._staleness, self._state(), self._config.daemon.stale_after, now)
        self._silence.look()
        self._silence.keep()

    def _safely(self, thought: Callable[[], None]) -> None:
        try:
            thought()
        except OnepipeError as error:
            if self._tick() - self._complained >= COMPLAINS:
                self._complained = self._tick()
                logs.get().error("alerts cannot be kept for now", kind=error.kind, error=error.message, hint=error.hint)
        except Exception:
            logs.get().exception("a fault in onepipe itself, in what is told to people")

    def _livez(self) -> Page:
        """Whether the loop goes round."""
        since = self._tick() - (self._began if self._beat is None else self._beat)
        if since > (STARTING if self._beat is None else DEAF):
            return Page(f"the daemon's loop has not gone round for {since:.0f} seconds\n", 503)
        return Page("ok\n" if self._beat is not None else "starting\n")

    def _readyz(self) -> Page:
        """Whether runs are made."""
        why = self._why_not_ready()
        refused = None if why else self._state().refused
        note = f"; the newest config.yaml was not taken: {logs.redact(refused)}" if refused else ""
        return Page(f"not ready: {why}\n", 503) if why else Page(f"ok{note}\n")

    def _why_not_ready(self) -> str | None:
        if self._beat is None:
            return "the daemon is starting"
        if self._hangs():
            return "the daemon's loop hangs"
        if not (self._config.state / "control.sqlite").is_file():
            return f"the state folder {self._config.state} cannot be used: control.sqlite is not there"
        try:
            self._control.alerts.waiting()
            state = self._state()
        except OnepipeError as error:
            return f"the state folder cannot be used: {logs.redact(error.message)}"
        return "the daemon is ending: no new runs are made" if state.draining else None

    def _hangs(self) -> bool:
        return self._beat is not None and self._tick() - self._beat > DEAF

    def _metrics(self, accept: str) -> Page:
        content, kind = self._figures.page(accept)
        return Page(content, kind=kind)

    def _status(self) -> Page:
        try:
            document = self._document()
        except OnepipeError as error:
            return Page(f"not now: {logs.redact(error.message)}\n", 503)
        return Page(json.dumps(document, indent=1) + "\n", kind="application/json")

    def _document(self) -> dict[str, Any]:
        passed: dict[str, list[dict[str, Any]]] = {}
        for one in self._control.service.passed():
            told = {
                "why": one.why,
                "times": one.times,
                "first_at": standing.instant(one.first),
                "last_at": standing.instant(one.last),
            }
            passed.setdefault(one.connection, []).append(told)
        return standing.document(self._moment(), self._bulletin.standing(), passed, self._why_not_ready())

    def _moment(self) -> Moment:
        """How everything stands. Raises Unavailable while the loop hangs, which may hold what we would have to ask."""
        if self._hangs():
            raise Unavailable("the daemon's loop hangs")
        waiting, _ = self._control.alerts.waiting()
        return Moment(
            state=self._state(),
            seen=self._rooms.look(),
            workers=self._config.daemon.workers,
            stale=self._staleness.names,
            silent=frozenset(one.connection for one in self._bulletin.standing("silent")),
            alerts=self._mail.results,
            waiting_alerts=waiting,
        )

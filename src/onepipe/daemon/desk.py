"""The desk: who is due, who may run, who runs next, and what became of each due run. It starts runs, it makes none.

Every run that is due is made, or its reason stands in what has to be remembered. Used by one thread; the time is an
argument of everything, so that a month can be simulated.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from onepipe import logs
from onepipe.config import Config, Connection
from onepipe.control import Broken, Hold, Pause, Remembered, Turn
from onepipe.daemon.after import Ended, judged
from onepipe.daemon.onlooker import Line, Onlooker
from onepipe.daemon.seat import Seat, instant
from onepipe.daemon.timetable import Due, Timetable
from onepipe.daemon.waiting import Waiting

Start = Callable[[Connection], None]
Held = Callable[[Connection], Hold | None]
Fingerprint = Callable[[Connection], bytes]


class Desk:
    """All connections of the config in force.

    `start` begins a run of one, and somebody tells `ended` of it; `held` is what the quota's ledger says of one, and
    `fingerprint` tells one credential from another.
    """

    def __init__(self, start: Start, held: Held, fingerprint: Fingerprint, onlooker: Onlooker) -> None:
        self.news = Remembered()
        self.trouble: str | None = None  # what keeps all of them from running
        self._barred = set[str]()  # that were due meanwhile
        self.draining = False
        self.workers = 1
        self._start, self._held, self._fingerprint, self._onlooker = start, held, fingerprint, onlooker
        self._times = Timetable()
        self._began: datetime | None = None
        self._seats: dict[str, Seat] = {}
        self._running: dict[str, Seat] = {}  # also those that config.yaml has no more
        self._proven, self._unproven = Waiting(self._staleness), Waiting(self._staleness)

    @property
    def running(self) -> list[str]:
        """Who runs now."""
        return list(self._running)

    def soonest(self) -> datetime | None:
        """When something may be due next."""
        return self._times.soonest()

    def take(self, config: Config, now: datetime, turns: Mapping[str, Turn], broken: Mapping[str, Broken]) -> None:
        """This config is in force from now on. `turns` and `broken` are what is remembered of names that are new.

        What runs is left to run; a connection about which nothing changed keeps its time.
        """
        self.workers, self._began = config.daemon.workers, self._began or now
        anew = self._times.jitter != config.daemon.jitter
        self._times.jitter = config.daemon.jitter
        for name in self._seats.keys() - config.connections.keys():
            self._leave(name)
            del self._seats[name]
        seats = {}
        for name, connection in config.connections.items():
            before = self._seats.get(name)
            seats[name] = seat = before or Seat(connection, turns.get(name, Turn()), broken=broken.get(name))
            former, seat.connection = seat.connection, connection
            if not connection.enabled:
                self._leave(name)
            elif before is None or anew or (former.schedule, former.enabled) != (connection.schedule, True):
                counted = instant(seat.turn.counted) if seat.turn.counted is not None else None
                counted = now if before else counted  # what was not in force until now was not missed
                self._times.put(name, connection.schedule, seat.last(), now, counted)
            if seat.broken and connection.enabled:
                self._retry(seat, former != connection, now)
        self._seats = seats

    def heed(self, pauses: Mapping[str, Pause], broken: Mapping[str, Broken], now: datetime) -> None:
        """What people said: who is paused from now on, and against whom nothing is held any more."""
        for name, seat in self._seats.items():
            ended = seat.pause is not None and name not in pauses
            seat.pause = pauses.get(name)
            if seat.pause and (name in self._proven or name in self._unproven):
                self._leave_queue(name)
                self._pass(seat, "paused", now)
            if seat.broken and name not in broken and name not in self.news.breakers:
                seat.broken, ended = None, True
            if ended and seat.connection.enabled:
                self._times.also(name, now)

    def ask(self, names: Iterable[str], now: datetime) -> None:
        """Somebody wants a run of these now, whatever their schedule and their failures."""
        for name in names:
            seat = self._seats.get(name)
            if seat and seat.connection.enabled and not seat.pause:
                seat.asked = True
                self._times.also(name, now)

    def tick(self, now: datetime) -> None:
        """Look who is due, and start as many as there are workers for."""
        for due in self._times.due(now):
            if due.connection in self._seats:
                self._consider(self._seats[due.connection], due, now)
        self._hand_out(now)

    def ended(self, end: Ended) -> None:
        """A run ended."""
        self._running.pop(end.report.connection, None)
        seat = self._seats.get(end.report.connection)
        self._onlooker.ran(end.report, end.run_id, end.seconds)
        if seat is None:
            return
        again, seat.again = seat.again, False
        gap = self._times.gap(seat.name, end.at) if seat.connection.enabled else timedelta()
        used = seat.used or seat.connection
        found = judged(seat, end, gap, lambda: self._fingerprint(used))
        if found.events or end.report.status == "complete":
            seat.told = found.broken is not None
        seat.running = None
        for event in found.events:
            self._onlooker.happened(event)
        if found.passed:
            self._pass(seat, found.passed, end.at)
        if (seat.broken, seat.turn) != (found.broken, found.turn):
            self.news.breakers |= {} if seat.broken == found.broken else {seat.name: found.broken}
            seat.broken, seat.turn = found.broken, found.turn
            self.news.turns[seat.name] = seat.turn
        if found.next_at:
            self._times.also(seat.name, found.next_at)
        elif again:
            self._times.also(seat.name, end.at)
        if seat.broken and seat.connection.enabled and used != seat.connection:
            self._retry(seat, True, end.at)

    def set_back(self, now: datetime, by: timedelta) -> None:
        """The clock went back by so much."""
        self._times.set_back(now, by)
        for seat in self._seats.values():
            if seat.broken and seat.left_alone(now):
                seat.broken = replace(seat.broken, until=max(seat.broken.until - by.total_seconds(), now.timestamp()))
                self.news.breakers[seat.name] = seat.broken
                self._times.also(seat.name, instant(seat.broken.until))

    def bar(self, trouble: str | None, now: datetime) -> None:
        """Let nobody run because of this trouble; None lets them run again, those first that were due meanwhile."""
        self.trouble = trouble
        if not trouble:
            for name in self._barred:
                self._times.also(name, now)
            self._barred.clear()

    def drain(self, now: datetime) -> None:
        """Start nothing any more; what waits is given up."""
        self.draining = True
        for queue in (self._proven, self._unproven):
            for name in queue.clear():
                self._pass(self._seats[name], "stopping", now)

    def lines(self, now: datetime) -> tuple[Line, ...]:
        """How every connection stands, in the order of config.yaml."""
        return tuple(
            seat.line(
                now,
                waits=name in self._proven or name in self._unproven,
                due=self._times.next(name),
                gap=self._times.gap(name, now) if seat.connection.enabled else timedelta(),
                trouble=self.trouble,
            )
            for name, seat in self._seats.items()
        )

    def _consider(self, seat: Seat, due: Due, now: datetime) -> None:
        """Queue one that is due, or write down why not."""
        asked = seat.asked
        if due.missed:
            self._pass(seat, "not at work" if self._began and due.at < self._began else "clock", now, due.missed)
        if not due.extra:
            seat.turn = self.news.turns[seat.name] = replace(seat.turn, counted=now.timestamp())
        why = self._against(seat, now)
        if why and not due.extra:
            self._pass(seat, why, now)
        if why == "still running":
            seat.again = seat.again or asked or not due.extra
        elif why == "warehouse":
            self._barred.add(seat.name)
        elif why == "held" and seat.hold:
            self._times.also(seat.name, seat.hold.until)
        elif not why:
            (self._proven if seat.proven else self._unproven).add(seat.name, now, asked=asked)
            if due.extra:
                self._times.rearm(seat.name, now)

    def _against(self, seat: Seat, now: datetime) -> str | None:
        """Why a run that is due is not to be made, in a few words; None where nothing speaks against it."""
        before, seat.hold = seat.hold, None
        if self.draining:
            return "stopping"
        if seat.running:
            if not seat.again:
                logs.get().info("not started: the run before is still at work", connection=seat.name)
            return "still running"
        if seat.name in self._proven or seat.name in self._unproven:
            return "waiting"
        if seat.pause:
            return "paused"
        if seat.left_alone(now) and not seat.asked:
            return "paused" if seat.refused else "broken"
        if self.trouble:
            return "warehouse"
        seat.hold = self._held(seat.connection)
        if seat.hold and seat.hold != before:
            logs.get().info("held back", connection=seat.name, until=str(seat.hold.until), why=seat.hold.why)
        return "held" if seat.hold else None

    def _hand_out(self, now: datetime) -> None:
        """Start the stalest ones. Those that are new or fail have half of the workers: they may need them for long."""
        unproven = sum(not seat.proven for seat in self._running.values())
        proven = any(seat.proven for seat in self._seats.values())
        most = max(1, self.workers // 2) if proven else self.workers
        while len(self._running) < self.workers and not self.trouble:
            name = self._unproven.take(now) if unproven < most else None
            name = name or self._proven.take(now)
            if name is None:
                return
            seat = self._seats[name]
            unproven += not seat.proven
            seat.running, seat.used, seat.asked = now, seat.connection, False
            seat.turn = self.news.turns[name] = replace(seat.turn, started=now.timestamp())
            self._running[name] = seat
            self._start(seat.connection)

    def _leave(self, name: str) -> None:
        """A connection that is not in force any more is due no more; if it runs, it comes to its end."""
        self._times.drop(name)
        self._leave_queue(name)

    def _leave_queue(self, name: str) -> None:
        self._proven.discard(name)
        self._unproven.discard(name)

    def _retry(self, seat: Seat, changed: bool, now: datetime) -> None:
        """Go on with one that is left alone: at once if what was refused, or anything about it, is another one now."""
        broken = seat.broken
        if broken and broken.fingerprint is not None:
            changed = broken.fingerprint != self._fingerprint(seat.connection)
        if broken and changed:
            seat.broken = self.news.breakers[seat.name] = replace(broken, until=now.timestamp())
            self._times.also(seat.name, now)
        elif broken:
            self._times.also(seat.name, max(instant(broken.until), now))

    def _pass(self, seat: Seat, why: str, now: datetime, times: int = 1) -> None:
        self.news.passes(seat.name, why, now.timestamp(), times)
        self._onlooker.passed_over(seat.name, why, times)

    def _staleness(self, name: str, now: datetime) -> float:
        """How many of its intervals ago a connection last succeeded."""
        seat = self._seats[name]
        since = seat.stale_since()
        if since is None:
            return float("inf")
        return (now.timestamp() - since) / self._times.gap(name, now).total_seconds()

"""When each connection is due, by the wall clock: one heap, and of APScheduler only the triggers.

A connection is due an interval after its last run, or when its cron line says so, in UTC. Of the times that went by
unseen (the machine slept, the clock was set forwards, nobody was at work) one is made, and the others are counted.
"""

import heapq
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from onepipe.config import Schedule

INSTANT = timedelta(milliseconds=1)
COUNTED = 1_000  # times of a cron line that went by are counted up to so many


@dataclass(frozen=True, slots=True)
class Due:
    """A connection is due. `missed` are further times of its schedule since `at` that went by unseen.

    `extra`: not a time of its schedule, but one that was asked for, such as the end of a hold.
    """

    connection: str
    at: datetime
    missed: int = 0
    extra: bool = False


class Rhythm:
    """The times of one schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.is_interval = schedule.every is not None
        self._every = schedule.every
        self._known: tuple[datetime, datetime, timedelta] | None = None  # a gap, and while which it is the next
        self._cron: Any = None if schedule.every else CronTrigger.from_crontab(schedule.cron, timezone=UTC)

    def after(self, time: datetime, now: datetime) -> datetime | None:
        """The first time after `now`, where `time` is one of them; None for a cron line that never comes."""
        found: datetime | None
        if self._every is None:
            found = self._cron.get_next_fire_time(None, now + INSTANT)
        else:
            trigger = IntervalTrigger(seconds=self._every.total_seconds(), start_date=time, timezone=UTC)
            found = trigger.get_next_fire_time(None, now + INSTANT)
        return found

    def next(self, last: datetime) -> datetime | None:
        """When a connection that last ran at `last` is due."""
        return self.after(last, last) if self._every is None else last + self._every

    def passed(self, time: datetime, now: datetime) -> int:
        """How many of its times are later than `time`, which is one of them, and not later than `now`."""
        if self._every is not None:
            return max((now - time) // self._every, 0)
        count, found = 0, self.after(time, time)
        while found is not None and found <= now and count < COUNTED:
            count, found = count + 1, self.after(found, found)
        return count

    def gap(self, now: datetime) -> timedelta:
        """How long it is from one time to the next: for cron, between the next two."""
        if self._every is not None:
            return self._every
        if self._known is None or not self._known[0] <= now < self._known[1]:
            first = self.after(now, now)
            second = self.after(first, first) if first else None
            gap = second - first if first and second else timedelta(days=366)
            self._known = (now, first or now, gap)
        return self._known[2]


@dataclass
class _Times:
    rhythm: Rhythm
    offset: timedelta
    next: datetime | None = None
    extra: datetime | None = None
    made: datetime | None = None  # the time of its schedule that was handed out last
    counted: datetime | None = None  # up to when a daemon before this one counted what it did not make


@dataclass
class Timetable:
    """All connections and when they are due; `jitter` is the most by which they are spread. For one thread."""

    jitter: timedelta = timedelta()
    _times: dict[str, _Times] = field(default_factory=dict)
    _heap: list[tuple[datetime, str]] = field(default_factory=list)

    def put(
        self, name: str, schedule: Schedule, last: datetime | None, now: datetime, counted: datetime | None = None
    ) -> None:
        """Add a connection, or give it another schedule. `last` is its last run; without one it is due at once.

        What was missed up to `counted` is on record already.
        """
        rhythm, offset = Rhythm(schedule), part_of(self.jitter, name)
        self._times[name] = times = _Times(rhythm, offset, counted=counted)
        if last is None:
            times.next = now
        else:
            found = rhythm.next(min(last, now))  # a last run in the future: the clock was wrong then
            times.next = found + offset if found else None
        self._push(name, times.next)

    def drop(self, name: str) -> None:
        """Leave a connection out from now on."""
        self._times.pop(name, None)

    def also(self, name: str, at: datetime) -> None:
        """Have a connection due at that time, too; one such time is kept for each, the newest."""
        if name in self._times:
            self._times[name].extra = at
            self._push(name, at)

    def rearm(self, name: str, now: datetime) -> None:
        """A run begins outside of the schedule: an interval counts from now. A cron line stands as it is."""
        times = self._times.get(name)
        if times and times.rhythm.is_interval:
            times.next = times.rhythm.after(now, now)
            self._push(name, times.next)

    def due(self, now: datetime) -> list[Due]:
        """What is due by now, the earliest first; each is told once."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, name = heapq.heappop(self._heap)
            times = self._times.get(name)
            if times and at == times.next:
                found.append(self._take(name, times, at, now))
            elif times and at == times.extra:
                times.extra = None
                found.append(Due(name, at, extra=True))
        return found

    def next(self, name: str) -> datetime | None:
        """When a connection is due next by its schedule."""
        times = self._times.get(name)
        return times.next if times else None

    def gap(self, name: str, now: datetime) -> timedelta:
        """How long it is between two runs of a connection's schedule."""
        return self._times[name].rhythm.gap(now)

    def soonest(self) -> datetime | None:
        """When something may be due next; nothing is before."""
        return self._heap[0][0] if self._heap else None

    def set_back(self, now: datetime, by: timedelta) -> None:
        """The clock went back to `now`: what is further away than an interval is brought near, in the same order.

        A cron line's time that was made before comes no second time.
        """
        for name, times in self._times.items():
            near = times.rhythm.after(now, now)
            if near and times.made == near + times.offset:
                near = times.rhythm.after(near, near)
            if near and (times.next is None or times.next > near + times.offset):
                near += times.offset
                sooner = times.next - by if times.next and times.rhythm.is_interval else near
                times.next = min(near, max(sooner, now))
                self._push(name, times.next)
            if times.extra and times.extra > now + max(times.rhythm.gap(now), timedelta(hours=1)):
                self.also(name, max(times.extra - by, now))

    def _take(self, name: str, times: _Times, at: datetime, now: datetime) -> Due:
        nominal = at - times.offset
        missed = times.rhythm.passed(nominal, now - times.offset)
        if times.counted and times.counted > nominal:
            missed -= times.rhythm.passed(nominal, min(times.counted, now - times.offset))
        times.counted = None
        found = times.rhythm.after(nominal, now - times.offset)
        times.made, times.next = at, found + times.offset if found else None
        self._push(name, times.next)
        return Due(name, at, missed)

    def _push(self, name: str, at: datetime | None) -> None:
        if at is not None:
            heapq.heappush(self._heap, (at, name))
        if len(self._heap) > 4 * len(self._times) + 64:  # times that were replaced are left in the heap until they come
            kept = [(time, name) for name, one in self._times.items() for time in (one.next, one.extra) if time]
            self._heap = sorted(kept)


def part_of(jitter: timedelta, name: str) -> timedelta:
    """A connection's own part of the jitter: from its name, so that it is the same today and tomorrow."""
    number = int.from_bytes(blake2b(name.encode(), digest_size=4).digest())
    return jitter * (number / 2**32)

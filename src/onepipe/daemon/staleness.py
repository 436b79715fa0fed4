"""Who is stale: had no success for so many of its intervals. A machine that slept is given time to catch up first."""

from datetime import datetime, timedelta

from onepipe.daemon.onlooker import Line, State

SLEPT = timedelta(minutes=3)  # so long without a look: the machine slept, or its clock was set
CATCHING_UP = timedelta(minutes=15)  # or one interval, if that is shorter


class Staleness:
    """Looks at the connections every half minute or so. Used by one thread; `names` may be read by any."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._first: dict[str, datetime] = {}  # since when a connection is known that never had a success
        self._looked: datetime | None = None
        self._awake: datetime | None = None

    def look(self, state: State, intervals: int, now: datetime) -> tuple[list[Line], list[Line]]:
        """Those that are stale, and those that are well; none of both for one that need not be either by now."""
        if self._looked is None or not timedelta() <= now - self._looked < SLEPT:
            self._awake = now
        self._looked = now
        self._first = {line.connection: self._first.get(line.connection, now) for line in state.lines}
        stale, well = [], []
        for line in state.lines:
            limit = timedelta(seconds=line.interval * intervals)
            if line.place in ("paused", "disabled") or not limit:
                continue
            if now - (line.last_success or self._first[line.connection]) <= limit:
                well.append(line)
            elif self._awake and now - self._awake > min(timedelta(seconds=line.interval), CATCHING_UP):
                stale.append(line)
        still = self.names - {line.connection for line in well}
        known = {line.connection for line in state.lines}
        self.names = (still & known) | {line.connection for line in stale}
        return stale, well

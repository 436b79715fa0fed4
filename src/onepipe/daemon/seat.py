"""One connection with the daemon: what is known of its runs, what keeps it from running, and how that is told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from onepipe.config import Connection
from onepipe.control import Broken, Hold, Pause, Turn
from onepipe.daemon.onlooker import Line, Place


@dataclass
class Seat:
    """One connection. Instants are aware, in UTC, but for those of the control file, which are epoch seconds."""

    connection: Connection
    turn: Turn = field(default_factory=Turn)
    running: datetime | None = None  # since when
    used: Connection | None = None  # as it was when its last run began: config.yaml may be read again meanwhile
    again: bool = False  # it came due while it ran
    asked: bool = False  # a person wants a run now
    hold: Hold | None = None
    pause: Pause | None = None
    broken: Broken | None = None
    told: bool = False  # that it fails, and not yet that it is well again

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.connection.name

    @property
    def proven(self) -> bool:
        """Whether its last run was well: it can be expected to need a worker for a short while only."""
        return self.turn.succeeded is not None and self.broken is None

    @property
    def refused(self) -> bool:
        """Whether the daemon left it alone because its credential is not accepted."""
        return self.broken is not None and self.broken.fingerprint is not None

    def last(self) -> datetime | None:
        """When a run of it last ended."""
        found = max(filter(None, (self.turn.succeeded, self.turn.ended)), default=None)
        return instant(found) if found is not None else None

    def stale_since(self) -> float | None:
        """Since when it is stale, epoch seconds: a connection that fails does not push the others aside by that."""
        return self.turn.succeeded if self.proven else (self.turn.ended or self.turn.succeeded)

    def left_alone(self, now: datetime) -> bool:
        """Whether the daemon makes no run of its own now, after failures."""
        return self.broken is not None and now.timestamp() < self.broken.until

    def line(
        self, now: datetime, *, waits: bool, due: datetime | None, gap: timedelta, trouble: str | None = None
    ) -> Line:
        """How it stands, for people and machines; `trouble` is what keeps all connections from running."""
        turn, until = self.turn, instant(self.broken.until) if self.broken else None
        place, why = self._place(now, waits)
        if trouble and place in ("waiting", "queued"):
            place, why = "held", trouble
        if place == "held" and self.hold:
            due = self.hold.until
        elif self.left_alone(now):
            due = until
        elif place in ("paused", "disabled"):
            due = None
        return Line(
            connection=self.name,
            connector=self.connection.connector,
            labels=dict(self.connection.labels),
            place=place,
            why=why,
            interval=gap.total_seconds(),
            next_due=due,
            last_started=instant(turn.started) if turn.started is not None else None,
            last_success=instant(turn.succeeded) if turn.succeeded is not None else None,
            last_status=turn.status,
            last_error=turn.error,
            failures=self.broken.failures if self.broken else 0,
        )

    def _place(self, now: datetime, waits: bool) -> tuple[Place, str]:
        if not self.connection.enabled:
            return "disabled", "`enabled: false` in config.yaml"
        if self.running:
            return "running", ""
        if self.pause:
            return "paused", f"by {self.pause.by}" + (f": {self.pause.why}" if self.pause.why else "")
        if waits:
            return "queued", ""
        if self.broken and self.left_alone(now):
            return ("paused" if self.refused else "broken"), self.broken.why
        if self.hold and self.hold.until > now:
            return "held", self.hold.why
        return "waiting", ""


def instant(seconds: float) -> datetime:
    """Epoch seconds as an instant."""
    return datetime.fromtimestamp(seconds, UTC)

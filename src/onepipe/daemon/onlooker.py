"""What the daemon tells those who look on, and what it answers them: the seam between working and being watched."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from onepipe.config import Config, Happening
from onepipe.report import ConnectionReport

Place = Literal["waiting", "queued", "running", "held", "broken", "paused", "disabled"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that people may want to be told. `text` and `hint` are sentences for them, without a secret.

    `kind` is the error's kind, where it is one; `details` are further facts, which JSON can hold.
    """

    event: Happening
    at: datetime
    text: str
    connection: str | None = None
    hint: str = ""
    kind: str | None = None
    run_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Line:
    """How one connection stands with the daemon.

    `place`: waiting for its time; queued for a free worker; running; held by the quota's ledger until `next_due`;
    broken: left alone until `next_due` after `failures` runs that failed; paused by a person, or for its credential,
    until somebody resumes it; disabled. `why` says in words what keeps it from running. Instants are aware, in UTC.
    """

    connection: str
    connector: str
    labels: dict[str, str]
    place: Place
    why: str = ""
    interval: float  # seconds between two runs of its schedule; for cron, between the next two
    next_due: datetime | None = None
    last_started: datetime | None = None
    last_success: datetime | None = None
    last_status: str | None = None
    last_error: dict[str, Any] | None = None
    failures: int = 0


@dataclass(frozen=True, kw_only=True)
class State:
    """How the daemon stands: its connections, in the order of config.yaml.

    `lag` is how late the loop last woke, in seconds; `refused` is why the newest config.yaml was not taken, if it was
    not; `generation` is that of the work file, `published` that of the snapshot.
    """

    started_at: datetime
    looked_at: datetime
    lines: tuple[Line, ...]
    draining: bool = False
    lag: float = 0.0
    beat: datetime | None = None
    config_read_at: datetime | None = None
    refused: str | None = None
    generation: int | None = None
    published: int | None = None
    published_at: datetime | None = None


class Onlooker:
    """Who watches the daemon work. Every method may be called from several threads, and must return soon."""

    def reloaded(self, config: Config) -> None:
        """This config is in force from now on; called at the start, too."""

    def ran(self, report: ConnectionReport, run_id: str, seconds: float) -> None:
        """A run of one connection ended, however."""

    def passed_over(self, connection: str, why: str, times: int = 1) -> None:
        """Runs that were due are not made now: `why` is one of few words, fit for a label."""

    def happened(self, event: Event) -> None:
        """Something that people may want to be told."""

    def published(self, seconds: float) -> None:
        """A new snapshot is in place; making it took so long."""

    def beat(self, now: datetime) -> None:
        """The loop went round: about once a second."""

    def stopped(self) -> None:
        """The daemon ends: nothing is told after this."""

"""What a run tells: the shapes of `--json`, of sync_runs, and of the lines for people."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from onepipe.errors import OnepipeError, RateLimited

Status = Literal["complete", "partial", "failed", "skipped"]


@dataclass(slots=True)
class Counts:
    """What one landing did, in records; `problems` in values.

    `unkept` are records that could not be kept at all, and were not known before; each is in `problems`, too.
    """

    fetched: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    problems: int = 0
    unkept: int = 0

    @property
    def unchanged(self) -> int:
        """Received and found as they were."""
        return max(self.fetched - self.new - self.changed, 0)

    def add(self, other: "Counts") -> None:
        """Sum another landing in."""
        self.fetched += other.fetched
        self.new += other.new
        self.changed += other.changed
        self.deleted += other.deleted
        self.problems += other.problems
        self.unkept += other.unkept


@dataclass(slots=True)
class ResourceReport:
    """One resource of one connection: a list, a reference list, or a detail."""

    resource: str
    counts: Counts = field(default_factory=Counts)
    requests: int = 0
    complete_through: datetime | None = None

    def document(self) -> dict[str, Any]:
        """The JSON of contract section 3."""
        counts = self.counts
        return {
            "resource": self.resource,
            "fetched": counts.fetched,
            "new": counts.new,
            "changed": counts.changed,
            "unchanged": counts.unchanged,
            "deleted": counts.deleted,
            "problems": counts.problems,
            "requests": self.requests,
            "complete_through": stamp(self.complete_through),
        }


@dataclass(slots=True)
class Asked:
    """What a connection's door was asked: requests sent, answers by status, and seconds of waiting for the quota."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    waited: float = 0.0


@dataclass(slots=True)
class ConnectionReport:
    """How one connection fared."""

    connection: str
    connector: str
    started_at: datetime
    status: Status = "complete"
    error: OnepipeError | None = None
    resources: dict[str, ResourceReport] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    asked: Asked = field(default_factory=Asked)

    def of(self, resource: str) -> ResourceReport:
        """The report of one resource, begun when first asked for."""
        return self.resources.setdefault(resource, ResourceReport(resource))

    def fall(self, status: Status, error: OnepipeError) -> None:
        """Note what went wrong; the first error and the worst status stand."""
        if self.error is None:
            self.error = error
        if self.status != "failed":
            self.status = status

    def document(self) -> dict[str, Any]:
        """The JSON of contract section 3."""
        return {
            "connection": self.connection,
            "connector": self.connector,
            "status": self.status,
            "error": described(self.error),
            "resources": [resource.document() for resource in self.resources.values()],
            "notices": self.notices,
        }


@dataclass(slots=True)
class RunReport:
    """How a run fared. `published` is what kept the snapshot from being put in place, if anything did."""

    run_id: str
    connections: list[ConnectionReport]
    published: OnepipeError | None = None

    @property
    def status(self) -> Status:
        """complete when every connection is (or was skipped); failed when none got anywhere; else partial."""
        counted = [one.status for one in self.connections if one.status != "skipped"]
        if counted and all(status == "failed" for status in counted):
            return "failed"
        if self.published or any(status != "complete" for status in counted):
            return "partial"
        return "complete"

    @property
    def exit_code(self) -> int:
        """0 when everything is complete, 75 when all that is wrong is that another process is at work, else 1."""
        if self.status == "complete":
            return 0
        errors = [one.error for one in self.connections if one.error] + ([self.published] if self.published else [])
        return 75 if errors and all(error.kind == "lease" for error in errors) else 1

    def document(self) -> dict[str, Any]:
        """The JSON of contract section 3; `publish` is there only when publishing failed."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "status": self.status,
            "connections": [one.document() for one in self.connections],
        }
        if self.published:
            document["publish"] = {"error": described(self.published)}
        return document


class Watch:
    """Who looks on while a run works. Every method may be called from several threads; none has to be overridden."""

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        """A first load says what it expects to cost; None for what the CRM does not tell."""

    def slice(self, connection: str, place: int, of: int, loaded: int, expected: int) -> None:
        """A slice of a backfill begins, the `place`-th of so many; so many rows of `expected` came in those before."""

    def page(self, connection: str, resource: str, fetched: int, total: int | None, requests: int) -> None:
        """A page came in: rows fetched so far of `total`, in this scan (of a backfill: in this slice)."""

    def step(self, done: int, of: int, text: str) -> None:
        """One more record of a push is dealt with, the `done`-th of so many; `text` says which."""

    def say(self, connection: str, text: str) -> None:
        """A notice for people."""

    def ended(self, report: ConnectionReport) -> None:
        """A connection is done."""


def described(error: OnepipeError | None) -> dict[str, Any] | None:
    """An error as `{"kind", "message", "hint"}`, with `until` where it is known when to go on."""
    if error is None:
        return None
    document: dict[str, Any] = {"kind": error.kind, "message": error.message, "hint": error.hint}
    if isinstance(error, RateLimited) and error.until:
        document["until"] = stamp(error.until)
    return document


def stamp(moment: datetime | None) -> str | None:
    """An instant as `2026-01-15T11:55:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment else None

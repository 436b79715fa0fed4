"""What every part of one connection's run needs at hand."""

from dataclasses import dataclass
from datetime import datetime

from onepipe.account import Account
from onepipe.report import ConnectionReport, Watch
from onepipe.warehouse.work import Warehouse

OPPORTUNITY = "opportunity"


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run was asked for. `since` and `until` bound a backfill by the date of last change, UTC."""

    command: str = "sync"
    sweep: bool = False
    full: bool = False
    max_requests: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    restart: bool = False
    wait: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether only a part of the history was asked for."""
        return self.since is not None or self.until is not None


@dataclass(frozen=True, slots=True)
class Job:
    """One connection in one run."""

    account: Account
    warehouse: Warehouse
    run_id: str
    options: Options
    watch: Watch
    report: ConnectionReport

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.account.name

    def say(self, text: str) -> None:
        """Tell whoever looks on."""
        self.watch.say(self.name, text)

"""What every part of one connection's run needs at hand."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

from onepipe import logs
from onepipe.account import Account
from onepipe.errors import OnepipeError, Stopped
from onepipe.report import ConnectionReport, Watch
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import Warehouse

OPPORTUNITY = "opportunity"
NO_DATE = timedelta(minutes=10)  # how far we step back when the server sends no usable Date


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run was asked for. `since` and `until` bound a backfill by the date of last change, UTC.

    `max_requests` is for the whole run, `budget` for each connection, and `share` (0 to 1) is such a budget, of what
    the CRM's quota allows in its window.
    `approve`: what an earlier sweep did not find, and was not believed, is really gone; a person says so.
    """

    command: str = "sync"
    sweep: bool = False
    full: bool = False
    max_requests: int | None = None
    budget: int | None = None
    share: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    restart: bool = False
    approve: bool = False
    wait: float = 0.0

    @property
    def bounded(self) -> bool:
        """Whether only a part of the history was asked for."""
        return self.since is not None or self.until is not None


def unforeseen(error: Exception) -> OnepipeError:
    """A fault in onepipe itself, as an error for the report; its traceback is logged where --debug asks for it."""
    logs.get().debug("a fault in onepipe itself", exc_info=error)
    return OnepipeError(
        f"a fault in onepipe itself: {logs.redact(repr(error))}",
        "what was committed before is safe; please report this, with what `onepipe --debug` prints",
    )


@dataclass(frozen=True, slots=True)
class Job:
    """One connection in one run."""

    account: Account
    warehouse: Warehouse
    run_id: str
    options: Options
    watch: Watch
    report: ConnectionReport
    stop: Event

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.account.name

    @contextmanager
    def commit(self) -> Iterator[Database]:
        """One transaction, which only the newest holder of the connection's lease may make. Raises LeaseHeld."""
        with self.warehouse.commit(self.run_id) as db:
            self.account.fence(db)
            yield db

    def go_on(self) -> None:
        """Raise Stopped once somebody asked the run to end; called between pages, where nothing is lost."""
        if self.stop.is_set():
            raise Stopped(
                f"{self.name}: the run was told to stop; what was fetched is kept",
                "the next run goes on from there",
            )

    def their_now(self) -> datetime:
        """The present by the CRM's clock, at the latest: ours, and by how much its first answer was ahead of us."""
        first, now = self.account.http.first_date, self.account.now()
        ahead = max(first - self.report.started_at, timedelta()) if first else timedelta()
        return now + ahead + timedelta(seconds=1)  # a Date has no fractions

    def say(self, text: str) -> None:
        """Tell whoever looks on, and the report."""
        self.report.notices.append(text)
        self.watch.say(self.name, text)


def lies_ahead(cursor: datetime | None, hi: datetime | None) -> bool:
    """Whether a cursor is of a future that a scan begun at `hi` does not know: the CRM's clock was wrong, or is now."""
    return cursor is not None and hi is not None and cursor - hi > NO_DATE

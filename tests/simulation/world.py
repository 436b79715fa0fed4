"""One simulated world: a CRM on loopback, a project that pulls from it, and one clock that only moves when told to.

The CRM and the engine live in the same invented time: it moves a little with every request, and by as much as was asked
for with every wait, which then takes no time at all.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Event, RLock
from typing import Any

import onepipe.account
import onepipe.control
import onepipe.http.door
import onepipe.logs
import onepipe.pull.details
import onepipe.run
from onepipe.control.quota import Quotas
from onepipe.errors import DiskTrouble
from onepipe.paging import ahead
from onepipe.project import Project
from onepipe.report import RunReport, Watch
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse.work import published
from tests.simulation.steps import acting, swapped
from tests.truth.desk import Picture, take


class Crash(BaseException):
    """The process ends here."""


def nothing(_: int) -> None:
    """Nothing happens before this request."""


class Notes(Watch):
    """Keeps what is said."""

    def __init__(self, said: list[str]) -> None:
        self.said = said

    def say(self, connection: str, text: str) -> None:
        self.said.append(text)


class Wait(Event):
    """What the engine sleeps on: waiting moves the world's clock instead."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self.world = world

    def wait(self, timeout: float | None = None) -> bool:
        self.world.pass_time(timeout or 0.0)
        return self.is_set()


class World:
    """One CRM, one project folder. `skew` is how far our clock is ahead of the CRM's, in seconds."""

    def __init__(self, folder: Path, crm: str, rows: int, seed: int, begins: datetime, skew: float) -> None:
        self.folder, self.name, self.begins, self.skew = folder, crm, begins, skew
        self.sandbox = Sandbox(rows=rows, seed=seed, crms=[crm], now=begins)
        self.crm: Any = self.sandbox[crm]
        self.crm.clock = lambda: self.at(self.passed)
        self.passed = 0.0
        self.requests = 0
        self.on_request: Callable[[int], None] = nothing
        self.settings: dict[str, Any] = {}
        self.ahead = False
        self.said: list[str] = []
        self.traces: list[str] = []
        self._seen: tuple[Picture, dict[str, Any]] | None = None
        self._inode = 0
        self._lock = RLock()

    def __enter__(self) -> "World":
        self.sandbox.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()

    # Time

    def at(self, passed: float) -> datetime:
        """The instant so many seconds after the beginning, by the CRM's clock."""
        return self.begins + timedelta(seconds=passed)

    def seconds(self, instant: datetime) -> float:
        """How many seconds after the beginning an instant of the CRM's clock is."""
        return (instant - self.begins).total_seconds()

    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self.passed += max(0.0, seconds)

    def ours(self) -> datetime:
        """Our clock."""
        return self.at(self.passed + self.skew)

    # Running

    @property
    def config(self) -> Path:
        """config.yaml, written (JSON is YAML)."""
        one = {"connector": self.name, "base_url": self.sandbox.urls[self.name], **self.settings}
        one["credentials"] = dict(self.sandbox.credentials[self.name])
        path = self.folder / "config.yaml"
        path.write_text(json.dumps({"warehouse": "w.duckdb", "connections": {self.name: one}}))
        return path

    def shown(self) -> Picture | None:
        """What people read; None where nothing was published since it was last looked at."""
        target = self.folder / "w.duckdb"
        stamp = target.stat().st_ino if target.exists() else 0
        if stamp == self._inode:
            return None
        self._inode = stamp
        with published(target) as db:
            return take(db)

    def run(
        self, stopped: tuple[str, int, BaseException] | None = None, publishing: bool = True, **options: Any
    ) -> RunReport | None:
        """One run of the engine; None where it was ended at the step that `stopped` names."""
        watch = Notes(self.said)
        self.requests = 0
        hook = self.crm.faults.add("hook", call=self._request, count=None)
        try:
            with ExitStack() as stack:
                stack.enter_context(self._invented_time())
                if stopped:
                    stack.enter_context(acting(stopped[0], stopped[1], partial(_end, stopped[2])))
                project = stack.enter_context(Project(self.config, "simulation"))
                report = sync(project, (), Options(**options), watch, publishing=publishing, stop=Wait(self))
                self._seen = self._look(project)
                return report
        except Crash:
            return None
        except DiskTrouble as error:
            self.said.append(str(error))
            return None
        finally:
            self.crm.faults.remove(hook)

    def _request(self) -> None:
        """Called just before each request is answered."""
        with self._lock:
            self.requests += 1
            self.passed += 0.2
            self.on_request(self.requests)

    @contextmanager
    def _invented_time(self) -> Iterator[None]:
        """The engine's clocks and waits are the world's; pages are fetched ahead always or never, not by luck."""
        own = time.monotonic()

        def tick() -> float:
            return time.monotonic() - own + self.passed

        with ExitStack() as stack:
            for owner, name, value in (
                (onepipe.run, "open_account", partial(onepipe.account.open_account, now=self.ours)),
                (onepipe.control, "Quotas", self._quotas),
                (onepipe.logs, "get", lambda **_: self),
                (onepipe.account, "Http", partial(onepipe.http.door.Http, tick=tick)),
                (onepipe.pull.details, "SIDE_BY_SIDE", 4 if self.ahead else 1),
                (ahead, "SLOW", 0.0 if self.ahead else 1e9),
            ):
                stack.enter_context(swapped(owner, name, value))
            yield

    def _quotas(self, file: Any, path: Path, clock: object) -> Quotas:
        """The quota ledger counts in the world's time; leases live in real time, as processes do."""
        return Quotas(file, path, lambda: self.ours().timestamp())

    def debug(self, text: str, exc_info: BaseException | None = None, **_: Any) -> None:
        """What the engine logs of faults of its own."""
        self.traces += traceback.format_exception(exc_info) if exc_info else [text]

    def look(self) -> tuple[Picture, dict[str, Any]]:
        """The work file as it is now: its tables, and the coverage of the opportunities in seconds of the world."""
        seen, self._seen = self._seen, None
        if seen is not None:
            return seen
        with Project(self.config, "simulation") as project:
            return self._look(project)

    def _look(self, project: Project) -> tuple[Picture, dict[str, Any]]:
        with project.warehouse.look() as db:
            names = ("complete_through", "last_sweep_at")
            rows = db.run(
                "SELECT epoch_us(complete_through), epoch_us(last_sweep_at) FROM coverage "
                "WHERE resource = 'opportunity'"
            )
            books = dict(zip(names, rows[0] if rows else (None, None), strict=True))
            for name, value in books.items():
                books[name] = value / 1e6 - self.begins.timestamp() if value is not None else None
            return take(db), books


def _end(error: BaseException) -> None:
    raise error

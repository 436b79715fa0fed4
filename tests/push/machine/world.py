"""One simulated CRM without sockets, one project, one clock, and a process that may end at any step of a push.

The engine is the real one, with its control file, its warehouse, its connector and its door: only the wire ends in the
CRM's own code. A crash is an exception at a numbered point: before and after every write to the control file, every
request, every commit of the warehouse; from there on the process can write nothing any more.
"""

import re
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import onepipe.http.door
import onepipe.logs
import onepipe.publish
import onepipe.push.applying
import onepipe.push.calls
import onepipe.push.lost
import onepipe.push.planning
import onepipe.push.resolve
import onepipe.registry
import onepipe.run
import onepipe.warehouse.work
from onepipe.http.answer import Headers
from onepipe.http.wire import Got, Lost
from onepipe.merge import states
from onepipe.project import Project
from onepipe.push.site import open_site
from onepipe.sandbox import Sandbox
from onepipe.sandbox.wire import Answer, Call
from tests.push.desk import OWN, SECOND, VALUES, Desk
from tests.push.machine.ledger import GAP, HABIT, LATE, OTHERS, OURS, Ledger, Sheet
from tests.simulation.steps import swapped

MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of commits, none of which has to outlive the test
DEALS = 3
TICK = timedelta(seconds=0.2)
FIELDS: dict[str, tuple[str, ...]] = {
    "administrate": ("name", "expected_close_date"),
    "tactile": ("name", "amount", "description", "expected_close_date"),
    "capsule": ("name", "amount", "description", "expected_close_date"),
    "onautomate": ("name", "amount", "lead_source"),
    "overplane": ("name", "amount", "expected_close_date"),
}


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Trouble:
    """What the CRM does with the next request that is a write, or a read. `kind` and `how` as faults have them."""

    on: str
    kind: str
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For the ledger: the kind, or the status."""
        return str(self.how.get("status", self.kind))


class World(Desk):
    """One CRM, one project folder. `wrong` is everything that must not be."""

    def __init__(self, folder: Path, crm: str, begins: datetime, **write: Any) -> None:
        sandbox = Sandbox(rows=0, crms=[crm], now=begins)
        super().__init__(folder, sandbox, (crm,), **write)
        self.now, self.name = begins, crm
        self.server: Any = sandbox[crm]
        self.server.options.apply({"rate_limit": None})
        self.troubles: list[Trouble] = []
        self.gaps: list[Callable[[], None]] = []
        self.executed: list[str] = []
        self.wrong: list[str] = []
        self.points = self.ends_at = 0
        self.dead = self.died = False
        self.pushes: dict[int, tuple[str, bool]] = {}
        self.on_write_done: Callable[[], None] = lambda: None
        self.ledger = Ledger(self._sheet, lambda: self.now)
        self._count_what_is_done()
        with self.ledger.by(OTHERS):
            for _ in range(DEALS):
                self.deal(crm)

    # The CRM's side

    def _sheet(self) -> Sheet:
        with self.server.lock:
            shown = {str(key): self.server.show(row) for key, row in self.server.rows.items()}
        names = {name: OWN[self.name][name] for name in FIELDS[self.name]}
        return {key: {name: form(name, row.get(own)) for name, own in names.items()} for key, row in shown.items()}

    def _count_what_is_done(self) -> None:
        """Keep the bodies of all writes that took effect, late ones too."""
        own = self.server._respond

        def respond(call: Call) -> Answer:
            answer: Answer = own(call)
            if is_write(call) and answer.status < 400:
                self.executed.append(call.body.decode() + call.query_string)
            return answer

        self.server._respond = respond

    def catch_up(self) -> None:
        """What the CRM has put off until now happens."""
        with self.ledger.by(LATE):
            self.server.catch_up()

    def remotely(self, key: str, hand: str = OTHERS, **fields: Any) -> None:
        """Another hand changes a deal; none where it is gone."""
        row_id = next((one for one in self.server.rows if str(one) == key), None)
        if row_id is not None:
            with self.ledger.by(hand):
                self.server.update(row_id, **self.own(self.name, **fields))

    def remotely_delete(self, key: str, hand: str = OTHERS) -> None:
        """Another hand removes a deal."""
        row_id = next((one for one in self.server.rows if str(one) == key), None)
        if row_id is not None:
            with self.ledger.by(hand):
                self.server.delete(row_id)

    # The wire

    def line(self, *_: Any, **__: Any) -> "Line":
        """What stands in for a connection."""
        return Line(self)

    def ask(self, method: str, target: str, headers: list[tuple[bytes, bytes]], content: bytes | None) -> Got | Lost:
        """One request, answered by the CRM with all its habits and troubles."""
        self.point("before a request")
        path, _, query = target.removeprefix(f"/{self.name}").partition("?")
        told = {name.decode().lower(): value.decode() for name, value in headers}
        call = Call(method, path, query, told, content or b"")
        self.now += TICK
        self.catch_up()
        if is_write(call) and self.gaps:
            self.gaps.pop(0)()
        answer = self._answer(call)
        if answer.status == 200 and not answer.cut and not is_write(call):
            self._note_read(call)
        self.point("after a request")
        if answer.cut:
            return Lost("the connection broke (invented)")
        return Got(answer.status, Headers((name.lower(), value) for name, value in answer.headers), answer.body)

    def _answer(self, call: Call) -> Answer:
        writes = is_write(call)
        trouble = next((one for one in self.troubles if one.on == ("write" if writes else "read")), None)
        ignores = False
        if trouble is not None:
            self.troubles.remove(trouble)
            self.ledger.strike(trouble.name)
            ignores = trouble.kind == "ignores"
            if not ignores:
                self.server.faults.add(trouble.kind, **trouble.how)
        with self.ledger.by(OURS):
            answer: Answer = at_once(self.sandbox._play(self.server, call))
        self.server.faults.clear()
        if writes:
            changed = list(self.ledger.changed)
            self.on_write_done()
            if ignores and changed:
                self._undo(changed[0].key, changed[0].field, changed[0].before)
        return answer

    def _undo(self, key: str, name: str, value: str | None) -> None:
        """The CRM said yes, and keeps what it had."""
        if value is not None and key in self.ledger.rows:
            row_id = next(one for one in self.server.rows if str(one) == key)
            with self.ledger.by(HABIT):
                self.server.update(row_id, silently=True, **self.own(self.name, **{name: value}))

    def _note_read(self, call: Call) -> None:
        words = set(call.path.split("/"))
        for key in self.ledger.rows.keys() & words:
            self.ledger.read(key)

    # Our side

    def point(self, _: str) -> None:
        """A process may end here, and a dead one does nothing more."""
        if self.dead:
            raise Crash
        self.points += 1
        if self.points == self.ends_at:
            self.dead = True
            raise Crash

    @contextmanager
    def ending_at(self, point: int) -> Iterator[None]:
        """A process that ends at its so-manieth point (0: it does not), which nobody above gets to know of."""
        self.points, self.ends_at, self.dead = 0, point, False
        try:
            yield
        except Crash:
            pass
        finally:
            self.ends_at, self.died, self.dead = 0, self.dead, False
            self.catch_up()

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project as a new process opens it."""
        with ExitStack() as stack:
            for owner, name, value in self._swaps():
                stack.enter_context(swapped(owner, name, value))
            project = stack.enter_context(super().project())
            for store in (project.control.outbox, project.control.edits, project.control.conflicts):
                store._file = Watched(project.control._file, self)  # type: ignore[assignment]
            yield project

    def _swaps(self) -> list[tuple[Any, str, Any]]:
        def timed(*args: Any, **how: Any) -> Any:
            return open_site(*args, **{**how, "sleep": self.sleep, "now": self.at})

        return [
            (onepipe.http.door, "Wire", self.line),
            (onepipe.registry, "load_file", connector),
            (onepipe.push.planning, "open_site", timed),
            (onepipe.push.lost, "open_site", timed),
            (onepipe.push.applying, "_guarded", lambda *_: None),
            (onepipe.push.applying, "publish_now", self._publish),
            (onepipe.push.resolve, "publish_now", self._publish),
            (onepipe.push.calls, "publish_now", self._publish),
            (onepipe.push.calls, "guard", lambda *_: None),
            (onepipe.run, "publish_now", self._publish),
            (onepipe.run, "guard", lambda *_: None),
            (onepipe.warehouse.work.Warehouse, "commit", self._commit(onepipe.warehouse.work.Warehouse.commit)),
        ]

    def _publish(self, *_: Any, **__: Any) -> None:
        """A copy of the closed work file, put in place; the real publishing has tests of its own, and takes longer."""
        self.point("before publishing")
        part = self.folder / "part"
        shutil.copyfile(self.folder / ".onepipe" / "work.duckdb", part)
        part.replace(self.warehouse)
        self.point("after publishing")

    def _commit(self, own: Any) -> Any:
        world = self

        @contextmanager
        def commit(*args: Any, **how: Any) -> Iterator[Any]:
            with own(*args, **how) as db:
                yield db
                world.point("before a commit")
            world.point("after a commit")

        return commit

    def wrote(self, project_file: Any) -> None:
        """The control file was written to: pushes move as the table of states lets them."""
        with project_file.reading() as db:
            rows = db.execute("SELECT push_id, state, finished_at FROM push").fetchall()
        for row in rows:
            before, now = self.pushes.get(row["push_id"]), (row["state"], row["finished_at"] is not None)
            if before and before != now:
                allowed = states.may_become(before[0], now[0]) or states.after_restart(before[0]) == now[0]
                if before[1] or not allowed:
                    self.wrong.append(f"push {row['push_id']} went from {before} to {now}")
            self.pushes[row["push_id"]] = now


class Line:
    """A connection that ends in the CRM's own code."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], content: bytes | None, _: float
    ) -> Got | Lost:
        """One try."""
        return self._world.ask(method, target.decode(), headers, content)

    def close(self) -> None:
        """There is nothing to close."""


class Watched:
    """The control file, with a point before and after each write."""

    def __init__(self, file: Any, world: World) -> None:
        self._file, self._world = file, world

    def reading(self) -> Any:
        """As it is."""
        return self._file.reading()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """A transaction; a crash inside it leaves nothing, as one before it."""
        self._world.point("before a write")
        with self._file.writing() as db:
            yield db
        self._world.wrote(self._file)
        self._world.point("after a write")


def is_write(call: Call) -> bool:
    """Whether a request may change something."""
    return call.method != "GET" or "add_tag" in call.path


def form(name: str, value: Any) -> str | None:
    """A value as people write it; an empty one is none."""
    if value is None or value == "":
        return None
    if name == "expected_close_date":
        return str(value)[:10]
    return f"{Decimal(str(value)):.2f}" if name == "amount" else str(value)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine comes to that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the CRM wanted to wait")


@cache
def connector(*args: Any) -> Any:
    """A connector file, read once."""
    return _load_file(*args)


_load_file = onepipe.registry.load_file
_BEGINS = datetime.now(UTC).replace(microsecond=0)
_HOME = tempfile.TemporaryDirectory(prefix="onepipe-machine-", dir=MEMORY if MEMORY.is_dir() else None)


@cache
def _synced(crm: str) -> tuple[Path, datetime]:
    """A project whose first sync is done, to be copied, and when that was."""
    folder = Path(_HOME.name) / crm
    folder.mkdir()
    world = World(folder, crm, _BEGINS)
    world.sync()
    return folder, world.now


def world(crm: str, **write: Any) -> World:
    """A project of its own with three deals, synced."""
    template, now = _synced(crm)
    folder = Path(tempfile.mkdtemp(dir=_HOME.name))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    made = World(folder, crm, _BEGINS, **write)
    made.now = now
    return made


def rounded(body: bytes) -> bytes:
    """A CRM that keeps one digit of cents, and trims the mark at the end of names."""
    return re.sub(rb"(ours [0-9]+)~", rb"\1", body.replace(b".25", b".3"))


__all__ = ["DEALS", "FIELDS", "GAP", "SECOND", "VALUES", "Crash", "Trouble", "World", "form", "rounded", "world"]

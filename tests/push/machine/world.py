"""A project beside one simulated CRM, one clock, and a process that may end at any step of a push.

The engine is the real one, with its control file, its warehouse, its connector and its door. A crash is an exception at
a numbered point: before and after every write to the control file, every request, every commit of the warehouse; from
there on the process can write nothing any more.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import onepipe.http.door
import onepipe.push.applying
import onepipe.push.calls
import onepipe.push.lost
import onepipe.push.planning
import onepipe.push.resolve
import onepipe.registry
import onepipe.run
import onepipe.warehouse.work
from onepipe.merge import states
from onepipe.project import Project
from onepipe.push.site import open_site
from tests.push.machine.remote import Line, Remote
from tests.simulation.steps import swapped

MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of commits, none of which has to outlive the test


class Crash(BaseException):
    """The process ends here."""


class World(Remote):
    """One CRM, one project folder. `wrong` is everything that must not be; `died`: the last process was ended."""

    def __init__(self, folder: Path, crm: str, begins: datetime, **write: Any) -> None:
        self.wrong: list[str] = []
        self.points = self.ends_at = 0
        self.dead = self.died = False
        self.pushes: dict[int, tuple[str, bool]] = {}
        super().__init__(folder, crm, begins, **write)

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
            (onepipe.http.door, "Wire", lambda *_, **__: Line(self)),
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

"""`maintain`: what takes room, what of it need not, and making it so.

sizes and leftovers -> [leftovers removed -> superseded answers dropped -> work file made anew -> published]
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import onepipe.warehouse.compacting as compacting
import onepipe.warehouse.sizes as sizes
from onepipe.errors import ConfigError, LeaseHeld
from onepipe.keeping import leftovers
from onepipe.keeping.leftovers import Left
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.spool import forget
from onepipe.warehouse.compacting import Spare
from onepipe.warehouse.rewriting import Rewritten, rewrite
from onepipe.warehouse.sizes import Size


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What may go: of each record's answers all but the newest `versions`, older than `days`; None: none of them.

    `copies`: also copies that are kept from before an upgrade or a restore.
    """

    versions: int | None = None
    days: int | None = None
    copies: bool = False

    @property
    def compacts(self) -> bool:
        """Whether anything of raw is to go."""
        return self.versions is not None or self.days is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """How things stand: bytes of each table, of each file in the state folder, of unused blocks, free on the disk.

    `spare` is told where raw was asked about; `left` are leftovers, which go, and copies, which may.
    """

    tables: Sequence[Size]
    files: Sequence[tuple[str, int]]
    unused: int
    free: int
    left: Sequence[Left]
    spare: Sequence[Spare] = ()

    @property
    def rows(self) -> int:
        """How many rows of raw would go."""
        return sum(one.spare for one in self.spare)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What was done: rows of raw dropped, leftovers removed, what became of the work file. `busy`: who was let be."""

    rows: int
    removed: Sequence[Left]
    rewritten: Rewritten
    busy: Sequence[str] = field(default=())


def look(project: Project, wanted: Wanted, now: datetime | None = None) -> House:
    """How things stand, and what `maintain` would do; nothing is changed. Raises ConfigError where there is nothing."""
    warehouse, state = project.warehouse, project.config.state
    if not warehouse.path.exists():
        raise ConfigError(f"there is no work file in {state} yet; nothing was done", "run `onepipe sync` first")
    with warehouse.look() as db:
        spare = compacting.find(db, wanted.versions or 1, _before(wanted, now)) if wanted.compacts else []
        tables, unused = sizes.tables(db), sizes.unused(db)
        slices = {(name, piece) for name, piece in db.run("SELECT connection, slice FROM store.slices")}
    return House(
        tables=tables,
        files=_files(state),
        unused=unused,
        free=shutil.disk_usage(state).free,
        left=leftovers.found(project.config, slices),
        spare=spare,
    )


def maintain(project: Project, wanted: Wanted, watch: Watch | None = None, now: datetime | None = None) -> Kept:
    """Do it, and publish. Raises LeaseHeld, which names who is in the way, and DiskTrouble; what was done stays."""
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    house = look(project, wanted, now)
    steps = 4
    watch.step(0, steps, "removing leftovers")
    removed, busy = _remove(project, [one for one in house.left if wanted.copies or not one.is_copy])
    watch.step(1, steps, "dropping superseded answers" if wanted.compacts else "checkpoint")
    rows = 0
    with project.warehouse.commit(None) as db:
        if wanted.compacts:
            rows = compacting.drop(db, compacting.find(db, wanted.versions or 1, _before(wanted, now)))
    watch.step(2, steps, "writing the work file anew")
    rewritten = rewrite(project.warehouse)
    watch.step(3, steps, "publishing")
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    watch.step(steps, steps, "done")
    return Kept(rows=rows, removed=removed, rewritten=rewritten, busy=busy)


def _before(wanted: Wanted, now: datetime | None) -> datetime | None:
    return None if wanted.days is None else (now or datetime.now(UTC)) - timedelta(days=wanted.days)


def _remove(project: Project, left: Sequence[Left]) -> tuple[list[Left], list[str]]:
    """Remove leftovers; what belongs to a connection only while nobody else is at work on it."""
    removed, busy = list[Left](), list[str]()
    for one in left:
        if one.connection is None:
            _away(one.path)
        else:
            try:
                with project.control.lease(f"connection:{one.connection}"):
                    if _is_open(project, one):
                        continue
                    forget(one.path)
            except LeaseHeld as held:
                busy.append(held.message)
                continue
        removed.append(one)
    return removed, busy


def _is_open(project: Project, one: Left) -> bool:
    """Whether a slice that was not under way a moment ago is now."""
    with project.warehouse.look() as db:
        sql = "SELECT count(*) FROM store.slices WHERE connection = ? AND slice = ?"
        return bool(db.one(sql, [one.connection, leftovers.slice_of(one.path)]))


def _away(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _files(state: Path) -> list[tuple[str, int]]:
    """What lies in the state folder, folders with all they hold, the largest first."""
    found = [(path.name + ("/" if path.is_dir() else ""), leftovers.size(path)) for path in state.iterdir()]
    return sorted(found, key=lambda one: (-one[1], one[0]))

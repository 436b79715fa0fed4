"""A connection under another name, and one that is forgotten: in the warehouse, the control file and the spool.

    rename   written down -> work file, one commit -> control file -> spool -> published -> crossed out
    forget   work file, one commit -> control file -> spool -> work file made anew

The warehouse comes first: killed behind it, a sync goes on where it was, and the same command ends what is left. What
is done twice changes nothing the second time.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from onepipe.account import account_url
from onepipe.config import Config, Connection
from onepipe.control import Lease
from onepipe.errors import DiskTrouble, LeaseHeld, UsageError
from onepipe.keeping import backups, leftovers
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.spool import forget as forget_slices
from onepipe.spool import sync_folder
from onepipe.warehouse import bindings, books, naming
from onepipe.warehouse.rewriting import Rewritten, rewrite
from onepipe.yamlmarks import did_you_mean

INTENT = "renaming.json"
BESIDE = ("stages.csv", "people.csv")  # files that may name connections


@dataclass(frozen=True, slots=True)
class Renamed:
    """What moved: rows by table, of the warehouse and of the control file. `edit` are files that name the old one."""

    before: str
    after: str
    rows: dict[str, int]
    control: dict[str, int]
    edit: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What forgetting a connection removes: rows by table, bytes of pages, and what would still hold it then."""

    connection: str
    rows: dict[str, int]
    control: dict[str, int]
    spool: int
    still: tuple[str, ...]

    @property
    def total(self) -> int:
        """All rows."""
        return sum(self.rows.values()) + sum(self.control.values())


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed, and what became of the work file."""

    removed: Forgetting
    rewritten: Rewritten


class _Intent(msgspec.Struct):
    before: str
    after: str


def rename(project: Project, before: str, after: str, watch: Watch | None = None, wait: float = 0.0) -> Renamed:
    """Put all that is kept of a connection under the name that config.yaml gives it by now, and publish.

    No row is read again for it. Raises UsageError where config.yaml does not say so, or where the new name has rows of
    its own, LeaseHeld, DiskTrouble; killed anywhere, the same command ends it.
    """
    watch = watch or Watch()
    _ready(project, watch)
    _refuse_rename(project, before, after)
    lease = project.control.lease
    with _alone(project), lease(f"connection:{before}", wait) as old, lease(f"connection:{after}", wait) as new:
        begun = _intent(project.config.state) == _Intent(before, after)
        with project.warehouse.look() as db:
            bound, rows = bindings.bound(db), naming.rows(db, before)
        control = project.control.rows_of(before)
        _refuse_bound(project.config.connections[after], project.config, before, bound, begun)
        _write_down(project.config.state, _Intent(before, after))
        if rows:
            _rename_rows(project, before, after, (old, new))
        _rename_control(project, before, after)
        _rename_spool(project.warehouse.spool, before, after)
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    (project.config.state / INTENT).unlink(missing_ok=True)
    return Renamed(before, after, rows, control, tuple(_naming(project.config, before)))


def intended(project: Project, name: str, watch: Watch | None = None) -> Forgetting:
    """What forgetting removes. Raises UsageError for a name that is in use, or that nothing is kept of."""
    _ready(project, watch or Watch())
    if name in project.config.connections:
        raise UsageError(
            f"the name {name} is in config.yaml, and only what is out of use is forgotten; nothing was changed",
            "take it out of config.yaml first",
        )
    with project.warehouse.look() as db:
        rows, bound = naming.rows(db, name), bindings.bound(db)
    control, pages = project.control.rows_of(name), project.warehouse.spool / name
    if not rows and not control and not pages.exists():
        retired = sorted(set(bound) - set(project.config.connections))
        told = did_you_mean(name, retired) if retired else "no connection is retired"
        raise UsageError(f"nothing is kept of a connection {name!r}: {told}; nothing was changed")
    return Forgetting(name, rows, control, leftovers.size(pages) if pages.exists() else 0, tuple(_still(project)))


def forget(project: Project, plan: Forgetting, watch: Watch | None = None, now: datetime | None = None) -> Forgotten:
    """Remove every row of a retired connection, and publish; one line in sync_runs says that it was done, and when.

    The work file is made anew, so that nothing of them is left in unused parts of it. Raises LeaseHeld, DiskTrouble;
    killed anywhere, the same command ends it.
    """
    watch, name = watch or Watch(), plan.connection
    now = now or datetime.now(UTC)
    run_id = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with _alone(project), project.control.lease(f"connection:{name}") as lease:
        watch.step(0, 4, "the warehouse")
        with project.warehouse.commit(run_id) as db:
            lease.check()
            naming.forget(db, name, run_id, now)
        watch.step(1, 4, "the control file")
        project.control.erase_connection(name)
        forget_slices(project.warehouse.spool / name)
    watch.step(2, 4, "writing the work file anew")
    rewritten = rewrite(project.warehouse, always=True)
    watch.step(3, 4, "publishing")
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    watch.step(4, 4, "done")
    return Forgotten(plan, rewritten)


@contextmanager
def _alone(project: Project) -> Iterator[None]:
    """While no daemon runs: it would go on with the name that it knows, and begin it anew. Raises LeaseHeld."""
    owner = project.control.owner("daemon")
    if owner is not None:
        raise LeaseHeld(
            f"The daemon is at work: {owner}. Nothing was changed.",
            "Stop it, run this again, and start it anew.",
        )
    with project.control.lease("daemon"):
        yield


def _ready(project: Project, watch: Watch) -> None:
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    if not project.warehouse.path.exists():
        raise UsageError("nothing was loaded yet, so no name has anything; nothing was changed")


def _refuse_rename(project: Project, before: str, after: str) -> None:
    known = project.config.connections
    if before in known:
        raise UsageError(
            f"config.yaml still has {before}; nothing was changed",
            f"write {after} in its place there, then run this again",
        )
    if after not in known:
        raise UsageError(
            f"config.yaml has no connection {after!r}; nothing was changed",
            f"write it there in the place of {before}, then run this again",
        )


def _refuse_bound(
    connection: Connection, config: Config, before: str, bound: dict[str, tuple[str, str]], begun: bool
) -> None:
    """Refuse where nothing is kept of the one name, or something is of the other, unless that is how far it came."""
    after, now = connection.name, (connection.connector, account_url(config, connection))
    if before not in bound and not begun:
        retired = sorted(set(bound) - set(config.connections))
        told = did_you_mean(before, retired) if retired else "no connection is retired"
        raise UsageError(f"nothing is kept of a connection {before!r}: {told}; nothing was changed")
    if before in bound and after in bound:
        raise UsageError(
            f"the new name {after} has run and has rows of its own; nothing was changed",
            f"take {after} out of config.yaml and `onepipe connection forget {after}`, then name it again and rename",
        )
    if before in bound and bound[before] != now:
        raise UsageError(
            f"the name {before} belongs to {bound[before][0]} at {bound[before][1]}, and config.yaml has {after} as "
            f"{now[0]} at {now[1]}; nothing was changed",
            f"give {after} that address, rename, and move the name with `onepipe rebind {after}` after that",
        )


def _rename_rows(project: Project, before: str, after: str, leases: tuple[Lease, Lease]) -> None:
    with project.warehouse.commit(None) as db:
        for lease in leases:
            lease.check()
            books.fence(db, lease.name, lease.number)
        # Asked again: a run binds its name before it has the lease, and may just have begun under the new one.
        _refuse_bound(project.config.connections[after], project.config, before, bindings.bound(db), begun=True)
        naming.rename(db, before, after)
        db.run("UPDATE connections SET state = 'active' WHERE connection = ?", [after])
        books.note_reread(db, after, datetime.now(UTC))


def _rename_control(project: Project, before: str, after: str) -> None:
    """The fingerprint of a credential is that of a name as well: it is made anew where the credential is the same."""
    if not project.control.rows_of(before):
        return
    values = project.config.connections[after].plain_credentials()
    had = "credential" in project.control.rows_of(before)
    same = had and not project.control.credential(before, values).is_new()
    project.control.rename(before, after)
    if same:
        project.control.credential(after, values).keep()


def _rename_spool(spool: Path, before: str, after: str) -> None:
    """Pages that wait; those of a run that began under the new name in between are of another scan, and stay."""
    if not (spool / before).is_dir():
        return
    if (spool / after).exists():
        forget_slices(spool / before)
    else:
        (spool / before).rename(spool / after)
        sync_folder(spool)


def _intent(state: Path) -> _Intent | None:
    try:
        return msgspec.json.decode((state / INTENT).read_bytes(), type=_Intent)
    except (OSError, msgspec.DecodeError):
        return None


def _write_down(state: Path, intent: _Intent) -> None:
    part = state / f".{INTENT}.part"
    try:
        part.write_bytes(msgspec.json.encode(intent))
        part.replace(state / INTENT)
        sync_folder(state)
    except OSError as error:
        raise DiskTrouble(
            f"nothing can be written into {state}: {error}", "nothing was changed; free some space there and run again"
        ) from error


def _naming(config: Config, name: str) -> Iterator[str]:
    """Files beside config.yaml in which a name stands."""
    for path in (*(config.folder / one for one in BESIDE), *sorted((config.folder / "views").glob("*.sql"))):
        if path.is_file() and name in path.read_text(encoding="utf-8", errors="replace"):
            yield path.relative_to(config.folder).as_posix()


def _still(project: Project) -> Iterator[str]:
    """Copies that are not touched, and hold what they held."""
    with project.warehouse.look() as db:
        slices = {(name, piece) for name, piece in db.run("SELECT connection, slice FROM store.slices")}
    yield from (str(one.path) for one in leftovers.found(project.config, slices) if one.is_copy)
    yield from (one.path for one in backups.known(project.config.state) if one.there)

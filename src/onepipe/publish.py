"""Publishing: a snapshot of the work file put in place under the name that people query.

    lock -> prepare (marker, views) -> close -> copy in a child process -> check -> mode 0444 -> rename

The copy is made by a spawned process, from a file that is checkpointed and closed, under the commit lock: a copy made
while commits went on missed committed rows in most trials, and reading the file in this process would drop the lock
that DuckDB holds on it. Readers keep the file they opened; the rename never disturbs them.

Where config.yaml keeps something out of the published file, the copy goes into the state folder, for our own commands,
and the published file is made of it anew, while commits go on.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from onepipe.config import WHOLE
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.spool import sync_folder
from onepipe.warehouse import sharing, snapshot
from onepipe.warehouse.database import Database
from onepipe.warehouse.files import copied, part_of, sweep
from onepipe.warehouse.snapshot import Marker
from onepipe.warehouse.work import Warehouse

Say = Callable[[str], None]
Stamp = tuple[int, ...]

_seen: dict[Path, tuple[Stamp, Marker | None]] = {}


def publish(warehouse: Warehouse, target: Path, views: Path, say: Say) -> bool:
    """Put a snapshot in place if the work file is newer than the one there; whether it did.

    Raises ConfigError for a file that is not ours to replace, DiskTrouble when the copy fails; either way the old
    snapshot stays as it was.
    """
    guard(warehouse, target)
    there, whole = _marker_of(target), warehouse.path.with_name(WHOLE)
    part, copy = part_of(target), part_of(whole)
    with _translated(target, part, copy):
        with warehouse.lock():
            sweep(target)
            sweep(whole)
            with warehouse.opened() as db:
                ours = replace(snapshot.current(db), left_out=", ".join(warehouse.left_out) or None)
                warehouse.generation = ours.generation
                if there == ours and whole.is_file() == bool(warehouse.left_out):
                    warehouse.published = ours.generation
                    return False
                broken = snapshot.prepare(db, datetime.now(UTC), views)
            copied(warehouse.path, copy if warehouse.left_out else part)
            if not warehouse.left_out:
                _put_in_place(part, target, ours)
                whole.unlink(missing_ok=True)
        if warehouse.left_out:
            _share(warehouse, copy, part, target, ours, say)
    warehouse.published = ours.generation
    for name, reason in broken.items():
        say(f"views/{name} could not be created and is left out: {reason}")
    return True


def _share(warehouse: Warehouse, copy: Path, part: Path, target: Path, ours: Marker, say: Say) -> None:
    """Make the file that may be shared of a whole copy, and put both in place, unless others published newer ones."""
    part.unlink(missing_ok=True)
    for name in sharing.make(copy, part, warehouse.left_out):
        say(f"`publish:` in config.yaml leaves out {name}, and no table has such a column")
    with warehouse.lock():
        there = _marker_of(target)
        if there is None or there.warehouse_id != ours.warehouse_id or there.generation <= ours.generation:
            _put_in_place(copy, warehouse.path.with_name(WHOLE), replace(ours, left_out=None), mode=0o400)
            _put_in_place(part, target, ours)


@contextmanager
def _translated(target: Path, *parts: Path) -> Iterator[None]:
    """Say what went wrong with the disk, and leave no part of a file behind."""
    try:
        yield
    except OSError as error:
        raise DiskTrouble(
            f"the snapshot {target} could not be written: {error}",
            "all rows are safe in the state folder; free space there and run again",
        ) from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
            part.with_name(f"{part.name}.wal").unlink(missing_ok=True)


def guard(warehouse: Warehouse, target: Path) -> None:
    """Raise ConfigError unless `target` is free, or a snapshot of this very warehouse that is not newer than it."""
    there = looked_at(target)
    if there is not None and warehouse.path.exists():
        with warehouse.look() as db:
            compare(warehouse, target, there, db)


def looked_at(target: Path) -> Marker | None:
    """The marker of `target`, None where it is free. Raises ConfigError where it is not ours, or cannot be written."""
    if target.is_dir():
        raise ConfigError(
            f"config.yaml names {target} as the warehouse, which is a folder; nothing was read or changed",
            "name a file in it, such as warehouse.duckdb",
        )
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise ConfigError(
            f"config.yaml puts the warehouse into {target.parent}, which is not there or not writable; "
            "nothing was read or changed",
            "make that folder, or name another one",
        )
    if not target.exists():
        return None
    there = _marker_of(target)
    if there is None:
        raise ConfigError(
            f"config.yaml names {target} as the warehouse, which is not one of onepipe's and is never replaced; "
            "nothing was read or changed",
            "name another file in config.yaml, or move that one away",
        )
    return there


def compare(warehouse: Warehouse, target: Path, there: Marker | None, db: Database) -> None:
    """Raise ConfigError unless a snapshot `there` is one of the work file that is open, and not newer than it."""
    ours = snapshot.current(db)
    if there is not None and there.warehouse_id != ours.warehouse_id:
        raise ConfigError(
            f"{target} is the snapshot of another onepipe project and is not replaced",
            "name another file in config.yaml, or point `state:` to the folder that belongs to it",
        )
    if there is not None and there.generation > ours.generation:
        raise ConfigError(
            f"{target} is newer (generation {there.generation}) than the state folder's copy "
            f"({ours.generation}); nothing was changed",
            f"the state folder seems to be an old one; to start from the snapshot, move {warehouse.path} away",
        )


def restore(warehouse: Warehouse, target: Path, say: Say) -> None:
    """Bring back a missing work file from the newest whole snapshot, which holds everything but open scans' pages.

    Raises ConfigError where there is only one from which something was left out: to go on from it would lose that.
    """
    if warehouse.path.exists() or (source := _whole(warehouse, target)) is None:
        return
    with warehouse.lock():
        if warehouse.path.exists():
            return
        part = warehouse.path.with_suffix(".part")
        try:
            copied(source, part)
            _synced(part)  # one that a power cut left empty would be made anew, as another warehouse
            part.chmod(0o600)
            part.rename(warehouse.path)
            sync_folder(warehouse.path.parent)
        except OSError as error:
            raise DiskTrouble(
                f"the work file in {warehouse.path.parent} is missing and could not be restored from {source}: {error}",
                "the snapshot is as it was; free some space there and run again",
            ) from error
    say(f"the work file in {warehouse.path.parent} was missing: restored from {source}")


def _whole(warehouse: Warehouse, target: Path) -> Path | None:
    """The whole snapshot: the published file, or that in the state folder; None where nothing was ever published.

    Raises ConfigError where there is only a published file that lacks something.
    """
    there = _marker_of(target)
    if there and not there.left_out:
        return target
    whole = warehouse.path.with_name(WHOLE)
    kept = _marker_of(whole)
    if kept and (there is None or kept.warehouse_id == there.warehouse_id):
        return whole
    if there is None:
        return None
    raise ConfigError(
        f"the work file in {warehouse.path.parent} is missing, and cannot be restored from {target}, which was "
        f"published without {there.left_out}; nothing was read or changed",
        f"bring {warehouse.path.name} back from a backup of the state folder; or move {target.name} away, and "
        "everything is loaded anew, without the history",
    )


def _marker_of(target: Path) -> Marker | None:
    """The marker of the published file. A file that nothing touched since it was last looked at is not opened again."""
    stamp = _stamp(target)
    if stamp is None:
        return None
    kept = _seen.get(target)
    if kept is None or kept[0] != stamp:
        kept = _seen[target] = stamp, _read_marker(target)
    return kept[1]


def _stamp(target: Path) -> Stamp | None:
    """What is another one for every file that was put in place, and for one that was written to; None for no file."""
    try:
        told = target.stat()
    except OSError:
        return None
    return (told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns) if stat.S_ISREG(told.st_mode) else None


def _read_marker(target: Path) -> Marker | None:
    """The marker, through a link of its own: a stale .wal beside the name is not replayed. Raises DiskTrouble.

    The link is called like a part of the file: one that a killed process left would keep an old snapshot for ever.
    """
    try:
        return _through_link(target, part_of(target).with_suffix(f".part.{uuid4().hex}"))
    except OSError as error:
        raise DiskTrouble(
            f"it cannot be seen whose file {target} is: {error}; it is not replaced",
            "all rows are safe in the state folder; put that right and run again",
        ) from error


def _through_link(target: Path, link: Path) -> Marker | None:
    try:
        try:
            os.link(target, link)
        except OSError:
            copied(target, link)
        try:
            return snapshot.marker(link)
        except DiskTrouble:  # somebody has it open for writing: a copy can still be read
            link.unlink(missing_ok=True)
            copied(target, link)
            return snapshot.marker(link)
    finally:
        link.unlink(missing_ok=True)


def _put_in_place(part: Path, target: Path, ours: Marker, mode: int = 0o444) -> None:
    _synced(part)
    if snapshot.marker(part) != ours:
        raise OSError("the copy is not whole")
    part.chmod(mode)
    target.with_name(target.name + ".wal").unlink(missing_ok=True)
    part.rename(target)
    sync_folder(target.parent)


def _synced(part: Path) -> None:
    """Have what was written of a file on the disk."""
    handle = os.open(part, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Publishing: a snapshot of the work file put in place under the name that people query.

    lock -> prepare (marker, views) -> close -> copy in a child process -> check -> mode 0444 -> rename

The copy is made by a spawned process, from a file that is checkpointed and closed, under the commit lock: a copy made
while commits went on missed committed rows in most trials, and reading the file in this process would drop the lock
that DuckDB holds on it. Readers keep the file they opened; the rename never disturbs them.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from onepipe.errors import ConfigError, DiskTrouble
from onepipe.spool import sync_folder
from onepipe.warehouse import snapshot
from onepipe.warehouse.files import copied
from onepipe.warehouse.snapshot import Marker
from onepipe.warehouse.work import Warehouse

Say = Callable[[str], None]


def publish(warehouse: Warehouse, target: Path, views: Path, say: Say) -> bool:
    """Put a snapshot in place if the work file is newer than the one there; whether it did.

    Raises ConfigError for a file that is not ours to replace, DiskTrouble when the copy fails; either way the old
    snapshot stays as it was.
    """
    guard(warehouse, target)
    there = _marker_of(target)
    with warehouse.lock():
        with warehouse.opened() as db:
            ours = snapshot.current(db)
            if there == ours:
                return False
            broken = snapshot.prepare(db, datetime.now(UTC), views)
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            copied(warehouse.path, part)
            _put_in_place(part, target, ours)
        except OSError as error:
            raise DiskTrouble(
                f"the snapshot {target} could not be written: {error}",
                "all rows are safe in the state folder; free space there and run again",
            ) from error
        finally:
            part.unlink(missing_ok=True)
    for name, reason in broken.items():
        say(f"views/{name} could not be created and is left out: {reason}")
    return True


def guard(warehouse: Warehouse, target: Path) -> None:
    """Raise ConfigError unless `target` is free, or a snapshot of this very warehouse that is not newer than it."""
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
        return
    there = _marker_of(target)
    if there is None:
        raise ConfigError(
            f"config.yaml names {target} as the warehouse, which is not one of onepipe's and is never replaced; "
            "nothing was read or changed",
            "name another file in config.yaml, or move that one away",
        )
    if not warehouse.path.exists():
        return
    with warehouse.look() as db:
        ours = snapshot.current(db)
    if there.warehouse_id != ours.warehouse_id:
        raise ConfigError(
            f"{target} is the snapshot of another onepipe project and is not replaced",
            "name another file in config.yaml, or point `state:` to the folder that belongs to it",
        )
    if there.generation > ours.generation:
        raise ConfigError(
            f"{target} is newer (generation {there.generation}) than the state folder's copy "
            f"({ours.generation}); nothing was changed",
            f"the state folder seems to be an old one; to start from the snapshot, move {warehouse.path} away",
        )


def restore(warehouse: Warehouse, target: Path, say: Say) -> None:
    """Bring back a missing work file from the published snapshot; a snapshot holds everything but open scans' pages."""
    if warehouse.path.exists() or not target.is_file() or _marker_of(target) is None:
        return
    with warehouse.lock():
        if warehouse.path.exists():
            return
        part = warehouse.path.with_suffix(".part")
        try:
            copied(target, part)
            part.chmod(0o600)
            part.rename(warehouse.path)
        except OSError as error:
            raise DiskTrouble(
                f"the work file in {warehouse.path.parent} is missing and could not be restored from {target}: {error}",
                "the snapshot is as it was; free some space there and run again",
            ) from error
    say(f"the work file in {warehouse.path.parent} was missing: restored from {target}")


def _marker_of(target: Path) -> Marker | None:
    """The marker of the published file, through a link of its own: a stale .wal beside the name is not replayed."""
    if not target.is_file():
        return None
    link = target.with_name(f".{target.name}.{uuid4().hex}.look")
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


def _put_in_place(part: Path, target: Path, ours: Marker) -> None:
    handle = os.open(part, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    if snapshot.marker(part) != ours:
        raise OSError("the copy is not whole")
    part.chmod(0o444)
    target.with_name(target.name + ".wal").unlink(missing_ok=True)
    part.rename(target)
    sync_folder(target.parent)

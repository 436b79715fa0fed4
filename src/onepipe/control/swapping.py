"""Putting another state in the place of the one that is there: all of it or nothing, wherever it is killed.

    STATE/restore.PID.part/   made ready: new/ holds what is to come, `aside` says where what is there goes
    STATE/restore.ready/      from this rename on it is decided; whoever opens the project next ends it
    STATE/restore.done/       over; to be removed

Two files cannot be renamed at once, so one rename decides, and all that follows can be done twice.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onepipe.control.commit import CommitLock
from onepipe.errors import DiskTrouble

READY, DONE = "restore.ready", "restore.done"
WAIT = 60.0  # seconds for another process that is at it
_ALSO = (  # of the state that was: nothing takes their place, and they belong to its files alone
    *("control.sqlite-wal", "control.sqlite-shm", "control.sqlite-journal"),
    *("work.duckdb.wal", "work.duckdb.tmp", "whole.duckdb", "spool"),
)


def decide(part: Path) -> None:
    """From here on `part`, a folder in the state folder, takes the place of what is there. Raises OSError."""
    for path in (*sorted(part.rglob("*"), reverse=True), part):
        _sync(path)
    part.rename(part.with_name(READY))
    _sync(part.parent)


def finish(state: Path, command: str = "onepipe") -> None:
    """End what was decided and not ended, if anything; cheap where nothing was.

    Raises LeaseHeld while another process is at it, DiskTrouble where a file cannot be moved.
    """
    if not (state / READY).is_dir():
        return
    with CommitLock(state / "commit.lock", command).hold(WAIT):
        finish_locked(state)


def finish_locked(state: Path) -> None:
    """The same, for whoever holds the commit lock."""
    ready = state / READY
    if not ready.is_dir():
        return
    with _translated(state):
        aside = state / (ready / "aside").read_text(encoding="utf-8")
        aside.mkdir(mode=0o700, exist_ok=True)
        for name in _ALSO:
            _move(state / name, aside / name)
        for path in sorted((ready / "new").iterdir()):
            _move(state / path.name, aside / path.name)
            path.rename(state / path.name)
        for folder in (aside, state):
            _sync(folder)
        shutil.rmtree(state / DONE, ignore_errors=True)
        ready.rename(state / DONE)
        shutil.rmtree(state / DONE, ignore_errors=True)
        if not any(aside.iterdir()):
            aside.rmdir()


def _move(path: Path, target: Path) -> None:
    """Move what is there, if anything is, and was not moved before: what came in its place stays."""
    if path.exists() and not target.exists():
        path.rename(target)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(state: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskTrouble(
            f"a restore into {state} was begun and could not be ended: {error}",
            "nothing is lost; put that right, and the next command ends it",
        ) from error

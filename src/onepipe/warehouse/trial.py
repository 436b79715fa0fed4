"""A private copy of the work file, to try on it what is not to happen yet."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onepipe.control.processes import alive
from onepipe.errors import DiskTrouble
from onepipe.warehouse.database import Database, Engine
from onepipe.warehouse.files import copied
from onepipe.warehouse.work import Warehouse


@contextmanager
def trial(warehouse: Warehouse) -> Iterator[Database]:
    """A copy of the work file as it stands, beside it, gone at the end. Others can commit meanwhile.

    Raises DiskTrouble where there is no room for it.
    """
    clear(warehouse.path.parent)
    copy = warehouse.path.with_name(f"trial.{os.getpid()}.duckdb")
    engine = Engine()
    try:
        with warehouse.lock():
            with warehouse.opened():  # makes it, or brings it up, so that the copy has today's tables
                pass
            _copy(warehouse.path, copy)
        with engine.writing(copy) as db:
            yield db
    finally:
        engine.close()
        copy.unlink(missing_ok=True)
        copy.with_name(copy.name + ".wal").unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Take away what killed processes left."""
    for left in lost(folder):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def lost(folder: Path) -> list[Path]:
    """What killed processes left of such copies."""
    found = [(path, path.name.split(".")[1]) for path in folder.glob("trial.*.duckdb*")]
    return [path for path, pid in found if pid.isdigit() and not alive(int(pid), "")]


def _copy(source: Path, copy: Path) -> None:
    try:
        copied(source, copy)
        copy.chmod(0o600)
    except OSError as error:
        raise DiskTrouble(
            f"the work file could not be copied to try something on it: {error}",
            f"nothing was changed; free some space in {copy.parent}",
        ) from error

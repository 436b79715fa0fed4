"""The work file: opened to commit, closed at once; nobody holds it, so everybody can commit in turn."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from onepipe import __version__
from onepipe.errors import ConfigError
from onepipe.warehouse import schema
from onepipe.warehouse.database import Database, reading, writing

Lock = Callable[[], AbstractContextManager[None]]


class Warehouse:
    """The embedded warehouse: `work.duckdb` in the state folder.

    `lock` is the commit lock, shared by all processes: no two of them have the file open at the same time.
    """

    def __init__(self, state: Path, lock: Lock) -> None:
        self.path = state / "work.duckdb"
        self.spool = state / "spool"
        self.lock = lock

    @contextmanager
    def commit(self, run_id: str) -> Iterator[Database]:
        """One transaction: all of what happens inside, with a new generation number, or nothing."""
        with self.lock(), self.opened() as db, db.transaction():
            yield db
            db.run(
                "UPDATE store.meta SET generation = generation + 1, run_id = ?, changed_at = ?, onepipe_version = ?",
                [run_id, datetime.now(UTC).isoformat(), __version__],
            )

    @contextmanager
    def look(self) -> Iterator[Database]:
        """Read the work file as it stands; nothing that is done inside is kept."""
        with self.lock(), self.opened() as db:
            yield db

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The work file, made where there is none; the caller holds the lock."""
        new = not self.path.exists()
        with writing(self.path) as db:
            if new:
                schema.create(db, __version__)
            refuse_newer(db.one("SELECT schema_version FROM store.meta"), self.path)
            yield db


def refuse_newer(version: int, path: Path) -> None:
    """Raise ConfigError for a file that a newer onepipe wrote."""
    if version > schema.SCHEMA_VERSION:
        raise ConfigError(
            f"{path} was written by a newer onepipe (schema {version}, this one knows {schema.SCHEMA_VERSION}); "
            "nothing was changed",
            "install that version, or point `state:` and `warehouse:` elsewhere",
        )


@contextmanager
def published(path: Path, fenced: bool = True) -> Iterator[Database]:
    """The published warehouse, read-only. Raises ConfigError where there is none yet."""
    if not path.is_file():
        raise ConfigError(f"there is no warehouse at {path} yet", "run `onepipe sync` first")
    with reading(path, fenced) as db:
        yield db

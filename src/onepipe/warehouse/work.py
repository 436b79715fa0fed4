"""The work file: opened to commit, closed at once; nobody holds it, so everybody can commit in turn."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock as Mutex

from onepipe import __version__
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.warehouse import layout
from onepipe.warehouse.database import Database, Engine, reading
from onepipe.warehouse.files import copied
from onepipe.warehouse.schema import SCHEMA_VERSION
from onepipe.warehouse.snapshot import left_out

Lock = Callable[[], AbstractContextManager[None]]
AT_ONCE = 1.0  # seconds for which threads of this process hand the open file on before others get their turn
OTHERS = 0.02  # seconds that are then left to them: they try every hundredth of a second
SMALLEST = 12_288  # bytes of a DuckDB file's headers: one that is shorter was being made when its process was killed


class Warehouse:
    """The embedded warehouse: `work.duckdb` in the state folder.

    `lock` is the commit lock, shared by all processes: no two of them have the file open at the same time. `land` puts
    in place what waits elsewhere, at the beginning of every commit and as part of it. `left_out` is what its published
    copy must not hold: `raw`, and names of columns; nothing, where it is to hold everything.
    """

    def __init__(
        self,
        state: Path,
        lock: Lock,
        land: Callable[[Database], object] | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self.path = state / "work.duckdb"
        self.left_out = tuple(left_out)
        self.spool = state / "spool"
        self.generation: int | None = None  # of this process's newest commit
        self.published: int | None = None  # of the snapshot it last saw in place
        self.lock = lock
        self._land = land
        self._engine = Engine()
        self._turn = Mutex()  # of the engine
        self._queue = Mutex()  # of our own threads that want the file
        self._waiting, self._awake, self._count = 0, 0, Mutex()
        self._open: tuple[ExitStack, Database, float] | None = None  # handed on from thread to thread; since when

    def rest(self) -> None:
        """Give back the memory of the engine that opens the file, unless a run needs it."""
        if self._awake:
            return
        with self._turn:
            self._engine.close()

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Keep the engine from one use to the next; it rests when the last of those who asked for this is done."""
        with self._count:
            self._awake += 1
        try:
            yield
        finally:
            with self._count:
                self._awake -= 1
                idle = not self._awake
            if idle:
                self.rest()

    @contextmanager
    def commit(self, run_id: str | None) -> Iterator[Database]:
        """One transaction: all of what happens inside, with a new generation number, or nothing.

        Without a run, where nothing is asked of a CRM, the newest run that the warehouse holds stays what it was.
        """
        with self._held() as db, db.transaction():
            if self._land is not None:
                self._land(db)
            yield db
            rows = db.run(
                "UPDATE store.meta SET generation = generation + 1, run_id = coalesce(?, run_id), changed_at = ?, "
                "onepipe_version = ? RETURNING generation",
                [run_id, datetime.now(UTC).isoformat(), __version__],
            )
        self.generation = rows[0][0]

    def settle(self, run_id: str | None) -> None:
        """Put in place what waits elsewhere, in a commit of its own; the next one can then begin by altering tables.

        DuckDB 1.5 cannot alter a table in a transaction that has written to it.
        """
        with self.commit(run_id):
            pass

    @contextmanager
    def look(self) -> Iterator[Database]:
        """Read the work file as it stands; nothing that is done inside is kept."""
        with self._held() as db:
            yield db

    @contextmanager
    def _held(self) -> Iterator[Database]:
        """The lock and the open file: taken over from the thread before, where one hands it on, and handed on to the
        next one that waits. Opening, checkpointing and closing cost more than most commits.
        """
        with self._queued():
            files, db, since = self._open or self._taken()
            self._open = None
            with files:
                yield db
                if self._waiting and time.monotonic() - since < AT_ONCE:
                    db.tidy()
                    self._open = files.pop_all(), db, since
            if self._waiting and self._open is None:
                time.sleep(OTHERS)

    @contextmanager
    def _queued(self) -> Iterator[None]:
        """One thread of this process after the other."""
        self._wait(1)
        try:
            self._queue.acquire()
        except BaseException:  # Ctrl-C: whatever was handed on to us must not stay open
            self._wait(-1)
            if self._queue.acquire(blocking=False):
                try:
                    self._drop()
                finally:
                    self._queue.release()
            raise
        self._wait(-1)
        try:
            yield
        finally:
            self._queue.release()

    def _wait(self, more: int) -> None:
        with self._count:
            self._waiting += more

    def _drop(self) -> None:
        left, self._open = self._open, None
        if left and not self._waiting:
            left[0].close()
        else:
            self._open = left

    def _taken(self) -> tuple[ExitStack, Database, float]:
        with ExitStack() as files:
            files.enter_context(self.lock())
            db = files.enter_context(self.opened())
            return files.pop_all(), db, time.monotonic()

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """The work file, made where there is none, brought up where an older onepipe made it; the caller has the lock.

        Raises ConfigError for a file that a newer onepipe wrote.
        """
        with self._turn:
            if self.path.exists() and self.path.stat().st_size < SMALLEST:
                self.path.unlink()
            with self._engine.writing(self.path) as db:
                version = layout.version(db)
                if version is None:
                    layout.create(db, __version__)
                    version = SCHEMA_VERSION
                refuse_newer(version, self.path)
                if version == SCHEMA_VERSION:
                    yield db
                    return
            self._bring_up(version)
            with self._engine.writing(self.path) as db:
                yield db

    def _bring_up(self, version: int) -> None:
        """Migrate the file, which is closed; a copy of the older one is kept beside it."""
        kept = self.path.with_suffix(f".v{version}.duckdb")
        try:
            copied(self.path, kept)
        except OSError as error:
            raise DiskTrouble(
                f"no copy of {self.path} could be kept before bringing it up to this version: {error}; it is unchanged",
                "free some space there and run again",
            ) from error
        with self._engine.writing(self.path) as db:
            layout.migrate(db)


def refuse_newer(version: int, path: Path) -> None:
    """Raise ConfigError for a file that a newer onepipe wrote."""
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} was written by a newer onepipe (schema {version}, this one knows {SCHEMA_VERSION}); "
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


@contextmanager
def whole(path: Path) -> Iterator[Database]:
    """The same, for what needs raw and every column. Raises ConfigError where the file was made without them."""
    with published(path) as db:
        if lacks := left_out(db):
            raise ConfigError(
                f"{path} was published without {lacks}, and the whole snapshot that this needs is not in the state "
                "folder; nothing was read or changed",
                "`onepipe sync` makes it again, in the project that published the file",
            )
        yield db

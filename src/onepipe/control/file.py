"""The SQLite file itself: opening, migrating, transactions, and what its errors mean to a user.

Never open this file by other means in a process that uses it: closing such a handle drops SQLite's locks (POSIX), and
a second writer gets in.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onepipe.control.alerts import ALERTS
from onepipe.control.erased import ERASED
from onepipe.control.pushing import CONFLICTS, PUSHING
from onepipe.control.service import SERVICE
from onepipe.errors import ConfigError, DiskTrouble

Row = sqlite3.Row

# One step a version, never edited once released; PRAGMA user_version counts the steps taken.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE lease (
            name TEXT PRIMARY KEY,
            number INTEGER NOT NULL,  -- only grows; kept after release
            pid INTEGER,              -- NULL: free
            started TEXT,             -- when that process began, in the system's own words: pids are used again
            machine TEXT,
            host TEXT,
            command TEXT,
            since REAL,
            expires REAL NOT NULL
        ) STRICT""",
        """CREATE TABLE token (
            connection TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (connection, name)
        ) STRICT""",
    ),
    (
        """CREATE TABLE fingerprint_key (one INTEGER PRIMARY KEY, key BLOB NOT NULL) STRICT""",
        """CREATE TABLE credential (connection TEXT PRIMARY KEY, fingerprint BLOB NOT NULL) STRICT""",
    ),
    (
        """CREATE TABLE quota (
            key TEXT PRIMARY KEY,               -- "connection:acme", or "address:capsule" for all of that CRM
            held_until REAL NOT NULL DEFAULT 0, -- nothing leaves before
            held_why TEXT NOT NULL DEFAULT '',
            rate REAL,                          -- requests a second after the last refusal; NULL: never refused
            base REAL NOT NULL DEFAULT 0,       -- and before it
            clean INTEGER NOT NULL DEFAULT 0,   -- requests since it
            refused_at REAL NOT NULL DEFAULT 0,
            refusals INTEGER NOT NULL DEFAULT 0,
            next_at REAL NOT NULL DEFAULT 0,    -- when the next request fits into the rate
            scan_next REAL                      -- when the next complete read may begin
        ) STRICT""",
        """CREATE TABLE quota_told (
            key TEXT NOT NULL, seconds INTEGER NOT NULL,  -- the quota, by its documented interval
            requests INTEGER NOT NULL, remaining INTEGER NOT NULL, at REAL NOT NULL, until REAL NOT NULL,
            resets INTEGER NOT NULL, span INTEGER NOT NULL, PRIMARY KEY (key, seconds)
        ) STRICT""",
        """CREATE TABLE quota_used (
            key TEXT NOT NULL, seconds INTEGER NOT NULL, bucket INTEGER NOT NULL, used INTEGER NOT NULL,
            PRIMARY KEY (key, seconds, bucket)
        ) STRICT, WITHOUT ROWID""",
    ),
    PUSHING,
    CONFLICTS,
    SERVICE,
    ALERTS,
    ERASED,
)


class ControlFile:
    """One connection to the file, used by all threads of the process in turn.

    `durable=False` does not wait for the disk: what was written last may be lost with the power, but not by a kill.
    """

    def __init__(
        self, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS, *, durable: bool = True
    ) -> None:
        self.path = path
        self._synchronous = "FULL" if durable else "NORMAL"
        self._migrations = migrations
        self._lock = threading.RLock()
        self._db = self._open()
        self._place = self._found()

    def close(self) -> None:
        """Close the file; further use raises DiskTrouble."""
        with self._lock:
            self._db.close()

    def stands(self) -> None:
        """Return if the file is still the one that was opened. Raises DiskTrouble where it is gone or another one."""
        if self._found() != self._place:
            raise DiskTrouble(
                f"The state folder {self.path.parent} was removed or replaced while this process worked: its control "
                "file is not the one that was opened. Nothing is committed into another one; what was published is "
                "safe.",
                hint="Put the folder back, or restore it from a backup, and start again; without it the work file is "
                "restored from the published warehouse, and what was queued to be written to the CRMs is lost.",
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for statements that only read. Raises DiskTrouble."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise self._trouble(error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within one transaction, on disk when the block has ended. Raises DiskTrouble."""
        with self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._trouble(error) from error
        try:
            self._prepare(db)
        except BaseException as error:
            db.close()
            if isinstance(error, OSError | sqlite3.Error):
                raise self._trouble(error) from error
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.row_factory = sqlite3.Row
        self.path.chmod(0o600)  # it keeps tokens; SQLite gives its side files the same mode
        if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
        found, known = _version(db), len(self._migrations)
        refuse_newer(self.path, found, known)
        if found < known:
            self._migrate(db, found)

    def _migrate(self, db: sqlite3.Connection, found: int) -> None:
        copy = self.path.with_name(f"control.v{found}.sqlite")
        part = copy.with_name(f".{copy.name}.{os.getpid()}.part")
        try:
            if found:
                part.unlink(missing_ok=True)
                db.execute("VACUUM INTO ?", (str(part),))
                part.chmod(0o600)
            db.execute("BEGIN IMMEDIATE")
            before = _version(db)  # asked again: another process may have migrated, and kept its copy, meanwhile
            refuse_newer(self.path, before, len(self._migrations))
            if found and before == found:
                part.replace(copy)
            for step in self._migrations[before:]:
                for statement in step:
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(self._migrations)}")
            db.execute("COMMIT")
        finally:
            part.unlink(missing_ok=True)

    def _trouble(self, error: Exception) -> DiskTrouble:
        return DiskTrouble(
            f"The control file {self.path} cannot be used: {error}. What was committed before is safe.",
            hint="See that its folder exists, is writable and has space left, then run the command again.",
        )


def refuse_newer(path: Path, found: int, known: int = len(MIGRATIONS)) -> None:
    """Raise ConfigError for a file that a newer onepipe wrote."""
    if found > known:
        raise ConfigError(
            f"{path} was written by a newer onepipe (state version {found}, this one knows {known}). "
            "Nothing was changed.",
            hint="Use the newer onepipe, or name another folder as `state:` in config.yaml.",
        )


def _version(db: sqlite3.Connection) -> int:
    found: int = db.execute("PRAGMA user_version").fetchone()[0]
    return found

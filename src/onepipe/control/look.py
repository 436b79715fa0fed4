"""A look at the control file that changes nothing: for `status`, which works beside everything and before anything.

A file that is not there, or not yet laid out as this onepipe does it, tells nothing; it is neither made nor migrated.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from onepipe.control.file import refuse_newer
from onepipe.control.leases import Owner, owners
from onepipe.control.orders import Broken, Passed, Pause, breakers, passed, pauses
from onepipe.control.stored import moment


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: who is at work on what, what is held back until when and why, when the next complete read may be.

    By the ledger's keys ("connection:acme", "address:capsule"); instants in UTC, none of them past. `conflicts` counts
    those that are open, by connection; `pauses` are people's, `broken` what the daemon leaves alone of itself, and
    `passed` the runs that were due and not made. `unreadable` is why the file could not be read, `damaged` whether that
    is because of what stands in it; nothing else is known then.
    """

    owners: dict[str, Owner] = field(default_factory=dict)
    held: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    next_scan: dict[str, datetime] = field(default_factory=dict)
    conflicts: dict[str, int] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    passed: dict[str, list[Passed]] = field(default_factory=dict)
    unreadable: str | None = None
    damaged: bool = False

    def hold(self, connection: str, connector: str) -> tuple[datetime, str] | None:
        """What keeps a connection from being asked: its own hold, or that of our address at its CRM."""
        found = [self.held[key] for key in (f"connection:{connection}", f"address:{connector}") if key in self.held]
        return max(found, default=None)


def look(state: Path, clock: Callable[[], float] = time.time) -> Look:
    """What the control file of a state folder says now. Raises ConfigError where a newer onepipe wrote it."""
    path = state / "control.sqlite"
    try:
        if not path.is_file():
            return Look()
        with _opened(path) as db:
            refuse_newer(path, db.execute("PRAGMA user_version").fetchone()[0])
            held, scans = _quotas(db, clock())
            return Look(_owners(db, clock), held, scans, _conflicts(db), *_service(db))
    except OSError as error:
        return Look(unreadable=str(error))
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:  # not laid out as we know it
            return Look()
        return Look(unreadable=str(error), damaged=type(error) is sqlite3.DatabaseError)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        db.row_factory = sqlite3.Row
        yield db


def _owners(db: sqlite3.Connection, clock: Callable[[], float]) -> dict[str, Owner]:
    return {one.name: one for one in owners(db, clock())}


def _quotas(db: sqlite3.Connection, now: float) -> tuple[dict[str, tuple[datetime, str]], dict[str, datetime]]:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'quota'").fetchone():
        return {}, {}
    rows = db.execute("SELECT key, held_until, held_why, scan_next FROM quota").fetchall()
    held = {row["key"]: (moment(row["held_until"]), row["held_why"]) for row in rows if row["held_until"] > now}
    return held, {row["key"]: moment(row["scan_next"]) for row in rows if (row["scan_next"] or 0) > now}


def _conflicts(db: sqlite3.Connection) -> dict[str, int]:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'conflict'").fetchone():
        return {}
    rows = db.execute("SELECT connection, count(*) FROM conflict WHERE state = 'open' GROUP BY connection").fetchall()
    return dict(rows)


def _service(db: sqlite3.Connection) -> tuple[dict[str, Pause], dict[str, Broken], dict[str, list[Passed]]]:
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'passed'").fetchone():
        return {}, {}, {}
    passes: dict[str, list[Passed]] = {}
    for one in passed(db):
        passes.setdefault(one.connection, []).append(one)
    return pauses(db), breakers(db), passes

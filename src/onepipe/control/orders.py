"""What the daemon is told and remembers: runs asked for, pauses, its breaker, and the runs it did not make.

Pauses and runs asked for are a person's word and on disk at once. What the daemon remembers is written a second's worth
at a time and does not wait for the disk: a power cut loses the last of it, and nothing depends on that.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sqlite3 import Connection
from typing import Any

from onepipe.control.file import ControlFile

_TABLES = ("wish", "pause", "breaker", "turn", "passed")


@dataclass(frozen=True, slots=True)
class Pause:
    """A person's word that a connection is to be left alone. `since` is epoch seconds."""

    since: float
    by: str
    why: str = ""

    def __str__(self) -> str:
        since = f"since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M} UTC by {self.by}"
        return since + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, slots=True)
class Broken:
    """Why and until when the daemon leaves a connection alone; instants are epoch seconds.

    `fingerprint` is that of the credential that was refused, None where something else failed.
    """

    failures: int
    since: float
    until: float
    kind: str
    why: str
    hint: str | None = None
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """When the daemon last had a connection in hand, and how that ended; epoch seconds, None for never.

    Up to `counted` each of its due runs was made, or is counted with its reason.
    """

    counted: float | None = None
    started: float | None = None
    ended: float | None = None
    succeeded: float | None = None
    status: str | None = None
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """Runs that were due and not made, for one reason; epoch seconds."""

    connection: str
    why: str
    times: int
    first: float
    last: float


@dataclass
class Remembered:
    """What the daemon has to write down: a breaker of None is closed; `passed` are added to what is there."""

    turns: dict[str, Turn] = field(default_factory=dict)
    breakers: dict[str, Broken | None] = field(default_factory=dict)
    passed: dict[tuple[str, str], Passed] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.turns or self.breakers or self.passed)

    def passes(self, connection: str, why: str, at: float, times: int = 1) -> None:
        """Count runs that were due and are not made."""
        before = self.passed.get((connection, why)) or Passed(connection, why, 0, at, at)
        self.passed[connection, why] = Passed(connection, why, before.times + times, before.first, at)


class Service:
    """The daemon's part of the control file. `quick` is the file for what need not wait for the disk."""

    def __init__(
        self, file: ControlFile, quick: Callable[[], ControlFile], clock: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._quick = quick
        self._clock = clock

    def pause(self, connections: Iterable[str], by: str, why: str = "") -> list[str]:
        """Have these left alone by the daemon and by `sync`; those that were not before. Raises DiskTrouble."""
        with self._file.writing() as db:
            there, now = pauses(db), self._clock()
            new = [name for name in connections if name not in there]
            db.executemany("INSERT INTO pause VALUES (?, ?, ?, ?)", [(name, now, by, why) for name in new])
            _say(db)
        return new

    def resume(self, connections: Iterable[str]) -> list[str]:
        """End pauses, and what the daemon itself holds against these; those that were so. Raises DiskTrouble."""
        with self._file.writing() as db:
            there = pauses(db).keys() | breakers(db).keys()
            freed = [name for name in connections if name in there]
            for table in ("pause", "breaker"):
                db.executemany(f"DELETE FROM {table} WHERE connection = ?", [(name,) for name in freed])
            _say(db)
        return freed

    def run_now(self, connections: Iterable[str], by: str) -> None:
        """Ask the daemon for a run of each of these. Raises DiskTrouble."""
        with self._file.writing() as db:
            now = self._clock()
            db.executemany("INSERT OR REPLACE INTO wish VALUES (?, ?, ?)", [(name, now, by) for name in connections])
            _say(db)

    def recovered(self, connection: str) -> None:
        """A run by hand was complete: the daemon holds nothing against this connection any more."""
        with self._file.reading() as db:
            if not db.execute("SELECT 1 FROM breaker WHERE connection = ?", (connection,)).fetchone():
                return
        with self._file.writing() as db:
            db.execute("DELETE FROM breaker WHERE connection = ?", (connection,))
            _say(db)

    @property
    def said(self) -> int:
        """A number that is another one when somebody said something. One row is read."""
        with self._file.reading() as db:
            number: int = db.execute("SELECT number FROM said").fetchone()[0]
        return number

    def wishes(self) -> list[str]:
        """The connections whose run was asked for, each told once."""
        with self._file.reading() as db:
            if not db.execute("SELECT 1 FROM wish LIMIT 1").fetchone():
                return []
        with self._file.writing() as db:
            names = [row[0] for row in db.execute("SELECT connection FROM wish ORDER BY at, connection")]
            db.execute("DELETE FROM wish")
        return names

    def pauses(self) -> dict[str, Pause]:
        """Who is paused, by name."""
        with self._file.reading() as db:
            return pauses(db)

    def breakers(self) -> dict[str, Broken]:
        """What the daemon leaves alone of itself, by name."""
        with self._file.reading() as db:
            return breakers(db)

    def turns(self) -> dict[str, Turn]:
        """When each connection was last in hand."""
        with self._file.reading() as db:
            rows = db.execute("SELECT * FROM turn").fetchall()
        names = ("counted", "started", "ended", "succeeded", "status")
        told = {row["connection"]: {name: row[name] for name in names} for row in rows}
        return {row["connection"]: Turn(**told[row["connection"]], error=_read(row["error"])) for row in rows}

    def passed(self) -> list[Passed]:
        """The runs that were due and not made, by connection and reason."""
        with self._file.reading() as db:
            return passed(db)

    def remember(self, news: Remembered) -> None:
        """Write down what the daemon has to remember, in one transaction. Raises DiskTrouble; nothing is kept then."""
        with self._quick().writing() as db:
            _remember(db, news)

    def forget(self, connection: str) -> None:
        """Drop all that is kept of a name."""
        with self._file.writing() as db:
            for table in _TABLES:
                db.execute(f"DELETE FROM {table} WHERE connection = ?", (connection,))
            _say(db)

    def rename(self, old: str, new: str) -> None:
        """Keep under another name all that is kept of one; the new name has nothing of its own yet."""
        with self._file.writing() as db:
            for table in _TABLES:
                db.execute(f"UPDATE OR REPLACE {table} SET connection = ? WHERE connection = ?", (new, old))
            _say(db)


def pauses(db: Connection) -> dict[str, Pause]:
    """Who is paused, by name. Only reads."""
    return {row["connection"]: Pause(*tuple(row)[1:]) for row in db.execute("SELECT * FROM pause ORDER BY connection")}


def breakers(db: Connection) -> dict[str, Broken]:
    """What the daemon leaves alone, by name. Only reads."""
    rows = db.execute("SELECT * FROM breaker ORDER BY connection")
    return {row["connection"]: Broken(*tuple(row)[1:]) for row in rows}


def passed(db: Connection) -> list[Passed]:
    """The runs that were due and not made. Only reads."""
    return [Passed(*row) for row in db.execute("SELECT * FROM passed ORDER BY connection, why")]


def _say(db: Connection) -> None:
    db.execute("UPDATE said SET number = number + 1")


def _remember(db: Connection, news: Remembered) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO turn VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (name, one.counted, one.started, one.ended, one.succeeded, one.status, _written(one.error))
            for name, one in news.turns.items()
        ],
    )
    closed = [(name,) for name, one in news.breakers.items() if one is None]
    db.executemany("DELETE FROM breaker WHERE connection = ?", closed)
    db.executemany(
        "INSERT OR REPLACE INTO breaker VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (name, one.failures, one.since, one.until, one.kind, one.why, one.hint, one.fingerprint)
            for name, one in news.breakers.items()
            if one is not None
        ],
    )
    db.executemany(
        "INSERT INTO passed VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET times = times + excluded.times, "
        "last = excluded.last",
        _rows(news.passed.values()),
    )


def _rows(passes: Iterable[Passed]) -> Sequence[tuple[Any, ...]]:
    return [(one.connection, one.why, one.times, one.first, one.last) for one in passes]


def _written(error: dict[str, Any] | None) -> str | None:
    return json.dumps(error) if error else None


def _read(text: str | None) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found

"""Leases: the right to work on something, held by one process at a time.

A lease lasts 30 seconds and is renewed every 10. Its number only grows, also when the control file was lost, so that a
commit can refuse a holder whose time has passed (fencing). What a dead process held is free at once on the same
machine, and after its 30 seconds elsewhere.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from sqlite3 import Connection

import onepipe.control.processes as processes
from onepipe.control.file import ControlFile, Row
from onepipe.errors import DiskTrouble, LeaseHeld

EXPIRY = 30.0  # seconds a lease lasts without being renewed
RENEWAL = 10.0  # seconds between renewals
_POLL = 0.05  # seconds between two looks at a lease that another holds


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lease. `since` is UTC."""

    name: str
    number: int
    pid: int
    host: str
    command: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} ({self.command}), since {self.since:%Y-%m-%d %H:%M:%S} UTC"


class Lease:
    """A lease held now. `number` is larger than that of every holder before."""

    def __init__(self, name: str, number: int, leases: "Leases") -> None:
        self.name = name
        self.number = number
        self._leases = leases

    def check(self) -> None:
        """Return if the lease is still ours (renewed if it had run out and nobody took it); else raise LeaseHeld."""
        if self._leases.keeps(self.name, self.number):
            return
        owner = next((owner for owner in self._leases.owners() if owner.name == self.name), None)
        now = f"it is now held by {owner}" if owner else "another process has held it in the meantime"
        raise LeaseHeld(
            f"The lease of {_plain(self.name)} was lost: {now}. What was committed before is safe.",
            hint="Run the command again. A machine that was suspended or badly overloaded is the usual cause.",
        )


class Leases:
    """All leases in the control file, and a thread that renews those of this process. `command` names us to others."""

    def __init__(self, file: ControlFile, command: str, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._command = command
        self._clock = clock
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._renewer: threading.Thread | None = None

    def close(self) -> None:
        """Stop renewing."""
        self._closing.set()
        if self._renewer:
            self._renewer.join()

    @contextmanager
    def hold(self, name: str, wait: float) -> Iterator[Lease]:
        """Hold `name`, waiting up to `wait` seconds for it. Raises LeaseHeld, which names the holder."""
        deadline = time.monotonic() + wait
        while (number := self._take(name)) is None:
            if time.monotonic() >= deadline:
                raise self._refusal(name)
            time.sleep(_POLL)
        try:
            yield Lease(name, number, self)
        finally:
            # What cannot be released is free when we end, or 30 seconds from now: no reason to fail finished work.
            with suppress(DiskTrouble):
                self._release(name, number)

    def owners(self) -> list[Owner]:
        """Who holds what now, by name."""
        with self._file.reading() as db:
            return owners(db, self._clock())

    def keeps(self, name: str, number: int) -> bool:
        """Whether `number` still is the holder's; a lease that ran out and that nobody took is renewed."""
        with self._file.reading() as db:
            row = db.execute("SELECT * FROM lease WHERE name = ? AND number = ?", (name, number)).fetchone()
        return row is not None and (self._holds(row) or self._renew(name, number))

    def _take(self, name: str) -> int | None:
        with self._file.writing() as db:
            now = self._clock()
            row = db.execute("SELECT * FROM lease WHERE name = ?", (name,)).fetchone()
            if row and self._holds(row):
                return None
            # At least the clock's milliseconds: after the loss of the control file, numbers must not begin again where
            # the warehouse has already seen higher ones.
            number = max(row["number"] + 1 if row else 1, int(now * 1000))
            me = processes.own()
            held = (name, number, me.pid, me.started, me.machine, me.host, self._command, now, now + EXPIRY)
            db.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", held)
        with self._lock:
            self._held[name] = number
            if not self._renewer:
                self._renewer = threading.Thread(target=self._renew_until_closed, name="leases", daemon=True)
                self._renewer.start()
        return number

    def _release(self, name: str, number: int) -> None:
        with self._lock:
            if self._held.get(name) == number:
                del self._held[name]
        with self._file.writing() as db:
            db.execute("UPDATE lease SET pid = NULL, expires = 0 WHERE name = ? AND number = ?", (name, number))

    def _renew(self, name: str, number: int) -> bool:
        change = "UPDATE lease SET expires = ? WHERE name = ? AND number = ? AND pid = ?"
        with self._file.writing() as db:
            return db.execute(change, (self._clock() + EXPIRY, name, number, os.getpid())).rowcount == 1

    def _renew_until_closed(self) -> None:
        while not self._closing.wait(RENEWAL):
            with self._lock:
                held = list(self._held.items())
            for name, number in held:
                # A failure shows when the holder checks its lease, in its own thread, where a user can be told.
                with suppress(DiskTrouble):
                    self._renew(name, number)

    def _holds(self, row: Row) -> bool:
        return _holds(row, self._clock())

    def _refusal(self, name: str) -> LeaseHeld:
        owner = next((owner for owner in self.owners() if owner.name == name), None)
        return LeaseHeld(
            f"Another process is at work on {_plain(name)}: {owner or 'it has just ended'}. Nothing was started.",
            hint="Wait for it to finish, or stop it; what it holds is free as soon as it has ended.",
        )


def owners(db: Connection, now: float) -> list[Owner]:
    """Who holds what at `now` (epoch seconds), by name. Only reads."""
    rows = db.execute("SELECT * FROM lease WHERE pid IS NOT NULL ORDER BY name").fetchall()
    return [_owner(row) for row in rows if _holds(row, now)]


def _holds(row: Row, now: float) -> bool:
    """Whether a row's process still holds it: its time has not run out, and it is not known to be dead."""
    if row["pid"] is None or row["expires"] <= now:
        return False
    return row["machine"] != processes.own().machine or processes.alive(row["pid"], row["started"])


def _owner(row: Row) -> Owner:
    since = datetime.fromtimestamp(row["since"], UTC)
    return Owner(row["name"], row["number"], row["pid"], row["host"], row["command"], since)


def _plain(name: str) -> str:
    return name.replace(":", " ", 1)

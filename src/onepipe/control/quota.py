"""The quota ledger: how many requests each account was sent, by all processes, and when it may be asked again.

An account's line is called "connection:acme"; what is counted by our address, for all accounts of a CRM, is in the line
"address:capsule". Requests are granted a few at a time, so that none of them waits for the disk or for a transaction of
its own; a process that is killed leaves at most one such block counted and not sent.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection

import onepipe.control.rates as rates
import onepipe.control.windows as windows
from onepipe.control.file import ControlFile
from onepipe.control.stored import FURTHEST, moment
from onepipe.control.windows import Room
from onepipe.quotas import Grant, Quota, Told

BLOCK = 32  # requests granted at once, at the most
VALID = 1.0  # seconds that a grant lasts, at the most: so soon every process knows of a refusal
PART_OF_OURS = 16  # at most so small a part of a quota is granted at once, so that processes share what is left
MEASURED = 10.0  # seconds over which the rate before a refusal is measured
ENOUGH = 8  # requests that are enough to measure it


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing leaves for an account until then, in UTC; `why` is a sentence without a full stop."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class State:
    """How an account stands: each of its quotas, what holds it back, its rate (requests a second) if it was cut."""

    quotas: tuple[Room, ...]
    hold: Hold | None
    rate: float | None
    next_scan: datetime | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the ledger keeps of an account that is not to be asked now; instants in UTC, None for what is not so."""

    hold: Hold | None
    next_scan: datetime | None


class Quotas:
    """All accounts of a control file, for all threads of a process. `durable` is the file for what must not be lost."""

    def __init__(self, durable: ControlFile, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.durable = durable
        self.clock = clock
        self.changed = 0
        self._path = path
        self._quick: ControlFile | None = None
        self._sent: dict[str, deque[tuple[float, int]]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._quick:
                self._quick.close()

    def allowance(
        self,
        connection: str,
        connector: str,
        quotas: Sequence[Quota] = (),
        share: float = 0.5,
        clock: Callable[[], float] | None = None,
    ) -> "Allowance":
        """What a connection may ask: a ledger for `Http`. Of each quota `share` (0 to 1) is ours."""
        return Allowance(self, connection, connector, quotas, share, clock or self.clock)

    def waiting(self) -> dict[str, Waiting]:
        """All that wait now, by the name of their line: "connection:acme", "address:capsule". One query, only reads."""
        now = self.clock()
        with self.durable.reading() as db:
            rows = db.execute("SELECT * FROM quota WHERE held_until > ? OR scan_next > ?", (now, now)).fetchall()
        return {
            row["key"]: Waiting(
                Hold(moment(row["held_until"]), row["held_why"]) if row["held_until"] > now else None,
                moment(row["scan_next"]) if (row["scan_next"] or 0) > now else None,
            )
            for row in rows
        }

    def retire(self, connection: str) -> None:
        """Forget all that is kept of a name that belongs to another account from now on."""
        with self.durable.writing() as db:
            for table in ("quota", "quota_told", "quota_used"):
                db.execute(f"DELETE FROM {table} WHERE key = ?", (f"connection:{connection}",))
        self.changed += 1

    @property
    def quick(self) -> ControlFile:
        """A second connection to the file, which does not wait for the disk; opened when first asked for."""
        with self._lock:
            if self._quick is None:
                self._quick = ControlFile(self._path, durable=False)
            return self._quick

    def sent(self, key: str, requests: int, now: float) -> None:
        """Note that this process sent so many requests since it was asked last."""
        with self._lock:
            recent = self._sent.setdefault(key, deque())
            recent.append((now, requests))
            while recent[0][0] < now - MEASURED:
                recent.popleft()

    def measured(self, key: str, now: float) -> float | None:
        """Requests a second that this process sent of late; None where they are too few to tell."""
        with self._lock:
            recent = [one for one in self._sent.get(key, ()) if one[0] >= now - MEASURED]
        requests = sum(one[1] for one in recent[1:])  # those of the first left before it
        return requests / max(recent[-1][0] - recent[0][0], 0.05) if requests >= ENOUGH else None


class Allowance:
    """One account's place in the ledger: what `Http` asks before requests leave. For several threads."""

    def __init__(
        self,
        all_: Quotas,
        connection: str,
        connector: str,
        quotas: Sequence[Quota],
        share: float,
        clock: Callable[[], float],
    ) -> None:
        self.quotas = tuple(quotas)
        self.share = share
        self.clock = clock
        self.hint = (
            f"What was loaded is safe, and the daemon goes on by itself then. `onepipe quota {connection}` tells how "
            f"the account stands, `onepipe quota --forget {connection}` lets it be asked at once"
        )
        self._all = all_
        self._own = f"connection:{connection}"
        self._address = f"address:{connector}"
        self._keyed = [(self._address if one.scope == "address" else self._own, one) for one in self.quotas]
        # Who is too fast is told so by account, unless all that is counted is counted by address.
        by_address = bool(self.quotas) and all(one.scope == "address" for one in self.quotas)
        self._paced = self._address if by_address else self._own
        self._block = 1

    @property
    def changed(self) -> int:
        """A number that differs from before when grants made earlier must not be used any more."""
        return self._all.changed

    def take(self, back: Grant | None, told: Sequence[Told]) -> Grant:
        """Grant up to a block of requests, for a second at most. Raises DiskTrouble."""
        wanted = self._wanted(back)
        self._all.sent(self._paced, back.counted[0] - back.left if back and back.counted else 0, self.clock())
        with self._all.quick.reading() as db:
            if self.quotas or told or rates.read(db, self._paced).rate is not None:
                with self._all.quick.writing():
                    self._return(db, back, told)
                    return self._grant(db, wanted)
            return self._grant(db, wanted)

    def give_back(self, back: Grant | None, told: Sequence[Told]) -> None:
        """Take back what was granted and not used, and note what the server said last. Raises DiskTrouble."""
        if (back and back.left and back.counted) or told:
            with self._all.quick.writing() as db:
                self._return(db, back, told)

    def refused(self, left_at: float, wait: float, why: str, *, slower: bool) -> float:
        """Hold the account for `wait` seconds or longer, durably; `slower` cuts its rate. Returns how long it became.

        `left_at` is when the request left that was refused. Raises DiskTrouble.
        """
        now = self.clock()
        key = self._paced if slower else self._own
        with self._all.durable.writing() as db:
            if slower:
                before = rates.read(db, self._paced)
                after = before.refused(left_at, self._all.measured(key, now), now)
                if after is not before:
                    wait = max(wait, after.pause)
                    rates.keep(db, self._paced, after)
            db.execute("INSERT INTO quota (key) VALUES (?) ON CONFLICT DO NOTHING", (key,))
            change = "UPDATE quota SET held_until = ?, held_why = ? WHERE key = ? AND held_until < ?"
            db.execute(change, (now + wait, why, key, now + wait))
        self._all.changed += 1
        return wait

    def held(self) -> Hold | None:
        """What keeps a request from leaving now, if anything does. Only reads. Raises DiskTrouble."""
        with self._all.durable.reading() as db:
            until, why = self._held(db)
            now = self.clock()
            for one in self._rooms(db, now):
                if not one.left and one.free_at > max(until, now):
                    until, why = one.free_at, one.why
        return Hold(moment(until), why) if until > now else None

    def forget(self) -> None:
        """Drop what holds the account back, and what its server said, after a person's decision. Raises DiskTrouble."""
        with self._all.durable.writing() as db:
            for key in {self._own, self._address}:
                nothing = "held_until = 0, held_why = '', next_at = 0, scan_next = NULL"
                db.execute(f"UPDATE quota SET {nothing} WHERE key = ?", (key,))
                db.execute("DELETE FROM quota_told WHERE key = ?", (key,))
        self._all.changed += 1

    def state(self) -> State:
        """How the account stands. Only reads. Raises DiskTrouble."""
        with self._all.durable.reading() as db:
            rooms = tuple(self._rooms(db, self.clock()))
            rate = rates.read(db, self._paced).now(self.clock())
        return State(rooms, self.held(), rate, self.next_scan())

    def scan_ended(self, requests: int, began: datetime) -> None:
        """A complete read began at `began` and took so many requests: the next begins when our part allows as many."""
        with self._all.durable.writing() as db:
            rooms = self._rooms(db, self.clock())
            rest = max((requests * one.allowed.seconds / one.ours for one in rooms), default=0.0)
            value = began.timestamp() + rest if rest else None
            db.execute("INSERT INTO quota (key) VALUES (?) ON CONFLICT DO NOTHING", (self._own,))
            db.execute("UPDATE quota SET scan_next = ? WHERE key = ?", (value, self._own))

    def next_scan(self) -> datetime | None:
        """When the next complete read may begin, in UTC; None for at any time. Only reads."""
        with self._all.durable.reading() as db:
            row = db.execute("SELECT scan_next FROM quota WHERE key = ?", (self._own,)).fetchone()
        found = row["scan_next"] if row else None
        return moment(found) if found and found > self.clock() else None

    def _wanted(self, back: Grant | None) -> int:
        """As many as were used of the last grant, or twice as many where all of it was used."""
        if back is not None and back.counted:
            (granted, _) = back.counted
            self._block = min(2 * granted, BLOCK) if not back.left else max(granted - back.left, 1)
        return self._block

    def _grant(self, db: Connection, wanted: int) -> Grant:
        now = self.clock()
        until, why = self._held(db)
        if until > now:
            return Grant(0, wait=until - now, why=why)
        rate = rates.read(db, self._paced)
        allowed = rate.now(now)
        if allowed and rate.waits(now):
            return Grant(0, wait=rate.waits(now), why="The CRM refused faster requests before")
        rooms = self._rooms(db, now)
        for one in rooms:
            if not one.left:
                return Grant(0, wait=min(one.free_at, FURTHEST) - now, why=one.why)
        number = min([wanted, *(min(one.left, max(1, one.ours // PART_OF_OURS)) for one in rooms)])
        spacing = 0.0
        if allowed:
            number, spacing = min(number, max(1, int(allowed / 2))), 1 / allowed
            rates.keep(db, self._paced, rate.booked(number, now, spacing))
        for (key, _), one in zip(self._keyed, rooms, strict=True):
            windows.count(db, key, one, number)
        ends = min([now + VALID, *(one.ends for one in rooms)])
        places = [(key, one.quota.seconds, one.bucket) for (key, _), one in zip(self._keyed, rooms, strict=True)]
        return Grant(number, until=ends, begins=now, spacing=spacing, counted=(number, places))

    def _return(self, db: Connection, back: Grant | None, told: Sequence[Told]) -> None:
        now = self.clock()
        if back and back.left and back.counted:
            (_, places) = back.counted
            for place in places:
                windows.uncount(db, *place, back.left)
            rate = rates.read(db, self._paced)
            if rate.rate is not None:
                rates.keep(db, self._paced, rate.booked(-back.left, max(rate.next_at, now), back.spacing))
        for one in told:
            windows.learn(db, self._keyed, one, now)

    def _rooms(self, db: Connection, now: float) -> list[Room]:
        return [windows.room(db, key, quota, self.share, now) for key, quota in self._keyed]

    def _held(self, db: Connection) -> tuple[float, str]:
        both = "SELECT held_until, held_why FROM quota WHERE key IN (?, ?) ORDER BY held_until DESC LIMIT 1"
        row = db.execute(both, (self._own, self._paced)).fetchone()
        return (min(row["held_until"], FURTHEST), row["held_why"]) if row else (0.0, "")

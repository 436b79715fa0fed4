"""The control file: who works on what right now, and the few things that must outlive a run.

`<state>/control.sqlite` is opened in this room alone (`file`). Several processes share it: leases with growing numbers
(`leases`), the lock around every commit to the work warehouse (`commit`), the requests each account was sent (`quota`),
whose credential a connection was last swept with (`credentials`), the tokens that connectors refresh, and what goes
back to the CRMs: the queue of edits (`edits`), what becomes of them on their way (`outbox`), and what a person has to
decide (`conflicts`).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import onepipe.control.credentials as credentials
import onepipe.control.naming as naming
import onepipe.control.restored as restored
import onepipe.control.swapping as swapping
from onepipe.control.commit import CommitLock
from onepipe.control.conflicts import Clash, Conflict, Conflicts
from onepipe.control.credentials import Credential
from onepipe.control.edits import Edit, Edits, Wish
from onepipe.control.file import ControlFile
from onepipe.control.leases import Lease, Leases, Owner
from onepipe.control.markers import Erased, Erasure
from onepipe.control.notices import Alerts
from onepipe.control.orders import Broken, Passed, Pause, Remembered, Service, Turn
from onepipe.control.outbox import Outbox
from onepipe.control.pushes import Attempt, Entry, Push
from onepipe.control.quota import Allowance, Hold, Quotas, Waiting

__all__ = [
    "Allowance",
    "Attempt",
    "Broken",
    "Clash",
    "Conflict",
    "Control",
    "Credential",
    "Edit",
    "Edits",
    "Entry",
    "Erased",
    "Erasure",
    "Hold",
    "Lease",
    "Outbox",
    "Owner",
    "Passed",
    "Pause",
    "Push",
    "Quotas",
    "Remembered",
    "Service",
    "Turn",
    "Waiting",
    "Wish",
]


class Control:
    """The control file of one state folder, for all threads of one process. Close it, or use it in a `with`.

    `command` is how this process is named to others that wait for it; it must hold no secret. Raises ConfigError where
    the file was written by a newer onepipe, and DiskTrouble, here and from every method, where it cannot be used.
    """

    def __init__(self, state: Path, command: str = "onepipe", clock: Callable[[], float] = time.time) -> None:
        swapping.finish(state, command)
        self._file = ControlFile(state / "control.sqlite")
        self._leases = Leases(self._file, command, clock)
        self._commit = CommitLock(state / "commit.lock", command)
        self.quotas = Quotas(self._file, state / "control.sqlite", clock)
        self.edits = Edits(self._file, clock)
        self.outbox = Outbox(self._file, clock)
        self.conflicts = Conflicts(self._file, clock)
        self.erased = Erased(self._file, clock)
        self.service = Service(self._file, lambda: self.quotas.quick, clock)
        self.alerts = Alerts(self._file, clock)

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop renewing leases and close the file. A lease still held runs out by itself."""
        self._leases.close()
        self.quotas.close()
        self._file.close()

    @property
    def identity(self) -> str:
        """What tells this control file from any other, also from one that is made in its place."""
        with self._file.reading() as db:
            return str(db.execute("SELECT name FROM identity").fetchone()["name"])

    @contextmanager
    def lease(self, name: str, wait: float = 0.0, *, rebinding: bool = False) -> Iterator[Lease]:
        """Hold the lease of `name` ("connection:acme") for a `with`; wait up to `wait` seconds. Raises LeaseHeld.

        A connection whose rebinding was begun and not ended is held for that: `rebinding` is for whoever ends it.
        """
        with self._leases.hold(name, wait) as lease:
            connection = name.partition(":")[2]
            if connection and not rebinding:
                credentials.refuse_rebinding(self._file, connection)
            yield lease

    def owner(self, name: str) -> Owner | None:
        """Who holds the lease of `name` now; None if it is free."""
        return next((owner for owner in self.owners() if owner.name == name), None)

    def owners(self) -> list[Owner]:
        """Who holds which lease now, by name."""
        return self._leases.owners()

    @contextmanager
    def commit_lock(self, wait: float = 60.0) -> Iterator[None]:
        """Be the only one, among all threads and processes, to open the work warehouse, for a `with`; not reentrant.

        Raises LeaseHeld after `wait` seconds. The system takes it back when the process ends, however it ends. Raises
        DiskTrouble where the state folder was taken away: what is committed into another one would be lost to it.
        """
        self.stands()
        with self._commit.hold(wait):
            self.stands()  # asked again: whoever held it may have put a backup in its place meanwhile
            yield

    def tokens(self, connection: str) -> dict[str, str]:
        """The tokens kept for a connection, as its connector's `auth` last gave them; {} if none."""
        with self._file.reading() as db:
            rows = db.execute("SELECT name, value FROM token WHERE connection = ?", (connection,)).fetchall()
        return {row["name"]: row["value"] for row in rows}

    def keep_tokens(self, connection: str, tokens: Mapping[str, str]) -> None:
        """Keep these tokens of a connection, and no others, durably from now on."""
        with self._file.writing() as db:
            db.execute("DELETE FROM token WHERE connection = ?", (connection,))
            db.executemany("INSERT INTO token VALUES (?, ?, ?)", [(connection, *pair) for pair in tokens.items()])

    def stands(self) -> None:
        """Return if the control file is the one that was opened. Raises DiskTrouble where it is gone or another one."""
        self._file.stands()

    def fingerprint(self, connection: str, values: Mapping[str, str]) -> bytes:
        """What tells a connection's credential from another one, and tells nothing else."""
        return credentials.fingerprint(self._file, connection, values)

    def credential(self, connection: str, values: Mapping[str, str]) -> Credential:
        """A connection's credential, to be held against the one it was last swept with."""
        return Credential(self._file, connection, values)

    def doubt_credential(self, connection: str) -> None:
        """Take whatever credential a connection uses next for a new one."""
        credentials.doubt(self._file, connection)

    def begin_rebinding(self, connection: str, retired: str) -> None:
        """Note, before the warehouse is changed, that a name's rows go to `retired`; `forget` ends the rebinding.

        Until then nobody else gets its lease, and whatever credential it uses next is a new one.
        """
        credentials.begin_rebinding(self._file, connection, retired)

    def rebinding(self, connection: str) -> str | None:
        """The name that the rows go to of a rebinding that was begun and not ended; None where there is none."""
        return credentials.rebinding(self._file, connection)

    def forget(self, connection: str) -> None:
        """Drop what is kept of an account that a name no longer belongs to: tokens, quotas, edits, credential."""
        self.keep_tokens(connection, {})
        self.quotas.retire(connection)
        self.service.forget(connection)
        self.edits.forget(connection)
        credentials.forget(self._file, connection)  # the last: killed before it, a rebinding is still begun

    def copy_to(self, target: Path) -> None:
        """Write all of it into a new file, without what was ever deleted."""
        restored.copy(self._file, target)

    def rows_of(self, connection: str) -> dict[str, int]:
        """How many rows each table has of a connection; tables without any are left out."""
        return naming.rows(self._file, connection)

    def rename(self, before: str, after: str) -> None:
        """Put all that is kept of one name under another, which it had to itself before."""
        self.erased.rename(before, after)
        naming.rename(self._file, before, after)

    def erase_connection(self, connection: str) -> int:
        """Remove all that is kept of a connection for good; how many rows. Its lease stays."""
        return naming.forget(self._file, connection)

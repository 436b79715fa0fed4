"""One connection at work for a push: its account, its edits, its outbox, and how it reads and is told the time."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from onepipe import logs
from onepipe.account import Account, account_url, open_account, utc_now
from onepipe.config import Connection
from onepipe.connector import Connector
from onepipe.control import Edits, Lease, Outbox
from onepipe.control.conflicts import Conflicts
from onepipe.edit import Asked, Target, asked, last_known, open_target
from onepipe.errors import ConfigError, Gone
from onepipe.merge import Policy
from onepipe.project import Project
from onepipe.push.theirs import Reader, Theirs, ask
from onepipe.records import Stored
from onepipe.warehouse import bindings
from onepipe.warehouse.work import whole

Clock = Callable[[], datetime]
Sleep = Callable[[float], object]


@dataclass(frozen=True, kw_only=True)
class Site:
    """One connection at work. `known` are its records as last known, by id; `lease` is None where it only plans."""

    project: Project
    run_id: str
    target: Target
    account: Account
    reader: Reader
    known: Mapping[str, Stored]
    asked: list[Asked]
    lease: Lease | None = None
    sleep: Sleep = field(default=time.sleep)
    now: Clock = field(default=utc_now)

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.target.name

    @property
    def connector(self) -> Connector:
        """The connector, its door open."""
        return self.account.connector

    @property
    def outbox(self) -> Outbox:
        """The outbox of the project."""
        return self.project.control.outbox

    @property
    def edits(self) -> Edits:
        """The queue of edits of the project."""
        return self.project.control.edits

    @property
    def conflicts(self) -> Conflicts:
        """The conflicts of the project."""
        return self.project.control.conflicts

    @property
    def number(self) -> int:
        """The number of the lease, under which everything is written down."""
        if self.lease is None:
            raise AssertionError(f"{self.name}: nothing is written without a lease")
        return self.lease.number

    def wanted(self, record: str) -> Asked | None:
        """What is wanted of a record by now; None where nothing is any more."""
        edits = [one for one in self.edits.open({self.name}) if (one.source_id or one.draft) == record]
        with self.reader.alone() as db:
            found = asked(db, self.target, edits)
        return found[0] if found else None

    def policy(self, name: str) -> Policy:
        """What config.yaml says for a field that both sides changed."""
        return self.target.connection.write.policy(name)

    def ask(self, record_id: str, fields: Collection[str] = ()) -> Stored | None:
        """A record as the CRM sends it now, with what tells of these fields; None where it has it no more."""
        try:
            return ask(self.connector, self.target, record_id, self.known.get(record_id), fields, self.now)
        except Gone:
            return None

    def understood(self, found: Sequence[Stored | None]) -> list[Theirs | None]:
        """Records read through the mapping, in their order: many at once cost little more than one."""
        there = [one for one in found if one is not None]
        made = iter(self.reader.read(self.target, there))
        return [Theirs(stored=one, record=next(made)) if one is not None else None for one in found]

    def read(self, record_id: str, fields: Collection[str] = ()) -> Theirs:
        """A record as the CRM holds it now, with what tells of these fields. Raises Gone, and every SourceError."""
        found = ask(self.connector, self.target, record_id, self.known.get(record_id), fields, self.now)
        return Theirs(stored=found, record=self.reader.read(self.target, [found])[0])

    def look(self, record_id: str, fields: Collection[str] = ()) -> Theirs | None:
        """The same; None where the CRM says that it has the record no more."""
        try:
            return self.read(record_id, fields)
        except Gone:
            return None


@contextmanager
def open_site(
    project: Project,
    connection: Connection,
    reader: Reader,
    *,
    run_id: str = "",
    lease: Lease | None = None,
    writing: bool = False,
    sleep: Sleep = time.sleep,
    now: Clock = utc_now,
) -> Iterator[Site]:
    """Open a connection for a push; what may leave is decided here: a write only if `writing` and its mode is on.

    Raises ConfigError.
    """
    logs.add_secrets(connection.secrets)
    edits = project.control.edits.open({connection.name})
    ids = {edit.source_id for edit in edits if edit.source_id}
    ids |= {push.source_id for push in project.control.outbox.waiting({connection.name}) if push.source_id}
    with reader.alone() as db:
        target = open_target(project.config, connection, db)
        known = last_known(db, project.control, connection.name, ids)
        wanted = asked(db, target, edits)
    account = open_account(
        project.config,
        connection,
        target.mapping,
        lease=lease,
        quotas=project.control.quotas,
        now=now,
        sleep=sleep,
    )
    account.http.gate.writing = writing and connection.write.mode == "on"
    with account.http:
        yield Site(
            project=project,
            run_id=run_id,
            target=target,
            account=account,
            reader=reader,
            known={key: one.record for key, one in known.items()},
            asked=wanted,
            lease=lease,
            sleep=sleep,
            now=now,
        )


@contextmanager
def reading(project: Project) -> Iterator[Reader]:
    """A reader over the published warehouse, which edits rest on. Raises ConfigError where there is none."""
    with whole(project.config.snapshot) as db:
        yield Reader(db)


def same_account(project: Project, connection: Connection, reader: Reader) -> None:
    """Raise ConfigError where the name belongs to another account than config.yaml says, or was never synced."""
    with reader.alone() as db:
        bound = bindings.bound(db).get(connection.name)
    if bound is None:
        raise ConfigError(
            f"{connection.name} was never synced; nothing was sent", f"run `onepipe sync {connection.name}`"
        )
    if bound != (connection.connector, account_url(project.config, connection)):
        raise ConfigError(
            f"the name {connection.name} belongs to {bound[0]} at {bound[1]}, and config.yaml now says "
            "another account; nothing was sent",
            f"`onepipe rebind {connection.name}` moves the name to what config.yaml says",
        )

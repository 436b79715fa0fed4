"""Erasing a person: out of the warehouse, the control file, pages not yet merged, kept copies and our own backups.

    look -> markers, durably -> control file -> work file, one commit -> both made anew -> published -> copies, backups

From the markers on whatever is read is redacted at the door, before it is written anywhere (`onepipe.redaction`).
Every step can be taken twice: killed in between, the same command, or `resume`, ends what is left.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import onepipe.erase.files as files
import onepipe.warehouse.erasing as erasing
import onepipe.warehouse.wiping as wiping
from onepipe import registry
from onepipe.account import Account, applied_mapping, closed_connector, kept_of, reading_of
from onepipe.config import Connection
from onepipe.control import Control, Erasure, Lease
from onepipe.errors import ConfigError, UsageError
from onepipe.mapping import kept_mapping
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.redaction import Addresses, Kept, Redaction
from onepipe.report import Watch
from onepipe.warehouse import bindings, books
from onepipe.warehouse.database import Database
from onepipe.warehouse.erasing import Hints
from onepipe.warehouse.rewriting import rewrite
from onepipe.warehouse.versions import Reading
from onepipe.warehouse.work import Warehouse

WAIT = 30.0  # seconds for a run that holds a connection for the moment
_EVERYWHERE = Hints()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whom to erase: the person behind one deal, or whoever has an address, in these connections or (none) in all."""

    deal: tuple[str, str] | None = None
    address: str | None = None
    connections: tuple[str, ...] = ()

    @property
    def hints(self) -> Hints:
        """Texts that stand wherever the address does, however it is escaped."""
        return Hints(_plain(self.address)) if self.address else _EVERYWHERE


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who is erased: deals (connection, source_id), how many versions and stored payloads of them there are.

    `files` are copies and backups that are removed with it, `missing` backups that are not where they were put.
    """

    deals: tuple[tuple[str, str], ...]
    versions: int = 0
    payloads: int = 0
    files: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()
    erasures: tuple[str, ...] = field(default=())
    rewritten: int = 0


@dataclass(frozen=True, slots=True)
class _Known:
    """How a connection's rows are read: in full, or what stays of its records alone."""

    kept: Kept
    reading: Reading | None = None


def look(project: Project, wanted: Wanted) -> Found:
    """Who would be erased, and what with it; nothing is changed. Raises UsageError, ConfigError."""
    _ready(project, Watch())
    with project.warehouse.look() as db:
        return _with_files(project, _find(project, db, wanted))


def erase(
    project: Project, wanted: Wanted, actor: str, reason: str = "", watch: Watch | None = None, wait: float = WAIT
) -> Found:
    """Erase somebody everywhere, and publish.

    Raises UsageError for what nothing is known of, LeaseHeld where a run does not end in time; nothing is changed then.
    Raises DiskTrouble where a step fails: what was done is kept, and `resume` goes on.
    """
    watch = watch or Watch()
    _ready(project, watch)
    with _leased(project, _concerned(project, wanted), wait) as leases:
        project.warehouse.settle(None)
        with project.warehouse.look() as db:
            found = _find(project, db, wanted)
            known = {name: _known(project, db, name) for name in erasing.connections(db)}
        for name, one in known.items():
            project.control.erased.learn(name, one.kept)
        ids = _mark(project, wanted, found, actor, reason)
        return _carry_out(project, replace(found, erasures=tuple(ids)), leases, wanted.hints, watch)


def resume(project: Project, watch: Watch | None = None, wait: float = WAIT) -> Found:
    """End what was begun, and what was met since: deals that turned out to be of somebody erased before."""
    watch = watch or Watch()
    if not _begun(project):
        return Found(deals=())
    _ready(project, watch)
    with _leased(project, _stored(project), wait) as leases:
        project.warehouse.settle(None)
        with project.warehouse.look() as db:
            for name in erasing.connections(db):
                redaction = project.control.erased.redaction(name, _known(project, db, name).kept)
                if redaction and project.control.erased.begun(name)[1]:
                    erasing.found(db, name, redaction, _EVERYWHERE)
            begun = _begun(project)
            deals = tuple((one.connection or "", one.source_id) for one in begun if one.source_id is not None)
            found = _with_files(project, _counted(db, deals))
        ids = tuple(one.erasure_id for one in begun)
        return _carry_out(project, replace(found, erasures=ids), leases, _EVERYWHERE, watch)


def end_begun(control: Control, warehouse: Warehouse, account: Account, run_id: str) -> None:
    """Before a connection is read: blank what is stored of deals whose erasing is not ended, or that were met since.

    What is blank as it comes would be taken for a change of them otherwise. The caller holds the connection's lease.
    """
    deals, address = control.erased.begun(account.name) if account.redaction else (False, False)
    if account.redaction and address:
        with warehouse.look() as db:
            erasing.found(db, account.name, account.redaction, _EVERYWHERE)
    if account.redaction and (deals or address):
        with warehouse.commit(run_id) as db:
            account.fence(db)
            erasing.blank(db, account.name, account.redaction, account.reading, Hints(deals_alone=not address))


def _begun(project: Project) -> list[Erasure]:
    return [one for one in project.control.erased.rows() if one.done_at is None]


def listed(project: Project) -> list[Erasure]:
    """Every marker, oldest first."""
    return project.control.erased.rows()


def _carry_out(project: Project, found: Found, leases: Sequence[Lease], hints: Hints, watch: Watch) -> Found:
    erased, held = project.control.erased, [lease.name.partition(":")[2] for lease in leases]
    with project.warehouse.look() as db:
        names = erasing.connections(db)
    for name in dict.fromkeys([*names, *project.config.connections]):
        erased.blank(name)
    erased.scrub()
    with project.warehouse.commit(None) as db:
        for lease in leases:
            lease.check()
            books.fence(db, lease.name, lease.number)
        rewritten = sum(_blank(project, db, name, hints) for name in names if name in held)
    for name in held:  # of others a run may be writing pages
        if redaction := erased.redaction(name):
            files.clear_spool(project.warehouse.spool / name, redaction)
    rewrite(project.warehouse, always=True)
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    files.remove(project.config, found.files)
    erased.done(found.erasures)
    return replace(found, rewritten=rewritten)


def _blank(project: Project, db: Database, name: str, hints: Hints) -> int:
    """One connection, in the caller's transaction; how many payloads were rewritten."""
    redaction = project.control.erased.redaction(name)
    if redaction is None:
        return 0
    rewritten = erasing.blank(db, name, redaction, _known(project, db, name).reading, hints)
    if redaction.addresses.fingerprints:
        for place in (name, None):
            wiping.texts(db, place, redaction.addresses, hints.texts)
    return rewritten


def _find(project: Project, db: Database, wanted: Wanted) -> Found:
    """Raises UsageError for a deal that nothing is stored of."""
    if wanted.deal is not None:
        if not erasing.there(db, *wanted.deal):
            name, source_id = wanted.deal
            raise UsageError(
                f"there is no deal {source_id} in {name}, and none was there before; nothing was erased",
                "`onepipe get` tells whether the CRM has it; a person is found by `onepipe erase --email ADDR`",
            )
        return _with_files(project, _counted(db, (wanted.deal,)))
    if wanted.address is None:
        raise AssertionError("neither a deal nor an address")
    addresses = project.control.erased.fingerprinted(wanted.address)
    deals: list[tuple[str, str]] = []
    for name in erasing.connections(db):
        if name in wanted.connections or not wanted.connections:
            deals += sorted((name, one) for one in _deals_of(project, db, name, addresses, wanted.hints))
    return _with_files(project, _counted(db, tuple(deals)))


def _deals_of(project: Project, db: Database, name: str, addresses: Addresses, hints: Hints) -> set[str]:
    return erasing.found(db, name, Redaction(_known(project, db, name).kept, (), addresses), hints)


def _counted(db: Database, deals: tuple[tuple[str, str], ...]) -> Found:
    versions = payloads = 0
    for name in {name for name, _ in deals}:
        some, more = erasing.counts(db, name, [one for own, one in deals if own == name])
        versions, payloads = versions + some, payloads + more
    return Found(deals=deals, versions=versions, payloads=payloads)


def _with_files(project: Project, found: Found) -> Found:
    there, missing = files.copies(project.config)
    return replace(found, files=tuple(there), missing=tuple(missing))


def _mark(project: Project, wanted: Wanted, found: Found, actor: str, reason: str) -> list[str]:
    """Write the markers down: from here on it is blank in whatever is read."""
    erased = project.control.erased
    if wanted.address is None:
        return erased.mark_deals(found.deals, actor, reason)
    ids = erased.mark_address(wanted.address, wanted.connections, actor, reason)
    return [*ids, *erased.mark_deals(found.deals, actor, reason, cause=ids[0])]


def _known(project: Project, db: Database, name: str) -> _Known:
    """How a connection is read. One that config.yaml has no more, or whose mapping is wrong, cannot be read again."""
    config, applied = project.config, books.mapping(db, name)
    connection = config.connections.get(name)
    if applied is None:
        return _Known(Kept())
    try:
        if connection is not None and _is_bound(project, db, connection):
            connector, mapping = closed_connector(config, connection), applied_mapping(config, connection, applied)
            return _Known(kept_of(mapping, connector), reading_of(config, connection, mapping, connector))
        kind = bindings.bound(db)[name][0]
        copy = config.state / "mappings" / f"{kind}.{applied[0]}.yaml"
        if not copy.is_file():
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(applied[1], encoding="utf-8")
        return _Known(kept_of(kept_mapping(copy), registry.load(kind, config.folder)))
    except (ConfigError, KeyError):
        return _Known(Kept())


def _is_bound(project: Project, db: Database, connection: Connection) -> bool:
    connector = closed_connector(project.config, connection)
    return bindings.bound(db).get(connection.name) == (connection.connector, connector.base_url)


def _ready(project: Project, watch: Watch) -> None:
    """Raises ConfigError."""
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    if not project.warehouse.path.exists():
        raise ConfigError("nothing was ever loaded here; nothing was erased", "run `onepipe sync` first")


def _stored(project: Project) -> list[str]:
    with project.warehouse.look() as db:
        return list(dict.fromkeys([*erasing.connections(db), *project.config.connections]))


def _concerned(project: Project, wanted: Wanted) -> list[str]:
    """Whose leases it takes: of an address those of all connections, for what is stored of one may tell of another."""
    return [wanted.deal[0]] if wanted.deal is not None else _stored(project)


@contextmanager
def _leased(project: Project, names: Iterable[str], wait: float) -> Iterator[list[Lease]]:
    """Hold the leases of all these connections for a `with`. Raises LeaseHeld, which names who is in the way."""
    with ExitStack() as held:
        yield [held.enter_context(project.control.lease(f"connection:{name}", wait)) for name in sorted(names)]


def _plain(address: str) -> tuple[str, ...]:
    """The longest run of letters and digits before the @ and behind it: nobody escapes those."""
    sides = address.strip().casefold().partition("@")[::2]
    runs = ["".join(one if one.isascii() and one.isalnum() else " " for one in side).split() for side in sides]
    return tuple(max(words, key=len) for words in runs if words)

"""One connection made ready to work: its connector opened at the door, its mapping compiled for the warehouse."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from onepipe import registry
from onepipe.compile import compiled
from onepipe.config import Config, Connection
from onepipe.connector import Connector, Facts
from onepipe.control import Allowance, Credential, Erased, Lease, Quotas
from onepipe.decode import plain_json
from onepipe.decode.content import same_content
from onepipe.errors import DiskTrouble
from onepipe.http import Budget, Gate, Http
from onepipe.mapping import OWN_DAY, Mapping, kept_mapping
from onepipe.model import Column
from onepipe.quotas import duration, lasting
from onepipe.redaction import EACH, FIGURES, PERSONAL, Kept, Redaction, paths_kept
from onepipe.warehouse import books
from onepipe.warehouse.database import Database
from onepipe.warehouse.versions import Reading

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, by this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A connection at work. `now` is our clock; `lease` what allows it to commit; `credential` whose sight it has.

    `allowance` is its place in the quota ledger, if there is one; `share` is how much of each quota is ours;
    `redaction` what its answers are held against where people were erased.
    """

    name: str
    connector: Connector
    reading: Reading
    mapping: Mapping
    overlap: timedelta
    sweep: timedelta
    lease: Lease | None = None
    credential: Credential | None = None
    allowance: Allowance | None = None
    share: float = 1.0
    redaction: Redaction | None = None
    now: Clock = field(default=utc_now)

    @property
    def facts(self) -> Facts:
        """What is known of the CRM's API."""
        return self.connector.facts

    @property
    def http(self) -> Http:
        """The door this account's requests go through."""
        return self.connector.http

    @property
    def rate(self) -> float:
        """Requests a second that may be sent in the long run; 1 where the CRM documents no quota."""
        return lasting(self.facts.quota, self.share) or 1.0

    def fence(self, db: Database) -> None:
        """Refuse to commit when the lease went to another process. Raises LeaseHeld."""
        if self.lease is not None:
            self.lease.check()
            books.fence(db, self.lease.name, self.lease.number)

    def sees_anew(self) -> bool:
        """Whether its credential is another one than that of the last sweep, and may not see what that one saw."""
        return self.credential is not None and self.credential.is_new()

    def seen_whole(self) -> None:
        """Nothing is known that this credential does not see: it is the one to hold later ones against."""
        if self.credential is not None:
            self.credential.keep()

    def within(self, stamp: str | None, first: datetime, last: datetime) -> bool:
        """Whether a record's stamp is a readable instant from `first` to `last`."""
        instant = self.instant(stamp)
        return instant is not None and first <= instant <= last

    def before(self, stamp: str | None, moment: datetime) -> bool:
        """Whether a record's stamp is a readable instant earlier than `moment`."""
        instant = self.instant(stamp)
        return instant is not None and instant < moment

    def after(self, stamp: str | None, moment: datetime) -> bool:
        """Whether a record's stamp is a readable instant later than `moment`."""
        instant = self.instant(stamp)
        return instant is not None and instant > moment

    def instant(self, stamp: str | None) -> datetime | None:
        """A stamp as an instant in UTC; None where it is not one."""
        if not stamp:
            return None
        try:
            moment = datetime.fromisoformat(stamp.replace(": ", ":").strip())
            return moment.astimezone(UTC) if moment.tzinfo else None
        except (ValueError, OverflowError):  # the last: in UTC it is before the year 1 or past 9999
            return None

    def cost(self, rows: int | None) -> tuple[int | None, int | None, float | None]:
        """What a first load is expected to take: rows, requests, and seconds where the quota is known to decide."""
        if rows is None:
            return None, None, None
        requests = -(-rows // self.facts.page_size) + rows * len(self.reading.details)
        return rows, requests, duration(requests, self.facts.quota, self.share)


def open_account(
    config: Config,
    connection: Connection,
    mapping: Mapping,
    *,
    budget: Budget | None = None,
    lease: Lease | None = None,
    credential: Credential | None = None,
    quotas: Quotas | None = None,
    erased: Erased | None = None,
    now: Clock = utc_now,
    sleep: Callable[[float], object] = time.sleep,
) -> Account:
    """Open a connection; its requests are counted in `quotas`, its answers held against `erased`, where given.

    Raises ConfigError.
    """
    allowed = allowance(config, connection, quotas, now) if quotas else None
    connector = open_connector(config, connection, budget=budget, ledger=allowed, now=now, sleep=sleep)
    return Account(
        name=connection.name,
        connector=connector,
        reading=reading_of(config, connection, mapping, connector),
        mapping=mapping,
        overlap=connection.overlap,
        sweep=connection.sweep,
        lease=lease,
        credential=credential,
        allowance=allowed,
        share=1 - connection.reserve,
        redaction=erased.redaction(connection.name, kept_of(mapping, connector)) if erased else None,
        now=now,
    )


def kept_of(mapping: Mapping, connector: Connector | type[Connector]) -> Kept:
    """What of a connection's answers stays where a person was erased, and where people stand in them."""
    figures = [one for name, one in mapping.fields.items() if name in (*FIGURES, OWN_DAY)]
    personal = [one for name, one in mapping.fields.items() if name in PERSONAL]
    read = (source for one in figures for source in one.read() if source.root == "" and not source.is_list)
    gone = (source for one in personal for source in one.sources if source.root == "")
    paths = paths_kept((("", *source.steps) for source in read), (("", *source.steps) for source in gone))
    parts = []
    for rules in mapping.children.values():
        first, below = rules.each.first, [step for steps, _ in rules.each.below for step in (*steps, EACH)]
        parts.append((*([] if first.root else [""]), *first.steps, EACH, *below))
    key = ("", *mapping.key.steps)
    return Kept(tuple(sorted({key, *paths})), tuple(sorted(parts)), tuple(sorted(connector.facts.reference)))


def reading_of(config: Config, connection: Connection, mapping: Mapping, connector: Connector) -> Reading:
    """How a connection's payloads are read by a mapping; the connector need not be open."""
    statements, staged, used = compiled(mapping, _resources(connector))
    asked = connection.settings.get("details", True) is not False
    return Reading(
        connection=connection.name,
        connector=connection.connector,
        base_url=connector.base_url,
        currency=connection.currency,
        timezone=config.timezone,
        version=mapping.version,
        macros=used,
        select=statements,
        exact=plain_json,
        same=partial(same_content, apart=connector.facts.drifting),
        stages=staged,
        mapped_details=mapping.details,
        drifting=connector.facts.drifting,
        details=tuple(name for name in connector.facts.details if name in mapping.details) if asked else (),
        typed=tuple(Column(name, one.type, "") for name, one in mapping.columns.items()),
    )


def open_connector(
    config: Config,
    connection: Connection,
    *,
    budget: Budget | None = None,
    ledger: Allowance | None = None,
    now: Clock = utc_now,
    sleep: Callable[[float], object] = time.sleep,
) -> Connector:
    """The connector of a connection, with its door to the network. Raises ConfigError."""
    if connection.fault:
        raise connection.fault
    made = registry.load(connection.connector, config.folder)
    connector = made(connection.base_url or made.facts.base_url, connection.plain_credentials(), connection.settings)

    def door(**how: Any) -> Http:
        return Http(
            connector.base_url,
            secrets=connection.secrets,
            gate=Gate(writing_paths=made.facts.writing_paths),
            budget=budget,
            quota=made.facts.quota,
            ledger=ledger,
            clock=lambda: now().timestamp(),
            sleep=sleep,
            ends=made.facts.ends,
            **how,
        )

    connector.http = connector.open(door)
    return connector


def allowance(config: Config, connection: Connection, quotas: Quotas, now: Clock = utc_now) -> Allowance:
    """A connection's place in the quota ledger. Raises ConfigError."""
    facts = registry.load(connection.connector, config.folder).facts
    told = (connection.name, connection.connector, facts.quota, 1 - connection.reserve)
    return quotas.allowance(*told, clock=lambda: now().timestamp())


def closed_connector(config: Config, connection: Connection) -> Connector:
    """A connection's connector without a credential and without a way to the network, for what it knows by itself."""
    made = registry.load(connection.connector, config.folder)
    return made(connection.base_url or made.facts.base_url, {}, connection.settings)


def account_url(config: Config, connection: Connection) -> str:
    """Where a connection's account is, in the one form that its name is bound to. Raises ConfigError."""
    if connection.fault:
        raise connection.fault  # its address may be what is wrong
    return closed_connector(config, connection).base_url


def mapping_path(config: Config, connection: Connection) -> Path:
    """Which mapping file a connection uses: its own, the one beside config.yaml, or the one its connector came with."""
    if connection.mapping is not None:
        return connection.mapping
    return registry.find("mappings", connection.connector, config.folder).path


def mapping_at(path: Path, project: Path | None) -> Mapping:
    """The mapping in a file, with what it extends: found beside config.yaml (in `project`), then among those shipped.

    Raises ConfigError.
    """
    return kept_mapping(path, partial(registry.named, "mappings", project=project))


def mapping_of(config: Config, connection: Connection) -> Mapping:
    """The mapping that a connection's file says by now. Raises ConfigError."""
    return mapping_at(mapping_path(config, connection), config.folder)


def applied_mapping(config: Config, connection: Connection, kept: tuple[str, str]) -> Mapping:
    """The mapping a connection's rows are read with: `kept` is the version and text that was applied.

    Raises DiskTrouble where its copy in the state folder, which the mapping is read from, cannot be written.
    """
    version, text = kept
    copy = config.state / "mappings" / f"{connection.connector}.{version}.yaml"
    part = copy.with_suffix(f".{os.getpid()}.part")
    try:
        if not copy.is_file() or copy.read_text(encoding="utf-8") != text:
            copy.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            part.replace(copy)
    except OSError as error:
        raise DiskTrouble(
            f"the mapping of {connection.name} could not be written to {copy}: {error}",
            "all rows are safe; free some space there and run again",
        ) from error
    return kept_mapping(copy)


def _resources(connector: Connector) -> tuple[str, ...]:
    return (*connector.facts.reference, "opportunity")

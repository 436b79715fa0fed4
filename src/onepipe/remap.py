"""Mappings in use: the SQL they become, what an edit would change, and reading everything again, without a request."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from onepipe import registry
from onepipe.account import (
    applied_mapping,
    closed_connector,
    mapping_at,
    mapping_of,
    open_account,
    reading_of,
    utc_now,
)
from onepipe.compile import show as compiled
from onepipe.config import Connection
from onepipe.control import Lease
from onepipe.mapping import Mapping
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.warehouse import books, comparison, debts, typed
from onepipe.warehouse.database import Database
from onepipe.warehouse.rebuild import replace, reread
from onepipe.warehouse.trial import trial
from onepipe.warehouse.versions import Reading

MONTHS = 4  # month-ends that a plan looks at


@dataclass(frozen=True, slots=True)
class Applied:
    """One connection read again: its versions, and which mapping read them before and reads them now.

    `refused` says why it was not applied, column by column; nothing of the connection was changed then.
    """

    connection: str
    versions: int
    before: str
    now: str
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """What an edited mapping would change in one connection; `columns` and `month_ends` as `--json` shows them."""

    connection: str
    versions: int
    before: str
    now: str
    columns: list[dict[str, Any]] = field(default_factory=list)
    month_ends: list[dict[str, Any]] = field(default_factory=list)
    refused: tuple[str, ...] = ()


class _Refused(Exception):
    """Ends a transaction whose outcome is not to be kept."""


def show(connector: str, project: Path | None) -> str:
    """The SQL a connector's mapping becomes, as one script."""
    return compiled(mapping_at(registry.find("mappings", connector, project).path, project))


def waiting(project: Project, words: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Connections whose mapping was edited since it was applied: name, applied version, version of the file."""
    found = []
    with project.warehouse.look() as db:
        for connection in project.choose(words):
            kept = books.mapping(db, connection.name)
            version = mapping_of(project.config, connection).version
            if kept is not None and kept[0] != version:
                found.append((connection.name, kept[0], version))
    return found


def plan(
    project: Project, words: Sequence[str] = (), watch: Watch | None = None, now: datetime | None = None
) -> list[Planned]:
    """What applying the edited mappings would change, tried on a private copy; nothing of ours is changed by it.

    `now` decides which month-ends are the last four. Raises ConfigError.
    """
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    changed = {name: (before, after) for name, before, after in waiting(project, words)}
    if not changed:
        return []
    ends = _month_ends(now or utc_now(), ZoneInfo(project.config.timezone))
    with trial(project.warehouse) as db:
        return [_planned(project, db, one, changed[one.name], ends) for one in project.choose(list(changed))]


def apply(
    project: Project, words: Sequence[str] = (), watch: Watch | None = None, *, force: bool = False
) -> list[Applied]:
    """Read the chosen connections again with the mapping as it is in its file, and publish.

    Each connection is one transaction: its rows are all read the old way, or all the new. One whose columns would lose
    what they hold is refused, unless it is to be by `force`. Raises ConfigError, and LeaseHeld before anything is read.
    """
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    changed = {name: (before, after) for name, before, after in waiting(project, words)}
    done = []
    with project.leased(project.choose(list(changed)) if changed else ()) as leased:
        for connection, lease in leased:
            versions, refused = _apply(project, connection, mapping_of(project.config, connection), lease, force)
            before, after = changed[connection.name]
            done.append(Applied(connection.name, versions, before, after, refused))
            if not refused:
                watch.say(connection.name, f"{versions} versions read again")
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    return done


def _apply(
    project: Project, connection: Connection, mapping: Mapping, lease: Lease, force: bool
) -> tuple[int, tuple[str, ...]]:
    """How many versions were read again, and why the outcome was not kept, where it was not."""
    versions, refused = 0, tuple[str, ...]()
    account = open_account(project.config, connection, mapping, lease=lease)
    if mapping.columns:
        project.warehouse.settle(None)
    try:
        with project.warehouse.commit(None) as db:
            account.fence(db)
            refused = tuple(typed.fit(db, account.reading, force=force))
            if not refused:
                versions = reread(db, account.reading)
                refused = () if force else _refusals(comparison.changes(db))
            if refused:
                raise _Refused
            replace(db, account.reading)
            debts.owe_new(db, connection.name, _new_details(project, db, connection, account.reading), utc_now())
            books.keep_mapping(db, connection.name, mapping.version, mapping.whole, utc_now())
    except _Refused:
        pass
    return versions, refused


def _new_details(project: Project, db: Database, connection: Connection, reading: Reading) -> list[str]:
    """Sub-requests whose answers the mapping that was applied before did not read."""
    kept = books.mapping(db, connection.name)
    known = applied_mapping(project.config, connection, kept).details if kept else ()
    return [name for name in reading.details if name not in known]


def _planned(
    project: Project,
    db: Database,
    connection: Connection,
    versions: tuple[str, str],
    ends: Sequence[tuple[date, datetime]],
) -> Planned:
    config, mapping = project.config, mapping_of(project.config, connection)
    reading = reading_of(config, connection, mapping, closed_connector(config, connection))
    against = tuple(typed.fit(db, reading))
    if against and typed.fit(db, reading, force=True):
        return Planned(connection.name, 0, *versions, refused=against)
    count = reread(db, reading)
    found = comparison.changes(db)
    unread = comparison.problems(db, connection.name)
    columns = [_column(db, change, unread.pop(change.column, (0, 0))) for change in found]
    columns += [
        {"column": name, "current": 0, "history": 0, "problems_before": before, "problems_after": after}
        for name, (before, after) in unread.items()
        if before != after
    ]
    months = comparison.month_ends(db, ends)
    return Planned(connection.name, count, *versions, columns, months, (*against, *_refusals(found)))


def _column(db: Database, change: comparison.Change, unread: tuple[int, int]) -> dict[str, Any]:
    return {
        "column": change.column,
        "type": change.type,
        "current": change.changed[0],
        "history": change.changed[1],
        "emptied": sum(change.emptied),
        "filled": sum(change.filled),
        "problems_before": unread[0],
        "problems_after": unread[1],
        "samples": [asdict(one) for one in comparison.samples(db, change)],
    }


def _refusals(changes: Sequence[comparison.Change]) -> tuple[str, ...]:
    return tuple(change.refusal for change in changes if change.refusal)


def _month_ends(now: datetime, zone: ZoneInfo) -> list[tuple[date, datetime]]:
    """The last ended months' last days in the reporting zone, oldest first, each with the instant it was over."""
    first = now.astimezone(zone).date().replace(day=1)
    found = []
    for _ in range(MONTHS):
        over = datetime.combine(first, time(), zone)
        last = first - timedelta(days=1)
        found.append((last, over.astimezone(UTC)))
        first = last.replace(day=1)
    return found[::-1]

"""Keeping a day: its deals and figures become tables of the published warehouse that nothing touches any more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import onepipe.warehouse.frozen as frozen
from onepipe.account import utc_now
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.warehouse.work import published

Say = Callable[[str], None]
Row = dict[str, Any]


def freeze(
    project: Project, name: str, day: date | None, note: str | None, say: Say, now: datetime | None = None
) -> Row:
    """Keep a day under a name, today if none is given, and publish; what frozen.frozen tells of it.

    One that was kept before and could not be published is published, and stays what it was.
    Raises UsageError for a name that cannot be one or is in use, and for a day to come, ConfigError where nothing was
    ever loaded; nothing is changed then. Raises DiskTrouble where it is kept and cannot be published.
    """
    _ready(project, say)
    if not _is_loaded(project):
        raise ConfigError(
            "nothing was loaded yet that could be frozen; nothing was changed", "run `onepipe sync` first"
        )
    now = now or utc_now()
    kept = _unpublished(project, name, day, now)
    if kept is None:
        with project.warehouse.commit(None) as db:
            kept = frozen.keep(db, name, day, note, now)
    with _committed(f"{kept['as_of']} is kept as {name}"):
        publish(project.warehouse, project.config.warehouse, project.views, say)
    return kept


def drop(project: Project, name: str, say: Say) -> Row:
    """Remove what is frozen under a name, and publish; its row of frozen.frozen. Raises UsageError, DiskTrouble."""
    _ready(project, say)
    with project.warehouse.commit(None) as db:
        gone = frozen.drop(db, name)
    with _committed(f"what was frozen as {name} is removed"):
        publish(project.warehouse, project.config.warehouse, project.views, say)
    return gone


def _ready(project: Project, say: Say) -> None:
    restore(project.warehouse, project.config.warehouse, say)
    guard(project.warehouse, project.config.warehouse)


def _is_loaded(project: Project) -> bool:
    if not project.warehouse.path.exists():
        return False
    with project.warehouse.look() as db:
        return bool(db.one("SELECT count(*) FROM sync_runs"))


def _unpublished(project: Project, name: str, day: date | None, now: datetime) -> Row | None:
    """What is kept of this day under this name already, if the published file does not have it; else None."""
    with project.warehouse.look() as db:
        found = [one for one in frozen.listed(db, name) if one["name"] == name]
        if not found or found[0]["as_of"] != (day or frozen.today(db, now)):
            return None
    try:
        with published(project.config.warehouse) as db:
            return None if frozen.listed(db, name) else found[0]
    except ConfigError:  # nothing is published
        return found[0]


@contextmanager
def _committed(what: str) -> Iterator[None]:
    """Say of what could not be published that it is done all the same."""
    try:
        yield
    except DiskTrouble as error:
        raise DiskTrouble(
            f"{what}, and that stands, but {error.message}",
            "free space there; the next run publishes it, or `onepipe sync` does now",
        ) from error

"""Keeping a day: its deals and figures become tables of the published warehouse that nothing touches any more."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import onepipe.warehouse.frozen as frozen
from onepipe.account import utc_now
from onepipe.errors import ConfigError
from onepipe.project import Project
from onepipe.publish import guard, publish, restore

Say = Callable[[str], None]
Row = dict[str, Any]


def freeze(
    project: Project, name: str, day: date | None, note: str | None, say: Say, now: datetime | None = None
) -> Row:
    """Keep a day under a name, today if none is given, and publish; what frozen.frozen tells of it.

    Raises UsageError for a name that cannot be one or is in use, and for a day to come, ConfigError where nothing was
    ever loaded; nothing is changed then.
    """
    _ready(project, say)
    if not _is_loaded(project):
        raise ConfigError(
            "nothing was loaded yet that could be frozen; nothing was changed", "run `onepipe sync` first"
        )
    with project.warehouse.commit(_run(project)) as db:
        kept = frozen.keep(db, name, day, note, now or utc_now())
    publish(project.warehouse, project.config.warehouse, project.views, say)
    return kept


def drop(project: Project, name: str, say: Say) -> Row:
    """Remove what is frozen under a name, and publish; what frozen.frozen told of it. Raises UsageError."""
    _ready(project, say)
    with project.warehouse.commit(_run(project)) as db:
        gone = frozen.drop(db, name)
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


def _run(project: Project) -> str:
    """The newest run: freezing is none, and what the warehouse holds is still that run's."""
    with project.warehouse.look() as db:
        return str(db.one("SELECT run_id FROM store.meta") or "freeze")

"""Deciding about what a sweep did not find and was not believed: approved, it is marked; discarded, it stays alive."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from onepipe.account import utc_now
from onepipe.config import Connection
from onepipe.errors import OnepipeError, UsageError
from onepipe.project import Project
from onepipe.publish import guard, restore
from onepipe.report import Counts, RunReport, Watch
from onepipe.run import Options, publish_now, sync
from onepipe.warehouse import books, coverage, verdicts
from onepipe.warehouse.books import RunRow
from onepipe.warehouse.database import Database
from onepipe.warehouse.verdicts import Finding


@dataclass(frozen=True, slots=True)
class Discarded:
    """One connection whose finding was discarded: how many records stay alive."""

    connection: str
    rows: int


def approve(project: Project, words: Sequence[str], watch: Watch, wait: float = 0.0) -> RunReport:
    """Take a person's word that what is missing is gone: read everything again, ask for each, mark, and publish.

    What is there again is not marked; what has come to be missing since is judged as in any sweep. Raises UsageError
    where nothing waits, ConfigError for unknown connections.
    """
    names = [one.name for one in _chosen(project, words, reading=True)]
    options = Options(command="sweep approve", sweep=True, restart=True, approve=True, wait=wait)
    return sync(project, names, options, watch)


def discard(
    project: Project, words: Sequence[str], watch: Watch, wait: float = 0.0
) -> tuple[list[Discarded], OnepipeError | None]:
    """Leave the missing records alive, not to be judged until they are seen again; and what kept us from publishing.

    Raises UsageError where nothing waits, ConfigError for unknown connections, LeaseHeld.
    """
    done = []
    try:
        for connection in _chosen(project, words):
            with project.control.lease(f"connection:{connection.name}", wait=wait) as lease:
                run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
                with project.warehouse.commit(run_id) as db:
                    lease.check()
                    books.fence(db, lease.name, lease.number)
                    done.append(Discarded(connection.name, _discard(db, run_id, connection.name)))
    finally:
        trouble = publish_now(project, watch) if done else None
    return done, trouble


def findings(project: Project) -> dict[str, Finding]:
    """What waits for a decision, by connection, as the work file has it."""
    say = Watch().say
    restore(project.warehouse, project.config.warehouse, lambda text: say("", text))
    guard(project.warehouse, project.config.warehouse)
    if not project.warehouse.path.exists():
        return {}
    with project.warehouse.look() as db:
        return verdicts.findings(db)


def _chosen(project: Project, words: Sequence[str], reading: bool = False) -> list[Connection]:
    """The connections that words choose and on which something waits; one that is named must be among them.

    `reading`: they are to be read again, so none may be disabled or paused.
    """
    waiting = findings(project)
    chosen = project.choose(words)
    idle = [one.name for one in chosen if one.name in words and one.name not in waiting]
    found = [one for one in chosen if one.name in waiting]
    if idle or not found:
        raise UsageError(
            f"nothing waits for a decision on {', '.join(idle) or 'any of these connections'}; nothing was changed",
            "`onepipe sweep show` tells what does",
        )
    disabled = [one.name for one in found if not one.enabled]
    if reading and disabled:
        raise UsageError(
            f"{', '.join(disabled)} is disabled in config.yaml, and to approve means to read it again; "
            "nothing was changed",
            "enable it first, or discard what its sweep found",
        )
    pauses = project.control.service.pauses() if reading else {}
    paused = [one.name for one in found if one.name in pauses]
    if paused:
        raise UsageError(
            f"{', '.join(paused)} is paused, and to approve means to read it again; nothing was changed",
            f"`onepipe resume {' '.join(paused)}` first, or discard what its sweep found",
        )
    return found


def _discard(db: Database, run_id: str, name: str) -> int:
    """Acknowledge, and note the decision among the runs; a failure that was only this suspicion is over."""
    now = utc_now()
    last = (
        "SELECT error_kind FROM sync_runs WHERE connection = ? AND status <> 'skipped' ORDER BY started_at DESC LIMIT 1"
    )
    if db.one(last, [name]) == "suspect":
        coverage.cover(db, name, oldest_failure_at=None)
    rows = verdicts.acknowledge(db, name, now)
    row = RunRow(
        run_id=run_id,
        command="sweep discard",
        connection=name,
        resource="opportunity",
        status="complete",
        started_at=now,
        finished_at=now,
        counts=Counts(),
        requests=0,
        error_kind=None,
        error_message=None,
    )
    books.record_runs(db, [row])
    return rows

"""Deals read again where stages.csv has a stage mean something else by now; from what is stored, without a request.

A status decides on which day a deal closed, what counts as a change and so what history says: all versions of a
connection are read again with its applied mapping, or none is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import onepipe.warehouse.decisions as decisions
from onepipe.account import Account, applied_mapping, open_account, utc_now
from onepipe.config import Connection
from onepipe.control import Lease
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.warehouse import books
from onepipe.warehouse.rebuild import rebuild
from onepipe.warehouse.work import Warehouse


@dataclass(frozen=True, slots=True)
class Restaged:
    """One connection that is read by other decisions from now on, and how many versions were read again for it."""

    connection: str
    versions: int

    @property
    def told(self) -> str:
        """What became of it, for people; empty where no deal is concerned."""
        noun = "version" if self.versions == 1 else "versions"
        return f"stages.csv changed: {self.versions:,} {noun} read again" if self.versions else ""


def bring_up(warehouse: Warehouse, account: Account, run_id: str | None) -> Restaged | None:
    """Read a connection's versions again if stages.csv decides otherwise by now; the caller holds its lease.

    None where nothing changed. One transaction: its deals are all read by the old decisions, or all by the new.
    """
    with warehouse.look() as db:
        if account.name not in decisions.waiting(db):
            return None
    with warehouse.commit(run_id) as db:
        account.fence(db)
        concerned = decisions.concerned(db, account.name)
        decisions.bring_into_force(db, account.name)
        books.note_reread(db, account.name, utc_now())
        return Restaged(account.name, rebuild(db, account.reading) if concerned else 0)


def apply(project: Project, words: Sequence[str] = (), watch: Watch | None = None) -> list[Restaged]:
    """Bring the files beside config.yaml into force now, and publish; the connections that were read again.

    No CRM is asked. What was never synced, and what config.yaml has no more, is left as it is.
    Raises ConfigError for faults in them, LeaseHeld where another process is at work on one of the connections.
    """
    watch = watch or Watch()
    project.beside.renew()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    project.warehouse.settle(None)
    with project.warehouse.look() as db:
        mappings = {name: kept for name in decisions.waiting(db) if (kept := books.mapping(db, name))}
    done = []
    with project.leased(one for one in project.choose(words) if one.name in mappings) as leased:
        for connection, lease in leased:
            found = _apply(project, connection, mappings[connection.name], lease)
            if found and found.versions:
                done.append(found)
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    return done


def _apply(project: Project, connection: Connection, kept: tuple[str, str], lease: Lease) -> Restaged | None:
    mapping = applied_mapping(project.config, connection, kept)
    account = open_account(project.config, connection, mapping, lease=lease)
    with account.http:
        return bring_up(project.warehouse, account, None)

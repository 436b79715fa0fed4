"""Rebinding: a name of config.yaml moved to another address of its account, or to another account altogether."""

from dataclasses import dataclass

from onepipe.account import account_url
from onepipe.config import Connection
from onepipe.control import Lease
from onepipe.errors import UsageError
from onepipe.project import Project
from onepipe.publish import guard, publish, restore
from onepipe.report import Watch
from onepipe.spool import forget
from onepipe.warehouse import bindings, books


@dataclass(frozen=True, slots=True)
class Rebinding:
    """What becomes of a name: `before` and `now` are (connector, base_url), `rows` how many opportunities it has.

    `retired` is the name that keeps these rows where the name now means another account; None: the same account.
    """

    connection: str
    before: tuple[str, str]
    now: tuple[str, str]
    rows: int
    retired: str | None


def intended(project: Project, name: str, new_account: bool) -> Rebinding:
    """What `rebind` will do. Raises UsageError where there is nothing to rebind, ConfigError for an unknown name."""
    config = project.config
    restore(project.warehouse, config.warehouse, lambda text: Watch().say(name, text))
    guard(project.warehouse, config.warehouse)
    connection = _connection(project, name)
    now = (connection.connector, account_url(config, connection))
    if project.warehouse.path.exists():
        with project.warehouse.look() as db:
            bound, rows = bindings.bound(db), bindings.rows(db, name)
    else:
        bound, rows = {}, 0
    if name not in bound:
        raise UsageError(
            f"{name} never ran, so it is bound to no account yet; nothing was changed",
            f"`onepipe sync {name}` binds it",
        )
    if bound[name] == now and not new_account:
        raise UsageError(
            f"{name} belongs to {now[0]} at {now[1]}, which is what config.yaml says; nothing was changed",
            "if its credential is of another account by now, add --new-account",
        )
    another = new_account or bound[name][0] != now[0]
    retired = bindings.free_name(name, {*bound, *config.connections}) if another else None
    return Rebinding(name, bound[name], now, rows, retired)


def rebind(project: Project, plan: Rebinding, watch: Watch, wait: float = 0.0) -> None:
    """Carry out what `intended` said, and publish. Raises LeaseHeld, and UsageError where it is no longer so."""
    name = plan.connection
    with project.control.lease(f"connection:{name}", wait=wait) as lease:
        if intended(project, name, plan.retired is not None) != plan:
            raise UsageError(f"{name} was changed by another process meanwhile; nothing was changed", "run it again")
        # Before the warehouse: a sweep that only reports is no loss, should we end in between.
        project.control.doubt_credential(name)
        _move(project, plan, lease)
        if plan.retired:
            project.control.erased.rename(name, plan.retired)
            project.control.forget(name)
        for folder in (project.warehouse.spool / name).glob("*"):
            forget(folder)
    publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))


def _move(project: Project, plan: Rebinding, lease: Lease) -> None:
    with project.warehouse.commit(None) as db:
        lease.check()
        books.fence(db, lease.name, lease.number)
        if plan.retired:
            bindings.retire(db, plan.connection, plan.retired)
        else:
            bindings.move(db, plan.connection, plan.now[1])


def _connection(project: Project, name: str) -> Connection:
    """The connection of exactly this name."""
    if name not in project.config.connections:
        project.choose([name])  # says what is known where it is none
        raise UsageError(f"{name!r} is no name of one connection; nothing was changed", "a name is moved by itself")
    return project.config.connections[name]

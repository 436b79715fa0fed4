"""Rebinding: a name of config.yaml moved to another address of its account, or to another account altogether.

    another account   noted in the control file -> work file, one commit -> control file -> spool -> published

What hangs on the name in the control file is dropped only behind the commit. Killed in between, nobody else gets the
name's lease until the same command has ended what is left, or found that nothing came of it.
"""

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
    `begun`: the warehouse has done that already, and what is kept in the control file is left to do.
    """

    connection: str
    before: tuple[str, str]
    now: tuple[str, str]
    rows: int
    retired: str | None
    begun: bool = False


def intended(project: Project, name: str, new_account: bool) -> Rebinding:
    """What `rebind` will do. Raises UsageError where there is nothing to rebind, ConfigError for an unknown name."""
    config = project.config
    restore(project.warehouse, config.warehouse, lambda text: Watch().say(name, text))
    guard(project.warehouse, config.warehouse)
    connection = _connection(project, name)
    now = (connection.connector, account_url(config, connection))
    bound, retired = _bound(project), project.control.rebinding(name)
    if retired and _is_moved(project, retired, bound):
        return Rebinding(name, bound[retired], now, _rows(project, retired), retired, begun=True)
    if retired and not (new_account and name in bound):
        _give_up(project, name, retired)
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
    if retired and not another:
        raise UsageError(
            f"nothing came of making {name} another account, which was begun before; nothing was changed",
            "run it again, with --new-account if it is to be another one",
        )
    retired = bindings.free_name(name, {*bound, *config.connections}) if another else None
    return Rebinding(name, bound[name], now, _rows(project, name), retired)


def rebind(project: Project, plan: Rebinding, watch: Watch, wait: float = 0.0) -> None:
    """Carry out what `intended` said, and publish. Raises LeaseHeld, and UsageError where it is no longer so."""
    name = plan.connection
    with project.control.lease(f"connection:{name}", wait=wait, rebinding=True) as lease:
        if intended(project, name, plan.retired is not None) != plan:
            raise UsageError(f"{name} was changed by another process meanwhile; nothing was changed", "run it again")
        # Before the warehouse: a sweep that only reports is no loss, should we end in between.
        if plan.retired:
            project.control.begin_rebinding(name, plan.retired)
        else:
            project.control.doubt_credential(name)
        if not plan.begun:
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


def _bound(project: Project) -> dict[str, tuple[str, str]]:
    if not project.warehouse.path.exists():
        return {}
    with project.warehouse.look() as db:
        return bindings.bound(db)


def _rows(project: Project, name: str) -> int:
    with project.warehouse.look() as db:
        return bindings.rows(db, name)


def _is_moved(project: Project, retired: str, bound: dict[str, tuple[str, str]]) -> bool:
    """Whether the warehouse did its part of a rebinding; a connection may have been called so by hand since."""
    return retired in bound and retired not in project.config.connections


def _give_up(project: Project, name: str, retired: str) -> None:
    """Nothing came of a rebinding that was begun: the name goes on as before. Raises LeaseHeld."""
    with project.control.lease(f"connection:{name}", rebinding=True):
        bound = _bound(project)
        if project.control.rebinding(name) != retired or _is_moved(project, retired, bound):
            return
        if name in bound:
            project.control.doubt_credential(name)
        else:  # its rows went, and were forgotten or given a name since: what is kept here was theirs
            project.control.forget(name)


def _connection(project: Project, name: str) -> Connection:
    """The connection of exactly this name."""
    if name not in project.config.connections:
        project.choose([name])  # says what is known where it is none
        raise UsageError(f"{name!r} is no name of one connection; nothing was changed", "a name is moved by itself")
    return project.config.connections[name]

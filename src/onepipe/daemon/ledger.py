"""What the control file and the published warehouse tell the desk: holds, credentials, and when each last ran."""

from dataclasses import replace
from datetime import datetime

from onepipe import logs
from onepipe.account import allowance
from onepipe.config import Connection
from onepipe.control import Allowance, Hold, Remembered, Service, Turn
from onepipe.daemon.desk import Desk
from onepipe.errors import DiskTrouble, OnepipeError
from onepipe.project import Project
from onepipe.warehouse.work import published


class Holds:
    """What the quota's ledger says of connections; the place of each is looked up once for each config."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._allowed: dict[str, Allowance] = {}

    def clear(self) -> None:
        """There is another config: connectors and reserves may be others."""
        self._allowed = {}

    def held(self, connection: Connection) -> Hold | None:
        """Until when the ledger says to leave a connection alone, whichever process was told so; None for no hold."""
        name, project = connection.name, self._project
        try:
            if name not in self._allowed:
                self._allowed[name] = allowance(project.config, connection, project.control.quotas)
            held, scan = self._allowed[name].held(), self._allowed[name].next_scan()
        except OnepipeError:
            return None  # the run itself will say what is wrong
        if scan and (held is None or scan > held.until):
            return Hold(scan, "this CRM is read whole each time, with no more than our part of its quota")
        return held

    def fingerprint(self, connection: Connection) -> bytes:
        """What tells this credential, and the address it is for, from another one."""
        told = connection.plain_credentials() | {"": str(connection.base_url)}
        try:
            return self._project.control.fingerprint(connection.name, told)
        except DiskTrouble:
            return b"?"  # unlike any: the credential is tried once more where that is asked next


class Memory:
    """What passes between the desk and the control file: what people said, and what has to be remembered.

    While the file cannot be used (a full disk) nothing is lost: it is said once, and tried again.
    """

    def __init__(self, service: Service, desk: Desk) -> None:
        self._service, self._desk = service, desk
        self._said = -1
        self._silent = False

    def look(self, now: datetime) -> None:
        """Take what was said since, and write down what happened since; one number is read where nothing did."""
        try:
            self._heed(now)
            self._write()
        except DiskTrouble as error:
            if not self._silent:
                logs.get().error("the control file cannot be used; it is tried again", error=error.message)
            self._silent = True
        else:
            self._silent = False

    def look_anew(self) -> None:
        """There are other connections: what was said of them counts."""
        self._said = -1

    def _heed(self, now: datetime) -> None:
        if (said := self._service.said) != self._said:
            self._desk.heed(self._service.pauses(), self._service.breakers(), now)
            self._desk.ask(self._service.wishes(), now)
            self._said = said

    def _write(self) -> None:
        news = self._desk.news
        if news:
            self._service.remember(news)
            self._desk.news = Remembered()


def remembered(project: Project) -> dict[str, Turn]:
    """When each connection was last in hand: as the daemon before wrote it down, or read whole by anybody since."""
    turns = project.control.service.turns()
    for name, success in _successes(project).items():
        turn = turns.get(name, Turn())
        turns[name] = replace(turn, succeeded=max(success, turn.succeeded or 0.0))
    return turns


def _successes(project: Project) -> dict[str, float]:
    if not project.config.warehouse.is_file():
        return {}
    with published(project.config.warehouse) as db:
        rows = db.run(
            "SELECT connection, strftime(last_success_at, '%Y-%m-%dT%H:%M:%S+00:00') FROM connections "
            "WHERE last_success_at IS NOT NULL"
        )
    return {name: datetime.fromisoformat(text).timestamp() for name, text in rows}

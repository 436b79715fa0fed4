"""One run of one connection for the daemon: made in a thread of its pool, told in the log, handed back as it ended."""

import time
from collections.abc import Callable
from threading import Event
from typing import Any

from onepipe import logs
from onepipe.account import utc_now
from onepipe.config import Connection
from onepipe.daemon.after import Ended
from onepipe.errors import OnepipeError
from onepipe.project import Project
from onepipe.pull import unforeseen
from onepipe.report import ConnectionReport, Watch
from onepipe.run import Options, sync


class Runs:
    """What makes runs. `changed` is called when something may have been committed; setting `cut` ends them early."""

    def __init__(self, project: Project, changed: Callable[[], None], cut: Event) -> None:
        self._project, self._changed, self._cut = project, changed, cut

    def make(self, connection: Connection) -> Ended:
        """Run one connection now; whatever happens is in the report."""
        began = time.monotonic()
        report, run_id = ConnectionReport(connection.name, connection.connector, utc_now()), ""
        watch = _Log(self._changed)
        try:
            found = sync(
                self._project, [connection.name], Options(command="daemon"), watch, publishing=False, stop=self._cut
            )
            report, run_id = found.connections[0], found.run_id
        except OnepipeError as error:
            report.fall("failed", error)
        except Exception as error:
            logs.get().exception("a fault in onepipe itself", connection=connection.name)
            report.fall("failed", unforeseen(error))
        self._changed()
        seconds = time.monotonic() - began
        _tell(report, run_id, seconds)
        return Ended(report, run_id, seconds, utc_now())


class _Log(Watch):
    """What a run tells, as log lines."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        """A first load begins."""
        logs.get().info("first load", connection=connection, rows=rows, requests=requests, seconds=seconds)

    def page(self, *_: object) -> None:
        """Pages that came in will be committed soon, long before a large load ends."""
        self._changed()

    def say(self, connection: str, text: str) -> None:
        """A notice for people."""
        logs.get().warning(text, **({"connection": connection} if connection else {}))


def _tell(report: ConnectionReport, run_id: str, seconds: float) -> None:
    """One line on how a run ended; as a warning where it is not complete."""
    deals = report.resources.get("opportunity")
    counts = deals.counts if deals else None
    told: dict[str, Any] = {"connection": report.connection, "status": report.status, "run_id": run_id}
    if counts:
        told |= {"read": counts.fetched, "new": counts.new, "changed": counts.changed, "deleted": counts.deleted}
    told |= {"requests": sum(one.requests for one in report.resources.values()), "seconds": round(seconds, 2)}
    if report.error:
        error = report.error
        logs.get().warning("run ended", **told, kind=error.kind, error=error.message, hint=error.hint)
    else:
        logs.get().info("run ended", **told)

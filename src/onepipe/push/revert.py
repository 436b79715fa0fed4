"""Taking a run of pushes back: the opposite edits, queued. Nothing is sent from here."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onepipe.config import Config
from onepipe.edit import Told, actor, open_target
from onepipe.edit.target import mode_of
from onepipe.errors import UsageError
from onepipe.project import Project
from onepipe.push.opposite import Findings, take_back, told
from onepipe.push.written import Written, written
from onepipe.warehouse import ledger
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import whole

_KEYS = ("edit_id", "connection", "source_id", "op", "field", "base", "value", "note", "reason")


@dataclass(frozen=True, kw_only=True)
class Reverted:
    """What became of taking a run back. `refused` are those that cannot be, each with its reason.

    `nothing` are fields that are as they were, or whose opposite waits already. `modes`: the write mode of each
    connection that something waits for.
    """

    run_id: str
    queued: list[Told] = field(default_factory=list)
    nothing: list[Told] = field(default_factory=list)
    refused: list[Told] = field(default_factory=list)
    modes: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        rows = {name: [_row(one) for one in getattr(self, name)] for name in ("queued", "nothing", "refused")}
        return {"run_id": self.run_id, **rows, "write_mode": dict(self.modes)}


def revert(project: Project, run_id: str, reason: str = "") -> Reverted:
    """Queue the opposite of all that a run wrote, as far as it can be taken back; `reason` is added to that of the
    edits. Raises UsageError for a run that is not known, or wrote nothing.
    """
    config, control = project.config, project.control
    wrote = _written(project, run_id)
    found, why = Findings(), f"revert of {run_id}" + (f": {reason}" if reason else "")
    with whole(config.snapshot) as db:
        for name in dict.fromkeys(one.push.connection for one in wrote):
            mine = [one for one in wrote if one.push.connection == name]
            if refusal := _not_known(config, db, name):
                found.refused += [told(one, reason=refusal) for one in mine]
            else:
                take_back(found, db, control, open_target(config, config.connections[name], db), mine, why)
    ids = control.edits.put(found.wishes, actor())
    queued = [replace(one, edit_id=edit_id) for one, edit_id in zip(found.queued, ids, strict=True)]
    modes = {one.connection: mode_of(config.connections[one.connection]) for one in queued}
    return Reverted(run_id=run_id, queued=queued, nothing=found.nothing, refused=found.refused, modes=modes)


def _row(told: Told) -> dict[str, Any]:
    return {key: getattr(told, key) or None for key in _KEYS}


def _written(project: Project, run_id: str) -> list[Written]:
    found = written(project.control.outbox, run_id)
    if not found:
        known = bool(project.control.outbox.of_run(run_id))
        what = f"run {run_id} wrote nothing" if known else f"no run of pushes is called {run_id!r}"
        raise UsageError(f"{what}; nothing was queued", "`onepipe push status` names the last one")
    return found


def _not_known(config: Config, db: Database, name: str) -> str:
    """Why nothing can be queued for a connection of this name; empty where it can."""
    if name not in config.connections:
        return "the connection is retired: it is no longer in config.yaml"
    return "" if name in ledger.names(db) else f"nothing is stored of {name}: `onepipe sync {name}` loads it"

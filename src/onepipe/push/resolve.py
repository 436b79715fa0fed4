"""A person decides conflicts: ours, theirs, or another value. Nothing is sent from here; the next push does what was
decided, and meets a conflict anew where the CRM has changed again since.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from onepipe.account import utc_now
from onepipe.control import Control, Push
from onepipe.control.stored import instant_text
from onepipe.edit import actor
from onepipe.edit.rows import csv_lines
from onepipe.edit.target import mode_of
from onepipe.errors import OnepipeError, UsageError
from onepipe.merge import Refused, states
from onepipe.project import Project
from onepipe.publish import guard, restore
from onepipe.push.decided import Decided, Decision, Judge
from onepipe.push.lost import link
from onepipe.report import Watch
from onepipe.run import publish_now
from onepipe.warehouse.work import whole

COLUMNS = ("conflict_id", "resolution", "reason")


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What was decided of one conflict; `next` is what follows from it, in a sentence."""

    conflict_id: str
    connection: str
    source_id: str | None
    draft: str | None
    kind: str
    field: str | None
    resolution: str
    next: str


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What was decided. `modes`: the write mode of each connection; `unpublished`: why no snapshot was put in place."""

    resolved: list[Resolution] = field(default_factory=list)
    modes: Mapping[str, str] = field(default_factory=dict)
    unpublished: OnepipeError | None = None

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {"resolved": [asdict(one) for one in self.resolved], "write_mode": dict(self.modes)}


def resolve(
    project: Project,
    decisions: Sequence[Decision],
    *,
    wait: float = 0.0,
    now: Callable[[], datetime] = utc_now,
) -> Resolved:
    """Decide conflicts, all of them or none, and publish.

    Raises UsageError with every fault, a line each; ConfigError; LeaseHeld where a connection is at work whose lost
    request is decided; and, where a record is named as the one that a lost create made, what reading it raises.
    """
    decided = _judged(project, decisions)
    if not decided:
        return Resolved()
    restore(project.warehouse, project.config.warehouse, lambda text: Watch().say("", text))
    guard(project.warehouse, project.config.warehouse)
    for one in decided:
        if one.links:  # first of all, for the record named may not be there
            _carry_out(project, one, 0, now())
    rest = [one for one in decided if not one.links]
    with ExitStack() as held:
        busy = dict.fromkeys(one.conflict.connection for one in rest if one.push)
        leases = {name: held.enter_context(project.control.lease(f"connection:{name}", wait)) for name in busy}
        for one in rest:
            _carry_out(project, one, leases[one.conflict.connection].number if one.push else 0, now())
    names, known = {one.conflict.connection for one in decided}, project.config.connections
    return Resolved(
        resolved=[_told(one) for one in decided],
        modes={name: mode_of(known[name]) for name in sorted(names & known.keys())},
        unpublished=_land(project, now()),
    )


def from_csv(path: Path) -> list[Decision]:
    """The decisions in a CSV file with the columns conflict_id, resolution and, if there is one, reason.

    A file that `conflicts list -o` wrote will do: other columns are ignored, and an empty resolution decides nothing.
    Raises UsageError with every line that cannot be one.
    """
    lines = csv_lines(path, "nothing was decided")
    headings = [name.strip().lower() for name in next(lines, ("", []))[1]]
    faults = [f"{path}: the column {name!r} is missing" for name in COLUMNS[:2] if name not in headings]
    _refuse(faults)
    found = []
    for place, cells in lines:
        row = dict(zip(headings, cells, strict=False))
        conflict_id, how = row.get("conflict_id", "").strip(), row.get("resolution", "")
        if how.strip() and not conflict_id:
            faults.append(f"{place}: there is a resolution, and no conflict_id")
        elif how.strip():
            found.append(Decision(conflict_id=conflict_id, how=how, reason=row.get("reason", "").strip(), place=place))
    _refuse(faults)
    return found


def _judged(project: Project, decisions: Sequence[Decision]) -> list[Decided]:
    """What is to be done for each decision. Raises UsageError with every fault."""
    faults, found, first = list[str](), list[Decided](), dict[str, Decision]()
    with whole(project.config.snapshot) as db:
        judge = Judge(project.config, project.control, db)
        for one in decisions:
            known = first.setdefault(one.conflict_id, one)
            if known is not one:
                faults += [one.fault("is decided twice, differently")] if known.word != one.word else []
                continue
            made = judge.decide(one)
            if isinstance(made, Refused):
                faults.append(one.fault(made.reason))
            else:
                found.append(made)
    _refuse(faults)
    return found


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        hint = "`onepipe conflicts list` shows the conflicts that are open"
        raise UsageError("\n".join([*faults, f"{count}; nothing was decided."]), hint)


def _carry_out(project: Project, one: Decided, lease: int, now: datetime) -> None:
    """Do what was decided. Killed at any moment it leaves a conflict that is open, or met again by the next push."""
    control, conflict, who = project.control, one.conflict, actor()
    edit_id = one.edit.edit_id if one.edit else ""
    if one.wish:
        [edit_id] = control.edits.put([one.wish], who)
    if edit_id and one.how != "theirs" and conflict.record:
        control.edits.saw(edit_id, conflict.record)

    def decide() -> None:
        control.conflicts.resolve(conflict.conflict_id, one.how, who, one.reason, about=conflict)

    if one.push and one.links:
        link(project, one.push.push_id, one.how, decide)
        return
    decide()
    if one.push:
        _settle(control, one, one.push, lease, now)
    elif one.how == "theirs":
        control.edits.drop([edit_id])


def _settle(control: Control, one: Decided, push: Push, lease: int, now: datetime) -> None:
    """End the doubt about a push: it did not happen and is sent again, or it is given up."""
    state = "ready" if one.how == "ours" else "dead"
    message = f"{actor()} looked, and says: {'it did not happen' if state == 'ready' else 'leave it as it is'}"
    message += f" ({one.reason})" if one.reason else ""
    if control.outbox.claim(push.push_id, lease) is None:
        return
    lines = control.outbox.lines(push.push_id)
    known = lines[-1].told.get("push", {}) if lines else {}
    told = {"fields": {}, "request": None, **known, **_row(push), "state": state, "message": message}
    told["fields"] = {name: {**was, "state": state, "message": message} for name, was in told["fields"].items()}
    told["finished_at"] = instant_text(now) if states.STATES[state].final else None
    control.outbox.settle(push.push_id, lease, state, {"push": told, "before": None, "gone_at": None}, message=message)


def _land(project: Project, now: datetime) -> OnepipeError | None:
    """Land what was decided, and publish; what kept it from being done, if anything: it is written down by then."""
    try:
        with project.warehouse.commit(f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"):
            pass  # every commit lands what waits of conflicts and pushes
    except OnepipeError as error:
        return error
    return publish_now(project, Watch())


def _row(push: Push) -> dict[str, Any]:
    """What a push that was never settled says in the table of pushes."""
    plain = ("run_id", "connection", "source_id", "op", "reason", "created_at")
    return {
        **{name: getattr(push, name) for name in plain},
        "push_id": str(push.push_id),
        "requested_by": push.actor,
    }


def _told(one: Decided) -> Resolution:
    conflict = one.conflict
    return Resolution(
        conflict_id=conflict.conflict_id,
        connection=conflict.connection,
        source_id=conflict.source_id,
        draft=conflict.draft,
        kind=conflict.kind,
        field=conflict.field or None,
        resolution=one.how,
        next=one.next,
    )

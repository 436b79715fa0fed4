"""Applying: a run that sends what waits, connection by connection, and publishes before it ends."""

import secrets
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any

from onepipe import journal, logs
from onepipe.account import utc_now
from onepipe.config import Connection
from onepipe.errors import OnepipeError, UsageError
from onepipe.merge import states
from onepipe.project import Project
from onepipe.publish import guard, restore
from onepipe.pull import unforeseen
from onepipe.push.limits import refuse_limits, refuse_modes
from onepipe.push.lost import OPEN, close
from onepipe.push.part import Part, record_of
from onepipe.push.planning import SIDE_BY_SIDE, waiting_for
from onepipe.push.site import Clock, Sleep, open_site, reading, same_account
from onepipe.push.theirs import Reader
from onepipe.push.watch import Watch
from onepipe.push.words import Done, Item, Plan, PushReport
from onepipe.report import described
from onepipe.run import publish_now

GONE_EDITS = "the edits of this record have changed since the plan"


def apply(
    project: Project,
    words: Sequence[str] = (),
    plan: Plan | None = None,
    watch: Watch | None = None,
    *,
    wait: float = 0.0,
    stop: Event | None = None,
    sleep: Sleep = time.sleep,
    now: Clock = utc_now,
) -> PushReport:
    """Send what waits, or what a plan holds of it, and publish.

    Raises UsageError before the first request where the mode, a limit or the plan refuses the whole run, and
    ConfigError. `wait` is how many seconds to wait for a connection that another process holds.
    """
    watch, stop = watch or Watch(), stop or Event()
    chosen = waiting_for(project, words)
    wanted = _wanted(project, chosen, plan)
    touched = {name: one for name, one in chosen.items() if plan is None or wanted[name]}
    refuse_modes(touched, "on")
    _refuse_limits(project, touched, wanted)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    report = PushReport(run_id=run_id)
    if plan is not None:
        report.items += [
            _over(project, item) for item in plan.items if item.record not in wanted.get(item.connection, {})
        ]
    if touched:
        _guarded(project, touched, watch)
        run = _Run(project=project, run_id=run_id, plan=plan, watch=watch, wait=wait, stop=stop, sleep=sleep, now=now)
        watch.begins(sum(len(records) for records in wanted.values()))
        with reading(project) as reader, ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="push") as pool:
            futures = {name: pool.submit(run.one, one, reader, wanted[name]) for name, one in touched.items()}
            for name, future in futures.items():
                items, error = future.result()
                report.items += items
                report.errors |= {name: described(error) or {}} if error else {}
    _land(project, run_id, report, watch)
    return report


def _wanted(project: Project, chosen: Mapping[str, Connection], plan: Plan | None) -> dict[str, dict[str, Item | None]]:
    """By connection: the records to be pushed, with what a plan says of each. Raises UsageError."""
    control = project.control
    found: dict[str, dict[str, Item | None]] = {name: {} for name in chosen}
    for edit in control.edits.open(set(chosen)):
        found[edit.connection][edit.source_id or edit.draft or ""] = None
    for push in control.outbox.waiting(set(chosen)):
        if push.state in OPEN or push.op == "call":
            found[push.connection][record_of(push)] = None
    if plan is None:
        return found
    unknown = {item.connection for item in plan.items} - project.config.connections.keys()
    if unknown:
        told = ", ".join(sorted(unknown))
        raise UsageError(f"the plan is for {told}, which config.yaml does not have; nothing was sent")
    items = {(item.connection, item.record): item for item in plan.items}
    return {
        name: {record: items[name, record] for record in records if (name, record) in items}
        for name, records in found.items()
    }


def _refuse_limits(project: Project, chosen: Mapping[str, Connection], wanted: Mapping[str, Any]) -> None:
    """Hold the records that may be written against the limits; those in open conflict are not written."""
    control = project.control
    known = {(one.connection, one.source_id or one.draft) for one in control.conflicts.open(set(chosen))}
    edits = control.edits.open(set(chosen))
    edited = {(edit.connection, edit.source_id or edit.draft) for edit in edits}
    deletes = dict.fromkeys(chosen, 0)
    for edit in edits:
        if edit.op == "delete" and (edit.source_id or "") in wanted[edit.connection]:
            deletes[edit.connection] += 1
    rows = {
        name: sum(
            (name, record) in edited - known and (item is None or item.decision in ("write", "conflict"))
            for record, item in wanted[name].items()
        )
        for name in chosen
    }
    refuse_limits(chosen, rows, deletes)


def _guarded(project: Project, chosen: Mapping[str, Connection], watch: Watch) -> None:
    """Refuse what would end badly: a file that is not ours, a name that belongs to another account."""
    config = project.config
    restore(project.warehouse, config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, config.warehouse)
    with reading(project) as reader:
        for one in chosen.values():
            same_account(project, one, reader)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What the connections of one run share."""

    project: Project
    run_id: str
    plan: Plan | None
    watch: Watch
    wait: float
    stop: Event
    sleep: Sleep
    now: Clock

    def one(
        self, connection: Connection, reader: Reader, wanted: Mapping[str, Item | None]
    ) -> tuple[list[Done], OnepipeError | None]:
        """One connection from lease to items; nothing that happens here reaches the others."""
        part = Part(
            name=connection.name,
            wanted=wanted,
            canary=connection.write.limits.canary,
            edits=self.project.control.edits,
            watch=self.watch,
            stop=self.stop,
            now=self.now,
        )
        try:
            if connection.write.mode != "on":
                told = f"the write mode of {connection.name} is {connection.write.mode} in config.yaml"
                part.hold("refused", told)
                return part.items, None
            self._push(part, connection, reader)
        except OnepipeError as error:
            return part.rest("ready", error.message), error
        except Exception as error:
            return part.rest("ready", "a fault in onepipe itself"), unforeseen(error)
        return part.items, part.halt.error if part.halt and part.halt.state == "ready" else None

    def _push(self, part: Part, connection: Connection, reader: Reader) -> None:
        with (
            logs.bound(run_id=self.run_id, connection=connection.name),
            self.project.control.lease(f"connection:{connection.name}", wait=self.wait) as lease,
            open_site(
                self.project,
                connection,
                reader,
                run_id=self.run_id,
                lease=lease,
                writing=True,
                sleep=self.sleep,
                now=self.now,
            ) as site,
        ):
            wanted_still = {one.source_id or one.draft for one in site.asked}
            for push in site.outbox.recovered(site.name, lease.number):
                if push.state in OPEN or push.op == "call":
                    part.settle(site, push)
                elif (push.source_id or push.draft) not in wanted_still:
                    close(site, push)
            for asked in site.asked:
                part.carry(site, asked)


def _over(project: Project, item: Item) -> Done:
    """An item of a plan whose edits wait no more: they were sent before, or are wanted no more."""
    pushes = [one for one in project.control.outbox.of_connection(item.connection) if set(item.edits) <= set(one.edits)]
    sent = next((one for one in reversed(pushes) if item.edits and states.STATES[one.state].sound), None)
    return Done(
        connection=item.connection,
        source_id=item.source_id or (sent.source_id if sent else None),
        op=item.op,
        state="converged" if sent else "stale",
        message=f"sent already, by run {sent.run_id}" if sent else GONE_EDITS,
        draft=item.draft,
        name=item.name,
    )


def _land(project: Project, run_id: str, report: PushReport, watch: Watch) -> None:
    """Land what the outbox tells, and publish; trouble with either is told, and what was pushed stays written down."""
    error: OnepipeError | None
    try:
        if report.items or _waits(project):
            with project.warehouse.commit(run_id):
                pass  # every commit lands the journal
        error = publish_now(project, watch) if project.warehouse.path.exists() else None
    except OnepipeError as trouble:
        error = trouble
    if error is not None:
        report.errors["publish"] = described(error) or {}
    project.warehouse.rest()


def _waits(project: Project) -> bool:
    """Whether a run that was killed left something to be landed."""
    if not project.warehouse.path.exists():
        return False
    with project.warehouse.look() as db:
        return journal.waits(db, project.control)

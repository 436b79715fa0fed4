"""Runs: several connections side by side, one failing connection leaving the others whole, one snapshot at the end."""

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any

from onepipe import logs
from onepipe.account import (
    account_url,
    allowance,
    applied_mapping,
    closed_connector,
    mapping_of,
    mapping_path,
    open_account,
    open_connector,
    reading_of,
    utc_now,
)
from onepipe.config import Config, Connection
from onepipe.costs import budgets, plan
from onepipe.erase import end_begun
from onepipe.errors import ConfigError, DiskTrouble, OnepipeError
from onepipe.http import Budget
from onepipe.mapping import Mapping
from onepipe.project import Project
from onepipe.publish import compare, guard, looked_at, publish, restore
from onepipe.pull import Job, Options, pull, unforeseen
from onepipe.report import Asked, ConnectionReport, RunReport, Watch, described
from onepipe.restage import bring_up
from onepipe.warehouse import bindings, books, typed
from onepipe.warehouse.database import Database

__all__ = ["CheckReport", "Options", "Watch", "check", "plan", "publish_now", "sync"]

SIDE_BY_SIDE = 8  # connections pulled at once


def sync(
    project: Project,
    words: Sequence[str] = (),
    options: Options | None = None,
    watch: Watch | None = None,
    *,
    publishing: bool = True,
    stop: Event | None = None,
) -> RunReport:
    """Bring connections up to date, and publish. Raises ConfigError before anything is asked or written.

    `publishing=False` leaves the snapshot to the caller (the daemon), which publishes for several runs at once. Setting
    `stop` ends the run between two pages; so does Ctrl-C, which is raised again once everything fetched is safe.
    """
    with project.warehouse.awake():
        return _sync(project, words, options or Options(), watch or Watch(), publishing, stop or Event())


def _sync(
    project: Project, words: Sequence[str], options: Options, watch: Watch, publishing: bool, stop: Event
) -> RunReport:
    project.beside.renew()
    for text in project.beside.gaps(datetime.now(UTC)):
        watch.say("", text)
    chosen = project.choose(words)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    budget = Budget(options.max_requests) if options.max_requests is not None else None
    allowed = budgets(project, chosen, options, budget)
    try:
        mappings = _prepare(project, chosen, options, run_id, watch)
    except DiskTrouble as trouble:
        return RunReport(run_id, [_not_begun(one, trouble) for one in chosen])
    merger = ThreadPoolExecutor(1, thread_name_prefix="merge")
    run = _Run(project, run_id, options, watch, stop, budget, allowed, merger)
    with merger, ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="pull") as pool:
        futures = [pool.submit(run.one, connection, mappings.get(connection.name)) for connection in chosen]
        try:
            reports = [future.result() for future in futures]
        except BaseException:
            stop.set()
            raise
    report = RunReport(run_id, reports)
    _tell_unheard(project, chosen, watch)
    if publishing:
        report.published = publish_now(project, watch)
    return report


def _tell_unheard(project: Project, chosen: Sequence[Connection], watch: Watch) -> None:
    """Say which lines of the files beside config.yaml decide of nothing that was ever seen."""
    if project.beside.said.stages or project.beside.said.people:
        with suppress(OnepipeError), project.warehouse.look() as db:  # a broken work file is told by publishing
            for text in project.beside.unheard(db, [one.name for one in chosen]):
                watch.say("", text)


def _not_begun(connection: Connection, trouble: OnepipeError) -> ConnectionReport:
    report = ConnectionReport(connection.name, connection.connector, utc_now())
    report.fall("failed", trouble)
    return report


def publish_now(project: Project, watch: Watch) -> OnepipeError | None:
    """Publish; what kept it from being done, if anything."""
    try:
        publish(project.warehouse, project.config.warehouse, project.views, lambda text: watch.say("", text))
    except OnepipeError as error:
        return error
    return None


def _prepare(
    project: Project, chosen: Sequence[Connection], options: Options, run_id: str, watch: Watch
) -> dict[str, Mapping | ConfigError]:
    """The mappings to read with; refuses what would end badly before anything is asked.

    Of those that a list of accounts made, one that cannot run is answered with its error, and stops nobody else. Raises
    ConfigError: a file that is not ours, a mapping that is wrong, a name bound to another account.
    """
    config, warehouse = project.config, project.warehouse
    restore(warehouse, config.warehouse, lambda text: watch.say("", text))
    there = looked_at(config.warehouse)
    paused = project.control.service.pauses()
    for one in chosen:
        if one.enabled and one.name in paused:
            watch.say(one.name, f"left out: paused {paused[one.name]}; `onepipe resume {one.name}` lets it run again")
    enabled = [one for one in chosen if one.enabled and one.name not in paused]
    refused = {one.name: error for one in enabled if (error := one.fault)}
    enabled = [one for one in enabled if one.name not in refused]
    files = {one.name: mapping_of(config, one) for one in enabled}
    mappings: dict[str, Mapping | ConfigError] = {**refused}
    if any(one.columns for one in files.values()):
        guard(warehouse, config.warehouse)
        warehouse.settle(run_id)
    with warehouse.commit(run_id) as db:
        compare(warehouse, config.warehouse, there, db)
        for one in enabled:
            mappings[one.name] = _taken_up(project, db, one, files[one.name])
        books.describe(db, project.labels)
        for name, found in mappings.items():
            if isinstance(found, ConfigError):
                books.record_refusal(db, run_id, options.command, name, utc_now(), found)
    for one in enabled:
        used = mappings[one.name]
        if isinstance(used, Mapping) and used.version != files[one.name].version:
            watch.say(
                one.name,
                f"{mapping_path(config, one).name} was edited: rows are read with the applied mapping until "
                f"`onepipe mapping apply {one.name}`",
            )
    return mappings


def _taken_up(project: Project, db: Database, one: Connection, file: Mapping) -> Mapping | ConfigError:
    """The mapping a connection is read with, now that its name is bound. Raises ConfigError for one written out."""
    try:
        bindings.bind(db, one.name, one.connector, account_url(project.config, one), utc_now())
    except ConfigError as error:
        if not one.entry:
            raise
        return error
    if kept := books.mapping(db, one.name):
        return applied_mapping(project.config, one, kept)
    _make_room(db, project.config, one, file)
    books.keep_mapping(db, one.name, file.version, file.whole, utc_now())
    return file


def _make_room(db: Database, config: Config, connection: Connection, mapping: Mapping) -> None:
    """Add the columns of a mapping that is used for the first time. Raises ConfigError."""
    reading = reading_of(config, connection, mapping, closed_connector(config, connection))
    if against := typed.fit(db, reading):
        raise ConfigError(
            f"the mapping of {connection.name} cannot be used: {'; '.join(against)}; nothing was read or changed",
            "give that column another name in one of the mappings",
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """What the connections of one run share. `merger` is the one thread that merges for all of them."""

    project: Project
    run_id: str
    options: Options
    watch: Watch
    stop: Event
    budget: Budget | None
    allowed: dict[str, Budget]
    merger: ThreadPoolExecutor

    def one(self, connection: Connection, mapping: Mapping | ConfigError | None) -> ConnectionReport:
        """One connection from lease to report; nothing that happens here reaches the other connections."""
        report = ConnectionReport(connection.name, connection.connector, utc_now())
        if mapping is None:
            report.status = "skipped"
        elif isinstance(mapping, ConfigError):
            report.fall("failed", mapping)
        else:
            logs.add_secrets(connection.secrets)
            try:
                with logs.bound(run_id=self.run_id, connection=connection.name):
                    self._pull(connection, mapping, report)
            except OnepipeError as error:
                report.fall("failed", error)
            except Exception as error:
                report.fall("failed", unforeseen(error))
        if report.status == "complete" and self.options.command != "daemon":
            with suppress(DiskTrouble):
                self.project.control.service.recovered(connection.name)
        self.watch.ended(report)
        return report

    def _pull(self, connection: Connection, mapping: Mapping, report: ConnectionReport) -> None:
        config = self.project.config
        with self.project.control.lease(f"connection:{connection.name}", wait=self.options.wait) as lease:
            account = open_account(
                config,
                connection,
                mapping,
                budget=self.allowed.get(connection.name, self.budget),
                lease=lease,
                credential=self.project.control.credential(connection.name, connection.plain_credentials()),
                quotas=self.project.control.quotas,
                erased=self.project.control.erased,
                sleep=self.stop.wait,
            )
            job = Job(account, self.project.warehouse, self.run_id, self.options, self.watch, report, self.stop)
            try:
                with account.http:
                    restaged = bring_up(self.project.warehouse, account, self.run_id)
                    if restaged and restaged.told:
                        job.say(restaged.told)
                    end_begun(self.project.control, self.project.warehouse, account, self.run_id)
                    pull(job, self.merger)
                _tell_met(job)
            finally:
                report.asked = Asked(account.http.requests, account.http.statuses, account.http.waited)


def _tell_met(job: Job) -> None:
    """Say which deals turned out to be those of somebody erased: what came is blank, what was there is not."""
    for deal in job.account.redaction.met if job.account.redaction else ():
        job.say(
            f"deal {deal} is of somebody who was erased: it is blank from now on; `onepipe erase --resume` blanks "
            "what was stored of it before"
        )


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What one request to a CRM showed."""

    connection: str
    connector: str
    ok: bool
    opportunities: int | None
    error: dict[str, Any] | None
    seconds: float

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def check(project: Project, words: Sequence[str] = ()) -> list[CheckReport]:
    """One request to each connection: does the credential work, and how much does it see."""
    chosen = [one for one in project.choose(words) if one.enabled]
    guard(project.warehouse, project.config.warehouse)
    for one in chosen:
        if not one.fault:
            mapping_of(project.config, one)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return list(pool.map(lambda one: _check(project, one), chosen))


def _check(project: Project, connection: Connection) -> CheckReport:
    began = time.monotonic()
    try:
        allowed = allowance(project.config, connection, project.control.quotas)
        connector = open_connector(project.config, connection, ledger=allowed)
        with connector.http:
            count, error = connector.count(), None
    except OnepipeError as trouble:
        count, error = None, described(trouble)
    seconds = round(time.monotonic() - began, 3)
    return CheckReport(connection.name, connection.connector, error is None, count, error, seconds)

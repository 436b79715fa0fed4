"""A desk that edits are pushed from: simulated CRMs on loopback, one project, and a clock that only its test moves."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import onepipe.account
import onepipe.edit as editing
import onepipe.project
import onepipe.push as push
import onepipe.run
from onepipe.control import Control
from onepipe.control.conflicts import Conflict
from onepipe.project import Project
from onepipe.push.decided import Decision
from onepipe.push.resolve import resolve
from onepipe.push.words import Done, Plan, PushReport
from onepipe.report import RunReport
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.sandbox.crm import Seen
from tests.engine.conftest import Shop
from tests.simulation.steps import swapped

CRMS = ("administrate", "tactile", "capsule", "onautomate", "overplane")
OWN: dict[str, dict[str, str]] = {  # canonical field -> the name in which a user of the CRM knows it
    "administrate": {"name": "name", "expected_close_date": "closing_date"},
    "tactile": {"name": "name", "description": "description", "probability": "probability", "amount": "cost"},
    "capsule": {"name": "name", "description": "description", "probability": "probability", "amount": "value"},
    "onautomate": {"name": "name", "amount": "monetaryValue", "lead_source": "source", "status": "status"},
    "overplane": {"name": "title", "amount": "opportunity_amount", "probability": "probability"},
}
OWN["tactile"] |= {"expected_close_date": "enddate", "stage": "status"}
OWN["capsule"] |= {"expected_close_date": "expectedCloseDate", "stage": "milestone", "owner": "owner"}
OWN["overplane"] |= {"expected_close_date": "expected_closing", "stage": "sales_stage", "owner": "opportunity_owner"}
SECOND = dict.fromkeys(CRMS, "amount") | {"administrate": "expected_close_date"}  # beside the name, in no unit with it
VALUES = {  # of the second field: as it was, as we want it, as others want it, and another one
    "amount": ("100.25", "120.25", "140.25", "160.25"),
    "expected_close_date": ("2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"),
}
CURRENCY = {"tactile": "GBP", "onautomate": "USD"}
FORCED = {"onautomate": {"title", "stageId", "status", "contactId"}, "tactile": {"id"}}
WRITING = {"administrate": "PUT", "tactile": "POST", "capsule": "PUT", "onautomate": "PUT", "overplane": "PATCH"}


class Patience(Event):
    """What the engine sleeps on: waiting moves the desk's clock and takes no time."""

    def __init__(self, desk: "Desk") -> None:
        super().__init__()
        self.desk = desk

    def wait(self, timeout: float | None = None) -> bool:
        self.desk.later(seconds=timeout or 0.0)
        return self.is_set()


class Desk(Shop):
    """One project with one account in each CRM; connections are named after them, and written to unless told else.

    All clocks, the CRMs' and ours, are `now`, which stands until it is moved. Each thing a user does takes a second.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, crms: tuple[str, ...], **write: Any) -> None:
        super().__init__(folder, sandbox, list(crms))
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.timezone = "UTC"
        for name in crms:
            sandbox[name].clock = lambda: self.now
            self.connections[name]["write"] = {"mode": "on", **write}
            if name in CURRENCY:
                self.connections[name]["currency"] = CURRENCY[name]

    @property
    def config(self) -> Path:
        """config.yaml, written as the connections are now (JSON is YAML)."""
        path = self.folder / "config.yaml"
        told = {"warehouse": "warehouse.duckdb", "timezone": self.timezone, "connections": self.connections}
        path.write_text(json.dumps(told))
        return path

    def crm(self, name: str) -> Any:
        """A simulated CRM."""
        return self.sandbox[name]

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def at(self) -> datetime:
        """The clock."""
        return self.now

    def sleep(self, seconds: float) -> bool:
        """Wait without waiting."""
        self.later(seconds=seconds)
        return False

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The project, opened as a command does, in the desk's time."""
        self.later(seconds=1)
        timed = partial(Control, clock=lambda: self.now.timestamp())
        opened = partial(onepipe.account.open_account, now=self.at)
        with (
            swapped(onepipe.project, "Control", timed),
            swapped(onepipe.run, "open_account", opened),
            Project(self.config, "test") as project,
        ):
            yield project

    # What people do in the CRMs

    def own(self, crm: str, **fields: Any) -> dict[str, Any]:
        """Canonical fields under the CRM's own names, as its users type them."""
        return dict(_own(crm, field, value) for field, value in fields.items())

    def deal(self, crm: str, **fields: Any) -> Any:
        """A deal made in the CRM: a name and the second field if nothing else is said; its id."""
        first = {"name": "Deal", SECOND[crm]: VALUES[SECOND[crm]][0]}
        contact = {"contact": {"email": f"p{len(self.crm(crm).rows)}@example.org"}} if crm == "onautomate" else {}
        return self.crm(crm).insert(**self.own(crm, **{**first, **fields}), **contact)

    def change(self, crm: str, row_id: Any, **fields: Any) -> None:
        """Somebody changes a deal in the CRM, a second later."""
        self.later(seconds=1)
        self.crm(crm).update(row_id, **self.own(crm, **fields))

    def move(self, crm: str, row_id: Any) -> Callable[[], bool]:
        """Somebody moves a deal on to another stage; whether it still stands there."""
        moves: dict[str, dict[str, Any]] = {
            "administrate": {"step": {"id": 2}},
            "tactile": {"status": "Discussion"},
            "capsule": {"milestone": "Bid"},
            "overplane": {"sales_stage": "Negotiation/Review"},
        }
        if crm == "onautomate":
            pipeline = self.crm(crm).pipelines[self.crm(crm).rows[row_id]["pipelineId"]]
            moves[crm] = {"pipelineStageId": pipeline["stages"][2]["id"]}
        self.later(seconds=1)
        self.crm(crm).update(row_id, **moves[crm])
        kept = {"administrate": "step_id", "tactile": "status_id", "capsule": "milestoneId"}
        kept |= {"onautomate": "pipelineStageId", "overplane": "sales_stage"}
        stands = self.crm(crm).rows[row_id][kept[crm]]
        return lambda: bool(stands == self.crm(crm).rows[row_id][kept[crm]])

    def held(self, crm: str, row_id: Any, field: str) -> str | None:
        """What the CRM holds of a deal, in the form in which people write it."""
        value = self.crm(crm).records[row_id].get(OWN[crm][field])
        forms: dict[str, Callable[[Any], str]] = {"expected_close_date": _day, "amount": _money}
        return None if value is None else forms.get(field, str)(value)

    def named(self, crm: str, name: str) -> list[str]:
        """The ids of the CRM's deals of that name."""
        return [str(key) for key, row in self.crm(crm).records.items() if row.get(OWN[crm]["name"]) == name]

    # What people do here

    def sync(self, *words: str, publishing: bool = True, **options: Any) -> RunReport:
        """One sync; it must be complete."""
        with self.project() as project:
            report = sync(project, words, Options(**options), self.notes, publishing=publishing, stop=Patience(self))
        assert "complete" == report.status, report.document()
        return report

    def edit(self, crm: str, row_id: Any, *clear: str, **fields: Any) -> list[str]:
        """Queue edits of one deal; their ids. A field's dot is written as two lines (custom__Region)."""
        words = [f"{field.replace('__', '.')}={value}" for field, value in fields.items()]
        rows = editing.from_words(crm, str(row_id), words, clear, "because")
        with self.project() as project:
            return _ids(editing.queue(project.config, project.control, rows))

    def new(self, crm: str, **fields: Any) -> list[str]:
        """Queue a new deal; the ids of its edits."""
        words = [f"{field.replace('__', '.')}={value}" for field, value in fields.items()]
        rows = editing.from_words(crm, None, words, (), "because")
        with self.project() as project:
            return _ids(editing.create(project.config, project.control, crm, rows))

    def delete(self, crm: str, row_id: Any) -> list[str]:
        """Queue a deletion."""
        with self.project() as project:
            return _ids(editing.delete(project.config, project.control, crm, str(row_id), "because"))

    def drop(self, *edit_ids: str) -> list[str]:
        """Give edits up."""
        with self.project() as project:
            return project.control.edits.drop(edit_ids)

    def queue(self) -> list[dict[str, Any]]:
        """What waits, as `edit list` tells it."""
        with self.project() as project:
            return editing.waiting(project.config, project.control)

    def plan(self, *words: str) -> Plan:
        """What a push would do."""
        with self.project() as project:
            return push.plan(project, words)

    def apply(self, *words: str, plan: Plan | None = None, wait: float = 0.0) -> PushReport:
        """One push."""
        with self.project() as project:
            return push.apply(project, words, plan, wait=wait, stop=Patience(self), sleep=self.sleep, now=self.at)

    def pushed(self, *words: str) -> Done:
        """One push that is about one deal; what became of it."""
        report = self.apply(*words)
        assert {} == report.errors
        (one,) = report.items
        return one

    def conflicts(self) -> list[Conflict]:
        """What is to be decided."""
        with self.project() as project:
            return project.control.conflicts.open()

    def decide(self, how: str) -> None:
        """Decide the one open conflict: ours, theirs, or a value."""
        (conflict,) = self.conflicts()
        with self.project() as project:
            resolve(project, [Decision(conflict_id=conflict.conflict_id, how=how)])

    # What left the house

    def writes(self, crm: str) -> list[Seen]:
        """Every request so far that could change something."""
        return [seen for seen in list(self.crm(crm).log) if seen.method != "GET" or "add_tag" in seen.path]

    def sent(self, crm: str) -> list[set[str]]:
        """The fields that each write so far carried, by the CRM's names, without those that its form demands."""
        return [_carried(crm, seen.body.decode()) - FORCED.get(crm, set()) for seen in self.writes(crm)]

    def lose(self, crm: str, *, applied: bool = True, count: int = 1, **how: Any) -> Any:
        """The next write's answer is lost: after it took effect, or before it could."""
        how = {"method": WRITING[crm], **how}
        return self.crm(crm).faults.add("reset", after=applied, count=count, **how)

    def on_write(self, crm: str, call: Callable[[], Any], *, after: bool, **how: Any) -> Any:
        """Do something just before the CRM acts on the next write, or just after."""
        return self.crm(crm).faults.add("hook", call=call, after=after, **{"method": WRITING[crm], **how})


def states(done: Done) -> dict[str, str]:
    """What became of each field of a deal."""
    return {name: field.state for name, field in done.fields.items()}


def _ids(outcome: editing.Outcome) -> list[str]:
    return [told.edit_id or "" for told in outcome.queued]


def _own(crm: str, field: str, value: Any) -> tuple[str, Any]:
    name = OWN[crm].get(field, field)
    if field == "amount":
        return name, Decimal(str(value))
    return name, f"{value}T00:00:00Z" if (crm, field) == ("capsule", "expected_close_date") else value


def _day(value: Any) -> str:
    return str(value)[:10]


def _money(value: Any) -> str:
    return f"{Decimal(str(value)):.2f}"


def _carried(crm: str, body: str) -> set[str]:
    if crm == "capsule":
        return {one.rstrip("/") for one in re.findall(r"<([A-Za-z]+/?)>", body)[1:]}
    told = json.loads(body or "{}")
    return set(told.get("Opportunity", told))

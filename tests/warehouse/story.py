"""The story that docs/warehouse.md tells, played: two simulated CRMs, syncs, a push, a conflict and a frozen day."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import onepipe.edit as editing
from onepipe.freezing import freeze
from onepipe.sandbox import Sandbox
from tests.push.desk import Desk

BEGINS = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Office(Desk):
    """A project with the accounts acme (Capsule) and north (Administrate), empty; clocks stand until they are set."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        super().__init__(folder, sandbox, ("capsule", "administrate"))
        self.connections = {"acme": self.connections["capsule"], "north": self.connections["administrate"]}
        self.capsule, self.administrate = sandbox["capsule"], sandbox["administrate"]

    def on(self, day: str, time: str = "12:00") -> None:
        """Set the clock."""
        self.now = datetime.fromisoformat(f"2026-{day} {time}").replace(tzinfo=UTC)

    def noon(self, day: str, run: Callable[[], Any]) -> Any:
        """A command at noon; opening the project takes the second before."""
        self.on(day)
        self.later(seconds=-1)
        return run()

    def pull(self) -> None:
        """A sync that leaves publishing to a later one."""
        self.sync(publishing=False)

    def want(self, source_id: int, word: str, reason: str) -> None:
        """Queue an edit of a deal in acme."""
        with self.project() as project:
            editing.queue(
                project.config, project.control, editing.from_words("acme", str(source_id), [word], (), reason)
            )

    def freeze(self) -> None:
        """Keep the day."""
        with self.project() as project:
            freeze(project, "board-2026-01", None, "for the board", self.notes.said.append, self.now)


def play(folder: Path) -> Path:
    """The whole story; config.yaml of its project."""
    with Sandbox(rows=0, crms=["capsule", "administrate"], now=BEGINS) as sandbox:
        office = Office(folder, sandbox)
        office.on("01-05", "09:00")
        _made(office)
        office.noon("01-05", office.pull)
        _changed(office)
        _pushed(office)
        office.noon("01-31", office.freeze)
        office.on("02-03", "09:00")
        office.capsule.update(43, value="1500.00")
        office.noon("02-03", office.sync)
        return office.config


def _made(office: Office) -> None:
    """Four deals, 43 to 45 in acme and 1 in north, and what belongs to them."""
    capsule, administrate = office.capsule, office.administrate
    capsule.insert(name="Audit", value="1000.00", expectedCloseDate="2026-02-27T00:00:00Z", tags=["vip", "EU"])
    capsule.insert(name="Training", value="500.00", milestone="Bid")
    capsule.insert(name="Support", value="80.00")
    capsule.write_note(43, "Called back")
    capsule.extra_parties[43] = [22]
    capsule.parties[22] |= {"firstName": "Ann", "lastName": "Oto"}
    capsule.emails[22] = ["ann@example.org"]
    seats = {"item": {"id": 1, "name": "Seat"}, "price": Decimal(100), "quantity": 3}
    letter = {"document_template": {"id": 1}, "name": "Letter", "body": "Dear Ann"}
    cohort = administrate.insert(name="Cohort", currency={"id": "GBP"}, interests=[seats], documents=[letter])
    administrate.rows[cohort]["quotes"].append(_quote(7, 300, "2026-01-05", "2026-01-31"))


def _changed(office: Office) -> None:
    """What people do in the CRMs, and a sync at noon of each of those days."""
    capsule, administrate = office.capsule, office.administrate
    office.on("01-12", "09:30")
    capsule.update(43, value="1200.00", milestone="Bid")
    capsule.update(44, expectedCloseDate="in spring")
    office.on("01-12", "10:00")
    quotes = [*administrate.rows[1]["quotes"], _quote(8, 280, "2026-01-12", "2026-02-28")]
    document = administrate.rows[1]["documents"][0] | {"body": "Dear Ms Oto", "updated_at": "2026-01-12T10:00:00Z"}
    administrate.rows[1]["documents"] = [document]
    administrate.update(1, quotes=quotes)
    office.noon("01-12", office.pull)
    office.on("01-13", "08:00")
    capsule.insert(name="Hosting", value="60.00", updatedOn="2026-01-12T11:00:00Z", createdOn="2026-01-12T11:00:00Z")
    office.noon("01-13", office.pull)
    office.on("01-20", "10:00")
    capsule.delete(45)
    capsule.write_note(43, "Sent the offer")
    capsule.extra_parties[43] = [22, 2]
    capsule.parties[2]["name"] = "Acme Ltd"
    capsule.update(43, description="Two sites")
    office.noon("01-20", office.sync)


def _pushed(office: Office) -> None:
    """Two edits; what one of them is about has meanwhile changed in the CRM, too."""
    office.on("01-26", "09:00")
    office.want(43, "expected_close_date=2026-03-31", "agreed by phone")
    office.want(44, "amount=550", "one more day")
    office.on("01-26", "10:00")
    office.capsule.update(44, value="600.00")
    office.noon("01-26", office.apply)


def _quote(number: int, value: int, made: str, until: str) -> dict[str, Any]:
    money = {"value": Decimal(value), "currency": {"id": "GBP"}}
    return {"id": number, **money, "created_at": f"{made}T09:00:00Z", "expires_at": until}

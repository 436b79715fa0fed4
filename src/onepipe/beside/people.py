"""people.csv: whom an owner's id in a CRM stands for, and to which team that person belongs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onepipe.beside.reach as reach
import onepipe.beside.sheet as sheet
from onepipe.beside.sheet import Line
from onepipe.errors import Fault

FILE = "people.csv"
COLUMNS = ("connection", "owner_id", "person", "team")
PRINTED = ("owner", "deals", "open_deals", "decided")  # what `onepipe people` adds for the eye


@dataclass(frozen=True, slots=True)
class PersonLine:
    """One line that decides something; None where it says nothing of it."""

    line: Line
    owner_id: str
    person: str | None
    team: str | None

    @property
    def connection(self) -> str:
        """The name or glob of the connections it is about."""
        return self.line["connection"]


@dataclass(frozen=True, slots=True)
class PersonDecision:
    """Whom an owner of one connection stands for; `decided_by` is the line that says so."""

    connection: str
    decided_by: PersonLine

    @property
    def row(self) -> tuple[str, str, str | None, str | None]:
        """connection, owner_id, person, team."""
        return self.connection, self.decided_by.owner_id, self.decided_by.person, self.decided_by.team


def read(path: Path, names: Sequence[str]) -> tuple[tuple[PersonLine, ...], list[Fault]]:
    """The lines that decide something, and what is wrong with the file; `names` are the connections there are."""
    found = sheet.read(path, COLUMNS, ("connection", "owner_id"), PRINTED)
    wrong = [line.fault("owner_id", "it is missing") for line in found.lines if not line["owner_id"]]
    lines = [PersonLine(line, line["owner_id"], line["person"] or None, line["team"] or None) for line in found.lines]
    deciding = [one for one in lines if one.owner_id and (one.person or one.team)]
    meant: dict[int, list[reach.Meaning]] = {one.line.number: [(one.owner_id,)] for one in deciding}
    lost = reach.faults([(line, meant.get(line.number, ())) for line in found.lines], names)
    return tuple(deciding), [*found.faults, *wrong, *lost]


def decisions(lines: Sequence[PersonLine], names: Sequence[str]) -> list[PersonDecision]:
    """What is decided in each connection that a line means."""
    every = (PersonDecision(name, one) for one in lines for name in reach.matching(one.connection, names))
    return reach.distinct(every, lambda one: (one.connection, one.decided_by.owner_id))

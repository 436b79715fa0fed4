"""What was seen beside what is decided of it: lines to look at, lines to fill in, and lines that nothing answers to."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import onepipe.beside.people as people
import onepipe.beside.stages as stages
from onepipe.beside import Beside
from onepipe.beside.people import PersonLine
from onepipe.beside.reach import matching
from onepipe.beside.stages import StageLine
from onepipe.warehouse.labels import SeenOwner, SeenStage
from onepipe.yamlmarks import did_you_mean

STAGE_KEYS = (*stages.COLUMNS, *stages.PRINTED)
PERSON_KEYS = ("connection", "owner_id", "owner", "person", "team", "deals", "open_deals", "decided")
Row = dict[str, Any]
Seen = TypeVar("Seen", bound=SeenStage | SeenOwner)
Decided = TypeVar("Decided", bound=StageLine | PersonLine)


@dataclass(frozen=True, slots=True)
class Listing(Generic[Seen, Decided]):
    """Everything seen with the line that decides of it, and every line.

    `row` prints what is named by a seen one or by a line, with the deals of all those seen, as the line decides.
    """

    seen: Sequence[tuple[Seen, Decided | None]]
    lines: Sequence[Decided]
    row: Callable[[Seen | Decided, Sequence[Seen], Decided | None], Row]

    def rows(self) -> list[Row]:
        """One for each seen, and one for each line that decides of nothing seen; `decided` is the line's number."""
        return [
            *(self.row(one, [one], line) for one, line in self.seen),
            *(self.row(line, [], line) for line in self.unheard()),
        ]

    def to_fill_in(self, connections: Collection[str]) -> list[Row]:
        """Every line there is, as it stands, globs too; then one for each seen, in these connections, without a line.

        What is written takes the place of the file, so no line may be missing, whichever connections were asked for.
        """
        answers = self._answers()
        left = [one for one, line in self.seen if line is None and one.connection in connections]
        return [
            *(self.row(line, answers[line.line.number], line) for line in self.lines),
            *(self.row(one, [one], None) for one in left),
        ]

    def unheard(self) -> list[Decided]:
        """The lines that decide of nothing that was ever seen."""
        answers = self._answers()
        return [line for line in self.lines if not answers[line.line.number]]

    def _answers(self) -> dict[int, list[Seen]]:
        answers: dict[int, list[Seen]] = {line.line.number: [] for line in self.lines}
        for one, line in self.seen:
            if line is not None:
                answers[line.line.number].append(one)
        return answers


def of_stages(said: Beside, seen: Sequence[SeenStage]) -> Listing[SeenStage, StageLine]:
    """Stages, by their labels; rows have STAGE_KEYS. Deals without a stage are in none."""
    found = {one.row[:3]: one.decided_by for one in stages.decisions(said.stages, _connections(seen))}
    pairs = [
        (one, found.get((one.connection, one.pipeline, one.stage)) or found.get((one.connection, None, one.stage)))
        for one in seen
        if one.stage is not None
    ]
    return Listing(pairs, said.stages, _stage)


def of_people(said: Beside, seen: Sequence[SeenOwner]) -> Listing[SeenOwner, PersonLine]:
    """Owners, by the CRM's ids; rows have PERSON_KEYS."""
    found = {one.row[:2]: one.decided_by for one in people.decisions(said.people, _connections(seen))}
    return Listing([(one, found.get((one.connection, one.owner_id))) for one in seen], said.people, _person)


def unheard(said: Beside, seen: Sequence[SeenStage], owners: Sequence[SeenOwner]) -> Iterator[str]:
    """Each line that decides of nothing ever seen, in words; of connections that nothing is loaded of yet, none."""
    for one in of_stages(said, seen).unheard():
        names = matching(one.connection, _connections(seen))
        known = dict.fromkeys(stage.stage for stage in seen if stage.connection in names and stage.stage)
        where = f" in the pipeline {one.pipeline!r}" if one.pipeline and one.stage in known else ""
        guess = "" if where else f"; {did_you_mean(one.stage, known)}"
        if names:
            yield f"{stages.FILE}:{one.line.number}: no deal was ever seen in the stage {one.stage!r}{where}{guess}"
    for person in of_people(said, owners).unheard():
        if matching(person.connection, _connections(owners)):
            yield f"{people.FILE}:{person.line.number}: no deal was ever seen of the owner {person.owner_id!r}"


def _connections(seen: Sequence[SeenStage] | Sequence[SeenOwner]) -> list[str]:
    return list(dict.fromkeys(one.connection for one in seen))


def _stage(named: SeenStage | StageLine, seen: Sequence[SeenStage], line: StageLine | None) -> Row:
    told: Row = {"connection": named.connection, "pipeline": named.pipeline, "stage": named.stage}
    told |= {"stage_group": None, "status": None, "weight": None}
    if line:
        told |= {"stage_group": line.stage_group, "status": line.status}
        told |= {"weight": None if line.weight is None else f"{line.weight:f}"}
    read_as = dict.fromkeys(word for one in seen for word in one.read_as)
    return (
        told | _counted(seen) | {"read_as": ", ".join(read_as) or None, "decided": line.line.number if line else None}
    )


def _person(named: SeenOwner | PersonLine, seen: Sequence[SeenOwner], line: PersonLine | None) -> Row:
    owners = dict.fromkeys(one.owner for one in seen if one.owner)
    told: Row = {"connection": named.connection, "owner_id": named.owner_id}
    told |= {"owner": ", ".join(owners) or None}
    told |= {"person": line.person, "team": line.team} if line else {"person": None, "team": None}
    return told | _counted(seen) | {"decided": line.line.number if line else None}


def _counted(seen: Sequence[SeenStage] | Sequence[SeenOwner]) -> Row:
    return {"deals": sum(one.deals for one in seen), "open_deals": sum(one.open_deals for one in seen)}

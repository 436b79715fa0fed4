"""stages.csv: what people decide of stages, by the labels they see: a group, how deals in it are read, a weight."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import onepipe.beside.reach as reach
import onepipe.beside.sheet as sheet
from onepipe.beside.sheet import Line
from onepipe.errors import Fault
from onepipe.yamlmarks import did_you_mean

FILE = "stages.csv"
COLUMNS = ("connection", "pipeline", "stage", "stage_group", "status", "weight")
PRINTED = ("deals", "open_deals", "read_as", "decided")  # what `onepipe stages` adds for the eye
STATUSES = ("open", "won", "lost", "abandoned")
_DECIMALS = 4  # of a weight, as of a probability


@dataclass(frozen=True, slots=True)
class StageLine:
    """One line that decides something; `pipeline` is None for any, the rest None where it says nothing of it."""

    line: Line
    pipeline: str | None
    stage: str
    stage_group: str | None
    status: str | None
    weight: Decimal | None

    @property
    def connection(self) -> str:
        """The name or glob of the connections it is about."""
        return self.line["connection"]


@dataclass(frozen=True, slots=True)
class StageDecision:
    """What is decided of a stage of one connection; `decided_by` is the line that says so."""

    connection: str
    decided_by: StageLine

    @property
    def row(self) -> tuple[str, str | None, str, str | None, str | None, Decimal | None]:
        """connection, pipeline, stage, stage_group, status, weight."""
        one = self.decided_by
        return self.connection, one.pipeline, one.stage, one.stage_group, one.status, one.weight


def read(path: Path, names: Sequence[str]) -> tuple[tuple[StageLine, ...], list[Fault]]:
    """The lines that decide something, and what is wrong with the file; `names` are the connections there are."""
    found = sheet.read(path, COLUMNS, ("connection", "stage"), PRINTED)
    wrong = [fault for line in found.lines for fault in _wrong(line)]
    bad = {fault.line for fault in wrong}
    lines = [_line(line) for line in found.lines if line.number not in bad]
    deciding = [one for one in lines if (one.stage_group, one.status, one.weight) != (None, None, None)]
    meant = _meant(deciding)
    lost = reach.faults([(line, meant.get(line.number, ())) for line in found.lines], names)
    return tuple(deciding), [*found.faults, *wrong, *lost]


def decisions(lines: Sequence[StageLine], names: Sequence[str]) -> list[StageDecision]:
    """What is decided in each connection that a line means."""
    every = (StageDecision(name, one) for one in lines for name in reach.matching(one.connection, names))
    return reach.distinct(every, lambda one: (one.connection, one.decided_by.pipeline or "", one.decided_by.stage))


def _meant(lines: Sequence[StageLine]) -> dict[int, list[reach.Meaning]]:
    """The stages that each line means; one for any pipeline means those that other lines name, too."""
    pipelines: dict[str, set[str]] = defaultdict(lambda: {""})
    for one in lines:
        pipelines[one.stage].add(one.pipeline or "")
    return {
        one.line.number: [(name, one.stage) for name in ([one.pipeline] if one.pipeline else pipelines[one.stage])]
        for one in lines
    }


def _wrong(line: Line) -> Iterator[Fault]:
    if not line["stage"]:
        yield line.fault("stage", "it is missing")
    status = line["status"].lower()
    if status and status not in STATUSES:
        yield line.fault("status", f"{line['status']!r} is no status; {did_you_mean(status, STATUSES)}")
    if line["weight"]:
        weight = sheet.number(line["weight"])
        if weight is None or not 0 <= weight <= 1:
            yield line.fault("weight", f"{line['weight']!r} is no number from 0 to 1, such as 0.5")
        elif round(weight, _DECIMALS) != weight:
            yield line.fault("weight", f"{line['weight']!r} has more than {_DECIMALS} decimals")


def _line(line: Line) -> StageLine:
    return StageLine(
        line=line,
        pipeline=line["pipeline"] or None,
        stage=line["stage"],
        stage_group=line["stage_group"] or None,
        status=line["status"].lower() or None,
        weight=sheet.number(line["weight"]),
    )

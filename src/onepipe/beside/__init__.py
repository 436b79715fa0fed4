"""The files beside config.yaml in which people decide what no CRM tells: stages.csv, people.csv, and the rates.

None of the first two has to be there; that of the rates has to where config.yaml names it. What they decide is kept in
the warehouse at the next commit, for the views and for whoever asks the published file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onepipe.beside.people as people
import onepipe.beside.rates as rates
import onepipe.beside.stages as stages
import onepipe.warehouse.ledger as ledger
from onepipe.beside.people import PersonLine
from onepipe.beside.rates import RateLine
from onepipe.beside.reach import matching
from onepipe.beside.stages import StageLine
from onepipe.config import Config
from onepipe.errors import ConfigError, Fault
from onepipe.yamlmarks import refuse

__all__ = ["Beside", "PersonLine", "RateLine", "StageLine", "load", "stamps"]

Stamps = tuple[tuple[int, int] | None, ...]  # of each file: when it was changed (ns) and its size; None: not there


@dataclass(frozen=True, slots=True)
class Beside:
    """What the files say, as it was when `stamps` was taken; `names` are the connections globs were held against."""

    names: tuple[str, ...] = ()
    stamps: Stamps = ()
    stages: tuple[StageLine, ...] = ()
    people: tuple[PersonLine, ...] = ()
    rates: tuple[RateLine, ...] = ()
    rates_mark: str = ""  # another one where the rates are others

    def about(self, names: Sequence[str]) -> "Beside":
        """The lines about any of these connections."""
        stages = tuple(one for one in self.stages if matching(one.connection, names))
        return replace(self, stages=stages, people=tuple(p for p in self.people if matching(p.connection, names)))


def files(config: Config) -> tuple[Path, ...]:
    """Where the files are, or would be."""
    named = [config.reporting.rates] if config.reporting and config.reporting.rates else []
    return (config.folder / stages.FILE, config.folder / people.FILE, *named)


def stamps(config: Config) -> Stamps:
    """Whether the files changed can be told by these."""
    return tuple(_stamp(path) for path in files(config))


def load(config: Config) -> Beside:
    """Read the files that are there. Raises ConfigError with all their faults."""
    taken = stamps(config)
    rate_lines, wrong = _rates(config)
    if not any(taken) and not wrong:
        return Beside(tuple(config.connections), taken)
    names = tuple(dict.fromkeys([*config.connections, *ledger.connections(config.warehouse)]))
    stage_lines, faults = stages.read(config.folder / stages.FILE, names) if taken[0] else ((), [])
    people_lines, more = people.read(config.folder / people.FILE, names) if taken[1] else ((), [])
    try:
        refuse([*faults, *more, *wrong])
    except ConfigError as error:
        raise ConfigError(error.message, "nothing was started, and nothing is changed", error.faults) from None
    return Beside(names, taken, stage_lines, people_lines, rate_lines, rates.mark(rate_lines))


def _rates(config: Config) -> tuple[tuple[RateLine, ...], list[Fault]]:
    told = config.reporting
    return rates.read(told.rates, told.currency) if told and told.rates else ((), [])


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size

"""The files beside config.yaml while a process lives: read again where they were changed, and kept in the warehouse."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import onepipe.beside.listing as listing
import onepipe.beside.people as people
import onepipe.beside.rates as rates
import onepipe.beside.stages as stages
import onepipe.warehouse.decisions as decisions
import onepipe.warehouse.labels as labels
import onepipe.warehouse.ledger as ledger
import onepipe.warehouse.rates as worth
from onepipe import beside
from onepipe.beside import Beside
from onepipe.config import Config
from onepipe.errors import ConfigError
from onepipe.warehouse.database import Database

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Resolved:
    """What the files say of each connection there is."""

    said: Beside
    names: tuple[str, ...]
    stages: Rows
    people: Rows

    @property
    def mark(self) -> str:
        """Another one where anything in it is."""
        return hashlib.sha256(repr((self.names, self.stages, self.people)).encode()).hexdigest()


class Files:
    """The files of one project. Raises ConfigError where one of them is wrong, with all faults of all of them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.said = beside.load(config)
        self._resolved = _Resolved(self.said, (), [], [])
        self._mark = self._resolved.mark
        self._told = set[str]()
        self._looked = set[tuple[Any, ...]]()

    def renew(self) -> Beside:
        """What the files say by now: a daemon outlives many of their versions. Raises ConfigError."""
        if beside.stamps(self._config) != self.said.stamps:
            self.said = beside.load(self._config)
        return self.said

    def keep(self, db: Database) -> None:
        """Take what the files say over into the warehouse, as a part of the caller's commit.

        One that is being edited and is wrong just now changes nothing; the next run says what is wrong.
        """
        try:
            said = self.renew()
        except ConfigError:
            return
        names = self._names(db) if said.stages or said.people else ()
        if (said, names) != (self._resolved.said, self._resolved.names):
            self._resolved = _Resolved(
                said,
                names,
                [one.row for one in stages.decisions(said.stages, names)],
                [one.row for one in people.decisions(said.people, names)],
            )
            self._mark = self._resolved.mark
        decisions.keep(db, self._mark, self._resolved.stages, self._resolved.people)
        currency = self._config.reporting.currency if self._config.reporting else None
        worth.keep(db, currency, (one.row for one in said.rates), said.rates_mark)

    def gaps(self, now: datetime) -> list[str]:
        """The days up to today that have no rate, in words, a line for each currency; each is told once."""
        told, today = self._config.reporting, now.astimezone(ZoneInfo(self._config.timezone)).date()
        name = told.rates.name if told and told.rates else ""
        return self._new([f"{name}: {text}" for text in rates.gaps(self.said.rates, today)])

    def unheard(self, db: Database, chosen: Sequence[str]) -> list[str]:
        """The lines about these connections that nothing seen answers to, in words; each is told once.

        Looking takes a second or two for millions of versions, so a daemon looks once for each state of the files.
        """
        said, names, looked = self.said.about(chosen), self._names(db), (self.said.stamps, *chosen)
        if looked in self._looked or not (said.stages or said.people):
            return []
        self._looked.add(looked)
        found = listing.unheard(said, labels.stages(db, names), labels.owners(db, names))
        return self._new(found)

    def _new(self, found: Iterable[str]) -> list[str]:
        new = [text for text in found if text not in self._told]
        self._told.update(new)
        return new

    def _names(self, db: Database) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self._config.connections, *sorted(ledger.names(db))]))

"""What edits of one connection are judged by: its mapping, what its CRM can be written, its stages and names."""

from collections.abc import Mapping
from dataclasses import dataclass

from onepipe.account import applied_mapping, closed_connector, mapping_of, reading_of
from onepipe.config import Config, Connection
from onepipe.connector import Connector, Writes
from onepipe.mapping import Mapping as MappingFile
from onepipe.merge import PLAIN, Habits
from onepipe.warehouse import books, canonical
from onepipe.warehouse.database import Database
from onepipe.warehouse.versions import Reading

SELECTORS = {label: f"{label}_id" for label in ("pipeline", "stage", "owner", "company", "contact")}
PARTNER = SELECTORS | {id_: label for label, id_ in SELECTORS.items()}
_LABEL = {id_: label for label, id_ in SELECTORS.items()}


def mode_of(connection: Connection) -> str:
    """The write mode of a connection; `disabled` where no push looks at it."""
    return connection.write.mode if connection.enabled else "disabled"


def slot(field: str) -> str:
    """What one open edit stands for: an id and its label are one."""
    return _LABEL.get(field, field)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One connection as its edits see it, without a credential.

    `stages` are all that are known, `listed` whether the CRM itself lists them (else they are those its deals stand
    in); `pairs` are the ids and labels that its deals name, by slot; `customs` the names of the custom fields that its
    deals have, where those are written by name and somebody asked for them.
    """

    connection: Connection
    connector: Connector
    mapping: MappingFile
    reading: Reading
    stages: list[dict[str, str | None]]
    listed: bool
    pairs: Mapping[str, list[tuple[str, str]]]
    customs: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The connection's name."""
        return self.connection.name

    @property
    def writes(self) -> Writes | None:
        """What is known of writing to this CRM; None: nothing is ever written."""
        return self.connector.writes

    @property
    def tells(self) -> bool:
        """Whether the CRM can be asked what a column chosen from a list can hold; else only its deals tell."""
        return type(self.connector).choices is not Connector.choices

    @property
    def habits(self) -> Habits:
        """What this CRM does to what it is sent."""
        return self.writes.habits if self.writes else PLAIN

    @property
    def places(self) -> Mapping[str, tuple[str, ...]]:
        """Fields that can be written although the mapping has no way back for them."""
        return self.writes.places if self.writes else {}

    def written(self, field: str) -> str | None:
        """The column that is written for an edit of `field`: itself, or its partner; None where there is no way."""
        return next((one for one in (field, PARTNER.get(field)) if one and self._has_way(one)), None)

    def _has_way(self, field: str) -> bool:
        whole, _, key = field.partition(".")
        made = self.mapping.fields.get("custom" if whole == "custom" else field)
        if field in self.places or (made is not None and made.to is not None):
            return True
        if field == "line_items":
            return self.writes is not None and self.writes.items is not None
        return whole == "custom" and bool(key) and "custom" in self.places


def open_target(config: Config, connection: Connection, db: Database, *, customs: bool = False) -> Target:
    """A connection as the published warehouse knows it, with its `customs` if asked for. Raises ConfigError."""
    kept = books.mapping(db, connection.name)
    mapping = applied_mapping(config, connection, kept) if kept else mapping_of(config, connection)
    connector = closed_connector(config, connection)
    pairs = {label: canonical.pairs(db, connection.name, id_) for label, id_ in SELECTORS.items() if label != "stage"}
    writes, custom = connector.writes, mapping.fields.get("custom")
    named = customs and custom is not None and custom.transform.name == "labelled"
    for column in writes.by_id if writes else ():
        pairs[column] = canonical.pairs_at(db, connection.name, column, writes.places[column] if writes else ())
    return Target(
        connection=connection,
        connector=connector,
        mapping=mapping,
        reading=reading_of(config, connection, mapping, connector),
        stages=canonical.stages(db, connection.name),
        listed=mapping.stages is not None and mapping.stages.resource in connector.facts.reference,
        pairs=pairs,
        customs=canonical.customs(db, connection.name) if named else frozenset(),
    )

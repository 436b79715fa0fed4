"""What config.yaml says, as frozen objects. Descriptions and defaults here are those of `onepipe schema config`."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from onepipe.config.fleet import Fleet as Made
from onepipe.config.kinds import (
    ConnectionName,
    Currency,
    Duration,
    FieldName,
    LeftOut,
    Location,
    Part,
    Reserve,
    Schedule,
    Secret,
    Url,
    Zone,
    default,
    listed,
)
from onepipe.config.lists import Looked
from onepipe.config.service import Command, Daemon
from onepipe.errors import ConfigError, Fault
from onepipe.yamlmarks import Marks, did_you_mean, dotted

Policy = Literal["ask", "remote_wins", "local_wins", "fill_if_blank"]
WHOLE = "whole.duckdb"  # in the state folder: everything, where the published file leaves something out


class FieldRule(Part):
    """How one field is written back."""

    conflict: Policy | None = default(None, "What to do when both sides changed this field")
    write: bool = default(True, "false: never written, whatever is edited here")


class Limits(Part):
    """What a push may do at the most."""

    max_rows: int = default(200, "A plan with more records is refused whole", ge=0)
    max_deletes: int = default(0, "A plan with more deletions is refused whole", ge=0)
    canary: int = default(5, "So many records are written and verified before the rest", ge=0)


class Write(Part):
    """Whether and how edits go back to the CRM."""

    mode: Literal["off", "plan", "on"] = default("off", "off: nothing but reads; plan: plans only; on: apply")
    conflict: Policy = default("ask", "What to do when both sides changed a field")
    fields: dict[FieldName, FieldRule] = default({}, "Exceptions by field (a column, custom.KEY or extra.NAME)")
    limits: Limits = default(Limits(), "What a push may do at the most")

    def policy(self, field: str) -> Policy:
        """What to do when both sides changed `field`."""
        rule = self.fields.get(field)
        return rule.conflict if rule and rule.conflict else self.conflict

    def allows(self, field: str) -> bool:
        """Whether `field` may be written, as far as config.yaml says."""
        return field not in self.fields or self.fields[field].write


class Connection(Part):
    """One account of one CRM."""

    connector: str = Field(description="Which CRM: the name of a file in connectors/, without .py", min_length=1)
    base_url: Url | None = default(None, "The account's address; may carry a path; http only to this machine")
    credentials: dict[str, Secret] = default({}, "What the connector asks for; best as ${NAME}")
    labels: dict[str, str] = default({}, "Any words to select connections by: label:client=Acme")
    enabled: bool = default(True, "false keeps the data and stops syncing")
    mapping: Location | None = default(None, "Default: mappings/CONNECTOR.yaml beside this file, then ours")
    schedule: Schedule = default("15m", "Interval or five-field cron, for the daemon")
    sweep: Duration = default("24h", "How often everything is read again")
    overlap: Duration = default("2m", "How far each run reads back before the watermark")
    reserve: Reserve = default("50%", "How much of the CRM's quota is left to people and other programs")
    currency: Currency | None = default(None, "For CRMs whose records carry none")
    settings: dict[str, Any] = default({}, "The connector's own, described in its file")
    write: Write = default(Write(), "Whether and how edits go back to the CRM")

    _name: str = PrivateAttr("")
    _entry: str = PrivateAttr("")
    _faults: tuple[Fault, ...] = PrivateAttr(())

    @property
    def entry(self) -> str:
        """Which entry of `connections_from:` made it (`connections_from[0]`); empty for one that is written out."""
        return self._entry

    @property
    def fault(self) -> ConfigError | None:
        """What is wrong with its own row of a list, so that it cannot run; never for one that is written out."""
        if not self._faults:
            return None
        return ConfigError(
            "; ".join(map(str, self._faults)),
            f"what was loaded is safe, and other connections go on; mend that, then `onepipe check {self.name}`",
        )

    @property
    def name(self) -> str:
        """The connection's name, its key in config.yaml."""
        return self._name

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that no log, error or report may show: its credentials, but for user names."""
        return tuple(value.get_secret_value() for key, value in self.credentials.items() if key != "username")

    def plain_credentials(self) -> dict[str, str]:
        """The credentials as the connector needs them. Never print the result."""
        return {key: value.get_secret_value() for key, value in self.credentials.items()}


def _same(name: str) -> Any:
    """A connection's key in an entry that stands for many: any text of it may hold {column}."""
    return Field(default=None, description=Connection.model_fields[name].description)


class Fleet(Part):
    """Many accounts by one list: all keys of a connection, whose texts may hold {column}."""

    name: str = default("", "How each is named, such as agency-{account}; default: CONNECTOR-{first column}")
    file: Location | None = default(None, "The list: a CSV file with headings, or JSON lines")
    command: Command | None = default(None, "A program that prints the list; a text is for the shell")
    every: Duration = default("10m", "How often the program is asked again")
    shrink: Literal["refuse", "allow"] = default("refuse", "allow: believe a list that lost most of its accounts")
    connector: Any = _same("connector")
    base_url: Any = _same("base_url")
    credentials: Any = _same("credentials")
    labels: Any = _same("labels")
    enabled: Any = _same("enabled")
    mapping: Any = _same("mapping")
    schedule: Any = _same("schedule")
    sweep: Any = _same("sweep")
    overlap: Any = _same("overlap")
    reserve: Any = _same("reserve")
    currency: Any = _same("currency")
    settings: Any = _same("settings")
    write: Any = _same("write")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.file is None) == (self.command is None):
            raise ValueError("needs either a file or a command, which lists the accounts")
        return self


def _several(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class Reporting(Part):
    """Amounts in one currency, and the fiscal year."""

    currency: Currency = Field(description="The currency amounts are reported in")
    rates: Location | None = default(None, "CSV file: date,currency,rate (what one unit is worth); no rate, no number")
    fiscal_year_start: int = default(1, "The month in which a fiscal year begins, 1 to 12", ge=1, le=12)


class Publish(Part):
    """What the published file does not hold."""

    raw: bool | None = default(None, "false: nothing of what the CRMs sent; default: true, with `exclude` false")
    exclude: Annotated[tuple[LeftOut, ...], BeforeValidator(listed)] = default(
        (), "Columns that are NULL wherever they appear: contact_email, x_arr, notes, contacts.email, ..."
    )

    @field_validator("exclude")
    @classmethod
    def _is_of_a_piece(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("raw"):
            raise ValueError("cannot stand beside `raw: true`: what is left out would still be in raw.records")
        if "currency" in value and "amount" not in value:
            raise ValueError("currency cannot be left out while amount is not: sums would be over several currencies")
        return value

    @property
    def left_out(self) -> tuple[str, ...]:
        """`raw` and the columns, each once and in order; nothing where the published file holds everything."""
        return ("raw", *sorted(set(self.exclude))) if self.exclude or self.raw is False else ()


class Config(Part):
    """A whole config.yaml. Paths are absolute; `connections` are in the order of the file."""

    warehouse: Location = default("warehouse.duckdb", "What people query; replaced after every run")
    state: Location = default(".onepipe", "Folder of private working files")
    timezone: Zone = default("UTC", "Reporting zone for days and months")
    reporting: Reporting | None = default(None, "Amounts in one currency; absent: none")
    publish: Publish = default(Publish(), "What the published file does not hold")
    daemon: Daemon = default(Daemon(), "How the daemon works, its port, and whom it tells")
    connections: dict[ConnectionName, Connection] = default({}, "One CRM account each, under a name of your own")
    connections_from: Annotated[tuple[Fleet, ...], BeforeValidator(_several)] = default(
        (), "Lists of accounts, each of which becomes a connection"
    )

    _marks: Marks = PrivateAttr()
    _notices: tuple[str, ...] = PrivateAttr(())
    _looked: tuple[Looked, ...] = PrivateAttr(())

    def placed(self, marks: Marks, made: Made | None = None) -> "Config":
        """This config, knowing where in which file everything stands, and each connection its name."""
        self._marks = marks
        for name, connection in self.connections.items():
            connection._name = name
        if made:
            self._notices, self._looked = tuple(made.notices), tuple(made.looked)
            for name, member in made.members.items():
                self.connections[name]._entry = dotted(member.place)
                self.connections[name]._faults = tuple(fault for _, fault in made.wrong.get(name, ()))
        return self

    @property
    def notices(self) -> tuple[str, ...]:
        """What people should know of the lists in `connections_from:`, in sentences."""
        return self._notices

    def outdated(self, now: float) -> bool:
        """Whether a list in `connections_from:` may say something else by now (epoch seconds); asks no program."""
        return any(one.outdated(now) for one in self._looked)

    @property
    def file(self) -> Path:
        """The config.yaml this is."""
        return self._marks.file

    @property
    def snapshot(self) -> Path:
        """The snapshot that our own commands read: the published file, or the whole one where that lacks something."""
        whole = self.state / WHOLE
        return whole if whole.is_file() else self.warehouse

    @property
    def folder(self) -> Path:
        """The project: where config.yaml lies."""
        return self.file.absolute().parent

    def fault_at(self, place: Sequence[str | int], message: str, *, key: bool = False) -> Fault:
        """A mistake at `place`, such as ("connections", "acme", "connector"), for whoever finds it later."""
        return self._marks.fault(place, message, key=key)

    def select(self, words: Sequence[str]) -> list[Connection]:
        """The connections that any of `words` names, in the order of the file; all if there are no words.

        A word is a name, a glob (`acme-*`) or `label:KEY=VALUE`, whose value may be a glob. Raises ConfigError for
        words that name nothing.
        """
        chosen = {name for word in words for name in self._named(word)}
        unknown = [word for word in words if not self._named(word)]
        if unknown:
            raise ConfigError(
                " ".join(f"No connection is named by {word!r}: {self._suggestion(word)}" for word in unknown),
                hint=f"Connections are named in {self.file}; see `onepipe status`. Nothing was started.",
            )
        return [one for name, one in self.connections.items() if not words or name in chosen]

    def _named(self, word: str) -> list[str]:
        if word in self.connections:
            return [word]
        if word.startswith("label:"):
            label, _, value = word.removeprefix("label:").partition("=")
            return [n for n, one in self.connections.items() if fnmatchcase(one.labels.get(label, "\0"), value)]
        return [name for name in self.connections if fnmatchcase(name, word)]

    def _suggestion(self, word: str) -> str:
        if not word.startswith("label:"):
            return did_you_mean(word, self.connections)
        return did_you_mean(
            word, {f"label:{k}={v}" for one in self.connections.values() for k, v in one.labels.items()}
        )

"""What config.yaml says, as frozen objects. Descriptions and defaults here are those of `onepipe schema config`."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

import onepipe.config.notation as notation
from onepipe import model
from onepipe.errors import ConfigError, Fault
from onepipe.yamlmarks import Marks, did_you_mean

Policy = Literal["ask", "remote_wins", "local_wins", "fill_if_blank"]
WHOLE = "whole.duckdb"  # in the state folder: everything, where the published file leaves something out


def _beside(value: object, info: ValidationInfo) -> object:
    """A path as the user wrote it, made absolute: relative ones lie beside config.yaml."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / Path(value).expanduser() if isinstance(value, str | Path) else value


def _read(reader: Callable[[object], Any]) -> BeforeValidator:
    """Read a value by one of notation's functions; a value that was already read (a default) passes."""
    return BeforeValidator(lambda value: reader(value) if isinstance(value, str | int | float) else value)


def _connection_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", value):
        raise ValueError("a connection's name is made of letters, digits and _ - . and begins with none of - and .")
    return value


def _field_name(value: str) -> str:
    known = [column.name for column in model.MAPPED if column.name not in ("custom", "extra")] + ["line_items"]
    if value in known or re.fullmatch(r"(custom|extra)\..+", value):
        return value
    raise ValueError(f"no field is called {value!r}; {did_you_mean(value, known)} (also custom.KEY and extra.NAME)")


def _left_out(value: str) -> str:
    children = {f"{child.name}.{column.name}" for child in model.CHILDREN.values() for column in child.columns}
    known = [column.name for column in model.MAPPED if column.name != "is_archived"] + [*model.CHILDREN, *children]
    known += ["person", "team"]
    if value in known or re.fullmatch(r"x_[a-z][a-z0-9_]*", value):
        return value
    if value in [column.name for column in model.OPPORTUNITY]:
        raise ValueError(f"{value} cannot be left out: rows are told apart, or deals found open, by it")
    raise ValueError(f"no column is called {value!r}; {did_you_mean(value, known)} (also x_NAME)")


def _listed(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(f"is a list of columns, even for one: [{value}]")
    return value


def _text(pattern: str | None = None) -> WithJsonSchema:
    return WithJsonSchema({"type": "string"} | ({"pattern": pattern} if pattern else {}))


def _default(value: object, description: str, **bounds: Any) -> Any:
    """A key that may be left out; the default is given as a user would write it, and read like it."""
    return Field(default=value, description=description, **bounds)


_DURATION = "^[0-9]+[smhd]$"
Location = Annotated[Path, BeforeValidator(_beside), _text()]
Duration = Annotated[timedelta, _read(notation.duration), _text(_DURATION)]
Schedule = Annotated[notation.Schedule, _read(notation.schedule), _text(rf"{_DURATION}|^\S+( \S+){{4}}$")]
Reserve = Annotated[float, _read(notation.reserve), _text(r"^[0-9]{1,2}(\.[0-9]+)?%$")]
Secret = Annotated[SecretStr, Field(min_length=1)]
Url = Annotated[str, _read(notation.base_url), _text("^https?://")]
Listen = Annotated[notation.Address, _read(notation.address), _text(":[0-9]+$")]
Zone = Annotated[str, _read(notation.timezone)]
FieldName = Annotated[str, BeforeValidator(_field_name)]
LeftOut = Annotated[str, AfterValidator(_left_out)]
ConnectionName = Annotated[str, BeforeValidator(_connection_name)]
Currency = Annotated[str, _read(notation.currency), _text("^[A-Za-z]{3}$")]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True, hide_input_in_errors=True
    )


class FieldRule(_Part):
    """How one field is written back."""

    conflict: Policy | None = _default(None, "What to do when both sides changed this field")
    write: bool = _default(True, "false: never written, whatever is edited here")


class Limits(_Part):
    """What a push may do at the most."""

    max_rows: int = _default(200, "A plan with more records is refused whole", ge=0)
    max_deletes: int = _default(0, "A plan with more deletions is refused whole", ge=0)
    canary: int = _default(5, "So many records are written and verified before the rest", ge=0)


class Write(_Part):
    """Whether and how edits go back to the CRM."""

    mode: Literal["off", "plan", "on"] = _default("off", "off: nothing but reads; plan: plans only; on: apply")
    conflict: Policy = _default("ask", "What to do when both sides changed a field")
    fields: dict[FieldName, FieldRule] = _default({}, "Exceptions by field (a column, custom.KEY or extra.NAME)")
    limits: Limits = _default(Limits(), "What a push may do at the most")

    def policy(self, field: str) -> Policy:
        """What to do when both sides changed `field`."""
        rule = self.fields.get(field)
        return rule.conflict if rule and rule.conflict else self.conflict

    def allows(self, field: str) -> bool:
        """Whether `field` may be written, as far as config.yaml says."""
        return field not in self.fields or self.fields[field].write


class Connection(_Part):
    """One account of one CRM."""

    connector: str = Field(description="Which CRM: the name of a file in connectors/, without .py", min_length=1)
    base_url: Url | None = _default(None, "The account's address; may carry a path; http only to this machine")
    credentials: dict[str, Secret] = _default({}, "What the connector asks for; best as ${NAME}")
    labels: dict[str, str] = _default({}, "Any words to select connections by: label:client=Acme")
    enabled: bool = _default(True, "false keeps the data and stops syncing")
    mapping: Location | None = _default(None, "Default: mappings/CONNECTOR.yaml beside this file, then ours")
    schedule: Schedule = _default("15m", "Interval or five-field cron, for the daemon")
    sweep: Duration = _default("24h", "How often everything is read again")
    overlap: Duration = _default("2m", "How far each run reads back before the watermark")
    reserve: Reserve = _default("50%", "How much of the CRM's quota is left to people and other programs")
    currency: Currency | None = _default(None, "For CRMs whose records carry none")
    settings: dict[str, Any] = _default({}, "The connector's own, described in its file")
    write: Write = _default(Write(), "Whether and how edits go back to the CRM")

    _name: str = PrivateAttr("")

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


class Reporting(_Part):
    """Amounts in one currency, and the fiscal year."""

    currency: Currency = Field(description="The currency amounts are reported in")
    rates: Location | None = _default(None, "CSV file: date,currency,rate (what one unit is worth); no rate, no number")
    fiscal_year_start: int = _default(1, "The month in which a fiscal year begins, 1 to 12", ge=1, le=12)


class Publish(_Part):
    """What the published file does not hold."""

    raw: bool | None = _default(None, "false: nothing of what the CRMs sent; default: true, with `exclude` false")
    exclude: Annotated[tuple[LeftOut, ...], BeforeValidator(_listed)] = _default(
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


class Daemon(_Part):
    """The daemon's own port."""

    listen: Listen = Field(description="host:port of health and metrics")


class Config(_Part):
    """A whole config.yaml. Paths are absolute; `connections` are in the order of the file."""

    warehouse: Location = _default("warehouse.duckdb", "What people query; replaced after every run")
    state: Location = _default(".onepipe", "Folder of private working files")
    timezone: Zone = _default("UTC", "Reporting zone for days and months")
    reporting: Reporting | None = _default(None, "Amounts in one currency; absent: none")
    publish: Publish = _default(Publish(), "What the published file does not hold")
    daemon: Daemon | None = _default(None, "The daemon's port; absent: none")
    connections: dict[ConnectionName, Connection] = _default({}, "One CRM account each, under a name of your own")

    _marks: Marks = PrivateAttr()

    def placed(self, marks: Marks) -> "Config":
        """This config, knowing where in which file everything stands, and each connection its name."""
        self._marks = marks
        for name, connection in self.connections.items():
            connection._name = name
        return self

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

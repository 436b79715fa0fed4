"""The kinds of values that config.yaml is made of: how each is read, checked, and told in its JSON Schema."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
)

import onepipe.config.notation as notation
from onepipe import model
from onepipe.yamlmarks import did_you_mean


def _beside(value: object, info: ValidationInfo) -> object:
    """A path as the user wrote it, made absolute: relative ones lie beside config.yaml."""
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / Path(value).expanduser() if isinstance(value, str | Path) else value


def _read(reader: Callable[[object], Any]) -> BeforeValidator:
    """Read a value by one of notation's functions; a value that was already read (a default) passes."""
    return BeforeValidator(lambda value: reader(value) if isinstance(value, str | int | float) else value)


def connection_name(value: str) -> str:
    """A connection's name as it is. Raises ValueError where it can be none."""
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


def listed(value: object) -> object:
    """A list as it is. Raises ValueError for a text, which is no list of its letters."""
    if isinstance(value, str):
        raise ValueError(f"is a list of columns, even for one: [{value}]")
    return value


def _text(pattern: str | None = None) -> WithJsonSchema:
    return WithJsonSchema({"type": "string"} | ({"pattern": pattern} if pattern else {}))


def default(value: object, description: str, **bounds: Any) -> Any:
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
ConnectionName = Annotated[str, BeforeValidator(connection_name)]
Currency = Annotated[str, _read(notation.currency), _text("^[A-Za-z]{3}$")]


class Part(BaseModel):
    """What stands below one key: frozen, without keys of its own invention."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True, hide_input_in_errors=True
    )

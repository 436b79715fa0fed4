"""From the text of config.yaml to a Config, with every mistake named at once by file, line and column."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import onepipe.config.fleet as fleet
from onepipe.config.parts import Config, Connection
from onepipe.config.placeholders import Placeholders
from onepipe.errors import Fault
from onepipe.yamlmarks import Marks, Place, did_you_mean, refuse
from onepipe.yamlmarks import load as load_yaml

_PLACES = ("state", "warehouse", "publish")
_VERBATIM = ("credentials", "labels")  # of a connection: 0123 and true are what was written, not a number or a truth


Further = Callable[[Any, Marks], list[Fault]]


def load(
    path: Path,
    environ: Mapping[str, str] | None = None,
    *,
    credentials: bool = True,
    further: Further | None = None,
    renewing: bool = False,
    believing: bool = False,
) -> Config:
    """Read config.yaml. Raises ConfigError with all its faults.

    `environ` (by default the process's own) and the `.env` beside the file give the values of `${NAME}`. Credentials of
    a disabled connection are left as they are written; with `credentials=False`, for commands that ask no CRM and tell
    nobody of anything, all are, and so is `on_event:`.
    `further` finds more faults in the data as read, so that those are told at once with ours.

    Of `connections_from:` what is wrong with a row's values makes that connection one with a `fault`; `renewing`, for
    the daemon, also gets by with lists that are wrong in places. `believing` takes a list however short it became.
    """
    data, marks = load_yaml(path)
    data = _shaped(fleet.listed({} if data is None else data, marks), (), marks)
    placeholders = Placeholders(marks, os.environ if environ is None else environ)
    data = placeholders.fill(data, lambda place: not _is_of_list(place))
    made = None
    if _has(data):
        made = fleet.Expansion(data, marks, Connection.model_fields, renewing=renewing, believing=believing).run()
        data = made.data
    filled = placeholders.fill(data, lambda place: _is_template(place) or _is_closed(place, data, credentials))
    faults = [*marks.faults, *placeholders.faults.values(), *(further(filled, marks) if further else [])]
    config = _checked(filled, faults, marks, set(placeholders.faults), made or fleet.Fleet(data))
    if made:
        made.keep()
    return config.placed(marks, made)


def places(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Where the state and the warehouse of config.yaml are, and what is published; nothing else of it is read.

    So it needs no secret, and no list of accounts. Raises ConfigError.
    """
    data, marks = load_yaml(path)
    data = _shaped({} if data is None else data, (), marks)
    if isinstance(data, dict):
        data = {key: value for key, value in data.items() if key in _PLACES}
    placeholders = Placeholders(marks, os.environ if environ is None else environ)
    filled = placeholders.fill(data, lambda _: False)
    faults = [*marks.faults, *placeholders.faults.values()]
    return _checked(filled, faults, marks, set(placeholders.faults), fleet.Fleet(data)).placed(marks)


def _checked(filled: Any, faults: list[Fault], marks: Marks, known: set[Place], made: fleet.Fleet) -> Config:
    """The data as a Config. `known` are places whose faults are among `faults`. Raises ConfigError."""
    context = {"folder": marks.file.absolute().parent}
    try:
        config, found = Config.model_validate(filled, context=context), []
    except ValidationError as error:
        config, found = None, [_fault(one, marks) for one in error.errors() if one["loc"] not in known]
    own = [*made.faults, *made.sort([*faults, *found], marks)]
    if own:
        refuse([*own, *(fault for several in made.wrong.values() for _, fault in several)])
    if config is None or made.wrong:  # single rows alone are wrong: they are kept without the keys that are
        for name, wrong in made.wrong.items():
            spoilt = {key for key, _ in wrong} - {"connector"}
            entry = filled["connections"][name]
            filled["connections"][name] = {key: value for key, value in entry.items() if key not in spoilt}
        config = Config.model_validate(filled, context=context)
    return config


def names(path: Path) -> list[str]:
    """The names that `connections_from:` makes, as far as that is known without asking a program; for completion."""
    data, marks = load_yaml(path)
    data = fleet.listed(data, marks)
    return fleet.Expansion(data, marks, Connection.model_fields).known() if _has(data) else []


def schema() -> dict[str, Any]:
    """A JSON Schema of config.yaml for editors. It allows what we do: an empty key, and ${NAME} for any value."""
    whole = Config.model_json_schema()
    for part in [whole, *whole["$defs"].values()]:
        for name, wanted in part["properties"].items():
            described = {"description": wanted["description"]}
            ways = [wanted, {"type": "string", "pattern": r"\$\{"}]
            optional = [] if name in part.get("required", ()) else [{"type": "null"}]
            part["properties"][name] = described | {"anyOf": ways + optional}
    whole["properties"][fleet.KEY]["anyOf"].append({"$ref": "#/$defs/Fleet"})
    return whole


def _shaped(data: Any, place: Place, marks: Marks) -> Any:
    """Empty keys taken out, as if they were not there, and what is to be text put back as it was written."""
    if len(place) >= 3 and place[2] in _VERBATIM and place[0] in ("connections", fleet.KEY):
        if isinstance(data, dict):
            return {key: _shaped(value, (*place, key), marks) for key, value in data.items()}
        return marks.texts.get(place, data) if data is not None else None
    if isinstance(data, list) and place == (fleet.KEY,):
        return [_shaped(value, (*place, number), marks) for number, value in enumerate(data)]
    if isinstance(data, dict) and place[2:3] != ("settings",):
        kept = {key: _shaped(value, (*place, key), marks) for key, value in data.items()}
        # A connection without anything is a mistake to be named, not an absent one.
        return {
            key: {} if value is None else value for key, value in kept.items() if value is not None or len(place) == 1
        }
    return data


def _has(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get(fleet.KEY), list)


def _is_of_list(place: Place) -> bool:
    """Whether a place leads to, or lies in, the keys of an entry that say where its list is."""
    return place[:1] in ((), (fleet.KEY,)) and (len(place) < 3 or place[2] in fleet.OWN)


def _is_template(place: Place) -> bool:
    return place == (fleet.KEY,)


def _is_closed(place: Place, data: Any, credentials: bool) -> bool:
    """Whether a place holds secrets that nobody needs now."""
    if place == ("daemon", "on_event"):
        return not credentials
    return _is_credentials(place) and not (credentials and _on(data, place))


def _is_credentials(place: Place) -> bool:
    return len(place) == 3 and place[0] == "connections" and place[2] == "credentials"


def _on(data: Any, place: Place) -> bool:
    return str(data["connections"][place[1]].get("enabled", True)).lower() not in ("false", "no", "off", "0")


def _fault(detail: ErrorDetails, marks: Marks) -> Fault:
    """What pydantic found, at its place in the file and in our words, which never show a credential."""
    place = detail["loc"]
    if place[-1:] == ("[key]",):
        return marks.fault(place[:-1], str(detail["ctx"]["error"]), key=True)
    if detail["type"] == "extra_forbidden":
        here = _model_at(place[:-1])
        known = here.model_fields if here else ()
        return marks.fault(place, f"unknown key {place[-1]!r}; {did_you_mean(str(place[-1]), known)}", key=True)
    return marks.fault(place, _words(detail))


def _words(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"is missing: {_describe(detail['loc'])}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{detail['input']!r} is not one of {context['expected']}"
        case "string_too_short" | "too_short":
            return "is empty"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "int_parsing" | "int_type" | "int_from_float":
            return "must be a whole number"
        case "model_type" | "dict_type":
            here = _model_at(detail["loc"])
            return f"needs keys of its own, indented below it{': ' + ', '.join(here.model_fields) if here else ''}"
        case "greater_than_equal":
            return f"must be {context['ge']} or more"
        case _ if detail["input"] is None:
            return "is empty"
        case _:
            return "must be text"


def _describe(place: Place) -> str:
    here = _model_at(place[:-1])
    described = here.model_fields[str(place[-1])].description if here else None
    return described or "write it below"


def _model_at(place: Place) -> type[BaseModel] | None:
    """Which of our models stands at a place; None where there is none, as below settings."""
    here: Any = Config
    for part in place:
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(str(part))
            here = field.annotation if field else None
        else:
            here = next((one for one in reversed(get_args(here)) if one is not ...), None)
        alternatives = [one for one in get_args(here) if isinstance(one, type) and issubclass(one, BaseModel)]
        if type(None) in get_args(here) and alternatives:
            here = alternatives[0]
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None

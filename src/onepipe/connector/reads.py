"""The methods of a connector that people may call by name: what they take, and how words become arguments."""

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypeVar, get_origin, get_type_hints

from onepipe.errors import UsageError

Verb = TypeVar("Verb", bound=Callable[..., Any])

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    datetime: "a day or an instant, such as 2024-03-01",
    date: "a day, such as 2024-03-01",
    list: "a JSON list",
    tuple: "a list of words: a,b,c",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `key=value`: its name, the Python type its text is turned into, and whether it must be given.

    `list` stands for a JSON list, `tuple` for words: `a,b,c`, or a JSON list of texts.
    """

    name: str
    type: type
    required: bool


@dataclass(frozen=True, slots=True)
class Read:
    """One named read of `onepipe get`: the method's name, its docstring's first line and its parameters."""

    name: str
    doc: str
    parameters: tuple[Parameter, ...]

    def arguments(self, given: Mapping[str, str]) -> dict[str, Any]:
        """The method's arguments out of `key=value` words. Raises UsageError for an unknown, missing or wrong one."""
        known = {parameter.name: parameter for parameter in self.parameters}
        unknown = [name for name in given if name not in known]
        missing = [name for name, parameter in known.items() if parameter.required and name not in given]
        if len(unknown) == len(missing) == 1 and _same_thing(unknown[0], missing[0]):
            given = {missing[0] if name == unknown[0] else name: text for name, text in given.items()}
        elif unknown or missing:
            wrong = [f"there is no {name!r}" for name in unknown] + [f"{name!r} is missing" for name in missing]
            usage = " ".join([self.name, *(f"{name}=..." for name in known)])
            raise UsageError(f"{self.name}: {', '.join(wrong)}", hint=f"usage: {usage}")
        return {name: _convert(known[name], text) for name, text in given.items()}


def read(verb: Verb) -> Verb:
    """Mark a method as a named read: a docstring, and keyword arguments typed str, int, bool or datetime.

    One that would be called like a verb ends in an underscore, which its name leaves out (`deleted_` is "deleted").
    It answers bytes that are JSON, what JSON can hold, or the CRM's own `Answer`, which may also be a file.
    """
    verb.__dict__["onepipe_read"] = True
    return verb


def marked(cls: type, mark: str) -> dict[str, Callable[..., Any]]:
    """The methods of a class with a mark, in the order of the file."""
    methods = {name: method for base in reversed(cls.__mro__) for name, method in vars(base).items()}
    return {name: method for name, method in methods.items() if hasattr(method, mark)}


def doc_of(method: Callable[..., Any]) -> str:
    """The first line of what a method says of itself."""
    return (inspect.getdoc(method) or "").partition("\n")[0]


def parameters_of(method: Callable[..., Any]) -> tuple[Parameter, ...]:
    """What a method takes, without itself."""
    hints = get_type_hints(method)
    taken = [item for item in inspect.signature(method).parameters.values() if item.name != "self"]
    return tuple(Parameter(item.name, _plain(hints[item.name]), item.default is item.empty) for item in taken)


def _same_thing(given: str, wanted: str) -> bool:
    """Whether people mean the same: `id`, `party` and `party_id`; `name` and `milestone`."""
    ids = given.endswith("id") and wanted.endswith("id")
    return (
        ids or wanted == f"{given}_id" or given == f"{wanted}_name" or (given == "name" and not wanted.endswith("id"))
    )


def _convert(parameter: Parameter, text: str) -> Any:
    with suppress(ValueError, RecursionError):
        return _READERS[parameter.type](text)
    raise UsageError(f"{parameter.name}={text!r} is not {_WORDS.get(parameter.type, 'understood')}")


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _whole(text: str) -> int:
    if not text.lstrip("-").isdigit():
        raise ValueError(text)
    return int(text)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _list(text: str) -> list[Any]:
    found = json.loads(text)
    if not isinstance(found, list):
        raise ValueError(text)
    return found


def _words(text: str) -> tuple[str, ...]:
    words = _list(text) if text.lstrip().startswith("[") else text.split(",")
    return tuple(word for one in words if (word := str(one).strip()))


_READERS: dict[type, Callable[[str], Any]] = {
    str: str,
    bool: _flag,
    int: _whole,
    datetime: _instant,
    date: date.fromisoformat,
    list: _list,
    tuple: _words,
}


def _plain(hint: Any) -> type:
    """`str` for `str | None`: None only says that it may be left out; `list` for `list[Any]`."""
    if get_origin(hint) in (list, tuple):
        return list if get_origin(hint) is list else tuple
    options = [option for option in getattr(hint, "__args__", (hint,)) if option is not type(None)]
    [option] = options if len(options) == 1 else [str]
    return _plain(option) if get_origin(option) else option if isinstance(option, type) else str

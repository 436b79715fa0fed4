"""What a connector is. A CRM is one class in one file of `connectors/`; this page is the whole interface.

A connector holds facts and verbs. It does not log, retry, sleep, keep state or rename fields: the engine and the
mapping do. A verb that a class does not define is a thing that CRM cannot do.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

from onepipe.decode import Record, json_facts, json_page, json_record, xml_json, xml_page, xml_record
from onepipe.errors import AuthRefused, BadPayload, Gone, Incomplete, PagingLoop, RateLimited, Unavailable, UsageError
from onepipe.http import Answer, Http, part
from onepipe.paging import Page, Token, by_cursor, by_key, by_offset, by_page, by_part
from onepipe.quotas import Quota

# All that a connector file needs; it imports nothing else of ours.
__all__ = [
    "Answer",
    "AuthRefused",
    "BadPayload",
    "Connector",
    "Facts",
    "Gone",
    "Http",
    "Incomplete",
    "Open",
    "Page",
    "PagingLoop",
    "Quota",
    "RateLimited",
    "Record",
    "Token",
    "Unavailable",
    "Window",
    "by_cursor",
    "by_key",
    "by_offset",
    "by_page",
    "by_part",
    "json_facts",
    "json_page",
    "json_record",
    "part",
    "read",
    "rows",
    "utc",
    "xml_json",
    "xml_page",
    "xml_record",
]

Open = Callable[..., Http]
Verb = TypeVar("Verb", bound=Callable[..., Any])

REQUIRED = ("open", "count", "pull", "get")
_WORDS = {bool: "true or false", int: "a whole number", datetime: "a day or an instant, such as 2024-03-01"}
VERBS = (*REQUIRED, "deleted", "detail", "auth", "create", "update", "delete")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an API, declared once; the engine checks what it can and stops trusting what proves wrong.

    `stamp` is the path of the last-change time inside a record; `filter` says whether a list can be narrowed to
    changes since an instant; `resolution` and `floor` (how far each run reads back at the least) are durations;
    `quota` holds a `Quota(requests, seconds, scope)` for each that is documented, scope "account" or "address" (all
    requests from one address count together); `drifting` names fields that change without a write and so do not
    count as a change; `reference` and `details` are resources pulled before the list and once per record;
    `prefix` is how all paths begin, such as "/v1": people may or may not write it into base_url;
    `writing_paths` are paths, with `*` for any text, of GETs that write: the gate stops them like any write.
    """

    title: str
    api: str
    verified: str
    base_url: str
    credentials: tuple[str, ...]
    page_size: int
    ends: str | None = None
    stamp: str | None = None
    filter: Literal["none", "since", "range"] = "none"
    order: str | None = None
    resolution: timedelta = timedelta(seconds=1)
    floor: timedelta = timedelta(minutes=2)
    quota: tuple[Quota, ...] = ()
    drifting: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    writing_paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(one, Quota) for one in self.quota):
            raise TypeError("quota is a tuple of Quota(requests, seconds): quota=(Quota(100, 10),)")


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one scan asks for. All None and empty: everything, from the beginning.

    `since` and `until` are instants in UTC, given only to connectors that can filter, and already widened so far that
    strict or inclusive does not matter; `resume` is the `next` token of the last page that was kept; `distrust` names
    facts that proved wrong for this account: "filter", "order". `history`: the bounds cut a part out of a load of
    everything; without it, `since` asks for what changed.
    """

    since: datetime | None = None
    until: datetime | None = None
    resume: Token = None
    distrust: frozenset[str] = frozenset()
    history: bool = False

    def bounds(self, since: str, until: str, form: str = "%Y-%m-%dT%H:%M:%SZ") -> dict[str, Any]:
        """The two instants as query parameters of these names, in UTC and in `form` (strftime)."""
        return {since: utc(self.since, form), until: utc(self.until, form)}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One `key=value` of a read: its name, the Python type its text is turned into, and whether it must be given."""

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
            raise UsageError(f"the read {self.name}: {', '.join(wrong)}", hint=f"usage: {usage}")
        return {name: _convert(known[name], text) for name, text in given.items()}


def read(verb: Verb) -> Verb:
    """Mark a method as a named read: a docstring, and keyword arguments typed str, int, bool or datetime.

    One that would be called like a verb ends in an underscore, which its name leaves out (`deleted_` is "deleted").
    It answers bytes that are JSON, what JSON can hold, or the CRM's own `Answer`, which may also be a file.
    """
    verb.__dict__["onepipe_read"] = True
    return verb


def rows(pages: Iterable[Page]) -> bytes:
    """The records of all pages as one JSON array, each exactly as the CRM sent it."""
    return b"[" + b",".join(record.payload for page in pages for record in page.records) + b"]"


def utc(instant: datetime | None, form: str) -> str | None:
    """An instant in UTC in the form (strftime) that an API filters by; None for None."""
    return instant.astimezone(UTC).strftime(form) if instant else None


def _same_thing(given: str, wanted: str) -> bool:
    """Whether people mean the same: `id`, `party` and `party_id`; `name` and `milestone`."""
    ids = given.endswith("id") and wanted.endswith("id")
    return (
        ids or wanted == f"{given}_id" or given == f"{wanted}_name" or (given == "name" and not wanted.endswith("id"))
    )


def _convert(parameter: Parameter, text: str) -> Any:
    if parameter.type is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if parameter.type is int and text.lstrip("-").isdigit():
        return int(text)
    if parameter.type is str:
        return text
    if parameter.type is datetime:
        with suppress(ValueError):
            instant = datetime.fromisoformat(text)
            return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    raise UsageError(f"{parameter.name}={text!r} is not {_WORDS.get(parameter.type, 'understood')}")


def _described(name: str, method: Callable[..., Any]) -> Read:
    hints = get_type_hints(method)
    parameters = [item for item in inspect.signature(method).parameters.values() if item.name != "self"]
    return Read(
        name,
        (inspect.getdoc(method) or "").partition("\n")[0],
        tuple(Parameter(item.name, _plain(hints[item.name]), item.default is item.empty) for item in parameters),
    )


def _plain(hint: Any) -> type:
    """`str` for `str | None`: None only says that it may be left out."""
    options = [option for option in getattr(hint, "__args__", (hint,)) if option is not type(None)]
    return options[0] if len(options) == 1 and isinstance(options[0], type) else str


class Connector:
    """One account of one CRM.

    Required: `facts`, `open`, `count`, `pull`, `get`. Optional: `deleted`, `detail`, `auth`, reads marked with
    `@read`, and the writing verbs `create`, `update`, `delete`, and actions. `lacks` is what this account was seen not
    to have while it was read, such as "no list_all": later runs are told in `Window.distrust`, until a complete read.
    """

    facts: ClassVar[Facts]

    def __init__(
        self, base_url: str, credentials: Mapping[str, str], settings: Mapping[str, Any] | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix(self.facts.prefix)
        self.credentials = credentials
        self.settings = settings or {}
        self.http: Http
        self.lacks: set[str] = set()

    def open(self, door: Open) -> Http:
        """Say how requests are authorised: `return door(auth=..., headers=..., query=..., check=...)`."""
        raise NotImplementedError

    def count(self, window: Window | None = None) -> int | None:
        """Make one cheap request; how many opportunities the credential sees, None where the CRM does not tell.

        Where `facts.filter` is "range": how many of them last changed between the window's two instants.
        """
        raise NotImplementedError

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        """Yield the pages of "opportunity", or of one of `facts.reference`."""
        raise NotImplementedError

    def get(self, record_id: str, payload: bytes | None) -> Record:
        """Read one opportunity as it is now. `payload` is its newest stored form. Raises Gone."""
        raise NotImplementedError

    @classmethod
    def can(cls, verb: str) -> bool:
        """Whether this CRM has a verb: derived from what the class defines, never declared."""
        return callable(getattr(cls, verb, None))

    @classmethod
    def reads(cls) -> dict[str, Read]:
        """The named reads, in the order of the file."""
        methods = {name: method for base in reversed(cls.__mro__) for name, method in vars(base).items()}
        marked = {name: method for name, method in methods.items() if hasattr(method, "onepipe_read")}
        return {name.rstrip("_"): _described(name.rstrip("_"), method) for name, method in marked.items()}

    def ask(self, name: str, given: Mapping[str, str]) -> Any:
        """What one named read answers to `key=value` words. Raises UsageError, Gone and every SourceError."""
        known = self.reads()
        if name not in known:
            raise UsageError(f"{self.facts.title} has no read {name!r}", hint=f"it has: {', '.join(known)}")
        method = getattr(self, f"{name}_") if name in VERBS else getattr(self, name)
        return method(**known[name].arguments(given))

    # Optional verbs, with the signatures the engine uses:
    #   deleted(since: datetime | None) -> Iterator[Page]   tombstones: id, and the instant in `stamp` of each record
    #   detail(name: str, record_id: str, payload: bytes) -> bytes   a JSON array, for one of facts.details; raises Gone
    #   auth(kept: dict[str, str]) -> dict[str, str]   tokens to use from now on; the engine keeps what is returned
    #   create(fields) / update(record_id, payload, fields) / delete(record_id, payload)   write-back

"""What a mapping file says, proved: canonical columns, the paths they are read from, and the way back."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from onepipe.model import MAPPED, STAGE
from onepipe.transform import Transform
from onepipe.yamlmarks import Marks, Place

EXTRA = "x_"  # how the names of a mapping's own columns begin
OWN_DAY = "closed_day"  # the CRM's own closing day; becomes closed_on with evidence `crm`
TYPES = {column.name: column.type for column in MAPPED} | {OWN_DAY: "DATE"}
STAGE_TYPES = {column.name: column.type for column in STAGE if column.name != "connection"}

_STEP = r'[^.\[\]^@$"]+'
_STEPS = rf"{_STEP}(?:\.{_STEP})*"
_LIST = rf"\[(?P<order>\w*)\](?:\.(?P<item>{_STEP}))?"
_PATH = re.compile(rf"(?P<root>\^\.|@)?(?P<steps>{_STEPS})(?P<list>{_LIST})?")
_LEVEL = rf"({_STEPS})\[(\w*)\]\.?"  # of a path to children: steps to a list, and the key by which it is ordered
_CHILDREN = re.compile(rf"(?P<root>@?)(?P<lists>(?:{_STEPS}\[\w*\])(?:\.{_STEPS}\[\w*\])*)(?P<keyed>\.\*)?")
_UNNESTED = ("$key", "$value", "$position")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value stands in what the CRM sent: `step.stage.status`, `tags[]`, `@tag[].name`, `^.id`, `$position`.

    `root` is "" for the record, "^" for the record around the one unnested, "@" for a detail, "$" for what unnesting
    gives, "custom" (in `columns`) for a key of the column custom, which may hold dots. A list is read whole, in the
    order sent or by the field `order`; `item` is the key read of each element.
    """

    text: str
    root: str
    steps: tuple[str, ...]
    is_list: bool = False
    order: str = ""
    item: str = ""


@dataclass(frozen=True, slots=True)
class MappedField:
    """One canonical column: what it is read from and how, and where it is written (`to`; None: never)."""

    name: str
    type: str
    transform: Transform
    sources: tuple[Source, ...] = ()
    values: dict[str, tuple[str, ...]] | None = None  # canonical word -> the CRM's words; "*" is any other
    default: str | None = None  # for an absent value; "$currency" is the connection's
    unless: tuple[Source, tuple[str, ...]] | None = None
    lookup: tuple[str, ...] = ()  # canonical columns by which the row of `stages` is found
    template: str | None = None
    zone: str | None = None
    to: tuple[str, ...] | None = None

    def read(self) -> Iterator[Source]:
        """Every path that the field reads, its condition's and its template's too."""
        yield from self.sources
        yield from [self.unless[0]] if self.unless else []
        yield from template_sources(self.template or "")


@dataclass(frozen=True, slots=True)
class StageRules:
    """How the records of a reference resource become rows of `stages`; `each` is the list or object to unnest."""

    resource: str
    each: Source | None
    fields: dict[str, MappedField]

    def sources(self) -> Iterator[Source]:
        """Every path that the fields read."""
        return (source for one in self.fields.values() for source in one.sources)


@dataclass(frozen=True, slots=True)
class Each:
    """Where the elements of a child table stand: `interests[].delegates[]`, `@items[idx]`, `@timeline[].*`.

    `first` is the list that stands in the record or is a detail; `below` are the lists within its elements, each with
    the key that orders it; `keyed` where every element holds one object under a name of its own, which is `$key`.
    """

    text: str
    first: Source
    below: tuple[tuple[tuple[str, ...], str], ...] = ()
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class ChildRules:
    """How lists in a record, or a detail, become the rows of one child table; the paths are those of an element."""

    each: Each
    fields: dict[str, MappedField]

    def sources(self) -> Iterator[Source]:
        """Every path of an element that the fields read."""
        return (source for one in self.fields.values() for source in one.read())


@dataclass(frozen=True, slots=True)
class Example:
    """A record as the CRM sends it and what must be read from it; `place` is where it stands in the file."""

    place: Place
    sent: Any  # data, or the payload itself as JSON text
    details: dict[str, Any]
    stages: list[dict[str, Any]]
    settings: dict[str, str]
    out: dict[str, Any]
    problems: list[str]


@dataclass(frozen=True)
class Mapping:
    """A whole mapping file, proved. `key` is the path of the CRM's id, `name` the file's name without `.yaml`."""

    name: str
    key: Source
    fields: dict[str, MappedField]
    columns: dict[str, MappedField]  # columns beyond the canonical ones, by the name they have there: x_arr
    stages: StageRules | None
    examples: list[Example]
    marks: Marks = field(repr=False)
    text: str = field(repr=False)  # what the version is made of
    children: dict[str, ChildRules] = field(default_factory=dict)  # by the names of onepipe.model.CHILDREN

    @property
    def whole(self) -> str:
        """YAML that says all of it by itself: the file as it is, or one that holds what the file extends, too."""
        return self.marks.text

    @cached_property
    def version(self) -> str:
        """A short hash of what it says, with what it extends; comments, order of keys and examples do not count."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]

    @property
    def details(self) -> tuple[str, ...]:
        """The names of the details the fields and the children read, sorted: ("customfield", "tag")."""
        return tuple(sorted({one.steps[0] for one in self.sources() if one.root == "@"}))

    @property
    def reference(self) -> dict[str, StageRules]:
        """Resource -> how its records become `stages`."""
        return {self.stages.resource: self.stages} if self.stages else {}

    @property
    def types(self) -> dict[str, str]:
        """The type of each column that this mapping may fill, by name."""
        return TYPES | {name: one.type for name, one in self.columns.items()}

    def sources(self) -> Iterator[Source]:
        """Every path of the record that the key, the fields and the columns read, and of the children their lists."""
        yield self.key
        for one in (*self.fields.values(), *self.columns.values()):
            yield from one.read()
        yield from (rules.each.first for rules in self.children.values())


def parse_source(text: str) -> Source | None:
    """A path as written in a mapping, taken apart; None where it is none."""
    if text in _UNNESTED:
        return Source(text, "$", (text[1:],))
    found = _PATH.fullmatch(text)
    if not found:
        return None
    root = (found["root"] or "").rstrip(".")
    is_list = found["list"] is not None
    if root == "@" and not is_list:
        return None
    return Source(text, root, tuple(found["steps"].split(".")), is_list, found["order"] or "", found["item"] or "")


def parse_each(text: str) -> Each | None:
    """A path to the elements of a child table, taken apart; None where it is none."""
    found = _CHILDREN.fullmatch(text)
    if not found:
        return None
    levels = [(tuple(steps.split(".")), order) for steps, order in re.findall(_LEVEL, found["lists"])]
    steps, order = levels[0]
    if found["root"] and len(steps) > 1:
        return None
    return Each(
        text,
        Source(text, found["root"], steps, True, order),
        tuple(levels[1:]),
        found["keyed"] is not None,
    )


def template_sources(template: str) -> list[Source]:
    """The record's paths in a template such as "{base_url}/opportunity/{id}"."""
    found = [parse_source(word) for word in re.findall(r"\{([^}]*)\}", template) if word != "base_url"]
    return [source for source in found if source]

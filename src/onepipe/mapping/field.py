"""One field of a mapping: what it reads, how, and whether it can be written back."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from onepipe.mapping.form import OWN_DAY, STAGE_TYPES, MappedField, Source, template_sources
from onepipe.mapping.reader import Reader
from onepipe.model import STATUSES
from onepipe.transform import TRANSFORMS, Transform
from onepipe.yamlmarks import Place, did_you_mean

FIELD_KEYS = ("from", "as", "values", "default", "unless", "lookup", "by", "template", "zone", "to", "write")
COLUMN_KEYS = ("from", "as", "values", "default", "unless", "zone")  # of what is only read
_ONLY_READ = ("columns", "children")
_NEVER_WRITTEN = ("url", "created_at", "updated_at", OWN_DAY)
_READING = ("as", "values", "default", "unless", "zone")  # keys that say how `from` is read
_LOOKED_UP_BY = ("stage_id", "stage", "pipeline_id", "pipeline")
_AS_OF_COLUMN = {
    **dict.fromkeys(("name", "description", "body"), "verbatim"),
    "currency": "currency",
    "probability": "fraction",
}
_AS_OF_TYPE = {"DATE": "day", "TIMESTAMPTZ": "instant", "BOOLEAN": "flag", "VARCHAR[]": "tags", "JSON": "object"}
_POSITION = "$position"


class FieldReader(Reader):
    """Reads fields; in `stages`, `columns` and `children` they are never written."""

    def field(self, name: str, type_: str, data: Any, place: Place) -> MappedField:
        """A field in its short form (a path) or in its long one (keys)."""
        short, keys = not isinstance(data, dict), COLUMN_KEYS if place[0] in _ONLY_READ else FIELD_KEYS
        data = self.block({"from": data} if short and data is not None else data, place, keys)

        def at(key: str) -> Place:
            return place if short else (*place, key)

        self._one_way(data, place)
        sources = self.sources(data.get("from"), at("from"))
        made = MappedField(
            name=name,
            type=type_,
            transform=self._transform(name, type_, data, sources, at),
            sources=sources,
            values=self._values(name, data["values"], at("values")) if "values" in data else None,
            default=self.word(at("default")) if "default" in data else None,
            unless=self._unless(data["unless"], at("unless")) if "unless" in data else None,
            lookup=self._lookup(name, data, at) if "lookup" in data or "by" in data else (),
            template=self._template(data["template"], at("template")) if "template" in data else None,
            zone=self._zone(data["zone"], at("zone")) if "zone" in data else None,
        )
        return made if place[0] in ("stages", *_ONLY_READ) else self._with_way_back(made, data, place, at)

    def column(self, name: str, data: Any, place: Place) -> MappedField:
        """A column of the mapping's own; its transform decides its type, text where none is named."""
        word = data.get("as", "text") if isinstance(data, dict) else "text"
        transform = TRANSFORMS.get(str(word), TRANSFORMS["text"])
        return self.field(name, transform.type, data, place)

    def _one_way(self, data: dict[str, Any], place: Place) -> None:
        ways = [key for key in ("from", "lookup", "template") if key in data]
        if not ways and "default" not in data:
            known = "from" if place[0] in _ONLY_READ else "from, lookup, template"
            self.fault(place, f"says nothing to read: give {known} or default")
        if len(ways) > 1:
            self.fault(place, f"{' and '.join(ways)} exclude each other")
        if ways and ways[0] != "from":
            for key in _READING:
                if key in data:
                    self.fault((*place, key), f"{key!r} says how `from` is read; {ways[0]} takes it as it is", key=True)

    def _transform(
        self, name: str, type_: str, data: dict[str, Any], sources: tuple[Source, ...], at: Callable[[str], Place]
    ) -> Transform:
        usual = _AS_OF_COLUMN.get(name) or _AS_OF_TYPE.get(type_) or ("decimal" if type_[:3] == "DEC" else "text")
        as_it_is = "lookup" in data or "template" in data or any(one.text == _POSITION for one in sources)
        if "values" in data or as_it_is:
            usual = "text"
        word = str(data.get("as", "instant_in" if "zone" in data and usual == "instant" else usual))
        transform = TRANSFORMS.get(word)
        if transform is None:
            self.fault(at("as"), f"there is no transform {word!r}; {did_you_mean(word, TRANSFORMS)}")
        elif as_it_is:
            return transform
        elif transform.type != type_:
            fitting = ", ".join(one.name for one in TRANSFORMS.values() if one.type == type_) or "none"
            self.fault(at("as"), f"{word!r} reads {transform.type}, {name} is {type_}; fitting: {fitting}")
        else:
            self._inputs(transform, data, sources, at)
        return transform or TRANSFORMS[usual]

    def _inputs(
        self, transform: Transform, data: dict[str, Any], sources: tuple[Source, ...], at: Callable[[str], Place]
    ) -> None:
        wanted = [label for label in transform.inputs if label != "zone"]
        if transform.takes == "every" and len(sources) < 2:
            self.fault(at("from"), f"{transform.name!r} reads several paths, written [first, second]")
        if len(wanted) > 1 and len(sources) != len(wanted):
            self.fault(at("from"), f"{transform.name!r} reads {len(wanted)} paths: the value, {', '.join(wanted[1:])}")
        if transform.takes == "texts" and not (len(sources) == 1 and sources[0].is_list):
            self.fault(at("from"), f"{transform.name!r} reads one list, written with brackets: tags[]")
        if ("zone" in data) != (transform.name == "instant_in"):
            self.fault(at("zone"), "`zone` goes with a moment (as: instant_in), and that one needs it")

    def _values(self, name: str, data: Any, place: Place) -> dict[str, tuple[str, ...]]:
        """Canonical word -> the CRM's words. A list of words stands for themselves."""
        table: dict[str, tuple[str, ...]]
        if isinstance(data, list):
            table = {word: (word,) for word in self.words(data, place)}
        else:
            table = {ours: self.words(theirs, (*place, ours)) for ours, theirs in self.block(data, place).items()}
        if not table:
            self.fault(place, "is a table such as {won: Won, lost: [Lost, Dropped]}, or a list of words")
        seen: dict[str, str] = {}
        for ours, theirs in table.items():
            if name == "status" and ours not in STATUSES:
                self.fault((*place, ours), f"{ours!r} is no status; {did_you_mean(ours, STATUSES)}", key=True)
            for word in theirs:
                if word in seen:
                    self.fault((*place, ours), f"{word!r} is already read as {seen[word]!r}")
                seen[word] = ours
        return table

    def _unless(self, data: Any, place: Place) -> tuple[Source, tuple[str, ...]] | None:
        if not (isinstance(data, dict) and len(data) == 1):
            self.fault(place, 'is one path and its words, such as {status: open} or {basis: [FIXED, ""]}')
            return None
        [(path, words)] = data.items()
        source = self.source(path, (*place, path))
        return (source, self.words(words, (*place, path))) if source else None

    def _lookup(self, name: str, data: dict[str, Any], at: Callable[[str], Place]) -> tuple[str, ...]:
        if data.get("lookup") != "stages" or "by" not in data:
            self.fault(at("lookup"), "is written: lookup: stages, by: stage_id")
            return ()
        if name not in STAGE_TYPES:
            self.fault(at("lookup"), f"`stages` has no {name}; it has {', '.join(STAGE_TYPES)}")
        by = self.words(data["by"], at("by"))
        for word in by:
            if word not in _LOOKED_UP_BY:
                self.fault(at("by"), f"{word!r} is not one of {', '.join(_LOOKED_UP_BY)}")
        return by

    def _template(self, data: Any, place: Place) -> str:
        text = self.text(data, place)
        if text.count("{") != len(template_sources(text)) + text.count("{base_url}"):
            self.fault(place, "holds {base_url} and paths of the record in braces, such as {id}")
        return text

    def _zone(self, data: Any, place: Place) -> str:
        zone = self.text(data, place)
        try:
            return ZoneInfo(zone or "UTC").key
        except (OSError, ValueError, KeyError):
            self.fault(place, f"there is no time zone {zone!r}; one is written Europe/London")
        return "UTC"

    def _with_way_back(
        self, made: MappedField, data: dict[str, Any], place: Place, at: Callable[[str], Place]
    ) -> MappedField:
        """The field with its `to`; a writable one that would not be read again as what was written is refused."""
        write = data.get("write", True)
        if not isinstance(write, bool):
            self.fault(at("write"), "is true or false")
        silent = made.name in _NEVER_WRITTEN or not made.sources
        if write is not True or (silent and "to" not in data):
            return made
        if why := _no_way_back(made, "to" in data):
            self.fault(place, f"{why}, so it has no way back; say write: false")
            return made
        to = self.source(data["to"], at("to")) if "to" in data else made.sources[0]
        if to is not None and "to" in data and (to.root or to.is_list):
            self.fault(at("to"), "is a plain path of the record, such as step.id")
        return replace(made, to=to.steps if to else None)


def _no_way_back(made: MappedField, told: bool) -> str | None:
    if made.transform.write is None:
        return f"{made.transform.name!r} cannot be undone"
    if made.values and any("*" in words for words in made.values.values()):
        return '"*" stands for any word'
    source = made.sources[0] if made.sources else None
    if not told and source and (source.root or source.item):
        return f"{source.text} is no plain path of the record"
    if not told and len(made.sources) > 1:
        return "it reads several paths and does not say `to`"
    return None

"""Reads a mapping file and proves it. Every check adds a fault and goes on, so that one look shows all mistakes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from onepipe import yamlmarks
from onepipe.mapping.form import (
    OWN_DAY,
    STAGE_TYPES,
    TYPES,
    Example,
    MappedField,
    Mapping,
    Source,
    StageRules,
    parse_source,
    template_sources,
)
from onepipe.model import STATUSES
from onepipe.transform import TRANSFORMS, Transform, macros
from onepipe.yamlmarks import Marks, Place, did_you_mean

MAPPING_KEYS = ("key", "fields", "stages", "examples")
FIELD_KEYS = ("from", "as", "values", "default", "unless", "lookup", "by", "template", "zone", "to", "write")
_EXAMPLE_KEYS = ("in", "details", "stages", "settings", "out", "problems")
_SETTINGS = ("currency", "base_url", "timezone")
_NOT_MAPPED = ("extra",)  # made of what no field reads
_NEVER_WRITTEN = ("url", "created_at", "updated_at", OWN_DAY)
_AS_OF_COLUMN = {"name": "verbatim", "description": "verbatim", "currency": "currency", "probability": "fraction"}
_AS_OF_TYPE = {"DATE": "day", "TIMESTAMPTZ": "instant", "BOOLEAN": "flag", "VARCHAR[]": "tags", "JSON": "object"}


def load_mapping(path: Path, resolve: Callable[[str], Path] | None = None) -> Mapping:
    """Read and prove a mapping file. Raises ConfigError with every fault. `resolve` will find what `extends` names."""
    del resolve
    data, marks = yamlmarks.load(path)
    loader = _Loader(marks)
    mapping = loader.mapping(path.stem, data)
    yamlmarks.refuse(marks.faults)
    return mapping


class _Loader:
    """One reading of one file; faults are gathered in `marks`."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks

    def mapping(self, name: str, data: Any) -> Mapping:
        data = self._block(data, (), MAPPING_KEYS)
        key = self._source(data.get("key"), ("key",)) if self._needs(data, (), "key") else None
        fields = self._fields(data.get("fields"), ("fields",), TYPES) if self._needs(data, (), "fields") else {}
        stages = self._stages(data["stages"]) if "stages" in data else None
        examples = [self._example(one, n) for n, one in enumerate(self._list(data.get("examples"), ("examples",)))]
        self._one_shape(key, fields)
        text = json.dumps([{k: data.get(k) for k in ("key", "fields", "stages")}, macros()], sort_keys=True, default=str)
        return Mapping(name, key or Source("", "", ()), fields, stages, examples, self.marks, text)

    def _fields(self, data: Any, place: Place, types: dict[str, str]) -> dict[str, MappedField]:
        fields = {}
        for name in self._block(data, place, ()):
            if name in _NOT_MAPPED:
                self._fault((*place, name), "is made of what no field reads; it cannot be mapped", key=True)
            elif name not in types:
                self._fault((*place, name), f"is no column to be mapped; {did_you_mean(name, types)}", key=True)
            else:
                fields[name] = self._field(name, types[name], data[name], (*place, name))
        return fields

    def _field(self, name: str, type_: str, data: Any, place: Place) -> MappedField:
        whole = data if isinstance(data, dict) else {"from": data}
        data = self._block(whole, place, FIELD_KEYS)
        at = (lambda key: (*place, key)) if whole is data else (lambda key: place)
        sources = self._sources(data.get("from"), at("from"))
        transform = self._transform(name, type_, data, sources, at("as"))
        values = self._values(data["values"], name, at("values")) if "values" in data else None
        lookup = self._lookup(data, place)
        template = self._template(data["template"], at("template")) if "template" in data else None
        if not (sources or lookup or template or "default" in data):
            self._fault(place, "says nothing to read: give from, template, lookup or default")
        if values and not (transform.type == "VARCHAR" and transform.takes != "texts"):
            self._fault(at("values"), f"a table of values needs text; {transform.name!r} reads {transform.type}")
        unless = self._unless(data["unless"], at("unless")) if "unless" in data else None
        zone = self._text(data["zone"], at("zone")) if "zone" in data else None
        default = self._scalar_text(at("default")) if "default" in data else None
        made = MappedField(name, type_, transform, sources, values, default, unless, lookup, template, zone)
        return made if place[0] == "stages" else self._with_way_back(made, data, place)

    def _transform(self, name: str, type_: str, data: dict[str, Any], sources: tuple[Source, ...], at: Place) -> Transform:
        usual = _AS_OF_COLUMN.get(name) or _AS_OF_TYPE.get(type_) or ("decimal" if type_[:3] == "DEC" else "text")
        if "values" in data or sources[:1] and sources[0].text == "$position":
            usual = "text"
        word = data.get("as", "instant_in" if "zone" in data and usual == "instant" else usual)
        if word not in TRANSFORMS:
            self._fault(at, f"there is no transform {word!r}; {did_you_mean(str(word), TRANSFORMS)}")
            return TRANSFORMS[usual]
        transform = TRANSFORMS[word]
        if "lookup" in data or "template" in data or sources[:1] and sources[0].text == "$position":
            return transform
        if transform.type != type_:
            fitting = [one.name for one in TRANSFORMS.values() if one.type == type_]
            self._fault(at, f"{word!r} reads {transform.type}, {name} is {type_}; fitting: {', '.join(fitting)}")
        self._inputs(transform, data, sources, at)
        return transform

    def _inputs(self, transform: Transform, data: dict[str, Any], sources: tuple[Source, ...], at: Place) -> None:
        wanted = [name for name in transform.inputs if name != "zone"]
        if len(wanted) > 1 and len(sources) != len(wanted):
            self._fault(at, f"{transform.name!r} reads {len(wanted)} sources in `from`: the value, {', '.join(wanted[1:])}")
        listed = [source for source in sources if source.is_list]
        if transform.takes == "texts" and sources and not listed:
            self._fault(at, f"{transform.name!r} reads a list; write the path as {sources[0].text}[]")
        if transform.name == "instant_in" and "zone" not in data:
            self._fault(at, "'instant_in' needs `zone`, such as Europe/London")

    def _with_way_back(self, made: MappedField, data: dict[str, Any], place: Place) -> MappedField:
        """Give a field its `to`; refuse a writable one that could not be read again as what was written."""
        write = data.get("write", True)
        if not isinstance(write, bool):
            self._fault((*place, "write"), "is true or false")
        silent = made.name in _NEVER_WRITTEN or made.template or made.lookup or not made.sources
        if write is not True or (silent and "to" not in data):
            return made
        why = self._no_way_back(made, "to" in data)
        if why:
            self._fault(place, f"{why}, so it has no way back; say write: false")
            return made
        to = self._source(data["to"], (*place, "to")) if "to" in data else made.sources[0]
        if to is None or to.root or to.item or to.order or (to.is_list and "to" in data):
            self._fault((*place, "to"), "is a plain path of the record, such as step.id")
            return made
        return MappedField(**{name: getattr(made, name) for name in MappedField.__slots__} | {"to": to.steps})

    def _no_way_back(self, made: MappedField, told: bool) -> str | None:
        if made.transform.write is None:
            return f"{made.transform.name!r} cannot be undone"
        if made.values and any(words[0] == "*" for words in made.values.values()):
            return '"*" stands for any word'
        source = made.sources[0] if made.sources else None
        if not told and source and (source.root or source.item):
            return f"{source.text} is no plain path of the record"
        if not told and len(made.sources) > 1:
            return "it reads several sources and does not say `to`"
        return None

    def _values(self, data: Any, name: str, place: Place) -> dict[str, tuple[str, ...]]:
        if isinstance(data, list):
            data = {str(word): [word] for word in data}
        table: dict[str, tuple[str, ...]] = {}
        seen: dict[str, str] = {}
        for ours, theirs in self._block(data, place, ()).items():
            if name == "status" and ours not in STATUSES:
                self._fault((*place, ours), f"is no status; {did_you_mean(ours, STATUSES)}", key=True)
            table[ours] = tuple(str(word) for word in (theirs if isinstance(theirs, list) else [theirs]))
            for word in table[ours]:
                if word in seen:
                    self._fault((*place, ours), f"{word!r} is already read as {seen[word]!r}")
                seen[word] = ours
        if not table:
            self._fault(place, "is a table such as {won: Won, lost: [Lost, Dropped]}, or a list of words")
        return table

    def _lookup(self, data: dict[str, Any], place: Place) -> tuple[str, ...]:
        if "lookup" not in data and "by" not in data:
            return ()
        if data.get("lookup") != "stages":
            self._fault((*place, "lookup"), "can only be: lookup: stages, by: stage_id")
        by = tuple(str(one) for one in (data.get("by") if isinstance(data.get("by"), list) else [data.get("by")]))
        for one in by:
            if one not in ("stage_id", "stage", "pipeline_id", "pipeline"):
                self._fault((*place, "by"), "is stage_id, stage, pipeline_id or pipeline, or a list of them")
        if place[-1] not in STAGE_TYPES:
            self._fault(place, f"`stages` has no {place[-1]}; it has {', '.join(STAGE_TYPES)}")
        return by

    def _unless(self, data: Any, place: Place) -> tuple[Source, tuple[str, ...]] | None:
        if not (isinstance(data, dict) and len(data) == 1):
            self._fault(place, 'is one path and its words, such as {status: open} or {basis: [FIXED, ""]}')
            return None
        path, words = next(iter(data.items()))
        source = self._source(path, (*place, path))
        return (source, tuple(str(word) for word in (words if isinstance(words, list) else [words]))) if source else None

    def _template(self, data: Any, place: Place) -> str | None:
        text = self._text(data, place)
        if text and text.count("{") != len(template_sources(text)) + text.count("{base_url}"):
            self._fault(place, "holds {base_url} and paths of the record in braces, such as {id}")
        return text

    def _sources(self, data: Any, place: Place) -> tuple[Source, ...]:
        if data is None:
            return ()
        if isinstance(data, list):
            found = [self._source(one, (*place, n)) for n, one in enumerate(data)]
        else:
            found = [self._source(data, place)]
        return tuple(source for source in found if source)

    def _source(self, data: Any, place: Place) -> Source | None:
        source = parse_source(data) if isinstance(data, str) else None
        if source is None:
            self._fault(place, f"{data!r} is no path; one is written a.b, tags[], @detail[].name, or in stages ^.a and $key")
        elif source.root in ("^", "$") and place[0] != "stages":
            self._fault(place, f"{source.text!r} has a meaning in `stages` only")
        return source

    def _stages(self, data: Any) -> StageRules | None:
        place: Place = ("stages",)
        data = self._block(data, place, ("resource", "each", "fields"))
        if not (self._needs(data, place, "resource") and self._needs(data, place, "fields")):
            return None
        each = self._source(data["each"], (*place, "each")) if "each" in data else None
        fields = self._fields(data["fields"], (*place, "fields"), STAGE_TYPES)
        self._needs(data["fields"], (*place, "fields"), "stage_id")
        return StageRules(self._text(data["resource"], (*place, "resource")) or "", each, fields)

    def _example(self, data: Any, n: int) -> Example:
        place: Place = ("examples", n)
        data = self._block(data, place, _EXAMPLE_KEYS)
        for key in ("in", "out"):
            self._needs(data, place, key)
        out = self._block(data.get("out"), (*place, "out"), (*TYPES, "extra"))
        settings = self._block(data.get("settings"), (*place, "settings"), _SETTINGS)
        stages = [
            self._block(one, (*place, "stages", at), tuple(STAGE_TYPES))
            for at, one in enumerate(self._list(data.get("stages"), (*place, "stages")))
        ]
        details = self._block(data.get("details"), (*place, "details"), ())
        problems = self._list(data.get("problems"), (*place, "problems"))
        return Example(place, data.get("in"), details, stages, settings, out, [str(one) for one in problems])

    def _one_shape(self, key: Source | None, fields: dict[str, MappedField]) -> None:
        """A key of the record is read as a value or as an object, and in one spelling: DuckDB's structs need that."""
        shapes: dict[tuple[str, ...], tuple[Source, bool]] = {}
        for source in _record_sources(key, fields.values()):
            for end in range(1, len(source.steps) + 1):
                folded = tuple(step.lower() for step in source.steps[:end])
                is_value = end == len(source.steps)
                first, was_value = shapes.setdefault(folded, (source, is_value))
                if was_value != is_value or first.steps[:end] != source.steps[:end]:
                    self._fault(("fields",), f"{first.text} and {source.text} cannot both be read: one object, one spelling")

    def _needs(self, data: Any, place: Place, key: str) -> bool:
        if isinstance(data, dict) and key not in data:
            self._fault(place, f"misses the key {key!r}")
            return False
        return isinstance(data, dict)

    def _block(self, data: Any, place: Place, known: Iterable[str]) -> dict[str, Any]:
        """`data` if it is a mapping, faults for keys that are not known (all are, when `known` is empty)."""
        if data is None:
            return {}
        if not isinstance(data, dict):
            self._fault(place, "must be keys and values")
            return {}
        for key in data:
            if known and key not in known:
                self._fault((*place, key), f"{key!r} is not known here; {did_you_mean(key, known)}", key=True)
        return data

    def _list(self, data: Any, place: Place) -> list[Any]:
        if data is not None and not isinstance(data, list):
            self._fault(place, "must be a list")
            return []
        return data or []

    def _text(self, data: Any, place: Place) -> str | None:
        if not isinstance(data, str) or not data:
            self._fault(place, "must be text")
            return None
        return data

    def _scalar_text(self, place: Place) -> str | None:
        if place not in self.marks.texts:
            self._fault(place, "must be one value")
        return self.marks.texts.get(place)

    def _fault(self, place: Place, message: str, *, key: bool = False) -> None:
        self.marks.faults.append(self.marks.fault(place, message, key=key))


def _record_sources(key: Source | None, fields: Iterable[MappedField]) -> list[Source]:
    whole = Mapping("", key or Source("", "", ()), {one.name: one for one in fields}, None, [], Marks(Path()), "")
    return [source for source in whole.sources() if source.root == "" and source.steps]

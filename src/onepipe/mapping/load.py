"""Reads a whole mapping file and proves it."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onepipe.mapping.inherit as inherit
from onepipe import yamlmarks
from onepipe.mapping.children import ChildReader
from onepipe.mapping.form import EXTRA, STAGE_TYPES, TYPES, Example, MappedField, Mapping, Source, StageRules
from onepipe.mapping.inherit import Resolve
from onepipe.model import CHILDREN, POSITION
from onepipe.yamlmarks import Place, did_you_mean

MAPPING_KEYS = ("extends", "key", "fields", "columns", "children", "stages", "examples")
STAGES_KEYS = ("resource", "each", "fields")
EXAMPLE_KEYS = ("in", "details", "stages", "settings", "out", "problems")
_SETTINGS = ("currency", "base_url", "timezone")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,59}")
_NOT_MAPPED = ("extra",)  # made of what no field reads


def load_mapping(path: Path, resolve: Resolve | None = None) -> Mapping:
    """Read and prove a mapping file. Raises ConfigError with every fault.

    `resolve` finds the files that `extends` may mean by a name, the first one to be used; none by default.
    """
    data, marks = inherit.load(path, resolve or (lambda _: ()))
    mapping = _Loader(marks).mapping(path.stem, data)
    yamlmarks.refuse(marks.faults)
    return mapping


class _Loader(ChildReader):
    def mapping(self, name: str, data: Any) -> Mapping:
        wrong = data is not None and not isinstance(data, dict)
        data = self.block(data, (), MAPPING_KEYS)
        self.needs(data, (), *(() if wrong else ("key", "fields")))
        fields = data.get("fields")
        self.fills_custom = isinstance(fields, dict) and fields.get("custom") is not None
        key = self.source(data["key"], ("key",)) if "key" in data else None
        children = self.children(data.get("children"))
        mapping = Mapping(
            name=name,
            key=key or Source("id", "", ("id",)),
            fields=self._fields(fields, ("fields",), TYPES),
            columns=(columns := self._columns(data.get("columns"))),
            stages=self._stages(data["stages"]) if "stages" in data else None,
            examples=[
                self._example(one, n, columns) for n, one in enumerate(self.items(data.get("examples"), ("examples",)))
            ],
            marks=self.marks,
            text=_text(data, "columns" if columns else "", "children" if children else ""),
            children=children,
        )
        self._lookups_lead_somewhere(mapping)
        self._custom_is_there(mapping)
        self._one_shape(mapping.sources(), ("fields",))
        for child, rules in children.items():
            self._one_shape(rules.sources(), ("children", child, "fields"))
        return mapping

    def _fields(self, data: Any, place: Place, types: dict[str, str]) -> dict[str, MappedField]:
        fields = {}
        for name, one in self.block(data, place).items():
            if name in _NOT_MAPPED:
                self.fault((*place, name), "is made of what no field reads; it cannot be mapped", key=True)
            elif name not in types:
                self.fault((*place, name), f"{name!r} is no column to map; {did_you_mean(name, types)}", key=True)
            else:
                fields[name] = self.field(name, types[name], one, (*place, name))
        return fields

    def _columns(self, data: Any) -> dict[str, MappedField]:
        columns, place = {}, ("columns",)
        for name, one in self.block(data, place).items():
            if _COLUMN.fullmatch(name):
                columns[EXTRA + name] = self.column(EXTRA + name, one, (*place, name))
            else:
                message = f"{name!r} is no name of a column; one is made of a-z, 0-9 and _, such as arr"
                self.fault((*place, name), message, key=True)
        return columns

    def _stages(self, data: Any) -> StageRules:
        place: Place = ("stages",)
        data = self.block(data, place, STAGES_KEYS)
        self.needs(data, place, "resource", "fields")
        fields = self._fields(data.get("fields"), (*place, "fields"), STAGE_TYPES)
        if "fields" in data:
            self.needs(fields, (*place, "fields"), "stage_id")
        for name, one in fields.items():
            if one.lookup or one.template or one.unless:
                self.fault((*place, "fields", name), "a stage is read with from, as, values and default only")
        resource = self.text(data["resource"], (*place, "resource")) if "resource" in data else ""
        return StageRules(resource, self._each(data), fields)

    def _each(self, data: dict[str, Any]) -> Source | None:
        each = self.source(data["each"], ("stages", "each")) if "each" in data else None
        if each and (each.root or each.is_list):
            self.fault(("stages", "each"), "is a plain path of the reference record, such as stages")
        return each

    def _example(self, data: Any, n: int, columns: Iterable[str]) -> Example:
        place: Place = ("examples", n)
        data = self.block(data, place, EXAMPLE_KEYS)
        self.needs(data, place, "in", "out")
        if not isinstance(data.get("in", {}), (dict, str)):
            self.fault((*place, "in"), "is a record: keys and values, or its JSON text")
        stages = self.items(data.get("stages"), (*place, "stages"))
        settings = self.block(data.get("settings"), (*place, "settings"), _SETTINGS)
        return Example(
            place=place,
            sent=data.get("in"),
            details=self.block(data.get("details"), (*place, "details")),
            stages=[self.block(one, (*place, "stages", at), STAGE_TYPES) for at, one in enumerate(stages)],
            settings={name: self.word((*place, "settings", name)) for name in settings},
            out=self._out(data.get("out"), (*place, "out"), columns),
            problems=[str(one) for one in self.items(data.get("problems"), (*place, "problems"))],
        )

    def _out(self, data: Any, place: Place, columns: Iterable[str]) -> dict[str, Any]:
        """What must be read; of children the columns that are stated, a row each."""
        out = self.block(data, place, (*TYPES, "extra", *columns, *CHILDREN))
        for name in out.keys() & CHILDREN.keys():
            known = [column.name for column in (POSITION, *CHILDREN[name].columns)]
            if out[name] is not None:
                rows = enumerate(self.items(out[name], (*place, name)))
                out = {**out, name: [self.block(one, (*place, name, n), known) for n, one in rows]}
        return out

    def _lookups_lead_somewhere(self, mapping: Mapping) -> None:
        for name, one in mapping.fields.items():
            for by in one.lookup:
                if by not in mapping.fields or mapping.fields[by].lookup:
                    self.fault(("fields", name, "by"), f"{by} is read from no path, so nothing is found by it")

    def _custom_is_there(self, mapping: Mapping) -> None:
        for name, one in mapping.columns.items():
            if "custom" not in mapping.fields and any(source.root == "custom" for source in one.read()):
                place = ("columns", name.removeprefix(EXTRA))
                self.fault(place, "reads the column custom, which this mapping does not fill")

    def _one_shape(self, sources: Iterable[Source], place: Place) -> None:
        """A key of the record is a value or an object, and in one spelling: a struct of DuckDB's is like that."""
        shapes: dict[tuple[str, ...], tuple[Source, bool]] = {}
        for source in (one for one in sources if one.root == ""):
            for end in range(1, len(source.steps) + 1):
                folded = tuple(step.lower() for step in source.steps[:end])
                first, was_value = shapes.setdefault(folded, (source, end == len(source.steps)))
                if was_value != (end == len(source.steps)) or first.steps[:end] != source.steps[:end]:
                    self.fault(place, f"{first.text} and {source.text} exclude each other: a value or an object")


def _text(data: dict[str, Any], *used: str) -> str:
    """What the version is made of: `used` are the newer parts that it has; the others leave its version as it was."""
    parts = ("key", "fields", "stages", *filter(None, used))
    return json.dumps({part: data.get(part) for part in parts}, sort_keys=True)

"""`children:` of a mapping file: lists in a record, or in a detail, that become line items, quotes and their like."""

from typing import Any

from onepipe.mapping.field import FieldReader
from onepipe.mapping.form import ChildRules, Each, MappedField, Source, parse_each
from onepipe.model import CHILDREN
from onepipe.yamlmarks import Place, did_you_mean

CHILD_KEYS = ("each", "fields")
_AN_EACH = "one is written interests[], interests[].delegates[], @items[idx] or @timeline[].*"


class ChildReader(FieldReader):
    """Reads what a mapping says of child tables; their fields are read from one element and never written."""

    def children(self, data: Any) -> dict[str, ChildRules]:
        """By the names of `onepipe.model.CHILDREN`, in the order of the file."""
        found = {}
        for name, one in self.block(data, ("children",)).items():
            if name in CHILDREN:
                found[name] = self._child(name, one, ("children", name))
            else:
                message = f"{name!r} is no table of children; {did_you_mean(name, CHILDREN)}"
                self.fault(("children", name), message, key=True)
        return found

    def _child(self, name: str, data: Any, place: Place) -> ChildRules:
        wrong = data is not None and not isinstance(data, dict)
        data = self.block(data, place, CHILD_KEYS)
        self.needs(data, place, *(() if wrong else CHILD_KEYS))
        each = self._each_of(data["each"], (*place, "each")) if "each" in data else None
        each = each or Each("", Source("", "", (name,), True))
        types = {column.name: column.type for column in CHILDREN[name].columns}
        fields = {}
        for column, one in self.block(data.get("fields"), (*place, "fields")).items():
            at = (*place, "fields", column)
            if column in types:
                fields[column] = self._child_field(column, types[column], one, at, each)
            else:
                self.fault(at, f"{column!r} is no column of {name}; {did_you_mean(column, types)}", key=True)
        return ChildRules(each, fields)

    def _child_field(self, name: str, type_: str, data: Any, place: Place, each: Each) -> MappedField:
        made = self.field(name, type_, data, place)
        if not each.keyed and any(source.root == "$" for source in made.read()):
            self.fault(place, "'$key' is the name of an element's one object: `each` ends in .* then")
        return made

    def _each_of(self, data: Any, place: Place) -> Each | None:
        each = parse_each(data) if isinstance(data, str) else None
        if each is None:
            self.fault(place, f"{data!r} names no list; {_AN_EACH}")
        return each

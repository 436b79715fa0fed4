"""One line of SQL for each field: what was sent, how it is read, and what is said where it cannot be."""

from collections.abc import Iterable, Sequence

from onepipe.compile.text import dotted, json_path, listed, literal, name, shape, tree
from onepipe.mapping import MappedField, Source


class Lines:
    """The lines for the fields of a mapping (or of its stages, where nobody looks for problems).

    `crm` and `up` are the shapes of the record and of the record around it; `odd` names what stands where an object
    belongs, `text` what was sent (as the struct `sent`), `read` what it means. All of them stand under `at`: "" is the
    row itself, "one." an element of a list.
    """

    def __init__(
        self,
        fields: Iterable[MappedField],
        sources: Iterable[Source],
        *,
        for_stages: bool = False,
        sent: str = "sent",
        at: str = "",
    ) -> None:
        every = list(sources)
        self.for_stages, self.sent, self.at = for_stages, f"{at}{sent}", at
        self.crm = tree((source.steps, "VARCHAR") for source in every if source.root == "")
        self.up = tree((source.steps, "VARCHAR") for source in every if source.root == "^")
        self.fields = [one for one in fields if one.sources or one.default is not None]
        self.odd = [(_odd(steps), self._odd_line(steps, every)) for steps in self._parents(every)]
        self.text = [f"{label}: {sql}" for one in self.fields for label, sql in self._text(one)]
        self.read = [(name(one.name), self._read(one)) for one in self.fields]

    def unread(self, one: MappedField, *, field: str = "", value: str = "") -> str:
        """The line of `problems` for a field, under the name it has there, an SQL text, and what it was read as."""
        words = [word for theirs in (one.values or {}).values() for word in theirs]
        reason = f"not one of {', '.join(words)}" if words else one.transform.reason
        sent = f"{self.sent}.{one.name}"
        if one.transform.present:
            sent = f"{one.transform.macro}_sent({', '.join([sent, *self._others(one)])})"
        if self.at and (parents := self._parents(one.sources)):
            sent = f"coalesce({', '.join([*(self.at + _odd(steps) for steps in parents), sent])})"
        return f"unread({field or literal(one.name)}, {sent}, {value or name(one.name)}, {literal(reason)})"

    def _text(self, one: MappedField) -> list[tuple[str, str]]:
        if len(_inputs(one)) == 1:
            return [(one.name, self._first(one, one.sources))]
        others = zip(_inputs(one)[1:], one.sources[1:], strict=True)
        return [(one.name, self._first(one, one.sources[:1]))] + [
            (f"{one.name}_{label}", f"trimmed({self._leaf(source)})") for label, source in others
        ]

    def _first(self, one: MappedField, sources: Sequence[Source]) -> str:
        """The first of several sources that holds something, then what stands where their objects belong."""
        found = [self._sent(one, source) for source in sources]
        if one.transform.takes == "every":
            found = [f"nullif(concat_ws(' ', {', '.join(found)}), '')"]
        if not self.at:
            found += [_odd(steps) for steps in self._parents(sources)]
        if one.default is not None:
            found.append("$currency" if one.default == "$currency" else literal(one.default))
        sql = found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"
        if one.unless:
            source, words = one.unless
            sql = f"CASE WHEN coalesce(trimmed({self._leaf(source)}), '') NOT IN ({listed(words)}) THEN {sql} END"
        return sql

    def _read(self, one: MappedField) -> str:
        value = f"{self.sent}.{one.name}"
        paths = [json_path(source.steps) for source in one.sources if source.root == "" and not source.is_list]
        any_word = one.values is None or any("*" in theirs for theirs in one.values.values())
        if one.transform.plain and any_word and paths and not self.for_stages:  # no object is a word of a table
            refused = "no_object_in" if one.transform.takes == "every" else "no_object"
            value = f"{refused}({value}, {self.at}payload, [{listed(paths)}])"
        if one.transform.takes == "texts":
            value = _items(one.sources[0], value)
        sql = value if one.transform.sql == "x" else f"{one.transform.macro}({', '.join([value, *self._others(one)])})"
        if one.values is not None:
            sql = _table(one.values, sql)
        guards = [f"{self.at}{_odd(steps)} IS NULL" for steps in self._parents(one.sources)]
        return f"CASE WHEN {' AND '.join(guards)} THEN {sql} END" if guards else sql

    def _others(self, one: MappedField) -> list[str]:
        zone = "$timezone" if one.zone is None else literal(one.zone)
        return [zone if label == "zone" else f"{self.sent}.{one.name}_{label}" for label in one.transform.inputs[1:]]

    def _parents(self, sources: Iterable[Source]) -> list[tuple[str, ...]]:
        """The objects that must stand above values of the record; of reference records nobody asks."""
        own = [] if self.for_stages else [source.steps for source in sources if source.root == ""]
        return sorted({steps[:end] for steps in own for end in range(1, len(steps))})

    def _leaf(self, source: Source) -> str:
        """SQL: what stands at a path, as text; of a list or an object its JSON text."""
        if source.root == "@":
            return name(f"detail_{source.steps[0]}")
        if source.root == "custom":
            pointer = "/" + source.steps[0].replace("~", "~0").replace("/", "~1")
            return f"json_extract_string(custom, {literal(pointer)})"
        if source.text == "$position":
            return "item"
        if source.root == "$" and self.at:
            return dotted(self.at[:-1], source.steps)
        return dotted("up" if source.root == "^" else f"{self.at}crm", source.steps)

    def _sent(self, one: MappedField, source: Source) -> str:
        value = self._leaf(source)
        if source.is_list and one.transform.takes not in ("texts", "json"):
            return f"nullif(list_aggregate({_items(source, value)}, 'string_agg', '; '), '')"
        if source.is_list or one.transform.takes == "json" or source.text == "$position":
            return value
        return f"nullif({value}, '')" if one.transform.takes == "verbatim" else f"trimmed({value})"

    def _odd_line(self, steps: tuple[str, ...], sources: Iterable[Source]) -> str:
        below = [one.steps for one in sources if one.root == "" and one.steps[: len(steps)] == steps != one.steps]
        first = min(below, key=lambda one: (len(one), one[-1] != "id"))
        crm, path = f"{self.at}crm", literal(json_path(steps))
        return f"not_object({dotted(crm, steps)}, {dotted(crm, first)}, {self.at}payload, {path})"


def _inputs(one: MappedField) -> list[str]:
    return [label for label in one.transform.inputs if label != "zone"]


def _items(source: Source, value: str) -> str:
    """SQL: the texts that a list path names, out of the JSON text of the list."""
    if not source.item:
        return f"""items({value}, '["VARCHAR"]')"""
    order = {source.order: "DOUBLE"} if source.order else {}
    items = f"items({value}, {shape([order | {source.item: 'VARCHAR'}])})"
    return f"list_transform({f'list_sort({items})' if order else items}, lambda e: e.{name(source.item)})"


def _table(values: dict[str, tuple[str, ...]], sql: str) -> str:
    cases = [
        f"WHEN {sql} IN ({listed(theirs)}) THEN {literal(ours)}" for ours, theirs in values.items() if "*" not in theirs
    ]
    rest = [f"WHEN {sql} IS NOT NULL THEN {literal(ours)}" for ours, theirs in values.items() if "*" in theirs]
    return f"CASE {' '.join([*cases, *rest])} END"


def _odd(steps: tuple[str, ...]) -> str:
    return name("odd_" + "_".join(steps))

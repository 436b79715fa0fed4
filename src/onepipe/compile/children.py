"""The steps of a mapping's SELECT for what belongs to a record: line items, quotes, contacts and their like.

    parts  -> one line a table: the elements of its list, each opened once
    told   -> of each element what was sent, one line a field
    heard  -> of each element what it means; what cannot be read exactly is NULL, what is no object is left out

Each step is one list for each record, so no row is doubled and nothing has to be put together again.
"""

from onepipe.compile.lines import Lines
from onepipe.compile.text import dotted, json_path, literal, name, shape
from onepipe.mapping import ChildRules, Mapping
from onepipe.model import CHILDREN, POSITION, Child

_AT = "one."


class Part:
    """The lines of one child table: `results` and `problems` are for the last step of the SELECT."""

    def __init__(self, child: Child, rules: ChildRules) -> None:
        self.name, self.child, self.rules = child.name, child, rules
        self.lines = Lines(rules.fields.values(), rules.sources(), at=_AT)
        first = rules.each.first
        root = name(f"detail_{first.steps[0]}") if first.root == "@" else dotted("crm", first.steps)
        self.sent = f"trimmed({root})"
        parents = [first.steps[:end] for end in range(1, len(first.steps))] if not first.root else []
        if parents:
            odd = ", ".join(name("odd_" + "_".join(steps)) for steps in parents)
            self.sent = f"coalesce({odd}, {self.sent})"

    @property
    def parts(self) -> str:
        """SQL: the elements, each with its place and what the fields read of it."""
        each, listed = self.rules.each, f"elements({self.sent})"
        for steps, order in (((), each.first.order), *each.below):
            if steps:
                path = literal(json_path(steps))
                listed = f"flatten(list_transform({listed}, lambda e: elements_in(e, {path})))"
            if order:
                listed = f"ordered({listed}, {literal(json_path([order]))})"
        key, payload = "", "e"
        if each.keyed:
            key, payload = "'key': only_key(e), ", "only_value(e)"
        listed = f"list_transform({listed}, lambda e, n: {{'place': n, {key}'payload': {payload}}})"
        names = f"place: one.place, {'key: one.key, ' if each.keyed else ''}payload: one.payload::VARCHAR"
        opened = f"opened(one.payload, {shape(self.lines.crm or {'id': 'VARCHAR'})})"
        return f"list_transform({listed}, lambda one: {{{names}, crm: {opened}}}) AS {self.name}_parts"

    @property
    def told(self) -> str:
        """SQL: of each element what was sent."""
        kept = ["place: one.place", "payload: one.payload", "readable: one.crm IS NOT NULL"]
        kept += [f"{label}: {sql}" for label, sql in self.lines.odd]
        sent = f"sent: {{\n                {_lines(self.lines.text, 16)}\n            }}"
        return self._each("parts", "told", f"{{\n            {_lines([*kept, sent])}\n        }}")

    @property
    def heard(self) -> str:
        """SQL: of each element what it means, beside what was sent."""
        kept = [f"{label}: one.{label}" for label in ("payload", "readable", *dict(self.lines.odd), "sent")]
        read = dict(self.lines.read)
        columns = [f"{name(POSITION.name)}: one.place"]
        columns += [f"{name(c.name)}: {read.get(name(c.name), f'NULL::{c.type}')}" for c in self.child.columns]
        return self._each("told", "heard", f"{{\n            {_lines([*kept, *columns])}\n        }}")

    @property
    def result(self) -> str:
        """SQL: the nested column; the cast leaves out what is kept beside its columns."""
        return _typed(f"list_filter({self.name}_heard, lambda one: one.readable)", self.child)

    @property
    def problems(self) -> list[str]:
        """SQL: lists of problems, of the list as a whole and of its elements."""
        place = f"{literal(self.name + '[')} || one.{name(POSITION.name)} || ']"
        whole = f"unread({place}', coalesce(json_extract_string(one.payload, '$'), 'null'), NULL, 'not an object')"
        found = [
            self.lines.unread(one, field=f"{place}.{one.name}'", value=f"{_AT}{name(one.name)}")
            for one in self.lines.fields
        ]
        listed = f"CASE WHEN one.readable THEN [\n            {_lines(found)}\n        ] ELSE [{whole}] END"
        return [
            f"[unread('{self.name}', {self.sent}, {self.name}_heard, 'not a list')]",
            f"coalesce(flatten(list_transform({self.name}_heard, lambda one: {listed})), [])",
        ]

    def _each(self, step: str, next_step: str, made: str) -> str:
        return f"list_transform({self.name}_{step}, lambda one: {made}) AS {self.name}_{next_step}"


def parts(mapping: Mapping) -> list[Part]:
    """The child tables that a mapping fills, in the order of `onepipe.model.CHILDREN`."""
    return [Part(child, mapping.children[label]) for label, child in CHILDREN.items() if label in mapping.children]


def steps(every: list[Part], before: str) -> str:
    """The steps between `before` and the result; none where a mapping fills no child table."""
    if not every:
        return ""
    return f""",
parts AS (  -- what belongs to a record, one line a table: the elements of its list, each opened once
    SELECT *,
        {_lines([one.parts for one in every], 8)}
    FROM {before}
),
told_parts AS (  -- of each element what was sent, one line a field
    SELECT *,
        {_lines([one.told for one in every], 8)}
    FROM parts
),
heard AS (  -- of each element what it means; one that is no object is left out in the end
    SELECT *,
        {_lines([one.heard for one in every], 8)}
    FROM told_parts
)"""


def results(every: list[Part]) -> list[str]:
    """One column for each child table there is; NULL where the mapping does not fill it."""
    filled = {one.name: one for one in every}
    return [
        f"{filled[label].result if label in filled else _typed('NULL', child)} AS {label}"
        for label, child in CHILDREN.items()
    ]


def _typed(sql: str, child: Child) -> str:
    return f"{sql}::{child.nested.type}"


def _lines(lines: list[str], indent: int = 12) -> str:
    return (",\n" + " " * indent).join(lines)

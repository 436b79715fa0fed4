"""Turns a mapping into SQL that is meant to be read: `onepipe mapping show` prints it.

    record -> the payload opened once, all leaves as text, under the CRM's own names (`crm`)
    text   -> one line a field: what was sent, blank as NULL, defaults for what is absent (`sent`)
    read   -> one line a field: its transform; what cannot be read exactly is NULL
    result -> lookups, constants, and `problems`: every value that was sent and could not be read

The SQL leans on the macros of `transform.macros()`, which whoever runs it creates first. It answers one row for every
row of `source`, on DuckDB 1.5 and 2.0 alike.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from onepipe.errors import UsageError
from onepipe.mapping import OWN_DAY, STAGE_TYPES, MappedField, Mapping, Source, StageRules
from onepipe.model import MAPPED

_INDENT = ",\n        "
# Keywords that stand as a name in quotes only, in 1.5 or in 2.0.
_QUOTED = frozenset(
    "all analyse analyze and anti any array as asc asof at binary both by case cast check collate column create cross "
    "default desc describe distinct do else end except false fetch for foreign freeze from full glob group having in "
    "inner into is isnull join lateral leading left like limit natural not notnull null offset on only or order outer "
    "overlaps pivot placing primary qualify references right select semi show similar some summarize symmetric table "
    "then to trailing true union unique unpivot using variadic verbose when where window with".split()
)


def select(mapping: Mapping) -> str:
    """SQL from `source` (source_id, payload, detail_NAME ...) to source_id, every mapped column, closed_day, problems.

    Named parameters: $connection, $currency, $base_url, $timezone; all four are always named. Reads `stages`.
    """
    rows = _Rows(mapping.fields, mapping.sources())
    columns = [f"{_result(column.name, column.type, mapping, rows)}" for column in MAPPED]
    columns.append(_result(OWN_DAY, "DATE", mapping, rows))
    return f"""WITH given AS (  -- what a run gives; named here so that all four always are
    SELECT $connection::VARCHAR AS connection, $currency::VARCHAR AS currency, $base_url::VARCHAR AS base_url,
        $timezone::VARCHAR AS timezone
),
record AS (  -- each payload opened once, under the CRM's own names; what no column reads is left in `rest`
    SELECT *,
        try(from_json(payload, {_literal(_compact(rows.shape))})) AS crm,
        try(json_merge_patch('{{}}', payload, {_literal(_compact(_read_keys(mapping)))})) AS rest
    FROM source
),
text AS (  -- what was sent, one line a field; blank is NULL, a default stands for what is absent
    SELECT *{"".join(_INDENT + line for line in rows.odd)}, {{
            {(_INDENT + "    ").join(rows.text)}
        }} AS sent
    FROM record
),
read AS (  -- one line a field; what cannot be read exactly is NULL
    SELECT *,
        {_INDENT.join(rows.read)}
    FROM text
)
SELECT source_id,
    {("," + chr(10) + "    ").join(columns)},
    list_filter([
        unread('payload', CASE WHEN crm IS NULL THEN payload END, NULL, 'not a JSON object'),
        {_INDENT.join(_problems(mapping, rows))}
    ], lambda problem: problem IS NOT NULL) AS problems
FROM read{"".join(_joins(mapping.fields.values()))}
"""


def stages(mapping: Mapping, resource: str) -> str | None:
    """SQL from `source` (one row a reference record, in the CRM's order) to rows of `stages`; None where it has none.

    Named parameter: $connection. Each stage of a pipeline comes once, the first time it stands there.
    """
    rules = mapping.reference.get(resource)
    if rules is None:
        return None
    sources = [source for one in rules.fields.values() for source in one.sources]
    rows = _Rows(rules.fields, sources, for_stages=True)
    columns = [f"{name if name in rules.fields else 'NULL'}::{type_} AS {name}" for name, type_ in STAGE_TYPES.items()]
    return f"""WITH record AS (  -- the reference records in the CRM's order
    SELECT {_unnested(rules, rows)}
),
text AS (
    SELECT *, {{
            {(_INDENT + "    ").join(rows.text)}
        }} AS sent
    FROM record
),
read AS (
    SELECT *,
        {_INDENT.join(rows.read)}
    FROM text
)
SELECT $connection::VARCHAR AS connection,
    {("," + chr(10) + "    ").join(columns)}
FROM read
WHERE stage_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY {_partition(rules)} ORDER BY place) = 1
"""


def invert(mapping: Mapping, values: dict[str, Any]) -> dict[str, Any]:
    """What the CRM is sent for canonical values: its own names and units, nested as it nests them. None clears.

    Raises UsageError for a column that cannot be written, or a word that the field's table does not hold.
    """
    sent: dict[str, Any] = {}
    for name, value in values.items():
        made = mapping.fields.get(name)
        if made is None or made.to is None:
            raise UsageError(f"{mapping.name} cannot write {name}.")
        place = sent
        for step in made.to[:-1]:
            place = place.setdefault(step, {})
        place[made.to[-1]] = None if value is None else _written(made, value)
    return sent


def _written(made: MappedField, value: Any) -> Any:
    if made.values is not None:
        if value not in made.values:
            raise UsageError(f"{made.name} can be {', '.join(made.values)}, not {value!r}.")
        value = made.values[value][0]
    assert made.transform.write is not None, "the loader refuses a writable field without a way back"
    return made.transform.write(value)


class _Rows:
    """The lines of the CTEs for a set of fields."""

    def __init__(self, fields: dict[str, MappedField], sources: Iterable[Source], for_stages: bool = False) -> None:
        self.for_stages = for_stages
        own = [source for source in sources if source.root == "" and source.steps]
        self.shape = _tree((source.steps, "VARCHAR") for source in own)
        self.outer = _tree((one.steps, "VARCHAR") for f in fields.values() for one in f.sources if one.root == "^")
        parents = {source.steps[:end] for source in own for end in range(1, len(source.steps))}
        self.odd = [] if for_stages else [_odd_line(steps, own) for steps in sorted(parents)]
        self.read_fields = [one for one in fields.values() if one.sources or one.default is not None]
        self.text = [f"{name}: {sql}" for one in self.read_fields for name, sql in self._text(one)]
        self.read = [f"{self._read(one)} AS {_name(one.name)}" for one in self.read_fields]

    def _text(self, one: MappedField) -> list[tuple[str, str]]:
        inputs = one.transform.inputs if one.zone is None else one.transform.inputs[:1]
        if len(inputs) > 1 and "zone" not in inputs:
            others = zip(inputs[1:], one.sources[1:], strict=True)
            return [(one.name, self._first(one, one.sources[:1]))] + [
                (f"{one.name}_{name}", f"trimmed({_leaf(source)})") for name, source in others
            ]
        return [(one.name, self._first(one, one.sources))]

    def _first(self, one: MappedField, sources: Sequence[Source]) -> str:
        """The first of several sources that holds something; where an object should stand and does not, what does."""
        found = [_sent(one, source) for source in sources]
        found += [] if self.for_stages else [_odd(steps) for steps in self._parents(sources)]
        if one.default is not None:
            found.append("$currency" if one.default == "$currency" else _literal(one.default))
        sql = found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"
        if one.unless:
            source, words = one.unless
            listed = ", ".join(_literal(word) for word in words)
            sql = f"CASE WHEN coalesce(trimmed({_leaf(source)}), '') NOT IN ({listed}) THEN {sql} END"
        return sql

    def _read(self, one: MappedField) -> str:
        value = f"sent.{one.name}"
        paths = [_json_path(source.steps) for source in one.sources if source.root == "" and not source.is_list]
        if one.transform.plain and paths and not self.for_stages:
            value = f"no_object({value}, payload, [{', '.join(_literal(path) for path in paths)}])"
        if one.transform.takes == "texts":
            value = _items(one.sources[0], value)
        sql = value if one.transform.sql == "x" else f"{one.transform.macro}({', '.join([value, *self._others(one)])})"
        if one.sources and one.sources[0].text == "$position":
            sql = f"{value}::BIGINT"
        if one.values is not None:
            sql = _table(one.values, sql)
        guards = [] if self.for_stages else [f"{_odd(steps)} IS NULL" for steps in self._parents(one.sources)]
        return f"CASE WHEN {' AND '.join(guards)} THEN {sql} END" if guards else sql

    @staticmethod
    def _others(one: MappedField) -> list[str]:
        zone = "$timezone" if one.zone is None else _literal(one.zone)
        return [zone if name == "zone" else f"sent.{one.name}_{name}" for name in one.transform.inputs[1:]]

    @staticmethod
    def _parents(sources: Iterable[Source]) -> list[tuple[str, ...]]:
        return sorted({one.steps[:end] for one in sources if one.root == "" for end in range(1, len(one.steps))})

    def unread(self, one: MappedField) -> str:
        """The line of `problems` for a field."""
        words = [word for theirs in (one.values or {}).values() for word in theirs]
        reason = f"not one of {', '.join(words)}" if words else one.transform.reason
        value = f"sent.{one.name}"
        if one.transform.present:
            value = f"{one.transform.macro}_sent({', '.join([value, *self._others(one)])})"
        return f"unread('{one.name}', {value}, {_name(one.name)}, {_literal(reason)})"


def _problems(mapping: Mapping, rows: _Rows) -> list[str]:
    own_day_speaks = "closed_at" not in mapping.fields  # else one unreadable value would be told twice
    return [rows.unread(one) for one in rows.read_fields if one.name != OWN_DAY or own_day_speaks]


def _result(name: str, type_: str, mapping: Mapping, rows: _Rows) -> str:
    one = mapping.fields.get(name)
    if name == "extra":
        return "scalars_of(rest) AS extra"
    if one is None:
        return f"{'false' if name == 'is_archived' else 'NULL'}::{type_} AS {_name(name)}"
    if one.lookup:
        return f"{_looked_up(one)} AS {_name(name)}"
    if one.template is not None:
        return f"{_template(one.template)} AS {_name(name)}"
    return f"{_name(name)}::{type_} AS {_name(name)}" if one.type == "JSON" else _name(name)


def _looked_up(one: MappedField) -> str:
    *firsts, last = one.lookup
    cases = " ".join(f"WHEN by_{by} IS NOT NULL THEN {one.name}_by_{by}" for by in firsts)
    return f"CASE {cases} ELSE {one.name}_by_{last} END" if cases else f"{one.name}_by_{last}"


def _joins(fields: Iterable[MappedField]) -> list[str]:
    """At most one row of `stages` joins each record, so that no record is doubled."""
    taken: dict[str, list[str]] = {}
    for one in fields:
        for by in one.lookup:
            taken.setdefault(by, []).append(one.name)
    return [
        f"""
LEFT JOIN (
    SELECT DISTINCT ON ({by}) {", ".join([f"{by} AS by_{by}", *(f"{name} AS {name}_by_{by}" for name in names)])}
    FROM stages WHERE connection = $connection AND {by} IS NOT NULL ORDER BY position, stage_id
) ON by_{by} = {by}"""
        for by, names in taken.items()
    ]


def _template(template: str) -> str:
    pieces = re.split(r"(\{[^}]*\})", template)
    sql = []
    for piece in filter(None, pieces):
        if piece == "{base_url}":
            sql.append("rtrim($base_url, '/')")
        elif piece.startswith("{"):
            sql.append(f"trimmed(crm.{'.'.join(_name(step) for step in piece[1:-1].split('.'))})")
        else:
            sql.append(_literal(piece))
    return " || ".join(sql)


def _unnested(rules: StageRules, rows: _Rows) -> str:
    if rules.each is None:
        return f"row_number() OVER () AS place, from_json(payload, {_literal(_compact(rows.shape))}) AS crm\n    FROM source"
    path = _literal(_json_path(rules.each.steps))
    outer = f"from_json(payload, {_literal(_compact(rows.outer))}) AS up" if rows.outer else "NULL AS up"
    if any(source.text in ("$key", "$value") for one in rules.fields.values() for source in one.sources):
        items = f"""map_entries(try(from_json(payload -> {path}, '"MAP(VARCHAR,VARCHAR)"')))"""
    else:
        items = f"from_json(payload -> {path}, {_literal(_compact([rows.shape]))})"
    return f"""place * 1000000 + position AS place, position, up, crm FROM (
        SELECT place, up, unnest(items) AS crm, generate_subscripts(items, 1) AS position FROM (
            SELECT row_number() OVER () AS place, {outer}, {items} AS items FROM source
        )
    )"""


def _partition(rules: StageRules) -> str:
    return "stage_id, pipeline_id" if "pipeline_id" in rules.fields else "stage_id"


def _sent(one: MappedField, source: Source) -> str:
    leaf = _leaf(source)
    if source.root == "@" or source.is_list:
        return (
            leaf
            if one.transform.takes in ("texts", "json")
            else f"list_aggregate({_items(source, leaf)}, 'string_agg', '; ')"
        )
    if source.root == "$" and source.text == "$position":
        return leaf
    return {"verbatim": f"nullif({leaf}, '')", "json": leaf}.get(one.transform.takes, f"trimmed({leaf})")


def _leaf(source: Source) -> str:
    if source.root == "@":
        return _name(f"detail_{source.steps[0]}")
    if source.text == "$position":
        return "place"
    root = {"": "crm", "$": "crm", "^": "up"}[source.root]
    return ".".join([root, *(_name(step) for step in source.steps)])


def _items(source: Source, value: str) -> str:
    """SQL: the list of texts that a list path names, out of the JSON text of the list."""
    if not source.item:
        return f"""items({value}, '["VARCHAR"]')"""
    shape = {source.order: "DOUBLE"} if source.order else {}
    items = f"items({value}, {_literal(_compact([shape | {source.item: 'VARCHAR'}]))})"
    return f"list_transform({f'list_sort({items})' if source.order else items}, lambda e: e.{_name(source.item)})"


def _table(values: dict[str, tuple[str, ...]], sql: str) -> str:
    cases = []
    for ours, theirs in values.items():
        if "*" in theirs:
            continue
        listed = ", ".join(_literal(word) for word in theirs)
        cases.append(f"WHEN {sql} IN ({listed}) THEN {_literal(ours)}")
    rest = [ours for ours, theirs in values.items() if "*" in theirs]
    cases += [f"WHEN {sql} IS NOT NULL THEN {_literal(ours)}" for ours in rest]
    return f"CASE {' '.join(cases)} END"


def _odd(steps: tuple[str, ...]) -> str:
    return _name("odd_" + "_".join(steps))


def _odd_line(steps: tuple[str, ...], own: Iterable[Source]) -> str:
    below = [source.steps for source in own if source.steps[: len(steps)] == steps and len(source.steps) > len(steps)]
    leaf = min(below, key=lambda one: (len(one), one[-1] != "id"))
    struct, value = (".".join(["crm", *(_name(step) for step in path)]) for path in (steps, leaf))
    return f"not_object({struct}, {value}, payload, {_literal(_json_path(steps))}) AS {_odd(steps)}"


def _read_keys(mapping: Mapping) -> dict[str, Any]:
    """The JSON merge patch that takes what is read out of a record; an object whose id and name are read goes whole."""
    read = _tree((source.steps, None) for source in mapping.sources() if source.root == "")
    patch: dict[str, Any] = {}
    for key, below in read.items():
        if below is None or {"id", "name"} <= set(below):
            patch[key] = None
        elif kept := {name: None for name in ("id", "name") if name in below}:
            patch[key] = kept
    return patch


def _tree(leaves: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for steps, value in leaves:
        place = tree
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place.setdefault(steps[-1], value)
    return tree


def _json_path(steps: Iterable[str]) -> str:
    return "$" + "".join(f".{step}" if re.fullmatch(r"\w+", step) else f'."{step}"' for step in steps)


def _name(word: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word) and word.lower() not in _QUOTED
    return word if plain else '"' + word.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _compact(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)

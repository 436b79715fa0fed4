"""The SELECT of a mapping, in four steps named by what they hold.

    record -> the payload opened once, all leaves as text, under the CRM's own names (`crm`)
    text   -> one line a field: what was sent, blank as NULL, defaults for what is absent (`sent`)
    read   -> one line a field: its transform; what cannot be read exactly is NULL
    result -> lookups, constants, and `problems`: every value that was sent and could not be read

The SQL leans on the macros of `transform.macros()`, which whoever runs it creates first. It answers one row for every
row of `source`, on DuckDB 1.5 and 2.0 alike.
"""

import re
from collections.abc import Iterable
from typing import Any

import onepipe.compile.children as children
from onepipe.compile.lines import Lines
from onepipe.compile.text import dotted, json_path, literal, name, shape, tree
from onepipe.mapping import OWN_DAY, STAGE_TYPES, MappedField, Mapping, StageRules
from onepipe.model import MAPPED, Column
from onepipe.transform import macros


def select(mapping: Mapping) -> str:
    """SQL from `source` (source_id, payload, detail_NAME ...) to source_id, every mapped column, closed_day, problems.

    The mapping's own columns, then those of `onepipe.model.NESTED`, stand before `problems`. Named parameters:
    $connection, $currency, $base_url, $timezone; all four are always named. Reads `stages`.
    """
    every = (*mapping.fields.values(), *mapping.columns.values())
    late = [one for one in every if any(source.root == "custom" for source in one.read())]
    early = [one for one in every if one not in late]
    lines, more = Lines(early, mapping.sources()), Lines(late, (), sent="told")
    results = [_result(column, mapping) for column in (*MAPPED, Column(OWN_DAY, "DATE", ""))]
    parts = children.parts(mapping)
    results += [name(column) for column in mapping.columns] + children.results(parts)
    last = "typed" if late else "read"
    return f"""WITH given AS (  -- what a run gives; named here so that all four always are
    SELECT $connection::VARCHAR AS connection, $currency::VARCHAR AS currency, $base_url::VARCHAR AS base_url,
        $timezone::VARCHAR AS timezone
),
record AS (  -- each payload opened once, under the CRM's own names; what no column reads is left in `rest`
    SELECT *,
        try(from_json(payload, {shape(lines.crm)})) AS crm,
        try(json_merge_patch('{{}}', payload, {shape(_read_keys(mapping))})) AS rest
    FROM source
),
text AS (  -- what was sent, one line a field; blank is NULL, a default stands for what is absent
    SELECT *,
        {_lines([*_named(lines.odd), ""])}{_sent(lines)}
    FROM record
),
read AS (  -- one line a field; what cannot be read exactly is NULL
    SELECT *,
        {_lines(_named(lines.read))}
    FROM text
){_later(more)}{children.steps(parts, last)}
SELECT source_id,
    {_lines(results, 4)},
    list_filter({_all_problems([*_problems(mapping, lines), *(more.unread(one) for one in late)], parts)},
    lambda problem: problem IS NOT NULL) AS problems
FROM {"heard" if parts else last}{"".join(_joins(mapping.fields.values()))}
"""


def stages(mapping: Mapping, resource: str) -> str | None:
    """SQL from `source` (landing, place, payload) to landing, place and a row of `stages`; None where it has none.

    `source` has a row for each reference record; `landing` tells one state of the list from another, `place` is the
    record's place in it, in the CRM's order. Named parameter: $connection. In each landing a stage of a pipeline comes
    once, the first time it stands there.
    """
    rules = mapping.reference.get(resource)
    if rules is None:
        return None
    lines = Lines(rules.fields.values(), rules.sources(), for_stages=True)
    columns = [f"{name if name in rules.fields else 'NULL'}::{type_} AS {name}" for name, type_ in STAGE_TYPES.items()]
    once = "stage_id, pipeline_id" if "pipeline_id" in rules.fields else "stage_id"
    return f"""WITH record AS (  -- the reference records, or what stands in them, in the CRM's order
    SELECT {_unnested(rules, lines)}
),
text AS (
    SELECT *,
        {_sent(lines)}
    FROM record
),
read AS (
    SELECT *,
        {_lines(_named(lines.read))}
    FROM text
)
SELECT landing, place, $connection::VARCHAR AS connection,
    {_lines(columns, 4)}
FROM read
WHERE stage_id IS NOT NULL
QUALIFY row_number() OVER (PARTITION BY landing, {once} ORDER BY place, item) = 1
"""


def show(mapping: Mapping) -> str:
    """Everything that is run for a mapping, as one script for people: its macros, its SELECT, its stages."""
    parts = [select(mapping)]
    parts += [f"-- stages, from the resource {name}\n{stages(mapping, name)}" for name in mapping.reference]
    return "\n".join(f"{part.rstrip()};\n" for part in [*macros("".join(parts)), *parts])


def _lines(lines: Iterable[str], indent: int = 8) -> str:
    return (",\n" + " " * indent).join(lines)


def _named(lines: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{sql} AS {label}" for label, sql in lines]


def _sent(lines: Lines) -> str:
    return f"{{\n            {_lines(lines.text, 12)}\n        }} AS {lines.sent}"


def _later(lines: Lines) -> str:
    """The steps for columns that read keys of the column custom, which has to be read before them."""
    if not lines.fields:
        return ""
    return f""",
told AS (  -- keys of the column custom, one line a column
    SELECT *,
        {_sent(lines)}
    FROM read
),
typed AS (
    SELECT *,
        {_lines(_named(lines.read))}
    FROM told
)"""


def _all_problems(own: list[str], parts: list[children.Part]) -> str:
    listed = f"""[
        unread('payload', CASE WHEN crm IS NULL THEN payload END, NULL, 'not a JSON object'),
        {_lines(own)}
    ]"""
    belonging = [sql for part in parts for sql in part.problems]
    return f"list_concat({_lines([listed, *belonging])})" if belonging else listed


def _problems(mapping: Mapping, lines: Lines) -> list[str]:
    own_day_speaks = "closed_at" not in mapping.fields  # else one unreadable value would be told twice
    return [lines.unread(one) for one in lines.fields if one.name != OWN_DAY or own_day_speaks]


def _result(column: Column, mapping: Mapping) -> str:
    one, label = mapping.fields.get(column.name), name(column.name)
    if column.name == "extra":
        return "scalars_of(rest) AS extra"
    if one is None:
        return f"{'false' if column.name == 'is_archived' else 'NULL'}::{column.type} AS {label}"
    if one.lookup:
        return f"{_looked_up(one)} AS {label}"
    return f"{_template(one.template)} AS {label}" if one.template else label


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
    SELECT DISTINCT ON ({by}) {", ".join([f"{by} AS by_{by}", *(f"{label} AS {label}_by_{by}" for label in labels)])}
    FROM stages WHERE connection = $connection AND {by} IS NOT NULL ORDER BY position, stage_id
) ON by_{by} = {by}"""
        for by, labels in taken.items()
    ]


def _template(template: str) -> str:
    pieces = filter(None, re.split(r"(\{[^}]*\})", template))
    known = {"{base_url}": "rtrim($base_url, '/')"}
    return " || ".join(
        known.get(piece) or (f"trimmed({dotted('crm', piece[1:-1].split('.'))})" if piece[0] == "{" else literal(piece))
        for piece in pieces
    )


def _read_keys(mapping: Mapping) -> dict[str, Any]:
    """The JSON merge patch that takes what is read out of a record; an object whose id and name are read goes whole."""
    patch: dict[str, Any] = {}
    for key, below in tree((source.steps, None) for source in mapping.sources() if source.root == "").items():
        kept = {label: None for label in ("id", "name") if below and label in below}
        if below is None or len(kept) == 2:
            patch[key] = None
        elif kept:
            patch[key] = kept
    return patch


def _unnested(rules: StageRules, lines: Lines) -> str:
    crm = f"try(from_json(payload, {shape(lines.crm)}))" if lines.crm else "NULL"
    if rules.each is None:
        item = "row_number() OVER (PARTITION BY landing ORDER BY place) AS item"
        return f"landing, place, {item}, {crm} AS crm\n    FROM source"
    up = f"try(from_json(payload, {shape(lines.up)}))" if lines.up else "NULL"
    inner = f"payload -> {literal(json_path(rules.each.steps))}"
    if {"$key", "$value"} & {source.text for source in rules.sources()}:
        items = f"""map_entries(try(from_json({inner}, '"MAP(VARCHAR,VARCHAR)"')))"""
    else:
        items = f"items(try({inner}), {shape([lines.crm])})"
    return f"""landing, place, up, unnest(items) AS crm, generate_subscripts(items, 1) AS item
    FROM (
        SELECT landing, place, {up} AS up,
            {items} AS items
        FROM source
    )"""

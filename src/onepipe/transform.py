r"""Named value transforms: how the text a CRM sent becomes a canonical value, and how that is written back.

Each is a DuckDB macro `as_NAME`, so that the SQL of a mapping reads like the mapping; `macros()` creates them all.
Reading never raises and never rounds: what cannot be read exactly is NULL, and the caller makes a problem of it.
Writing is Python. Law: `read(write(read(s))) == read(s)` for every transform that has a `write`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from onepipe.model import MONEY

_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_TIME = "[T ]([01][0-9]|2[0-3]): ?[0-5][0-9]: ?[0-5][0-9]([.][0-9]{1,6}0*)?"
_MIDNIGHT = "[T ]00: ?00: ?00([.]0+)?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):? ?[0-5][0-9])"


@dataclass(frozen=True, slots=True)
class Transform:
    """One way of reading a value, and the way back where there is one.

    `sql` is an expression over `inputs`; `takes` says what the first input holds: "text" (one value, blanks trimmed),
    "verbatim" (one value as sent), "texts" (a list of values) or "json" (the JSON text of an object or a list).
    `plain` asks the compiler to refuse a JSON object or array where the text belongs. `present` is a condition over
    `inputs` without which nothing was there to be read. `reason` completes a problem: "not ...". `write` takes the canonical Python value and gives what the CRM is sent.
    """

    name: str
    type: str
    doc: str
    sql: str
    reason: str
    inputs: tuple[str, ...] = ("x",)
    takes: str = "text"
    plain: bool = False
    present: str = ""
    write: Callable[[Any], Any] | None = None

    @property
    def macro(self) -> str:
        return f"as_{self.name}"


def plain_number(value: Decimal | int | str) -> Decimal:
    """The same number without an exponent and without zeros at its end: 500.0000 -> 500."""
    number = Decimal(value).normalize()
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def printed_instant(value: datetime) -> str:
    """An instant as ISO 8601 in UTC with a Z, with as many decimals as it needs."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _same(value: Any) -> Any:
    return value


def _percent_of(value: Decimal) -> Decimal:
    return plain_number(Decimal(value) * 100)


def _day_text(value: date) -> str:
    return value.isoformat()


def _midnight_text(value: date) -> str:
    return f"{value.isoformat()}T00:00:00Z"


def _matches(pattern: str, column: str = "x") -> str:
    return f"regexp_full_match({column}, '{pattern}')"


def _exact(digits: int, type_: str) -> str:
    """SQL: a number of at most so many decimals, zeros aside, as `type_`; NULL where reading would change it."""
    number = f"[+-]?([0-9]+([.][0-9]{{0,{digits}}}0*)?|[.][0-9]{{1,{digits}}}0*)([eE][+]?[0-9]+)?"
    return f"CASE WHEN {_matches(number)} THEN try_cast(x AS {type_}) END"


def _unescape() -> str:
    sql = "x"
    entities = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#039;": "''", "&#39;": "''", "&apos;": "''"}
    for entity, letter in (entities | {"&nbsp;": "\u00a0", "&pound;": "£", "&euro;": "€", "&amp;": "&"}).items():
        sql = f"replace({sql}, '{entity}', '{letter}')"
    return sql


# One object of the {name, mark, value} in the list `{entries}`, values being JSON; a name that stands twice gets its mark.
_OBJECT = """CASE WHEN left(x, 1) = '[' AND json_valid(x) THEN list_transform([{entries}], lambda l:
    '{{' || coalesce(list_aggregate(list_transform(l, lambda e:
        to_json(CASE WHEN len(list_filter(l, lambda o: o.name = e.name)) > 1 THEN concat(e.name, ' (', e.mark, ')')
            ELSE e.name END)::VARCHAR || ':' || e.value), 'string_agg', ','), '') || '}}')[1]::JSON END"""

_LABELLED = """list_transform(items(x,
    '[{"id":"VARCHAR","tag":"VARCHAR","label":"VARCHAR","text":"VARCHAR","date":"VARCHAR","boolean":"VARCHAR","number":"VARCHAR"}]'),
    lambda f: {'name': coalesce(f.label, f.tag, f.id), 'mark': coalesce(f.tag, f.id), 'value': coalesce(
        to_json(nullif(f.text, ''))::VARCHAR, to_json(coalesce(as_day(f.date)::VARCHAR, f.date))::VARCHAR,
        to_json(as_flag(f.boolean))::VARCHAR, json_number(f.number))})"""

_NAMED = """list_transform(items(x,
    '[{"field_id":"VARCHAR","name":"VARCHAR","type":"VARCHAR","value":"VARCHAR","value_numeric":"VARCHAR","enabled":"VARCHAR","option":"VARCHAR","option_name":"VARCHAR"}]'),
    lambda f: {'name': coalesce(f.name, f.field_id), 'mark': f.field_id, 'value': CASE f.type
        WHEN 's' THEN to_json(coalesce(f.option_name, f.option))::VARCHAR
        WHEN 'n' THEN json_number(coalesce(f.value_numeric, f.value))
        WHEN 'c' THEN to_json(as_flag(coalesce(f.enabled, f.value)))::VARCHAR
        ELSE to_json(nullif(coalesce(f.value, f.value_numeric, f.option_name), ''))::VARCHAR END})"""

# What the transforms and the compiled SQL lean on. A macro is expanded where it stands: arguments must be plain columns.
_TOOLS = {
    "trimmed(x)": r"""nullif(CASE WHEN left(x, 1) <= ' ' OR right(x, 1) <= ' ' THEN trim(x, e' \t\r\n') ELSE x END, '')""",
    "items(x, shape)": "CASE WHEN left(x, 1) = '[' AND json_valid(x) THEN from_json(x, shape) END",
    "json_number(x)": f"CASE WHEN {_matches('-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?')}"
    " THEN x ELSE to_json(nullif(x, ''))::VARCHAR END",
    "no_object(x, payload, paths)": "CASE WHEN x IS NULL OR left(x, 1) NOT IN ('{', '[')"
    " OR NOT list_has_any(json_type(payload, paths), ['OBJECT', 'ARRAY']) THEN x END",
    # What stands where an object belongs: from_json makes a struct of NULLs of it, but NULL of null and of nothing.
    "not_object(struct, leaf, payload, path)": "CASE WHEN struct IS NOT NULL AND leaf IS NULL"
    " AND json_type(payload, path) <> 'OBJECT' THEN payload ->> path END",
    # What a merge patch left of a record: scalars stay, of an object its id and name, of a list nothing.
    "id_and_name(x)": """nullif('{' || concat_ws(',', '"id":' || json_value(x, '$.id'), '"name":' || json_value(x, '$.name'))
        || '}', '{}')""",
    "scalars_of(rest)": """CASE WHEN NOT contains(rest::VARCHAR, ':{') AND NOT contains(rest::VARCHAR, ':[') THEN rest
        ELSE ('{' || coalesce(list_aggregate(list_transform(list_zip(json_keys(rest), json_extract(rest, '$.*')), lambda e:
            to_json(e[1])::VARCHAR || ':' || CASE left(e[2], 1) WHEN '[' THEN NULL WHEN '{' THEN id_and_name(e[2]) ELSE e[2] END),
            'string_agg', ','), '') || '}')::JSON END""",
    "unread(field, sent, value, reason)": "CASE WHEN sent IS NOT NULL AND value IS NULL"
    " THEN {'field': field, 'value': sent, 'reason': reason} END",
}

_ALL = (
    Transform("text", "VARCHAR", "Text without outer blanks; blank is NULL.", "x", "not text", plain=True, write=_same),
    Transform(
        "verbatim",
        "VARCHAR",
        "Text exactly as sent; only the empty text is NULL.",
        "x",
        "not text",
        takes="verbatim",
        plain=True,
        write=_same,
    ),
    Transform(
        "decimal",
        MONEY,
        "A number with at most four decimals, never through a double.",
        _exact(4, MONEY),
        "not a number that DECIMAL(18,4) holds exactly",
        write=plain_number,
    ),
    Transform(
        "percent",
        "DECIMAL(5,4)",
        "0 to 100 with at most two decimals, read as 0..1.",
        f"CASE WHEN ({_exact(2, 'DECIMAL(5,2)')}) BETWEEN 0 AND 100"
        " THEN try_cast(try_cast(x AS DECIMAL(5,2)) * 0.01 AS DECIMAL(5,4)) END",
        "not a percentage from 0 to 100 with at most two decimals",
        write=_percent_of,
    ),
    Transform(
        "fraction",
        "DECIMAL(5,4)",
        "0 to 1 with at most four decimals.",
        f"CASE WHEN ({_exact(4, 'DECIMAL(5,4)')}) BETWEEN 0 AND 1 THEN try_cast(x AS DECIMAL(5,4)) END",
        "not a number from 0 to 1 with at most four decimals",
        write=plain_number,
    ),
    Transform(
        "day",
        "DATE",
        "A calendar date, in no zone; of a stamp the day as printed. Written as 2024-01-31.",
        f"CASE WHEN {_matches(f'{_DAY}({_TIME}({_ZONE})?)?')} THEN try_cast(left(x, 10) AS DATE) END",
        "not a calendar date",
        write=_day_text,
    ),
    Transform(
        "midnight",
        "DATE",
        "As `day`, for a CRM that prints dates as midnight. Written as 2024-01-31T00:00:00Z.",
        "as_day(x)",
        "not a calendar date",
        write=_midnight_text,
    ),
    Transform(
        "instant",
        "TIMESTAMPTZ",
        "A moment with its zone (Z, +00:00, +0000), blanks after colons forgiven; without a zone it is a problem.",
        f"CASE WHEN {_matches(f'{_DAY}{_TIME}{_ZONE}')} THEN try_cast(replace(x, ': ', ':') AS TIMESTAMPTZ) END",
        "not a moment with a zone",
        write=printed_instant,
    ),
    Transform(
        "instant_in",
        "TIMESTAMPTZ",
        "As `instant`; one printed without a zone is taken in the zone that the field's `zone` names.",
        f"coalesce(as_instant(x), CASE WHEN {_matches(f'{_DAY}{_TIME}')}"
        " THEN try_cast(replace(x, ': ', ':') AS TIMESTAMP) AT TIME ZONE zone END)",
        "not a moment",
        inputs=("x", "zone"),
        write=printed_instant,
    ),
    Transform(
        "closing_day",
        "DATE",
        "The day of an instant in the reporting zone; of a date printed as midnight, that calendar date.",
        f"CASE WHEN {_matches(f'{_DAY}({_MIDNIGHT}({_ZONE})?)?')} THEN try_cast(left(x, 10) AS DATE)"
        " ELSE CAST(as_instant(x) AT TIME ZONE zone AS DATE) END",
        "not a day or a moment",
        inputs=("x", "zone"),
    ),
    Transform(
        "flag",
        "BOOLEAN",
        "true, t, yes, 1 or false, f, no, 0.",
        "CASE WHEN lower(x) IN ('true', 't', 'yes', '1') THEN true"
        " WHEN lower(x) IN ('false', 'f', 'no', '0') THEN false END",
        "not true or false",
        write=_same,
    ),
    Transform(
        "currency",
        "VARCHAR",
        "Three letters, read in upper case.",
        f"CASE WHEN {_matches('[A-Za-z]{3}')} THEN upper(x) END",
        "not a currency of three letters",
        write=_same,
    ),
    Transform(
        "period",
        "VARCHAR",
        "One word, read in lower and written in upper case: MONTH, month.",
        f"CASE WHEN {_matches('[A-Za-z]+')} THEN lower(x) END",
        "not the name of a period",
        write=str.upper,
    ),
    Transform(
        "unescaped",
        "VARCHAR",
        "Text whose HTML entities are undone once: R&amp;D is R&D.",
        _unescape(),
        "not text",
        plain=True,
    ),
    Transform(
        "without_site",
        "VARCHAR",
        "A user's name without the site that follows it: paul//acme is paul.",
        "nullif(split_part(x, '//', 1), '')",
        "not a user's name",
        plain=True,
        write=_same,
    ),
    Transform(
        "tags",
        "VARCHAR[]",
        "A list of words, sorted, each once; an empty list stays empty, an absent one NULL.",
        "list_sort(list_distinct(list_filter(list_transform(x, lambda e: trimmed(e)), lambda e: e IS NOT NULL)))",
        "not a list",
        takes="texts",
        write=_same,
    ),
    Transform(
        "object",
        "JSON",
        "A JSON object as it is; PHP's empty list counts as an empty object.",
        "CASE WHEN x = '[]' THEN '{}'::JSON WHEN left(x, 1) = '{' AND json_valid(x) THEN x::JSON END",
        "not an object",
        takes="json",
        write=_same,
    ),
    Transform(
        "labelled",
        "JSON",
        "Custom fields as a list of {id, tag, label, text | date | boolean | number}: an object by label.",
        _OBJECT.format(entries=_LABELLED),
        "not a list of custom fields",
        takes="json",
    ),
    Transform(
        "named",
        "JSON",
        "Custom values as a list of {name, type, value | value_numeric | enabled | option_name}: an object by name.",
        _OBJECT.format(entries=_NAMED),
        "not a list of custom values",
        takes="json",
    ),
    Transform(
        "periods_total",
        MONEY,
        "Of value, duration, basis: value times duration; value alone where the basis is FIXED or absent.",
        "CASE WHEN upper(coalesce(basis, 'FIXED')) = 'FIXED' THEN as_decimal(x)"
        f" ELSE try_cast(as_decimal(x) * as_decimal(duration) AS {MONEY}) END",
        "not a value and a duration that DECIMAL(18,4) holds",
        inputs=("x", "duration", "basis"),
        present="duration IS NOT NULL OR upper(coalesce(basis, 'FIXED')) = 'FIXED'",
        write=plain_number,
    ),
    Transform(
        "milestone_status",
        "VARCHAR",
        "Of complete, percent: open until complete; then won at 100, lost at 0, otherwise not to be known.",
        "CASE WHEN NOT as_flag(x) THEN 'open' WHEN as_flag(x) AND as_percent(percent) = 1 THEN 'won'"
        " WHEN as_flag(x) AND as_percent(percent) = 0 THEN 'lost' END",
        "not true or false",
        inputs=("x", "percent"),
    ),
)

TRANSFORMS = {transform.name: transform for transform in _ALL}


def macros() -> list[str]:
    """The statements that create every macro, in an order in which each finds those it uses; safe to run again."""
    bodies = dict(_TOOLS)
    for one in _ALL:
        bodies[f"{one.macro}({', '.join(one.inputs)})"] = one.sql
        if one.present:
            bodies[f"{one.macro}_sent({', '.join(one.inputs)})"] = f"CASE WHEN {one.present} THEN x END"
    return [f"CREATE OR REPLACE TEMP MACRO {head} AS {body}" for head, body in bodies.items()]

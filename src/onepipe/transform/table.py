"""Every transform that a mapping can name. docs/mapping.md lists them for people."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from onepipe.model import MONEY
from onepipe.transform.form import Transform
from onepipe.transform.tools import matches

_DAY = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_TIME = "[T ]([01][0-9]|2[0-3]): ?[0-5][0-9]: ?[0-5][0-9]([.][0-9]{1,6}0*)?"
_MIDNIGHT = "[T ]00: ?00: ?00([.]0+)?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):? ?[0-5][0-9])"
_FRACTION = "DECIMAL(5,4)"


def plain_number(value: Decimal | int | str) -> Decimal:
    """The same number without an exponent and without zeros at its end: 500.0000 -> 500."""
    number = Decimal(value).normalize()
    return number.quantize(Decimal(1)) if number == number.to_integral_value() else number


def _same(value: Any) -> Any:
    return value


def _percent(value: Decimal) -> Decimal:
    return plain_number(Decimal(value) * 100)


def _day(value: date) -> str:
    return value.isoformat()


def _midnight(value: date) -> str:
    return f"{value.isoformat()}T00:00:00Z"


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _exact(digits: int, type_: str) -> str:
    """SQL: a number of at most so many decimals, zeros aside; NULL where the type would round it."""
    number = f"[+-]?([0-9]+([.][0-9]{{0,{digits}}}0*)?|[.][0-9]{{1,{digits}}}0*)([eE][+]?[0-9]+)?"
    return f"CASE WHEN {matches(number)} THEN try_cast(x AS {type_}) END"


def _product(factor: str) -> str:
    """SQL: x times another number, exactly or NULL; 18 digits by 18 fit in 38."""
    return f"as_decimal((as_decimal(x)::DECIMAL(36,4) * as_decimal({factor}))::VARCHAR)"


def _unescaped() -> str:
    entities = {"lt": "<", "gt": ">", "quot": '"', "#034": '"', "#34": '"', "#039": "''", "#39": "''", "apos": "''"}
    entities |= {"nbsp": "\u00a0", "pound": "£", "euro": "€", "amp": "&"}  # amp last, or &amp;lt; would become <
    sql = "x"
    for entity, letter in entities.items():
        sql = f"replace({sql}, '&{entity};', '{letter}')"
    return sql


# Capsule API v1, custom fields: one of text, date, boolean, number is there.
_LABELLED = """object_of(list_transform(items(x, '[{"id":"VARCHAR","tag":"VARCHAR","label":"VARCHAR","text":"VARCHAR",
    "date":"VARCHAR","boolean":"VARCHAR","number":"VARCHAR"}]'), lambda f: {
        'name': coalesce(f.label, f.tag, f.id), 'mark': coalesce(f.tag, f.id), 'value': coalesce(
            json_text(f.text), json_text(coalesce(as_day(f.date)::VARCHAR, f.date)),
            to_json(as_flag(f.boolean))::VARCHAR, json_number(f.number))}))"""

# Tactile, custom_values: type s (select), n (number), c (checkbox), t (text); which key holds the value depends on it.
_NAMED = """object_of(list_transform(items(x, '[{"field_id":"VARCHAR","name":"VARCHAR","type":"VARCHAR",
    "value":"VARCHAR","value_numeric":"VARCHAR","enabled":"VARCHAR","option":"VARCHAR","option_name":"VARCHAR"}]'),
    lambda f: {
        'name': coalesce(f.name, f.field_id), 'mark': f.field_id, 'value': CASE f.type
            WHEN 's' THEN json_text(coalesce(f.option_name, f.option))
            WHEN 'n' THEN json_number(coalesce(f.value_numeric, f.value))
            WHEN 'c' THEN to_json(as_flag(coalesce(f.enabled, f.value)))::VARCHAR
            ELSE json_text(coalesce(f.value, f.value_numeric, f.option_name)) END}))"""

_ALL = (
    Transform(
        name="text",
        type="VARCHAR",
        doc="Text without outer blanks; blank is NULL.",
        sql="x",
        reason="not text",
        plain=True,
        write=_same,
    ),
    Transform(
        name="verbatim",
        type="VARCHAR",
        doc="Text exactly as sent; only the empty text is NULL.",
        sql="x",
        reason="not text",
        takes="verbatim",
        plain=True,
        write=_same,
    ),
    Transform(
        name="decimal",
        type=MONEY,
        doc="A number with at most four decimals, never through a double.",
        sql=_exact(4, MONEY),
        reason=f"not a number that {MONEY} holds exactly",
        write=plain_number,
    ),
    Transform(
        name="percent",
        type=_FRACTION,
        doc="0 to 100 with at most two decimals, read as 0..1.",
        sql=f"""CASE WHEN ({_exact(2, "DECIMAL(5,2)")}) BETWEEN 0 AND 100
    THEN try_cast(try_cast(x AS DECIMAL(5,2)) * 0.01 AS {_FRACTION}) END""",
        reason="not a percentage from 0 to 100 with at most two decimals",
        write=_percent,
    ),
    Transform(
        name="fraction",
        type=_FRACTION,
        doc="0 to 1 with at most four decimals.",
        sql=f"CASE WHEN ({_exact(4, _FRACTION)}) BETWEEN 0 AND 1 THEN try_cast(x AS {_FRACTION}) END",
        reason="not a number from 0 to 1 with at most four decimals",
        write=plain_number,
    ),
    Transform(
        name="day",
        type="DATE",
        doc="A calendar date, in no zone; of a moment the day as printed. Written as 2024-01-31.",
        sql=f"CASE WHEN {matches(f'{_DAY}({_TIME}({_ZONE})?)?')} THEN try_cast(left(x, 10) AS DATE) END",
        reason="not a calendar date",
        write=_day,
    ),
    Transform(
        name="midnight",
        type="DATE",
        doc="As `day`, for a CRM that prints dates as midnight. Written as 2024-01-31T00:00:00Z.",
        sql="as_day(x)",
        reason="not a calendar date",
        write=_midnight,
    ),
    Transform(
        name="instant",
        type="TIMESTAMPTZ",
        doc="A moment with its zone (Z, +00:00, +0000); blanks after colons are forgiven.",
        sql=f"CASE WHEN {matches(f'{_DAY}{_TIME}{_ZONE}')} THEN try_cast(replace(x, ': ', ':') AS TIMESTAMPTZ) END",
        reason="not a moment with a zone",
        write=_instant,
    ),
    Transform(
        name="instant_in",
        type="TIMESTAMPTZ",
        doc="As `instant`; a moment printed without a zone is taken in the one that the field's `zone` names.",
        sql=f"""coalesce(as_instant(x), CASE WHEN {matches(f"{_DAY}{_TIME}")}
    THEN try_cast(replace(x, ': ', ':') AS TIMESTAMP) AT TIME ZONE zone END)""",
        reason="not a moment",
        inputs=("x", "zone"),
        write=_instant,
    ),
    Transform(
        name="closing_day",
        type="DATE",
        doc="The day of a moment in the reporting zone; of a date, or a date printed as midnight, that calendar date.",
        sql=f"""CASE WHEN {matches(f"{_DAY}({_MIDNIGHT}({_ZONE})?)?")} THEN try_cast(left(x, 10) AS DATE)
    ELSE CAST(as_instant(x) AT TIME ZONE zone AS DATE) END""",
        reason="not a day or a moment with a zone",
        inputs=("x", "zone"),
    ),
    Transform(
        name="flag",
        type="BOOLEAN",
        doc="true, t, yes, 1 or false, f, no, 0, in upper or lower case.",
        sql="""CASE WHEN lower(x) IN ('true', 't', 'yes', '1') THEN true
    WHEN lower(x) IN ('false', 'f', 'no', '0') THEN false END""",
        reason="not true or false",
        write=_same,
    ),
    Transform(
        name="currency",
        type="VARCHAR",
        doc="Three letters, read in upper case.",
        sql=f"CASE WHEN {matches('[A-Za-z]{3}')} THEN upper(x) END",
        reason="not a currency of three letters",
        write=_same,
    ),
    Transform(
        name="period",
        type="VARCHAR",
        doc="One word, read in lower and written in upper case: MONTH is month.",
        sql=f"CASE WHEN {matches('[A-Za-z]+')} THEN lower(x) END",
        reason="not the name of a period",
        write=str.upper,
    ),
    Transform(
        name="unescaped",
        type="VARCHAR",
        doc="Text whose HTML entities are undone once: R&amp;D is R&D.",
        sql=_unescaped(),
        reason="not text",
        plain=True,
    ),
    Transform(
        name="without_site",
        type="VARCHAR",
        doc="A user's name without the site behind it: paul//acme is paul.",
        sql="nullif(split_part(x, '//', 1), '')",
        reason="not a user's name",
        plain=True,
        write=_same,
    ),
    Transform(
        name="tags",
        type="VARCHAR[]",
        doc="A list of words, sorted, each once; an empty list stays empty, an absent one is NULL.",
        sql="list_sort(list_distinct(list_filter(list_transform(x, lambda e: trimmed(e)), lambda e: e IS NOT NULL)))",
        reason="not a list",
        takes="texts",
        write=_same,
    ),
    Transform(
        name="object",
        type="JSON",
        doc="A JSON object as it is; an empty list counts as an empty object.",
        sql="CASE WHEN x = '[]' THEN '{}'::JSON WHEN left(x, 1) = '{' THEN try_cast(x AS JSON) END",
        reason="not an object",
        takes="json",
        write=_same,
    ),
    Transform(
        name="labelled",
        type="JSON",
        doc="Capsule's custom fields, {id, tag, label} and one of text, date, boolean, number: an object by label.",
        sql=_LABELLED,
        reason="not a list of custom fields",
        takes="json",
    ),
    Transform(
        name="named",
        type="JSON",
        doc="Tactile's custom values, {field_id, name, type, value ...}: an object by name.",
        sql=_NAMED,
        reason="not a list of custom values",
        takes="json",
    ),
    Transform(
        name="joined",
        type="VARCHAR",
        doc="The texts of all its paths, joined by a blank, those that hold nothing left out.",
        sql="x",
        reason="not text",
        takes="every",
        plain=True,
    ),
    Transform(
        name="product",
        type=MONEY,
        doc="Of two numbers: the one times the other, exactly; NULL where one of them is absent.",
        sql=_product("factor"),
        reason=f"not two numbers whose product {MONEY} holds exactly",
        inputs=("x", "factor"),
        present="factor IS NOT NULL",
    ),
    Transform(
        name="periods_total",
        type=MONEY,
        doc="Of value, duration, basis: value times duration; value alone where the basis is FIXED or absent.",
        sql=f"""CASE WHEN upper(coalesce(basis, 'FIXED')) = 'FIXED' THEN as_decimal(x)
    ELSE {_product("duration")} END""",
        reason=f"not a value and a duration whose product {MONEY} holds exactly",
        inputs=("x", "duration", "basis"),
        present="duration IS NOT NULL OR upper(coalesce(basis, 'FIXED')) = 'FIXED'",
        write=plain_number,
    ),
    Transform(
        name="milestone_status",
        type="VARCHAR",
        doc="Of complete, percent: open until complete; then won at 100, lost at 0, else not to be known.",
        sql="""CASE WHEN NOT as_flag(x) THEN 'open' WHEN as_flag(x) AND as_percent(percent) = 1 THEN 'won'
    WHEN as_flag(x) AND as_percent(percent) = 0 THEN 'lost' END""",
        reason="not true or false",
        inputs=("x", "percent"),
    ),
)

TRANSFORMS = {transform.name: transform for transform in _ALL}

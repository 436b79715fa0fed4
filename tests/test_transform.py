"""The named transforms, read by a real DuckDB."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.transform import TRANSFORMS, Transform, macros

WRITABLE = [one for one in TRANSFORMS.values() if one.write]


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for statement in macros():
        connection.execute(statement)
    yield connection
    connection.close()


def read(db: duckdb.DuckDBPyConnection, transform: Transform, texts: list[Any]) -> list[Any]:
    """What a transform makes of many texts at once: instants as text, since fetching one needs pytz."""
    rest = {"zone": "'Europe/London'", "duration": "NULL", "basis": "NULL", "percent": "'100'", "factor": "'2.5'"}
    value = {"verbatim": "nullif(sent, '')", "texts": "items(sent, '[\"VARCHAR\"]')", "json": "sent"}
    macro = f"{transform.macro}({', '.join(['x', *(rest[name] for name in transform.inputs[1:])])})"
    shown = f"{macro}::VARCHAR" if transform.type in ("TIMESTAMPTZ", "JSON") else macro
    x = value.get(transform.takes, "trimmed(sent)")
    rows = "SELECT unnest($texts::VARCHAR[]) AS sent, generate_subscripts($texts::VARCHAR[], 1) AS place"
    sql = f"SELECT {shown} FROM (SELECT {x} AS x, place FROM ({rows})) ORDER BY place"
    return [_value(row[0], transform.type) for row in db.execute(sql, {"texts": texts}).fetchall()]


def _value(value: Any, type_: str) -> Any:
    return datetime.fromisoformat(value + ":00") if type_ == "TIMESTAMPTZ" and value is not None else value


def as_text(value: Any) -> str:
    """A written value as the leaf of a record holds it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(f'"{word}"' for word in value) + "]"
    return str(value)


CASES: dict[str, dict[str, Any]] = {
    "text": {" a\t\n": "a", "": None, "  \n": None, "\u00a0a": "\u00a0a", "NULL": "NULL", "[x": "[x"},
    "verbatim": {" a ": " a ", "": None, " ": " "},
    "decimal": {
        "500.00": Decimal("500.0000"),
        " 7 ": Decimal(7),
        "5.00005": None,  # four decimals hold it not
        "5.000050": None,
        "5.123400000": Decimal("5.1234"),
        "0.30000000000000004": None,
        "12345678901234.5678": Decimal("12345678901234.5678"),
        "123456789012345": None,
        "1e3": Decimal(1000),
        "1e-7": None,
        "-0.5": Decimal("-0.5"),
        ".5": Decimal("0.5"),
        "1,000": None,
        "1_000": None,
        "NaN": None,
        "Infinity": None,
        "12 GBP": None,
        "true": None,
        "--5": None,
        "": None,
    },
    "percent": {
        "50": Decimal("0.5"),
        "100": Decimal(1),
        "100.0": Decimal(1),
        "0": Decimal(0),
        "0.01": Decimal("0.0001"),
        "33.33": Decimal("0.3333"),
        "33.333": None,
        "100.01": None,
        "-1": None,
        "50%": None,
        "50000": None,
    },
    "fraction": {"0.5": Decimal("0.5"), "1": Decimal(1), "1.01": None, "-0.1": None, "0.33333": None},
    "day": {
        "2009-09-30": date(2009, 9, 30),
        "2009-09-30T00:00:00Z": date(2009, 9, 30),
        "2009-09-30T23:30:00-05:00": date(2009, 9, 30),  # as printed, in no zone
        "2009-09-30T00:00:00": date(2009, 9, 30),
        "2024-01-15T09: 30: 00Z": date(2024, 1, 15),
        "2024-02-31": None,
        "2023-02-29": None,
        "2009-06-31T00:00:00Z": None,
        "0000-00-00": None,
        "30/09/2009": None,
        "2009-9-3": None,
        "2009-09-30 tea": None,
        "2009-09-30T99:00:00Z": None,
        "infinity": None,
        "today": None,
    },
    "instant": {
        "2024-01-15T09:30:00Z": datetime(2024, 1, 15, 9, 30, tzinfo=UTC),
        "2024-01-15T09: 30: 00Z": datetime(2024, 1, 15, 9, 30, tzinfo=UTC),
        "2024-01-15T09:30:00+0100": datetime(2024, 1, 15, 8, 30, tzinfo=UTC),
        "2024-01-15T09:30:00+01:00": datetime(2024, 1, 15, 8, 30, tzinfo=UTC),
        "2024-01-15T09:30:00+00:00": datetime(2024, 1, 15, 9, 30, tzinfo=UTC),
        "2024-01-15T09:30:00-0430": datetime(2024, 1, 15, 14, 0, tzinfo=UTC),
        "2024-01-15 09:30:00.472Z": datetime(2024, 1, 15, 9, 30, 0, 472000, tzinfo=UTC),
        "2024-01-15T09:30:00.1234567Z": None,  # finer than a microsecond
        "2024-01-15T09:30:00": None,  # in which zone?
        "2024-01-15": None,
        "2024-02-31T00:00:00Z": None,
        "2024-01-15T24:00:00Z": None,
        "2024-01-15T09:30:00+25:00": None,
        "1705311000": None,
        "now": None,
        "infinity": None,
    },
    "instant_in": {
        "2024-07-15T09:30:00": datetime(2024, 7, 15, 8, 30, tzinfo=UTC),  # London is one hour ahead in July
        "2024-01-15 09:30:00": datetime(2024, 1, 15, 9, 30, tzinfo=UTC),
        "2024-07-15T09:30:00Z": datetime(2024, 7, 15, 9, 30, tzinfo=UTC),
        "2024-07-15": None,
    },
    "midnight": {"2009-09-30T00:00:00Z": date(2009, 9, 30), "soon": None},
    "closing_day": {
        "2024-07-01T23:30:00.120Z": date(2024, 7, 2),  # half past midnight in London
        "2024-01-01T23:30:00Z": date(2024, 1, 1),
        "2012-09-28T00:00:00Z": date(2012, 9, 28),
        "2012-09-28": date(2012, 9, 28),
        "2012-09-28T00:00:00.001": None,
        "x": None,
    },
    "flag": {"true": True, "F": False, "1": True, "no": False, "2": None, "on": None, "": None},
    "currency": {"GBP": "GBP", "gbp": "GBP", "£": None, "POUND": None, "G1P": None},
    "period": {"MONTH": "month", "Day": "day", "per month": None},
    "unescaped": {"R&amp;D": "R&D", "&amp;lt;": "&lt;", "&lt;b&gt; &quot;&#039;": "<b> \"'", "a & b": "a & b"},
    "without_site": {"paul//acme": "paul", "greg": "greg", "//acme": None},
    "tags": {
        '["b"," a ","b","",null]': ["a", "b"],
        "[]": [],
        '["a",1]': ["1", "a"],
        "vip": None,
        '{"a":1}': None,
        "[x": None,
    },
    "object": {'{"a":1}': '{"a":1}', "[]": "{}", "{}": "{}", "[1]": None, "x": None, "{x": None, "": None},
    "labelled": {
        "[]": "{}",
        '[{"id":"1","label":"A","text":"x"},{"id":"2","label":"B"}]': '{"A":"x"}',  # B was asked and has none
        '[{"id":"1","tag":"b2","label":"A","text":"x"},{"id":"2","label":"A","text":"y"}]': (
            '{"A (b2)":"x","A (2)":"y"}'
        ),
        '[{"label":"D","date":"2013-01-31T00:00:00Z"},{"label":"E","date":"soon"}]': '{"D":"2013-01-31","E":"soon"}',
        '[{"label":"N","number":"12345678901234567.50"}]': '{"N":12345678901234567.50}',
        '[{"label":"T","boolean":"true"}]': '{"T":true}',
        '[{"label":"N","number":"1,5"},{"label":"\\"q\\"","text":"a\\nb"}]': '{"N":"1,5","\\"q\\"":"a\\nb"}',
        "x": None,
        '{"a":1}': None,
        "[x": None,
    },
    "named": {
        '[{"field_id":"7","name":"R","type":"s","option":"12","option_name":"North"}]': '{"R":"North"}',
        '[{"field_id":"7","name":"R","type":"s","option":"12"}]': '{"R":"12"}',
        '[{"name":"N","type":"n","value_numeric":"5"},{"name":"C","type":"c","enabled":"f"}]': '{"N":5,"C":false}',
        "x": None,
    },
    "joined": {" a ": "a", "": None},
    "product": {"4.02": Decimal("10.05"), "0.001": Decimal("0.0025"), "0.00010": None, "x": None, "": None},
    "periods_total": {"500.00": Decimal(500), "x": None},
    "milestone_status": {"true": "won", "false": "open", "maybe": None},
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_reads_as_documented(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """Every transform reads what it should, exactly, and answers NULL where it cannot."""
    assert list(CASES[name].values()) == read(db, TRANSFORMS[name], list(CASES[name]))


def test_a_value_and_its_duration(db: duckdb.DuckDBPyConnection) -> None:
    """Capsule's money: value x duration, unless the basis is FIXED or absent; no duration, no total, and no problem."""
    sent = [
        ("500", "3", "MONTH"),
        ("500", "3", "FIXED"),
        ("500", None, None),
        ("500", None, "DAY"),
        ("9e13", "9", "DAY"),
        ("9e9", "9e9", "DAY"),
        ("0.01", "0.001", "DAY"),  # five decimals: refused, not rounded
        ("0.1", "0.0010", "DAY"),
    ]
    read = [
        db.execute("SELECT as_periods_total($1, $2, $3), as_periods_total_sent($1, $2, $3)", one).fetchone()
        for one in sent
    ]
    expected = [(1500, "500"), (500, "500"), (500, "500"), (None, None), (None, "9e13"), (None, "9e9")]
    assert [*expected, (None, "0.01"), (Decimal("0.0001"), "0.1")] == read


def test_a_product_is_exact_or_nothing(db: duckdb.DuckDBPyConnection) -> None:
    """Long factors do not overflow; an absent one is no problem, one that cannot be read is."""
    sent = [("12345678901234.5678", "1.0"), ("99999999999999", "99999999999999"), ("3", None), (None, "3"), ("3", "x")]
    read = [db.execute("SELECT as_product($1, $2), as_product_sent($1, $2)", one).fetchone() for one in sent]
    long = "12345678901234.5678"
    assert [(Decimal(long), long), (None, "99999999999999"), (None, None), (None, None), (None, "3")] == read


@pytest.mark.parametrize(
    ("complete", "percent", "status"),
    [
        ("false", "100", "open"),
        ("true", "100", "won"),
        ("true", "0", "lost"),
        ("true", "70", None),
        ("true", None, None),
    ],
)
def test_what_a_milestone_means(
    db: duckdb.DuckDBPyConnection, complete: str, percent: str | None, status: str | None
) -> None:
    """A complete milestone between 0 and 100 percent says neither won nor lost."""
    assert (status,) == db.execute("SELECT as_milestone_status($1, $2)", [complete, percent]).fetchone()


@pytest.mark.parametrize(
    ("rest", "extra"),
    [
        ('{"a":1,"b":"x"}', '{"a":1,"b":"x"}'),
        ("{}", "{}"),
        ('{"o":{"id":1,"name":"N","more":{"x":1}},"l":[1,2]}', '{"o":{"id":1,"name":"N"}}'),
        ('{"o":{"more":1},"p":{},"l":[]}', "{}"),
        ('{"o":{"id":{"x":1},"name":"N"},"t":"a:{b:[c"}', '{"o":{"name":"N"},"t":"a:{b:[c"}'),
        ('{"a":"","o":{"id":"","name":"N"},"t":" "}', '{"o":{"name":"N"},"t":" "}'),
        ('{"q\\"k":"\\u00e9","l":[{"id":1}]}', '{"q\\"k":"é"}'),
    ],
)
def test_what_is_left_of_a_record(db: duckdb.DuckDBPyConnection, rest: str, extra: str) -> None:
    """Of what no column reads the scalars stay, and the id and name of objects one level down; lists do not."""
    assert (extra,) == db.execute("SELECT scalars_of($1::JSON)::VARCHAR", [rest]).fetchone()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NUMBERS = st.decimals(min_value=-(10**14), max_value=10**14, places=4).map(str) | st.integers(-5, 105).map(str)
STAMPS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30)).flatmap(  # noqa: DTZ001 - its zone is drawn, too
    lambda when: st.sampled_from(["Z", "+0100", "-05:30", ""]).map(lambda zone: when.isoformat() + zone)
)
LISTS = st.lists(st.sampled_from(["a", " b", "c d", ""])).map(lambda words: as_text(words))
WORDS = st.sampled_from(["true", "f", "GBP", "eur", "MONTH", "day", '{"a":1}', "[]", "2024-02-29", "paul//acme", "1e3"])


@pytest.mark.parametrize("transform", WRITABLE, ids=lambda one: one.name)
@settings(max_examples=15, deadline=None)
@given(
    texts=st.lists(TEXTS | NUMBERS | STAMPS | LISTS | WORDS | NUMBERS.map(lambda n: n + "0"), min_size=30, max_size=60)
)
def test_the_law(db: duckdb.DuckDBPyConnection, transform: Transform, texts: list[str]) -> None:
    """Reading what was written back changes nothing: read(write(read(s))) == read(s)."""
    assert transform.write is not None
    first = [value for value in read(db, transform, texts) if value is not None]
    again = read(db, transform, [as_text(transform.write(value)) for value in first])
    assert first == again


def test_only_the_macros_that_are_used() -> None:
    """A text of SQL gets the macros it names and those they lean on, each after what it needs."""
    names = [
        statement.split("MACRO ")[1].partition("(")[0] for statement in macros("SELECT as_midnight(x), as_tags(y)")
    ]
    assert ["trimmed", "as_day", "as_midnight", "as_tags"] == names
    assert [] == macros("SELECT 1")

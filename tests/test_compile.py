"""The SQL of the shipped mappings, run by a real DuckDB."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepipe.compile import check_examples, column_of, invert, select, show, stages
from onepipe.errors import UsageError
from onepipe.mapping import STAGE_TYPES, TYPES, Mapping, load_mapping
from onepipe.model import MAPPED, NESTED
from onepipe.transform import macros

SHIPPED = {path.stem: load_mapping(path) for path in sorted((Path(__file__).parent.parent / "mappings").glob("*.yaml"))}
GIVEN = {"connection": "acme", "currency": "GBP", "base_url": "https://h.test", "timezone": "Europe/London"}


@pytest.fixture(scope="module")
def db() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for statement in macros():
        connection.execute(statement)
    columns = {"connection": "VARCHAR", **STAGE_TYPES}
    connection.execute(f"CREATE TABLE stages ({', '.join(f'{name} {type_}' for name, type_ in columns.items())})")
    yield connection
    connection.close()


def source(
    db: duckdb.DuckDBPyConnection, mapping: Mapping, sent: list[Any], details: dict[str, Any] | None = None
) -> None:
    """`source` as the warehouse prepares it; a text is a payload as it is."""
    names = [f"detail_{name}" for name in mapping.details]
    fetched = [json.dumps(details[name]) if details and name in details else None for name in mapping.details]
    payloads = [one if isinstance(one, str) else json.dumps(one) for one in sent]
    columns = ", ".join(f"{n} VARCHAR" for n in ["source_id", "payload", *names])
    db.execute(f"CREATE OR REPLACE TEMP TABLE source (landing BIGINT, place BIGINT, {columns})")
    rows = "SELECT 1, generate_subscripts($p::VARCHAR[], 1) AS n, n::VARCHAR, unnest($p::VARCHAR[])"
    values = "".join(f", ${name}::VARCHAR" for name in names)
    db.execute(f"INSERT INTO source {rows}{values}", {"p": payloads, **dict(zip(names, fetched, strict=True))})


def read(
    db: duckdb.DuckDBPyConnection, name: str, sent: list[Any], details: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """What a shipped mapping makes of records, every column as text; problems as {field: value}."""
    source(db, SHIPPED[name], sent, details)
    problems = "to_json(problems)::VARCHAR AS problems"
    shown = f"SELECT columns(* EXCLUDE problems)::VARCHAR, {problems} FROM ({select(SHIPPED[name])})"
    cursor = db.execute(f"{shown} ORDER BY source_id::INT", GIVEN)
    names = [column[0] for column in cursor.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [row | {"problems": {one["field"]: one["value"] for one in json.loads(row["problems"])}} for row in rows]


@pytest.mark.parametrize("mapping", SHIPPED.values(), ids=SHIPPED)
def test_the_examples_hold(db: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """The examples in the shipped mappings are what the mappings do."""
    own = duckdb.connect()
    assert [] == check_examples(mapping, lambda sql, values: own.execute(sql, values).fetchall())
    own.close()


def test_an_example_that_fails_is_told_with_its_place(tmp_path: Path) -> None:
    """A wrong expectation names its line, what was expected and what was read."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "key: id\nfields:\n  amount: value\n  name: title\nexamples:\n"
        "  - in: {value: '5.001'}\n    out: {amount: 5.01, name: x, extra: {}}\n"
        "  - in: {value: x}\n    out: {amount: null}\n"
    )
    own = duckdb.connect()
    faults = check_examples(load_mapping(path), lambda sql, values: own.execute(sql, values).fetchall())
    own.close()
    expected = [
        "7:19: examples[0].out.amount: expected 5.0100, read 5.0010",
        "7:31: examples[0].out.name: expected x, read nothing",
        "8:5: examples[1].problems: expected problems with nothing, found them with amount",
    ]
    assert expected == [str(fault).removeprefix(f"{path}:") for fault in faults]


@pytest.mark.parametrize("mapping", SHIPPED.values(), ids=SHIPPED)
def test_columns_and_types_are_the_canonical_ones(db: duckdb.DuckDBPyConnection, mapping: Mapping) -> None:
    """Whatever a mapping says, its SELECT gives the same columns, in order, with the same types."""
    source(db, mapping, [])
    shape = db.execute(f"DESCRIBE {select(mapping)}", GIVEN).fetchall()
    wanted = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    expected = [(column.name, wanted.get(column.type, column.type)) for column in MAPPED]
    problems = ("problems", 'STRUCT("field" VARCHAR, "value" VARCHAR, reason VARCHAR)[]')
    found = [(row[0], row[1]) for row in shape]
    nested = [name for name, _ in found[-1 - len(NESTED) : -1]]
    assert [("source_id", "VARCHAR"), *expected, ("closed_day", "DATE")] == found[: -1 - len(NESTED)]
    assert [column.name for column in NESTED] == nested
    as_they_are = [f"NULL::{column.type} AS {column.name}" for column in NESTED]
    wanted_nested = db.execute(f"DESCRIBE SELECT {', '.join(as_they_are)}").fetchall()
    assert [row[1] for row in wanted_nested] == [row[1] for row in shape[-1 - len(NESTED) : -1]]
    assert (problems[0], problems[1].replace('"', "")) == (found[-1][0], found[-1][1].replace('"', ""))


def test_only_what_is_wrong_is_lost(db: duckdb.DuckDBPyConnection) -> None:
    """A record that no JSON reader opens, and fields of the wrong shape, are problems; everything else loads."""
    good = {"id": 1, "name": "[x] {y}", "step": {"id": 1, "stage": {"status": "Open"}}}
    odd = {
        "id": 2,
        "name": {"a": 1},
        "step": {"id": [1], "stage": "Open"},
        "company": "Acme",
        "user": [],
        "contact": {},
    }
    broken = '{"id": 3, "name": "\\ud800"}'
    rows = read(db, "administrate", [good, odd, broken])
    assert ["1", "2", "3"] == [row["source_id"] for row in rows]
    assert ("[x] {y}", "1", "open", {}) == tuple(rows[0][name] for name in ("name", "stage_id", "status", "problems"))
    expected = {"name": '{"a":1}', "stage_id": "[1]", "status": "Open", "company": "Acme", "company_id": "Acme"}
    assert expected | {"owner": "[]", "owner_id": "[]"} == rows[1]["problems"]
    assert {"payload": broken} == rows[2]["problems"]


def test_nothing_is_invented(db: duckdb.DuckDBPyConnection) -> None:
    """An empty record has no value but the connection's currency, and no problem."""
    for name in SHIPPED:
        [row] = read(db, name, [{"id": "1"}])
        said = {
            column: value for column, value in row.items() if value is not None and column not in ("source_id", "url")
        }
        assert {"currency": "GBP", "is_archived": "false", "extra": "{}", "problems": {}} == said, name


def test_a_lookup_never_doubles_a_row(db: duckdb.DuckDBPyConnection) -> None:
    """Stages of the same name, and those of another connection, make no second row; the first in order counts."""
    db.execute("DELETE FROM stages")
    for connection, stage_id, position, status in (
        ("acme", "9", 2, "won"),
        ("acme", "8", 1, "open"),
        ("zeta", "1", 0, "lost"),
    ):
        db.execute(
            "INSERT INTO stages VALUES (?, ?, 'Bid', NULL, NULL, ?, NULL, ?)", [connection, stage_id, position, status]
        )
    sent = [{"milestone": "Bid"}, {"milestone": "Bid", "milestoneId": "9"}, {"milestone": "Bid", "milestoneId": "1"}]
    assert ["open", "won", "open"] == [row["status"] for row in read(db, "capsule", sent)]
    db.execute("DELETE FROM stages")


STAGES = {
    "administrate": (
        [
            {"id": 2, "name": "Won!", "probability": 100, "stage": {"status": "Won"}},
            {"id": 1, "name": "Hm", "stage": {}},
        ],
        [("2", "Won!", None, None, 1, "1.0000", "won"), ("1", "Hm", None, None, 2, None, None)],
    ),
    "capsule": (
        [
            {"name": "Bid", "probability": "50", "complete": "false"},
            {"id": "7", "name": "Lost", "probability": "0", "complete": "true"},
            {"id": "8", "name": "Other", "probability": "70", "complete": "true"},
        ],
        [
            ("Bid", "Bid", None, None, 1, "0.5000", "open"),
            ("7", "Lost", None, None, 2, "0.0000", "lost"),
            ("8", "Other", None, None, 3, "0.7000", None),
        ],
    ),
    "onautomate": (
        [
            {"id": "p", "name": "Sales", "stages": [{"id": "a", "name": "New"}, {"id": "b", "name": "Old"}]},
            {"id": "q", "name": "Care", "stages": [{"id": "c", "name": "New"}]},
            {"id": "r", "name": "Empty", "stages": []},
        ],
        [
            ("a", "New", "p", "Sales", 1, None, None),
            ("b", "Old", "p", "Sales", 2, None, None),
            ("c", "New", "q", "Care", 1, None, None),
        ],
    ),
    "overplane": (
        [
            {"sales_stage": "Prospecting"},
            {"sales_stage": "Proposal"},
            {"sales_stage": "Prospecting"},
            {"sales_stage": ""},
        ],
        [
            ("Prospecting", "Prospecting", None, None, None, None, None),
            ("Proposal", "Proposal", None, None, None, None, None),
        ],
    ),
    "tactile": (
        [{"status": {"3": "New", "1": "R&amp;D", "2": "Lost"}, "type": {"1": "x"}}],
        [
            ("3", "New", None, None, 1, None, "open"),
            ("1", "R&D", None, None, 2, None, "open"),
            ("2", "Lost", None, None, 3, None, "lost"),
        ],
    ),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_stages(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """The CRM's reference records become stages, in the CRM's order, each stage of a pipeline once."""
    sent, expected = STAGES[name]
    mapping = SHIPPED[name]
    [resource] = mapping.reference
    sql = stages(mapping, resource)
    assert sql is not None
    assert stages(mapping, "elsewhere") is None
    source(db, mapping, sent)
    columns = ", ".join("probability::VARCHAR" if column == "probability" else column for column in STAGE_TYPES)
    found = db.execute(f"SELECT {columns} FROM ({sql})", {"connection": "acme"}).fetchall()
    by_order = sorted(found, key=lambda row: [one[0] for one in expected].index(row[0]))
    assert expected == by_order
    odd = [{"id": "1", "stages": "x", "status": "x", "sales_stage": {}, "stage": 5}, "{}", '{"id": "\\ud800"}']
    source(db, mapping, odd)
    db.execute(f"SELECT * FROM ({sql})", {"connection": "acme"})


def test_the_script_runs_as_it_is_shown(db: duckdb.DuckDBPyConnection) -> None:
    """What `mapping show` prints is one script that DuckDB runs, one line a field."""
    for mapping in SHIPPED.values():
        script = show(mapping)
        source(db, mapping, [])
        for statement in script.split(";\n"):
            if statement.strip():
                used = {name: value for name, value in GIVEN.items() if f"${name}" in statement}
                db.execute(statement, used or None)
        assert all(f" AS {name}" in script for name, one in mapping.fields.items() if one.sources)


SCALARS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | st.text(max_size=8)
WORDS = st.sampled_from(
    ["Open", "Won", "open", "lost", "FIXED", "MONTH", "GBP", "2024-01-31", "2024-01-31T10:00:00Z", "50"]
)
VALUES = (
    SCALARS | WORDS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=3), SCALARS | WORDS, max_size=2)
)
LEAVES = VALUES | st.fixed_dictionaries({"id": VALUES, "name": VALUES})


@pytest.mark.parametrize("name", SHIPPED)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_a_value_is_read_or_a_problem_or_left_over(
    db: duckdb.DuckDBPyConnection, name: str, data: st.DataObject
) -> None:
    """Whatever a CRM sends: one row out for each record in, and no value at a mapped path is lost in silence."""
    mapping = SHIPPED[name]
    paths = sorted({one.steps for one in mapping.sources() if one.root == ""})
    record = st.fixed_dictionaries({}, optional={steps[0]: LEAVES for steps in paths} | {"unheard": LEAVES})
    sent = data.draw(st.lists(record, min_size=12, max_size=12))
    rows = read(db, name, sent)
    assert len(sent) == len(rows)
    plain = [
        one for one in mapping.fields.values() if len(one.sources) == 1 and not one.unless and one.sources[0].root == ""
    ]
    for record_sent, row in zip(sent, rows, strict=True):
        for one in plain:
            value = _at(record_sent, one.sources[0].steps)
            silent = row[one.name] is None and one.name not in row["problems"] and one.default is None
            if silent and one.name != "closed_day":
                assert value is None or str(value).strip(" \t\r\n") == "" or value == {}, (one.name, value)


def _at(record: Any, steps: tuple[str, ...]) -> Any:
    for step in steps:
        if not isinstance(record, dict):
            return record  # what stands where an object belongs is a problem of everything below it
        record = record.get(step)
    return record


@pytest.mark.parametrize("name", SHIPPED)
def test_writing_back_what_was_read_changes_nothing(db: duckdb.DuckDBPyConnection, name: str) -> None:
    """For every field that is written where it is read: its own values, written into the record, read the same."""
    mapping = SHIPPED[name]
    for example in mapping.examples:
        if isinstance(example.sent, str):
            continue
        [before] = read(db, name, [example.sent], example.details)
        own = {one.name for one in mapping.fields.values() if one.sources and one.to == one.sources[0].steps}
        values = {column: _python(column, before[column]) for column in own if before[column] is not None}
        if before["unit_amount"] is not None:
            values.pop("amount", None)  # a price per period is what Capsule holds then
        [after] = read(db, name, [_laid_over(example.sent, invert(mapping, values))], example.details)
        assert {column: before[column] for column in own} == {column: after[column] for column in own}


def _python(column: str, text: str) -> Any:
    """A canonical value as Python, near enough for writing: what JSON cannot hold goes as text."""
    from datetime import date
    from decimal import Decimal

    kind = TYPES[column]
    if kind.startswith("DECIMAL"):
        return Decimal(text)
    return {"DATE": date.fromisoformat, "BOOLEAN": "true".__eq__, "JSON": json.loads}.get(kind, str)(text)


def _laid_over(record: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    whole = dict(record)
    for key, value in sent.items():
        below = whole.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and key != "attributes":
            whole[key] = _laid_over(below, value)
        else:
            whole[key] = str(value) if not isinstance(value, bool | dict) else value
    return whole


def test_invert_speaks_the_words_of_the_crm() -> None:
    """Canonical values go out under the CRM's names and in its units, nested as it nests them; others are refused."""
    from datetime import date
    from decimal import Decimal

    sent = invert(SHIPPED["administrate"], {"name": "A", "stage_id": "2", "owner_id": "3", "currency": None})
    assert {"name": "A", "step": {"id": "2"}, "user": {"id": "3"}, "currency": {"id": None}} == sent
    values = {"probability": Decimal("0.3750"), "expected_close_date": date(2024, 1, 31), "period": "month"}
    expected = {"probability": Decimal("37.5"), "expectedCloseDate": "2024-01-31T00:00:00Z", "durationBasis": "MONTH"}
    assert expected == invert(SHIPPED["capsule"], values)
    assert {"title": "A", "status": "won"} == invert(SHIPPED["onautomate"], {"name": "A", "status": "won"})
    assert {"status": "Open"} == invert(SHIPPED["overplane"], {"status": "open"})
    also = {"tags": ("tags",), "custom": ("custom",), "extra.ref": ("ref", "id")}
    expected = {"tags": ["a"], "custom": {"Seats": 2, "Signed": None}, "ref": {"id": "7"}, "name": "A"}
    values = {"tags": ["a"], "custom.Seats": 2, "custom.Signed": None, "extra.ref": "7", "name": "A"}
    assert expected == invert(SHIPPED["capsule"], values, also)
    assert {"attributes": {"Key": "x"}} == invert(SHIPPED["administrate"], {"custom.Key": "x"})
    for column, value in (("updated_at", "x"), ("pipeline_id", "x"), ("status", "asleep")):
        with pytest.raises(UsageError, match=column):
            invert(SHIPPED["onautomate"], {column: value})


def test_a_word_of_the_crms_is_the_column_it_is_written_from() -> None:
    """What a refusal names is shown as the field that people edited."""
    words = {"title": "name", "stageId": "stage_id", "monetaryValue": "amount", "contactId or email": None}
    assert words == {word: column_of(SHIPPED["onautomate"], word) for word in words}
    words = {"step": "stage_id", "company.id": "company_id", "region": "extra.region", "value": None}
    assert words == {
        word: column_of(SHIPPED["administrate"], word, {"extra.region": ("region", "id")}) for word in words
    }

"""Values as people write them and as a CRM holds them."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onepipe.merge import MISSING, Fitted, Habits, Refused, Scale, fit, same, value
from onepipe.model import MAPPED

EAST = timezone(timedelta(hours=2))
CENT, PERCENT = Scale(Decimal("0.01")), Scale(Decimal("0.01"))
FIFTHS = Scale(Decimal("0.05"), rounds=False)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("name", " Roof ", " Roof "),
        ("stage", " Won ", "Won"),
        ("amount", "1234.50", Decimal("1234.50")),
        ("amount", "-0.005", Decimal("-0.005")),
        ("probability", "0.25", Decimal("0.25")),
        ("probability", "1", Decimal(1)),
        ("expected_close_date", "2024-02-29", date(2024, 2, 29)),
        ("expected_close_date", "2024-01-31T00:00:00Z", date(2024, 1, 31)),
        ("closed_at", "2024-01-31T09:30:00+01:00", datetime(2024, 1, 31, 8, 30, tzinfo=UTC)),
        ("is_archived", "Yes", True),
        ("status", "Won", "won"),
        ("currency", "gbp", "GBP"),
        ("period", "MONTH", "month"),
        ("contact_email", " a@example.org ", "a@example.org"),
        ("tags", "b, a,,b", ["a", "b"]),
        ("tags", '["x, y", "b"]', ["b", "x, y"]),
        ("tags", "[]", []),
        ("custom.Deal size", "12", "12"),
        ("extra.external_id", "E-1", "E-1"),
        ("amount", " ", MISSING),
        ("line_items", '[{"item_id": 7, "quantity": 1.10}]', [{"item_id": "7", "quantity": Decimal("1.10")}]),
        ("line_items", '[{"name": "Nut", "extra.item_code": "N"}]', [{"name": "Nut", "extra.item_code": "N"}]),
        ("line_items", '[{"item_id": null, "name": "Nut"}]', [{"name": "Nut"}]),
    ],
)
def test_a_text_is_read_as_its_column_says(column: str, text: str, expected: Any) -> None:
    """Money is a plain decimal, probability a fraction, a day a day; empty text changes nothing."""
    read = value.read(column, text)
    assert isinstance(read, value.Wanted)
    assert (expected, type(expected)) == (read.value, type(read.value))


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("amount", "1,234.50", "no plain number"),
        ("amount", "1e3", "no plain number"),
        ("amount", "NaN", "no plain number"),
        ("amount", "\u0661", "no plain number"),
        ("amount", "100000000000000", "14 digits"),
        ("probability", "50", "50 % is 0.5"),
        ("probability", "50%", "50 % is 0.5"),
        ("probability", "-0.1", "from 0 to 1"),
        ("expected_close_date", "31/01/2024", "no day"),
        ("expected_close_date", "2024-02-30", "calendar"),
        ("expected_close_date", "2024-01-31T10:00:00Z", "no day"),
        ("closed_at", "2024-01-31T10:00:00", "zone"),
        ("closed_at", "0001-01-01T00:00:00+05:00", "zone"),
        ("is_archived", "maybe", "true or false"),
        ("status", "pending", "open, won, lost, abandoned"),
        ("currency", "euro", "three letters"),
        ("contact_email", "ana", "e-mail"),
        ("tags", "[1]", "list of texts"),
        ("tags", "[a", "no JSON"),
        ("line_items", "{}", "JSON list"),
        ("line_items", '[{"qty": 1}]', "qty is no column"),
        ("line_items", '[{"quantity": NaN}]', "no JSON"),
        ("line_items", '[{"quantity": "two"}]', "row 1: quantity 'two'"),
        ("line_items", '[{"item_id": 1}, {"item_id": "1"}]', "twice"),
        (
            "line_items",
            '[{"name": {}}, 5, {}]',
            "row 1: name is no plain value; row 2 is no object; row 3 says nothing",
        ),
        ("custom", "{}", "one by one"),
        ("custom.", "x", "one by one"),
        ("extra", "{}", "one by one"),
        ("source_id", "4", "never edited"),
        ("url", "x", "never edited"),
        ("amuont", "4", "did you mean 'amount'?"),
        ("zzz", "4", "fields: name,"),
    ],
)
def test_a_text_that_cannot_be_read_says_why(column: str, text: str, reason: str) -> None:
    """The reason names what would be read; nothing is guessed."""
    read = value.read(column, text)
    assert isinstance(read, Refused)
    assert reason in read.reason


def test_ids_and_labels_are_told_apart() -> None:
    """Of a pair the column says which was given; type and lead_source take either."""
    kinds = {"stage_id": "id", "stage": "label", "owner": "label", "company_id": "id"}
    kinds |= {"type": "either", "lead_source": "either", "name": "value"}
    assert kinds == {column: value.given(column) for column in kinds}


def test_a_label_or_id_is_looked_up() -> None:
    """An unknown one names those that are there; one label of two stages is not guessed."""
    stages = [("1", "New"), ("2", "Bid"), ("3", "Bid"), ("Bid2", "4")]
    assert ("1", "New") == value.choose("New", stages, "label")
    assert ("1", "New") == value.choose("1", stages, "either")
    assert ("Bid2", "4") == value.choose("4", stages, "either")
    for text, reason in {"Bid": "2, 3", "Nwe": "did you mean 'New'?", "Lost?!": "there are: New, Bid, Bid, 4"}.items():
        refused = value.choose(text, stages, "label")
        assert isinstance(refused, Refused)
        assert reason in refused.reason


MOMENTS = st.integers(-(10**15), 10**15).map(lambda n: datetime(2000, 1, 1, tzinfo=EAST) + timedelta(microseconds=n))
NUMBERS = st.decimals(-(10**13), 10**13, places=4)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "VARCHAR": TEXT.map(str.strip),
    "DECIMAL(18,4)": NUMBERS,
    "DECIMAL(5,4)": st.decimals(0, 1, places=4),
    "DATE": st.dates(date(1900, 1, 1)),
    "TIMESTAMPTZ": MOMENTS,
    "BOOLEAN": st.booleans(),
    "VARCHAR[]": st.lists(TEXT.map(str.strip), unique=True).map(sorted),
}
WORDS = {"status": "won", "currency": "EUR", "period": "month", "contact_email": "a@b"}


@given(st.data())
def test_what_is_shown_is_read_again(data: st.DataObject) -> None:
    """A plan, a CSV of conflicts and an edit write a value in the same way; typed files do as well."""
    fields = [column for column in MAPPED if column.type in BY_TYPE and not value.not_editable(column.name)]
    column = data.draw(st.sampled_from(fields))
    given_ = WORDS.get(column.name) or data.draw(BY_TYPE[column.type])
    for text in (value.shown(column.name, given_), value.as_text(given_)):
        read = value.read(column.name, text or "")
        assert isinstance(read, value.Wanted)
        assert same(column.name, given_, read.value) or (given_ == [] and read.value == [])


@given(st.lists(st.fixed_dictionaries({"name": TEXT, "quantity": NUMBERS}), max_size=3))
def test_line_items_are_read_again(rows: list[dict[str, Any]]) -> None:
    """Quantities do not pass through a double on their way."""
    assert value.Wanted(rows) == value.read("line_items", value.as_text(rows))
    assert isinstance(value.read("line_items", json.dumps({"rows": str(rows)})), Refused)


def test_money_is_shown_with_two_decimals() -> None:
    """As in a plan: 100.00, and no finer digit is hidden."""
    assert ["100.00", "99.50", "0.0001"] == [value.shown("amount", Decimal(n)) for n in ("1E2", "99.5000", "0.0001")]
    assert [None, None, "0.5"] == [value.shown("probability", one) for one in (None, MISSING, Decimal("0.5000"))]


def test_a_number_is_rounded_as_the_crm_would_and_said_so() -> None:
    """Unless the CRM does not round, or nothing or certainty would come of it."""
    assert Fitted(Decimal("10.50")) == fit("amount", Decimal("10.50"), CENT)
    assert Fitted(Decimal("10.01"), "10.005 is rounded to 10.01, as fine as the CRM holds it") == fit(
        "amount", Decimal("10.005"), CENT
    )
    assert Fitted(Decimal("0.33"), "0.333 is rounded to 0.33, as fine as the CRM holds it") == fit(
        "probability", Decimal("0.333"), PERCENT
    )
    refused = {
        ("probability", "0.37", FIFTHS): "steps of 0.05",
        ("probability", "0.996", PERCENT): "round to 1",
        ("amount", "0.004", CENT): "round to 0",
        ("amount", "0.00004", None): "round to 0",
        ("amount", "99999999999999.99999", None): "at most 99999999999999.9999",
        ("amount", "100000000", Scale(Decimal("0.01"), most=Decimal("99999999.99"))): "at most 99999999.99",
    }
    for (column, number, scale), reason in refused.items():
        made = fit(column, Decimal(number), scale)
        assert isinstance(made, Refused)
        assert reason in made.reason


@pytest.mark.parametrize(
    ("column", "a", "b", "expected"),
    [
        ("description", " a\r\nb ", "a\nb", True),
        ("name", "a", "A", False),
        ("name", "", None, True),
        ("contact_email", "Ana@Example.org", "ana@example.org", True),
        ("contact_phone", "+1 (202) 555-0107", "+12025550107", True),
        ("amount", Decimal("1.0000"), Decimal(1), True),
        ("amount", Decimal(0), None, False),
        ("probability", Decimal(50), Decimal("0.5"), True),
        ("expected_close_date", datetime(2024, 1, 31, tzinfo=UTC), date(2024, 1, 31), True),
        ("closed_at", datetime(2024, 1, 31, 9, 0, 0, 5, UTC), datetime(2024, 1, 31, 9, tzinfo=UTC), True),
        ("closed_at", datetime(2024, 1, 31, tzinfo=UTC), date(2024, 1, 31), True),
        ("tags", ["b", "a"], ["a", " b"], True),
        ("tags", [], None, True),
        ("is_archived", False, None, False),
        ("custom.x", "12.50", Decimal("12.5"), True),
        ("custom.x", "007", "7", False),
        ("custom.x", "true", True, True),
        ("custom.x", "x", 5, False),
        ("custom.x", [1], "1", False),
        ("extra.region", "SCO", {"id": "SCO", "name": "Scotland"}, True),
        ("custom", {"a": None, "b": 1}, {"b": "1"}, True),
        ("custom", {"a": 1}, "a", False),
        ("name", MISSING, MISSING, False),
    ],
)
def test_values_are_the_same_as_a_crm_sees_them(column: str, a: Any, b: Any, expected: bool) -> None:
    """How a value is written does not make it another one, in either direction."""
    assert (expected, expected) == (same(column, a, b), same(column, b, a))


def test_habits_say_what_one_crm_does_not_keep() -> None:
    """Case, fineness, and 0 or false for nothing."""
    habits = Habits(scales={"amount": CENT}, caseless=frozenset({"owner"}), empty=frozenset({"custom", "amount"}))
    assert same("owner", "Ito", "ito", habits)
    assert same("amount", Decimal("1.004"), Decimal(1), habits)
    assert same("amount", None, Decimal(0), habits)
    assert same("custom.Signed", None, False, habits)

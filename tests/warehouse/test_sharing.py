"""What is left out of rows that tell of fields, and of lists within a version; all else is copied as it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from onepipe.config import load
from onepipe.errors import ConfigError
from onepipe.warehouse import sharing
from onepipe.warehouse.database import Database, Engine, reading
from onepipe.warehouse.layout import create, dress

LEFT_OUT = ("raw", "contact_email", "contacts.email", "custom", "notes", "probability", "stage", "x_pin")
PUSH = {
    "contact_email": {"state": "done", "base": "a@b.example", "ours": "s3cret@b.example", "theirs": None, "now": None},
    "custom.Region": {"state": "done", "ours": "s3cret region"},
    "amount": {"state": "done", "base": "1.00", "ours": "2.00"},
}
FROZEN = ("pushes", "problems", "connections", "about")  # a day may be called like any table of ours


def fill(db: Database) -> None:
    """A deal with children, and everything that was ever said of it."""
    for table in ("current", "closed"):
        db.run(f"ALTER TABLE store.{table} ADD COLUMN x_pin VARCHAR")
        db.run(
            f"INSERT INTO store.{table} (connection, source_id, contact_email, custom, amount, contacts, notes, x_pin) "
            "VALUES ('acme', '1', 's3cret@b.example', '{\"Region\": \"s3cret region\"}', 2, "
            "[{position: 1, contact_id: 'c', name: 'Ana', email: 's3cret@c.example', role: 'delegate'}], "
            "[{position: 1, note_id: 'n', kind: NULL, title: NULL, body: 's3cret note', author: NULL, "
            "created_at: NULL}], 's3cret pin')"
        )
    db.run("INSERT INTO store.raw (connection, record_id, payload, seq, run_id) VALUES ('acme', '1', 's3cret', 1, 'r')")
    db.run("INSERT INTO store.details (connection, source_id, payload) VALUES ('acme', '1', 's3cret')")
    db.run("INSERT INTO store.mappings VALUES ('acme', 'v1', 'examples: s3cret', now())")
    fields = [*((name, "s3cret") for name in ("contact_email", "custom", "contacts[2].email", "notes[1].body"))]
    fields += [("contacts", "s3cret list"), ("contacts[2]", "s3cret@e.example"), ("payload", "s3cret record")]
    for field, value in [*fields, ("source_id", "s3cret record"), ("amount", "lots"), ("contacts[2].name", "?")]:
        db.run("INSERT INTO problems (connection, source_id, field, value) VALUES ('acme', '1', ?, ?)", [field, value])
    for field in ("contact_email", "custom.Region", "", "amount"):
        db.run(
            "INSERT INTO conflicts (connection, source_id, field, base, ours, theirs, resolution, reason) "
            "VALUES ('acme', '1', $field, $value, $value, $value, $value, 'both sides')",
            {"field": field, "value": "2.00" if field == "amount" else "s3cret"},
        )
    for push, op, fields_of in (("1", "update", PUSH), ("2", "update", {"amount": {"state": "done", "ours": "2.00"}})):
        db.run(
            "INSERT INTO pushes (push_id, connection, op, fields, request, message) VALUES (?, 'acme', ?, ?, ?, 'm')",
            [push, op, json.dumps(fields_of), '{"email": "s3cret"}'],
        )
    db.run(
        "INSERT INTO pushes (push_id, op, fields, message) VALUES ('3', 'call', '{\"a\": {\"ours\": \"s3cret\"}}', 's')"
    )


def freeze(db: Database) -> None:
    """Days of every unlucky name, each with a deal and a figure."""
    db.run("CREATE SCHEMA frozen")
    db.run("CREATE TABLE frozen.frozen AS SELECT 'day' AS name, '[\"s3cret stage\"]' AS statuses")
    for name in FROZEN:
        db.run(
            f"CREATE TABLE frozen.{name} AS SELECT 'acme' AS connection, '1' AS source_id, 's3cret' AS contact_email"
        )
        db.run(
            f"CREATE TABLE frozen.{name}_figures AS SELECT 'acme' AS connection, 'EUR' AS currency, 2 AS amount, "
            "0.73 AS weighted_amount"
        )


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """The file that may be shared."""
    with Engine().writing(tmp_path / "whole.duckdb") as db:
        create(db, "test")
        dress(db)
        fill(db)
        freeze(db)
    assert [] == sharing.make(tmp_path / "whole.duckdb", tmp_path / "shared.duckdb", LEFT_OUT)
    return tmp_path / "shared.duckdb"


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with reading(path) as db:
        return db.run(query)


def test_no_byte_is_left_of_any_of_it(shared: Path) -> None:
    """Wherever it stood: columns, lists, payloads, mappings, problems, conflicts, pushes."""
    whole, data = shared.with_name("whole.duckdb").read_bytes(), shared.read_bytes()
    words = (b"s3cret@b.example", b"s3cret@c.example", b"s3cret note", b"s3cret pin", b"s3cret record", b"examples:")
    assert [True] * len(words) == [word in whole for word in words]
    assert b"s3cret" not in data


def test_children_lose_columns_and_keep_rows(shared: Path) -> None:
    """One column of contacts is gone; notes are gone altogether."""
    assert [("Ana", None, "delegate")] == ask(shared, "SELECT name, email, role FROM contacts")
    assert [(0, 1)] == ask(shared, "SELECT (SELECT count(*) FROM notes), (SELECT count(*) FROM contact_history) // 2")


def test_what_tells_of_a_field_tells_no_value_of_it(shared: Path) -> None:
    """The rows stay; values of other fields, too; a row that may hold a whole record has none."""
    values = dict(ask(shared, "SELECT field, value FROM problems"))
    assert {"amount": "lots", "contacts[2].name": "?"} == {field: value for field, value in values.items() if value}
    assert 10 == len(values)
    sides = "SELECT field, coalesce(base, ours, theirs, resolution), reason FROM conflicts ORDER BY field"
    both = "both sides"
    told = [("", None, both), ("amount", "2.00", both), ("contact_email", None, both), ("custom.Region", None, both)]
    assert told == ask(shared, sides)


def test_what_is_frozen_loses_the_same_whatever_it_is_called(shared: Path) -> None:
    """The columns themselves, figures made of them, and the stages that a day was read by."""
    assert [("day", None)] == ask(shared, "SELECT name, statuses FROM frozen.frozen")
    for name in FROZEN:
        assert [("acme", "1", None)] == ask(shared, f"FROM frozen.{name}")
        assert [("acme", "EUR", 2, None)] == ask(shared, f"FROM frozen.{name}_figures")


def test_a_push_tells_of_each_field_by_itself(shared: Path) -> None:
    """Of one that is left out its state alone; of an action, and of what was sent, nothing."""
    rows = ask(shared, "SELECT push_id, fields, request, message FROM pushes ORDER BY push_id")
    told = json.loads(rows[0][1])
    assert {"contact_email": {"state": "done"}, "custom.Region": {"state": "done"}, "amount": PUSH["amount"]} == told
    assert ("1", None, None) == (rows[0][0], *rows[0][2:])
    assert [("2", '{"amount":{"state":"done","ours":"2.00"}}', None, "m"), ("3", None, None, None)] == rows[1:]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{raw: true, exclude: [contact_email]}", "cannot stand beside `raw: true`"),
        ("{exclude: contact_email}", "is a list of columns, even for one: [contact_email]"),
        ("{exclude: [source_id]}", "source_id cannot be left out"),
        ("{exclude: [is_archived]}", "is_archived cannot be left out"),
        ("{exclude: [currency]}", "currency cannot be left out while amount is not"),
        ("{exclude: [contact_mail]}", "no column is called 'contact_mail'; did you mean 'contact_email'"),
        ("{exclude: [contacts.mail]}", "no column is called 'contacts.mail'"),
        ("{only: [amount]}", "unknown key 'only'"),
    ],
)
def test_what_cannot_be_left_out_is_a_fault_of_config(tmp_path: Path, written: str, said: str) -> None:
    """With its place in the file, and why."""
    (tmp_path / "config.yaml").write_text(f"publish: {written}\n")
    with pytest.raises(ConfigError) as raised:
        load(tmp_path / "config.yaml")
    assert (1, True) == (len(raised.value.faults), said in str(raised.value.faults[0])), raised.value.faults


@pytest.mark.parametrize(
    ("written", "left_out"),
    [
        ("", ()),
        ("{}", ()),
        ("{raw: true}", ()),
        ("{exclude: []}", ()),
        ("{raw: false}", ("raw",)),
        (
            "{exclude: [notes, amount, x_arr, contacts.email, amount]}",
            ("raw", "amount", "contacts.email", "notes", "x_arr"),
        ),
    ],
)
def test_what_is_left_out(tmp_path: Path, written: str, left_out: tuple[str, ...]) -> None:
    """Without `publish:` nothing; leaving out a column leaves out raw, which holds it too."""
    (tmp_path / "config.yaml").write_text(f"publish: {written}\n")
    assert left_out == load(tmp_path / "config.yaml").publish.left_out

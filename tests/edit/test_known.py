"""The base of an edit: what was known last, read through the mapping in force."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import onepipe.edit as editing
from onepipe.merge import CLEAR, MISSING
from onepipe.model import MAPPED, Column
from onepipe.records import Stored
from onepipe.warehouse.canonical import newest
from onepipe.warehouse.work import published
from tests.edit.conftest import Queue

INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"


def read(desk: Queue, name: str, *stored: Stored) -> list[dict[str, Any]]:
    """Stored records as they read today."""
    with published(desk.config.warehouse) as db:
        return editing.records(db, desk.open_target(name, db), stored)


def known(desk: Queue, name: str, source_id: str) -> Stored:
    """A deal as it was published."""
    with published(desk.config.warehouse) as db:
        return newest(db, name, [source_id])[source_id].record


def changed(record: Stored, minutes: int, **values: Any) -> Stored:
    """A record as it was read so much later, with other values."""
    payload = json.dumps({**json.loads(record.payload), **values})
    return replace(record, payload=payload, details={}, read_at=record.read_at + timedelta(minutes=minutes))


def record(payload: str) -> Stored:
    return Stored(source_id="1", payload=payload, payload_hash="", read_at=datetime.now(UTC))


def pushed(desk: Queue, connection: str, record: Stored) -> None:
    """As a push does that was read back."""
    push_id = desk.control.outbox.add("run-1", connection, "update", {}, source_id=record.source_id)
    assert push_id is not None
    desk.control.outbox.claim(push_id, 1)
    desk.control.outbox.attempt(push_id, 1, "{}")
    desk.control.outbox.settle(push_id, 1, "done", {}, read=record)


def shown(column: Column, value: Any) -> Any:
    """A Python value as the published column is fetched."""
    if value is MISSING:
        return None
    return value.astimezone(UTC).strftime(INSTANT) if isinstance(value, datetime) else value


@pytest.mark.parametrize("name", ["administrate", "capsule", "onautomate", "overplane", "tactile"])
def test_a_stored_payload_reads_as_the_published_row(desk: Queue, name: str) -> None:
    """Column by column, for every deal: the same mapping, the same values, in Python's types."""
    with published(desk.config.warehouse) as db:
        rows = db.run("SELECT source_id FROM opportunities WHERE connection = ? ORDER BY source_id", [name])
        stored = newest(db, name, [source_id for (source_id,) in rows])
        found = editing.records(db, desk.open_target(name, db), [stored[source_id].record for (source_id,) in rows])
        for column in MAPPED:
            text = f"strftime({column.name}, '{INSTANT}')" if column.type == "TIMESTAMPTZ" else f'"{column.name}"'
            query = f"SELECT {text} FROM opportunities WHERE connection = ? ORDER BY source_id"
            there = [value for (value,) in db.run(query, [name])]
            if column.type == "JSON":
                there = [value and json.loads(value, parse_float=Decimal) for value in there]
            read_so = [shown(column, one[column.name]) for one in found]
            if column.name == "custom":  # may know a field by its full name, too, which the row does not need
                read_so = [
                    one and {key: value for key, value in one.items() if key in row}
                    for one, row in zip(read_so, there, strict=True)
                ]
            assert there == read_so, column.name


def test_what_was_not_fetched_is_missing_rather_than_null(desk: Queue) -> None:
    """Without its details a Capsule deal says nothing of tags and custom fields; with empty ones it has none."""
    whole = known(desk, "capsule", desk.some_id("capsule"))
    empty = {"tag": "[]", "customfield": "[]"}
    bare, asked = read(desk, "capsule", replace(whole, details={}), replace(whole, details=empty))
    assert (MISSING, MISSING) == (bare["tags"], bare["custom"])
    assert ([], {}) == (asked["tags"], asked["custom"])
    plain = record('{"id": 1, "name": "x"}')
    (overplane,), (tactile,) = (read(desk, name, plain) for name in ("overplane", "tactile"))
    assert (MISSING, None, MISSING) == (overplane["lost_reason"], overplane["amount"], overplane["tags"])
    assert MISSING is tactile["custom"]


def test_values_are_exact(desk: Queue) -> None:
    """All digits of money, days without a zone, instants in UTC, long numbers in `extra`, the last of two keys."""
    payload = (
        '{"id": "1", "opportunity_amount": 12345678901234.5678, "expected_closing": "2026-03-29", "title": "a", '
        '"title": "b", "created_at": "2026-03-29T01:30:00Z", "annual_revenue": 1.10, "probability": 62.5}'
    )
    (one,) = read(desk, "overplane", record(payload))
    expected = (Decimal("12345678901234.5678"), date(2026, 3, 29), "b", Decimal("0.625"))
    assert expected == (one["amount"], one["expected_close_date"], one["name"], one["probability"])
    assert datetime(2026, 3, 29, 1, 30, tzinfo=UTC) == one["created_at"]
    assert {"annual_revenue": Decimal("1.1")} == one["extra"]


def test_the_base_is_our_own_read_back_where_that_is_later(desk: Queue) -> None:
    """And the published version where that one is; details that a read-back did not ask for stay known."""
    deal = desk.some_id("capsule")
    before = known(desk, "capsule", deal)
    for minutes, name in ((-5, json.loads(before.payload)["name"]), (5, "Pushed")):
        pushed(desk, "capsule", changed(before, minutes, name="Pushed"))
        with published(desk.config.warehouse) as db:
            found = editing.last_known(db, desk.control, "capsule", {deal})[deal].record
        assert (name, before.details) == (json.loads(found.payload)["name"], found.details)
    (told,) = desk.edit("capsule", deal, "name=Mine").queued
    assert "Pushed" == told.base


def test_an_edit_over_a_queued_one_keeps_its_base(desk: Queue) -> None:
    """What was seen meanwhile was not what the edit was made on; going back to its base is judged anew."""
    deal = desk.some_id("administrate")
    before = known(desk, "administrate", deal)
    name = json.loads(before.payload)["name"]
    desk.edit("administrate", deal, "name=First")
    pushed(desk, "administrate", changed(before, 5, name="Theirs"))
    (told,) = desk.edit("administrate", deal, "name=Second").queued
    assert (name, "1") == (told.base, told.instead)
    (again,) = desk.edit("administrate", deal, f"name={name}").queued
    assert ("Theirs", name, "2") == (again.base, again.value, again.instead)


TEXTS = {
    "name": " Ærø  \n",
    "amount": "12345678901234.5670",
    "probability": "1",
    "expected_close_date": "2026-03-29T00:00:00Z",
    "contact_email": " a@example.org ",
    "status": "WON",
    "type": "Unheard of",
    "extra.annual_revenue": "007",
    "line_items": '[{"name": "Nut", "quantity": 1.10, "extra.item_code": "N"}]',
}


def test_an_edit_is_wanted_as_it_was_meant(desk: Queue) -> None:
    """The text that is kept reads as the value that was judged."""
    deal = desk.some_id("overplane")
    desk.edit("overplane", deal, *(f"{field}={text}" for field, text in TEXTS.items()))
    with published(desk.config.warehouse) as db:
        target = desk.open_target("overplane", db)
    edits = {edit.field: edit for edit in desk.control.edits.open()}
    assert TEXTS.keys() == edits.keys()
    for field, text in TEXTS.items():
        made = editing.meant(target, field, text, {})
        assert isinstance(made, editing.Meant)
        assert (made.value, {field: made.value}) == (editing.wanted(edits[field]), dict(made.sent))


def test_an_id_or_its_label_becomes_what_the_crm_is_sent(desk: Queue) -> None:
    """Of an id and its label each CRM takes one; the other is looked up among what is known."""
    with published(desk.config.warehouse) as db:
        targets = {name: desk.open_target(name, db) for name in ("administrate", "capsule", "tactile")}
    owner = desk.ask("SELECT min((owner_id, owner)) FROM opportunities WHERE connection = 'administrate'")
    for name, field, text, sent in (
        ("administrate", "stage", "Won", {"stage_id": "5"}),
        ("administrate", "owner", owner[1], {"owner_id": owner[0]}),
        ("capsule", "stage", "Bid", {"stage": "Bid"}),
        ("tactile", "stage", "Won", {"stage_id": "5"}),
    ):
        made = editing.meant(targets[name], field, text, {})
        assert isinstance(made, editing.Meant), made
        assert sent == dict(made.sent)


def test_what_is_asked_of_a_record_comes_with_what_it_rests_on(desk: Queue) -> None:
    """Values and CLEAR by field, each with its own base; where a person decided, with what was seen of that field."""
    deal = desk.some_id(
        "administrate", "stage <> 'Won' AND lead_source > '' AND expected_close_date > DATE '1900-01-01'"
    )
    desk.edit("administrate", deal, "name=Mine", "stage=Won", clear=["lead_source"])
    edits = desk.control.edits.open()
    base = edits[0].base
    assert base is not None
    old = json.loads(base.payload)
    desk.control.edits.saw(edits[0].edit_id, changed(base, 5, name="Theirs", closing_date="2030-01-01"))
    with published(desk.config.warehouse) as db:
        (one,) = editing.asked(db, desk.open_target("administrate", db), desk.control.edits.open())
    assert ("administrate", deal, None, "update") == (one.connection, one.source_id, one.draft, one.op)
    assert {"name": "Mine", "stage": "Won", "lead_source": CLEAR} == one.ours
    assert {"name": "Theirs", "stage": old["name"], "lead_source": old["name"]} == {
        field: (found or {})["name"] for field, found in one.bases.items()
    }
    assert old["closing_date"] == str((one.bases["name"] or {})["expected_close_date"])

"""Tactile: one save for everything, ids inside the body, a GET that writes, and errors that come with 200."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from onepipe.errors import BadPayload, Gone, WriteRefused

Make = Callable[..., Any]


@pytest.mark.parametrize("era", ["doc", "head"])
def test_an_update_names_the_record_inside(writer: Make, era: str) -> None:
    """The id stands in `Opportunity`, ids of lists are numbers, and what is not sent stays."""
    acme = writer("tactile", era=era)
    deal = acme.crm.insert(name="Old", description="kept", cost=5)
    change = acme.change(
        name="New", amount=Decimal("99.50"), probability=Decimal("0.35"), stage_id="3", type="2", lead_source="4",
        owner="greg", expected_close_date=date(2025, 3, 1), company_id="9000", is_archived=True,
    )  # fmt: skip
    (request,) = acme.connector.update(str(deal), b"{}", change)
    told = request.body["Opportunity"]
    assert (deal, 3, 2, 4, 9000) == tuple(
        told[name] for name in ("id", "status_id", "type_id", "source_id", "organisation_id")
    )
    assert set(change) == set(request.carries)
    acme.send(request)
    row = acme.crm.rows[deal]
    assert ("New", "kept", Decimal("99.50"), 35, "greg", "2025-03-01", True) == tuple(
        row[name] for name in ("name", "description", "cost", "probability", "assigned_to", "enddate", "archived")
    )
    assert (3, 2, 4, 9000) == tuple(row[name] for name in ("status_id", "type_id", "source_id", "organisation_id"))


def test_null_clears(writer: Make) -> None:
    """An empty value is an explicit null."""
    acme = writer("tactile")
    deal = acme.crm.insert(description="x", person_id=87000)
    acme.send(*acme.connector.update(str(deal), b"{}", acme.change(description=None, contact_id=None)))
    assert (None, None) == (acme.crm.rows[deal]["description"], acme.crm.rows[deal]["person_id"])


@pytest.mark.parametrize("era", ["doc", "head"])
def test_a_create_tells_the_new_id(writer: Make, era: str) -> None:
    """No id in the body; the answer holds that of the new row."""
    acme = writer("tactile", era=era)
    request = acme.connector.create(acme.change(name="New", expected_close_date=date(2025, 3, 1), stage_id="1"))
    (answer,) = acme.send(request)
    assert "New" == acme.crm.rows[int(acme.connector.made(answer))]["name"]


@pytest.mark.parametrize("era", ["doc", "head"])
def test_a_lost_create_is_found_whatever_list_holds_it(writer: Make, era: str) -> None:
    """Closed deals are no part of the later era's main list, and are found all the same, once."""
    acme = writer("tactile", rows=5, era=era)
    since = datetime.now(UTC) - timedelta(minutes=5)
    made = {str(acme.crm.insert(name="Open")), str(acme.crm.insert(name="Done", status="Won"))}
    found = [record.id for record in acme.connector.created_since(since, {})]
    assert len(set(found)) == len(found)
    assert made <= set(found)


def test_there_is_no_delete(account: Make) -> None:
    """A verb that is not defined is a thing the CRM cannot do."""
    assert not account("tactile").connector.can("delete")


@pytest.mark.parametrize("messages", ["object", "array", "errors"])
def test_a_refusal_is_told_by_field_where_the_crm_names_it(writer: Make, messages: str) -> None:
    """The object names the field; array and `errors` have its words only. All are certainly not applied."""
    acme = writer("tactile", messages=messages)
    deal = str(acme.crm.insert(name="Kept"))
    refusal = acme.refused(acme.connector.update(deal, b"{}", {"name": "", "probability": 101})[0])
    name = "Name is a compulsory field, you must enter a value"
    probability = "The value for Probability must be between 0 and 100"
    in_words = {"": f"{name}; {probability}"} if messages != "object" else {"name": name, "probability": probability}
    assert in_words == {key: "; ".join(sorted(text.split("; "))) for key, text in refusal.words.items()}
    assert "Kept" == acme.crm.records[int(deal)]["name"]


def test_a_status_that_is_not_there_is_no_missing_record(writer: Make) -> None:
    """`Invalid ID specified` on a save may be any id: refused, never gone."""
    acme = writer("tactile")
    deal = str(acme.crm.insert())
    assert "Invalid ID specified" in acme.refused(acme.connector.update(deal, b"{}", {"status_id": "99"})[0]).words[""]
    assert "Invalid ID specified" in acme.refused(acme.connector.update("77", b"{}", {"name": "x"})[0]).words[""]


def test_an_error_that_says_nothing_may_have_been_applied(writer: Make) -> None:
    """An envelope without a reason that concerns the request leaves open what happened."""
    acme = writer("tactile")
    deal = acme.crm.insert(name="Old")
    acme.crm.faults.add("error_envelope", path="/opportunities/save", after=True)
    with pytest.raises(BadPayload) as caught:
        acme.connector.send(acme.connector.update(str(deal), b"{}", {"name": "New"})[0])
    assert not caught.value.unapplied
    assert "New" == acme.crm.records[deal]["name"]


def test_a_tag_is_added_by_a_get_that_writes(writer: Make) -> None:
    """It passes the gate as a write; the look tells whether it took effect."""
    acme = writer("tactile", era="head")
    deal = str(acme.crm.insert())
    before = acme.connector.look("add_tag", deal, {"tag": "R&D"})
    request = acme.connector.act("add_tag", deal, {"tag": "R&D"})
    assert ("GET", {"id": deal, "tag": "R&D"}) == (request.method, request.query)
    acme.send(request)
    assert (False, True) == (before, acme.connector.look("add_tag", deal, {"tag": "R&D"}))
    assert {"tag": "Item already has that tag", "": "Error Tagging"} == acme.refused(request).words
    with pytest.raises(Gone):
        acme.connector.send(acme.connector.act("add_tag", "77", {"tag": "x"}))


def test_the_get_that_writes_is_stopped_at_the_gate(account: Make) -> None:
    """With writing off it leaves no more than a POST does."""
    acme = account("tactile")
    request = acme.connector.act("add_tag", str(acme.crm.insert()), {"tag": "x"})
    acme.crm.log.clear()
    with pytest.raises(WriteRefused):
        acme.connector.send(request)
    assert [] == acme.crm.log


def test_an_answer_that_a_tag_breaks_is_no_refusal(writer: Make) -> None:
    """A quote in the tag breaks the JSON of a success: it may have happened, and the look tells that it did."""
    acme = writer("tactile", era="head")
    deal = str(acme.crm.insert())
    given = {"tag": 'the "big" one'}
    with pytest.raises(BadPayload) as caught:
        acme.connector.send(acme.connector.act("add_tag", deal, given))
    assert not caught.value.unapplied
    assert acme.connector.look("add_tag", deal, given)


def test_the_first_accounts_do_not_tell_tags(writer: Make) -> None:
    """Records without tags at all: nobody can say whether a lost tag arrived."""
    acme = writer("tactile", era="doc")
    assert acme.connector.look("add_tag", str(acme.crm.insert()), {"tag": "x"}) is None


@pytest.mark.parametrize("era", ["doc", "head"])
def test_a_note_is_posted_to_the_notes(writer: Make, era: str) -> None:
    """It appears in the timeline, where a lost one is looked for."""
    acme = writer("tactile", era=era)
    deal = str(acme.crm.insert())
    given = {"title": "Call", "note": "Line 1\nLine 2 & more"}
    before = acme.connector.look("add_note", deal, given)
    acme.send(acme.connector.act("add_note", deal, given))
    assert ["Line 1\nLine 2 & more"] == [note["note"] for note in acme.crm.notes[int(deal)]]
    assert (0, 1) == (before, acme.connector.look("add_note", deal, given))


def test_choices_are_what_options_says(account: Make) -> None:
    """Id and label of types, sources and statuses; the later era's options are empty, and say nothing."""
    acme = account("tactile")
    options = json.loads(acme.connector.options().content)["opportunity_options"]
    assert list(options["type"].items()) == acme.connector.choices("type")
    assert ("3", "Discussion") in acme.connector.choices("stage")
    assert ("greg", "greg") in acme.connector.choices("owner")
    acme.crm.options.use_era("head")
    assert acme.connector.choices("lead_source") is None

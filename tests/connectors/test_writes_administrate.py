"""Administrate: a partial PUT with relations by id, nested lists sent again whole, and actions."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

Make = Callable[..., Any]


def one(crm: Any, **fields: Any) -> str:
    """The id of a new opportunity with a contact."""
    return str(crm.insert(contact={"id": 2}, **fields))


def test_an_update_sends_what_changes_and_nothing_else(writer: Make) -> None:
    """Relations go by their number, dates and texts as they are; what is not sent stays."""
    acme = writer("administrate", rows=3)
    deal = one(acme.crm, name="Autumn", attributes={"Priority": "High"}, currency={"id": "GBP"})
    before = acme.connector.get(deal, None).payload
    change = acme.change(
        name="Winter", company_id="3", lead_source="2", extra__region="BY", expected_close_date=date(2025, 2, 1)
    )
    (request,) = acme.connector.update(deal, before, change)
    expected = {"name": "Winter", "company": {"id": 3}, "source_type": {"id": 2}, "region": {"id": "BY"}}
    assert expected | {"closing_date": "2025-02-01"} == request.body
    assert {"name", "company", "source_type", "region", "closing_date"} == set(request.carries)
    acme.send(request)
    now = acme.crm.records[int(deal)]
    assert ("Winter", "2025-02-01") == (now["name"], now["closing_date"])
    assert (3, "BY") == (now["company"]["id"], now["region"]["id"])
    assert ({"Priority": "High"}, {"id": "GBP"}) == (now["attributes"], now["currency"])


def test_one_custom_field_keeps_the_others(writer: Make) -> None:
    """`attributes` is sent whole, so that it does not matter whether the CRM merges or replaces it."""
    acme = writer("administrate")
    deal = one(acme.crm, attributes={"Priority": "High", "Note": "vip"})
    before = acme.connector.get(deal, None).payload
    acme.send(*acme.connector.update(deal, before, acme.change(custom__Note="key account")))
    assert {"Priority": "High", "Note": "key account"} == acme.crm.records[int(deal)]["attributes"]


def test_a_relation_is_cleared_with_null(writer: Make) -> None:
    """An object whose id is null is no relation: null is sent in its place."""
    acme = writer("administrate")
    deal = one(acme.crm)
    (request,) = acme.connector.update(deal, b"{}", acme.change(contact_id=None))
    assert {"contact": None} == request.body
    acme.send(request)
    assert acme.crm.records[int(deal)]["contact"] is None


def test_an_external_id_is_never_a_number(writer: Make) -> None:
    """The customer's own key is text, with its zeros."""
    acme = writer("administrate")
    (request,) = acme.connector.update("1", b"{}", acme.change(extra__external_id="42"))
    assert {"external_id": "42"} == request.body


def test_a_create_tells_the_new_id(writer: Make) -> None:
    """The answer is the whole object; its id is that of the new record."""
    acme = writer("administrate")
    change = acme.change(
        name="New", company_id="2", stage_id="1", owner_id="3", currency="EUR", extra__external_id="X-1"
    )
    request = acme.connector.create(change)
    assert set(change) == set(request.carries)
    (answer,) = acme.send(request)
    made = acme.crm.records[int(acme.connector.made(answer))]
    assert ("New", "X-1") == (made["name"], made["external_id"])
    assert [2, 1, 3, "EUR"] == [made[name]["id"] for name in ("company", "step", "user", "currency")]


def test_a_lost_create_is_found_among_the_newest(writer: Make) -> None:
    """Those created since an instant are told, others are not."""
    acme = writer("administrate", rows=5)
    since = datetime.now(UTC) - timedelta(seconds=2)
    made = one(acme.crm, name="Lost")
    assert [made] == [record.id for record in acme.connector.created_since(since, {})]


def test_a_delete_is_told_by_the_next_read(writer: Make) -> None:
    """200 with the body of what was deleted."""
    acme = writer("administrate")
    deal = one(acme.crm)
    acme.send(acme.connector.delete(deal, b"{}"))
    assert int(deal) not in acme.crm.records


def test_what_a_move_makes_is_foreseen(writer: Make) -> None:
    """The transitions of a step say what they make and what they need; a step without one will be refused."""
    acme = writer("administrate")
    deal = one(acme.crm, step={"id": 4}, currency=None)
    payload = acme.connector.get(deal, None).payload
    assert ["the move makes: account, contact, invoice, registration", "the move needs: currency"] == (
        acme.connector.foresees(payload, acme.change(stage_id="5"))
    )
    assert [] == acme.connector.foresees(payload, acme.change(stage_id="4", name="x"))
    (words,) = acme.connector.foresees(payload, acme.change(stage_id="2"))
    assert "no transition" in words
    refusal = acme.refused(acme.connector.update(deal, payload, acme.change(stage_id="2"))[0])
    assert {"": "no transition from step 4 to 2"} == refusal.words


@pytest.mark.parametrize("nested", ["append", "replace"])
def test_an_added_interest_leaves_the_others_as_they_are(writer: Make, nested: str) -> None:
    """Whether the CRM appends or replaces: what was there is there once, with its delegates, and the new one beside."""
    acme = writer("administrate", nested=nested)
    old = {"event": {"id": 5, "title": "Safety"}, "price": 100, "quantity": 2, "delegates": [{"first_name": "Ann"}]}
    deal = one(acme.crm, interests=[old])
    (held,) = acme.crm.records[int(deal)]["interests"]
    given = {"event_id": "9", "delegates": '[{"first_name": "Bo", "last_name": "Oto", "email": "b@example.org"}]'}
    before = acme.connector.look("add_interest", deal, given)
    acme.send(acme.connector.act("add_interest", deal, given))
    first, new = acme.crm.records[int(deal)]["interests"]
    assert held == first
    assert (9, "Bo") == (new["event"]["id"], new["delegates"][0]["first_name"])
    assert (0, 1) == (before, acme.connector.look("add_interest", deal, given))


@pytest.mark.parametrize("nested", ["append", "replace"])
def test_an_added_document_leaves_the_others_as_they_are(writer: Make, nested: str) -> None:
    """Its body is made of the template; those that were there keep theirs."""
    acme = writer("administrate", nested=nested)
    deal = one(acme.crm, documents=[{"document_template": {"id": 2}, "name": "Old", "body": "as edited"}])
    given = {"document_template_id": "1", "name": "Offer", "user_id": "2"}
    before = acme.connector.look("add_document", deal, given)
    acme.send(acme.connector.act("add_document", deal, given))
    first, new = acme.crm.records[int(deal)]["documents"]
    assert ("Old", "as edited", "Offer", 2) == (first["name"], first["body"], new["name"], new["user"]["id"])
    assert (0, 1) == (before, acme.connector.look("add_document", deal, given))


def test_a_quote_is_made_and_can_be_looked_for(writer: Make) -> None:
    """A quote of the same cover and expiry tells that a lost request took effect."""
    acme = writer("administrate")
    deal = one(acme.crm)
    given = {"cover_letter": "<p>Dear all</p>", "expires_at": "2025-06-30"}
    before = acme.connector.look("generate_quote", deal, given)
    acme.send(acme.connector.act("generate_quote", deal, given))
    (quote,) = acme.crm.records[int(deal)]["quotes"]
    assert ("<p>Dear all</p>", "2025-06-30") == (quote["cover_letter"], quote["expires_at"])
    assert (0, 1) == (before, acme.connector.look("generate_quote", deal, given))


def test_an_email_goes_out_and_cannot_be_looked_for(writer: Make) -> None:
    """It is scheduled; no read tells it afterwards, so a lost answer stays unknown."""
    acme = writer("administrate")
    deal = one(acme.crm, documents=[{"document_template": {"id": 1}, "name": "Letter"}])
    document = acme.crm.records[int(deal)]["documents"][0]["id"]
    given = {
        "subject": "Your quote",
        "body_document_template_id": "2",
        "document_attachments": f'[{{"id": {document}, "name": "Letter"}}]',
        "include_invoice": "true",
    }
    acme.send(acme.connector.act("send_email", deal, given))
    assert [("Your quote", 1)] == [(email["subject"], len(email["attachments"])) for email in acme.crm.emails]
    assert acme.connector.look("send_email", deal, given) is None


def test_a_refused_action_is_told_in_the_crms_words(writer: Make) -> None:
    """An e-mail without a contact: 400, with what the CRM says."""
    acme = writer("administrate")
    deal = str(acme.crm.insert())
    request = acme.connector.act("send_email", deal, {"subject": "x", "body_document_template_id": "1"})
    assert "contact" in acme.refused(request).words[""]


def test_a_pdf_is_read_not_written(account: Make) -> None:
    """render_pdf is listed among the actions and only reads, so it needs no open gate."""
    acme = account("administrate")
    deal = one(acme.crm)
    acme.connector.http.gate.writing = True
    acme.connector.send(acme.connector.act("generate_quote", deal, {}))
    acme.connector.http.gate.writing = False
    quote = acme.crm.records[int(deal)]["quotes"][0]["id"]
    assert acme.connector.actions()["render_pdf"].reads
    assert acme.connector.ask("render_pdf", {"quote_id": str(quote)}).content.startswith(b"%PDF")

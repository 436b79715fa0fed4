"""Capsule: XML bodies, a create told by its Location, a move by the party's path, tags and custom fields apart."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from onepipe.errors import Gone, UsageError

Make = Callable[..., Any]
HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def test_an_update_is_one_element_with_what_changes(writer: Make) -> None:
    """Money is plain digits, a probability a whole number, a day its midnight; markup is escaped."""
    acme = writer("capsule")
    deal = acme.crm.insert(name="Old", description="kept")
    change = acme.change(
        name="R&D <x>", amount=Decimal("1500.5000"), probability=Decimal("0.45"), expected_close_date=date(2025, 3, 1),
        stage_id="2", owner="jdoe",
    )  # fmt: skip
    (request,) = acme.connector.update(str(deal), b"{}", change)
    assert (
        f"{HEAD}<opportunity><name>R&amp;D &lt;x&gt;</name><value>1500.5</value><probability>45</probability>"
        "<expectedCloseDate>2025-03-01T00:00:00Z</expectedCloseDate><milestoneId>2</milestoneId>"
        "<owner>jdoe</owner></opportunity>"
    ) == request.body
    acme.send(request)
    now = acme.crm.records[deal]
    assert ("R&D <x>", "kept", "1500.50", "45", "Bid", "jdoe") == tuple(
        now[name] for name in ("name", "description", "value", "probability", "milestone", "owner")
    )


def test_a_milestone_without_an_id_goes_by_name(writer: Make) -> None:
    """In the API's first years the name is all there is, and the stage's id as well."""
    acme = writer("capsule")
    deal = acme.crm.insert()
    acme.send(*acme.connector.update(str(deal), b"{}", acme.change(stage_id="Won")))
    assert "Won" == acme.crm.records[deal]["milestone"]


def test_a_move_goes_below_the_new_party(writer: Make) -> None:
    """partyId is read-only in the body: the path says where to, and the rest of the change goes along."""
    acme = writer("capsule")
    deal = acme.crm.insert()
    (request,) = acme.connector.update(str(deal), b"{}", acme.change(company_id="3", name="Moved"))
    assert (f"/api/party/3/opportunity/{deal}", ("partyId", "name")) == (request.path, request.carries)
    acme.send(request)
    assert ("3", "Moved") == (acme.crm.records[deal]["partyId"], acme.crm.records[deal]["name"])


def test_a_create_is_told_by_its_location(writer: Make) -> None:
    """201 with an empty body; tags and custom fields are not carried and come as an update."""
    acme = writer("capsule")
    change = acme.change(name="New", company_id="2", stage_id="1", tags=["vip"], custom__Signed=True)
    request = acme.connector.create(change)
    assert ("POST", "/api/party/2/opportunity") == (request.method, request.path)
    assert {"name", "partyId", "milestoneId"} == set(request.carries)
    (answer,) = acme.send(request)
    made = acme.connector.made(answer)
    assert "New" == acme.crm.records[int(made)]["name"]
    rest = {name: value for name, value in change.items() if name not in request.carries}
    acme.send(*acme.connector.update(made, b"{}", rest))
    assert ["vip"] == acme.crm.tags[int(made)]
    assert "true" == acme.crm.fields[int(made)]["", "Signed"]["boolean"]


def test_a_create_below_no_party_is_refused_and_not_gone(writer: Make) -> None:
    """404 to a create says that the party is missing: nothing was made."""
    acme = writer("capsule")
    acme.refused(acme.connector.create(acme.change(name="x", company_id="999", stage_id="1")))


def test_a_lost_create_is_found_among_the_changed(writer: Make) -> None:
    """Whatever party it ended at: a person's deal becomes that of the organisation."""
    acme = writer("capsule", rows=4)
    since = datetime.now(UTC) - timedelta(seconds=2)
    made = acme.crm.insert()
    assert [str(made)] == [record.id for record in acme.connector.created_since(since, {})]


def test_a_delete_is_told_by_the_next_read(writer: Make) -> None:
    """200, and a second one finds nothing."""
    acme = writer("capsule")
    deal = str(acme.crm.insert())
    request = acme.connector.delete(deal, b"{}")
    acme.send(request)
    assert int(deal) in acme.crm.tombstones
    with pytest.raises(Gone) as caught:
        acme.connector.send(request)
    assert caught.value.unapplied


def test_tags_are_a_request_each(writer: Make) -> None:
    """Those that are missing are added, those too many are taken away, the others are let alone."""
    acme = writer("capsule")
    deal = acme.crm.insert(tags=["kept", "R&D/old"])
    requests = acme.connector.update(str(deal), b"{}", acme.change(tags=["kept", "Zoë & co"]))
    assert [("POST", ("tags",)), ("DELETE", ("tags",))] == [(one.method, one.carries) for one in requests]
    acme.send(*requests)
    assert ["kept", "Zoë & co"] == acme.crm.tags[deal]


def test_custom_fields_are_sent_by_label_and_type(writer: Make) -> None:
    """Only those that change: each by its label, its data tag and the element of its type; none removes one."""
    acme = writer("capsule")
    deal = acme.crm.insert()
    key = str(deal)
    given = {"Region (Deals)": "Süd & Ost", "Seats": Decimal("12.5"), "Renewal": date(2025, 1, 31), "Signed": True}
    requests = acme.connector.update(key, b"{}", {"custom": given})
    assert [("custom",)] == [request.carries for request in requests]
    acme.send(*requests)
    held = acme.crm.fields[deal]
    assert {"tag": "Deals", "label": "Region", "text": "Süd & Ost"} == held["Deals", "Region"]
    assert ("12.5", "2025-01-31T00:00:00Z", "true") == (
        held["", "Seats"]["number"], held["", "Renewal"]["date"], held["", "Signed"]["boolean"],
    )  # fmt: skip
    acme.send(*acme.connector.update(key, b"{}", acme.change(custom__Seats=None)))
    assert {("Deals", "Region"), ("", "Renewal"), ("", "Signed")} == set(held)


def test_custom_fields_are_sent_to_the_path_that_is_read(writer: Make) -> None:
    """The first accounts have /customfield alone and list no definitions: sent there, by label and as text."""
    acme = writer("capsule", early_fields=True, definitions=False)
    deal = acme.crm.insert()
    (request,) = acme.connector.update(str(deal), b"{}", {"custom": {"Region": "North"}})
    assert (f"/api/opportunity/{deal}/customfield", ("custom",)) == (request.path, request.carries)
    acme.send(request)
    assert {("", "Region"): {"label": "Region", "text": "North"}} == acme.crm.fields[deal]
    with pytest.raises(Gone):
        acme.connector.update("999", b"{}", {"custom": {"Region": "North"}})
    acme.crm.delete(deal)
    acme.refused(request)  # whether the deal is gone or the path is not there, a 404 does not say


@pytest.mark.parametrize("name", ["Region", "Nothing"])
def test_a_custom_field_must_be_one(writer: Make, name: str) -> None:
    """A label that stands twice, or nowhere, is refused with the names there are: no definition needs an id."""
    acme = writer("capsule")
    with pytest.raises(UsageError, match=r"Region \(Deals\), Region \(Partners\), Signed, "):
        acme.connector.update(str(acme.crm.insert()), b"{}", {"custom": {name: "x"}})


@pytest.mark.parametrize(("body", "words"), [("xml", {"": "value not formatted as a number"}), ("empty", {})])
def test_a_refusal_is_told_where_the_crm_says_anything(writer: Make, body: str, words: dict[str, str]) -> None:
    """A decimal probability is refused; the body of an error may be XML, a page, or nothing."""
    acme = writer("capsule", error_body=body)
    deal = str(acme.crm.insert())
    assert words == acme.refused(acme.connector.update(deal, b"{}", {"probability": Decimal("50.5")})[0]).words


def test_text_that_xml_cannot_hold_is_refused_before_it_is_sent(writer: Make) -> None:
    """A control character has no form in XML."""
    with pytest.raises(UsageError, match="XML"):
        writer("capsule").connector.update("1", b"{}", {"name": "bell \x07"})


@pytest.mark.parametrize(
    ("add", "remove", "given"),
    [("add_tag", "remove_tag", {"tag": "50 % off / R&D"}), ("add_party", "remove_party", {"party_id": "25"})],
)
def test_what_is_added_can_be_taken_away(writer: Make, add: str, remove: str, given: dict[str, str]) -> None:
    """Each action changes what its look tells, and back."""
    acme = writer("capsule")
    deal = str(acme.crm.insert())
    told = [acme.connector.look(add, deal, given)]
    for name in (add, remove):
        acme.send(acme.connector.act(name, deal, given))
        told.append(acme.connector.look(name, deal, given))
    assert [False, True, False] == told


def test_a_note_goes_to_the_history(writer: Make) -> None:
    """201 with a Location; the look counts the notes of that text, whatever its line ends."""
    acme = writer("capsule")
    deal = str(acme.crm.insert())
    given = {"note": "First\r\nsecond & <third>"}
    before = acme.connector.look("add_note", deal, given)
    acme.send(acme.connector.act("add_note", deal, given))
    assert ["First\r\nsecond & <third>"] == [note["note"] for note in acme.crm.history[int(deal)]]
    assert (0, 1) == (before, acme.connector.look("add_note", deal, given))

"""Capsule: XML, offsets without an end, tombstones, and two eras of everything."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from onepipe.connector import Window
from onepipe.contract import Asked
from onepipe.errors import BadPayload, Gone

Make = Callable[..., Any]


def xml(wrapper: str, *items: str) -> str:
    """A list as Capsule prints it."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    return f'{head}<{wrapper} size="{len(items)}">{"".join(items)}</{wrapper}>'


def test_the_list_is_read_by_offset_to_an_empty_page(account: Make) -> None:
    """`size` counts one page only, so a scan goes on until a page has nothing new."""
    acme = account("capsule", rows=230)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids())
    starts = [int(query["start"]) for _, query in acme.asked()]
    assert 0 == starts[0]
    assert 229 <= max(starts)


@pytest.mark.parametrize("order", ["name", "id", "shuffled"])
@pytest.mark.parametrize("cap", [None, 7, 1])
def test_a_hidden_cap_and_any_order_are_survived(account: Make, order: str, cap: int | None) -> None:
    """Whatever the order and however few rows a page holds, every row comes once."""
    acme = account("capsule", rows=25, order=order, limit_cap=cap)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids())


def test_the_filter_is_in_utc_without_a_zone(account: Make) -> None:
    """`lastmodified` is YYYYMMDDTHHMMSS in UTC, whatever zone the instant was given in."""
    acme = account("capsule")
    acme.ids(since=datetime(2024, 3, 1, 1, 30, 5, tzinfo=timezone(timedelta(hours=2))))
    ((_, query),) = acme.asked()
    assert "20240229T233005" == query["lastmodified"]


def test_tombstones_are_told(account: Make) -> None:
    """What was deleted since comes with its instant; what was deleted before does not."""
    acme = account("capsule", rows=5)
    gone = next(iter(acme.crm.records))
    acme.crm.delete(gone)
    now = datetime.now(UTC)
    (page,) = acme.connector.deleted(now - timedelta(minutes=5))
    assert [str(gone)] == [record.id for record in page.records]
    assert (page.records[0].stamp or "").endswith("Z")
    assert [[]] == [page.records for page in acme.connector.deleted(now + timedelta(minutes=5))]
    assert [str(gone)] == [record.id for page in acme.connector.deleted(None) for record in page.records]


@pytest.mark.parametrize("status", [400, 404, 405, 410])
def test_an_account_without_tombstones_is_no_failure(account: Make, status: int) -> None:
    """The API of the first years has no list of deletions: it has no such path, or takes its name for an id."""
    acme = account("capsule", rows=1, deleted=False, deleted_status=status)
    assert [] == list(acme.connector.deleted(datetime.now(UTC)))
    assert b"[]" == acme.connector.ask("deleted", {})


def test_milestones_of_the_first_years_are_known_by_name(stranger: Make) -> None:
    """Milestones without an id are records by their name, an empty description is null."""
    item = (
        "<milestone><name>Bid</name><description/><probability>50</probability><complete>false</complete></milestone>"
    )
    acme = stranger("capsule", lambda _: xml("milestones", item))
    (page,) = acme.connector.pull("milestones", Window())
    expected = {"name": "Bid", "description": None, "probability": "50", "complete": "false"}
    assert [("Bid", expected)] == [(record.id, json.loads(record.payload)) for record in page.records]


def test_details_are_arrays(account: Make) -> None:
    """Tags and custom fields of a record are JSON arrays, empty where there are none."""
    acme = account("capsule")
    tagged, bare = (str(acme.crm.insert(name="x", tags=tags)) for tags in (["R&D", "vip"], []))
    assert [{"name": "R&D"}, {"name": "vip"}] == json.loads(acme.connector.detail("tag", tagged, b"{}"))
    assert [] == json.loads(acme.connector.detail("tag", bare, b"{}"))
    assert [] == json.loads(acme.connector.detail("customfield", bare, b"{}"))


def test_one_custom_field_is_an_array_of_one(stranger: Make) -> None:
    """One element, many or none: always an array."""
    one = "<customField><id>1</id><tag>Deals</tag><label>Region</label><text>Süd &amp; Ost</text></customField>"
    acme = stranger("capsule", lambda _: xml("customFields", one))
    expected = [{"id": "1", "tag": "Deals", "label": "Region", "text": "Süd & Ost"}]
    assert expected == json.loads(acme.connector.detail("customfield", "43", b"{}"))


def test_the_first_years_spell_customfield(stranger: Make) -> None:
    """Where /customfields is not there, /customfield is asked; where neither is, the record is gone."""
    item = "<customField><label>Seats</label><number>5</number></customField>"
    early = stranger(
        "capsule", lambda asked: xml("customFields", item) if asked.path.endswith("/customfield") else (404, "")
    )
    assert [{"label": "Seats", "number": "5"}] == json.loads(early.connector.detail("customfield", "43", b"{}"))
    gone = stranger("capsule", lambda _: (404, ""))
    for name in ("tag", "customfield"):
        with pytest.raises(Gone):
            gone.connector.detail(name, "43", b"{}")


def test_a_person_with_a_title_is_no_login_page(account: Make) -> None:
    """People are told as they are, with a <title> near the beginning of the answer."""
    acme = account("capsule")
    deal, person = acme.crm.insert(), next(key for key, one in acme.crm.parties.items() if one.get("title"))
    acme.crm.extra_parties[deal] = [person]
    (told,) = json.loads(acme.connector.detail("party", str(deal), b"{}"))
    assert (str(person), acme.crm.parties[person]["title"]) == (told["id"], told["title"])


def test_views_are_read_to_their_end(account: Make) -> None:
    """by_milestone and by_tag page like the list, by one filter each; names are encoded."""
    acme = account("capsule")
    for number in range(130):
        acme.crm.insert(name=f"Deal {number}", milestone="Bid", tags=["R&D + sales"])
    acme.crm.insert(name="Other", milestone="Won")
    assert 130 == len(json.loads(acme.connector.ask("by_milestone", {"milestone": "Bid"})))
    assert 130 == len(json.loads(acme.connector.ask("by_tag", {"tag": "R&D + sales"})))
    assert {"R&D + sales"} == {query["tag"] for _, query in acme.asked() if "tag" in query}


def test_every_documented_list_can_be_asked(account: Make) -> None:
    """The reads of `onepipe get` answer JSON."""
    acme = account("capsule", rows=3)
    row_id, row = next(iter(acme.crm.records.items()))
    given = {"id": str(row_id), "milestone": "Bid", "tag": "x", "party_id": str(row["partyId"])}
    for read in acme.connector.reads().values():
        words = {parameter.name: given[parameter.name] for parameter in read.parameters if parameter.required}
        assert isinstance(
            json.loads(acme.connector.ask(read.name, words)), dict if read.name == "opportunity" else list
        )
    assert str(row_id) in [
        row["id"] for row in json.loads(acme.connector.ask("by_party", {"party": str(row["partyId"])}))
    ]
    assert "GBP" in json.loads(acme.connector.ask("currencies", {}))


def test_only_xml_is_asked_for(account: Make) -> None:
    """The parser is chosen by what was asked for, so every request says so."""
    acme = account("capsule", rows=1)
    acme.ids()
    assert {"application/xml"} == {seen.headers["accept"] for seen in acme.crm.log}


def test_json_where_xml_was_asked_for_is_an_error(stranger: Make) -> None:
    """A server that answers JSON all the same is not an empty list."""
    with pytest.raises(BadPayload):
        stranger("capsule", lambda _: {"opportunities": {"@size": "0"}}).ids()


def test_unknown_elements_and_missing_ones_are_fine(stranger: Make) -> None:
    """A row needs nothing but its id; what is new comes along."""

    def answer(asked: Asked) -> str:
        row = "<opportunity><id>43</id><brandNew><deep>x</deep></brandNew></opportunity>"
        return xml("opportunities", *([row] if asked.query["start"] == "0" else []))

    (page, *_) = stranger("capsule", answer).connector.pull("opportunity", Window())
    assert {"id": "43", "brandNew": {"deep": "x"}} == json.loads(page.records[0].payload)

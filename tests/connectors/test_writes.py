"""What writing is in all five: described, gated, sent once, and told what came of it."""

import socket
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from onepipe import registry
from onepipe.connector import Request, Writes, xml_body
from onepipe.decode import refusal
from onepipe.errors import AuthRefused, BadPayload, RateLimited, Unavailable, UsageError, WriteRefused
from onepipe.mapping import load_mapping
from onepipe.merge.compare import kind
from onepipe.model import MAPPED
from tests.connectors.conftest import connected

Make = Callable[..., Any]
FIVE = ("administrate", "tactile", "capsule", "onautomate", "overplane")
ACTIONS = {
    "administrate": ("generate_quote", "send_email", "add_interest", "add_document", "render_pdf"),
    "tactile": ("add_tag", "add_note"),
    "capsule": ("add_tag", "remove_tag", "add_note", "add_party", "remove_party"),
    "onautomate": ("set_status",),
    "overplane": ("reorder_items", "add_lost_reason", "remove_lost_reason", "reorder_lost_reasons"),
}
GIVEN = {  # a value of each type that an action takes
    "str": "1", "int": "1", "bool": "true", "date": "2025-01-31", "list": "[]", "tuple": "a,b",
}  # fmt: skip


def described(acme: Any) -> list[Request]:
    """Every kind of request that a connector can describe for one record."""
    deal = str(acme.crm.insert())
    payload = acme.connector.get(deal, None).payload
    change = {"partyId": "2", "pipelineId": "p", "title": "x", "name": "x"}
    made = [acme.connector.create(change), *acme.connector.update(deal, payload, {"status": "won"})]
    made += [acme.connector.delete(deal, payload)] if acme.connector.can("delete") else []
    for action in acme.connector.actions().values():
        given = {one.name: GIVEN[one.type.__name__] for one in action.parameters[1:]}
        made += [] if action.reads else [acme.connector.act(action.name, deal, given)]
    return made


@pytest.mark.parametrize("name", FIVE)
def test_describing_only_reads_and_nothing_leaves_a_closed_gate(account: Make, name: str) -> None:
    """Every verb and action is described without a write, and stopped before a byte leaves."""
    acme = account(name)
    requests = described(acme)
    assert {"GET"} == {seen.method for seen in acme.crm.log}
    acme.crm.log.clear()
    for request in requests:
        with pytest.raises(WriteRefused) as caught:
            acme.connector.send(request)
        assert caught.value.unapplied
    assert [] == acme.crm.log


@pytest.mark.parametrize("name", FIVE)
def test_the_actions_are_those_of_the_contract(account: Make, name: str) -> None:
    """By these names, each with a sentence of its own, its ID first."""
    actions = account(name).connector.actions()
    assert set(ACTIONS[name]) == set(actions)
    assert all(action.doc.endswith(".") for action in actions.values())
    first = [action.parameters[0] for action in actions.values()]
    assert {("id", True), ("quote_id", True)} >= {(one.name, one.required) for one in first}


@pytest.mark.parametrize("name", FIVE)
def test_a_described_request_can_be_kept_and_shown(account: Make, name: str) -> None:
    """Stored and restored it is the same, and no credential is in it."""
    acme = account(name)
    for request in described(acme):
        assert request == Request.restored(request.stored())
        assert {"method", "path", "body"} <= request.document().keys()
        assert not [word for word in acme.crm.credentials.values() if word.encode() in request.stored()]


def test_money_is_kept_digit_for_digit() -> None:
    """No number of a kept request has gone through a double."""
    request = Request("PUT", "/a", {"value": Decimal("12345678901234.5678")})
    assert Decimal("12345678901234.5678") == Request.restored(request.stored()).body["value"]


@pytest.mark.parametrize("name", FIVE)
def test_facts_speak_of_columns_there_are(name: str) -> None:
    """Required, defaulted and placed fields are canonical ones, and each can be written, by its id or its label."""
    writes: Writes = registry.load(name, None).writes
    mapping = load_mapping(registry.find("mappings", name, None).path)
    wanted = [one for some in writes.required for one in ([some] if isinstance(some, str) else some)]
    known = {column.name for column in MAPPED}
    assert set() == {one for one in (*wanted, *writes.defaults, *writes.places) if kind(one) != "FREE"} - known
    assert [] == [one for one in wanted if one not in writes.places and mapping.fields[one].to is None]


@pytest.mark.parametrize("name", FIVE)
def test_what_is_required_is_enough_for_a_new_record(writer: Make, name: str) -> None:
    """With the columns that the facts ask for, and no other, a record is made and told by its id."""
    acme = writer(name, **({"era": "head"} if name == "tactile" else {}))
    values = {
        "name": "New", "company_id": "2", "stage_id": "1", "owner_id": "1", "currency": "GBP", "status": "open",
        "expected_close_date": date(2025, 3, 1), "contact_email": "a@example.org", "extra.company": "Example Corp",
        "extra.opportunity_from": "Customer", "extra.transaction_date": "2025-01-31",
    }  # fmt: skip
    if name == "onautomate":
        pipeline = next(iter(acme.crm.pipelines.values()))
        values |= {"pipeline_id": pipeline["id"], "stage_id": pipeline["stages"][0]["id"]}
    wanted = [one if isinstance(one, str) else "contact_email" for one in acme.connector.writes.required]
    (answer,) = acme.send(acme.connector.create(acme.change(**{one.replace(".", "__"): values[one] for one in wanted})))
    assert acme.connector.made(answer) in map(str, acme.crm.records)


@pytest.mark.parametrize("name", FIVE)
def test_an_unknown_action_or_argument_is_refused(account: Make, name: str) -> None:
    """With the names that there are."""
    connector = account(name).connector
    with pytest.raises(UsageError, match="no action"):
        connector.act("explode", "1", {})
    first = ACTIONS[name][0]
    with pytest.raises(UsageError, match="nonsense"):
        connector.act(first, "1", {"nonsense": "1"})


@pytest.mark.parametrize(
    ("fault", "kind_of", "unapplied"),
    [
        ({"kind": "status", "status": 401}, AuthRefused, True),
        ({"kind": "status", "status": 429}, RateLimited, True),
        ({"kind": "status", "status": 500}, Unavailable, False),
        ({"kind": "status", "status": 503}, Unavailable, False),
        ({"kind": "login_page"}, AuthRefused, False),
        ({"kind": "redirect", "location": "http://elsewhere.invalid/x", "status": 302}, Unavailable, False),
        ({"kind": "reset"}, Unavailable, False),
        ({"kind": "short_body"}, BadPayload, False),
    ],
)
@pytest.mark.parametrize("name", ["overplane", "administrate"])
def test_what_came_of_a_write_is_told(
    writer: Make, name: str, fault: dict[str, Any], kind_of: type, unapplied: bool
) -> None:
    """Certainly not done, or perhaps: nothing is sent a second time to find out."""
    acme = writer(name)
    deal = str(acme.crm.insert())
    (request,) = acme.connector.update(deal, b"{}", {"expected_closing": "2025-01-01", "closing_date": "2025-01-01"})
    acme.crm.faults.add(**fault, after=True)
    acme.crm.log.clear()
    with pytest.raises(kind_of) as caught:
        acme.connector.send(request)
    assert unapplied == caught.value.unapplied
    assert 1 == len(acme.crm.log)


def test_a_refused_connection_has_changed_nothing(writer: Make) -> None:
    """What never reached the CRM may be sent again."""
    acme = writer("overplane")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = connected("overplane", f"http://127.0.0.1:{unused.getsockname()[1]}", {"api_key": "k"}, {})
    nowhere.http.gate.writing = True
    with pytest.raises(Unavailable) as caught:
        nowhere.send(acme.connector.delete("a", b"{}"))
    assert caught.value.unapplied


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", {}),
        (b"<html></html>", {}),
        (b"<error>no</error>", {"": "no"}),
        (b'{"message": "no"}', {"": "no"}),
        (b'{"error": "no"}', {"": "no"}),
        (b'{"error": {"message": "no", "param": "qty", "type": "t"}}', {"qty": "no"}),
        (b'{"message": "Validation Failed", "errors": [{"message": "no", "field": "name"}]}', {"name": "no"}),
        (b'{"title": {"message": "no", "rule": "required"}, "a or b": "x"}', {"title": "no", "a or b": "x"}),
        (b'{"name": ["no", "really"]}', {"name": "no; really"}),
        (b'["no", "x"]', {"": "no; x"}),
        (b"plain words", {"": "plain words"}),
        (b"[" * 5000, {"": "[" * 5000}),
    ],
)
def test_refusals_of_every_shape_are_read(content: bytes, words: dict[str, str]) -> None:
    """By the field that is named, else by none; what says nothing says nothing."""
    assert words == refusal(content)


def test_an_xml_body_repeats_lists_and_empties_none() -> None:
    """Keys are elements, a list repeats its element, None is empty, text is escaped."""
    body = xml_body("a", {"b": None, "c": [{"d": True}, {"d": Decimal("1E+2")}], "e": "<&\r>"})
    expected = "<a><b/><c><d>true</d></c><c><d>100</d></c><e>&lt;&amp;&#13;&gt;</e></a>"
    assert f'<?xml version="1.0" encoding="UTF-8"?>{expected}' == body

"""OnAutomate: a form that wants more than what changes, a call of its own for the status, refusals by field."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from onepipe.errors import BadPayload, Gone, UsageError

Make = Callable[..., Any]


def deal_of(acme: Any, **fields: Any) -> tuple[str, bytes]:
    """A new deal of a contact with e-mail and phone: its id and its payload."""
    contact = {"name": "Ana Ruiz", "email": "ana@example.org", "phone": "+12025550107", "tags": ["vip"]}
    deal = acme.crm.insert(name="Roof", contact=contact, **fields)
    return deal, acme.connector.get(deal, None).payload


def stages(acme: Any, payload: bytes) -> list[str]:
    """The stage ids of the pipeline the deal is in."""
    return [stage["id"] for stage in acme.crm.pipelines[json.loads(payload)["pipelineId"]]["stages"]]


def test_the_form_is_sent_with_what_was_just_read(writer: Make) -> None:
    """title, stageId, status and the contact go along unchanged; `name`, which renames the contact, does not."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme, monetaryValue=10)
    (request,) = acme.connector.update(deal, payload, acme.change(amount=Decimal("99.50")))
    read = json.loads(payload)
    assert {
        "title": "Roof",
        "stageId": read["pipelineStageId"],
        "status": "open",
        "contactId": read["contact"]["id"],
        "monetaryValue": Decimal("99.5"),
    } == request.body
    assert ("monetaryValue",) == request.carries
    assert set(acme.connector.writes.forced) == request.body.keys() - set(request.carries)
    acme.send(request)
    now = acme.crm.records[deal]
    assert ("Roof", "Ana Ruiz", Decimal("99.5")) == (now["name"], now["contact"]["name"], now["monetaryValue"])


def test_the_deal_is_renamed_and_not_the_contact(writer: Make) -> None:
    """The canonical name is written as title."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    acme.send(*acme.connector.update(deal, payload, acme.change(name="Roof & gutter", tags=["vip", "new"])))
    now = acme.crm.records[deal]
    assert ("Roof & gutter", "Ana Ruiz") == (now["name"], now["contact"]["name"])
    assert ["vip", "new"] == now["contact"]["tags"]


def test_a_contact_without_an_id_is_named_by_what_it_has(writer: Make) -> None:
    """By e-mail, else by phone."""
    acme = writer("onautomate")
    payload = b'{"id": "a", "pipelineId": "p", "name": "x", "contact": {"email": null, "phone": "+1"}}'
    (request,) = acme.connector.update("a", payload, acme.change(amount=Decimal(1)))
    assert ("+1", False) == (request.body["phone"], "contactId" in request.body)


def test_a_status_alone_has_its_own_call(writer: Make) -> None:
    """It forces nothing along but the stage; the answer is an empty text."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    (request,) = acme.connector.update(deal, payload, acme.change(status="won"))
    assert request.path.endswith(f"/{deal}/status")
    assert {"status": "won", "stageId": json.loads(payload)["pipelineStageId"]} == request.body
    acme.send(request)
    assert "won" == acme.crm.records[deal]["status"]


def test_status_and_stage_go_together_and_a_stage_by_the_form(writer: Make) -> None:
    """Both that change are one status call; a stage alone leaves the status's stamp alone."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    stage = stages(acme, payload)[2]
    (request,) = acme.connector.update(deal, payload, acme.change(stage_id=stage, status="lost"))
    assert (True, {"status", "stageId"}) == (request.path.endswith("/status"), set(request.carries))
    acme.send(request)
    before = acme.connector.get(deal, payload).payload
    (request,) = acme.connector.update(deal, before, acme.change(stage_id=stages(acme, payload)[1]))
    assert request.path.endswith(f"/{deal}")
    acme.send(request)
    now = acme.connector.get(deal, payload).payload
    assert json.loads(before)["lastStatusChangeAt"] == json.loads(now)["lastStatusChangeAt"]


def test_a_create_is_posted_to_its_pipeline(writer: Make) -> None:
    """The pipeline is in the path only; the answer is the bare object."""
    acme = writer("onautomate")
    pipeline = next(iter(acme.crm.pipelines.values()))
    change = acme.change(
        name="New", pipeline_id=pipeline["id"], stage_id=pipeline["stages"][1]["id"], status="open",
        contact_email="bo@example.org", contact="Bo", amount=Decimal(5),
    )  # fmt: skip
    request = acme.connector.create(change)
    assert f"/v1/pipelines/{pipeline['id']}/opportunities/" == request.path
    assert set(change) == set(request.carries)
    (answer,) = acme.send(request)
    now = acme.crm.records[acme.connector.made(answer)]
    assert ("New", "Bo", pipeline["id"]) == (now["name"], now["contact"]["name"], now["pipelineId"])


def test_a_deal_is_not_moved_to_another_pipeline(writer: Make) -> None:
    """No request could do it, so none is described."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    with pytest.raises(UsageError, match="pipeline"):
        acme.connector.update(deal, payload, acme.change(pipeline_id="other"))


def test_a_second_deal_of_a_contact_is_refused(writer: Make) -> None:
    """One deal a contact and pipeline: 400, in whatever form."""
    acme = writer("onautomate", duplicate_body="v2")
    _, payload = deal_of(acme)
    read = json.loads(payload)
    change = acme.change(
        name="Twin", pipeline_id=read["pipelineId"], stage_id=stages(acme, payload)[0], status="open",
        contact_id=read["contact"]["id"],
    )  # fmt: skip
    refusal = acme.refused(acme.connector.create(change))
    assert {"": "Can not create duplicate opportunity for the contact."} == refusal.words
    acme.crm.options.duplicate_body = "plain"
    assert {"": "Bad Request"} == acme.refused(acme.connector.create(change)).words


def test_a_refusal_names_every_field(writer: Make) -> None:
    """422 is an object by field, a key with blanks in it among them."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    bare = {**json.loads(payload), "name": "", "pipelineStageId": "nowhere", "contact": {}}
    words = acme.refused(acme.connector.update(deal, json.dumps(bare).encode(), {"source": "x"})[0]).words
    assert {
        "title": "The title field is mandatory.",
        "contactId or email": "The contactId or email field is mandatory.",
        "stageId": "The stage id field is invalid.",
    } == words


def test_a_lost_create_is_found_among_the_newest_of_its_pipeline(writer: Make) -> None:
    """Newest first, so that the look ends at the first older one."""
    acme = writer("onautomate", rows=40)
    since = datetime.now(UTC) - timedelta(seconds=2)
    deal, payload = deal_of(acme)
    home = {"pipelineId": json.loads(payload)["pipelineId"]}
    assert [deal] == [record.id for record in acme.connector.created_since(since, home)]


@pytest.mark.parametrize("empty_body", ["string", "zero"])
def test_a_delete_answers_nothing(writer: Make, empty_body: str) -> None:
    """An empty JSON text or no bytes at all; a second one is refused like any unknown id."""
    acme = writer("onautomate", empty_body=empty_body)
    deal, payload = deal_of(acme)
    request = acme.connector.delete(deal, payload)
    acme.send(request)
    assert deal not in acme.crm.records
    acme.refused(request)
    acme.crm.options.missing_status = 404
    with pytest.raises(Gone):
        acme.connector.send(request)


def test_the_stamps_tell_another_hand(writer: Make) -> None:
    """A status that changed though we sent it as read, or a later write than ours; of a contact they tell nothing."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    change = acme.change(amount=Decimal(7))
    told = acme.connector.foreign

    (answer,) = acme.send(*acme.connector.update(deal, payload, change))
    now = acme.connector.get(deal, payload).payload
    assert told(payload, answer, now, change) is False
    assert told(payload, answer, now, {**change, "email": "x"}) is None

    acme.crm.update(deal, monetaryValue=8)
    assert told(payload, answer, acme.connector.get(deal, payload).payload, change) is True

    payload = acme.connector.get(deal, payload).payload
    acme.crm.update(deal, status="won")  # between our read and our write, which puts it back
    (answer,) = acme.send(*acme.connector.update(deal, payload, change))
    now = acme.connector.get(deal, payload).payload
    assert ("open", True) == (json.loads(now)["status"], told(payload, answer, now, change))


def test_an_error_with_200_may_have_been_applied(writer: Make) -> None:
    """{"msg": ...} under a 200 is a slip of the documentation, or of the CRM."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    acme.crm.faults.add("error_envelope", method="PUT", after=True)
    with pytest.raises(BadPayload) as caught:
        acme.connector.send(acme.connector.update(deal, payload, acme.change(name="New"))[0])
    assert not caught.value.unapplied
    assert "New" == acme.crm.records[deal]["name"]


def test_set_status_keeps_the_stage_it_is_not_given(writer: Make) -> None:
    """Both are sent, both are looked at."""
    acme = writer("onautomate")
    deal, payload = deal_of(acme)
    first, second, *_ = stages(acme, payload)
    acme.send(acme.connector.act("set_status", deal, {"status": "abandoned"}))
    assert ["abandoned", first] == acme.connector.look("set_status", deal, {"status": "abandoned"})
    acme.send(acme.connector.act("set_status", deal, {"status": "won", "stage_id": second}))
    assert ["won", second] == acme.connector.look("set_status", deal, {"status": "won", "stage_id": second})


def test_what_a_contacts_field_reaches_is_foreseen(writer: Make) -> None:
    """An e-mail is the contact's, in all of its deals; an amount is the deal's own."""
    acme = writer("onautomate")
    (words,) = acme.connector.foresees(b"{}", acme.change(contact_email="x@example.org", company="Y"))
    assert "companyName, email" in words
    assert [] == acme.connector.foresees(b"{}", acme.change(amount=Decimal(1), contact_id="c"))

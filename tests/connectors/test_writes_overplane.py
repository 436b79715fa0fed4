"""Overplane: PATCH, children one by one, and a server that makes fields of its own."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from onepipe.errors import UsageError
from onepipe.merge import steps

Make = Callable[..., Any]
LINES = [{"item_code": "SKU-1", "qty": 2, "rate": 50}, {"item_code": "SKU-2", "rate": 10}]


def lines_of(acme: Any, deal: str) -> list[dict[str, Any]]:
    """The line items as the push sees them."""
    items = acme.connector.writes.items
    rows: list[dict[str, Any]] = items.rows(acme.connector.ask(items.read, {"id": deal}))
    return rows


def test_an_update_is_a_patch_of_what_changes(writer: Make) -> None:
    """Names, statuses and percentages are the CRM's own; what is not sent stays."""
    acme = writer("overplane")
    deal = acme.crm.insert(title="Old", contact_email="kept@example.org")
    change = acme.change(
        name="New", amount=Decimal("1250.50"), probability=Decimal("0.333"), status="abandoned", stage="Qualification",
        expected_close_date=date(2025, 3, 1), company_id="customer_2", extra__territory="Nordics", lead_source=None,
    )  # fmt: skip
    (request,) = acme.connector.update(deal, b"{}", change)
    assert ("PATCH", set(change)) == (request.method, set(request.carries))
    acme.send(request)
    now = acme.crm.records[deal]
    numbers = {"opportunity_amount": Decimal("1250.5"), "probability": Decimal("33.3")}
    texts = {"title": "New", "status": "Closed", "sales_stage": "Qualification", "expected_closing": "2025-03-01"}
    expected = numbers | texts | {"territory": "Nordics", "utm_source": None}
    assert expected == {name: now[name] for name in expected}
    assert ("kept@example.org", acme.crm.parties["customer_2"]) == (now["contact_email"], now["customer_name"])


@pytest.mark.parametrize("create_status", [200, 201])
def test_a_create_tells_the_new_id(writer: Make, create_status: int) -> None:
    """With either status; line items are not carried and come as an update."""
    acme = writer("overplane", create_status=create_status)
    change = acme.change(
        name="New", company_id="customer_1", extra__opportunity_from="Customer", extra__company="Example Corp",
        extra__transaction_date="2025-01-31",
    )  # fmt: skip
    change["line_items"] = steps([], [{"name": "Licence", "quantity": Decimal(2), "unit_amount": Decimal("9.50")}])
    request = acme.connector.create(change)
    assert {"title", "party_name", "opportunity_from", "company", "transaction_date"} == set(request.carries)
    (answer,) = acme.send(request)
    made = acme.connector.made(answer)
    assert "New" == acme.crm.records[made]["title"]
    acme.send(*acme.connector.update(made, b"{}", {"line_items": change["line_items"]}))
    assert [("Licence", Decimal("19.0"))] == [(row["name"], row["amount"]) for row in lines_of(acme, made)]


def test_a_refusal_names_its_field(writer: Make) -> None:
    """The error object says which parameter, where it says anything."""
    acme = writer("overplane")
    request = acme.connector.create(acme.change(name="x", company_id="customer_1"))
    assert {"opportunity_from": "opportunity_from is required"} == acme.refused(request).words


def test_a_lost_create_is_found_among_the_newest(writer: Make) -> None:
    """Newest first, however the times are printed, so that the look ends at the first older one."""
    acme = writer("overplane", rows=30, timestamps="spaced")
    since = datetime.now(UTC) - timedelta(seconds=2)
    made = acme.crm.insert()
    assert [made] == [record.id for record in acme.connector.created_since(since, {})]
    assert 1 == len([seen for seen in acme.crm.log if seen.method == "GET"])


def test_a_delete_is_told_by_the_next_read(writer: Make) -> None:
    """For good, children too."""
    acme = writer("overplane")
    deal = acme.crm.insert()
    acme.send(acme.connector.delete(deal, b"{}"))
    assert deal not in acme.crm.records


def test_line_items_are_one_request_each(writer: Make) -> None:
    """Removed, changed and added rows; the amount is the CRM's to make; the opportunity's own fields go first."""
    acme = writer("overplane")
    deal = acme.crm.insert(items=LINES)
    first, second = lines_of(acme, deal)
    assert ("Annual licence", Decimal(2), Decimal(100)) == (first["name"], first["quantity"], first["amount"])
    wanted = [
        {**first, "quantity": Decimal(3), "amount": Decimal(150)},
        {"name": "Training", "quantity": Decimal(1), "unit_amount": Decimal("12.5"), "extra.item_code": "SKU-9"},
    ]
    change = {"title": "With lines", "line_items": steps([first, second], wanted)}
    requests = acme.connector.update(deal, b"{}", change)
    assert ["PATCH", "DELETE", "PATCH", "POST"] == [request.method for request in requests]
    assert [("title",), *[("line_items",)] * 3] == [request.carries for request in requests]
    assert {"qty": Decimal(3)} == requests[2].body
    acme.send(*requests)
    assert [("Annual licence", Decimal(150)), ("Training", Decimal("12.5"))] == [
        (row["name"], row["amount"]) for row in lines_of(acme, deal)
    ]
    assert second["item_id"] not in {row["item_id"] for row in lines_of(acme, deal)}
    assert "No such" in acme.refused(requests[1]).words[""]  # the row is gone, not the opportunity


def test_a_line_item_that_cannot_be_written_is_refused_first(writer: Make) -> None:
    """A column that is made of others, and one there is none of."""
    acme = writer("overplane")
    with pytest.raises(UsageError, match="amount"):
        acme.connector.update("a", b"{}", {"line_items": steps([{"item_id": "1"}], [{"item_id": "1", "amount": 5}])})
    with pytest.raises(UsageError, match="no colour"):
        acme.connector.update("a", b"{}", {"line_items": steps([], [{"colour": "red"}])})


def test_items_are_put_in_order(writer: Make) -> None:
    """All ids in the wanted order; others are refused in the CRM's words."""
    acme = writer("overplane")
    deal = acme.crm.insert(items=LINES)
    ids = [row["item_id"] for row in lines_of(acme, deal)][::-1]
    acme.send(acme.connector.act("reorder_items", deal, {"ids": ",".join(ids)}))
    assert ids == [row["item_id"] for row in lines_of(acme, deal)]
    assert ids == acme.connector.look("reorder_items", deal, {"ids": json.dumps(ids)})
    assert "ids" in acme.refused(acme.connector.act("reorder_items", deal, {"ids": ids[0]})).words


def test_lost_reasons_come_and_go(writer: Make) -> None:
    """Added, put in order, removed; each look tells its own."""
    acme = writer("overplane")
    deal = acme.crm.insert(lost_reasons=["Price"])
    look = acme.connector.look
    price = json.loads(acme.connector.lost_reasons(id=deal))[0]["id"]

    assert [] == look("add_lost_reason", deal, {"lost_reason": "Too late"})
    acme.send(acme.connector.act("add_lost_reason", deal, {"lost_reason": "Too late"}))
    (late,) = look("add_lost_reason", deal, {"lost_reason": "Too late"})

    ids = {"ids": f"{late},{price}"}
    acme.send(acme.connector.act("reorder_lost_reasons", deal, ids))
    assert [late, price] == look("reorder_lost_reasons", deal, ids)

    acme.send(acme.connector.act("remove_lost_reason", deal, {"reason_id": price}))
    assert [] == look("remove_lost_reason", deal, {"reason_id": price})
    assert ["Too late"] == [one["lost_reason"] for one in json.loads(acme.connector.lost_reasons(id=deal))]

"""Overplane as simulated: newest first, no filters, children apart, recomputed fields."""

from datetime import timedelta
from decimal import Decimal

import msgspec

LIST = "/api/crm/opportunity"
ITEM = "/api/crm/opportunity-item"
NEW = {
    "opportunity_from": "Customer",
    "party_name": "customer_1",
    "company": "Example Corp",
    "transaction_date": "2025-06-02",
}
exact = msgspec.json.Decoder(float_hook=Decimal).decode


def test_wrong_keys_are_401(at) -> None:
    """A bearer key is asked for."""
    _, client = at("overplane")
    assert client.get(LIST, headers={"Authorization": "Bearer sk_test_wrong"}).status_code == 401


def test_lists_are_newest_first_with_has_more_and_total(at) -> None:
    """20 a page by default, at most 100, empty past the end; unknown parameters change nothing."""
    crm, client = at("overplane", rows=120)
    one = client.get(LIST, params={"updated_after": "2030-01-01", "status": "Lost"}).json()
    assert (len(one["data"]), one["has_more"], one["total"]) == (20, True, 120)
    rows = [
        row for start in (0, 50, 100) for row in exact(client.get(f"{LIST}?limit=50&offset={start}").content)["data"]
    ]
    stamps = [row["created_at"] for row in rows]
    assert stamps == sorted(stamps, reverse=True)
    assert {row["id"]: row for row in rows} == dict(crm.records)
    assert len(client.get(LIST, params={"limit": 500}).json()["data"]) == 100
    end = client.get(LIST, params={"offset": 120}).json()
    assert (end["data"], end["has_more"], end["total"]) == ([], False, 120)
    crm.options.over_limit = "reject"
    assert client.get(LIST, params={"limit": 500}).json()["error"]["param"] == "limit"


def test_ties_may_be_shuffled(at) -> None:
    """Rows of one second change places between requests, others do not."""
    crm, client = at("overplane", rows=200)
    crm.options.shuffle_ties = True
    pages = [client.get(LIST, params={"limit": 100, "offset": 50}).json()["data"] for _ in range(6)]
    assert len({tuple(row["id"] for row in page) for page in pages}) > 1
    assert len({tuple(row["created_at"] for row in page) for page in pages}) == 1


def test_stamps_may_have_spaces(at) -> None:
    """Clean, spaced after each colon, or mixed."""
    crm, client = at("overplane")
    clean = crm.records[next(iter(crm.records))]["created_at"]
    crm.options.timestamps = "spaced"
    assert crm.records[next(iter(crm.records))]["created_at"] == clean.replace(":", ": ")
    crm.options.timestamps = "mixed"
    kinds = {": " in row["created_at"] for row in client.get(LIST, params={"limit": 40}).json()["data"]}
    assert kinds == {True, False}


def test_create_needs_four_fields_and_fills_the_rest(at) -> None:
    """Defaults, recomputed fields, 200 or 201; errors name the parameter."""
    crm, client = at("overplane")
    answer = client.post(LIST, json={**NEW, "customer_name": "ignored", "total": 5, "currency": "EUR"})
    made = answer.json()
    assert answer.status_code == 200
    assert (made["status"], made["sales_stage"], made["probability"]) == ("Open", "Prospecting", 100)
    assert made["title"] == made["customer_name"] == crm.parties["customer_1"]
    assert (made["total"], made["conversion_rate"], made["id"][:12]) == (0, 1.08, "opportunity_")
    for name in NEW:
        wrong = client.post(LIST, json={key: value for key, value in NEW.items() if key != name})
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (422, name)
    assert client.post(LIST, json={**NEW, "status": "Maybe"}).status_code == 422
    crm.options.create_status, crm.options.missing_required = 201, 400
    assert client.post(LIST, json=NEW).status_code == 201
    assert client.post(LIST, json={}).status_code == 400


def test_patch_is_partial_and_recomputes(at) -> None:
    """A new party brings its name; the base amount stays as sent unless switched."""
    crm, client = at("overplane")
    row_id = crm.insert(title="A", currency="EUR", opportunity_amount=100)
    later = crm.now() + timedelta(minutes=1)
    crm.clock = lambda: later
    row = client.patch(f"{LIST}/{row_id}", json={"party_name": "customer_2", "opportunity_amount": 200}).json()
    assert (row["title"], row["customer_name"]) == ("A", crm.parties["customer_2"])
    assert (row["base_opportunity_amount"], row["updated_at"]) == (0, "2025-06-02T12:01:00Z")
    crm.options.recompute_base_amount = True
    assert client.patch(f"{LIST}/{row_id}", json={}).json()["base_opportunity_amount"] == 216
    assert client.patch(f"{LIST}/nobody", json={}).status_code == 404


def test_delete_confirms_then_404(at) -> None:
    """Children go with their parent."""
    crm, client = at("overplane")
    row_id = crm.insert(items=[{"item_code": "SKU-1", "rate": 5}])
    assert client.delete(f"{LIST}/{row_id}").json() == {"id": row_id, "deleted": True}
    assert client.get(f"{LIST}/{row_id}").status_code == 404
    assert client.get(ITEM, params={"parent_id": row_id}).json()["data"] == []


def test_children_are_read_by_parent_only(at) -> None:
    """parent_id is required, there is no read by id, and rows carry opportunity_id and idx but no stamps."""
    crm, client = at("overplane")
    row_id = crm.insert(
        items=[{"item_code": "SKU-1", "rate": Decimal("0.10"), "qty": 3}], lost_reasons=["Price", "R&D"]
    )
    answer = exact(client.get(ITEM, params={"parent_id": row_id}).content)
    item = answer["data"][0]
    assert (answer["has_more"], answer["total"], item["idx"], item["opportunity_id"]) == (False, 1, 1, row_id)
    assert (item["item_name"], item["amount"], "created_at" in item) == ("Annual licence", Decimal("0.30"), False)
    reasons = client.get("/api/crm/opportunity-lost-reason-detail", params={"parent_id": row_id}).json()["data"]
    assert [(one["idx"], one["lost_reason"]) for one in reasons] == [(1, "Price"), (2, "R&D")]
    assert client.get(ITEM).json()["error"]["param"] == "parent_id"
    assert client.get(f"{ITEM}/{item['id']}").status_code == 405
    assert client.get("/api/crm/no-such-thing", params={"parent_id": row_id}).status_code == 404


def test_long_child_lists_have_pages_or_a_silent_cap(at) -> None:
    """23 items come in two pages; with a cap the rest is invisible and has_more says nothing."""
    crm, client = at("overplane")
    row_id = next(key for key, rows in crm.children["opportunity-item"].items() if len(rows) == 23)
    one = client.get(ITEM, params={"parent_id": row_id}).json()
    two = client.get(ITEM, params={"parent_id": row_id, "offset": 20}).json()
    assert (len(one["data"]), one["has_more"], len(two["data"]), two["has_more"]) == (20, True, 3, False)
    crm.options.child_cap = 20
    capped = client.get(ITEM, params={"parent_id": row_id, "limit": 100}).json()
    assert (len(capped["data"]), capped["has_more"], capped["total"]) == (20, False, 20)


def test_child_writes_move_totals_and_perhaps_the_stamp(at) -> None:
    """Create, change, reorder and delete; idx stays 1..n; the parent's stamp moves only if switched."""
    crm, client = at("overplane")
    row_id = crm.insert(updated_at="2025-01-01T00:00:00Z", currency="EUR")
    items = [
        client.post(ITEM, json={"opportunity_id": row_id, "item_code": f"X{number}", "rate": 10, "qty": number}).json()
        for number in (1, 2, 3)
    ]
    assert [item["idx"] for item in items] == [1, 2, 3]
    row = crm.records[row_id]
    assert (row["total"], row["base_total"], row["updated_at"]) == (60, Decimal("64.8"), "2025-01-01T00:00:00Z")
    changed = client.patch(f"{ITEM}/{items[0]['id']}", json={"rate": 20, "id": "x"}).json()
    assert (changed["amount"], changed["id"], crm.records[row_id]["total"]) == (20, items[0]["id"], 70)
    order = [items[2]["id"], items[0]["id"], items[1]["id"]]
    assert client.post(f"{ITEM}/reorder", json={"parent_id": row_id, "ids": order}).status_code == 200
    assert client.post(f"{ITEM}/reorder", json={"parent_id": row_id, "ids": order[:2]}).status_code == 400
    crm.options.child_bumps_parent = True
    assert client.delete(f"{ITEM}/{order[0]}").json() == {"id": order[0], "deleted": True}
    left = client.get(ITEM, params={"parent_id": row_id}).json()["data"]
    assert [(item["id"], item["idx"]) for item in left] == [(order[1], 1), (order[2], 2)]
    assert crm.records[row_id]["updated_at"] == "2025-06-02T12:00:00Z"
    assert client.post(ITEM, json={"opportunity_id": "nobody"}).status_code == 422
    assert client.post(ITEM, json={"opportunity_id": row_id, "qty": 0}).status_code == 422


def test_a_delete_between_pages_skips_a_row(at) -> None:
    """Offset paging over a live list: the dangerous case a client must notice."""
    crm, client = at("overplane")
    first = client.get(LIST, params={"limit": 10}).json()["data"]
    crm.faults.between(lambda: crm.delete(first[0]["id"]))
    seen = [
        row["id"] for start in range(0, 40, 10) for row in client.get(f"{LIST}?limit=10&offset={start}").json()["data"]
    ]
    assert len(set(crm.records) - set(seen)) == 1

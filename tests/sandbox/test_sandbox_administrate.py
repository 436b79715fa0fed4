"""Administrate as simulated: pages and filters, partial updates, transitions, quotes and mail."""

from datetime import timedelta
from decimal import Decimal

import httpx
import msgspec

LIST = "/api/v2.5/crm/opportunities"
exact = msgspec.json.Decoder(float_hook=Decimal).decode


def test_wrong_credentials_are_401(at) -> None:
    """Basic auth is asked for."""
    _, client = at("administrate")
    answer = client.get(LIST, auth=("a", "b"))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="Administrate"')


def test_lists_are_bare_arrays_with_counts_in_headers(at) -> None:
    """50 a page unless _limit says otherwise, 1-based pages, an empty one past the end."""
    crm, client = at("administrate", rows=60)
    answer = client.get(LIST)
    assert len(answer.json()) == 50
    counts = {name: int(answer.headers[f"X-Pagination-{name}"]) for name in ("Page", "Pages", "Per", "Total")}
    assert counts == {"Page": 1, "Pages": 2, "Per": 50, "Total": 60}
    last = client.get(LIST, params={"_page": 4, "_limit": 20}).json()
    assert last == []
    rows = [row for page in (1, 2, 3) for row in client.get(LIST, params={"_page": page, "_limit": 20}).json()]
    assert {row["id"] for row in rows} == set(crm.records)


def test_order_may_have_several_columns_and_a_dash(at) -> None:
    """Ascending by default, descending with a leading dash, the second column breaks ties."""
    _, client = at("administrate")
    rows = client.get(LIST, params={"_order": "-updated_at,id"}).json()
    keys = [(row["updated_at"], row["id"]) for row in rows]
    assert keys == sorted(sorted(keys, key=lambda key: key[1]), key=lambda key: key[0], reverse=True)
    assert len({stamp for stamp, _ in keys}) < len(keys)


def test_every_filter_suffix_does_what_it_says(at) -> None:
    """Thirteen operators, eq without a suffix, several ANDed, null never compares."""
    crm, client = at("administrate")
    rows = crm.records
    mid = sorted(row["updated_at"] for row in rows.values())[20]
    cases = {
        ("id", "7"): lambda row: row["id"] == 7,
        ("id__ne", "7"): lambda row: row["id"] != 7,
        ("id__in", "1,2,99"): lambda row: row["id"] in (1, 2),
        ("id__ni", "1,2"): lambda row: row["id"] not in (1, 2),
        ("updated_at__ge", mid): lambda row: row["updated_at"] >= mid,
        ("updated_at__gt", mid): lambda row: row["updated_at"] > mid,
        ("updated_at__le", mid): lambda row: row["updated_at"] <= mid,
        ("updated_at__lt", mid): lambda row: row["updated_at"] < mid,
        ("name__ct", "support"): lambda row: "support" in row["name"].lower(),
        ("name__sw", "Pilot"): lambda row: row["name"].startswith("Pilot"),
        ("name__ew", "seats"): lambda row: row["name"].endswith("seats"),
        ("name__lk", "%rollout"): lambda row: row["name"].endswith("rollout"),
        ("external_id__nl", "true"): lambda row: row["external_id"] is None,
        ("external_id__ne", "x"): lambda row: row["external_id"] is not None,
        ("user_id", "2"): lambda row: row["user"]["id"] == 2,
    }
    for (name, value), passes in cases.items():
        found = {row["id"] for row in client.get(LIST, params={name: value}).json()}
        assert found == {key for key, row in rows.items() if passes(row)}, name
    both = client.get(LIST, params={"id__gt": 5, "id__lt": 8}).json()
    assert [row["id"] for row in both] == [6, 7]


def test_an_unknown_filter_is_ignored_or_refused(at) -> None:
    """v2 spellings do nothing by default; the option turns them into 400; a raw plus spoils a stamp."""
    crm, client = at("administrate")
    assert len(client.get(LIST, params={"updated_at__gte": "2030-01-01T00:00:00Z"}).json()) == 40
    crm.options.unknown_filter = "reject"
    assert client.get(LIST, params={"updated_at__gte": "2030-01-01T00:00:00Z"}).status_code == 400
    assert client.get(crm.url + LIST + "?updated_at__ge=2020-01-01T00:00:00+00:00").status_code == 400


def test_the_record_is_what_records_says(at) -> None:
    """By-id read, list row and records agree; money is exact; embedded steps have null numbers."""
    crm, client = at("administrate")
    listed = {row["id"]: row for row in exact(client.get(LIST, params={"_limit": 100}).content)}
    assert listed == dict(crm.records)
    assert exact(client.get(f"{LIST}/3").content) == crm.records[3]
    assert Decimal("12345678901234.5678") in {row["value"] for row in listed.values()}
    assert (None, []) == (listed[3]["step"]["probability"], listed[3]["step"]["attributes"])
    assert client.get(f"{LIST}/999").status_code == 404


def test_age_drifts_without_a_write(at) -> None:
    """A day later age is one more and updated_at the same."""
    crm, _ = at("administrate")
    before, now = crm.records[5], crm.now()
    crm.clock = lambda: now + timedelta(days=1)
    after = crm.records[5]
    assert (after["age"] - before["age"], after["updated_at"]) == (1, before["updated_at"])


def test_reference_data_can_be_read(at) -> None:
    """Steps with transitions and probability, document templates."""
    _, client = at("administrate")
    steps = client.get("/api/v2.5/crm/opportunity_steps").json()
    assert [step["probability"] for step in steps] == [10, 25, 50, 75, 100, 0]
    assert {step["stage"]["status"] for step in steps} == {"Open", "Won", "Lost"}
    assert client.get("/api/v2.5/crm/opportunity_steps/4").json()["transitions"][0]["triggers"]["create_invoice"]
    assert client.get("/api/v2.5/crm/opportunity_steps/44").status_code == 404
    assert client.get("/api/v2.5/system/document_templates/1").json()["name"] == "MergeTemplate"
    assert len(client.get("/api/v2.5/system/document_templates").json()) == 2


def test_create_answers_200_with_the_whole_object(at) -> None:
    """Relations are given as {id} and come back named; unknown ones and a missing name are 400."""
    crm, client = at("administrate")
    relations = {"company": 1, "currency": "GBP", "step": 1, "user": 1, "region": "SCO", "source_type": 1}
    body = {"name": "New"} | {name: {"id": key} for name, key in relations.items()}
    answer = client.post(LIST, json=body)
    made = answer.json()
    assert (answer.status_code, made["region"]["name"], made["currency"]) == (200, "Scotland", {"id": "GBP"})
    assert exact(answer.content) == crm.records[made["id"]]
    assert (made["interests"], made["updated_at"]) == ([], "2025-06-02T12:00:00Z")
    assert client.post(LIST, json={}).status_code == 400
    assert client.post(LIST, json={"name": "x", "company": {"id": 9999}}).status_code == 400
    assert client.post(LIST, content=b"{").status_code == 400


def test_put_is_partial_and_bumps_the_stamp(at) -> None:
    """What is not sent stays; read-only fields are ignored."""
    crm, client = at("administrate")
    before = crm.records[4]
    answer = client.put(
        f"{LIST}/4", json={"name": "Renamed", "value": 1, "age": 5, "created_at": "1999-01-01T00:00:00Z"}
    )
    changed = {key for key, value in exact(answer.content).items() if value != before[key]}
    assert (answer.status_code, changed) == (200, {"name", "updated_at"})
    assert client.put(f"{LIST}/4", json={"closing_date": None}).json()["closing_date"] is None
    assert client.put(f"{LIST}/4", json={"name": ""}).status_code == 400
    assert client.put(f"{LIST}/999", json={}).status_code == 404


def test_children_without_ids_append_or_replace(at) -> None:
    """An interest gets its defaults, a document its body from the template; with an id it is changed in place."""
    crm, client = at("administrate")
    row_id = crm.insert(name="Empty")
    stamp = crm.records[row_id]["updated_at"]
    now = crm.now()
    crm.clock = lambda: now + timedelta(minutes=1)
    interest = {
        "event": {"id": 1},
        "price": 525,
        "quantity": 2,
        "delegates": [{"first_name": "John", "last_name": "S"}],
    }
    one = client.put(f"{LIST}/{row_id}", json={"interests": [interest]}).json()
    made = one["interests"][0]
    assert (one["value"], made["is_taxable"], made["is_reserved"], made["delegates"][0]["contact"]) == (
        1050,
        True,
        False,
        None,
    )
    assert one["updated_at"] == stamp
    two = client.put(
        f"{LIST}/{row_id}", json={"interests": [{"event": {"id": 2}}, {"id": made["id"], "price": 1}]}
    ).json()
    assert ([1, None], 2) == ([interest["price"] for interest in two["interests"]], two["value"])
    crm.options.nested, crm.options.child_bumps_parent = "replace", True
    three = client.put(f"{LIST}/{row_id}", json={"interests": [{"event": {"id": 2}}]}).json()
    assert (len(three["interests"]), three["updated_at"] > stamp) == (1, True)
    document = {"document_template": {"id": 1}, "name": "Test", "user": {"id": 1}}
    company = crm.records[row_id]["company"]["name"].replace("&", "&amp;")
    answer = client.put(f"{LIST}/{row_id}", json={"documents": [document]})
    assert answer.json()["documents"][0]["body"] == f"{company} is great!"
    assert client.put(f"{LIST}/{row_id}", json={"documents": [{"document_template": {"id": 99}}]}).status_code == 400


def test_moving_follows_transitions_and_fires_triggers(at) -> None:
    """An illegal move and unmet requirements are 400; winning creates invoice, registration, account, contact."""
    crm, client = at("administrate")
    row_id = crm.insert(name="Mover", step={"id": 3})
    assert client.put(f"{LIST}/{row_id}", json={"step": {"id": 5}}).status_code == 400
    assert client.put(f"{LIST}/{row_id}", json={"step": {"id": 4}}).json()["step"]["name"] == "Negotiation"
    assert client.put(f"{LIST}/{row_id}", json={"step": {"id": 5}}).status_code == 400
    won = client.put(f"{LIST}/{row_id}", json={"step": {"id": 5}, "currency": {"id": "EUR"}}).json()
    assert won["step"]["stage"]["status"] == "Won"
    assert all(won[name]["id"] for name in ("invoice", "registration", "account", "contact"))
    crm.options.check_transitions = False
    assert client.put(f"{LIST}/{row_id}", json={"step": {"id": 1}}).status_code == 200


def test_delete_answers_with_the_body_and_then_404(at) -> None:
    """The deleted object looks exactly like a read."""
    crm, client = at("administrate")
    before = crm.records[6]
    answer = client.delete(f"{LIST}/6")
    assert (answer.status_code, exact(answer.content)) == (200, before)
    assert client.get(f"{LIST}/6").status_code == 404
    assert 6 not in crm.records


def test_quotes_freeze_interests_and_have_a_pdf(at) -> None:
    """Each call makes another quote; its PDF is found by the quote's id."""
    crm, client = at("administrate")
    row_id = crm.insert(name="Quoted", interests=[{"event": {"id": 1}, "price": Decimal("1050.0"), "quantity": 1}])
    before = len(crm.records[row_id]["quotes"])
    told = client.post(f"{LIST}/{row_id}/generate_quote", json={"expires_at": "2026-10-01"}).json()
    client.post(f"{LIST}/{row_id}/generate_quote")
    assert (told["quote"]["value"], len(crm.records[row_id]["quotes"])) == (1050.0, before + 2)
    quote = crm.records[row_id]["quotes"][0]
    assert "delegates" not in quote["interests"][0]
    pdf = client.get(httpx.URL(told["quote"]["pdf_url"]).path.removeprefix("/administrate"))
    assert (pdf.headers["content-type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    assert client.get(f"{LIST}/quotes/99999/render_pdf").status_code == 404
    assert client.post(f"{LIST}/{row_id}/generate_quote", json={"expires_at": "soon"}).status_code == 400


def test_mail_needs_an_owner_and_a_contact(at) -> None:
    """The reply lists attachments with their types; without a contact it is 400."""
    crm, client = at("administrate")
    row_id = crm.insert(name="Mailed", contact={"id": 1}, documents=[{"document_template": {"id": 2}}])
    document = crm.records[row_id]["documents"][0]["id"]
    body = {"subject": "S", "body_document_template_id": 2, "document_attachments": [{"id": document, "name": "D"}]}
    told = client.post(f"{LIST}/{row_id}/send_email", json=body).json()
    assert told["email"]["attachments"] == [{"id": document, "name": "D", "type": "opportunity_document"}]
    assert (told["message"], len(crm.emails)) == ("Email scheduled successfully", 1)
    assert client.post(f"{LIST}/{row_id}/send_email", json={"subject": "S"}).status_code == 400
    crm.update(row_id, contact=None)
    assert client.post(f"{LIST}/{row_id}/send_email", json=body).status_code == 400


def test_too_many_requests_are_429_without_a_hint(at) -> None:
    """The limit is per window of the CRM's clock; Retry-After only if switched on."""
    crm, client = at("administrate")
    crm.options.rate_limit = 2
    answers = [client.get(LIST) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" not in answers[2].headers
    now = crm.now()
    crm.clock = lambda: now + timedelta(seconds=301)
    assert client.get(LIST).status_code == 200


def test_a_user_may_edit_with_or_without_a_new_stamp(at) -> None:
    """silently keeps updated_at, a given stamp wins, an unknown field is an error."""
    crm, _ = at("administrate")
    before = crm.records[8]["updated_at"]
    crm.update(8, silently=True, name="quiet")
    assert (crm.records[8]["updated_at"], crm.records[8]["name"]) == (before, "quiet")
    crm.update(8, name="late", updated_at="2025-01-01T00:00:00Z")
    assert crm.records[8]["updated_at"] == "2025-01-01T00:00:00Z"
    crm.update(8, name="now")
    assert crm.records[8]["updated_at"] == "2025-06-02T12:00:00Z"

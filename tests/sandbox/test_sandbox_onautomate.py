"""OnAutomate as simulated: pipelines, two paging styles, contacts found or made, and errors keyed by field."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

exact = msgspec.json.Decoder(float_hook=Decimal).decode


def first_pipeline(crm) -> tuple[str, str]:
    """Id and list path of the first pipeline."""
    pipeline = next(iter(crm.pipelines))
    return pipeline, f"/v1/pipelines/{pipeline}/opportunities"


def test_wrong_keys_are_401(at) -> None:
    """{"msg": "Unauthorized"}."""
    crm, client = at("onautomate")
    answer = client.get("/v1/pipelines", headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.json()) == (401, {"msg": "Unauthorized"})
    assert client.get(first_pipeline(crm)[1] + "/").status_code == 200


def test_pipelines_partition_the_rows(at) -> None:
    """Reading every pipeline gives every record, once, as records says; one pipeline is empty."""
    crm, client = at("onautomate")
    pipelines = client.get("/v1/pipelines/").json()["pipelines"]
    found = {}
    for pipeline in pipelines:
        rows = exact(client.get(f"/v1/pipelines/{pipeline['id']}/opportunities?limit=100").content)["opportunities"]
        assert not found.keys() & {row["id"] for row in rows}
        assert all(row["pipelineStageId"] in [stage["id"] for stage in pipeline["stages"]] for row in rows)
        found |= {row["id"]: row for row in rows}
    assert found == dict(crm.records)
    assert any(row["monetaryValue"] == Decimal("12345678901234.5678") for row in found.values())
    empty = client.get(f"/v1/pipelines/{pipelines[-1]['id']}/opportunities").json()
    assert (empty["opportunities"], empty["meta"]["total"], empty["meta"]["startAfter"]) == ([], 0, None)
    assert client.get("/v1/pipelines/nowhere/opportunities").status_code == 400


def test_page_numbers_and_meta(at) -> None:
    """20 a page, at most 100; newest created first; nextPage is "" and nextPageUrl still there on the last page."""
    crm, client = at("onautomate", rows=120)
    pipeline, path = first_pipeline(crm)
    total = sum(row["pipelineId"] == pipeline for row in crm.records.values())
    one = client.get(path, params={"status": "", "query": ""}).json()
    assert (len(one["opportunities"]), one["meta"]["total"], one["meta"]["prevPage"]) == (20, total, None)
    assert (one["meta"]["currentPage"], one["meta"]["nextPage"]) == (1, 2)
    stamps = [row["createdAt"] for row in client.get(path, params={"limit": 500}).json()["opportunities"]]
    assert stamps == sorted(stamps, reverse=True)
    assert len(stamps) == min(total, 100)
    last = client.get(path, params={"page": -(-total // 20)}).json()["meta"]
    assert last["nextPage"] == ""
    assert last["nextPageUrl"].startswith(f"{crm.url}{path}?startAfter=")
    assert "limit" not in last["nextPageUrl"]
    crm.options.next_page_url = "until_end"
    last = client.get(path, params={"page": -(-total // 20)}).json()["meta"]
    assert (last["nextPage"], last["nextPageUrl"], bool(last["startAfterId"])) == (None, None, True)


@pytest.mark.parametrize("cursor_id", ["contact", "opportunity"])
def test_the_cursor_does_not_shift(at, cursor_id) -> None:
    """Rows made, changed or deleted between two pages make the cursor neither skip nor repeat an old row."""
    crm, client = at("onautomate", rows=80)
    crm.options.cursor_id = cursor_id
    pipeline, path = first_pipeline(crm)
    old = {key for key, row in crm.records.items() if row["pipelineId"] == pipeline}
    seen: list[str] = []
    query: dict[str, object] = {}
    gone = ""
    while True:
        page = client.get(path, params={"limit": 7, **query}).json()
        if not page["opportunities"]:
            break
        seen += [row["id"] for row in page["opportunities"]]
        if not gone:
            gone = seen[-1]
            crm.delete(gone)
            crm.insert(pipelineId=pipeline, name="new")
        query = {key: page["meta"][key] for key in ("startAfter", "startAfterId")}
    assert len(seen) == len(set(seen))
    assert set(seen) == old


def test_filters(at) -> None:
    """stageId, status, assignedTo, query, dates in epoch ms; monetaryValue does nothing; a bad date is no filter."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    rows = {key: row for key, row in crm.records.items() if row["pipelineId"] == pipeline}
    some = next(row for row in rows.values() if row["assignedTo"] and row["contact"]["email"])
    moment = datetime.fromisoformat(some["createdAt"])
    epoch = str(round(moment.timestamp() * 1000))
    cases = {
        ("stageId", some["pipelineStageId"]): lambda row: row["pipelineStageId"] == some["pipelineStageId"],
        ("assignedTo", some["assignedTo"]): lambda row: row["assignedTo"] == some["assignedTo"],
        ("status", "won"): lambda row: row["status"] == "won",
        ("query", some["contact"]["email"].upper()): lambda row: row["contact"]["email"] == some["contact"]["email"],
        ("startDate", epoch): lambda row: row["createdAt"] >= some["createdAt"],
        ("endDate", epoch): lambda row: row["createdAt"] <= some["createdAt"],
        ("monetaryValue", "5"): bool,
        ("startDate", "2025-01-01"): bool,
        ("updatedAfter", epoch): bool,
    }
    for (name, value), passes in cases.items():
        found = client.get(path, params={name: value, "limit": 100}).json()["opportunities"]
        assert {row["id"] for row in found} == {key for key, row in rows.items() if passes(row)}, name
    crm.options.bad_date = "reject"
    assert client.get(path, params={"startDate": "2025-01-01"}).status_code == 400


def test_by_id_needs_the_right_pipeline(at) -> None:
    """No wrapper; unknown ids and ids of another pipeline are refused alike, with 400 or, switched, 404."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    inside = next(key for key, row in crm.records.items() if row["pipelineId"] == pipeline)
    outside = next(key for key, row in crm.records.items() if row["pipelineId"] != pipeline)
    assert exact(client.get(f"{path}/{inside}").content) == crm.records[inside]
    refused = [client.get(f"{path}/{row_id}") for row_id in (outside, "nobody")]
    assert [(one.status_code, one.json()) for one in refused] == [(400, {"msg": "Bad Request"})] * 2
    crm.options.missing_status = 404
    assert client.get(f"{path}/nobody").status_code == 404


def test_create_finds_or_makes_the_contact(at) -> None:
    """By id, e-mail, phone, else new; one opportunity per contact and pipeline unless duplicates are allowed."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    stage = crm.pipelines[pipeline]["stages"][1]["id"]
    body = {
        "title": "Deal",
        "stageId": stage,
        "status": "open",
        "email": "elon@example.org",
        "name": "Elon",
        "tags": ["a"],
    }
    answer = client.post(f"{path}/", json={**body, "monetaryValue": 122.22, "source": "public api"})
    made = answer.json()
    assert (answer.status_code, made["name"], made["contact"]["name"], made["monetaryValue"]) == (
        200,
        "Deal",
        "Elon",
        122.22,
    )
    assert (made["pipelineStageId"], made["createdAt"]) == (stage, "2025-06-02T12:00:00.000Z")
    twin = client.post(f"{path}/", json=body)
    assert (twin.status_code, twin.json()) == (400, {"msg": "Bad Request"})
    crm.options.duplicate_body = "v2"
    assert client.post(f"{path}/", json=body).json()["meta"] == {"existingId": made["id"]}
    crm.options.allow_duplicates = True
    again = client.post(f"{path}/", json={**body, "email": "ELON@example.org", "name": "Mr Elon"}).json()
    assert again["contact"]["id"] == made["contact"]["id"]
    assert crm.records[made["id"]]["contact"]["name"] == "Mr Elon"


def test_missing_fields_are_422_keyed_by_field(at) -> None:
    """All failing fields at once, one key with spaces; a stage of another pipeline is invalid."""
    crm, client = at("onautomate")
    _, path = first_pipeline(crm)
    answer = client.post(f"{path}/", json={})
    assert (answer.status_code, set(answer.json())) == (422, {"title", "status", "stageId", "contactId or email"})
    assert answer.json()["stageId"] == {"message": "The stage id field is mandatory.", "rule": "required"}
    other = list(crm.pipelines.values())[1]["stages"][0]["id"]
    body = {"title": "x", "status": "maybe", "stageId": other, "phone": "+1"}
    rules = {key: value["rule"] for key, value in client.post(f"{path}/", json=body).json().items()}
    assert rules == {"status": "invalid", "stageId": "invalid"}


def test_put_wants_the_whole_form_and_name_is_the_contacts(at) -> None:
    """title renames the deal, name the contact; the other fields are a patch; a status change has its own stamp."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    row_id = crm.insert(pipelineId=pipeline, name="A", source="form", updatedAt="2025-01-01T00:00:00Z")
    crm.update(row_id, silently=True, lastStatusChangeAt="2025-01-01T00:00:00Z")
    before = crm.records[row_id]
    form = {"title": "B", "status": "open", "stageId": before["pipelineStageId"], "contactId": before["contact"]["id"]}
    after = client.put(f"{path}/{row_id}", json={**form, "name": "Renamed Contact"}).json()
    assert (after["name"], after["contact"]["name"], after["source"]) == ("B", "Renamed Contact", "form")
    assert (after["updatedAt"], after["lastStatusChangeAt"]) == ("2025-06-02T12:00:00.000Z", "2025-01-01T00:00:00.000Z")
    won = client.put(f"{path}/{row_id}", json={**form, "status": "won"}).json()
    assert won["lastStatusChangeAt"] == "2025-06-02T12:00:00.000Z"
    assert client.put(f"{path}/{row_id}", json={"title": "B", "status": "open"}).status_code == 422
    crm.options.put_rule = "lenient"
    assert client.put(f"{path}/{row_id}", json={"title": "C", "status": "open"}).json()["name"] == "C"


def test_status_and_delete_answer_with_nothing(at) -> None:
    """`""` or no bytes; a second delete is refused."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    row_id = crm.insert(pipelineId=pipeline)
    stage = crm.pipelines[pipeline]["stages"][2]["id"]
    answer = client.put(f"{path}/{row_id}/status", json={"status": "lost", "stageId": stage})
    assert (answer.status_code, answer.content, crm.records[row_id]["status"]) == (200, b'""', "lost")
    assert client.put(f"{path}/{row_id}/status", json={"stageId": stage}).status_code == 422
    crm.options.empty_body = "zero"
    assert [client.delete(f"{path}/{row_id}").status_code for _ in range(2)] == [200, 400]


def test_lists_may_lag_behind(at) -> None:
    """With an index lag a list shows the old row, and no new one, until the lag is over; by id it is seen at once."""
    crm, client = at("onautomate")
    pipeline, path = first_pipeline(crm)
    row_id = next(key for key, row in crm.records.items() if row["pipelineId"] == pipeline)
    crm.options.index_lag_seconds = 5
    old = crm.records[row_id]["name"]
    crm.update(row_id, name="fresh")
    new = crm.insert(pipelineId=pipeline, name="newborn")

    def listed() -> dict[str, str]:
        rows = client.get(path, params={"limit": 100}).json()["opportunities"]
        return {row["id"]: row["name"] for row in rows}

    assert (listed()[row_id], new in listed()) == (old, False)
    assert client.get(f"{path}/{row_id}").json()["name"] == "fresh"
    now = crm.now()
    crm.clock = lambda: now + timedelta(seconds=6)
    assert (listed()[row_id], listed()[new]) == ("fresh", "newborn")


def test_a_user_moves_rows_and_edits_contacts(at) -> None:
    """Another pipeline keeps the id; a contact edit leaves updatedAt alone unless switched."""
    crm, client = at("onautomate")
    first, second = list(crm.pipelines)[:2]
    row_id = crm.insert(pipelineId=first, createdAt=datetime(2025, 1, 1, tzinfo=UTC), updatedAt="2025-01-01T00:00:00Z")
    crm.update(row_id, silently=True, pipelineId=second)
    assert client.get(f"/v1/pipelines/{first}/opportunities/{row_id}").status_code == 400
    assert client.get(f"/v1/pipelines/{second}/opportunities/{row_id}").status_code == 200
    crm.update(row_id, contact={"email": "new@example.org"})
    assert crm.records[row_id]["updatedAt"] == "2025-01-01T00:00:00.000Z"
    crm.options.contact_edit_bumps = True
    crm.update(row_id, contact={"email": "newer@example.org"})
    assert crm.records[row_id]["updatedAt"] == "2025-06-02T12:00:00.000Z"


def test_rate_limit_headers(at) -> None:
    """Five headers on success, 429 past the limit."""
    crm, client = at("onautomate")
    crm.options.rate_limit = 1
    answer = client.get("/v1/pipelines")
    assert (answer.headers["x-ratelimit-max"], answer.headers["x-ratelimit-remaining"]) == ("1", "0")
    assert client.get("/v1/pipelines").status_code == 429

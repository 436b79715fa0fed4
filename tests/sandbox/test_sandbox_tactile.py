"""Tactile as simulated, in both eras: lists, filters in London time, saving, and errors with 200."""

from datetime import UTC, datetime, timedelta

import httpx

LIST = "/opportunities"


def test_who_may_read(at) -> None:
    """No token: the login page; a wrong one: a JSON error; both 200. Suspended: a redirect."""
    crm, client = at("tactile")
    with httpx.Client(base_url=crm.url) as stranger:
        page = stranger.get(LIST)
        assert (page.status_code, "<html" in page.text) == (200, True)
        wrong = stranger.get(LIST, params={"api_token": "0" * 40})
    assert (wrong.status_code, wrong.text) == (200, '{"status":"error", "messages": {"403":"Failed to login"}}')
    assert "<html" in client.get("/opportunities/delete/1001").text
    assert "<html" in client.get("/opportunities/list_all").text
    crm.options.suspended = True
    answer = client.get(LIST)
    assert (answer.status_code, answer.headers["location"]) == (302, f"{crm.url}/suspension")


def test_pages_have_counters(at) -> None:
    """30 a page, 1..100 allowed, anything else is 30 again; past the end empty; page 0 is no JSON."""
    crm, client = at("tactile", rows=130)
    total = sum(not row["archived"] for row in crm.records.values())
    body = client.get(LIST).json()
    counters = (body["cur_page"], body["num_pages"], body["per_page"], body["total"], len(body["opportunities"]))
    assert counters == (1, -(-total // 30), 30, total, 30)
    sizes = {
        limit: client.get(LIST, params={"limit": limit}).json()["per_page"] for limit in ("100", "101", "0", "-5", "x")
    }
    assert sizes == {"100": 100, "101": 30, "0": 30, "-5": 30, "x": 30}
    beyond = client.get(LIST, params={"page": 99}).json()
    assert (beyond["opportunities"], beyond["cur_page"], beyond["total"]) == ([], 99, total)
    broken = client.get(LIST, params={"page": 0})
    assert (broken.status_code, "<html" in broken.text) == (500, True)
    assert client.get("/opportunities/1001").json()["total"] == total


def test_what_a_list_holds_depends_on_the_era(at) -> None:
    """doc: unarchived rows; head: open and unarchived ones, with tags, sites and spellings of its own."""
    crm, client = at("tactile", rows=90)
    doc = client.get(LIST, params={"limit": 100}).json()["opportunities"]
    assert {row["id"] for row in doc} == {key for key, row in crm.records.items() if not row["archived"]}
    crm.options.use_era("head")
    head = client.get(LIST, params={"limit": 100}).json()["opportunities"]
    assert 0 < len(head) < len(doc)
    assert not {row["status"] for row in head} & {"Won", "Lost", None}
    assert all(row["owner"].endswith("//sandbox") and row["created"][-5] == "+" for row in head)
    assert any("tags" not in row for row in head)
    assert any(row.get("tags") for row in head)
    labels = [definition["name"] for definition in head[0]["custom_fields"]]
    assert labels == ["Region", "Region"]
    everything = client.get("/opportunities/list_all").json()["opportunities"]
    assert {row["id"] for row in everything} == {str(key) for key in crm.records}
    assert set(everything[0]) == {
        *("id", "name", "organisation_id", "organisation", "person_id", "person", "lastupdated", "archived"),
    }


def test_lists_are_ordered_by_name_and_ties_can_be_permuted(at) -> None:
    """Case-insensitive by name; another tie_seed changes only the order of equal names."""
    crm, client = at("tactile", rows=100)
    first = client.get(LIST, params={"limit": 100}).json()["opportunities"]
    names = [row["name"].casefold() for row in first]
    assert names == sorted(names)
    crm.options.tie_seed = 5
    second = client.get(LIST, params={"limit": 100}).json()["opportunities"]
    assert [row["name"].casefold() for row in second] == names
    assert [row["id"] for row in second] != [row["id"] for row in first]


def test_sibling_lists(at) -> None:
    """mine: assigned to the token's user; recently won or lost: sixty days, newest first."""
    crm, client = at("tactile", rows=100)
    rows = crm.records.values()
    mine = client.get("/opportunities/mine", params={"limit": 100}).json()["opportunities"]
    assert {row["id"] for row in mine} == {
        row["id"] for row in rows if row["assigned_to"] == crm.user and not row["archived"]
    }
    for action, status in (("recently_won", "Won"), ("recently_lost", "Lost")):
        found = client.get(f"/opportunities/{action}", params={"limit": 100}).json()["opportunities"]
        stamps = [row["lastupdated"] for row in found]
        assert stamps == sorted(stamps, reverse=True)
        assert {row["status"] for row in found} <= {status}


def test_filters_are_strict_and_read_in_london(at) -> None:
    """updated_after is > on whole seconds; dates, ISO stamps, @epoch, -N days are read; rubbish is an error."""
    crm, client = at("tactile")
    row_id = crm.insert(name="summer", lastupdated=datetime(2025, 6, 1, 10, 0, tzinfo=UTC))
    assert crm.records[row_id]["lastupdated"] == "2025-06-01T11:00:00+01:00"

    def found(**query: str) -> bool:
        rows = client.get(LIST, params={"limit": 100, **query}).json()["opportunities"]
        return row_id in [row["id"] for row in rows]

    assert found(updated_after="2025-06-01T09:59:59Z")
    assert not found(updated_after="2025-06-01T10:00:00Z")
    assert found(updated_after="2025-06-01 10:59:59")
    assert found(updated_after="2025-06-01T10:59:59+01:00")
    assert found(updated_after="@1748772000") is False
    assert found(updated_after="-2 days", updated_before="2025-06-01T10:00:01Z")
    assert not found(updated_before="2025-06-01T10:00:00Z")
    assert found(updated_after="")
    assert found(updated_after="0")
    for wrong in ("rubbish", "2025-06-01T10:00:00 01:00"):
        body = client.get(LIST, params={"updated_after": wrong}).json()
        assert (body["status"], body["messages"]) == ("error", ["Invalid Date Value for updated_after"])
    assert found(name="sum*", created_after="2025-06-01")
    assert not found(organisation_id="9001")


def test_the_repeated_autumn_hour_sorts_before(at) -> None:
    """01:10 UTC stores an earlier wall time than 00:50 UTC on the night the clocks go back."""
    crm, _ = at("tactile")
    early = crm.insert(name="a", lastupdated=datetime(2025, 10, 26, 0, 50, tzinfo=UTC))
    late = crm.insert(name="b", lastupdated=datetime(2025, 10, 26, 1, 10, tzinfo=UTC))
    assert crm.records[early]["lastupdated"] == "2025-10-26T01:50:00+01:00"
    assert crm.records[late]["lastupdated"] == "2025-10-26T01:10:00+01:00"


def test_stamps_are_rounded_to_the_second(at) -> None:
    """Half a second and more lies in the future."""
    crm, _ = at("tactile")
    row_id = crm.insert(name="a", lastupdated=datetime(2025, 1, 1, 0, 0, 0, 600_000, tzinfo=UTC))
    assert crm.records[row_id]["lastupdated"] == "2025-01-01T00:00:01+00:00"


def test_view_shows_closed_and_archived_rows(at) -> None:
    """Any row by id; unknown or hidden ids are errors with 200."""
    crm, client = at("tactile")
    archived = next(key for key, row in crm.records.items() if row["archived"])
    assert client.get(f"/opportunities/view/{archived}").json()["opportunity"] == crm.records[archived]
    assert client.get("/opportunities/view", params={"id": archived}).json()["status"] == "success"
    assert client.get("/opportunities/view/999999").json()["messages"] == ["Invalid id specified"]
    crm.options.hidden_ids = {archived}
    crm.options.messages = "object"
    told = client.get(f"/opportunities/view/{archived}").json()["messages"]
    assert told == {"_0": "You don't have permission to view that Opportunity"}


def test_texts_and_numbers_look_like_php_made_them(at) -> None:
    """Slashes and non-ASCII letters are escaped, whole costs have no fraction, odd probabilities are null."""
    crm, client = at("tactile")
    row_id = crm.insert(name="a/b 世界 🚀", cost="99.50", probability=37, type="R&D")
    answer = client.get(f"/opportunities/view/{row_id}")
    assert rb"a\/b \u4e16\u754c \ud83d\ude80" in answer.content
    assert b'"cost":99.50,' in answer.content
    shown = answer.json()["opportunity"]
    assert (shown["name"], shown["probability"], shown["type"]) == ("a/b 世界 🚀", None, "R&amp;D")
    crm.update(row_id, cost=100000)
    assert b'"cost":100000,' in client.get(f"/opportunities/view/{row_id}").content


def test_options_are_filled_or_empty(at) -> None:
    """The doc era gives names by id; the later one four empty maps."""
    crm, client = at("tactile")
    told = client.get("/opportunities/options").json()["opportunity_options"]
    assert (told["status"]["5"], told["assigned_to"]["paul"]) == ("Won", "paul")
    crm.options.options_filled = False
    assert client.get("/opportunities/options").json()["opportunity_options"]["status"] == {}


def test_the_timeline_has_notes_and_repeated_keys(at) -> None:
    """Newest first; the doc era repeats two keys, the last of which counts."""
    crm, client = at("tactile")
    row_id = crm.insert(name="noted")
    for title in ("one", "two"):
        body = {"Note": {"title": title, "note": "x", "opportunity_id": row_id}}
        assert client.post("/notes/save", json=body).json()["status"] == "success"
    answer = client.get("/opportunities/timeline", params={"id": row_id})
    notes = [item["note"] for item in answer.json()["timeline"]]
    assert [(note["title"], note["opportunity_id"]) for note in notes] == [("two", row_id), ("one", row_id)]
    assert b'"opportunity":null,"opportunity":"noted"' in answer.content
    crm.options.use_era("head")
    inner = client.get(f"/opportunities/timeline/{row_id}").json()["timeline"][0]["note"]
    assert (inner["id"], inner["created"]) == (str(notes[0]["id"]), "2025-06-02 13:00:00")


def test_save_creates(at) -> None:
    """name and enddate are required, status_id too in the later era; defaults come from the token's user."""
    crm, client = at("tactile")
    answer = client.post(
        "/opportunities/save", json={"Opportunity": {"name": "A", "enddate": "2025-09-01", "cost": 12.5}}
    )
    row = crm.records[answer.json()["id"]]
    assert (row["owner"], row["probability"], row["archived"], row["enddate"]) == ("paul", 0, False, "2025-09-01")
    assert row["lastupdated"] == "2025-06-02T13:00:00+01:00"
    lacking = client.post("/opportunities/save", json={"Opportunity": {"status": "Won"}})
    assert (lacking.status_code, len(lacking.json()["messages"])) == (200, 2)
    crm.options.use_era("head")
    told = client.post("/opportunities/save", json={"Opportunity": {"name": "B", "enddate": "01/09/2025"}}).json()
    assert set(told["messages"]) == {"opportunity_status_id"}
    form = {"Opportunity[name]": "C", "Opportunity[enddate]": "01/09/2025", "Opportunity[status_id]": "2"}
    made = crm.records[client.post("/opportunities/save", data=form).json()["id"]]
    assert (made["enddate"], made["status"]) == ("2025-09-01", "Preliminaries")


def test_save_updates_partly(at) -> None:
    """The id must be inside; null clears; a name of a status does nothing; an organisation's name makes a new one."""
    crm, client = at("tactile")
    row_id = crm.insert(name="A", description="d", cost=5)
    given = {"id": row_id, "description": None, "status": "Won", "organisation": "Acme", "assigned_to": "greg//x"}
    assert client.post("/opportunities/save", json={"Opportunity": given}).json()["id"] == row_id
    row = crm.records[row_id]
    assert (row["description"], row["status"], row["organisation"], row["cost"]) == (None, "New", "Acme", 5)
    assert (row["assigned_to"], row["organisation_id"] in crm.organisations) == ("greg", True)
    before = len(crm.records)
    body = {"Opportunity": {"name": "twin", "enddate": "2025-09-01"}}
    assert client.post(f"/opportunities/save/{row_id}", json=body).json()["id"] != row_id
    assert len(crm.records) == before + 1
    for wrong in ({"probability": 101}, {"type_id": 99}, {"enddate": "never"}, {"name": ""}, {"cost": "x"}):
        told = client.post("/opportunities/save", json={"Opportunity": {"id": row_id, **wrong}}).json()
        assert told["status"] == "error"
    unknown = client.post("/opportunities/save", json={"Opportunity": {"id": 5}}).json()
    assert unknown["messages"] == ["Invalid ID specified"]


def test_archived_rows_are_refused_by_url_only(at) -> None:
    """archived may be set by save; an archived row can still be edited through the id in the body."""
    crm, client = at("tactile")
    row_id = crm.insert(name="A")
    client.post("/opportunities/save", json={"Opportunity": {"id": row_id, "archived": True}})
    assert crm.records[row_id]["archived"]
    told = client.post(
        f"/opportunities/save/{row_id}", json={"Opportunity": {"name": "x", "enddate": "2025-09-01"}}
    ).json()
    assert told["messages"] == ["You cannot edit archived opportunities"]
    assert client.post("/opportunities/save", json={"Opportunity": {"id": row_id, "name": "B"}}).json()["id"] == row_id


def test_a_no_op_save_moves_the_stamp_and_a_tag_does_not(at) -> None:
    """Tagging is a GET that writes, once per tag; a quote in it breaks the JSON."""
    crm, client = at("tactile")
    row_id = crm.insert(name="A", lastupdated="2025-01-01T00:00:00Z")
    assert client.get("/opportunities/add_tag", params={"id": row_id, "tag": "vip"}).json()["tag"] == "vip"
    assert client.get("/opportunities/add_tag", params={"id": row_id, "tag": "vip"}).json()["status"] == "error"
    assert client.get("/opportunities/add_tag", params={"id": row_id, "tag": 'a"b'}).text.endswith('"tag":"a"b"}')
    crm.options.extra_keys = True
    assert crm.records[row_id]["tags"] == ['a"b', "vip"]
    assert crm.records[row_id]["lastupdated"] == "2025-01-01T00:00:00+00:00"
    client.post("/opportunities/save", json={"Opportunity": {"id": row_id}})
    assert crm.records[row_id]["lastupdated"] == "2025-06-02T13:00:00+01:00"


def test_a_row_may_commit_late_or_change_silently(at) -> None:
    """An insert may carry an older stamp; an update may leave it alone."""
    crm, _ = at("tactile")
    at_once = crm.now() - timedelta(seconds=90)
    row_id = crm.insert(name="late", lastupdated=at_once, created=at_once)
    assert crm.records[row_id]["lastupdated"] == "2025-06-02T12:58:30+01:00"
    crm.update(row_id, silently=True, organisation="Merged Ltd")
    assert (crm.records[row_id]["organisation"], crm.records[row_id]["lastupdated"][14:19]) == ("Merged Ltd", "58:30")

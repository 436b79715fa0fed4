"""Every fault, seen from the client's side."""

import gzip
import json
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

OVERPLANE = "/api/crm/opportunity"


def test_a_status_fault_has_retry_after_in_both_forms(at) -> None:
    """Seconds, an HTTP-date from the CRM's clock, or nothing; each fault counts how often it fired."""
    crm, client = at("overplane")
    fault = crm.faults.add("status", status=429, retry_after=4, count=2)
    assert [(429, "4"), (429, "4"), (200, None)] == [
        (answer.status_code, answer.headers.get("retry-after")) for answer in (client.get(OVERPLANE) for _ in range(3))
    ]
    assert fault.fired == 2
    crm.faults.add("status", status=503, retry_after="+30")
    answer = client.get(OVERPLANE)
    waits = parsedate_to_datetime(answer.headers["retry-after"]) - parsedate_to_datetime(answer.headers["date"])
    assert (503, 30) == (answer.status_code, waits.total_seconds())
    for status in (401, 403, 404, 410, 500, 502):
        crm.faults.add("status", status=status)
        assert client.get(OVERPLANE).status_code == status


def test_faults_match_by_path_method_query_and_turn(at) -> None:
    """Only the request that fits is hit, from the nth on, count times."""
    crm, client = at("overplane")
    row_id = next(iter(crm.records))
    fault = crm.faults.add("status", path="/api/crm/opportunity/*", method="GET", nth=2, count=1)
    assert [200, 200, 500, 200] == [
        client.get(path).status_code for path in (OVERPLANE, *[f"{OVERPLANE}/{row_id}"] * 3)
    ]
    assert fault.fired == 1
    crm.faults.add("status", status=502, query={"offset": "20"}, count=None)
    assert [200, 502, 502] == [client.get(f"{OVERPLANE}?offset={offset}").status_code for offset in (0, 20, 20)]
    crm.faults.clear()
    assert client.get(f"{OVERPLANE}?offset=20").status_code == 200


@pytest.mark.parametrize("kind", ["login_page", "html"])
def test_html_may_come_with_200(at, kind) -> None:
    """A login or maintenance page looks like a success by its status."""
    crm, client = at("overplane")
    crm.faults.add(kind)
    answer = client.get(OVERPLANE)
    assert (200, True, True) == (
        answer.status_code,
        answer.headers["content-type"].startswith("text/html"),
        "<html" in answer.text,
    )


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("administrate", "/api/v2.5/crm/opportunities", "success"),
        ("tactile", "/opportunities", "status"),
        ("capsule", "/api/opportunity", "success"),
        ("overplane", OVERPLANE, "success"),
    ],
)
def test_a_refusal_may_hide_in_a_200(at, name, path, key) -> None:
    """Wrong credentials and failures come as a 200 envelope without records."""
    crm, client = at(name)
    crm.faults.add("refused_200")
    assert key in client.get(path).json()
    crm.faults.add("error_envelope")
    answer = client.get(path)
    assert answer.status_code == 200
    assert not any(word in answer.text for word in ('"data"', '"opportunities"'))


def test_a_body_may_be_cut_with_an_honest_length(at) -> None:
    """Truncated JSON arrives whole as HTTP."""
    crm, client = at("overplane")
    crm.faults.add("truncated", keep=0.5)
    answer = client.get(OVERPLANE)
    assert len(answer.content) == int(answer.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_body_may_be_shorter_than_announced(at) -> None:
    """Content-Length says more than is sent before the connection closes."""
    crm, client = at("overplane")
    crm.faults.add("short_body")
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(OVERPLANE)
    assert client.get(OVERPLANE).status_code == 200


def test_the_connection_may_be_reset(at) -> None:
    """The peer gets a reset, with or without the write having taken effect."""
    crm, client = at("overplane")
    before = len(crm.records)
    crm.faults.add("reset")
    with pytest.raises(httpx.ReadError):
        client.get(OVERPLANE)
    crm.faults.add("reset", method="POST", after=True)
    body = {"opportunity_from": "Lead", "party_name": "x", "company": "c", "transaction_date": "2025-06-02"}
    with pytest.raises(httpx.ReadError):
        client.post(OVERPLANE, json=body)
    assert len(crm.records) == before + 1
    assert [seen.status for seen in crm.log] == [0, 0]


def test_a_5xx_may_follow_a_write_that_took_effect(at) -> None:
    """after=True lets the CRM act first."""
    crm, client = at("overplane")
    row_id = next(iter(crm.records))
    crm.faults.add("status", status=502, method="PATCH", after=True)
    assert client.patch(f"{OVERPLANE}/{row_id}", json={"title": "stored"}).status_code == 502
    assert crm.records[row_id]["title"] == "stored"


@pytest.mark.parametrize(
    ("name", "path", "record_path"),
    [
        ("administrate", "/api/v2.5/crm/opportunities", None),
        ("tactile", "/opportunities", "opportunities"),
        ("capsule", "/api/opportunity", "opportunities"),
        ("overplane", OVERPLANE, "data"),
    ],
)
def test_the_shape_may_be_wrong(at, name, path, record_path) -> None:
    """The record path is missing, or holds an object, null or something else, in valid JSON."""
    crm, client = at(name)
    good = client.get(path).json()
    for shape in ("missing", "object", "null", "list"):
        crm.faults.add("wrong_shape", shape=shape)
        bad = client.get(path).json()
        assert bad != good
        if record_path and shape == "missing":
            assert record_path not in bad


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("administrate", "/api/v2.5/crm/opportunities?_limit=10&_page=2"),
        ("tactile", "/opportunities?limit=10&page=2"),
        ("capsule", "/api/opportunity?limit=10&start=10"),
        ("onautomate", "/v1/pipelines/{}/opportunities?limit=5&page=2"),
        ("overplane", "/api/crm/opportunity?limit=10&offset=10"),
    ],
)
def test_a_page_in_the_middle_may_be_empty(at, name, path) -> None:
    """No records, but total, next and counters as before."""
    crm, client = at(name)
    if name == "onautomate":
        path = path.format(next(iter(crm.pipelines)))
    params = {"api_token": crm.credentials["api_token"]} if name == "tactile" else {}
    url = httpx.URL(crm.url + path).copy_merge_params(params)
    full = client.get(url)
    crm.faults.add("empty_page")
    empty = client.get(url)
    assert empty.status_code == 200
    assert len(empty.content) < len(full.content) / 3
    kept = {"x-pagination-total": full.headers.get("x-pagination-total")}
    assert kept == {"x-pagination-total": empty.headers.get("x-pagination-total")}
    if name in ("tactile", "overplane"):
        assert full.json()["total"] == empty.json()["total"]
    if name == "onautomate":
        assert (full.json()["meta"], []) == (empty.json()["meta"], empty.json()["opportunities"])
    assert client.get(url).content == full.content


def test_a_page_may_repeat_for_ever_and_tokens_may_cycle(at) -> None:
    """repeat_page serves the first page it met again and again, cycle the first two in turn."""
    crm, client = at("onautomate")
    pipeline = next(iter(crm.pipelines))
    fault = crm.faults.add("repeat_page", count=None)
    pages = [client.get(f"/v1/pipelines/{pipeline}/opportunities?limit=3&page={page}").json() for page in (1, 2, 3)]
    assert pages[0] == pages[1] == pages[2]
    crm.faults.remove(fault)
    crm.faults.add("cycle", count=None)
    cursors = []
    query: dict[str, object] = {}
    for _ in range(5):
        meta = client.get(f"/v1/pipelines/{pipeline}/opportunities?limit=3", params={"limit": 3, **query}).json()[
            "meta"
        ]
        query = {"startAfter": meta["startAfter"], "startAfterId": meta["startAfterId"]}
        cursors.append(meta["startAfterId"])
    assert len(set(cursors)) == 2
    assert cursors[0] == cursors[2] == cursors[4]


def test_an_answer_may_be_slow_or_never_come(at) -> None:
    """slow answers after its seconds; hang outlives the client's patience and does not hold up stop."""
    crm, client = at("overplane")
    crm.faults.add("slow", seconds=0.2)
    began = time.perf_counter()
    assert client.get(OVERPLANE).status_code == 200
    assert time.perf_counter() - began >= 0.2
    crm.faults.add("hang")
    with pytest.raises(httpx.ReadTimeout):
        client.get(OVERPLANE, timeout=0.2)


def test_a_request_may_be_sent_elsewhere(at) -> None:
    """A redirect to another host, which must never be followed with credentials."""
    crm, client = at("overplane")
    crm.faults.add("redirect", location="http://elsewhere.invalid/")
    answer = client.get(OVERPLANE)
    assert (302, "http://elsewhere.invalid/") == (answer.status_code, answer.headers["location"])


def test_a_list_may_disregard_limit_filter_and_order(at) -> None:
    """A hidden cap, an ignored filter and an ignored order, each with 200."""
    crm, client = at("administrate")
    path = "/api/v2.5/crm/opportunities"
    crm.faults.add("limit_cap", cap=7)
    assert len(client.get(path, params={"_limit": 30}).json()) == 7
    crm.faults.add("ignore_filter")
    assert len(client.get(path, params={"id__gt": 38}).json()) == 40
    assert len(client.get(path, params={"id__gt": 38}).json()) == 2
    crm.faults.add("ignore_order")
    ids = [row["id"] for row in client.get(path, params={"_order": "id"}).json()]
    assert ids != sorted(ids)
    crm.options.limit_cap = 3
    assert len(client.get(path).json()) == 3


def test_a_hook_runs_between_two_pages(at) -> None:
    """The row it deletes is gone on page two, and it may talk to the sandbox itself."""
    crm, client = at("overplane")
    first = client.get(f"{OVERPLANE}?limit=10").json()["data"]
    seen = []

    def hook() -> None:
        crm.delete(first[0]["id"])
        seen.append(httpx.get(f"{crm.url}{OVERPLANE}/x").status_code)

    fault = crm.faults.between(hook)
    one = client.get(f"{OVERPLANE}?limit=10").json()
    two = client.get(f"{OVERPLANE}?limit=10&offset=10").json()
    assert (1, [401], one["total"] - 1) == (fault.fired, seen, two["total"])


def test_encodings_may_lie(at) -> None:
    """gzip is decodable, a BOM and a wrong charset are not noticed by the server."""
    crm, client = at("overplane")
    plain = client.get(OVERPLANE).content
    crm.faults.add("gzip")
    zipped = client.get(OVERPLANE)
    assert ("gzip", plain) == (zipped.headers["content-encoding"], zipped.content)
    assert len(gzip.compress(plain)) == int(zipped.headers["content-length"])
    crm.faults.add("bom")
    assert client.get(OVERPLANE).content == b"\xef\xbb\xbf" + plain
    crm.faults.add("latin1")
    lying = client.get(OVERPLANE)
    assert ("iso-8859-1", plain) == (lying.charset_encoding, lying.content)
    crm.faults.add("latin1", lie="body")
    with pytest.raises(UnicodeDecodeError):
        client.get(OVERPLANE).content.decode()


def test_headers_may_be_changed_or_removed(at) -> None:
    """A fault can drop Date or claim another Content-Type."""
    crm, client = at("overplane")
    crm.faults.add("headers", headers={"Date": None, "Content-Type": "text/plain"})
    answer = client.get(OVERPLANE)
    assert ("text/plain", False) == (answer.headers["content-type"], "date" in answer.headers)


def test_an_unknown_fault_is_refused(at) -> None:
    """A misspelt kind raises instead of doing nothing."""
    crm, _ = at("overplane")
    with pytest.raises(ValueError, match="no fault"):
        crm.faults.add("stauts")


def test_a_late_request_is_acted_on_after_its_answer_was_lost(at) -> None:
    """The connection breaks, nothing has changed; so many seconds later, by the CRM's clock, it has."""
    crm, client = at("overplane")
    row_id = next(iter(crm.records))
    before = crm.records[row_id]["title"]
    crm.faults.add("late", seconds=30, method="PATCH")
    with pytest.raises(httpx.TransportError):
        client.patch(f"{OVERPLANE}/{row_id}", json={"title": "Late"})
    now = crm.now()
    crm.clock = lambda: now + timedelta(seconds=29)
    assert (before, before) == (client.get(f"{OVERPLANE}/{row_id}").json()["title"], crm.records[row_id]["title"])
    crm.clock = lambda: now + timedelta(seconds=30)
    assert "Late" == crm.records[row_id]["title"]
    assert "Late" == client.get(f"{OVERPLANE}/{row_id}").json()["title"]


def test_a_misread_body_is_what_the_crm_acts_on(at) -> None:
    """So a CRM can be made to round, to trim, or to leave a field out."""
    crm, client = at("overplane")
    row_id = next(iter(crm.records))
    crm.faults.add("misread", method="PATCH", edit=lambda body: body.replace(b"0.63", b"0.65"))
    assert 0.65 == client.patch(f"{OVERPLANE}/{row_id}", json={"probability": 0.63}).json()["probability"]


def test_a_call_may_come_after_the_crm_has_acted(at) -> None:
    """Between a write and its read-back, say."""
    crm, client = at("overplane")
    row_id = next(iter(crm.records))
    crm.faults.add("hook", method="PATCH", after=True, call=lambda: crm.update(row_id, title="Theirs"))
    assert "Ours" == client.patch(f"{OVERPLANE}/{row_id}", json={"title": "Ours"}).json()["title"]
    assert "Theirs" == crm.records[row_id]["title"]


def test_lists_may_show_a_new_record_late(at) -> None:
    """By its id it is there at once; what a person makes is not held back."""
    crm, client = at("overplane", rows=3)
    crm.options.apply({"list_lag_seconds": 10})
    body = {
        "opportunity_from": "Customer",
        "party_name": "customer_1",
        "company": "c",
        "transaction_date": "2025-06-02",
    }
    row_id = client.post(OVERPLANE, json=body).json()["id"]
    assert (3, 200) == (client.get(OVERPLANE).json()["total"], client.get(f"{OVERPLANE}/{row_id}").status_code)
    now = crm.now()
    crm.clock = lambda: now + timedelta(seconds=10)
    assert 4 == client.get(OVERPLANE).json()["total"]

"""The server as a whole: starting and stopping, determinism, scale, the control door, and `serve`."""

import json
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal

import httpx
import pytest

from onepipe.sandbox import CRMS, Sandbox

NOW = datetime(2025, 6, 2, 12, 0, tzinfo=UTC)


def test_all_five_answer_at_once_and_stop_fast() -> None:
    """Five prefixes on one port, and stop returns soon."""
    sandbox = Sandbox(rows=5).start()
    try:
        assert set(CRMS) == set(sandbox.urls)
        assert {f"http://127.0.0.1:{sandbox.port}/{name}" for name in CRMS} == set(sandbox.urls.values())
        statuses = {name: httpx.get(url + "/nowhere").status_code for name, url in sandbox.urls.items()}
        assert statuses == {"administrate": 401, "tactile": 200, "capsule": 401, "onautomate": 401, "overplane": 401}
    finally:
        began = time.perf_counter()
        sandbox.stop()
    assert time.perf_counter() - began < 10
    sandbox.stop()


def test_the_same_seed_and_instant_give_the_same_data() -> None:
    """Nothing but rows, seed and now decides the records."""
    one, same, other = (Sandbox(rows=30, seed=seed, now=NOW) for seed in (7, 7, 8))
    for name in CRMS:
        for sandbox in (one, same, other):
            sandbox[name].clock = lambda: NOW
        assert dict(one[name].records) == dict(same[name].records)
        assert dict(one[name].records) != dict(other[name].records)
        assert one.credentials[name] == same.credentials[name]


def test_a_taken_port_is_an_error() -> None:
    """Two sandboxes on one port: the second says so."""
    with Sandbox(rows=1, crms=["overplane"]) as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(rows=1, crms=["overplane"], port=sandbox.port).start()


def test_threads_may_change_rows_while_lists_are_read() -> None:
    """Changes from test threads never break an answer."""
    with Sandbox(rows=200, crms=["overplane"]) as sandbox:
        crm = sandbox["overplane"]
        done = threading.Event()

        def churn() -> None:
            while not done.is_set():
                row_id = crm.insert(title="new")
                crm.update(row_id, title="newer")
                crm.delete(row_id)

        worker = threading.Thread(target=churn)
        worker.start()
        headers = {"Authorization": "Bearer " + crm.credentials["api_key"]}
        with httpx.Client(headers=headers) as client:
            answers = [client.get(crm.url + "/api/crm/opportunity?limit=100") for _ in range(30)]
        done.set()
        worker.join()
        assert all(len(answer.json()["data"]) == 100 for answer in answers)


def test_the_log_shows_what_was_asked() -> None:
    """Method, path below the base URL, query, headers, body, status."""
    with Sandbox(rows=1, crms=["overplane"]) as sandbox:
        httpx.post(sandbox.urls["overplane"] + "/api/crm/opportunity?a=1", content=b"{}")
        seen = sandbox["overplane"].log[-1]
        assert ("POST", "/api/crm/opportunity", {"a": "1"}, b"{}", 401) == (
            seen.method,
            seen.path,
            seen.query,
            seen.body,
            seen.status,
        )
        assert "user-agent" in seen.headers


def test_the_date_header_follows_the_clock_and_its_skew() -> None:
    """Date is made from the CRM's clock, can be ahead of it, and can be missing."""
    with Sandbox(rows=1, crms=["overplane"]) as sandbox:
        crm = sandbox["overplane"]
        crm.clock = lambda: NOW
        url = crm.url + "/api/crm/opportunity"
        assert httpx.get(url).headers["date"] == "Mon, 02 Jun 2025 12:00:00 GMT"
        crm.options.date_skew_seconds = 600
        assert httpx.get(url).headers["date"] == "Mon, 02 Jun 2025 12:10:00 GMT"
        crm.options.date_header = False
        assert "date" not in httpx.get(url).headers


def test_the_control_door_drives_a_crm_from_another_process() -> None:
    """Records, log, insert, update, delete, faults and options over HTTP, exact numbers included."""
    with Sandbox(rows=3, crms=["overplane", "tactile"]) as sandbox:
        crm = sandbox["overplane"]
        with httpx.Client(base_url=f"http://127.0.0.1:{sandbox.port}/_sandbox/overplane") as door:
            body = b'{"title": "big", "opportunity_amount": 12345678901234.5678}'
            row_id = door.post("/insert", content=body).json()["id"]
            assert Decimal("12345678901234.5678") == crm.records[row_id]["opportunity_amount"]
            assert "12345678901234.5678" in door.get("/records").text
            door.post("/update", json={"id": row_id, "fields": {"title": "bigger"}})
            assert crm.records[row_id]["title"] == "bigger"
            door.post("/delete", json={"id": row_id})
            assert row_id not in crm.records
            assert door.put("/faults", json=[{"kind": "status", "status": 503}]).status_code == 200
            assert httpx.get(crm.url + "/api/crm/opportunity").status_code == 503
            assert door.get("/faults").json()[0]["fired"] == 1
            assert door.put("/options", json={"max_limit": 7}).json()["max_limit"] == 7
            assert crm.options.max_limit == 7
            assert door.put("/options", json={"no_such": 7}).status_code == 400
            assert door.put("/faults", json=[{"kind": "nonsense"}]).status_code == 400
            assert door.get("/log").json()[0]["status"] == 503
        other = f"http://127.0.0.1:{sandbox.port}/_sandbox/tactile"
        assert httpx.put(other + "/options", json={"era": "head"}).json()["list_rule"] == "open"
        row = next(iter(sandbox["tactile"].records))
        assert httpx.post(other + "/update", json={"id": row, "fields": {"name": "x"}}).status_code == 200
        assert sandbox["tactile"].records[row]["name"] == "x"
        assert httpx.get(other + "/nothing").status_code == 404


def test_serve_prints_one_line_and_ends_on_sigterm() -> None:
    """A child process serves until it is told to stop, and says first where and with which credentials."""
    code = "from onepipe.sandbox import serve; serve(0, 3, 1)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = json.loads(child.stdout.readline())
        token = told["tactile"]["credentials"]["api_token"]
        answer = httpx.get(told["tactile"]["base_url"] + "/opportunities", params={"api_token": token})
        assert answer.json()["status"] == "success"
        child.send_signal(signal.SIGTERM)
        assert child.wait(5) == 0


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("administrate", "POST", "/api/v2.5/crm/opportunities"),
        ("tactile", "POST", "/opportunities/save"),
        ("capsule", "POST", "/api/party/2/opportunity"),
        ("onautomate", "POST", "/v1/pipelines/{}/opportunities"),
        ("overplane", "POST", "/api/crm/opportunity"),
    ],
)
def test_senseless_bodies_never_crash_a_crm(at, name, method, path) -> None:
    """Whatever is sent, the answer is one of the CRM's own errors, and no record is made."""
    crm, client = at(name, rows=3)
    if name == "onautomate":
        path = path.format(next(iter(crm.pipelines)))
    before = dict(crm.records)
    name_and_odd = {"name": "x", "step": 5, "company": "y", "interests": [7]}
    odd = (b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b'{"Opportunity": 7}', json.dumps(name_and_odd).encode())
    for body in odd:
        answer = client.request(method, path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 400, 422), body
        assert answer.status_code != 200 or answer.json()["status"] == "error"
    assert dict(crm.records) == before


def test_an_empty_account_works() -> None:
    """No rows at all: lists are empty and an insert makes the first record."""
    sandbox = Sandbox(rows=0)
    for name in CRMS:
        crm = sandbox[name]
        assert dict(crm.records) == {}
        made = crm.insert()
        assert list(crm.records) == [made]

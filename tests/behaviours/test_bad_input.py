"""Answers that are not what was promised, for each of the five CRMs: a clear kind, no secret, the cursor unmoved."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.behaviours.desk import CRMS, Desk, rows_of
from tests.engine.conftest import Shop

SPOILS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "truncated": ("truncated", {}, "bad_payload", "bytes that end in the middle of the data"),
    "a short body": ("short_body", {}, "bad_payload", "cut short"),
    "a login page": ("login_page", {}, "auth", "Please log in"),
    "a maintenance page": ("html", {}, "unavailable", "Down for maintenance"),
    "an error envelope": ("error_envelope", {}, "bad_payload", ""),
    "no list": ("wrong_shape", {"shape": "missing"}, "bad_payload", ""),
    "an object for the list": ("wrong_shape", {"shape": "object"}, "bad_payload", ""),
    "null for the list": ("wrong_shape", {"shape": "null"}, "bad_payload", ""),
}
"""What is sent for every page: the fault, its arguments, the error's kind, and words its message must have."""


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Desk]]:
    """One account of each CRM, loaded once; what a spoilt run leaves behind is part of the next case."""
    with ExitStack() as stack:
        made: dict[str, Desk] = {}

        def of(name: str) -> Desk:
            if name not in made:
                sandbox = stack.enter_context(Sandbox(rows=0, crms=[name]))
                made[name] = Desk(tmp_path_factory.mktemp(name), sandbox, name)
                made[name].fill(6)
                made[name].rename(next(iter(made[name].crm.records)), "Zoë")
                assert "complete" == made[name].sync().status
            made[name].later(minutes=1)
            return made[name]

        yield of


def _spoilt(desk: Desk, kind: str, words: str) -> None:
    """The run that meets what was spoilt: it fails or is partial, the cursor stays, and so do the rows.

    A row that was not met in a complete read is asked for by its id, which is not spoilt.
    """
    before, held, since = desk.cursor(), desk.held(), len(desk.crm.log)
    report = desk.sync()
    told = desk.told(report)
    assert report.status in ("partial", "failed")
    assert (kind, True) == (desk.said(report)[1], words in told)
    assert json.loads(told)["hint"]
    assert before == desk.cursor()
    assert desk.held() in (held, desk.truth())
    assert 12 > len(desk.crm.log) - since
    assert [] == [secret for secret in desk.crm.credentials.values() if secret in told]


@pytest.mark.parametrize("crm", CRMS)
@pytest.mark.parametrize("case", SPOILS)
def test_22_23_24_an_answer_that_is_no_data_is_an_error(accounts: Callable[[str], Desk], crm: str, case: str) -> None:
    """22, 23, 24. Given a page that is cut, HTML, an error or without its list, then never an empty page: an error."""
    kind, how, expected, words = SPOILS[case]
    if (crm, case) == ("capsule", "null for the list"):
        pytest.skip("XML has no null: an empty root is an empty list")
    desk = accounts(crm)
    fault = desk.spoil(kind, count=None, **how)
    try:
        _spoilt(desk, expected, words)
    finally:
        desk.crm.faults.remove(fault)


@pytest.mark.parametrize("crm", CRMS)
def test_22_a_hiccup_costs_a_request_and_nothing_else(accounts: Callable[[str], Desk], crm: str) -> None:
    """22. Given a body that is cut once, in either way, then it is asked for again and the run is complete."""
    desk = accounts(crm)
    for kind in ("truncated", "short_body"):
        fault = desk.spoil(kind, count=1)
        report = desk.sync()
        assert ("complete", 1) == (report.status, fault.fired)
        assert desk.truth() == desk.held()
    assert desk.now == desk.cursor()


def test_24_an_empty_list_is_no_error(tmp_path: Path) -> None:
    """24. Given lists that are there and empty, in accounts without a deal, then the run is complete."""
    with Sandbox(rows=0) as sandbox:
        report = Shop(tmp_path, sandbox, list(CRMS)).sync(publishing=False)
    assert "complete" == report.status


@pytest.mark.parametrize("crm", CRMS)
def test_27_a_text_in_a_wrong_encoding_is_not_taken(accounts: Callable[[str], Desk], crm: str) -> None:
    """27. Given Latin-1 bytes where UTF-8 is promised, then the row is not loaded garbled, and the cursor stays."""
    desk = accounts(crm)
    first, *_ = desk.crm.records
    desk.rename(first, f"in Latin-1 {desk.now}")
    fault = desk.rewrite(lambda body: body.replace(b"in Latin-1", "caf\xe9".encode("latin-1")))
    try:
        _spoilt(desk, "bad_payload", "")
    finally:
        desk.crm.faults.remove(fault)
    assert "complete" == desk.sync().status
    assert desk.truth() == desk.held()


@pytest.mark.parametrize("crm", CRMS)
def test_a_record_without_an_id_is_named(accounts: Callable[[str], Desk], crm: str) -> None:
    """Given a record without an id among others, then the others load, it is named, and the cursor stays."""
    desk = accounts(crm)
    first, second, *_ = desk.crm.records
    desk.rename(first, "nameless")
    desk.rename(second, f"its neighbour {desk.now}")
    before = desk.cursor()
    fault = desk.rewrite(lambda body: _without_id(crm, body, first))
    try:
        report = desk.sync()
    finally:
        desk.crm.faults.remove(fault)
    assert desk.truth()[str(second)] == desk.held()[str(second)]
    assert [] != desk.work("SELECT value FROM problems WHERE field = 'source_id' AND value LIKE '%nameless%'")
    assert (("partial", "bad_payload"), before) == (desk.said(report), desk.cursor())
    assert "complete" == desk.sync().status
    assert desk.truth() == desk.held()


def test_a_record_without_an_id_is_told_once(tmp_path: Path) -> None:
    """Given the same nameless record again, then the cursor goes on, and runs are partial until a sweep meets none."""
    with Sandbox(rows=0, crms=["capsule"]) as sandbox:
        desk = Desk(tmp_path, sandbox, "capsule")
        _, last = desk.fill(2)
        fault = desk.rewrite(lambda body: _without_id("capsule", body, last))
        assert ("partial", "bad_payload") == desk.said(desk.sync())
        desk.later(minutes=1)
        before = desk.cursor()
        assert ("partial", "bad_payload") == desk.said(desk.sync())
        assert before != desk.cursor()
        assert [(1,)] == desk.work("SELECT count(*) FROM problems WHERE field = 'source_id'")
        assert ["Deal 01"] == list(desk.held().values())
        desk.crm.faults.remove(fault)
        assert "partial" == desk.sync().status
        assert "complete" == desk.sync(sweep=True).status
        assert ["Deal 01", "Deal 02"] == sorted(desk.held().values())
        assert "complete" == desk.sync().status


def _without_id(crm: str, body: bytes, row_id: Any) -> bytes:
    if crm == "capsule":
        return body.replace(b"<id>%d</id>" % row_id, b"")
    nameless = "title" if crm == "overplane" else "name"
    return rows_of(body, lambda rows: [_less(row) if row[nameless] == "nameless" else row for row in rows])


def _less(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "id"}

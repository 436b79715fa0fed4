"""Lists of a deal's own parts that hold what nobody can read: never a shorter list, always said."""

import json
from collections.abc import Callable

import pytest

from tests.behaviours.conftest import Make

PATHS = {"tactile": "*/timeline", "overplane": "*/opportunity-item"}


def _garbled(body: bytes) -> bytes:
    return body.replace(b"Second", b"caf\xe9")


def _nameless(body: bytes) -> bytes:
    whole = json.loads(body)
    for row in whole["data"]:
        if row["item_code"] == "Second":
            del row["id"]
    return json.dumps(whole).encode()


@pytest.mark.parametrize(("crm", "edit"), [("tactile", _garbled), ("overplane", _garbled), ("overplane", _nameless)])
def test_30_a_part_that_cannot_be_read_is_not_left_out(desk: Make, crm: str, edit: Callable[[bytes], bytes]) -> None:
    """30. Given a part without an id or not in UTF-8, then the run is partial, and the list owed until it is whole."""
    made = desk(crm, rows=1, details=True)
    (deal,) = made.crm.records

    if crm == "tactile":
        held = "SELECT body FROM notes ORDER BY 1"
        for text in ("First", "Second"):
            made.crm.write_note(deal, text)
    else:
        held = "SELECT name FROM line_items ORDER BY 1"
        made.crm.update(deal, items=[{"item_code": text, "qty": 1, "rate": 1} for text in ("First", "Second")])
    fault = made.crm.faults.add("rewrite", edit=edit, path=PATHS[crm], lists=False, count=None)
    assert ("partial", "bad_payload") == made.said(made.sync())
    assert ([], [(1,)]) == (made.work(held), made.work("SELECT count(*) FROM store.debts"))
    made.crm.faults.remove(fault)
    assert "complete" == made.sync().status
    assert [("First",), ("Second",)] == made.work(held)

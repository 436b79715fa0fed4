"""Overplane: offsets over a list whose newest rows come first."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from onepipe.contract import Asked
from onepipe.errors import Gone

Make = Callable[..., Any]


def served(rows: list[str], cap: int, prefix: str = "", **facts: Callable[[int], Any]) -> Callable[[Asked], Any]:
    """A host with these rows, `cap` a page; facts say what stands beside the list, given the next offset."""

    def answer(asked: Asked) -> Any:
        assert asked.path == f"{prefix}/crm/opportunity"
        start = int(asked.query["offset"])
        shown = rows[start : start + min(cap, int(asked.query["limit"]))]
        return {
            "data": [{"id": row} for row in shown],
            **{name: fact(start + len(shown)) for name, fact in facts.items()},
        }

    return answer


ROWS = [f"opportunity_{number}" for number in range(25)]


@pytest.mark.parametrize(
    "facts",
    [
        {"total": lambda _: 25, "has_more": lambda end: end < 25},
        {"total": lambda _: "25"},
        {"has_more": lambda end: end < 25},
        {},
    ],
    ids=["both", "total as text", "has_more", "nothing"],
)
@pytest.mark.parametrize("cap", [7, 25, 100])
def test_a_host_is_read_whatever_it_says_of_its_end(stranger: Make, facts: dict[str, Any], cap: int) -> None:
    """With total, with has_more, with neither: every row comes, and however few rows a page holds."""
    assert ROWS == stranger("overplane", served(ROWS, cap, "/api", **facts)).ids()


@pytest.mark.parametrize(("path", "prefix"), [("/api", "/api"), ("/api/", "/api"), ("", "/api"), ("/x/api", "/x/api")])
def test_the_base_url_may_hold_the_api_or_not(stranger: Make, path: str, prefix: str) -> None:
    """https://api.overplane.dev/api and https://api.overplane.dev mean the same."""
    assert ROWS == stranger("overplane", served(ROWS, 100, prefix, total=lambda _: 25), path=path).ids()


def test_no_filter_is_sent(account: Make) -> None:
    """An unknown parameter would be ignored with a 200, so none is relied on."""
    acme = account("overplane", rows=230)
    assert sorted(acme.crm.records) == sorted(acme.ids())
    assert {("limit", "offset")} == {tuple(sorted(query)) for _, query in acme.asked()}


@pytest.mark.parametrize("page", [2, 3])
def test_a_deletion_during_the_scan_takes_no_other_row(account: Make, page: int) -> None:
    """A row deleted on a page that was read pulls the others up; none is missed."""
    acme = account("overplane", rows=260)
    newest = acme.ids()[0]
    acme.crm.faults.between(lambda: acme.crm.delete(newest), page=page)
    assert set(acme.crm.records) - {newest} <= set(acme.ids())


def test_lost_reasons_are_all_read(account: Make) -> None:
    """A detail is the whole list of a parent, over as many pages as the CRM makes of it."""
    acme = account("overplane")
    reasons = [f"Reason {number}" for number in range(130)]
    parent = acme.crm.insert(title="x", lost_reasons=reasons)
    found = json.loads(acme.connector.detail("lost_reason", parent, b"{}"))
    assert reasons == [one["lost_reason"] for one in found]
    assert {parent} == {query["parent_id"] for path, query in acme.asked()}


def test_items_are_a_read(account: Make) -> None:
    """Line items of one opportunity, as `onepipe get` asks for them."""
    acme = account("overplane")
    parent = acme.crm.insert(title="x", items=[{"item_code": "SKU-1"}, {"item_code": "SKU-2"}])
    assert ["SKU-1", "SKU-2"] == [one["item_code"] for one in json.loads(acme.connector.ask("items", {"id": parent}))]
    assert [] == json.loads(acme.connector.ask("lost_reasons", {"id": parent}))


def test_a_deleted_opportunity_is_gone(account: Make) -> None:
    """A 404 by id means that the record does not exist."""
    acme = account("overplane", rows=2)
    record_id = next(iter(acme.crm.records))
    acme.crm.delete(record_id)
    with pytest.raises(Gone):
        acme.connector.get(record_id, None)


def test_an_id_never_leaves_its_place_in_the_path(account: Make) -> None:
    """Whatever an id looks like, it stays one segment below the list."""
    acme = account("overplane", rows=1)
    for odd in ("a/b", "a?b=c", "ä #"):
        with pytest.raises(Gone):
            acme.connector.get(odd, None)
    assert all(path.startswith("/api/crm/opportunity/") and path.count("/") == 4 for path, _ in acme.asked())

"""OnAutomate: one list a pipeline, a cursor that some hosts do not know, deals that move."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from onepipe.connector import Window
from onepipe.contract import Asked
from onepipe.errors import AuthRefused, BadPayload, Gone

Make = Callable[..., Any]


def host(
    pipelines: dict[str, list[str]], meta: Callable[[list[str], int, Asked], dict[str, Any]], **how: Any
) -> Callable[[Asked], Any]:
    """A host with these deals that knows `page` (20 a page), and a cursor only if `meta` gives one."""
    size, prefix = how.get("size", 20), how.get("prefix", "/v1")

    def answer(asked: Asked) -> Any:
        path = asked.path.removeprefix(prefix).rstrip("/")
        if path == "/pipelines":
            return {"pipelines": [{"id": name, "name": name, "stages": []} for name in pipelines]}
        deals = pipelines[path.split("/")[2]]
        page = int(asked.query.get("page", 1))
        shown = deals[size * (page - 1) : size * page]
        return {"opportunities": [{"id": deal} for deal in shown], "meta": meta(deals, page, asked)}

    return answer


def ids(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(count)]


def test_every_pipeline_is_read_by_its_cursor(account: Make) -> None:
    """The two values in meta are echoed, and every page carries all parameters again."""
    acme = account("onautomate", rows=230)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids())
    lists = [(path, query) for path, query in acme.asked() if path.endswith("/opportunities")]
    assert len(acme.crm.pipelines) == len({path for path, _ in lists})
    assert {"100"} == {query["limit"] for _, query in lists}
    assert all(("startAfter" in query) == ("startAfterId" in query) for _, query in lists)
    assert not any("page" in query for _, query in lists)


def test_a_host_that_documents_only_page_is_read_by_number(stranger: Make) -> None:
    """Without a cursor in meta, pages go by number until the total is reached, whatever `nextPage` says."""
    deals = {"a": ids("a", 45), "b": [], "c": ids("c", 1)}
    acme = stranger(
        "onautomate", host(deals, lambda all_, page, _: {"total": len(all_), "currentPage": page, "nextPage": ""})
    )
    assert deals["a"] + deals["c"] == acme.ids()


def test_a_host_that_says_nothing_is_read_to_an_empty_page(stranger: Make) -> None:
    """Without a total and a cursor, the end is an empty page."""
    deals = {"a": ids("a", 45), "b": ids("b", 20)}
    acme = stranger("onautomate", host(deals, lambda *_: {"total": None}))
    assert deals["a"] + deals["b"] == acme.ids()


def test_a_host_that_ignores_its_own_cursor_is_read_by_number(stranger: Make) -> None:
    """One that gives a cursor and repeats its first page all the same is still read whole."""
    deals = {"a": ids("a", 45), "b": ids("b", 3)}
    cursor = {"startAfter": 1, "startAfterId": "x"}
    acme = stranger("onautomate", host(deals, lambda all_, *_: {"total": len(all_), **cursor}))
    assert deals["a"] + deals["b"] == list(dict.fromkeys(acme.ids()))


def test_a_distrusted_order_is_read_by_number_at_once(account: Make) -> None:
    """Where the cursor proved wrong, it is not used."""
    acme = account("onautomate", rows=60)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids(distrust=frozenset({"order"})))
    assert not any("startAfter" in query for _, query in acme.asked())


@pytest.mark.parametrize("distrust", [frozenset(), frozenset({"order"})])
def test_a_scan_resumes_in_its_pipeline(account: Make, distrust: frozenset[str]) -> None:
    """The token says pipeline and place; the pipelines before are not read again."""
    acme = account("onautomate", rows=400)
    pages = list(acme.connector.pull("opportunity", Window(distrust=distrust)))
    for number, page in enumerate(pages[:-1]):
        token = json.loads(json.dumps(page.next))
        kept = {record.id for one in pages[: number + 1] for record in one.records}
        rest = set(acme.ids(resume=token, distrust=distrust))
        assert {record.id for one in pages for record in one.records} == kept | rest
    first = [record.id for record in pages[0].records]
    assert not set(first) & set(acme.ids(resume=pages[-2].next, distrust=distrust))


def test_a_moved_deal_is_found_in_its_new_pipeline(account: Make) -> None:
    """The pipeline of the stored payload is asked first, then every other."""
    acme = account("onautomate", rows=10)
    record = next(record for page in acme.connector.pull("opportunity", Window()) for record in page.records)
    home = json.loads(record.payload)["pipelineId"]
    acme.asked()
    assert record.id == acme.connector.get(record.id, record.payload).id
    assert [f"/v1/pipelines/{home}/opportunities/{record.id}"] == [path for path, _ in acme.asked()]
    other = next(name for name in acme.crm.pipelines if name != home)
    acme.crm.update(record.id, pipelineId=other)
    assert record.id == acme.connector.get(record.id, record.payload).id
    assert record.id == acme.connector.get(record.id, None).id


@pytest.mark.parametrize("status", [400, 404])
def test_gone_is_what_every_pipeline_refuses(account: Make, status: int) -> None:
    """400 and 404 mean the same by id; only when all pipelines refuse is a deal gone."""
    acme = account("onautomate", rows=3, missing_status=status)
    record = next(record for page in acme.connector.pull("opportunity", Window()) for record in page.records)
    acme.crm.delete(record.id)
    acme.asked()
    with pytest.raises(Gone) as raised:
        acme.connector.get(record.id, record.payload)
    assert "absent" == raised.value.evidence
    asked = [path for path, _ in acme.asked() if path.endswith(record.id)]
    assert len(acme.crm.pipelines) == len(asked) == len(set(asked))


def test_a_refusal_while_looking_is_no_absence(account: Make) -> None:
    """A deal is not gone because the key was refused half way."""
    acme = account("onautomate", rows=3)
    acme.crm.faults.add("status", status=401, count=None, path="*/opportunities/*")
    with pytest.raises(AuthRefused):
        acme.connector.get("nowhere", None)


@pytest.mark.parametrize(("message", "kind"), [("Unauthorized", AuthRefused), ("Bad Request", BadPayload)])
def test_a_message_inside_200_is_an_error(stranger: Make, message: str, kind: type[Exception]) -> None:
    """{"msg": ...} means failure, whatever the status."""
    with pytest.raises(kind, match=message):
        stranger("onautomate", lambda _: {"msg": message}).ids()


def test_the_link_in_meta_is_never_followed(account: Make, stranger: Make) -> None:
    """nextPageUrl is plain http to a host we did not choose, and stands on the last page too."""
    link = {"nextPageUrl": "http://elsewhere.invalid/v1/pipelines/a/opportunities?page=2"}
    deals = {"a": ids("a", 30)}
    acme = stranger("onautomate", host(deals, lambda all_, *_: {"total": len(all_), **link}))
    assert deals["a"] == acme.ids()


@pytest.mark.parametrize(("path", "prefix"), [("/v1", "/v1"), ("/v1/", "/v1"), ("", "/v1"), ("/crm/v1", "/crm/v1")])
def test_the_base_url_may_hold_the_version_or_not(stranger: Make, path: str, prefix: str) -> None:
    """https://link.amtssl.com/v1 and https://link.amtssl.com mean the same."""
    deals = {"a": ["a1"]}
    acme = stranger("onautomate", host(deals, lambda *_: {"total": 1}, prefix=prefix), path=path)
    assert ["a1"] == acme.ids()


def test_a_pipeline_can_be_asked_for(account: Make) -> None:
    """The list of one pipeline, narrowed by the CRM's own filters."""
    acme = account("onautomate", rows=60)
    pipeline = next(iter(acme.crm.pipelines))
    mine = [row for row in acme.crm.records.values() if row["pipelineId"] == pipeline]
    found = json.loads(acme.connector.ask("opportunities", {"pipeline": pipeline}))
    assert len(mine) == len(found)
    won = json.loads(acme.connector.ask("opportunities", {"pipeline_id": pipeline, "status": "won"}))
    assert sum(row["status"] == "won" for row in mine) == len(won)

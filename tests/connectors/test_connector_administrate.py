"""Administrate: keyset by id, counts in headers, a filter with both bounds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onepipe.connector import Answer, Window
from onepipe.contract import Asked, Told
from onepipe.errors import Gone, PagingLoop

LIST = "/api/v2.5/crm/opportunities"
Make = Callable[..., Any]


def test_the_list_is_read_by_key(account: Make) -> None:
    """Each page is asked for after the last id, in order of id, 100 rows at a time."""
    acme = account("administrate", rows=230)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids())
    pages = [query for path, query in acme.asked() if path == LIST]
    assert [None, "100", "200"] == [query.get("id__gt") for query in pages]
    assert {("id", "100")} == {(query["_order"], query["_limit"]) for query in pages}


def test_a_run_without_changes_is_one_request(account: Make) -> None:
    """The header says that nothing follows, so a list without news is asked for once."""
    acme = account("administrate", rows=5)
    assert [] == acme.ids(since=datetime.now(UTC) + timedelta(days=1))
    assert 1 == len(acme.asked())


def test_both_bounds_are_sent(account: Make) -> None:
    """A window has a beginning and an end, inclusive, as instants in UTC with Z."""
    acme = account("administrate")
    zone = datetime(2024, 3, 1, 11, 0, 5, 999, tzinfo=UTC)
    acme.ids(since=zone, until=zone + timedelta(days=1))
    ((_, query),) = acme.asked()
    assert ("2024-03-01T11:00:05Z", "2024-03-02T11:00:05Z") == (query["updated_at__ge"], query["updated_at__le"])


def test_a_list_whose_order_is_not_believed_is_read_by_number(account: Make) -> None:
    """Where id__gt proved wrong, pages are asked for by number and no longer by key."""
    acme = account("administrate", rows=230)
    assert sorted(map(str, acme.crm.records)) == sorted(acme.ids(distrust=frozenset({"order"})))
    pages = [query for _, query in acme.asked()]
    assert ["1", "2", "3"] == sorted(query["_page"] for query in pages)
    assert not any("id__gt" in query for query in pages)


def test_a_server_that_ignores_the_key_is_noticed(stranger: Make) -> None:
    """A list that gives its first page whatever the key ends as PagingLoop, never as complete, never endless."""
    rows = [{"id": number} for number in range(1, 101)]
    acme = stranger("administrate", lambda _: rows)
    with pytest.raises(PagingLoop):
        acme.ids()


def test_a_server_without_counts_is_read_to_an_empty_page(stranger: Make) -> None:
    """Without X-Pagination headers the end is an empty page, however short the pages are."""
    rows = [{"id": number} for number in range(1, 8)]

    def answer(asked: Asked) -> Any:
        return [row for row in rows if row["id"] > int(asked.query.get("id__gt", 0))][:3]

    assert [str(row["id"]) for row in rows] == stranger("administrate", answer).ids()


def test_an_account_without_a_list_of_steps_is_read_all_the_same(stranger: Make) -> None:
    """Each opportunity carries its own step, so a missing list of steps is no failure."""
    acme = stranger("administrate", lambda asked: (404, {}) if "steps" in asked.path else [{"id": 1}])
    assert [] == acme.ids("steps")


def test_steps_are_read(account: Make) -> None:
    """The pipeline's steps come with their stage, which says what is won and lost."""
    acme = account("administrate")
    records = [record for page in acme.connector.pull("steps", Window()) for record in page.records]
    assert all(b'"stage":{' in record.payload for record in records)
    assert 4 < len(records)


def test_a_quote_is_a_file(account: Make) -> None:
    """render_pdf answers the file itself, under the quote's own path."""
    acme = account("administrate", rows=60)
    quote = next(quote for row in acme.crm.records.values() for quote in row["quotes"])
    found = acme.connector.ask("render_pdf", {"id": str(quote["id"])})
    assert isinstance(found, Answer)
    assert found.content.startswith(b"%PDF")


def test_what_a_delete_answers_is_not_read_as_alive(account: Make) -> None:
    """A deleted opportunity is gone by id."""
    acme = account("administrate", rows=2)
    acme.crm.delete(1)
    with pytest.raises(Gone):
        acme.connector.get("1", None)


def test_counts_come_from_the_header(stranger: Make) -> None:
    """The count is the header's total, None where it is missing or no number."""
    answers = iter([{"X-Pagination-Total": "230"}, {}, {"X-Pagination-Total": "many"}])
    acme = stranger("administrate", lambda _: Told(200, b"[]", next(answers)))
    assert [230, None, None] == [acme.connector.count() for _ in range(3)]

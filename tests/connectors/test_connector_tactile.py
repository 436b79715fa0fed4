"""Tactile: errors inside 200, two eras, and lists that hide what closes."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onepipe.connector import Window
from onepipe.contract import Asked, Told
from onepipe.errors import AuthRefused, BadPayload, Gone, OnepipeError, Unavailable, WriteRefused

Make = Callable[..., Any]
HTML = {"Content-Type": "text/html"}


def shapes(key: str, text: str) -> list[dict[str, Any]]:
    """One error in each of the three envelopes."""
    return [{"messages": [text]}, {"messages": {key: text}}, {"errors": [text]}]


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("403", "Failed to login", AuthRefused),
        ("_0", "Something went wrong", BadPayload),
        ("500", "Template missing", BadPayload),
    ],
)
@pytest.mark.parametrize("shape", [0, 1, 2])
def test_an_error_inside_200_is_an_error(
    stranger: Make, key: str, text: str, kind: type[OnepipeError], shape: int
) -> None:
    """The status word decides, whatever the shape of the messages; the words reach the user."""
    acme = stranger("tactile", lambda _: {"status": "error", **shapes(key, text)[shape]})
    for verb in (acme.ids, acme.connector.count, lambda: acme.connector.get("1", None)):
        with pytest.raises(kind, match=text):
            verb()


@pytest.mark.parametrize("text", ["Invalid id specified", "You don't have permission to view that Opportunity"])
@pytest.mark.parametrize("shape", [0, 1, 2])
def test_gone_is_said_inside_200(stranger: Make, text: str, shape: int) -> None:
    """A record that does not exist, or may not be seen any more, is Gone; a list that says so is not."""
    acme = stranger("tactile", lambda _: {"status": "error", **shapes("_0", text)[shape]})
    with pytest.raises(Gone):
        acme.connector.get("1234", None)
    with pytest.raises(BadPayload):
        acme.ids()


def test_the_limit_is_100(account: Make) -> None:
    """More than 100 would silently be 30, so 100 it is; pages go by number."""
    acme = account("tactile", rows=230, list_rule="unarchived")
    live = [str(key) for key, row in acme.crm.records.items() if not row["archived"]]
    assert sorted(live) == sorted(acme.ids())
    pages = [query for path, query in acme.asked() if path == "/opportunities"]
    assert ["1", "2"] == sorted(query["page"] for query in pages)
    assert {"100"} == {query["limit"] for query in pages}


def test_both_bounds_are_sent(account: Make) -> None:
    """A window has a beginning and an end, with a zone, so that no server reads them in its own."""
    acme = account("tactile")
    moment = datetime(2024, 7, 1, 10, 0, 5, tzinfo=UTC)
    acme.ids(since=moment, until=moment + timedelta(days=1))
    _, query = acme.asked()[0]
    assert ("2024-07-01T10:00:05Z", "2024-07-02T10:00:05Z") == (query["updated_after"], query["updated_before"])


def test_what_closes_in_the_later_era_is_seen_to_close(account: Make) -> None:
    """The list shows open rows only; one that was won since comes all the same, whole, read by its id."""
    acme = account("tactile", rows=20, era="head")
    before = datetime.now(UTC) - timedelta(minutes=1)
    won = next(key for key, row in acme.crm.records.items() if row["status"] == "New" and not row["archived"])
    acme.crm.update(won, status="Won")
    pages = acme.connector.pull("opportunity", Window(since=before))
    found = {record.id: record.payload for page in pages for record in page.records}
    assert [str(won)] == list(found)
    assert b'"probability"' in found[str(won)]


def test_what_is_archived_in_the_early_era_is_seen_through_recently_won(account: Make) -> None:
    """Without list_all, recently_won and recently_lost show what was closed and archived since."""
    acme = account("tactile", rows=20, era="doc")
    before = datetime.now(UTC) - timedelta(minutes=1)
    won = next(key for key, row in acme.crm.records.items() if not row["archived"])
    acme.crm.update(won, status="Won", archived=True)
    assert [str(won)] == acme.ids(since=before)


@pytest.mark.parametrize("archived", [True, False])
def test_what_was_archived_long_ago_is_a_setting(account: Make, archived: bool) -> None:
    """A full scan reads closed rows from list_all, archived ones only when told to."""
    acme = account("tactile", rows=60, era="head", settings={"archived": archived})
    expected = [str(key) for key, row in acme.crm.records.items() if archived or not row["archived"]]
    assert sorted(expected) == sorted(acme.ids())
    assert len(expected) < 60 or archived


def test_a_resumed_scan_reads_hidden_rows_only(account: Make) -> None:
    """A scan that goes on in the middle asks by id for what is hidden, not for what the pages before had."""
    acme = account("tactile", rows=230, era="head")
    pages = list(acme.connector.pull("opportunity", Window()))
    token = pages[0].next
    acme.asked()
    acme.ids(resume=token)
    views = [path for path, _ in acme.asked() if path.startswith("/opportunities/view")]
    hidden = [row for row in acme.crm.records.values() if row["status"] in ("Won", "Lost", "Dropped", None)]
    assert 0 < len(views) <= len(hidden)


@pytest.mark.parametrize(
    "missing",
    [
        lambda: Told(200, b"<html><title>Log in</title></html>", HTML),
        lambda: (404, {"error": "no such action"}),
        lambda: {"status": "error", "messages": {"500": "Template missing"}},
    ],
)
def test_an_account_without_the_other_lists_is_read_all_the_same(stranger: Make, missing: Callable[[], Any]) -> None:
    """list_all, recently_won, recently_lost and options are missing in some accounts, in several ways."""
    page = {"status": "success", "opportunities": [{"id": 7}], "cur_page": 1, "num_pages": 1, "total": 1}
    acme = stranger("tactile", lambda asked: page if asked.path == "/opportunities" else missing())
    assert ["7"] == acme.ids()
    assert [] == acme.ids("options")


def test_a_failing_list_all_is_a_failure(stranger: Make) -> None:
    """A server that fails is not an account without the list: what it hides must not be missed in silence."""
    page = {"status": "success", "opportunities": [{"id": 7}], "cur_page": 1, "num_pages": 1, "total": 1}
    acme = stranger("tactile", lambda asked: page if asked.path == "/opportunities" else (503, {}))
    with pytest.raises(Unavailable):
        acme.ids()


def test_numbers_may_come_as_text(stranger: Make) -> None:
    """Ids and counters as texts, and no per_page at all, read like numbers."""

    def answer(asked: Asked) -> Any:
        if asked.path != "/opportunities":
            return 404, {}
        start = 2 * (int(asked.query.get("page", 1)) - 1)
        rows = [{"id": str(number)} for number in range(1, 6)][start : start + 2]
        return {"status": "success", "opportunities": rows, "num_pages": "3", "total": "5"}

    acme = stranger("tactile", answer)
    assert ["1", "2", "3", "4", "5"] == acme.ids()
    assert 5 == acme.connector.count()


def test_a_get_that_writes_is_stopped_before_it_leaves(account: Make) -> None:
    """add_tag is a GET, and a write: nothing is sent."""
    acme = account("tactile", rows=1)
    for path in ("/opportunities/add_tag", "/opportunities/add_tag/"):
        with pytest.raises(WriteRefused):
            acme.connector.http.get(path, id=1, tag="x")
    assert [] == acme.asked()


def test_the_token_travels_in_the_query_and_nowhere_else(account: Make) -> None:
    """Every request carries the token; no error shows it."""
    acme = account("tactile", rows=1)
    token = acme.crm.credentials["api_token"]
    acme.ids()
    assert {token} == {query["api_token"] for _, query in acme.asked()}
    acme.crm.faults.add("status", status=500, count=None)
    with pytest.raises(Unavailable) as raised:
        acme.ids()
    assert token not in str(raised.value) + repr(acme.connector.http)


def test_the_timeline_is_read_to_its_end(account: Make) -> None:
    """50 notes a page: the read gives them all."""
    acme = account("tactile", rows=1)
    (row_id,) = acme.crm.records
    note = {"id": 0, "title": "t", "note": "n", "owner": "paul", "created": datetime(2024, 1, 1)}  # noqa: DTZ001
    acme.crm.notes[row_id] = [{**note, "id": number} for number in range(120)]
    found = json.loads(acme.connector.ask("timeline", {"opportunity_id": str(row_id)}))
    assert list(range(119, -1, -1)) == [entry["note"]["id"] for entry in found]


@pytest.mark.parametrize("notes", [0, 1, 120])
def test_a_timeline_that_is_told_whole_ends(account: Make, notes: int) -> None:
    """The first accounts count nothing and know no `page`: a page that is the one before is the end."""
    acme = account("tactile", timeline_pages=False)
    deal = acme.crm.insert()
    for number in range(notes):
        acme.crm.write_note(deal, f"Note {number}")
    found = json.loads(acme.connector.detail("timeline", str(deal), b"{}"))
    assert {f"Note {number}" for number in range(notes)} == {entry["note"]["note"] for entry in found}
    assert min(notes, 1) + 1 == len([path for path, _ in acme.asked() if path.endswith("timeline")])


def test_a_timeline_that_counts_nothing_may_have_pages(stranger: Make) -> None:
    """A host that gives other entries on the next page is read on, to a page that is empty."""

    def answer(asked: Asked) -> Any:
        number = int(asked.query["page"])
        return {"status": "success", "timeline": [{"note": {"id": number, "note": "same"}}] if number < 4 else []}

    found = json.loads(stranger("tactile", answer).connector.detail("timeline", "7", b"{}"))
    assert [1, 2, 3] == [entry["note"]["id"] for entry in found]


@pytest.mark.parametrize("spoilt", ["caf\xe9", "9" * 5000])
def test_an_entry_that_cannot_be_read_is_a_bad_answer(stranger: Make, spoilt: str) -> None:
    """Whatever a timeline holds, it is read or it is BadPayload: never garbled, never another error."""
    entry = f'"{spoilt}"' if "caf" in spoilt else spoilt
    body = f'{{"status":"success","timeline":[{{"note":{{"note":{entry}}}}}],"num_pages":1,"total":1}}'
    acme = stranger("tactile", lambda _: Told(200, body.encode("latin-1")))
    with pytest.raises(BadPayload):
        acme.connector.detail("timeline", "7", b"{}")


def test_options_are_one_record(account: Make) -> None:
    """The names of statuses by id are one reference record, empty in the era whose options are broken."""
    for era, expected in (("doc", b'"5": "Won"'), ("head", b'"status": {}')):
        (page,) = account("tactile", era=era).connector.pull("options", Window())
        assert "options" == page.records[0].id
        assert expected in page.records[0].payload

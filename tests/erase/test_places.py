"""Every place where a person may stand: lists of a deal, pushes, frozen days, copies, backups, pages not yet merged."""

import json
from pathlib import Path
from typing import Any

import pytest

import onepipe.erase as erasing
import onepipe.freezing as freezing
import onepipe.keeping.backups as backups
from onepipe.decode import Record
from onepipe.errors import UsageError
from onepipe.publish import publish
from onepipe.remap import apply as apply_mapping
from onepipe.spool import Spool, segments
from onepipe.warehouse.rewriting import Rewritten, rewrite
from onepipe.warehouse.work import Warehouse
from tests.erase.conftest import EMAIL, NAME, PHONE, WORDS


@pytest.mark.long
def test_of_a_list_only_the_element_goes_that_is_the_person(house: Any) -> None:
    """A delegate with the address goes as a whole; the line, the other delegates and the deal stay as they are."""
    desk = house("administrate", rows=0)
    person = {"id": 7, "first_name": "Zoë", "last_name": "Quitterie", "email": EMAIL, "notes": PHONE}
    other = {"id": 8, "first_name": "Bo", "last_name": "Li", "email": "bo@example.org"}
    deal = desk.deal("administrate", name="Course")
    desk.crm("administrate").update(
        deal, interests=[{"id": 1, "price": 10, "quantity": 2, "delegates": [person, other]}]
    )
    desk.sync()
    assert 2 == len(desk.sql("FROM contacts"))
    found = desk.erase(address=EMAIL)
    assert () == found.deals
    assert [("Bo Li", "bo@example.org")] == desk.sql("SELECT name, email FROM contacts")
    assert [(2,)] == desk.sql("SELECT quantity::BIGINT FROM line_items")
    assert [("Course",)] == desk.sql("SELECT name FROM deals")
    assert [] == desk.traces()
    desk.sync(full=True, sweep=True)
    assert [] == desk.traces()
    assert [(1,)] == desk.sql("SELECT count(*) FROM opportunity_history")


@pytest.mark.long
def test_parties_and_notes_of_sub_requests_go_too(house: Any) -> None:
    """In Capsule an additional party with the address and a note that holds it go; other notes stay."""
    desk = house("capsule", rows=0)
    crm, deal = desk.crm("capsule"), desk.deal("capsule", name="Party")
    number = max(crm.parties) + 1
    crm.parties[number] = {"id": number, "firstName": "Zoë", "lastName": "Quitterie"}
    crm.emails[number] = [EMAIL]
    crm.extra_parties[deal] = [number]
    at = desk.now
    note = {"type": "Note", "entryDate": at, "creator": "a.user", "creatorName": "A User"}
    crm.history[deal] = [
        {"id": 1, **note, "subject": "Mail", "note": f"Write to\n{EMAIL.lower()}, {NAME}, {PHONE}"},
        {"id": 2, **note, "subject": "Call", "note": "Nobody there"},
    ]
    desk.sync()
    assert desk.traces()
    desk.erase(address=EMAIL)
    assert [] == desk.traces()
    assert [("2", "Nobody there")] == desk.sql("SELECT note_id, body FROM notes")
    assert [] == desk.sql("FROM contacts")
    desk.sync(full=True)
    assert [] == desk.traces()


@pytest.mark.long
def test_what_was_pushed_and_waits_to_be_pushed_goes_too(house: Any) -> None:
    """Edits, their bases, requests, answers and conflicts hold nothing of the person; a figure can be pushed."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    desk.edit("overplane", deal, contact_phone=PHONE + "4", name=f"Attic of {NAME}")
    assert "done" in desk.pushed().state
    desk.sync()
    desk.edit("overplane", deal, name=f"Both {NAME}")
    desk.change("overplane", deal, name=f"Theirs {NAME}")
    desk.apply()
    assert 1 == len(desk.conflicts())
    desk.erase(deal=("overplane", str(deal)))
    assert [] == desk.traces()
    assert [] == desk.conflicts()
    assert [] == desk.queue()
    with pytest.raises(UsageError, match="was erased here"):
        desk.edit("overplane", deal, name="Again")
    desk.edit("overplane", deal, amount="777.00")
    assert "done" in desk.pushed().state
    desk.sync()
    assert "777.00" == desk.held("overplane", deal, "amount")
    assert NAME in str(desk.held("overplane", deal, "name"))
    assert [] == desk.traces()


@pytest.mark.long
def test_frozen_days_the_mapping_and_left_out_columns_keep_nothing(house: Any) -> None:
    """What was frozen keeps its figures; reading everything again with another mapping brings nothing back."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    with desk.project() as project:
        freezing.freeze(project, "board", None, None, say=print)
    desk.erase(deal=("overplane", str(deal)))
    assert [(None, None)] == desk.sql(f"SELECT name, contact FROM frozen.board WHERE source_id = '{deal}'")
    assert [(deal,)] == desk.sql(f"SELECT source_id FROM frozen.board WHERE source_id = '{deal}'")
    before = desk.sql("SELECT source_id, version, amount, status, changed_fields FROM opportunity_history ORDER BY ALL")
    (desk.folder / "mappings").mkdir()
    (desk.folder / "mappings" / "overplane.yaml").write_text(
        "extends: overplane\nfields:\n  description: contact_display\n  lead_source: contact_email\n"
    )
    with desk.project() as project:
        assert apply_mapping(project)
    assert before == desk.sql(
        "SELECT source_id, version, amount, status, changed_fields FROM opportunity_history ORDER BY ALL"
    )
    desk.sync(sweep=True)
    with desk.project() as project:
        freezing.freeze(project, "later", None, None, say=print)
    assert [] == desk.traces()


def test_copies_and_backups_are_removed(house: Any) -> None:
    """Kept copies and backups that are where they were put are removed; one that was moved away is named."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    with desk.project() as project:
        state = project.config.state
        for name in ("one.zip", "two.zip", "three"):
            backups.make(project, desk.folder / name)
    (desk.folder / "two.zip").rename(desk.folder.parent / "moved.zip")
    (state / "work.v5.duckdb").write_bytes((state / "work.duckdb").read_bytes())
    (state / "control.v2.sqlite").write_bytes(f"{NAME} {EMAIL}".encode())
    (state / "trial.999999.duckdb").write_bytes(EMAIL.encode())
    (state / ".work.duckdb.999999.part").write_bytes(EMAIL.encode())
    found = desk.erase(deal=("overplane", str(deal)))
    assert [desk.folder / "two.zip"] == list(found.missing)
    assert not (desk.folder / "one.zip").exists()
    assert not (desk.folder / "three").exists()
    assert [] == desk.traces()
    assert ["two.zip"] == [Path(one.path).name for one in backups.known(state)]


def test_pages_that_wait_to_be_merged_are_forgotten(house: Any) -> None:
    """A page left by a killed run goes from the first segment on that holds the person; it is fetched again."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    with desk.project() as project:
        folder = project.warehouse.spool / "overplane" / "slice"
    spool = Spool(folder)
    for record in (Record("a", b'{"id":"a"}'), Record(str(deal), json.dumps({"n": NAME}).encode()), Record("c", b"{}")):
        spool.add("opportunity", [record], at=desk.now)
        spool.flush()
    desk.erase(deal=("overplane", str(deal)))
    assert [1] == [one.number for one in segments(folder)]
    assert [] == desk.traces()


def test_pages_of_another_connection_at_work_are_let_be(house: Any) -> None:
    """Erasing one deal holds that connection alone: a run of another one goes on writing its pages."""
    desk = house("overplane", "onautomate")
    deal = desk.person()
    desk.sync()
    with desk.project() as project, project.control.lease("connection:onautomate"):
        folder = project.warehouse.spool / "onautomate" / "slice"
        spool = Spool(folder)
        spool.add("opportunity", [Record("1", b'{"id":1}')], at=desk.now)
        spool.flush()
        spool.add("opportunity", [Record("2", b'{"id":2}')], at=desk.now)
        desk.erase(deal=("overplane", str(deal)))
        spool.flush()
    assert [1, 2] == [one.number for one in segments(folder)]


@pytest.mark.long
def test_a_copy_that_was_published_half_way_is_replaced(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process publishes what is blank already, and not yet made anew: the person is in unused parts of that."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()

    def elsewhere(warehouse: Warehouse, *, always: bool) -> Rewritten:
        with desk.project() as project:
            assert publish(project.warehouse, project.config.warehouse, project.views, print)
        assert desk.traces()
        return rewrite(warehouse, always=always)

    monkeypatch.setattr(erasing, "rewrite", elsewhere)
    desk.erase(deal=("overplane", str(deal)))
    assert [] == desk.traces()


@pytest.mark.long
def test_the_whole_snapshot_beside_a_shared_file_is_made_anew(house: Any) -> None:
    """Where the published file lacks columns, the whole one in the state folder holds nothing of the person either."""
    desk = house("overplane")
    deal = desk.person()
    desk.publish = {"raw": False}
    desk.sync()
    assert any("whole" in one for one in desk.traces())
    desk.erase(deal=("overplane", str(deal)))
    assert [] == desk.traces()


@pytest.mark.long
def test_the_marker_tells_all_but_who_it_was(house: Any) -> None:
    """The table erasures tells when, by whom, why and which columns; of an address a keyed fingerprint alone."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    desk.erase(address=EMAIL)
    columns = "connection, source_id, fingerprint IS NOT NULL, actor, reason, len(fields) > 10"
    rows = desk.sql(f"SELECT {columns} FROM erasures")
    assert {(None, None, True, "operator", "asked to", False)} < set(rows)
    assert ("overplane", str(deal), False, "operator", "asked to", True) in rows
    assert not any(word in str(desk.sql("SELECT erasures::VARCHAR FROM erasures")) for word in WORDS)

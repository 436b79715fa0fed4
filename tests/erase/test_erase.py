"""Erasing a person: nothing of them is left in any file, the figures stay, and nothing brings them back."""

from typing import Any

import pytest

from tests.erase.conftest import EMAIL, NAME, PHONE


def test_the_person_behind_a_deal_is_in_no_file_any_more(house: Any) -> None:
    """Given a deal with history, then after erasing no file holds the person, and its figures stand."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    desk.change("overplane", deal, name="Cellar of Zoë Quitterie")
    desk.change("overplane", deal, amount="250.50")
    desk.sync()
    figures = (
        "SELECT connection, source_id, version, amount, stage, status, owner, created_at::VARCHAR, "
        "valid_from::VARCHAR, is_deleted FROM opportunity_history ORDER BY ALL"
    )
    before = desk.sql(figures)
    assert desk.traces()
    found = desk.erase(deal=("overplane", str(deal)))
    assert (("overplane", str(deal)),) == found.deals
    assert [] == desk.traces()
    assert before == desk.sql(figures)
    names = "name, contact, contact_email, contact_phone"
    own = f"SELECT DISTINCT {names} FROM opportunity_history WHERE source_id = '{deal}'"
    assert [(None, None, None, None)] == desk.sql(own)


@pytest.mark.long
def test_nothing_brings_an_erased_person_back(house: Any) -> None:
    """The CRM still has them: syncs, complete or not, make no version of it, and a change of a figure only its own."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    desk.erase(deal=("overplane", str(deal)))
    for options in ({}, {"sweep": True}, {"full": True}):
        report = desk.sync(**options)
        assert 0 == report.connections[0].of("opportunity").counts.changed
    desk.change("overplane", deal, amount="999.00")
    desk.sync()
    assert [(2, ["amount", "updated_at"])] == desk.sql(
        f"SELECT version, changed_fields FROM opportunity_history WHERE source_id = '{deal}' AND valid_to IS NULL"
    )
    assert [] == desk.traces()


@pytest.mark.long
def test_whoever_has_an_address_is_erased_in_every_connection(house: Any) -> None:
    """By the address deals are found in all connections, however it is written; later ones are blank as they come."""
    desk = house("overplane", "onautomate")
    first = desk.person()
    contact = {"name": NAME, "email": EMAIL.upper(), "phone": PHONE}
    second = desk.crm("onautomate").insert(name="Shed", contact=contact)
    desk.sync()
    found = desk.erase(address=EMAIL)
    assert {("overplane", str(first)), ("onautomate", str(second))} == set(found.deals)
    assert [] == desk.traces()
    third = desk.crm("onautomate").insert(name="Porch", contact=contact | {"email": EMAIL})
    desk.sync()
    assert [(None, None)] == desk.sql(f"SELECT name, contact FROM opportunities WHERE source_id = '{third}'")
    assert [] == desk.traces()

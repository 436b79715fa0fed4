"""After an erasure: deals that turn out to be the person's, connections that are gone, a lost control file."""

from typing import Any

import pytest

import onepipe.erase as erasing
from onepipe.errors import UsageError
from tests.erase.conftest import EMAIL, NAME, PHONE


@pytest.mark.long
def test_a_deal_that_turns_out_to_be_the_persons_is_blanked_with_its_past(house: Any) -> None:
    """Stored without the address, then sent with it: blank as it comes, its past with the next run, files on resume."""
    desk = house("overplane", rows=1)
    deal = desk.deal("overplane", name=f"Roof of {NAME}", contact_display=NAME)
    desk.sync()
    desk.erase(address=EMAIL)
    assert desk.traces()
    desk.change("overplane", deal, contact_email=EMAIL, contact_mobile=PHONE)
    desk.sync()
    assert any("was erased" in one for one in desk.notes.said)
    assert [(None, None)] == desk.sql(f"SELECT name, contact FROM opportunities WHERE source_id = '{deal}'")
    desk.sync()
    with desk.project() as project:
        assert 1 == len(erasing.resume(project, wait=0.0).deals)
    assert [] == desk.traces()
    assert [(1, []), (2, ["updated_at"])] == desk.sql(
        f"SELECT version, changed_fields FROM opportunity_history WHERE source_id = '{deal}' ORDER BY version"
    )


@pytest.mark.long
def test_a_connection_that_config_has_no_more_is_erased_too(house: Any) -> None:
    """Its rows cannot be read again: what is personal of them is blanked, figures stay."""
    desk = house("overplane", "onautomate")
    desk.person()
    desk.sync()
    figures = "SELECT source_id, version, amount, stage, status FROM opportunity_history ORDER BY ALL"
    before = desk.sql(figures)
    kept = desk.connections.pop("overplane")
    desk.erase(address=EMAIL)
    assert [] == desk.traces()
    assert before == desk.sql(figures)
    desk.connections["overplane"] = kept
    desk.sync(sweep=True)
    assert [] == desk.traces()
    assert before == desk.sql(figures)


def test_an_edit_that_holds_an_erased_address_is_refused(house: Any) -> None:
    """In whatever deal: what was erased is not typed in again unnoticed."""
    desk = house("overplane")
    desk.person()
    desk.sync()
    desk.erase(address=EMAIL)
    other = str(desk.sql("SELECT source_id FROM deals WHERE name IS NOT NULL")[0][0])
    with pytest.raises(UsageError, match="erased here"):
        desk.edit("overplane", other, contact_email=EMAIL.lower())


def test_markers_of_deals_outlive_the_control_file(house: Any) -> None:
    """A control file that is made anew takes the markers over from the warehouse before anything is read."""
    desk = house("overplane")
    deal = desk.person()
    desk.sync()
    desk.erase(deal=("overplane", str(deal)))
    with desk.project() as project:
        state = project.config.state
    for path in state.glob("control.sqlite*"):
        path.unlink()
    report = desk.sync(sweep=True)
    assert 0 == report.connections[0].of("opportunity").counts.changed
    assert [] == desk.traces()

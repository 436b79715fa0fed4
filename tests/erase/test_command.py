"""The command `erase`: looking first, asking, who is in the way, and what it says afterwards."""

from typing import Any

import pytest

from tests.cli.place import Place
from tests.erase.conftest import EMAIL, WORDS


@pytest.fixture
def desk(house: Any) -> Any:
    """A desk whose person has one deal, synced."""
    made = house("overplane")
    made.row = made.person()
    made.sync()
    return made


def test_a_plan_names_the_deals_and_changes_nothing(desk: Any) -> None:
    """Given --plan, then the deals are told, no marker is written, and the person is where they were."""
    place, before = Place(desk.folder), len(desk.traces())
    told = place.run("erase", "--email", EMAIL, "--plan", "--json")
    assert 0 == told.code, told.err
    assert [{"connection": "overplane", "source_id": str(desk.row)}] == told.json["deals"]
    assert not told.json["erased"]
    assert "Nobody was erased.\n" == place.run("erase", "--list").out
    assert before == len(desk.traces())


@pytest.mark.parametrize("words", [("--plan",), (), ("--yes",)])
def test_an_address_that_nobody_has_is_said_to_be_that(desk: Any, words: tuple[str, ...]) -> None:
    """Exit code 0 and not "0 deals"; only --yes has it stay blank in what is read later."""
    place, before = Place(desk.folder), len(desk.traces())
    told = place.run("erase", "--email", "nobody@example.org", *words)
    assert (0, True) == (told.code, told.out.startswith("Nobody ha")), told.err
    assert "0 deals" not in told.out + told.err
    assert ("--yes" in words) == (place.run("erase", "--list").out != "Nobody was erased.\n")
    assert before == len(desk.traces())


def test_nothing_is_erased_without_a_yes(desk: Any) -> None:
    """Where nobody can be asked, --yes has to be said; words that name nobody are refused, each with exit code 2."""
    place, deal = Place(desk.folder), str(desk.row)
    refused = (
        ("overplane", deal),
        ("overplane",),
        ("overplane", "no such deal", "--yes"),
        ("--email", "nobody", "--yes"),
        ("--email", EMAIL, "nowhere", "--yes"),
        ("--list", "--resume"),
        (),
    )
    for words in refused:
        assert 2 == place.run("erase", *words).code, words
    assert desk.traces()


def test_whoever_is_at_work_is_named(desk: Any) -> None:
    """Given a run that holds the connection, then exit code 75 names it, and nothing was changed."""
    with desk.project() as project, project.control.lease("connection:overplane"):
        told = Place(desk.folder).run("erase", "overplane", str(desk.row), "--yes", "--wait", "0")
    assert 75 == told.code, told.err
    assert "(test)" in told.err
    assert "Nobody was erased.\n" == Place(desk.folder).run("erase", "--list").out


def test_it_says_what_it_did_and_lists_it_without_the_person(desk: Any) -> None:
    """The address comes from stdin; what is printed and listed holds no word of who it was."""
    place = Place(desk.folder)
    told = place.run("erase", "--email", "-", "--yes", "--reason", "request 12", given=f"{EMAIL}\n")
    assert 0 == told.code, told.err
    listed = place.run("erase", "--list")
    assert "request 12" in listed.out
    assert str(desk.row) in listed.out
    assert 2 == len(place.run("erase", "--list", "--json").json["erasures"])
    assert "Nothing was begun that is not ended.\n" == place.run("erase", "--resume").out
    assert not any(word in told.out + told.err + listed.out for word in WORDS)
    assert [] == desk.traces()

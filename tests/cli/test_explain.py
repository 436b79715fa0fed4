"""`explain`: one deal, version by version, and how we know."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """A Capsule deal that was loaded, changed in a field that is unreadable since, and deleted; and its id."""
    folder = tmp_path_factory.mktemp("lived")
    with Sandbox(rows=8, seed=7, crms=("capsule",)) as crms:
        write(folder, connection(crms, "capsule"))
        place = Place(folder)
        key = next(iter(crms["capsule"].records))
        assert 0 == place.run("sync").code
        crms["capsule"].update(key, name="Renamed", probability="plenty")
        assert 0 == place.run("sync").code
        crms["capsule"].delete(key)
        assert 0 == place.run("sync").code
        yield place, str(key)


@pytest.mark.long
def test_every_version_is_there_oldest_first(lived: tuple[Place, str]) -> None:
    """With its interval, why it is there, the run and its requests, the raw row, and the mapping."""
    place, key = lived
    told = place.run("explain", "capsule", key, "--json").json
    runs = [one["run_id"] for one in place.run("runs", "--json").json["runs"]][::-1]
    versions = told["versions"]
    assert ("deleted", [1, 2, 3]) == (told["state"], [one["version"] for one in versions])
    assert [versions[1]["valid_from"], versions[2]["valid_from"], None] == [one["valid_to"] for one in versions]
    assert (runs, ["source", "source", "deletion"]) == (
        [one["run"]["run_id"] for one in versions],
        [one["change_origin"] for one in versions],
    )
    assert all(one["run"]["requests"] > 0 and one["run"]["command"] == "sync" for one in versions)
    assert ["record", "record", "tombstone"] == [one["began_with"]["kind"] for one in versions]
    assert 1 == len({one["mapping_version"] for one in versions})
    details = {row["resource"] for row in versions[0]["details"] if row["completed"]}
    assert {"customfield", "history", "party", "tag"} == details


def test_what_changed_is_told_field_by_field(lived: tuple[Place, str]) -> None:
    """Old and new value; a value that cannot be read with what was sent and why; a deletion with its evidence."""
    place, key = lived
    _, changed, deleted = place.run("explain", "capsule", key, "--json").json["versions"]
    news = {change["field"]: change["new"] for change in changed["changes"]}
    assert ("Renamed", None) == (news["name"], news["probability"])
    assert [("probability", "plenty")] == [(one["field"], one["value"]) for one in changed["unreadable"]]
    assert [{"field": "is_deleted", "old": "false", "new": "true"}] == deleted["changes"]
    assert "tombstone" == deleted["deleted"]["evidence"]


def test_people_can_read_it(lived: tuple[Place, str]) -> None:
    """A block for each version, in sentences where sentences help."""
    place, key = lived
    text = place.run("explain", "capsule", key).out
    assert text.startswith(f"capsule {key}: Renamed\n")
    assert 3 == sum(line.startswith("version ") for line in text.splitlines())
    for words in (
        "-> Renamed",
        "first seen",
        "the CRM listed it as deleted",
        "unreadable",
        "of raw.records (tombstone)",
    ):
        assert words in text


def test_an_unknown_id_is_answered_with_near_ones(lived: tuple[Place, str]) -> None:
    """Exit code 2; ids are often mistyped by a letter."""
    place, key = lived
    told = place.run("explain", "capsule", f"{key}9")
    assert (2, "", True) == (told.code, told.out, f"Ids that resemble it: '{key}'" in told.err)


def test_an_unknown_connection_is_answered_with_a_guess(lived: tuple[Place, str], place: Place) -> None:
    """Exit code 2; one that was never run is said to be that."""
    told = lived[0].run("explain", "capsul", "1")
    assert (2, True) == (told.code, "did you mean 'capsule'?" in told.err)
    assert 2 == place.run("explain", "capsule", "1").code


def test_a_change_that_no_column_shows_is_named(tmp_path: Path) -> None:
    """Why there is a version although all columns are the same: the key of the payload that changed."""
    with Sandbox(rows=4, seed=7, crms=("overplane",)) as crms:
        write(tmp_path, connection(crms, "overplane"))
        place, row = Place(tmp_path), next(iter(crms["overplane"].rows.values()))
        for size in (1, 2):
            row["box"] = {"id": "b", "name": "Box", "size": size}
            assert 0 == place.run("sync").code
    _, told = place.run("explain", "overplane", row["id"], "--json").json["versions"]
    assert ([], ["box"]) == (told["changes"], told["unseen_changes"])
    assert "box of the payload changed, which no column shows" in place.run("explain", "overplane", row["id"]).out

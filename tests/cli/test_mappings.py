"""`mapping show`, `mapping check` and `mapping apply`."""

import shutil
from pathlib import Path

import duckdb
import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

SHIPPED = Path(__file__).parents[2] / "mappings"


@pytest.fixture
def edited(tmp_path: Path, crms: Sandbox) -> Place:
    """A project synced once, whose mapping was edited afterwards: descriptions become names."""
    write(tmp_path, connection(crms, "administrate"))
    place = Place(tmp_path)
    (tmp_path / "mappings").mkdir()
    file = Path(shutil.copy(SHIPPED / "administrate.yaml", tmp_path / "mappings"))
    assert 0 == place.run("sync").code
    text = file.read_text()
    assert "\n  type:" not in text
    file.write_text(text.replace("\nfields:\n", "\nfields:\n  type:                name\n"))
    return place


def test_show_prints_sql_that_duckdb_understands(place: Place) -> None:
    """It is meant to be read, and to be tried."""
    told = place.run("mapping", "show", "capsule")
    assert (0, True) == (told.code, "SELECT source_id" in told.out)
    assert duckdb.extract_statements(told.out)
    assert 2 == place.run("mapping", "show", "capsul").code


def test_check_finds_no_mistake_in_what_is_shipped(tmp_path: Path) -> None:
    """All five mappings with all their examples; no project is needed."""
    told = Place(tmp_path).run("mapping", "check", *(str(path) for path in sorted(SHIPPED.glob("*.yaml"))))
    assert (0, "5 mappings checked, with all examples: no mistake.\n") == (told.code, told.out)


def test_check_without_files_takes_those_in_use(place: Place) -> None:
    """The mappings of the connections in config.yaml."""
    told = place.run("mapping", "check", "--json")
    assert [0, ["administrate.yaml", "capsule.yaml"], []] == [
        told.code,
        [Path(file).name for file in told.json["files"]],
        told.json["faults"],
    ]


def test_check_tells_every_mistake_with_its_place(tmp_path: Path) -> None:
    """In the mapping and in its examples; exit code 2."""
    wrong, untrue = tmp_path / "wrong.yaml", tmp_path / "untrue.yaml"
    wrong.write_text("key: id\nfields:\n  name: {from: name, as: verbatm}\n  amont: value\n")
    untrue.write_text("key: id\nfields:\n  name: title\nexamples:\n- in: {id: 1, title: Deal}\n  out: {name: Other}\n")
    told = Place(tmp_path).run("mapping", "check", str(wrong), str(untrue))
    assert (2, 3) == (told.code, len(told.out.splitlines())), told.out
    first, second, third = told.out.splitlines()
    assert first.startswith(f"{wrong}:3:") and "verbatim" in first
    assert second.startswith(f"{wrong}:4:") and "amount" in second
    assert third.startswith(f"{untrue}:6:") and "Other" in third


def test_a_sync_says_that_an_edited_mapping_waits(edited: Place) -> None:
    """Nothing is read in a new way behind the user's back."""
    told = edited.run("sync")
    assert (0, True) == (told.code, "`onepipe mapping apply administrate`" in told.err)


def test_apply_asks_before_it_reads_again(edited: Place) -> None:
    """Off a terminal it refuses without --yes, and nothing is changed."""
    told = edited.run("mapping", "apply")
    assert (2, True) == (told.code, "add --yes" in told.err.lower())
    assert [{"n": 0}] == edited.run("sql", "SELECT count(type) AS n FROM opportunities", "--json").json


def test_apply_reads_everything_again_without_a_request(edited: Place, crms: Sandbox) -> None:
    """From raw, for every version; a second apply has nothing to do."""
    before = len(crms["administrate"].log)
    told = edited.run("mapping", "apply", "--yes", "--json")
    (applied,) = told.json["applied"]
    assert (0, "administrate", 12) == (told.code, applied["connection"], applied["versions"])
    assert [{"same": True}] == edited.run("sql", "SELECT bool_and(type = trim(name)) AS same FROM deals", "--json").json
    assert before == len(crms["administrate"].log)
    assert "nothing to do" in edited.run("mapping", "apply").out


def test_plan_shows_what_would_change_and_changes_nothing(edited: Place) -> None:
    """Columns, rows and values for people, the same as one document for programs; then apply still has it all to do."""
    told = edited.run("mapping", "plan")
    assert (0, True) == (told.code, "Nothing was changed." in told.out), told.err
    (line,) = [line for line in told.out.splitlines() if line.split()[:2] == ["type", "12"]]
    assert ["type", "12", "12"] == line.split(), "rows, and values that appear"
    (found,) = edited.run("mapping", "plan", "administrate", "--json").json["plans"]
    assert ("administrate", 12, ["type"], 4, []) == (
        found["connection"],
        found["versions"],
        [one["column"] for one in found["columns"]],
        len(found["month_ends"]),
        found["refused"],
    )
    assert 12 == edited.run("mapping", "apply", "--yes", "--json").json["applied"][0]["versions"]
    assert "nothing to do" in edited.run("mapping", "plan").out
    assert {"plans": []} == edited.run("mapping", "plan", "--json").json


@pytest.mark.long
def test_apply_refuses_what_would_empty_a_column(edited: Place) -> None:
    """With the figures and exit code 2; --force does it."""
    file = edited.folder / "mappings" / "administrate.yaml"
    file.write_text("extends: administrate\nfields:\n  name:\n")
    told = edited.run("mapping", "apply", "--yes")
    assert 2 == told.code
    assert "name would be empty: all of its values (12 in current rows) would be gone" in told.err
    assert "--force" in told.err
    assert "It would be refused: name would be empty" in edited.run("mapping", "plan").err
    (refused,) = edited.run("mapping", "apply", "--yes", "--json").json["refused"]
    assert ("administrate", 1) == (refused["connection"], len(refused["reasons"]))
    assert [{"n": 12}] == edited.run("sql", "SELECT count(name) AS n FROM opportunities", "--json").json
    assert 0 == edited.run("mapping", "apply", "--yes", "--force").code
    assert [{"n": 0}] == edited.run("sql", "SELECT count(name) AS n FROM opportunities", "--json").json


def test_check_and_show_follow_extends(place: Place) -> None:
    """As the project does it: beside config.yaml, then among those shipped."""
    (place.folder / "mappings").mkdir()
    file = place.folder / "mappings" / "capsule.yaml"
    file.write_text("extends: capsule\nfields:\n  type: {from: kind, write: false}\n")
    assert 0 == place.run("mapping", "check", str(file)).code
    assert "kind" in place.run("mapping", "show", "capsule").out
    file.write_text("extends: capsul\n")
    told = place.run("mapping", "check")
    assert (2, True) == (told.code, f"{file}:1:10: extends: there is no mapping called so" in told.out)

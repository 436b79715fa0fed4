"""`connectors list`, `connectors new` and `connectors test`."""

from pathlib import Path

import pytest

from tests.cli.place import Place


@pytest.fixture
def empty(tmp_path: Path) -> Place:
    """A folder without anything; a config is not needed."""
    return Place(tmp_path)


def test_list_tells_what_each_connector_can_do(empty: Place) -> None:
    """For people and as JSON: where it comes from, how long its API lives, what it needs, reads and can do."""
    told = {one["name"]: one for one in empty.run("connectors", "list", "--json").json["connectors"]}
    assert {"administrate", "tactile", "capsule", "onautomate", "overplane"} <= set(told)
    capsule = told["capsule"]
    assert ("2018-01-31", "since", ["token"]) == (capsule["ends"], capsule["filter"], capsule["credentials"])
    assert {"by_milestone", "by_tag", "by_party", "currencies"} <= {read["name"] for read in capsule["reads"]}
    assert ["create", "update", "delete"] == capsule["writes"]
    actions = {action["name"] for action in capsule["actions"]}
    assert {"add_tag", "remove_tag", "add_note", "add_party", "remove_party"} == actions
    text = empty.run("connectors", "list").out
    assert "add_tag ID tag=" in text
    assert "its end was announced for 2018-01-31" in text
    assert "by_tag tag=" in text


def test_a_broken_file_does_not_hide_the_others(empty: Place) -> None:
    """It is listed as broken, with the reason."""
    (empty.folder / "connectors").mkdir()
    (empty.folder / "connectors" / "mine.py").write_text("this is no Python\n")
    told = empty.run("connectors", "list")
    assert (0, True, True) == (told.code, "broken: " in told.out, "capsule" in told.out)


def test_a_new_connector_passes_the_suite_and_reads_nothing_else(empty: Place) -> None:
    """What the scaffold writes works as it stands."""
    told = empty.run("connectors", "new", "pipedrive")
    assert (0, True) == (told.code, (empty.folder / "connectors" / "pipedrive.py").is_file()), told.err
    told = empty.run("connectors", "test", str(empty.folder / "connectors" / "pipedrive.py"))
    assert (0, True) == (told.code, "promises hold" in told.out.splitlines()[-1]), told.out
    assert 2 == empty.run("connectors", "new", "pipedrive").code


def test_a_connector_that_breaks_a_promise_ends_with_1(empty: Place) -> None:
    """The promise, and what was seen instead."""
    assert 0 == empty.run("connectors", "new", "hasty").code
    file = empty.folder / "connectors" / "hasty.py"
    whole = file.read_text()
    file.write_text(whole.replace("self._page(offset, since)", "self._page(offset)"))
    assert whole != file.read_text()
    told = empty.run("connectors", "test", str(file), "--json")
    failed = [check for check in told.json["checks"] if check["outcome"] == "failed"]
    assert (1, True) == (told.code, bool(failed)), told.json["score"]
    assert all(check["reason"] for check in failed)


@pytest.mark.parametrize("name", ["nope.py", "config.yaml"])
def test_what_is_no_connector_is_refused(empty: Place, name: str) -> None:
    """Exit code 2."""
    (empty.folder / "config.yaml").write_text("connections: {}\n")
    assert 2 == empty.run("connectors", "test", str(empty.folder / name)).code

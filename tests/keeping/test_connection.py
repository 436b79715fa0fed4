"""`connection rename` and `forget`: all of a name moves, or goes, wherever it is kept."""

from pathlib import Path
from typing import Any

import pytest

import onepipe.keeping.names as names
from onepipe.account import account_url, utc_now
from onepipe.control import Control
from onepipe.errors import UsageError
from onepipe.project import Project
from onepipe.warehouse import bindings
from tests.effort import some
from tests.keeping.conftest import House, changed, some_id

NAMED = (
    "SELECT schema_name || '.\"' || table_name || '\"' FROM duckdb_columns() WHERE column_name = 'connection' "
    "AND database_name = 'work' AND table_name IN (SELECT table_name FROM duckdb_tables())"
)


def rows(house: House, name: str) -> dict[str, int]:
    """How many rows of a connection each table of the work file and the control file has."""
    with Project(house.config, "test") as project, project.warehouse.look() as db:
        tables = [table for (table,) in db.run(NAMED)]
        found = {one: int(db.one(f"SELECT count(*) FROM {one} WHERE connection = ?", [name])) for one in tables}
        found |= {f"control.{table}": count for table, count in project.control.rows_of(name).items()}
    return {table: count for table, count in found.items() if count}


def history(house: House, *names: str) -> list[dict[str, Any]]:
    """Every version of these connections, without their name."""
    told = ", ".join(f"'{name}'" for name in names)
    return house.sql(
        "SELECT * EXCLUDE (connection) FROM opportunity_history "
        f"WHERE connection IN ({told}) ORDER BY source_id, version"
    )


def busy(house: House) -> House:
    """With an edit that waits, one that was sent, and a day that was frozen."""
    house.configure("on")
    house.told("edit", "capsule", str(some_id(house, "capsule", 6)), "name=Sent")
    house.told("push", "apply", "--yes")
    house.told("edit", "capsule", str(some_id(house, "capsule", 7)), "name=Waiting")
    house.told("freeze", "kept")
    return house


def test_everything_moves_and_no_deal_gets_a_new_version(house: House) -> None:
    """Warehouse, frozen days, control file; the queue goes on under the new name, and a sync finds nothing new."""
    busy(house)
    before, versions = rows(house, "capsule"), history(house, "capsule")
    house.configure("on", capsule="acme")
    told = house.told("connection", "rename", "capsule", "acme", "--json").json
    assert ({}, before) == (rows(house, "capsule"), rows(house, "acme"))
    assert before['store."current"'] == told["rows"]["store.current"]
    assert versions == history(house, "acme")
    assert [{"n": 0, "kept": True}] == house.sql(
        "SELECT count(*) FILTER (connection = 'capsule') AS n, count(*) FILTER (connection = 'acme') > 0 AS kept "
        "FROM frozen.kept"
    )
    assert ["acme", "tactile"] == sorted(house.sql("SELECT mappings FROM frozen.frozen")[0]["mappings"])
    house.told("sync", "--sweep")
    assert versions == history(house, "acme")
    assert [{"state": "active"}] == house.sql("SELECT state FROM connections WHERE connection = 'acme'")
    house.told("push", "apply", "--yes")
    assert "Waiting" == house.crms["capsule"].rows[some_id(house, "capsule", 7)]["name"]
    assert ({}, []) == (rows(house, "capsule"), house.told("edit", "list", "--json").json["edits"])


def test_the_credential_stays_known(house: House) -> None:
    """Its fingerprint is made anew where it is the same one, and is another where it was changed meanwhile."""
    house.configure(capsule="acme")
    house.told("connection", "rename", "capsule", "acme")
    with Project(house.config, "test") as project:
        values = project.config.connections["acme"].plain_credentials()
        assert [False, True] == [
            project.control.credential("acme", one).is_new() for one in (values, {**values, "token": "another"})
        ]


def test_what_config_yaml_does_not_say_is_refused(house: House) -> None:
    """Exit code 2 and nothing changed: the old name still there, the new one missing or taken, another account."""
    before = rows(house, "capsule")
    house.told("connection", "rename", "capsule", "acme", code=2)
    house.configure(capsule="acme", tactile="")
    for old, new, word in (
        ("capsule", "nobody", "no connection"),
        ("tactile", "acme", "belongs to tactile"),
        ("nobody", "acme", "nothing is kept"),
    ):
        assert word in house.told("connection", "rename", old, new, code=2).err.lower()
    house.configure(capsule="", tactile="tactile")
    assert "has rows of its own" in house.told("connection", "rename", "capsule", "tactile", code=2).err
    house.configure(capsule="capsule")
    assert before == rows(house, "capsule")


def test_a_run_that_begins_under_the_new_name_meanwhile_is_not_mixed_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It binds the name before it asks for the lease: whoever renames looks again in its own transaction."""
    house.configure("on", capsule="acme")
    written = names._write_down

    def meanwhile(*told: Any) -> None:
        written(*told)
        with Project(house.config, "onepipe sync") as other, other.warehouse.commit("run") as db:
            one = other.config.connections["acme"]
            bindings.bind(db, "acme", one.connector, account_url(other.config, one), utc_now())

    monkeypatch.setattr(names, "_write_down", meanwhile)
    before = rows(house, "capsule")
    with Project(house.config, "test") as project, pytest.raises(UsageError, match="acme has run"):
        names.rename(project, "capsule", "acme")
    assert before == rows(house, "capsule")


def test_files_that_name_it_are_told(house: House) -> None:
    """stages.csv is the user's: it says which lines stand for nothing any more."""
    (house.folder / "people.csv").write_text("connection,owner_id,person,team\ncapsule,1,Ann,North\n")
    house.configure(capsule="acme")
    assert ["people.csv"] == house.told("connection", "rename", "capsule", "acme", "--json").json["edit"]


def test_a_name_at_work_is_let_be(house: House) -> None:
    """Exit code 75, which names who holds it."""
    house.configure(capsule="acme")
    with Control(house.state, "onepipe sync") as control, control.lease("connection:capsule"):
        house.told("connection", "rename", "capsule", "acme", code=75)
    house.configure(capsule="", tactile="tactile")
    with Control(house.state, "onepipe sync") as control, control.lease("connection:capsule"):
        house.told("connection", "forget", "capsule", "--yes", code=75)
    with Control(house.state, "onepipe daemon") as control, control.lease("daemon"):
        told = house.told("connection", "forget", "capsule", "--yes", code=75)
    assert "The daemon is at work" in told.err
    assert "old name" not in told.err
    assert rows(house, "capsule")


@pytest.mark.parametrize("number", some([2, 7, 10, 13, 16], every=5, first=2))
def test_killed_anywhere_running_it_again_ends_it(house: House, number: int) -> None:
    """Also with a sync in between, which goes on where it was; no deal gets a new version."""
    house.told("sync")
    house.configure(capsule="acme")
    versions, before = history(house, "capsule"), rows(house, "capsule")
    killed = house.killed(number, "connection", "rename", "capsule", "acme")
    if killed and 'store."current"' not in rows(house, "capsule"):
        house.told("sync")
    if killed:
        house.told("connection", "rename", "capsule", "acme")
    assert {} == rows(house, "capsule")
    assert before.keys() <= rows(house, "acme").keys()
    house.told("sync")
    assert versions == history(house, "acme")
    assert not (house.state / "renaming.json").exists()


def test_what_is_forgotten_is_nowhere_any_more(house: House) -> None:
    """Not in any table, frozen day, control file or page, nor in the unused parts of any file; one line says so."""
    busy(house)
    deal = house.sql("SELECT name, source_id FROM deals WHERE connection = 'capsule' AND length(name) > 12 LIMIT 1")[0]
    words = [b"Waiting", str(deal["name"]).encode()[:24]]
    held = [path for path in files(house) if any(word in path.read_bytes() for word in words)]
    assert held
    page = house.state / "spool" / "capsule" / "x" / "00001.rows"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"Waiting")
    house.configure("on", capsule="")
    house.told("sync")
    told = house.told("connection", "forget", "capsule", "--yes", "--json").json
    assert told["rows"]["store.current"] > 0
    assert {'main."sync_runs"': 1} == rows(house, "capsule")
    ((line),) = house.sql("SELECT * FROM sync_runs WHERE connection = 'capsule'")
    assert ("connection forget", "complete", sum(told["rows"].values())) == (
        line["command"],
        line["status"],
        line["deleted"],
    )
    assert [{"n": 0}] == house.sql("SELECT count(*) AS n FROM frozen.kept WHERE connection = 'capsule'")
    assert [] == [path for path in files(house) if words[0] in path.read_bytes()]
    assert not page.exists()
    house.told("sync")
    house.told("connection", "forget", "capsule", "--yes", code=2)


def files(house: House) -> list[Path]:
    """Every file of the project."""
    return [path for path in house.folder.rglob("*") if path.is_file()]


def test_only_what_is_out_of_use_is_forgotten_and_not_unasked(house: House) -> None:
    """A connection in config.yaml is refused, and so is forgetting without anybody to ask."""
    assert "The name capsule is in config.yaml" in house.told("connection", "forget", "capsule", "--yes", code=2).err
    house.configure(capsule="")
    assert "add --yes" in house.told("connection", "forget", "capsule", code=2).err.lower()
    assert "did you mean 'capsule'" in house.told("connection", "forget", "capsul", "--yes", code=2).err
    assert rows(house, "capsule")


@pytest.mark.parametrize("number", some([3, 6, 8, 10, 13], every=5, first=2))
def test_forgetting_that_was_killed_is_ended_by_the_same_command(house: House, number: int) -> None:
    """Whatever is left of it goes; the others are untouched."""
    house.configure(capsule="")
    others = history(house, "tactile")
    if house.killed(number, "connection", "forget", "capsule", "--yes"):
        house.run("connection", "forget", "capsule", "--yes")
    assert {'main."sync_runs"': 1} == rows(house, "capsule")
    house.told("maintain")
    assert others == history(house, "tactile")
    house.told("sync")


def test_the_name_can_be_used_again(house: House) -> None:
    """A forgotten name is a new connection's, which reads everything."""
    house.configure(capsule="")
    house.told("connection", "forget", "capsule", "--yes")
    changed(house, "After")
    house.configure(capsule="capsule")
    house.told("sync")
    assert 1 == len({one["version"] for one in history(house, "capsule")})

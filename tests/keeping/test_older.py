"""State of another version: an older one is brought up by the first command that writes, a newer one left alone."""

import shutil
import signal
import sqlite3
import time
from pathlib import Path

import duckdb
import pytest

import tests.keeping.older as older
from onepipe.control.file import MIGRATIONS
from onepipe.warehouse.schema import SCHEMA_VERSION
from tests.effort import some
from tests.keeping.conftest import House

KEPT = ("work.v4.duckdb", "control.v5.sqlite")
SAME = "SELECT source_id, version, name, amount, stage, status, payload_hash FROM opportunity_history ORDER BY ALL"


@pytest.fixture
def old(house: House) -> House:
    """A project as an older onepipe left it, with an edit that waits."""
    house.told("sync")
    deal = house.sql("SELECT source_id FROM deals WHERE connection = 'capsule' ORDER BY 1 LIMIT 1")[0]["source_id"]
    house.told("edit", "capsule", deal, "name=Waits since long")
    older.make(house.state, house.warehouse)
    return house


def versions(house: House) -> tuple[int, int]:
    """The layouts of the work file and the control file."""
    with duckdb.connect(str(house.state / "work.duckdb")) as db:
        found = db.execute("SELECT schema_version FROM store.meta").fetchall()
    db = sqlite3.connect(house.state / "control.sqlite")
    number = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return found[0][0], number


def test_the_recipe_is_older(old: House) -> None:
    """Neither file is of today's layout, and what came since is in neither."""
    assert (4, 5) == versions(old)
    with duckdb.connect(str(old.state / "work.duckdb")) as db:
        tables = {name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert {"raw", "current"} <= tables
    assert not {"stage_versions", "reporting", "day_rates"} & tables


def test_a_sync_brings_it_up_and_keeps_copies(old: House) -> None:
    """Every version and the edit that waits are there as before; the copies are the older files, and open."""
    with duckdb.connect(str(old.warehouse), read_only=True) as db:
        before = [list(row) for row in db.execute(SAME).fetchall()]
    old.told("sync")
    assert (SCHEMA_VERSION, len(MIGRATIONS)) == versions(old)
    with duckdb.connect(str(old.warehouse), read_only=True) as db:
        assert before == [list(row) for row in db.execute(SAME).fetchall()]
    assert ["Waits since long"] == [one["value"] for one in old.told("edit", "list", "--json").json["edits"]]
    with duckdb.connect(str(old.state / KEPT[0]), read_only=True) as db:
        assert [(4,)] == db.execute("SELECT schema_version FROM store.meta").fetchall()
    assert (old.state / KEPT[1]).is_file()
    old.told("report", "pipeline")
    assert {"work.v4.duckdb", "control.v5.sqlite"} == {
        Path(one["path"]).name for one in old.told("maintain", "--plan", "--json").json["leftovers"] if one["copy"]
    }


def test_status_looks_at_it_as_it_is(old: House) -> None:
    """It works before anything was brought up, and brings nothing up itself."""
    old.told("status")
    assert (4, 5) == versions(old)
    assert not any((old.state / name).exists() for name in KEPT)


@pytest.mark.long
def test_the_daemon_brings_it_up(old: House) -> None:
    """Started on an older state it runs, keeps the copies and ends in peace."""
    process = old.start("daemon")
    deadline = time.monotonic() + 90
    while not all((old.state / name).exists() for name in KEPT) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert 0 == process.returncode, (out, err)
    assert (SCHEMA_VERSION, len(MIGRATIONS)) == versions(old)


@pytest.mark.parametrize(
    "command", some([("backup", "b.zip"), ("maintain",), ("freeze", "kept"), ("stages",)], every=4)
)
def test_any_other_command_does_so_too(old: House, command: tuple[str, ...]) -> None:
    """Whichever comes first."""
    words = [str(old.folder / word) if word.endswith(".zip") else word for word in command]
    old.told(*words)
    old.told("sync")
    assert (SCHEMA_VERSION, len(MIGRATIONS)) == versions(old)


def test_an_older_backup_is_restored_and_brought_up(old: House) -> None:
    """What was backed up before an upgrade is of use after it."""
    place = old.folder.parent / "b.zip"
    old.told("backup", str(place))
    older.make(old.state, old.warehouse)
    shutil.rmtree(old.state)
    old.told("restore", str(place))
    old.told("sync")
    assert (SCHEMA_VERSION, len(MIGRATIONS)) == versions(old)


COMMANDS = (
    *(("sync",), ("backfill",), ("daemon",), ("maintain",), ("maintain", "--plan"), ("backup", "x.zip")),
    *(
        ("freeze", "kept"),
        ("mapping", "plan"),
        ("mapping", "apply", "--yes"),
        ("stages", "--apply"),
        ("rebind", "capsule"),
    ),
    *(("connection", "forget", "x", "--yes"), ("problems", "--replay"), ("sweep", "discard", "capsule")),
)


@pytest.mark.parametrize("which", ["work", "control"])
def test_a_newer_state_is_refused_by_all_and_nothing_changed(house: House, which: str) -> None:
    """Exit code 2, whatever is asked; both files stay byte for byte what they were."""
    if which == "work":
        with duckdb.connect(str(house.state / "work.duckdb")) as db:
            db.execute("UPDATE store.meta SET schema_version = 9999")
    else:
        db = sqlite3.connect(house.state / "control.sqlite")
        db.execute("PRAGMA user_version = 9999")
        db.close()
    before = (house.state / "work.duckdb").read_bytes()
    codes = {words: house.run(*words) for words in COMMANDS}
    wrong = {words: (told.code, told.out, told.err) for words, told in codes.items() if told.code != 2}
    assert {} == wrong
    assert before == (house.state / "work.duckdb").read_bytes()
    if which == "control":
        house.told("status", code=2)
    assert not (house.folder / "x.zip").exists()

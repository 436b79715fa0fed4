"""`restore`: the old state or the backup's, whole; what happened since is found, and nothing is sent twice."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.keeping import backups
from onepipe.project import Project
from tests.keeping.conftest import HISTORY, House, changed, some_id

NEW = ("company_id=2", "stage=New", "amount=99.25")  # what a new deal of Capsule needs beside its name


def backed_up(house: House) -> Path:
    """A backup of the project as it is now."""
    place = house.folder.parent / f"{len(list(house.folder.parent.glob('*.zip')))}.zip"
    house.told("backup", str(place))
    return place


def sent(house: House, since: int) -> list[tuple[str, str]]:
    """The writes that reached the CRMs."""
    log = house.crms["capsule"].log[since:]
    return [(one.method, one.path) for one in log if one.method != "GET"]


def test_a_lost_state_comes_back_and_the_next_sync_finds_what_happened_since(house: House) -> None:
    """Changes, new deals and deletions since the backup; after the sweep both sides are equal again."""
    history, place = house.sql(HISTORY), backed_up(house)
    changed(house, "Since")
    house.crms["tactile"].insert(name="New since")
    gone = some_id(house, "tactile", 5)
    house.crms["tactile"].delete(gone)
    house.told("sync", "--sweep")
    newest = house.sql("SELECT generation FROM about")[0]["generation"]
    for path in (house.state / "work.duckdb", house.state / "control.sqlite"):
        path.unlink()
    told = house.told("restore", str(place), "--json").json
    assert history == house.sql(HISTORY)
    assert newest < house.sql("SELECT generation FROM about")[0]["generation"], "readers get a newer file"
    assert None is not told["aside"]
    house.told("sync", "--sweep")
    names = {one["name"] for one in house.sql("SELECT name FROM deals WHERE connection = 'tactile'")}
    assert {"Since change", "New since"} <= names
    assert [{"is_deleted": True}] == house.sql(f"SELECT is_deleted FROM opportunities WHERE source_id = '{gone}'")
    house.told("sync")


@pytest.mark.long
def test_a_newer_state_is_replaced_only_by_force_and_kept_aside(house: House) -> None:
    """Without --force nothing is touched; with it what was there can be had back."""
    place = backed_up(house)
    changed(house, "Newer")
    house.told("sync")
    history = house.sql(HISTORY)
    told = house.told("restore", str(place), code=2)
    assert "is newer than the backup" in told.err
    assert history == house.sql(HISTORY)
    aside = Path(house.told("restore", str(place), "--force", "--json").json["aside"])
    assert history != house.sql(HISTORY)
    assert {"work.duckdb", "control.sqlite", "mappings"} <= {path.name for path in aside.iterdir()}
    for name in ("work.duckdb", "control.sqlite"):
        (house.state / name).unlink()
        (aside / name).rename(house.state / name)
    house.warehouse.unlink()
    house.told("sync")
    assert history == [row for row in house.sql(HISTORY) if row in history]
    house.told("maintain", "--drop-copies", "--yes")
    assert not aside.exists()


def test_nothing_is_restored_while_anything_runs(house: House) -> None:
    """A lease, a commit or an open control file of another process: exit code 75, and who it is."""
    place = backed_up(house)
    with Control(house.state, "onepipe daemon") as control, control.lease("daemon"):
        told = house.told("restore", str(place), "--force", code=75)
    assert told.err.startswith("The daemon's place is held by process ")
    assert "onepipe daemon" in told.err
    script = (
        "import sys\nfrom pathlib import Path\nfrom onepipe.control import Control\n"
        "with Control(Path(sys.argv[1]), 'other') as control:\n    print('on', flush=True)\n    input()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(house.state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert "on\n" == other.stdout.readline()
    house.told("restore", str(place), "--force", code=75)
    other.communicate("stop\n", timeout=60)
    house.told("restore", str(place), "--force")


@pytest.mark.long
def test_a_backup_of_another_project_is_refused(house: House) -> None:
    """The published file tells whose it is, and is never replaced by another's."""
    place = backed_up(house)
    (house.state / "work.duckdb").unlink()
    house.warehouse.rename(house.folder.parent / "mine.duckdb")
    house.told("sync")
    assert 2 == house.run("restore", str(place)).code
    assert "not a snapshot of the project" in house.told("restore", str(place), "--force", code=2).err


def test_into_an_empty_folder_it_makes_a_project(house: House) -> None:
    """With config.yaml and all that lies beside it; the one it was made of is not touched."""
    (house.folder / "views").mkdir()
    (house.folder / "views" / "big.sql").write_text("SELECT 1 AS one")
    history, place = house.sql(HISTORY), backed_up(house)
    before = house.warehouse.read_bytes()
    target = house.folder.parent / "there"
    house.told("restore", str(place), "--into", str(target))
    assert before == house.warehouse.read_bytes()
    other = House(target, house.crms)
    assert history == other.sql(HISTORY)
    assert [{"one": 1}] == other.sql('FROM "user".big')
    assert [str(place)] == [one.path for one in backups.known(other.state)]
    other.told("sync")
    house.told("restore", str(place), "--into", str(target), code=2)
    config = json.loads(json.dumps({"state": "/var/elsewhere"}))
    house.config.write_text(f"state: {house.state}\n" + house.config.read_text())
    told = house.told("restore", str(backed_up(house)), "--into", str(house.folder.parent / "x"), code=2)
    assert ("outside", False) == ("outside" if "outside" in told.err else config, (house.folder.parent / "x").exists())


def test_a_restore_needs_no_secret(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks and the like stand in variables that a new machine has not yet; where things lie must be known."""
    more = "daemon: {on_event: {failed: {webhook: '${HOOK}'}}}\n"
    text = house.config.read_text()
    monkeypatch.setenv("HOOK", "https://hooks.example.org/x")
    house.config.write_text(more + "timezone: ${ZONE}\n" + text)
    monkeypatch.setenv("ZONE", "Europe/London")
    place, target = backed_up(house), house.folder.parent / "there"
    house.config.write_text(more + "warehouse: ${WHERE}\n" + text)
    monkeypatch.setenv("WHERE", "warehouse.duckdb")
    where = backed_up(house)
    for name in ("HOOK", "ZONE", "WHERE"):
        monkeypatch.delenv(name)
    house.told("restore", str(place), "--into", str(target))
    (target / "config.yaml").write_text(more + text)
    House(target, house.crms).told("status")
    told = house.told("restore", str(where), "--into", str(house.folder.parent / "x"), code=2)
    assert told.err.startswith(f"{where}/config.yaml:2:12: warehouse: ${{WHERE}}: WHERE is not set")


def test_files_beside_config_yaml_come_back_where_they_are_missing(house: House) -> None:
    """One that is there and differs is somebody's newer work: it stays, and is named."""
    (house.folder / "views").mkdir()
    (house.folder / "views" / "a.sql").write_text("SELECT 1 AS one")
    (house.folder / "views" / "b.sql").write_text("SELECT 1 AS one")
    place = backed_up(house)
    (house.folder / "views" / "a.sql").unlink()
    (house.folder / "views" / "b.sql").write_text("SELECT 2 AS two")
    told = house.told("restore", str(place), "--force", "--json").json
    assert ["views/b.sql"] == told["unlike"]
    assert "SELECT 1 AS one" == (house.folder / "views" / "a.sql").read_text()
    assert "SELECT 2 AS two" == (house.folder / "views" / "b.sql").read_text()


@pytest.mark.long
def test_what_waited_then_is_never_sent_again_unasked(house: House) -> None:
    """An update, a deletion and a new deal, queued when it was backed up and sent since: each waits for a person."""
    house.configure("on")
    capsule = house.crms["capsule"]
    house.told("edit", "capsule", str(some_id(house, "capsule", 1)), "name=Ours")
    house.told("edit", "--new", "capsule", "name=Brand new", *NEW)
    place = backed_up(house)
    house.told("push", "apply", "--yes")
    made = [key for key, row in capsule.rows.items() if row.get("name") == "Brand new"]
    assert 1 == len(made)
    capsule.update(some_id(house, "capsule", 1), name="Changed by hand since")
    held = house.told("restore", str(place), "--force", "--json").json["held"]
    assert {"edits": 1, "creates": 1, "erased": 0} == held
    since = len(capsule.log)
    for _ in range(3):
        house.run("push", "apply", "--yes")
    assert [] == sent(house, since)
    assert made == [key for key, row in capsule.rows.items() if row.get("name") == "Brand new"]
    conflicts = house.told("conflicts", "list", "--json").json["conflicts"]
    assert ["field", "lost"] == sorted(one["kind"] for one in conflicts)
    lost = next(one for one in conflicts if one["kind"] == "lost")
    house.told("conflicts", "resolve", lost["conflict_id"], str(made[0]))
    other = next(one for one in conflicts if one["kind"] == "field")
    house.told("conflicts", "resolve", other["conflict_id"], "ours")
    house.told("push", "apply", "--yes")
    assert "Ours" == capsule.rows[some_id(house, "capsule", 1)]["name"]
    assert made == [key for key, row in capsule.rows.items() if row.get("name") == "Brand new"]
    assert [] == house.told("edit", "list", "--json").json["edits"]


def test_a_new_deal_that_was_not_made_can_still_be_made(house: House) -> None:
    """A person who has looked says ours, and it is made once."""
    house.configure("on")
    house.told("edit", "--new", "capsule", "name=Never made", *NEW)
    place = backed_up(house)
    house.told("restore", str(place), "--force")
    (one,) = house.told("conflicts", "list", "--json").json["conflicts"]
    house.told("conflicts", "resolve", one["conflict_id"], "ours")
    house.told("push", "apply", "--yes")
    house.told("push", "apply", "--yes")
    assert 1 == sum(row.get("name") == "Never made" for row in house.crms["capsule"].rows.values())


@pytest.mark.long
def test_an_update_that_the_crm_holds_already_is_over(house: House) -> None:
    """What was sent since and still stands needs nobody."""
    house.configure("on")
    house.told("edit", "capsule", str(some_id(house, "capsule", 2)), "name=Sent since")
    place = backed_up(house)
    house.told("push", "apply", "--yes")
    house.told("restore", str(place), "--force")
    since = len(house.crms["capsule"].log)
    house.told("push", "apply", "--yes")
    assert ([], []) == (sent(house, since), house.told("edit", "list", "--json").json["edits"])


def test_numbers_of_edits_are_not_given_again(house: House) -> None:
    """A plan that was made after the backup names edits that the restored queue never knew."""
    house.configure("on")
    place = backed_up(house)
    house.told("edit", "capsule", str(some_id(house, "capsule", 3)), "name=One")
    (before,) = [one["edit_id"] for one in house.told("edit", "list", "--json").json["edits"]]
    house.told("restore", str(place), "--force")
    house.told("edit", "capsule", str(some_id(house, "capsule", 4)), "name=Two")
    (after,) = [one["edit_id"] for one in house.told("edit", "list", "--json").json["edits"]]
    assert int(after) > int(before)


def test_a_backup_of_a_newer_onepipe_is_refused(house: House, tmp_path: Path) -> None:
    """Exit code 2, and nothing is touched: not one that knows a newer layout of either file."""
    place = backed_up(house)
    before = (house.state / "work.duckdb").read_bytes()
    for number, (name, sql) in enumerate(
        (
            ("control.sqlite", "PRAGMA user_version = 9999"),
            ("work.duckdb", "UPDATE store.meta SET schema_version = 9999"),
        )
    ):
        newer = tmp_path / f"newer{number}.zip"
        newer.write_bytes(place.read_bytes())
        spoil(newer, name, sql)
        assert "newer onepipe" in house.told("restore", str(newer), "--force", code=2).err
    assert before == (house.state / "work.duckdb").read_bytes()


def spoil(place: Path, name: str, sql: str) -> None:
    """Run a statement in a file of a backup, which then fits its manifest again."""
    import sqlite3

    import duckdb

    from onepipe.keeping import archive

    with archive.changing(place) as folder:
        opened = sqlite3.connect if name.endswith("sqlite") else duckdb.connect
        db = opened(str(folder / "state" / name))
        db.execute(sql)
        db.close()


@pytest.mark.long
def test_killed_anywhere_it_is_the_old_state_or_the_new(house: House, tmp_path: Path) -> None:
    """At every step: the next command finds one of both, whole, and a second restore ends what was begun."""
    place = backed_up(house)
    old = house.sql(HISTORY)
    changed(house, "Later")
    house.told("sync")
    new = house.sql(HISTORY)
    assert old != new
    seen = []
    for number in (4, 18, 24, 27, 30, 33, 37):
        copy = House(tmp_path / f"copy{number}", house.crms)
        subprocess.run(["cp", "-r", str(house.folder), str(copy.folder)], check=True)
        if not copy.killed(number, "restore", str(place), "--force"):
            break
        with Project(copy.config, "test") as project, project.warehouse.look() as db:
            found = db.run("SELECT source_id, version, name FROM opportunity_history ORDER BY ALL")
        both = [sorted((row["source_id"], row["version"], row["name"]) for row in one) for one in (new, old)]
        assert sorted(found) in both
        seen.append(both.index(sorted(found)))
        assert not (copy.state / "restore.ready").exists()
        copy.told("restore", str(place), "--force")
        assert old == copy.sql(HISTORY)
    assert {0, 1} == set(seen), seen
    assert sorted(seen) == seen, "from one step on it is the new one"


def test_only_names_in_the_archive_are_written(house: House, tmp_path: Path) -> None:
    """An archive that leads out of its folder is refused."""
    place = tmp_path / "sly.zip"
    house.told("backup", str(place))
    with zipfile.ZipFile(place) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    manifest = json.loads(files["manifest.json"])
    manifest["files"].append({"path": "../../out", "bytes": 0, "sha256": "0"})
    with zipfile.ZipFile(place, "w") as packed:
        for name, content in (files | {"manifest.json": json.dumps(manifest).encode()}).items():
            packed.writestr(name, content)
    assert "leads out" in house.told("restore", str(place), "--force", code=2).err


@pytest.mark.long
def test_who_was_erased_since_is_erased_again(house: House) -> None:
    """A backup that was moved away still holds the person; its markers are those of the state it takes the place of."""
    deal, word = some_id(house, "tactile", 9), "nobody-else-has-this"
    house.crms["tactile"].update(deal, name=word)
    house.told("sync")
    place = backed_up(house).rename(house.folder.parent / "moved.zip")
    house.told("erase", "tactile", str(deal), "--yes")
    assert 1 == house.told("restore", str(place), "--force", "--json").json["held"]["erased"]
    house.told("erase", "--resume")
    assert [{"name": None}] == house.sql(
        f"SELECT name FROM opportunities WHERE connection = 'tactile' AND source_id = '{deal}'"
    )
    house.told("sync", "--sweep")
    files = [path for path in house.folder.rglob("*") if path.is_file()]
    assert [] == [path for path in files if word.encode() in path.read_bytes()]

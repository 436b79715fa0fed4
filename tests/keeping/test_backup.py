"""`backup`: both files of one moment, whole or not there, readable for its owner alone."""

import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from onepipe.errors import ConfigError
from onepipe.keeping import archive, backups
from tests.effort import some
from tests.keeping.conftest import House

SECRET = "only-for-me"


def test_a_backup_is_whole_checked_and_private(house: House, tmp_path: Path) -> None:
    """Mode 0600 and the manifest last; every file's size and checksum stand in it, and --check finds them right."""
    told = house.told("backup", str(tmp_path / "b.zip"), "--json").json
    assert 0o600 == stat.S_IMODE((tmp_path / "b.zip").stat().st_mode)
    with zipfile.ZipFile(tmp_path / "b.zip") as packed:
        names = packed.namelist()
        manifest = json.loads(packed.read("manifest.json"))
    assert "manifest.json" == names[-1]
    assert {"state/work.duckdb", "state/control.sqlite", "project/config.yaml"} <= set(names)
    assert names[:-1] == [one["path"] for one in manifest["files"]]
    assert (told["generation"], told["files"]) == (manifest["generation"], len(names) - 1)
    assert {"whole": True, "faults": []}.items() <= house.told(
        "backup", "--check", str(tmp_path / "b.zip"), "--json"
    ).json.items()


def test_a_folder_will_do(house: House, tmp_path: Path) -> None:
    """Where the name does not end in .zip; its files are private, too, and it is checked the same way."""
    house.told("backup", str(tmp_path / "b"))
    files = [path for path in (tmp_path / "b").rglob("*") if path.is_file()]
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in files}
    house.told("backup", "--check", str(tmp_path / "b"))
    (tmp_path / "b" / "state" / "work.duckdb").write_bytes(b"spoilt")
    assert "work.duckdb is not as it was written" in house.told("backup", "--check", str(tmp_path / "b"), code=1).out


def test_credentials_stay_out_of_it(house: House, tmp_path: Path) -> None:
    """Never .env; a credential that stands in config.yaml itself is told of."""
    (house.folder / ".env").write_text(f"TOKEN={SECRET}\n")
    (house.folder / "views").mkdir()
    (house.folder / "views" / "big.sql").write_text("SELECT 1")
    (house.folder / "stages.csv").write_text("connection,pipeline,stage,stage_group,status,weight\n")
    told = house.told("backup", str(tmp_path / "b"), "--json").json
    held = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file())
    assert SECRET.encode() not in held
    assert ["capsule", "tactile"] == told["credentials_in_config"]
    assert {"views/big.sql", "stages.csv"} <= {
        path.relative_to(tmp_path / "b" / "project").as_posix() for path in (tmp_path / "b" / "project").rglob("*")
    }


@pytest.mark.parametrize("spoil", ["cut", "byte", "missing", "text"])
def test_a_damaged_one_is_found(house: House, tmp_path: Path, spoil: str) -> None:
    """One cut short, with a byte changed, without a file, or that is no archive at all."""
    place = tmp_path / "b.zip"
    house.told("backup", str(place))
    whole = place.read_bytes()
    if spoil == "cut":
        place.write_bytes(whole[: len(whole) // 2])
    elif spoil == "byte":
        at = whole.index(b"state/work.duckdb") + 5_000
        place.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    elif spoil == "missing":
        with zipfile.ZipFile(place) as packed, zipfile.ZipFile(tmp_path / "c.zip", "w") as less:
            for name in packed.namelist():
                if name != "state/control.sqlite":
                    less.writestr(name, packed.read(name))
        (tmp_path / "c.zip").replace(place)
    else:
        place.write_text("my diary")
    assert house.run("backup", "--check", str(place)).code in (1, 2)
    before = (house.state / "work.duckdb").read_bytes()
    assert 2 == house.run("restore", str(place), "--force").code
    assert before == (house.state / "work.duckdb").read_bytes()


def test_a_place_that_is_taken_is_not_replaced(house: House, tmp_path: Path) -> None:
    """A backup never takes the place of another one, nor of anything else."""
    (tmp_path / "b.zip").write_text("older")
    house.told("backup", str(tmp_path / "b.zip"), code=2)
    house.told("backup", str(tmp_path / "no" / "b.zip"), code=2)
    assert "older" == (tmp_path / "b.zip").read_text()
    assert [] == backups.known(house.state)


def test_own_backups_are_known_and_can_be_changed(house: House, tmp_path: Path) -> None:
    """Whoever has to find what a person's data is in finds them, and puts a changed one in the old one's place."""
    house.told("backup", str(tmp_path / "one.zip"))
    house.told("backup", str(tmp_path / "two"))
    assert [str(tmp_path / "one.zip"), str(tmp_path / "two")] == [one.path for one in backups.known(house.state)]
    (tmp_path / "one.zip").rename(tmp_path / "away.zip")
    assert [False, True] == [one.there for one in backups.known(house.state)]
    for place in (tmp_path / "away.zip", tmp_path / "two"):
        before = place.stat().st_ino
        with archive.changing(place) as folder:
            (folder / "project" / "config.yaml").write_text("changed: true\n")
        assert [] == archive.faults(place)
        assert before != place.stat().st_ino
        with pytest.raises(ZeroDivisionError), archive.changing(place):
            raise ZeroDivisionError
        assert [] == archive.faults(place)
    with zipfile.ZipFile(tmp_path / "away.zip") as packed:
        assert b"changed: true\n" == packed.read("project/config.yaml")
    assert {"away.zip", "two", "p"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.long
def test_commits_go_on_and_both_files_are_of_one_moment(house: House, tmp_path: Path) -> None:
    """Backups made while another process commits are each of one generation, and their journals fit."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom onepipe.project import Project\n"
        "with Project(Path(sys.argv[1]), 'other') as project:\n"
        "    print('on', flush=True)\n"
        "    import select\n"
        "    while not select.select([sys.stdin], [], [], 0)[0]:\n"
        "        with project.warehouse.commit(None):\n            pass\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(house.config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert "on\n" == other.stdout.readline()
    generations = []
    for number in range(3):
        generations.append(house.told("backup", str(tmp_path / f"{number}.zip"), "--json").json["generation"])
        house.told("backup", "--check", str(tmp_path / f"{number}.zip"))
    other.communicate("stop\n", timeout=60)
    assert sorted(set(generations)) == generations
    house.told("restore", str(tmp_path / "2.zip"), "--force")


@pytest.mark.parametrize("number", some([1, 3, 5, 8, 11], every=5))
def test_killed_anywhere_there_is_a_whole_one_or_none(house: House, tmp_path: Path, number: int) -> None:
    """What a killed backup leaves is removed by the next one, or by maintain, and is never taken for one."""
    before = house.sql("SELECT count(*) AS n FROM opportunity_history")
    killed = house.killed(number, "backup", str(tmp_path / "b.zip"))
    if (tmp_path / "b.zip").exists():
        assert [] == archive.faults(tmp_path / "b.zip")
    else:
        assert killed
    house.told("backup", str(tmp_path / "c.zip"))
    house.told("maintain")
    assert [] == [path.name for path in house.state.iterdir() if ".part" in path.name]
    assert before == house.sql("SELECT count(*) AS n FROM opportunity_history")


def test_there_is_nothing_to_back_up_before_the_first_run(tmp_path: Path, house: House) -> None:
    """A project that never ran has no state."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.yaml").write_text(house.config.read_text())
    assert 2 == House(tmp_path / "new", house.crms).run("backup", str(tmp_path / "b.zip")).code
    with pytest.raises(ConfigError):
        archive.manifest_of(tmp_path / "new")
    assert not (tmp_path / "b.zip").exists()


def test_a_full_disk_leaves_no_half_backup(house: House, tmp_path: Path) -> None:
    """Where no file may grow any more, it is said, and nothing is left behind."""
    script = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))\n"
        "from onepipe.cli import main\nmain(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", script, "--config", str(house.config), "backup", str(tmp_path / "b.zip")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 1 == done.returncode, done.stderr
    assert ["p"] == [path.name for path in tmp_path.iterdir()]
    assert [] == [path.name for path in house.state.iterdir() if ".part" in path.name]

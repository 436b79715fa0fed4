"""Publishing: readers are never disturbed, and a file that is not ours is never replaced."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from onepipe.config import load
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.keeping import leftovers
from onepipe.project import Project
from onepipe.publish import looked_at, publish, restore
from onepipe.run import Options, sync
from onepipe.warehouse.rewriting import rewrite
from onepipe.warehouse.schema import SCHEMA_VERSION
from tests.effort import some_rows
from tests.engine.conftest import Shop


@pytest.mark.long
def test_readers_keep_the_published_file_open_during_syncs(shop: Shop) -> None:
    """A process that holds the snapshot open and keeps asking never errors while syncs publish new ones."""
    shop.sync()
    script = (
        "import duckdb, sys, time\n"
        f"held = duckdb.connect({str(shop.warehouse)!r}, read_only=True)\n"
        "print('open', flush=True)\n"
        "end = time.monotonic() + 60\n"
        "import select\n"
        "while time.monotonic() < end and not select.select([sys.stdin], [], [], 0)[0]:\n"
        "    assert held.execute('SELECT count(*) FROM opportunities').fetchone() == (60,)\n"
        f"    fresh = duckdb.connect({str(shop.warehouse)!r}, read_only=True)\n"
        "    assert fresh.execute('SELECT count(*) FROM opportunities').fetchone()[0] >= 60\n"
        "    fresh.close()\n"
        "print('fine')\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert "open\n" == reader.stdout.readline()
    for number in range(5):
        shop.sandbox["administrate"].insert(name=f"Deal {number}")
        assert shop.sync().published is None
    out, errors = reader.communicate("stop\n", timeout=60)
    assert ("fine\n", "", 0) == (out, errors, reader.returncode)
    assert [(65,)] == shop.sql("SELECT count(*) FROM opportunities")


def test_a_wal_left_by_a_killed_writer_does_not_break_the_next_snapshot(shop: Shop) -> None:
    """A read-write client that was killed leaves a .wal; after the next publish everybody can open the file again."""
    shop.sync()
    shop.warehouse.chmod(0o644)
    script = (
        "import duckdb, os, signal\n"
        f"c = duckdb.connect({str(shop.warehouse)!r})\n"
        "c.execute('CREATE TABLE mine AS SELECT 1'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert Path(f"{shop.warehouse}.wal").exists()
    shop.sandbox["administrate"].insert(name="One more")
    assert shop.sync().published is None
    assert not Path(f"{shop.warehouse}.wal").exists()
    assert [(61,)] == shop.sql("SELECT count(*) FROM opportunities")


def test_what_killed_publishes_left_is_removed(shop: Shop) -> None:
    """A part of a copy holds as much as the whole, beside a file that others may read; one that is being made stays."""
    shop.sync()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = (shop.warehouse, shop.folder / ".onepipe" / "whole.duckdb")
    left = [path.with_name(f".{path.name}.{dead.pid}.part{end}") for path in folders for end in ("", ".wal")]
    alive = shop.warehouse.with_name(f".{shop.warehouse.name}.1.part")
    for path in (*left, alive):
        path.write_bytes(b"everything")
    shop.sandbox["administrate"].insert(name="One more")
    assert shop.sync().published is None
    assert [alive] == [path for path in (*left, alive) if path.exists()]


LOOKING = """
import os, signal, sys
from pathlib import Path
import onepipe.warehouse.snapshot as snapshot
from onepipe.publish import looked_at
snapshot.marker = lambda _: os.kill(os.getpid(), signal.SIGKILL)
looked_at(Path(sys.argv[1]))
"""


def test_a_look_that_was_killed_keeps_no_old_snapshot(shop: Shop) -> None:
    """The link that it looked through goes with the next publish; a whole snapshot would take its room for ever."""
    shop.sync()
    before = set(shop.folder.iterdir())
    subprocess.run([sys.executable, "-c", LOOKING, str(shop.warehouse)], check=False)
    (left,) = set(shop.folder.iterdir()) - before
    assert [left] == [one.path for one in leftovers.found(load(shop.config), set())]
    shop.sandbox["administrate"].insert(name="One more")
    assert shop.sync().published is None
    assert (before, 1) == (set(shop.folder.iterdir()), shop.warehouse.stat().st_nlink)


def test_a_writer_that_holds_the_snapshot_does_not_stop_a_sync(shop: Shop) -> None:
    """Somebody with the published file open for writing neither blocks a run nor the next snapshot."""
    shop.sync()
    shop.warehouse.chmod(0o644)
    script = f"import duckdb\nc = duckdb.connect({str(shop.warehouse)!r})\nprint('open', flush=True)\ninput()\n"
    writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        shop.sandbox["administrate"].insert(name="One more")
        report = shop.sync()
        assert report.published is None
    finally:
        writer.communicate("\n", timeout=30)
    assert [(61,)] == shop.sql("SELECT count(*) FROM opportunities")


def test_the_snapshot_is_read_only_and_marked(shop: Shop) -> None:
    """The published file has mode 0444 and says what it is."""
    shop.sync()
    assert 0o444 == shop.warehouse.stat().st_mode & 0o777
    rows = shop.sql("SELECT product, schema_version, generation > 0, published_at IS NOT NULL FROM about")
    assert [("onepipe", SCHEMA_VERSION, True, True)] == rows


@pytest.mark.parametrize("kind", ["text", "duckdb", "folder", "empty", "other project"])
def test_a_file_that_is_not_ours_is_never_replaced(shop: Shop, tmp_path: Path, kind: str) -> None:
    """A foreign file under the warehouse's name stops the run before anything is asked, and stays as it was."""
    if kind == "text":
        shop.warehouse.write_text("my diary")
    elif kind == "empty":
        shop.warehouse.touch()
    elif kind == "folder":
        shop.warehouse.mkdir()
    elif kind == "duckdb":
        with duckdb.connect(str(shop.warehouse)) as other:
            other.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    else:
        shop.sync()
        (tmp_path / ".onepipe" / "work.duckdb").unlink()
        again = Shop(tmp_path, shop.sandbox, ["administrate"])
        (tmp_path / "away").mkdir()
        shop.warehouse.rename(tmp_path / "away" / "w")
        again.sync()
        shop.warehouse.unlink()
        (tmp_path / "away" / "w").rename(shop.warehouse)
    before = shop.warehouse.read_bytes() if shop.warehouse.is_file() else None
    seen = len(shop.sandbox["administrate"].log)
    with pytest.raises(ConfigError):
        shop.sync()
    assert seen == len(shop.sandbox["administrate"].log)
    assert before == (shop.warehouse.read_bytes() if shop.warehouse.is_file() else None)


def test_a_missing_work_file_is_restored_from_the_snapshot(shop: Shop, tmp_path: Path) -> None:
    """The state folder's copy lost: it comes back from the snapshot, said aloud, and nothing is loaded twice."""
    shop.sync()
    (tmp_path / ".onepipe" / "work.duckdb").unlink()
    report = shop.sync()
    assert "complete" == report.status
    assert any("restored" in text for text in shop.notes.said)
    assert [(60, 60)] == shop.sql(
        "SELECT (SELECT count(*) FROM opportunity_history), (SELECT count(*) FROM opportunities)"
    )


def test_a_restored_work_file_is_on_the_disk_before_it_has_its_name(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves it missing or whole: one of no length would be taken for one that was never begun."""
    shop.sync()
    work, steps = tmp_path / ".onepipe" / "work.duckdb", list[str]()
    work.unlink()
    fsync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        steps.append(f"fsync {Path(f'/proc/self/fd/{handle}').readlink()}")
        fsync(handle)

    def renamed(path: Path, target: Path) -> Path:
        steps.append(f"rename {path}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    with Project(shop.config, "test") as project:
        restore(project.warehouse, shop.warehouse, lambda _: None)
    part = work.with_suffix(".part")
    assert [f"fsync {part}", f"rename {part}", f"fsync {work.parent}"] == steps


def test_users_views_are_created_at_every_publish_and_a_broken_one_stops_nothing(shop: Shop, tmp_path: Path) -> None:
    """views/*.sql become views in schema user; one that fails is named and left out."""
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "big.sql").write_text("SELECT * FROM deals WHERE amount > 1000;")
    (tmp_path / "views" / "broken.sql").write_text("SELECT nothing FROM nowhere")
    (tmp_path / "views" / "sly.sql").write_text("SELECT 1; DROP SCHEMA store CASCADE")
    assert shop.sync().published is None
    assert [(True,)] == shop.sql('SELECT count(*) > 0 FROM "user".big')
    assert [("big",)] == shop.sql("SELECT view_name FROM duckdb_views() WHERE schema_name = 'user'")
    assert ["broken.sql", "sly.sql"] == sorted(
        text.split()[0].removeprefix("views/") for text in shop.notes.said if text.startswith("views/")
    )


def test_publishing_can_be_left_to_later(shop: Shop) -> None:
    """A run that leaves publishing to the daemon changes nothing for readers; the next publish catches up."""
    shop.sync()
    shop.sandbox["administrate"].insert(name="One more")
    shop.sync(publishing=False)
    assert [(60,)] == shop.sql("SELECT count(*) FROM opportunities")
    shop.sync()
    assert [(61,)] == shop.sql("SELECT count(*) FROM opportunities")


def test_what_was_published_before_the_work_file_was_made_anew_is_replaced(shop: Shop) -> None:
    """What was dropped lies in the unused parts of such a copy still, which is not left in place as new enough."""
    shop.sync()
    with Project(shop.config, "onepipe erase") as project:
        before = shop.warehouse.stat().st_ino
        assert not rewrite(project.warehouse, always=True).kept
        assert publish(project.warehouse, shop.warehouse, project.views, print)
        assert before != shop.warehouse.stat().st_ino
        assert not publish(project.warehouse, shop.warehouse, project.views, print)
    assert "complete" == shop.sync().status


def test_a_published_file_that_cannot_be_looked_at_is_told_as_a_trouble_of_the_disk(tmp_path: Path) -> None:
    """Neither linked nor copied: no other error comes out, so that who publishes all the time tries again."""
    target = tmp_path / f"{'w' * 240}.duckdb"  # its name leaves no room for that of a link beside it
    duckdb.connect(str(target)).close()
    with pytest.raises(DiskTrouble, match="not replaced"):
        looked_at(target)


def test_a_full_disk_is_named_and_loses_nothing(shop: Shop) -> None:
    """Where no file may grow any more the run fails with kind disk and exit code 1; with room again it goes on."""
    shop.sync()
    shop.sandbox["administrate"].insert(name="One more")
    full = subprocess.run(
        [sys.executable, "-m", "tests.engine.runner", str(shop.config), "200000"], capture_output=True, text=True
    )
    assert 1 == full.returncode, full.stderr
    assert "disk" in full.stdout
    assert [(60,)] == shop.sql("SELECT count(*) FROM opportunities")
    assert "complete" == shop.sync().status
    assert [(61, 61)] == shop.sql("SELECT count(*), count(DISTINCT source_id) FROM opportunities")


def test_a_run_without_news_is_published_too(shop: Shop) -> None:
    """Run records count: after a no-change run the snapshot tells of that run."""
    shop.sync()
    before = shop.sql("SELECT generation FROM about")[0][0]
    shop.sync()
    assert before < shop.sql("SELECT generation FROM about")[0][0]


def older(work: Path, version: int, *statements: str) -> None:
    """Make a work file one of an older version."""
    with duckdb.connect(str(work)) as db:
        for statement in (*statements, f"UPDATE store.meta SET schema_version = {version}"):
            db.execute(statement)


FOURTH = (  # what version 4 brought
    *("DROP TABLE store.reporting", "DROP TABLE store.laid_out", "DROP VIEW forecast", "DROP VIEW store.stays"),
    "DROP MACRO TABLE pipeline_as_of",
)
THIRD = (  # version 3
    *FOURTH,
    *("DROP VIEW field_changes", "DROP TABLE pushes", "DROP TABLE conflicts", "DROP TABLE store.landed"),
    *("DROP TABLE store.pushed", "DROP TABLE store.read_back"),
)
SECOND = (  # and version 2
    *("DROP VIEW freshness", "ALTER TABLE coverage DROP COLUMN late_rows", "DROP TABLE late_rows"),
    "DROP TABLE store.suspects",
)


@pytest.mark.long
@pytest.mark.parametrize(("version", "statements"), some_rows([(1, (*THIRD, *SECOND)), (2, THIRD), (3, FOURTH)]))
def test_a_work_file_of_an_older_version_is_brought_up_and_a_copy_kept(
    shop: Shop, version: int, statements: tuple[str, ...]
) -> None:
    """The first writing command gives an older file the tables and columns it lacks, and keeps every row."""
    shop.sync()
    work = shop.folder / ".onepipe" / "work.duckdb"
    before = shop.sql("SELECT source_id, name, payload_hash FROM opportunities ORDER BY ALL")
    older(work, version, *statements)
    shop.sandbox["administrate"].insert()
    assert "complete" == shop.sync().status
    assert before == [
        row for row in shop.sql("SELECT source_id, name, payload_hash FROM opportunities ORDER BY ALL") if row in before
    ]
    assert [(SCHEMA_VERSION, 1)] == shop.sql(
        "SELECT schema_version, (SELECT count(*) FROM coverage WHERE late_rows = 0) FROM about"
    )
    assert [(0, 0, 0)] == shop.sql(
        "SELECT (SELECT count(*) FROM pushes), (SELECT count(*) FROM conflicts), count(*) FROM field_changes"
    )
    assert [(True, True)] == shop.sql(
        "SELECT n > 0, n = (SELECT sum(deals) FROM pipeline_as_of('2999-12-31')) "
        "AND n = (SELECT sum(deals) FROM forecast) FROM (SELECT count(*) AS n FROM open_deals)"
    )
    assert (work.parent / f"work.v{version}.duckdb").is_file()


def test_the_reporting_zone_and_fiscal_year_reach_the_published_file(shop: Shop) -> None:
    """What config.yaml says of reporting holds in SQL from the next run on, without config.yaml at hand."""
    calendar = "SELECT starts_at::VARCHAR, fiscal_year, fiscal_month FROM calendar WHERE day = DATE '2026-07-01'"
    shop.sync()
    assert [("2026-07-01 00:00:00+00", 2026, 7)] == shop.sql(calendar)
    told = {**json.loads(shop.config.read_text()), "timezone": "America/New_York"}
    other = shop.folder / "other.yaml"
    other.write_text(json.dumps({**told, "reporting": {"currency": "GBP", "fiscal_year_start": 4}}))
    with Project(other, "test") as project:
        sync(project, (), Options(), shop.notes)
    assert [("2026-07-01 04:00:00+00", 2027, 4)] == shop.sql(calendar)

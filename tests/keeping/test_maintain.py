"""`maintain`: room is given back, and nothing that anybody can ask for is lost."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from onepipe.account import applied_mapping, closed_connector, reading_of
from onepipe.project import Project
from onepipe.warehouse import books
from onepipe.warehouse.books import Slice
from onepipe.warehouse.compacting import find
from onepipe.warehouse.rebuild import rebuild
from tests.effort import some
from tests.keeping.conftest import HISTORY, House, some_id

NAMES = "connection, source_id, version, seq, payload_seq, is_deleted"
VERSIONS = f"""SELECT *, CASE WHEN is_deleted THEN seq + 1
                      ELSE lead(seq, 1, 2**62) OVER (PARTITION BY connection, source_id ORDER BY version) END AS until
    FROM (SELECT {NAMES} FROM store.closed UNION ALL SELECT {NAMES} FROM store.current)"""


def work(house: House, *statements: str) -> list[tuple[object, ...]]:
    """What the work file answers to the last statement."""
    with duckdb.connect(str(house.state / "work.duckdb")) as db:
        for statement in statements[:-1]:
            db.execute(statement)
        return db.execute(statements[-1]).fetchall()


def superseded(house: House, times: int = 3) -> int:
    """Have each deal's newest answer of a sub-request come `times` more often within its version; how many rows."""
    before = "SELECT count(*) FROM store.raw WHERE resource <> 'opportunity'"
    ((was,),) = work(house, before)
    work(
        house,
        "CREATE TABLE more AS SELECT * FROM store.raw WHERE seq IN (SELECT max(seq) FROM store.raw "
        "WHERE kind = 'record' AND resource <> 'opportunity' AND (connection, resource) NOT IN "
        "(SELECT (connection, resource) FROM store.reference) GROUP BY connection, resource, record_id)",
        f"INSERT INTO store.raw SELECT m.* REPLACE ((SELECT max(seq) FROM store.raw) + row_number() OVER () AS seq, "
        f"'2020-01-01'::TIMESTAMPTZ AS fetched_at) FROM more m, range({times})",
        "DROP TABLE more",
        "SELECT 1",
    )
    ((now,),) = work(house, before)
    return int(str(now)) - int(str(was))


def reread(house: House) -> list[tuple[object, ...]]:
    """All history as a rebuild from raw makes it."""
    with Project(house.config, "test") as project, project.warehouse.commit(None) as db:
        for connection in project.config.connections.values():
            kept = books.mapping(db, connection.name)
            assert kept is not None
            mapping = applied_mapping(project.config, connection, kept)
            connector = closed_connector(project.config, connection)
            rebuild(db, reading_of(project.config, connection, mapping, connector))
    return work(house, "SELECT opportunity_history::VARCHAR FROM opportunity_history ORDER BY ALL")


def test_a_plan_changes_nothing_and_tells_what_takes_room(house: House) -> None:
    """Tables with rows and bytes, files, free room; the files are byte for byte what they were."""
    before = (house.state / "work.duckdb").read_bytes()
    told = house.told("maintain", "--plan", "--json").json
    sizes = {one["table"]: one for one in told["tables"]}
    assert [{"n": sizes["store.raw"]["rows"]}] == house.sql("SELECT count(*) AS n FROM raw.records")
    assert sizes["store.raw"]["bytes"] > 0
    assert "work.duckdb" in [one["name"] for one in told["files"]]
    assert told["free_bytes"] > 0
    assert before == (house.state / "work.duckdb").read_bytes()
    assert "Nothing was changed." in house.told("maintain", "--plan").out


def test_the_work_file_shrinks_and_holds_the_same(house: House) -> None:
    """What was deleted gives its room back; every table, view, comment and compression is as it was."""
    history = house.sql(HISTORY)
    shape = (
        "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY ALL"
    )
    before, size = work(house, shape), (house.state / "work.duckdb").stat().st_size
    work(
        house,
        "INSERT INTO store.raw SELECT 'gone', 'x', i::VARCHAR, 'record', 'pull', md5(i::VARCHAR) || random(), '', "
        "NULL, NULL, -i, false FROM range(400000) t(i)",
        "CHECKPOINT",
        "DELETE FROM store.raw WHERE connection = 'gone'",
        "CHECKPOINT",
        "SELECT 1",
    )
    told = house.told("maintain", "--json").json["done"]
    assert told["work_bytes_after"] < size <= told["work_bytes_before"]
    assert (house.state / "work.duckdb").stat().st_size < size
    assert history == house.sql(HISTORY)
    assert before == work(house, shape)
    assert house.warehouse.stat().st_size < told["work_bytes_before"], "the published file, too"
    assert 0o600 == (house.state / "work.duckdb").stat().st_mode & 0o600
    house.told("sync")
    for table in ("store.raw", "store.details"):  # where it is left to DuckDB, so few words get a dictionary
        packed = work(
            house,
            f"INSERT INTO {table} (payload) SELECT 'v' || i % 500 FROM range(61440) t(i)",
            "CHECKPOINT",
            f"SELECT DISTINCT compression FROM pragma_storage_info('{table}') WHERE column_name = 'payload' "
            "AND segment_type = 'VARCHAR' AND row_group_id = (SELECT max(row_group_id) FROM "
            f"pragma_storage_info('{table}'))",
        )
        assert [("ZSTD",)] == packed


def test_only_superseded_answers_are_dropped_and_history_reads_the_same(house: House) -> None:
    """Whatever a mapping can ask for stays: a rebuild makes the same history before and after."""
    more = superseded(house)
    before = reread(house)
    told = house.told("maintain", "--keep-versions", "1", "--plan", "--json").json
    assert more * 2 // 3 <= sum(one["drop"] for one in told["raw"]) <= more
    done = house.told("maintain", "--keep-versions", "1", "--yes", "--json").json["done"]
    assert sum(one["drop"] for one in told["raw"]) == done["rows_dropped"]
    assert before == reread(house)
    lost = f"SELECT count(*) FROM ({VERSIONS}) WHERE payload_seq NOT IN (SELECT seq FROM store.raw)"
    assert [(0,)] == work(house, lost)
    assert 0 == house.told("maintain", "--keep-versions", "1", "--yes", "--json").json["done"]["rows_dropped"]
    house.told("sync", "--sweep")


def test_versions_and_days_both_have_to_be_exceeded(house: House) -> None:
    """The newest N and everything of the last D days stay."""
    superseded(house, 5)

    def spare(*words: str) -> int:
        told = house.told("maintain", *words, "--plan", "--json").json["raw"]
        return sum(one["drop"] for one in told)

    one, three = spare("--keep-versions", "1"), spare("--keep-versions", "3")
    assert one > three > 0
    assert three > spare("--keep-versions", "3", "--keep-days", "1000") > spare("--keep-days", "9999") == 0
    assert 0 == len(house.told("maintain", "--plan", "--json").json["raw"])


def test_an_answer_that_a_version_was_read_with_stays(house: House) -> None:
    """Of a deal whose versions follow upon its details, each keeps the newest that came before it ended."""
    house.crms["tactile"].update(some_id(house, "tactile", 3), name="Again")
    house.told("sync")
    superseded(house, 2)
    with Project(house.config, "test") as project, project.warehouse.look() as db:
        find(db, 1, None)
        kept = db.run(
            "SELECT count(*) FROM (SELECT v.connection, v.source_id, r.resource, v.until, max(r.seq) AS seq "
            f"FROM ({VERSIONS}) v JOIN store.raw r ON r.connection = v.connection AND r.record_id = v.source_id "
            "AND r.seq < v.until AND r.resource <> 'opportunity' GROUP BY ALL) WHERE seq IN (SELECT seq FROM spare)"
        )
    assert [(0,)] == kept


def test_nothing_is_dropped_unasked(house: House) -> None:
    """Away from a terminal, what would lose something needs --yes; what loses nothing does not."""
    superseded(house)
    told = house.told("maintain", "--keep-versions", "1", code=2)
    assert "add --yes" in told.err.lower()
    (house.state / "work.v5.duckdb").write_bytes(b"older")
    house.told("maintain", "--drop-copies", code=2)
    house.told("maintain")
    assert (house.state / "work.v5.duckdb").exists()
    house.told("maintain", "--drop-copies", "--yes")
    assert not (house.state / "work.v5.duckdb").exists()


def test_leftovers_of_killed_processes_are_removed_and_what_is_in_use_is_not(house: House) -> None:
    """Trials, parts and pages of scans that are over go; parts of a living process and other files stay."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [
        house.state / f"trial.{dead.pid}.duckdb",
        house.state / f".work.duckdb.{dead.pid}.part",
        house.folder / f".warehouse.duckdb.{dead.pid}.part",
        house.state / "mappings" / f"capsule.1.{dead.pid}.part",
        house.state / "spool" / "capsule" / "over" / "00001.rows",
    ]
    with Project(house.config, "test") as project, project.warehouse.commit("test") as db:
        now = datetime.now(UTC)
        books.keep_slice(db, Slice(connection="capsule", name="open", kind="full", lo=None, hi=now, started_at=now))
    stays = [house.state / "spool" / "capsule" / "open-7" / "00001.rows"]
    stays += [house.state / ".work.duckdb.1.part", house.folder / "mine.part", house.state / "trial.1.duckdb"]
    for path in (*gone, *stays):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")
    told = house.told("maintain", "--json").json["done"]
    assert len(gone) == len(told["removed"])
    assert ([], stays) == ([path for path in gone if path.exists()], [path for path in stays if path.exists()])


def test_pages_of_a_connection_at_work_are_let_be(house: House) -> None:
    """Who is at work on it is named, and all else is done."""
    page = house.state / "spool" / "capsule" / "over" / "00001.rows"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"left")
    with Project(house.config, "onepipe sync") as project, project.control.lease("connection:capsule"):
        told = house.told("maintain")
    assert "connection capsule" in told.err
    assert page.exists()


def test_whoever_is_in_the_way_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 75 while another process commits for longer than we wait."""
    monkeypatch.setattr("onepipe.project.COMMIT_WAIT", 0.1)
    with Project(house.config, "onepipe something") as project, project.control.commit_lock():
        told = house.told("maintain", code=75)
    assert "The warehouse is being written by" in told.err


@pytest.mark.long
@pytest.mark.parametrize("number", some([2, 5, 8, 11, 14], every=5, first=2))
def test_killed_anywhere_it_loses_nothing(house: House, number: int) -> None:
    """The work file is the old one or the new one, whole; the next run goes on, and the next maintain ends it."""
    history, more = house.sql(HISTORY), superseded(house)
    house.killed(number, "maintain", "--keep-versions", "1", "--yes")
    house.told("maintain", "--keep-versions", "1", "--yes")
    assert more > 0
    assert [] == [path for path in (*house.state.iterdir(), *house.folder.iterdir()) if ".part" in path.name]
    house.told("sync")
    assert history == [row for row in house.sql(HISTORY) if row in history]


def test_where_nothing_was_loaded_it_says_so(tmp_path: Path, house: House) -> None:
    """A project that never ran has nothing to be kept."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "config.yaml").write_text(house.config.read_text())
    assert 2 == House(tmp_path / "new", house.crms).run("maintain").code

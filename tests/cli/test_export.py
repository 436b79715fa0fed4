"""`export`: the published tables as files, whole or not at all, in the same order each time."""

import csv
import hashlib
import json
import re
import resource
import signal
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from onepipe.cli import app
from onepipe.sandbox import Sandbox
from onepipe.warehouse.query import open_desk
from tests.cli.place import Place
from tests.effort import some

MOVES = ("freshness",)  # it tells how long ago things were


def exported(place: Place, folder: Path, *words: str) -> dict[str, Any]:
    """The manifest of an export."""
    told = place.run("export", "-o", str(folder), "--json", *words)
    assert 0 == told.code, told.err
    manifest: dict[str, Any] = told.json
    assert manifest == json.loads((folder / "manifest.json").read_text("utf-8"))
    return manifest


def counted(manifest: dict[str, Any]) -> dict[str, int]:
    """The rows of each table."""
    return {one["table"]: one["rows"] for one in manifest["tables"]}


def asked(place: Place, query: str) -> list[tuple[str | None, ...]]:
    """What the published file answers, as texts."""
    with open_desk(place.folder / "warehouse.duckdb") as desk:
        return list(desk.ask(query).rows)


def read(query: str) -> list[tuple[Any, ...]]:
    """What DuckDB answers, without a file of its own."""
    with duckdb.connect() as db:
        return db.execute(query).fetchall()


@pytest.mark.parametrize("form", some(["parquet", "csv", "duckdb"]))
def test_every_published_table_is_exported_and_told_of(synced: Place, tmp_path: Path, form: str) -> None:
    """The manifest names the tables of `main`, their rows and columns as they are, and the sums of the files."""
    out = tmp_path / "out"
    manifest = exported(synced, out, "--format", form)
    tables = asked(
        synced, "SELECT DISTINCT table_name FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal"
    )
    assert sorted(str(name) for (name,) in tables) == [one["table"] for one in manifest["tables"]]
    assert {"opportunities", "opportunity_history", "line_items", "field_changes", "win_rate"} <= set(counted(manifest))
    for table, rows in counted(manifest).items():
        assert [(str(rows),)] == asked(synced, f"SELECT count(*) FROM {table}"), table
    assert {path.name for path in out.iterdir()} == {"manifest.json", *(one["file"] for one in manifest["files"])}
    for one in manifest["files"]:
        data = (out / one["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one["bytes"], one["sha256"])
    columns = next(one["columns"] for one in manifest["tables"] if one["table"] == "opportunities")
    amount = next(one for one in columns if one["name"] == "amount")
    assert "DECIMAL(18,4)" == amount["type"]
    assert amount["comment"].startswith("Total value of the deal")
    assert asked(synced, "SELECT run_id FROM about") == [(manifest["run"],)]


def test_the_same_rows_make_the_same_files(synced: Place, tmp_path: Path) -> None:
    """Row order is part of an export: two of them differ in nothing but what tells of now."""
    for form in ("csv", "parquet"):
        one, two = (exported(synced, tmp_path / name, "--format", form) for name in (form, f"{form}2"))
        same = [
            (before["file"], before["sha256"] == after["sha256"])
            for before, after in zip(one["files"], two["files"], strict=True)
        ]
        assert [] == [name for name, alike in same if not alike and name.split(".")[0] not in MOVES]


def test_parquet_and_duckdb_keep_types_comments_and_order(synced: Place, tmp_path: Path) -> None:
    """Money stays DECIMAL, instants instants; the DuckDB file has texts and opens with 1.5."""
    exported(synced, tmp_path / "p", "--tables", "opportunities")
    types = "SELECT typeof(amount), typeof(updated_at), typeof(tags), typeof(custom)"
    kinds = ("DECIMAL(18,4)", "TIMESTAMP WITH TIME ZONE", "VARCHAR[]", "JSON")
    assert [kinds] == read(f"{types} FROM '{tmp_path}/p/opportunities.parquet' LIMIT 1")
    exported(synced, tmp_path / "d", "--format", "duckdb", "--tables", "opportunities,raw.records")
    file = tmp_path / "d" / "onepipe.duckdb"
    assert 64 <= int.from_bytes(file.read_bytes()[12:20], "little") <= 68  # the layouts that 1.5 reads
    with duckdb.connect(str(file), read_only=True) as db:
        assert [kinds] == db.execute(f"{types} FROM opportunities LIMIT 1").fetchall()
        ids = [tuple(map(str, row)) for row in db.execute("SELECT connection, source_id FROM opportunities").fetchall()]
        assert sorted(ids) == ids
        comments = "SELECT count(*), count(comment) FROM duckdb_columns() WHERE NOT internal"
        ((every, told),) = db.execute(comments).fetchall()
        assert every == told > 40
        assert [(True,)] == db.execute("SELECT count(*) > 20 FROM raw.records").fetchall()


def test_csv_is_what_rfc_4180_says(synced: Place, tmp_path: Path) -> None:
    """Lines end in CR LF, quotes are doubled, NULL is nothing, lists and objects are JSON, instants end in Z."""
    manifest = exported(synced, tmp_path / "out", "--format", "csv")
    file = tmp_path / "out" / "opportunities.csv"
    assert file.read_bytes().endswith(b"\r\n")
    with file.open(newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream, strict=True)
    assert counted(manifest)["opportunities"] == len(rows)
    told = [dict(zip(head, row, strict=True)) for row in rows]
    (names,) = zip(*asked(synced, "SELECT name FROM opportunities ORDER BY connection, source_id"), strict=True)
    assert [name or "" for name in names] == [one["name"] for one in told]
    assert all(re.fullmatch(r"[0-9T:.-]+Z", one["first_seen_at"]) for one in told)
    assert all(re.fullmatch(r"\d+\.\d{4}|", one["amount"]) for one in told)
    assert all(isinstance(json.loads(one["extra"]), dict) for one in told)
    for path in (tmp_path / "out").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            assert not re.search(r'(^|,)""(,|\r)', stream.read()), path.name


def test_rows_are_in_the_order_of_numbers(place: Place, tmp_path: Path) -> None:
    """In CSV, too, where all is text, 10 comes after 9; the user's own views are exported where they are named."""
    (place.folder / "views").mkdir()
    (place.folder / "views" / "many.sql").write_text("SELECT (n * 7) % 20 AS n FROM range(20) AS r(n)")
    assert 0 == place.run("sync").code
    manifest = exported(place, tmp_path / "out", "--format", "csv", "--tables", "user.many")
    assert {"user.many": 20} == counted(manifest)
    lines = (tmp_path / "out" / "user.many.csv").read_text().split()
    assert ["n", *map(str, range(20))] == lines


def test_some_connections_and_tables_can_be_chosen(synced: Place, tmp_path: Path) -> None:
    """Rows of other connections stay out of every table that names one; nobody's own words are passed over."""
    manifest = exported(synced, tmp_path / "a", "--connection", "cap*", "--tables", "deals, connections,raw.records")
    assert ["connections", "deals", "raw.records"] == [one["table"] for one in manifest["tables"]]
    assert ["capsule"] == manifest["filters"]["connections"]
    assert asked(synced, "SELECT count(*)::INT FROM deals WHERE connection = 'capsule'") == [
        (str(counted(manifest)["deals"]),)
    ]
    kept = f"SELECT DISTINCT connection FROM '{tmp_path}/a/raw.records.parquet'"
    assert [("capsule",)] == read(kept)
    for words, said in (
        (("--tables", "deal"), "No table is called 'deal'; did you mean"),
        (("--connection", "nobody"), "nobody"),
        (("--changed-since", "yesterday"), "knows no run 'yesterday'"),
    ):
        told = synced.run("export", "-o", str(tmp_path / "b"), *words)
        assert (2, True) == (told.code, said in told.err), told.err
    assert str(asked(synced, "SELECT max(run_id) FROM sync_runs")[0][0]) in told.err
    assert not (tmp_path / "b").exists()


@pytest.mark.long
def test_what_changed_since_a_run_is_told_deal_by_deal(desk: tuple[Place, Sandbox], tmp_path: Path) -> None:
    """All rows of each deal that changed, was added or deleted; of all others none. A mapping applied since is all."""
    place, crm = desk
    first = exported(place, tmp_path / "out")
    total = counted(first)["opportunities"]
    crm["capsule"].update(43, value="4711.00")
    crm["capsule"].delete(list(crm["capsule"].rows)[-1])
    assert 0 == place.run("sync").code
    second = exported(place, tmp_path / "out", "--changed-since", first["run"])
    assert (2, 4) == tuple(counted(second)[name] for name in ("opportunities", "opportunity_history"))
    assert {True} == {one["only_changed"] for one in second["tables"] if one["table"] in ("deals", "field_changes")}
    assert (1, False) == (
        counted(second)["connections"],
        next(one["only_changed"] for one in second["tables"] if one["table"] == "connections"),
    )
    assert 0 == place.run("sync").code
    assert 0 == counted(exported(place, tmp_path / "out", "--changed-since", second["run"]))["opportunities"]
    (place.folder / "mappings").mkdir()
    (place.folder / "mappings" / "capsule.yaml").write_text("extends: capsule\ncolumns: {idea: name}\n")
    assert 0 == place.run("mapping", "apply", "--yes").code
    third = exported(place, tmp_path / "out", "--changed-since", second["run"])
    assert (["acme"], total) == (third["filters"]["reread"], counted(third)["opportunities"])


@pytest.mark.long
def test_deals_that_a_decision_changes_have_changed(desk: tuple[Place, Sandbox], tmp_path: Path) -> None:
    """A status that stages.csv gives a stage makes no raw row; the connection is written whole, once."""
    place, _ = desk
    first = exported(place, tmp_path / "out")
    (stage,) = asked(place, "SELECT any_value(stage) FROM open_deals")[0]
    lines = f'connection,pipeline,stage,stage_group,status,weight\nacme,,"{stage}",,won,\n'
    (place.folder / "stages.csv").write_text(lines)
    told = place.run("stages", "--apply")
    assert 0 == told.code, told.err
    second = exported(place, tmp_path / "out", "--changed-since", first["run"])
    assert ["acme"] == second["filters"]["reread"]
    assert counted(first)["opportunities"] == counted(second)["opportunities"]
    assert 0 == place.run("sync").code
    third = exported(place, tmp_path / "out")["run"]
    assert [] == exported(place, tmp_path / "out", "--changed-since", third)["filters"]["reread"]


def test_an_export_takes_the_place_of_the_one_before_and_of_nothing_else(synced: Place, tmp_path: Path) -> None:
    """A file or folder that is not ours, or into which somebody put something, is refused and stays."""
    out = tmp_path / "out"
    exported(synced, out, "--format", "csv")
    exported(synced, out, "--tables", "deals")
    assert ["deals.parquet", "manifest.json"] == sorted(path.name for path in out.iterdir())
    (out / "mine.txt").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "manifest.json").write_text('{"name": "an app of somebody"}')
    (tmp_path / "file").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name in ("out", "other", "file", "no/such"):
        told = synced.run("export", "-o", str(tmp_path / name))
        assert (2, True) == (told.code, "nothing was written" in told.err), told.err
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_an_export_that_was_killed_leaves_no_manifest(synced: Place, tmp_path: Path) -> None:
    """Nothing stands under its name, and the next one clears away what was begun."""
    export = synced.start("export", "-o", str(tmp_path / "out"), "--format", "csv")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*.part/*.csv")) and time.monotonic() < deadline and export.poll() is None:
        time.sleep(0.005)
    export.send_signal(signal.SIGKILL)
    export.communicate(timeout=60)
    assert not (tmp_path / "out").exists()
    assert [] == list(tmp_path.rglob("manifest.json"))
    exported(synced, tmp_path / "out")
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_a_full_disk_is_named_and_leaves_the_export_before(synced: Place, tmp_path: Path) -> None:
    """Exit code 1 and one paragraph; no half of an export anywhere."""
    exported(synced, tmp_path / "out", "--tables", "about")
    before = (tmp_path / "out" / "manifest.json").read_bytes()

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    for form in ("parquet", "csv", "duckdb"):
        export = synced.start("export", "-o", str(tmp_path / "out"), "--format", form, preexec_fn=small)
        _, err = export.communicate(timeout=120)
        assert (1, True, False) == (export.returncode, "could not be written" in err, "Traceback" in err), err
    assert before == (tmp_path / "out" / "manifest.json").read_bytes()
    assert ["out"] == [path.name for path in tmp_path.iterdir()]


def test_runs_and_tables_are_offered_to_the_shell(synced: Place, tmp_path: Path) -> None:
    """As they stand in the published file; after a comma the next one; nothing where there is no such file."""
    (run,) = asked(synced, "SELECT DISTINCT run_id FROM sync_runs")[0]
    for place, option, begun, offered in (
        (synced, "--changed-since", str(run)[:4], [run]),
        (synced, "--tables", "deals,open_", ["deals,open_deals"]),
        (Place(tmp_path), "--tables", "de", []),
    ):
        words = f"onepipe --config {place.config} export {option} {begun}"
        shell = {"_ONEPIPE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "5"}
        told = CliRunner().invoke(app, [], prog_name="onepipe", env=shell)
        assert offered == told.output.split()

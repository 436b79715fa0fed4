"""What docs/ways-in.md shows can be copied and works."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest
import yaml

from onepipe.config import load
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.test_docs import blocks, page

TEXT = page("docs/ways-in.md")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A project with one CRM, synced; it is called acme, as in the docs."""
    folder = tmp_path_factory.mktemp("ways")
    with Sandbox(rows=8, seed=7, crms=("capsule",)) as crms:
        write(folder, connection(crms, "capsule").replace("  capsule:", "  acme:"))
        told = Place(folder).run("sync")
        assert 0 == told.code, told.err
    yield Place(folder)


@pytest.mark.parametrize("code", blocks(TEXT, "python"))
def test_python_runs(place: Place, code: str) -> None:
    """Each block, in the project's folder, where the packages that it names are installed."""
    if missing := [name for name in ("pandas", "polars") if f"with {name}" in code and not find_spec(name)]:
        pytest.skip(f"{missing[0]} is not installed")
    ran = subprocess.run([sys.executable, "-c", code], cwd=place.folder, capture_output=True, text=True)
    assert (0, "print" in code) == (ran.returncode, bool(ran.stdout)), ran.stderr


def test_sql_runs(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the published file, and beside a database of one's own, where macros are found after USE."""
    for query in blocks(TEXT, "sql"):
        assert 0 == place.run("sql", query).code
    monkeypatch.chdir(place.folder)
    (text,) = blocks(TEXT, "text")
    with duckdb.connect(str(tmp_path / "mine.duckdb")) as mine:
        for statement in filter(str.strip, text.split(";")):
            count = f"SELECT count(*) FROM ({statement})" if statement.strip().startswith("FROM") else statement
            mine.execute(count).fetchall()


@pytest.mark.parametrize("line", [line for code in blocks(TEXT, "sh") for line in code.splitlines()])
def test_commands_run(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Those of ours; the shell's and DuckDB's own are read-only."""
    monkeypatch.chdir(tmp_path)
    words = line.partition("#")[0].split()
    if words[0] == "onepipe":
        told = place.run(*words[1:])
        assert (0, 1) == (told.code, len(list(tmp_path.iterdir()))), told.err
    else:
        assert words[0] == "export" or words[:2] == ["duckdb", "-readonly"]


def test_the_example_of_what_is_left_out_is_a_config(tmp_path: Path) -> None:
    """Its columns are known."""
    (text,) = blocks(TEXT, "yaml")
    (tmp_path / "config.yaml").write_text(text)
    left_out = load(tmp_path / "config.yaml").publish.left_out
    assert {"raw", *yaml.safe_load(text)["publish"]["exclude"]} == set(left_out)

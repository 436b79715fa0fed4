"""The demo end to end, as somebody sees it who has just installed onepipe."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onepipe.cli.demo import MARK, clear
from tests.cli.place import Place


def demo(folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "onepipe", "demo", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """One demo: its folder, what it printed, and how long it took."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    began = time.monotonic()
    # A proxy that is not there: whoever leaves this machine fails.
    told = demo(folder, HTTP_PROXY="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
    assert (0, "") == (told.returncode, told.stderr)
    return folder, told.stdout, time.monotonic() - began


def test_it_takes_less_than_a_minute(shown: tuple[Path, str, float]) -> None:
    """Nobody waits longer to see whether a product is for them."""
    assert shown[2] < 60


def test_it_syncs_all_five_twice(shown: tuple[Path, str, float]) -> None:
    """Every CRM is complete both times."""
    for crm in ("administrate", "tactile", "capsule", "onautomate", "overplane"):
        assert 2 == sum(line.split()[:2] == [crm, "complete"] for line in shown[1].splitlines()), shown[1]


@pytest.mark.parametrize(
    "words",
    ["administrate stage", "tactile (new)", "capsule (deleted)", "onautomate status open won", "overplane amount"],
)
def test_it_shows_each_change(shown: tuple[Path, str, float], words: str) -> None:
    """A stage, a new deal, a deletion, a won deal and an amount: one change in each CRM, found by the second sync."""
    section = shown[1].partition("What changed")[2].partition("\n\n6")[0]
    rows = [line.split() for line in section.splitlines()]
    assert any(all(word in row for word in words.split()) for row in rows), section


def test_it_answers_three_questions(shown: tuple[Path, str, float]) -> None:
    """Each with the SQL that answers it."""
    assert 3 == shown[1].count("SELECT")
    assert " %" in shown[1]


def test_its_lines_fit_a_terminal(shown: tuple[Path, str, float]) -> None:
    """Nothing is wider than 100 columns, and nothing speaks of us inside: no None, no traceback."""
    assert [] == [line for line in shown[1].splitlines() if len(line) > 100 and str(shown[0]) not in line]
    assert not any(word in shown[1] for word in ("None", "Traceback", "NULL "))


def test_its_project_can_be_queried_afterwards(shown: tuple[Path, str, float]) -> None:
    """The last lines say where the warehouse is; it is a project like any other."""
    assert f"duckdb -readonly {shown[0] / 'warehouse.duckdb'}" in shown[1]
    told = Place(shown[0]).run("sql", "SELECT count(DISTINCT connection) AS n FROM opportunities", "--json")
    assert [{"n": 5}] == told.json


def test_it_replaces_an_earlier_demo_and_nothing_else(tmp_path: Path) -> None:
    """Of an earlier demo the config, state and warehouse go; what else somebody put beside them stays."""
    for name in ("warehouse.duckdb", "mine.txt", ".onepipe/work.duckdb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "config.yaml").write_text(MARK + "\n")
    clear(tmp_path)
    assert [tmp_path / "mine.txt"] == list(tmp_path.iterdir())


def test_it_touches_no_folder_of_somebody_else(tmp_path: Path) -> None:
    """Exit code 2, and everything as it was."""
    (tmp_path / "config.yaml").write_text("connections: {}\n")
    told = demo(tmp_path)
    assert (2, [tmp_path / "config.yaml"]) == (told.returncode, list(tmp_path.iterdir()))
    assert "nothing was touched" in told.stderr

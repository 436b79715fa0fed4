"""What is installed from a wheel is whole: connectors, mappings and templates travel with the code."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

HOUSE = Path(__file__).parent.parent
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())


def test_a_wheel_carries_connectors_mappings_and_templates(tmp_path: Path) -> None:
    """A wheel built from the checkout needs no checkout."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=HOUSE, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("onepipe-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    shipped = {f"onepipe/_shipped/{path.relative_to(HOUSE)}" for path in sources("connectors", "mappings")}
    packed = {str(path.relative_to(HOUSE / "src")) for path in sources("src/onepipe")}
    assert set() == (shipped | packed) - carried
    assert {"onepipe/templates/env.example", "onepipe/templates/gitignore", "onepipe/py.typed"} <= carried


def test_the_lock_holds_everything_that_is_asked_for() -> None:
    """Installing from the lock installs all dependencies, and from any index: it names no host."""
    asked = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    locked = (HOUSE / "requirements.lock").read_text()
    assert [] == [name for name in map(distribution, asked) if f"\n{name}==" not in locked]
    assert "://" not in locked


def test_the_oldest_duckdb_is_the_beginning_of_the_range() -> None:
    """What is tested as the oldest version is the oldest one that may be installed."""
    (wanted,) = [one for one in PROJECT["project"]["dependencies"] if one.startswith("duckdb")]
    oldest = (HOUSE / ".ci" / "duckdb-oldest.lock").read_text()
    assert f"\nduckdb=={wanted.removeprefix('duckdb>=').partition(',')[0]} " in oldest
    assert "://" not in oldest


def distribution(requirement: str) -> str:
    """duckdb for duckdb>=1.5.5,<3."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def sources(*folders: str) -> list[Path]:
    every = [path for folder in folders for path in (HOUSE / folder).rglob("*")]
    return [path for path in every if path.is_file() and "__pycache__" not in path.parts]

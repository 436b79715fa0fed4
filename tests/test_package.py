"""What is installed from a wheel is whole: connectors, mappings and templates travel with the code."""

import subprocess
import sys
import zipfile
from pathlib import Path

HOUSE = Path(__file__).parent.parent


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


def test_locks_name_no_host_and_fit_the_project() -> None:
    """The locked packages can be had from any index, and the lock is not older than what the project asks for."""
    locks = [HOUSE / "requirements.lock", HOUSE / ".ci" / "duckdb-oldest.lock"]
    assert [] == [lock.name for lock in locks if "://" in lock.read_text()]
    assert "\nduckdb==1.5.5 " in locks[1].read_text()
    assert "duckdb>=1.5.5,<3" in (HOUSE / "pyproject.toml").read_text()


def sources(*folders: str) -> list[Path]:
    every = [path for folder in folders for path in (HOUSE / folder).rglob("*")]
    return [path for path in every if path.is_file() and "__pycache__" not in path.parts]

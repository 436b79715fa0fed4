"""A project that house is kept in: deals of two CRMs, their history, edits that wait, and commands that are killed."""

import copy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, Told, connection, write

ROWS = 14
CRMS = ("capsule", "tactile")
HISTORY = "SELECT * FROM opportunity_history ORDER BY connection, source_id, version"


class House(Place):
    """A project folder with its CRMs."""

    def __init__(self, folder: Path, crms: Sandbox) -> None:
        super().__init__(folder)
        object.__setattr__(self, "crms", crms)
        object.__setattr__(self, "names", {name: name for name in ("capsule", "tactile")})

    crms: Sandbox
    names: dict[str, str]

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / ".onepipe"

    @property
    def warehouse(self) -> Path:
        """The published file."""
        return self.folder / "warehouse.duckdb"

    def configure(self, mode: str = "off", **names: str) -> None:
        """Write config.yaml; `names` are what connections are called, by CRM; "" leaves one out."""
        self.names.update(names)
        more: dict[str, dict[str, Any]] = {"tactile": {"currency": "GBP"}}
        told = {
            crm: connection(self.crms, crm, write={"mode": mode}, **more.get(crm, {})).replace(crm, name, 1)
            for crm, name in self.names.items()
            if name
        }
        write(self.folder, *told.values())

    def told(self, *words: str, code: int = 0) -> Told:
        """A command in this process that ends as it should."""
        told = self.run(*words)
        assert code == told.code, (words, told.out, told.err)
        return told

    def sql(self, query: str) -> list[Any]:
        """What the published warehouse answers."""
        rows: list[Any] = self.told("sql", query, "--json").json
        return rows

    def killed(self, number: int, *words: str) -> bool:
        """A command killed before its `number`-th step that changes a file; whether it came that far."""
        command = [sys.executable, "-m", "tests.keeping.killed", str(number), "--config", str(self.config), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (-9, 0), (done.returncode, done.stdout, done.stderr)
        return done.returncode == -9


@pytest.fixture(scope="session")
def crms() -> Iterator[Sandbox]:
    """Two CRMs, which all tests change; each has a project of its own that reads them."""
    with Sandbox(rows=ROWS, seed=7, crms=CRMS) as served:
        yield served


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, crms: Sandbox) -> House:
    """Synced twice, with changes in between; only to be copied."""
    made = House(tmp_path_factory.mktemp("loaded"), crms)
    made.configure()
    made.told("sync")
    changed(made, "First")
    made.told("sync")
    return made


@pytest.fixture(scope="session")
def rows(loaded: House) -> dict[str, dict[Any, Any]]:
    """What the CRMs held when they were read."""
    return {crm: copy.deepcopy(dict(loaded.crms[crm].rows)) for crm in CRMS}


@pytest.fixture
def house(tmp_path: Path, loaded: House, rows: dict[str, dict[Any, Any]]) -> House:
    """The same, for one test to do with it what it likes; its CRMs are as they were when they were read."""
    for name, held in rows.items():
        crm = loaded.crms[name]
        with crm.lock:
            crm.faults.clear()
            crm.rows.clear()
            crm.rows.update(copy.deepcopy(held))
            crm.touched()
    shutil.copytree(loaded.folder, tmp_path / "p")
    return House(tmp_path / "p", loaded.crms)


def changed(house: House, word: str) -> None:
    """Change one deal of each CRM."""
    for crm in CRMS:
        house.crms[crm].update(some_id(house, crm), name=f"{word} change")


def some_id(house: House, crm: str, number: int = 0) -> Any:
    """The key of a deal."""
    return list(house.crms[crm].rows)[number]

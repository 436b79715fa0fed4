"""Projects whose runs are killed, or find the disk full, and what their warehouses hold then."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from onepipe.warehouse.work import published
from tests.truth.desk import Desk, Picture
from tests.truth.ledger import chain, unlike

HOUSE = Path(__file__).parents[2]


@dataclass
class Shed:
    """One project in a folder, pulled by processes of their own or by this one."""

    desk: Desk

    @property
    def folder(self) -> Path:
        """Where config.yaml is."""
        return self.desk.folder

    def start(self, *words: str) -> subprocess.Popen[str]:
        """A process that runs driver.py."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.driver", str(self.desk.config()), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HOUSE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def drive(self, *words: str) -> tuple[int, str]:
        """Its exit code and what it said; meanwhile the published file can be opened at any moment."""
        process = self.start(*words)
        while process.poll() is None:
            self.readable()
            time.sleep(0.1)  # looking all the time would cost as much as the run itself
        out, errors = process.communicate()
        return process.returncode, out + errors

    def readable(self) -> int | None:
        """How many deals the published file shows; None where there is none yet."""
        target = self.folder / "w.duckdb"
        if not target.exists():
            return None
        with published(target) as db:
            return int(db.one("SELECT count(*) FROM opportunities"))

    def wrong(self) -> list[str]:
        """In what the published warehouse is not exactly what the CRMs hold, every row once, its history whole."""
        picture, truth = self.desk.picture(), self.desk.truth()
        rows = picture.opportunities
        lines = [f"{key}: {line}" for key, row in rows.items() for line in chain(row, picture.history[key])]
        alive = {key for key, row in rows.items() if not row["is_deleted"]}
        lines += [f"{key}: missing or too much" for key in sorted(alive ^ truth.keys())]
        return lines + [f"{key}: {line}" for key in alive & truth.keys() for line in unlike(rows[key], truth[key])]

    def pages(self, crm: str, query: str) -> list[str]:
        """The list pages asked for so far, by the query value that names a page."""
        return [entry.query[query] for entry in list(self.desk.sandbox[crm].log) if query in entry.query]


def counts(picture: Picture) -> dict[str, Any]:
    """What must be equal however often a run was stopped before it came to its end."""
    versions = {key: [row["version"] for row in rows] for key, rows in picture.history.items()}
    raw = sorted((row["resource"], row["record_id"], row["kind"], row["payload_hash"]) for row in picture.raw)
    return {"versions": versions, "raw": raw, "problems": len(picture.problems)}


def shed(folder: Path, sandbox: Sandbox, *crms: str) -> Shed:
    """A project with these CRMs."""
    folder.mkdir(parents=True, exist_ok=True)
    return Shed(Desk(folder, sandbox, crms))


def moved(one: Shed, folder: Path) -> Shed:
    """A copy of a project, state and all."""
    shutil.copytree(one.folder, folder)
    return Shed(Desk(folder, one.desk.sandbox, one.desk.crms, known=set(one.desk.known)))


def told(said: str) -> dict[str, Any]:
    """The JSON that driver.py printed."""
    return dict(json.loads(said[said.index("{") :]))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shed]:
    """Capsule with small pages, loaded once; since then records were changed, added and deleted there."""
    with Sandbox(rows=14, seed=5, crms=["capsule"]) as sandbox:
        crm = sandbox["capsule"]
        crm.options.limit_cap = 5
        one = shed(tmp_path_factory.mktemp("loaded") / "p", sandbox, "capsule")
        assert "complete" == one.desk.sync().status
        keys = list(crm.rows)
        crm.update(keys[3], name="changed", tags=["été"])
        crm.update(keys[7], milestone="Won")
        crm.insert(name="added", value="12.50")
        crm.delete(keys[11])
        yield one

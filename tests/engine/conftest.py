"""A project against the sandbox: real HTTP on loopback, a real DuckDB file, real processes where they are killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe.project import Project
from onepipe.report import RunReport, Watch
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse.work import published


class Notes(Watch):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.expected: list[tuple[Any, ...]] = []

    def say(self, connection: str, text: str) -> None:
        self.said.append(text)

    def expects(self, connection: str, rows: int | None, requests: int | None, seconds: float | None) -> None:
        self.expected.append((connection, rows, requests))


class Shop:
    """One project folder whose connections are named after their CRMs."""

    def __init__(self, folder: Path, sandbox: Sandbox, crms: list[str]) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.notes = Notes()
        self.connections: dict[str, dict[str, Any]] = {
            crm: {"connector": crm, "base_url": sandbox.urls[crm], "credentials": dict(sandbox.credentials[crm])}
            for crm in crms
        }
        self.more: dict[str, Any] = {}  # other keys of config.yaml

    @property
    def config(self) -> Path:
        """config.yaml, written as the connections are now (JSON is YAML)."""
        path = self.folder / "config.yaml"
        told = {"warehouse": "warehouse.duckdb", "connections": self.connections, **self.more}
        path.write_text(json.dumps(told))
        return path

    @property
    def warehouse(self) -> Path:
        """The published file."""
        return self.folder / "warehouse.duckdb"

    def sync(self, *words: str, publishing: bool = True, **options: Any) -> RunReport:
        """One run, as the command does it."""
        with Project(self.config, "test") as project:
            return sync(project, words, Options(**options), self.notes, publishing=publishing)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What the published warehouse answers."""
        with published(self.warehouse) as db:
            return db.run(query)

    def work(self, query: str) -> list[tuple[Any, ...]]:
        """What the work file answers."""
        with Project(self.config, "test") as project, project.warehouse.look() as db:
            return db.run(query)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The five CRMs with 60 deals each."""
    with Sandbox(rows=60, seed=7) as served:
        yield served


@pytest.fixture
def shop(tmp_path: Path, sandbox: Sandbox) -> Shop:
    """A project with one Administrate account: JSON, a filter, a stable order."""
    return Shop(tmp_path, sandbox, ["administrate"])


@pytest.fixture
def five(tmp_path: Path, sandbox: Sandbox) -> Shop:
    """A project with all five CRMs."""
    return Shop(tmp_path, sandbox, ["administrate", "tactile", "capsule", "onautomate", "overplane"])


def resource(report: RunReport, connection: str, name: str = "opportunity") -> dict[str, Any]:
    """One resource's line of the JSON report."""
    (one,) = [item for item in report.document()["connections"] if item["connection"] == connection]
    (line,) = [item for item in one["resources"] if item["resource"] == name]
    return dict(line)


def error(report: RunReport, connection: str) -> dict[str, Any]:
    """One connection's error of the JSON report."""
    (one,) = [item for item in report.document()["connections"] if item["connection"] == connection]
    return dict(one["error"] or {})

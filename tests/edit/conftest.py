"""Five simulated CRMs, synced once; each test has a queue of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import onepipe.edit as editing
from onepipe import config
from onepipe.config import Config
from onepipe.control import Control
from onepipe.edit import Outcome
from onepipe.sandbox import Sandbox
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import published
from tests.cli.place import Place, connection, write

MORE: dict[str, dict[str, Any]] = {
    "tactile": {"currency": "GBP"},
    "onautomate": {"currency": "USD", "write": {"mode": "plan", "fields": {"amount": {"write": False}}}},
    "capsule": {"write": {"mode": "on"}},
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """A project with all five, synced once; only to be read."""
    folder = tmp_path_factory.mktemp("edits")
    with Sandbox(rows=12, seed=7) as crms:
        write(folder, *(connection(crms, name, **MORE.get(name, {})) for name in crms.urls))
        told = Place(folder).run("sync")
        assert 0 == told.code, told.err
    yield config.load(folder / "config.yaml", credentials=False)


@dataclass(frozen=True)
class Queue:
    """The project with an empty queue."""

    config: Config
    control: Control

    def edit(self, connection: str, source_id: str, *words: str, clear: Sequence[str] = ()) -> Outcome:
        """As `onepipe edit CONNECTION ID field=value...` does it."""
        rows = editing.from_words(connection, source_id, words, clear, "")
        return editing.queue(self.config, self.control, rows)

    def new(self, connection: str, *words: str) -> Outcome:
        """As `onepipe edit --new` does it."""
        rows = editing.from_words(connection, None, words, (), "")
        return editing.create(self.config, self.control, connection, rows)

    def ask(self, sql: str, *values: Any) -> Any:
        """The first value of a query on the warehouse."""
        with published(self.config.warehouse) as db:
            return db.one(sql, list(values))

    def some_id(self, connection: str, where: str = "true") -> str:
        """The id of a deal that is alive."""
        found = self.ask(
            f"SELECT min(source_id) FROM opportunities WHERE connection = ? AND NOT is_deleted AND {where}", connection
        )
        assert found is not None, where
        return str(found)

    def open_target(self, name: str, db: Database) -> editing.Target:
        """What edits of a connection are judged by."""
        return editing.open_target(self.config, self.config.connections[name], db)


@pytest.fixture
def desk(project: Config, tmp_path: Path) -> Iterator[Queue]:
    """The project, with an empty queue of this test's own."""
    with Control(tmp_path / "state") as control:
        yield Queue(project, control)

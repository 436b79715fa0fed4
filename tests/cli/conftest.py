"""Projects on simulated CRMs: never synced, synced once, and one that a test may spoil."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

ROWS = 12
CAPSULE = {"labels": {"client": "Acme"}, "settings": {"details": False}}


@pytest.fixture(scope="session")
def crms() -> Iterator[Sandbox]:
    """Two simulated CRMs; tests that spoil them bring their own."""
    with Sandbox(rows=ROWS, seed=7, crms=("administrate", "capsule")) as sandbox:
        yield sandbox


@pytest.fixture
def place(tmp_path: Path, crms: Sandbox) -> Place:
    """A project with both, never synced."""
    write(tmp_path, connection(crms, "administrate"), connection(crms, "capsule", **CAPSULE))
    return Place(tmp_path)


@pytest.fixture(scope="session")
def synced(tmp_path_factory: pytest.TempPathFactory, crms: Sandbox) -> Place:
    """A project with both, synced once; only to be read."""
    folder = tmp_path_factory.mktemp("synced")
    write(folder, connection(crms, "administrate"), connection(crms, "capsule", **CAPSULE))
    told = Place(folder).run("sync")
    assert 0 == told.code, told.err
    return Place(folder)


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project with one Capsule of its own, for faults."""
    with Sandbox(rows=ROWS, seed=7, crms=("capsule",)) as sandbox:
        write(tmp_path, connection(sandbox, "capsule", settings={"details": False}))
        yield Place(tmp_path), sandbox


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A project that may write to a Capsule of its own, called acme, synced."""
    with Sandbox(rows=ROWS, seed=7, crms=("capsule",)) as sandbox:
        write(tmp_path, acme(sandbox))
        place = Place(tmp_path)
        told = place.run("sync")
        assert 0 == told.code, told.err
        yield place, sandbox


def acme(sandbox: Sandbox, **written: Any) -> str:
    """The connection of `desk`, its `write:` changed."""
    made = connection(sandbox, "capsule", settings={"details": False}, write={"mode": "on"} | written)
    return made.replace("capsule", "acme", 1)

"""Desks for pushes: each test gets CRMs and a project of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.push.desk import Desk

Make = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Make]:
    """desk("capsule", "overplane", limits={...}): a project with these accounts, empty, that may write to them."""
    with ExitStack() as stack:

        def make(*crms: str, rows: int = 0, **write: Any) -> Desk:
            sandbox = stack.enter_context(Sandbox(rows=rows, crms=list(crms)))
            folder = tmp_path / f"desk{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            return Desk(folder, sandbox, crms, **write)

        yield make

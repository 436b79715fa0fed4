"""Desks for the behaviours: each test gets accounts of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.behaviours.desk import Desk

Make = Callable[..., Desk]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Make]:
    """desk("capsule", rows=17, cap=5, **options): an account with so many deals, at most `cap` of them on a page."""
    with ExitStack() as stack:

        def make(name: str, rows: int = 12, cap: int | None = None, details: bool = False, **options: Any) -> Desk:
            sandbox = stack.enter_context(Sandbox(rows=0, crms=[name]))
            folder = tmp_path / f"desk{len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            made = Desk(folder, sandbox, name, details)
            made.crm.options.apply({"limit_cap": cap, **options})
            made.fill(rows)
            return made

        yield make

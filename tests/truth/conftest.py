"""The story is played once for all tests of this folder: each looks at one side of the same real runs."""

from collections.abc import Iterator

import pytest

from onepipe.sandbox import Sandbox
from tests.truth.desk import Desk
from tests.truth.story import Story, play


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Five CRMs with 60 deals each, a reporting zone far from UTC, and a currency for the CRM that has none."""
    with Sandbox(rows=60, seed=7) as sandbox:
        extras = {"tactile": {"currency": "GBP"}}
        yield play(Desk(tmp_path_factory.mktemp("story"), sandbox, zone="America/New_York", extras=extras))

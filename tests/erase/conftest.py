"""A project in which one person stands in deals of several CRMs, in all the ways in which one can."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import onepipe.erase as erasing
from onepipe.erase import Found, Wanted
from onepipe.sandbox import Sandbox
from tests.erase.searching import traces
from tests.push.desk import Desk

NAME, EMAIL, PHONE = "Zoë Quitterie", "Zoe.Quitterie@example.org", "+44 7700 900123"
WORDS = (NAME, "Quitterie", EMAIL, PHONE)


class House(Desk):
    """A desk with that person. `publish` is what config.yaml says under that name."""

    publish: dict[str, Any] | None = None

    @property
    def config(self) -> Path:
        """config.yaml, as the desk writes it."""
        path = super().config
        if self.publish is not None:
            path.write_text(json.dumps(json.loads(path.read_text()) | {"publish": self.publish}))
        return path

    def person(self) -> int:
        """A deal in Overplane whose contact is the person; its id."""
        return self.deal(
            "overplane",
            name=f"Roof of {NAME}",
            party_name="customer_9",
            contact_person="c9",
            contact_display=NAME,
            contact_email=EMAIL,
            contact_mobile=PHONE,
            sales_stage="Prospecting",
        )

    def erase(self, **wanted: Any) -> Found:
        """Erase, as the command does it."""
        with self.project() as project:
            return erasing.erase(project, Wanted(**wanted), "operator", "asked to", self.notes, wait=0.0)

    def traces(self) -> list[str]:
        """Where the person stands by now, in whatever file of the project."""
        return traces(self.folder, WORDS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Any]:
    """house("overplane", rows=3): a project with these accounts, which may write to them."""
    with ExitStack() as stack:

        def make(*crms: str, rows: int = 3) -> House:
            sandbox = stack.enter_context(Sandbox(rows=rows, crms=list(crms)))
            folder = tmp_path / "house"
            folder.mkdir()
            return House(folder, sandbox, crms)

        yield make

"""Custom fields of Capsule: named by label, or in full where several have one; a wrong name stops no other field."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

NAME = "custom.Region (Deals)"
KEY = ("Deals", "Region")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Place, Any, list[str]]]:
    """A Capsule that may be written, its own side, and two deals: of two fields called Region they have one."""
    with Sandbox(rows=12, seed=7, crms=("capsule",)) as crms:
        crm = crms["capsule"]
        ids = sorted(key for key, row in crm.rows.items() if row["description"] is not None)[:3]
        for key in ids:
            crm.fields[key] = {KEY: {"tag": "Deals", "label": "Region", "text": "South"}}
        crm.fields[ids[2]]["Partners", "Region"] = {"tag": "Partners", "label": "Region", "text": "West"}
        write(tmp_path, connection(crms, "capsule", write={"mode": "on"}))
        place = Place(tmp_path)
        assert 0 == place.run("sync").code
        yield place, crm, [str(key) for key in ids]


@pytest.mark.long
def test_one_of_several_fields_of_a_label_is_written_and_read_back(desk: tuple[Place, Any, list[str]]) -> None:
    """Though such a deal shows it by the label alone: its base is known, and what was written is seen."""
    place, crm, (first, *_) = desk
    assert "South -> North" in place.run("edit", "capsule", first, f"{NAME}=North").out
    (item,) = place.run("push", "apply", "--yes", "--json").json["items"]
    assert ("done", "South", "North") == tuple(item["fields"][NAME][key] for key in ("state", "theirs", "now"))
    assert "North" == crm.fields[int(first)][KEY]["text"]


def test_a_change_of_it_in_the_crm_is_not_written_over(desk: tuple[Place, Any, list[str]]) -> None:
    """It is a conflict, as with every other field."""
    place, crm, (first, *_) = desk
    assert 0 == place.run("edit", "capsule", first, f"{NAME}=North").code
    crm.fields[int(first)][KEY]["text"] = "East"
    (item,) = place.run("push", "apply", "--yes", "--json").json["items"]
    assert ("conflict", "East") == tuple(item["fields"][NAME][key] for key in ("state", "theirs"))
    assert "East" == crm.fields[int(first)][KEY]["text"]


@pytest.mark.long
def test_a_field_that_cannot_be_sent_stops_no_other_of_its_deal(desk: tuple[Place, Any, list[str]]) -> None:
    """The plan and the run say of that field alone what stands against it."""
    place, crm, (_, second, _) = desk
    assert 0 == place.run("edit", "capsule", second, "custom.Nowhere=x", "description=called").code
    (item,) = place.run("push", "plan", "--json").json["items"]
    decisions = {name: one["decision"] for name, one in item["fields"].items()}
    assert {"custom.Nowhere": "refused", "description": "write"} == decisions
    assert "'Nowhere' is not the name" in item["fields"]["custom.Nowhere"]["reason"]
    assert "the deal's other fields are sent" in place.run("push", "plan").out
    told = place.run("push", "apply", "--yes", "--json")
    (item,) = told.json["items"]
    states = {name: one["state"] for name, one in item["fields"].items()}
    assert (1, {"custom.Nowhere": "refused", "description": "done"}) == (told.code, states)
    assert "called" == crm.rows[int(second)]["description"]
    assert ["custom.Nowhere"] == [one["field"] for one in place.run("edit", "list", "--json").json["edits"]]

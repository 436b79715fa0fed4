"""`edit`: what is queued, what is refused, what is listed and dropped, as a user types it."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write


@pytest.fixture
def desk(synced: Place, tmp_path: Path) -> Place:
    """A synced project with a queue of its own."""
    shutil.copytree(synced.folder, tmp_path / "project")
    return Place(tmp_path / "project")


def deal(place: Place, where: str = "true") -> Any:
    """A Capsule deal."""
    (found,) = place.run("sql", f"FROM deals WHERE connection = 'capsule' AND {where} LIMIT 1", "--json").json
    return found


def edits(place: Place, *words: str) -> Any:
    return place.run("edit", "list", *words, "--json").json["edits"]


def test_an_edit_is_queued_listed_and_dropped(desk: Place, crms: Sandbox) -> None:
    """Each step says what it did and what comes next; no request leaves the process."""
    asked = len(crms["capsule"].log)
    one = deal(desk, "stage <> 'Bid'")
    told = desk.run("edit", "capsule", one["source_id"], "name=Roof repair", "stage=Bid", "--reason", "called")
    assert 0 == told.code, told.err
    assert f"capsule {one['source_id']} stage: {one['stage']} -> Bid (edit 2)" in told.out
    assert "2 edits queued; `onepipe edit list`" in told.out
    assert "Nothing is sent: the write mode of capsule is off" in told.out
    name, stage = edits(desk)
    assert (
        "1",
        "capsule",
        one["source_id"],
        "update",
        "name",
        one["name"],
        "Roof repair",
        "called",
        "queued",
    ) == tuple(
        name[key] for key in ("edit_id", "connection", "source_id", "op", "field", "base", "value", "reason", "state")
    )
    assert name["created_at"].endswith("Z")
    assert "Roof repair" in desk.run("edit", "list", "capsule").out
    assert [] == edits(desk, "administrate")
    assert "Dropped: 1." in desk.run("edit", "drop", "1").out
    assert [stage] == edits(desk)
    assert {"dropped": ["2"]} == desk.run("edit", "drop", "2", "--json").json
    assert "No edit waits." in desk.run("edit", "list").out
    assert asked == len(crms["capsule"].log)


def test_json_tells_everything(desk: Place) -> None:
    """What was queued, what there was nothing to do for, and the write mode."""
    one = deal(desk)
    told = desk.run(
        *("edit", "capsule", one["source_id"], f"name={one['name']}", "probability=0.25", "description=", "--json")
    ).json
    (queued,) = told["queued"]
    assert ("1", "probability", "0.25") == (queued["edit_id"], queued["field"], queued["value"])
    assert ["name", "description"] == [nothing["field"] for nothing in told["nothing"]]
    assert {"capsule": "off"} == told["write_mode"]


def test_a_file_is_queued_whole_or_not_at_all(desk: Place) -> None:
    """All its faults are told with their lines; put right, all of it is queued."""
    one = deal(desk)["source_id"]
    path = desk.folder / "edits.csv"
    lines = ["connection,source_id,field,value,op,reason", f"capsule,{one},name,New,,r", f"capsule,{one},owner,,clear,"]
    path.write_text("\n".join([*lines, f"capsule,{one},amount,12x,,", "capsul,1,name,x,,"]))
    told = desk.run("edit", "--from", str(path))
    assert (2, "") == (told.code, told.out)
    assert f"{path}:4: capsule {one} amount: '12x' is no plain number" in told.err
    assert f"{path}:5: capsul 1 name: no connection is called 'capsul'; did you mean 'capsule'?" in told.err
    assert "2 faults; nothing was queued." in told.err
    assert [] == edits(desk)
    path.write_text("\n".join(lines))
    assert 0 == desk.run("edit", "--from", str(path), "--reason", "other").code
    assert [("name", "New", False, "r"), ("owner", None, True, "other")] == [
        (edit["field"], edit["value"], edit["clear"], edit["reason"]) for edit in edits(desk)
    ]


def test_a_query_is_queued(desk: Place) -> None:
    """Whatever the warehouse can say of a deal can be an edit; it cannot be changed by the query."""
    sql = "SELECT connection, source_id, 'description' AS field, 'stage ' || stage AS value FROM deals"
    told = desk.run("edit", "--sql", f"{sql} WHERE connection = 'capsule' LIMIT 3")
    assert (0, 3) == (told.code, len(edits(desk))), told.err
    for wrong in ("DELETE FROM stages", "SELECT 1", "SELEC"):
        assert 2 == desk.run("edit", "--sql", wrong).code


def test_new_and_deleted_records(desk: Place) -> None:
    """A new one names what it lacks; its edits are dropped together; a deletion is one edit."""
    told = desk.run("edit", "--new", "capsule", "name=Roof")
    assert (2, True) == (told.code, "company_id; stage or stage_id are missing" in told.err), told.err
    assert 0 == desk.run("edit", "--new", "capsule", "name=Roof", "company_id=2", "stage=Bid").code
    assert {("create", None)} == {(edit["op"], edit["source_id"]) for edit in edits(desk)}
    assert 3 == len(desk.run("edit", "drop", "2", "--json").json["dropped"])
    one = deal(desk)
    assert "to be deleted" in desk.run("edit", "--delete", "capsule", one["source_id"]).out
    assert [("delete", None, one["name"])] == [(edit["op"], edit["field"], edit["name"]) for edit in edits(desk)]
    assert "(deleted)" in desk.run("edit", "list").out


def test_line_items_come_from_a_file(tmp_path: Path) -> None:
    """As JSON, exact to the last digit."""
    with Sandbox(rows=4, seed=7, crms=("overplane",)) as crms:
        write(tmp_path, connection(crms, "overplane", write={"mode": "on"}))
        place = Place(tmp_path)
        assert 0 == place.run("sync").code
    (one,) = place.run("sql", "FROM deals LIMIT 1", "--json").json
    (tmp_path / "items.json").write_text('[{"name": "Nut", "quantity": 3, "unit_amount": 0.10}]')
    told = place.run("edit", "overplane", one["source_id"], f"line_items=@{tmp_path / 'items.json'}")
    assert 0 == told.code, told.err
    assert "`onepipe push apply` sends it" in told.out
    (edit,) = edits(place)
    assert '[{"name": "Nut", "quantity": "3", "unit_amount": "0.10"}]' == edit["value"]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("capsule",),
        ("capsule", "43"),
        ("--new",),
        ("--delete", "capsule"),
        ("--delete", "capsule", "43", "name=x"),
        ("--from", "x.csv", "capsule"),
        ("--from", "x.csv", "--sql", "SELECT 1"),
        ("list", "--new"),
        ("drop",),
        ("drop", "one"),
        ("capsule", "43", "amount"),
        ("list", "nowhere"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(desk: Place, words: tuple[str, ...]) -> None:
    """With how it is used; nothing is queued."""
    told = desk.run("edit", *words)
    assert (2, "") == (told.code, told.out)
    assert [] == edits(desk)


def test_nothing_can_be_edited_before_it_was_read(place: Place) -> None:
    """Without a warehouse there is no base; and no state folder is begun."""
    told = place.run("edit", "capsule", "43", "name=x")
    assert (2, True) == (told.code, "onepipe sync" in told.err)
    assert "No edit waits." in place.run("edit", "list").out
    assert not (place.folder / ".onepipe").exists()


def test_a_deleted_deal_is_not_edited(spoilt: tuple[Place, Sandbox]) -> None:
    """Its row stays, and there is nothing in the CRM to be changed."""
    place, crms = spoilt
    assert 0 == place.run("sync").code
    one = deal(place)["source_id"]
    crms["capsule"].delete(int(one))
    assert 0 == place.run("sync").code
    told = place.run("edit", "capsule", one, "name=x")
    assert (2, True) == (told.code, "is deleted in the CRM" in told.err)


def test_a_base_is_read_through_the_mapping_in_force(desk: Place) -> None:
    """What was known is kept as it was sent: an edited mapping, once applied, reads it anew."""
    one = deal(desk, "description IS NOT NULL AND description <> name")
    assert 0 == desk.run("edit", "capsule", one["source_id"], "name=Another").code
    shipped = Path(__file__).parents[2] / "mappings" / "capsule.yaml"
    fields = shipped.read_text().partition("examples:")[0].replace("name:                name", "name:  description")
    (desk.folder / "mappings").mkdir()
    (desk.folder / "mappings" / "capsule.yaml").write_text(fields)
    assert [one["name"]] == [edit["base"] for edit in edits(desk)]
    assert 0 == desk.run("mapping", "apply", "--yes").code
    assert [one["description"]] == [edit["base"] for edit in edits(desk)]


def test_edits_of_a_retired_connection_can_be_seen_and_dropped(desk: Place, crms: Sandbox) -> None:
    """Nothing new is queued for it."""
    one = deal(desk)["source_id"]
    assert 0 == desk.run("edit", "capsule", one, "name=x").code
    write(desk.folder, connection(crms, "administrate"))
    assert ["capsule"] == [edit["connection"] for edit in edits(desk)]
    told = desk.run("edit", "capsule", one, "name=y")
    assert (2, True) == (told.code, "retired" in told.err)
    assert 0 == desk.run("edit", "drop", "1").code

"""`conflicts`: what both sides changed is shown, decided by a word or in a file, and sent by the next push."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from onepipe.cli import conflicts
from onepipe.control import Control
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, Told

Desk = tuple[Place, Sandbox]
KEYS = {"conflict_id", "connection", "source_id", "field", "base", "ours", "theirs", "opened_at", "reason"}


@pytest.fixture
def torn(desk: Desk) -> tuple[Place, Sandbox, list[str]]:
    """Two deals whose description we and somebody in the CRM changed, as a plan found out; and their ids."""
    place, crms = desk
    found = place.run("sql", "FROM deals WHERE name SIMILAR TO '[ -~]+' ORDER BY source_id LIMIT 2", "--json").json
    ids = [one["source_id"] for one in found]
    for source_id in ids:
        assert 0 == place.run("edit", "acme", source_id, f"description=ours {source_id}").code
        crms["capsule"].update(int(source_id), description=f"theirs {source_id}")
    assert 0 == place.run("push", "plan").code
    return place, crms, ids


def waiting(place: Place) -> list[Any]:
    """The conflicts that wait for a decision."""
    return list(place.run("conflicts", "list", "--json").json["conflicts"])


def held(crms: Sandbox, source_id: str) -> Any:
    """What the CRM holds."""
    return crms["capsule"].rows[int(source_id)]["description"]


def applied(place: Place) -> Told:
    return place.run("push", "apply", "--yes")


def test_what_both_sides_changed_is_listed(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """What it was, what the CRM holds, what you want; how to decide; as JSON what the contract says; none by name."""
    place, _, ids = torn
    told = place.run("conflicts", "list", "acme")
    assert 0 == told.code, told.err
    for words in (*(f"theirs {one}" for one in ids), *(f"ours {one}" for one in ids), "onepipe conflicts resolve 1"):
        assert words in told.out
    one, _ = waiting(place)
    assert KEYS <= one.keys()
    assert ("acme", ids[0], "description", f"ours {ids[0]}", f"theirs {ids[0]}") == tuple(
        one[key] for key in ("connection", "source_id", "field", "ours", "theirs")
    )
    assert 2 == place.run("conflicts", "list", "nowhere").code


def test_status_names_what_waits_for_a_person(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """A conflict stands where people look every day, and not only in a table of its own."""
    place, _, _ = torn
    assert "acme: 2 conflicts between your edits and the CRM to decide: `onepipe conflicts list acme`" in (
        place.run("status").out
    )
    assert 2 == place.run("status", "--json").json["connections"][0]["conflicts"]
    assert all(0 == place.run("conflicts", "resolve", one, "theirs").code for one in ("1", "2"))
    assert "conflict" not in place.run("status").out


def test_without_conflicts_there_is_nothing_to_list(desk: Desk) -> None:
    """Exit 0, and said."""
    told = desk[0].run("conflicts", "list")
    assert (0, "No conflict waits for a decision.\n") == (told.code, told.out)


@pytest.mark.long
def test_each_is_decided_by_a_word(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """Ours is sent, theirs is kept; nothing is sent before the next push, and then nothing is left to decide."""
    place, crms, ids = torn
    told = place.run("conflicts", "resolve", "1", "ours", "--reason", "agreed")
    assert (0, True) == (told.code, "onepipe push apply" in told.out), told.err
    told = place.run("conflicts", "resolve", "2", "theirs")
    assert (0, False) == (told.code, "onepipe push apply" in told.out), told.err
    assert [f"theirs {one}" for one in ids] == [held(crms, one) for one in ids]
    assert 0 == applied(place).code
    assert [f"ours {ids[0]}", f"theirs {ids[1]}"] == [held(crms, one) for one in ids]
    assert [] == waiting(place) == place.run("edit", "list", "--json").json["edits"]
    told = place.run("conflicts", "resolve", "1", "theirs")
    assert (2, True) == (told.code, "resolved already" in told.err)


@pytest.mark.long
def test_another_value_is_a_decision_too(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """It is sent instead; also where it looks like an option."""
    place, crms, ids = torn
    assert 0 == place.run("conflicts", "resolve", "1", "-5 % for Ann").code
    told = place.run("conflicts", "resolve", "2", "both", "--json").json
    assert ["both"] == [one["resolution"] for one in told["resolved"]]
    assert 0 == applied(place).code
    assert ["-5 % for Ann", "both"] == [held(crms, one) for one in ids]


def test_another_value_does_not_rewrite_what_was_asked(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """The table of conflicts keeps what was ours when it was decided; the value is its resolution."""
    place, _, ids = torn
    assert 0 == place.run("conflicts", "resolve", "1", "agreed").code
    query = "SELECT ours, resolution, state FROM conflicts WHERE conflict_id = '1'"
    (told,) = place.run("sql", query, "--json").json
    assert {"ours": f"ours {ids[0]}", "resolution": "agreed", "state": "resolved"} == told


def test_each_kind_of_conflict_is_told_how_it_is_decided(capsys: pytest.CaptureFixture[str]) -> None:
    """A call is never sent again, so `ours` is not offered for one; nor a value for a deletion."""
    common = dict.fromkeys(("field", "name", "base", "ours", "theirs", "draft"))
    common |= {"connection": "acme", "source_id": "1", "opened_at": "2026-01-15T11:55:00Z", "reason": ""}
    kinds = [("7", "lost", None), ("8", "delete", None), ("9", "lost", "new:1"), ("10", "field", None)]
    conflicts._tell([{**common, "conflict_id": one, "kind": kind, "draft": draft} for one, kind, draft in kinds], None)
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "resolve 7" in line]
    call, delete, new, field = told.split("`onepipe conflicts resolve ")[1:]
    assert ("7 theirs`", False) == (call[:9], "`ours`" in call)
    assert (True, False) == ("`ours` deletes it" in delete, "value" in delete)
    assert "`ours` sends it again" in new and "any other word is the value to send" in field


@pytest.mark.long
def test_a_change_after_the_decision_asks_again(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """A person decided on what they saw, and not on what came after."""
    place, crms, ids = torn
    assert 0 == place.run("conflicts", "resolve", "1", "ours").code
    crms["capsule"].update(int(ids[0]), description="changed once more")
    told = applied(place)
    assert (1, True) == (told.code, "changed once more" in told.out)
    assert "changed once more" == held(crms, ids[0])
    assert "changed once more" in {one["theirs"] for one in waiting(place)}


@pytest.mark.long
def test_a_file_is_filled_in_and_given_back(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """As it was written, in two more columns; a line without a resolution stays open; the reason is kept."""
    place, crms, ids = torn
    path = place.folder / "conflicts.csv"
    told = place.run("conflicts", "list", "-o", str(path))
    assert (0, True) == (told.code, f"onepipe conflicts resolve --from {path}" in told.out)
    assert "No line holds a resolution" in place.run("conflicts", "resolve", "--from", str(path)).out
    fill(path, {"1": "both"})
    told = place.run("conflicts", "resolve", "--from", str(path), "--reason", "meeting")
    assert (0, True) == (told.code, "both" in told.out), told.err
    assert ["2"] == [one["conflict_id"] for one in waiting(place)]
    assert 1 == applied(place).code
    assert ["both", f"theirs {ids[1]}"] == [held(crms, one) for one in ids]


def fill(path: Path, resolutions: dict[str, str]) -> None:
    """Write decisions into the file, as a spreadsheet would."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for row in rows:
        row["resolution"] = resolutions.get(row["conflict_id"], "")
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_file_is_decided_whole_or_not_at_all(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """Every fault with its line; nothing is decided."""
    place, _, _ = torn
    path = place.folder / "decisions.csv"
    path.write_text("conflict_id,resolution,reason\n1,ours,\n77,theirs,\n")
    told = place.run("conflicts", "resolve", "--from", str(path))
    assert (2, True) == (told.code, f"{path}:3: conflict 77" in told.err), told.err
    assert "nothing was decided" in told.err
    assert 2 == len(waiting(place))


@pytest.mark.parametrize(
    "words",
    [
        ("resolve",),
        ("resolve", "1"),
        ("resolve", "1", "ours", "theirs"),
        ("resolve", "1", "ours", "--from", "x.csv"),
        ("resolve", "1", "ours", "--reson", "x"),
        ("resolve", "--from", "gone.csv"),
        ("resolve", "x", "ours"),
        ("list", "-o", "conflicts.xlsx"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_refused(desk: Desk, words: tuple[str, ...]) -> None:
    """Exit 2, and nothing on stdout."""
    told = desk[0].run("conflicts", *words)
    assert (2, "") == (told.code, told.out)


def test_a_deletion_over_a_change_is_decided(desk: Desk) -> None:
    """It is no field: it is listed as a deletion, and no value decides it."""
    place, crms = desk
    (one,) = place.run("sql", "FROM deals ORDER BY source_id LIMIT 1", "--json").json
    assert 0 == place.run("edit", "--delete", "acme", one["source_id"]).code
    crms["capsule"].update(int(one["source_id"]), description="still wanted")
    assert 0 == place.run("push", "plan").code
    assert "(delete)" in place.run("conflicts", "list").out
    assert 2 == place.run("conflicts", "resolve", "1", "something").code
    told = place.run("conflicts", "resolve", "1", "theirs")
    assert (0, True) == (told.code, "it stays" in told.out), told.err
    assert "still wanted" == held(crms, one["source_id"])


def test_deciding_needs_no_lease(torn: tuple[Place, Sandbox, list[str]]) -> None:
    """A sync that runs keeps nobody from deciding about fields."""
    place, _, _ = torn
    with Control(place.folder / ".onepipe", command="onepipe sync") as control, control.lease("connection:acme"):
        assert 0 == place.run("conflicts", "resolve", "1", "theirs").code

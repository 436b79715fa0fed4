"""`stages` and `people`: what was seen, what people decide of it, and what that does to how deals are read."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import onepipe.warehouse.decisions as decisions
from onepipe.errors import ConfigError
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

HEAD = "connection,pipeline,stage,stage_group,status,weight\n"
PARTNER = "Handed to partner"  # a milestone that completes a deal at 60 %: neither won nor lost


@contextmanager
def handed_over(folder: Path) -> Iterator[tuple[Place, Sandbox]]:
    """A Capsule, synced twice as acme: deals 43 and 44 went to the partner meanwhile, 44 without a day."""
    with Sandbox(rows=12, seed=7, crms=("capsule",)) as crms:
        write(folder, connection(crms, "capsule", settings={"details": False}).replace("capsule", "acme", 1))
        for number in (43, 44):
            crms["capsule"].update(number, milestone="Bid")
        assert 0 == Place(folder).run("sync").code
        crms["capsule"].update(43, milestone=PARTNER)
        crms["capsule"].update(44, milestone=PARTNER, actualCloseDate=None)
        assert 0 == Place(folder).run("sync").code
        yield Place(folder), crms


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Sandbox]]:
    """Such a project; whoever decides something takes a copy, and nobody changes the CRM."""
    with handed_over(tmp_path_factory.mktemp("loaded")) as made:
        yield made


@pytest.fixture
def acme(tmp_path: Path, loaded: tuple[Place, Sandbox]) -> tuple[Place, Sandbox]:
    """A copy of that project, to decide in."""
    place, crms = loaded
    shutil.copytree(place.folder, tmp_path / "acme")
    return Place(tmp_path / "acme"), crms


def decide(place: Place, *lines: str, name: str = "stages.csv", head: str = HEAD) -> None:
    """A file beside config.yaml with these lines."""
    (place.folder / name).write_text(head + "".join(f"{line}\n" for line in lines))


def asked(place: Place, query: str) -> list[dict[str, Any]]:
    """What the published warehouse answers."""
    told = place.run("sql", query, "--json")
    assert 0 == told.code, told.err
    found: list[dict[str, Any]] = told.json
    return found


DEALS = (
    "SELECT source_id, status, closed_on::VARCHAR AS closed_on, closed_on_evidence AS evidence FROM deals "
    "WHERE source_id IN ('43', '44') ORDER BY source_id"
)
# Of everybody: what is not decided of must stay as it is.
HISTORY = "SELECT * FROM opportunity_history ORDER BY connection, source_id, version"
LAST = (
    "SELECT source_id, list_contains(changed_fields, 'status') AS status_changed FROM opportunity_history "
    "WHERE source_id IN ('43', '44') AND valid_to IS NULL ORDER BY source_id"
)
WON = "SELECT sum(won) AS won, sum(unknown_status_deals) AS unknown FROM win_rate"


@pytest.mark.long
def test_a_status_decided_is_how_deals_are_read_and_undone_with_its_line(acme: tuple[Place, Sandbox]) -> None:
    """Status, day of closing, changed fields, history and win rate follow; taken out, all is row for row as before."""
    place, _ = acme
    before, won = asked(place, HISTORY), asked(place, WON)[0]
    unknown = [(one["source_id"], one["status"]) for one in asked(place, DEALS)]
    assert [("43", None), ("44", None)] == unknown
    day = asked(
        place,
        "SELECT (recorded_at AT TIME ZONE 'UTC')::DATE::VARCHAR AS day FROM opportunity_history "
        "WHERE source_id = '44' AND valid_to IS NULL",
    )[0]["day"]

    decide(place, f"ac*,,{PARTNER},Handed over,won,0.9")
    told = place.run("sync")
    assert (0, True) == (told.code, f"acme: stages.csv changed: {len(before)} versions read again" in told.err)
    assert [
        {"source_id": "43", "status": "won", "closed_on": day, "evidence": "crm"},
        {"source_id": "44", "status": "won", "closed_on": day, "evidence": "observed"},
    ] == asked(place, DEALS)
    assert [True, True] == [one["status_changed"] for one in asked(place, LAST)]
    changes = asked(place, "SELECT old, new FROM field_changes WHERE field = 'status' AND source_id IN ('43', '44')")
    assert [{"old": "open", "new": "won"}] * 2 == changes
    now = asked(place, WON)[0]
    assert (won["won"] + 2, won["unknown"] - 2) == (now["won"], now["unknown"])
    assert [len(before)] * 2 == [len(asked(place, HISTORY)), len(before)]

    quiet = place.run("sync")
    assert (0, False) == (quiet.code, "read again" in quiet.err)

    decide(place)
    told = place.run("stages", "--apply")
    assert (0, f"acme: stages.csv changed: {len(before)} versions read again.") == (
        told.code,
        told.out.splitlines()[0],
    )
    assert before == asked(place, HISTORY)
    assert won == asked(place, WON)[0]


def test_what_comes_later_is_read_by_the_decision_too(tmp_path: Path) -> None:
    """A new version, a deal never seen, and everything read again: one and the same."""
    with handed_over(tmp_path) as (place, crms):
        decide(place, f"*,,{PARTNER},,lost,")
        assert 0 == place.run("stages", "--apply").code
        crms["capsule"].update(43, name="Renamed")
        number = str(crms["capsule"].insert(milestone=PARTNER))
        assert 0 == place.run("sync").code
        query = f"SELECT source_id, status FROM deals WHERE source_id IN ('43', '{number}')"
        assert {("43", "lost"), (number, "lost")} == {(one["source_id"], one["status"]) for one in asked(place, query)}
        before, requests = asked(place, HISTORY), len(crms["capsule"].log)
        decide(place, f"acme,,{PARTNER},,lost,")  # another line, the same decision
        told = place.run("stages", "--apply")
        assert (0, "What stages.csv and people.csv say is in force; no deal is read otherwise than before.\n") == (
            told.code,
            told.out,
        )
        assert (before, requests) == (asked(place, HISTORY), len(crms["capsule"].log))


@pytest.mark.long
def test_groups_weights_and_people_are_in_the_deals(acme: tuple[Place, Sandbox]) -> None:
    """By the labels and the owner's id; no version is read again for them."""
    place, _ = acme
    decide(place, "acme,,Won,Closed,,", "*,,New,Early,,0.15")
    owner = asked(place, "SELECT min(owner_id) AS id FROM deals")[0]["id"]
    decide(place, f"acme,{owner},Ann,North", name="people.csv", head="connection,owner_id,person,team\n")
    told = place.run("sync")
    assert (0, False) == (told.code, "read again" in told.err)
    told_of = asked(place, "SELECT DISTINCT stage, stage_group, stage_weight FROM deals WHERE stage_group IS NOT NULL")
    assert {("Won", "Closed", None), ("New", "Early", 0.15)} == {
        (one["stage"], one["stage_group"], one["stage_weight"]) for one in told_of
    }
    people = asked(place, "SELECT DISTINCT owner_id, person, team FROM deals WHERE person IS NOT NULL")
    assert [{"owner_id": owner, "person": "Ann", "team": "North"}] == people
    assert people == asked(place, "SELECT owner_id, person, team FROM owners WHERE person IS NOT NULL")
    counts = asked(place, "SELECT (SELECT count(*) FROM deals) AS d, (SELECT count(*) FROM opportunities) AS o")
    assert counts[0]["d"] == counts[0]["o"]
    (place.folder / "people.csv").unlink()
    assert 0 == place.run("stages", "--apply").code
    assert [] == asked(place, "SELECT 1 FROM deals WHERE person IS NOT NULL")


def test_faults_stop_every_command_before_a_request(acme: tuple[Place, Sandbox]) -> None:
    """Of both files, with their lines; nothing is asked and nothing changed."""
    place, crms = acme
    decide(place, "acne,,Bid,,won,", "acme,,Bid,,won,", "a*,,Bid,,lost,")
    decide(place, "acme,,Ann,", name="people.csv", head="connection,owner_id,person,team\n")
    before = (place.folder / "warehouse.duckdb").read_bytes(), len(crms["capsule"].log)
    for words in (["sync"], ["check"], ["backfill"], ["daemon"], ["stages"], ["people"], ["stages", "--apply"]):
        told = place.run(*words)
        assert 2 == told.code, words
        lines = told.err.replace(f"{place.folder}/", "").splitlines()
        assert [
            "people.csv:2: owner_id: it is missing",
            "stages.csv:2: connection: no connection is named by 'acne'; did you mean 'acme'?",
            "stages.csv:4: connection: line 3 means the same in acme; keep one of them",
        ] == lines[:3]
    assert before == ((place.folder / "warehouse.duckdb").read_bytes(), len(crms["capsule"].log))


def test_a_process_that_lives_long_takes_part_in_what_was_decided_since(acme: tuple[Place, Sandbox]) -> None:
    """A daemon that began with another file neither undoes it nor minds one that is being edited."""
    place, _ = acme
    with Project(place.config, "onepipe daemon") as project:
        decide(place, f"acme,,{PARTNER},Late,won,")
        assert 0 == place.run("stages", "--apply").code
        for lines in (["acme,,Bid,Early,,"], ["acme,,Bid,Early,,"], [f"acme,,{PARTNER},Late,wo"]):
            project.warehouse.settle("daemon")
            with project.warehouse.look() as db:
                assert {"won"} == {row[0] for row in db.run("SELECT status FROM deals WHERE stage_group = 'Late'")}
                assert [] == decisions.waiting(db)
            decide(place, f"acme,,{PARTNER},Late,won,", *lines)
        with pytest.raises(ConfigError):
            project.beside.renew()


def test_a_line_that_nothing_seen_answers_to_is_told_once_a_run(acme: tuple[Place, Sandbox]) -> None:
    """A slip of the pen is no fault: the stage may be to come."""
    place, _ = acme
    decide(place, "acme,,Handed to partmer,,won,", "acme,Sales,Bid,Early,,")
    decide(place, "*,nobody,Ann,North", name="people.csv", head="connection,owner_id,person,team\n")
    told = place.run("sync")
    assert 0 == told.code
    for text in (
        "stages.csv:2: no deal was ever seen in the stage 'Handed to partmer'; did you mean 'Handed to partner'?",
        "stages.csv:3: no deal was ever seen in the stage 'Bid' in the pipeline 'Sales'",
        "people.csv:2: no deal was ever seen of the owner 'nobody'",
    ):
        assert 1 == told.err.count(text)
    assert "Handed to partmer" in place.run("stages").err


def test_a_retired_connection_is_still_named_by_a_line(acme: tuple[Place, Sandbox]) -> None:
    """What config.yaml has no more is in the warehouse, and its groups can be given."""
    place, crms = acme
    write(place.folder, connection(crms, "capsule", settings={"details": False}).replace("capsule", "other", 1))
    decide(place, "acme,,Won,Old,won,")
    told = place.run("sync")
    assert 0 == told.code, told.err
    groups = asked(place, "SELECT DISTINCT connection, stage_group FROM deals WHERE stage = 'Won' ORDER BY 1")
    assert [("acme", "Old"), ("other", None)] == [(one["connection"], one["stage_group"]) for one in groups]


def test_stages_lists_everything_seen_and_who_decided(acme: tuple[Place, Sandbox]) -> None:
    """With its deals, how they are read, the line that says so, and how many are of unknown status and where."""
    place, _ = acme
    decide(place, "ac*,,Bid,Early,,0.25", "acme,,Beyond,,won,")
    told = place.run("stages", "--json").json
    rows = {one["stage"]: one for one in told["stages"]}
    assert {"acme"} == {one["connection"] for one in told["stages"]}
    assert (True, 2, "Early", None, "0.25") == tuple(
        rows["Bid"][key] for key in ("decided", "line", "stage_group", "status", "weight")
    )
    assert (2, 0, "unknown", False, None) == tuple(
        rows[PARTNER][key] for key in ("deals", "open_deals", "read_as", "decided", "line")
    )
    assert (0, None, True, 3) == tuple(rows["Beyond"][key] for key in ("deals", "read_as", "decided", "line"))
    assert [{"connection": "acme", "pipeline": None, "stage": PARTNER, "deals": 2}] == told["unknown_status"]
    text = place.run("stages")
    assert f"2 deals of unknown status are in no figure: acme: {PARTNER} (2)." in text.out
    assert "stages.csv:3: no deal was ever seen in the stage 'Beyond'" in text.err
    decide(place, f"acme,,{PARTNER},,won,")
    assert "Not in force yet in acme: `onepipe stages --apply`" in place.run("stages").out
    assert 0 == place.run("stages", "--apply").code
    assert "unknown status" not in place.run("stages").out


@pytest.mark.parametrize(
    ("command", "file", "lines", "filled", "column"),
    [
        ("stages", "stages.csv", (HEAD, "ac*,,Bid,Early,,0.25", "later-no-deal,,X,Y,,"), "stage_group", "Bid"),
        ("people", "people.csv", ("connection,owner_id,person,team\n", "*,nobody,Ann,"), "person", "nobody"),
    ],
)
def test_the_csv_is_the_file_to_come(
    acme: tuple[Place, Sandbox], command: str, file: str, lines: tuple[str, ...], filled: str, column: str
) -> None:
    """Its lines as they stand, globs too, then what none decides of; saved as the file it decides just the same."""
    place, crms = acme
    own = connection(crms, "capsule", settings={"details": False})
    write(place.folder, own.replace("capsule", "acme", 1), own.replace("capsule", "later-no-deal", 1))
    decide(place, *lines[1:], name=file, head=lines[0])
    told = place.run(command, "--csv")
    rows = list(csv.DictReader(io.StringIO(told.out)))
    assert [line.split(",")[0] for line in lines[1:]] == [one["connection"] for one in rows[: len(lines) - 1]]
    assert {"acme"} == {one["connection"] for one in rows[len(lines) - 1 :]}
    assert {"no"} == {one["decided"] for one in rows[len(lines) - 1 :]}
    before = place.run(command, "--json").json
    assert (0, "") == ((saved := place.run(command, "-o", str(place.folder / file))).code, saved.out)
    assert told.out == (place.folder / file).read_text("utf-8-sig")
    assert b"\xef\xbb\xbf" == (place.folder / file).read_bytes()[:3]  # or Excel takes letters for others
    assert before == place.run(command, "--json").json
    assert told.out == place.run(command, "--csv").out
    assert column in {value for one in rows for value in one.values() if one[filled]}


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("stages", (HEAD, "acme,,Bid,Early,,", "other,,Bid,Late,,")),
        ("people", ("connection,owner_id,person,team\n", "acme,nobody,Ann,", "other,somebody,Bob,")),
    ],
)
def test_choosing_connections_loses_no_line_of_others(
    acme: tuple[Place, Sandbox], command: str, lines: tuple[str, ...]
) -> None:
    """What is written takes the place of the file: lines of other connections stay, what they lack is not added."""
    place, crms = acme
    own = connection(crms, "capsule", settings={"details": False})
    write(place.folder, own.replace("capsule", "acme", 1), own.replace("capsule", "other", 1))
    decide(place, *lines[1:], name=f"{command}.csv", head=lines[0])
    path = place.folder / f"{command}.csv"
    assert 0 == place.run(command, "other", "-o", str(path)).code
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    assert ["acme", "other"] == [one["connection"] for one in rows]


def test_people_lists_every_owner(acme: tuple[Place, Sandbox]) -> None:
    """By id and name, with the deals of today; a connection can be chosen."""
    place, _ = acme
    told = place.run("people", "acme", "--json").json["people"]
    real = asked(place, "SELECT owner_id, count(*) AS deals FROM deals WHERE owner_id IS NOT NULL GROUP BY ALL")
    assert {one["owner_id"]: one["deals"] for one in real} == {one["owner_id"]: one["deals"] for one in told}
    assert {False} == {one["decided"] for one in told}
    assert 2 == place.run("people", "acmee").code


@pytest.mark.long
def test_whoever_is_refused_has_changed_nothing(tmp_path: Path) -> None:
    """Deals of all connections concerned are read again, or none: also where another process is at work on the last."""
    with Sandbox(rows=12, seed=7, crms=("capsule", "tactile")) as crms:
        write(tmp_path, *(connection(crms, name, settings={"details": False}) for name in ("capsule", "tactile")))
        place = Place(tmp_path)
        assert 0 == place.run("sync").code
        decide(place, "*,,New,,abandoned,")
        with Project(tmp_path / "config.yaml", "test") as project, project.control.lease("connection:tactile"):
            assert 75 == place.run("stages", "--apply").code
            with project.warehouse.look() as db:
                assert ["capsule", "tactile"] == decisions.waiting(db)
        assert ["capsule", "tactile"] == [
            one["connection"] for one in place.run("stages", "--apply", "--json").json["applied"]
        ]


def test_one_form_at_a_time(acme: tuple[Place, Sandbox]) -> None:
    """CSV is no JSON, and applying prints no CSV; before the first sync there is nothing to list."""
    place, _ = acme
    assert 2 == place.run("stages", "--csv", "--json").code
    assert 2 == place.run("stages", "--apply", "-o", "x.csv").code
    assert json.loads(place.run("stages", "--apply", "--json").out) == {"applied": []}
    (place.folder / "warehouse.duckdb").unlink()
    assert 2 == place.run("stages").code


@pytest.mark.long
def test_writing_back_reads_what_the_crm_says(tmp_path: Path) -> None:
    """A status that people decided is no value of the CRM: an edit of another field rests on what it sent."""
    with Sandbox(rows=12, seed=7, crms=("capsule",)) as crms:
        own = connection(crms, "capsule", settings={"details": False}, write={"mode": "on"})
        write(tmp_path, own.replace("capsule", "acme", 1))
        place = Place(tmp_path)
        crms["capsule"].update(43, milestone=PARTNER)
        decide(place, f"acme,,{PARTNER},,won,")
        assert 0 == place.run("sync").code
        assert 0 == place.run("edit", "acme", "43", "name=Renamed").code
        told = place.run("push", "apply", "--yes")
        assert 0 == told.code, told.err
        assert "Renamed" == crms["capsule"].records[43]["name"]
        (one,) = asked(
            place, "SELECT name, status, version FROM opportunity_history WHERE source_id = '43' AND valid_to IS NULL"
        )
        assert {"name": "Renamed", "status": "won", "version": 2} == one


def test_a_limit_holds_whatever_is_asked_for(synced: Place) -> None:
    """Where nothing is decided of stages and owners, deals of one connection or owner are limited all the same."""
    for view in ("deals", "open_deals", "owners"):
        for condition in ("connection = 'capsule'", "connection = 'capsule' AND owner_id = 'a.user'"):
            told = synced.run("sql", f"FROM {view} WHERE {condition} LIMIT 1", "--json")
            assert 1 == len(told.json), (view, condition)

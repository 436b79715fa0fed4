"""The published rows against the CRMs' own records: every row, every mapped column, after every kind of change."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from onepipe import remap
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from tests.truth import stages
from tests.truth.desk import CRMS, Desk, Key
from tests.truth.ledger import unlike, unlike_lists
from tests.truth.story import NOBODY, UNREADABLE, Act, Story, act
from tests.truth.walk import step

ACTS = ("first", "again", "edited", "swept", "returned")
LEVELS = ("run", "sweep", "full")


@pytest.mark.parametrize("name", ACTS)
def test_published_rows_are_what_the_crms_hold(story: Story, name: str) -> None:
    """After each run `opportunities` holds exactly the CRMs' records, with exactly their values in every column."""
    assert [] == story.acts[name].wrong


@pytest.mark.parametrize("name", ACTS)
def test_each_run_is_complete_and_breaks_nothing(story: Story, name: str) -> None:
    """Each run is complete; raw and history are only appended to, and each new version tells when, why and what."""
    assert "complete" == story.acts[name].report.status
    assert [] == story.acts[name].broken


def test_first_load_has_every_deal_once(story: Story) -> None:
    """The first load holds each record as version 1, with nothing that changed and nothing deleted."""
    rows = [row for versions in story.first.new.history.values() for row in versions]
    assert len(story.first.new.opportunities) == len(rows)
    assert {(1, (), "source")} == {(row["version"], tuple(row["changed_fields"]), row["change_origin"]) for row in rows}
    assert 4 * 60 < len(rows) <= 5 * 60


def test_a_second_run_changes_nothing(story: Story) -> None:
    """A run over unchanged CRMs leaves every row of every table as it was, raw ones and first_seen_at included."""
    assert story.first.new == story.again.new


@pytest.mark.parametrize("crm", CRMS)
def test_stages_are_the_reference_data(story: Story, crm: str) -> None:
    """`stages` holds every stage that the CRM names, in its order, with what it says of a deal."""
    told = sorted(stages.stages(story.desk.sandbox[crm]), key=str)
    found = sorted(story.returned.new.stages[crm], key=str)
    assert told == [row for row in found if row["stage"] != "R&D trial"]


def test_edits_make_exactly_the_versions_they_should(story: Story) -> None:
    """Each inserted or edited record gets one version, whose changed_fields are the columns that were edited."""
    for one in (story.edited, story.swept, story.returned):
        found = {key: set(rows[0]["changed_fields"]) for key, rows in one.added().items() if not rows[0]["is_deleted"]}
        assert one.expected == found


def test_deletions_are_marked_with_how_we_know(story: Story) -> None:
    """A deleted record keeps its row and its values; the evidence is a tombstone, the CRM's refusal, or all of them."""
    for one in (story.edited, story.swept):
        dead = {key: rows[0] for key, rows in one.added().items() if rows[0]["is_deleted"]}
        assert one.deleted == {key: row["deleted_evidence"] for key, row in dead.items()}
        for key, row in dead.items():
            assert ["is_deleted"] == row["changed_fields"]
            assert one.old.opportunities[key]["name"] == row["name"]
        told = [row for row in one.new.raw_of(one.report.run_id) if row["kind"] != "record"]
        assert one.deleted == {(row["connection"], row["record_id"]): row["kind"] for row in told}


def test_a_tombstone_tells_when_the_deletion_was(story: Story) -> None:
    """deleted_at is the tombstone's own date where there is one, else when we found out."""
    key = story.edited.notes["tombstone"]
    told = story.desk.sandbox["capsule"].tombstones[int(key[1])]
    assert told == story.edited.new.opportunities[key]["deleted_at"]
    for key, evidence in story.swept.deleted.items():
        row = story.swept.new.opportunities[key]
        assert evidence != "tombstone"
        assert row["last_changed_at"] == row["deleted_at"]


def test_what_comes_back_is_no_longer_deleted(story: Story) -> None:
    """A record that reappears is live again in the same row, first seen when it first was, with its past kept."""
    dead = {**story.edited.deleted, **story.swept.deleted}
    assert 5 == len({name for name, _ in dead})
    for key in dead:
        row, versions = story.returned.new.opportunities[key], story.returned.new.history[key]
        assert (False, None, None) == (row["is_deleted"], row["deleted_at"], row["deleted_evidence"])
        assert story.first.new.opportunities[key]["first_seen_at"] == row["first_seen_at"]
        assert [False, True, False] == [version["is_deleted"] for version in versions]
        assert ["source", "deletion", "source"] == [version["change_origin"] for version in versions]


def test_closing_days_say_how_they_are_known(story: Story) -> None:
    """A deal that closed is dated by the CRM where it tells, else by the day we saw it, in the reporting zone."""
    rows, notes = story.edited.new.opportunities, story.edited.notes
    assert ["observed", "crm", "crm"] == [rows[notes[name]]["closed_on_evidence"] for name in ("observed", "crm", "at")]
    told = {(row["connector"], row["closed_on_evidence"]) for row in story.first.new.opportunities.values()}
    first = {(name, None) for name in CRMS} | {("capsule", "crm"), ("onautomate", "crm")}
    assert first | {(name, "first_seen") for name in ("administrate", "tactile", "overplane")} == told


def test_archived_rows_are_followed(story: Story) -> None:
    """What leaves Tactile's list for the archive stays live, is_archived, and goes on being read."""
    row = story.edited.new.opportunities[story.edited.notes["archived"]]
    assert (True, False) == (row["is_archived"], row["is_deleted"])
    assert "while archived" == story.swept.new.opportunities[story.swept.notes["archived"]]["description"]
    assert "R&D trial" == story.edited.new.opportunities[story.edited.notes["escaped"]]["stage"]


def test_a_moved_deal_is_no_deletion(story: Story) -> None:
    """A deal that moves to another pipeline is the same row, with another pipeline and stage."""
    key = story.edited.notes["moved"]
    row = story.edited.new.opportunities[key]
    assert (False, "Partners & Resellers", "Intro") == (row["is_deleted"], row["pipeline"], row["stage"])


def test_unreadable_values_are_problems(story: Story) -> None:
    """A value that cannot be read is NULL, and named in `problems` as it was sent; nothing else is."""
    told = {(*story.spoilt[crm], field, value) for crm in CRMS for field, value in UNREADABLE[crm][1].items()}
    problems = story.edited.new.problems
    assert [] == story.again.new.problems
    assert told == {(row["connection"], row["source_id"], row["field"], row["value"]) for row in problems}
    assert len(told) == len(problems)
    for row in problems:
        stored = story.edited.new.opportunities[row["connection"], row["source_id"]]
        assert stored[row["field"]] is None
        assert (stored["payload_hash"], story.edited.report.run_id) == (row["payload_hash"], row["run_id"])
        assert row["reason"]


def test_problems_stay_with_the_version_that_had_them(story: Story) -> None:
    """Once the value is right the row is whole again, and the problem stays written down, once."""
    assert story.edited.new.problems == story.returned.new.problems


def test_nested_changes_are_versions_too(story: Story) -> None:
    """A change that no column shows is a version all the same: content decides, not the stamp."""
    (version,) = story.swept.added()[story.swept.notes["nested"]]
    assert [] == version["changed_fields"]
    assert version["recorded_at"] == version["valid_from"]


@pytest.mark.long
def test_many_pages_in_hard_times(tmp_path: Path) -> None:
    """250 deals in several pages, small pages, ties that shuffle and Tactile's later era change nothing of that."""
    with Sandbox(rows=250, seed=11) as sandbox:
        sandbox["tactile"].options.use_era("head")
        sandbox["tactile"].options.tie_seed = 3
        sandbox["capsule"].options.apply({"limit_cap": 37, "extra_elements": True})
        sandbox["onautomate"].options.limit_cap = 25
        sandbox["overplane"].options.apply({"timestamps": "mixed", "shuffle_ties": True})
        extras = {"tactile": {"currency": "gbp"}, "onautomate": {"currency": "EUR"}, "capsule": {"currency": "CHF"}}
        desk = Desk(tmp_path, sandbox, zone="Pacific/Auckland", extras=extras)
        first = act(desk, NOBODY)
        assert [] == first.wrong
        assert [] == first.broken
        assert [] == first.new.problems
        assert first.new == act(desk, first.new).new


def test_details_that_are_off_are_null(tmp_path: Path) -> None:
    """`details: false` leaves what sub-requests tell as NULL: never asked is not the same as none."""
    with Sandbox(rows=20, seed=3, crms=["capsule", "overplane"]) as sandbox:
        off = {"settings": {"details": False}}
        desk = Desk(tmp_path, sandbox, ("capsule", "overplane"), extras={"capsule": off, "overplane": off})
        assert [] == act(desk, NOBODY).wrong


def test_random_walks_end_in_the_truth(tmp_path: Path) -> None:
    """Whatever people do between runs, each run shows what it can see, and a full one shows everything."""
    seed = int(os.environ.get("ONEPIPE_SEED", "4"))
    again = f"again with ONEPIPE_SEED={seed}"
    random, owed = Random(seed), dict[Key, str]()
    with Sandbox(rows=30, seed=seed) as sandbox:
        sandbox["tactile"].options.use_era(random.choice(("doc", "head")))
        desk = Desk(tmp_path, sandbox, zone="Asia/Kolkata", extras={"tactile": {"currency": "GBP"}})
        old = act(desk, NOBODY).new
        for level in (random.choice(("run", "sweep")), "run", "full"):
            for key, when in (step(desk, random) for _ in range(80)):
                owed[key] = max(when, owed.get(key, "run"), key=LEVELS.index)
            options: dict[str, Any] = {} if level == "run" else {level: True}
            one = act(desk, old, **options)
            assert "complete" == one.report.status, again
            assert [] == one.broken, again
            assert [] == surprises(one, desk, {key for key, when in owed.items() if later(when, level)}), again
            owed = {key: when for key, when in owed.items() if later(when, level)}
            old = one.new
        kept = stored(desk)
        read_again(desk)
        assert kept == stored(desk), again


def stored(desk: Desk) -> list[list[tuple[Any, ...]]]:
    """Every row that is kept, current and superseded, with what belongs to it, as text."""
    with Project(desk.config(), "test") as project, project.warehouse.look() as db:
        tables = ("store.current", "store.closed", "problems")
        return [db.run(f"SELECT COLUMNS(*)::VARCHAR FROM {table} ORDER BY ALL") for table in tables]


def read_again(desk: Desk) -> None:
    """Everything is read from raw again, by the mappings that were applied."""
    with Project(desk.config(), "test") as project:
        with project.warehouse.commit("test") as db:
            db.run("UPDATE store.mappings SET version = 'another'")
        assert sorted(desk.crms) == sorted(one.connection for one in remap.apply(project))


def later(when: str, level: str) -> bool:
    """Whether an edit may go unseen by a run of that level."""
    return LEVELS.index(when) > LEVELS.index(level)


def surprises(one: Act, desk: Desk, may_wait: set[Key]) -> list[str]:
    """Rows that are neither what the CRM holds nor, where the run need not have seen it yet, what they were."""
    truth, lines = desk.truth(), []
    for key in sorted(truth.keys() | one.new.opportunities.keys()):
        row, told = one.new.opportunities.get(key), truth.get(key)
        if row is None or (key in may_wait and row == one.old.opportunities.get(key)):
            lines += [f"{key}: missing"] if row is None else []
        elif row["is_deleted"] != (told is None):
            lines.append(f"{key}: is_deleted is {row['is_deleted']}")
        elif told is not None:
            lines += [f"{key}: {line}" for line in unlike(row, told)]
    for name, lists in desk.children().items():
        for key in truth.keys() & one.new.opportunities.keys():
            held, before = one.new.children[name], one.old.children.get(name, {})
            if key not in may_wait or held.get(key) != before.get(key):
                lines += [f"{key}: {line}" for line in unlike_lists(name, lists, held, key)]
    return lines

"""Reference data that remembers: what stages were called is kept, and reading the past again does not rewrite it."""

import copy
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

import onepipe.sandbox.administrate as administrate
from onepipe import registry, remap
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from onepipe.sandbox.administrate_rules import STEPS
from onepipe.sandbox.tactile import STATUSES
from onepipe.warehouse.database import Database
from onepipe.warehouse.layout import dress
from tests.engine.conftest import Shop
from tests.truth.desk import CRMS, EPOCH, Desk, Row, table
from tests.truth.stages import stages
from tests.truth.walk import step

TOLD = ("stage", "pipeline", "probability", "status")
TABLES = ("store.current", "store.closed", "stages", "store.stage_versions", "problems", "stage_history")


class Listed(dict[int, Any]):
    """What a CRM has, of which its list does not tell of what is hidden."""

    def __init__(self, known: dict[int, Any]) -> None:
        super().__init__(known)
        self.hidden: set[int] = set()

    def __iter__(self) -> Iterator[int]:
        return iter([key for key in super().__iter__() if key not in self.hidden])

    def values(self) -> Any:
        return [self[key] for key in self]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A project with five CRMs whose lists of stages can lose entries; what they share is put back at the end."""
    shared = [(one, dict(one)) for one in (STEPS, STATUSES)]
    with Sandbox(rows=20, seed=11) as sandbox:
        monkeypatch.setattr(administrate, "STEPS", Listed(STEPS))
        sandbox["capsule"].milestones = Listed(sandbox["capsule"].milestones)
        try:
            yield Desk(tmp_path, sandbox, extras={"tactile": {"currency": "GBP"}})
        finally:
            for one, before in shared:
                one.clear()
                one.update(before)


def renamed(desk: Desk, random: Random, _: dict[str, list[Any]]) -> None:
    """In each CRM with a list one stage gets another name; now and then a probability, or a pipeline's name, too."""
    word = f"Renamed {random.randrange(10**6)}"
    number = random.choice((1, 2, 3))
    _, kind, odds = STEPS[number]
    STEPS[number] = (f"{word}!", kind, random.choice((odds, 33)))
    STATUSES[random.choice([key for key in STATUSES if key < 4])] = f"{word} & so on"
    milestone = desk.sandbox["capsule"].milestones[random.choice((1, 2, 3))]
    milestone["name"], milestone["probability"] = word, random.choice((milestone["probability"], 44))
    crm: Any = desk.sandbox["onautomate"]
    pipeline = random.choice(list(crm.pipelines.values()))
    random.choice(pipeline["stages"])["name"] = word
    if random.random() < 0.5:
        pipeline["name"] = f"Pipeline {word}"


def hidden(desk: Desk, random: Random, graves: dict[str, list[Any]]) -> None:
    """Stages leave the lists, with deals still in them, or come back, at the place where they were or at the end."""
    milestones, steps = desk.sandbox["capsule"].milestones, administrate.STEPS
    assert isinstance(steps, Listed)
    steps.hidden = {random.choice((4, 5))} if not steps.hidden else set()
    milestones.hidden = {random.choice((1, 4))} if not milestones.hidden else set()
    if graves.get("statuses"):
        STATUSES.update(graves.pop("statuses")[0])
    else:
        graves["statuses"] = [{2: STATUSES.pop(2)}]
    pipeline = next(iter(desk.sandbox["onautomate"].pipelines.values()))
    pipeline["stages"].append(pipeline["stages"].pop(0))
    if graves.get("stages"):
        pipeline["stages"].append(graves["stages"].pop())
    else:
        graves["stages"] = [pipeline["stages"].pop()]


def deleted(desk: Desk, random: Random, graves: dict[str, list[Any]]) -> None:
    """Deals are deleted for good, and others that were come back as they were."""
    for name in CRMS:
        crm = desk.sandbox[name]
        if graves.get(name) and random.random() < 0.7:
            row = graves[name].pop()
            with crm.lock:
                crm.rows[row["id"]] = copy.deepcopy(row)
                crm.touched()
        key = random.choice([key for key, row in crm.rows.items() if not row.get("archived")])
        graves.setdefault(name, []).append(copy.deepcopy(crm.rows[key]))
        crm.delete(key)


def content(db: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that a rebuild must leave as it is, as text."""
    return {name: db.run(f"SELECT COLUMNS(*)::VARCHAR FROM {name} ORDER BY ALL") for name in TABLES}


def rebuilt(desk: Desk, *statements: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the work file holds after every connection was read again by the mapping it was read with before."""
    with Project(desk.config(), "test") as project:
        with project.warehouse.commit("test") as db:
            for statement in ("UPDATE store.mappings SET version = 'older'", *statements):
                db.run(statement)
        assert {*CRMS} == {one.connection for one in remap.apply(project) if not one.refused}
        with project.warehouse.look() as db:
            return content(db)


Word = tuple[datetime, datetime, tuple[Any, ...]]
Words = dict[tuple[str, str, str | None], list[Word]]


def listen(desk: Desk, told: Words) -> None:
    """Note what the CRMs say of their stages, where it is news, with our clock around the run that heard it."""
    for name in CRMS[:4]:
        for row in stages(desk.sandbox[name]):
            words = told.setdefault((name, row["stage_id"], row["pipeline_id"]), [])
            word = tuple(row[column] for column in TOLD)
            if not words or words[-1][2] != word:
                words.append((desk.started, desk.finished, word))


def heard(db: Database) -> dict[tuple[str, str, str | None], list[Row]]:
    """stage_history by stage, in the order of time."""
    found: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in table(db, "stage_history", "ORDER BY valid_from"):
        found.setdefault((row["connection"], row["stage_id"], row["pipeline_id"]), []).append(row)
    return found


@pytest.mark.long
def test_a_rebuild_reads_the_past_with_the_stages_of_the_past(desk: Desk) -> None:
    """Stages renamed, gone from the list and back, deals deleted and back: a rebuild leaves every row as it was.

    So does one that has to read the stages again, too. It knows the places of now alone, which count where two stages
    have one name; so none have here. And stage_history is what the CRMs said, from the run on in which we heard it.
    """
    random, graves, told = Random(5), dict[str, list[Any]](), Words()
    desk.sync()
    listen(desk, told)
    for _ in range(3):
        for edit in (renamed, hidden, deleted):
            edit(desk, random, graves)
        for _ in range(12):
            step(desk, random)
        assert "complete" == desk.sync(sweep=True).status
        listen(desk, told)
    with Project(desk.config(), "test") as project, project.warehouse.look() as db:
        before, history = content(db), heard(db)
        assert 5 <= db.one("SELECT count(*) FROM store.current WHERE is_deleted")
        assert 1 <= db.one("SELECT count(*) FROM store.closed WHERE is_deleted")
        named = db.run("SELECT DISTINCT connection, stage_id FROM opportunity_history WHERE connection = 'overplane'")
    assert before == rebuilt(desk)
    again = rebuilt(desk, "UPDATE store.stage_versions SET rules = 'older'")
    assert before | {"store.stage_versions": []} == again | {"store.stage_versions": []}
    assert 6 < sum(1 for words in told.values() if len(words) > 1)
    for key, words in told.items():
        assert [word for _, _, word in words] == [tuple(row[name] for name in TOLD) for row in history[key]]
        assert all(a <= row["valid_from"] <= b for (a, b, _), row in zip(words, history[key], strict=True))
        ends = [row["valid_from"] for row in history[key][1:]]
        assert [*ends, None] == [row["valid_to"] for row in history[key]]
    assert {*told} | {(*one, None) for one in named if one[1]} >= {*history} >= {*told}
    assert all(row["valid_from"] > EPOCH for rows in history.values() for row in rows)


HISTORY = "SELECT stage_id, stage, {} valid_from::VARCHAR, valid_to::VARCHAR FROM stage_history ORDER BY ALL"


@pytest.fixture
def capsule(tmp_path: Path, sandbox: Sandbox) -> Shop:
    """Capsule, whose deals look their stage up by id: a deal was deleted, and then the stage it was in renamed."""
    shop = Shop(tmp_path, sandbox, ["capsule"])
    path = shop.folder / "mappings" / "capsule.yaml"
    path.parent.mkdir()
    text = registry.find("mappings", "capsule", None).path.read_text().partition("\nexamples:")[0]
    text = text.replace("stage:               milestone", "stage: {lookup: stages, by: stage_id}")
    path.write_text(text.replace("by: [stage_id, stage]", "by: stage_id"))
    shop.sync()
    crm: Any = sandbox["capsule"]
    crm.delete(next(key for key, row in crm.rows.items() if row["milestoneId"] == 2))
    shop.sync()
    crm.rename_milestone(2, "Offer")
    shop.sync()
    return shop


def labels(shop: Shop) -> list[tuple[Any, ...]]:
    """What the versions of the deals in the renamed stage show."""
    return shop.sql(
        "SELECT DISTINCT version, is_deleted, stage, list_contains(changed_fields, 'stage') FROM opportunity_history "
        "WHERE stage_id = '2' ORDER BY ALL"
    )


def applied(shop: Shop, *edit: str) -> None:
    """The mapping edited, and applied."""
    path = shop.folder / "mappings" / "capsule.yaml"
    text = path.read_text()
    assert edit[0] in text
    path.write_text(text.replace(*edit))
    with Project(shop.config, "test") as project:
        assert ["capsule"] == [one.connection for one in remap.apply(project) if not one.refused]


@pytest.mark.long
def test_an_applied_mapping_reads_the_past_with_its_own_stages(capsule: Shop) -> None:
    """An edit of something else, then of how stages are read: old versions keep the old name, deleted deals too."""
    before, history = labels(capsule), capsule.sql(HISTORY.format("probability::VARCHAR,"))
    assert [(1, False, "Bid", False), (2, False, "Offer", True), (2, True, "Bid", False)] == before
    applied(capsule, "fields:\n  name:", "fields:\n  type: {from: durationBasis, write: false}\n  name:")
    assert before == labels(capsule)
    assert history == capsule.sql(HISTORY.format("probability::VARCHAR,"))
    applied(capsule, "    probability: {from: probability, as: percent}\n", "")
    assert before == labels(capsule)
    expected = sorted((row[0], row[1], None, *row[3:]) for row in history)
    assert expected == capsule.sql(HISTORY.format("probability::VARCHAR,"))


@pytest.mark.long
def test_a_file_of_an_older_onepipe_comes_to_know_what_stages_were(capsule: Shop) -> None:
    """Brought up, it has them as they are, from the first list on; reading all again finds what they were."""
    now, history = labels(capsule), capsule.sql(HISTORY.format(""))
    with Project(capsule.config, "test") as project, project.warehouse.commit("test") as db:
        db.run("DROP VIEW stage_history")
        db.run("DROP VIEW pipelines")
        db.run("DROP TABLE store.stage_versions")
        db.run("UPDATE store.meta SET schema_version = 5")
    with Project(capsule.config, "test") as project, project.warehouse.commit("test") as db:
        dress(db)
    first = capsule.work("SELECT min(fetched_at)::VARCHAR FROM store.raw WHERE resource = 'milestones'")[0][0]
    assert {(first, None)} == {row[2:] for row in capsule.work(HISTORY.format(""))}
    assert "complete" == capsule.sync().status
    applied(capsule, "fields:\n  name:", "fields:\n  type: {from: durationBasis, write: false}\n  name:")
    assert history == capsule.sql(HISTORY.format(""))
    assert now == labels(capsule)

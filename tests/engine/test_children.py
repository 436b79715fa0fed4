"""What belongs to a deal, on its way from the CRM: read with the deal, read later, not read at all, read again."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import onepipe.warehouse.explain as explain
from onepipe import registry, remap
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from onepipe.warehouse import mapped
from tests.behaviours.desk import Desk, counting
from tests.effort import some
from tests.engine.conftest import Shop, error

Make = Callable[..., Desk]
NOW = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Make]:
    """desk("capsule"): an account with four deals, whose details are read, and whose waits take no time."""
    with ExitStack() as stack:

        def make(name: str, rows: int = 4, **options: Any) -> Desk:
            sandbox = stack.enter_context(Sandbox(rows=0, crms=[name]))
            made = Desk(tmp_path, sandbox, name, details=True)
            made.crm.options.apply(options)
            made.fill(rows)
            return made

        yield make


def add(made: Desk, key: Any, text: str) -> None:
    """One more child, which moves no stamp: a note, or of Overplane an item."""
    if made.name != "overplane":
        made.crm.write_note(key, text)
        return
    with made.crm.lock:
        held = made.crm.children["opportunity-item"].get(key, [])
    made.crm.update(key, silently=True, items=[*held, {"item_code": text, "qty": 2, "rate": Decimal("9.5")}])


def texts(made: Desk, key: Any) -> list[str]:
    """The children of a deal, as the work file tells them, in their order."""
    told = "line_items" if made.name == "overplane" else "notes"
    column = "name" if made.name == "overplane" else "body"
    return [text for (text,) in made.work(f"SELECT {column} FROM {told} WHERE source_id = '{key}' ORDER BY position")]


def versions(made: Desk, key: Any) -> list[tuple[Any, ...]]:
    """What changed in each version of a deal."""
    return made.work(f"SELECT changed_fields FROM opportunity_history WHERE source_id = '{key}' ORDER BY version")


PATHS = {"tactile": "*/timeline", "capsule": "*/history", "overplane": "*/opportunity-item"}
FAILURES: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "html"},
    {"kind": "truncated"},
    {"kind": "wrong_shape", "shape": "missing", "lists": False},
    {"kind": "wrong_shape", "shape": "null", "lists": False},
    {"kind": "empty_page", "lists": False},
]


@pytest.mark.parametrize("fault", some(FAILURES), ids=lambda one: "-".join(map(str, one.values())))
@pytest.mark.parametrize("crm", PATHS)
def test_a_list_that_cannot_be_read_whole_changes_nothing(desk: Make, crm: str, fault: dict[str, Any]) -> None:
    """Given any such answer, then the children stay as they were, the run is partial, and the detail stays owed."""
    if crm == "capsule" and fault["kind"] == "empty_page":
        pytest.skip("nothing in an empty list of Capsule's tells it from one that holds nothing")
    made = desk(crm)
    first, *_ = made.crm.records
    add(made, first, "One")
    made.sync()
    assert ["One"] == texts(made, first)
    made.later(minutes=5)
    add(made, first, "Two")
    made.rename(first, "edited")
    spoilt = made.crm.faults.add(**fault, path=PATHS[crm], count=None)
    assert "partial" == made.sync().status
    assert (["One"], "edited") == (texts(made, first), made.held()[str(first)])
    assert [(1,)] == made.work("SELECT count(*) FROM store.debts")
    made.crm.faults.remove(spoilt)
    made.later(minutes=5)
    assert "complete" == made.sync().status
    assert {"One", "Two"} == set(texts(made, first))
    assert 2 == len(versions(made, first)), "what was late completed the version that owed it"


def test_items_that_a_cap_hides_are_no_whole_list(desk: Make) -> None:
    """A list that states more rows than it ever gives is not taken for the deal's items."""
    made = desk("overplane")
    first, *_ = made.crm.records
    hides = {"path": "*/opportunity-item", "lists": False, "count": None}
    fault = made.crm.faults.add("rewrite", edit=lambda body: counting(body, 9), **hides)
    for text in ("a", "b", "c"):
        add(made, first, text)
    assert "partial" == made.sync().status
    assert ([], [(None,)]) == (
        texts(made, first),
        made.work(f"SELECT line_items FROM store.current WHERE source_id = '{first}'"),
    )
    made.crm.faults.remove(fault)
    assert "complete" == made.sync().status
    assert ["a", "b", "c"] == texts(made, first)


def test_asked_and_none_is_not_the_same_as_not_asked(desk: Make) -> None:
    """A list is NULL until it was read; then it is empty where the CRM has none."""
    made = desk("capsule")
    fault = made.crm.faults.add("status", status=500, path="*/party", count=None)
    made.sync()
    told = "SELECT DISTINCT notes IS NULL, len(notes), contacts IS NULL, quotes IS NULL FROM store.current"
    assert [(False, 0, True, True)] == made.work(told)
    made.crm.faults.remove(fault)
    made.sync()
    assert [(False, 0, False, True)] == made.work(told)
    assert [([],)] * 4 == made.work("SELECT changed_fields FROM opportunity_history")


@pytest.mark.long
@pytest.mark.parametrize("crm", ["tactile", "capsule"])
def test_a_note_that_moves_no_stamp_is_found_in_turn(desk: Make, crm: str) -> None:
    """It is read again after the sweep interval and makes one version, of which the change is told as JSON."""
    made = desk(crm)
    first, *_ = made.crm.records
    made.sync()
    add(made, first, "Called back")
    made.later(minutes=5)
    made.sync()
    assert [] == texts(made, first)
    with Project(made.config, "test") as project, project.warehouse.commit("test") as db:
        db.run("UPDATE store.details SET read_at = read_at - INTERVAL 2 DAY")
        db.run("UPDATE connections SET last_success_at = last_success_at - INTERVAL 30 MINUTE")
    assert "complete" == made.sync(publishing=True).status
    assert ["Called back"] == texts(made, first)
    assert [([],), (["notes"],)] == versions(made, first)
    ((field, old, new, origin),) = made.work("SELECT field, old, new, origin FROM field_changes")
    assert ("notes", "[]", "source") == (field, old, origin)
    (note,) = json.loads(new)
    assert "Called back" == note["body"]
    assert note["created_at"].endswith("Z")
    made.sync()
    assert 2 == len(versions(made, first))


def test_items_keep_every_digit(desk: Make) -> None:
    """Numbers longer than a double come through a detail as they were sent, now and when everything is read again."""
    made = desk("overplane", rows=1)
    (first,) = made.crm.records
    made.crm.update(first, items=[{"item_code": "long", "qty": 1, "rate": Decimal("12345678901234.5678")}])
    told = "SELECT unit_amount, amount FROM line_items"
    expected = [(Decimal("12345678901234.5678"), Decimal("12345678901234.5678"))]
    made.sync()
    assert expected == made.work(told)
    with Project(made.config, "test") as project:
        with project.warehouse.commit("test") as db:
            db.run("UPDATE store.mappings SET version = 'another'")
        assert ["overplane"] == [one.connection for one in remap.apply(project)]
    assert expected == made.work(told)


def without(made: Shop, crm: str, *names: str) -> Path:
    """The project's own mapping: the shipped one without these tables of children."""
    lines, out, skipping = registry.find("mappings", crm, None).path.read_text().splitlines(), list[str](), False
    for line in lines:
        depth = len(line) - len(line.lstrip())
        skipping = any(line.startswith(f"  {name}:") for name in names) or (skipping and depth > 2)
        out += [] if skipping else [line]
    path = made.folder / "mappings" / f"{crm}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(out).replace("children:\nstages:", "stages:").partition("\nexamples:")[0] + "\n")
    return path


@pytest.mark.long
def test_a_mapping_that_reads_new_details_asks_for_them(desk: Make) -> None:
    """Given a mapping that reads what the one before did not, then apply fills what it can, and the next run the rest:
    every live deal is asked about once, and no version is made."""
    made = desk("capsule")
    first, gone, *_ = made.crm.records
    add(made, first, "Of old")
    own = without(made, "capsule", "notes", "contacts")
    made.sync()
    made.crm.delete(gone)
    made.later(minutes=5)
    made.sync()
    assert [("customfield",), ("tag",)] == made.work("SELECT DISTINCT detail FROM store.details ORDER BY 1")
    before = made.work("SELECT source_id, version, valid_from::VARCHAR FROM opportunity_history ORDER BY ALL")
    own.unlink()
    with Project(made.config, "test") as project:
        (done,) = remap.apply(project)
    assert () == done.refused
    owed = made.work("SELECT detail, count(*), bool_and(completes) FROM store.debts GROUP BY 1 ORDER BY 1")
    assert [("history", 3, True), ("party", 3, True)] == owed
    assert "complete" == made.sync().status
    assert ["Of old"] == texts(made, first)
    assert before == made.work("SELECT source_id, version, valid_from::VARCHAR FROM opportunity_history ORDER BY ALL")
    assert [(0,)] == made.work("SELECT count(*) FROM store.debts")


def test_details_that_are_switched_on_are_asked_for(desk: Make) -> None:
    """Given an account whose details were off, then the first run with them fills every deal's; no version is made."""
    made = desk("tactile")
    first, *_ = made.crm.records
    add(made, first, "Of old")
    made.connections["tactile"]["settings"] = {"details": False}
    made.sync()
    assert ([], [(None,)] * 4) == (texts(made, first), made.work("SELECT notes FROM store.current"))
    del made.connections["tactile"]["settings"]
    asked = len(made.crm.log)
    made.sync()
    assert ["Of old"] == texts(made, first)
    assert [([],)] * 4 == made.work("SELECT changed_fields FROM opportunity_history")
    assert 4 == sum(seen.path.endswith("/timeline") for seen in made.crm.log[asked:])
    made.sync()
    assert 4 == sum(seen.path.endswith("/timeline") for seen in made.crm.log[asked:])


def test_a_plan_shows_children_and_refuses_to_empty_them(shop: Shop) -> None:
    """A list is one column of the plan; one whose column would be empty in it is refused, with the figures."""
    shop.sync()
    path = without(shop, "administrate", "documents")
    path.write_text(path.read_text().replace("      unit_amount: price\n", ""))
    with Project(shop.config, "test") as project:
        (one,) = remap.plan(project, now=NOW)
        (tried,) = remap.apply(project)
    told = {column["column"]: column for column in one.columns}
    with_lines = shop.sql("SELECT count(DISTINCT source_id) FROM line_items WHERE unit_amount IS NOT NULL")[0][0]
    assert {"line_items", "documents"} == set(told)
    assert with_lines == told["line_items"]["emptied"]
    assert '"unit_amount":null' in told["line_items"]["samples"][0]["after"]
    refused = [reason.partition(" would")[0] for reason in one.refused]
    assert (["line_items", "documents"], one.refused) == (refused, tried.refused)


def test_explain_tells_what_belongs_to_a_deal(shop: Shop) -> None:
    """The record's lists as they are now, and a change of them with what they were before."""
    shop.sync()
    crm = shop.sandbox["administrate"]
    key = next(key for key, row in crm.rows.items() if len(row["interests"]) == 1)
    held = crm.rows[key]["interests"][0]["id"]
    crm.update(key, interests=[{"id": held, "quantity": 7, "price": Decimal("1.10")}])
    shop.sync()
    with Project(shop.config, "test") as project, project.warehouse.look() as db:
        found = explain.record(db, "administrate", str(key))
    assert found is not None
    assert [("7", "1.10", "7.70")] == [
        (one["quantity"], one["unit_amount"], one["amount"]) for one in found["now"]["line_items"]
    ]
    (changed,) = [one for one in found["versions"][-1]["changes"] if one["field"] == "line_items"]
    assert found["now"]["line_items"] == json.loads(changed["new"]) != json.loads(changed["old"])


@pytest.mark.long
def test_drift_knows_what_children_read(desk: Make) -> None:
    """A field of an element, or of the list itself, is read by the columns of the table it goes to."""
    told: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
        "administrate": ("opportunity", ("interests", "[]", "price"), ["line_items.amount", "line_items.unit_amount"]),
        "tactile": ("timeline", ("[]", "note", "title"), ["notes.title"]),
        "overplane": ("items", ("[]", "qty"), ["line_items.quantity"]),
    }
    for crm, (resource, steps, columns) in told.items():
        made = desk(crm, rows=1)
        made.sync()
        with Project(made.config, "test") as project, project.warehouse.look() as db:
            uses = mapped.uses(db)[crm]
        assert columns == sorted(use.column for use in mapped.reading(uses, resource, steps))
        whole = {use.column.partition(".")[0] for use in mapped.reading(uses, resource, steps[:1])}
        assert columns[0].partition(".")[0] in whole


def test_an_account_that_refuses_its_timeline_says_so(desk: Make) -> None:
    """A login page in the middle of the details is a refused token: the run fails as that, nothing is lost."""
    made = desk("tactile")
    made.crm.faults.add("login_page", path="*/timeline", count=None)
    report = made.sync()
    assert "auth" == error(report, "tactile")["kind"]
    assert 4 == len(made.held())

"""The worked example of docs/warehouse.md: its deals give the figures that the page shows."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import onepipe.beside.rates as rates
import onepipe.beside.stages as stages
from onepipe.warehouse.views import REPORTS
from tests.warehouse.world import CLOSED, COMPARED, Row, World, stored

PAGE = (Path(__file__).parent.parent.parent / "docs" / "warehouse.md").read_text(encoding="utf-8")
EXAMPLE = PAGE.partition("\n## A worked example\n")[2].partition("\n## ")[0]
IDS = {"First": "s1", "Offer": "s3"}


def cells(block: str) -> list[list[str]]:
    """The cells of a table of the page, its head left out."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.strip().splitlines()[2:]]


def history() -> World:
    """The versions that the example's first table lists."""
    (told,) = re.findall(r"((?:^\|.*\n)+)", EXAMPLE, re.MULTILINE)[:1]
    world = World("Europe/London", 1, [], date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC))
    for deal, since, stage, status, amount, probability, expected in cells(told):
        versions = world.deals.setdefault(("acme", deal), [])
        at = datetime.fromisoformat(since).replace(tzinfo=UTC)
        closed = status in CLOSED
        row: Row = {
            "connection": "acme",
            "source_id": deal,
            "name": deal,
            "is_deleted": False,
            "is_archived": False,
            "pipeline_id": "p1",
            "pipeline": "Pipeline p1",
            "stage_id": IDS[stage],
            "stage": stage,
            "status": status,
            "amount": Decimal(amount) if amount else None,
            "currency": "GBP",
            "valid_from": at,
            "probability": Decimal(probability) if probability else None,
            "version": len(versions) + 1,
            "expected_close_date": date.fromisoformat(expected) if expected else None,
            "closed_on": at.date() if closed else None,
            "closed_on_evidence": "crm" if closed else None,
            "created_at": versions[0]["created_at"] if versions else at,
        }
        row["changed_fields"] = [name for name in COMPARED if versions and row[name] != versions[-1][name]]
        versions.append(row)
    return world


def decided(world: World, folder: Path) -> World:
    """The same deals, with what the example's files beside config.yaml say."""
    for block in re.findall(r"```csv\n((?s:.*?))```", EXAMPLE):
        name = rates.FILE if "rate" in block.splitlines()[0] else stages.FILE
        (folder / name).write_text(block, encoding="utf-8")
    world.currency = "EUR"
    said, wrong = rates.read(folder / rates.FILE, world.currency)
    lines, more = stages.read(folder / stages.FILE, ("acme",))
    assert [] == [*wrong, *more]
    world.rates = [one.row for one in said]
    for connection, pipeline, stage, _, _, weight in (one.row for one in stages.decisions(lines, ("acme",))):
        world.weights[connection, pipeline, stage] = weight
    return world


def test_the_worked_example_shows_what_its_queries_answer(tmp_path: Path) -> None:
    """Each query of the example, on the deals of the example, answers with the table below it."""
    shown = re.findall(r"```sql\n((?s:.*?));\n```\n\n((?:^\|.*\n)+)", EXAMPLE, re.MULTILINE)
    assert len(shown) >= 6
    with stored(decided(history(), tmp_path), tmp_path) as db:
        db.run("UPDATE connections SET state = 'active'")
        for query, table in shown:
            answers = db.run(f"SELECT COLUMNS(*)::VARCHAR FROM ({query})")
            assert cells(table) == [["" if value is None else str(value) for value in row] for row in answers], query


def test_the_macros_are_explained_column_by_column() -> None:
    """What test_docs holds the views to: the same columns in the same order, with their types."""
    for view in REPORTS:
        section = PAGE.partition(f"\n## {view.name}\n")[2].partition("\n## ")[0]
        (table,) = re.findall(r"((?:^\|.*\n)+)", section, re.MULTILINE)
        assert [(f"`{one.name}`", one.type) for one in view.columns] == [(row[0], row[1]) for row in cells(table)]

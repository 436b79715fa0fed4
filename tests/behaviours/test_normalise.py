"""What arrives becomes columns; what cannot waits in `problems`; rules change without a request. 10, 31, 33, 34."""

import re
from decimal import Decimal
from typing import Any

import pytest

from onepipe import registry, remap
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from tests.behaviours.conftest import Make
from tests.behaviours.desk import CRMS, Desk, rows_of

TABLES = {"opportunities": "connection, source_id", "stages": "connection, pipeline_id, stage_id"}
BY_OUR_CLOCK = "first_seen_at, last_changed_at, closed_on, closed_on_evidence"


def everything(made: Desk, but: str = BY_OUR_CLOCK) -> dict[str, list[tuple[Any, ...]]]:
    """The tables that people query, in a fixed order, without what tells when we looked."""
    found = {}
    for table, key in TABLES.items():
        columns = f"* EXCLUDE ({but})" if table == "opportunities" else "*"
        found[table] = made.work(f"SELECT COLUMNS(*)::VARCHAR FROM (SELECT {columns} FROM {table}) ORDER BY {key}")
    return found


@pytest.mark.parametrize("crm", CRMS)
def test_10_without_a_change_nothing_is_written(desk: Make, crm: str) -> None:
    """10. Given no change at the source, then a second run writes no current row, no version and no raw row."""
    made = desk(crm, rows=8, details=True)
    made.sync()
    tables = ("raw.records", "opportunity_history", "opportunities", "stages", "problems")
    counted = f"SELECT {', '.join(f'(SELECT count(*) FROM {table})' for table in tables)}"
    before = made.work(counted), everything(made, "mapping_version")
    made.later(minutes=1)
    report = made.sync()
    assert ("complete", 0, 0) == (report.status, made.line(report)["new"], made.line(report)["changed"])
    assert before == (made.work(counted), everything(made, "mapping_version"))


def test_31_a_value_waits_for_its_rule(desk: Make) -> None:
    """31. Given "12,5" where a decimal is due, then the row loads, the value is named, and a mended rule fills it."""
    made = desk("overplane", rows=2)
    odd = {"opportunity_amount": "12,5", "base_opportunity_amount": Decimal("12.5")}
    made.rewrite(lambda body: rows_of(body, lambda rows: [row | odd for row in rows]))
    report = made.sync()
    assert ("complete", 2) == (report.status, made.line(report)["problems"])
    assert [(None,)] == made.work("SELECT DISTINCT amount FROM opportunities")
    assert [("amount", "12,5")] == made.work("SELECT DISTINCT field, value FROM problems")
    asked = len(made.crm.log)
    _edit_mapping(made, "amount", "base_opportunity_amount")
    assert asked == len(made.crm.log)
    assert [("12.5000",)] == made.work("SELECT DISTINCT amount::VARCHAR FROM opportunities")
    assert [] == made.work("SELECT * FROM problems WHERE field = 'amount'")


def test_33_a_mapping_edit_needs_no_request(desk: Make) -> None:
    """33. Given an edited mapping, then all history is read again without a request, as a fresh pull would read it."""
    made = desk("capsule", rows=5, details=True)
    made.sync()
    made.later(minutes=5)
    made.rename(next(iter(made.crm.records)), "edited")
    made.sync()
    asked = len(made.crm.log)
    _edit_mapping(made, "description", "name")
    assert asked == len(made.crm.log)
    assert [] == made.work("SELECT * FROM opportunity_history WHERE description IS DISTINCT FROM name")
    applied = everything(made)
    fresh = _again(made)
    assert everything(fresh) == applied


@pytest.mark.long
@pytest.mark.parametrize("crm", ["tactile", "capsule", "onautomate"])
def test_34_many_runs_end_where_one_ends(desk: Make, crm: str) -> None:
    """34. Given edits of deals, tags and labels, and a deletion, run by run, then all is as one fresh load has it."""
    made = desk(crm, rows=6, details=True)
    made.sync()
    first, second, third, fourth, *_ = made.crm.records
    for row_id in (first, second):
        made.later(minutes=5)
        made.rename(row_id, f"edited {row_id}")
        made.insert(f"new beside {row_id}")
        if row_id == first:
            made.sync()
    made.crm.delete(third)
    if crm == "capsule":  # what stands beside the deals, and moves no stamp of theirs
        made.crm.update(fourth, silently=True, tags=["late"])
        made.crm.rename_milestone(next(iter(made.crm.milestones)), "Renamed")
    if crm == "onautomate":
        next(iter(made.crm.pipelines.values()))["stages"][0]["name"] = "Renamed"
    made.sync(full=True)
    found = everything(made)
    found["opportunities"] = [row for row in found["opportunities"] if str(third) not in row[:3]]
    assert everything(_again(made)) == found


def _edit_mapping(made: Desk, field: str, rule: str) -> None:
    """Read one field by another rule, and apply that to all that is stored."""
    folder = made.folder / "mappings"
    folder.mkdir()
    text = registry.find("mappings", made.name, None).path.read_text()
    text = re.sub(rf"(?m)^  {field}:.*\n", "", text).replace("fields:\n", f"fields:\n  {field}: {rule}\n", 1)
    (folder / f"{made.name}.yaml").write_text(text)
    with Project(made.config, "test") as project:
        assert [made.name] == [one.connection for one in remap.apply(project)]


def _again(made: Desk) -> Desk:
    """The same account read for the first time by another project with the same mapping."""
    folder = made.folder / "again"
    folder.mkdir()
    if (made.folder / "mappings").exists():
        (made.folder / "mappings").rename(folder / "mappings")
    sandbox: Sandbox = made.sandbox
    now = made.now
    fresh = Desk(folder, sandbox, made.name, details=True)
    fresh.now = now
    assert "complete" == fresh.sync().status
    return fresh

"""What an edited mapping would change is told before anything is changed, and what would do harm is refused."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onepipe import registry, remap
from onepipe.project import Project
from tests.engine.conftest import Shop

NOW = datetime(2026, 3, 5, tzinfo=UTC)
SHIPPED = "extends: administrate\n"


def edited(shop: Shop, fields: str) -> Path:
    """The project's own mapping, which differs from the shipped one in these fields."""
    path = shop.folder / "mappings" / "administrate.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{SHIPPED}fields:\n{fields}")
    return path


@pytest.fixture
def old(shop: Shop) -> Shop:
    """An account synced twice, one deal changed in between."""
    shop.sync()
    crm = shop.sandbox["administrate"]
    crm.update(next(iter(crm.records)), name="Changed")
    shop.sync()
    return shop


def plan(shop: Shop) -> remap.Planned:
    with Project(shop.config, "test") as project:
        (one,) = remap.plan(project, now=NOW)
    return one


def digest(shop: Shop) -> list[str]:
    files = [shop.warehouse, shop.folder / ".onepipe" / "work.duckdb"]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def test_a_plan_tells_columns_rows_and_values(old: Shop) -> None:
    """Each column that would differ, its current rows and its history apart, with values from stored raw."""
    edited(old, "  description: name\n  name: {from: name, values: {Same: Changed}, write: false}\n")
    found = plan(old)
    columns = {one["column"]: one for one in found.columns}
    assert ({"name", "description"}, 61) == (set(columns), found.versions)
    described = columns["description"]
    assert (60, 1, 0, 61) == tuple(described[key] for key in ("current", "history", "emptied", "filled"))
    assert ([None] * 3, 3) == ([one["before"] for one in described["samples"]], len(described["samples"]))
    named = columns["name"]
    assert (60, 1, 60, 60) == tuple(named[key] for key in ("current", "history", "emptied", "problems_after"))
    assert {"Same", None} >= {one["after"] for one in named["samples"]}
    assert ("name would lose more than half of its values: 59 of 60 in current rows, 1 of 1 in history",) == (
        found.refused
    )


def test_a_plan_changes_nothing(old: Shop) -> None:
    """Neither file of ours, and no copy is left; the mapping still waits afterwards."""
    edited(old, "  description: name\n")
    before, asked = digest(old), len(old.sandbox["administrate"].log)
    plan(old)
    assert (before, asked) == (digest(old), len(old.sandbox["administrate"].log))
    assert [] == list((old.folder / ".onepipe").glob("trial*"))
    with Project(old.config, "test") as project:
        assert ["administrate"] == [name for name, *_ in remap.waiting(project)]


def test_what_killed_plans_left_is_taken_away(old: Shop) -> None:
    """A copy of a process that runs no more."""
    left = old.folder / ".onepipe" / "trial.999999999.duckdb"
    left.write_text("x")
    edited(old, "  description: name\n")
    plan(old)
    assert not left.exists()


@pytest.mark.long
def test_a_plan_tells_the_last_four_month_ends(old: Shop) -> None:
    """As they stand now and as they would, deal by deal counted here by hand."""
    edited(
        old, '  amount: {from: probability, write: false}\n  status: {from: name, values: {open: "*"}, write: false}\n'
    )
    found = plan(old)
    assert ["2025-11-30", "2025-12-31", "2026-01-31", "2026-02-28"] == [one["day"] for one in found.month_ends]
    for month in found.month_ends:
        over = {"11": "2025-12-01", "12": "2026-01-01", "01": "2026-02-01", "02": "2026-03-01"}[month["day"][5:7]]
        held = (
            f"opportunity_history WHERE valid_from < TIMESTAMPTZ '{over} 00:00:00+00' AND "
            f"(valid_to IS NULL OR valid_to >= TIMESTAMPTZ '{over} 00:00:00+00') AND NOT is_deleted"
        )
        before = dict(old.sql(f"SELECT status, count(*) FROM {held} GROUP BY 1"))
        assert {s: n for s, n in before.items() if n} == {
            one["status"]: one["before"] for one in month["deals"] if one["before"]
        }
        whole = sum(before.values())
        assert [("open", whole)] * bool(whole) == [
            (one["status"], one["after"]) for one in month["deals"] if one["after"]
        ]
        amounts = dict(old.sql(f"SELECT currency, sum(amount)::VARCHAR FROM {held} AND status = 'open' GROUP BY 1"))
        assert amounts == {one["currency"]: one["before"] for one in month["open_amount"] if one["currency"] in amounts}
    assert any(month["deals"] for month in found.month_ends)


def test_a_plan_without_an_edit_is_empty(old: Shop) -> None:
    """Also where the project's file says the same as the shipped one."""
    edited(old, "")
    with Project(old.config, "test") as project:
        assert [] == remap.plan(project)


@pytest.mark.long
@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ("  lead_source:\n", "lead_source would be empty: all of its values ("),
        (
            "  name: {from: name, values: {Same: Changed}, write: false}\n",
            "name would lose more than half of its values",
        ),
    ],
)
def test_what_would_lose_values_is_refused_without_force(old: Shop, fields: str, refused: str) -> None:
    """Nothing of the connection is changed, and with force it is done all the same."""
    edited(old, fields)
    before = old.sql(
        "SELECT * REPLACE (first_seen_at::VARCHAR AS first_seen_at) FROM (SELECT source_id, name, "
        "lead_source, mapping_version, first_seen_at FROM opportunities) ORDER BY 1"
    )
    with Project(old.config, "test") as project:
        (one,) = remap.apply(project)
        assert one.refused and one.refused[0].startswith(refused)
        assert 1 == len(remap.waiting(project))
    now = old.sql(
        "SELECT * REPLACE (first_seen_at::VARCHAR AS first_seen_at) FROM (SELECT source_id, name, "
        "lead_source, mapping_version, first_seen_at FROM opportunities) ORDER BY 1"
    )
    assert before == now
    with Project(old.config, "test") as project:
        (one,) = remap.apply(project, force=True)
        assert ((), []) == (one.refused, remap.waiting(project))


@pytest.mark.long
def test_what_a_plan_tells_is_what_apply_does(old: Shop) -> None:
    """The counted rows are those that differ once it is applied."""
    edited(old, "  type: name\n  description: name\n  probability:\n")
    columns = ("type", "description", "probability", "extra")
    query = f"SELECT source_id, version, {', '.join(columns)} FROM opportunity_history ORDER BY source_id, version"
    before, found = old.sql(query), plan(old)
    with Project(old.config, "test") as project:
        remap.apply(project, force=True)
    after = old.sql(query)
    differ = {
        name: sum(one[n] != other[n] for one, other in zip(before, after, strict=True))
        for n, name in enumerate(columns, start=2)
    }
    assert {name: n for name, n in differ.items() if n} == {
        one["column"]: one["current"] + one["history"] for one in found.columns
    }


@pytest.mark.long
def test_an_applied_mapping_outlives_what_it_extends(old: Shop) -> None:
    """What is kept of it says all by itself: the next run reads by it though the extended file changed or is gone."""
    base, shipped = old.folder / "mappings" / "base.yaml", registry.find("mappings", "administrate", None).path
    base.parent.mkdir()
    base.write_text(shipped.read_text().replace("\nfields:\n", "\nfields:\n  description: name\n"))
    edited(old, "").write_text("extends: base\n")
    with Project(old.config, "test") as project:
        assert [()] == [one.refused for one in remap.apply(project)]
    base.write_text(shipped.read_text().replace("\nfields:\n", "\nfields:\n  type: name\n"))
    crm = old.sandbox["administrate"]
    crm.update(next(iter(crm.records)), name="Later")
    old.sync()
    assert any("was edited" in text for text in old.notes.said)
    assert [("Later", None)] == old.sql("SELECT description, type FROM opportunities WHERE name = 'Later'")

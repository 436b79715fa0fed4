"""`columns:` of a mapping: typed columns at the end of the tables, filled from raw for all history, there for good."""

from decimal import Decimal
from typing import Any

import pytest

from onepipe import remap
from onepipe.errors import ConfigError
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import Warehouse
from tests.engine.conftest import Shop

VIEWS = ("opportunities", "opportunity_history", "deals", "open_deals")


@pytest.fixture
def shop(tmp_path: Any) -> Any:
    """An Administrate account, and a second one at the same address."""
    with Sandbox(rows=12, seed=7, crms=("administrate", "overplane")) as sandbox:
        yield Shop(tmp_path, sandbox, ["administrate", "overplane"])


def edited(shop: Shop, columns: str, crm: str = "administrate") -> None:
    """The project's own mapping of a CRM: the shipped one with these columns."""
    path = shop.folder / "mappings" / f"{crm}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"extends: {crm}\ncolumns: {columns}\n")


def apply(shop: Shop, *, force: bool = False) -> list[tuple[str, ...]]:
    """Why each connection that waits was refused."""
    with Project(shop.config, "test") as project:
        return [one.refused for one in remap.apply(project, force=force)]


def names(shop: Shop, view: str) -> list[str]:
    return [row[0] for row in shop.sql(f"SELECT column_name FROM (DESCRIBE {view})")]


def test_a_typed_column_is_filled_from_raw_for_all_history(shop: Shop) -> None:
    """At the end of every table, with its type; what cannot be read is a problem; later versions are compared in it."""
    shop.sync()
    crm = shop.sandbox["administrate"]
    key = next(iter(crm.records))
    crm.update(key, name="12.50")
    shop.sync()
    before = {view: names(shop, view) for view in VIEWS}
    edited(shop, "{worth: {from: name, as: decimal}, label: name}")
    assert [()] == apply(shop)
    assert {view: [*those, "x_worth", "x_label"] for view, those in before.items()} == {
        view: names(shop, view) for view in VIEWS
    }
    history = "SELECT x_worth, x_label = trim(name), changed_fields FROM opportunity_history WHERE source_id = "
    (first, second) = shop.sql(f"{history} '{key}' AND connection = 'administrate' ORDER BY version")
    assert (None, True, Decimal("12.5000"), True) == (*first[:2], *second[:2])
    assert {"name", "x_worth", "x_label"} <= set(second[2])
    assert [(12,)] == shop.sql("SELECT count(*) FROM problems WHERE field = 'x_worth'")
    assert [(None, "12.5")] == shop.sql("SELECT old, new FROM field_changes WHERE field = 'x_worth'")
    crm.update(key, name="13.75")
    shop.sync()
    (now,) = shop.sql(f"{history} '{key}' AND connection = 'administrate' AND valid_to IS NULL")
    assert (Decimal("13.7500"), True, True) == (*now[:2], {"name", "x_worth", "x_label"} <= set(now[2]))
    assert [("12.5", "13.75")] == shop.sql(
        "SELECT old, new FROM field_changes WHERE field = 'x_worth' ORDER BY changed_at DESC LIMIT 1"
    )


def test_a_new_connection_brings_its_columns_along(shop: Shop) -> None:
    """With its first run; others have NULL in them."""
    edited(shop, "{label: {from: title}}", "overplane")
    shop.sync()
    assert [("administrate", 0), ("overplane", 12)] == shop.sql(
        "SELECT connection, count(x_label) FROM opportunities GROUP BY 1 ORDER BY 1"
    )


@pytest.mark.long
def test_a_column_stays_though_no_mapping_has_it(shop: Shop) -> None:
    """Programs that read it go on working; emptying it takes --force."""
    edited(shop, "{label: name}")
    shop.sync()
    edited(shop, "{}")
    (refused,) = apply(shop)
    assert ("x_label would be empty: all of its values (12 in current rows) would be gone",) == refused
    assert [()] == apply(shop, force=True)
    assert [(0,)] == shop.sql("SELECT count(x_label) FROM deals")
    shop.sync()


def test_one_name_has_one_type(shop: Shop) -> None:
    """Another type than another connection's is refused, by the first run and by apply, forced or not."""
    edited(shop, "{label: name}")
    shop.sync("administrate")
    edited(shop, "{label: {from: probability, as: decimal}}", "overplane")
    with pytest.raises(ConfigError, match=r"x_label is VARCHAR in administrate and would be DECIMAL\(18,4\) here"):
        shop.sync("overplane")
    edited(shop, "{}", "overplane")
    shop.sync("overplane")
    edited(shop, "{label: {from: probability, as: decimal}}", "overplane")
    expected = ("x_label is VARCHAR in administrate and would be DECIMAL(18,4) here: one name has one type",)
    assert [expected] == apply(shop) == apply(shop, force=True)
    with Project(shop.config, "test") as project:
        (planned,) = remap.plan(project)
    assert (expected, []) == (planned.refused, planned.columns)


@pytest.mark.long
def test_a_type_is_changed_by_force_only(shop: Shop) -> None:
    """Where nobody else has the column; a plan tells it, with the values."""
    edited(shop, "{label: {from: value}}")
    shop.sync()
    edited(shop, "{label: {from: value, as: decimal}}")
    expected = "x_label would change its type, from VARCHAR to DECIMAL(18,4)"
    assert [(expected,)] == apply(shop)
    with Project(shop.config, "test") as project:
        (planned,) = remap.plan(project)
    assert expected in planned.refused
    assert [()] == apply(shop, force=True)
    assert [("DECIMAL(18,4)",)] == shop.sql("SELECT DISTINCT typeof(x_label) FROM opportunities")
    rows = shop.sql("SELECT x_label, amount FROM opportunity_history WHERE connection = 'administrate'")
    assert [label for label, _ in rows] == [amount for _, amount in rows] != [None] * len(rows)


def test_what_waits_to_be_landed_stands_in_no_way(shop: Shop) -> None:
    """What a push left for the next commit writes to the tables that are altered, which some DuckDBs do not take."""
    shop.sync()
    edited(shop, "{label: name}")
    waits = [1]

    def land(db: Database) -> None:
        if waits:
            waits.clear()
            db.run("UPDATE store.current SET weight = weight + 0")

    with Project(shop.config, "test") as project:
        project.warehouse = Warehouse(project.config.state, project.warehouse.lock, land)
        assert [()] == [one.refused for one in remap.apply(project)]
    assert [(12,)] == shop.sql("SELECT count(x_label) FROM opportunities")


@pytest.mark.long
def test_a_rebuild_gives_the_rows_it_replaces(shop: Shop) -> None:
    """With columns of its own, too: every version as it was, and explain tells them."""
    edited(shop, "{worth: {from: value, as: decimal}}")
    shop.sync()
    crm = shop.sandbox["administrate"]
    first, second, *_ = crm.records
    crm.update(first, name="Changed")
    crm.delete(second)
    shop.sync(sweep=True)
    query = (
        "SELECT source_id, version, x_worth, changed_fields, valid_from::VARCHAR, change_origin "
        "FROM opportunity_history WHERE connection = 'administrate' ORDER BY source_id, version"
    )
    before = shop.sql(query)
    with Project(shop.config, "test") as project:
        with project.warehouse.commit("test") as db:
            db.run("UPDATE store.mappings SET version = 'older' WHERE connection = 'administrate'")
        assert [()] == [one.refused for one in remap.apply(project)]
    assert before == shop.sql(query)

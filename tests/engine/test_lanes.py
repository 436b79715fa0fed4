"""The lanes beside the change lane: rows that come late, and details that nothing says have changed."""

from datetime import UTC, datetime, timedelta

import pytest

from onepipe.project import Project
from onepipe.quotas import Quota
from tests.engine.conftest import Shop, error, resource


def test_a_row_that_becomes_visible_late_is_stored_and_its_lateness_known(shop: Shop) -> None:
    """A row whose time lies before the cursor is written down with how late it came, and an overlap is proposed."""
    crm = shop.sandbox["administrate"]
    shop.sync()
    late = crm.insert(name="Late")
    crm.rows[late]["updated_at"] = datetime.now(UTC) - timedelta(seconds=90)
    crm.touched()
    shop.sync()
    assert [(str(late), "late", True, "change")] == shop.sql(
        "SELECT source_id, kind, late_by BETWEEN 60 AND 90, found_by FROM late_rows"
    )
    assert [(1, 3)] == shop.sql("SELECT late_rows, date_part('minute', proposed_overlap) FROM lateness")
    assert [(1,)] == shop.sql("SELECT late_rows FROM coverage WHERE resource = 'opportunity'")


def test_a_silent_change_and_a_row_of_the_future_are_told_apart(shop: Shop) -> None:
    """What a sweep finds changed under an old time is silent; a time after the present is of the future."""
    crm = shop.sandbox["administrate"]
    shop.sync()
    silent = next(iter(crm.records))
    crm.update(silent, silently=True, name="Other")
    future = crm.insert(name="Future")
    crm.rows[future]["updated_at"] = datetime(2099, 1, 1, tzinfo=UTC)
    crm.touched()
    shop.sync(sweep=True)
    assert {(str(silent), "silent", "full"), (str(future), "future", "full")} == set(
        shop.sql("SELECT source_id, kind, found_by FROM late_rows")
    )
    assert [(True,)] == shop.sql(
        "SELECT complete_through < now() + INTERVAL 1 MINUTE FROM coverage WHERE resource = 'opportunity'"
    )


@pytest.mark.long
def test_a_first_load_finds_nothing_late(five: Shop) -> None:
    """Where nothing was read before, nothing can have been missed."""
    five.sync()
    assert [] == five.sql("SELECT * FROM late_rows")


def test_details_are_read_again_in_turn(five: Shop) -> None:
    """Details older than the sweep interval are read again, as many as a quarter of the quota since the last run."""
    five.sync("capsule")
    quiet = resource(five.sync("capsule"), "capsule")
    assert 5 >= quiet["requests"]
    with Project(five.config, "test") as project, project.warehouse.commit("test") as db:
        db.run("UPDATE store.details SET read_at = read_at - INTERVAL 2 DAY")
        db.run("UPDATE connections SET last_success_at = last_success_at - INTERVAL 2 MINUTE")
    report = five.sync("capsule")
    lines = report.document()["connections"][0]["resources"]
    read = sum(line["requests"] for line in lines if line["resource"] in ("tag", "customfield", "history", "party"))
    assert "complete" == report.status
    assert 10 <= read <= 30
    with Project(five.config, "test") as project, project.warehouse.look() as db:
        assert 240 - read == db.one("SELECT count(*) FROM store.details WHERE read_at < now() - INTERVAL 1 DAY")


def test_a_crm_that_is_read_in_full_is_read_no_oftener_than_its_quota_allows(five: Shop) -> None:
    """After a complete read that took much of the quota, a run too soon asks nothing and says when it goes on."""
    assert "complete" == five.sync("onautomate").status
    crm = five.sandbox["onautomate"]
    with Project(five.config, "test") as project:
        quotas = (Quota(100, 10), Quota(200_000, 86_400))
        allowance = project.control.quotas.allowance("onautomate", "onautomate", quotas)
        assert allowance.next_scan() is not None
        allowance.scan_ended(1_000, datetime.now(UTC))
    asked = len(crm.log)
    held = five.sync("onautomate")
    assert ("rate_limited", asked) == (error(held, "onautomate")["kind"], len(crm.log))
    assert held.connections[0].status != "complete"
    assert "complete" == five.sync("onautomate", sweep=True).status
    assert asked < len(crm.log)

"""What a CRM prints on every row although it is none of the row's own."""

from tests.behaviours.conftest import Make


def test_a_new_option_in_tactile_changes_no_deal(desk: Make) -> None:
    """Given an option more in the account's definitions, then no version is made; a deal's own is still seen."""
    made = desk("tactile", rows=3, details=True, era="head")
    first, *_ = made.crm.records
    made.crm.update(first, region="12", tags=["vip"])
    made.crm.write_note(first, "One")
    made.sync()
    made.crm.add_option("14", "West")
    made.later(minutes=5)
    report = made.sync(sweep=True)
    assert ("complete", 0) == (report.status, made.line(report)["changed"])
    assert [(3,)] == made.work("SELECT count(*) FROM opportunity_history")
    made.crm.update(first, region=None, tags=["vip", "eu"])
    made.crm.write_note(first, "Two")
    made.sync()
    told = "SELECT list_sort(changed_fields), tags, custom::VARCHAR FROM opportunity_history WHERE version = 2"
    assert [(["custom", "notes", "tags", "updated_at"], ["eu", "vip"], "{}")] == made.work(told)
    assert [("One",), ("Two",)] == made.work("SELECT body FROM notes ORDER BY 1")

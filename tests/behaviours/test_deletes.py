"""Deletions: found, proved, taken back, and never believed on weak evidence. Behaviours 28 to 30."""

import pytest

from tests.behaviours.conftest import Make

EVIDENCE = {"capsule": "tombstone", "onautomate": "absent"}


@pytest.mark.parametrize("crm", ["administrate", "tactile", "capsule", "onautomate"])
def test_28_a_deletion_is_marked_with_its_evidence_and_taken_back(desk: Make, crm: str) -> None:
    """28. Given a deal that is deleted, then a sweep marks it, with how and when; the id seen again clears it."""
    made = desk(crm, rows=8)
    made.sync()
    made.later(minutes=5)
    victim = list(made.crm.records)[3]
    row = made.crm.rows[victim]
    made.crm.delete(victim)
    report = made.sync(sweep=True)
    assert ("complete", 1) == (report.status, made.line(report)["deleted"])
    marked = "SELECT is_deleted, deleted_evidence, deleted_at IS NOT NULL FROM opportunities WHERE source_id = '{}'"
    assert [(True, EVIDENCE.get(crm, "gone"), True)] == made.work(marked.format(victim))
    made.later(minutes=5)
    with made.crm.lock:
        made.crm.rows[victim] = row
        getattr(made.crm, "tombstones", {}).pop(victim, None)
        made.crm.touched()
    made.rename(victim, "back again")
    assert "complete" == made.sync(sweep=True).status
    assert [(False, None, False)] == made.work(marked.format(victim))
    assert made.truth() == made.held()


def test_28_a_tombstone_that_is_forgotten_leaves_it_to_the_sweep(desk: Make) -> None:
    """9, 28. Given deletions that Capsule's list of them no longer tells, then the sweep finds them by asking."""
    made = desk("capsule", rows=8, retention_days=1)
    made.sync()
    made.crm.delete(next(iter(made.crm.records)))
    made.later(days=2)
    assert "complete" == made.sync(sweep=True).status
    assert [("gone",)] == made.work("SELECT deleted_evidence FROM opportunities WHERE is_deleted")


def test_28_a_sweep_that_broke_off_is_done_again(desk: Make) -> None:
    """28. Given a sweep that could not ask for what is missing, then it explains no count, and the next run sweeps."""
    made = desk("administrate", rows=8)
    made.sync()
    made.later(minutes=5)
    made.crm.delete(list(made.crm.records)[3])
    fault = made.crm.faults.add("status", path="*/opportunities/*", count=None)
    assert ("partial", "unavailable") == made.said(made.sync())
    made.crm.faults.remove(fault)
    made.later(minutes=5)
    report = made.sync()
    assert ("complete", 1) == (report.status, made.line(report)["deleted"])


@pytest.mark.parametrize("crm", ["administrate", "overplane"])
def test_29_a_sweep_that_finds_hardly_anything_marks_nothing(desk: Make, crm: str) -> None:
    """29. Given a sweep that gives 3 % of the known ids, then nothing is marked, and a decision is asked for."""
    made = desk(crm, rows=34)
    made.sync()
    made.later(minutes=5)
    for row_id in list(made.crm.records)[1:]:
        made.crm.delete(row_id)
    report = made.sync(sweep=True)
    assert ("partial", "suspect") == made.said(report)
    assert [(0,)] == made.work("SELECT count(*) FROM opportunities WHERE is_deleted")
    assert "sweep approve" in made.told(report)
    since, rows = made.moment("suspect_since"), made.work("SELECT suspect_rows FROM coverage WHERE suspect_rows > 0")
    assert since is not None
    assert [(33,)] == rows


def test_29_a_token_that_sees_less_deletes_nothing(desk: Make) -> None:
    """29. Given a Tactile user who may no longer see most deals, then those are not taken for deleted."""
    made = desk("tactile", rows=12)
    made.sync()
    made.later(minutes=5)
    made.crm.options.hidden_ids = set(list(made.crm.records)[2:])
    report = made.sync(sweep=True)
    assert ("partial", "suspect") == made.said(report)
    assert made.truth() == made.held()


def test_a_page_that_fails_is_never_read_as_deletions(desk: Make) -> None:
    """Given a sweep whose second page cannot be read, then what it did not see stays as it is."""
    for crm in ("capsule", "onautomate"):
        made = desk(crm, rows=12, cap=5)
        made.sync()
        made.later(minutes=5)
        made.spoil("error_envelope", nth=2, count=None)
        report = made.sync(sweep=True)
        assert report.status in ("partial", "failed")
        assert made.truth() == made.held()


@pytest.mark.parametrize(("crm", "path"), [("capsule", "*/tag"), ("overplane", "*/opportunity-lost-reason-detail")])
def test_30_a_detail_that_cannot_be_read_keeps_its_old_value(desk: Make, crm: str, path: str) -> None:
    """30. Given a sub-request that fails, then the value it gave before stays, and it stays owed until it is read."""
    made = desk(crm, rows=3, details=True)
    first, *_ = made.crm.records
    detail = {"tags": ["a"]} if crm == "capsule" else {"status": "Lost", "lost_reasons": ["Price"]}
    made.crm.update(first, **detail)
    made.sync()
    column = "tags" if crm == "capsule" else "lost_reason"
    value = f"SELECT {column}::VARCHAR FROM opportunities WHERE source_id = '{first}'"
    before = made.work(value)
    assert before in ([("[a]",)], [("Price",)])
    made.later(minutes=5)
    made.rename(first, "edited")
    made.crm.update(first, **({"tags": ["b"]} if crm == "capsule" else {"lost_reasons": ["Competitor"]}))
    fault = made.crm.faults.add("status", status=500, path=path, count=None)
    report = made.sync()
    assert ("partial", "unavailable") == made.said(report)
    assert ("edited", before) == (made.held()[str(first)], made.work(value))
    owed = made.work("SELECT resource, details_owed FROM coverage WHERE details_owed > 0 AND resource <> 'opportunity'")
    assert [("tag" if crm == "capsule" else "lost_reason", 1)] == owed
    made.crm.faults.remove(fault)
    made.later(minutes=5)
    assert "complete" == made.sync().status
    assert made.work(value) in ([("[b]",)], [("Competitor",)])

"""Answers that say wait, no, or nothing at all. Behaviours 19 to 21, 25 and 26."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onepipe.http.wire import Timeouts
from onepipe.project import Project
from onepipe.run import Options, sync
from tests.behaviours.conftest import Make
from tests.behaviours.desk import Desk
from tests.engine.conftest import error


def _patiently(made: Desk) -> Any:
    """A run that really waits."""
    with Project(made.config, "test") as project:
        return sync(project, (), Options(), made.notes, publishing=False)


@pytest.mark.parametrize(("status", "wait", "skew"), [(429, 2, 0), (429, "+2", -600), (503, "+2", 0)])
def test_19_a_wait_is_as_long_as_the_server_says(desk: Make, status: int, wait: Any, skew: int) -> None:
    """19. Given Retry-After in seconds or as a date, then the wait is right by the server's clock, also a slow one."""
    made = desk("overplane", rows=2)
    made.later(seconds=skew)
    made.spoil("status", status=status, retry_after=wait)
    assert "complete" == _patiently(made).status
    refused, again = (one.at for one, before in _with_before(made) if status in (one.status, before))
    assert 2 <= (again - refused).total_seconds() < 3.5


def _with_before(made: Desk) -> list[tuple[Any, int]]:
    """Each request with the status of the one before it."""
    return list(zip(made.crm.log, [0, *(seen.status for seen in made.crm.log)], strict=False))


@pytest.mark.parametrize("crm", ["capsule", "onautomate"])
def test_20_a_long_wait_ends_the_run(desk: Make, crm: str) -> None:
    """20. Given Retry-After of an hour, then nobody sleeps through it: the run ends, saying until when."""
    made = desk(crm, rows=12, cap=5)
    made.spoil("status", status=429, retry_after=3600, nth=2, count=None)
    began = time.monotonic()
    report = made.sync()
    assert 20 > time.monotonic() - began
    assert ("partial", "rate_limited") == made.said(report)
    until = datetime.fromisoformat(error(report, crm)["until"])
    assert abs(until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert None is made.cursor()
    made.crm.faults.clear()


def test_20_the_next_run_goes_on_where_the_long_wait_was(desk: Make) -> None:
    """20. Given a run that ended for a wait, then the next asks nothing before its end, and goes on where it was."""
    made = desk("administrate", rows=12, cap=5)
    made.spoil("status", status=429, retry_after=3600, nth=2, count=1)
    made.sync()
    since = len(made.crm.log)
    assert "rate_limited" == made.said(made.sync())[1]
    assert since == len(made.crm.log)
    (made.folder / ".onepipe" / "control.sqlite").unlink()  # what forgets the hour, as its end would
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    read = [asked for asked in made.asked(since) if "updated_at__ge" not in asked and asked.get("_limit") != "1"]
    assert ["5", "10"] == [asked.get("id__gt") for asked in read]  # beside them only counts were asked for


def test_25_a_credential_refused_in_mid_run_stops_this_connection_alone(desk: Make) -> None:
    """25. Given a 401 on page 2 and no token that could be renewed, then the kind is auth and page 1 stays."""
    made = desk("administrate", rows=12, cap=5)
    made.spoil("status", status=401, nth=2, count=None)
    report = made.sync()
    assert ("failed", "auth") == made.said(report)
    assert 5 == len(made.held())
    assert None is made.cursor()
    assert 6 > len(made.crm.log)
    made.crm.faults.clear()
    made.later(minutes=1)
    assert "complete" == made.sync().status
    assert made.truth() == made.held()


@pytest.mark.parametrize("crm", ["tactile", "onautomate", "overplane"])
def test_25_a_refusal_in_disguise_is_a_refusal(desk: Make, crm: str) -> None:
    """25. Given a refused credential inside a 200, where the CRM does that, then it is auth and never an empty list."""
    made = desk(crm, rows=2)
    made.spoil("refused_200", count=None)
    report = made.sync()
    assert "failed" == report.status
    assert ("auth" if crm in ("tactile", "onautomate") else made.said(report)[1]) == made.said(report)[1]
    assert None is made.cursor()


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_26_a_connection_that_hangs_is_given_up(desk: Make, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """26. Given a server that takes the request and is silent, then timeouts end it, and the run says so."""
    monkeypatch.setattr("onepipe.http.door.Timeouts", lambda: Timeouts(connect=0.2, read=0.2, whole=0.5))
    made = desk("overplane", rows=3)
    made.spoil("hang", seconds=30 if kind == "hang" else 0.4, count=None)
    began = time.monotonic()
    report = made.sync()
    assert ("failed", "unavailable") == made.said(report)
    assert "no answer within the time allowed" in made.told(report)
    assert 30 > time.monotonic() - began
    assert None is made.cursor()

"""A connection that runs without an error and brings far less than usual is told of, and seldom wrongly."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from onepipe.config import Config
from onepipe.control import Control
from onepipe.daemon.alerts import Bulletin
from onepipe.daemon.silence import Silence, silent_fields
from onepipe.project import Project
from onepipe.report import ConnectionReport, Counts, ResourceReport
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse.filled import Filled
from tests.cli.place import connection, write
from tests.daemon.watched import Clock

DAY = 86_400


@dataclass
class Watching:
    """A silence detector over a real control file, with a clock of its own."""

    folder: Path
    clock: Clock

    def begin(self) -> "Watching":
        self.control = Control(self.folder / ".onepipe", clock=self.clock)
        self.bulletin = Bulletin(self.control.alerts, self.clock)
        self.silence = Silence(self.control.alerts, self.bulletin, lambda: self.folder / "warehouse.duckdb", self.clock)
        return self

    def restart(self) -> None:
        self.silence.keep(at_once=True)
        self.bulletin.tell()
        self.control.close()
        self.begin()

    def ran(self, fetched: int, changed: int = 0, status: str = "complete") -> None:
        counts = Counts(fetched=fetched, changed=changed)
        report = ConnectionReport("acme", "capsule", self.clock.at, status=status)  # type: ignore[arg-type]
        report.resources["opportunity"] = ResourceReport("opportunity", counts)
        self.silence.ran(report, "run")

    def days(self, number: int, fetched: int, changed: int = 0, runs: int = 24) -> None:
        """So many days of so many runs each."""
        for _ in range(number * runs):
            self.clock.now += DAY / runs
            self.ran(fetched, changed)

    @property
    def silent(self) -> list[str]:
        return [one.what for one in self.bulletin.standing("silent")]

    @property
    def text(self) -> str:
        import json

        (one,) = self.bulletin.standing("silent")
        return str(json.loads(one.body)["text"])


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    made = Watching(tmp_path, Clock()).begin()
    yield made
    made.control.close()


def test_a_run_that_reads_far_fewer_than_ever_is_told(watching: Watching) -> None:
    """Half of the leanest run of a week and more; over when it reads as many again; a restart knows what is usual."""
    watching.days(10, 100)
    watching.restart()
    watching.ran(49)
    assert ["reads"] == watching.silent
    assert "acme: the run read 49 deals; in 10 days before it none read fewer than 100." == watching.text
    watching.restart()
    watching.ran(49)
    assert ["reads"] == watching.silent
    watching.ran(98)
    assert [] == watching.silent


def test_nights_and_weekends_are_usual(watching: Watching) -> None:
    """Only what is leaner than the leanest run of all those days is told: busy hours are no measure."""
    for _ in range(10):
        watching.days(1, 500)
        watching.ran(30)
    watching.ran(16)
    assert [] == watching.silent
    watching.ran(14)
    assert ["reads"] == watching.silent


def test_a_few_deals_say_nothing(watching: Watching) -> None:
    """A small account varies; nor is anything said before a week is known, nor of a run that was not complete."""
    watching.days(10, 19)
    watching.ran(0)
    assert [] == watching.silent
    watching.control.close()
    other = Watching(watching.folder / "other", watching.clock).begin()
    other.days(5, 100)
    other.ran(1)
    other.days(5, 100)
    other.ran(1, status="partial")
    assert [] == other.silent
    other.control.close()
    watching.begin()


def test_what_stays_lean_is_usual_after_a_while(watching: Watching) -> None:
    """Before four weeks have passed it is what these days are held against."""
    watching.days(10, 100)
    watching.days(20, 40)
    assert ["reads"] == watching.silent
    watching.days(10, 40)
    assert [] == watching.silent


def test_no_change_for_far_longer_than_ever_is_told(watching: Watching) -> None:
    """Three times the longest pause; over with the next change, which is loaded as ever."""
    for _ in range(3):
        watching.days(5, 5, changed=2)
        watching.days(2, 5)
    watching.days(5, 5, changed=2)
    watching.days(6, 5)
    assert [] == watching.silent
    watching.days(1, 5)
    assert ["changes"] == watching.silent
    assert "nothing has changed for 6 days; the longest time without a change was 2 days" in watching.text
    watching.ran(5, changed=1)
    assert [] == watching.silent


def test_a_week_of_a_tenth_is_told(watching: Watching) -> None:
    """Changes still come, but hardly any: against the middle one of the three weeks before."""
    watching.days(30, 50, changed=4)
    assert [] == watching.silent
    for _ in range(8):
        watching.days(1, 50)
        watching.ran(50, changed=3)
    assert ["changes"] == watching.silent
    assert "changes came within the last seven days, and 672 within a usual week" in watching.text


def test_a_month_of_ordinary_life_is_told_of_nobody(watching: Watching) -> None:
    """Weekdays and weekends, nights and a holiday week: no false alarm in a quarter of a year."""
    for day in range(90):
        busy = day % 7 < 5 and not 40 <= day < 44
        for hour in range(24):
            watching.clock.now += 3600
            number = (day * 7 + hour * 13) % 40 if busy and 8 <= hour < 18 else 0
            watching.ran(number + 3, changed=number)
            assert [] == watching.silent, (day, hour)


def rows(*, new: dict[str | None, tuple[int, int]], old: dict[str | None, tuple[int, int]]) -> list[Filled]:
    """Rows by status: how many, and how many of them hold a close date."""
    return [
        Filled(which, status, n, {"closed_at": k})
        for which, group in ((True, new), (False, old))
        for status, (n, k) in group.items()
    ]


def test_a_field_is_silent_where_the_rows_before_held_it() -> None:
    """All of twenty or more are empty, and by the rows before, of the same status, most should not be."""
    before = {"won": (50, 50), "open": (100, 0)}
    assert [("closed_at", 1.0, 20)] == list(silent_fields(rows(new={"won": (20, 0)}, old=before)))
    assert [] == list(silent_fields(rows(new={"won": (19, 0)}, old=before)))
    assert [] == list(silent_fields(rows(new={"won": (20, 1)}, old=before)))
    assert [] == list(silent_fields(rows(new={"open": (200, 0)}, old=before)))
    assert [] == list(silent_fields(rows(new={"won": (20, 0)}, old={"won": (19, 19)})))
    assert [] == list(silent_fields(rows(new={"won": (20, 0), "open": (20, 0)}, old=before)))
    assert [] == list(silent_fields([]))


class Account:
    """A Capsule in a sandbox, read by real runs into a real warehouse, each told to the detector."""

    def __init__(self, folder: Path, crms: Sandbox) -> None:
        write(folder, connection(crms, "capsule", settings={"details": False}))
        self.crm = crms["capsule"]
        self.project = Project(folder / "config.yaml", "test")
        self.clock = Clock()
        self.bulletin = Bulletin(self.project.control.alerts, self.clock)
        self.silence = Silence(self.project.control.alerts, self.bulletin, lambda: self.config.snapshot, self.clock)

    @property
    def config(self) -> Config:
        return self.project.config

    def sync(self, *, look: bool = True) -> Counts:
        report = sync(self.project, options=Options(command="daemon"))
        (one,) = report.connections
        assert "complete" == one.status, one.error
        self.silence.ran(one, report.run_id)
        self.clock.now += 3600
        if look:
            self.silence.published()
            self.silence.look()
        return one.resources["opportunity"].counts

    @property
    def silent(self) -> list[str]:
        return [one.what for one in self.bulletin.standing("silent")]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with Sandbox(rows=80, seed=7, crms=("capsule",)) as crms:
        made = Account(tmp_path, crms)
        yield made
        made.project.close()


def test_a_field_that_falls_empty_in_the_crm_is_told_and_loaded(account: Account) -> None:
    """A field renamed in the CRM arrives as nothing: told once, loaded all the same, over when a value comes again."""
    account.sync()
    assert [] == account.silent
    ids = list(account.crm.rows)[:30]
    for one in ids:
        account.crm.update(one, value=None)
    assert 30 == account.sync().changed
    assert "field amount" in account.silent
    with account.project.warehouse.look() as db:
        assert 30 == db.one("SELECT count(*) FROM store.current WHERE amount IS NULL AND version = 2")
    account.crm.update(ids[0], value="12.50")
    account.sync()
    assert "field amount" not in account.silent


@pytest.mark.long
def test_small_changes_add_up_to_enough_rows(account: Account) -> None:
    """Four runs that change six deals each are looked at together."""
    account.sync()
    ids = list(account.crm.rows)
    for start in range(0, 24, 6):
        assert [] == account.silent
        for one in ids[start : start + 6]:
            account.crm.update(one, value=None)
        assert 6 == account.sync().changed
    assert ["field amount"] == account.silent


@pytest.mark.long
def test_a_large_run_is_looked_at_by_itself(account: Account) -> None:
    """What came before it, and was not looked at yet, does not hide what it lacks."""
    account.sync(look=False)
    ids = list(account.crm.rows)
    account.crm.update(ids[0], name="Another name")
    account.sync(look=False)
    for one in ids[:30]:
        account.crm.update(one, value=None)
    account.sync()
    assert ["field amount"] == account.silent


def test_a_list_that_loses_half_of_its_deals_is_told(account: Account) -> None:
    """The CRM says that they are deleted, so no sweep doubts it; a person should hear of it all the same."""
    account.sync()
    for one in list(account.crm.rows)[:50]:
        account.crm.delete(one)
    assert 50 == account.sync().deleted
    assert ["deals"] == account.silent


def test_a_run_without_a_change_costs_no_look(account: Account) -> None:
    """Only what changed is looked up."""
    account.sync()
    account.project.config.warehouse.unlink()
    account.config.snapshot.unlink(missing_ok=True)
    account.clock.now += timedelta(hours=1).total_seconds()
    account.silence.published()
    account.silence.look()
    assert [] == account.silent

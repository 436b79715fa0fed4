"""Several processes, several connections, readers beside writers, and what no file may hold. Behaviours 37 to 40."""

import json
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from onepipe.errors import LeaseHeld
from onepipe.project import Project
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse import books
from onepipe.warehouse.work import published
from tests.behaviours.conftest import Make
from tests.behaviours.desk import CRMS, OF_DEALS, TITLE
from tests.engine.conftest import Shop, error

# 35 and 36 (killed and full disks at every step) are in tests/simulation.


def test_37_a_second_holder_steps_aside(desk: Make) -> None:
    """37. Given a connection that somebody works on, then a second run of it ends with 75 and asks for nothing."""
    made = desk("administrate", rows=6)
    with Project(made.config, "first") as first, first.control.lease("connection:administrate"):
        report = made.sync()
    assert (75, "lease") == (report.exit_code, made.said(report)[1])
    assert [] == made.crm.log


def test_37_a_holder_that_was_paused_cannot_commit(desk: Make) -> None:
    """37. Given a holder whose lease went to another while it slept, then nothing it fetched is committed."""
    made = desk("administrate", rows=12, cap=5)

    def overtake() -> None:
        with Project(made.config, "other") as other, other.warehouse.commit("other") as db:
            newest = db.one("SELECT max(number) FROM store.fences")
            books.fence(db, "connection:administrate", newest + 1)

    made.between(overtake)
    report = made.sync()
    assert ("failed", "lease") == made.said(report)
    assert {} == made.held()
    assert None is made.cursor()


def test_37_a_fence_holds_inside_the_commit(desk: Make) -> None:
    """37. Given the commit of an old holder, then it is refused and leaves nothing, whatever it had written."""
    made = desk("administrate", rows=0)
    made.sync()
    with Project(made.config, "test") as project:
        with project.warehouse.commit("new") as db:
            books.fence(db, "connection:administrate", 10**15)
        with pytest.raises(LeaseHeld), project.warehouse.commit("old") as db:
            db.run("DELETE FROM connections")
            books.fence(db, "connection:administrate", 10**15 - 1)
    assert [("administrate",)] == made.work("SELECT connection FROM connections")


def test_38_readers_and_loads_do_not_meet(desk: Make) -> None:
    """38. Given a reader that holds the snapshot open, then loads go on, and it sees one run's state in all tables."""
    made = desk("overplane", rows=6, details=True)
    made.sync(publishing=True)
    tables = ("count(*) FROM opportunities", "count(*) FROM raw.records", "run_id FROM about")
    counted = f"SELECT {', '.join(f'(SELECT {table})' for table in tables)}"
    with published(made.warehouse) as db:
        before = db.run(counted)
        for number in range(2):
            made.later(minutes=1)
            made.insert(f"new {number}")
            assert "complete" == made.sync(publishing=True).status
        assert before == db.run(counted)
    after = made.sql(counted)
    assert (8, before[0][0] + 2) == (after[0][0], after[0][0])
    assert before[0][2] != after[0][2]


@pytest.mark.long
def test_38_no_query_fails_while_snapshots_are_replaced(desk: Make) -> None:
    """38. Given queries all the while loads go on, then each answers, with rows and figures that agree."""
    made = desk("administrate", rows=6)
    made.sync(publishing=True)
    stop, wrong = threading.Event(), list[object]()

    def ask() -> None:
        while not stop.is_set():
            try:
                ((rows, live),) = made.sql(
                    f"SELECT (SELECT count(*) FROM deals), (SELECT live_count FROM coverage {OF_DEALS})"
                )
                wrong.extend([(rows, live)] if rows != live else [])
            except Exception as error:  # whatever a reader could meet
                wrong.append(error)

    reader = threading.Thread(target=ask)
    reader.start()
    for number in range(2):
        made.later(minutes=1)
        made.insert(f"new {number}")
        made.sync(publishing=True)
    stop.set()
    reader.join()
    assert [] == wrong


def test_39_a_bad_token_costs_its_own_connection_alone(tmp_path: Path) -> None:
    """39. Given one refused token among many connections, then every other one is complete and published."""
    with Sandbox(rows=3, crms=["overplane"]) as sandbox:
        shop = Shop(tmp_path, sandbox, ["overplane"])
        good = shop.connections.pop("overplane") | {"settings": {"details": False}}
        shop.connections = {f"client{number}": dict(good) for number in range(6)}
        shop.connections["client3"] |= {"credentials": {"api_key": "sk_test_revoked"}}
        report = shop.sync()
        statuses = [one["status"] for one in report.document()["connections"]]
        assert (1, 5) == (statuses.count("failed"), statuses.count("complete"))
        assert ("partial", "auth") == (report.status, error(report, "client3")["kind"])
        assert [(5,)] == shop.sql("SELECT count(DISTINCT connection) FROM deals")


@pytest.mark.long
def test_40_no_file_and_no_message_holds_a_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """40. Given CRMs that send the credential back in data and in errors, then nothing we write or say holds it."""
    with Sandbox(rows=1) as sandbox:
        shop = Shop(tmp_path, sandbox, list(CRMS))
        secrets = {list(sandbox.credentials[crm].values())[-1] for crm in CRMS}
        for crm in CRMS:
            name, secret = TITLE.get(crm, "name"), list(sandbox.credentials[crm].values())[-1]
            sandbox[crm].insert(**{name: f"echo {secret}"})
        report = shop.sync()
        for crm in CRMS:
            sandbox[crm].faults.add("status", status=400, body=f"not for {sandbox.credentials[crm]}", count=None)
        failed = shop.sync()
        assert ("complete", "failed") == (report.status, failed.status)
        said = json.dumps([report.document(), failed.document(), shop.notes.said, capsys.readouterr()])
        files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.yaml"]
        rows = shop.sql("SELECT payload::VARCHAR FROM raw.records UNION ALL SELECT error_message FROM sync_runs")
    for form in {form for secret in secrets for form in (secret, quote(secret, safe=""))}:
        assert form not in said
        assert [] == [path.name for path in files if form.encode() in path.read_bytes()]
        assert [] == [text for (text,) in rows if form in (text or "")]


def test_40_reports_and_run_history_say_the_same(desk: Make) -> None:
    """40. Given a run, then the figures it reports are the ones in SQL under the same run id."""
    made = desk("onautomate", rows=6)
    with Project(made.config, "test") as project:
        report = sync(project, (), Options(), publishing=False)
    (told,) = report.document()["connections"]
    names = ("resource", "fetched", "new", "changed", "deleted", "problems", "requests")
    rows = made.work(f"SELECT {', '.join(names)} FROM sync_runs WHERE run_id = '{report.run_id}' ORDER BY resource")
    assert sorted(tuple(one[name] for name in names) for one in told["resources"]) == rows
    assert len(made.crm.log) == sum(one["requests"] for one in told["resources"])

"""The journal: what pushes read and did comes into the warehouse once, whichever process commits next."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from onepipe.account import open_connector
from onepipe.control import Clash, Control, Wish
from onepipe.control.stored import instant_text
from onepipe.edit import open_target
from onepipe.project import Project
from onepipe.records import Record, Stored
from onepipe.sandbox import Sandbox
from onepipe.spool import Spool
from onepipe.warehouse import books, explain
from onepipe.warehouse.books import Slice
from onepipe.warehouse.rebuild import rebuild
from tests.engine.conftest import Shop, resource

RUN = "20260115T120000-push01"


class Desk(Shop):
    """A project with some CRMs, and pushes that wrote down what they did, as the engine does."""

    def read(self, project: Project, crm: str, source_id: str, *details: str, age: float = 0.0) -> Stored:
        """A record as the CRM shows it now, as if read `age` seconds ago."""
        connector = open_connector(project.config, project.config.connections[crm])
        with connector.http:
            record = connector.get(source_id, None)
            told = {name: connector.detail(name, source_id, record.payload).decode() for name in details}  # type: ignore[attr-defined]
        read_at = datetime.now(UTC) - timedelta(seconds=age)
        return Stored(
            source_id=source_id, payload=record.payload.decode(), payload_hash="h", details=told, read_at=read_at
        )

    def push(self, crm: str, source_id: str, fields: dict[str, str], act: Callable[[], Any], **told: Any) -> None:
        """Read a deal, change it in the CRM, read it back, and write down that it is done."""
        details = told.pop("details", ())
        with Project(self.config, "push") as project:
            before = None if told.get("op") == "create" else self.read(project, crm, source_id, *details)
            act()
            back = None if told.get("op") == "delete" else self.read(project, crm, source_id, *details)
            settle(project.control, crm, source_id, fields, before=before, read=back, **told)

    def commit(self) -> None:
        """A commit of nothing, as a push ends with."""
        with Project(self.config, "push") as project, project.warehouse.commit(RUN):
            pass

    def changes(self, source_id: str, columns: str = "field, old, new, origin, reason") -> list[tuple[Any, ...]]:
        """field_changes of one deal, apart from the CRM's own time."""
        return self.work(
            f"SELECT {columns} FROM field_changes WHERE source_id = '{source_id}' AND field NOT IN ('updated_at') "
            "AND field <> 'extra.age' ORDER BY changed_at, field"
        )


def settle(
    control: Control,
    crm: str,
    source_id: str,
    fields: dict[str, str],
    *,
    before: Stored | None = None,
    read: Stored | None = None,
    op: str = "update",
    state: str = "done",
    run_id: str = RUN,
    reason: str = "signed",
    gone_at: str | None = None,
    at: str = "2026-01-15T12:00:00Z",
) -> int:
    """One push from its beginning to its journal line."""
    ids = control.edits.put(
        [Wish(connection=crm, source_id=source_id, field=name, slot=name) for name in fields], "ann"
    )
    push_id = control.outbox.add(run_id, crm, op, fields, source_id=source_id, edits=ids)
    assert push_id is not None
    lease = 1
    control.outbox.claim(push_id, lease)
    control.outbox.attempt(push_id, lease, "{}")
    told = {
        "push": {
            "push_id": push_id,
            "run_id": run_id,
            "connection": crm,
            "source_id": source_id,
            "op": op,
            "state": state,
            "fields": {name: {"state": state, "ours": ours} for name, ours in fields.items()},
            "request": {"method": "PUT", "path": "/x", "body": fields},
            "reason": reason,
            "requested_by": "ann",
            "created_at": at,
            "finished_at": at,
            "message": "",
        },
        "before": before and document(before),
        "gone_at": gone_at,
    }
    control.outbox.settle(push_id, lease, state, told, read=read)
    return push_id


def document(one: Stored) -> dict[str, Any]:
    return {
        **{name: getattr(one, name) for name in ("source_id", "payload", "payload_hash")},
        "details": dict(one.details),
        "read_at": instant_text(one.read_at),
    }


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Administrate (a field drifts) and Capsule (tags are a detail) with eight deals each, synced."""
    with Sandbox(rows=8, seed=7, crms=("administrate", "capsule")) as crms:
        desk = Desk(tmp_path, crms, ["administrate", "capsule"])
        desk.connections["capsule"]["write"] = {"mode": "on"}
        assert "complete" == desk.sync().status
        yield desk


def versions(desk: Desk, source_id: str) -> list[tuple[Any, ...]]:
    return desk.work(
        f"SELECT version, change_origin, name FROM opportunity_history WHERE source_id = '{source_id}' ORDER BY version"
    )


def counts(desk: Desk) -> list[tuple[Any, ...]]:
    """Rows of each kind; not of Tactile's timeline, whose entries repeat the deal's name."""
    return desk.work(
        "SELECT (SELECT count(*) FROM store.raw WHERE resource <> 'timeline'), "
        "(SELECT count(*) FROM opportunity_history), (SELECT count(*) FROM pushes)"
    )


# --- versions


@pytest.mark.long
def test_a_read_back_is_a_version_of_our_own_and_the_next_sync_finds_nothing(tmp_path: Path) -> None:
    """In each CRM: a version and a raw row of origin push, a row in pushes; a sync then writes no data row."""
    with Sandbox(rows=4, seed=7) as crms:
        desk = Desk(tmp_path, crms, list(crms.urls))
        desk.sync()
        keys = {crm: next(iter(crms[crm].rows)) for crm in crms.urls}
        for crm, key in keys.items():
            update = partial(crms[crm].update, key, **{"title" if crm == "overplane" else "name": "Ours"})
            desk.push(crm, str(key), {"name": "Ours"}, update)
        desk.commit()
        query = "SELECT connection, source_id, version, name FROM opportunity_history WHERE change_origin = 'push'"
        assert sorted((crm, str(key), 2, "Ours") for crm, key in keys.items()) == sorted(desk.work(query))
        raw = "SELECT connection, record_id, run_id FROM raw.records WHERE origin = 'push'"
        assert sorted((crm, str(key), RUN) for crm, key in keys.items()) == sorted(desk.work(raw))
        told = "SELECT DISTINCT run_id, state, fields ->> '$.name.ours', reason, requested_by FROM pushes"
        assert [(RUN, "done", "Ours", "signed", "ann")] == desk.work(told)
        before = counts(desk)
        assert "complete" == desk.sync().status
        assert before == counts(desk)


def test_any_commit_lands_the_journal_and_none_lands_it_twice(desk: Desk) -> None:
    """A sync of another connection lands the line; commits after it find nothing to do."""
    desk.push("capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours"))
    desk.sync("administrate")
    assert [(2, "push", "Ours")] == versions(desk, "43")[1:]
    before = counts(desk)
    desk.commit()
    assert before == counts(desk)
    assert [(1,)] == desk.sql("SELECT count(*) FROM pushes")
    with Project(desk.config, "test") as project, project.warehouse.look() as db:
        known = explain.record(db, "capsule", "43")
    assert known is not None
    assert (RUN, "push") == (known["versions"][-1]["run"]["run_id"], known["versions"][-1]["run"]["command"])


@pytest.mark.long
def test_a_transaction_that_fails_leaves_the_journal_for_the_next(desk: Desk) -> None:
    """The id up to where it is landed is stored in the same transaction as what it landed."""
    desk.push("capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours"))
    with Project(desk.config, "push") as project, pytest.raises(duckdb.Error), project.warehouse.commit(RUN) as db:
        assert 1 == db.one("SELECT count(*) FROM pushes")
        db.run("SELECT nothing")
    assert [(8 + 8, 8 + 8)] == desk.work(
        "SELECT count(*), count(DISTINCT (connection, source_id)) FROM opportunity_history"
    )
    desk.commit()
    assert [(2, "push", "Ours")] == versions(desk, "43")[1:]


@pytest.mark.long
def test_a_process_killed_while_it_lands_leaves_all_of_it_to_the_next(desk: Desk) -> None:
    """SIGKILL between what was landed and the commit: nothing is lost, and nothing comes twice."""
    desk.push("capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours"))
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom onepipe.project import Project\n"
        "with Project(Path(sys.argv[1]), 'killed') as project, project.warehouse.commit('killed') as db:\n"
        "    assert db.one('SELECT count(*) FROM pushes') == 1\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(desk.config)], check=False, capture_output=True)
    assert -signal.SIGKILL == killed.returncode, killed.stderr
    desk.commit()
    assert [(2, "push", "Ours")] == versions(desk, "43")[1:]
    assert [(1, 1)] == desk.work(
        "SELECT count(*), (SELECT count(*) FROM raw.records WHERE origin = 'push') FROM pushes"
    )


@pytest.mark.long
def test_what_others_changed_before_our_write_is_a_version_of_theirs(desk: Desk) -> None:
    """A value laid over stays in history and in field_changes, as the CRM's."""
    desk.sandbox["capsule"].update(43, name="Theirs")
    desk.push("capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours"))
    desk.commit()
    assert [(2, "source", "Theirs"), (3, "push", "Ours")] == versions(desk, "43")[1:]
    first = versions(desk, "43")[0][2]
    assert [("name", first, "Theirs", "source", None), ("name", "Theirs", "Ours", "push", "signed")] == desk.changes(
        "43"
    )


@pytest.mark.long
def test_a_read_before_a_write_never_hides_what_a_sync_saw_after_it(desk: Desk) -> None:
    """A push killed in between tells of its read only when it is recovered: what came since then stands."""
    with Project(desk.config, "push") as project:
        desk.sandbox["capsule"].update(43, name="Earlier")
        before = desk.read(project, "capsule", "43")
    desk.sandbox["capsule"].update(43, name="Later")
    desk.sync()
    with Project(desk.config, "push") as project:
        read = desk.read(project, "capsule", "43")
        settle(project.control, "capsule", "43", {"name": "Later"}, before=before, read=read)
    desk.commit()
    assert [(2, "source", "Later")] == versions(desk, "43")[1:]


@pytest.mark.long
def test_a_page_read_before_our_write_is_not_laid_over_it(desk: Desk) -> None:
    """A killed sync leaves pages that are older than what a push read back: of its deal they say nothing."""
    desk.sandbox["administrate"].update(1, name="Earlier")
    with Project(desk.config, "push") as project:
        old = desk.read(project, "administrate", "1")
    desk.push("administrate", "1", {"name": "Ours"}, lambda: desk.sandbox["administrate"].update(1, name="Ours"))
    leave_page(desk, "administrate", old)
    assert "complete" == desk.sync("administrate").status
    assert [(2, "source", "Earlier"), (3, "push", "Ours")] == versions(desk, "1")[1:]


def leave_page(desk: Desk, name: str, *records: Stored) -> None:
    """What a sync that was killed leaves: an open slice, and a whole segment of it."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    with Project(desk.config, "test") as project:
        with project.warehouse.commit("killed") as db:
            books.keep_slice(
                db, Slice(connection=name, name="left", kind="change", lo=now, hi=now, resume=None, started_at=now)
            )
        spool = Spool(project.warehouse.spool / name / "left")
        for one in records:
            spool.add("opportunity", [Record(one.source_id, one.payload.encode())], at=one.read_at)
        spool.flush()


@pytest.mark.long
def test_many_records_in_one_commit(desk: Desk) -> None:
    """Each record has its versions in their order, also where one was pushed twice."""
    for number, name in ((43, "a"), (44, "b"), (43, "c"), (45, "d")):
        update = partial(desk.sandbox["capsule"].update, number, name=name)
        desk.push("capsule", str(number), {"name": name}, update)
    desk.commit()
    assert [(2, "push", "a"), (3, "push", "c")] == versions(desk, "43")[1:]
    assert [(2, "push", "b")] == versions(desk, "44")[1:]
    assert [(2, "push", "d")] == versions(desk, "45")[1:]
    assert [(4,)] == desk.work("SELECT count(*) FROM pushes")


# --- details


def tag(desk: Desk, *names: str, **changes: Any) -> None:
    """Give deal 43 these tags, as a user of the CRM would."""
    desk.sandbox["capsule"].update(43, silently=not changes, tags=list(names), **changes)


@pytest.mark.long
def test_details_of_a_read_back_come_with_its_version(desk: Desk) -> None:
    """A deal and its tags, written together, are one version; a sync then finds nothing new."""
    desk.push(
        "capsule", "43", {"name": "Ours", "tags": '["vip"]'}, lambda: tag(desk, "vip", name="Ours"), details=("tag",)
    )
    desk.commit()
    assert [(2, "push", "Ours")] == versions(desk, "43")[1:]
    assert [(["vip"],)] == desk.work("SELECT tags FROM opportunities WHERE source_id = '43'")
    assert ("tags", '["vip"]', "push", "signed") in desk.changes("43", "field, new, origin, reason")
    before = counts(desk)
    desk.sync("capsule")
    assert before == counts(desk)


@pytest.mark.long
def test_details_alone_make_a_version_too(desk: Desk) -> None:
    """Tags that changed while the deal stayed as it was: one version of ours, also after it is read again."""
    desk.push("capsule", "43", {"tags": '["vip"]'}, lambda: tag(desk, "vip"), details=("tag",))
    desk.commit()
    assert [(2, "push")] == [row[:2] for row in versions(desk, "43")[1:]]
    told = desk.changes("43", "field, new, origin, reason")
    assert [("tags", '["vip"]', "push", "signed")] == told
    before = counts(desk)
    desk.sync("capsule")
    assert before == counts(desk)


@pytest.mark.long
def test_a_rebuild_reads_pushed_versions_as_they_were(desk: Desk) -> None:
    """From raw alone, another mapping makes the same versions with the same origins and details."""
    desk.push("capsule", "43", {"name": "Ours"}, lambda: tag(desk, "vip", name="Ours"), details=("tag",))
    desk.push("capsule", "43", {"tags": "[]"}, lambda: tag(desk), details=("tag",))
    desk.commit()
    query = (
        "SELECT version, change_origin, name, tags, changed_fields, payload_hash FROM opportunity_history ORDER BY ALL"
    )
    before, changes = desk.work(query), desk.changes("43")
    with Project(desk.config, "test") as project, project.warehouse.commit("mapping") as db:
        rebuild(db, open_target(project.config, project.config.connections["capsule"], db).reading)
    assert before == desk.work(query)
    assert changes == desk.changes("43")


# --- new and deleted records


@pytest.mark.long
def test_a_created_record_is_known_as_ours_from_its_first_version(desk: Desk) -> None:
    """What was asked for is new; what the CRM added is not listed; the next sync finds nothing new."""
    made = str(desk.sandbox["capsule"].insert(name="New deal", value="120.50", currency="GBP"))
    desk.push("capsule", made, {"name": "New deal", "amount": "120.50"}, lambda: None, op="create")
    desk.commit()
    assert [(1, "push", "New deal")] == versions(desk, made)
    assert [("amount", None, "120.50", "push", "signed"), ("name", None, "New deal", "push", "signed")] == desk.changes(
        made
    )
    before = counts(desk)
    report = desk.sync("capsule")
    assert 0 == resource(report, "capsule")["new"]
    assert before[0][1] == counts(desk)[0][1]


@pytest.mark.long
def test_our_own_delete_is_a_deletion_with_evidence(desk: Desk) -> None:
    """The CRM said that it is gone when we read back; it stays so at the next sync, and says who wanted it."""
    gone_at = instant_text(datetime.now(UTC))
    desk.push("capsule", "43", {}, lambda: desk.sandbox["capsule"].delete(43), op="delete", gone_at=gone_at)
    desk.commit()
    query = "SELECT is_deleted, deleted_evidence, change_origin FROM opportunity_history WHERE source_id = '43' "
    assert [(True, "gone", "deletion")] == desk.work(query + "AND version = 2")
    assert [("is_deleted", "false", "true", "deletion", "signed")] == desk.changes("43")
    before = counts(desk)
    desk.sync("capsule", sweep=True)
    assert before == counts(desk)


# --- what is told of pushes


@pytest.mark.long
def test_side_effects_are_told_apart(desk: Desk) -> None:
    """A field that the CRM changed by itself with our write names the push instead of its reason."""
    desk.push(
        "capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours", description="hers")
    )
    desk.commit()
    assert {("name", "signed"), ("description", "side effect of push 1")} == set(desk.changes("43", "field, reason"))
    assert [("ann", RUN)] == desk.work("SELECT DISTINCT actor, run_id FROM field_changes WHERE source_id = '43'")


@pytest.mark.long
def test_a_value_is_told_as_people_write_it(desk: Desk) -> None:
    """Money has two decimals, a day and a number no more than needed, a custom field a line of its own."""
    crm = desk.sandbox["administrate"]
    before = crm.rows[1]["attributes"]
    crm.update(1, value=Decimal("1500.5"), attributes={**before, "Priority": "Low", "a/b~c": "x"})
    desk.sync("administrate")
    crm.update(1, value=Decimal("1500.125"), closing_date="2027-02-28", attributes={**before, "Priority": "Low"})
    desk.sync("administrate")
    values = desk.changes("1", "field, old, new")
    assert ("amount", "0.00", "1500.50") in values
    assert ("amount", "1500.50", "1500.125") in values
    assert "2027-02-28" in [new for field, _, new in values if field == "expected_close_date"]
    assert ("custom.Priority", "High", "Low") in values
    assert {("custom.a/b~c", None, "x"), ("custom.a/b~c", "x", None)} <= set(values)
    assert not [one for one in values if one[0] == "custom.Note"]


@pytest.mark.long
def test_the_newest_line_of_a_push_is_its_row(desk: Desk) -> None:
    """One row for each push, however often it was tried; a new control file's push of the same number is another."""
    with Project(desk.config, "push") as project:
        outbox = project.control.outbox
        push_id = settle(project.control, "capsule", "43", {"name": "Ours"}, state="waiting")
        line = outbox.journal(0)[-1]
        told = {**line.told, "push": {**line.told["push"], "state": "done", "message": "at last"}}
        outbox.attempt(push_id, 1, "{}")
        outbox.settle(push_id, 1, "done", told)
    desk.commit()
    assert [("1", "done", "at last")] == desk.work("SELECT push_id, state, message FROM pushes")
    (desk.folder / ".onepipe" / "control.sqlite").unlink()
    desk.push(
        "capsule", "44", {"name": "x"}, lambda: desk.sandbox["capsule"].update(44, name="x"), at="2027-01-01T00:00:00Z"
    )
    desk.commit()
    assert [("1", "43"), ("1", "44")] == desk.work("SELECT push_id, source_id FROM pushes ORDER BY created_at")
    assert [(2, "push", "x")] == versions(desk, "44")[1:]


@pytest.mark.long
def test_a_connection_that_is_gone_from_the_config_keeps_its_pushes(desk: Desk) -> None:
    """Its rows can no longer be read; what was done is told all the same."""
    desk.push("capsule", "43", {"name": "Ours"}, lambda: desk.sandbox["capsule"].update(43, name="Ours"))
    del desk.connections["capsule"]
    desk.commit()
    assert [("capsule", "done")] == desk.work("SELECT connection, state FROM pushes")
    assert 1 == len(versions(desk, "43"))


@pytest.mark.long
def test_conflicts_are_mirrored(desk: Desk) -> None:
    """Opened, decided and closed: the table says what the control file says, one row each."""
    clash = Clash(connection="capsule", source_id="43", draft=None, kind="field", field="name", slot="name", ours="b")
    with Project(desk.config, "push") as project:
        conflicts = project.control.conflicts
        (first,) = conflicts.meet("capsule", "43", [clash])
        conflicts.meet("capsule", "44", [replace(clash, source_id="44")])
    desk.commit()
    query = "SELECT conflict_id, source_id, state, resolution, actor FROM conflicts ORDER BY source_id"
    assert [("1", "43", "open", None, None), ("2", "44", "open", None, None)] == desk.work(query)
    with Project(desk.config, "push") as project:
        project.control.conflicts.resolve(first, "ours", "ann", "agreed by phone")
        project.control.conflicts.meet("capsule", "44", [])
    desk.sync("administrate")
    told = [("1", "43", "resolved", "ours", "ann"), ("2", "44", "closed", "no longer a conflict", None)]
    assert told == desk.work(query)
    assert [("agreed by phone",)] == desk.sql("SELECT why FROM conflicts WHERE state = 'resolved'")

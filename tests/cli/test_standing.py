"""`status` and `runs`: what people look at first in the morning."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

import onepipe.cli.advice as advice
import onepipe.warehouse.ledger as ledger
from onepipe import config
from onepipe.control import Control
from onepipe.project import Project
from onepipe.run import Options, sync
from onepipe.sandbox import Sandbox
from onepipe.warehouse.work import published
from tests.cli.conftest import ROWS
from tests.cli.place import Place, connection, write


def test_status_tells_fresh_from_complete(synced: Place) -> None:
    """Each connection with how far it is complete, how old that is, and how many deals it holds."""
    told = synced.run("status", "--json").json["connections"]
    assert [("administrate", "complete", ROWS), ("capsule", "complete", ROWS)] == [
        (one["connection"], one["state"], one["live_count"]) for one in told
    ]
    assert all(one["complete_through"].endswith("Z") and one["details_owed"] == 0 for one in told)
    assert " ago)" in synced.run("status").out


def test_status_names_what_never_ran(place: Place) -> None:
    """A connection in the config is not forgotten because it was never synced; no warehouse is no error."""
    told = place.run("status")
    assert 0 == told.code
    assert "capsule: never run; `onepipe sync capsule` loads it." in told.out


def test_status_sees_a_retired_connection_under_another_name(tmp_path: Path, crms: Sandbox) -> None:
    """Syncing the new name would make the rename impossible: it is named first; another account is just new."""
    write(tmp_path, connection(crms, "capsule"))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    other = connection(crms, "capsule", base_url="https://other.capsulecrm.com").replace("capsule", "other", 1)
    write(tmp_path, connection(crms, "capsule").replace("capsule", "capsule-uk", 1), other)
    told = {one["connection"]: one["advice"] for one in place.run("status", "--json").json["connections"]}
    assert "`onepipe connection rename capsule capsule-uk` keeps its history" in told["capsule-uk"][0]
    assert "never run; `onepipe sync other` loads it" == told["other"][0]
    assert any("`onepipe connection forget capsule`" in text for text in told["capsule"])


def test_status_can_be_asked_of_some(synced: Place) -> None:
    """By name, glob or label, as everywhere."""
    told = synced.run("status", "label:client=Acme", "--json")
    assert ["capsule"] == [one["connection"] for one in told.json["connections"]]


@pytest.mark.long
def test_status_tells_why_a_connection_fails(tmp_path: Path, crms: Sandbox) -> None:
    """Since when, the kind, and the sentence of the last run."""
    write(tmp_path, connection(crms, "capsule"))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    write(tmp_path, connection(crms, "capsule", credentials={"token": "wrong"}))
    assert 1 == place.run("sync").code
    (one,) = place.run("status", "--json").json["connections"]
    assert ("failing", "auth", ROWS) == (one["state"], one["error_kind"], one["live_count"])
    assert "capsule: failing since " in place.run("status").out


def test_status_says_whether_a_daemon_is_at_work(synced: Place) -> None:
    """It is named while it works; where none ever was, none is missed."""
    before = synced.run("status")
    with Control(synced.folder / ".onepipe", command="onepipe daemon") as control, control.lease("daemon"):
        named, told = synced.run("status", "--json").json["daemon"], synced.run("status").out
    assert "aemon" not in before.out
    assert f"The daemon is at work: {named}." in " ".join(told.split())
    assert None is synced.run("status", "--json").json["daemon"]


@pytest.mark.long
def test_status_misses_a_daemon_that_was_there(tmp_path: Path, crms: Sandbox) -> None:
    """Whoever relies on one learns that it is gone before everything is stale."""
    write(tmp_path, connection(crms, "capsule"))
    with Project(tmp_path / "config.yaml", command="onepipe daemon") as project:
        sync(project, [], Options(command="daemon"))
    assert "No daemon is at work, though one was" in Place(tmp_path).run("status").out


@pytest.mark.long
def test_status_knows_disabled_and_retired(tmp_path: Path, crms: Sandbox) -> None:
    """Their rows stay, and nobody takes them for fresh."""
    write(tmp_path, connection(crms, "capsule"), connection(crms, "administrate"))
    place = Place(tmp_path)
    assert 0 == place.run("sync").code
    write(tmp_path, connection(crms, "administrate", enabled=False))
    assert 0 == place.run("sync").code
    told = place.run("status", "--json").json["connections"]
    assert [("administrate", "disabled"), ("capsule", "retired")] == [(one["connection"], one["state"]) for one in told]
    assert (0, 0) == (place.run("status", "capsule").code, place.run("runs", "--connection", "capsule").code)


def test_status_waits_for_nobody(synced: Place) -> None:
    """While a sync runs, and while it commits, status answers at once."""
    control = Control(synced.folder / ".onepipe", command="onepipe sync")
    with control, control.lease("connection:capsule"), control.commit_lock():
        assert 0 == synced.run("status").code
        assert 0 == synced.run("runs").code


def judged(place: Place, **told: Any) -> tuple[dict[str, Any], list[str]]:
    """How `status` judges a connection that ran and of which the ledger tells this, and what it says about it."""
    now = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
    standing = ledger.unknown("acme", "capsule") | {"state": "active", "complete_through": "2026-01-15T11:55:00Z"}
    standing |= dict.fromkeys(("at_work", "held_until", "held_why", "next_scan_at")) | told
    loaded = config.load(place.config, credentials=False)
    one = advice.judged(standing, loaded.connections["acme"], now)
    return one, advice.sentences(one, loaded)


@pytest.fixture
def acme(tmp_path: Path) -> Place:
    """A project with one connection, acme, on a schedule of its own."""
    entry = "{connector: capsule, base_url: https://acme.capsulecrm.com, credentials: {token: x}, schedule: 15m}"
    write(tmp_path, f"  acme: {entry}\n")
    return Place(tmp_path)


FAILING = {"failing_since": "2026-01-15T10:00:00Z", "error_message": "it broke"}
SUSPECT = {"suspect_since": "2026-01-15T10:00:00Z", "suspect_rows": 12, "suspect_reason": "12 of 40 seem to be gone"}


@pytest.mark.parametrize(
    ("told", "state", "typed"),
    [
        ({}, "complete", None),
        ({"complete_through": None, "open_slices": 1}, "loading", "`onepipe sync acme`"),
        ({**FAILING, "error_kind": "auth"}, "failing", "`onepipe check acme`"),
        ({**FAILING, "error_kind": "unavailable"}, "failing", "`onepipe check acme`"),
        ({**FAILING, "error_kind": "bad_payload"}, "failing", "`onepipe sync acme`"),
        ({**FAILING, "error_kind": "paging"}, "failing", "`onepipe sync acme`"),
        ({**FAILING, "error_kind": "config"}, "failing", "`onepipe check acme`"),
        ({**FAILING, "error_kind": "lease"}, "failing", "`onepipe sync acme --wait 600`"),
        ({**FAILING, "error_kind": "disk"}, "failing", "`onepipe sync acme`"),
        ({**FAILING, "error_kind": "internal"}, "failing", "`onepipe --debug sync acme`"),
        ({**FAILING, "error_kind": "rate_limited"}, "held back", "`onepipe quota`"),
        ({"held_until": "2026-01-15T13:00:00Z", "held_why": "429"}, "held back", "`onepipe quota`"),
        ({**FAILING, **SUSPECT, "error_kind": "suspect"}, "suspect", "`onepipe sweep approve acme`"),
        (SUSPECT, "suspect", "`onepipe sweep discard acme`"),
        ({**FAILING, **SUSPECT, "error_kind": "auth"}, "failing", "`onepipe sweep show acme`"),
    ],
)
def test_each_state_has_its_word_and_the_command_to_type(
    acme: Place, told: dict[str, Any], state: str, typed: str | None
) -> None:
    """Nobody has to look up what to do; nothing that is not complete is called so."""
    one, sentences = judged(acme, **told)
    assert (state, True) == (one["state"], typed is None or typed in " ".join(sentences)), sentences


BACKFILL = {"slices": 5, "done": 2, "command": "onepipe backfill acme --since 2024-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        ("unavailable", "`onepipe check acme` says whether the CRM answers; then `{}`"),  # Ctrl-C pauses it as this
        ("disk", "; then `{}`"),
        ("lease", "`{} --wait 600`"),
        ("internal", "`onepipe --debug backfill acme --since 2024-01-01T00:00:00Z`"),
    ],
)
def test_a_backfill_that_failed_is_begun_again_by_its_own_command(acme: Place, kind: str, typed: str) -> None:
    """Nobody is told to sync what no sync goes on with; a sync that failed beside it is told as ever."""
    told = {**FAILING, "error_kind": kind, "open_slices": 3, "backfill": BACKFILL}
    sentences = " ".join(judged(acme, **told, last_command="backfill")[1])
    assert (True, False) == (typed.format(BACKFILL["command"]) in sentences, "`onepipe sync acme" in sentences)
    assert f"a backfill is unfinished (2 of 5 slices are done): only `{BACKFILL['command']}` goes on" in sentences
    assert "sync acme" in " ".join(judged(acme, **told, last_command="sync")[1])


@pytest.mark.parametrize(
    ("told", "typed"),
    [
        ({"state": "retired"}, "name acme in config.yaml again"),
        ({"state": "disabled"}, "(which reads: enable it first)"),
        ({"paused": "since 2026-01-15 10:00 UTC by operator"}, "(which reads: `onepipe resume acme` first)"),
    ],
)
def test_a_finding_names_only_what_can_be_typed(acme: Place, told: dict[str, Any], typed: str) -> None:
    """Of a connection that is retired, disabled or paused a sweep cannot be approved as it stands."""
    one, sentences = judged(acme, **SUSPECT, **told)
    text = " ".join(sentences)
    assert (True, one["state"] != "retired") == (typed in text, "`onepipe sweep discard acme`" in text)


def test_a_read_of_everything_is_not_said_to_take_half(acme: Place) -> None:
    """`reserve:` says how much of a quota is ours, and that is not half of it for everybody."""
    text = " ".join(judged(acme, next_scan_at="2026-01-15T13:00:00Z")[1])
    assert ("our part of its quota" in text, "half" in text) == (True, False), text


def test_a_damaged_control_file_is_told(place: Place) -> None:
    """What stands in it is not known then, which is not the same as nothing; and what to type is named."""
    state = place.folder / ".onepipe"
    state.mkdir()
    (state / "control.sqlite").write_bytes(b"not a database" * 500)
    told, text = place.run("status", "--json"), " ".join(place.run("status").out.split())
    assert (0, "file is not a database") == (told.code, told.json["control_unreadable"])
    assert "cannot be read (file is not a database): what is paused, held back" in text
    assert ("`onepipe restore FILE`" in text, "No daemon is at work" in text) == (True, False)
    (state / "control.sqlite").write_bytes(b"")  # not laid out yet: nothing stands in it
    assert None is place.run("status", "--json").json["control_unreadable"]


def test_what_is_safe_is_said_of_every_failure(acme: Place) -> None:
    """The first question of everybody whose run failed."""
    for kind in ("auth", "unavailable", "bad_payload", "paging", "config", "lease", "disk", "internal", "rate_limited"):
        _, sentences = judged(acme, **FAILING, error_kind=kind)
        assert "Everything up to 2026-01-15 11:55 UTC is loaded and safe" in " ".join(sentences), kind
    assert "Nothing was marked as deleted" in judged(acme, **SUSPECT)[1][0]


def test_a_full_disk_is_told_with_what_is_needed_and_what_is_free(acme: Place) -> None:
    """Three times the work file, counted, not guessed."""
    (acme.folder / ".onepipe").mkdir()
    (acme.folder / ".onepipe" / "work.duckdb").write_bytes(b"x" * 4_000_000)
    text = " ".join(judged(acme, **FAILING, error_kind="disk")[1])
    assert ("about 12 MB are needed" in text, " are free: make room" in text) == (True, True), text


@pytest.mark.parametrize(
    ("schedule", "command", "hours", "stale"),
    [
        ("schedule: 15m", "sync", 0.5, False),
        ("schedule: 15m", "sync", 1.0, True),
        ("schedule: 0 6 * * mon-fri", "daemon", 70, False),
        ("schedule: 0 6 * * mon-fri", "daemon", 80, True),
        ("schedule: 0 6 1 * *", "daemon", 24 * 30, False),
        ("enabled: true", "sync", 25, False),  # nobody wrote a schedule, no daemon: once a day is taken for meant
        ("enabled: true", "sync", 27, True),
        ("enabled: true", "daemon", 1.0, True),
        ("enabled: false", "daemon", 1000, False),
    ],
)
def test_stale_is_what_is_older_than_its_schedule_promises(
    tmp_path: Path, schedule: str, command: str, hours: float, stale: bool
) -> None:
    """Twice the interval; over a weekend that cron leaves out, nobody is woken."""
    write(tmp_path, f"  acme: {{connector: capsule, credentials: {{token: x}}, {schedule}}}\n")
    through = datetime(2026, 1, 15, 12, 0, tzinfo=UTC) - timedelta(hours=hours)
    state = "disabled" if "false" in schedule else "active"
    moment = through.isoformat().replace("+00:00", "Z")
    one, _ = judged(Place(tmp_path), complete_through=moment, last_command=command, state=state)
    assert (stale, round(hours * 3600)) == (one["stale"], one["behind_seconds"])


def test_late_rows_propose_an_overlap_that_is_longer_than_the_one_there_is(acme: Place) -> None:
    """Said only as long as it would help."""
    assert "`overlap: 15m` in config.yaml" in " ".join(judged(acme, late_rows=3, proposed_overlap=900)[1])
    assert [] == judged(acme, late_rows=3, proposed_overlap=60)[1]


def test_json_carries_everything(synced: Place) -> None:
    """Each part of a connection, sums of all, and the sentences themselves."""
    told = synced.run("status", "--json").json
    assert {"complete": 2, "stale": 0, "deals": 2 * ROWS} == told["totals"]
    assert ["steps"] == [part["resource"] for part in told["connections"][0]["resources"]]
    assert [[], []] == [one["advice"] for one in told["connections"]]
    assert set(ledger.KEYS) <= set(told["connections"][0])


def test_a_hold_of_the_control_file_is_told_and_nothing_is_made(place: Place) -> None:
    """Status reads the control file, and makes none; what is held back is said with until when and why."""
    assert 0 == place.run("status").code
    assert not (place.folder / ".onepipe").exists()
    assert 0 == place.run("sync").code
    with Control(place.folder / ".onepipe") as control:
        allowance = control.quotas.allowance("capsule", "capsule")
        allowance.refused(time.time(), 3_600, "the CRM said wait", slower=False)
    told = {one["connection"]: one for one in place.run("status", "--json").json["connections"]}
    assert ("held back", "complete") == (told["capsule"]["state"], told["administrate"]["state"])
    assert "the CRM said wait" == told["capsule"]["held_why"]
    assert "capsule: held back until " in place.run("status").out


def test_who_is_at_work_is_named(synced: Place) -> None:
    """A long first load is no trouble; status says who reads."""
    with Control(synced.folder / ".onepipe", command="onepipe sync") as control, control.lease("connection:capsule"):
        assert "capsule: being read now by onepipe sync (process " in synced.run("status").out


Fleet = Callable[[int, int], Place]


@pytest.fixture
def fleet(synced: Place, tmp_path: Path) -> Fleet:
    """A published warehouse with many connections, of which some fail."""

    def made(many: int, failing: int) -> Place:
        (tmp_path / "warehouse.duckdb").write_bytes((synced.folder / "warehouse.duckdb").read_bytes())
        with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
            for table in ("connections", "coverage"):
                rows = f"SELECT * EXCLUDE (n) REPLACE ('c' || n AS connection) FROM {table}, range({many}) AS r(n)"
                db.execute(f"INSERT INTO {table} {rows} WHERE connection = 'capsule'")
                db.execute(f"DELETE FROM {table} WHERE connection IN ('capsule', 'administrate')")
            db.execute("UPDATE coverage SET oldest_failure_at = now() WHERE substr(connection, 2)::INT < ?", [failing])
        entry = "{connector: capsule, base_url: https://acme.capsulecrm.com, credentials: {token: x}}"
        write(tmp_path, *(f"  c{n}: {entry}\n" for n in range(many)))
        return Place(tmp_path)

    return made


SLICES = (
    "INSERT INTO store.pieces (connection, place, lo, until, done_at) "
    "VALUES ('c0', 2, '2026-02-01', {until}, NULL), ('c0', 1, {since}, '2026-02-01', now())"
)
OPEN = "INSERT INTO store.slices (connection, slice, kind, lo) VALUES ('c0', 'x', '{kind}', '2025-06-01 00:00:00Z')"


@pytest.mark.parametrize(
    ("rows", "cursor", "command", "told"),
    [
        ([SLICES.format(since="NULL", until="NULL")], "now()", "onepipe backfill c0", "(1 of 2 slices are done)"),
        (
            [SLICES.format(since="'2025-01-01'", until="'2026-03-01'"), OPEN.format(kind="backfill")],
            "NULL",
            "onepipe backfill c0 --since 2025-01-01T00:00:00Z --until 2026-03-01T00:00:00Z",
            "(1 of 2 slices are done)",
        ),
        ([OPEN.format(kind="backfill")], "now()", "onepipe backfill c0 --since 2025-06-01T00:00:00Z", "is unfinished:"),
        ([SLICES.format(since="NULL", until="NULL")], "NULL", None, "`onepipe sync c0` goes on with it"),
        ([OPEN.format(kind="full")], "now()", None, "`onepipe sync c0` goes on with it"),
    ],
)
def test_a_backfill_that_no_sync_goes_on_with_has_its_command(
    fleet: Fleet, rows: list[str], cursor: str, command: str | None, told: str
) -> None:
    """With the bounds it was begun with, which any other command would be refused for; and nothing else is named."""
    place = fleet(1, 0)
    with duckdb.connect(str(place.folder / "warehouse.duckdb")) as db:
        db.execute("SET TimeZone = 'UTC'")
        for row in rows:
            db.execute(row)
        db.execute(f"UPDATE coverage SET open_slices = 1, complete_through = {cursor} WHERE resource = 'opportunity'")
    (one,) = place.run("status", "--json").json["connections"]
    assert command == (one["backfill"] and one["backfill"]["command"])
    text = " ".join(one["advice"])
    assert (True, command is None) == (told in text, "`onepipe sync c0` goes on" in text), text


def test_twenty_connections_have_a_line_each(fleet: Fleet) -> None:
    """So many fit on a screen."""
    lines = fleet(20, 1).run("status").out.splitlines()
    assert 20 == sum("  complete  " in line or "  failing  " in line for line in lines)


def test_of_many_connections_totals_and_failures_come_first(fleet: Fleet) -> None:
    """Then only what is not well; --all shows every line."""
    place = fleet(60, 25)
    lines = place.run("status").out.splitlines()
    assert "60 connections: 25 failing, 35 complete." == lines[0]
    assert 25 == sum(line.startswith("c") and "  failing  " in line for line in lines)
    assert not any("  complete  " in line for line in lines)
    assert any(line.startswith("What to do about 5 more: ") for line in lines)
    assert 35 == sum("  complete  " in line for line in place.run("status", "--all").out.splitlines())
    assert {"failing": 25, "complete": 35} == {
        key: place.run("status", "--json").json["totals"][key] for key in ("failing", "complete")
    }


def test_states_have_colours_only_where_they_can_be_shown(synced: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red on a terminal, plain in a pipe and with NO_COLOR."""
    from onepipe.cli import screen, standing

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    lines = list(screen.table(["state"], [["failing"], ["complete"]], tint=standing.TINTS.get))
    assert ["\x1b[31mfailing \x1b[0m", "\x1b[32mcomplete\x1b[0m"] == lines[2:]
    monkeypatch.setenv("NO_COLOR", "1")
    assert ["failing", "complete"] == list(
        screen.table(["state"], [["failing"], ["complete"]], tint=standing.TINTS.get)
    )[2:]


def test_a_snapshot_of_an_older_onepipe_can_still_be_read(synced: Place, tmp_path: Path) -> None:
    """What it did not know is empty, not an error."""
    old = tmp_path / "warehouse.duckdb"
    old.write_bytes((synced.folder / "warehouse.duckdb").read_bytes())
    with duckdb.connect(str(old)) as db:
        db.execute("DROP VIEW IF EXISTS lateness; DROP VIEW freshness; DROP TABLE late_rows")
        for column in ("details_owed", "late_rows", "undated_rows", "problems", "suspect_since", "suspect_rows"):
            db.execute(f"ALTER TABLE coverage DROP COLUMN {column}")
    (tmp_path / "config.yaml").write_text((synced.folder / "config.yaml").read_text())
    place = Place(tmp_path)
    assert ["complete", "complete"] == [one["state"] for one in place.run("status", "--json").json["connections"]]
    key = place.run("sql", "SELECT min(source_id) AS id FROM deals WHERE connection = 'capsule'", "--json").json[0][
        "id"
    ]
    assert [] == place.run("explain", "capsule", key, "--json").json["late"]


def test_a_run_that_a_wrong_clock_dated_is_not_the_last_one_for_good(spoilt: tuple[Place, Sandbox]) -> None:
    """The last run is the one that was written down last, whatever its clock said."""
    place, _ = spoilt
    assert 0 == place.run("sync").code
    with Project(place.config, "test") as project, project.warehouse.commit(None) as db:
        db.run("UPDATE sync_runs SET started_at = started_at + INTERVAL 1 DAY")
    run = place.run("sync", "--json").json["run_id"]
    with published(place.folder / "warehouse.duckdb") as db:
        assert run == ledger.standings(db)["capsule"]["last_run_id"]


@pytest.mark.long
def test_runs_are_listed_newest_first(place: Place) -> None:
    """With limit and choice of connections; times and counts as in sync_runs."""
    for words in (["capsule"], []):
        assert 0 == place.run("sync", *words).code
    told = place.run("runs", "--json").json["runs"]
    expected = [("administrate", ROWS), ("capsule", 0), ("capsule", ROWS)]
    assert expected == sorted((one["connection"], one["new"]) for one in told)
    starts = [one["started_at"] for one in told]
    assert (sorted(starts, reverse=True), ("capsule", ROWS)) == (starts, (told[-1]["connection"], told[-1]["new"]))
    only = place.run("runs", "--connection", "caps*", "--limit", "1", "--json").json["runs"]
    assert [("capsule", 0, "sync", "complete")] == [
        (one["connection"], one["new"], one["command"], one["status"]) for one in only
    ]
    assert 2 + 3 == len(place.run("runs").out.splitlines())


@pytest.mark.parametrize("words", [("--limit", "0"), ("--connection", "nope")])
def test_runs_of_nothing_are_refused(synced: Place, words: tuple[str, ...]) -> None:
    """Exit code 2."""
    assert 2 == synced.run("runs", *words).code

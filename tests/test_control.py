"""The control file: one holder at a time, whatever dies, and nothing forgotten that was promised."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from onepipe.control import Control, leases
from onepipe.control.commit import CommitLock
from onepipe.control.file import MIGRATIONS, ControlFile
from onepipe.errors import ConfigError, DiskTrouble, LeaseHeld

HOLD = """
import sys, time
from pathlib import Path
from onepipe.control import Control
with Control(Path(sys.argv[1]), command="onepipe daemon") as control, {hold}:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    with Control(tmp_path, command="onepipe sync") as opened:
        yield opened


@contextmanager
def held_by_process(state: Path, hold: str = "control.lease('connection:acme')") -> Iterator[subprocess.Popen[str]]:
    """A real process that holds a lease or the commit lock until it is killed."""
    script = [sys.executable, "-c", HOLD.format(hold=hold), str(state)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout and child.stdout.readline() == "held\n"
            yield child
        finally:
            child.kill()


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


# Leases


def test_a_lease_has_one_holder(control: Control) -> None:
    """The same name is refused to a second holder, another name is not; afterwards it is free again."""
    with control.lease("connection:acme") as lease:
        with pytest.raises(LeaseHeld), control.lease("connection:acme"):
            pass
        with control.lease("connection:globex"):
            lease.check()
        assert ["connection:acme"] == [owner.name for owner in control.owners()]
    assert control.owner("connection:acme") is None


def test_the_refusal_names_the_holder(control: Control, tmp_path: Path) -> None:
    """Who is refused learns which process has it, on which machine, what it does and since when."""
    with held_by_process(tmp_path) as child, pytest.raises(LeaseHeld) as caught, control.lease("connection:acme"):
        pass
    assert "Another process is at work on connection acme: " in caught.value.message
    assert f"process {child.pid} on {os.uname().nodename} (onepipe daemon), since 20" in caught.value.message
    assert "Nothing was started" in caught.value.message
    assert caught.value.hint


def test_what_a_killed_process_held_is_free_at_once(control: Control, tmp_path: Path) -> None:
    """No waiting for 30 seconds on the same machine, even while nobody has collected the dead process."""
    with held_by_process(tmp_path) as child:
        owner = control.owner("connection:acme")
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
        assert control.owner("connection:acme") is None
        with control.lease("connection:acme") as lease:
            assert owner and lease.number > owner.number


def test_a_pid_that_is_used_again_is_another_process(control: Control, tmp_path: Path) -> None:
    """A lease of pid 4711 does not hold because a browser happens to be 4711 now."""
    with control.lease("connection:acme"), ControlFile(tmp_path / "control.sqlite").writing() as db:
        db.execute("UPDATE lease SET started = '1'")
    with control.lease("connection:acme"), control.lease("connection:globex"):
        assert ["connection:acme", "connection:globex"] == [owner.name for owner in control.owners()]


def test_a_lease_from_another_machine_lasts_its_30_seconds(tmp_path: Path) -> None:
    """Where a process cannot be looked up, only time frees what it held."""
    clock = Clock()
    with Control(tmp_path, clock=clock) as control, control.lease("connection:acme") as lost:
        with ControlFile(tmp_path / "control.sqlite").writing() as db:
            db.execute("UPDATE lease SET machine = 'elsewhere', pid = 999999999")
        clock.now += 29
        with pytest.raises(LeaseHeld, match="process 999999999"), control.lease("connection:acme"):
            pass
        clock.now += 2
        with control.lease("connection:acme") as taken:
            assert taken.number > lost.number


def test_a_lease_that_was_lost_is_noticed(tmp_path: Path) -> None:
    """A process that slept past its time and finds another at work must stop, and learns who took over."""
    clock = Clock()
    with Control(tmp_path, clock=clock) as sleeper, Control(tmp_path, command="onepipe push", clock=clock) as other:
        with sleeper.lease("connection:acme") as lost:
            clock.now += 31
            with other.lease("connection:acme") as taken:
                with pytest.raises(LeaseHeld, match=r"was lost: it is now held by process \d+ .*onepipe push"):
                    lost.check()
                taken.check()
            with pytest.raises(LeaseHeld, match="another process has held it"):
                lost.check()
        with other.lease("connection:acme"):  # the sleeper's release took nothing away
            pass


def test_a_lease_that_ran_out_but_that_nobody_took_is_kept(tmp_path: Path) -> None:
    """A laptop that was closed for an hour goes on where it was."""
    clock = Clock()
    with Control(tmp_path, clock=clock) as control, control.lease("connection:acme") as lease:
        clock.now += 3600
        assert control.owner("connection:acme") is None
        lease.check()
        assert control.owner("connection:acme") is not None


def test_leases_are_renewed_while_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work longer than 30 seconds keeps its lease without doing anything for it."""
    monkeypatch.setattr(leases, "RENEWAL", 0.02)
    clock = Clock()
    with Control(tmp_path, clock=clock) as control, control.lease("connection:acme"):
        for _ in range(5):
            clock.now += 20
            time.sleep(0.1)
            assert control.owner("connection:acme") is not None


def test_a_lease_can_be_waited_for(control: Control) -> None:
    """With `wait` the next holder goes on as soon as the one before has finished."""
    order: list[str] = []

    def first() -> None:
        with control.lease("connection:acme"):
            started.set()
            time.sleep(0.2)
            order.append("first")

    started = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    started.wait()
    with control.lease("connection:acme", wait=10):
        order.append("second")
    thread.join()
    assert ["first", "second"] == order


def test_numbers_grow_even_when_the_control_file_is_lost(tmp_path: Path) -> None:
    """The warehouse refuses old numbers, so a new control file must not begin with one."""
    numbers = []
    for n in range(6):
        with Control(tmp_path / str(n // 3)) as control, control.lease("connection:acme") as lease:
            numbers.append(lease.number)
        time.sleep(0.002)
    assert sorted(set(numbers)) == numbers


def work(state: Path, tally: Path, rounds: int) -> None:
    """Add one to a number in a file, a way that loses counts if two do it at the same time."""
    with Control(state) as control:
        for _ in range(rounds):
            with control.lease("connection:acme", wait=30), control.commit_lock():
                number = int(tally.read_text())
                time.sleep(0.001)
                tally.write_text(str(number + 1))


def test_processes_take_turns(tmp_path: Path) -> None:
    """Four processes that start on a new state folder at once create it together and never work at the same time."""
    tally = tmp_path / "tally"
    tally.write_text("0")
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(tmp_path / "state", tally, 15)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [0] * 4 == [worker.exitcode for worker in workers]
    assert "60" == tally.read_text()


# The commit lock


def test_the_commit_lock_goes_with_its_process(control: Control, tmp_path: Path) -> None:
    """Who waits learns who has it; a kill frees it at once."""
    with held_by_process(tmp_path, "control.commit_lock()") as child:
        holder = rf"written by process {child.pid} \(onepipe daemon\)"
        with pytest.raises(LeaseHeld, match=holder), control.commit_lock(wait=0.05):
            pass
        child.kill()
        child.wait()
        with control.commit_lock(wait=0.05):
            pass


def test_who_waited_for_the_commit_lock_looks_again_whose_state_it_is(control: Control, tmp_path: Path) -> None:
    """A backup may be put in place meanwhile: nothing is committed into that on the word of the state before."""
    with ExitStack() as held:
        held.enter_context(CommitLock(tmp_path / "commit.lock", "onepipe restore").hold(0.0))

        def restored() -> None:
            (tmp_path / "control.sqlite").rename(tmp_path / "before.sqlite")
            (tmp_path / "control.sqlite").touch()
            held.close()

        thread = threading.Timer(0.2, restored)
        thread.start()
        with pytest.raises(DiskTrouble, match="removed or replaced"), control.commit_lock(wait=30.0):
            pass
        thread.join()


def test_threads_of_one_process_take_turns_too(control: Control) -> None:
    """The lock keeps threads apart as well, and is free after an error."""
    with control.commit_lock():
        failed = []

        def second() -> None:
            try:
                with control.commit_lock(wait=0.05):
                    pass
            except LeaseHeld as error:
                failed.append(error.message)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert 1 == len(failed)
    with pytest.raises(ZeroDivisionError), control.commit_lock():
        _ = 1 / 0
    with control.commit_lock(wait=0):
        pass


# What is kept


def test_tokens_are_kept_as_they_were_last_given(tmp_path: Path) -> None:
    """A connector's refreshed tokens survive the process, each connection its own, readable by their user alone."""
    with Control(tmp_path / "state") as control:
        assert {} == control.tokens("acme")
        control.keep_tokens("acme", {"access": "a1", "refresh": "r1"})
        control.keep_tokens("acme", {"access": "a2"})
        control.keep_tokens("globex", {"access": "g"})
    with Control(tmp_path / "state") as control:
        assert [{"access": "a2"}, {"access": "g"}] == [control.tokens("acme"), control.tokens("globex")]
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
        assert {0o600} == set(modes.values()), modes
        assert 0o700 == (tmp_path / "state").stat().st_mode & 0o777


def test_a_transaction_is_whole_or_nothing(tmp_path: Path) -> None:
    """An error in the middle leaves everything as it was, and the file usable."""
    file = ControlFile(tmp_path / "control.sqlite")
    with pytest.raises(ZeroDivisionError), file.writing() as db:
        db.execute("INSERT INTO token VALUES ('acme', 'access', 'half')")
        _ = 1 / 0
    with file.writing() as db:
        assert [] == db.execute("SELECT * FROM token").fetchall()
    file.close()


# The file


def test_a_file_of_a_newer_onepipe_is_refused(tmp_path: Path) -> None:
    """What we do not understand we do not touch."""
    newer = ControlFile(tmp_path / "control.sqlite", migrations=(*MIGRATIONS, ("CREATE TABLE future (x)",)))
    newer.close()
    before = (tmp_path / "control.sqlite").read_bytes()
    with pytest.raises(ConfigError, match="newer onepipe"):
        Control(tmp_path)
    assert before == (tmp_path / "control.sqlite").read_bytes()


def test_a_file_of_an_older_onepipe_is_migrated_and_copied(tmp_path: Path) -> None:
    """State moves on with its content; the old file stays beside it."""
    with Control(tmp_path) as control:
        control.keep_tokens("acme", {"access": "a"})
    newer = ControlFile(tmp_path / "control.sqlite", migrations=(*MIGRATIONS, ("ALTER TABLE token ADD COLUMN x TEXT",)))
    with newer.reading() as db:
        assert [("a", None)] == [tuple(row) for row in db.execute("SELECT value, x FROM token")]
    newer.close()
    old = ControlFile(tmp_path / f"control.v{len(MIGRATIONS)}.sqlite")
    with old.reading() as db:
        assert ["a"] == [row["value"] for row in db.execute("SELECT value FROM token")]
    old.close()


def test_two_processes_that_migrate_at_once_keep_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes to its copy when the other has migrated does not put the new layout in the place of the old."""
    place, newer = tmp_path / "control.sqlite", (*MIGRATIONS, ("ALTER TABLE token ADD COLUMN x TEXT",))
    ControlFile(place).close()
    connect = sqlite3.connect

    class Late(sqlite3.Connection):
        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
            if sql.startswith("VACUUM"):
                monkeypatch.setattr(sqlite3, "connect", connect)
                ControlFile(place, newer).close()
            return super().execute(sql, *given)

    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=Late, **named))
    ControlFile(place, newer).close()
    ControlFile(tmp_path / f"control.v{len(MIGRATIONS)}.sqlite").close()
    assert {"control.sqlite", f"control.v{len(MIGRATIONS)}.sqlite"} == {path.name for path in tmp_path.iterdir()}


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    """A step that fails half-way leaves the file at its old version, for the old onepipe to go on with."""
    Control(tmp_path).close()
    with pytest.raises(DiskTrouble):
        ControlFile(tmp_path / "control.sqlite", migrations=(*MIGRATIONS, ("CREATE TABLE a (x)", "NO SQL")))
    Control(tmp_path).close()


def test_trouble_with_the_file_is_told_in_one_paragraph(tmp_path: Path) -> None:
    """Garbage, a file where the folder should be, or a full disk: what failed, what is safe, what to do."""
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "control.sqlite").write_bytes(b"not a database" * 500)
    (tmp_path / "file").write_text("")
    for state in ("garbage", "file", "file/below"):
        with pytest.raises(DiskTrouble, match="What was committed before is safe") as caught:
            Control(tmp_path / state)
        assert caught.value.hint
    with Control(tmp_path / "closed") as control:
        pass
    with pytest.raises(DiskTrouble, match="closed"):
        control.tokens("acme")


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """A write that does not fit fails as a whole; what was kept before stays, and can be read."""
    with Control(tmp_path) as control:
        control.keep_tokens("acme", {"access": "before"})
        with control._file.reading() as db:
            db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(DiskTrouble, match="full"):
            control.keep_tokens("acme", {"access": "x" * 100_000})
        assert {"access": "before"} == control.tokens("acme")

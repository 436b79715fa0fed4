"""Threads of one process hand the open work file on, instead of closing it for each other; other processes come in."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onepipe.control import Control
from onepipe.warehouse.work import Warehouse


def opened(folder: Path) -> tuple[Warehouse, Control]:
    control = Control(folder)
    return Warehouse(folder, control.commit_lock), control


def generation(warehouse: Warehouse) -> int:
    with warehouse.look() as db:
        return int(db.one("SELECT generation FROM store.meta"))


def free(control: Control) -> bool:
    """Whether nobody holds the commit lock."""
    with control.commit_lock(0.0):
        return True


def test_every_commit_of_many_threads_is_kept_and_nobody_holds_the_file_then(tmp_path: Path) -> None:
    """Handed on or opened anew, each is a transaction of its own; the last one closes."""
    warehouse, control = opened(tmp_path)

    def commit(number: int) -> None:
        with warehouse.awake(), warehouse.commit(f"run{number}") as db:
            db.run("CREATE TEMP TABLE mine AS SELECT 1")  # there is none of the thread before

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(commit, range(60)))
    assert 60 == generation(warehouse)
    assert free(control)
    assert not Path(f"{warehouse.path}.wal").exists()


def test_a_commit_that_fails_takes_nobody_else_along(tmp_path: Path) -> None:
    """It is rolled back, and whoever waits goes on with a file that is opened anew."""
    warehouse, control = opened(tmp_path)

    def commit(number: int) -> bool:
        try:
            with warehouse.commit(f"run{number}") as db:
                db.run("DELETE FROM store.meta" if number % 3 == 0 else "SELECT 1")
                if number % 3 == 0:
                    raise LookupError
        except LookupError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        kept = sum(pool.map(commit, range(30)))
    assert (20, 20) == (kept, generation(warehouse))
    assert free(control)


def test_another_process_gets_its_turn_while_threads_hand_on(tmp_path: Path) -> None:
    """However many of ours wait: the file is closed now and then, and left to others for a moment."""
    warehouse, _ = opened(tmp_path)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with warehouse.commit("ours"):
                pass

    code = (
        "import sys; from pathlib import Path; from tests.fleet.test_turns import opened, generation\n"
        "w, _ = opened(Path(sys.argv[1]))\n"
        "for _ in range(3):\n    with w.commit('theirs'): pass\n"
        "print(generation(w))"
    )
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
        told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120)
        over.set()
    assert int(told.stdout) >= 3, told.stderr


def test_one_who_gives_up_waiting_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting: what was handed on to that thread is closed, and the next one can begin."""
    warehouse, control = opened(tmp_path)
    interrupted = threading.Event()

    class Queue:
        """The queue of threads, in which one is interrupted once the file was handed on to it."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def acquire(self, blocking: bool = True) -> bool:
            if not blocking or threading.current_thread().name != "second":
                return self.lock.acquire(blocking)
            with self.lock:
                interrupted.set()
            raise KeyboardInterrupt

        def release(self) -> None:
            self.lock.release()

    monkeypatch.setattr(warehouse, "_queue", Queue())

    def second() -> None:
        with pytest.raises(KeyboardInterrupt), warehouse.commit("second"):
            raise AssertionError("it never gets here")

    thread = threading.Thread(target=second, name="second")
    with warehouse.commit("first"):
        thread.start()
        while not warehouse._waiting:
            time.sleep(0.001)
    thread.join(30)
    assert interrupted.is_set()
    assert free(control)
    assert 1 == generation(warehouse)

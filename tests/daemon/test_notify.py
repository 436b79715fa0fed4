"""What systemd hears of a unit of Type=notify, on a real socket."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.daemon.notify import Notify
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import daemon


class Ear:
    """The supervisor's end of the socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(120)

    def hear(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().split("\n")

    def until(self, line: str) -> list[str]:
        """All lines up to this one."""
        heard: list[str] = []
        while line not in heard:
            heard += self.hear()
        return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def path() -> Iterator[str]:
    """A short place for a socket: their names may not be long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield f"{folder}/notify"


@pytest.mark.parametrize("abstract", [False, True])
def test_each_word_is_one_message(path: str, abstract: bool) -> None:
    """In the file system or in the abstract space; a status never makes a second line of its own."""
    ear = Ear("\0" + path[1:] if abstract else path)
    notify = Notify({"NOTIFY_SOCKET": "@" + path[1:] if abstract else path})
    notify.ready("3 connections\nREADY=0")
    assert ["READY=1", "STATUS=3 connections READY=0"] == ear.hear()
    notify.reloading()
    word, when = ear.hear()
    assert ("RELOADING=1", True) == (word, when.removeprefix("MONOTONIC_USEC=").isdigit())
    notify.stopping()
    assert ["STOPPING=1"] == ear.hear()
    notify.status("well")
    assert ["STATUS=well"] == ear.hear()
    ear.close()


def test_the_watchdog_hears_twice_in_its_time(path: str) -> None:
    """And only where it asks this very process."""
    ear = Ear(path)
    told = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000"}
    notify = Notify(told | {"WATCHDOG_PID": str(os.getpid())})
    for now in (100.0, 101.0, 102.0, 103.0, 104.5):
        notify.alive(now)
    Notify(told | {"WATCHDOG_PID": "1"}).alive(200.0)
    notify.stopping("over")
    assert ["WATCHDOG=1"] * 3 == [ear.hear()[0] for _ in range(3)]
    assert ["STOPPING=1", "STATUS=over"] == ear.hear()
    ear.close()


def test_nobody_listens() -> None:
    """Without a supervisor, or with one that is gone, nothing happens."""
    Notify({}).ready()
    Notify({"NOTIFY_SOCKET": "/nowhere/notify"}).ready()


def test_a_daemon_tells_its_life(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready when it is at work, alive while its loop goes round, reloading and ready again, and stopping."""
    ear = Ear(path)
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    with Sandbox(rows=5, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule", schedule="6h", settings={"details": False}))
        with daemon(Place(tmp_path)) as running:
            assert "STATUS=1 connections" in ear.until("READY=1")
            ear.until("WATCHDOG=1")
            running.process.send_signal(signal.SIGHUP)
            ear.until("RELOADING=1")
            ear.until("READY=1")
            running.process.send_signal(signal.SIGTERM)
            ear.until("STOPPING=1")
            assert 0 == running.process.wait(120)
    ear.close()

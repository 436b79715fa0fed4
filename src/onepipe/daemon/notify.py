"""What systemd is told of a unit of Type=notify: a few lines on a datagram socket, and nothing where there is none."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notify:
    """The supervisor's ear, by NOTIFY_SOCKET; deaf where nobody set it. `environ` is the process's own by default."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        found = os.environ if environ is None else environ
        path = found.get("NOTIFY_SOCKET", "")
        self._path = "\0" + path[1:] if path.startswith("@") else path  # a name in the abstract space
        mine = found.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        patience = found.get("WATCHDOG_USEC", "") if mine else ""
        self.watched = int(patience) / 1_000_000 if patience.isdigit() else None  # seconds it waits for a word
        self._told = 0.0

    def ready(self, status: str = "") -> None:
        """The daemon is at work, for the first time or after a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The config is being read again; `ready` says that this is over."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str = "") -> None:
        """No run begins any more."""
        self._send("STOPPING=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        """A line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def alive(self, now: float) -> None:
        """The loop went round at `now`, in monotonic seconds; told twice in the time the watchdog waits."""
        if self.watched is not None and not 0 <= now - self._told < self.watched / 2:
            self._told = now
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._path:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines if line != "STATUS=")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.connect(self._path)
            speaker.send(text.encode())

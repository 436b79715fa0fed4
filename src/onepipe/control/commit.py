"""The commit lock: one process, and in it one thread, has the work warehouse open at a time."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onepipe.errors import DiskTrouble, LeaseHeld

_POLL = 0.01  # seconds between two tries while another process has it; a commit takes 60-150 ms


class CommitLock:
    """A lock of the operating system on a file beside the control file: it goes with its process, however that ends."""

    def __init__(self, path: Path, command: str) -> None:
        self._path = path
        self._command = command
        self._thread = threading.Lock()  # threads of one process queue here instead of trying again and again

    @contextmanager
    def hold(self, wait: float) -> Iterator[None]:
        """Hold the lock, waiting up to `wait` seconds for it. Raises LeaseHeld and DiskTrouble."""
        deadline = time.monotonic() + wait
        if not self._thread.acquire(timeout=wait):
            raise _refusal("another thread of this process")
        try:
            handle = self._open()
            try:
                self._lock(handle, deadline)
                yield
            finally:
                os.close(handle)
        finally:
            self._thread.release()

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DiskTrouble(
                f"The lock file {self._path} cannot be opened: {error}. What was committed before is safe.",
                hint="See that the state folder exists and is writable, then run the command again.",
            ) from error

    def _lock(self, handle: int, deadline: float) -> None:
        while not _try(handle):
            if time.monotonic() >= deadline:
                raise _refusal(os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process")
            time.sleep(_POLL)
        try:
            # Of one width, so that nothing is left of a longer name: truncating the file takes 30 ms here and there.
            os.pwrite(handle, f"process {os.getpid()} ({self._command})"[:200].ljust(200).encode()[:200], 0)
        except OSError:  # a full disk: we hold the lock all the same, only those who wait cannot name us
            return


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refusal(who: str) -> LeaseHeld:
    return LeaseHeld(
        f"The warehouse is being written by {who}, which did not finish in time. What was fetched is kept.",
        hint="Run the command again when that process has ended.",
    )

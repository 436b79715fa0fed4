"""Which process this is, and whether another one on this machine still runs."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process so named that a later one with the same pid is another. `started` is "" where that cannot be known."""

    pid: int
    started: str
    machine: str
    host: str


def own() -> Process:
    """This process."""
    return _describe(os.getpid())


def alive(pid: int, started: str) -> bool:
    """Whether the process of this machine that began at `started` still runs; a killed one nobody waited for does not.

    Where the system does not tell when a process began, any process of that pid counts.
    """
    status = _status(pid)
    if status:
        state, begun = status
        return state not in "ZX" and (not started or begun == started)
    if Path("/proc/self/stat").exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to somebody else
        return True
    return True


@cache
def _describe(pid: int) -> Process:  # by pid, so that a forked child does not take its parent's
    status = _status(pid)
    return Process(pid, status[1] if status else "", _machine(), socket.gethostname())


def _machine() -> str:
    """Where a pid means the same process: this boot of this host, and this container of it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  (the link's target is no path)
    except OSError:
        boot = space = ""
    return f"{socket.gethostname()} {boot} {space}".strip()


def _status(pid: int) -> tuple[str, str] | None:
    """State letter and start time (clock ticks since boot) of a process; None where /proc does not tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the command's name, before, may hold anything
    return fields[0], fields[19]

"""A daemon in a process of its own, and what tests wait for."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onepipe.sandbox import Sandbox
from tests.cli.place import Place

PATIENCE = 120.0  # seconds that a test waits for what must come


class Running:
    """A daemon in a process of its own, and the log lines it has written."""

    def __init__(self, place: Place, log: Path, *words: str, **how: Any) -> None:
        self.log = log
        with log.open("w") as stream:
            self.process = place.start("daemon", *words, **({"stderr": stream} | how))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]

    def found(self, event: str, **facts: Any) -> list[dict[str, Any]]:
        """The lines that tell of an event."""
        return [one for one in self.lines() if event == one["event"] and facts.items() <= one.items()]

    def wait_for(self, event: str, times: int = 1, **facts: Any) -> None:
        """Until a line was logged so many times. Fails when that takes too long, or the daemon ended without it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            ended = self.process.poll() is not None
            if len(self.found(event, **facts)) >= times:
                return
            assert not ended and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self, seconds: float = 120) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


@contextmanager
def daemon(place: Place, *words: str, **how: Any) -> Iterator[Running]:
    """A daemon for a `with`; killed at its end, if it still runs."""
    running = Running(place, place.folder / "log", *words, **how)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def wait_until(holds: Callable[[], object]) -> None:
    """Until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_request(crms: Sandbox) -> None:
    """Until a list of the Capsule is being waited for: faults hold the answer back after their hit was counted."""
    wait_until(lambda: any(fault.fired for fault in crms["capsule"].faults))


def published(place: Place, query: str, expected: int) -> None:
    """Until the published warehouse answers so: a snapshot may have been taken in the middle of the run."""
    wait_until(lambda: [{"n": expected}] == place.run("sql", query, "--json").json)

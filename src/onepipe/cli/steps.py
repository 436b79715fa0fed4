"""Progress of a push on stderr: so many of so many deals."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import onepipe.cli.progress as progress
import onepipe.report as report
from onepipe.push.watch import Watch
from onepipe.push.words import Done, Item


class Steps(Watch):
    """Counts the deals of all connections together."""

    def __init__(self, watch: report.Watch) -> None:
        self._watch = watch
        self._lock = threading.Lock()
        self._of = self._done = 0

    def begins(self, items: int) -> None:
        """So many more have edits that wait."""
        with self._lock:
            self._of += items

    def planned(self, item: Item) -> None:
        """One more is decided on."""
        self._step(f"{item.connection} {item.source_id or '(new)'}")

    def pushed(self, item: Done) -> None:
        """One more is done with."""
        self._step(f"{item.connection} {item.source_id or '(new)'} is {item.state}")

    def say(self, connection: str, text: str) -> None:
        """A notice."""
        self._watch.say(connection, text)

    def _step(self, text: str) -> None:
        with self._lock:
            self._done += 1
            self._watch.step(self._done, max(self._of, self._done), text)


@contextmanager
def watching(pause: threading.Event | None = None) -> Iterator[Steps]:
    """A bar if people look on, plain lines if not. The first Ctrl-C sets `pause`, where there is one."""
    with progress.watching(pause=pause, ways=progress.PUSHING) as watch:
        yield Steps(watch)

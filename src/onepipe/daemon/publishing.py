"""Publishing beside the runs: soon after a change, but not all the time, in a thread of its own.

The same thread looks whether the published file is still ours to replace. Both may wait for a commit, which the loop
must not.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from onepipe import logs
from onepipe.errors import ConfigError, OnepipeError
from onepipe.pull import unforeseen

REST = 5.0  # seconds between two publishes, so that a change is out within ten
REST_PER_COPY = 10  # or so many times as long as the last copy took: large warehouses are not copied all day
LOOKS = 1.0  # seconds between two looks at what there is to do
AGAIN = 10.0  # seconds after which a trouble is looked at again, also where the file did not change


@dataclass
class Publisher:
    """Publishes soon after a change, but not all the time. `copy` does it, and answers whether there was a need."""

    copy: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    done: Callable[[float], object] = lambda _: None  # told how many seconds a copy took
    _changed: threading.Event = field(default_factory=threading.Event)
    _rested: float = 0.0  # the time from which the next copy may begin
    _said: str = ""

    def changed(self) -> None:
        """Something was committed."""
        self._changed.set()

    def due(self) -> bool:
        """Whether there is something to publish, and it is time."""
        return self._changed.is_set() and self.clock() >= self._rested

    def publish(self) -> None:
        """Publish now. What keeps it from being done is logged, once, and it is tried again."""
        began = self.clock()
        self._changed.clear()
        try:
            needed = self.copy()
        except Exception as fault:
            self._changed.set()
            error = fault if isinstance(fault, OnepipeError) else unforeseen(fault)
            tell = logs.get().error if error.message != self._said else logs.get().debug
            tell("the warehouse was not published", kind=error.kind, error=error.message, hint=error.hint)
            self._said = error.message
        else:
            self._said = ""
            if not needed:
                return
            took = self.clock() - began
            logs.get().info("published", seconds=round(took, 2))
            self.done(took)
        self._rested = self.clock() + max(REST, REST_PER_COPY * (self.clock() - began))


class Publishing(threading.Thread):
    """The thread. `guard` raises ConfigError where the file at `target` is not ours; `barred` is told why, or None."""

    def __init__(
        self,
        publisher: Publisher,
        target: Callable[[], Path],
        guard: Callable[[], None],
        barred: Callable[[OnepipeError | None], None],
    ) -> None:
        super().__init__(name="publish", daemon=True)
        self._publisher, self._target, self._guard, self._barred = publisher, target, guard, barred
        self._over = threading.Event()
        self._seen = self._status()  # the daemon looked at the file before it began
        self._looked = 0.0
        self._trouble = False

    def end(self, seconds: float | None = None) -> None:
        """Let a copy under way come to its end, and make no other."""
        self._over.set()
        self.join(seconds)

    def run(self) -> None:
        """Look, publish, and look again."""
        while not self._over.wait(LOOKS):
            self._look()
            if not self._trouble and self._publisher.due():
                self._publisher.publish()
                self._seen = self._status()

    def _look(self) -> None:
        now, seen = time.monotonic(), self._status()
        if seen == self._seen and not (self._trouble and now >= self._looked + AGAIN):
            return
        self._seen, self._looked = seen, now
        try:
            self._guard()
        except ConfigError as error:
            if not self._trouble:
                self._barred(error)
            self._trouble = True
        except Exception as error:  # somebody writes in it, or the disk does not answer: publishing says so
            logs.get().debug("the published file cannot be looked at", exc_info=error)
            return
        else:
            if self._trouble:
                self._barred(None)
            self._trouble = False
            if seen is None:
                self._publisher.changed()  # somebody took it away

    def _status(self) -> tuple[int, int, int] | None:
        try:
            found = self._target().stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

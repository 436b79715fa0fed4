"""Delivery: one thread that hands messages over, again and again for a while, and never stops the daemon."""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from onepipe import logs
from onepipe.control.notices import Alerts, Message
from onepipe.daemon.alerts import Ways
from onepipe.daemon.ways import PATIENCE, Way, end_running
from onepipe.errors import OnepipeError

PAUSES = (10.0, 60.0, 300.0, 1800.0)  # seconds before the second try, the third, ...; after the last it is given up
LONGEST_REST = 30.0  # seconds between two looks at what waits


class Mail:
    """Hands over what waits in the control file, also what an earlier process left there. Close it."""

    def __init__(self, kept: Alerts, clock: Callable[[], float] = time.time, patience: float = PATIENCE) -> None:
        self._kept, self._clock, self._patience = kept, clock, patience
        self._ways: dict[str, Way] = {}
        self._wake = threading.Event()
        self._ending = threading.Event()  # nothing that is not due by now
        self._cut = threading.Event()  # nothing at all
        self._thread: threading.Thread | None = None
        self._unwritten: deque[Message] = deque()
        self._done: set[tuple[str, str]] = set()
        self.results: Counter[tuple[str, str]] = Counter()  # by event, and sent, failed or given_up

    def reload(self, ways: Ways) -> None:
        """These are the ways in force."""
        self._ways = {way.key: way for several in ways.values() for way in several}
        self.wake()

    def start(self) -> None:
        """Begin to deliver."""
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something new."""
        self._wake.set()

    def close(self, seconds: float = 5.0) -> None:
        """Deliver what is due, for so long at the most; the rest is delivered by the next process."""
        self._ending.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds)
            self._cut.set()
            end_running()
            self._thread.join(1)

    def hand_over(self, messages: Iterable[Message]) -> None:
        """Deliver these though they cannot be written down: that a disk is full is what people want to hear."""
        self._unwritten.extend(messages)
        self.wake()

    def deliver(self) -> int:
        """One try of each message that is due; how many. Raises DiskTrouble once what it can do is done."""
        for _ in range(len(self._unwritten)):
            message = self._unwritten.popleft()
            if not self._over(message):
                self._unwritten.append(replace(message, tries=message.tries + 1))
        due = self._kept.due(self._clock())
        for message in due:
            if self._cut.is_set():
                return 0
            key = (message.id, message.way)
            if key in self._done or self._over(message):
                self._done.add(key)  # if that cannot be written down, it is not sent again all the same
                self._kept.delivered(message)
                self._done.discard(key)
            else:
                self._kept.again(message, self._clock() + PAUSES[message.tries])
        return len(due)

    def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                while self.deliver():
                    if self._ending.is_set() and self._rests():
                        return
            except OnepipeError as error:  # the control file, for now
                logs.get().error("alerts cannot be read", kind=error.kind, error=error.message)
            if self._ending.is_set() or self._cut.is_set():
                return
            self._wake.wait(self._rest())

    def _rests(self) -> bool:
        """Whether nothing is due any more."""
        return not self._kept.due(self._clock(), 1)

    def _rest(self) -> float:
        """Seconds until something is due."""
        try:
            _, at = self._kept.waiting()
        except OnepipeError:
            return LONGEST_REST
        return LONGEST_REST if at is None else min(max(at - self._clock(), 0.1), LONGEST_REST)

    def _over(self, message: Message) -> bool:
        """Try a message once; whether it arrived, or is given up."""
        way, body = self._ways.get(message.way), json.loads(message.body)
        if way is None:  # not in config.yaml any more
            return True
        event = body["event"]
        try:
            way.deliver(body, self._patience)
        except OnepipeError as error:
            return self._failed(message, way, event, error)
        except Exception:
            self.results[event, "given_up"] += 1
            logs.get().exception("a fault in onepipe itself: an alert was not sent", event_told=event)
        else:
            self.results[event, "sent"] += 1
        return True

    def _failed(self, message: Message, way: Way, event: str, error: OnepipeError) -> bool:
        last = message.tries >= len(PAUSES) or error.kind == "config"
        self.results[event, "given_up" if last else "failed"] += 1
        told = {"event_told": event, "way": way.name, "error": error.message}
        if last:
            logs.get().error("an alert was given up", **told)
        else:
            logs.get().warning("an alert was not sent, and will be tried again", **told)
        return last

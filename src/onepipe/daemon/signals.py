"""Signals as the daemon takes them: each is a word for the loop, and the second one to end is not discussed."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heeded(told: Callable[[int], None]) -> Iterator[None]:
    """For a `with`: call `told` with the number of each SIGTERM, SIGINT and SIGHUP; end at once on a second to end.

    `told` runs wherever the signal met the main thread, so it may take no lock.
    """
    ending = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal ending
        if number in ENDING:
            if ending:
                os._exit(128 + number)
            ending = True
        told(number)

    numbers = [*ENDING, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)

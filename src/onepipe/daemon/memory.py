"""Memory that is free goes back to the system: a daemon lives for months, and its runs need much for seconds."""

import ctypes
from contextlib import suppress

ARENA_MAX = -8  # of glibc's mallopt


def few_arenas() -> None:
    """Have all threads share two heaps: glibc gives each thread one of its own, and keeps what was freed in it."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(ARENA_MAX, 2)


def give_back() -> None:
    """Give freed memory back now."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

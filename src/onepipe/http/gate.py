"""What may leave the process: no write unless allowed, and no more requests than allowed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from threading import Lock
from urllib.parse import unquote

from onepipe.errors import RateLimited, WriteRefused

_READS = ("GET", "HEAD")


class Gate:
    """Stands before every request. A write passes only if `writing`; `writing_paths` are patterns of GETs that write.

    A pattern is a path below base_url with `*` for any text, such as "/opportunities/add_tag*" (Tactile).
    """

    def __init__(self, writing: bool = False, writing_paths: Sequence[str] = ()) -> None:
        self.writing = writing
        self._writes = [re.compile(translate(pattern), re.I) for pattern in writing_paths]

    def admit(self, method: str, path: str, *, retried: bool) -> None:
        """Raise WriteRefused for what must not leave. `retried` is for reads: a GET that writes is never one."""
        writes = method not in _READS or self._is_writing(path)
        if writes and not self.writing:
            raise WriteRefused(
                f"{method} {path} would change data in the CRM and was not sent: writing is off for this connection.",
                "Set `write: {mode: on}` for the connection in config.yaml to allow it.",
            )
        if writes and retried:
            raise WriteRefused(f"{method} {path} changes data in the CRM and was not sent: a read may be repeated.")

    def _is_writing(self, path: str) -> bool:
        plain = unquote(path)
        return any(pattern.match(plain) for pattern in self._writes)


@dataclass
class Budget:
    """So many requests may be made in one run, by all threads together (`--max-requests`)."""

    limit: int
    spent: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def take(self) -> None:
        """Count one request. Raises RateLimited when the budget is spent; nothing leaves then."""
        with self._lock:
            if self.spent >= self.limit:
                raise RateLimited(f"The budget of {self.limit} requests for this run is spent.")
            self.spent += 1

"""What the five simulated CRMs share: the base class, its options, its records and its request log."""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote

from onepipe.sandbox.faults import Faults
from onepipe.sandbox.wire import Answer, Call, Refused, Row, dump, shuffled

__all__ = ["Answer", "Call", "Crm", "Options", "Records", "Refused", "Row", "Seen"]


@dataclass(slots=True)
class Seen:
    """One line of the request log: `query` holds the last value of each parameter, `status` 0: nothing was sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int
    at: datetime


@dataclass
class Options:
    """Switches every simulated CRM has.

    limit_cap: rows a list page holds at most, whatever was asked for (a hidden cap), None for none
    ignore_filters, ignore_order: lists answer 200 but leave out filtering, or ordering
    list_lag_seconds: how late lists show a record that a request made
    date_header: whether answers carry Date; date_skew_seconds: how far that Date is ahead of the CRM's clock
    rate_limit, rate_window_seconds: requests per window before 429; None leaves the limit unenforced
    retry_after: Retry-After in seconds on those 429 answers, None for no header (none of the five documents one)
    """

    limit_cap: int | None = None
    ignore_filters: bool = False
    ignore_order: bool = False
    list_lag_seconds: float = 0
    date_header: bool = True
    date_skew_seconds: float = 0
    rate_limit: int | None = None
    rate_window_seconds: float = 300
    retry_after: int | None = None

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Sets several switches by name. Raises ValueError for a name that is none."""
        known = {item.name for item in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"no option {name!r}; options are {', '.join(sorted(known))}")
            setattr(self, name, value)


class Records(Mapping[Any, Row]):
    """The CRM's current records by id, each as its own by-id read would show it now."""

    def __init__(self, crm: Crm) -> None:
        self._crm = crm

    def __getitem__(self, key: Any) -> Row:
        with self._crm.lock:
            self._crm.catch_up()
            return copy.deepcopy(self._crm.show(self._crm.rows[key]))

    def __iter__(self) -> Iterator[Any]:
        with self._crm.lock:
            self._crm.catch_up()
            return iter(list(self._crm.rows))

    def __len__(self) -> int:
        return len(list(iter(self)))


class Crm:
    """A simulated CRM: rows in memory, answered over HTTP, changed by a test as a user of the CRM would.

    Subclasses give `name`, `routes` (method, path pattern, handler name), `seed_rows`, `show`, and handlers
    `handler(call, **path parts) -> Answer`. Every access to rows happens under `lock`.
    """

    name: ClassVar[str] = ""
    routes: ClassVar[list[tuple[str, str, str]]] = []
    lists: ClassVar[tuple[str, ...]] = ()
    filters: ClassVar[frozenset[str]] = frozenset()
    _compiled: ClassVar[list[tuple[str, re.Pattern[str], str]]] = []

    options: Any

    def __init_subclass__(cls) -> None:
        cls._compiled = [(verb, _pattern(path), handler) for verb, path, handler in cls.routes]

    def __init__(self, rows: int, seed: int, now: datetime) -> None:
        self.lock = threading.RLock()
        self.rows: dict[Any, Row] = {}
        self.removed: list[Any] = []  # ids that were: none is given a second time
        self.url = f"http://127.0.0.1/{self.name}"
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.log: list[Seen] = []
        self.faults = Faults()
        self.credentials: dict[str, str] = {}
        self.records = Records(self)
        self._version = 0
        self._orders: dict[Any, tuple[int, list[Row]]] = {}
        self._recent: deque[datetime] = deque()
        self._postponed: list[tuple[datetime, Call]] = []
        self._made: dict[Any, datetime] = {}
        self.seed_rows(rows, seed, now)

    # What a subclass gives

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills `rows` and the reference data from the seed."""
        raise NotImplementedError

    def show(self, row: Row) -> Row:
        """The record as the by-id read shows it."""
        raise NotImplementedError

    def admit(self, call: Call) -> None:
        """Checks the credentials. Raises `Refused` with the CRM's own answer to wrong ones."""
        raise NotImplementedError

    def refuse(self, status: int, message: str) -> Answer:
        """An error in the CRM's own shape."""
        return Answer(status, dump({"message": message}))

    def disguised_refusal(self) -> Answer:
        """A refused credential hidden in a 200 answer."""
        return Answer(200, dump({"success": False, "error": {"code": 401, "message": "Unauthorized"}}))

    def error_envelope(self) -> Answer:
        """A failure hidden in a 200 answer."""
        return Answer(200, dump({"success": False, "message": "internal error, please try again"}))

    def misshapen(self, shape: str) -> Answer:
        """A 200 list answer of the wrong shape: "missing" record path, "object" for the list, "null", "list"."""
        bodies = {"missing": {"unexpected": []}, "object": {"data": {}}, "null": None, "list": [1, "two", None]}
        return Answer(200, dump(bodies[shape]))

    def emptied(self, answer: Answer) -> Answer:
        """The same list answer without its records, everything else (totals, next) kept."""
        raise NotImplementedError

    # Answering

    def is_list(self, call: Call) -> bool:
        """Whether a request reads a list of opportunities."""
        return call.method == "GET" and self._find(call)[0] in self.lists

    def answer(self, call: Call) -> Answer:
        """The CRM's answer to a request, headers complete."""
        with self.lock:
            self.catch_up()
            try:
                result = self._respond(call)
            except Refused as refused:
                result = refused.answer
            except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
                if call.method == "GET":
                    raise
                logging.getLogger(__name__).warning("%s %s: unreadable body", call.method, call.path, exc_info=True)
                result = self.refuse(400, "the body cannot be read")
            return self.stamped(result)

    def prepare(self, call: Call) -> None:
        """Notes what a later `refuse` must know of the request, such as the flavour it accepts."""

    def _respond(self, call: Call) -> Answer:
        call.cap = self.options.limit_cap if call.cap is None else call.cap
        call.ignore_filters = call.ignore_filters or self.options.ignore_filters
        call.ignore_order = call.ignore_order or self.options.ignore_order
        if call.ignore_filters:
            call.query = [(key, value) for key, value in call.query if not self.is_filter(key)]
        self.admit(call)
        left = self._spend()
        if left < 0:
            return self.limited()
        handler, parts = self._find(call)
        if handler == "":
            return self.refuse(*self.unrouted(call))
        result = self._handled(handler, call, parts)
        self.rate_headers(result, left)
        return result

    def _handled(self, handler: str, call: Call, parts: dict[str, str]) -> Answer:
        """What a handler answers; lists do not know of what was made a moment ago, if `list_lag_seconds` says so."""
        handle: Callable[..., Answer] = getattr(self, handler)
        if not self.options.list_lag_seconds:
            return handle(call, **parts)
        rows, now = self.rows, self.now()
        if handler not in self.lists:
            before = set(rows)
            answer = handle(call, **parts)
            self._made |= dict.fromkeys(self.rows.keys() - before, now)
            return answer
        known = now - timedelta(seconds=self.options.list_lag_seconds)
        self.rows = {key: row for key, row in rows.items() if self._made.get(key, known) <= known}
        self.touched()
        try:
            return handle(call, **parts)
        finally:
            self.rows = rows
            self.touched()

    def postpone(self, call: Call, seconds: float) -> None:
        """Takes a request, and acts on it only later."""
        self._postponed.append((self.now() + timedelta(seconds=seconds), call))

    def catch_up(self) -> None:
        """Acts on what was postponed until now, each at its own time."""
        now, clock = self.now(), self.clock
        due = [one for one in self._postponed if one[0] <= now]
        self._postponed = [one for one in self._postponed if one[0] > now]
        for at, call in due:
            self.clock = partial(_fixed, at)
            with suppress(Refused):
                self._respond(call)
        self.clock = clock

    def is_filter(self, name: str) -> bool:
        """Whether a query parameter narrows a list."""
        return name in self.filters

    def unrouted(self, call: Call) -> tuple[int, str]:
        """Status and message for a path, or a method on it, that the CRM does not have."""
        known = any(pattern.fullmatch(call.path) for _, pattern, _ in self._compiled)
        return (405, "method not allowed") if known else (404, "not found")

    def _find(self, call: Call) -> tuple[str, dict[str, str]]:
        for verb, pattern, handler in self._compiled:
            match = pattern.fullmatch(call.path) if verb == call.method else None
            if match:
                return handler, {key: unquote(part) for key, part in match.groupdict().items()}
        return "", {}

    # Limits and headers

    def _spend(self) -> int:
        """Requests left in the sliding window after this one; negative once the limit is passed."""
        now, limit = self.now(), self.options.rate_limit
        since = now - timedelta(seconds=self.options.rate_window_seconds)
        while self._recent and self._recent[0] <= since:
            self._recent.popleft()
        if limit is not None and len(self._recent) >= limit:
            return -1
        self._recent.append(now)
        return max(0, self.stated_limit() - len(self._recent))

    def stated_limit(self) -> int:
        """The limit that headers state; without one in force so high that who believes it is not slowed down."""
        return self.options.rate_limit if self.options.rate_limit is not None else 1_000_000

    def window_ends(self) -> datetime:
        """When the oldest counted request leaves the window."""
        oldest = self._recent[0] if self._recent else self.now()
        return oldest + timedelta(seconds=self.options.rate_window_seconds)

    def limited(self) -> Answer:
        """The 429 answer."""
        result = self.refuse(429, "rate limit reached")
        result.set("Retry-After", str(self.options.retry_after) if self.options.retry_after is not None else None)
        self.rate_headers(result, 0)
        return result

    def rate_headers(self, answer: Answer, left: int) -> None:
        """Adds the CRM's own quota headers, where it has any."""

    def stamped(self, answer: Answer) -> Answer:
        """The answer with a Date header from the CRM's clock and its skew, unless switched off or already set."""
        if self.options.date_header and answer.header("Date") is None:
            at = self.now() + timedelta(seconds=self.options.date_skew_seconds)
            answer.headers.append(("Date", format_datetime(at.astimezone(UTC), usegmt=True)))
        return answer

    def note(self, call: Call, status: int) -> None:
        """Adds a line to the request log."""
        seen = Seen(call.method, call.path, dict(call.query), call.headers, call.body, status, datetime.now(UTC))
        with self.lock:
            self.log.append(seen)

    # Rows

    def now(self) -> datetime:
        """The CRM's clock, in UTC."""
        return self.clock().astimezone(UTC)

    def touched(self) -> None:
        """Forgets cached orders; called after every change to rows."""
        self._version += 1

    def in_order(self, name: Any, key: Callable[[Row], Any], reverse: bool = False) -> list[Row]:
        """All rows sorted by `key`; kept under `name` until a row changes."""
        kept = self._orders.get(name)
        if kept is None or kept[0] != self._version:
            kept = (self._version, sorted(self.rows.values(), key=key, reverse=reverse))
            self._orders[name] = kept
        return kept[1]

    def scrambled(self) -> list[Row]:
        """All rows in an order that means nothing, the same on every call."""
        return self.in_order("scrambled", lambda row: shuffled(row["id"]))

    # What a user of the CRM does

    def insert(self, **changes: Any) -> Any:
        """Creates a record from the CRM's own field names and returns its id."""
        raise NotImplementedError

    def update(self, row_id: Any, *, silently: bool = False, **changes: Any) -> None:
        """Changes a record by the CRM's own field names; the changed-at stamp moves unless `silently`."""
        raise NotImplementedError

    def delete(self, row_id: Any) -> None:
        """Removes a record for good."""
        with self.lock:
            del self.rows[row_id]
            self.removed.append(row_id)
            self.touched()


def _fixed(at: datetime) -> datetime:
    return at


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "/?")

"""Faults a test switches on in a simulated CRM: which requests they hit, and what they do to the answer.

Kinds (`Faults.add(kind, ...)`), with their own arguments in brackets:
  replace the answer    status [status, retry_after, body], refused_200, login_page, html, error_envelope,
                        wrong_shape [shape: missing|object|null|list], redirect [location, status], reset,
                        late [seconds, 60: the connection breaks, and the CRM acts so much later by its own clock]
  change the answer     truncated [keep: share of the body], short_body, empty_page, repeat_page, cycle,
                        gzip, bom, latin1 [lie: header|body], headers [headers: name -> text or null],
                        rewrite [edit: the body's bytes -> other bytes; not through the control door]
  change the request    limit_cap [cap], ignore_filter, ignore_order,
                        misread [edit: the body's bytes -> those that the CRM takes them for]
  take time             slow [seconds], hang [seconds, 3600]
  run code              hook [call]
`after=True` lets the CRM act first (a write takes effect) and then spoils the answer, or calls.
retry_after is seconds, an aware datetime, or "+N" for an HTTP-date N seconds from the CRM's clock.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from typing import Any, Protocol

from onepipe.sandbox.wire import Answer, Call

LOGIN_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body><form action='/login'></form></body></html>"
)
DOWN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Down for maintenance</title></head><body>Back soon.</body></html>"
REPLACING = frozenset(
    {"status", "refused_200", "login_page", "html", "error_envelope", "wrong_shape", "redirect", "reset", "late"}
)
CHANGING = frozenset(
    {"truncated", "short_body", "empty_page", "repeat_page", "cycle", "gzip", "bom", "latin1", "headers", "rewrite"}
)
REQUESTING = frozenset({"limit_cap", "ignore_filter", "ignore_order", "misread"})
WAITING = frozenset({"slow", "hang"})
KINDS = REPLACING | CHANGING | REQUESTING | WAITING | {"hook"}
ON_LISTS = frozenset(
    {"empty_page", "repeat_page", "cycle", "wrong_shape", "limit_cap", "ignore_filter", "ignore_order", "rewrite"}
)


class Faulty(Protocol):
    """What a fault asks of the CRM it strikes: answers of that CRM's own shape, and its clock."""

    def now(self) -> datetime:
        """The CRM's clock."""

    def refuse(self, status: int, message: str) -> Answer:
        """An error."""

    def disguised_refusal(self) -> Answer:
        """Refused credentials in a 200 answer."""

    def error_envelope(self) -> Answer:
        """A failure in a 200 answer."""

    def misshapen(self, shape: str) -> Answer:
        """A list answer of the wrong shape."""

    def emptied(self, answer: Answer) -> Answer:
        """A list answer without its records."""


@dataclass
class Fault:
    """One fault; it fires on the `nth` matching request (from 1) and on `count` requests in all (None: for ever).

    path is a pattern such as "/api/opportunity*" on the path below the CRM's base URL; query names parameters with the
    value they must have ("*": any); lists limits it to reads of opportunity lists (the default for kinds that make
    sense only there). `fired` counts how often it struck.
    """

    kind: str
    path: str = "*"
    method: str | None = None
    nth: int = 1
    count: int | None = 1
    lists: bool | None = None
    query: dict[str, str] = field(default_factory=dict)
    after: bool = False
    status: int = 500
    retry_after: int | float | str | datetime | None = None
    body: str | None = None
    shape: str = "missing"
    location: str = "http://elsewhere.invalid/login"
    keep: float = 0.6
    cap: int = 10
    seconds: float | None = None
    lie: str = "header"
    headers: dict[str, str | None] = field(default_factory=dict)
    call: Callable[[], Any] | None = None
    edit: Callable[[bytes], bytes] | None = None
    fired: int = 0
    met: int = 0
    kept: list[Any] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault {self.kind!r}; faults are {', '.join(sorted(KINDS))}")

    def strikes(self, call: Call, is_list: bool) -> bool:
        """Whether this request is one it hits; counts it."""
        wanted = self.kind in ON_LISTS if self.lists is None else self.lists
        asked = dict(call.query)
        if (
            (wanted and not is_list)
            or (self.method is not None and self.method != call.method)
            or not fnmatchcase(call.path, self.path)
            or any(name not in asked or value not in ("*", asked[name]) for name, value in self.query.items())
        ):
            return False
        self.met += 1
        if self.met < self.nth or (self.count is not None and self.fired >= self.count):
            return False
        self.fired += 1
        return True

    def alter_request(self, call: Call) -> None:
        """Makes the CRM overlook a part of what was asked."""
        if self.kind == "limit_cap":
            call.cap = self.cap
        if self.kind == "misread" and self.edit:
            call.body = self.edit(call.body)
        call.ignore_filters = call.ignore_filters or self.kind == "ignore_filter"
        call.ignore_order = call.ignore_order or self.kind == "ignore_order"

    def pause(self) -> float:
        """Seconds to wait before answering."""
        standard = {"slow": 1.0, "hang": 3600.0}.get(self.kind, 0.0)
        return standard if self.seconds is None or self.kind == "late" else self.seconds

    def replacement(self, crm: Faulty) -> Answer:
        """The answer sent in the place of the CRM's own."""
        page = [("Content-Type", "text/html; charset=utf-8")]
        match self.kind:
            case "status":
                answer = crm.refuse(self.status, self.body or "invented by a fault")
                answer.status = self.status
                answer.body = self.body.encode() if self.body is not None else answer.body
                answer.set("Retry-After", self._retry_after(crm))
            case "login_page":
                answer = Answer(200, LOGIN_PAGE, page)
            case "html":
                answer = Answer(200, DOWN_PAGE, page)
            case "redirect":
                answer = Answer(302 if self.status == 500 else self.status, b"", [("Location", self.location)])
            case "reset" | "late":
                answer = Answer(cut="reset")
            case "refused_200":
                answer = crm.disguised_refusal()
            case "error_envelope":
                answer = crm.error_envelope()
            case _:
                answer = crm.misshapen(self.shape)
        return answer

    def _retry_after(self, crm: Faulty) -> str | None:
        wait = self.retry_after
        if isinstance(wait, str) and wait.startswith("+"):
            wait = crm.now() + timedelta(seconds=float(wait))
        if isinstance(wait, datetime):
            return format_datetime(wait, usegmt=True)
        return None if wait is None else str(wait)

    def change(self, crm: Faulty, answer: Answer) -> Answer:
        """The CRM's answer, spoiled."""
        match self.kind:
            case "truncated":
                answer.body = answer.body[: int(len(answer.body) * self.keep)]
            case "short_body":
                answer.cut = "short"
            case "empty_page":
                answer = crm.emptied(answer)
            case "repeat_page" | "cycle":
                answer = self._earlier(answer, 1 if self.kind == "repeat_page" else 2)
            case "gzip":
                answer.body = gzip.compress(answer.body)
                answer.set("Content-Encoding", "gzip")
            case "bom" | "rewrite":
                answer.body = self.edit(answer.body) if self.edit else b"\xef\xbb\xbf" + answer.body
            case "latin1":
                self._mislabel(answer)
            case "headers":
                for name, value in self.headers.items():
                    answer.set(name, value)
        return answer

    def _earlier(self, answer: Answer, length: int) -> Answer:
        """The first `length` answers it met, in turn, for ever."""
        if len(self.kept) < length:
            self.kept.append((answer.status, answer.body, list(answer.headers)))
            return answer
        answer.status, answer.body, headers = self.kept[(self.fired - 1) % length]
        answer.headers = list(headers)
        return answer

    def _mislabel(self, answer: Answer) -> None:
        media = (answer.header("Content-Type") or "application/json").split(";")[0]
        if self.lie == "header":
            answer.set("Content-Type", f"{media}; charset=iso-8859-1")
        else:
            answer.body = answer.body.decode().encode("latin-1", "replace")
            answer.set("Content-Type", f"{media}; charset=utf-8")


class Faults:
    """The faults of one CRM, in the order they were added."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, kind: str, **how: Any) -> Fault:
        """Switches a fault on and returns it; its `fired` tells how often it struck."""
        return self.append(Fault(kind, **how))

    def append(self, fault: Fault) -> Fault:
        """Switches on a fault made elsewhere."""
        self._faults.append(fault)
        return fault

    def between(self, call: Callable[[], Any], page: int = 2, path: str = "*", count: int | None = 1) -> Fault:
        """Calls `call` just before list page number `page` is answered (2: between the first page and the second)."""
        return self.add("hook", call=call, lists=True, path=path, nth=page, count=count)

    def remove(self, fault: Fault) -> None:
        """Switches one fault off."""
        self._faults = [other for other in self._faults if other is not fault]

    def clear(self) -> None:
        """Switches all faults off."""
        self._faults = []

    def striking(self, call: Call, is_list: bool) -> list[Fault]:
        """The faults that hit this request, in order."""
        return [fault for fault in list(self._faults) if fault.strikes(call, is_list)]

    def told(self) -> list[dict[str, Any]]:
        """Plain facts about each fault, for the control door."""
        return [
            {key: value for key, value in asdict(_plain(fault)).items() if key not in ("call", "edit", "kept")}
            for fault in self._faults
        ]

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    def __len__(self) -> int:
        return len(self._faults)


def _plain(fault: Fault) -> Fault:
    """A copy without the parts that cannot be copied or printed."""
    values = {name: getattr(fault, name) for name in fault.__dataclass_fields__}
    return Fault(**{**values, "call": None, "edit": None, "kept": []})

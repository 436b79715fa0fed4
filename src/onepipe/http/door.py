"""The one door to the network. Everything that is asked of a CRM, and everything that is sent to it, passes here."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec

from onepipe import __version__
from onepipe.errors import BadPayload, ConfigError, OnepipeError, RateLimited, Rejected, Stopped, Unavailable
from onepipe.http.answer import Answer
from onepipe.http.gate import Budget, Gate
from onepipe.http.paths import origin, target
from onepipe.http.quota import MAX_WAIT, Alone, Ledger, Pace, told
from onepipe.http.secrets import Redactor, basic
from onepipe.http.verdict import Verdict, judge, server_wait
from onepipe.http.wire import Lost, Timeouts, Wire
from onepipe.quotas import Quota

TRIES = 5
"""A read is tried so many times at most."""
FIRST_PAUSE = 0.5
"""Seconds before the second try; doubled for each further one, and shortened at random by up to a half."""
AGENT = f"onepipe/{__version__}"

_SECRET_HEADER = re.compile(r"auth|token|key|secret|session", re.I)
_body = msgspec.json.Encoder(decimal_format="number")


class Http:
    """Requests to one account of one CRM. For several threads; `query` goes with every request and is secret.

    `check` looks at every answer that counts as data and raises where it is an error all the same (Tactile's
    envelope). `secrets` are further values that no message may show. `ledger` says when requests may leave; without
    one the door keeps to `quota` by itself. `clock` is the time of day in epoch seconds, `tick` a clock that never
    jumps, `sleep` waits, and answers true where the run is to end; tests bring their own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        check: Callable[[Answer], object] | None = None,
        secrets: Iterable[str] = (),
        ends: str | None = None,
        gate: Gate | None = None,
        budget: Budget | None = None,
        quota: Sequence[Quota] = (),
        ledger: Ledger | None = None,
        max_wait: float = MAX_WAIT,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.origin = origin(base_url)
        self.gate = gate or Gate()
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.first_date: datetime | None = None
        self._query = dict(query or {})
        self._check, self._ends, self._budget = check, ends, budget
        self._timeouts = timeouts or Timeouts()
        self._clock, self._tick, self._sleep = clock, tick, sleep
        self._max_wait = max_wait
        self._pace = Pace(ledger or Alone(quota, tick), clock, sleep, max_wait)
        self._lock = threading.Lock()
        own = {"user-agent": AGENT, "accept-encoding": "gzip, deflate", "accept": "*/*"}
        own |= {name.lower(): value for name, value in (headers or {}).items()}
        if auth:
            own["authorization"] = f"Basic {basic(*auth)}"
        self._headers = [(b"host", self.origin.netloc.encode()), *_encoded(own)]
        self._redact = Redactor([*secrets, *(auth or ()), *self._query.values(), *_credentials(own)])
        self._reads = Wire(self.origin, self._timeouts, tick, keep_alive=True)
        self._writes = Wire(self.origin, self._timeouts, tick, keep_alive=False)

    def __repr__(self) -> str:
        return f"Http({self._redact.text(str(self.origin))})"

    def __enter__(self) -> "Http":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waited(self) -> float:
        """Seconds that requests waited for their turn, in all threads together."""
        return self._pace.waited

    def close(self) -> None:
        """Close the connections, and give back what the ledger granted and was not used."""
        self._pace.close()
        self._reads.close()
        self._writes.close()

    def get(
        self,
        path: str,
        /,
        *,
        gone: bool | Container[int] = False,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Read `path`, a path below base_url, and return the answer that is data.

        A query value of None is left out. `gone` marks the read of one record: 404 and 410, or the statuses given,
        raise Gone. Reads are repeated on lost connections, timeouts, cut bodies, 429 and 5xx, and are given up after
        five tries or 85 seconds in all; waiting that the CRM asks for comes on top, up to a minute.

        Raises AuthRefused, RateLimited, Unavailable, BadPayload, Gone, WriteRefused.
        """
        self.gate.admit("GET", path, retried=True)
        return self._read(self._asked("GET", path, query, headers, None, gone))

    def send(
        self,
        method: str,
        path: str,
        /,
        *,
        json: Any = None,
        content: bytes | str | None = None,
        gone: bool | Container[int] = False,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Answer:
        """Send a write once, never again by itself; refused by the gate unless writing is allowed.

        `json` is any plain value, Decimal included. Raises as `get` does, and Rejected where the CRM understood the
        request and says no. Of every error `unapplied` says whether the CRM certainly did nothing.
        """
        method = method.upper()
        try:
            self.gate.admit(method, path, retried=False)
            if json is not None:
                content = _body.encode(json)
                headers = {"content-type": "application/json", **(headers or {})}
            body = content.encode() if isinstance(content, str) else content
            asked = self._asked(method, path, query, headers, body, gone, True)
            left_at = self._leave()
        except OnepipeError as error:
            error.unapplied = True  # nothing has left
            raise
        result = self._try(asked, self._tick() + self._timeouts.whole)
        if isinstance(result, Answer):
            return result
        self._slow_down(result, left_at, FIRST_PAUSE)
        raise result.error

    def _read(self, asked: "_Asked") -> Answer:
        left, held = self._timeouts.whole, 0.0
        for number in count(1):
            left_at = self._leave()
            began = self._tick()
            result = self._try(asked, began + left)
            if isinstance(result, Answer):
                return result
            pause = FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
            left -= self._tick() - began + pause
            held += result.wait or 0.0
            last = number == TRIES or left <= 0
            waits = self._slow_down(result, left_at, pause)
            if result.wait is not None and (last or held > self._max_wait):
                raise self._pace.too_long(result.wait, result.error.message)
            if last or not result.again:
                raise result.error
            if not waits and self._sleep(pause):
                raise Stopped("The run was told to end while it waited to ask again. What was committed is safe")
        raise AssertionError

    def _slow_down(self, result: Verdict, left_at: float, pause: float) -> bool:
        """Let nothing leave where the CRM says so or says that we are too fast; whether that is so."""
        slower = isinstance(result.error, RateLimited)
        if not slower and result.wait is None:
            return False
        wait = self._pace.refused(left_at, max(result.wait or 0.0, pause), result.why, slower=slower)
        if isinstance(result.error, RateLimited):
            result.error.until = datetime.fromtimestamp(self._clock() + wait, UTC)
        return True

    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        headers: Mapping[str, str] | None,
        body: bytes | None,
        gone: bool | Container[int],
        writes: bool = False,
    ) -> "_Asked":
        sent = self._headers
        if headers or body is not None or method not in ("GET", "HEAD"):
            extra = {name.lower(): value for name, value in (headers or {}).items()}
            kept = [(name, value) for name, value in sent if name.decode() not in extra]
            sent = [*kept, *_encoded(extra), (b"content-length", str(len(body or b"")).encode())]
        statuses: Container[int] = (404, 410) if gone is True else gone or ()
        return _Asked(
            method, path, target(self.origin.prefix, path, {**query, **self._query}), sent, body, statuses, writes
        )

    def _leave(self) -> float:
        """Wait for our turn and count the request; return when it may leave, by the ledger's clock."""
        left_at = self._pace.turn()
        if self._budget:
            self._budget.take()
        with self._lock:
            self.requests += 1
        return left_at

    def _try(self, asked: "_Asked", until: float) -> Answer | Verdict:
        wire = self._writes if asked.writes else self._reads
        got = wire.send(asked.method, asked.line, asked.headers, asked.body, until)
        if isinstance(got, Lost):
            said = f"{asked} at {self.origin.netloc}: {got.reason}."
            error = BadPayload(said) if got.cut else Unavailable(said, sent=got.sent)
            error.unapplied = not got.sent
            return Verdict(self._clean(error), again=not got.final)
        content = self._redact.answer(got.content, thorough=got.status >= 300)
        answer = Answer(got.status, got.headers, content, asked.path, datetime.fromtimestamp(self._clock(), UTC))
        self._note(answer)
        verdict = judge(answer, str(asked), self._clock(), asked.gone, self._ends, writes=asked.writes)
        if verdict is None:
            self._look(answer)
            return answer
        self._clean(verdict.error)
        return verdict

    def _note(self, answer: Answer) -> None:
        with self._lock:
            self.statuses[answer.status] += 1
            if self.first_date is None:
                self.first_date = answer.date
        now = self._clock()
        self._pace.hear(told(answer, now))
        wait = server_wait(answer, now) if answer.status < 300 else None
        if wait:
            self._pace.refused(0.0, wait, "The CRM says that no request is left", slower=False)

    def _look(self, answer: Answer) -> None:
        try:
            if self._check:
                self._check(answer)
        except OnepipeError as error:
            self._clean(error)
            raise

    def _clean(self, error: OnepipeError) -> OnepipeError:
        """Take secrets out of an error before anybody sees it."""
        clean = self._redact.text
        error.message, error.hint = clean(error.message), clean(error.hint) if error.hint else error.hint
        if isinstance(error, Rejected):
            error.words = {clean(name): clean(said) for name, said in error.words.items()}
        error.args = (error.message,)
        return error


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request, ready to leave. Its text is all that messages may say of it: no query, no headers."""

    method: str
    path: str
    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
    gone: Container[int]
    writes: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    __repr__ = __str__


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    wrong = [name for name, value in headers.items() if not (value.isascii() and value.isprintable())]
    if wrong:
        raise ConfigError(f"The value for the header {wrong[0]} holds characters that no header can carry.")
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _credentials(headers: Mapping[str, str]) -> list[str]:
    """Return what is secret among the headers: the last word of `Bearer sk_1` and the like."""
    return [value.split()[-1] for name, value in headers.items() if value and _SECRET_HEADER.search(name)]

"""A simulated CRM without sockets: its users, its troubles, and a ledger of everything that happens to it.

The wire of onepipe's door ends in the CRM's own code; the requests are those of the real connector.
"""

import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from onepipe.http.answer import Headers
from onepipe.http.wire import Got, Lost
from onepipe.sandbox import Sandbox
from onepipe.sandbox.wire import Answer, Call
from tests.push.desk import OWN, Desk
from tests.push.machine.ledger import HABIT, LATE, OTHERS, OURS, Ledger, Sheet

DEALS = 3
TICK = timedelta(seconds=0.2)
FIELDS: dict[str, tuple[str, ...]] = {
    "administrate": ("name", "expected_close_date"),
    "tactile": ("name", "amount", "description", "expected_close_date"),
    "capsule": ("name", "amount", "description", "expected_close_date"),
    "onautomate": ("name", "amount", "lead_source"),
    "overplane": ("name", "amount", "expected_close_date"),
}


@dataclass
class Trouble:
    """What the CRM does with the next request that is a write, or a read. `kind` and `how` as faults have them."""

    on: str
    kind: str
    how: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For the ledger: the kind, or the status."""
        return str(self.how.get("status", self.kind))


class Remote(Desk):
    """One CRM, and a project that writes to it. `executed` are the bodies of all writes that took effect."""

    def __init__(self, folder: Path, crm: str, begins: datetime, **write: Any) -> None:
        sandbox = Sandbox(rows=0, crms=[crm], now=begins)
        super().__init__(folder, sandbox, (crm,), **write)
        self.now, self.name = begins, crm
        self.server: Any = sandbox[crm]
        self.server.options.apply({"rate_limit": None})
        self.troubles: list[Trouble] = []
        self.gaps: list[Callable[[], None]] = []
        self.executed: list[str] = []
        self.on_write_done: Callable[[], None] = lambda: None
        self.ledger = Ledger(self._sheet, lambda: self.now)
        self._count_what_is_done()
        with self.ledger.by(OTHERS):
            for _ in range(DEALS):
                self.deal(crm)

    def point(self, where: str) -> None:
        """A process may end here."""
        raise NotImplementedError

    def _sheet(self) -> Sheet:
        with self.server.lock:
            shown = {str(key): self.server.show(row) for key, row in self.server.rows.items()}
        names = {name: OWN[self.name][name] for name in FIELDS[self.name]}
        return {key: {name: form(name, row.get(own)) for name, own in names.items()} for key, row in shown.items()}

    def _count_what_is_done(self) -> None:
        """Keep the bodies of all writes that took effect, late ones too."""
        own = self.server._respond

        def respond(call: Call) -> Answer:
            answer: Answer = own(call)
            if is_write(call) and answer.status < 400:
                self.executed.append(call.body.decode() + call.query_string)
            return answer

        self.server._respond = respond

    def catch_up(self) -> None:
        """What the CRM has put off until now happens."""
        with self.ledger.by(LATE):
            self.server.catch_up()

    def remotely(self, key: str, hand: str = OTHERS, **fields: Any) -> None:
        """Another hand changes a deal; none where it is gone."""
        row_id = next((one for one in self.server.rows if str(one) == key), None)
        if row_id is not None:
            with self.ledger.by(hand):
                self.server.update(row_id, **self.own(self.name, **fields))

    def remotely_delete(self, key: str, hand: str = OTHERS) -> None:
        """Another hand removes a deal."""
        row_id = next((one for one in self.server.rows if str(one) == key), None)
        if row_id is not None:
            with self.ledger.by(hand):
                self.server.delete(row_id)

    # The wire

    def ask(self, method: str, target: str, headers: list[tuple[bytes, bytes]], content: bytes | None) -> Got | Lost:
        """One request, answered by the CRM with all its habits and troubles."""
        self.point("before a request")
        path, _, query = target.removeprefix(f"/{self.name}").partition("?")
        told = {name.decode().lower(): value.decode() for name, value in headers}
        call = Call(method, path, query, told, content or b"")
        self.now += TICK
        self.catch_up()
        if is_write(call) and self.gaps:
            self.gaps.pop(0)()
        answer = self._answer(call)
        if answer.status == 200 and not answer.cut and not is_write(call):
            self._note_read(call)
        self.point("after a request")
        if answer.cut:
            return Lost("the connection broke (invented)")
        return Got(answer.status, Headers((name.lower(), value) for name, value in answer.headers), answer.body)

    def _answer(self, call: Call) -> Answer:
        writes = is_write(call)
        trouble = next((one for one in self.troubles if one.on == ("write" if writes else "read")), None)
        ignores = False
        if trouble is not None:
            self.troubles.remove(trouble)
            self.ledger.strike(trouble.name)
            ignores = trouble.kind == "ignores"
            if not ignores:
                self.server.faults.add(trouble.kind, **trouble.how)
        with self.ledger.by(OURS):
            answer: Answer = at_once(self.sandbox._play(self.server, call))
        self.server.faults.clear()
        if writes:
            changed = list(self.ledger.changed)
            self.on_write_done()
            if ignores and changed:
                self._undo(changed[0].key, changed[0].field, changed[0].before)
        return answer

    def _undo(self, key: str, name: str, value: str | None) -> None:
        """The CRM said yes, and keeps what it had."""
        if value is not None and key in self.ledger.rows:
            row_id = next(one for one in self.server.rows if str(one) == key)
            with self.ledger.by(HABIT):
                self.server.update(row_id, silently=True, **self.own(self.name, **{name: value}))

    def _note_read(self, call: Call) -> None:
        words = set(call.path.split("/"))
        for key in self.ledger.rows.keys() & words:
            self.ledger.read(key)


class Line:
    """A connection that ends in the CRM's own code."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def send(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], content: bytes | None, _: float
    ) -> Got | Lost:
        """One try."""
        return self._remote.ask(method, target.decode(), headers, content)

    def close(self) -> None:
        """There is nothing to close."""


def is_write(call: Call) -> bool:
    """Whether a request may change something."""
    return call.method != "GET" or "add_tag" in call.path


def form(name: str, value: Any) -> str | None:
    """A value as people write it; an empty one is none."""
    if value is None or value == "":
        return None
    if name == "expected_close_date":
        return str(value)[:10]
    return f"{Decimal(str(value)):.2f}" if name == "amount" else str(value)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine comes to that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the CRM wanted to wait")


def rounded(body: bytes) -> bytes:
    """A CRM that keeps one digit of cents, and trims the mark at the end of names."""
    return re.sub(rb"(ours [0-9]+)~", rb"\1", body.replace(b".25", b".3"))

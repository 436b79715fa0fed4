"""One push under way: what its outbox row, its item in the report and its journal line say at each step."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from onepipe.connector import Answer, Request
from onepipe.control import Push
from onepipe.control.stored import instant_text
from onepipe.edit import Asked
from onepipe.errors import OnepipeError
from onepipe.merge import states, value, value_of
from onepipe.merge.units import rests_on
from onepipe.merge.words import MISSING
from onepipe.pull import unforeseen
from onepipe.push.items import begun, clashes, who, why
from onepipe.push.merging import Weighed
from onepipe.push.site import Site
from onepipe.push.theirs import Theirs, landed, stored_document
from onepipe.push.words import Done, DoneField, plain

UNFINISHED = "a part of it was not sent yet; `onepipe push apply` goes on with it"


class Withdrawn(Exception):
    """An edit of the push was dropped or replaced in the moment before its request."""


@dataclass(slots=True)
class Sent:
    """What came of one request: an answer, or an error."""

    request: Request
    answer: Answer | None = None
    error: OnepipeError | None = None

    @property
    def lost(self) -> bool:
        """Whether it may have been carried out although no answer says so."""
        return self.error is not None and not self.error.unapplied


@dataclass(slots=True, kw_only=True)
class Work:
    """One push. `done` is its item in the report.

    `before` is the record as read before the first request, where that was in an earlier run.
    """

    site: Site
    weighed: Weighed
    push_id: int
    done: Done
    created_at: str
    sent: list[Sent] = field(default_factory=list)
    before: dict[str, Any] | None = None

    @property
    def asked(self) -> Asked:
        """What is wanted."""
        return self.weighed.asked

    @property
    def record(self) -> str:
        """The record's id, or what stands in for it."""
        return self.asked.source_id or self.asked.draft or ""

    def put(self, names: Iterable[str], state: str, message: str = "") -> None:
        """Say what became of fields."""
        for name in names:
            self.done.fields[name].state = state
            self.done.fields[name].message = message

    def saw(self, now: Theirs | None) -> None:
        """Say what the CRM holds now."""
        for name, one in self.done.fields.items():
            one.now = value.shown(name, value_of(now.record, name)) if now else None

    def send(self, request: Request) -> Sent:
        """Write a request down, send it once, and keep what came back. Raises Withdrawn, LeaseHeld."""
        site = self.site
        before = stored_document(self.weighed.theirs.stored) if self.weighed.theirs else None
        n = site.outbox.attempt(self.push_id, site.number, request.stored().decode(), before)
        if n is None:
            raise Withdrawn
        sent = Sent(request)
        try:
            sent.answer = site.connector.send(request)
        except OnepipeError as error:
            sent.error = error
        except Exception as error:
            sent.error = unforeseen(error)
        site.outbox.answered(self.push_id, n, site.number, *_outcome(site, sent))
        self.sent.append(sent)
        return sent

    def settle(
        self,
        state: str | None = None,
        message: str = "",
        *,
        read: Theirs | None = None,
        source_id: str | None = None,
        next_at: datetime | None = None,
        gone_at: datetime | None = None,
        wait_for: Sequence[str] = (),
    ) -> Done:
        """End this run's part of the push, durably: its state, its edits, its journal line, its conflicts.

        `wait_for` are fields whose edits go on in another push. Where no state is given it is the fields' worst.
        """
        done, site = self.done, self.site
        done.state = state or states.worst(one.state for name, one in done.fields.items() if name not in wait_for)
        done.message = message or _messages(done.fields) or (UNFINISHED if done.state == "ready" else "")
        done.source_id = source_id or done.source_id
        done.next_at = instant_text(next_at) if next_at else None
        each = {edit.edit_id: self._of(edit.field, wait_for) for edit in self.asked.edits}
        before = self.before or self._read_before()
        told = {"push": self._told(), "before": before, "gone_at": instant_text(gone_at) if gone_at else None}
        site.outbox.settle(
            self.push_id,
            site.number,
            done.state,
            told,
            message=done.message,
            source_id=source_id,
            read=read.stored if read else None,
            next_at=next_at,
            each=each,
        )
        self._remember(read, source_id)
        site.conflicts.meet(site.name, self.record, clashes(site, self.weighed, done, self.push_id))
        return done

    def _read_before(self) -> dict[str, Any] | None:
        return stored_document(landed(self.weighed.theirs.stored)) if self.weighed.theirs else None

    def _of(self, name: str, wait_for: Sequence[str]) -> str:
        """The state of one edit."""
        if name in wait_for:
            return "waiting"
        return self.done.fields[name].state if name in self.done.fields else self.done.state

    def _told(self) -> dict[str, Any]:
        """The row of the table pushes."""
        done, asked = self.done, self.asked
        sent = [plain(one.request.document()) for one in self.sent]
        document = done.document()
        return {
            "push_id": str(self.push_id),
            "run_id": self.site.run_id,
            "connection": done.connection,
            "source_id": done.source_id,
            "op": done.op,
            "state": done.state,
            "fields": document["fields"],
            "request": sent[0] if len(sent) == 1 else sent or None,
            "reason": why(asked),
            "requested_by": who(asked),
            "created_at": self.created_at,
            "finished_at": instant_text(self.site.now()) if states.STATES[done.state].final else None,
            "message": done.message,
        }

    def _remember(self, read: Theirs | None, source_id: str | None) -> None:
        """What we wrote ourselves, and what the CRM moved with it, is no foreign change to the edits that wait."""
        if read is None:
            return
        before = self.weighed.record
        for edit in self.asked.edits:
            name = edit.field
            final = states.STATES[self._of(name, ())].final
            if source_id is not None or (not final and _ours_moved(before, read.record, self.done.fields, name)):
                self.site.edits.saw(edit.edit_id, read.stored)


def begin(site: Site, weighed: Weighed) -> Work | None:
    """Write down what this run is about to do; None where an older push may have been carried out."""
    asked, done = weighed.asked, begun(site, weighed)
    wishes = {
        "op": asked.op,
        "fields": done.document()["fields"],
        "writes": {name: value.as_text(one) for name, one in weighed.merged.writes.items()},
    }
    push_id = site.outbox.add(
        site.run_id,
        site.name,
        asked.op,
        wishes,
        source_id=asked.source_id,
        draft=asked.draft,
        edits=[edit.edit_id for edit in asked.edits],
        reason=why(asked),
        actor=who(asked),
    )
    push = site.outbox.claim(push_id, site.number) if push_id is not None else None
    return taken(site, weighed, push) if push else None


def taken(site: Site, weighed: Weighed, push: Push) -> Work:
    """A push that is in the outbox, to be worked on."""
    done = begun(site, weighed)
    done.push_id = push.push_id
    return Work(site=site, weighed=weighed, push_id=push.push_id, done=done, created_at=push.created_at)


def _outcome(site: Site, sent: Sent) -> tuple[Any, str]:
    """What the outbox keeps of an answer: of a create also the id it tells."""
    if sent.answer is None:
        told = sent.error.message if sent.error else ""
        return ("lost" if sent.lost else "unapplied"), told
    try:
        made = site.connector.made(sent.answer) if sent.request.method == "POST" else None
    except OnepipeError:
        made = None
    return "answered", json.dumps({"status": sent.answer.status, "made": made})


def _ours_moved(before: Mapping[str, Any], now: Mapping[str, Any], fields: Mapping[str, DoneField], name: str) -> bool:
    """Whether what a waiting edit rests on was moved by this very push: one of its unit was written."""
    near = rests_on([name])
    wrote = any(other in near and one.state in ("done", "done_normalised") for other, one in fields.items())
    return wrote and value_of(now, name) is not MISSING and bool(before)


def _messages(fields: Mapping[str, DoneField]) -> str:
    told: dict[str, list[str]] = {}
    for name, one in fields.items():
        if one.message:
            told.setdefault(one.message, []).append(name)
    return "; ".join(f"{', '.join(names)}: {message}" for message, names in told.items())

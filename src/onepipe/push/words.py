"""The words of pushing: what a plan holds, and what became of each record in a run."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from onepipe.connector import Request
from onepipe.control.stored import instant_text
from onepipe.merge import states


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedField:
    """What is to be done with one field. Values as people write them; None is NULL, or was never read."""

    base: str | None
    ours: str | None
    theirs: str | None
    policy: str
    decision: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What is to be done with one record. `draft` stands in for the id of one to be created.

    `requests` are what would be sent, in order; `seen` is what the decision rests on of the CRM's side; `notes` are
    what the CRM will do beside it. `edits` are the ids of the edits it carries out, `who` made them.
    """

    connection: str
    source_id: str | None
    draft: str | None
    op: str
    decision: str
    fields: Mapping[str, PlannedField] = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    reason: str = ""
    why: str = ""
    notes: tuple[str, ...] = ()
    name: str | None = None
    owner: str | None = None
    url: str | None = None
    who: str = ""
    edits: tuple[str, ...] = ()
    seen: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def record(self) -> str:
        """The record's id, or what stands in for it."""
        return self.source_id or self.draft or ""

    def document(self) -> dict[str, Any]:
        """For `--json` and for a plan's file. `reason` is why it is decided so, `why` why people want it."""
        sent = [plain(one.document()) for one in self.requests]
        told = {name: getattr(self, name) for name in ("connection", "source_id", "op", "decision")}
        fields = {
            name: {key: getattr(one, key) for key in ("base", "ours", "theirs", "policy", "decision", "reason")}
            for name, one in self.fields.items()
        }
        more = {name: getattr(self, name) for name in ("reason", "why", "name", "owner", "url", "who", "draft")}
        return {
            **told,
            "fields": fields,
            "request": sent[0] if sent else None,
            **more,
            "requests": sent,
            "notes": list(self.notes),
            "edits": list(self.edits),
            "seen": dict(self.seen),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a push would do, record by record. `errors` are connections that could not be read, and why.

    `chosen` are the connections it was made for. `plan_id` is a digest of what it holds.
    """

    made_at: datetime
    items: tuple[Item, ...]
    errors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def plan_id(self) -> str:
        """The same for plans that say the same."""
        told = json.dumps([one.document() for one in self.items], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def document(self) -> dict[str, Any]:
        """For `--json` and for a plan's file."""
        return {
            "plan_id": self.plan_id,
            "made_at": instant_text(self.made_at),
            "items": [one.document() for one in self.items],
            "errors": dict(self.errors),
        }


@dataclass(slots=True, kw_only=True)
class DoneField:
    """What became of one field. `now` is what the CRM holds after it, where that was read."""

    state: str
    base: str | None = None
    ours: str | None = None
    theirs: str | None = None
    now: str | None = None
    message: str = ""


@dataclass(slots=True, kw_only=True)
class Done:
    """What became of one record in a run. `draft` stands in for the id of one that was not made."""

    connection: str
    source_id: str | None
    op: str
    state: str
    fields: dict[str, DoneField] = field(default_factory=dict)
    message: str = ""
    draft: str | None = None
    push_id: int | None = None
    name: str | None = None
    next_at: str | None = None

    @property
    def group(self) -> str:
        """done, waiting, needs you, or failed."""
        return states.STATES[self.state].group

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        fields = {
            name: {key: getattr(one, key) for key in ("state", "base", "ours", "theirs", "now", "message")}
            for name, one in self.fields.items()
        }
        told = {key: getattr(self, key) for key in ("connection", "source_id", "op", "state")}
        more = {key: getattr(self, key) for key in ("message", "name", "draft", "push_id", "next_at")}
        return {**told, "fields": fields, **more}


@dataclass(slots=True, kw_only=True)
class PushReport:
    """What a run of pushes did: one item per record. `errors` are connections that stopped, and why."""

    run_id: str
    items: list[Done] = field(default_factory=list)
    errors: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """complete where every item is done or waiting for a retry, failed where nothing of any is, else partial."""
        if not self.errors and all(states.STATES[one.state].sound for one in self.items):
            return "complete"
        told = [state for one in self.items for state in (one.state, *(it.state for it in one.fields.values()))]
        return "partial" if any(states.STATES[state].sound for state in told) else "failed"

    @property
    def exit_code(self) -> int:
        """0 or 1; 75 where nothing but another process's hold stood against it."""
        kinds = {error["kind"] for error in self.errors.values()}
        held = kinds == {"lease"} and all(one.state == "ready" for one in self.items)
        return 75 if held else 1 if self.errors else states.exit_code(one.state for one in self.items)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run_id": self.run_id,
            "status": self.status,
            "items": [one.document() for one in self.items],
            "errors": dict(self.errors),
        }

    def grouped(self) -> Iterator[tuple[str, Sequence[Done]]]:
        """The items as done, waiting, needs you, failed; groups without any are left out."""
        for group in states.GROUPS:
            found = [one for one in self.items if one.group == group]
            if found:
                yield group, found


def plain(value: Any) -> Any:
    """What JSON can hold: numbers that only a decimal can carry become numbers as they are written."""
    return json.loads(Request("", "", value).stored())["body"]

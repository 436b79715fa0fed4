"""Making a plan: every waiting edit decided on what the CRMs hold now. Reads only."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from onepipe.account import utc_now
from onepipe.config import Connection
from onepipe.connector import Request
from onepipe.control.stored import instant
from onepipe.edit import Asked
from onepipe.errors import Gone, OnepipeError, UsageError
from onepipe.merge import value, value_of
from onepipe.project import Project
from onepipe.pull import unforeseen
from onepipe.push.items import begun, clashes, who, why
from onepipe.push.limits import refuse_modes
from onepipe.push.merging import Weighed
from onepipe.push.sending import apart, change_of, decided, requests
from onepipe.push.site import Site, open_site, reading
from onepipe.push.theirs import Reader
from onepipe.push.watch import Watch
from onepipe.push.words import Item, Plan, PlannedField
from onepipe.report import described

SIDE_BY_SIDE = 8
OFF = "the write mode of this connection is off in config.yaml; its edits wait"
AT_ONCE = 20  # records read before they are decided on: understanding one costs 60 ms, and twenty of them 70 ms
OPEN = "an earlier push of it may have been carried out; `onepipe push apply` looks first"


def plan(project: Project, words: Sequence[str] = (), watch: Watch | None = None) -> Plan:
    """What a push of all waiting edits would do. Raises UsageError where the write mode allows none of it.

    A connection that cannot be read is named in `errors`; the others are planned.
    """
    watch = watch or Watch()
    chosen = waiting_for(project, words)
    refuse_modes(chosen, "plan")
    if not chosen:
        return Plan(made_at=datetime.now(UTC), items=())
    items, errors = list[Item](), dict[str, dict[str, Any]]()
    with reading(project) as reader, ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="plan") as pool:
        run = [pool.submit(_planned, project, one, reader, watch) for one in chosen.values()]
        for name, future in zip(chosen, run, strict=True):
            found, error = future.result()
            items += found
            errors |= {name: described(error) or {}} if error else {}
    return Plan(made_at=datetime.now(UTC), items=tuple(items), errors=errors)


def waiting_for(project: Project, words: Sequence[str] = ()) -> dict[str, Connection]:
    """The chosen connections that edits or open pushes wait for, by name; one that is disabled is left alone.

    Raises ConfigError for unknown names.
    """
    control = project.control
    names = {edit.connection for edit in control.edits.open()} | {one.connection for one in control.outbox.waiting()}
    return {one.name: one for one in project.choose(words) if one.name in names and one.enabled}


def read_plan(path: Path) -> Plan:
    """A plan that `push plan -o` wrote as JSON. Raises UsageError for what is none."""
    if path.suffix.lower() in (".csv", ".html"):
        hint = "`onepipe push plan -o plan.json` makes one"
        raise UsageError(f"{path} is for reading; a plan that can be applied is a .json", hint)
    try:
        told = json.loads(path.read_bytes())
        made = Plan(
            made_at=instant(told["made_at"]),
            items=tuple(_item(one) for one in told["items"]),
            errors=told.get("errors") or {},
        )
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no file {path}; nothing was sent", "`onepipe push plan -o plan.json` makes one"
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; nothing was sent") from error
    except (ValueError, KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
        message = f"{path} is no plan of `onepipe push plan`: {type(error).__name__} {error}; nothing was sent"
        raise UsageError(message) from error
    return made


def planned(site: Site, asked: Sequence[Asked], watch: Watch) -> Iterator[Item]:
    """The items of some records: read, decided, described; conflicts met are written down. Raises SourceError."""
    found = [None if one.op == "create" else site.ask(one.source_id or "", one.ours) for one in asked]
    for one, theirs in zip(asked, site.understood(found), strict=True):
        weighed = decided(site, one, theirs)
        meet(site, weighed)
        item = _described(site, weighed)
        watch.planned(item)
        yield item


def meet(site: Site, weighed: Weighed) -> None:
    """Write down the conflicts of a record as they are now."""
    asked, done = weighed.asked, begun(site, weighed)
    site.conflicts.meet(site.name, asked.source_id or asked.draft or "", clashes(site, weighed, done, None))


def _planned(
    project: Project, connection: Connection, reader: Reader, watch: Watch
) -> tuple[list[Item], OnepipeError | None]:
    items = list[Item]()
    try:
        with open_site(project, connection, reader, now=utc_now) as site:
            if connection.write.mode == "off":
                return [_bare(site, one, "refused", OFF) for one in site.asked], None
            open_ = {one.source_id or one.draft for one in site.outbox.waiting({site.name}) if one.state in OPEN_STATES}
            items += [_bare(site, one, "nothing", OPEN) for one in site.asked if (one.source_id or one.draft) in open_]
            clear = [one for one in site.asked if (one.source_id or one.draft) not in open_]
            for first in range(0, len(clear), AT_ONCE):
                items += planned(site, clear[first : first + AT_ONCE], watch)
    except OnepipeError as error:
        return items, error
    except Exception as error:
        return items, unforeseen(error)
    return items, None


OPEN_STATES = ("sending", "unknown", "ambiguous")


def _described(site: Site, weighed: Weighed) -> Item:
    """The item of a decided record, with what would be sent."""
    asked, merged = weighed.asked, weighed.merged
    writing = list(merged.writes) if asked.op != "delete" else []
    reason, decision = merged.reason, merged.decision
    notes, sent, against = list[str](), tuple[Request, ...](), dict[str, str]()
    if writing or (asked.op == "delete" and decision == "write"):
        try:
            sent, notes, against = _foreseen(site, weighed, writing)
        except (UsageError, Gone) as error:
            decision, reason, against = "refused", error.message, dict.fromkeys(writing, error.message)
    notes += [f"{edit.field}: {edit.note}" for edit in asked.edits if edit.note]
    fields = {
        name: PlannedField(
            base=value.shown(name, one.base),
            ours=value.shown(name, one.ours),
            theirs=value.shown(name, one.theirs),
            policy=one.policy,
            decision="refused" if name in against else one.decision,
            reason=against.get(name, one.reason),
        )
        for name, one in merged.fields.items()
    }
    return _bare(site, asked, decision, reason, weighed=weighed, fields=fields, requests=sent, notes=tuple(notes))


def _foreseen(
    site: Site, weighed: Weighed, names: Sequence[str]
) -> tuple[tuple[Request, ...], list[str], dict[str, str]]:
    """What would be sent, what the CRM will do beside it, and those of these fields that cannot be sent, and why.

    Raises UsageError where nothing of it can be sent.
    """
    against = dict[str, str]()
    try:
        change = change_of(site, weighed, names)
        sent = tuple(requests(site, weighed, change))
    except UsageError as error:
        against = apart(site, weighed, names, error.message)
        left = [name for name in names if name not in against]
        if not left:
            raise
        change = change_of(site, weighed, left)
        sent = tuple(requests(site, weighed, change))
    notes = site.connector.foresees(weighed.theirs.stored.payload.encode(), change) if weighed.theirs else []
    return sent, notes, against


def _bare(
    site: Site, asked: Asked, decision: str, reason: str = "", *, weighed: Weighed | None = None, **more: Any
) -> Item:
    record = (weighed.record if weighed else {}) or next((base for base in asked.bases.values() if base), {})
    told = {name: value.shown(name, value_of(record, name)) for name in ("name", "owner", "url")}
    ours = {name: one for name in told if isinstance(one := asked.ours.get(name), str)}
    named: dict[str, Any] = told if asked.op != "create" else {**told, **ours}
    return Item(
        connection=site.name,
        source_id=asked.source_id,
        draft=asked.draft,
        op=asked.op,
        decision=decision,
        reason=reason or "; ".join(_reasons(more.get("fields", {}))),
        why=why(asked),
        who=who(asked),
        edits=tuple(edit.edit_id for edit in asked.edits),
        seen=weighed.seen if weighed else {},
        **named,
        **more,
    )


def _reasons(fields: dict[str, PlannedField]) -> list[str]:
    return [f"{name}: {one.reason}" for name, one in fields.items() if one.reason]


def _item(told: dict[str, Any]) -> Item:
    """An item as it was written."""
    plain = ("connection", "source_id", "draft", "op", "decision", "reason", "why", "name", "owner", "url", "who")
    return Item(
        **{name: told[name] for name in plain},
        fields={name: PlannedField(**one) for name, one in told["fields"].items()},
        requests=(),
        notes=tuple(told["notes"]),
        edits=tuple(told["edits"]),
        seen=dict(told["seen"]),
    )

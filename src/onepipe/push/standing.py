"""How things stand with what goes back to the CRMs: what waits, what is to be decided, and the life of one push."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from onepipe.connector import Request
from onepipe.control import Attempt, Conflict, Edit, Entry, Push
from onepipe.control.stored import instant_text
from onepipe.edit.target import mode_of
from onepipe.errors import UsageError
from onepipe.merge import states
from onepipe.project import Project
from onepipe.push.words import plain
from onepipe.warehouse import pushed
from onepipe.warehouse.work import published

_ON_ITS_WAY = ("sending", "unknown", "ambiguous")
_OUTCOMES = {"answered": "answered", "unapplied": "not done", "lost": "answer lost", None: "no answer yet"}
_SHOWN = ("push_id", "run_id", "connection", "source_id", "draft", "op", "state", "message", "tries", "next_at")


DISABLED = "the connection is disabled; `enabled: true` in config.yaml lets them be planned and sent"
RETIRED = "the connection is not in config.yaml any more; name it there again, or give them up with `onepipe edit drop`"


def conflicts(project: Project, words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What is to be decided, oldest first. Raises ConfigError for unknown connections."""
    found = project.control.conflicts.open(_chosen(project, words))
    edits = project.control.edits.open({one.connection for one in found})
    names = _names(project, found, edits)
    return [_conflict(one, edits) | {"name": names.get(_key(one))} for one in found]


def status(project: Project, words: Sequence[str] = ()) -> dict[str, Any]:
    """What waits by connection, pushes that are not over, open conflicts, and what the last run came to.

    Raises ConfigError for unknown connections.
    """
    control, chosen = project.control, _chosen(project, words)
    edits = control.edits.open(chosen)
    wanted = {edit.edit_id for edit in edits}
    pushes = [one for one in control.outbox.waiting(chosen) if one.state in _ON_ITS_WAY or wanted & set(one.edits)]
    names = _names(project, pushes, edits)
    undecided = conflicts(project, words)
    return {
        "connections": _by_connection(project, edits, pushes, undecided),
        "pushes": [_push(one) | {"name": names.get(_key(one))} for one in pushes],
        "conflicts": undecided,
        "last_run": _last_run(project, chosen),
    }


def left_alone(project: Project, words: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The edits that no plan and no run looks at, by connection, and why: it is disabled, or not in config.yaml."""
    known = project.config.connections
    counts = Counter(edit.connection for edit in project.control.edits.open(_chosen(project, words)))
    return [
        {"connection": name, "edits": count, "reason": DISABLED if name in known else RETIRED}
        for name, count in sorted(counts.items())
        if name not in known or not known[name].enabled
    ]


def show(project: Project, push_id: str | int) -> dict[str, Any]:
    """The life of one push, line by line. Raises UsageError for an unknown one."""
    text = str(push_id)
    push = project.control.outbox.get(int(text)) if text.isascii() and text.isdigit() and len(text) < 18 else None
    if push is None:
        hint = "`onepipe push status` names those that are not over, and the table pushes all of them"
        raise UsageError(f"there is no push {text!r}", hint)
    lines = project.control.outbox.lines(push.push_id)
    life = [*_asked(project, push), *_requests(project, push), *_looks(project, push), *_ends(push, lines)]
    landed = _landed(project, lines)
    told = lines[-1].told.get("push", {}) if lines else {}
    return {**_push(push), "fields": told.get("fields") or {}, "landed": landed,
            "lines": [*sorted(life, key=lambda line: line["at"]), *_last(lines, landed)]}  # fmt: skip


def _chosen(project: Project, words: Sequence[str]) -> set[str] | None:
    """The names of the connections that words choose; None for all, retired ones too."""
    return {one.name for one in project.choose(words)} if words else None


def _key(one: Conflict | Push | Edit) -> tuple[str, str]:
    return one.connection, one.source_id or one.draft or ""


def _names(
    project: Project, wanted: Iterable[Conflict | Push], edits: Iterable[Edit]
) -> dict[tuple[str, str], str | None]:
    """The names of deals as they are published; of one to be created the name it is to have."""
    drafts: dict[tuple[str, str], str | None] = {
        (one.connection, one.draft): one.value for one in edits if one.draft and one.field == "name"
    }
    ids = [(one.connection, one.source_id) for one in wanted if one.source_id]
    if not ids or not project.config.warehouse.is_file():
        return drafts
    with published(project.config.snapshot) as db:
        rows = db.run(
            "SELECT connection, source_id, name FROM opportunities "
            "WHERE source_id IN (SELECT unnest($ids::VARCHAR[])) AND connection IN (SELECT unnest($names::VARCHAR[]))",
            {"ids": [one for _, one in ids], "names": [one for one, _ in ids]},
        )
    return drafts | {(connection, source_id): name for connection, source_id, name in rows}


def _conflict(one: Conflict, edits: Iterable[Edit]) -> dict[str, Any]:
    slot = None if one.kind == "lost" else one.slot if one.kind == "field" else ""
    edit = next((edit for edit in edits if _key(edit) == _key(one) and edit.slot == slot), None)
    keys = ("conflict_id", "connection", "source_id", "field", "base", "ours", "theirs", "opened_at", "reason")
    more = ("draft", "kind", "state", "push_id")
    told = {key: getattr(one, key) for key in (*keys, *more)}
    return told | {"field": one.field or None, "edit_id": edit.edit_id if edit else None}


def _push(push: Push) -> dict[str, Any]:
    told = {key: getattr(push, key) for key in (*_SHOWN, "reason", "created_at", "finished_at")}
    return told | {"group": states.STATES[push.state].group, "requested_by": push.actor}


def _by_connection(
    project: Project, edits: Sequence[Edit], pushes: Sequence[Push], undecided: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    known = project.config.connections
    counts: dict[str, dict[str, int]] = {}
    found = {"edits": [one.connection for one in edits], "pushes": [one.connection for one in pushes]}
    for what, names in (found | {"conflicts": [one["connection"] for one in undecided]}).items():
        for name in names:
            of = counts.setdefault(name, {"edits": 0, "pushes": 0, "conflicts": 0})
            of[what] += 1
    return [
        {"connection": name, "mode": mode_of(known[name]) if name in known else None, **of}
        for name, of in sorted(counts.items())
    ]


def _last_run(project: Project, chosen: Collection[str] | None) -> dict[str, Any] | None:
    """What the newest run came to, as it stands by now."""
    outbox = project.control.outbox
    run_id = outbox.last_run(chosen)
    if run_id is None:
        return None
    pushes = [one for one in outbox.of_run(run_id) if chosen is None or one.connection in chosen]
    groups, found = dict.fromkeys(states.GROUPS, 0), dict[str, int]()
    for one in pushes:
        groups[states.STATES[one.state].group] += 1
        found[one.state] = found.get(one.state, 0) + 1
    return {"run_id": run_id, "groups": groups, "states": found}


def _asked(project: Project, push: Push) -> Iterator[dict[str, Any]]:
    """Who wanted it, and why."""
    edits = [edit for one in push.edits if (edit := project.control.edits.get(one)) is not None]
    for edit in edits:
        what = "deleted" if edit.op == "delete" else f"{edit.field} " + ("empty" if edit.value is None else edit.value)
        why = f": {edit.reason}" if edit.reason else ""
        yield _line(edit.created_at, "asked", f"{edit.actor} wants it {what} (edit {edit.edit_id}){why}")
    why = f": {push.reason}" if push.reason and not edits else ""
    yield _line(push.created_at, "written down", f"{push.op} by {push.actor or 'nobody'}{why}")


def _requests(project: Project, push: Push) -> Iterator[dict[str, Any]]:
    """Each request, the read before it, and what came back; a late answer is evidence only."""
    known: set[str] = set()
    for one in project.control.outbox.attempts(push.push_id):
        request = plain(Request.restored(one.request).document())
        read_at = (one.before or {}).get("read_at")
        if read_at and read_at not in known:  # several requests may rest on one read
            known.add(read_at)
            yield _line(read_at, "read", "the deal, just before")
        yield _line(one.sent_at, "sent", f"{request['method']} {request['path']}", request=request)
        yield _line(one.answered_at or one.sent_at, _OUTCOMES[one.outcome], _answer(one))


def _answer(one: Attempt) -> str:
    late = "told by a process that had lost its lease, so it moved nothing" if one.late else ""
    return "; ".join(filter(None, (one.answer, late)))


def _looks(project: Project, push: Push) -> Iterator[dict[str, Any]]:
    for at, found in project.control.outbox.looks(push.push_id):
        yield _line(at, "looked", "", found=found)


def _ends(push: Push, lines: Sequence[Entry]) -> Iterator[dict[str, Any]]:
    """What each run made of it, and what was read back."""
    for line in lines:
        told = line.told.get("push", {})
        if line.read is not None:
            yield _line(instant_text(line.read.read_at), "read back", _changes(told.get("fields") or {}))
        state = str(told.get("state") or push.state)
        yield _line(line.at, state.replace("_", " "), told.get("message") or states.STATES[state].meaning)


def _changes(fields: Mapping[str, Mapping[str, Any]]) -> str:
    """What the CRM showed after it, field by field."""
    return ", ".join(f"{name} {_shown(one['theirs'])} -> {_shown(one['now'])}" for name, one in fields.items())


def _shown(text: str | None) -> str:
    return "nothing" if text is None else text


def _landed(project: Project, lines: Sequence[Entry]) -> bool:
    """Whether the work warehouse holds all that is known of it."""
    if not lines or not project.warehouse.path.is_file():
        return False
    with project.warehouse.look() as db:
        return lines[-1].journal_id <= pushed.landed(db, project.control.identity).journal_id


def _last(lines: Sequence[Entry], landed: bool) -> list[dict[str, Any]]:
    if not lines:
        return []
    told = "in the warehouse" if landed else "not in the warehouse yet; the next commit, as of a sync, lands it"
    return [_line(lines[-1].at, "landed" if landed else "not landed", told)]


def _line(at: str, what: str, detail: str, **more: Any) -> dict[str, Any]:
    return {"at": at, "what": what, "detail": detail, **more}

"""What people see of pushes: what became of them in a run, how they stand, and the life of one."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen

if TYPE_CHECKING:
    from onepipe.push.words import Done, PushReport

GROUPS = {"done": "Done", "waiting": "Waiting", "needs you": "Needs you", "failed": "Failed"}
TINTS = {"done": screen.GREEN, "waiting": screen.CYAN, "needs you": screen.YELLOW, "failed": screen.RED}
DONE_HEADINGS = ("connection", "id", "deal", "field", "result", "yours", "the CRM had", "the CRM has")
STATUS_HEADINGS = ("connection", "mode", "edits", "not settled", "to decide")
PUSH_HEADINGS = ("push", "connection", "id", "deal", "op", "state", "since (UTC)", "again (UTC)")


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    """A titled table; columns that hold nothing are left out."""
    kept = list(rows)
    full = [n for n in range(len(headings)) if any(row[n] for row in kept)]
    screen.say(screen.strong(title))
    cells = ([row[n] for n in full] for row in kept)
    for line in screen.table([headings[n] for n in full], cells, margin="  "):
        screen.say(line)


def errors(found: Mapping[str, Mapping[str, Any]]) -> None:
    """The connections that stopped, and why, on stderr."""
    for name, error in found.items():
        told = exits.sentences(str(error.get("message")), error.get("hint"))
        screen.note(f"The warehouse was not published. {told}" if name == "publish" else f"{name}: {told}")


def left_alone(found: Iterable[Mapping[str, Any]]) -> None:
    """The edits of connections that no push looks at, and why."""
    for one in found:
        many = one["edits"] > 1
        edits = f"{screen.counted(one['edits'], 'edit')} of {one['connection']} {'wait' if many else 'waits'}"
        screen.say(f"{edits}: {exits.stopped(one['reason'])}")


def report(found: "PushReport", left: Sequence[Mapping[str, Any]] = ()) -> None:
    """What became of every record, the most pressing group last, and what to do about it; `left` was not tried."""
    from onepipe.merge.states import STATES

    for group, items in found.grouped():
        title = screen.tinted(GROUPS[group], TINTS[group])
        table(f"{title}: {screen.counted(len(items), 'deal')}", DONE_HEADINGS, _done(items))
        for item in items:
            for text in dict.fromkeys(_messages(item)):
                screen.say(screen.plain(f"  {item.connection} {item.source_id or '(new)'}: {text}"))
        screen.say()
    errors(found.errors)
    for state in dict.fromkeys(item.state for item in found.items):
        if STATES[state].advice:
            screen.say(screen.plain(f"{state}: {exits.stopped(STATES[state].advice)}"))
    left_alone(left)
    if found.items or not left:
        screen.say(_sum(found))


def _done(items: "Sequence[Done]") -> "Iterator[list[str | None]]":
    from onepipe.push.sheet import readable

    for item in items:
        about = [item.connection, item.source_id or "(new)", item.name]
        if not item.fields:
            yield [*about, f"({item.op})", item.state, None, None, None]
        for name, one in item.fields.items():
            yield [*about, name, one.state, *(readable(name, value) for value in (one.ours, one.theirs, one.now))]


def _messages(item: "Done") -> Iterator[str]:
    for name, one in item.fields.items():
        if one.message and one.message not in item.message:
            yield f"{name}: {one.message}"
    if item.message:
        yield item.message
    if item.next_at:
        yield f"tried again from {screen.when(item.next_at, ' UTC')}"


def _sum(found: "PushReport") -> str:
    """The whole run in a sentence or two."""
    counts = {group: len(items) for group, items in found.grouped()}
    if not counts:
        return "Nothing was sent." if found.errors else "No edit waits: nothing was sent."
    told = f"Run {found.run_id} is {found.status}: {_counted(counts)}."
    states = {state for item in found.items for state in (item.state, *(one.state for one in item.fields.values()))}
    if states & {"done", "done_normalised", "overwritten"}:
        told += f" `onepipe push revert {found.run_id}` queues the opposite of what it wrote."
    return told


def _counted(groups: Mapping[str, int]) -> str:
    """`3 done, 2 need you`."""
    words = {group: group.replace("needs", "need") if count > 1 else group for group, count in groups.items()}
    return ", ".join(f"{count:,} {words[group]}" for group, count in groups.items() if count)


def status(found: Mapping[str, Any]) -> None:
    """What waits, what is not settled, what is to be decided, what the last run came to, and what to do next."""
    if found["connections"]:
        keys = ("edits", "pushes", "conflicts")
        rows = (
            [one["connection"], one["mode"] or "retired", *(screen.count(one[key]) for key in keys)]
            for one in found["connections"]
        )
        for line in screen.table(STATUS_HEADINGS, rows, right=(2, 3, 4)):
            screen.say(line)
    else:
        screen.say("No edit waits.")
    if found["pushes"]:
        screen.say()
        table("Not settled", PUSH_HEADINGS, map(_push, found["pushes"]))
        for one in found["pushes"]:
            if one["message"]:
                screen.say(screen.plain(f"  push {one['push_id']}: {exits.sentence(one['message'])}"))
    if found["last_run"]:
        run = found["last_run"]
        screen.tell(f"The last run, {run['run_id']}: {_counted(run['groups'])}.")
    for number, text in enumerate(_steps(found)):
        (screen.say if number else screen.tell)(text)


def _push(one: Mapping[str, Any]) -> list[str | None]:
    about = [str(one["push_id"]), one["connection"], one["source_id"] or "(new)", one["name"], one["op"], one["state"]]
    return [*about, screen.when(one["created_at"]), one["next_at"] and one["next_at"][:19].replace("T", " ")]


def _steps(found: Mapping[str, Any]) -> Iterator[str]:
    """What to do about what waits."""
    if any(one["edits"] or one["pushes"] for one in found["connections"] if one["mode"] == "on"):
        yield "`onepipe push plan` shows what would be sent; `onepipe push apply` looks after what is not settled, too."
    closed = [one["connection"] for one in found["connections"] if one["mode"] in ("off", "plan")]
    if closed:
        yield f"Nothing is sent to {exits.listed(closed)}: the write mode is not on in config.yaml."
    idle = [one["connection"] for one in found["connections"] if one["mode"] in (None, "disabled") and one["edits"]]
    if idle:
        yield f"Edits of {exits.listed(idle)} wait: no push looks at a connection that is disabled or retired."
    if found["conflicts"]:
        count = screen.counted(len(found["conflicts"]), "conflict")
        yield f"`onepipe conflicts list` shows the {count} to decide."
    if found["pushes"]:
        yield f"`onepipe push show {found['pushes'][0]['push_id']}` tells the life of a push."


def show(found: Mapping[str, Any]) -> None:
    """The life of one push, line by line, and what became of its fields."""
    from onepipe.merge.states import STATES
    from onepipe.push.sheet import readable

    about = " ".join(filter(None, (found["connection"], found["source_id"] or "(new)", found["op"])))
    screen.say(screen.plain(f"Push {found['push_id']}: {about}: {found['state']}, in run {found['run_id']}."))
    screen.say()
    for line in found["lines"]:
        at, looked = line["at"][:19].replace("T", " "), line.get("found")
        detail = line["detail"] or (json.dumps(looked, ensure_ascii=False) if looked else "")
        screen.say(screen.plain(f"{at}  {line['what']:<12}  {detail}").rstrip())
        body = line.get("request", {}).get("body")
        if body is not None:
            screen.say(
                screen.plain(" " * 35 + (body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)))
            )
    if found["fields"]:
        rows = (
            [name, one["state"], *(readable(name, one[key]) for key in ("base", "ours", "theirs", "now"))]
            for name, one in found["fields"].items()
        )
        screen.say()
        table("Fields", ("field", "result", "when edited", "yours", "the CRM had", "the CRM has"), rows)
    if STATES[found["state"]].advice:
        screen.tell(exits.stopped(f"{found['state']}: {STATES[found['state']].advice}"))

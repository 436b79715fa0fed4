"""What people see of a plan, in groups that say what is theirs to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.outcome import errors, left_alone, table

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.push.sheet import Group, Line
    from onepipe.push.words import Plan

HEADS = {"to be sent": "To be sent", "needs you": "Needs you", "nothing to send": "Nothing to send"}
EMPTY = "(empty)"


def show(found: "Plan", config: "Config", left: "Sequence[Mapping[str, Any]]" = ()) -> None:
    """A plan in groups, with what the CRM will do beside it, and what to do about each group; `left` is not in it."""
    from onepipe.push import sheet

    for group in sheet.GROUPS:
        mine = [line for line in sheet.lines(found) if line.group == group]
        if mine:
            deals = len({(line.item.connection, line.item.record) for line in mine})
            of = f"{screen.counted(len(mine), 'change')} in {screen.counted(deals, 'deal')}"
            table(f"{HEADS[group]}: {of}", *_planned(group, mine))
            for line in mine if group != "to be sent" else ():
                about = " ".join(filter(None, (*_about(line)[:2], line.field)))
                screen.say(screen.plain(f"  {about}: {exits.stopped(line.reason or line.outcome)}"))
            screen.say()
    for item in found.items:
        for note in item.notes:
            screen.say(screen.plain(f"{item.connection} {item.source_id or sheet.deal(item)}: {exits.sentence(note)}"))
    errors(found.errors)
    left_alone(left)
    for text in _next(found, config) if found.items or not left else ():
        screen.say(text)


def sent(found: "Plan") -> int:
    """To how many deals a plan would write."""
    return len({(line.item.connection, line.item.record) for line in _lines(found) if line.group == "to be sent"})


def _lines(found: "Plan") -> "Iterator[Line]":
    from onepipe.push.sheet import lines

    return lines(found)


def _planned(group: "Group", lines: "Sequence[Line]") -> tuple[tuple[str, ...], "Iterator[list[str | None]]"]:
    about, values = ("connection", "id", "deal", "field"), ("in the CRM", "new")
    if group == "needs you":
        return (*about, "when edited", "in the CRM", "yours"), map(_undecided, lines)
    if group == "to be sent":
        return (*about, *values, "note", "asked for by"), map(_sent, lines)
    return (*about, *values), (_about(line) + _values(line) for line in lines)


def _about(line: "Line") -> list[str | None]:
    from onepipe.push.sheet import deal

    return [line.item.connection, line.item.source_id or "(new)", deal(line.item), line.field]


def _values(line: "Line") -> list[str | None]:
    from onepipe.push.sheet import readable

    now = None if line.item.op == "create" else readable(line.field, line.now) or EMPTY
    return [now, readable(line.field, line.new) or (EMPTY if line.field else None)]


def _sent(line: "Line") -> list[str | None]:
    asked = ": ".join(filter(None, (line.item.who, line.item.why)))
    return [*_about(line), *_values(line), line.reason, asked]


def _undecided(line: "Line") -> list[str | None]:
    from onepipe.push.sheet import readable

    known = readable(line.field, line.known) or (EMPTY if line.field and line.item.op == "update" else None)
    return [*_about(line), known, *_values(line)]


def _next(found: "Plan", config: "Config") -> Iterator[str]:
    """What to do about a plan."""
    if not found.items:
        if not found.errors:
            yield "No edit waits; `onepipe edit CONNECTION ID field=value` queues one."
        return
    decided = {item.decision for item in found.items}
    if "conflict" in decided:
        yield (
            "Nothing is sent where both sides changed the same: `onepipe conflicts list` names each, and `onepipe "
            "conflicts resolve ID ours|theirs|VALUE` decides."
        )
    part = any(one.decision == "refused" for item in found.items for one in item.fields.values())
    if "refused" not in decided and part:
        yield (
            "What cannot be sent waits, the deal's other fields are sent: put right what stands against it, or give it "
            "up with `onepipe edit drop ID`; `onepipe edit list` shows the IDs."
        )
    if "refused" in decided:
        ids = sorted({one for item in found.items if item.decision == "refused" for one in item.edits}, key=int)
        yield (
            f"What cannot be sent waits: put right what stands against it, or give it up with `onepipe edit drop ID` "
            f"({'edit' if len(ids) == 1 else 'edits'} {exits.listed(ids)})."
        )
    yield from _beyond(found, config)
    for name in _known(found, config):
        if config.connections[name].write.mode != "on":
            yield f'{name} may only be planned: `write: {{mode: "on"}}` in {config.file.name} lets it be sent.'


def may_go(found: "Plan", config: "Config") -> bool:
    """Whether anything of a plan could be sent as config.yaml is."""
    return not any(_beyond(found, config)) and any(
        line.group == "to be sent" and config.connections[line.item.connection].write.mode == "on"
        for line in _lines(found)
        if line.item.connection in config.connections
    )


def _beyond(found: "Plan", config: "Config") -> Iterator[str]:
    """The limits that refuse the whole of it."""
    for name in _known(found, config):
        mine = [item for item in found.items if item.connection == name and item.decision in ("write", "conflict")]
        deletes, limits = sum(item.op == "delete" for item in mine), config.connections[name].write.limits
        counts = (
            ("changes", len(mine), "max_rows", limits.max_rows),
            ("deletes", deletes, "max_deletes", limits.max_deletes),
        )
        for does, count, key, most in counts:
            if count > most:
                yield (
                    f"It {does} {screen.counted(count, 'deal')} of {name}, and `limits: {{{key}: {most}}}` allows "
                    f"{most}: the whole of it would be refused."
                )


def _known(found: "Plan", config: "Config") -> list[str]:
    """The connections of a plan; a file may name some that config.yaml does not have."""
    return sorted({item.connection for item in found.items} & config.connections.keys())

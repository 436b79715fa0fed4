"""The command `quota`: what each CRM allows, how much of it is used, and what holds a connection back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from onepipe.config import Connection
    from onepipe.control.quota import State
    from onepipe.control.windows import Room

HEADINGS = ("connection", "quota", "ours", "used", "left now")
Forget = Annotated[
    bool, typer.Option("--forget", help="Drop what holds these connections back; the next run asks their CRM at once.")
]


@app.command(epilog=examples("onepipe quota", "onepipe quota acme --json", "onepipe quota --forget acme"))
def quota(ctx: typer.Context, connections: Connections = None, forget: Forget = False, as_json: Json = False) -> None:
    """Tell how much of each CRM's quota is used, and what holds a connection back.

    By our own count, for all processes of this project, and by what the CRM says of it where it says anything.
    """
    from onepipe.account import allowance
    from onepipe.control import Control

    if forget and not connections:
        raise UsageError("`--forget` needs the name of a connection; nothing was changed", "`onepipe quota` lists them")
    config = door(ctx).load()
    with Control(config.state, command="onepipe quota") as control:
        chosen = [(one, allowance(config, one, control.quotas)) for one in config.select(connections or [])]
        if forget:
            for _, allowed in chosen:
                allowed.forget()
        states = [(one, allowed.state()) for one, allowed in chosen]
    if as_json:
        screen.document({"connections": [_described(one, state) for one, state in states]})
        return
    for line in screen.table(HEADINGS, _rows(states), right=(2, 3, 4)):
        screen.say(line)
    for one, state in states:
        for text in _notes(one.name, state):
            screen.tell(text)


def _rows(states: "Sequence[tuple[Connection, State]]") -> Iterator[list[str | None]]:
    for one, state in states:
        if not state.quotas:
            yield [one.name, "none is documented", None, None, None]
        for name, room in zip([one.name, *[""] * len(state.quotas)], state.quotas, strict=False):
            yield [name, str(room.allowed), *map(screen.count, (room.ours, room.used, room.left))]


def _notes(name: str, state: "State") -> Iterator[str]:
    if state.hold:
        yield (
            f"{name} is held back until {_instant(state.hold.until)}: {state.hold.why}. The daemon goes on by itself "
            f"then; `onepipe quota --forget {name}` lets it be asked at once."
        )
    if state.rate is not None:
        yield (
            f"{name} is asked at most {state.rate:,.3g} times a second since its CRM refused faster requests; that "
            "grows with every request it answers."
        )
    if state.next_scan:
        when = _instant(state.next_scan)
        yield f"{name} is read whole each time, with no more than our part of its quota: not before {when}."


def _instant(moment: "datetime") -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _described(one: "Connection", state: "State") -> dict[str, Any]:
    hold, scan = state.hold, state.next_scan
    return {
        "connection": one.name,
        "connector": one.connector,
        "reserve": one.reserve,
        "quotas": [_quota(room) for room in state.quotas],
        "held_until": f"{hold.until:%Y-%m-%dT%H:%M:%SZ}" if hold else None,
        "held_why": hold.why if hold else None,
        "rate": round(state.rate, 3) if state.rate is not None else None,
        "next_scan_at": f"{scan:%Y-%m-%dT%H:%M:%SZ}" if scan else None,
    }


def _quota(room: "Room") -> dict[str, Any]:
    return {
        "scope": room.allowed.scope,
        "requests": room.allowed.requests,
        "seconds": room.allowed.seconds,
        "told_by_crm": room.statement is not None,
        "ours": room.ours,
        "used": room.used,
        "left": room.left,
    }

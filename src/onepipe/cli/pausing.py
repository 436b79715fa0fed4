"""The commands that say something to the daemon: `run-now`, `pause` and `resume`, by way of the control file."""

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import CONNECTIONS_HELP, Connections, Json, app, complete_connection, door, end, examples

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.control import Control

SHOWN = 5  # names in a sentence; the others are counted

Named = Annotated[
    list[str],
    typer.Argument(
        metavar="CONNECTION...",
        help=CONNECTIONS_HELP.replace("; all if none is given", ""),
        autocompletion=complete_connection,
        show_default=False,
    ),
]


@app.command(name="run-now", epilog=examples("onepipe run-now acme", "onepipe run-now label:client=Acme --json"))
def run_now(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """Have the daemon run connections now, whatever their schedule and their failures.

    It begins within two seconds, as its workers become free. Without a daemon nothing is begun.
    """
    config = door(ctx).load()
    with _control(config, "run-now") as control:
        chosen = [one for one in config.select(connections or []) if one.enabled]
        owner, pauses = control.owner("daemon"), control.service.pauses()
        asked = [one.name for one in chosen if owner and one.name not in pauses]
        paused = [one.name for one in chosen if one.name in pauses]
        if asked:
            control.service.run_now(asked, _me())
    if as_json:
        screen.document({"daemon": str(owner) if owner else None, "asked": asked, "paused": paused})
    elif owner is None:
        words = " ".join(connections or [])
        screen.note(f"No daemon is at work, so nothing was begun. `onepipe sync {words}".rstrip() + "` runs them here.")
    else:
        if asked:
            screen.say(f"Asked the daemon for a run of {_several(asked)}; `onepipe runs` shows what came of it.")
        if paused:
            screen.note(f"Left out, since paused: {_several(paused)}. `{_resuming(paused)}` ends that.")
    end(0 if asked else exits.FAILED)


@app.command(
    epilog=examples("onepipe pause acme", "onepipe pause 'acme-*' --reason 'their CRM is being moved until Monday'")
)
def pause(
    ctx: typer.Context,
    connections: Named,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; `onepipe status` shows it.")] = "",
    as_json: Json = False,
) -> None:
    """Leave connections alone until `onepipe resume`: neither the daemon nor `sync` reads them.

    What runs comes to its end, all rows stay, and edits can be pushed. A daemon sees it within two seconds.
    """
    config = door(ctx).load()
    with _control(config, "pause") as control:
        names = [one.name for one in config.select(connections)]
        new = control.service.pause(names, _me(), reason)
    already = [name for name in names if name not in new]
    if as_json:
        screen.document({"paused": new, "already": already})
        return
    if new:
        screen.say(f"Paused: {_several(new)}. `{_resuming(new)}` ends that.")
    if already:
        screen.note(f"Paused before: {_several(already)}.")


@app.command(epilog=examples("onepipe resume acme", "onepipe resume label:client=Acme --json"))
def resume(ctx: typer.Context, connections: Named, as_json: Json = False) -> None:
    """Let connections run again that were paused, or that the daemon leaves alone after failures.

    A daemon runs them within two seconds.
    """
    from onepipe.cli.standing import chosen_names

    config = door(ctx).load()
    with _control(config, "resume") as control:
        known = {*control.service.pauses(), *control.service.breakers()}
        chosen = chosen_names(config, connections, known)
        freed = control.service.resume(name for name in sorted(chosen))
    running = [name for name in sorted(chosen) if name not in freed]
    if as_json:
        screen.document({"resumed": freed, "already": running})
        return
    if freed:
        screen.say(f"Resumed: {_several(freed)}.")
    if running:
        screen.note(f"Nothing kept these from running: {_several(running)}.")


def _control(config: "Config", command: str) -> "Control":
    from onepipe.control import Control

    return Control(config.state, command=f"onepipe {command}")


def _several(names: Sequence[str]) -> str:
    """`a, b and c`, or `a, b, c, d, e and 1,995 more`."""
    rest = len(names) - SHOWN
    return exits.listed([*names[:SHOWN], *([f"{rest:,} more"] if rest > 0 else [])])


def _resuming(names: Sequence[str]) -> str:
    """The command that lets them run again; of many only its form."""
    return f"onepipe resume {' '.join(names) if len(names) <= SHOWN else 'CONNECTION...'}"


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        return "somebody"

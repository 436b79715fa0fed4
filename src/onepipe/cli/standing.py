"""The commands that tell how things stand: `status` and `runs`. Both read the published warehouse, and take no lock."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.advice as advice
import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
import onepipe.cli.unfinished as unfinished
from onepipe.cli.advice import Standing
from onepipe.cli.app import Connections, Json, app, complete_connection, door, examples
from onepipe.errors import ConfigError

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.control.look import Look

MANY = 20  # connections of which each gets a line even if all is well with it
STATUS_HEADINGS = (
    *("connection", "state", "complete through (UTC)", "last success (UTC)", "last sweep (UTC)", "deals", "in the CRM"),
    *("details owed", "late", "unreadable"),
)
STALE = ", stale)"
TINTS = {
    "failing": screen.RED,
    "suspect": screen.YELLOW,
    "held back": screen.YELLOW,
    "loading": screen.CYAN,
    "paused": screen.CYAN,
    "complete": screen.GREEN,
    "never run": screen.FAINT,
    "disabled": screen.FAINT,
    "retired": screen.FAINT,
}
RUN_HEADINGS = ("started (UTC)", "command", "connection", "result", "read", "new", "changed", "deleted", "requests")


@app.command(epilog=examples("onepipe status", "onepipe status --all", "onepipe status label:client=Acme --json"))
def status(
    ctx: typer.Context,
    connections: Connections = None,
    every: Annotated[
        bool, typer.Option("--all", help=f"A line for each, also where more than {MANY} are well.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Tell how fresh and how complete each connection is, and what to do where one is not.

    Works while a sync runs: it shows what was published last.
    """
    import onepipe.control.look as control

    config = door(ctx).load()
    seen = control.look(config.state)
    published, found = standings(config, connections or [], seen)
    owner = seen.owners.get("daemon")
    daemon = str(owner) if owner else None
    if as_json:
        told = [one | {"advice": advice.sentences(one, config)} for one in found]
        known = {"published_at": published, "daemon": daemon, "control_unreadable": seen.unreadable}
        screen.document(known | {"totals": _totals(found), "connections": told})
        return
    many = len(found) > MANY and not every
    if many:
        screen.say(_summary(found))
    shown = sorted(filter(lambda one: not advice.well(one), found), key=_urgency) if many else found
    if shown:
        _table(shown)
    for one in shown[:MANY] if many else shown:
        for text in advice.sentences(one, config):
            screen.tell(f"{one['connection']}: {exits.stopped(text)}")
        if connections and (passed := advice.passed_over(one)):
            screen.tell(f"{one['connection']}: {exits.stopped(passed)}")
    if many:
        _rest(len(shown) - MANY, len(found))
    if seen.unreadable:
        screen.tell(_blind(seen, config))
    else:
        _tell_daemon(daemon, found)


def _blind(seen: "Look", config: "Config") -> str:
    """What is not known while the control file cannot be read, and what to do."""
    remedy = "see that it can be read by whoever types this"
    if seen.damaged:
        remedy = (
            "stop the daemon; then `onepipe restore FILE` brings back the state of a backup; or move control.sqlite "
            "away, with control.sqlite-wal and control.sqlite-shm: the next command makes a new one, without the edits "
            "that wait, open conflicts, pauses, holds, tokens, and what tells a new credential from the one before"
        )
    return (
        f"The control file {config.state / 'control.sqlite'} cannot be read ({seen.unreadable}): what is paused, held "
        "back, at work or to be decided is not known, nor whether a daemon is at work. What is published is safe. "
        f"To do: {remedy}."
    )


def _tell_daemon(daemon: str | None, found: Sequence[Standing]) -> None:
    """Whether a daemon is at work; none is missed where none ever was."""
    if daemon:
        screen.tell(f"The daemon is at work: {daemon}.")
    elif any(one["last_command"] == "daemon" and one["state"] not in advice.IDLE for one in found):
        screen.tell("No daemon is at work, though one was: start it as you did before, or type `onepipe daemon`.")


def _table(shown: Sequence[Standing]) -> None:
    """One line for each; columns in which nothing stands are left out."""
    rows = [_status_row(one) for one in shown]
    kept = [n for n in range(len(STATUS_HEADINGS)) if n < 4 or any(row[n] for row in rows)]
    right = [place for place, n in enumerate(kept) if n >= 5]
    lines = ([row[n] for n in kept] for row in rows)
    for line in screen.table([STATUS_HEADINGS[n] for n in kept], lines, right, tint=_tint):
        screen.say(line)


def _tint(cell: str) -> int | None:
    return screen.YELLOW if cell.endswith(STALE) else TINTS.get(cell)


def _summary(found: Sequence[Standing]) -> str:
    """`124 connections: 6 failing, 110 complete, 8 disabled; 4 are stale.`"""
    totals = _totals(found)
    states = ", ".join(screen.tinted(f"{totals[state]:,} {state}", TINTS[state]) for state in totals if state in TINTS)
    stale = f"; {totals['stale']:,} {'is' if totals['stale'] == 1 else 'are'} stale" if totals["stale"] else ""
    return f"{screen.counted(len(found), 'connection')}: {states}{stale}.\n"


def _totals(found: Sequence[Standing]) -> dict[str, int]:
    """How many connections are in each state, the worst first; and how many are stale, and how many deals there are."""
    counts = Counter(one["state"] for one in found)
    states = {state: counts[state] for state in advice.STATES if counts[state]}
    deals = sum(one["live_count"] or 0 for one in found)
    return states | {"stale": sum(one["stale"] for one in found), "deals": deals}


def _urgency(one: Standing) -> tuple[int, str]:
    return advice.STATES.index(one["state"]), one["connection"]


def _rest(untold: int, total: int) -> None:
    if untold > 0:
        screen.tell(
            f"What to do about {untold:,} more: `onepipe status NAME` for one, `onepipe status --json` for all."
        )
    screen.tell(f"`onepipe status --all` shows all {total:,} lines.")


def standings(config: "Config", words: list[str], seen: "Look | None" = None) -> tuple[str | None, list[Standing]]:
    """When the snapshot was made; and the chosen ones of every connection ever run and every one in config.yaml.

    `seen` is what the control file says, where the caller has looked at it.
    """
    import onepipe.control.look as control
    import onepipe.warehouse.bindings as bindings
    import onepipe.warehouse.ledger as ledger
    from onepipe.warehouse.work import published

    known: dict[str, Standing] = {}
    snapshot, refused, bound = None, dict[str, Standing](), dict[str, tuple[str, str]]()
    if config.warehouse.is_file():
        with published(config.snapshot) as db:
            known, snapshot = ledger.standings(db), ledger.published_at(db)
            refused, bound = ledger.refused(db), bindings.bound(db)
            for name, backfill in unfinished.backfills(db, known).items():
                known[name]["backfill"] = backfill
    for name, one in config.connections.items():
        if name not in known:
            known[name] = ledger.unknown(name, one.connector) | refused.get(name, {})
            known[name]["looks_like"] = _looks_like(config, name, bound)
        if not one.enabled:
            known[name]["state"] = "disabled"
    for name in known.keys() - config.connections.keys():
        known[name]["state"] = "retired"  # the next publish says so in the warehouse, too
    chosen = chosen_names(config, words, set(known))
    now, seen = advice.now(), seen or control.look(config.state)
    judged = [
        advice.judged({"backfill": None} | one | advice.at_control(seen, one), config.connections.get(name), now)
        for name, one in sorted(known.items())
        if name in chosen
    ]
    return snapshot, judged


def _looks_like(config: "Config", name: str, bound: dict[str, tuple[str, str]]) -> str | None:
    """The retired connection of the same account, for one that never ran: it may only have another name by now."""
    connection = config.connections[name]
    retired = {one: at for one, at in bound.items() if one not in config.connections and at[0] == connection.connector}
    if not retired:
        return None
    from onepipe.account import account_url

    try:
        account = (connection.connector, account_url(config, connection))
    except ConfigError:  # `onepipe check` tells what is wrong with it
        return None
    return next((one for one in sorted(retired) if retired[one] == account), None)


def chosen_names(config: "Config", words: list[str], known: set[str]) -> set[str]:
    """The names that words choose, all for none; a retired connection is not in config.yaml, and is found by name."""
    if not words:
        return known | set(config.connections)
    others = [word for word in words if word not in known]
    return set(words) & known | ({one.name for one in config.select(others)} if others else set())


def _status_row(one: Standing) -> list[str | None]:
    through = screen.when(one["complete_through"])
    through = through.replace(")", STALE) if one["stale"] and through else "none yet" if one["stale"] else through
    times = [through, screen.when(one["last_success_at"]), screen.when(one["last_sweep_at"])]
    numbers = [screen.count(one[key] or None) for key in ("source_count", "details_owed", "late_rows", "problems")]
    return [one["connection"], one["state"], *times, screen.count(one["live_count"]), *numbers]


@app.command(epilog=examples("onepipe runs", "onepipe runs --connection acme --limit 5 --json"))
def runs(
    ctx: typer.Context,
    connection: Annotated[
        list[str] | None,
        typer.Option("--connection", metavar="CONNECTION", help="Only of these.", autocompletion=complete_connection),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="So many lines at the most.")] = 20,
    as_json: Json = False,
) -> None:
    """List past runs, newest first: what each read, found and asked.

    Of opportunities; the table sync_runs has a row for every list and detail.
    """
    import onepipe.warehouse.ledger as ledger
    from onepipe.warehouse.work import published

    config = door(ctx).load()
    with published(config.warehouse) as db:
        names = sorted(chosen_names(config, connection, set(ledger.names(db)))) if connection else []
        found = ledger.runs(db, names, limit)
    if as_json:
        screen.document({"runs": found})
        return
    for line in screen.table(RUN_HEADINGS, map(_run_row, found), right=range(4, 9), tint=_run_tint):
        screen.say(line)
    for one in found:
        if one["error_kind"]:
            screen.tell(f"{one['connection']}, {_minute(one['started_at'])}: {exits.sentence(one['error_message'])}")


def _run_row(one: dict[str, Any]) -> list[str | None]:
    words = [one[key] for key in ("command", "connection", "status")]
    numbers = [screen.count(one[key]) for key in ("fetched", "new", "changed", "deleted", "requests")]
    return [_minute(one["started_at"]), *words, *numbers]


def _run_tint(cell: str) -> int | None:
    return {"failed": screen.RED, "partial": screen.YELLOW}.get(cell)


def _minute(instant: str) -> str:
    return instant[:16].replace("T", " ")

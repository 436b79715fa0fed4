"""Decisions that only a person can take: `sweep show|approve|discard`, and `rebind`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, complete_connection, door, end, examples
from onepipe.cli.runs import Wait, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onepipe.config import Config
    from onepipe.rebind import Rebinding
    from onepipe.report import RunReport
    from onepipe.warehouse.verdicts import Finding, Suspected

sweep = typer.Typer(no_args_is_help=True, help="Decide about records that a sweep did not find.")
app.add_typer(sweep, name="sweep")

Chosen = Annotated[
    list[str],
    typer.Argument(
        metavar="CONNECTION...",
        help="Names, globs (acme-*) or labels (label:client=Acme).",
        autocompletion=complete_connection,
        show_default=False,
    ),
]
HEADINGS = ("id", "name", "status", "owner", "asked by id", "in the CRM")
ASKED = {"gone": "does not exist", "absent": "found nowhere", None: "not asked"}


@sweep.command(epilog=examples("onepipe sweep show", "onepipe sweep show acme --json"))
def show(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """List the records that a sweep did not find and that wait for a decision.

    Each with what the CRM said when it was asked for, and where to look for it there.
    """
    config = door(ctx).load()
    found = _waiting(config, connections or [])
    if as_json:
        screen.document({"connections": [_finding(finding, records) for finding, records in found]})
        return
    if not found:
        screen.say("Nothing waits for a decision.")
    for finding, records in found:
        name, since = finding.connection, f"{finding.since:%Y-%m-%d %H:%M} UTC"
        screen.tell(f"{name}: {screen.counted(len(records), 'record')} since {since}: {finding.reason}.")
        rows = [(one.source_id, one.name, one.status, one.owner, ASKED.get(one.evidence), one.url) for one in records]
        for line in screen.table(HEADINGS, rows):
            screen.say(line)
        screen.tell(
            f"`onepipe sweep approve {name}` marks those as deleted that are still missing when it asks again; "
            f"`onepipe sweep discard {name}` leaves them all as they are."
        )


@sweep.command(epilog=examples("onepipe sweep approve acme", "onepipe sweep approve acme --wait 60 --json"))
def approve(ctx: typer.Context, connections: Chosen, wait: Wait = 0.0, as_json: Json = False) -> None:
    """Say that the records a sweep did not find are really gone.

    Everything is read once more, and each record asked for: one that is there again is not marked as deleted.
    """
    from onepipe import decide
    from onepipe.cli.progress import watching

    with door(ctx).project("sweep approve") as project, watching() as watch:
        report = decide.approve(project, connections, watch, wait)
    if as_json:
        screen.document(_decided(report))
    else:
        tell(report)
        for one in report.connections:
            screen.tell(f"{one.connection}: {screen.counted(_marked(one), 'record')} marked as deleted.")
    end(exits.of_run(report))


@sweep.command(epilog=examples("onepipe sweep discard acme", "onepipe sweep discard 'emea-*' --json"))
def discard(ctx: typer.Context, connections: Chosen, wait: Wait = 0.0, as_json: Json = False) -> None:
    """Leave the records that a sweep did not find as they are.

    They stay alive, and no sweep judges them again until they have been seen again.
    """
    from onepipe import decide
    from onepipe.cli.progress import watching
    from onepipe.report import described

    with door(ctx).project("sweep discard") as project, watching() as watch:
        done, trouble = decide.discard(project, connections, watch, wait)
    if as_json:
        told: dict[str, Any] = {"connections": [{"connection": one.connection, "left": one.rows} for one in done]}
        screen.document(told | ({"publish": {"error": described(trouble)}} if trouble else {}))
    else:
        for one in done:
            screen.say(f"{one.connection}: {screen.counted(one.rows, 'record')} left alive, until seen again.")
    if trouble:
        screen.note(f"The warehouse was not published. {exits.paragraph(trouble)}")
        end(exits.of_error(trouble))


@app.command(epilog=examples("onepipe rebind acme", "onepipe rebind acme --new-account --json"))
def rebind(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_connection)],
    new_account: Annotated[
        bool, typer.Option("--new-account", help="It is another account, also where the connector is the same.")
    ] = False,
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Move a connection's name to what config.yaml now says.

    The same connector elsewhere is taken for the same account: its rows stay and everything is read again. Another
    connector, or --new-account, makes it another account: the rows so far are kept under a retired name, and the name
    starts afresh.
    """
    import onepipe.rebind as rebinding
    from onepipe.cli.progress import watching

    with door(ctx).project("rebind") as project, watching() as watch:
        plan = rebinding.intended(project, name, new_account)
        screen.note(_intention(plan))
        rebinding.rebind(project, plan, watch, wait)
    if as_json:
        place = {"connector": plan.now[0], "base_url": plan.now[1]}
        before = {"connector": plan.before[0], "base_url": plan.before[1]}
        told = {"connection": name, "before": before, "now": place, "rows": plan.rows, "retired": plan.retired}
        screen.document(told)
    else:
        screen.say(f"Done. Run `onepipe sync {name}` next.")


def _intention(plan: "Rebinding") -> str:
    """What rebinding does, before it does it."""
    name, rows = plan.connection, screen.counted(plan.rows, "opportunity", "opportunities")
    if plan.retired:
        return (
            f"{name} becomes {plan.now[0]} at {plan.now[1]} and starts afresh; {rows} of {plan.before[0]} at "
            f"{plan.before[1]} are kept under the retired name {plan.retired}."
        )
    return (
        f"{name} moves from {plan.before[1]} to {plan.now[1]}, for the same account: {rows} stay, the next run reads "
        "everything, and its sweep only reports what it does not find."
    )


def _waiting(config: "Config", words: "Sequence[str]") -> "list[tuple[Finding, list[Suspected]]]":
    """The findings of the chosen connections, out of the published warehouse; of all without words."""
    from onepipe.warehouse import verdicts
    from onepipe.warehouse.work import published

    if not config.warehouse.is_file():
        config.select(words)
        return []
    with published(config.snapshot) as db:
        waiting = verdicts.findings(db)
        names = {one.name for one in config.select(words)} if words else set(waiting)
        return [(finding, verdicts.suspected(db, name)) for name, finding in waiting.items() if name in names]


def _finding(finding: "Finding", records: "Sequence[Suspected]") -> dict[str, Any]:
    from onepipe.report import stamp

    keys = ("source_id", "name", "status", "owner", "evidence", "url")
    return {
        "connection": finding.connection,
        "since": stamp(finding.since),
        "rows": finding.rows,
        "reason": finding.reason,
        "records": [{key: getattr(one, key) for key in keys} for one in records],
    }


def _decided(report: "RunReport") -> dict[str, Any]:
    """As a sync tells it, and for each connection how many records were marked."""
    document = report.document()
    for told, one in zip(document["connections"], report.connections, strict=True):
        told["marked"] = _marked(one)
    return document


def _marked(report: Any) -> int:
    deals = report.resources.get("opportunity")
    return deals.counts.deleted if deals else 0

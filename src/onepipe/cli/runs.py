"""The commands that pull: `sync` and `backfill`."""

from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.plans as plans
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.cli.tolerance import FailOn, Tolerance
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.project import Project
    from onepipe.report import ConnectionReport, RunReport
    from onepipe.run import Options

Since = Annotated[
    str | None,
    typer.Option("--since", metavar="DATE", help="Only what changed since: YYYY-MM-DD or an instant, in UTC."),
]
MaxRequests = Annotated[
    int | None,
    typer.Option("--max-requests", min=1, metavar="N", help="Send at most N requests in all; then end as partial."),
]
Wait = Annotated[
    float,
    typer.Option("--wait", min=0, metavar="SECONDS", help="Wait so long for a connection that another process holds."),
]

RUN_HEADINGS = (
    *("connection", "result", "read", "new", "changed", "deleted", "unreadable", "requests", "complete through"),
)


@app.command(
    epilog=examples(
        "onepipe sync",
        "onepipe sync acme 'emea-*'",
        "onepipe sync label:client=Acme --sweep --json",
        "onepipe sync --fail-on 5%",
    )
)
def sync(
    ctx: typer.Context,
    connections: Connections = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Read everything, to find deletions, also before it is due.")
    ] = False,
    full: Annotated[bool, typer.Option("--full", help="Read everything again, details included.")] = False,
    max_requests: MaxRequests = None,
    wait: Wait = 0.0,
    fail_on: FailOn = "any",
    as_json: Json = False,
) -> None:
    """Bring what changed in the CRMs into the warehouse.

    The first run of a connection loads everything; interrupted, it goes on where it was. Running it twice changes
    nothing.
    """
    from onepipe.run import Options

    tolerance = Tolerance.of(fail_on)
    with door(ctx).project("sync") as project:
        chosen = Options(sweep=sweep, full=full, max_requests=max_requests, wait=wait)
        _run(project, connections or [], chosen, tolerance, as_json)


@app.command(
    epilog=examples(
        "onepipe backfill --plan",
        "onepipe backfill acme",
        "onepipe backfill acme --budget 20%",
        "onepipe backfill acme --since 2024-01-01 --until 2024-06-30",
    )
)
def backfill(
    ctx: typer.Context,
    connections: Connections = None,
    since: Since = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="Only what changed until; a day counts whole.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and load nothing.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew instead of going on.")] = False,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="N|N%",
            help="Send at most N requests for each connection, or N % of what its CRM's quota allows; then end as "
            "partial.",
        ),
    ] = None,
    max_requests: MaxRequests = None,
    wait: Wait = 0.0,
    fail_on: FailOn = "any",
    as_json: Json = False,
) -> None:
    """Load the history of a connection, once and whole.

    Where the CRM can filter by the date of last change it is read in slices, each committed when it is whole;
    --since and --until bound it. Ctrl-C pauses it after the page that is being read, a second one ends it at once;
    the same command goes on from there.
    """
    from onepipe.run import Options

    bounds = instant(since, "--since"), instant(until, "--until", whole_day=True)
    if bounds[0] and bounds[1] and bounds[0] >= bounds[1]:
        raise UsageError(f"--since {since} is not before --until {until}; nothing was started")
    tolerance = Tolerance.of(fail_on)
    with door(ctx).project("backfill") as project:
        chosen = Options(
            command="backfill",
            since=bounds[0],
            until=bounds[1],
            restart=restart,
            max_requests=max_requests,
            wait=wait,
            **plans.budget(budget),
        )
        if plan:
            plans.show(project, connections or [], chosen, tolerance, as_json)
        else:
            _run(project, connections or [], chosen, tolerance, as_json, pause=Event())


def _run(
    project: "Project",
    words: list[str],
    options: "Options",
    tolerance: Tolerance,
    as_json: bool,
    pause: Event | None = None,
) -> None:
    from onepipe import run
    from onepipe.cli.progress import watching

    names = [connection.name for connection in project.choose(words)]
    say_if_none(project.config)
    for text in project.config.notices:
        screen.note(exits.sentence(text))
    with watching(pause=pause) as watch:
        report = run.sync(project, names, options, watch, stop=pause)
    if as_json:
        screen.document(report.document())
    else:
        tell(report)
        tolerance.tell(report)
    end(tolerance.code(report))


def say_if_none(config: "Config") -> None:
    """Say that a project has no connections yet: to run on none is no failure, and looks like one."""
    if not config.connections:
        screen.note(
            f"{config.file} names no connections yet; the config.yaml of `onepipe init` shows how one is written."
        )


def tell(report: "RunReport", margin: str = "") -> None:
    """A run in plain words: a line for each connection, and a paragraph for each that is not complete."""
    for line in screen.table(RUN_HEADINGS, map(_run_row, report.connections), range(2, 8), margin=margin):
        screen.say(line)
    for one in report.connections:
        if one.error:
            head = f"{one.connection} is {one.status}" if one.status != "failed" else f"{one.connection} failed"
            screen.note("")
            screen.note(f"{head}. {exits.paragraph(one.error)}")
    if report.published:
        screen.note("")
        screen.note(f"The warehouse was not published. {exits.paragraph(report.published)}")


def _run_row(report: "ConnectionReport") -> list[str | None]:
    deals = report.resources.get("opportunity")
    counts = deals.counts if deals else None
    told = [counts.fetched, counts.new, counts.changed, counts.deleted] if counts else [None] * 4
    every = report.resources.values()
    sums = [sum(one.counts.problems for one in every), sum(one.requests for one in every)]
    through = deals.complete_through if deals else None
    numbers = [screen.count(number) for number in [*told, *sums]]
    return [report.connection, report.status, *numbers, f"{through:%Y-%m-%d %H:%M} UTC" if through else None]


def instant(text: str | None, option: str, whole_day: bool = False) -> datetime | None:
    """An option's date or instant, in UTC unless it says otherwise; `whole_day`: a date means its end.

    Raises UsageError.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no date", "write YYYY-MM-DD, or an instant such as 2026-01-15T11:55:00Z"
        ) from error
    if whole_day and len(text) <= len("2026-01-15"):
        moment += timedelta(days=1)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

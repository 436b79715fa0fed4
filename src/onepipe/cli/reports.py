"""The commands that make reports for people: `report pipeline`, `forecast`, `velocity`, `health` and `diff`.

All read the published warehouse, and take no lock.
"""

import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.reports.compared import Difference
    from onepipe.reports.frame import Frame
    from onepipe.reports.words import Report

report = typer.Typer(no_args_is_help=True, help="Make reports for people: on the terminal, or as a page with pictures.")
app.add_typer(report, name="report")

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE.html", help="Write one page with pictures, which needs no network."),
]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="DAY", help="As it stood at the end of that day: YYYY-MM-DD.")
]


@report.command(
    epilog=examples(
        "onepipe report pipeline",
        "onepipe report pipeline label:client=Acme -o pipeline.html",
        "onepipe report pipeline --as-of 2026-01-31 --json",
    )
)
def pipeline(
    ctx: typer.Context, connections: Connections = None, as_of: AsOf = None, out: Out = None, as_json: Json = False
) -> None:
    """Show the open pipeline by stage and by connection, and what made it of last month's.

    One block a currency: nothing is added up over two.
    """
    from onepipe.reports import pipeline as making

    _make(ctx, connections, making.report, out, as_json, day(as_of))


@report.command(epilog=examples("onepipe report forecast", "onepipe report forecast 'acme-*' -o forecast.html"))
def forecast(ctx: typer.Context, connections: Connections = None, out: Out = None, as_json: Json = False) -> None:
    """Show what is expected to close month by month, what is overdue, and what was won of what was closed."""
    from onepipe.reports import forecast as making

    _make(ctx, connections, making.report, out, as_json)


@report.command(epilog=examples("onepipe report velocity", "onepipe report velocity acme -o velocity.html"))
def velocity(ctx: typer.Context, connections: Connections = None, out: Out = None, as_json: Json = False) -> None:
    """Show how long deals stay in each stage, how many come further, how old they are, and which slipped."""
    from onepipe.reports import velocity as making

    _make(ctx, connections, making.report, out, as_json)


@report.command(epilog=examples("onepipe report health", "onepipe report health --json"))
def health(ctx: typer.Context, connections: Connections = None, out: Out = None, as_json: Json = False) -> None:
    """Show how fresh and complete each connection is, what could not be read, and what waits for somebody."""
    from onepipe.reports import health as making

    _make(ctx, connections, making.report, out, as_json)


def day(text: str | None) -> date | None:
    """A day as people type it. Raises UsageError."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--as-of {text!r} is no day", "write it as YYYY-MM-DD") from error


def _make(
    ctx: typer.Context,
    words: list[str] | None,
    making: "Callable[[Frame], Report]",
    out: Path | None,
    as_json: bool,
    as_of: date | None = None,
) -> None:
    from onepipe.cli.standing import standings
    from onepipe.reports.frame import framed
    from onepipe.warehouse.work import published

    config = door(ctx).load()
    _, found = standings(config, words or [])
    with published(config.warehouse) as db:
        frame = framed(db, found, as_of)
        if as_of and as_of > frame.today:
            raise UsageError(f"--as-of {as_of} is still to come: the warehouse is of {frame.today}")
        made = making(frame)
    give(made, out, as_json, config.warehouse)


def give(made: "Report", out: Path | None, as_json: bool, warehouse: Path) -> None:
    """A report on the terminal, as JSON, or as a page. Raises UsageError for a file that cannot be written."""
    from onepipe.cli.query import replacing
    from onepipe.cli.reported import show
    from onepipe.reports.words import document

    if as_json:
        screen.document(document(made))
    elif out is None:
        show(made)
    if out is None:
        return
    from onepipe.reports.page import as_html

    if out.resolve() == warehouse.resolve():
        raise UsageError(f"-o {out} is the warehouse itself; nothing was written")
    with replacing(out) as part:
        if part:
            part.write_text(as_html(made), encoding="utf-8")
    if not as_json:
        for line in made.first.splitlines():
            screen.say(screen.plain(line))
        screen.say(f"{out} was written; a browser opens it, and it needs no network.")


@report.command(
    epilog=examples(
        "onepipe report diff board-2026-01",
        "onepipe report diff board-2026-01 -o diff.html",
        "onepipe report diff board-2026-01 --csv -o diff.csv",
    )
)
def diff(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What was frozen: `onepipe freeze --list` shows it.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write to this file: one page with pictures, if not told else."
        ),
    ] = None,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line for each deal that differs.")] = False,
) -> None:
    """Tell why a figure is not the one that was frozen.

    Deal by deal, what differs of the same day by what is known now, and why; sums that add up; what happened since.
    """
    import onepipe.reports.compared as compared
    import onepipe.reports.difference as difference
    import onepipe.warehouse.frozen as frozen
    from onepipe.cli.standing import standings
    from onepipe.reports.words import document
    from onepipe.warehouse.work import published

    if as_json and as_csv:
        raise UsageError("Give one of --json and --csv; nothing was done")
    config = door(ctx).load()
    _, found = standings(config, [])
    with published(config.warehouse) as db:
        what = compared.find(db, frozen.one(db, name), None if as_json or as_csv else difference.SHOWN)
    made = difference.report(what, found)
    if as_csv:
        _lines(what, out)
    elif as_json and out:
        _keep(out, json.dumps(document(made), indent=2, ensure_ascii=False) + "\n")
    else:
        give(made, out, as_json, config.warehouse)


def _lines(what: "Difference", out: Path | None) -> None:
    """A difference as CSV, which spreadsheets open as it is meant."""
    from onepipe.push.sheet import table
    from onepipe.reports.difference import deal_facts

    sides = [
        f"{name}_{side}"
        for side in ("before", "now")
        for name in ("in_pipeline", "status", "stage", "amount", "currency")
    ]
    columns = ["connection", "source_id", "name", *sides, "reasons", "why", "changes"]
    rows = [[_cell(deal_facts(deal, what.kept)[column]) for column in columns] for deal in what.deals]
    text = table(columns, rows)
    if out:
        _keep(out, text)
    else:
        sys.stdout.write(text.removeprefix("\ufeff"))


def _cell(value: Any) -> str | None:
    if isinstance(value, list):
        return "; ".join(_change(one) if isinstance(one, dict) else str(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _change(one: dict[str, str | None]) -> str:
    return f"{one['field']}: {one['before'] or '(nothing)'} -> {one['now'] or '(nothing)'}"


def _keep(out: Path, text: str) -> None:
    from onepipe.cli.query import replacing

    with replacing(out) as part:
        if part:
            part.write_text(text, encoding="utf-8", newline="")
    screen.say(f"{out} was written.")

"""The commands to begin with and to keep running: `init`, `check`, `daemon`, `sandbox`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.cli.runs import say_if_none

if TYPE_CHECKING:
    from onepipe.run import CheckReport


@app.command(epilog=examples("onepipe init", "onepipe init my-project"))
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Its folder; this one if none is given.", show_default=False)
    ] = Path(),
) -> None:
    """Lay out a project to begin with.

    A commented config.yaml, .env.example, .gitignore, and folders for mappings and connectors with an example each. A
    file that is there already is left as it is.
    """
    from onepipe import scaffold

    made = scaffold.project(folder)
    for path in made.written:
        screen.say(f"wrote  {path}")
    for path in made.left:
        screen.say(f"left   {path} (was there already)")
    where = "" if folder == Path() else f"cd {folder}, "
    screen.say(f"\nNext: {where}describe an account in config.yaml, put its token into .env, and run `onepipe check`.")


@app.command(epilog=examples("onepipe check", "onepipe check acme --json"))
def check(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """Check everything that a sync needs.

    The config, the mappings, and each CRM with one request. Nothing is loaded.
    """
    from onepipe import run
    from onepipe.cli.progress import watching

    with door(ctx).project("check") as project:
        say_if_none(project.config)
        with watching(notices=False):  # for its Ctrl-C
            reports = run.check(project, connections or [])
    if as_json:
        screen.document({"connections": [report.document() for report in reports]})
    else:
        for line in screen.table(
            ["connection", "connector", "result", "opportunities", "time"], map(_row, reports), (3, 4)
        ):
            screen.say(line)
        for report in reports:
            if report.error:
                screen.note("")
                screen.note(
                    f"{report.connection} failed. {exits.sentences(report.error['message'], report.error['hint'])}"
                )
    end(0 if all(report.ok for report in reports) else exits.FAILED)


def _row(report: "CheckReport") -> list[str | None]:
    seen = screen.count(report.opportunities) or ("not told" if report.ok else None)
    return [report.connection, report.connector, "ok" if report.ok else "failed", seen, f"{report.seconds:.2f} s"]


@app.command(epilog=examples("onepipe daemon", "onepipe --config /etc/onepipe/config.yaml daemon"))
def daemon(
    ctx: typer.Context,
    drain: Annotated[
        float | None,
        typer.Option(
            "--drain",
            min=0,
            metavar="SECONDS",
            help="How long runs may take to end once told to stop; else as config.yaml says.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run every connection on its schedule until told to stop.

    SIGTERM or Ctrl-C lets the runs under way end, publishes and ends; a second one ends at once, and loses nothing.
    SIGHUP reads config.yaml, the mappings and the files beside it again; where they are wrong, the old ones stay in
    force. Logs go to stderr, as JSON where that is no terminal.
    """
    from onepipe import logs
    from onepipe.daemon import Daemon
    from onepipe.daemon.lookout import Lookout

    with door(ctx).project("daemon", renewing=True) as project:
        logs.configure()
        for connection in project.config.connections.values():
            logs.add_secrets(connection.secrets)
        lookout = Lookout(project, lambda: worker.state())
        worker = Daemon(project, drain, lookout)
        worker.run()


@app.command(epilog=examples("onepipe sandbox", "onepipe sandbox --port 8642 --rows 500 --seed 1"))
def sandbox(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")] = 0,
    rows: Annotated[int, typer.Option("--rows", min=0, help="Opportunities in each CRM.")] = 60,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same data.")] = 7,
) -> None:
    """Serve five simulated CRMs on this machine.

    They are there to try things on, until Ctrl-C. Prints one JSON line: the base URL and the credentials of each.
    """
    from onepipe.errors import UsageError
    from onepipe.sandbox import serve

    try:
        serve(port=port, rows=rows, seed=seed)
    except OSError as error:
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}", "leave --port out to take a free one"
        ) from error

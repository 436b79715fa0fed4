"""The command `docs`: the published tables described for other programs."""

from pathlib import Path
from typing import Annotated

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, examples

docs = typer.Typer(no_args_is_help=True, help="Describe the published tables for other programs.")
app.add_typer(docs, name="docs")


@docs.command(epilog=examples("onepipe docs dbt", "onepipe docs dbt -o ~/dbt/models/onepipe"))
def dbt(
    ctx: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder, made if it is not there.")
    ] = Path("dbt"),
    as_json: Json = False,
) -> None:
    """Write the published tables as sources of a dbt project.

    sources.yml holds every table and view with its columns, their texts, tests and how fresh the file has to be;
    profiles.yml shows how dbt opens it, read-only. Both are made anew each time: keep what is yours in other files.
    """
    from onepipe.dbt import write

    config = door(ctx).load()
    files = write(config, out)
    if as_json:
        screen.document({"files": [str(path) for path in files]})
        return
    for path in files:
        screen.say(str(path))
    screen.tell("Put sources.yml into models/ of your dbt project, and what profiles.yml shows into your own one.")

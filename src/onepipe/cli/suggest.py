"""The command `mapping suggest`: lines for what the deals hold and no column reads yet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.screen as screen
from onepipe.cli.app import Json, complete_connection, door, examples
from onepipe.cli.mappings import mapping
from onepipe.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from onepipe.config import Config, Connection
    from onepipe.suggest import Suggestion


@mapping.command(
    epilog=examples("onepipe mapping suggest acme", "onepipe mapping suggest acme -o mappings/acme_own.yaml")
)
def suggest(
    ctx: typer.Context,
    connection: Annotated[str, typer.Argument(help="The connection's name.", autocompletion=complete_connection)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE.yaml", help="Write a mapping file; one that exists is left alone."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose columns for custom fields and for what no column reads yet.

    Each with how often it is filled, its values, and the type that reads all of them exactly. Found in what is stored:
    no CRM is asked, and nothing is changed.
    """
    from onepipe import suggest as suggesting
    from onepipe.warehouse.work import whole

    config = door(ctx).load()
    chosen = _chosen(config, connection)
    with whole(config.snapshot) as db:
        found = suggesting.suggest(db, config, chosen)
    if out:
        _keep(found, out)
    if as_json:
        screen.document(_document(found))
        return
    if not out:
        screen.say(found.file.rstrip())
    proposed = [one for one in found.lines if not one.off]
    left = len(found.lines) - len(proposed)
    told = f"{screen.counted(len(proposed), 'line')} proposed for {connection}, {screen.count(left)} left out."
    screen.note(f"{told} {_next(config, chosen, out) if proposed else 'There is nothing to add.'}")


def _chosen(config: "Config", name: str) -> "Connection":
    from onepipe.yamlmarks import did_you_mean

    if name not in config.connections:
        known = did_you_mean(name, config.connections)
        raise UsageError(f"No connection is called {name!r}: {known}", "lines are proposed for one at a time")
    return config.connections[name]


def _keep(found: "Suggestion", out: Path) -> None:
    """Write the file; never over one that is there. Raises UsageError, ConfigError."""
    if out.suffix not in (".yaml", ".yml") or out.stem == "":
        raise UsageError(f"-o {out} is no name of a mapping file; nothing was written", "write FILE.yaml")
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(found.file)
    except FileExistsError as error:
        raise UsageError(f"{out} is there already and was left as it is", "name a file that does not exist") from error
    except OSError as error:
        raise ConfigError(f"{out} could not be written: {error.strerror}; nothing was changed") from error


def _next(config: "Config", connection: "Connection", out: Path | None) -> str:
    """What to do with the lines."""
    apply = f"`onepipe mapping plan {connection.name}` and `onepipe mapping apply {connection.name}`"
    if out is None:
        return f"Add -o FILE.yaml to keep them; or copy them into the mapping in use. Then: {apply}."
    folder, place = config.folder, out.absolute()
    shown = place.relative_to(folder) if place.is_relative_to(folder) else place
    if connection.mapping is None and place == folder / "mappings" / f"{connection.connector}.yaml":
        return f"{shown} is used by every connection of {connection.connector} from now on. Then: {apply}."
    return f"To use {shown}, write `mapping: {shown}` below {connection.name} in {config.file.name}. Then: {apply}."


def _document(found: "Suggestion") -> dict[str, Any]:
    lines = [
        {
            "block": one.block,
            "name": one.name,
            "from": one.path,
            "as": one.transform,
            "line": one.text,
            "filled": one.key.filled,
            "deals": found.deals,
            "distinct": one.key.distinct,
            "samples": [*one.key.samples],
            "why": one.why,
            "left_out": one.off,
        }
        for one in found.lines
    ]
    return {"connection": found.connection, "extends": found.extends, "deals": found.deals, "lines": lines}

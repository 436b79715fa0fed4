"""The commands about mappings: `mapping show`, `mapping check`, `mapping plan`, `mapping apply`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Connections, Json, app, door, end, examples
from onepipe.errors import ConfigError, Fault, UsageError

NOTHING = "No mapping was edited since it was last applied: nothing to do."

mapping = typer.Typer(no_args_is_help=True, help="Show, check and apply mappings.")
app.add_typer(mapping, name="mapping")


def _complete_connector(ctx: typer.Context, incomplete: str) -> list[str]:
    from onepipe import registry

    folder = Path(ctx.find_root().params.get("config") or "config.yaml").absolute().parent
    return [found.name for found in registry.every("mappings", folder) if found.name.startswith(incomplete)]


@mapping.command(epilog=examples("onepipe mapping show capsule"))
def show(
    ctx: typer.Context,
    connector: Annotated[str, typer.Argument(metavar="CONNECTOR", autocompletion=_complete_connector)],
) -> None:
    """Print the SQL that a mapping becomes."""
    from onepipe import remap

    screen.say(remap.show(connector, door(ctx).config.absolute().parent))


@mapping.command(epilog=examples("onepipe mapping check", "onepipe mapping check mappings/capsule.yaml"))
def check(
    ctx: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Mapping files; all that are in use if none is given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check mapping files and the examples in them.

    Every mistake is told with its file, line and column.
    """
    config = door(ctx).config
    paths = files or _in_use(config)
    faults = [fault for path in paths for fault in _faults(path, config.absolute().parent)]
    if as_json:
        screen.document({"files": [str(path) for path in paths], "faults": [_document(fault) for fault in faults]})
    else:
        for fault in faults:
            screen.say(str(fault))
        if not faults:
            screen.say(f"{screen.counted(len(paths), 'mapping')} checked, with all examples: no mistake.")
    end(exits.WRONG if faults else 0)


def _in_use(config: Path) -> list[Path]:
    """The mappings of the project's connections; without a project, all there are."""
    from onepipe import registry
    from onepipe.account import mapping_path
    from onepipe.config import load

    if config.is_file():
        loaded = load(config, credentials=False)
        return list(dict.fromkeys(mapping_path(loaded, one) for one in loaded.connections.values()))
    return [found.path for found in registry.every("mappings", config.absolute().parent)]


def _faults(path: Path, project: Path) -> list[Fault]:
    from onepipe.account import mapping_at
    from onepipe.compile import check_examples
    from onepipe.warehouse.query import scratch

    try:
        with scratch() as db:
            return check_examples(mapping_at(path, project), db.run)
    except ConfigError as error:
        if not error.faults:
            raise
        return list(error.faults)


def _document(fault: Fault) -> dict[str, object]:
    place = {"file": str(fault.file), "line": fault.line, "column": fault.column}
    return place | {"path": fault.path, "message": fault.message}


@mapping.command(epilog=examples("onepipe mapping plan", "onepipe mapping plan acme --json"))
def plan(ctx: typer.Context, connections: Connections = None, as_json: Json = False) -> None:
    """Show what an edited mapping would change.

    Columns, numbers of rows, values before and after, and what it would do to the figures of the last four month-ends.
    It is tried on a copy of what is stored: no CRM is asked, and nothing is changed.
    """
    from onepipe import remap
    from onepipe.cli.progress import watching
    from onepipe.cli.remapping import show_plan

    with door(ctx).project("mapping plan") as project, watching() as watch:
        found = remap.plan(project, connections or [], watch)
    if as_json:
        screen.document({"plans": [asdict(one) for one in found]})
    elif found:
        show_plan(found)
    else:
        screen.say(NOTHING)


@mapping.command(epilog=examples("onepipe mapping apply", "onepipe mapping apply acme --yes"))
def apply(
    ctx: typer.Context,
    connections: Connections = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where a column would lose all, or more than half, of what it holds.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read everything again with the edited mappings.

    It is read from what is stored: no CRM is asked. A mapping by which a column would lose all or more than half of its
    values, or get another type, is refused, with the figures.
    """
    from onepipe import remap
    from onepipe.cli.progress import watching
    from onepipe.cli.remapping import show_applied

    with door(ctx).project("mapping apply") as project:
        waiting = remap.waiting(project, connections or [])
        if waiting and not yes:
            _confirm([name for name, *_ in waiting])
        with watching() as watch:
            done = remap.apply(project, [name for name, *_ in waiting], watch, force=force) if waiting else []
    if as_json:
        keys = ("connection", "versions", "before", "now")
        applied = [{key: getattr(one, key) for key in keys} for one in done if not one.refused]
        refused = [{"connection": one.connection, "reasons": list(one.refused)} for one in done if one.refused]
        screen.document({"applied": applied, "refused": refused})
    elif done:
        show_applied(done)
    else:
        screen.say(NOTHING)
    end(exits.WRONG if any(one.refused for one in done) else 0)


def _confirm(names: list[str]) -> None:
    """Ask on a terminal; refuse elsewhere. Raises UsageError."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"the mapping of {exits.listed(names)} was edited and would be applied; nothing was changed",
            "add --yes to apply it without being asked",
        )
    screen.note(f"All rows of {exits.listed(names)} will be read again with the edited mapping.")
    typer.confirm("Apply?", abort=True, err=True)

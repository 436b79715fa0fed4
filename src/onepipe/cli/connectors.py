"""The commands about connectors: `connectors list`, `connectors new`, `connectors test`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, end, examples
from onepipe.errors import ConfigError

if TYPE_CHECKING:
    from onepipe.connector import Parameter, Read
    from onepipe.registry import Found

connectors = typer.Typer(no_args_is_help=True, help="List, begin and test connectors.")
app.add_typer(connectors, name="connectors")

CHANGES = {
    "none": "the API cannot be asked for changes: every run reads the whole list",
    "since": "only what changed since an instant is read",
    "range": "only what changed between two instants is read; a backfill can be cut by date",
}


@connectors.command("list", epilog=examples("onepipe connectors list", "onepipe connectors list --json"))
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """Show every connector and what it can do.

    Its API and how long that lives, what it was verified against, what it needs and what it can read.
    """
    from onepipe import registry

    found = [_described(one) for one in registry.every("connectors", door(ctx).config.absolute().parent)]
    if as_json:
        screen.document({"connectors": found})
        return
    for one in found:
        _show(one)


def _described(found: "Found") -> dict[str, Any]:
    from onepipe import registry

    told: dict[str, Any] = {"name": found.name, "origin": found.origin, "path": str(found.path)}
    try:
        made = registry.load_found(found)
    except ConfigError as error:
        return told | {"error": error.message}
    facts = made.facts
    reads = [_named(read) for read in made.reads().values()]
    return told | {
        "title": facts.title,
        "api": facts.api,
        "ends": facts.ends,
        "verified": facts.verified,
        "filter": facts.filter,
        "quota": " and ".join(map(str, facts.quota)) or None,
        "credentials": list(facts.credentials),
        "settings": dict(facts.settings),
        "reads": reads,
        "writes": [verb for verb in ("create", "update", "delete") if made.can(verb)],
        "actions": [_named(one) for one in made.actions().values()],
        "error": None,
    }


def _named(one: "Read") -> dict[str, Any]:
    return {"name": one.name, "doc": one.doc, "parameters": [_parameter(parameter) for parameter in one.parameters]}


def _parameter(parameter: "Parameter") -> dict[str, Any]:
    return {"name": parameter.name, "type": parameter.type.__name__, "required": parameter.required}


def _show(one: dict[str, Any]) -> None:
    screen.say(f"{screen.strong(one['name'])}  ({one['origin']}: {one['path']})")
    if one["error"]:
        screen.say(f"  broken: {one['error']}\n")
        return
    ends = f"; its end was announced for {one['ends']}" if one["ends"] else ""
    _line("api", f"{one['title']}, {one['api']}{ends}")
    _line("verified", f"against {one['verified']}")
    _line("changes", CHANGES[one["filter"]])
    _line("quota", one["quota"])
    _line("credentials", ", ".join(one["credentials"]))
    for n, (name, meaning) in enumerate(one["settings"].items()):
        _line("" if n else "settings", f"{name}: {meaning}")
    _line("writes", ", ".join(one["writes"]))
    for kind in ("reads", "actions"):
        for n, read in enumerate(one[kind]):
            _line("" if n else kind, f"{_usage(read, kind):<32} {read['doc']}".rstrip())
    screen.say()


def _usage(read: dict[str, Any], kind: str) -> str:
    """How people type it; the ID of an action stands without its name."""
    words = [f"{one['name']}=" if one["required"] else f"[{one['name']}=]" for one in read["parameters"]]
    return " ".join([read["name"], *(["ID", *words[1:]] if kind == "actions" else words)])


def _line(heading: str, text: str | None) -> None:
    if text:
        screen.say(f"  {screen.faint(f'{heading:<13}')}{text}")


@connectors.command(epilog=examples("onepipe connectors new pipedrive"))
def new(ctx: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME")]) -> None:
    """Begin a connector of your own.

    Writes connectors/NAME.py with a fake CRM to test it against, and mappings/NAME.yaml. It works as it stands: change
    it bit by bit, and test it after each step.
    """
    from onepipe import scaffold

    folder = door(ctx).config.parent
    made = scaffold.connector(folder, name)
    for path in made.written:
        screen.say(f"wrote  {path}")
    screen.say(f"\nNext: onepipe connectors test {folder / 'connectors' / name}.py")


@connectors.command(epilog=examples("onepipe connectors test connectors/pipedrive.py"))
def test(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A connector file, with its fake CRM in or beside it.")],
    as_json: Json = False,
) -> None:
    """Run the contract suite on a connector.

    Does it read everything once, whatever the server does? Against a hostile server on this machine.
    """
    from onepipe import contract, registry
    from onepipe.sandbox.rig import rig_for

    made = registry.load_file(file)
    results = contract.run(made, rig_for(made, file))
    failed = [result for result in results if result.outcome == "failed"]
    if as_json:
        keys = ("name", "sentence", "outcome", "reason")
        told = [{key: getattr(result, key) for key in keys} for result in results]
        screen.document({"connector": file.stem, "score": contract.score(results), "checks": told})
    else:
        for result in results:
            screen.say(str(result))
        screen.say(f"\n{file.stem}: {contract.score(results)}.")
    end(exits.FAILED if failed else 0)

"""The frame of the command line: the global options, what every command shares, and how errors end."""

import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe import __version__
from onepipe.errors import ConfigError, OnepipeError

if TYPE_CHECKING:
    from onepipe.config import Config
    from onepipe.project import Project

CONFIG = Path("config.yaml")
SAFE = "what was committed before is safe, and running the command again loses nothing"
ORDER = (  # of the help: as one comes to need them
    *("demo", "init", "check", "sync", "backfill", "daemon", "run-now", "pause", "resume", "alerts", "status", "runs"),
    *("fleet", "quota", "sweep", "explain"),
    *("problems", "drift"),
    *("report", "freeze", "sql", "export", "docs", "get", "edit", "push", "conflicts", "call", "mapping", "stages"),
    *("people", "rebind", "connection", "maintain", "backup", "restore", "erase", "connectors", "schema", "sandbox"),
)


class Doors(TyperGroup):
    """The group of commands; the one place where an error becomes a paragraph and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Ends with exit codes 1, 2 or 75 for what it raises."""
        try:
            return super().invoke(ctx)
        except OnepipeError as error:
            raise self._told(ctx, exits.paragraph(error), exits.of_error(error)) from error
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except OSError as error:
            raise self._told(ctx, exits.sentences(str(error), SAFE), exits.FAILED) from error
        except Exception as error:
            if type(error).__module__.startswith(("typer", "click")):  # wrong usage: told by Typer itself
                raise
            raise self._told(ctx, _own_fault(error), exits.FAILED) from error

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of the commands, in the order of the help."""
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def _told(self, ctx: Any, text: str, code: int) -> typer.Exit:
        from onepipe import logs

        if ctx.params.get("debug"):
            screen.note(logs.redact(traceback.format_exc()))
        screen.note(logs.redact(text))
        return typer.Exit(code)


def _own_fault(error: Exception) -> str:
    return exits.sentences(
        f"a fault in onepipe itself: {type(error).__name__}: {error}",
        SAFE,
        "if it happens again, run it with `onepipe --debug ...` and report what that prints",
    )


app = typer.Typer(
    name="onepipe",
    cls=Doors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Door:
    """What the global options said."""

    config: Path
    debug: bool

    def load(self, credentials: bool = False, *, believing: bool = False) -> "Config":
        """config.yaml, for commands that need no engine. Raises ConfigError."""
        from onepipe import config, fitting

        self._begin()
        if credentials:
            return fitting.load(self.config, believing=believing)
        return config.load(self.config, credentials=False)

    def project(self, command: str, *, renewing: bool = False) -> "Project":
        """The project, for a `with`; `command` names this process to others that wait for it. Raises ConfigError.

        `renewing`: a list of accounts that is wrong in places does not stop it.
        """
        from onepipe.project import Project

        self._begin()
        return Project(self.config, command=f"onepipe {command}", renewing=renewing)

    def calm(self) -> None:
        """Keep the log silent: what people should know comes as notices and paragraphs."""
        from onepipe import logs

        logs.configure(level="debug" if self.debug else "critical")

    def _begin(self) -> None:
        self.calm()
        if not self.config.exists():
            raise ConfigError(
                f"There is no file {self.config}",
                "go to your project's folder, name its config with `onepipe --config PATH ...`, or begin one with "
                "`onepipe init`",
            )


def door(ctx: typer.Context) -> Door:
    """The global options of the command that runs."""
    found: Door = ctx.obj
    return found


def _tell_version(wanted: bool) -> None:
    if wanted:
        screen.say(f"onepipe {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
]


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[Path, typer.Option("--config", metavar="PATH", help="The project's config.yaml.")] = CONFIG,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback where an error ends the command.")] = False,
    _version: Version = False,
) -> None:
    """The opportunities of many CRMs in one DuckDB warehouse.

    Begin with `onepipe demo`, or with `onepipe init`, `onepipe check` and `onepipe sync`.
    """
    ctx.obj = Door(config, debug)


def examples(*lines: str) -> str:
    """The examples below a command's help, one a line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])  # \b keeps the lines apart


def complete_connection(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names and labels of connections in config.yaml; nothing where it cannot be read."""
    from onepipe import yamlmarks

    path = ctx.find_root().params.get("config") or CONFIG
    try:
        data, _ = yamlmarks.load(Path(path))
        connections = data.get("connections") or {}
        labels = {f"label:{k}={v}" for one in connections.values() for k, v in (one.get("labels") or {}).items()}
        listed = _listed(Path(path)) if "connections_from" in data else []
    except (OnepipeError, KeyError, TypeError, AttributeError):
        return []
    return [word for word in [*connections, *listed, *sorted(labels)] if word.startswith(incomplete)]


def _listed(path: Path) -> list[str]:
    from onepipe import config

    return config.names(path)


CONNECTIONS_HELP = "Names, globs (acme-*) or labels (label:client=Acme); all if none is given."
Connections = Annotated[
    list[str] | None,
    typer.Argument(metavar="CONNECTION", help=CONNECTIONS_HELP, autocompletion=complete_connection, show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def end(code: int) -> None:
    """End the command with an exit code, if it is not 0."""
    if code:
        raise typer.Exit(code)


def main(argv: list[str] | None = None) -> None:
    """The entry point `onepipe`."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Callable[..., None] | None = getattr(stream, "reconfigure", None)
        if reconfigure:  # a letter that the terminal's encoding lacks must not end a command
            reconfigure(errors="backslashreplace")
    try:
        app(argv, prog_name="onepipe")
    except BrokenPipeError:
        _close_stdout()
        sys.exit(exits.FAILED)
    finally:
        _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _close_stdout()


def _close_stdout() -> None:
    """Nobody reads any more: what Python would still write at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

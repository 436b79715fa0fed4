"""The commands `connection rename` and `connection forget`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, complete_connection, door, examples
from onepipe.cli.runs import Wait
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.keeping.names import Forgetting

connection = typer.Typer(no_args_is_help=True, help="Give a connection another name, or forget a retired one.")
app.add_typer(connection, name="connection")


@connection.command(
    epilog=examples("onepipe connection rename acme acme-emea", "onepipe connection rename acme acme-emea --json")
)
def rename(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="OLD", help="The name so far.", show_default=False)],
    after: Annotated[
        str, typer.Argument(metavar="NEW", autocompletion=complete_connection, help="Its name in config.yaml by now.")
    ],
    wait: Wait = 0.0,
    as_json: Json = False,
) -> None:
    """Move all that is kept of a connection to the name that config.yaml gives it by now, and publish.

    Stop the daemon and write the new name into config.yaml first, in the place of the old one. History, raw, edits,
    quotas and what was frozen go along; no deal gets a new version. Killed anywhere, the same command ends it.
    """
    from onepipe.cli.progress import watching
    from onepipe.keeping import names

    with door(ctx).project("connection rename") as project, watching() as watch:
        done = names.rename(project, before, after, watch, wait)
    if as_json:
        keys = ("before", "after", "rows", "control", "edit")
        screen.document({key: getattr(done, key) for key in keys})
        return
    screen.say(f"{before} is {after}: {screen.counted(sum(done.rows.values()), 'row')} moved.")
    if done.edit:
        screen.note(
            f"{exits.listed(list(done.edit))} still {'says' if len(done.edit) == 1 else 'say'} {before}: write {after} "
            "there before the next sync."
        )


@connection.command(
    epilog=examples("onepipe connection forget acme-old", "onepipe connection forget acme-old --yes --json")
)
def forget(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One that config.yaml has no more.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Remove every row of a retired connection, and publish; it cannot be undone.

    Stop the daemon first. One line in sync_runs stays, which says that it was done and when. Copies and backups hold
    what they held: they are named.
    """
    from onepipe.cli.progress import watching
    from onepipe.keeping import names

    with door(ctx).project("connection forget") as project, watching() as watch:
        plan = names.intended(project, name, watch)
        if not yes:
            _agree(plan)
        done = names.forget(project, plan, watch)
    if as_json:
        told = {"connection": name, "rows": plan.rows, "control": plan.control, "still": plan.still}
        bytes_ = {"work_bytes_before": done.rewritten.before, "work_bytes_after": done.rewritten.after}
        screen.document(told | bytes_)
        return
    freed = screen.size(max(done.rewritten.before - done.rewritten.after, 0))
    screen.say(f"{name} is forgotten: {screen.counted(plan.total, 'row')} removed, {freed} given back.")
    if plan.still:
        screen.note(
            f"It may still be in {exits.listed(list(plan.still))}; `onepipe maintain --drop-copies` for copies."
        )


def _agree(plan: "Forgetting") -> None:
    """Have the name typed on a terminal; refuse elsewhere. Raises UsageError."""
    about = f"{screen.counted(plan.total, 'row')} of {plan.connection}"
    if not sys.stdin.isatty():
        raise UsageError(f"this would remove {about}; nothing was changed", "add --yes to do so without being asked")
    rows = [(table, screen.count(count)) for table, count in (*plan.rows.items(), *plan.control.items())]
    for line in screen.table(("table", "rows"), rows, right=(1,)):
        screen.note(line)
    screen.note(f"This removes {about}, history included, for good.")
    if typer.prompt(f"Type {plan.connection} to go on", err=True, default="", show_default=False) != plan.connection:
        raise UsageError("that is not its name; nothing was changed")

"""The commands `backup` and `restore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import Json, app, door, end, examples
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.keeping.restoring import Restored


@app.command(
    epilog=examples(
        "onepipe backup /backups/onepipe-2026-01-31.zip",
        "onepipe backup /backups/tonight",
        "onepipe backup --check /backups/onepipe-2026-01-31.zip",
    )
)
def backup(
    ctx: typer.Context,
    target: Annotated[
        Path | None, typer.Argument(metavar="FILE.zip|DIR", help="A new ZIP file, or a new folder.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Only see whether a backup is whole.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the state, config.yaml and what lies beside it, while everything goes on.

    Never .env. Tokens that connectors refresh are in it, for a restore needs them: keep it like a credential (it has
    mode 0600).
    """
    if (target is None) == (check is None):
        raise UsageError("Give either FILE.zip (or a folder) or --check FILE; nothing was done")
    if check is not None:
        _check(check, as_json)
        return
    from onepipe.cli.progress import watching
    from onepipe.keeping import backups

    with door(ctx).project("backup") as project, watching() as watch:
        made = backups.make(project, target or Path(), watch)
    if as_json:
        told = {"path": str(made.path), "bytes": made.bytes, "credentials_in_config": list(made.plain)}
        screen.document(told | _manifest(made.manifest))
        return
    screen.say(f"{made.path}: {screen.size(made.bytes)}, generation {made.manifest.generation}, mode 0600.")
    screen.note("It holds personal data, and tokens of connectors that refresh them. Not in it: .env.")
    if made.plain:
        screen.note(
            f"config.yaml itself holds the credential of {exits.listed(list(made.plain))}, and so does the backup; "
            "`${NAME}` there and the value in .env keeps it out."
        )


def _check(path: Path, as_json: bool) -> None:
    from onepipe.keeping import archive

    manifest, faults = archive.manifest_of(path), archive.faults(path)
    if as_json:
        screen.document({"path": str(path), "whole": not faults, "faults": faults} | _manifest(manifest))
    else:
        for fault in faults:
            screen.say(fault)
        words = "is whole" if not faults else "is damaged: use another one"
        files = screen.counted(len(manifest.files), "file")
        screen.say(f"{path} {words}: {files}, {screen.size(manifest.bytes)}, made at {manifest.made_at}.")
    end(exits.FAILED if faults else 0)


@app.command(
    epilog=examples(
        "onepipe restore /backups/onepipe-2026-01-31.zip",
        "onepipe restore /backups/onepipe-2026-01-31.zip --force",
        "onepipe restore /backups/onepipe-2026-01-31.zip --into /srv/onepipe-2",
    )
)
def restore(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `onepipe backup` wrote.", show_default=False)],
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Make a project of it in this empty folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also over a newer state, which is kept aside.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a project back as it was when it was backed up, and publish.

    Verifies first; killed at any moment it leaves the old state or the new one. The next sync reads on from then.
    Edits that waited then may have been sent since: none is sent again before somebody has looked.
    """
    from onepipe.keeping import restoring

    door(ctx).calm()
    config = door(ctx).config
    if into is None and not config.exists():
        raise UsageError(
            f"there is no {config} whose state could be restored; nothing was done",
            "go to the project's folder, or make a new one with --into DIR",
        )
    done = (
        restoring.into_folder(path, into, screen.note)
        if into is not None
        else restoring.into_project(path, config, force, screen.note)
    )
    if as_json:
        screen.document(_restored(done))
    else:
        _tell_restored(done)
    if done.unpublished:
        screen.note(f"The warehouse was not published. {exits.paragraph(done.unpublished)}")
        end(exits.of_error(done.unpublished))


def _tell_restored(done: "Restored") -> None:
    screen.say(f"Restored as of {done.manifest.made_at}. Run `onepipe sync` next: it reads on from there.")
    if done.aside:
        screen.say(f"What was there is in {done.aside}; `onepipe maintain --drop-copies` removes it.")
    if done.unlike:
        screen.note(f"These differ from the backup's and were left as they are: {', '.join(done.unlike)}.")
    if done.held.edits or done.held.creates:
        edits = screen.counted(done.held.edits, "edit")
        creates = screen.counted(done.held.creates, "new deal")
        screen.note(
            f"{edits} and {creates} waited to be sent then, and may have been sent since: each becomes a conflict, "
            "unless the CRM holds it already. `onepipe push plan`, then `onepipe conflicts list`, show them."
        )
    if done.held.erased:
        erasures = screen.counted(done.held.erased, "erasure")
        screen.note(f"{erasures} made since then must be made again: `onepipe erase --resume`.")
    screen.note("Deletions since then are found by the next sweep: `onepipe sync --sweep` looks at once.")


def _restored(done: "Restored") -> dict[str, Any]:
    return {
        "config": str(done.config),
        "aside": str(done.aside) if done.aside else None,
        "unlike": list(done.unlike),
        "held": {"edits": done.held.edits, "creates": done.held.creates, "erased": done.held.erased},
        **_manifest(done.manifest),
    }


def _manifest(manifest: Any) -> dict[str, Any]:
    keys = ("made_at", "generation", "warehouse_id", "onepipe_version", "schema_version", "state_version")
    return {key: getattr(manifest, key) for key in keys} | {"files": len(manifest.files)}

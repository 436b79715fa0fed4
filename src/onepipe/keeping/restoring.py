"""What comes back from a backup: into the project whose state was lost or spoilt, or into an empty folder.

    unpacked and verified -> made safe -> commit lock -> decided by one rename -> moved -> published

What is unpacked is touched only after every checksum was right, and what is there only after everything else was. The
state that was there is kept aside, in `replaced-...` in the state folder.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import onepipe.control.restored as restored
import onepipe.control.swapping as swapping
from onepipe import config as configuration
from onepipe.config import Config
from onepipe.control.commit import CommitLock
from onepipe.control.look import look
from onepipe.control.restored import Held
from onepipe.errors import ConfigError, DiskTrouble, LeaseHeld, OnepipeError, UsageError
from onepipe.keeping import archive, backups
from onepipe.keeping.archive import Manifest
from onepipe.publish import publish
from onepipe.warehouse import moved
from onepipe.warehouse.moved import Place
from onepipe.warehouse.work import Warehouse

Say = Callable[[str], None]
BUSY = 5.0  # seconds to wait for a commit of another process


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `aside`: where the state that was there is now; `held`: what a person has to look at.

    `unlike` are files beside config.yaml that differ from the backup's and stayed; `unpublished` is why no snapshot was
    put in place.
    """

    config: Path
    manifest: Manifest
    aside: Path | None
    held: Held
    unlike: tuple[str, ...]
    unpublished: OnepipeError | None


def into_project(path: Path, config: Path, force: bool, say: Say, clock: Callable[[], float] = time.time) -> Restored:
    """Put a backup in the place of a project's state.

    Raises ConfigError for an archive that is not whole, of a newer onepipe or of another project, UsageError where the
    state there is newer and `force` is not given, LeaseHeld where anything runs, DiskTrouble; nothing is changed then.
    """
    found = configuration.places(config)
    state = found.state
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    swapping.finish(state, "onepipe restore")
    _refuse_busy(state)
    with CommitLock(state / "commit.lock", "onepipe restore").hold(BUSY), _part(state) as part:
        manifest = _unpacked(path, part / "archive")
        there, published = moved.place(state / "work.duckdb"), moved.place(found.warehouse)
        _refuse_others(manifest, there, published, found, state, force)
        held = _make_safe(part / "archive" / "state", manifest, state, (there, published), clock)
        aside = f"replaced-{datetime.fromtimestamp(clock(), UTC):%Y%m%dT%H%M%S}-{os.getpid()}"
        (part / "aside").write_text(aside, encoding="utf-8")
        (part / "archive" / "state").rename(part / "new")
        unlike = _beside(part / "archive" / "project", found.folder)
        shutil.rmtree(part / "archive")
        _refuse_busy(state)
        restored.settle_down(state / "control.sqlite")
        with _translated(state):
            swapping.decide(part)
        swapping.finish_locked(state)
    kept = state / aside
    return Restored(config, manifest, kept if kept.is_dir() else None, held, unlike, _publish(found, say))


def into_folder(path: Path, folder: Path, say: Say, clock: Callable[[], float] = time.time) -> Restored:
    """Make a project of a backup, in a folder that is empty or not there; all of it or nothing.

    Raises as `into_project` does, and UsageError where config.yaml in the backup names places outside that folder.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty; nothing was done", "name an empty folder, or a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _part(folder.parent, folder.name) as part:
        manifest = _unpacked(path, part / "archive")
        project = part / "archive" / "project"
        found = _archived(path, project, manifest.config)
        for key, place in (("state", found.state), ("warehouse", found.warehouse)):
            if not place.is_relative_to(project):
                raise UsageError(
                    f"config.yaml in the backup has `{key}: {place}`, outside {folder}; nothing was done",
                    "on the machine it was made for, restore without --into, where that config.yaml lies",
                )
        held = _make_safe(part / "archive" / "state", manifest, found.state, (), clock)
        found.state.parent.mkdir(parents=True, exist_ok=True)
        (part / "archive" / "state").rename(found.state)
        with _translated(folder):
            project.chmod(0o755)
            project.rename(folder)
    placed = configuration.places(folder / manifest.config)
    backups.note(
        placed.state,
        backups.Known(str(path.absolute()), manifest.made_at, manifest.warehouse_id, manifest.generation),
    )
    return Restored(folder / manifest.config, manifest, None, held, (), _publish(placed, say))


def _archived(path: Path, project: Path, name: str) -> Config:
    """The config.yaml of a backup. Raises ConfigError, which names the backup: our own copy of it is soon gone."""
    try:
        return configuration.places(project / name)
    except ConfigError as error:
        faults = tuple(replace(one, file=path / name) for one in error.faults)
        told = "\n".join(map(str, faults)) or f"{name} in {path} cannot be read"
        raise ConfigError(told, "nothing was restored", faults) from error


def _refuse_busy(state: Path) -> None:
    """Raise LeaseHeld where another process is at work."""
    for owner in look(state).owners.values():
        held = "the daemon's place" if owner.name == "daemon" else f"the {owner.name.replace(':', ' ', 1)}"
        raise LeaseHeld(
            f"{held} is held by {owner}. Nothing was changed.",
            "Stop the daemon and what else runs in this project, then restore again.",
        )


def _refuse_others(
    manifest: Manifest, there: Place | None, published: Place | None, config: Config, state: Path, force: bool
) -> None:
    """Refuse a backup of another project, and one that is older than what is there, unless that is meant."""
    if config.warehouse.exists() and (published is None or published.warehouse_id != manifest.warehouse_id):
        raise ConfigError(
            f"{config.warehouse} is not a snapshot of the project that was backed up; nothing was changed",
            "move that file away, or restore into an empty folder with --into",
        )
    if force or not any((state / name).exists() for name in ("work.duckdb", "control.sqlite")):
        return
    if there is None:
        told = f"the state in {state} cannot be read, and may be newer than the backup"
    elif there.warehouse_id != manifest.warehouse_id:
        told = f"the state in {state} is that of another project"
    elif there.generation > manifest.generation:
        newer = there.generation - manifest.generation
        told = f"the state in {state} is newer than the backup, by {newer} {'commit' if newer == 1 else 'commits'}"
    else:
        return
    raise UsageError(f"{told}; nothing was changed", "--force replaces it, and keeps it aside")


def _unpacked(path: Path, folder: Path) -> Manifest:
    """The archive in a folder, every file as it was written, and both databases known to this onepipe."""
    folder.mkdir(mode=0o700)
    manifest = archive.extract(path, folder)
    (folder / "project").mkdir(exist_ok=True)
    state = folder / "state"
    if not (state / "work.duckdb").is_file() or not (state / "control.sqlite").is_file():
        raise ConfigError(f"{path} holds no state; nothing was changed", "use another backup")
    restored.version(state / "control.sqlite")
    found = moved.place(state / "work.duckdb")
    if found is None or found.warehouse_id != manifest.warehouse_id:
        raise ConfigError(f"work.duckdb in {path} is no work file; nothing was changed", "use another backup")
    moved.refuse_newer(found, path)
    return manifest


def _make_safe(
    unpacked: Path, manifest: Manifest, state: Path, others: tuple[Place | None, ...], clock: Callable[[], float]
) -> Held:
    """Make what was unpacked fit to go on from, above every generation there was."""
    newest = [one.generation for one in others if one is not None and one.warehouse_id == manifest.warehouse_id]
    moved.raise_generation(unpacked / "work.duckdb", max([manifest.generation, *newest]) + 1)
    return restored.make_safe(unpacked / "control.sqlite", manifest.made_at, state / "control.sqlite", clock)


def _beside(project: Path, folder: Path) -> tuple[str, ...]:
    """Bring back files beside config.yaml that are missing; those that are there and differ stay, and are told."""
    unlike = []
    for path in sorted(one for one in project.rglob("*") if one.is_file()):
        name = path.relative_to(project)
        place = folder / name
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        elif place.is_file() and place.read_bytes() != path.read_bytes():
            unlike.append(name.as_posix())
    return tuple(unlike)


def _publish(config: Config, say: Say) -> OnepipeError | None:
    """Put a snapshot of what was restored in place; what kept it from being done."""
    lock = CommitLock(config.state / "commit.lock", "onepipe restore")
    warehouse = Warehouse(config.state, lambda: lock.hold(60.0), left_out=config.publish.left_out)
    try:
        publish(warehouse, config.warehouse, config.folder / "views", say)
    except OnepipeError as error:
        return error
    finally:
        warehouse.rest()
    return None


@contextmanager
def _part(folder: Path, name: str = "restore") -> Iterator[Path]:
    """A folder of our own to unpack into, gone at the end unless it was renamed."""
    part = folder / f".{name}.{os.getpid()}.part"
    with _translated(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
    try:
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskTrouble(
            f"nothing could be restored into {folder}: {error}", "what was there is as it was; put that right first"
        ) from error

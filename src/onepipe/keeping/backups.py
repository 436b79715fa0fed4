"""Backups: the control file and the work file as they stood at one moment, with what people wrote beside config.yaml.

    commit lock -> both copied into the state folder -> unlocked -> archive, manifest last -> noted in backups.json

Left out are .env and every other file that holds credentials; not so the tokens that connectors refresh, which the
control file keeps and a restore needs: an archive is a secret, and has mode 0600.
"""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

import onepipe.control.restored as restored
from onepipe import __version__
from onepipe.config import Config
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.keeping import archive
from onepipe.keeping.archive import Manifest
from onepipe.project import Project
from onepipe.report import Watch
from onepipe.spool import sync_folder
from onepipe.warehouse import snapshot
from onepipe.warehouse.files import copied, part_of, sweep
from onepipe.warehouse.layout import version

LIST = "backups.json"
FOLDERS = ("mappings", "connectors", "views")  # beside config.yaml, with all that is in them
FILES = ("stages.csv", "people.csv")
_STEPS = 3


class Known(msgspec.Struct):
    """A backup that was made of this state: where it was put, and of what moment. It may have been moved since."""

    path: str
    made_at: str
    warehouse_id: str
    generation: int

    @property
    def there(self) -> bool:
        """Whether it is still where it was put."""
        return Path(self.path).exists()


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made. `plain` are connections whose credential stands in config.yaml itself, and so in it."""

    path: Path
    manifest: Manifest
    bytes: int
    plain: tuple[str, ...]


def make(project: Project, target: Path, watch: Watch | None = None, now: datetime | None = None) -> Made:
    """Back a project up into a ZIP file, or a folder where the name does not end in .zip.

    Commits wait while the two files are copied. Raises UsageError for a place that is taken, ConfigError where there is
    nothing yet, LeaseHeld, DiskTrouble.
    """
    watch, state = watch or Watch(), project.config.state
    archive.refuse_taken(target)
    if not project.warehouse.path.exists():
        raise ConfigError(f"there is nothing in {state} yet to back up; nothing was done", "run `onepipe sync` first")
    with _stage(state) as folder:
        watch.step(0, _STEPS, "copying the state")
        manifest = _copied(project, folder / "state", now or datetime.now(UTC))
        watch.step(1, _STEPS, "copying what lies beside config.yaml")
        _beside(project.config, folder / "project")
        watch.step(2, _STEPS, f"writing {target.name}")
        archive.write(folder, manifest, target)
    note(state, Known(str(target.absolute()), manifest.made_at, manifest.warehouse_id, manifest.generation))
    watch.step(_STEPS, _STEPS, target.name)
    size = sum(one.stat().st_size for one in target.rglob("*")) if target.is_dir() else target.stat().st_size
    return Made(target, manifest, size, tuple(_in_plain(project.config)))


def known(state: Path) -> list[Known]:
    """The backups that were made of a state folder, oldest first; those that were moved away since, too."""
    try:
        return msgspec.json.decode((state / LIST).read_bytes(), type=list[Known])
    except (OSError, msgspec.DecodeError):
        return []


def note(state: Path, backup: Known) -> None:
    """Remember a backup. Raises DiskTrouble."""
    others = [one for one in known(state) if one.path != backup.path]
    try:
        _write(state, [*others, backup])
    except OSError as error:
        raise DiskTrouble(
            f"{backup.path} is whole, but could not be noted in {state / LIST}: {error}",
            "free some space there; `onepipe erase` finds only those that are noted",
        ) from error


def forget(state: Path, paths: Collection[str]) -> None:
    """Take backups that were removed off the list. Raises DiskTrouble."""
    before = known(state)
    left = [one for one in before if one.path not in paths]
    if len(left) < len(before):
        try:
            _write(state, left)
        except OSError as error:
            raise DiskTrouble(f"the list of backups in {state / LIST} could not be written: {error}") from error


def _write(state: Path, backups: list[Known]) -> None:
    part = state / f".{LIST}.part"
    part.write_bytes(msgspec.json.format(msgspec.json.encode(backups)))
    part.chmod(0o600)
    part.replace(state / LIST)
    sync_folder(state)


@contextmanager
def _stage(state: Path) -> Iterator[Path]:
    """A folder of our own in the state folder, gone at the end."""
    place = state / "backup"
    sweep(place)
    folder = part_of(place)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (folder / "state").mkdir(mode=0o700, parents=True)
        yield folder
    except OSError as error:
        raise DiskTrouble(
            f"the state in {state} could not be copied: {error}", "it is as it was; free some space there and run again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copied(project: Project, folder: Path, now: datetime) -> Manifest:
    """Both files as they stand at one moment: what the one says was landed, the other has."""
    work, control = folder / "work.duckdb", folder / "control.sqlite"
    with project.warehouse.lock():
        with project.warehouse.opened() as db:
            ours, layout = snapshot.current(db), version(db)
        copied(project.warehouse.path, work)
        project.control.copy_to(control)
    work.chmod(0o600)
    mappings = project.config.state / "mappings"
    if mappings.is_dir():
        shutil.copytree(mappings, folder / "mappings", ignore=shutil.ignore_patterns("*.part"))
    return Manifest(
        onepipe_version=__version__,
        made_at=now.astimezone(UTC).isoformat(timespec="seconds"),
        warehouse_id=ours.warehouse_id,
        generation=ours.generation,
        schema_version=layout or 0,
        state_version=restored.version(control),
        config=project.config.file.name,
    )


def _beside(config: Config, folder: Path) -> None:
    """config.yaml and what people write beside it; nothing that is there for credentials alone."""
    folder.mkdir(mode=0o700)
    shutil.copyfile(config.file, folder / config.file.name)
    for name in FOLDERS:
        if (config.folder / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(config.folder / name, folder / name, ignore=ignored)
    rates = config.reporting.rates if config.reporting else None
    own = [one.mapping for one in config.connections.values()]
    for path in (*(config.folder / name for name in FILES), *filter(None, (rates, *own))):
        if path.is_file() and path.is_relative_to(config.folder):
            place = folder / path.relative_to(config.folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _in_plain(config: Config) -> Iterator[str]:
    """Connections whose credential stands in config.yaml itself."""
    text = config.file.read_text(encoding="utf-8")
    for name, one in config.connections.items():
        if any(secret and secret in text for secret in one.secrets):
            yield name

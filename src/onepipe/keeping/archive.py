"""The form of a backup: a folder's files in a ZIP file or a folder, and a manifest, written last, that tells of each.

An archive is made beside its place and renamed into it when it is whole and on disk; there are no half ones.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from onepipe.errors import ConfigError, DiskTrouble, UsageError
from onepipe.spool import sync_folder
from onepipe.warehouse.files import part_of, sweep

MANIFEST = "manifest.json"
FORMAT = 1
PACKED = (".duckdb",)  # compressed by itself
BLOCK = 1 << 20


class File(msgspec.Struct):
    """One file: its place in the archive, its size in bytes and its checksum."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct):
    """What an archive says of itself. `made_at` is ISO in UTC; `config` the name of the project's config.yaml.

    `state_version` and `schema_version` are the layouts of control.sqlite and work.duckdb.
    """

    onepipe_version: str
    made_at: str
    warehouse_id: str
    generation: int
    schema_version: int
    state_version: int
    config: str
    files: list[File] = []
    product: str = "onepipe backup"
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """What all its files take, unpacked."""
        return sum(one.bytes for one in self.files)


def write(folder: Path, manifest: Manifest, target: Path) -> Manifest:
    """Make an archive of all files in a folder, readable for its owner alone; a ZIP file where the name says .zip.

    Raises UsageError for a place that is taken, DiskTrouble where there is no room for it.
    """
    refuse_taken(target)
    manifest.files = [_described(folder, path) for path in _files(folder)]
    with _translated(target), _in_place(target) as part:
        if target.suffix == ".zip":
            _pack(folder, manifest, part)
        else:
            _lay_out(folder, manifest, part)
    return manifest


def refuse_taken(target: Path) -> None:
    """Raise UsageError where something is at a place already, or its folder is not there."""
    if target.exists():
        raise UsageError(f"{target} is there already, and is not replaced; nothing was done", "name another place")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {target.absolute().parent}; nothing was done", "make it first")


def manifest_of(path: Path) -> Manifest:
    """What an archive says of itself. Raises ConfigError for what is none, or of a newer form."""
    try:
        found = msgspec.json.decode(_manifest_bytes(path), type=Manifest)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{path} is no backup of onepipe's, or not a whole one: {error}; nothing was changed"
        ) from error
    if found.product != "onepipe backup" or found.format > FORMAT:
        raise ConfigError(
            f"{path} was made by another program, or a newer onepipe ({found.onepipe_version}); nothing was changed"
        )
    return found


def faults(path: Path) -> list[str]:
    """What is wrong with an archive's files, in words; nothing where each is as it was written. Raises ConfigError."""
    manifest, found = manifest_of(path), list[str]()
    with _reading(path) as archive:
        for one in manifest.files:
            found += _fault(archive, one, None)
    return found


def extract(path: Path, folder: Path) -> Manifest:
    """Unpack an archive into an empty folder. Raises ConfigError, where one file is not as it was written."""
    manifest = manifest_of(path)
    with _translated(folder), _reading(path) as archive:
        found = [fault for one in manifest.files for fault in _fault(archive, one, folder)]
    if found:
        raise ConfigError(f"{path} is damaged: {'; '.join(found)}; nothing was changed", "use another backup")
    return manifest


@contextmanager
def changing(path: Path) -> Iterator[Path]:
    """An archive's files in a folder, to be changed in a `with`; what they are at its end takes the archive's place.

    All of it or nothing: where the `with` ends with an error the archive is as it was. Raises ConfigError, DiskTrouble.
    """
    folder = part_of(path.with_name(f"{path.name}.changing"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        manifest = extract(path, folder)
        yield folder
        anew = path.with_name(f".{path.stem}.{os.getpid()}.anew{path.suffix}")
        _remove(anew)
        write(folder, manifest, anew)
        if path.is_dir():
            path.rename(folder / "before.onepipe")
        anew.rename(path)
        sync_folder(path.absolute().parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Archive:
    """An archive that is read: a ZIP file or a folder."""

    def __init__(self, path: Path, packed: zipfile.ZipFile | None) -> None:
        self._path, self._packed = path, packed

    def open(self, name: str) -> BinaryIO:
        """One file. Raises OSError, KeyError and BadZipFile."""
        if self._packed is not None:
            return self._packed.open(name)  # type: ignore[return-value]
        return (self._path / name).open("rb")


@contextmanager
def _reading(path: Path) -> Iterator[_Archive]:
    if path.is_dir():
        yield _Archive(path, None)
        return
    try:
        with zipfile.ZipFile(path) as packed:
            yield _Archive(path, packed)
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{path} is damaged: {error}; nothing was changed", "use another backup") from error


def _manifest_bytes(path: Path) -> bytes:
    if path.is_dir():
        return (path / MANIFEST).read_bytes()
    with zipfile.ZipFile(path) as packed:
        return packed.read(MANIFEST)


def _fault(archive: _Archive, one: File, folder: Path | None) -> list[str]:
    """What is wrong with a file; it is written into a folder, where one is given."""
    if PurePosixPath(one.path).is_absolute() or ".." in PurePosixPath(one.path).parts:
        return [f"{one.path} leads out of it"]
    digest, count = hashlib.sha256(), 0
    try:
        with archive.open(one.path) as file, _sink(folder, one.path) as sink:
            while block := file.read(BLOCK):
                digest.update(block)
                count += len(block)
                if sink:
                    sink.write(block)
    except (KeyError, FileNotFoundError):
        return [f"{one.path} is missing"]
    except (zipfile.BadZipFile, EOFError) as error:
        return [f"{one.path} cannot be read: {error}"]
    return [] if (count, digest.hexdigest()) == (one.bytes, one.sha256) else [f"{one.path} is not as it was written"]


@contextmanager
def _sink(folder: Path | None, name: str) -> Iterator[BinaryIO | None]:
    if folder is None:
        yield None
        return
    place = folder / name
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _private(place) as file:
        yield file


def _private(path: Path) -> BinaryIO:
    """A new file that its owner alone may read, from its first byte on."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _described(folder: Path, path: Path) -> File:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return File(path.relative_to(folder).as_posix(), path.stat().st_size, digest.hexdigest())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _pack(folder: Path, manifest: Manifest, part: Path) -> None:
    with _private(part) as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for one in manifest.files:
                how = zipfile.ZIP_STORED if one.path.endswith(PACKED) else zipfile.ZIP_DEFLATED
                packed.write(folder / one.path, one.path, how)
            packed.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())


def _lay_out(folder: Path, manifest: Manifest, part: Path) -> None:
    part.mkdir(mode=0o700)
    for one in manifest.files:
        (part / one.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / one.path).open("rb") as source, _private(part / one.path) as file:
            shutil.copyfileobj(source, file, BLOCK)
            file.flush()
            os.fsync(file.fileno())
    with _private(part / MANIFEST) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest)))
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _in_place(target: Path) -> Iterator[Path]:
    """Where to make it: beside its place, into which it is renamed at the end."""
    sweep(target)
    part = part_of(target)
    _remove(part)
    try:
        yield part
        part.rename(target)
        sync_folder(target.absolute().parent)
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)


@contextmanager
def _translated(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskTrouble(
            f"{place} could not be written: {error}", "nothing else was changed; free some space there and run again"
        ) from error

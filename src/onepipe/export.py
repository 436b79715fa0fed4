"""Exports: a folder with a file for each published table, and a manifest that says what they are.

Everything is written into a folder beside the wanted one, the manifest last, and then takes its place in one step. So
a folder of that name is always a whole export, and one that was interrupted has none.
"""

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from onepipe import __version__
from onepipe.errors import DiskTrouble, UsageError
from onepipe.spool import sync_folder
from onepipe.warehouse import catalog, extract
from onepipe.warehouse.catalog import Table
from onepipe.warehouse.database import Database
from onepipe.warehouse.extract import Form, Writer
from onepipe.warehouse.files import part_of, sweep
from onepipe.warehouse.work import published
from onepipe.yamlmarks import did_you_mean

MANIFEST = "manifest.json"
PRODUCT = "onepipe export"
_EXCHANGE = 2  # of renameat2: two names swap what they mean, with no moment between
_HERE = -100  # AT_FDCWD
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export. `connections` None is all; `tables` empty is every table and view of `main`."""

    form: Form
    connections: Collection[str] | None = None
    changed_since: str | None = None
    tables: Sequence[str] = ()


def export(warehouse: Path, folder: Path, wanted: Wanted, now: datetime) -> Manifest:
    """Write a published warehouse into a folder, and answer the manifest.

    Raises UsageError for tables or a run that are not known and for a folder that holds something else, ConfigError
    where nothing is published, DiskTrouble when it could not be written: what was in the folder is there still.
    """
    folder = folder.resolve()
    _refuse_others(folder)
    sweep(folder)
    part = part_of(folder)
    try:
        with published(warehouse, fenced=False) as db:
            tables, after = _chosen(db, wanted.tables), _since(db, wanted.changed_since)
            part.mkdir()
            told = _written(Writer(db, part, wanted.form, wanted.connections, after), tables)
            manifest = _manifest(db, wanted, after, told, now)
        manifest["files"] = _sums(part)
        _seal(part, manifest)
        _put_in_place(part, folder)
    except (OSError, DiskTrouble) as error:
        if not part.is_dir():  # it had not begun
            raise
        raise DiskTrouble(
            f"the export into {folder} could not be written: {error}",
            "what was there before is as it was; free space on that disk and run again",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def _refuse_others(folder: Path) -> None:
    """Raise UsageError unless the folder is free, empty, or an export that nobody put anything into."""
    if folder.is_file() or not folder.parent.is_dir():
        what = "is a file" if folder.is_file() else f"cannot be made: there is no folder {folder.parent}"
        raise UsageError(f"{folder} {what}; nothing was written", "name a folder with -o DIR")
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    known = _named(folder / MANIFEST) if there else set()
    if others := sorted(there - known):
        told = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        raise UsageError(
            f"{folder} holds what is no export of ours ({told}) and is not replaced; nothing was written",
            "name another folder with -o DIR, or move that away",
        )


def _named(manifest: Path) -> set[str]:
    """The files that a manifest of ours names, itself included; none where it is not one."""
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
        return {MANIFEST, *(one["file"] for one in told["files"])} if told["product"] == PRODUCT else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _chosen(db: Database, names: Sequence[str]) -> list[Table]:
    every = {table.word: table for table in catalog.tables(db)}
    if unknown := [name for name in names if name not in every]:
        told = "; ".join(f"No table is called {name!r}; {did_you_mean(name, every)}" for name in unknown)
        raise UsageError(told, f"nothing was written; there are: {', '.join(every)}")
    return [every[name] for name in sorted(set(names))] if names else [t for t in every.values() if t.schema == "main"]


def _since(db: Database, run_id: str | None) -> extract.Since | None:
    if run_id is None:
        return None
    if found := extract.since(db, run_id):
        return found
    latest = ", ".join(extract.latest_runs(db)) or "none yet"
    raise UsageError(
        f"--changed-since: the published warehouse knows no run {run_id!r}; nothing was written",
        f"the latest runs: {latest}; a manifest names the run to go on from",
    )


def _written(writer: Writer, tables: Sequence[Table]) -> list[Manifest]:
    """Every table written; what the manifest tells of each."""
    with writer.writing():
        return [
            {
                "table": table.word,
                "file": writer.file(table.word),
                "rows": writer.write(table),
                "only_changed": writer.bounded(table),
                "columns": [{"name": one.name, "type": one.type, "comment": one.meaning} for one in table.columns],
            }
            for table in tables
        ]


def _manifest(
    db: Database, wanted: Wanted, after: extract.Since | None, tables: list[Manifest], now: datetime
) -> Manifest:
    return {
        "product": PRODUCT,
        "onepipe_version": __version__,
        "written_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "format": wanted.form,
        "warehouse": catalog.about(db),
        "run": next(iter(extract.latest_runs(db, 1)), None),
        "filters": {
            "connections": None if wanted.connections is None else sorted(wanted.connections),
            "changed_since": wanted.changed_since,
            "reread": list(after.reread) if after else [],
            "tables": sorted(set(wanted.tables)) or None,
        },
        "tables": tables,
    }


def _sums(part: Path) -> list[Manifest]:
    files = []
    shutil.rmtree(part / extract.SPILL, ignore_errors=True)
    for path in sorted(part.iterdir()):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        files.append({"file": path.name, "bytes": path.stat().st_size, "sha256": digest})
    return files


def _seal(part: Path, manifest: Manifest) -> None:
    """The manifest, last of all and whole."""
    draft = part / f".{MANIFEST}"
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(part / MANIFEST)
    sync_folder(part)


def _put_in_place(part: Path, folder: Path) -> None:
    """Let the folder's name mean the new export; the old one, under the part's name, is removed by the caller."""
    if not folder.exists():
        part.rename(folder)
    elif not _exchanged(part, folder):
        old = part.with_suffix(".old")
        folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    sync_folder(folder.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two names at once, where the system can."""
    with suppress(AttributeError, OSError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        return bool(call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
    return False

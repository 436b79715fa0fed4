"""Files of ours beside the two that count: pages not yet merged, copies that were kept, backups that were made."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from onepipe.config import Config
from onepipe.errors import ConfigError, DiskTrouble
from onepipe.keeping import archive, backups, leftovers
from onepipe.redaction import Redaction
from onepipe.spool import SEPARATOR, Segment, segments, sync_folder


def clear_spool(folder: Path, redaction: Redaction) -> None:
    """Forget the pages of a connection in which somebody erased stands, and those after them: they are fetched again.

    The caller holds the connection's lease.
    """
    for place in sorted(one for one in folder.glob("*") if one.is_dir()):
        for part in place.glob("*.part"):
            part.unlink()
        whole = list(segments(place))
        first = next((n for n, one in enumerate(whole) if _tells(one, redaction)), None)
        gone = whole[first:] if first is not None else []
        for segment in reversed(gone):  # from the end: what is left is always a beginning
            segment.remove()
        known = {one.path.stem for one in whole if one not in gone}
        for lost in (one for one in place.glob("*.*") if one.stem not in known):
            lost.unlink()
        if gone:
            sync_folder(place)


def _tells(segment: Segment, redaction: Redaction) -> bool:
    """Whether somebody erased stands in a segment."""
    meta, rows = segment.meta, segment.path.read_bytes()
    if redaction.addresses.known(" ".join(meta.unreadable)) or redaction.addresses.known(rows.decode(errors="replace")):
        return True
    ids = {line.split(SEPARATOR, 2)[1].decode() for line in rows.split(b"\n") if line.count(SEPARATOR) > 1}
    return bool(ids & redaction.deals) and meta.resource not in redaction.kept.reference


def copies(config: Config) -> tuple[list[Path], list[Path]]:
    """What holds an older state: copies in the state folder, and backups; and backups that are not where they were."""
    left = leftovers.found(config, set())
    there = [one.path for one in left if one.is_copy or one.connection is None]
    there += [one for one in (config.state / "work.part",) if one.exists()]
    missing = []
    for one in backups.known(config.state):
        if _is_backup(Path(one.path), one.warehouse_id):
            there.append(Path(one.path))
        else:
            missing.append(Path(one.path))
    return there, missing


def remove(config: Config, paths: Iterable[Path]) -> None:
    """Remove these, and forget the backups among them. Raises DiskTrouble."""
    gone = set()
    for path in paths:
        try:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        except OSError as error:
            raise DiskTrouble(
                f"{path} could not be removed: {error}", "all else is erased; `onepipe erase --resume` tries again"
            ) from error
        gone.add(str(path))
    backups.forget(config.state, gone)


def _is_backup(path: Path, warehouse_id: str) -> bool:
    """Whether an archive is at a place, and is the one that was put there."""
    try:
        return path.exists() and archive.manifest_of(path).warehouse_id == warehouse_id
    except ConfigError:
        return False

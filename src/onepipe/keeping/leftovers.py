"""What lies in the state folder, and beside the published file, and nobody needs any more."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onepipe.warehouse.trial as trial
from onepipe.config import WHOLE, Config
from onepipe.control.processes import alive
from onepipe.control.swapping import DONE

_PART = re.compile(r"\.(\d+)\.(part|anew)(\.\w+)?$")  # the process that made it
_COPY = re.compile(r"(work\.v\d+\.duckdb|control\.v\d+\.sqlite|replaced-\S+)$")


@dataclass(frozen=True, slots=True)
class Left:
    """A file or folder, its bytes, and why it is there. `is_copy`: one that was kept on purpose.

    `connection`: whose it is; it may be removed while nobody is at work on that.
    """

    path: Path
    bytes: int
    why: str
    is_copy: bool = False
    connection: str | None = None


def found(config: Config, slices: set[tuple[str, str]]) -> list[Left]:
    """Everything of that kind. `slices` are the scans under way, as connection and slice."""
    state = config.state
    paths = [*((path, "a trial that was killed") for path in trial.lost(state))]
    paths += [(path, "a copy that was killed half-way") for path in _parts(config)]
    paths += [(path, "a restore that is over") for path in [state / DONE] if path.exists()]
    left = [Left(path, size(path), why) for path, why in dict(paths).items()]
    for path in sorted(state.iterdir()):
        if _COPY.match(path.name):
            why = "the state before a restore" if path.is_dir() else "from before an upgrade of onepipe"
            left.append(Left(path, size(path), why, is_copy=True))
    return left + [
        Left(folder, size(folder), "pages of a scan that is over", connection=folder.parent.name)
        for folder in sorted((state / "spool").glob("*/*"))
        if folder.is_dir() and (folder.parent.name, slice_of(folder)) not in slices
    ]


def slice_of(folder: Path) -> str:
    """The slice whose pages a folder of the spool holds: it is called after that and the lease it was written under."""
    return folder.name.partition("-")[0]


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 for what is gone meanwhile."""
    total = 0
    for one in (path, *path.rglob("*")) if path.is_dir() else (path,):
        with suppress(OSError):
            total += one.stat().st_size if one.is_file() else 0
    return total


def _parts(config: Config) -> Iterator[Path]:
    """Parts of files whose process has ended."""
    state, target = config.state, config.warehouse
    places = [*state.glob("*"), *state.glob(".*"), *(state / "mappings").glob("*.part")]
    places += [*target.parent.glob(f".{target.name}.*"), *target.parent.glob(f".{WHOLE}.*")]
    for path in sorted(set(places)):
        ended = _PART.search(path.name)
        if ended and int(ended[1]) != os.getpid() and not alive(int(ended[1]), ""):
            yield path

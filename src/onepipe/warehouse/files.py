"""Copies of warehouse files, made by a process of their own: reading one here would drop the lock that DuckDB holds."""

import glob
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def copied(source: Path, target: Path) -> None:
    """Copy a closed file; a part of a copy is removed. Raises OSError."""
    try:
        command = ["cp", "--reflink=auto", str(source), str(target)]
        if sys.platform != "linux":
            command = [
                sys.executable,
                "-c",
                "import shutil, sys; shutil.copyfile(*sys.argv[1:])",
                str(source),
                str(target),
            ]
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - no shell, our own paths
    except subprocess.CalledProcessError as error:
        target.unlink(missing_ok=True)
        raise OSError(error.stderr.strip() or f"cp ended with {error.returncode}") from error


def part_of(place: Path) -> Path:
    """Where this process makes what is to take a place: beside it, under a name that tells who is at it."""
    return place.with_name(f".{place.name}.{os.getpid()}.part")


def sweep(place: Path) -> None:
    """Remove what killed processes have left of such parts: a part of a warehouse holds as much as the whole."""
    for path in place.parent.glob(f".{glob.escape(place.name)}.*.part*"):
        pid = path.name.removeprefix(f".{place.name}.").partition(".")[0]
        if pid.isdigit() and int(pid) != os.getpid() and not _lives(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's, and at work
        pass
    return True

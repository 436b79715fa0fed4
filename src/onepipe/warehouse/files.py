"""Copies of warehouse files, made by a process of their own: reading one here would drop the lock that DuckDB holds."""

import subprocess
import sys
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

"""Where the lists of `connections_from:` come from: a file or a program's output, and the last good copy of each.

The copies lie in the state folder (`lists/`, for their owner only: a list may hold credentials). They are what a list
is held against that suddenly names far fewer accounts, and what is used when a program fails.
"""

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "lists"
PATIENCE = 60.0  # seconds that a program may take
SHOWN = 200  # letters of what it says on stderr


class ListTrouble(Exception):
    """A list cannot be had now; the text says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """One list: a file, or a program that prints it. `kept` is where its last good copy lies; `every` in seconds."""

    file: Path | None
    command: tuple[str, ...]
    folder: Path
    kept: Path
    every: float

    @classmethod
    def of(
        cls, file: Path | None, command: Sequence[str], folder: Path, state: Path, about: str, every: float
    ) -> "Source":
        """`about` tells two entries apart that read the same list."""
        mark = hashlib.sha256(json.dumps([str(file), *command, about]).encode()).hexdigest()[:16]
        return cls(file, tuple(command), folder, state / FOLDER / f"{mark}.txt", every)

    @property
    def name(self) -> Path:
        """How faults name it."""
        return self.file if self.file else Path(f"output of {_word(self.command)}")

    def get(self, *, anew: bool = False) -> str:
        """What the list says now; a program is asked when its last answer is older than `every`, or if `anew`.

        Raises ListTrouble.
        """
        if self.file:
            return _content(self.file)
        before = self.stamp()
        if before and not anew and 0 <= time.time() - before[0] / 1e9 < self.every:
            return _content(self.kept)
        return _output(self.command, self.folder)

    def copy(self) -> str | None:
        """The last good copy; None where there is none."""
        try:
            return _content(self.kept)
        except ListTrouble:
            return None

    def keep(self, text: str) -> None:
        """Keep the text as the last good copy, on disk for its owner only. A disk that refuses is told by the run."""
        with suppress(OSError):
            if self.copy() == text:
                os.utime(self.kept)
                return
            for folder in (self.kept.parent.parent, self.kept.parent):  # the state folder is its owner's, too
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=self.kept.parent, suffix=".part")  # mode 0600
            try:
                with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                    file.write(text)
                Path(part).replace(self.kept)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise

    def stamp(self) -> tuple[int, int] | None:
        """Another one when what `get` reads may be another: the file's time of change (ns) and size, or the copy's."""
        try:
            told = (self.file or self.kept).stat()
        except OSError:
            return None
        return told.st_mtime_ns, told.st_size


@dataclass(frozen=True, slots=True)
class Looked:
    """When a list was read, and as what."""

    source: Source
    stamp: tuple[int, int] | None
    at: float

    def outdated(self, now: float) -> bool:
        """Whether it may say something else by now (epoch seconds)."""
        waited = not self.source.file and not 0 <= now - self.at < self.source.every
        return waited or self.source.stamp() != self.stamp


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ListTrouble(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ListTrouble(f"{path} cannot be read ({type(error).__name__})") from None


def _word(command: Sequence[str]) -> str:
    """What people call a program by; the rest of the command may hold a secret."""
    words = command[2].split() if command[:2] == ("sh", "-c") and len(command) == 3 else list(command)
    return Path(words[0]).name if words else "sh"


def _output(command: Sequence[str], folder: Path) -> str:
    word = _word(command)
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own program
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=wrong, start_new_session=True
            )
        except OSError as error:
            raise ListTrouble(f"`{word}` cannot be started: {error.strerror}") from None
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise ListTrouble(f"`{word}` took longer than {PATIENCE:.0f} seconds and was ended") from None
        finally:
            if process.poll() is None:
                with suppress(OSError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        wrong.seek(0)
        if code:
            first = wrong.read(10_000).decode("utf-8", "replace").strip().partition("\n")[0][:SHOWN]
            raise ListTrouble(f"`{word}` ended with {code}{f': {first}' if first else ''}")
        try:
            return said.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ListTrouble(f"`{word}` printed what is not UTF-8") from None

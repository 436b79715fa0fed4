"""Fetched pages, made durable before they are merged: the only thing a killed run leaves behind.

A slice is one scan of one connection. Its folder holds segments `00001.meta`, `00001.rows`, `00002.meta` ...: the
rows of some pages of one resource, and the token with which the scan goes on after them. A segment exists from the
moment its `.rows` file is renamed into place; everything before that is forgotten.

A row is a line of seven fields, parted by the ASCII unit separator, which JSON text cannot hold unescaped: place in
the slice, source_id, fetched_at (ISO, UTC), kind (record or tombstone), stamp (as sent), weight, payload.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from onepipe.decode import Record
from onepipe.decode.content import weight
from onepipe.errors import DiskTrouble
from onepipe.redaction import Redaction

SEPARATOR = b"\x1f"
FIELDS = 7
DIGITS = bytes.maketrans(b"123456789.", b"0000000000")
LONG_NUMBER = b"0" * 17  # after DIGITS: so many digits and points in a row
PUT_IN_PLACE_AFTER = 1.0  # seconds; what a kill can cost at most
ROWS_A_SEGMENT = 10_000


class Meta(msgspec.Struct):
    """What a segment says of itself.

    `size` is how many bytes its rows are; `resume` is the token to go on with after it; `hi` the server's time when
    the scan began (ISO, UTC); `long_numbers` whether a number may stand in it that has more digits than a double
    carries.
    """

    resource: str
    rows: int = 0
    longest: int = 0
    resume: Any = None
    hi: str | None = None
    unreadable: list[str] = []
    long_numbers: bool = False
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """One whole segment on disk. Segments of a slice are merged in the order of their numbers, from 1."""

    number: int
    path: Path
    meta: Meta

    def remove(self) -> None:
        """Forget the segment, after the transaction that merged it. Raises DiskTrouble."""
        with _translated(self.path.parent, "changed"):
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".meta").unlink(missing_ok=True)


class Spool:
    """The writing end of one slice. Used by one thread; raises DiskTrouble when the disk refuses.

    `after` is the number of the last segment that was merged and removed: numbers are never used twice in a slice.
    `redaction` is what pages are held against where people were erased: what is theirs is not even written here.
    """

    def __init__(
        self,
        folder: Path,
        after: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        redaction: Redaction | None = None,
    ) -> None:
        self.folder = folder
        self.redaction = redaction
        self.monotonic = monotonic
        self.number = max([after, *(segment.number for segment in segments(folder))])
        self.place = 0
        self.open_since = 0.0
        self.meta: Meta | None = None
        self.file: BinaryIO | None = None

    def add(
        self,
        resource: str,
        records: list[Record],
        *,
        at: datetime,
        kind: str = "record",
        resume: Any = None,
        hi: datetime | None = None,
        unreadable: Sequence[bytes] = (),
    ) -> bool:
        """Write one page; True when that put a segment in place, which can be merged from then on."""
        if self.redaction is not None:
            records, unreadable = self.redaction.page(resource, records), self.redaction.unreadable(unreadable)
        try:
            meta = self._write(resource, records, at.isoformat(), kind)
            meta.resume = resume
            meta.hi = hi.isoformat() if hi else None
            meta.unreadable += [item[:500].decode(errors="replace") for item in unreadable]
        except OSError as error:
            self._abandon()
            raise _trouble(self.folder, "written", error) from error
        if self._due():
            self.flush()
            return True
        return False

    def _write(self, resource: str, records: list[Record], at: str, kind: str) -> Meta:
        if self.meta is not None and self.meta.resource != resource:
            self.flush()
        if self.file is None or self.meta is None:
            self.file, self.meta = self._begin(resource)
        lines, broken = self._lines(records, f"\x1f{at}\x1f{kind}\x1f".encode())
        page = b"".join(lines)
        self.file.write(page)
        self.meta.long_numbers = self.meta.long_numbers or LONG_NUMBER in page.translate(DIGITS)
        self.meta.rows += len(lines)
        self.meta.longest = max(self.meta.longest, max(map(len, lines), default=0))
        self.meta.unreadable += [item[:500].decode(errors="replace") for item in broken]
        return self.meta

    def _lines(self, records: list[Record], middle: bytes) -> tuple[list[bytes], list[bytes]]:
        """The page's lines, and the payloads of records whose id would break one."""
        lines, broken = [], []
        for record in records:
            self.place += 1
            stamp = (record.stamp or "").encode()
            about = (self.place, record.id.encode(), middle, stamp, weight(record.payload))
            line = b"%d\x1f%b%b%b\x1f%d\x1f%b\n" % (*about, record.payload)
            if line.count(SEPARATOR) == FIELDS - 1 and line.count(b"\n") == 1:
                lines.append(line)
            else:
                broken.append(record.payload)
        return lines, broken

    def _begin(self, resource: str) -> tuple[BinaryIO, Meta]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.number += 1
        self.place = self.number << 32  # unique in the slice, also after an earlier process's segments
        self.open_since = self.monotonic()
        return (self.folder / f"{self.number:05}.part").open("wb"), Meta(resource)

    def _due(self) -> bool:
        if self.meta is None:
            return False
        return self.meta.rows >= ROWS_A_SEGMENT or self.monotonic() - self.open_since >= PUT_IN_PLACE_AFTER

    def flush(self) -> None:
        """Put what was added so far in place, durably: an error or a stop then loses nothing that was fetched."""
        if self.file is None or self.meta is None:
            return
        file, meta, part = self.file, self.meta, Path(self.file.name)
        self.file = self.meta = None  # whatever happens: what cannot be written now is fetched again
        with _translated(self.folder, "written"):
            with file:
                file.flush()
                os.fsync(file.fileno())
                meta.size = file.tell()
            with part.with_suffix(".meta").open("wb") as about:
                about.write(msgspec.json.encode(meta))
                about.flush()
                os.fsync(about.fileno())
            part.rename(part.with_suffix(".rows"))
            sync_folder(self.folder)

    def _abandon(self) -> None:
        """Forget a segment of which a write failed: a part of a page may stand in it."""
        file, self.file, self.meta = self.file, None, None
        if file is not None:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                Path(file.name).unlink(missing_ok=True)


def segments(folder: Path) -> Iterator[Segment]:
    """The whole segments of a slice, in the order they were fetched; from one that is not whole on, none counts.

    What does not count is fetched again. Raises DiskTrouble where a file cannot be read.
    """
    with _translated(folder, "read"):
        paths = sorted(folder.glob("*.rows"))
    for path in paths:
        with _translated(folder, "read"):
            meta = _meta(path.with_suffix(".meta"))
            if meta is None or meta.size not in (None, path.stat().st_size):
                return
        yield Segment(int(path.stem), path, meta)


def _meta(path: Path) -> Meta | None:
    """What a segment says of itself; None where that is lost, as a power cut or a bad disk may leave it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Meta)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextmanager
def _translated(folder: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _trouble(folder, done, error) from error


def _trouble(folder: Path, done: str, error: OSError) -> DiskTrouble:
    return DiskTrouble(
        f"the spool in {folder} could not be {done}: {error}",
        "what was committed before is safe; free some space there and run again",
    )


def forget(folder: Path) -> None:
    """Remove a slice's folder, once its last segment is merged or its scan is given up."""
    shutil.rmtree(folder, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

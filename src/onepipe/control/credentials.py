"""Which credential a connection was last swept with: a new one may see less, and what it does not see is not deleted.

Kept is a keyed hash, whose random key never leaves the control file: nobody can tell the credential from it, nor
whether two connections share one. While a name is being rebound, the name that its rows go to stands in that place:
no credential has such a fingerprint, so whichever comes next is new.
"""

import json
import os
from collections.abc import Mapping
from hashlib import blake2b

from onepipe.control.file import ControlFile
from onepipe.errors import LeaseHeld

_NONE = b""  # the fingerprint of no credential: whatever comes next is new
_REBINDING = b"rebinding to "


class Credential:
    """A connection's credential, to be held against the one of its last sweep; keeps no secret itself."""

    def __init__(self, file: ControlFile, connection: str, values: Mapping[str, str]) -> None:
        self._file = file
        self._connection = connection
        self._fingerprint = fingerprint(file, connection, values)

    def is_new(self) -> bool:
        """Whether the last sweep was made with another one, or with one that nothing is known of."""
        return self._kept() != self._fingerprint

    def keep(self) -> None:
        """From now on this is the one of the last sweep."""
        if self._kept() != self._fingerprint:
            _write(self._file, self._connection, self._fingerprint)

    def _kept(self) -> bytes | None:
        return _read(self._file, self._connection)


def fingerprint(file: ControlFile, connection: str, values: Mapping[str, str]) -> bytes:
    """The keyed hash of a connection's credential."""
    text = json.dumps([connection, sorted(values.items())])
    return blake2b(text.encode(), key=key_of(file), digest_size=32).digest()


def doubt(file: ControlFile, connection: str) -> None:
    """Take whatever credential a connection uses next for a new one."""
    _write(file, connection, _NONE)


def begin_rebinding(file: ControlFile, connection: str, retired: str) -> None:
    """Note that a name is to mean another account, and its rows go to the name `retired`; `forget` ends it."""
    _write(file, connection, _REBINDING + retired.encode())


def rebinding(file: ControlFile, connection: str) -> str | None:
    """The name that the rows go to of a rebinding that was begun and not ended; None where there is none."""
    kept = _read(file, connection)
    return kept.removeprefix(_REBINDING).decode() if kept and kept.startswith(_REBINDING) else None


def refuse_rebinding(file: ControlFile, connection: str) -> None:
    """Raise LeaseHeld where a rebinding was begun and not ended: what is kept here may be the other account's."""
    if rebinding(file, connection) is not None:
        raise LeaseHeld(
            f"`onepipe rebind {connection}` was begun and did not end. Nothing was sent or changed.",
            "Type that command again: it ends what it began, or says that nothing came of it.",
        )


def forget(file: ControlFile, connection: str) -> None:
    """Drop what is kept of a connection's credentials, and end its rebinding."""
    with file.writing() as db:
        db.execute("DELETE FROM credential WHERE connection = ?", (connection,))


def _read(file: ControlFile, connection: str) -> bytes | None:
    with file.reading() as db:
        row = db.execute("SELECT fingerprint FROM credential WHERE connection = ?", (connection,)).fetchone()
    return row["fingerprint"] if row else None


def _write(file: ControlFile, connection: str, fingerprint: bytes) -> None:
    with file.writing() as db:
        db.execute("INSERT OR REPLACE INTO credential VALUES (?, ?)", (connection, fingerprint))


def key_of(file: ControlFile) -> bytes:
    """The random key of this control file, made when it is first asked for."""
    with file.reading() as db:
        row = db.execute("SELECT key FROM fingerprint_key").fetchone()
    if row is None:
        with file.writing() as db:
            db.execute("INSERT OR IGNORE INTO fingerprint_key VALUES (1, ?)", (os.urandom(32),))
            row = db.execute("SELECT key FROM fingerprint_key").fetchone()
    key: bytes = row["key"]
    return key

"""Every error onepipe raises, grouped by what the caller does next.

OnepipeError                 .kind names it in reports and in sync_runs.error_kind
  stop and tell the user (exit 2)
    UsageError               wrong words on the command line, or SQL that fails
    ConfigError              config.yaml or a mapping is wrong; carries every fault at once
  step aside (exit 75)
    LeaseHeld                another process holds the connection or the daemon's place
  this connection stops, the others go on (exit 1)
    AuthRefused              the CRM does not accept the credential
    RateLimited              the CRM, or our own budget, says wait; .until may say how long
    Unavailable              no usable answer: network, 5xx, timeout, a path that is not there
    BadPayload               an answer that is not what the API promises
      Rejected               a write that the CRM understood and will not do; its words by field
    PagingLoop               a list that does not end, or cannot be read whole
      Incomplete             a list that does not hold what it states; it was read to its end all the same
    Suspect                  a sweep whose result is not to be believed
    WriteRefused             something other than a read tried to leave the process
    DiskTrouble              the spool, the warehouse or the snapshot could not be written
  the record, not the run
    Gone                     the CRM says this one record does not exist (any more)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar


class OnepipeError(Exception):
    """An error with a kind for reports, a sentence for people, and a hint on what to do: its own, or its kind's.

    `unapplied` is for writes: True where the CRM certainly did nothing, so that nobody has to look.
    """

    kind: ClassVar[str] = "internal"
    advice: ClassVar[str | None] = None
    unapplied: bool = False

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.advice


class UsageError(OnepipeError):
    """The command, or the SQL given to it, cannot be carried out as written."""

    kind = "config"


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a file that a user wrote. `line` and `column` count from 1; 0 where only the line is told."""

    file: Path
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        column = f":{self.column}" if self.column else ""
        return f"{self.file}:{self.line}{column}: {self.path}: {self.message}"


class ConfigError(OnepipeError):
    """One or more mistakes in files that the user wrote; all of them, not the first."""

    kind = "config"

    def __init__(self, message: str, hint: str | None = None, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message, hint)
        self.faults = faults


class LeaseHeld(OnepipeError):
    """Another process does this work right now; the message names it."""

    kind = "lease"


class SourceError(OnepipeError):
    """One connection cannot go on; the others can."""


class AuthRefused(SourceError):
    """The CRM refuses the credential, on the wire or inside a 200."""

    kind = "auth"
    unapplied = True
    advice = "What was loaded is safe; put a credential that is accepted in place, and run `onepipe check`"


class RateLimited(SourceError):
    """Nothing more may be asked now. `until` is the instant it may, in UTC, where known."""

    kind = "rate_limited"
    unapplied = True
    advice = "What was loaded is safe; the next run goes on from there"

    def __init__(self, message: str, hint: str | None = None, until: datetime | None = None) -> None:
        super().__init__(message, hint)
        self.until = until


class Unavailable(SourceError):
    """The CRM gave no usable answer: refused connection, timeout, 5xx, or a path that is not there.

    `sent` is False only where the request certainly did not reach the CRM; a write may be tried again then. `lasting`:
    a path that is not there, which no waiting changes.
    """

    kind = "unavailable"
    advice = "What was loaded is safe; run again when the CRM answers, which `onepipe check` tells"

    def __init__(self, message: str, hint: str | None = None, sent: bool = True, lasting: bool = False) -> None:
        super().__init__(message, hint)
        self.sent = sent
        self.lasting = lasting


class BadPayload(SourceError):
    """The answer is not what the API promises: truncated, HTML, an error envelope, a missing record path."""

    kind = "bad_payload"
    advice = "What was loaded is safe, and nothing of this answer was taken; run again, and report it if it stays"


class NotAccepted(BadPayload):
    """The CRM understood a read and refuses it: what was asked for, not the credential or the place."""


class Rejected(BadPayload):
    """The CRM understood a write and refuses it: final, and certainly not done.

    `words` are the CRM's own by the field it names, "" where it names none; `content` is its answer.
    """

    advice = "Nothing was changed; edit again with what the CRM accepts"
    unapplied = True

    def __init__(self, message: str, words: Mapping[str, str] | None = None, content: bytes = b"") -> None:
        super().__init__(message)
        self.words, self.content = dict(words or {}), content


class PagingLoop(SourceError):
    """A list that repeats itself, never ends, or moves too fast to be read whole."""

    kind = "paging"
    advice = "What was loaded is safe, but is not taken for complete; run again, at a quieter time if the list moves"


class Incomplete(PagingLoop):
    """A list that ends before, or goes beyond, what it states; what was read is loaded."""

    advice = "What was read is loaded, but is not taken for complete; run again, and compare with the CRM if it stays"


class Suspect(SourceError):
    """A sweep that would mark too much as deleted; nothing was marked."""

    kind = "suspect"


class WriteRefused(SourceError):
    """A request that is not a read was stopped at the door, before it was sent."""

    kind = "config"
    unapplied = True


class Stopped(SourceError):
    """The run was told to end, by a signal, before it was complete."""

    kind = "unavailable"


class DiskTrouble(SourceError):
    """A file of ours could not be written or read; what was committed before is safe."""

    kind = "disk"


class Gone(OnepipeError):
    """The CRM says that this one record does not exist. Not a failure of the run.

    `evidence` is how we know: "gone" where the CRM said so, "absent" where every way of asking failed.
    """

    kind = "gone"
    unapplied = True

    def __init__(self, message: str, hint: str | None = None, evidence: str = "gone") -> None:
        super().__init__(message, hint)
        self.evidence = evidence

"""How a command ends: the exit code of every error, and its one paragraph for people.

0    everything complete
1    some connection failed, is partial, or was held back by us; the rest was loaded
2    wrong usage, config, mapping or SQL
75   another process holds the connection or the daemon's place
130  interrupted from the keyboard
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onepipe.errors import ConfigError, LeaseHeld, OnepipeError, UsageError

if TYPE_CHECKING:
    from onepipe.report import RunReport

FAILED, WRONG, BUSY, INTERRUPTED = 1, 2, 75, 130


def of_error(error: OnepipeError) -> int:
    """The exit code of an error that ended a command."""
    if isinstance(error, LeaseHeld):
        return BUSY
    return WRONG if isinstance(error, ConfigError | UsageError) or error.kind == "config" else FAILED


def of_run(report: "RunReport") -> int:
    """The exit code of a run: that of its only kind of trouble, else 1; 2 only where nothing was read."""
    errors = [one.error for one in report.connections if one.error]
    codes = {of_error(error) for error in errors} | ({FAILED} if report.published else set())
    if any(one.status != "skipped" and one.error is None for one in report.connections):
        codes = {FAILED if code == WRONG else code for code in codes}
    return codes.pop() if report.exit_code and len(codes) == 1 else report.exit_code


def of_kinds(kinds: Sequence[str | None]) -> int:
    """The exit code of what was tried for each of several connections: the kind of its error, None where it has none.

    That of their only kind of trouble, else 1; 2 only where nothing came of any.
    """
    wrong = FAILED if None in kinds else WRONG
    codes = {{"config": wrong, "lease": BUSY}.get(kind, FAILED) for kind in kinds if kind}
    return codes.pop() if len(codes) == 1 else FAILED if codes else 0


def paragraph(error: OnepipeError) -> str:
    """What failed, what is safe, what to do. Faults in files stand one per line: file:line:col: path: message."""
    if isinstance(error, ConfigError) and error.faults:
        return "\n".join([*map(str, error.faults), *([sentence(error.hint)] if error.hint else [])])
    if "\n" in error.message:  # DuckDB's own words, with the place in the query
        return "\n".join([error.message, *([sentence(error.hint)] if error.hint else [])])
    return sentences(error.message, error.hint)


def sentences(*parts: str | None) -> str:
    """Parts of a message as sentences, one after the other."""
    return " ".join(sentence(part) for part in parts if part)


def sentence(text: str) -> str:
    """A text with a capital at its beginning, unless that is a name, and a full stop at its end."""
    text = text.strip()
    if re.match(r"[a-z]+[ ,]|usage: ", text):
        text = text[0].upper() + text[1:]
    return stopped(text)


def stopped(text: str) -> str:
    """A text with a full stop at its end."""
    return text if text.endswith((".", "!", "?", ":")) else text + "."


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))

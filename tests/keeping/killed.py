"""Run a command of onepipe, and die before its N-th step that changes a file: a rename, a removal, a commit."""

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onepipe.warehouse.database import Database

left = int(sys.argv[1])


def counted(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step before which the process may die."""

    def taken(*given: Any, **named: Any) -> Any:
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*given, **named)

    return taken


for owner, name in (
    *((Path, one) for one in ("rename", "replace", "unlink", "mkdir", "rmdir")),
    (shutil, "rmtree"),
    (os, "fsync"),
    (Database, "transaction"),
):
    setattr(owner, name, counted(getattr(owner, name)))


class Connection(sqlite3.Connection):
    """A control file whose commits are steps."""

    def execute(self, sql: str, *given: Any) -> Any:
        run = super().execute
        return counted(run)(sql, *given) if sql in ("COMMIT", "BEGIN IMMEDIATE") else run(sql, *given)


connect = sqlite3.connect
sqlite3.connect = lambda *given, **named: connect(*given, factory=Connection, **named)  # type: ignore[assignment]

from onepipe.cli import main  # noqa: E402  (after what it uses was changed)

main(sys.argv[2:])

"""A project: one config.yaml with its state folder, its work file and its published warehouse."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import onepipe.warehouse.reporting as reporting
from onepipe import fitting, journal
from onepipe.config import Connection
from onepipe.control import Control
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import Warehouse

COMMIT_WAIT = 600.0  # seconds that a commit waits for another process's commit


class Project:
    """Opened for one command. Raises ConfigError for config.yaml, DiskTrouble for the state folder."""

    def __init__(self, path: Path, command: str) -> None:
        self.config = fitting.load(path)
        self.control = Control(self.config.state, command=command)
        self.warehouse = Warehouse(
            self.config.state,
            lambda: self.control.commit_lock(COMMIT_WAIT),
            self._land,
        )

    @property
    def views(self) -> Path:
        """Where the user's own views are."""
        return self.config.folder / "views"

    def choose(self, words: Sequence[str]) -> list[Connection]:
        """The connections that names, globs and labels choose; all for none. Raises ConfigError for unknown ones."""
        return self.config.select(words)

    def _land(self, db: Database) -> None:
        """What every commit takes along: what config.yaml says of reporting, and the journal."""
        month = self.config.reporting.fiscal_year_start if self.config.reporting else 1
        reporting.keep(db, self.config.timezone, month)
        journal.land(db, self.config, self.control)

    def close(self) -> None:
        """Give back what the command held."""
        self.warehouse.rest()
        self.control.close()

    def __enter__(self) -> "Project":
        self.control.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""A project: one config.yaml with its state folder, its work file and its published warehouse."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import onepipe.warehouse.reporting as reporting
from onepipe import fitting, journal
from onepipe.beside.keeping import Files
from onepipe.config import Connection
from onepipe.control import Control, Lease
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import Warehouse

COMMIT_WAIT = 600.0  # seconds that a commit waits for another process's commit


class Project:
    """Opened for one command.

    Raises ConfigError for config.yaml and the files beside it, DiskTrouble for the state folder.
    """

    def __init__(self, path: Path, command: str) -> None:
        self.config = fitting.load(path)
        self.beside = Files(self.config)
        self.control = Control(self.config.state, command=command)
        self.warehouse = Warehouse(
            self.config.state,
            lambda: self.control.commit_lock(COMMIT_WAIT),
            self._land,
            self.config.publish.left_out,
        )

    @property
    def views(self) -> Path:
        """Where the user's own views are."""
        return self.config.folder / "views"

    def choose(self, words: Sequence[str]) -> list[Connection]:
        """The connections that names, globs and labels choose; all for none. Raises ConfigError for unknown ones."""
        return self.config.select(words)

    @contextmanager
    def leased(self, connections: Iterable[Connection]) -> Iterator[list[tuple[Connection, Lease]]]:
        """Hold the leases of all these connections for a `with`. Raises LeaseHeld before anything is begun."""
        with ExitStack() as held:
            yield [(one, held.enter_context(self.control.lease(f"connection:{one.name}"))) for one in connections]

    def _land(self, db: Database) -> None:
        """What every commit takes along: what config.yaml and the files beside it say, and the journal."""
        month = self.config.reporting.fiscal_year_start if self.config.reporting else 1
        reporting.keep(db, self.config.timezone, month)
        self.beside.keep(db)
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

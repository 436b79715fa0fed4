"""A project: one config.yaml with its state folder, its work file and its published warehouse."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from onepipe import fitting, journal
from onepipe.config import Connection
from onepipe.control import Control
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
            lambda db: journal.land(db, self.config, self.control),
        )

    @property
    def views(self) -> Path:
        """Where the user's own views are."""
        return self.config.folder / "views"

    def choose(self, words: Sequence[str]) -> list[Connection]:
        """The connections that names, globs and labels choose; all for none. Raises ConfigError for unknown ones."""
        return self.config.select(words)

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

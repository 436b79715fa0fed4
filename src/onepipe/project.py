"""A project: one config.yaml with its state folder, its work file and its published warehouse."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import onepipe.warehouse.reporting as reporting
from onepipe import fitting, journal
from onepipe.beside.keeping import Files
from onepipe.config import Config, Connection
from onepipe.control import Control, Lease
from onepipe.warehouse.database import Database
from onepipe.warehouse.work import Warehouse

Labels = dict[str, tuple[str, str | None, bool]]
COMMIT_WAIT = 600.0  # seconds that a commit waits for another process's commit


class Project:
    """Opened for one command.

    Raises ConfigError for config.yaml and the files beside it, DiskTrouble for the state folder.
    """

    def __init__(self, path: Path, command: str, *, renewing: bool = False) -> None:
        """`renewing`: lists of accounts that are wrong in places do not stop it, as the daemon must not be stopped."""
        self.config = fitting.load(path, renewing=renewing)
        self._labels: tuple[Config | None, Labels] = (None, {})
        self.beside = Files(self.config)
        self.control = Control(self.config.state, command=command)
        self.warehouse = Warehouse(
            self.config.state,
            lambda: self.control.commit_lock(COMMIT_WAIT),
            self._land,
            self.config.publish.left_out,
        )

    def take(self, config: Config, beside: Files) -> None:
        """Let another config be in force from now on, for the same state folder and warehouse; runs keep theirs."""
        self.config, self.beside = config, beside
        self.warehouse.left_out = config.publish.left_out

    @property
    def labels(self) -> Labels:
        """What config.yaml says of each connection: labels (JSON), currency, enabled. Made once, however many."""
        config = self.config
        if self._labels[0] is not config:
            every = config.connections.items()
            self._labels = config, {name: (json.dumps(one.labels), one.currency, one.enabled) for name, one in every}
        return self._labels[1]

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
        config, said = self.config, self.beside.said
        # Of a file that was handed on open, only what files decide of new connections can differ.
        if db.taken != (config, said) or said.stages or said.people:
            month = config.reporting.fiscal_year_start if config.reporting else 1
            reporting.keep(db, config.timezone, month)
            self.beside.keep(db)
            db.taken = config, self.beside.said
        journal.land(db, config, self.control)

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

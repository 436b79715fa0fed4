"""What the control file says of the accounts, looked up for whoever watches, and not oftener than every few seconds."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onepipe import registry
from onepipe.config import Config
from onepipe.control import Control
from onepipe.control.quota import State
from onepipe.errors import OnepipeError
from onepipe.quotas import Quota

FRESH = 5.0  # seconds that a look is good for
PER_ACCOUNT = 0.1  # and so many more for each account, so that a fleet is not asked about all the time


@dataclass(frozen=True, slots=True)
class Seen:
    """How the accounts stand with the ledger, and how many conflicts are open, by connection."""

    quotas: Mapping[str, State] = field(default_factory=dict)
    conflicts: Mapping[str, int] = field(default_factory=dict)


class Rooms:
    """Looks at the control file. For several threads."""

    def __init__(self, control: Control, tick: Callable[[], float]) -> None:
        self._control, self._tick = control, tick
        self._lock = threading.Lock()
        self._config: Config | None = None
        self._documented: dict[str, tuple[Quota, ...]] = {}
        self._seen, self._until = Seen(), float("-inf")

    def reload(self, config: Config) -> None:
        """These are the connections."""
        with self._lock:
            self._config, self._documented, self._until = config, {}, float("-inf")

    def look(self) -> Seen:
        """How the accounts stand, by now or a few seconds ago. Raises DiskTrouble."""
        with self._lock:
            config = self._config
            if config is not None and self._tick() >= self._until:
                self._seen = Seen(self._states(config), self._conflicts())
                self._until = self._tick() + FRESH + PER_ACCOUNT * len(config.connections)
            return self._seen

    def _states(self, config: Config) -> dict[str, State]:
        found = {}
        for name, one in config.connections.items():
            if one.enabled:
                quotas = self._quotas(config, one.connector)
                found[name] = self._control.quotas.allowance(name, one.connector, quotas, 1 - one.reserve).state()
        return found

    def _quotas(self, config: Config, connector: str) -> tuple[Quota, ...]:
        if connector not in self._documented:  # loading one runs its file
            try:
                self._documented[connector] = tuple(registry.load(connector, config.folder).facts.quota)
            except OnepipeError:  # its runs say what is wrong with it
                self._documented[connector] = ()
        return self._documented[connector]

    def _conflicts(self) -> dict[str, int]:
        return dict(Counter(connection for _, connection in self._control.conflicts.open_of()))

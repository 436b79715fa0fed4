"""Reading config.yaml, its mappings and the files beside it again while the daemon works: all of it, or nothing."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from onepipe import fitting, logs
from onepipe.account import mapping_of, mapping_path
from onepipe.beside.keeping import Files
from onepipe.config import Config
from onepipe.errors import ConfigError, Fault, OnepipeError
from onepipe.project import Project


@dataclass(frozen=True, slots=True)
class Reread:
    """A config that may come into force, and what the files beside it say."""

    config: Config
    beside: Files


class Reloading:
    """Reads in a thread, since that takes seconds with many accounts; tells `found` or `refused` what came of it."""

    def __init__(
        self, project: Project, found: Callable[[Reread], None], refused: Callable[[OnepipeError], None]
    ) -> None:
        self._project, self._found, self._refused = project, found, refused
        self._lock = threading.Lock()
        self._reading = self._asked = False

    def begin(self) -> None:
        """Read now; where that is under way, once more when it is done."""
        with self._lock:
            self._asked, there = True, self._reading
            self._reading = True
        if not there:
            threading.Thread(target=self._read, name="reload", daemon=True).start()

    def _goes_on(self) -> bool:
        """Whether it was asked for since; if not, the next to ask begins anew."""
        with self._lock:
            self._reading, self._asked = self._asked, False
            return self._reading

    def _read(self) -> None:
        while self._goes_on():
            try:
                self._found(reread(self._project))
            except OnepipeError as error:
                self._refused(error)
            except Exception as error:
                self._refused(OnepipeError(f"{type(error).__name__}: {error}"))


def reread(project: Project) -> Reread:
    """What the files say by now. Raises ConfigError with every fault of all of them; nothing is in force then."""
    config = fitting.load(project.config.file, renewing=True)
    for one in config.connections.values():
        logs.add_secrets(one.secrets)
    faults = _moved(project.config, config)
    beside = None
    try:
        beside = Files(config)
    except ConfigError as error:
        faults += _faults(error, config)
    seen = set()
    for one in config.connections.values():
        try:
            if one.enabled and not one.fault and (path := mapping_path(config, one)) not in seen:
                seen.add(path)
                mapping_of(config, one)
        except ConfigError as error:
            faults += _faults(error, config)
    if faults or beside is None:
        raise ConfigError("\n".join(map(str, dict.fromkeys(faults))), faults=tuple(dict.fromkeys(faults)))
    return Reread(config, beside)


def _moved(before: Config, after: Config) -> list[Fault]:
    """What only a new daemon can take."""
    keys = [key for key in ("state", "warehouse") if getattr(before, key) != getattr(after, key)]
    keys += ["daemon"] if before.daemon.listen != after.daemon.listen else []
    word = "another place is taken only by a daemon that starts: stop this one and start it again"
    return [after.fault_at((key, "listen") if key == "daemon" else (key,), word) for key in keys]


def _faults(error: ConfigError, config: Config) -> list[Fault]:
    return list(error.faults) or [Fault(config.file, 1, 0, "", error.message)]

"""Whether config.yaml fits the connectors it names: told with every other mistake in it, before anything runs."""

from functools import cache
from pathlib import Path
from typing import Any

from onepipe import config, registry
from onepipe.config import Config
from onepipe.connector import Facts
from onepipe.errors import Fault
from onepipe.yamlmarks import Marks, Place, did_you_mean


def load(path: Path, *, renewing: bool = False, believing: bool = False) -> Config:
    """Read config.yaml for commands that ask CRMs. Raises ConfigError with all its faults, the connectors' included.

    `renewing` and `believing` say how lists of accounts are taken, as in `config.load`.
    """
    return config.load(path, further=_faults, renewing=renewing, believing=believing)


def _faults(data: Any, marks: Marks) -> list[Fault]:
    """What is wrong with the connections, as far as their shape lets us see it. `data` is config.yaml's, filled in."""
    connections = data.get("connections") if isinstance(data, dict) else None
    folder = marks.file.absolute().parent
    known = {found.name: found for found in registry.every("connectors", folder)} if connections else {}
    facts_of = cache(lambda name: registry.load_found(known[name]).facts)  # thousands may have one connector
    faults: list[Fault] = []
    for name, entry in (connections if isinstance(connections, dict) else {}).items():
        if isinstance(entry, dict) and entry.get("enabled", True) is not False:
            place, connector = ("connections", name), entry.get("connector")
            if not isinstance(connector, str):
                continue  # said by the shape of config.yaml itself
            if connector in known:
                faults += _connection(place, entry, facts_of(connector), folder, marks)
            else:
                word = f"there is no connector {connector!r}; {did_you_mean(connector, known)}"
                faults.append(marks.fault((*place, "connector"), word))
    return faults


def _connection(place: Place, entry: dict[str, Any], facts: Facts, folder: Path, marks: Marks) -> list[Fault]:
    faults = [*_credentials(place, entry.get("credentials") or {}, facts, marks)]
    faults += _settings(place, entry.get("settings") or {}, facts, marks)
    if not entry.get("base_url") and facts.base_url != facts.base_url.lower():
        faults.append(marks.fault(place, f"'base_url' is missing, such as {facts.base_url}", key=True))
    mapping = entry.get("mapping")
    if isinstance(mapping, str) and not (folder / mapping).is_file():
        faults.append(marks.fault((*place, "mapping"), f"there is no file {mapping!r} beside config.yaml"))
    return faults


def _credentials(place: Place, given: Any, facts: Facts, marks: Marks) -> list[Fault]:
    here = (*place, "credentials")
    if not isinstance(given, dict):
        return []
    unknown = [name for name in given if name not in facts.credentials]
    missing = [name for name in facts.credentials if given.get(name) in (None, "")]
    needed = " and ".join(facts.credentials)
    return [
        *(marks.fault((*here, one), f"unknown; {did_you_mean(one, facts.credentials)}", key=True) for one in unknown),
        *(marks.fault(here, f"{one!r} is missing: {facts.title} needs {needed}", key=True) for one in missing),
    ]


def _settings(place: Place, given: Any, facts: Facts, marks: Marks) -> list[Fault]:
    faults = []
    for name, value in (given if isinstance(given, dict) else {}).items():
        here = (*place, "settings", name)
        if name == "details" and not isinstance(value, bool):
            faults.append(marks.fault(here, "true or false is meant"))
        elif name not in (*facts.settings, "details"):
            word = did_you_mean(name, ["details", *facts.settings])
            faults.append(marks.fault(here, f"unknown setting; {word}", key=True))
    return faults

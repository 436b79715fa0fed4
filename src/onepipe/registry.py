"""Finds and loads what a CRM consists of: `connectors/NAME.py` and `mappings/NAME.yaml`.

Looked for in this order, the first hit wins: the folder beside config.yaml (project), the entry points of the group
`onepipe.connectors` (plugin; its mapping is the NAME.yaml beside its module), what the wheel carries (shipped), the
top-level folder of a source checkout (checkout). Each find keeps where it came from.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints
from importlib.metadata import entry_points as read_entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from onepipe.connector import REQUIRED, Connector, Facts
from onepipe.errors import ConfigError, Fault

Origin = Literal["project", "plugin", "shipped", "checkout", "file"]
Folder = Literal["connectors", "mappings"]

GROUP = "onepipe.connectors"
entry_points: Callable[..., EntryPoints] = cache(
    lambda group: read_entry_points(group=group)
)  # 7 ms to read, for each connection
_made: dict[Path, tuple[bytes, ModuleType, type[Connector]]] = {}  # executed for each connection of thousands: 4 ms
SUFFIX: dict[Folder, str] = {"connectors": ".py", "mappings": ".yaml"}
NAME = re.compile(r"[a-z][a-z0-9_]*")
PACKAGE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Found:
    """One connector or mapping: its name, its file (a plugin's module file), and which place it came from."""

    name: str
    path: Path
    origin: Origin
    entry: EntryPoint | None = None


def find(folder: Folder, name: str, project: Path | None) -> Found:
    """The connector or mapping called `name`. `project` is the folder of config.yaml. Raises ConfigError."""
    for found in _candidates(folder, project):
        if found.name == name:
            return found
    known = sorted(entry.name for entry in every(folder, project))
    close = get_close_matches(name, known, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(
        f"there is no {folder[:-1]} called {name!r}{guess}",
        hint=f"known: {', '.join(known) or 'none'}; {folder}/{name}{SUFFIX[folder]} beside config.yaml adds one",
    )


def named(folder: Folder, name: str, project: Path | None) -> list[Path]:
    """The files of all connectors or mappings called `name`, the one that `find` answers first."""
    return [found.path for found in _candidates(folder, project) if found.name == name]


def every(folder: Folder, project: Path | None) -> list[Found]:
    """All connectors or mappings that can be used, by name; each as `find` would answer it."""
    first: dict[str, Found] = {}
    for found in _candidates(folder, project):
        first.setdefault(found.name, found)
    return [first[name] for name in sorted(first)]


def load(name: str, project: Path | None) -> type[Connector]:
    """The connector class called `name`. Raises ConfigError, with file and line where the file is broken."""
    return load_found(find("connectors", name, project))


def load_found(found: Found) -> type[Connector]:
    """The class of one find."""
    return _from_entry(found) if found.entry else load_file(found.path)


def load_file(path: Path) -> type[Connector]:
    """The one connector class of a file, the same one as long as the file says the same. Raises ConfigError."""
    path = path.resolve()
    source = _source(path)
    if (made := _made.get(path)) is None or made[0] != source:
        module = module_of(path)
        made = _made[path] = source, module, _only_class(module, path)
    sys.modules[made[1].__name__] = made[1]
    return made[2]


def module_of(path: Path) -> ModuleType:
    """A connector file, or the fake beside it, executed under a private module name. Raises ConfigError."""
    path = path.resolve()
    source = _source(path)
    module = ModuleType(f"_onepipe_connectors.{path.name.removesuffix('.py')}")
    module.__file__ = str(path)
    # Dataclasses and pickling look their module up by name; compiled here so that no __pycache__ lands beside a user's
    # files, where an edit within one second would go unseen.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - a connector is code the user chose
    except Exception as error:
        raise _broken(path, error) from error
    return module


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _candidates(folder: Folder, project: Path | None) -> Iterator[Found]:
    if project is not None:
        yield from _in_folder(project / folder, folder, "project")
    yield from _plugins(folder)
    yield from _in_folder(PACKAGE / "_shipped" / folder, folder, "shipped")
    checkout = PACKAGE.parent.parent
    if (checkout / "src" / "onepipe" / "registry.py").is_file():
        yield from _in_folder(checkout / folder, folder, "checkout")


def _in_folder(place: Path, folder: Folder, origin: Origin) -> Iterator[Found]:
    if place.is_dir():
        for path in sorted(place.glob(f"*{SUFFIX[folder]}")):
            if NAME.fullmatch(path.stem) and path.is_file():
                yield Found(path.stem, path, origin)


def _plugins(folder: Folder) -> Iterator[Found]:
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        path = _module_file(entry)
        if path is None:  # still listed: loading it says what is wrong
            path = Path(entry.module)
        if folder == "connectors":
            yield Found(entry.name, path, "plugin", entry)
        elif (mapping := path.parent / f"{entry.name}.yaml").is_file():
            yield Found(entry.name, mapping, "plugin", entry)


def _module_file(entry: EntryPoint) -> Path | None:
    try:
        spec = find_spec(entry.module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _from_entry(found: Found) -> type[Connector]:
    assert found.entry is not None  # noqa: S101 - the caller asked
    try:
        target: Any = found.entry.load()
    except Exception as error:
        raise _broken(found.path, error) from error
    return _only_class(target, found.path) if isinstance(target, ModuleType) else _checked(target, found.path)


def _only_class(module: ModuleType, path: Path) -> type[Connector]:
    own = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Connector) and thing.__module__ == module.__name__
    ]
    leaves = [cls for cls in own if not any(cls in other.__mro__[1:] for other in own)]
    if len(leaves) != 1:
        names = ", ".join(cls.__name__ for cls in leaves) or "none"
        line = _line_of(path, leaves[1].__name__) if leaves else 1
        raise _fault(path, line, "a connector file holds exactly one Connector class; this one holds: " + names)
    return _checked(leaves[0], path)


def _checked(cls: Any, path: Path) -> type[Connector]:
    """The class, once it has what the engine cannot do without."""
    if not (isinstance(cls, type) and issubclass(cls, Connector)):
        raise _fault(path, 1, f"{cls!r} is not a subclass of onepipe.connector.Connector")
    line = _line_of(path, cls.__name__)
    if not isinstance(getattr(cls, "facts", None), Facts):
        raise _fault(path, line, f"class {cls.__name__} needs `facts = Facts(...)`")
    missing = [verb for verb in REQUIRED if getattr(cls, verb) is getattr(Connector, verb)]
    if missing:
        raise _fault(path, line, f"class {cls.__name__} does not define: {', '.join(missing)}")
    return cls


def _broken(path: Path, error: Exception) -> ConfigError:
    """What went wrong while the file ran, at the deepest line of that file."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return _fault(Path(error.filename or path), error.lineno, f"{type(error).__name__}: {error.msg}", error.offset)
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return _fault(path, line, f"{type(error).__name__}: {error}")


def _fault(path: Path, line: int, message: str, column: int | None = 1) -> ConfigError:
    fault = Fault(path, line, column or 1, path.stem, message)
    return ConfigError(
        f"the connector file is broken: {fault}", hint="docs/connector.md says what it holds", faults=(fault,)
    )


def _line_of(path: Path, name: str) -> int:
    """The line on which class `name` begins; 1 where the file cannot tell."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError):
        return 1
    found = re.search(rf"^class\s+{re.escape(name)}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1

"""New projects and new connectors, from the files in `templates/`. Nothing that exists is ever overwritten."""

import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from onepipe import registry
from onepipe.errors import DiskTrouble, UsageError

# Kept without a dot in the package, so that neither git nor a packager takes them for its own.
_DOTTED = {"env.example": ".env.example", "gitignore": ".gitignore"}
_PARTS = ("connectors/{}.py", "connectors/{}.fake.py", "mappings/{}.yaml")


@dataclass(frozen=True, slots=True)
class Made:
    """What was written, and what was left because it existed."""

    written: tuple[Path, ...]
    left: tuple[Path, ...]


def project(folder: Path) -> Made:
    """A new project in `folder`, made if need be; files that exist are left as they are. Raises DiskTrouble."""
    written: list[Path] = []
    left: list[Path] = []
    for name, text in _templates(resources.files("onepipe") / "templates", ""):
        path = folder / _DOTTED.get(name, name)
        (written if _write(path, text) else left).append(path)
    return Made(tuple(written), tuple(left))


def connector(folder: Path, name: str) -> Made:
    """A first connector, its fake and its mapping in the project `folder`. Raises UsageError where `name` is taken."""
    if not registry.NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a connector", hint="use small letters, digits and _, beginning with a letter"
        )
    taken = {
        found.name: found for found in [*registry.every("connectors", folder), *registry.every("mappings", folder)]
    }
    paths = [folder / part.format(name) for part in _PARTS]
    if name in taken or any(path.exists() for path in paths):
        where = taken[name].path if name in taken else next(path for path in paths if path.exists())
        raise UsageError(
            f"there is a connector {name!r} already: {where}. Nothing was written",
            hint=f"choose another name, or copy that file into {folder / 'connectors'} and change the copy",
        )
    templates = resources.files("onepipe") / "templates"
    for part, path in zip(_PARTS, paths, strict=True):
        _write(path, _renamed((templates / part.format("example")).read_text(encoding="utf-8"), name))
    return Made(tuple(paths), ())


def _templates(folder: Traversable, above: str) -> list[tuple[str, str]]:
    found = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            found += _templates(entry, f"{above}{entry.name}/")
        elif entry.is_file():
            found.append((above + entry.name, entry.read_text(encoding="utf-8")))
    return found


def _renamed(text: str, name: str) -> str:
    """The example's text under another name: a class Acme, a CRM Acme, a host acme."""
    title = "".join(word.capitalize() for word in name.split("_"))
    return re.sub(r"\bexample\b", name, re.sub(r"\bExample\b", title, text))


def _write(path: Path, text: str) -> bool:
    """Write a new file; False, and nothing done, where there is one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        if not path.exists():  # it is the folder that cannot be made: a file is in its place
            raise DiskTrouble(f"{path.parent} cannot be made: there is a file in its place.") from None
        return False
    except OSError as error:
        raise DiskTrouble(
            f"{path} cannot be written: {error.strerror}.", hint="What was written before stays."
        ) from error
    return True

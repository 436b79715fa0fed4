"""Mappings read before: a file that thousands of connections share is proved once, as long as it says the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onepipe.mapping.form import Mapping
from onepipe.mapping.inherit import Resolve
from onepipe.mapping.load import load_mapping


@dataclass(frozen=True, slots=True)
class _Read:
    """A mapping with the content of every file it could come from, and what each name it extends stood for."""

    mapping: Mapping
    contents: dict[Path, bytes | None]
    names: dict[str, tuple[Path, ...]]

    def holds(self, resolve: Resolve) -> bool:
        """Whether it would be read as it was."""
        return all(_content(path) == content for path, content in self.contents.items()) and all(
            tuple(resolve(name)) == paths for name, paths in self.names.items()
        )


_read: dict[Path, _Read] = {}


def kept_mapping(path: Path, resolve: Resolve | None = None) -> Mapping:
    """What `load_mapping` answers, without reading it anew where nothing was edited. Raises ConfigError."""
    asked = resolve or _nothing
    before = _read.get(path)
    if before and before.holds(asked):
        return before.mapping
    contents: dict[Path, bytes | None] = {path: _content(path)}  # taken before it is read: an edit meanwhile is seen
    names: dict[str, tuple[Path, ...]] = {}

    def noted(name: str) -> Sequence[Path]:
        names[name] = tuple(asked(name))
        contents.update((one, _content(one)) for one in names[name] if one not in contents)
        return names[name]

    mapping = load_mapping(path, noted)
    _read[path] = _Read(mapping, contents, names)
    return mapping


def _nothing(_: str) -> Sequence[Path]:
    return ()


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None

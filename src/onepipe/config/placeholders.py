"""`${NAME}` and `${file:PATH}` in configuration values, filled in after the YAML was read, one value at a time.

Filled in so late, a secret with a `:` or `#` in it can neither break nor change the file. `$${` stands for `${` itself.
Within PATH `$NAME` is a variable, too: `${file:$CREDENTIALS_DIRECTORY/acme}` reads what systemd hands to a service.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from onepipe.errors import Fault
from onepipe.yamlmarks import Marks, Place

_PLACEHOLDER = re.compile(r"\$?\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IN_PATH = re.compile(rf"\$({_NAME.pattern})")
_LINE = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:\\.|[^"\\])*)" | (?P<plain>(?!(?<=\s)\#)[^'"\s](?:(?!\s\#).)*)? )
        \s*(?:\#.*)?""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Placeholders:
    """Where values come from: `environ` first, then the `.env` beside the file; paths are beside the file as well."""

    def __init__(self, marks: Marks, environ: Mapping[str, str]) -> None:
        self._marks = marks
        self._environ = environ
        self._folder = marks.file.absolute().parent
        self.faults: dict[Place, Fault] = {}

    def fill(self, data: Any, leave: Callable[[Place], bool], place: Place = ()) -> Any:
        """`data` with every placeholder filled in, except below places that `leave` names. Faults are gathered."""
        if leave(place):
            return data
        if isinstance(data, dict):
            return {key: self.fill(value, leave, (*place, key)) for key, value in data.items()}
        if isinstance(data, list):
            return [self.fill(value, leave, (*place, n)) for n, value in enumerate(data)]
        if isinstance(data, str) and "${" in data:
            return _PLACEHOLDER.sub(lambda found: self._value(found, place), data)
        return data

    def _value(self, found: re.Match[str], place: Place) -> str:
        whole, inner = found[0], found[1].strip()
        if whole.startswith("$$"):
            return whole[1:]
        try:
            if inner.startswith("file:"):
                return self._file(inner.removeprefix("file:").strip())
            return self._variable(inner)
        except ValueError as error:
            self.faults.setdefault(place, self._marks.fault(place, f"{whole}: {error}"))
            return whole

    def _variable(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("write ${NAME} for an environment variable or ${file:PATH} for a file's content")
        if name in self._environ:
            return self._environ[name]
        if name in self._dotenv:
            return self._dotenv[name]
        where = "the .env beside this file" if (self._folder / ".env").exists() else "a .env beside this file"
        raise ValueError(f"{name} is not set; set it in the environment or in {where}")

    def _file(self, path: str) -> str:
        path = _IN_PATH.sub(lambda found: self._variable(found[1]), path)
        target = self._folder / Path(path).expanduser()
        try:
            return target.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except FileNotFoundError:
            raise ValueError(f"there is no file {target}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{target} cannot be read ({type(error).__name__})") from None

    @cached_property
    def _dotenv(self) -> dict[str, str]:
        path = self._folder / ".env"
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            self._refuse(path, 1, f"cannot be read ({type(error).__name__})")
            return {}
        return self._assignments(path, text)

    def _assignments(self, path: Path, text: str) -> dict[str, str]:
        values: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            found = _LINE.fullmatch(line.strip())
            if found:
                values[found["name"]] = _assigned(found)
            else:  # the line itself is not shown: it may hold a secret
                self._refuse(path, number, "this line is not NAME=value; quote a value that holds quotes or spaces")
        return values

    def _refuse(self, path: Path, line: int, message: str) -> None:
        self.faults[(str(path), line)] = Fault(path, line, 1, "(file)", message)


def _assigned(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), found["quoted"])
    return found["literal"] if found["literal"] is not None else (found["plain"] or "").rstrip()

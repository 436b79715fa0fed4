"""The house keeps its shape: who may import whom, and how big things may grow."""

import ast
import graphlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
SOURCE = HOUSE / "src" / "onepipe"

# Lowest first. A room imports only from the steps below its own; rooms on one step are blind to each other.
STEPS = (
    # words
    "errors model records excerpt quotas",
    # tools
    "yamlmarks report decode http paging transform merge logs redaction",
    "config",
    # what a CRM is
    "connector mapping",
    "registry compile",
    # stores
    "spool control",
    "warehouse contract",
    # verbs
    "account fitting publish reports beside export dbt",
    "journal",
    "project pull sweep",
    "costs restage keeping",
    "erase",
    "run remap freezing replay suggest edit",
    "push",
    # doors
    "sandbox scaffold decide rebind",
    "daemon demo",
    "cli",
    "__main__",
)
STEP = {room: number for number, rooms in enumerate(STEPS) for room in rooms.split()}
SEALED = {
    "httpx": "http",
    "duckdb": "warehouse",
    "sqlite3": "control",
    "apscheduler": "daemon",
    "prometheus_client": "daemon",
}
FORBIDDEN = ("utils", "util", "common", "helpers", "helper", "manager", "misc", "base")
FILE_LINES, CONNECTOR_LINES, FUNCTION_LINES = 300, 180, 50

FILES = sorted(path for path in SOURCE.rglob("*.py") if "templates" not in path.parts)
CONNECTORS = sorted((HOUSE / "connectors").glob("*.py"))


def named(path: Path) -> str:
    """onepipe.http.door for src/onepipe/http/door.py; the package's own name for its __init__."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {named(path): path for path in FILES}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it; `from onepipe import http` counts as onepipe.http."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = node.module or ""
            if node.level:
                package = named(path).split(".") if path.name == "__init__.py" else named(path).split(".")[:-1]
                whole = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            parts = [f"{whole}.{alias.name}" for alias in node.names]
            below = [part for part in parts if part in MODULES]
            yield from below or [whole]


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "onepipe"}


def test_every_room_has_a_step() -> None:
    """A new room is given its place in STEPS above before it is built."""
    rooms = {room(module) for module in MODULES} - {""}
    assert set() == rooms - set(STEP)


def test_a_file_imports_only_from_lower_steps() -> None:
    """Dependencies point down: no room knows those on its own step or above."""
    pairs = [(module, name) for module, path in MODULES.items() for name in ours(path)]
    between = [(module, name) for module, name in pairs if room(module) and room(name) not in ("", room(module))]
    assert [] == [f"{one} imports {two}" for one, two in between if STEP.get(room(two), 0) >= STEP.get(room(one), 99)]


def test_no_import_runs_in_a_circle() -> None:
    """Inside a room, too, modules import each other in one direction only."""
    graph = {module: (ours(path) & set(MODULES)) - {module} for module, path in MODULES.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_connectors_know_one_module_of_ours() -> None:
    """What a connector file needs is offered by onepipe.connector, so that others can write one from one page."""
    beyond = {path.name: ours(path) - {"onepipe.connector"} for path in CONNECTORS}
    assert {} == {name: found for name, found in beyond.items() if found}


@pytest.mark.parametrize(("package", "home"), SEALED.items())
def test_a_sealed_package_is_imported_in_one_room(package: str, home: str) -> None:
    """Each of these can be replaced, and is got right, in one place."""
    users = {module for module, path in MODULES.items() for name in imports(path) if name.split(".")[0] == package}
    assert set() == {module for module in users if room(module) != home}


def test_no_room_is_named_after_nothing() -> None:
    """A module's name says what belongs into it."""
    assert [] == [str(path.relative_to(HOUSE)) for path in FILES + CONNECTORS if path.stem in FORBIDDEN]


def test_files_stay_small() -> None:
    """A file can be read in one sitting; the simulated CRMs are exempt."""
    lines = {path: len(path.read_text().splitlines()) for path in FILES if "sandbox" not in path.parts}
    assert {} == {str(path.relative_to(HOUSE)): n for path, n in lines.items() if n > FILE_LINES}
    lines = {path: code_lines(path) for path in CONNECTORS}
    assert {} == {path.name: n for path, n in lines.items() if n > CONNECTOR_LINES}


def code_lines(path: Path) -> int:
    """Lines that are neither blank nor an import nor the text at the file's head, which should be long."""
    text = path.read_text()
    head = [node for node in ast.parse(text).body if isinstance(node, ast.Expr | ast.Import | ast.ImportFrom)]
    left_out = {number for node in head for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return sum(bool(line.strip()) for number, line in enumerate(text.splitlines(), 1) if number not in left_out)


def test_functions_stay_small() -> None:
    """No function is longer than a screen."""
    long = [
        f"{path.relative_to(HOUSE)}:{node.lineno} {node.name}"
        for path, node in itertools.chain.from_iterable(
            ((path, node) for node in ast.walk(ast.parse(path.read_text()))) for path in FILES + CONNECTORS
        )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES
    ]
    assert [] == long

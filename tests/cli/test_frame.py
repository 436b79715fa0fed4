"""The frame of the command line: help, versions, exit codes, and how errors read."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import onepipe
from onepipe.cli import app
from onepipe.cli.app import ORDER
from onepipe.errors import ConfigError, DiskTrouble, Fault, LeaseHeld, OnepipeError, UsageError
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, write

HEAVY = ("duckdb", "httpx", "lxml", "pydantic", "apscheduler", "uvicorn", "rich", "yaml")


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words), prog_name="onepipe")
    return result.exit_code, result.output


def test_the_version_is_told() -> None:
    """`onepipe --version` prints the product's name and version."""
    assert (0, f"onepipe {onepipe.__version__}\n") == run("--version")


def test_help_names_every_command_in_the_order_they_are_needed() -> None:
    """Somebody new reads from the top: demo and init come before sync, sync before what looks at its result."""
    _, text = run("--help")
    commands = [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines() if line.startswith("  ")]
    assert list(ORDER) == commands


@pytest.mark.parametrize(
    "words",
    [
        (name,)
        for name in ORDER
        if name not in ("alerts", "mapping", "connectors", "connection", "sweep", "push", "conflicts", "docs", "report")
    ]
    + [("mapping", "apply"), ("connectors", "test"), ("sweep", "approve"), ("push", "apply"), ("conflicts", "resolve")]
    + [("docs", "dbt"), ("report", "pipeline"), ("connection", "rename"), ("connection", "forget")]
    + [("alerts", "test")],
)
def test_every_help_has_an_example(words: tuple[str, ...]) -> None:
    """One learns a command faster from a line that works than from its options."""
    code, text = run(*words, "--help")
    assert (0, True) == (code, "Examples:" in text), text


def test_help_loads_nothing_heavy() -> None:
    """Help and completion must come at once, so the engine is imported only by commands that use it."""
    probe = f"import sys, onepipe.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert "[]\n" == told.stdout


def test_wrong_usage_ends_with_2() -> None:
    """An unknown command or option is the user's to mend, and nothing was done."""
    assert [2, 2, 2] == [run("nope")[0], run("sync", "--nope")[0], run("sync", "--max-requests", "0")[0]]


def test_a_missing_config_is_said_in_one_line(tmp_path: Path) -> None:
    """The commonest mistake of all: being in another folder."""
    told = Place(tmp_path).run("sync")
    assert (2, 1, "") == (told.code, told.err.count("\n"), told.out)
    assert told.err.startswith(f"There is no file {tmp_path / 'config.yaml'}. Go to")
    assert "onepipe init" in told.err


def test_config_faults_stand_one_a_line_with_their_place(tmp_path: Path, crms: Sandbox) -> None:
    """All mistakes at once, each as file:line:col: path: message, so that an editor can jump there."""
    write(tmp_path, "  acme: {connector: capsule, bas_url: x}\n", "  beta: {conector: capsule}\n")
    told = Place(tmp_path).run("check")
    lines = told.err.splitlines()
    assert 2 == told.code
    assert f"{tmp_path}/config.yaml:2:30: connections.acme.bas_url: unknown key 'bas_url'" in told.err
    assert any(line.startswith(f"{tmp_path}/config.yaml:3:") for line in lines[1:])


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("onepipe.config.load", load)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (UsageError("x"), 2),
        (LeaseHeld("x"), 75),
        (DiskTrouble("x"), 1),
        (OnepipeError("x"), 1),
        (KeyError("x"), 1),
        (PermissionError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    """Scripts tell a mistake in the config from a busy connection and from a failure."""
    raising(monkeypatch, error)
    assert code == run("status")[0]


def test_an_error_is_one_paragraph(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed, then what to do, as sentences; no traceback."""
    raising(monkeypatch, DiskTrouble("the spool is full; what was committed is safe", "free some space"))
    assert "The spool is full; what was committed is safe. Free some space.\n" == run("status")[1]


def test_faults_come_before_the_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The places stand for themselves; the message that repeats them is left out."""
    fault = Fault(Path("m.yaml"), 3, 7, "fields.name", "is empty")
    raising(monkeypatch, ConfigError("the mapping is wrong", "see docs/mapping.md", (fault,)))
    assert "m.yaml:3:7: fields.name: is empty\nSee docs/mapping.md.\n" == run("status")[1]


def test_a_fault_of_our_own_shows_no_traceback_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user can do nothing with a traceback; whoever mends it can."""
    raising(monkeypatch, ZeroDivisionError("boom"))
    code, text = run("status")
    assert (1, False) == (code, "Traceback" in text)
    assert text.startswith("A fault in onepipe itself: ZeroDivisionError: boom.")
    assert "Traceback" in run("--debug", "status")[1]


def test_nobody_reading_is_no_error(synced: Place) -> None:
    """`onepipe sql ... | head` ends quietly, whenever head has had enough."""
    process = synced.start("sql", "SELECT * FROM range(300000)", "--format", "csv")
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert "" == process.stderr.read()
    process.stderr.close()
    process.wait(20)


def test_connections_complete_from_the_config(place: Place) -> None:
    """Names and labels are offered while typing."""
    command = f"onepipe --config {place.config} sync c"
    environment = {"_ONEPIPE_COMPLETE": "complete_bash", "COMP_WORDS": command, "COMP_CWORD": "4"}
    told = subprocess.run(
        [sys.executable, "-m", "onepipe"], env=environment, capture_output=True, text=True, check=False
    )
    assert ["capsule"] == told.stdout.split(), told.stderr

"""A project on simulated CRMs, and two ways to run a command in it: in this process, and as users do."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from onepipe.cli import app
from onepipe.sandbox import Sandbox


@dataclass(frozen=True)
class Told:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Place:
    """A project folder."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def run(self, *words: str, given: str | None = None) -> Told:
        """A command in this process."""
        result = CliRunner().invoke(app, ["--config", str(self.config), *words], input=given, prog_name="onepipe")
        return Told(result.exit_code, result.stdout, result.stderr)

    def start(self, *words: str, **how: Any) -> "subprocess.Popen[str]":
        """A command in a process of its own."""
        command = [sys.executable, "-m", "onepipe", "--config", str(self.config), *words]
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        return subprocess.Popen(command, text=True, **pipes)


def connection(crms: Sandbox, name: str, **changed: Any) -> str:
    """A connection of config.yaml for one simulated CRM, under the CRM's name."""
    told = {"connector": name, "base_url": crms.urls[name], "credentials": crms.credentials[name], **changed}
    return f"  {name}: {json.dumps(told)}\n"


def write(folder: Path, *connections: str) -> None:
    """A config.yaml with these connections."""
    (folder / "config.yaml").write_text("connections:\n" + "".join(connections))

"""SIGHUP: what changed is taken over while the daemon works, and what is wrong leaves everything as it was."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.process import Running, daemon, wait_until
from tests.effort import some

IN_FORCE = "the new config is in force"
WRONG = "the new config is wrong; the old one stays in force"


class Desk:
    """A project whose config.yaml is written anew again and again."""

    def __init__(self, folder: Path, crms: Sandbox) -> None:
        self.place, self.crms = Place(folder), crms

    def write(self, *named: str, **changed: Any) -> None:
        """Connections under these names: the Capsule first, then the Administrate."""
        lines = [
            connection(self.crms, crm, schedule="6h", settings={"details": False}, **changed).replace(crm, name, 1)
            for name, crm in zip(named, ("capsule", "administrate"), strict=False)
        ]
        write(self.place.folder, *lines)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Sandbox(rows=5, seed=7, crms=("capsule", "administrate")) as crms:
        made = Desk(tmp_path, crms)
        made.write("one")
        yield made


def reload(running: Running) -> None:
    running.process.send_signal(signal.SIGHUP)


def test_a_new_connection_runs_and_the_others_are_left_alone(desk: Desk) -> None:
    """One is added, later both are renamed to nothing and one comes back: each runs when it is new, and only then."""
    with daemon(desk.place) as running:
        running.wait_for("run ended", connection="one")
        desk.write("one", "two")
        reload(running)
        running.wait_for(IN_FORCE, connections=2, added=["two"])
        running.wait_for("run ended", connection="two", status="complete")
        desk.write("one")
        reload(running)
        running.wait_for(IN_FORCE, connections=1, gone=["two"])
        assert 1 == len(running.found("run ended", connection="one"))
        assert 0 == running.stop()


@pytest.mark.long
def test_a_credential_in_the_env_file_is_taken_over(desk: Desk) -> None:
    """The token is refused, and the daemon leaves the account alone; the right one, and SIGHUP, set it going."""
    token = desk.crms.credentials["capsule"]["token"]
    text = desk.place.config.read_text()
    desk.place.config.write_text(text.replace(token, "${TOKEN}"))
    (desk.place.folder / ".env").write_text("TOKEN=anotherword\n")
    with daemon(desk.place) as running:
        running.wait_for("run ended", status="failed", kind="auth")
        (desk.place.folder / ".env").write_text(f"TOKEN={token}\n")
        reload(running)
        running.wait_for("run ended", status="complete")
        assert 0 == running.stop()
        assert not {token, "anotherword"} & set(running.log.read_text().replace('"', " ").split())


@pytest.mark.long
@pytest.mark.parametrize("wrong", some(["key", "twice", "gone", "yaml", "mapping", "stages", "state"]))
def test_a_config_that_is_wrong_is_refused_with_all_its_faults(desk: Desk, wrong: str) -> None:
    """The old one stays in force; the log and the status say why, and a right one is taken afterwards."""
    config, folder = desk.place.config, desk.place.folder
    text = f"daemon: {{listen: '127.0.0.1:0'}}\n{config.read_text()}"
    config.write_text(text)
    with daemon(desk.place) as running:
        running.wait_for("run ended", status="complete")
        told = spoil(wrong, config, folder)
        reload(running)
        running.wait_for(WRONG)
        (line,) = running.found(WRONG)
        assert [] == [word for word in told if word not in line["error"]], line["error"]
        mend(text, config, folder)
        reload(running)
        running.wait_for(IN_FORCE, connections=1)
        assert 0 == running.stop()


def spoil(wrong: str, config: Path, folder: Path) -> list[str]:
    """Make the project wrong in one way; the words by which it is to be named."""
    text = config.read_text()
    if wrong == "gone":
        config.unlink()
        return ["There is no file", "config.yaml"]
    if wrong == "mapping":
        (folder / "mappings").mkdir()
        (folder / "mappings" / "capsule.yaml").write_text("extends: capsule\nfields: {nam: name}\n")
        return ["capsule.yaml:2", "nam"]
    if wrong == "stages":
        (folder / "stages.csv").write_text("connection,stag\none,x\n")
        return ["stages.csv"]
    spoilt = {
        "key": (text + "timezon: UTC\n", ["config.yaml:", "timezon"]),
        "twice": (text.replace("6h", "six") + "timezone: Nowhere\n", ["schedule", "timezone"]),
        "yaml": (text + "  [\n", ["config.yaml:"]),
        "state": (text + "state: elsewhere\n", ["state", "daemon that starts"]),
    }
    config.write_text(spoilt[wrong][0])
    return spoilt[wrong][1]


def mend(text: str, config: Path, folder: Path) -> None:
    config.write_text(text)
    (folder / "stages.csv").unlink(missing_ok=True)
    (folder / "mappings" / "capsule.yaml").unlink(missing_ok=True)


@pytest.mark.long
def test_the_status_says_what_was_refused(desk: Desk) -> None:
    """Whoever looks at the port sees that the newest config.yaml is not in force, and why."""
    text = desk.place.config.read_text()
    port = free_port()
    desk.place.config.write_text(f"daemon: {{listen: '127.0.0.1:{port}'}}\n{text}")
    with daemon(desk.place) as running:
        running.wait_for("run ended", status="complete")
        desk.place.config.write_text(f"daemon: {{listen: '127.0.0.1:{port}'}}\n{text}timezon: UTC\n")
        reload(running)
        running.wait_for(WRONG)
        wait_until(lambda: "timezon" in json.dumps(status(port)))
        assert 0 == running.stop()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        found: int = one.getsockname()[1]
        return found


def status(port: int) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=10) as answer:
        return json.load(answer)

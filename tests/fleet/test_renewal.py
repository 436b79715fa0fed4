"""A daemon at work on a list of accounts: what comes is loaded, what leaves is retired, what is wrong stops nobody."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from onepipe import fitting
from onepipe.daemon.reload import reread
from onepipe.project import Project
from onepipe.sandbox import Sandbox
from tests.cli.place import Place
from tests.fleet.test_commands import ENTRY, write

PATIENCE = 120.0  # seconds that a busy machine may take


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Place, str]]:
    """A project with a list of two accounts, and the token that all of them have."""
    with Sandbox(rows=3, seed=7, crms=("capsule",)) as crms:
        entry = ENTRY | {"base_url": crms.urls["capsule"], "schedule": "1h"}
        (tmp_path / "config.yaml").write_text(json.dumps({"connections_from": entry}))
        token = crms.credentials["capsule"]["token"]
        write(tmp_path, f"a,{token}", f"b,{token}")
        yield Place(tmp_path), token


def until(found: Callable[[], Any]) -> Any:
    """What is found, once it is there."""
    end = time.monotonic() + PATIENCE
    while not (result := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return result


def test_accounts_come_and_go_without_a_restart(fleet: tuple[Place, str]) -> None:
    """A new one is loaded, one that left is due no more, a row that is wrong is told; the others are not touched."""
    place, token = fleet
    with (place.folder / "log").open("w") as log:
        daemon = place.start("daemon", "--drain", "5", stdout=subprocess.DEVNULL, stderr=log)

    def said(event: str, **about: Any) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in (place.folder / "log").read_text().splitlines() if line.startswith("{")]
        return [one for one in lines if one["event"] == event and about.items() <= one.items()]

    try:
        until(lambda: said("run ended", connection="shop-b", status="complete"))
        write(place.folder, f"a,{token}", f"c,{token}", f"c,{token}", "d,")
        daemon.send_signal(signal.SIGHUP)
        (taken,) = until(lambda: said("the new config is in force"))
        assert (3, ["shop-c", "shop-d"], ["shop-b"]) == (taken["connections"], taken["added"], taken["gone"])
        until(lambda: said("run ended", connection="shop-c", status="complete"))
        (failed,) = until(lambda: said("run ended", connection="shop-d"))
        assert ("failed", "config") == (failed["status"], failed["kind"])
        assert 1 == len(said("run ended", connection="shop-a"))
        text = (place.folder / "log").read_text()
        assert "the name 'shop-c' stands twice, first in line 3; this account is left out" in text
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(60)


def test_a_list_that_cannot_be_read_changes_nothing_for_a_daemon(fleet: tuple[Place, str]) -> None:
    """While a command by hand is refused; the daemon goes on with what it knew."""
    place, token = fleet
    with Project(place.config, "onepipe daemon", renewing=True) as project:
        assert False is project.config.outdated(time.time() + 10_000)
        (place.folder / "accounts.csv").write_text("accounts,token\na,b\n")
        assert project.config.outdated(time.time())
        found = reread(project).config
        assert ["shop-a", "shop-b"] == list(found.connections)
        assert "is used as it was last read" in found.notices[0]
        assert 2 == place.run("sync").code
        write(place.folder, f"a,{token}", f"b,{token}", f"c,{token}")
        assert ["shop-a", "shop-b", "shop-c"] == list(reread(project).config.connections)


def test_what_did_not_change_is_the_same_connection(fleet: tuple[Place, str]) -> None:
    """So that nothing about the others begins anew; one whose row was mended is another one."""
    place, token = fleet
    write(place.folder, f"a,{token}", "b,")
    before = fitting.load(place.config).connections
    write(place.folder, f"a,{token}", f"b,{token}", f"c,{token}")
    after = fitting.load(place.config).connections
    assert [True, False] == [before[name] == after[name] for name in ("shop-a", "shop-b")]

"""A fleet on the command line: one bad account never stops the others, and people say how many may be bad."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.cli.tolerance import Tolerance
from onepipe.errors import AuthRefused, ConfigError, DiskTrouble, LeaseHeld, OnepipeError, UsageError
from onepipe.report import ConnectionReport, RunReport
from onepipe.sandbox import Sandbox
from tests.cli.place import Place

ENTRY = {
    "name": "shop-{account}",
    "file": "accounts.csv",
    "connector": "capsule",
    "credentials": {"token": "{token}"},
    "settings": {"details": False},
    "labels": {"client": "{account}"},
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Place, str]]:
    """A project with a list of three accounts, and the token that all of them have."""
    with Sandbox(rows=3, seed=7, crms=("capsule",)) as crms:
        entry = ENTRY | {"base_url": crms.urls["capsule"]}
        (tmp_path / "config.yaml").write_text(json.dumps({"connections_from": entry}))
        token = crms.credentials["capsule"]["token"]
        write(tmp_path, *(f"{name},{token}" for name in "abc"))
        yield Place(tmp_path), token


def write(folder: Path, *lines: str) -> None:
    (folder / "accounts.csv").write_text("\n".join(["account,token", *lines, ""]))


def statuses(place: Place, *words: str) -> tuple[int, dict[str, str]]:
    told = place.run("sync", "--json", *words)
    return told.code, {one["connection"]: one["status"] for one in told.json["connections"]}


def test_a_list_is_loaded_and_one_bad_account_fails_alone(fleet: tuple[Place, str]) -> None:
    """A token that is refused, one that is missing, an address that is not the bound one: each fails, the rest runs."""
    place, token = fleet
    assert (0, {"shop-a": "complete", "shop-b": "complete", "shop-c": "complete"}) == statuses(place)
    write(place.folder, f"a,{token}", "b,wrong", f"c,{token}", "d,")
    assert (1, {"shop-a": "complete", "shop-b": "failed", "shop-c": "complete", "shop-d": "failed"}) == statuses(place)
    told = place.run("status")
    assert 0 == told.code
    assert "accounts.csv:5: token: is empty, and credentials.token needs it" in told.out
    assert "`onepipe check shop-d` names every mistake with its line" in told.out
    told = place.run("check", "--json")
    assert (1, [True, False, True, False]) == (told.code, [one["ok"] for one in told.json["connections"]])
    text = (place.folder / "config.yaml").read_text().replace('/capsule"', '/capsule/{account}"')
    (place.folder / "config.yaml").write_text(text)
    code, found = statuses(place, "shop-a")
    assert (2, {"shop-a": "failed"}) == (code, found), "the name is bound to another address"


def test_accounts_that_leave_are_retired_and_keep_their_rows(fleet: tuple[Place, str]) -> None:
    """What is gone from the list is not read any more, and nothing of it is lost; what comes is loaded."""
    place, token = fleet
    statuses(place)
    write(place.folder, f"a,{token}", f"c,{token}", f"e,{token}")
    told = place.run("fleet", "--json")
    (entry,) = told.json["entries"]
    assert (0, 3, ["shop-e"], ["shop-b"]) == (told.code, entry["accounts"], entry["added"], entry["gone"])
    assert (0, {"shop-a": "complete", "shop-c": "complete", "shop-e": "complete"}) == statuses(place)
    sql = "SELECT c.connection, state, count(*) AS deals FROM connections c JOIN deals USING (connection) GROUP BY ALL"
    told = place.run("sql", "--format", "json", f"{sql} ORDER BY ALL")
    states = {"shop-a": "active", "shop-b": "retired", "shop-c": "active", "shop-e": "active"}
    assert states == {row["connection"]: row["state"] for row in json.loads(told.out)}
    assert {3} == {row["deals"] for row in json.loads(told.out)}


def test_a_list_that_shrank_is_told_by_every_command_until_it_is_accepted(fleet: tuple[Place, str]) -> None:
    """The accounts go on meanwhile."""
    place, token = fleet
    write(place.folder, *(f"{name},{token}" for name in "abcd"))
    statuses(place)
    write(place.folder, f"a,{token}")
    told = place.run("sync", "shop-d")
    assert (0, True) == (told.code, "names 1 accounts, and named 4 before" in told.err)
    assert (0, True) == ((told := place.run("fleet")).code, "is not believed" in told.out)
    assert (0, True) == ((told := place.run("fleet", "--accept")).code, "gone: shop-b, shop-c, shop-d" in told.out)
    assert (0, {"shop-a": "complete"}) == statuses(place)


def test_fleet_says_what_is_wrong_and_ends_with_1(fleet: tuple[Place, str]) -> None:
    """With the line of the list; a project without lists is told how one is written."""
    place, token = fleet
    write(place.folder, f"a,{token}", "b,")
    told = place.run("fleet")
    assert (1, True) == (told.code, "accounts.csv:3: token: is empty" in told.out)
    (place.folder / "config.yaml").write_text("connections: {}\n")
    told = place.run("fleet")
    assert (0, True) == (told.code, "names no list of accounts" in told.out)


def test_connections_of_a_list_complete(fleet: tuple[Place, str]) -> None:
    """The shell is offered their names, once the list was read."""
    place, _ = fleet
    place.run("fleet")
    command = f"onepipe --config {place.config} sync shop-"
    environment = {"_ONEPIPE_COMPLETE": "complete_bash", "COMP_WORDS": command, "COMP_CWORD": "4"}
    told = subprocess.run(
        [sys.executable, "-m", "onepipe"], env=environment, capture_output=True, text=True, check=False
    )
    assert ["shop-a", "shop-b", "shop-c"] == told.stdout.split(), told.stderr


def report(*errors: OnepipeError | None, published: OnepipeError | None = None) -> RunReport:
    ended = []
    for number, error in enumerate(errors):
        one = ConnectionReport(f"c{number}", "capsule", None)  # type: ignore[arg-type]
        if error:
            one.fall("failed", error)
        ended.append(one)
    return RunReport("run", ended, published)


BAD, HELD, WRONG = AuthRefused("no"), LeaseHeld("held"), ConfigError("wrong")


@pytest.mark.parametrize(
    ("text", "errors", "code"),
    [
        ("any", [None, None], 0),
        ("any", [None, BAD], 1),
        ("any", [None, WRONG], 1),
        ("any", [WRONG, WRONG], 2),
        ("2", [None, None, BAD], 0),
        ("2", [None, BAD, BAD], 1),
        ("2", [None, None, WRONG], 0),
        ("50%", [None, None, BAD], 0),
        ("50%", [None, BAD], 1),
        ("0.5%", [*[None] * 199, BAD], 1),
        ("0.6%", [*[None] * 199, BAD], 0),
        ("100%", [None, BAD], 0),
        ("9", [HELD, HELD], 75),
        ("9", [WRONG], 2),
        ("9", [BAD, BAD], 1),
        ("100%", [], 0),
    ],
)
def test_people_say_how_many_may_fail(text: str, errors: list[OnepipeError | None], code: int) -> None:
    """Fewer than so many are no failure; where nothing worked at all, the codes are those they always are."""
    assert code == Tolerance.of(text).code(report(*errors))


def test_an_old_snapshot_is_never_tolerated() -> None:
    """Nobody sees what was loaded then."""
    assert 1 == Tolerance.of("50%").code(report(None, None, published=DiskTrouble("full")))


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "-1", "half", "5 %", "1.5"])
def test_other_tolerances_are_wrong_usage(text: str) -> None:
    """Before anything is started."""
    with pytest.raises(UsageError, match="--fail-on"):
        Tolerance.of(text)


def test_the_last_line_says_why_a_run_with_failures_ends_well(fleet: tuple[Place, str]) -> None:
    """The report is as long as ever; its end says how many failed, and what that means here."""
    place, token = fleet
    write(place.folder, f"a,{token}", "b,wrong", f"c,{token}")
    told = place.run("sync", "--fail-on", "50%")
    assert (0, True) == (told.code, "shop-b failed." in told.err)
    expected = "1 of 3 connections (33.3 %) is not complete, fewer than `--fail-on 50%` counts as failed: exit code 0."
    assert expected == told.out.splitlines()[-1]
    told = place.run("sync", "--fail-on", "1")
    expected = "1 of 3 connections (33.3 %) is not complete, which `--fail-on 1` counts as failed: exit code 1."
    assert (1, expected) == (told.code, told.out.splitlines()[-1])

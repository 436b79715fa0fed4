"""Behaviour 30: no write leaves the house until every gate is open, held at the last place before the network."""

import ast
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from onepipe import registry
from onepipe.account import open_account
from onepipe.cli import app
from onepipe.config import load as load_config
from onepipe.errors import UsageError, WriteRefused
from onepipe.mapping import load_mapping
from onepipe.sandbox import Sandbox
from onepipe.sandbox.server import Receive, Scope, Send
from tests.cli.place import Place, Told, connection, write
from tests.connectors.test_writes import ACTIONS, GIVEN, described
from tests.effort import some
from tests.push.conftest import Make
from tests.push.desk import CRMS, states
from tests.push.test_behaviours_lost import NEW

SOURCE = Path(__file__).parents[2] / "src" / "onepipe"
WRITING_GETS = ("/opportunities/add_tag",)
MODES = ("off", "plan")
REPORTS = ("pipeline", "forecast", "velocity", "health")


class Recorder(Sandbox):
    """The simulated CRMs, and every request that ever reached their port."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows=rows, seed=7)
        self.seen: list[tuple[str, str]] = []

    async def _serve_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append((scope["method"], scope["raw_path"].decode()))
        await super()._serve_one(scope, receive, send)

    def harm(self, since: int = 0) -> list[tuple[str, str]]:
        """The requests that are not plain reads."""
        return [one for one in self.seen[since:] if one[0] != "GET" or any(part in one[1] for part in WRITING_GETS)]


@dataclass(frozen=True)
class Stage:
    """A project in which every command has something to do, its CRMs, and the names of what is there."""

    place: Place
    crms: Recorder
    names: dict[str, str]

    def mode(self, word: str) -> None:
        """Write config.yaml with this write mode."""
        more = {"tactile": {"currency": "GBP"}, "onautomate": {"currency": "USD"}}
        how = {"mode": word, "limits": {"max_deletes": 9}}
        told = (connection(self.crms, crm, write=how, schedule="1s", **more.get(crm, {})) for crm in CRMS)
        write(self.place.folder, *told)

    def some_id(self, crm: str, number: int = 0) -> str:
        """The id of a deal."""
        return str(list(self.crms[crm].rows)[number])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All five CRMs, synced; a run that wrote, a conflict, a plan, and edits of every kind that wait."""
    folder = tmp_path_factory.mktemp("stage")
    with Recorder(rows=6) as crms:
        made = Stage(Place(folder), crms, {})
        made.mode("on")
        _told(made, "sync")
        _written(made)
        _waiting(made)
        _told(made, "push", "plan", "-o", str(folder / "plan.json"), "--json")
        assert crms.harm(), "the stage was to be set with a write"
        yield made


def _told(stage: Stage, *words: str, code: int = 0) -> Told:
    told = stage.place.run(*words)
    assert code == told.code, (words, told.out, told.err)
    return told


def _written(stage: Stage) -> None:
    """One run that wrote a name, and one that met a conflict."""
    one = stage.some_id("capsule")
    _told(stage, "edit", "capsule", one, "name=Ours")
    stage.names["run"] = _told(stage, "push", "apply", "--yes", "--json").json["run_id"]
    _told(stage, "edit", "capsule", one, "description=Ours")
    stage.crms["capsule"].update(int(one), description="Theirs")
    _told(stage, "push", "apply", "--yes", "--json", code=1)
    (conflict,) = _told(stage, "conflicts", "list", "--json").json["conflicts"]
    stage.names["conflict"] = conflict["conflict_id"]


def _waiting(stage: Stage) -> None:
    """An update and a new deal for each CRM, and deletions."""
    for crm in CRMS:
        _told(stage, "edit", crm, stage.some_id(crm, 1), "name=Ours")
        words = [f"{name.replace('__', '.')}={value}" for name, value in NEW[crm].items()]
        _told(stage, "edit", "--new", crm, "name=New", *words)
        if crm != "tactile":
            _told(stage, "edit", "--delete", crm, stage.some_id(crm, 2))


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that is registered, group by group."""
    if hasattr(group, "commands"):
        for name, one in group.commands.items():
            yield from _commands(one, (*path, name))
    else:
        yield path


def _calls(stage: Stage, folder: Path) -> Iterator[tuple[str, ...]]:
    """Every action of every CRM, with arguments that it takes."""
    for crm, names in ACTIONS.items():
        actions = registry.load(crm, None).actions()
        for name in names:
            given = [f"{one.name}={GIVEN[one.type.__name__]}" for one in actions[name].parameters[1:]]
            out = ("--out", str(folder / "quote.pdf")) if actions[name].reads else ()
            yield (crm, name, stage.some_id(crm), *given, *out)


def _reads(stage: Stage) -> Iterator[tuple[str, ...]]:
    """Every named read of every CRM."""
    for crm in CRMS:
        for name, read in registry.load(crm, None).reads().items():
            given = [f"{one.name}={stage.some_id(crm)}" for one in read.parameters if one.required]
            yield (crm, name, *given)


def _arguments(stage: Stage, folder: Path) -> dict[tuple[str, ...], list[tuple[str, ...]]]:
    """For each command, what it is called with so that it would do something."""
    one, plan = stage.some_id("capsule"), str(stage.place.folder / "plan.json")
    return {
        ("init",): [(str(folder / "new"),)],
        ("check",): [()],
        ("sync",): [(), ("--full", "--sweep"), ("capsule", "--max-requests", "3")],
        ("backfill",): [("--plan",), ("--restart",)],
        ("alerts", "test"): [()],
        ("status",): [()],
        ("runs",): [()],
        ("fleet",): [(), ("--accept",)],
        ("run-now",): [()],
        ("pause",): [("capsule", "--reason", "a move")],
        ("resume",): [("capsule",)],
        ("quota",): [(), ("--forget",)],
        ("sweep", "show"): [()],
        ("sweep", "approve"): [tuple(CRMS)],
        ("sweep", "discard"): [tuple(CRMS)],
        ("explain",): [("capsule", one)],
        ("drift",): [()],
        ("sql",): [("FROM deals",)],
        ("get",): list(_reads(stage)),
        ("edit",): [("capsule", one, "amount=1.25"), ("list",), ("capsule", one, "--clear", "description")],
        ("push", "plan"): [(), ("-o", str(folder / "p.json")), ("-o", str(folder / "p.html"))],
        ("push", "apply"): [("--yes",), (plan, "--yes"), ("--yes", "--connection", "tactile", "--wait", "1")],
        ("push", "status"): [()],
        ("push", "show"): [("1",)],
        ("push", "revert"): [(stage.names["run"], "--apply", "--yes"), (stage.names["run"],)],
        ("conflicts", "list"): [(), ("-o", str(folder / "c.csv"))],
        ("conflicts", "resolve"): [(stage.names["conflict"], "ours")],
        ("call",): list(_calls(stage, folder)),
        ("mapping", "show"): [("capsule",)],
        ("mapping", "check"): [()],
        ("mapping", "plan"): [()],
        ("mapping", "apply"): [("--yes",)],
        ("rebind",): [("capsule",)],
        ("connection", "rename"): [("capsule", "another")],
        ("connection", "forget"): [("capsule", "--yes")],
        ("maintain",): [("--plan",), ("--keep-versions", "1", "--yes")],
        ("backup",): [(str(folder / "b.zip"),), ("--check", str(folder / "b.zip"))],
        ("restore",): [(str(folder / "b.zip"), "--into", str(folder / "restored"))],
        ("erase",): [("capsule", one, "--plan"), ("--email", "nobody@example.org", "--yes"), ("--list",)],
        ("connectors", "list"): [()],
        ("connectors", "new"): [("another",)],
        ("connectors", "test"): [("connectors/another.py",)],
        ("schema",): [("config",)],
        ("mapping", "suggest"): [("capsule",), ("tactile",)],
        ("problems",): [(), ("--replay",)],
        ("stages",): [(), ("--apply",)],
        ("people",): [()],
        ("freeze",): [("kept",), ("--list",)],
        **{("report", name): [(), ("-o", str(folder / f"{name}.html"))] for name in REPORTS},
        ("report", "diff"): [("kept",)],
        ("export",): [("--format", "csv", "-o", str(folder / "out"))],
        ("docs", "dbt"): [()],
    }


ELSEWHERE = {("demo",), ("sandbox",), ("daemon",)}  # the first two serve CRMs of their own; the third has its own test


@pytest.mark.parametrize("mode", some(MODES))
def test_30_no_command_writes_unless_the_mode_is_on(stage: Stage, tmp_path: Path, mode: str) -> None:
    """30. Given a mode other than on, then no command, whatever waits, lets anything but a read reach a server."""
    arguments = _arguments(stage, tmp_path)
    registered = set(_commands(typer.main.get_command(app)))
    assert registered == arguments.keys() | ELSEWHERE, "a new command has to be given arguments here"
    stage.mode(mode)
    since, codes = len(stage.crms.seen), dict[tuple[str, ...], list[int]]()
    for command, calls in arguments.items():
        for words in calls:
            codes.setdefault(command, []).append(stage.place.run(*command, *words).code)
    assert [] == stage.crms.harm(since)
    assert len(stage.crms.seen) > since + 50
    assert {2} == set(codes["push", "apply"])
    reading = [name == "render_pdf" for names in ACTIONS.values() for name in names]
    assert {2} == {code for code, reads in zip(codes["call",], reading, strict=True) if not reads}
    assert {2 if mode == "off" else 0} == set(codes["push", "plan"])


@pytest.mark.long
@pytest.mark.parametrize("mode", MODES)
def test_30_a_daemon_only_reads(stage: Stage, mode: str) -> None:
    """30. Given edits that wait, then the daemon syncs, and sends none of them, whatever the mode."""
    stage.mode(mode)
    since = len(stage.crms.seen)
    daemon = stage.place.start("daemon", "--drain", "1")
    until = time.monotonic() + 60
    while len({path.split("/")[1] for _, path in stage.crms.seen[since:]}) < len(CRMS) and time.monotonic() < until:
        assert None is daemon.poll()
        time.sleep(0.05)
    daemon.send_signal(signal.SIGTERM)
    daemon.communicate(timeout=30)
    assert set(CRMS) <= {path.split("/")[1] for _, path in stage.crms.seen[since:]}
    assert [] == stage.crms.harm(since)


@pytest.mark.parametrize("mode", [*MODES, "on"])
@pytest.mark.parametrize("crm", CRMS)
def test_30_no_verb_of_a_connector_writes_by_itself(stage: Stage, mode: str, crm: str) -> None:
    """30. Given an account as every command but a push opens it, then no verb, read, action or description writes."""
    stage.mode(mode)
    config = load_config(stage.place.config, credentials=True)
    mapping = load_mapping(registry.find("mappings", crm, None).path)
    account = open_account(config, config.connections[crm], mapping)
    since = len(stage.crms.seen)
    with account.http:
        for request in described(_Acme(account.connector, stage.crms[crm])):
            with pytest.raises(WriteRefused) as refused:
                account.connector.send(request)
            assert refused.value.unapplied
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get ", "TRACE"):
            with pytest.raises((WriteRefused, ValueError)):
                account.http.send(method, "/api/anything")
        for path in account.facts.writing_paths:
            for spelt in (path.rstrip("*"), path.rstrip("*").upper(), path.rstrip("*").replace("_", "%5f")):
                with pytest.raises(WriteRefused):
                    account.http.get(spelt, id=1, tag="x")
    assert [] == stage.crms.harm(since)


@dataclass
class _Acme:
    """What describes every request of a connector."""

    connector: Any
    crm: Any


def test_30_one_place_opens_the_gate() -> None:
    """30. Given all of the source, then the gate is opened for writing in one room, which is that of pushes."""
    opening = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if path != SOURCE / "http" / "gate.py"  # the gate itself
        for node in ast.walk(ast.parse(path.read_text()))
        if _opens(node)
    }
    assert {"push"} == opening


def _opens(node: ast.AST) -> bool:
    """Whether a line of code lets writes through: Gate(writing=...) or gate.writing = ..., of anything but False."""
    if isinstance(node, ast.Call):
        given = [one.value for one in node.keywords if one.arg == "writing"]
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        return name == "Gate" and any(not _is_false(one) for one in [*given, *node.args[:1]])
    if isinstance(node, ast.Assign):
        return any(isinstance(one, ast.Attribute) and one.attr == "writing" for one in node.targets)
    return False


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


SHUT: dict[str, dict[str, Any]] = {
    "mode": {"mode": "plan"},
    "field": {"fields": {"amount": {"write": False}}},
    "limit": {"limits": {"max_rows": 0}},
}


@pytest.mark.long
@pytest.mark.parametrize("gate", SHUT)
def test_30_each_gate_stops_a_push_by_itself(desk: Make, gate: str) -> None:
    """30. Given the mode, the field's rule or a limit forbids it, then nothing is sent, however it is asked for."""
    made = desk("overplane")
    row = made.deal("overplane")
    made.sync()
    made.edit("overplane", row, amount="120.25")
    made.connections["overplane"]["write"] |= SHUT[gate]
    if gate == "field":
        assert {"amount": "refused"} == states(made.pushed())
    else:
        with pytest.raises(UsageError):
            made.apply()
    assert ([], 1) == (made.writes("overplane"), len(made.queue()))
    made.connections["overplane"]["write"] = {"mode": "on"}
    assert "done" == made.pushed().state

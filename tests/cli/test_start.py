"""`init`, `check`, `schema` and `sandbox`."""

import json
import signal
import urllib.request
from pathlib import Path

import pytest

from onepipe.cli import schema
from onepipe.mapping import FIELD_KEYS, TYPES
from onepipe.sandbox import Sandbox
from onepipe.transform import TRANSFORMS
from tests.cli.conftest import ROWS
from tests.cli.place import Place, connection, write


def test_init_lays_out_a_project_that_checks(tmp_path: Path) -> None:
    """What it wrote, and the next steps; doing it again touches nothing."""
    folder = tmp_path / "mine"
    told = Place(tmp_path).run("init", str(folder))
    assert (0, True) == (told.code, f"wrote  {folder / 'config.yaml'}" in told.out)
    assert f"cd {folder}" in told.out.splitlines()[-1]
    (folder / "config.yaml").write_text("connections: {}\n")
    assert f"left   {folder / 'config.yaml'}" in Place(tmp_path).run("init", str(folder)).out
    assert "connections: {}\n" == (folder / "config.yaml").read_text()
    assert 0 == Place(folder).run("check").code


def test_check_asks_each_crm_once(tmp_path: Path, crms: Sandbox) -> None:
    """How many deals the token sees where the CRM tells; exit code 1 if any fails, with the reason."""
    write(tmp_path, connection(crms, "administrate"), connection(crms, "capsule", credentials={"token": "wrong"}))
    before = len(crms["administrate"].log)
    told = Place(tmp_path).run("check", "--json")
    good, bad = told.json["connections"]
    assert (1, True, ROWS, 1) == (told.code, good["ok"], good["opportunities"], len(crms["administrate"].log) - before)
    assert (False, "auth") == (bad["ok"], bad["error"]["kind"])
    told = Place(tmp_path).run("check")
    assert (1, True, False) == (told.code, "\ncapsule failed. " in told.err, "wrong" in told.out + told.err)


@pytest.mark.parametrize("what", ["config", "mapping"])
def test_a_schema_is_a_json_schema(tmp_path: Path, what: str) -> None:
    """One document that editors understand; needs no project."""
    told = Place(tmp_path).run("schema", what)
    assert (0, "object") == (told.code, told.json["type"])
    assert told.json["$schema"].startswith("https://json-schema.org/")
    assert 2 == Place(tmp_path).run("schema", "nope").code


def test_the_schema_of_mappings_knows_every_column_and_transform() -> None:
    """It is made of the tables that the loader goes by, and so cannot fall behind them."""
    told = schema.mapping()
    assert set(TYPES) - {"extra"} == set(told["properties"]["fields"]["properties"])
    _, long = told["$defs"]["field"]["anyOf"]
    assert (set(FIELD_KEYS), sorted(TRANSFORMS)) == (set(long["properties"]), long["properties"]["as"]["enum"])


def test_the_sandbox_tells_where_it_is_and_ends_on_a_signal(tmp_path: Path) -> None:
    """One JSON line with base URLs and credentials, then it serves until SIGTERM, which ends it with 0."""
    process = Place(tmp_path).start("sandbox", "--rows", "2", "--seed", "1")
    assert process.stdout
    told = json.loads(process.stdout.readline())
    assert {"administrate", "tactile", "capsule", "onautomate", "overplane"} == set(told)
    port = told["capsule"]["base_url"].split("/")[2]
    with urllib.request.urlopen(f"http://{port}/_sandbox/capsule/records") as answer:
        assert 2 == len(json.load(answer))
    process.send_signal(signal.SIGTERM)
    assert ("", "") == process.communicate(timeout=10)
    assert 0 == process.returncode


def test_a_port_that_is_taken_is_said(tmp_path: Path, crms: Sandbox) -> None:
    """Exit code 2 and a way out, not a traceback."""
    told = Place(tmp_path).run("sandbox", "--port", str(crms.port))
    assert (2, True) == (told.code, "cannot be used" in told.err)

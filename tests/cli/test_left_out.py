"""A project whose published file may be shared: our own commands know everything, what reads that file says so."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from onepipe.sandbox import Sandbox
from tests.cli.conftest import acme
from tests.cli.place import Place, write


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Place]:
    """One account, written back to, published without names, descriptions and raw."""
    with Sandbox(rows=12, seed=7, crms=("capsule",)) as sandbox:
        write(tmp_path, acme(sandbox))
        with (tmp_path / "config.yaml").open("a") as stream:
            stream.write("publish: {exclude: [name, description]}\n")
        place = Place(tmp_path)
        told = place.run("sync")
        assert 0 == told.code, told.err
        yield place


def test_our_own_commands_read_what_was_left_out(private: Place) -> None:
    """explain, drift, edit, push and status answer as if everything were published."""
    explained = private.run("explain", "acme", "43", "--json").json
    assert explained["now"]["name"]
    (records,) = [one["records_before"] for one in private.run("drift", "--json").json["connections"]]
    assert records > 10
    edited = private.run("edit", "acme", "43", "name=Another name", "--json")
    assert (0, explained["now"]["name"]) == (edited.code, edited.json["queued"][0]["base"]), edited.err
    planned = private.run("push", "plan", "--json")
    (record,) = planned.json["items"]
    assert ("write", explained["now"]["name"]) == (record["decision"], record["fields"]["name"]["theirs"])
    assert 12 <= private.run("status", "--json").json["connections"][0]["live_count"]


def test_what_reads_the_published_file_says_what_it_lacks(private: Place, tmp_path: Path) -> None:
    """A query that names it, and an export; a query that does not is answered without a word."""
    told = private.run("sql", "SELECT count(*) AS n, count(name) AS names FROM raw.records, deals", "--json")
    assert [{"n": 0, "names": 0}] == json.loads(told.out)
    assert "The published file was made without raw and name, see `publish:`" in told.err
    assert "" == private.run("sql", "SELECT count(*) FROM deals").err
    manifest = private.run("export", "-o", str(tmp_path / "out"), "--tables", "deals", "--json").json
    assert "raw, description, name" == manifest["warehouse"]["left_out"]


def test_without_the_whole_copy_no_command_guesses(private: Place) -> None:
    """What needs everything refuses, and the next sync makes it right again."""
    (private.folder / ".onepipe" / "whole.duckdb").unlink()
    for words in (("explain", "acme", "43"), ("drift",), ("edit", "acme", "43", "name=X")):
        told = private.run(*words)
        assert (2, True) == (told.code, "was published without raw, description, name" in told.err), told.err
    assert 0 == private.run("sync").code
    assert 0 == private.run("explain", "acme", "43").code

"""`problems`: what could not be read, what to do about it, and reading it again."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write

ROWS = 12
BY_ID = "SELECT * EXCLUDE (last_changed_at) FROM opportunities ORDER BY source_id"


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Place]:
    """The same as `seen`, for a test that changes something."""
    with _odd(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An Overplane with values that nobody can read, two of them mended in the CRM and synced again."""
    with _odd(tmp_path_factory.mktemp("odd")) as place:
        yield place


@contextmanager
def _odd(folder: Path) -> Iterator[Place]:
    with Sandbox(rows=ROWS, seed=7, crms=("overplane",)) as crms:
        rows = list(crms["overplane"].rows.values())
        for row in rows[:3]:
            row["expected_closing"] = "31/12/2026"
        for row in rows[:2]:
            row["status"] = "Parked"
        write(folder, connection(crms, "overplane", settings={"details": False}))
        place = Place(folder)
        assert 0 == place.run("sync").code
        rows[0]["expected_closing"] = "2026-12-31"
        rows[1]["status"] = "Open"
        assert 0 == place.run("sync").code
        yield place


def test_problems_are_grouped_and_say_of_which_version_they_are(seen: Place) -> None:
    """By connection, field and reason: values and deals as they are now, values of versions before, and samples."""
    told = {one["field"]: one for one in seen.run("problems", "--json").json["problems"]}
    day, status = told["expected_close_date"], told["status"]
    assert (2, 2, 2, ["31/12/2026"]) == (day["values"], len(day["deals"]), day["older_values"], day["samples"])
    assert (1, 1, 2) == (status["values"], len(status["deals"]), status["older_values"])
    assert ("overplane", "not a calendar date") == (day["connection"], day["reason"])
    assert ["status"] == [one["field"] for one in seen.run("problems", "--field", "Status", "--json").json["problems"]]


def test_what_to_do_names_the_line_of_the_mapping(seen: Place) -> None:
    """For people below the table, with the deals' ids."""
    told = seen.run("problems", "overplane")
    (ids,) = (one["deals"] for one in seen.run("problems", "--json").json["problems"] if one["field"] == "status")
    assert (0, True) == (told.code, f"overplane status (deal {ids[0]}): if the word is a new one" in told.out), told.out
    assert "add it to `values:` of status in " in told.out and "overplane.yaml:" in told.out
    assert "`onepipe problems overplane` lists them" in seen.run("status").out


def test_what_only_older_versions_have_is_counted_and_shown_with_all(odd: Place) -> None:
    """A value mended in the CRM is no task any more, and not forgotten."""
    with duckdb.connect(str(odd.folder / ".onepipe" / "work.duckdb")) as db:
        db.execute("DELETE FROM problems WHERE payload_hash IN (SELECT payload_hash FROM store.current)")
    odd.run("sync")
    told = odd.run("problems")
    assert "Every value of the deals as they are now could be read." in told.out
    assert "4 values of older versions could not be read; --all lists them, too." in told.out
    assert {"status", "expected_close_date"} == {
        one["field"] for one in odd.run("problems", "--all", "--json").json["problems"]
    }


def test_csv_lists_every_value_by_itself(seen: Place) -> None:
    """For a spreadsheet; with --all those of older versions, too."""
    lines = list(csv.DictReader(seen.run("problems", "--csv").out.splitlines()))
    assert ["expected_close_date"] * 2 + ["status"] == sorted(line["field"] for line in lines)
    assert {"current"} == {line["version"] for line in lines}
    every = list(csv.DictReader(seen.run("problems", "--all", "--csv").out.splitlines()))
    assert (7, {"current", "older"}) == (len(every), {line["version"] for line in every})
    assert 2 == seen.run("problems", "--csv", "--json").code
    assert 2 == seen.run("problems", "--replay", "--field", "status").code


def test_replay_mends_what_an_older_onepipe_could_not_read(odd: Place) -> None:
    """Without a request: the values are back in their rows, the problems gone, and all other rows what they were."""
    before = odd.run("sql", BY_ID, "--json").json
    kept = odd.run("sql", "SELECT count(*) AS n FROM problems", "--json").json
    with duckdb.connect(str(odd.folder / ".onepipe" / "work.duckdb")) as db:
        damaged = "source_id = (SELECT max(source_id) FROM store.current WHERE amount IS NOT NULL)"
        db.execute(
            "INSERT INTO problems SELECT connection, source_id, 'amount', amount::VARCHAR, 'not a number', 'old', "
            f"payload_hash FROM store.current WHERE {damaged}"
        )
        db.execute(f"UPDATE store.current SET amount = NULL WHERE {damaged}")
    told = odd.run("problems", "--replay")
    assert (0, f"overplane: 1 value mended, {kept[0]['n']} left.\n") == (told.code, told.out), told.err
    assert before == odd.run("sql", BY_ID, "--json").json
    assert kept == odd.run("sql", "SELECT count(*) AS n FROM problems", "--json").json
    again = odd.run("problems", "--replay", "--json").json["replayed"]
    assert [{"connection": "overplane", "mended": 0, "lost": 0, "left": kept[0]["n"], "edited": False}] == again
    assert "none of them can be read; nothing was changed" in odd.run("problems", "--replay").out


@pytest.mark.long
def test_an_edited_mapping_is_pointed_to(odd: Place) -> None:
    """Replaying uses the mapping that is applied; what an edit would mend, its plan shows, and its apply mends."""
    (odd.folder / "mappings").mkdir()
    (odd.folder / "mappings" / "overplane.yaml").write_text(
        "extends: overplane\nfields:\n  status: {values: {open: [Open, Replied, Quotation, Parked], won: Converted, "
        "lost: Lost, abandoned: Closed}}\n"
    )
    assert "`onepipe mapping plan overplane` shows what it would mend" in odd.run("problems").out
    told = odd.run("problems", "--replay")
    assert (0, True) == (told.code, "`onepipe mapping plan overplane`" in told.err)
    assert 0 == odd.run("mapping", "apply", "--yes").code
    assert ["expected_close_date"] == [one["field"] for one in odd.run("problems", "--json").json["problems"]]


def test_nothing_unreadable_and_an_unknown_connection(synced: Place) -> None:
    """Said in a sentence; exit code 2 for a name that nobody has."""
    told = synced.run("problems")
    assert (0, "Every value of the deals as they are now could be read.\n") == (told.code, told.out)
    assert "There is no value to read again." in synced.run("problems", "--replay").out
    assert 2 == synced.run("problems", "acm").code

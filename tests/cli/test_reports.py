"""`report` and `freeze`: what people show to others, and what is left of it later."""

import csv
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from lxml import html

from onepipe.sandbox import Sandbox
from onepipe.warehouse.files import part_of
from tests.cli.conftest import ROWS
from tests.cli.place import Place, Told, connection, write
from tests.effort import some

REPORTS = ("pipeline", "forecast", "velocity", "health")
Desk = tuple[Place, Sandbox]


def ask(place: Place, query: str) -> Any:
    told = place.run("sql", query, "--json")
    assert 0 == told.code, told.err
    return json.loads(told.out, parse_float=Decimal)


def freeze(place: Place, *words: str) -> Told:
    told = place.run("freeze", *words)
    assert 0 == told.code, told.err
    return told


# --- reports


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_fits_an_old_terminal(synced: Place, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """No line is longer than 80 letters, none is coloured where that is not wanted, and no number is broken."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    told = synced.run("report", name)
    assert (0, "") == (told.code, told.err)
    assert "\x1b" not in told.out
    assert [] == [line for line in told.out.splitlines() if len(line) > 80]
    assert "All 2 connections are fresh" in told.out
    assert "In no figure, or not in every one" in told.out


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_one_file(synced: Place, tmp_path: Path, name: str) -> None:
    """It can be sent to somebody; nothing beside it is needed."""
    told = synced.run("report", name, "-o", str(tmp_path / "page.html"))
    assert (0, True) == (told.code, "page.html was written" in told.out)
    page = html.document_fromstring((tmp_path / "page.html").read_text("utf-8"))
    assert page.xpath("string(//h1)") and page.xpath("string(//p[@class='first'])").startswith(
        "All 2 connections are fresh"
    )
    assert ["page.html"] == [path.name for path in tmp_path.iterdir()]


def test_json_tells_the_numbers_of_the_views(synced: Place) -> None:
    """Money as exact text, one line for each currency."""
    told = synced.run("report", "pipeline", "--json").json
    (table,) = [one for one in told["tables"] if one["table"] == "totals"]
    found = {row["currency"]: (row["deals"], row["amount"]) for row in table["rows"]}
    columns = (
        "coalesce(currency, 'no currency (' || connection || ')') AS c, sum(deals) AS d, sum(amount)::VARCHAR AS a"
    )
    query = f"SELECT {columns} FROM pipeline_by_stage WHERE deals > 0 GROUP BY ALL"
    assert {row["c"]: (row["d"], row["a"]) for row in ask(synced, query)} == found
    assert (["administrate", "capsule"], []) == (told["connections"], told["stale"])
    assert told["left_out"]["unknown_status_deals"] == sum(
        one["deals"] for one in told["left_out"]["unknown_status_stages"]
    )


def test_a_report_can_be_of_some(synced: Place) -> None:
    """By name, glob or label, as everywhere."""
    told = synced.run("report", "pipeline", "label:client=Acme", "--json").json
    assert ["capsule"] == told["connections"]
    names = {row["connection"] for one in told["tables"] if one["table"] == "by_stage" for row in one["rows"]}
    assert {"capsule"} == names


@pytest.mark.parametrize(
    "words",
    [
        ("pipeline", "nobody"),
        ("pipeline", "--as-of", "yesterday"),
        ("pipeline", "--as-of", "2999-01-01"),
        ("forecast", "-o", "nowhere/page.html"),
        ("forecast", "-o", "warehouse.duckdb"),
        ("diff", "board"),
        ("diff", "board", "--json", "--csv"),
    ],
)
def test_wrong_words_are_refused(synced: Place, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Exit 2, in one paragraph; nothing is written."""
    monkeypatch.chdir(synced.folder)
    told = synced.run("report", *words)
    assert (2, "", True) == (told.code, told.out, bool(told.err)), told.out


def test_without_a_warehouse_there_is_no_report(place: Place) -> None:
    """The way to one is told."""
    told = place.run("report", "pipeline")
    assert (2, True) == (told.code, "`onepipe sync`" in told.err)
    assert (2, True) == ((told := place.run("freeze", "--list")).code, "`onepipe sync`" in told.err)
    assert (2, True) == ((told := place.run("freeze", "board")).code, "`onepipe sync`" in told.err)
    assert not (place.folder / "warehouse.duckdb").exists()


def test_a_stale_connection_is_named_first(spoilt: Desk) -> None:
    """Since when and why, before any number; a connection that never ran, too."""
    place, crms = spoilt
    assert 0 == place.run("sync").code
    more = {"connector": "capsule", "base_url": crms.urls["capsule"], "credentials": {"token": "x"}}
    write(
        place.folder, connection(crms, "capsule", credentials={"token": "wrong"}), f"  training: {json.dumps(more)}\n"
    )
    assert 1 == place.run("sync", "capsule").code
    told = place.run("report", "pipeline")
    assert re.match(r"Pipeline on [\d-]+\nStale: capsule \(failing since ", told.out), told.out
    assert "training (never synced)" in " ".join(told.out.split())
    stale = place.run("report", "health", "--json").json["stale"]
    assert [("capsule", "failing"), ("training", "never run")] == [(one["connection"], one["state"]) for one in stale]


def test_a_file_of_an_older_onepipe_is_named(synced: Place, tmp_path: Path) -> None:
    """It lacks what reports are made of; a run publishes it anew."""
    (tmp_path / "warehouse.duckdb").write_bytes((synced.folder / "warehouse.duckdb").read_bytes())
    (tmp_path / "config.yaml").write_text((synced.folder / "config.yaml").read_text())
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
        db.execute("DROP VIEW slippage")
    told = Place(tmp_path).run("report", "velocity")
    assert (2, True) == (told.code, "older onepipe" in told.err)


# --- freezing


@pytest.fixture
def frozen(spoilt: Desk) -> Desk:
    """A Capsule of its own, synced, with today frozen under the name board."""
    assert 0 == spoilt[0].run("sync").code
    freeze(spoilt[0], "board", "--note", "for the board")
    return spoilt


def test_what_is_frozen_is_published_at_once(frozen: Desk) -> None:
    """Its deals, its figures, and what they were made of."""
    place, _ = frozen
    live = ask(place, "SELECT count(*) AS n, sum(amount) AS a FROM deals")
    assert live == ask(place, "SELECT count(*) AS n, sum(amount) AS a FROM frozen.board")
    figures = "SELECT currency, sum(amount) AS a FROM {} GROUP BY ALL ORDER BY ALL"
    day = ask(place, "SELECT as_of::VARCHAR AS d FROM frozen.frozen")[0]["d"]
    assert ask(place, figures.format(f"pipeline_as_of('{day}')")) == ask(place, figures.format("frozen.board_figures"))
    (one,) = place.run("freeze", "--list", "--json").json["frozen"]
    assert ("board", day, live[0]["n"], "for the board") == tuple(
        one[key] for key in ("name", "as_of", "deals", "note")
    )
    assert "board  " in place.run("freeze", "--list").out


@pytest.mark.long
def test_nothing_touches_what_is_frozen(frozen: Desk) -> None:
    """Neither a sync, nor another mapping, nor a connection taken out, nor what is frozen beside it."""
    place, crms = frozen
    before = ask(place, "FROM frozen.board ORDER BY source_id"), ask(place, "FROM frozen.board_figures ORDER BY ALL")
    crms["capsule"].update(43, value="1.50")
    assert 0 == place.run("sync", "--full").code
    mapping = place.folder / "mappings" / "capsule.yaml"
    mapping.parent.mkdir(exist_ok=True)
    shipped = Path(__file__).parent.parent.parent / "mappings" / "capsule.yaml"
    mapping.write_text(re.sub(r"(?m)^  name: .*$", "  name: description", shipped.read_text(), count=1))
    assert 0 == place.run("mapping", "apply", "--yes", "--force").code
    assert ask(place, "SELECT count(*) AS n FROM deals WHERE name IS DISTINCT FROM description") == [{"n": 0}]
    freeze(place, "Other-1", "--as-of", "2026-01-31")
    assert 0 == place.run("sync").code
    assert before == (
        ask(place, "FROM frozen.board ORDER BY source_id"),
        ask(place, "FROM frozen.board_figures ORDER BY ALL"),
    )


@pytest.mark.parametrize(
    "words", some([("board",), ("BOARD",), ("board_figures",), ("a b",), ("frozen",), ("x", "--as-of", "2999-01-01")])
)
def test_a_name_in_use_is_refused(frozen: Desk, words: tuple[str, ...]) -> None:
    """Exit 2; nothing is published, nothing is lost."""
    place, _ = frozen
    before = ask(place, "SELECT generation FROM about")
    told = place.run("freeze", *words)
    assert (2, True) == (told.code, "nothing was frozen" in told.err)
    assert before == ask(place, "SELECT generation FROM about")
    assert 1 == len(place.run("freeze", "--list", "--json").json["frozen"])


def test_what_cannot_be_published_is_kept_and_said_so(frozen: Desk) -> None:
    """A full disk loses nothing: freezing it again publishes it, and so does the next run; the same of dropping."""
    place, _ = frozen
    part = part_of(place.folder / "warehouse.duckdb")
    part.symlink_to("nowhere/at all")  # what is copied there fails, and takes the link away
    told = place.run("freeze", "late", "--note", "once")
    assert (1, True, True) == (
        told.code,
        "is kept as late" in (said := " ".join(told.err.split())),
        "next run publishes" in said,
    ), said
    assert ["board"] == [one["name"] for one in place.run("freeze", "--list", "--json").json["frozen"]]
    assert "once" == place.run("freeze", "late", "--json").json["note"]
    assert ["board", "late"] == [one["name"] for one in place.run("freeze", "--list", "--json").json["frozen"]]
    assert 2 == place.run("freeze", "late").code
    part.symlink_to("nowhere/at all")
    told = place.run("freeze", "--drop", "late", "--yes")
    assert (1, True) == (
        told.code,
        "frozen as late is removed, and that stands" in (said := " ".join(told.err.split())),
    ), said
    assert 0 == place.run("sync").code
    assert ["board"] == [one["name"] for one in place.run("freeze", "--list", "--json").json["frozen"]]


@pytest.mark.long
def test_what_asks_no_crm_is_no_run(frozen: Desk) -> None:
    """The newest run stays what it was, whatever is read again, frozen or put in order."""
    place, crms = frozen
    crms["capsule"].update(43, value="1.23456")
    assert 0 == place.run("sync").code
    before = ask(place, "SELECT run_id, generation FROM about")[0]
    stage = ask(place, "SELECT stage FROM open_deals ORDER BY source_id LIMIT 1")[0]["stage"]
    (place.folder / "stages.csv").write_text(
        f"connection,pipeline,stage,stage_group,status,weight\ncapsule,,{stage},,lost,\n"
    )
    assert 0 == place.run("stages", "--apply").code
    mapping = place.folder / "mappings" / "capsule.yaml"
    mapping.parent.mkdir()
    shipped = Path(__file__).parent.parent.parent / "mappings" / "capsule.yaml"
    mapping.write_text(shipped.read_text() + "\n# read once more\n")
    place.run("mapping", "apply", "--yes", "--force")
    place.run("problems", "--replay")
    freeze(place, "later")
    after = ask(place, "SELECT run_id, generation FROM about")[0]
    assert (before["run_id"], True) == (after["run_id"], after["generation"] >= before["generation"] + 2)
    assert [before["run_id"]] == [
        row["r"] for row in ask(place, "SELECT DISTINCT run_id AS r FROM sync_runs ORDER BY 1 DESC LIMIT 1")
    ]
    assert before["run_id"] == place.run("freeze", "--list", "--json").json["frozen"][-1]["run_id"]


@pytest.mark.parametrize("words", [(), ("board", "--list"), ("--list", "--drop", "board"), ("--list", "--note", "x")])
def test_freeze_takes_one_wish_at_a_time(synced: Place, words: tuple[str, ...]) -> None:
    """A name, or the list, or what is to go."""
    told = synced.run("freeze", *words)
    assert (2, True) == (told.code, "nothing was done" in told.err)


def test_what_is_frozen_goes_when_told_so(frozen: Desk) -> None:
    """Not without being asked or told; then its tables are gone, and the name is free again."""
    place, _ = frozen
    told = place.run("freeze", "--drop", "board")
    assert (2, True) == (told.code, "nothing was changed" in told.err)
    assert 2 == place.run("freeze", "--drop", "nobody", "--yes").code
    told = place.run("freeze", "--drop", "Board", "--yes", "--json")
    assert (0, "board") == (told.code, told.json["name"])
    assert 2 == place.run("sql", "FROM frozen.board").code
    assert [] == place.run("freeze", "--list", "--json").json["frozen"]
    freeze(place, "board")


# --- what differs by now


def test_nothing_differs_right_after_freezing(frozen: Desk) -> None:
    """Whoever asks at once is told so, in words and in JSON."""
    place, _ = frozen
    assert "Nothing differs: every deal of " in place.run("report", "diff", "board").out
    assert (False, []) == ((told := place.run("report", "diff", "board", "--json").json)["differs"], told["deals"])


@pytest.mark.long
def test_what_differs_is_told_deal_by_deal(frozen: Desk, tmp_path: Path) -> None:
    """A changed one and a deleted one, with sums that add up; as a page, as CSV and as JSON."""
    place, crms = frozen
    one, other = (row["source_id"] for row in ask(place, "SELECT source_id FROM open_deals ORDER BY 1 LIMIT 2"))
    crms["capsule"].update(int(one), value="7777.50", name="=1+1 <b>Roof</b>")
    crms["capsule"].delete(int(other))
    assert 0 == place.run("sync", "--sweep").code
    told = place.run("report", "diff", "board", "--json").json
    assert {one: ["changed"], other: ["deleted"]} == {deal["source_id"]: deal["reasons"] for deal in told["deals"]}
    for block in told["sums"]:
        reasons = sum((Decimal(line["amount"]) for line in block["reasons"]), Decimal(0))
        assert Decimal(block["before"]["amount"]) + reasons == Decimal(block["now"]["amount"])
    page, sheet = place.folder / "diff.html", place.folder / "diff.csv"
    assert 0 == place.run("report", "diff", "board", "-o", str(page)).code
    tree = html.document_fromstring(page.read_text("utf-8"))
    assert "=1+1 <b>Roof</b>" in tree.text_content() and not tree.xpath("//b")
    assert 0 == place.run("report", "diff", "board", "--csv", "-o", str(sheet)).code
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        names = [row["name"] for row in csv.DictReader(stream)]
    assert (2, True) == (len(names), "'=1+1 <b>Roof</b>" in names)  # a spreadsheet must not carry it out
    assert place.run("report", "diff", "board", "--csv").out.startswith("connection,source_id,name,")


@pytest.mark.long
def test_a_mapping_and_a_decision_are_told_apart(frozen: Desk) -> None:
    """What stages.csv decides since is no other mapping."""
    place, _ = frozen
    stage = ask(place, "SELECT stage FROM open_deals ORDER BY source_id LIMIT 1")[0]["stage"]
    (place.folder / "stages.csv").write_text(
        f"connection,pipeline,stage,stage_group,status,weight\ncapsule,,{stage},,lost,\n"
    )
    assert 0 == place.run("sync").code
    told = place.run("report", "diff", "board", "--json").json
    assert told["deals"]
    assert {("stages",)} == {tuple(deal["reasons"]) for deal in told["deals"]}
    assert all(deal["stage_now"] == stage and deal["status_now"] == "lost" for deal in told["deals"])


@pytest.mark.long
def test_a_connection_taken_out_is_told(frozen: Desk) -> None:
    """Its deals are in no figure any more, and that is why."""
    place, crms = frozen
    write(place.folder, connection(crms, "capsule").replace("capsule:", "other:", 1))
    assert 0 == place.run("sync").code
    told = place.run("report", "diff", "board", "--json").json
    reasons = {tuple(deal["reasons"]) for deal in told["deals"] if deal["connection"] == "capsule"}
    assert {("connection",)} == reasons
    assert all("0" == str(Decimal(one["now"]["amount"]).normalize()) or one["now"]["deals"] for one in told["sums"])


def test_frozen_days_say_how_many_deals(frozen: Desk) -> None:
    """As many as `deals` had."""
    place, _ = frozen
    (row,) = ask(place, "SELECT deals, (SELECT count(*) FROM frozen.board) AS there FROM frozen.frozen")
    assert row["deals"] == row["there"] <= ROWS

"""What reports say, against the history they are made of."""

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import onepipe.reports.beside as beside
import onepipe.reports.forecast as forecast
import onepipe.reports.freshness as freshness
import onepipe.reports.pipeline as pipeline
import onepipe.reports.velocity as velocity
from onepipe.reports.words import Report, document
from tests.reports.published import deal, opened, small, standings
from tests.warehouse.figures import at, in_use, stands
from tests.warehouse.world import World, invent, stored


def table(report: Report, name: str) -> list[dict[str, Any]]:
    """The rows of all tables of a name, each with what its table's money is told in."""
    found = [one for one in document(report)["tables"] if one["table"] == name]
    return [
        row | {"of": one["currency"] or f"no currency ({one['connection']})"} for one in found for row in one["rows"]
    ]


def sums(world: World, day: date | None) -> dict[str, tuple[int, Decimal]]:
    """The pipeline by currency, by connection where there is none, deal by deal in plain Python."""
    found: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for versions in world.deals.values():
        row = versions[-1] if day is None else at(versions, world.end(day))
        if row and stands(row) and in_use(row):
            purse = row["currency"] or f"no currency ({row['connection']})"
            deals, amount = found[purse]
            found[purse] = (deals + 1, amount + (row["amount"] or 0))
    return dict(found)


@pytest.mark.parametrize("seed", range(3))
def test_the_pipeline_adds_up_to_that_of_its_deals(tmp_path: Path, seed: int) -> None:
    """In each currency, by stage and by connection, now and as of a day; nothing over two currencies."""
    world = invent(seed, "Europe/London", date(2025, 9, 1))
    with stored(world, tmp_path) as db:
        for day in (None, world.days[40]):
            report = pipeline.report(opened(db, day))
            for name in ("totals", "by_stage", "by_connection"):
                told: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
                for row in table(report, name):
                    currency = row["of"] if name != "totals" else row["currency"]
                    deals, amount = told[currency]
                    told[currency] = (deals + row["deals"], amount + Decimal(row["amount"] or 0))
                assert sums(world, day) == dict(told), name


def test_the_waterfall_ends_where_it_must(tmp_path: Path) -> None:
    """Last month's steps lead from its first pipeline to its last; the last bar is as long as the sum."""
    world = invent(3, "Europe/London", date(2025, 9, 1))
    with stored(world, tmp_path) as db:
        report = pipeline.report(opened(db))
    for section in report.sections:
        for picture in section.pictures:
            if picture.title.startswith("From the end of"):
                assert picture.bars[-2].end == picture.bars[-1].end or len(picture.bars) == 2


def test_the_month_of_a_waterfall_is_a_whole_one(tmp_path: Path) -> None:
    """The last that is over by the day of the report; a month's own last day counts."""
    world = small()
    deal(world, "1", valid_from=datetime(2025, 11, 5, tzinfo=UTC))
    spans = {date(2026, 1, 30): "2025-11-30 to 2025-12-31", date(2026, 1, 31): "2025-12-31 to 2026-01-31"}
    with stored(world, tmp_path) as db:
        for day, span in spans.items():
            titles = [one["title"] for one in document(pipeline.report(opened(db, day)))["tables"]]
            assert any(span in title for title in titles), titles


def test_what_is_in_no_figure_is_told(tmp_path: Path) -> None:
    """Deals of unknown status with their stages and what to type; deals without a value; retired connections."""
    world = small()
    deal(world, "1")
    deal(world, "2", amount=None, probability=None, expected_close_date=None)
    deal(world, "3", status=None, stage="Handed over")
    deal(world, "4", connection="old")
    with stored(world, tmp_path) as db:
        frame = opened(db)
        texts = beside.left_out(frame.lines, frame.retired).texts
        facts = beside.facts(frame.lines, frame.retired)
    assert "1 deal of unknown status is in no figure: acme / Pipeline p1 / Handed over (1)." in texts[0]
    assert "`onepipe stages`" in texts[0]
    assert "1 open deal of 2 has no amount, and is in no sum." in texts
    assert "1 open deal of 2 has no expected close date." in texts
    assert any(text.startswith("old is retired") and "1 deal" in text for text in texts)
    assert (1, 1, 1, 1, ["old"]) == tuple(
        facts[key]
        for key in (
            *("unknown_status_deals", "deals_without_amount", "deals_without_probability", "retired_deals"),
            "retired_connections",
        )
    )


def test_amounts_of_unknown_currencies_are_told_by_connection(tmp_path: Path) -> None:
    """Nothing is added up over two CRMs that tell no currency: no sum of any report, and no step."""
    world = small()
    deal(world, "1", currency=None)
    deal(world, "2", currency=None, connection="late", amount=7)
    won = {"status": "won", "closed_on": "2026-02-10", "closed_on_evidence": "crm", "currency": None}
    deal(world, "3", amount=30, **won)
    deal(world, "4", amount=5, connection="late", **won)
    with stored(world, tmp_path) as db:
        made = [make(opened(db)) for make in (pipeline.report, forecast.report, velocity.report)]
    sums_ = {(row["currency"], row["amount"]) for row in table(made[0], "totals")}
    assert {("no currency (acme)", "100.0000"), ("no currency (late)", "7.0000")} == sums_
    for report, name in ((made[0], "by_connection"), (made[1], "by_month"), (made[2], "aging")):
        assert sums_ == {(row["of"], row["amount"]) for row in table(report, name)}, name
    ends = {(row["of"], row["amount"]) for row in table(made[0], "waterfall") if row["step"] == "end"}
    assert sums_ == ends
    closed = {(row["of"], row["won_amount"]) for row in table(made[1], "closed_amounts")}
    assert {("no currency (acme)", "30.0000"), ("no currency (late)", "5.0000")} == closed


def test_without_amounts_in_the_file_a_report_says_so(tmp_path: Path) -> None:
    """No sum is 0.00 because its amounts are left out, and no picture shows one."""
    world = small()
    deal(world, "1", amount=None)
    with stored(world, tmp_path) as db:
        db.run("UPDATE about SET left_out = 'raw, amount'")
        made = pipeline.report(opened(db))
    assert any("made without raw, amount" in text for text in made.about)
    assert {None} == {row["amount"] for row in table(made, "waterfall")}
    assert [] == [one for section in made.sections for one in section.pictures if one.title.startswith("From")]


def test_a_day_before_all_deals_says_nothing_of_none(tmp_path: Path) -> None:
    """`0 of 0` is no news."""
    with stored(small(), tmp_path) as db:
        frame = opened(db, date(2020, 1, 1))
        texts = beside.left_out(frame.lines, frame.retired).texts
    assert [] == [text for text in texts if "of 0" in text]


def test_deals_not_yet_seen_on_a_day_are_told(tmp_path: Path) -> None:
    """They are in no figure of that day, and nobody takes that for nothing."""
    world = small()
    deal(world, "1", created_at=date(2025, 12, 1))
    with stored(world, tmp_path) as db:
        frame = opened(db, date(2025, 12, 31))
        texts = beside.left_out(frame.lines, frame.retired).texts
    assert any(text.startswith("1 deal had been created by then but was first seen later") for text in texts)


def test_the_reporting_currency_is_told_with_what_has_no_rate(tmp_path: Path) -> None:
    """Converted at the rates of the day; what has none is counted, not guessed."""
    world = small()
    deal(world, "1")
    deal(world, "2", currency="EUR")
    deal(world, "3", currency="USD")
    with stored(world, tmp_path) as db:
        db.run("UPDATE store.reporting SET currency = 'GBP'")
        db.run("INSERT INTO store.day_rates VALUES (DATE '2026-03-01', 'EUR', 0.5)")
        told_ = pipeline.report(opened(db))
        texts = [text for section in told_.sections for text in section.texts]
        expected = forecast.report(opened(db)).sections[0].texts
    told = "In GBP, at the rates of the day: 150.00 GBP, 75.00 weighted; 1 with an amount but no rate."
    assert told in texts and told in expected
    assert any(text.startswith("1 open deal with an amount has no rate for the day") for text in texts)
    assert [("acme", "150.0000", "GBP")] == [
        (row["connection"], row["amount"], row["of"]) for row in table(told_, "converted")
    ]


def test_what_was_closed_is_told_in_the_reporting_currency(tmp_path: Path) -> None:
    """Each deal by the rate of the day it closed on; beside it how many have none."""
    world = small()
    closed = {"status": "won", "closed_on_evidence": "crm"}
    deal(world, "1", currency="EUR", closed_on="2026-02-10", **closed)
    deal(world, "2", currency="EUR", closed_on="2026-02-11", **closed)
    with stored(world, tmp_path) as db:
        db.run("UPDATE store.reporting SET currency = 'GBP'")
        db.run("INSERT INTO store.day_rates VALUES (DATE '2026-02-10', 'EUR', 0.5)")
        (row,) = table(forecast.report(opened(db)), "closed_amounts_converted")
    assert ("50.0000", None, 1) == tuple(
        row[key] for key in ("reporting_won_amount", "reporting_lost_amount", "deals_without_rate")
    )


def test_overdue_deals_are_told_with_what_they_are_worth(tmp_path: Path) -> None:
    """Each currency by itself."""
    world = small()
    deal(world, "1", expected_close_date="2026-02-27")
    deal(world, "2", expected_close_date="2026-02-27", currency=None)
    with stored(world, tmp_path) as db:
        first = forecast.report(opened(db)).sections[0].texts[0]
    assert first.startswith("2 deals are overdue") and "100.00 GBP, 100.00 no currency (acme)" in first


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"stale": True}, "Stale: acme (nothing was read since 2026-03-01 06:00 UTC)."),
        (
            {"state": "failing", "failing_since": "2026-02-28T10:00:00Z", "error_message": "refused"},
            "Stale: acme (failing since 2026-02-28 10:00 UTC: refused; complete up to 2026-03-01 06:00 UTC).",
        ),
        ({"state": "never run", "complete_through": None}, "Stale: acme (never synced)."),
        ({"state": "loading", "complete_through": None}, "Stale: acme (the first load is not complete)."),
        ({"state": "suspect", "suspect_rows": 3}, "Stale: acme (suspect: a sweep did not find 3 deals"),
        ({"state": "held back", "stale": True, "held_why": "429"}, "Stale: acme (held back: 429; complete up to"),
        ({"state": "held back"}, "The one connection is fresh"),
        ({}, "The one connection is fresh: every change up to 2026-03-01 06:00 UTC is loaded."),
        ({"state": "disabled"}, "No connection is in use: nothing keeps these figures fresh."),
    ],
)
def test_the_first_line_names_what_is_stale_and_why(told: dict[str, Any], said: str) -> None:
    """Which, since when and why; or that nothing is."""
    assert freshness.line(standings("acme", **told)).startswith(said)


def test_the_first_line_tells_the_oldest_of_many() -> None:
    """What is fresh together is as fresh as the one that is furthest behind."""
    many = [*standings("a", complete_through="2026-02-28T01:00:00Z"), *standings("b"), *standings("c", state="retired")]
    assert "All 2 connections are fresh: every change up to 2026-02-28 01:00 UTC" in freshness.line(many)
    assert freshness.line(many).endswith("Not kept fresh: c (retired).")
    assert "The other one is fresh." in freshness.line([*many, *standings("d", stale=True)][1:])

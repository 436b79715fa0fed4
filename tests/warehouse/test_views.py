"""Each view and macro equals what plain Python makes of the same random histories."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

import onepipe.warehouse.reporting as reporting
from onepipe.warehouse.database import Database
from onepipe.warehouse.pipeline import PIPELINE_BY_STAGE
from onepipe.warehouse.views import REPORTS
from tests.warehouse import figures
from tests.warehouse.flow import converted, waterfall
from tests.warehouse.world import Row, World, ask, invent, put, stored

# West and east of London, over the days on which clocks change; in Havana midnight comes twice, in Cairo not at all.
WORLDS = {
    "London": ("Europe/London", date(2024, 2, 20), 4),
    "New York": ("America/New_York", date(2024, 9, 10), 10),
    "Auckland": ("Pacific/Auckland", date(2024, 3, 1), 7),
    "Havana": ("America/Havana", date(2024, 9, 1), 1),
    "Cairo": ("Africa/Cairo", date(2024, 3, 20), 2),
}
SEED = 26  # the worlds report in different currencies, and one in none
Held = tuple[Database, World]


@pytest.fixture(scope="module", params=WORLDS)
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """A work file that holds one random world."""
    zone, first, month = WORLDS[request.param]
    world = invent(SEED + list(WORLDS).index(request.param), zone, first, month)
    with stored(world, tmp_path_factory.mktemp("views")) as db:
        yield db, world


def lines(rows: list[Row], *key: str) -> dict[tuple[Any, ...], Row]:
    """Rows by their key, which must be one."""
    found = {tuple(row[name] for name in key): row for row in rows}
    assert len(rows) == len(found)
    return found


def same(expected: figures.Lines, rows: list[Row], *key: str) -> None:
    """The same lines, and in each line the expected columns."""
    found = lines(rows, *key)
    assert set(expected) == set(found)
    for one, line in expected.items():
        assert (one, line) == (one, {name: found[one][name] for name in line})


STAGE_KEY = ("connection", "pipeline", "stage", "currency")


def test_pipeline_by_stage(held: Held) -> None:
    """Open deals by stage and currency, and beside them what is in no figure."""
    db, world = held
    rows = ask(db, "FROM pipeline_by_stage")
    same(figures.pipeline_by_stage(world), rows, *STAGE_KEY)
    assert {"acme": datetime(2024, 1, 1, tzinfo=UTC), "late": None, "old": None} == {
        row["connection"]: row["complete_through"] for row in rows
    }
    assert {("First", 1), ("Talks", 2), ("Offer", 3)} >= {
        (row["stage"], row["position"]) for row in rows if row["position"]
    }


def test_pipeline_as_of(held: Held) -> None:
    """The same figures at the end of any day; what was not yet observed is a line of its own."""
    db, world = held
    for day in world.days[::6]:
        same(figures.pipeline_as_of(world, day), ask(db, f"FROM pipeline_as_of('{day}')"), *STAGE_KEY, "observed")


def test_pipeline_as_of_today_is_the_pipeline(held: Held) -> None:
    """At the end of the last day the macro shows what the view shows."""
    db, world = held
    names = ", ".join(column.name for column in PIPELINE_BY_STAGE.columns)
    then = ask(db, f"SELECT {names} FROM pipeline_as_of(DATE '{world.today}') WHERE observed")
    now = {tuple(row.values()) for row in ask(db, "FROM pipeline_by_stage")}
    assert now == {tuple(row.values()) for row in then}


def worth_it(world: World, first: date, last: date, found: figures.Lines) -> None:
    """In the reporting currency, too, every step is right, and they add up to the last digit."""
    assert {world.currency} == {row["reporting_currency"] for row in found.values()}
    missing = {key: None if world.currency is None else n for key, (_, n) in converted(world, first, last).items()}
    assert missing == {key: row["deals_without_rate"] for key, row in found.items()}
    values = {key: row["reporting_amount"] for key, row in found.items()}
    assert {key: value for key, (value, _) in converted(world, first, last).items()} == values
    for key in {key[:2] for key in found if values[*key[:2], "end"] is not None}:
        own = {one[2]: value for one, value in values.items() if one[:2] == key and value is not None}
        assert own.pop("end") == sum(own.values())


def test_pipeline_waterfall(held: Held) -> None:
    """Every step is right, and they add up to the cent, for each connection and currency."""
    db, world = held
    for n, m in ((0, 83), (10, 30), (30, 31), (31, 60), (40, 40), (5, 75)):
        first, last = world.days[n], world.days[m]
        rows = ask(db, f"FROM pipeline_waterfall('{first}', '{last}')")
        found = lines(rows, "connection", "currency", "step")
        told = {key: (r["deals"], r["amount"], r["deals_without_amount"]) for key, r in found.items() if key[2] != "fx"}
        assert waterfall(world, first, last) == told
        worth_it(world, first, last, found)
        for key in {key[:2] for key in found}:
            steps = [row for one, row in found.items() if one[:2] == key and row["amount"] is not None]
            assert found[(*key, "end")]["amount"] == sum(row["amount"] for row in steps if row["step"] != "end")
        for step, day in (("begin", first), ("end", last)):
            there = ask(
                db,
                f"SELECT connection, currency, sum(deals) AS deals, coalesce(sum(amount), 0) AS amount FROM "
                f"pipeline_as_of('{day}') WHERE observed GROUP BY ALL HAVING sum(deals) > 0",
            )
            assert {(r["connection"], r["currency"], r["deals"], r["amount"]) for r in there} == {
                (*key[:2], row["deals"], row["amount"]) for key, row in found.items() if key[2] == step and row["deals"]
            }


def test_a_waterfall_that_runs_backwards_is_refused(held: Held) -> None:
    """The first day comes first."""
    with pytest.raises(Exception, match="the first day is the later"):
        held[0].run("FROM pipeline_waterfall('2024-03-02', '2024-03-01')")


def test_forecast(held: Held) -> None:
    """Open deals by the month of their date; overdue ones and those without a date are lines of their own."""
    db, world = held
    same(figures.forecast(world), ask(db, "FROM forecast"), "connection", "month", "currency", "overdue")


def test_win_rate(held: Held) -> None:
    """Closed deals by the month of closed_on; of unknown status or day, they are counted where no month is."""
    db, world = held
    same(figures.win_rate(world), ask(db, "FROM win_rate"), "connection", "month", "currency")


def unkeyed(expected: figures.Lines) -> list[Row]:
    names = ("connection", "pipeline", "stage", "position")
    return [{**dict(zip(names, key, strict=False)), **line} for key, line in expected.items()]


def in_order(rows: list[Row], like: list[Row]) -> list[str]:
    """Rows as text, with the columns and in the order that can be compared; days as whole hundredths."""
    shown = [{name: row[name] for name in like[0]} for row in rows]
    for row in shown:
        for name in ("median_days", "p75_days"):
            if row.get(name) is not None:
                row[name] = Decimal(row[name]).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return sorted(str(row) for row in shown)


def test_stage_conversion(held: Held) -> None:
    """Of the deals that stood in a stage: who came further in the same pipeline, and what each is now."""
    db, world = held
    expected = unkeyed(figures.stage_conversion(world))
    assert in_order(expected, expected) == in_order(ask(db, "FROM stage_conversion"), expected)


def test_stage_duration(held: Held) -> None:
    """Stays seen from end to end, and how many others there were."""
    db, world = held
    expected = unkeyed(figures.stage_duration(world))
    assert in_order(expected, expected) == in_order(ask(db, "FROM stage_duration"), expected)


def test_aging(held: Held) -> None:
    """Each open deal: its age and its time in the stage in days of the reporting zone."""
    db, world = held
    same(figures.aging(world), ask(db, "FROM aging"), "connection", "source_id")


def test_slippage(held: Held) -> None:
    """How the dates that a deal showed while open moved."""
    db, world = held
    same(figures.slippage(world), ask(db, "FROM slippage"), "connection", "source_id")


def test_calendar(held: Held) -> None:
    """Every day once, with its fiscal months, and the instants between which it lies in the reporting zone."""
    db, world = held
    days = {row["day"]: row for row in ask(db, "FROM calendar WHERE year BETWEEN 2023 AND 2025")}
    assert 365 + 366 + 365 == len(days)
    for day, row in days.items():
        assert figures.fiscal(world, day) == (row["fiscal_year"], row["fiscal_quarter"], row["fiscal_month"])
        assert (day.isoweekday(), day - timedelta(day.weekday())) == (row["weekday"], row["week"])
        assert (world.end(day - timedelta(1)), world.end(day)) == (row["starts_at"], row["ends_at"]), day
        assert (day, (day.month + 2) // 3) == (world.local(row["starts_at"]), row["quarter"])


def test_the_session_zone_changes_nothing(held: Held) -> None:
    """Whoever queries from Tokyo sees the days of the reporting zone."""
    db, world = held
    queries = [f"FROM pipeline_as_of('{world.days[40]}')", "FROM win_rate", "FROM forecast", "FROM aging"]
    utc = [sorted(str(row) for row in ask(db, query)) for query in queries]
    db.run("SET TimeZone = 'Asia/Tokyo'")
    there = [sorted(str({**row}) for row in _in_utc(db, query)) for query in queries]
    db.run("SET TimeZone = 'UTC'")
    assert utc == there


def _in_utc(db: Database, query: str) -> list[Row]:
    db.run(f"CREATE OR REPLACE TEMP TABLE there AS {query}")
    db.run("SET TimeZone = 'UTC'")
    rows = ask(db, "FROM there")
    db.run("SET TimeZone = 'Asia/Tokyo'")
    return rows


def test_what_is_told_of_a_view_is_what_it_has(held: Held) -> None:
    """Each view has the columns and types it is described with, each with a comment; macros have theirs."""
    db, _ = held
    for view in REPORTS:
        days = ", ".join(["'2024-05-05'"] * len(view.parameters))
        described = db.run(f"DESCRIBE FROM {view.name}{f'({days})' if days else ''}")
        found = [(name, kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")) for name, kind, *_ in described]
        assert [(column.name, column.type) for column in view.columns] == found
    commented = {name for (name,) in db.run("SELECT function_name FROM duckdb_functions() WHERE comment IS NOT NULL")}
    commented |= {name for (name,) in db.run("SELECT view_name FROM duckdb_views() WHERE comment IS NOT NULL")}
    assert set() == {view.name for view in REPORTS} - commented
    bare = "SELECT table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND schema_name = 'main'"
    names = {view.name for view in REPORTS}
    assert [] == [row for row in db.run(bare) if row[0] in names]


def test_the_reporting_zone_is_taken_over_and_kept(held: Held) -> None:
    """A changed zone moves the ends of days at the next commit."""
    db, world = held
    reporting.keep(db, "Asia/Tokyo", 3)
    try:
        assert [("2024-05-05 15:00:00+00", 3)] == db.run(
            "SELECT ends_at::VARCHAR, fiscal_month FROM calendar WHERE day = DATE '2024-05-05'"
        )
    finally:
        reporting.keep(db, world.zone, world.fiscal)


def test_more_worlds(held: Held) -> None:
    """Other histories in the same zone: the figures that rest on the most cases."""
    db, world = held
    try:
        for seed in range(2):
            other = invent(1000 + seed, world.zone, world.days[0], world.fiscal, count=30)
            put(db, other)
            same(figures.slippage(other), ask(db, "FROM slippage"), "connection", "source_id")
            same(figures.win_rate(other), ask(db, "FROM win_rate"), "connection", "month", "currency")
            same(figures.forecast(other), ask(db, "FROM forecast"), "connection", "month", "currency", "overdue")
            day = other.days[20 + seed]
            same(figures.pipeline_as_of(other, day), ask(db, f"FROM pipeline_as_of('{day}')"), *STAGE_KEY, "observed")
            told = lines(
                ask(db, f"FROM pipeline_waterfall('{day}', '{other.days[70]}')"), "connection", "currency", "step"
            )
            worth_it(other, day, other.days[70], told)
            expected = waterfall(other, day, other.days[70])
            assert {key: value[1] or Decimal(0) for key, value in expected.items()} == {
                key: row["amount"] or Decimal(0) for key, row in told.items() if key[2] != "fx"
            }
    finally:
        put(db, world)

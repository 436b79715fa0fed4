"""What every report stands on: the reporting zone, where a day ends in it, which day it is, and the calendar.

config.yaml is not at hand where somebody queries the published file, so what it says of reporting is kept in one row,
`store.reporting`. No query depends on the zone of the session that asks.
"""

from dataclasses import dataclass

from onepipe.model import Column
from onepipe.warehouse.database import Database

ZONE = "(SELECT timezone FROM store.reporting)"
FISCAL_START = "(SELECT fiscal_year_start FROM store.reporting)"
# The day of the snapshot, not of the query: the figures of a file that is not replaced do not move.
TODAY = f"(SELECT (coalesce(max(published_at), now()) AT TIME ZONE {ZONE})::DATE FROM about)"
RETIRED = "(SELECT connection FROM connections WHERE state = 'retired')"


@dataclass(frozen=True, slots=True)
class View:
    """A view people query; with `parameters`, a table macro. `columns` are those of `query`, in its order."""

    name: str
    comment: str
    columns: tuple[Column, ...]
    query: str
    parameters: tuple[str, ...] = ()


def keep(db: Database, timezone: str, fiscal_year_start: int) -> None:
    """Take over what config.yaml says of reporting: the zone's IANA name, the month (1..12) a fiscal year begins in."""
    db.run(
        "UPDATE store.reporting SET timezone = $zone, fiscal_year_start = $month "
        "WHERE (timezone, fiscal_year_start) IS DISTINCT FROM ($zone, $month)",
        {"zone": timezone, "month": fiscal_year_start},
    )


def day_end(day: str) -> str:
    """SQL: the instant at which a day (a SQL expression) is over in the reporting zone.

    Where clocks go back over midnight, midnight comes twice and DuckDB takes the later one; the day ends at the first.
    Where they go forward over it, there is none, and DuckDB takes the instant at which they do.
    """
    midnight = f"((({day})::DATE + 1)::TIMESTAMP AT TIME ZONE {ZONE})"
    earlier = f"({midnight} - INTERVAL 1 HOUR)"
    return f"CASE WHEN ({earlier} AT TIME ZONE {ZONE})::DATE > ({day})::DATE THEN {earlier} ELSE {midnight} END"


def standing(row: str) -> str:
    """SQL: whether a deal, or a version of one, is in the pipeline: open, not deleted, not archived."""
    return f"({row}.status = 'open' AND NOT {row}.is_deleted AND NOT {row}.is_archived)"


def fiscal_months(day: str) -> str:
    """SQL: the months from the beginning of fiscal year 0 to a day, which is in fiscal year months // 12."""
    return f"(12 * year({day}) + month({day}) - {FISCAL_START} + CASE {FISCAL_START} WHEN 1 THEN 0 ELSE 12 END)"


CALENDAR = View(
    "calendar",
    "Every day from 1990 to 2069, with its week, month, quarter and fiscal year, and when it begins and ends",
    (
        Column("day", "DATE", "The day"),
        Column("year", "BIGINT", "Its year"),
        Column("quarter", "BIGINT", "Its quarter, 1 to 4"),
        Column("month", "DATE", "The first day of its month, as in every view"),
        Column("week", "DATE", "The Monday of its week"),
        Column("weekday", "BIGINT", "1 (Monday) to 7 (Sunday)"),
        Column("fiscal_year", "BIGINT", "Named after the year in which it ends"),
        Column("fiscal_quarter", "BIGINT", "1 to 4, from the month config.yaml names"),
        Column("fiscal_month", "BIGINT", "1 to 12, from the month config.yaml names"),
        Column("starts_at", "TIMESTAMPTZ", "The instant it begins at in the reporting zone"),
        Column("ends_at", "TIMESTAMPTZ", "The instant it ends at (exclusive): where the next one begins"),
    ),
    f"""
    SELECT day, year(day) AS year, quarter(day) AS quarter, date_trunc('month', day)::DATE AS month,
           date_trunc('week', day)::DATE AS week, isodow(day) AS weekday,
           months // 12 AS fiscal_year, months % 12 // 3 + 1 AS fiscal_quarter, months % 12 + 1 AS fiscal_month,
           {day_end("day - 1")} AS starts_at, {day_end("day")} AS ends_at
    FROM (SELECT day, {fiscal_months("day")} AS months
          FROM (SELECT DATE '1990-01-01' + n::INTEGER AS day
                FROM range(DATE '2070-01-01' - DATE '1990-01-01') AS days(n)))""",
)

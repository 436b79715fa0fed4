"""What one unit of each currency is worth in the reporting currency on each day, as rates.csv says.

Kept by the day in `store.day_rates`, without the reporting currency itself, which is worth 1 on every day. Without a
rate there is no number: a figure is NULL then, and its deals are counted beside it.
"""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from onepipe.model import Column
from onepipe.warehouse.database import Database

MONEY = "DECIMAL(38,4)"
HOLDS = 31  # days, its own day counted; a rate holds no longer, whether another one follows or not
CURRENCY = "(SELECT currency FROM store.reporting)"

IN_CURRENCY = Column("reporting_currency", "VARCHAR", "The currency of the next columns; NULL: config.yaml names none")
WITHOUT = Column(
    "deals_without_rate", "BIGINT", "How many have an amount and are in no reporting amount, for want of a rate"
)
CONVERTED = (
    IN_CURRENCY,
    Column("reporting_amount", MONEY, "amount in reporting_currency, by the rate of the figure's day"),
    Column("reporting_weighted_amount", MONEY, "weighted_amount in reporting_currency, by the same rate"),
    WITHOUT,
)


def keep(db: Database, currency: str | None, lines: Iterable[tuple[date, str, Decimal]], mark: str) -> None:
    """Take over the reporting currency and the rates; `mark` is another one where anything in them is.

    `lines` are (day, currency, units of the reporting currency that one unit is worth), at most one a day and currency;
    each holds until the next one of its currency, at most HOLDS days.
    """
    values = {"currency": currency, "mark": mark}
    if db.one("SELECT (currency, rates) IS NOT DISTINCT FROM ($currency, $mark) FROM store.reporting", values):
        return
    db.run("UPDATE store.reporting SET currency = $currency, rates = $mark", values)
    db.run("DELETE FROM store.day_rates")
    texts = [(str(day), name, f"{rate:f}") for day, name, rate in lines if currency and name != currency]
    if texts:
        days, names, rates = zip(*texts, strict=True)
        db.run(
            f"""INSERT INTO store.day_rates
                SELECT unnest(range(day, least(coalesce(until, DATE 'infinity'), day + {HOLDS}), INTERVAL 1 DAY))::DATE,
                       currency, rate
                FROM (SELECT *, lead(day) OVER (PARTITION BY currency ORDER BY day) AS until
                      FROM (SELECT unnest($days::VARCHAR[])::DATE AS day, unnest($names::VARCHAR[]) AS currency,
                                   unnest($rates::VARCHAR[])::DECIMAL(18,9) AS rate))
                ORDER BY ALL""",
            {"days": list(days), "names": list(names), "rates": list(rates)},
        )


def of(day: str) -> str:
    """SQL: currency and rate on a day (a SQL expression), the reporting currency among them."""
    return (
        f"(SELECT r.currency, r.rate FROM store.day_rates r WHERE r.day = {day} "
        "UNION ALL SELECT own.currency, 1::DECIMAL(18,9) FROM store.reporting own)"
    )


def converted(line: str, known: str) -> str:
    """SQL: CONVERTED of a line of sums, by `worth.rate`; `known`: SQL for how many of its deals have an amount."""
    return f"""{CURRENCY} AS reporting_currency, ({line}.amount * worth.rate)::{MONEY} AS reporting_amount,
           ({line}.weighted * worth.rate)::{MONEY} AS reporting_weighted_amount,
           {without("worth.rate IS NULL", known)} AS deals_without_rate"""


def without(missing: str, known: str) -> str:
    """SQL: deals_without_rate, of `known` deals with an amount; NULL where there is no reporting currency."""
    return f"CASE WHEN {CURRENCY} IS NOT NULL THEN CASE WHEN {missing} THEN {known} ELSE 0 END END"

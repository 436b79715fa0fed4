"""What money is worth in the reporting currency, and what a stage makes a deal count for: in plain Python."""

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from tests.warehouse.world import Row, World

CENT = Decimal("0.0001")


def rate(world: World, currency: str | None, day: date | None) -> Decimal | None:
    """What one unit is worth on a day; None where nobody says."""
    if world.currency is None or currency is None:
        return None
    if currency == world.currency:
        return Decimal(1)
    said = [(since, worth) for since, name, worth in world.rates if name == currency and day and since <= day]
    since, worth = max(said, default=(None, None))
    return worth if since and day and (day - since).days < 31 else None


def chance(world: World, row: Row) -> Decimal | None:
    """What a deal's amount counts for: by its stage, else by its probability."""
    own = world.weights.get((row["connection"], row["pipeline"], row["stage"]))
    return next(
        (one for one in (own, world.weights.get((row["connection"], None, row["stage"]))) if one is not None),
        row["probability"],
    )


def weighted(world: World, row: Row) -> Decimal | None:
    """A deal's weighted amount, not rounded."""
    likely = chance(world, row)
    return None if likely is None or row["amount"] is None else row["amount"] * likely


def rounded(value: Decimal) -> Decimal:
    """To four decimals, as money is told."""
    return value.quantize(CENT, ROUND_HALF_UP)


def total(values: Iterable[Decimal | None]) -> Decimal | None:
    """The sum of what is known, rounded once; None of nothing."""
    known = [value for value in values if value is not None]
    return rounded(sum(known, Decimal(0))) if known else None


def converted(world: World, deals: list[Row], currency: str | None, day: date) -> Row:
    """The reporting columns of a line of open deals, by the rate of one day."""
    worth = rate(world, currency, day)
    have = [row for row in deals if row["amount"] is not None]
    valued = [] if worth is None else have
    return {
        "reporting_currency": world.currency,
        "reporting_amount": total(row["amount"] * worth for row in valued),
        "reporting_weighted_amount": total(
            None if weighted(world, row) is None else weighted(world, row) * worth for row in valued
        ),
        "deals_without_rate": None if world.currency is None else len(have) - len(valued),
    }


def closed(world: World, won: list[Row], lost: list[Row]) -> Row:
    """The reporting columns of a line of closed deals, each by the rate of its own day."""

    def worth(row: Row) -> Decimal | None:
        each = rate(world, row["currency"], row["closed_on"])
        return None if each is None or row["amount"] is None else row["amount"] * each

    missing = sum(worth(row) is None and row["amount"] is not None for row in (*won, *lost))
    return {
        "reporting_currency": world.currency,
        "reporting_won_amount": total(worth(row) for row in won),
        "reporting_lost_amount": total(worth(row) for row in lost),
        "deals_without_rate": None if world.currency is None else missing,
    }

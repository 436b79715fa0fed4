"""A frozen day and the same day as known now, side by side: by currency what each reason adds, and the deals."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import onepipe.warehouse.differing as differing
import onepipe.warehouse.figures as figures
from onepipe.reports.frame import currencies
from onepipe.reports.pipeline import flow_converted
from onepipe.warehouse.database import Database

Row = dict[str, Any]
_NOTHING = {"deals": 0, "amount": Decimal(0), "weighted": Decimal(0)}


@dataclass(frozen=True)
class Difference:
    """What differs from a frozen day. `blocks` by currency: before, reasons, now, since (steps up to today), today."""

    kept: Row
    head: Row
    blocks: Sequence[Row]
    deals: Sequence[Row]
    count: int
    converted: Row | None

    @property
    def has_sums(self) -> bool:
        """Whether amounts are in the file; where they are left out of it, deals are all that can be told."""
        return "amount" not in (self.head["left_out"] or "").split(", ")

    @property
    def is_nothing(self) -> bool:
        """Whether the day is as it was frozen, deal by deal; its figure in the reporting currency, too."""
        return not self.count and not (self.converted and self.converted["reasons"])


def find(db: Database, kept: Row, limit: int | None = None) -> Difference:
    """Find what differs from a frozen day, a row of frozen.frozen; `deals` are at most `limit`."""
    head = figures.head(db)
    differing.prepare(db, kept)
    totals, steps = differing.totals(db, kept), differing.steps(db)
    names = [name for (name,) in db.run("SELECT connection FROM connections")]
    since = figures.waterfall(db, names, kept["as_of"], head["today"]) if head["today"] > kept["as_of"] else []
    blocks = [_block(one, totals, steps, since) for one in currencies(totals, steps, since)]
    found = differing.deals(db, kept, limit)
    return Difference(
        kept, head, blocks, found, differing.count(db), _converted(blocks, since, differing.rates(db, kept), kept)
    )


def _block(currency: str, totals: Sequence[Row], steps: Sequence[Row], since: Sequence[Row]) -> Row:
    """One currency. What closed when first seen, or is retired, is in no step and left out here.

    Amounts are None where the file is made without them.
    """
    total = next((line for line in totals if line["currency"] == currency), None)
    sides = {side: _side(total, side) for side in ("before", "now")}
    own = [line for line in since if line["currency"] == currency and line["step"] != "fx"]
    moves = [line for line in own if line["amount"] is not None]
    today = [line for line in moves if line["step"] == "end"]
    return {
        "currency": currency,
        **sides,
        "reasons": [line for line in steps if line["currency"] == currency],
        "since": [line for line in moves if line["step"] not in ("begin", "end")],
        "today": today[0] if today else sides["now"],
    }


def _side(total: Row | None, side: str) -> Row:
    return {key: total[f"{key}_{side}"] for key in _NOTHING} if total else dict(_NOTHING)


def _converted(
    blocks: Sequence[Row], since: Sequence[Row], rates: tuple[Row, Row, str | None], kept: Row
) -> Row | None:
    """The same in the reporting currency: every reason by the rates of then, and what other rates make of it."""
    then, now, into = rates
    if into is None or into != kept["reporting_currency"] or any(one["now"]["amount"] is None for one in blocks):
        return None
    reasons: dict[str, Decimal] = {}
    before = after = Decimal(0)
    for block in blocks:
        old, new = (_rate(one, block["currency"], into) for one in (then, now))
        before += block["before"]["amount"] * old
        after += block["now"]["amount"] * new
        for line in block["reasons"]:
            reasons[line["reason"]] = reasons.get(line["reason"], Decimal(0)) + line["amount"] * old
        reasons["rate"] = reasons.get("rate", Decimal(0)) + block["now"]["amount"] * (new - old)
    told = [{"reason": reason, "amount": amount} for reason, amount in reasons.items() if amount]
    found = {"currency": into, "before": before, "reasons": told, "now": after, "since": [], "today": after}
    steps = flow_converted(since)
    ends = {line["step"]: line["amount"] for line in steps}
    if ends.get("begin") != after:  # a rate of today is missing: what has none is in no step
        return found if not since else found | {"today": None}
    moves = [line for line in steps if line["step"] not in ("begin", "end") and line["amount"]]
    return found | {"since": moves, "today": ends["end"]}


def _rate(rates: Row, currency: str, into: str) -> Decimal:
    """What a unit is worth; nothing without a rate, so that a rate that came later counts as one that changed."""
    return Decimal(1) if currency == into else Decimal(rates.get(currency, 0))

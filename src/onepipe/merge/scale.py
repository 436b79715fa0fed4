"""How fine a number a CRM holds, and what becomes of a finer one."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from onepipe.model import OPPORTUNITY

MOST = Decimal("99999999999999.9999")  # of DECIMAL(18,4)
_DIGITS = {column.name: 4 for column in OPPORTUNITY if column.type.startswith("DECIMAL")}  # (18,4) and (5,4)


@dataclass(frozen=True, slots=True)
class Scale:
    """`step` is the smallest difference between two numbers a CRM holds, in canonical units: 0.01 is a whole percent.

    `rounds`: a finer number is rounded (`rounding`, a mode of decimal); else it is refused, because the CRM would
    refuse it, or keep it and no longer show it. `most` is the largest number that fits.
    """

    step: Decimal
    rounds: bool = True
    most: Decimal | None = None
    rounding: str = ROUND_HALF_UP

    def held(self, value: Decimal) -> Decimal:
        """The number as the CRM would hold it."""
        return (value / self.step).quantize(Decimal(1), rounding=self.rounding) * self.step if self.rounds else value


@dataclass(frozen=True, slots=True)
class Fitted:
    """A number the CRM can hold; `note` says to people what was done to it, if anything."""

    value: Decimal
    note: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that is not taken, and why, as the end of a sentence that begins with the field's name."""

    reason: str


def fit(column: str, value: Decimal, scale: Scale | None = None) -> Fitted | Refused:
    """A number as the CRM would hold it; refused where rounding would mislead or the number is too large.

    Misleading: anything becomes nothing, or likely becomes certain. Without a scale, as fine as the warehouse holds.
    """
    scale = scale or Scale(Decimal(1).scaleb(-_DIGITS.get(column, 4)))
    held, most = scale.held(value), MOST if scale.most is None else scale.most
    if max(abs(value), abs(held)) > most:
        return Refused(f"is {value:f}; it can be at most {most:f}")
    if value % scale.step == 0:
        return Fitted(value)
    if not scale.rounds:
        return Refused(f"is {value:f}; the CRM holds steps of {scale.step:f} only")
    if held == 0 or (column == "probability" and held == 1):
        return Refused(f"is {value:f}, which the CRM would round to {held.normalize():f}")
    return Fitted(held, f"{value:f} is rounded to {held:f}, as fine as the CRM holds it")

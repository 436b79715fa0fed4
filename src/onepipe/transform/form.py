"""What a transform is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Transform:
    """One way of reading a value, and the way back where there is one.

    `sql` is an expression over `inputs`. `takes` says what the first input holds: "text" (one value without outer
    blanks), "verbatim" (one value as sent), "every" (the texts of all paths, joined by a blank), "texts" (a list of
    values) or "json" (the JSON text of an object or list).
    `plain` asks the compiler to refuse an object or a list where text belongs. `present` is a condition over `inputs`
    without which nothing was there to be read. `reason` is what a problem says. `write` takes the canonical Python
    value (str, Decimal, date, an aware datetime, bool, list of str, dict) and gives what the CRM is sent.
    """

    name: str
    type: str
    doc: str
    sql: str
    reason: str
    inputs: tuple[str, ...] = ("x",)
    takes: str = "text"
    plain: bool = False
    present: str = ""
    write: Callable[[Any], Any] | None = None

    @property
    def macro(self) -> str:
        return f"as_{self.name}"

    def head(self, name: str) -> str:
        """A macro's name with its inputs: as_decimal(x)."""
        return f"{name}({', '.join(self.inputs)})"

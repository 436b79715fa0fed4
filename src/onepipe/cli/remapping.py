"""What people see of an edited mapping: what it would change, and what became of applying it."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.outcome import table

if TYPE_CHECKING:
    from onepipe.remap import Applied, Planned

COLUMNS = ("column", "rows", "history", "get lost", "appear", "problems before", "problems after")
SAMPLES = ("column", "before", "after", "versions", "such as")
MONTHS = ("month-end", "figure", "before", "after")
FORCE = "`onepipe mapping apply --force` does it all the same"
NOTHING = "(nothing)"


def show_plan(found: "Sequence[Planned]") -> None:
    """Each connection: its columns with samples, its month-ends, and whether it would be refused."""
    for one in found:
        versions = screen.counted(one.versions, "version")
        screen.say(f"{one.connection}: {versions} read again with mapping {one.now} instead of {one.before}.")
        if one.columns:
            table("Columns that change", COLUMNS, map(_column, one.columns))
            table("Values", SAMPLES, (line for column in one.columns for line in _samples(column)))
        else:
            screen.say("No value would change.")
        months = [line for month in one.month_ends for line in _month(month)]
        if months:
            table("Month-ends", MONTHS, months)
        elif one.columns:
            screen.say("The figures of the last four month-ends stay as they are.")
        _refused(one.refused, "It would be refused")
        screen.say()
    names = exits.listed([one.connection for one in found])
    screen.say(f"Nothing was changed. `onepipe mapping apply` puts it in place for {names}.")


def show_applied(done: "Sequence[Applied]") -> None:
    """What was read again, and what was refused and why."""
    rows = [(one.connection, screen.count(one.versions), one.before, one.now) for one in done if not one.refused]
    for line in screen.table(["connection", "versions read again", "mapping before", "mapping now"], rows, right=[1]):
        if rows:
            screen.say(line)
    for one in done:
        _refused(one.refused, f"{one.connection} was not changed")
    if any(one.refused for one in done):
        screen.note(f"`onepipe mapping plan` shows the values; {FORCE}.")


def _refused(reasons: Sequence[str], head: str) -> None:
    for reason in reasons:
        screen.note(f"{head}: {exits.stopped(reason)}")


def _column(column: dict[str, Any]) -> list[str | None]:
    numbers = ("current", "history", "emptied", "filled", "problems_before", "problems_after")
    return [column["column"], *(screen.count(column[key]) if column.get(key) else None for key in numbers)]


def _samples(column: dict[str, Any]) -> Iterator[list[str | None]]:
    for one in column.get("samples", ()):
        values = [NOTHING if one[key] is None else one[key] for key in ("before", "after")]
        yield [column["column"], *values, screen.count(one["rows"]), one["source_id"]]


def _month(month: dict[str, Any]) -> Iterator[list[str | None]]:
    for line in month["deals"]:
        if line["before"] != line["after"]:
            counts = (screen.count(line[key]) for key in ("before", "after"))
            yield [month["day"], f"deals {line['status'] or 'of unknown status'}", *counts]
    for line in month["open_amount"]:
        before, after = (_money(line, key) for key in ("before", "after"))
        if before != after:
            yield [month["day"], f"open amount {line['currency'] or 'without a currency'}", before, after]


def _money(line: dict[str, Any], when: str) -> str:
    without = line[f"{when}_without_amount"]
    amount = NOTHING if line[when] is None else f"{Decimal(line[when]):,.2f}"
    return f"{amount}, {screen.count(without)} without an amount" if without else amount

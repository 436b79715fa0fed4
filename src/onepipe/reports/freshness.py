"""The first line of every report: which connections are stale, since when and why; or that none is.

Stale is what `onepipe status` calls so: older than its schedule promises, failing, suspect, still loading for the
first time, or never read.
"""

from collections.abc import Sequence
from typing import Any

from onepipe.reports.numbers import counted, listed, minute

Standing = dict[str, Any]
_IDLE = ("disabled", "retired")
_BAD = ("failing", "suspect", "loading", "never run")


def stale(standings: Sequence[Standing]) -> list[Standing]:
    """Those that are not to be relied on: connection, state, complete_through, why."""
    return [
        {
            "connection": one["connection"],
            "state": one["state"] if one["state"] in _BAD else "stale",
            "complete_through": one["complete_through"],
            "why": _why(one),
        }
        for one in standings
        if one["state"] not in _IDLE and (one["stale"] or one["state"] in _BAD)
    ]


def line(standings: Sequence[Standing]) -> str:
    """`Stale: acme (...)`, or `All 5 connections are fresh: ...`."""
    awaited = [one for one in standings if one["state"] not in _IDLE]
    found = stale(standings)
    idle = [one["connection"] for one in standings if one["state"] in _IDLE]
    rest = f" {_idle(idle, standings)}" if idle else ""
    if not awaited:
        return "No connection is in use: nothing keeps these figures fresh." + rest
    if found:
        names = "; ".join(f"{one['connection']} ({one['why']})" for one in found)
        others = len(awaited) - len(found)
        return f"Stale: {names}.{f' {_fresh(others)}' if others else ''}{rest}"
    through = min(str(one["complete_through"]) for one in awaited)
    every = "The one connection is" if len(awaited) == 1 else f"All {len(awaited):,} connections are"
    return f"{every} fresh: every change up to {minute(through)} UTC is loaded.{rest}"


def _fresh(count: int) -> str:
    return f"The other {count:,} are fresh." if count > 1 else "The other one is fresh."


def _idle(names: list[str], standings: Sequence[Standing]) -> str:
    states = {one["connection"]: one["state"] for one in standings}
    told = [f"{name} ({states[name]})" for name in names]
    return f"Not kept fresh: {listed(told)}."


def _why(one: Standing) -> str:
    """Since when, and why."""
    state, through = one["state"], one["complete_through"]
    if state == "never run":
        return "never synced"
    loaded = f"complete up to {minute(through)} UTC" if through else "nothing is complete yet"
    if state == "failing":
        cause = f": {one['error_message'] or one['error_kind']}" if one["error_message"] or one["error_kind"] else ""
        return f"failing since {minute(one['failing_since'])} UTC{cause}; {loaded}"
    if state == "suspect":
        rows = counted(one["suspect_rows"], "deal") if one["suspect_rows"] else "many deals"
        since = f" since {minute(one['suspect_since'])} UTC" if one["suspect_since"] else ""
        return f"suspect{since}: a sweep did not find {rows}, and somebody has to decide; {loaded}"
    if state == "loading":
        return "the first load is not complete"
    if state == "held back":
        return f"held back: {one['held_why'] or one['error_message'] or 'its quota is used up'}; {loaded}"
    return f"nothing was read since {minute(through)} UTC" if through else "no run was complete yet"

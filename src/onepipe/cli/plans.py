"""`backfill --plan`: what a backfill would cost, as tables or as JSON; and how `--budget` is written."""

import re
from typing import TYPE_CHECKING, Any

import onepipe.cli.exits as exits
import onepipe.cli.screen as screen
from onepipe.cli.app import end
from onepipe.cli.tolerance import Tolerance
from onepipe.errors import UsageError

if TYPE_CHECKING:
    from onepipe.project import Project
    from onepipe.run import Options

HEADINGS = ("connection", "slices", "rows", "requests", "of the quota", "time")
SLICE_HEADINGS = ("slice", "changed since (UTC)", "until (UTC)", "rows", "requests")


def budget(text: str | None) -> dict[str, Any]:
    """`20%` as a share of the quota, `500` as requests, both as options of a run. Raises UsageError."""
    if text is None:
        return {}
    found = re.fullmatch(r"(\d+(?:\.\d+)?)( ?%)?", text.strip())
    number = float(found[1]) if found else 0.0
    if found and found[2] and 0 < number <= 100:
        return {"share": number / 100}
    if found and not found[2] and number >= 1 and number.is_integer():
        return {"budget": int(number)}
    raise UsageError(
        f"--budget {text!r} is no budget; nothing was started",
        "write a number of requests, such as 500, or a part of the CRM's quota, such as 20%",
    )


def show(project: "Project", words: list[str], options: "Options", tolerance: Tolerance, as_json: bool) -> None:
    """Say what a backfill would cost; only counts are asked for. Ends the command."""
    from onepipe import costs

    plans = costs.plan(project, words, options)
    _left_out(project, words)
    if as_json:
        screen.document({"connections": plans})
    else:
        _tables(plans)
    kinds = [one["error"] and one["error"]["kind"] for one in plans]
    borne = tolerance.bears(len(plans) - kinds.count(None), len(plans))
    end(0 if borne else exits.of_kinds(kinds))


def _left_out(project: "Project", words: list[str]) -> None:
    """Name the connections that are paused: of those that are disabled config.yaml tells."""
    paused = project.control.service.pauses()
    for one in project.choose(words):
        if one.enabled and one.name in paused:
            screen.note(
                f"{one.name}: left out: paused {paused[one.name]}; `onepipe resume {one.name}` lets it run again."
            )


def _tables(plans: list[dict[str, Any]]) -> None:
    rows = [_row(one) for one in plans] + ([_sum(plans)] if len(plans) > 1 else [])
    for line in screen.table(HEADINGS, rows, right=range(1, 6), null="not told"):
        screen.say(line)
    for one in plans:
        _slices(one)
        _notes(one)


def _row(plan: dict[str, Any]) -> list[str | None]:
    def told(key: str, write: Any) -> str | None:
        return None if plan.get(key) is None else str(write(plan[key]))

    numbers = [told(key, screen.count) for key in ("slices", "rows", "requests")]
    return [plan["connection"], *numbers, told("quota_share", "{:.1%}".format), told("seconds", screen.duration)]


def _sum(plans: list[dict[str, Any]]) -> list[str | None]:
    """All connections together, as far as they tell; side by side they take as long as the longest."""

    def known(key: str) -> list[Any]:
        return [one[key] for one in plans if one[key] is not None]

    numbers = [screen.count(sum(known(key))) if known(key) else None for key in ("slices", "rows", "requests")]
    return ["in all", *numbers, "", screen.duration(max(known("seconds"))) if known("seconds") else None]


def _slices(plan: dict[str, Any]) -> None:
    if len(plan["pieces"]) < 2:
        return
    rows = [
        [
            *(str(one["place"]), _day(one["since"]) or "the beginning", _day(one["until"]) or "now"),
            *(screen.count(one["rows"]), screen.count(one["requests"])),
        ]
        for one in plan["pieces"]
    ]
    screen.say(f"\n{plan['connection']}")
    for line in screen.table(SLICE_HEADINGS, rows, right=(0, 3, 4), margin="  "):
        screen.say(line)


def _day(text: str | None) -> str | None:
    return text.removesuffix("T00:00:00Z").replace("T", " ").removesuffix("Z") if text else None


def _notes(plan: dict[str, Any]) -> None:
    name, details = plan["connection"], plan["details"]
    if plan["error"]:
        screen.note(f"\n{name} failed. {exits.sentences(plan['error']['message'], plan['error']['hint'])}")
    elif plan["rows"] is None:
        each = f", and each takes {screen.counted(details, 'request')} more" if details else ""
        screen.note(f"\n{name}: this CRM does not tell how many opportunities it has; a page holds up to 100{each}.")
    elif details:
        screen.note(f"\n{name}: {screen.counted(details, 'request')} for each opportunity are among these.")

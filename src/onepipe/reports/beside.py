"""What every report says beside its figures: the deals that are in none of them, and where they are."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from onepipe.reports.numbers import counted, listed
from onepipe.reports.words import Section

Row = dict[str, Any]
_STAGES = 8  # so many stages are named


def left_out(lines: Sequence[Row], retired: Sequence[str]) -> Section:
    """The section that tells it, made of the lines of the pipeline."""
    return Section("In no figure, or not in every one", list(_told(lines, retired)))


def facts(lines: Sequence[Row], retired: Sequence[str]) -> dict[str, Any]:
    """The same as numbers."""
    stages = [
        {**{key: line[key] for key in ("connection", "pipeline", "stage")}, "deals": line["unknown_status_deals"]}
        for line in lines
        if line["unknown_status_deals"]
    ]
    keys = ("unknown_status_deals", "deals_without_amount", "deals_without_probability", "deals_without_close_date")
    return {key: _sum(lines, key) for key in (*keys, "retired_deals", "deals_without_rate")} | {
        "unknown_status_stages": stages,
        "retired_connections": list(retired),
        "unobserved_deals": sum(line["deals"] for line in lines if not line["observed"]),
    }


def _told(lines: Sequence[Row], retired: Sequence[str]) -> Iterator[str]:
    yield _unknown(lines)
    unobserved = sum(line["deals"] for line in lines if not line["observed"])
    if unobserved:
        yield (
            f"{counted(unobserved, 'deal')} had been created by then but "
            f"{'was' if unobserved == 1 else 'were'} first seen later: what they were on that day is not known."
        )
    every = sum(line["deals"] for line in lines if line["observed"])
    wanting = (
        ("deals_without_amount", "no amount, and is in no sum", "no amount, and are in no sum"),
        ("deals_without_probability", "no probability, and is in no weighted sum", "no probability, and are in none"),
        ("deals_without_close_date", "no expected close date", "no expected close date"),
    )
    for key, one, many in wanting if every else ():
        count = _sum(lines, key)
        yield f"{counted(count, 'open deal')} of {every:,} {f'has {one}' if count == 1 else f'have {many}'}."
    if any(line["reporting_currency"] for line in lines):
        count = _sum(lines, "deals_without_rate")
        told = f"{counted(count, 'open deal')} with an amount {'has' if count == 1 else 'have'} no rate for the day"
        yield f"{told}: in no sum in the reporting currency."
    if retired:
        deals = counted(_sum(lines, "retired_deals"), "deal")
        are = "is" if len(retired) == 1 else "are"
        yield f"{listed(list(retired))} {are} retired, not in config.yaml any more: {deals} of theirs in no pipeline."


def _unknown(lines: Sequence[Row]) -> str:
    """How many, in which stages, and what to do."""
    stages: Counter[str] = Counter()
    for line in lines:
        where = " / ".join(filter(None, (line["connection"], line["pipeline"], line["stage"] or "no stage")))
        stages[where] += line["unknown_status_deals"]
    found = [f"{where} ({count:,})" for where, count in stages.most_common() if count]
    total = stages.total()
    if not total:
        return "No deal's status is unknown."
    are = "is" if total == 1 else "are"
    return (
        f"{counted(total, 'deal')} of unknown status {are} in no figure: {listed(found, _STAGES)}. "
        "`onepipe stages` lists the stages, to be filled in."
    )


def _sum(lines: Sequence[Row], key: str) -> int:
    """A count over all lines; a line of deals that were not observed has none."""
    return sum(line[key] or 0 for line in lines)

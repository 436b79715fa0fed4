"""Why a figure is not the one that was frozen: the same day as known now, deal by deal, and what happened since.

    as frozen -> reasons, each with what it adds -> the same day as known now -> what happened since -> today

All steps of a currency add up exactly, which a test holds them to.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import onepipe.reports.freshness as freshness
from onepipe.reports.compared import Difference
from onepipe.reports.frame import lacks, unit
from onepipe.reports.numbers import CENT, counted, exact, listed, minute, money, signed
from onepipe.reports.pipeline import STEPS
from onepipe.reports.reasons import REASONS, kinds, why
from onepipe.reports.words import Bar, Column, Picture, Report, Section, Table, Tone, purse

Row = dict[str, Any]
SHOWN = 200  # deals that people see; CSV and JSON have all


def report(found: Difference, standings: Sequence[Row]) -> Report:
    """The answer in the first lines, then the sums, then the deals."""
    kept = found.kept
    note = f" ({kept['note']})" if kept["note"] else ""
    when = f"of {kept['as_of']}, frozen on {minute(kept['frozen_at'])} UTC"
    about = [
        f"{kept['name']}: {counted(kept['deals'], 'deal')} {when}{note}.",
        f"Compared with the warehouse of {minute(found.head['published_at'])} UTC. {freshness.line(standings)}",
        *lacks(found.head),
    ]
    moved = [block for block in found.blocks if block["reasons"] or block["since"]]
    sums = [_sums(found), *map(_bridge, moved), *_reporting(found)] if found.has_sums else []
    return Report(
        "diff",
        f"What differs from {kept['name']}, the pipeline at the end of {kept['as_of']}",
        "\n".join(_answer(found)),
        found.is_nothing,
        about,
        [*sums, _deals(found)],
        _facts(found),
        is_told_by_facts=True,
    )


def _answer(found: Difference) -> Iterator[str]:
    """Each sum in one sentence, the one that a board asks for."""
    day = found.kept["as_of"]
    if not found.has_sums:
        yield f"The published file has no amounts, so no sum of {day} is told; {_differ(found.count)} in what it has."
        return
    if found.is_nothing:
        sums = listed([f"{money(one['now']['amount'])} {one['currency']}" for one in found.blocks], 12)
        yield f"Nothing differs: every deal of {day} is as it was frozen{f', {sums}' if sums else ''}."
    elif not any(_counting(block) for block in found.blocks):
        rest = f"; {_differ(found.count)} in what adds nothing to them" if found.count else ""
        yield f"The sums of amounts of {day}, each in its own currency, are as they were frozen{rest}."
    for block in found.blocks:
        if _counting(block) or block["since"]:
            yield _sentence(block, day)
        if _counting(block, "weighted"):
            before, now = (block[side]["weighted"] for side in ("before", "now"))
            told = _moved(before, now, day, _counting(block, "weighted"), "weighted")
            yield f"{block['currency']}, weighted: {told}."
    whole = found.converted
    if whole and whole["reasons"]:
        told = _moved(whole["before"], whole["now"], day, whole["reasons"])
        yield f"In the reporting currency, {whole['currency']}: {told}."


def _counting(block: Row, key: str = "amount") -> list[Row]:
    """The reasons that make a sum another one: that of amounts, or the weighted one."""
    return [line for line in block["reasons"] if line[key]]


def _moved(before: Decimal, now: Decimal, day: Any, lines: Sequence[Row], key: str = "amount") -> str:
    """`100.00 was frozen; 2026-01-31 is 70.00 by what is known now (...: -30.00)`."""
    reasons = "; ".join(f"{REASONS[line['reason']]}: {signed(line[key])}" for line in lines)
    return f"{money(before)} was frozen; {day} is {money(now)} by what is known now ({reasons})"


def _differ(count: int) -> str:
    return f"{counted(count, 'deal')} {'differs' if count == 1 else 'differ'}"


def _sentence(block: Row, day: Any) -> str:
    frozen, now, today = (block[key]["amount"] for key in ("before", "now", "today"))
    if _counting(block):
        told = f"{block['currency']}: {_moved(frozen, now, day, _counting(block))}"
    else:
        told = f"{block['currency']}: {money(frozen)} was frozen, and {day} is the same by what is known now"
    if block["since"]:
        steps = sorted(block["since"], key=lambda line: -abs(line["amount"]))
        moves = [f"{STEPS[line['step']]} {signed(line['amount'])}" for line in steps]
        return f"{told}; today is {money(today)} for what happened since ({listed(moves, 4)})."
    return f"{told}; today is {money(today)}."


def _sums(found: Difference) -> Section:
    columns = (
        Column("currency", "currency"),
        Column("before", "as frozen", "money"),
        Column("now", "that day, known now", "money"),
        Column("difference", "difference", "change"),
        Column("today", "today", "money"),
    )
    rows = [
        (
            block["currency"],
            block["before"]["amount"],
            block["now"]["amount"],
            block["now"]["amount"] - block["before"]["amount"],
            block["today"]["amount"],
        )
        for block in found.blocks
    ]
    texts = ["Open deals of connections in use; a deal without an amount counts as 0 here."]
    if not rows:
        return Section("The sums", ["No deal was in the pipeline, and none is."])
    return Section("The sums", texts, (), [Table("totals", "By currency", columns, rows)])


def _bridge(block: Row) -> Section:
    """One currency step by step, from the frozen figure to that of today."""
    lines = list(_lines(block))
    columns = (
        Column("step", "step"),
        Column("deals", "deals", "count"),
        Column("amount", "amount", "money"),
        Column("weighted", "weighted", "money"),
    )
    rows = [(line["label"], line["deals"], line["amount"], line["weighted"]) for line in lines]
    title = f"From the frozen figure to today's ({block['currency']})"
    legend: tuple[tuple[Tone, str], ...] = (("plain", "pipeline"), ("good", "adds"), ("bad", "takes away"))
    picture = Picture("Step by step", unit(block["currency"]), "money", list(_bars(lines)), legend)
    table = Table("steps", f"Steps ({block['currency']})", columns, rows, block["currency"])
    return Section(title, _rounded(one for row in rows for one in row[2:]), [picture], [table])


def _rounded(amounts: Iterable[Decimal | None]) -> list[str]:
    """That sums seem to be a cent off, where more than cents were added up."""
    if all(one is None or one == one.quantize(CENT) for one in amounts):
        return []
    return ["Each line is rounded to the cent by itself; in `--json`, with every digit, they add up exactly."]


def _lines(block: Row) -> Iterator[Row]:
    yield block["before"] | {"label": "as frozen", "total": True}
    for line in block["reasons"]:
        yield line | {"label": REASONS[line["reason"]], "total": False}
    yield block["now"] | {"label": "that day, by what is known now", "total": True}
    for line in block["since"]:
        yield line | {"label": f"since then: {STEPS[line['step']]}", "total": False, "weighted": None}
    if block["since"]:
        yield block["today"] | {"label": "today", "total": True, "weighted": None}


def _bars(lines: Sequence[Row]) -> Iterator[Bar]:
    at = Decimal(0)
    for line in lines:
        start = Decimal(0) if line["total"] else at
        at = start + line["amount"]
        told = money(line["amount"]) if line["total"] else signed(line["amount"])
        tone: Tone = "plain" if line["total"] else "good" if line["amount"] >= 0 else "bad"
        deals = f", {counted(line['deals'], 'deal')}" if line["total"] or line["deals"] > 0 else ""
        yield Bar(line["label"], f"{told}{deals}", at, start, tone=tone)


def _reporting(found: Difference) -> list[Section]:
    one = found.converted
    if one is None:
        return []
    columns = (Column("step", "step"), Column("amount", "amount", "money"))
    rows = [("as frozen", one["before"])]
    rows += [(REASONS[line["reason"]], line["amount"]) for line in one["reasons"]]
    rows += [("that day, by what is known now", one["now"])]
    rows += [(f"since then: {STEPS[line['step']]}", line["amount"]) for line in one["since"]]
    rows += [("today", one["today"])] if one["since"] else []
    texts = ["At the rates of that day; what has no rate is in no sum.", *_rounded(row[1] for row in rows)]
    table = Table("converted", f"In {one['currency']}", columns, rows, one["currency"])
    return [Section(f"In the reporting currency, {one['currency']}", texts, (), [table])]


def _deals(found: Difference) -> Section:
    """Deal by deal, the largest difference first."""
    if not found.count:
        return Section("Deal by deal", ["No deal of that day differs."])
    titles = {"deal": "deal", "before": "as frozen", "now": "known now", "why": "why"}
    columns = tuple(Column(key, title) for key, title in titles.items())
    rows = [
        (_named(deal), state(deal, "before"), state(deal, "now"), _why(deal, found)) for deal in found.deals[:SHOWN]
    ]
    shown = f"; the {SHOWN} largest are shown, `--csv` has all" if found.count > len(rows) else ""
    texts = [f"{_differ(found.count)}{shown}."]
    return Section("Deal by deal", texts, (), [Table("deals", "Deals that differ", columns, rows)])


def _named(deal: Row) -> str:
    return f"{deal['name'] or 'no name'} ({deal['connection']} {deal['source_id']})"


def state(deal: Row, side: str) -> str:
    """What a deal was or is, in a few words: `open, 1,200.00 EUR, Offer`."""
    if not deal["was_there" if side == "before" else "is_there"]:
        return "not there" if side == "before" else "deleted" if deal["was_there"] else "not there"
    amount, status = deal[f"amount_{side}"], deal[f"status_{side}"] or "unknown status"
    worth = "no amount" if amount is None else " ".join(filter(None, (money(amount), deal[f"currency_{side}"])))
    left_out = "" if deal[f"in_pipeline_{side}"] or status != "open" else "in no figure"
    return ", ".join(filter(None, (status, worth, deal[f"stage_{side}"], left_out)))


def _why(deal: Row, found: Difference) -> str:
    changes = [f"{one['field']}: {' -> '.join(_values(one))}" for one in deal["changes"] if one["field"] != "custom"]
    return ". ".join(["; ".join(why(deal, found.kept)), *([listed(changes, 4)] if changes else [])])


def _values(change: Row) -> list[str]:
    """Both values in few words; money as everywhere, but with every digit where the cents are the same."""
    sides = [change["before"], change["now"]]
    if change["field"] not in ("amount", "unit_amount"):
        return [_value(text, str) for text in sides]
    told = [_value(text, lambda one: money(Decimal(one))) for text in sides]
    return told if told[0] != told[1] else [_value(text, lambda one: exact(Decimal(one))) for text in sides]


def _value(text: str | None, written: Callable[[str], str]) -> str:
    if text is None:
        return "nothing"
    told = written(text)
    return told if len(told) <= 60 else told[:57] + "..."


def _facts(found: Difference) -> dict[str, Any]:
    kept = found.kept
    about = ("name", "as_of", "frozen_at", "run_id", "generation", "note", "deals", "mappings", "reporting_currency")
    return {
        "frozen": {key: kept[key] for key in about} | {"frozen_at": kept["frozen_at"][:19] + "Z"},
        "published_at": found.head["published_at"],
        "today": found.head["today"],
        "differs": not found.is_nothing,
        "deals_that_differ": found.count,
        "sums": [_sum(block) for block in found.blocks],
        "converted": found.converted,
        "deals": [deal_facts(deal, kept) for deal in found.deals],
    }


def _sum(block: Row) -> Row:
    reasons = [{key: line[key] for key in ("reason", "deals", "amount", "weighted")} for line in block["reasons"]]
    since = [{key: line[key] for key in ("step", "deals", "amount")} for line in block["since"]]
    ends = {key: block[key] for key in ("before", "now")}
    today = {key: block["today"][key] for key in ("deals", "amount")}
    return {**purse(block["currency"]), **ends, "reasons": reasons, "since": since, "today": today}


def deal_facts(deal: Row, kept: Row) -> Row:
    """One deal that differs, for JSON and CSV."""
    told = {key: value for key, value in deal.items() if key != "way"}
    return told | {"reasons": kinds(deal), "why": why(deal, kept)}

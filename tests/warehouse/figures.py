"""What each view must show, computed in plain Python from a world's versions, deal by deal."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median
from typing import Any

from tests.warehouse.money import CENT, chance, closed, converted, total, weighted
from tests.warehouse.world import CLOSED, PLACES, STAGES, STATES, Row, World

Lines = dict[tuple[Any, ...], Row]


def stands(row: Row | None) -> bool:
    """Whether a version is in the pipeline."""
    return row is not None and row["status"] == "open" and not row["is_deleted"] and not row["is_archived"]


def in_use(row: Row) -> bool:
    return STATES[row["connection"]] != "retired"


def at(versions: list[Row], end: datetime) -> Row | None:
    """The version that held just before an instant."""
    return next((one for one in reversed(versions) if one["valid_from"] < end), None)


def grouped(rows: Iterable[Row], key: Callable[[Row], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def figures(world: World, rows: list[Row], day: date) -> Row:
    """The figures of one line of open deals on a day, and what is counted beside them."""
    deals = [row for row in rows if row["status"] == "open" and in_use(row)]
    return {
        "deals": len(deals),
        "amount": total(row["amount"] for row in deals),
        "weighted_amount": total(weighted(world, row) for row in deals),
        "deals_without_amount": sum(row["amount"] is None for row in deals),
        "deals_without_probability": sum(chance(world, row) is None for row in deals),
        "unknown_status_deals": sum(row["status"] is None and in_use(row) for row in rows),
        "retired_deals": sum(not in_use(row) for row in rows),
        **converted(world, deals, rows[0]["currency"], day),
    }


def dateless(rows: list[Row]) -> int:
    return sum(row["status"] == "open" and in_use(row) and row["expected_close_date"] is None for row in rows)


def _live(rows: Iterable[Row]) -> list[Row]:
    return [r for r in rows if not r["is_deleted"] and not r["is_archived"] and r["status"] in ("open", None)]


def _by_stage(row: Row) -> tuple[Any, ...]:
    return row["connection"], row["pipeline"], row["stage"], row["currency"]


def _line(world: World, rows: list[Row], day: date) -> Row:
    return {**figures(world, rows, day), "deals_without_close_date": dateless(rows)}


def pipeline_by_stage(world: World) -> Lines:
    return {key: _line(world, rows, world.today) for key, rows in grouped(_live(world.now()), _by_stage).items()}


def pipeline_as_of(world: World, day: date) -> Lines:
    end = world.end(day)
    then = [row for row in (at(versions, end) for versions in world.deals.values()) if row]
    lines = {(*key, True): _line(world, rows, day) for key, rows in grouped(_live(then), _by_stage).items()}
    later = [
        v[0]
        for v in world.deals.values()
        if v[0]["valid_from"] >= end and v[0]["created_at"] and v[0]["created_at"] < end
    ]
    for (connection,), rows in grouped(later, lambda row: (row["connection"],)).items():
        used = [row for row in rows if in_use(row)]
        lines[connection, None, None, None, False] = {
            **dict.fromkeys(_line(world, rows, day), None),
            "reporting_currency": world.currency,
            "deals": len(used),
            "retired_deals": len(rows) - len(used),
            "unknown_status_deals": 0,
            "known_closed_deals": sum(r["closed_on_evidence"] == "crm" and r["closed_on"] <= day for r in used),
        }
    return lines


def month(day: date | None) -> date | None:
    return day and day.replace(day=1)


def forecast(world: World) -> Lines:
    def key(row: Row) -> tuple[Any, ...]:
        day = row["expected_close_date"]
        return row["connection"], month(day), row["currency"], None if day is None else day < world.today

    return {one: figures(world, rows, world.today) for one, rows in grouped(_live(world.now()), key).items()}


def win_rate(world: World) -> Lines:
    rows = [row for row in world.now() if row["status"] != "open" and not row["is_deleted"]]
    lines = {}
    for key, deals in grouped(rows, lambda r: (r["connection"], month(r["closed_on"]), r["currency"])).items():
        of = {status: [row for row in deals if row["status"] == status] for status in (*CLOSED, None)}
        won, lost = len(of["won"]), len(of["lost"])
        lines[key] = {
            "won": won,
            "lost": lost,
            "abandoned": len(of["abandoned"]),
            "unknown_status_deals": len(of[None]),
            "won_amount": total(row["amount"] for row in of["won"]),
            "lost_amount": total(row["amount"] for row in of["lost"]),
            "win_rate": (Decimal(won) / (won + lost)).quantize(CENT, ROUND_HALF_UP) if won + lost else None,
            "won_without_amount": sum(row["amount"] is None for row in of["won"]),
            "lost_without_amount": sum(row["amount"] is None for row in of["lost"]),
            "closed_before_first_seen": sum(row["closed_on_evidence"] == "first_seen" for row in deals),
            "connection_state": STATES[key[0]],
            **closed(world, of["won"], of["lost"]),
        }
    return lines


def place(row: Row) -> tuple[Any, ...]:
    return row["connection"], row["pipeline_id"], row["stage_id"] or row["stage"]


def stays(versions: list[Row]) -> list[tuple[list[Row], Row | None]]:
    """Each stay of a deal in a stage: its versions, and the one that ended it."""
    found: list[tuple[list[Row], Row | None]] = []
    for before, one in pairwise([None, *versions]):
        assert one
        if found and found[-1][1] is None and not (stands(one) and before and place(one) == place(before)):
            found[-1] = (found[-1][0], one)
        if stands(one):
            if found and found[-1][1] is None:
                found[-1][0].append(one)
            else:
                found.append(([one], None))
    return found


def entry_seen(first: Row) -> bool:
    return first["version"] > 1 or bool(first["created_at"] and first["valid_from"] <= first["created_at"])


def _labels(key: tuple[Any, ...]) -> tuple[Any, ...]:
    connection, pipeline, stage = key
    listed = connection != "late" and stage in STAGES
    return connection, pipeline and f"Pipeline {pipeline}", STAGES.get(stage, stage), PLACES[stage] if listed else None


def stage_duration(world: World) -> Lines:
    every = [(place(stay[0]), stay[0], end) for versions in world.deals.values() for stay, end in stays(versions)]
    lines: Lines = {}
    for key in {key for key, _, _ in every}:
        here = [(first, end) for one, first, end in every if one == key]
        over = [(first, end) for first, end in here if end and entry_seen(first)]
        days = sorted((e["valid_from"] - f["valid_from"]) / timedelta(days=1) for f, e in over if not e["is_deleted"])
        lines[(*_labels(key), key)] = {
            "stays": len(here),
            "finished": len(days),
            "running": sum(end is None for _, end in here),
            "entry_not_seen": sum(end is not None and not entry_seen(first) for first, end in here),
            "ended_by_deletion": sum(end["is_deleted"] for _, end in over),
            "median_days": median(days) if days else None,
            "p75_days": quantile(days, 0.75) if days else None,
        }
    return lines


def quantile(values: list[float], share: float) -> float:
    """Between two neighbours in a straight line, as quantile_cont."""
    where = share * (len(values) - 1)
    low = values[int(where)]
    return low + (values[min(int(where) + 1, len(values) - 1)] - low) * (where - int(where))


def stage_conversion(world: World) -> Lines:
    found: dict[tuple[Any, ...], list[tuple[bool, Any]]] = defaultdict(list)
    for versions in world.deals.values():
        standing = [row for row in versions if stands(row)]
        last = versions[-1]
        outcome = "deleted" if last["is_deleted"] else last["status"]
        for key in {place(row) for row in standing}:
            first = next(row for row in standing if place(row) == key)
            further = [row for row in standing if row["version"] > first["version"] and _after(row, first)]
            found[key].append((bool(further) or outcome == "won", outcome))
    return {
        (*_labels(key), key): {
            "entered": len(deals),
            "advanced": sum(advanced for advanced, _ in deals),
            **{name: sum(out == name for _, out in deals) for name in (*CLOSED, "deleted")},
            "still_open": sum(out == "open" for _, out in deals),
            "unknown_status_deals": sum(out is None for _, out in deals),
            "undecided": sum(out == "open" and not advanced for advanced, out in deals),
            "conversion": (Decimal(sum(a for a, _ in deals)) / len(deals)).quantize(CENT, ROUND_HALF_UP),
        }
        for key, deals in found.items()
    }


def _after(row: Row, first: Row) -> bool:
    """Whether a version stands in a later stage of the same pipeline, by the CRM's list."""
    if row["connection"] == "late" or row["pipeline_id"] != first["pipeline_id"]:
        return False
    return PLACES.get(row["stage_id"], 0) > PLACES.get(first["stage_id"], 99)


def aging(world: World) -> Lines:
    lines = {}
    for key, versions in world.deals.items():
        row = versions[-1]
        if not stands(row) or not in_use(row):
            continue
        first = stays(versions)[-1][0][0]
        born, due = row["created_at"], row["expected_close_date"]
        age = (world.today - world.local(born)).days if born else None
        bands = ((30, "0-30"), (60, "31-60"), (90, "61-90"), (180, "91-180"), (365, "181-365"))
        lines[key] = {
            "amount": row["amount"],
            "currency": row["currency"],
            "age_days": age,
            "as_of": world.today,
            "age": None if age is None else next((name for most, name in bands if age <= most), "366+"),
            "stage_since": first["valid_from"],
            "days_in_stage": (world.today - world.local(first["valid_from"])).days,
            "stage_entry_seen": entry_seen(first),
            "overdue_days": None if due is None else max(0, (world.today - due).days),
        }
    return lines


def slippage(world: World) -> Lines:
    lines = {}
    for key, versions in world.deals.items():
        shown = [r["expected_close_date"] for r in versions if stands(r) and r["expected_close_date"]]
        if versions[-1]["is_deleted"] or not shown:
            continue
        pushes = [(old, new) for old, new in pairwise(shown) if new > old]
        lines[key] = {
            "first_expected": shown[0],
            "last_expected": shown[-1],
            "pushes": len(pushes),
            "pulls": sum(new < old for old, new in pairwise(shown)),
            "days_pushed": sum((new - old).days for old, new in pushes),
            "days_moved": (shown[-1] - shown[0]).days,
            "quarter_pushes": sum(fiscal(world, new)[:2] > fiscal(world, old)[:2] for old, new in pushes),
            "connection_state": STATES[key[0]],
        }
    return lines


def fiscal(world: World, day: date) -> tuple[int, int, int]:
    """Fiscal year (that of its end), quarter and month, counted month by month from a year's beginning."""
    ends_in = day.year + (1 if world.fiscal > 1 and day.month >= world.fiscal else 0)
    in_order = [*range(world.fiscal, 13), *range(1, world.fiscal)]
    nth = in_order.index(day.month) + 1
    return ends_in, (nth + 2) // 3, nth

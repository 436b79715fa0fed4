"""Random histories of deals, as the warehouse would hold them, put into a real work file."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import onepipe.warehouse.rates as rates
import onepipe.warehouse.reporting as reporting
from onepipe.warehouse.database import Database, Engine
from onepipe.warehouse.instants import iso, moment
from onepipe.warehouse.layout import create, dress

Row = dict[str, Any]
Key = tuple[str, str]
STATES = {"acme": "active", "old": "retired", "late": "disabled"}
PIPELINES = {"acme": ("p1", "p2"), "old": ("p1",), "late": (None,)}
STAGES = {"s1": "First", "s2": "Talks", "s3": "Offer", "s4": "Talks"}  # two of one name
PLACES = {"s1": 1, "s2": 2, "s3": 3, "s4": 4}
COMPARED = (
    *("name", "amount", "currency", "pipeline_id", "pipeline", "stage_id", "stage", "status", "probability"),
    *("expected_close_date", "is_archived", "is_deleted"),
)
CLOSED = ("won", "lost", "abandoned")


@dataclass
class World:
    """Deals of three connections: each a list of versions, oldest first. `days` are worth asking about."""

    zone: str
    fiscal: int
    days: list[date]
    today: date
    published: datetime
    currency: str | None = None
    rates: list[tuple[date, str, Decimal]] = field(default_factory=list)
    weights: dict[tuple[str, str | None, str], Decimal | None] = field(default_factory=dict)
    deals: dict[Key, list[Row]] = field(default_factory=dict)

    def end(self, day: date) -> datetime:
        """The first instant whose day in the reporting zone is a later one."""
        return datetime.combine(day + timedelta(1), datetime.min.time(), ZoneInfo(self.zone)).astimezone(UTC)

    def local(self, at: datetime) -> date:
        """The day of an instant in the reporting zone."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def now(self) -> Iterator[Row]:
        """Each deal's newest version."""
        return (versions[-1] for versions in self.deals.values())


def invent(seed: int, zone: str, first: date, fiscal: int = 1, count: int = 60) -> World:
    """Histories over twelve weeks from a day on, with many instants right at the ends of days."""
    rng = random.Random(seed)
    days = [first + timedelta(n) for n in range(84)]
    published = datetime.combine(days[-1], datetime.min.time(), UTC) + timedelta(hours=5, minutes=30)
    world = World(zone, fiscal, days, date.min, published)
    world.today = world.local(published)
    world.currency = rng.choice(["GBP", "GBP", "EUR", None])
    world.rates = _rates(rng, world)
    world.weights = _weights(rng)
    for n in range(count):
        connection = rng.choice(["acme", "acme", "old", "late"])
        world.deals[connection, str(n)] = _life(rng, world, connection, str(n))
    return world


def _rates(rng: random.Random, world: World) -> list[tuple[date, str, Decimal]]:
    """Lines for all currencies but the reporting one, some so far apart that days between have none."""
    lines = []
    for currency in ("GBP", "EUR", "USD"):
        day = world.days[0] - timedelta(rng.randint(-5, 40))
        while world.currency not in (currency, None) and day < world.today - timedelta(rng.choice([0, 0, 50])):
            lines.append((day, currency, Decimal(rng.randint(1, 2 * 10**9)) / 10**9))
            day += timedelta(rng.choice([1, 9, 9, 20, 30, 31, 32, 45]))
    rng.shuffle(lines)
    return lines


def _weights(rng: random.Random) -> dict[tuple[str, str | None, str], Decimal | None]:
    """What stages count for: by pipeline, or for all of them; some are decided upon without a weight."""
    found: dict[tuple[str, str | None, str], Decimal | None] = {}
    for connection, pipelines in PIPELINES.items():
        for stage in ("First", "Talks", "Odd"):
            named = [f"Pipeline {one}" for one in pipelines if one]
            for pipeline in rng.choice([[], [None], named]):
                found[connection, pipeline, stage] = _probability(rng)
    return found


def _instants(rng: random.Random, world: World, count: int) -> list[datetime]:
    """Different instants in order, none after the snapshot."""
    found: set[datetime] = set()
    while len(found) < count:
        end = world.end(rng.choice(world.days[:-3]))
        near = rng.choice([timedelta(0), timedelta(microseconds=-1), timedelta(microseconds=1), timedelta(hours=-7)])
        found.add(end + near + timedelta(minutes=rng.choice([0, 0, 30, -45])))
    return sorted(found)


def _life(rng: random.Random, world: World, connection: str, source_id: str) -> list[Row]:
    born, *instants = _instants(rng, world, rng.randint(2, 9))
    if rng.random() < 0.4:
        born = instants[0]  # not touched between its creation and our first look
    pipeline = rng.choice(PIPELINES[connection])
    row: Row = {
        "connection": connection,
        "source_id": source_id,
        "name": f"Deal {source_id}",
        "is_deleted": False,
        "created_at": born if rng.random() < 0.9 else None,
        "is_archived": False,
        "status": "open",
        "pipeline_id": pipeline,
        "pipeline": pipeline and f"Pipeline {pipeline}",
        "amount": _amount(rng),
        "currency": rng.choice(["GBP", "EUR", "USD", None]),
        "probability": _probability(rng),
        "closed_on": None,
        "expected_close_date": _expected(rng, world),
        "stage_id": "s1",
        "stage": "First",
        "closed_on_evidence": None,
    }
    if rng.random() < 0.25:
        row["status"] = rng.choice([*CLOSED, None])
    versions: list[Row] = []
    for at in instants:
        before = versions[-1] if versions else None
        if before:
            row = dict(row)
            for _ in range(rng.randint(1, 2)):
                _change(rng, world, row)
        _close(rng, world, row, before, at)
        changed = [] if before is None else [name for name in COMPARED if row[name] != before[name]]
        versions.append({**row, "valid_from": at, "version": len(versions) + 1, "changed_fields": changed})
    return versions


def _change(rng: random.Random, world: World, row: Row) -> None:
    what = rng.choice(["amount", "stage", "stage", "status", "status", "date", "currency", "deleted", "archived", "?"])
    if what == "amount":
        row["amount"] = _amount(rng)
    elif what == "stage":
        row["stage_id"] = rng.choice([*STAGES, None])
        row["stage"] = STAGES[row["stage_id"]] if row["stage_id"] else rng.choice(["Odd", None])
    elif what == "status":
        row["status"] = rng.choice(["open", "open", "won", "lost", "abandoned", None])
    elif what == "date":
        row["expected_close_date"] = _expected(rng, world)
    elif what == "currency" and rng.random() < 0.5:
        row["currency"] = rng.choice(["GBP", "EUR", "USD", None])
    elif what in ("deleted", "archived"):
        row[f"is_{what}"] = not row[f"is_{what}"]
    elif what == "?":
        row["name"] += "!"


def _close(rng: random.Random, world: World, row: Row, before: Row | None, at: datetime) -> None:
    """closed_on as the merge would set it, or now and then by a day of the CRM's own."""
    if row["status"] not in CLOSED:
        row["closed_on"] = row["closed_on_evidence"] = None
    elif before is None or before["status"] not in CLOSED:
        row["closed_on"], row["closed_on_evidence"] = world.local(at), "observed" if before else "first_seen"
        if rng.random() < 0.4:
            row["closed_on"], row["closed_on_evidence"] = world.local(at) - timedelta(rng.randint(0, 40)), "crm"


def _amount(rng: random.Random) -> Decimal | None:
    most = rng.choice([10**8, 10**8, 10**15])  # the largest would not fit a product of two short decimals
    return None if rng.random() < 0.2 else Decimal(rng.randint(0, most)) / 100


def _probability(rng: random.Random) -> Decimal | None:
    return None if rng.random() < 0.2 else Decimal(rng.randint(0, 1000)) / 1000


def _expected(rng: random.Random, world: World) -> date | None:
    return None if rng.random() < 0.15 else world.days[0] + timedelta(rng.randint(-20, 200))


@contextmanager
def stored(world: World, folder: Path) -> Iterator[Database]:
    """A work file that holds it."""
    with Engine().writing(folder / "work.duckdb") as db:
        create(db, "test")
        dress(db)
        reporting.keep(db, world.zone, world.fiscal)
        db.run("UPDATE about SET published_at = ?", [world.published.isoformat()])
        put(db, world)
        yield db


def put(db: Database, world: World) -> None:
    """Put a world in the place of the one before it."""
    for table in ("store.current", "store.closed", "connections", "stages", "coverage", "store.stage_decisions"):
        db.run(f"DELETE FROM {table}")
    current, closed = [], []
    for versions in world.deals.values():
        for one, after in zip(versions, [*versions[1:], None], strict=True):
            whole = {"connector": "capsule", "change_origin": "source", "recorded_at": one["valid_from"], **one}
            (closed if after else current).append(whole | ({"valid_to": after["valid_from"]} if after else {}))
    _insert(db, "store.current", current)
    _insert(db, "store.closed", closed)
    rates.keep(db, world.currency, world.rates, repr(world.rates))
    decided = [(("connection", "pipeline", "stage", "weight"), (*key, weight)) for key, weight in world.weights.items()]
    _insert(db, "store.stage_decisions", [dict(zip(names, values, strict=True)) for names, values in decided])
    states = [{"connection": name, "state": state} for name, state in STATES.items()]
    _insert(db, "connections", states)
    for name, pipelines in PIPELINES.items():
        listed = STAGES.items() if name != "late" else ()  # one has no list of stages
        for pipeline in pipelines:
            labels = {"connection": name, "pipeline_id": pipeline, "pipeline": pipeline and f"Pipeline {pipeline}"}
            rows = [{**labels, "stage_id": key, "stage": label, "position": PLACES[key]} for key, label in listed]
            _insert(db, "stages", rows)
    db.run(
        "INSERT INTO coverage (connection, resource, complete_through) VALUES "
        "('acme', 'opportunity', TIMESTAMPTZ '2024-01-01 00:00:00Z'), "
        "('acme', 'steps', TIMESTAMPTZ '2023-01-01 00:00:00Z')"
    )


def _insert(db: Database, table: str, rows: list[Row]) -> None:
    """All rows in one statement; what is not a list goes in as text."""
    if not rows:
        return
    types = {name: kind for name, kind, *_ in db.run(f"DESCRIBE {table}")}
    values = {name: [_bound(row[name]) for row in rows] for name in rows[0]}
    names = ", ".join(values)
    casts = ", ".join(f"unnest(${name}::{_bindable(types[name])}[])::{types[name]}" for name in values)
    db.run(f"INSERT INTO {table} ({names}) SELECT {casts}", values)


def _bindable(kind: str) -> str:
    return kind if kind.endswith("[]") else "VARCHAR"


def _bound(value: Any) -> Any:
    return value if value is None or isinstance(value, list) else str(value)


def ask(db: Database, query: str) -> list[Row]:
    """The rows of a query as Python values."""
    columns = [(name, kind) for name, kind, *_ in db.run(f"DESCRIBE {query}")]
    picked = ", ".join(iso(name) if kind.startswith("TIMESTAMP") else name for name, kind in columns)
    return [
        {
            name: moment(value) if kind.startswith("TIMESTAMP") else value
            for (name, kind), value in zip(columns, row, strict=True)
        }
        for row in db.run(f"SELECT {picked} FROM ({query})")
    ]

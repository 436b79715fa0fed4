"""Which fields the CRMs send, before and since: new, vanished and retyped ones, found in raw when somebody asks.

    raw -> the newest row of each record before and since -> their shapes, counted -> fields -> what drifted

Shapes (`json_structure`) are few even where records are many, so the cost is one pass over raw. A field is a top-level
key, or one in an object or in a list of objects below it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import onepipe.warehouse.samples as samples
from onepipe.warehouse.database import Database
from onepipe.warehouse.instants import as_text

Kind = Literal["new", "vanished", "retyped"]
Group = Literal["old", "again", "since"]  # old: fetched before only; again: before, of records fetched since as well
Steps = tuple[str, ...]  # the way to a field: keys, and "[]" where a list is entered
Place = tuple[str, str]  # connection, resource

CHANCE = 0.001  # what chance would leave out so seldom has vanished
PAIRS = 10  # so many records fetched both before and since tell more than all others do
_TYPES = {"VARCHAR": "text", "BOOLEAN": "true/false", "NULL": "null", "JSON": "object", "{}": "object", "[]": "list"}
_EMPTY = ("null", "empty list")


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a connection's raw is cut in two: at an instant (UTC, as text), or behind the run that fetched first."""

    connection: str
    at: str | None
    first_run: str | None


@dataclass(frozen=True, slots=True)
class Side:
    """A field on one side of the cut: in how many of `records` it held a value, of which types, and such as what."""

    held: int
    records: int
    types: tuple[str, ...]
    rows: tuple[int, ...] = ()
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """One field that is not as it was. `null`: it vanished, though the CRM still names it, without a value."""

    connection: str
    resource: str
    steps: Steps
    kind: Kind
    before: Side
    since: Side
    null: bool = False

    @property
    def field(self) -> str:
        """The field as a mapping writes it: `stage.name`, `items[].price`."""
        return ".".join(self.steps).replace(".[]", "[]")


@dataclass(slots=True)
class _Field:
    """What was counted of one field: records that name it, and that give it a value; its types, and rows to look at."""

    named: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    types: dict[bool, Counter[str]] = field(default_factory=lambda: {False: Counter(), True: Counter()})
    rows: dict[bool, list[int]] = field(default_factory=lambda: {False: [], True: []})

    def add(self, group: str, type_: str, records: int, rows: list[int]) -> None:
        """Count one type of one group."""
        late = group == "since"
        self.named[group] += records
        if type_ not in _EMPTY:
            self.held[group] += records
            self.types[late][type_] += records
            self.rows[late] += rows

    def side(self, late: bool, total: Counter[str]) -> Side:
        """One side of the cut, its commonest type first."""
        held = self.held["since"] if late else self.held["old"] + self.held["again"]
        types = tuple(name for name, _ in self.types[late].most_common())
        return Side(held, _records(total, late), types, tuple(dict.fromkeys(self.rows[late])))


def cuts(db: Database, connections: Sequence[str], since: datetime | None, usual: datetime) -> list[Cut]:
    """Where to cut each connection: at `since`; else at `usual`, or behind the first fetch where all is younger."""
    rows = db.run(
        "SELECT connection, arg_min(run_id, seq), min(fetched_at) >= $usual::TIMESTAMPTZ FROM store.raw "
        "WHERE list_contains($names, connection) GROUP BY connection ORDER BY connection",
        {"names": list(connections), "usual": as_text(usual)},
    )
    at = as_text(since or usual)
    return [Cut(name, None, run) if young and since is None else Cut(name, at, None) for name, run, young in rows]


def drifts(db: Database, chosen: Sequence[Cut]) -> tuple[list[Drift], dict[str, tuple[int, int]]]:
    """What drifted, with samples; and how many records each connection has before and since its cut."""
    _shapes(db, chosen)
    totals: dict[Place, Counter[str]] = {}
    for connection, resource, group, records in db.run(
        'SELECT connection, resource, "group", sum(records)::BIGINT FROM shapes GROUP BY ALL'
    ):
        totals.setdefault((connection, resource), Counter())[group] = records
    found = [one for place, fields in _fields(db).items() for one in _found(place, fields, totals[place])]
    seen = {one.connection: (0, 0) for one in chosen}
    for (connection, _), total in totals.items():
        before, since = seen[connection]
        seen[connection] = before + _records(total, False), since + _records(total, True)
    return _with_samples(db, found), seen


def _shapes(db: Database, chosen: Sequence[Cut]) -> None:
    """`shapes`: how many records of each group look the same, and the first and last row of those."""
    db.run('CREATE OR REPLACE TEMP TABLE cuts (connection VARCHAR, "cut" TIMESTAMPTZ, first_run VARCHAR)')
    db.fill("cuts", [(one.connection, one.at, one.first_run) for one in chosen])
    db.run(
        """CREATE OR REPLACE TEMP TABLE picked AS
        WITH records AS (
            SELECT connection, resource, record_id, max(seq) FILTER (NOT late) AS old, max(seq) FILTER (late) AS new
            FROM (SELECT connection, resource, record_id, seq,
                         CASE WHEN first_run IS NULL THEN fetched_at >= "cut" ELSE run_id <> first_run END AS late
                  FROM store.raw JOIN cuts USING (connection) WHERE kind = 'record')
            GROUP BY ALL)
        SELECT old AS seq, CASE WHEN new IS NULL THEN 'old' ELSE 'again' END AS "group" FROM records
        WHERE old IS NOT NULL UNION ALL SELECT new, 'since' FROM records WHERE new IS NOT NULL"""
    )
    db.run(
        """CREATE OR REPLACE TEMP TABLE shapes AS
        SELECT connection, resource, "group", shape, count(*) AS records, min(seq) AS lo, max(seq) AS hi
        FROM (SELECT connection, resource, "group", seq,
                     CASE WHEN json_valid(payload) THEN json_structure(payload)::VARCHAR END AS shape
              FROM store.raw JOIN picked USING (seq)) GROUP BY ALL"""
    )


def _fields(db: Database) -> dict[Place, dict[Steps, _Field]]:
    """Every field of every resource, counted."""
    db.run(
        """CREATE OR REPLACE TEMP TABLE tops AS
        SELECT * EXCLUDE (entry, way), list_append(way, entry.key) AS steps, entry.value AS told
        FROM (SELECT * EXCLUDE (body), unnest(map_entries(from_json(body, '"MAP(VARCHAR,JSON)"'))) AS entry
              FROM (SELECT * EXCLUDE (shape), CASE WHEN shape LIKE '[%' THEN ['[]'] ELSE []::VARCHAR[] END AS way,
                           CASE WHEN shape LIKE '[%' THEN shape::JSON -> '$[0]' ELSE shape::JSON END AS body
                    FROM shapes)
              WHERE json_type(body) = 'OBJECT')"""
    )
    db.run(
        """CREATE OR REPLACE TEMP TABLE nested AS
        SELECT * EXCLUDE (entry, steps), list_append(steps, entry.key) AS steps, entry.value AS told
        FROM (SELECT * EXCLUDE (body), unnest(map_entries(from_json(body, '"MAP(VARCHAR,JSON)"'))) AS entry
              FROM (SELECT * EXCLUDE (told, steps),
                           CASE json_type(told) WHEN 'ARRAY' THEN list_append(steps, '[]') ELSE steps END AS steps,
                           CASE json_type(told) WHEN 'ARRAY' THEN told -> '$[0]' ELSE told END AS body
                    FROM tops)
              WHERE json_type(body) = 'OBJECT')"""
    )
    rows = db.run(
        """SELECT connection, resource, steps, "group", sum(records)::BIGINT, list(lo ORDER BY lo)[:3], max(hi),
                  CASE json_type(told) WHEN 'OBJECT' THEN '{}' WHEN 'ARRAY' THEN '[' || CASE json_type(told -> '$[0]')
                       WHEN 'OBJECT' THEN '{}' WHEN 'ARRAY' THEN '[]' ELSE told ->> '$[0]' END
                       ELSE told ->> '$' END AS type
           FROM (FROM tops UNION ALL BY NAME FROM nested) GROUP BY ALL ORDER BY ALL"""
    )
    found: dict[Place, dict[Steps, _Field]] = {}
    for connection, resource, steps, group, records, first, last, type_ in rows:
        fields = found.setdefault((connection, resource), {})
        fields.setdefault(tuple(steps), _Field()).add(group, _named(type_), records, [*first, last])
    return found


def _named(type_: str) -> str:
    """DuckDB's name of a JSON type, in words."""
    if type_.startswith("[") and type_ != "[]":
        inner = type_[1:]
        many = {"NULL": "empty list", "VARCHAR": "list of text", "{}": "list of objects", "[]": "list of lists"}
        return many.get(inner) or ("list of true/false" if inner == "BOOLEAN" else "list of numbers")
    return _TYPES.get(type_, "number")


def _found(place: Place, fields: Mapping[Steps, _Field], total: Counter[str]) -> Iterator[Drift]:
    """What drifted among the fields of one resource; of what an object lost or gained as a whole, only the object."""
    if not _records(total, False) or not _records(total, True):
        return
    kinds = {steps: kind for steps, one in fields.items() if (kind := _kind(steps, fields, one, total))}
    for steps in sorted(kinds):
        one, kind = fields[steps], kinds[steps]
        if _parent(steps) not in kinds:
            null = kind == "vanished" and one.named["since"] > 0
            yield Drift(*place, steps, kind, one.side(False, total), one.side(True, total), null)


def _kind(steps: Steps, fields: Mapping[Steps, _Field], one: _Field, total: Counter[str]) -> Kind | None:
    if not one.named["old"] + one.named["again"]:
        above = fields.get(_parent(steps))
        return "new" if above is None or above.types[False] else None
    if not one.held["since"]:
        return "vanished" if _vanished(one, total) else None
    before, since = set(one.types[False]), set(one.types[True])
    return "retyped" if before and since - before else None


def _vanished(one: _Field, total: Counter[str]) -> bool:
    """Whether chance would hardly leave out of all records since what those before held.

    Where enough records were fetched before and since, only these are compared: what was changed since is seldom a fair
    sample of everything (open deals have no closing date). Being null needs that comparison in any case.
    """
    held, records, since = one.held["old"] + one.held["again"], _records(total, False), total["since"]
    if total["again"] >= PAIRS or one.named["since"]:
        held, records, since = one.held["again"], total["again"], total["again"]
    return held > 0 and (1 - held / (records + 1)) ** since < CHANCE  # + 1: all of three records is not always


def _parent(steps: Steps) -> Steps:
    return steps[:-2] if steps[-2:-1] == ("[]",) else steps[:-1]


def _records(total: Counter[str], late: bool) -> int:
    return total["since"] if late else total["old"] + total["again"]


def _with_samples(db: Database, found: list[Drift]) -> list[Drift]:
    payloads = samples.payloads(db, {row for one in found for side in (one.before, one.since) for row in side.rows})

    def shown(side: Side, steps: Steps) -> Side:
        return replace(side, samples=samples.of([payloads[row] for row in side.rows], steps))

    return [replace(one, before=shown(one.before, one.steps), since=shown(one.since, one.steps)) for one in found]

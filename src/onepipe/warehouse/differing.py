"""What differs by now from a day that was frozen, deal by deal, and what made it differ.

    the frozen row -> its version as it is read now -> versions that came in since -> whether its connection is in use

Each deal that differs is followed along this way; every step is worth what the deal adds to the pipeline after it, less
what it added before. So the steps of all deals add up to the difference, in each currency, whatever their reasons.
"""

import json
from collections.abc import Sequence
from typing import Any

import onepipe.warehouse.decisions as decisions
from onepipe.warehouse.database import Database
from onepipe.warehouse.figures import CURRENCY, asked, hides
from onepipe.warehouse.frozen import stood
from onepipe.warehouse.rates import MONEY
from onepipe.warehouse.reporting import RETIRED, standing
from onepipe.warehouse.schema import literal, quoted

Row = dict[str, Any]
# `mapping` to `reread`: the same version is read otherwise now; then what became known since.
REASONS = (
    *("mapping", "stages", "people", "currency", "reread"),
    *("first_seen", "changed", "pushed", "deleted", "connection"),
)
_SILENT = (  # what may differ without the deal being another one
    *("connection", "source_id", "connector", "extra", "updated_at", "first_seen_at", "last_changed_at"),
    *("mapping_version", "payload_hash", "is_deleted", "deleted_at", "deleted_evidence"),
)
_ISO = "strftime({}, '%Y-%m-%dT%H:%M:%SZ')"
_SEEN = "(SELECT seq FROM frozen_book)"
_LAST = 2**62  # the place of a deal's last point, behind all its versions
_FACTS = "valid_from, recorded_at, changed_fields, deleted_at, deleted_evidence, mapping_version, seq"
_NO_FACTS = ", ".join(["NULL"] * 7)


def prepare(db: Database, kept: Row) -> None:
    """Find what differs from a frozen day (a row of frozen.frozen), for the functions below."""
    table = f"frozen.{quoted(kept['name'])}"
    names = _compared(db, table)
    db.run(
        "CREATE OR REPLACE TEMP TABLE frozen_book AS SELECT * FROM frozen.frozen WHERE name = $name",
        {"name": kept["name"]},
    )
    own = "".join(f", {sql} AS {quoted(name)}" for name, sql in decisions.OWN.items())
    db.run(
        f"CREATE OR REPLACE TEMP TABLE stands_now AS SELECT o.*{own}, "
        f"coalesce({standing('o')}, false) AND o.connection NOT IN {RETIRED} AS inside "
        f"FROM ({stood('(SELECT ends_at FROM frozen_book)')}) o {decisions.staged('o')} {decisions.owned('o')}"
    )
    db.run(f"CREATE OR REPLACE TEMP TABLE differing AS {_differing(table, names)}")
    db.run(f"CREATE OR REPLACE TEMP TABLE decided_anew AS {_DECIDED_ANEW}")
    db.run(f"CREATE OR REPLACE TEMP TABLE since AS {_VERSIONS}")
    db.run(f"CREATE OR REPLACE TEMP TABLE points AS {_points(table)}")


def _compared(db: Database, table: str) -> list[str]:
    """The columns whose values make a deal another one: those of both sides, but for what only we keep of it."""
    there = {*db.names("FROM opportunities"), *decisions.OWN}
    return [one for one in db.names(f"FROM {table}") if one in there and one not in _SILENT]


def _differing(table: str, names: Sequence[str]) -> str:
    """SQL: each deal that is not as it was frozen: its versions then and now, and the fields that differ, as text.

    A column of a mapping's own (x_NAME) may be of another type by now, and is compared as text, too.
    """
    as_ = {one: "::VARCHAR" if one.startswith("x_") else "" for one in names}
    other = " OR ".join(f"k.{quoted(one)}{as_[one]} IS DISTINCT FROM n.{quoted(one)}{as_[one]}" for one in names)
    texts = ", ".join(
        f"{{'field': {literal(one)}, 'before': k.{quoted(one)}::VARCHAR, 'now': n.{quoted(one)}::VARCHAR}}"
        for one in names
    )
    return f"""
        SELECT coalesce(k.connection, n.connection) AS connection, coalesce(k.source_id, n.source_id) AS source_id,
               k.version AS begun, n.version AS ended, k.source_id IS NOT NULL AS was,
               coalesce(NOT n.is_deleted, false) AS is_there,
               CASE WHEN k.source_id IS NOT NULL AND NOT n.is_deleted
                    THEN list_filter([{texts}], lambda x: x.before IS DISTINCT FROM x.now) END AS changes
        FROM {table} k FULL JOIN stands_now n ON n.connection = k.connection AND n.source_id = k.source_id
        WHERE CASE WHEN k.source_id IS NULL THEN NOT n.is_deleted
                   ELSE n.source_id IS NULL OR n.is_deleted OR k.in_pipeline <> n.inside OR {other} END"""


# Stages of which stages.csv decides another status than it did then.
_DECIDED_ANEW = """
    WITH before AS (
        SELECT line[1] AS connection, line[2] AS pipeline, line[3] AS stage, line[4] AS status
        FROM (SELECT unnest(from_json(statuses, '[["VARCHAR"]]')) AS line FROM frozen_book)),
    by_now AS (SELECT connection, pipeline, stage, status FROM store.stage_statuses)
    SELECT DISTINCT connection, pipeline, stage
    FROM ((FROM before EXCEPT FROM by_now) UNION ALL (FROM by_now EXCEPT FROM before))"""

# The versions from the frozen one to that of now; of a deal that was not frozen, those that came in since. A mapping
# may date versions otherwise, and the one of now be an older one: then only that is left of the way.
_VERSIONS = f"""
    SELECT h.*, d.begun, d.was, d.ended = h.version AS is_last, {decisions.WEIGHT} AS chance,
           list_transform(d.changes, lambda x: x.field) AS fields
    FROM (FROM store.closed UNION ALL BY NAME FROM store.current) h
    JOIN differing d ON d.connection = h.connection AND d.source_id = h.source_id {decisions.staged("h")}
    WHERE h.version = d.ended OR (d.was AND h.version BETWEEN d.begun AND d.ended)
       OR (NOT d.was AND h.seq > {_SEEN} AND h.version <= d.ended)"""

_READ_OTHERWISE = """
    CASE WHEN list_contains(h.fields, 'status') AND EXISTS (FROM decided_anew a WHERE a.connection = h.connection
              AND a.stage = h.stage AND (a.pipeline IS NULL OR a.pipeline = h.pipeline)) THEN 'stages'
         WHEN h.mapping_version IS DISTINCT FROM
              (SELECT json_extract_string(mappings, '$."' || h.connection || '"') FROM frozen_book) THEN 'mapping'
         WHEN list_has_any(h.fields, ['stage_group', 'stage_weight']) THEN 'stages'
         WHEN list_has_any(h.fields, ['person', 'team']) THEN 'people'
         WHEN list_contains(h.fields, 'currency') THEN 'currency' ELSE 'reread' END"""
_WHY = f"""
    CASE WHEN (h.was AND h.version = h.begun) OR h.seq <= {_SEEN} THEN {_READ_OTHERWISE}
         WHEN h.is_deleted THEN 'deleted' WHEN h.change_origin = 'push' THEN 'pushed'
         WHEN min(h.seq) FILTER (h.version = 1) OVER (PARTITION BY h.connection, h.source_id) > {_SEEN}
              AND NOT h.was THEN 'first_seen'
         ELSE 'changed' END"""


def _points(table: str) -> str:
    """SQL: what each deal that differs was worth at each point of its way, and why it came to it."""
    stands = f"coalesce({standing('h')}, false)"
    worth = f"h.amount, h.currency, h.amount::{MONEY} * coalesce(h.chance, h.probability)"
    facts = ", ".join(f"h.{name}" for name in _FACTS.split(", "))
    then_in_use = "NOT list_contains((SELECT retired FROM frozen_book), h.connection)"
    return f"""
        WITH way(connection, source_id, place, reason, inside, amount, currency, weighted, {_FACTS}) AS (
            SELECT connection, source_id, 0::BIGINT, 'frozen', in_pipeline, amount, currency,
                   amount::{MONEY} * coalesce(stage_weight, probability), {_NO_FACTS}
            FROM {table} SEMI JOIN differing USING (connection, source_id)
            UNION ALL SELECT h.connection, h.source_id, h.version, {_WHY}, {stands} AND {then_in_use}, {worth}, {facts}
            FROM since h
            UNION ALL SELECT h.connection, h.source_id, {_LAST}, 'connection',
                   {stands} AND h.connection NOT IN {RETIRED}, {worth}, {_NO_FACTS}
            FROM since h WHERE h.is_last
            UNION ALL SELECT connection, source_id, {_LAST}, 'mapping', false, NULL, NULL, NULL, {_NO_FACTS}
            FROM differing WHERE ended IS NULL)
        SELECT w.*, p.actor, p.reason AS wanted, lead(w.reason) OVER deal AS next_reason
        FROM way w LEFT JOIN store.pushed p ON p.connection = w.connection AND p.seq = w.seq
        WINDOW deal AS (PARTITION BY w.connection, w.source_id ORDER BY w.place)"""


def totals(db: Database, kept: Row) -> list[Row]:
    """By currency: deals, amount and weighted amount of the pipeline as frozen and as that day is known now.

    The sums of what is left out of the file are NULL.
    """
    weighted = f"amount::{MONEY} * coalesce(stage_weight, probability) AS weighted"
    sides = {"before": f"frozen.{quoted(kept['name'])} WHERE in_pipeline", "now": "stands_now WHERE inside"}
    rows = " UNION ALL ".join(
        f"SELECT '{side}' AS side, {CURRENCY} AS currency, amount, {weighted} FROM {source}"
        for side, source in sides.items()
    )
    columns = {"currency": "currency"}
    for side in sides:
        columns[f"deals_{side}"] = f"count(*) FILTER (side = '{side}')"
        columns |= _sums(db, f" FILTER (side = '{side}')", f"_{side}")
    return asked(db, columns, f"FROM ({rows}) GROUP BY currency ORDER BY currency", {})


def steps(db: Database) -> list[Row]:
    """By currency and reason: what it adds to the frozen pipeline: deals, amount and weighted amount."""
    moves = f"""
        SELECT reason, {CURRENCY} AS currency, 1 AS deals, amount, weighted FROM points WHERE inside AND place > 0
        UNION ALL SELECT next_reason, {CURRENCY}, -1, -amount, -weighted FROM points
        WHERE inside AND next_reason IS NOT NULL"""
    columns = {"reason": "reason", "currency": "currency", "deals": "sum(deals)::BIGINT"} | _sums(db)
    source = f"FROM ({moves}) GROUP BY reason, currency"
    found = asked(db, columns, f"{source} ORDER BY currency, reason", {})
    kept = [row for row in found if row["deals"] or row["amount"] or row["weighted"]]
    return sorted(kept, key=lambda row: REASONS.index(row["reason"]))


def _sums(db: Database, of: str = "", end: str = "") -> dict[str, str]:
    """SQL of sums, NULL where what they are made of is left out of the file."""
    made_of = {"amount": ("amount",), "weighted": ("amount", "probability")}
    return {
        name + end: "NULL" if hides(db, *columns) else f"coalesce(sum({name}){of}, 0)"
        for name, columns in made_of.items()
    }


def count(db: Database) -> int:
    """How many deals differ."""
    return int(db.one("SELECT count(*) FROM differing"))


def deals(db: Database, kept: Row, limit: int | None) -> list[Row]:
    """The deals that differ, the largest difference first: as frozen, as known now, `changes`, and `way`, its steps."""
    sides = ("amount", "currency", "status", "stage", "pipeline")
    columns = {
        "connection": "d.connection",
        "source_id": "d.source_id",
        "name": "coalesce(n.name, k.name)",
        "url": "coalesce(n.url, k.url)",
        "was_there": "d.was",
        "is_there": "d.is_there",
        "in_pipeline_before": "coalesce(k.in_pipeline, false)",
        "in_pipeline_now": "coalesce(n.inside, false)",
        **{f"{name}_before": f"k.{name}" for name in sides},
        **{f"{name}_now": f"CASE WHEN d.is_there THEN n.{name} END" for name in sides},
        "changes": "to_json(d.changes)::VARCHAR",
    }
    worth = ("CASE WHEN n.inside THEN n.amount END", "CASE WHEN k.in_pipeline THEN k.amount END")
    by = f"abs(coalesce({worth[0]}, 0) - coalesce({worth[1]}, 0))"
    source = f"""FROM differing d
        LEFT JOIN frozen.{quoted(kept["name"])} k ON k.connection = d.connection AND k.source_id = d.source_id
        LEFT JOIN stands_now n ON n.connection = d.connection AND n.source_id = d.source_id
        ORDER BY {by} DESC, d.connection, d.source_id LIMIT $limit"""
    found = asked(db, columns, source, {"limit": _LAST if limit is None else limit})
    ways = _ways(db, found)
    return [
        one | {"changes": json.loads(one["changes"] or "[]"), "way": ways[one["connection"], one["source_id"]]}
        for one in found
    ]


def _ways(db: Database, found: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The steps of these deals, in order."""
    instants = ("valid_from", "recorded_at", "deleted_at")
    names = ("reason", "place", "inside", "amount", "currency", "changed_fields", "deleted_evidence", "mapping_version")
    columns = {name: name for name in ("connection", "source_id", *names, "actor", "wanted")}
    columns |= {name: _ISO.format(name) for name in instants}
    keys = {"connections": [one["connection"] for one in found], "ids": [one["source_id"] for one in found]}
    source = """FROM points SEMI JOIN (SELECT unnest($connections::VARCHAR[]) AS connection, unnest($ids::VARCHAR[]) AS
        source_id) s USING (connection, source_id) ORDER BY connection, source_id, place"""
    ways: dict[tuple[str, str], list[Row]] = {(one["connection"], one["source_id"]): [] for one in found}
    for row in asked(db, columns, source, keys):
        ways[row["connection"], row["source_id"]].append(row)
    return ways


def rates(db: Database, kept: Row) -> tuple[dict[str, str], dict[str, str], str | None]:
    """What one unit of each currency was worth on that day by what was known then, and by what is known now; and the
    reporting currency of now.
    """
    now = db.run("SELECT currency, rate::VARCHAR FROM store.day_rates WHERE day = ?", [str(kept["as_of"])])
    return kept["rates"], dict(now), db.one("SELECT currency FROM store.reporting")

"""How long the views and macros take on a large history, invented by SQL in a work file of our own layout.

    python benchmarks/warehouse.py --deals 100000 --versions 5

Each query is asked three times in a process that holds the file open, its answer kept in a temporary table; printed is
the median. The promise is for 1,000,000 deals with 5,000,000 versions on two cores: each view under 2 seconds,
pipeline_as_of under 1.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import duckdb

from onepipe.warehouse.database import Engine, reading
from onepipe.warehouse.layout import create
from onepipe.warehouse.schema import KEPT
from onepipe.warehouse.views import REPORTS

DAYS = ("2025-03-31", "2025-06-30")
# Deal n lives through `versions` versions, the last one current; hash() decides what each shows.
HISTORY = """
CREATE TEMP TABLE made AS
SELECT 'crm' || (n % 5) AS connection, 'capsule' AS connector, n::VARCHAR AS source_id, 'Deal number ' || n AS name,
    v AS version, v = last AS newest,
    CASE WHEN hash(n, v, 1) % 20 = 0 THEN NULL ELSE (hash(n, v // 2, 2) % 10000000 / 100)::DECIMAL(18,4) END AS amount,
    ['GBP', 'EUR', 'USD', NULL][1 + n % 4] AS currency, 'p' || (n % 3) AS pipeline_id,
    'Pipeline ' || (n % 3) AS pipeline,
    's' || least(8, 1 + v // 2 + hash(n, v, 3) % 2) AS stage_id,
    'Stage ' || least(8, 1 + v // 2 + hash(n, v, 3) % 2) AS stage,
    CASE WHEN v < last OR n % 4 = 0 THEN 'open' ELSE ['won', 'lost', 'lost', 'abandoned'][1 + n % 4] END AS status,
    (hash(n, v, 4) % 101 / 100)::DECIMAL(5,4) AS probability,
    DATE '2025-01-01' + (n * 365 // $deals + 30 * (v // 2))::INTEGER AS expected_close_date,
    'Owner ' || (n % 40) AS owner, false AS is_archived, v = last AND n % 50 = 1 AS is_deleted,
    TIMESTAMPTZ '2024-06-01 00:00:00Z' + INTERVAL 1 MINUTE * (n * 400000 // $deals) AS created_at,
    TIMESTAMPTZ '2024-06-01 00:00:00Z' + INTERVAL 1 MINUTE * (n * 400000 // $deals + (v - 1) * 20000) AS valid_from
FROM range($deals) deals(n), LATERAL (SELECT 1 + hash(n) % (2 * $versions - 1) AS last),
     LATERAL (SELECT unnest(range(1, last::BIGINT + 1)) AS v)
"""
CHANGED = """list_filter([CASE WHEN v > 1 THEN 'updated_at' END,
    CASE WHEN amount IS DISTINCT FROM b_amount THEN 'amount' END,
    CASE WHEN stage_id <> b_stage_id THEN 'stage_id' END, CASE WHEN stage_id <> b_stage_id THEN 'stage' END,
    CASE WHEN status <> b_status THEN 'status' END, CASE WHEN is_deleted <> b_is_deleted THEN 'is_deleted' END,
    CASE WHEN expected_close_date <> b_expected THEN 'expected_close_date' END,
    CASE WHEN v > 1 THEN 'probability' END], lambda one: one IS NOT NULL)"""


def invent(path: Path, deals: int, versions: int) -> int:
    """Make a work file with an invented history; how many versions it holds."""
    with Engine().writing(path, "2GB") as db:
        create(db, "bench")
        db.run(HISTORY, {"deals": deals, "versions": versions})
        befores = ", ".join(
            f"lag({name}) OVER deal AS b_{short}"
            for name, short in (
                ("amount", "amount"),
                ("stage_id", "stage_id"),
                ("status", "status"),
                ("is_deleted", "is_deleted"),
                ("expected_close_date", "expected"),
            )
        )
        db.run(
            "CREATE TEMP TABLE whole AS "
            "SELECT * EXCLUDE (v, b_amount, b_stage_id, b_status, b_is_deleted, b_expected), "
            f"CASE WHEN v = 1 THEN [] ELSE {CHANGED} END AS changed_fields FROM (SELECT *, version AS v, "
            "lead(valid_from) OVER deal AS valid_to, valid_from AS recorded_at, valid_from AS first_seen_at, "
            "'source' AS change_origin, CASE WHEN status <> 'open' THEN valid_from::DATE END AS closed_on, "
            f"CASE WHEN status <> 'open' THEN 'observed' END AS closed_on_evidence, {befores} FROM made "
            "WINDOW deal AS (PARTITION BY connection, source_id ORDER BY version))"
        )
        known = set(db.names("FROM whole"))
        names = ", ".join(column.name for column in KEPT if column.name in known)
        db.run(f"INSERT INTO store.closed ({names}, valid_to) SELECT {names}, valid_to FROM whole WHERE NOT newest")
        db.run(f"INSERT INTO store.current ({names}) SELECT {names} FROM whole WHERE newest ORDER BY recorded_at")
        db.run(
            "INSERT INTO stages (connection, stage_id, stage, pipeline_id, pipeline, position) SELECT 'crm' || c, "
            "'s' || s, 'Stage ' || s, 'p' || p, 'Pipeline ' || p, s FROM range(5) a(c), range(3) b(p), range(1, 9) d(s)"
        )
        db.run("INSERT INTO connections (connection, state) SELECT 'crm' || c, 'active' FROM range(5) a(c)")
        db.run("UPDATE about SET published_at = TIMESTAMPTZ '2025-10-01 08:00:00Z'")
        return int(db.one("SELECT count(*) FROM opportunity_history"))


def queries() -> Iterator[tuple[str, str]]:
    """Each view and macro, with a query that fetches all of it."""
    for view in REPORTS:
        days = ", ".join(f"'{day}'" for day in DAYS[-len(view.parameters) :]) if view.parameters else ""
        yield view.name, f"FROM {view.name}({days})" if view.parameters else f"FROM {view.name}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deals", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=5, help="on average")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--file", type=Path, help="keep the invented warehouse there, or measure the one that is")
    options = parser.parse_args()
    with nullcontext() if options.file else tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "work.duckdb"
        if not path.exists():
            print(f"{invent(path, options.deals, options.versions):,} versions invented")
        print(
            f"duckdb {duckdb.__version__}, {os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.0f}"
        )
        with reading(path) as db:
            for name, query in queries():
                times, cpus = [], []
                for _ in range(options.repeats):
                    began, used = time.perf_counter(), time.process_time()
                    rows = db.one(f"CREATE OR REPLACE TEMP TABLE answer AS {query}")
                    times.append(time.perf_counter() - began)
                    cpus.append(time.process_time() - used)
                wall, cpu = statistics.median(times), statistics.median(cpus)
                print(f"{name:20} {rows:9,} rows {wall:7.2f} s, {cpu:6.2f} s of cpu")


if __name__ == "__main__":
    main()

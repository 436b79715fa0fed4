"""What the warehouse does with a large history: its views, reading it again with another mapping, and publishing it.

    python benchmarks/warehouse.py                                    1,000,000 deals with 5,000,000 versions
    python benchmarks/warehouse.py --deals 100000 --folder /tmp/big   keeps the invented project there, or uses it

The project is invented by SQL: five Tactile accounts, each version with the raw record it was read from. Every part is
a process of its own, whose largest resident memory is printed. A view is asked three times, its answer kept in a
temporary table; printed is the median. The promises, on two cores and in less than 2 GB of memory: each view under 2
seconds, pipeline_as_of under 1; `mapping apply` at least 50,000 versions a second; publishing at most 1 second per GB
on top of the copy itself.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb

import onepipe.warehouse.rates as rates
from onepipe import remap
from onepipe.project import Project
from onepipe.publish import publish
from onepipe.report import Watch
from onepipe.warehouse.database import Database, Engine, reading
from onepipe.warehouse.files import copied
from onepipe.warehouse.layout import create, dress
from onepipe.warehouse.schema import KEPT, quoted
from onepipe.warehouse.views import REPORTS

PARTS = ("make", "views", "apply", "publish")
DAYS = ("2025-03-31", "2025-06-30")
CHUNK = 100_000  # deals made at a time
MAPPING = Path(__file__).parent.parent / "mappings" / "tactile.yaml"
CONFIG = """warehouse: warehouse.duckdb
state: state
reporting: {currency: GBP}
connections:
""" + "".join(
    f"  crm{n}: {{connector: tactile, base_url: http://127.0.0.1:1, credentials: {{api_token: invented}}}}\n"
    for n in range(5)
)
# Deal n lives through `last` versions, the newest one current; hash() decides what each shows. `seq` leaves room for
# them all between two deals.
MADE = """
CREATE OR REPLACE TEMP TABLE made AS
SELECT 'crm' || (n % 5) AS connection, 'tactile' AS connector, n::VARCHAR AS source_id, 'Deal number ' || n AS name,
    v AS version, v = last AS newest, n * 32 + v AS seq, n * 32 + v AS payload_seq,
    md5(n || '.' || v) AS payload_hash, 0 AS weight, 'before' AS mapping_version,
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
FROM range($lo, $hi) deals(n), LATERAL (SELECT 1 + hash(n) % (2 * $versions - 1) AS last),
     LATERAL (SELECT unnest(range(1, last::BIGINT + 1)) AS v)
"""
CHANGED = """list_filter([CASE WHEN v > 1 THEN 'updated_at' END,
    CASE WHEN amount IS DISTINCT FROM b_amount THEN 'amount' END,
    CASE WHEN stage_id <> b_stage_id THEN 'stage_id' END, CASE WHEN stage_id <> b_stage_id THEN 'stage' END,
    CASE WHEN status <> b_status THEN 'status' END, CASE WHEN is_deleted <> b_is_deleted THEN 'is_deleted' END,
    CASE WHEN expected_close_date <> b_expected_close_date THEN 'expected_close_date' END,
    CASE WHEN v > 1 THEN 'probability' END], lambda one: one IS NOT NULL)"""
COMPARED = ("amount", "stage_id", "status", "is_deleted", "expected_close_date")
WHOLE = f"""
CREATE OR REPLACE TEMP TABLE whole AS
SELECT * EXCLUDE (v), CASE WHEN v = 1 THEN [] ELSE {CHANGED} END AS changed_fields
FROM (SELECT *, version AS v, lead(valid_from) OVER deal AS valid_to, valid_from AS recorded_at,
             valid_from AS first_seen_at, 'source' AS change_origin, 'closed' AS lost_reason,
             CASE WHEN status <> 'open' THEN valid_from::DATE END AS closed_on,
             CASE WHEN status <> 'open' THEN 'observed' END AS closed_on_evidence,
             {", ".join(f"lag({name}) OVER deal AS b_{name}" for name in COMPARED)}
      FROM made WINDOW deal AS (PARTITION BY connection, source_id ORDER BY version))
"""
# About 600 bytes, as Tactile writes them.
RAW = """
INSERT INTO store.raw (connection, resource, record_id, kind, origin, payload, payload_hash, fetched_at, run_id, seq)
SELECT connection, 'opportunity', source_id, 'record', 'pull',
       '{"id":' || source_id || ',"name":"' || name || '","description":"' || repeat(md5(seq::VARCHAR), 6) ||
       '","cost":' || coalesce(amount::VARCHAR, 'null') || ',"probability":' || (probability * 100)::INTEGER ||
       ',"organisation_id":' || seq % 4001 || ',"organisation":"Organisation ' || seq % 4001 ||
       '","owner":"paul","assigned_to":"' || owner || '","alteredby":"paul","archived":false,"status":"' ||
       CASE status WHEN 'won' THEN 'Won' WHEN 'lost' THEN 'Lost' ELSE stage END || '","type":null,"source":"Web",' ||
       '"created":"' || strftime(created_at, '%Y-%m-%dT%H:%M:%S') || '+00:00","lastupdated":"' ||
       strftime(valid_from, '%Y-%m-%dT%H:%M:%S') || '+00:00","enddate":"' || expected_close_date ||
       '","tags":["price","visit"]}', payload_hash, recorded_at, 'bench', seq
FROM whole ORDER BY connection, version, seq
"""


def make(folder: Path, deals: int, versions: int) -> None:
    """Invent the project: config.yaml and a work file."""
    (folder / "state").mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    with Engine().writing(folder / "state" / "work.duckdb") as db:
        create(db, "bench")
        dress(db)
        for lo in range(0, deals, CHUNK):
            hi = min(lo + CHUNK, deals)
            db.run(MADE, {"deals": deals, "versions": versions, "lo": lo, "hi": hi})
            db.run(WHOLE)
            _keep(db)
        _beside(db)
        print(f"{db.one('SELECT count(*) FROM opportunity_history'):,} versions invented")


def _keep(db: Database) -> None:
    known = set(db.names("FROM whole"))
    names = ", ".join(quoted(column.name) for column in KEPT if column.name in known)
    db.run(f"INSERT INTO store.closed ({names}, valid_to) SELECT {names}, valid_to FROM whole WHERE NOT newest")
    db.run(f"INSERT INTO store.current ({names}) SELECT {names} FROM whole WHERE newest")
    db.run(RAW)
    db.run("CHECKPOINT")


def _beside(db: Database) -> None:
    """Stages, connections, rates of two years, and what a few stages count for."""
    db.run(
        "INSERT INTO stages (connection, stage_id, stage, pipeline_id, pipeline, position) SELECT 'crm' || c, "
        "'s' || s, 'Stage ' || s, 'p' || p, 'Pipeline ' || p, s FROM range(5) a(c), range(3) b(p), range(1, 9) d(s)"
    )
    db.run(
        "INSERT INTO connections (connection, connector, state, base_url) "
        "SELECT 'crm' || c, 'tactile', 'active', 'http://127.0.0.1:1' FROM range(5) a(c)"
    )
    db.run(
        "INSERT INTO store.mappings SELECT 'crm' || c, 'before', $text, now() FROM range(5) a(c)",
        {"text": MAPPING.read_text()},
    )
    db.run("UPDATE about SET published_at = TIMESTAMPTZ '2025-10-01 08:00:00Z'")
    months = [date(2024 + n // 12, 1 + n % 12, 1) for n in range(24)]
    rates.keep(db, "GBP", [(day, one, Decimal("0.8")) for day in months for one in ("EUR", "USD")], "bench")
    db.run("INSERT INTO store.stage_decisions SELECT 'crm' || c, NULL, 'Stage 3', NULL, NULL, 0.4 FROM range(3) a(c)")


def views(folder: Path, repeats: int) -> None:
    """Ask each view and macro for all it has."""
    with reading(folder / "state" / "work.duckdb") as db:
        db.run("SET memory_limit = '1GB'")
        db.run(f"SET temp_directory = '{folder}/spilled'")
        for view in REPORTS:
            days = ", ".join(f"'{day}'" for day in DAYS[-len(view.parameters) :])
            query = f"FROM {view.name}({days})" if view.parameters else f"FROM {view.name}"
            asked = [timed(lambda: db.one(f"CREATE OR REPLACE TEMP TABLE answer AS {query}")) for _ in range(repeats)]  # noqa: B023
            wall, cpu = (statistics.median(one) for one in zip(*asked, strict=True))
            rows = db.one("SELECT count(*) FROM answer")
            print(f"{view.name:20} {rows:9,} rows {wall:7.2f} s, {cpu:6.2f} s of cpu")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of cpu."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - used


class Heard(Watch):
    """When each connection was done."""

    def __init__(self) -> None:
        self.at = dict[str, float]()

    def say(self, connection: str, text: str) -> None:  # noqa: ARG002
        """What the run tells."""
        self.at.setdefault(connection, time.perf_counter())


def apply(folder: Path) -> None:
    """Read one of the five accounts again, with a mapping that reads a column differently."""
    edited = MAPPING.read_text().replace("view/{id}", f"view/{{id}}?{time.time()}")  # another one each time
    (folder / "mappings").mkdir(exist_ok=True)
    (folder / "mappings" / "tactile.yaml").write_text(edited)
    heard = Heard()
    with Project(folder / "config.yaml", "bench") as project:
        began, used = time.perf_counter(), time.process_time()
        (done,) = remap.apply(project, ["crm0"], heard, force=True)
        took = heard.at["crm0"] - began
    cpu = time.process_time() - used
    rate = done.versions / took
    print(f"mapping apply        {done.versions:9,} versions in {took:.1f} s: {rate:,.0f} a second, {cpu:.1f} s of cpu")


def publishing(folder: Path) -> None:
    """Publish anew, beside a plain copy of the same file that is as safe on the disk."""
    with Project(folder / "config.yaml", "bench") as project:
        target, work = project.config.warehouse, project.warehouse.path
        size = work.stat().st_size / 1e9
        for _ in range(2):
            target.unlink(missing_ok=True)
            plain, _ = timed(lambda: _copy(work, folder / "copy"))
            (folder / "copy").unlink()
            whole, _ = timed(lambda: publish(project.warehouse, target, project.views, print))
            more = f"a plain copy {plain:.2f} s; {(whole - plain) / size:.2f} s per GB more"
            print(f"publish              {size:.2f} GB in {whole:.2f} s; {more}")


def _copy(source: Path, target: Path) -> None:
    copied(source, target)
    handle = os.open(target, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def part(name: str, options: argparse.Namespace) -> None:
    """One part, in this process."""
    took, _ = timed(lambda: _PARTS[name](options))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    print(f"{name}: {took:.0f} s, peak memory {peak:,.0f} MB\n", flush=True)


_PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "make": lambda o: make(o.folder, o.deals, o.versions),
    "views": lambda o: views(o.folder, o.repeats),
    "apply": lambda o: apply(o.folder),
    "publish": lambda o: publishing(o.folder),
}


def each(options: argparse.Namespace) -> Iterator[list[str]]:
    """The command of each part that is to be run."""
    for name in options.parts:
        if name != "make" or not (options.folder / "config.yaml").exists():
            told = ["--deals", options.deals, "--versions", options.versions, "--repeats", options.repeats]
            yield [sys.executable, __file__, *map(str, told), "--folder", str(options.folder), "--inside", name]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}; default: all, in this order")
    parser.add_argument("--deals", type=int, default=1_000_000)
    parser.add_argument("--versions", type=int, default=5, help="on average, at most 16")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the invented project there, or measure the one that is")
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        part(options.inside, options)
        return
    load = os.getloadavg()[0]
    print(f"duckdb {duckdb.__version__}, {os.cpu_count()} cores, {platform.machine()}, load {load:.0f}", flush=True)
    with nullcontext() if options.folder else tempfile.TemporaryDirectory() as folder:
        options.folder = options.folder or Path(folder)
        options.folder.mkdir(exist_ok=True)
        for command in each(options):
            subprocess.run(command, check=True)
    shutil.rmtree(options.folder / "spilled", ignore_errors=True)


if __name__ == "__main__":
    main()

"""Many connections in one project: what failing requests cost, how memory grows, and what the state of many costs.

    python benchmarks/fleet.py                 failing, memory; about 2 minutes
    python benchmarks/fleet.py state           10 and 2,000 connections; about 1 minute

failing  20 connections of 2,000 rows, 20 ms an answer: 5 % of the requests failing against none
memory   20 connections of 10,000 rows: peak resident memory of the first load
state    a run of one connection without changes, in projects of 10 and of 2,000 connections with 100 rows each
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from pull import HERE, Run, serving

from onepipe.project import Project

PARTS = ("failing", "memory", "state")


def project(folder: Path, count: int, base_url: str) -> Path:
    """A fresh project of `count` connections to one server; its config.yaml (JSON is YAML)."""
    folder.mkdir()
    credentials = {"api_token": "invented"}
    connections = {
        f"account{number:04}": {
            "connector": "tactile",
            "base_url": f"{base_url.format(account=number)}",
            "credentials": credentials,
        }
        for number in range(count)
    }
    config = folder / "config.yaml"
    config.write_text(json.dumps({"warehouse": "warehouse.duckdb", "connections": connections}))
    return config


def sync(config: Path, *words: str) -> Run:
    """One run in a process of its own."""
    return Run.of(sys.executable, HERE / "with_onepipe.py", config, *words)


def failing(server: str, folder: Path) -> None:
    """5 % of the requests failing against none."""
    seconds: dict[int, list[float]] = {0: [], 5: []}
    for number in range(3):
        for percent, found in seconds.items():
            base = f"{server}/account/{{account}}/rows/2000/ms/20/fail/{percent}"
            found.append(sync(project(folder / f"failing{percent}-{number}", 20, base)).inside)
    none, some = (statistics.median(found) for found in seconds.values())
    print(f"20 connections: {none:.2f} s, with 5 % of the requests failing {some:.2f} s: {some / none:.2f} x")


def memory(server: str, folder: Path) -> None:
    """200,000 rows in 20 connections."""
    run = sync(project(folder / "memory", 20, f"{server}/account/{{account}}/rows/10000"))
    print(f"20 connections of 10,000 rows: peak {run.peak:.0f} MB, {run.rows / run.inside:,.0f} rows/s")


def state(server: str, folder: Path) -> None:
    """What one connection's run costs among few and among many."""
    seconds = {}
    for count in (10, 2_000):
        config = project(folder / f"state{count}", count, f"{server}/account/{{account}}/rows/100")
        sync(config, "account0000")
        multiply(config, count)
        runs = [sync(config, f"account{count // 2:04}") for _ in range(7)]
        assert runs[0].rows == 100 * count
        seconds[count] = statistics.median(run.inside for run in runs)
        print(f"{count} connections of 100 rows: a run of one of them without changes {seconds[count]:.3f} s")
    print(f"one run among 2,000 costs {seconds[2_000] / seconds[10]:.2f} x one among 10")


def multiply(config: Path, count: int) -> None:
    """Give all other connections what the first one has, in one transaction instead of as many first loads."""
    seqs = ("seq", "payload_seq")
    sql = "SELECT schema_name || '.' || table_name, list(column_name) FROM duckdb_columns() "
    sql += "WHERE database_name = 'work' AND table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY ALL"
    with Project(config, "benchmark") as opened, opened.warehouse.commit("benchmark") as db:
        for table, columns in db.run(sql):
            if "connection" in columns:
                moved = [f"{name} + n * 1000000 AS {name}" for name in seqs if name in columns]
                columns = ", ".join(["'account' || lpad(n::VARCHAR, 4, '0') AS connection", *moved])
                db.run(
                    f"INSERT INTO {table} SELECT * EXCLUDE (n) REPLACE ({columns}) FROM {table}, "
                    f"range(1, {count}) AS others(n) WHERE connection = 'account0000'"
                )
        # Each name is bound to its own account.
        db.run(
            "UPDATE connections SET base_url = replace(base_url, '/account/0/', '/account/' || "
            "ltrim(right(connection, 4), '0') || '/') WHERE connection <> 'account0000'"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; the first two by default")
    with serving(10_000) as server, tempfile.TemporaryDirectory() as folder:
        for part in parser.parse_args().parts or PARTS[:2]:
            globals()[part](server, Path(folder))
            sys.stdout.flush()

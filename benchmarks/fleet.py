"""Many connections in one project: what failing requests cost, how memory grows, and what the state of many costs.

    python benchmarks/fleet.py                 failing, memory; about 2 minutes
    python benchmarks/fleet.py state           10 and 2,000 connections; about 1 minute
    python benchmarks/fleet.py daemon          2,000 accounts of one list, each every 10 minutes; about 8 minutes

failing  20 connections of 2,000 rows, 20 ms an answer: 5 % of the requests failing against none
memory   20 connections of 10,000 rows: peak resident memory of the first load
state    a run of one connection without changes, in projects of 10 and of 2,000 connections with 100 rows each
daemon   one list of 2,000 accounts with 50 rows each, in the daemon for --minutes, a change a second somewhere: CPU a
         run, memory, publishes, and how late runs began. 200 first loads are measured; the state of the other accounts
         is made by SQL, with successes spread over the ten minutes before
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pull import HERE, Run, ask, serving

from onepipe.project import Project
from onepipe.report import Watch
from onepipe.run import publish_now

PARTS = ("failing", "memory", "state", "daemon")
EVERY = 600  # seconds between two runs of an account
FLEET = """\
warehouse: warehouse.duckdb
connections_from:
  name: account{{number}}
  file: accounts.csv
  connector: tactile
  base_url: "{server}/account/{{account}}/rows/50"
  credentials: {{api_token: invented}}
  settings: {{details: false}}
  schedule: 10m
"""


def project(folder: Path, count: int, base_url: str) -> Path:
    """A fresh project of `count` connections to one server; its config.yaml (JSON is YAML)."""
    folder.mkdir()
    credentials = {"api_token": "invented"}
    connections = {
        f"account{number:04}": {
            "connector": "tactile",
            "base_url": f"{base_url.format(account=number)}",
            "credentials": credentials,
            "settings": {"details": False},
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


def listed(folder: Path, count: int, server: str) -> Path:
    """A fresh project of `count` accounts by one list."""
    folder.mkdir()
    lines = [f"{number:04},{number}" for number in range(count)]
    (folder / "accounts.csv").write_text("\n".join(["number,account", *lines]) + "\n")
    (folder / "config.yaml").write_text(FLEET.format(server=server))
    return folder / "config.yaml"


def daemon(server: str, folder: Path, accounts: int = 2_000, minutes: float = 5.0, first: int = 200) -> None:
    """What the daemon takes for a fleet, and how late it is."""
    run = sync(listed(folder / "first", first, server))
    each = run.cpu / first
    print(f"{first} first loads of 50 rows: {run.inside:.0f} s, {each:.2f} s of CPU each, peak {run.peak:.0f} MB")
    sys.stdout.flush()
    config = listed(folder / "daemon", accounts, server)
    sync(config, "account0000")
    multiply(config, accounts)
    due = spread(config, accounts)
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "onepipe", "--config", config, "daemon"], stderr=log)
        try:
            seen = watched(process, server, accounts, minutes)
            ended = time.time()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        log.seek(0)
        told(seen, ended, [json.loads(line) for line in log if line.startswith("{")], due)


def spread(config: Path, accounts: int) -> dict[str, float]:
    """Let each account have succeeded at another moment of the last ten minutes; when each is due (epoch seconds)."""
    now = time.time()
    with Project(config, "benchmark") as opened:
        with opened.warehouse.commit("benchmark") as db:
            db.run(
                "UPDATE connections SET last_success_at = to_timestamp($now - $every + $every * "
                "right(connection, 4)::INTEGER / $accounts + 10)",
                {"now": now, "every": EVERY, "accounts": accounts},
            )
        publish_now(opened, Watch())
    return {f"account{number:04}": now + EVERY * number / accounts + 10 for number in range(accounts)}


Seen = list[tuple[float, float, float]]  # seconds since the start, resident MB, seconds of CPU


def watched(process: "subprocess.Popen[bytes]", server: str, accounts: int, minutes: float) -> Seen:
    """Change a record a second somewhere, and look at the process."""
    chance, began, seen = random.Random(5), time.monotonic(), []
    while (passed := time.monotonic() - began) < minutes * 60:
        status = Path(f"/proc/{process.pid}/status").read_text()
        times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:15]  # children's, too
        cpu = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
        seen.append((passed, int(status.partition("VmRSS:")[2].split()[0]) * 1024 / 1e6, cpu))
        ask(f"{server}/account/{chance.randrange(accounts)}/rows/50/touch")
        time.sleep(1)
    return seen


def told(seen: Seen, ended: float, log: list[dict[str, Any]], due: dict[str, float]) -> None:
    """The figures."""
    runs = [line for line in log if line["event"] == "run ended"]
    wrong = sum(line["status"] != "complete" for line in runs)
    changed = sum(line.get("changed", 0) > 0 for line in runs)
    late = []
    for line in runs:
        late.append(max(stamped(line) - line["seconds"] - due[line["connection"]], 0.0))
        due[line["connection"]] += EVERY
    late.sort()
    waiting = sum(ended - at > 1 for at in due.values())
    minutes, cpu, rss = seen[-1][0] / 60, seen[-1][2] - seen[10][2], [one[1] for one in seen]
    steps = ", ".join(f"{rss[int(place * (len(rss) - 1) / 5)]:.0f}" for place in range(6))
    published = [line["seconds"] for line in log if line["event"] == "published"]
    print(f"{len(due):,} accounts, {minutes:.1f} min: {len(runs):,} runs, {changed} with changes, {wrong} not complete")
    print(f"CPU {cpu / max(len(runs), 1):.3f} s a run with all the rest, {100 * cpu / (60 * minutes):.0f} % of a core")
    print(f"late: median {late[len(late) // 2]:.1f} s, p99 {late[int(len(late) * 0.99)]:.1f} s, most {late[-1]:.1f} s")
    print(f"due for more than a second and not begun at the end: {waiting}")
    print(f"resident memory, MB, at equal distances: {steps}; most {max(rss):.0f}")
    print(f"{len(published)} publishes of {statistics.median(published or [0]):.2f} s each")


def stamped(line: dict[str, Any]) -> float:
    """When a line was logged, in epoch seconds."""
    return datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")).astimezone(UTC).timestamp()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; the first two by default")
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--first", type=int, default=200, help="first loads to measure")
    asked = parser.parse_args()
    with serving(10_000) as server, tempfile.TemporaryDirectory() as folder:
        for part in asked.parts or PARTS[:2]:
            how = {"accounts": asked.accounts, "minutes": asked.minutes, "first": asked.first}
            globals()[part](server, Path(folder), **(how if part == "daemon" else {}))
            sys.stdout.flush()

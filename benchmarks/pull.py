"""onepipe beside dlt, pulling the same opportunities from the same loopback server, in one run.

    python benchmarks/pull.py --dlt-python /tmp/dltvenv/bin/python

Every measurement is a process of its own, so that start-up and memory are its own too. "inside" is from the start of
the run to the published rows, "whole" the process from start to end, "cpu" its user and system time with that of its
children, "peak" its largest resident memory. Rounds are interleaved; what is printed are medians.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PARTS = ("sides", "latency", "memory", "changes")
CONFIG = """warehouse: warehouse.duckdb
state: .onepipe
connections:
  bench:
    connector: tactile
    base_url: {base_url}
    credentials: {{api_token: invented}}
    currency: GBP
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process, measured. Seconds, and MB of 1,000,000 bytes; `rows` is how many it has in the end."""

    inside: float
    whole: float
    cpu: float
    peak: float
    rows: int

    @classmethod
    def of(cls, *command: object) -> "Run":
        """Run a command whose last line says what it did inside; one that fails ends the benchmark."""
        words = [str(word) for word in command]
        with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
            began = time.perf_counter()
            process = subprocess.Popen(words, stdout=said, stderr=wrong)
            _, status, used = os.wait4(process.pid, 0)
            whole = time.perf_counter() - began
            said.seek(0)
            wrong.seek(0)
            text, trouble = said.read(), wrong.read()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{Path(words[1]).name} ended with {process.returncode}: {trouble[-1000:]}")
        told = json.loads(text.splitlines()[-1])
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
        return cls(told["inside"], whole, used.ru_utime + used.ru_stime, peak, told["rows"])


def median(runs: list[Run]) -> Run:
    """The median of each figure by itself."""
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in Run.__slots__))


@contextmanager
def serving(rows: int) -> Iterator[str]:
    """The server, in a process of its own; its address."""
    command = [sys.executable, str(HERE / "server.py"), "--rows", str(rows)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def ask(url: str) -> None:
    """One of the server's own requests: to change records, or to take the changes back."""
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
        answer.read()


class Onepipe:
    """A fresh project for one account; `serial` fetches one page after the other, in a connector file of its own."""

    name = "onepipe"

    def __init__(self, folder: Path, base_url: str, serial: bool = False) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG.format(base_url=base_url))
        if serial:
            text = (HERE.parent / "connectors" / "tactile.py").read_text()
            changed = text.replace("by_page(page, resume)", "by_page(page, resume, ahead=1)")
            assert changed != text, "the connector asks for its pages in another way now"
            (folder / "connectors").mkdir()
            (folder / "connectors" / "tactile.py").write_text(changed)

    def run(self) -> Run:
        """One sync."""
        return Run.of(sys.executable, HERE / "with_onepipe.py", self.config)


class Dlt:
    """A fresh dlt pipeline, with one of its loaders."""

    def __init__(self, folder: Path, base_url: str, python: str, loader: str) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.command = (python, HERE / "with_dlt.py", base_url, folder, "--loader", loader)
        self.name = f"dlt, {loader} loader"

    def run(self) -> Run:
        """One pipeline run."""
        return Run.of(*self.command)


@dataclass(frozen=True, slots=True)
class Bench:
    """What was asked for, and where."""

    server: str
    folder: Path
    rows: int
    dlt_rows: int
    repeats: int
    dlt_python: str | None

    def base(self, rows: int, ms: int = 0) -> str:
        """The address of a list of so many rows, each answer of which takes so long."""
        return f"{self.server}/rows/{rows}" + (f"/ms/{ms}" if ms else "")

    def three(self, tool: Onepipe | Dlt, rows: int) -> tuple[Run, Run, Run]:
        """A first load, a run without changes, a run with 1,000 changes."""
        ask(f"{self.server}/reset")
        first, same = tool.run(), tool.run()
        ask(f"{self.base(rows)}/change?records=1000")
        changed = tool.run()
        assert first.rows == same.rows == changed.rows == rows, f"{tool.name} has {changed.rows} of {rows} rows"
        ask(f"{self.server}/reset")
        return first, same, changed

    def sides(self) -> None:
        """onepipe and dlt on the same list; and what fetching alone takes."""
        found: dict[str, list[tuple[Run, ...]]] = {}
        for _ in range(self.repeats):
            drain = Run.of(sys.executable, HERE / "drain.py", self.base(self.rows), self.rows)
            found.setdefault("onepipe's door alone", []).append((drain,))
            tool = Onepipe(self.folder / "onepipe", self.base(self.rows))
            found.setdefault(tool.name, []).append(self.three(tool, self.rows))
            for loader in ("default", "parquet") if self.dlt_python else ():
                peer = Dlt(self.folder / "dlt", self.base(self.dlt_rows), self.dlt_python or "", loader)
                found.setdefault(peer.name, []).append(self.three(peer, self.dlt_rows))
        print("\n|", " | ".join(COLUMNS), "|\n|" + "---|" * len(COLUMNS))
        rates = {}
        for name, rounds in found.items():
            first, *others = (median(list(runs)) for runs in zip(*rounds, strict=True))
            rates[name] = first.rows / first.inside
            cells = [f"{first.rows:,}", f"{rates[name]:,.0f}", f"{first.inside:.2f}", f"{first.whole:.2f}"]
            cells += [f"{first.cpu / first.rows * 1e6:.1f}", f"{first.peak:.0f}"]
            print("|", " | ".join([name, *cells, *(f"{run.inside:.2f}" for run in others)]), "|")
        own = rates.pop("onepipe")
        print("\nonepipe's rows per second:", "; ".join(f"{own / rate:.2f} x {name}" for name, rate in rates.items()))
        if self.dlt_python and self.dlt_rows != self.rows:
            print(f"dlt was given {self.dlt_rows:,} rows instead of {self.rows:,}; compare rows per second.")

    def latency(self) -> None:
        """10,000 rows from a server that takes 100 ms for each answer."""
        rows, serial, ahead = 10_000, [], []
        for _ in range(self.repeats):
            serial.append(Onepipe(self.folder / "serial", self.base(rows, 100), serial=True).run())
            ahead.append(Onepipe(self.folder / "ahead", self.base(rows, 100)).run())
        one, many = median(serial).inside, median(ahead).inside
        print(f"\n100 ms an answer, {rows:,} rows: serial {one:.2f} s, ahead {many:.2f} s: {one / many:.1f} x")

    def memory(self) -> None:
        """Peak memory must not grow with the number of rows."""
        peaks = {rows: Onepipe(self.folder / "memory", self.base(rows)).run() for rows in (50_000, 500_000)}
        told = ", ".join(f"{rows:,} rows {run.peak:.0f} MB ({run.inside:.1f} s)" for rows, run in peaks.items())
        print(f"\npeak memory: {told}")

    def changes(self) -> None:
        """1,000 changes into 100,000 and into 1,000,000 rows."""
        seconds = {}
        for rows in (100_000, 1_000_000):
            runs = self.three(Onepipe(self.folder / "changes", self.base(rows)), rows)
            seconds[rows] = runs[2].inside
            told = ", ".join(f"{name} {run.inside:.2f} s" for name, run in zip(NAMES, runs, strict=True))
            print(f"\n{rows:,} rows: {told}; peak {max(run.peak for run in runs):.0f} MB")
        print(f"1,000 changes into ten times the rows: {seconds[1_000_000] / seconds[100_000]:.1f} x the time")


COLUMNS = (
    "first load",
    "rows",
    "rows/s",
    "inside s",
    "whole s",
    "cpu us/row",
    "peak MB",
    "no change s",
    "1,000 changes s",
)
NAMES = ("first load", "no change", "1,000 changes")


def main() -> None:
    """Measure the parts asked for and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all but changes by default")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dlt-rows", type=int, default=10_000, help="dlt is slow; give it --rows for the whole")
    parser.add_argument("--dlt-python", help="the python of an environment with dlt[duckdb] and pyarrow")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    parts = asked.parts or PARTS[:3]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part: {', '.join(unknown)}")
    most = max(asked.rows, 500_000 if "memory" in parts else 0, 1_000_000 if "changes" in parts else 0)
    print(f"Python {platform.python_version()}, duckdb {version('duckdb')}, {os.cpu_count()} cores, ", end="")
    print(f"load {os.getloadavg()[0]:.1f} before the start, medians of {asked.repeats} interleaved rounds", flush=True)
    with serving(most) as server, tempfile.TemporaryDirectory() as folder:
        bench = Bench(server, Path(folder), asked.rows, asked.dlt_rows, asked.repeats, asked.dlt_python)
        for part in parts:
            getattr(bench, part)()
            sys.stdout.flush()


if __name__ == "__main__":
    main()

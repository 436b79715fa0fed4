"""A daemon at work for half an hour, killed again and again, while people edit in five CRMs and others read.

`make soak-daemon` plays it; MINUTES=5 for a shorter one, SEED=7 for the same edits again. Prints a line a minute, and
at the end how the daemon's memory went, and every row that is not what the CRMs hold; ends with 1 if there is one.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from onepipe.errors import OnepipeError
from onepipe.sandbox import Sandbox
from tests.truth.desk import CRMS, Desk, Key, Picture
from tests.truth.ledger import unlike, unlike_lists
from tests.truth.story import wrong
from tests.truth.walk import step

MINUTES = float(os.environ.get("MINUTES", "30"))
SEED = int(os.environ.get("SEED", str(time.time_ns() % 10**6)))
EDITS = 1.0  # a second, in all CRMs together
LAST = 1 / 3  # of the time: one life without a kill, in which memory is looked at
SETTLE = 180.0  # seconds for the last edits to arrive
EVERY = {"capsule": "15s"}  # 4,000 requests an hour are all that it allows


def say(text: str) -> None:
    """A line for whoever waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Life:
    """One process of the daemon: how it ended, and its resident memory in MB, second by second."""

    process: "subprocess.Popen[str]"
    began: float
    memory: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Note how much memory it holds now."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return
        self.memory += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]


@dataclass
class Soak:
    """The whole of it, in one folder."""

    desk: Desk
    random: Random
    lives: list[Life] = field(default_factory=list)
    late: set[Key] = field(default_factory=set)  # what only a full read shows
    faults: list[str] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    edits: int = 0
    reads: int = 0

    def play(self) -> list[str]:
        """What was wrong; nothing, if all is well."""
        done, began = threading.Event(), time.monotonic()
        others = [threading.Thread(target=one, args=[done]) for one in (self._edit, self._read)]
        self._start()
        for one in others:
            one.start()
        try:
            self._lives(began + 60 * MINUTES * (1 - LAST))
            self._live(began + 60 * MINUTES)
        finally:
            done.set()
            for one in others:
                one.join()
        self._settle()
        self._end(signal.SIGTERM)
        found = self._against(self.desk.picture(), self.late)
        report = self.desk.sync(full=True, sweep=True)
        if report.status != "complete":
            self.faults.append(f"the last full read is {report.status}: {json.dumps(report.document())[:2000]}")
        return [*self.faults, *found, *wrong(self.desk, self.desk.picture())]

    def _lives(self, until: float) -> None:
        while time.monotonic() < until:
            self._live(min(until, time.monotonic() + self.random.uniform(3, 120)))
            self._end(self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)))
            self._start()

    def _live(self, until: float) -> None:
        said = time.monotonic()
        while time.monotonic() < until:
            time.sleep(1)
            life = self.lives[-1]
            life.measure()
            if life.process.poll() is not None:
                self.faults.append(f"the daemon ended by itself with {life.process.returncode}")
                self._start()
            if self.random.random() < 0.01:
                life.process.send_signal(signal.SIGHUP)
            if time.monotonic() - said > 60:
                said = time.monotonic()
                memory = life.memory[-1] if life.memory else 0
                say(f"{len(self.lives)} lives, {self.edits} edits, {self.reads} reads, {memory:.0f} MB")

    def _start(self) -> None:
        log = (self.desk.folder / "log").open("a")
        words = [sys.executable, "-m", "onepipe", "--config", str(self.desk.folder / "config.yaml"), "daemon"]
        with log:
            self.lives.append(Life(subprocess.Popen(words, stderr=log, text=True), time.monotonic()))
        time.sleep(2)  # signals are heard once it has begun

    def _end(self, how: signal.Signals) -> None:
        process = self.lives[-1].process
        process.send_signal(how)
        try:
            code = process.wait(60)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{how.name} did not end the daemon within a minute")
            process.kill()
            code = process.wait()
        self.ends[how.name] = self.ends.get(how.name, 0) + 1
        if how is signal.SIGTERM and code:
            self.faults.append(f"SIGTERM ended the daemon with {code}")

    def _edit(self, done: threading.Event) -> None:
        random = Random(self.random.random())
        while not done.wait(random.expovariate(EDITS)):
            key, when = step(self.desk, random)
            self.edits += 1
            if when == "full":
                self.late.add(key)

    def _read(self, done: threading.Event) -> None:
        """Readers come at any time: what is published is always there, whole, and never older than before."""
        seen = 0
        while not done.wait(2):
            if not (self.desk.folder / "w.duckdb").exists():
                continue
            try:
                picture = self.desk.picture()
            except (OnepipeError, OSError) as error:
                self.faults.append(f"a reader was stopped: {error}")
                continue
            self.reads += 1
            met = {key for name, key in picture.opportunities if name == "tactile"}
            self.desk.known |= met
            if len(picture.raw) < seen:
                self.faults.append(f"raw.records went from {seen} rows to {len(picture.raw)}")
            seen = len(picture.raw)

    def _settle(self) -> None:
        """Wait until the daemon has read what was edited last."""
        tactile = self.desk.sandbox["tactile"]
        self.desk.known |= {str(key) for key, row in tactile.rows.items() if not row["archived"]}
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline and self._against(self.desk.picture(), self.late):
            time.sleep(3)

    def _against(self, picture: Picture, apart: set[Key]) -> list[str]:
        truth = self.desk.truth()
        live = {key for key, row in picture.opportunities.items() if not row["is_deleted"]}
        lines = [f"{key}: missing" for key in truth.keys() - live]
        lines += [f"{key}: not deleted" for key in live - truth.keys()]
        both = (truth.keys() & live) - apart
        for key in both:
            lines += [f"{key}: {line}" for line in unlike(picture.opportunities[key], truth[key])]
        for name, rows in self.desk.children().items():
            held = {key: told for key, told in picture.children[name].items() if key in live}
            lines += [f"{key}: {line}" for key in both for line in unlike_lists(name, rows, held, key)]
        return lines


def main() -> int:
    """Play it, and say how it went."""
    say(f"{MINUTES:g} minutes with SEED={SEED}")
    extras = {name: {"schedule": EVERY.get(name, "1s"), "sweep": "30s", "reserve": "0%"} for name in CRMS}
    with tempfile.TemporaryDirectory() as folder, Sandbox(rows=60, seed=SEED) as sandbox:
        soak = Soak(Desk(Path(folder), sandbox, extras=extras), Random(SEED))
        soak.desk.config()
        try:
            found = soak.play()
        finally:
            soak.lives[-1].process.kill()
        log = (Path(folder) / "log").read_text().splitlines()
    memory = soak.lives[-1].memory
    quarter = max(len(memory) // 4, 1)
    runs = [line for line in log if '"event": "run ended"' in line]
    partial = [line for line in runs if '"status": "complete"' not in line]
    say(
        f"{len(soak.lives)} lives, ended by {soak.ends}; {soak.edits} edits, {soak.reads} reads, "
        f"{len(runs)} runs, {len(partial)} of them not complete; memory of the last life: "
        f"{statistics.median(memory[:quarter]):.0f} MB in its first quarter, "
        f"{statistics.median(memory[-quarter:]):.0f} MB in its last, {max(memory):.0f} MB at the most"
    )
    for line in partial[:5]:
        say(f"not complete: {line[:400]}")
    for line in found[:50]:
        say(f"WRONG: {line}")
    say(f"{len(found)} things wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

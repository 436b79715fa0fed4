"""Plays the story of a seed, and says everything that was not as it must be.

SEED=123 python -m tests.simulation.play replays one seed aloud; SEEDS=1000 FIRST=5000 plays so many, one on each core.
"""

import errno
import os
import sys
import tempfile
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import duckdb

from onepipe.errors import BadPayload, RateLimited
from onepipe.report import RunReport
from onepipe.sandbox.faults import Fault
from onepipe.sandbox.wire import Call
from tests.simulation import laws
from tests.simulation.chronicle import Chronicle
from tests.simulation.edits import Editor
from tests.simulation.laws import Ran
from tests.simulation.story import Act, Story, story
from tests.simulation.world import Crash, World, nothing
from tests.truth.desk import Picture

NOTHING = Picture({}, {}, [], [], {})
NO_BOOKS = dict.fromkeys(("complete_through", "last_sweep_at"))
DAY = 90_000.0
ENDINGS = 4
TRIES = 6
UNANSWERED = ("reset", "hang", "truncated", "short_body")
BESIDES = ("/list_all", "/recently_won", "/recently_lost")


@dataclass
class Striking(Fault):
    """A fault that remembers which paths it struck."""

    paths: set[str] = field(default_factory=set)

    def strikes(self, call: Call, is_list: bool) -> bool:
        """Whether this request is one it hits."""
        hits = super().strikes(call, is_list)
        self.paths |= {call.path} if hits else set()
        return hits


class Play:
    """One story, played in a folder. `lines` is what happened, `wrong` what should not have."""

    def __init__(self, told: Story, folder: Path) -> None:
        self.story = told
        self.world = World(folder, told.crm, told.rows, told.seed, told.begins, told.skew)
        self.world.crm.options.apply(told.options)
        self.world.settings, self.world.ahead = told.settings, told.ahead
        self.chronicle = Chronicle(self.world.crm)
        self.random = Random(told.seed)
        self.editor = Editor(self.world, self.chronicle, self.random)
        self.picture, self.books = NOTHING, dict(NO_BOOKS)
        self.shown: Picture | None = None
        self.publishing = self.lied = False
        self.garbled = False  # whether a run was killed over pages that make no sense: the next one says so
        self.lines: list[str] = []
        self.wrong: list[str] = []

    def all(self) -> list[str]:
        """Play to the end, or to the first run that was not right; what was wrong."""
        with self.world:
            self.chronicle.begin()
            for number, act in enumerate(self.story.acts, start=1):
                self.act(number, act)
                if self.wrong:
                    return self.wrong
            self.end()
        return self.wrong

    def act(self, number: int, act: Act) -> None:
        """One run, with everything that happens before and during it."""
        world, crm = self.world, self.world.crm
        world.pass_time(act.pause)
        for kind in act.before:
            self.editor.edit(kind)
        faults = [Striking(**fault) for fault in act.faults]
        for fault in faults:
            crm.faults.append(fault)
        report, began = self.run(act.during, _stopped(act), publishing=act.publishing, **act.options)
        crm.faults.clear()
        pairs = list(zip(act.faults, faults, strict=True))
        struck = {(self.seen_as(asked), path) for asked, fault in pairs for path in fault.paths}
        # Where rows of one second come in another order on each request, a count is all that tells of a row missed:
        # one that is deleted meanwhile makes up for it.
        moved = bool(act.during) and bool(getattr(crm.options, "shuffle_ties", False))
        lies = moved or any(self.lies(kind, path) for kind, path in struck)
        self.garbled = report is None and any(kind == "wrong_shape" for kind, _ in struck)
        self.judge(f"run {number}", report, began, {kind for kind, _ in struck}, lies=lies)

    def run(self, during: dict[int, list[str]], stopped: Any = None, **options: Any) -> tuple[RunReport | None, float]:
        """One run, with edits just before some of its requests; and when the first one came that was answered."""
        world, began = self.world, [world_time(self.world)]

        def on_request(number: int) -> None:
            if number == 1 or number - 1 == sum(one.fired for one in world.crm.faults if one.kind in UNANSWERED):
                began[0] = world.passed
            for kind in during.get(number, ()):
                self.editor.edit(kind)

        world.on_request = on_request
        self.publishing = bool(options["publishing"])
        report = world.run(stopped, **options)
        world.on_request = nothing
        return report, began[0]

    def judge(self, what: str, report: RunReport | None, began: float, struck: set[str], *, lies: bool = False) -> None:
        """Hold the warehouse against the laws."""
        picture, books = self.world.look()
        one = report.connections[0] if report else None
        skew = self.world.crm.options.date_skew_seconds
        ran = Ran(one, self.picture, picture, self.books, books, began, skew)
        ran.lied = self.lied = self.lied or lies
        if not lies and books["last_sweep_at"] != self.books["last_sweep_at"]:
            self.lied = False
        self.lines.append(f"{what}: {_words(one)}; {len(picture.opportunities)} rows, struck {sorted(struck)}")
        self.wrong += [f"{what}: {line}" for line in laws.breaches(self.world, self.chronicle, ran)]
        self.picture, self.books = picture, books
        self.publishes(what, report)

    def publishes(self, what: str, report: RunReport | None) -> None:
        """What people read is a whole state: that of the run just ended where it published, else that from before."""
        shown = self.world.shown()
        if shown is None:
            return
        if report is not None and report.published is None and self.publishing and shown != self.picture:
            self.wrong.append(f"{what}: the published file is not the warehouse of the run that published it")
        if shown not in (self.shown, self.picture):
            self.wrong.append(f"{what}: the published file is no state that the warehouse ever was in at a run's end")
        self.shown = shown

    def seen_as(self, asked: dict[str, Any]) -> str:
        """A fault's kind; an XML list without an element is an empty one, whatever it was meant to be."""
        empty = self.story.crm == "capsule" and asked.get("shape") == "null"
        return "empty_page" if empty else str(asked["kind"])

    def lies(self, kind: str, path: str) -> bool:
        """Whether nobody could notice a fault: the list states no total, or is one of Tactile's that are read besides.

        Those show what the main list hides, in one answer without a count: whatever it holds may be all there is.
        """
        if self.story.crm == "tactile" and path.endswith(BESIDES):
            return kind in ("empty_page", "login_page", "repeat_page", "cycle")
        return self.story.crm == "capsule" and kind == "empty_page"

    def end(self) -> None:
        """No more trouble: one plain run, then whole ones until the CRM is seen as it is; one more changes nothing."""
        self.world.pass_time(self.random.choice((1, 60, 4000)))
        self.editor.edit("late")
        if not self.undisturbed("a plain run"):
            self.wrong.append(f"nothing is wrong any more, and a run is not complete: {self.lines[-1]}")
        if self.wrong:
            return
        for number in range(ENDINGS * self.tries):
            self.world.pass_time(DAY)
            asked = {"full": True} if self.needs_full() else {"sweep": True}
            report, began = self.run({}, publishing=number == 0, **asked)
            self.judge(f"ending {number + 1}", report, began, set())
            if self.wrong or (report and report.status == "complete" and self.reaches(began)):
                break
        else:
            self.wrong.append(f"no run is complete any more: {self.lines[-1]}")
        if self.wrong:
            return
        self.wrong += laws.final(self.world, self.picture)
        if self.story.seed % 2:
            return
        before = self.picture
        self.world.pass_time(1)
        if not self.undisturbed("once more"):
            self.wrong.append(f"a second run over the same rows is not complete: {self.lines[-1]}")
        self.wrong += laws.changed(before, self.picture)

    @property
    def tries(self) -> int:
        """How often a run is tried until it is complete.

        Where rows of one second come in another order on each request, luck decides whether all are met, and a run that
        says that they were not is tried again.
        """
        return TRIES if getattr(self.world.crm.options, "shuffle_ties", False) else 1

    def undisturbed(self, what: str) -> bool:
        """Whether a run that nothing disturbs is complete, or waits for a quota.

        One that ends a first load begun by others may find that rows moved meanwhile: it says so, the next is whole.
        """
        for _ in range(self.tries + (self.books["complete_through"] is None)):
            report, began = self.run({}, publishing=False)
            self.judge(what, report, began, set())
            one = report.connections[0] if report else None
            if one and (one.status == "complete" or isinstance(one.error, RateLimited)):
                return True
            if one and self.garbled and isinstance(one.error, BadPayload):
                return True
            if self.wrong:
                break
        return False

    def reaches(self, began: float) -> bool:
        """Whether the last run was a whole read of its own: one that ends an older scan covers less."""
        through = float(self.books["complete_through"]) - self.world.crm.options.date_skew_seconds
        swept = float(self.books["last_sweep_at"] or 0) - self.world.skew
        return min(through, swept) > began - 2

    def needs_full(self) -> bool:
        """Whether something changed that only a complete reading of all details tells."""
        return any(state.level == "full" for states in self.chronicle.states.values() for state in states)

    def __str__(self) -> str:
        edits = "edits: " + ", ".join(self.editor.told)
        return "\n".join([str(self.story), *self.lines, edits, *self.world.said, *self.world.traces, *self.wrong])


def world_time(world: World) -> float:
    """The world's clock."""
    return world.passed


def _stopped(act: Act) -> tuple[str, int, BaseException] | None:
    if act.crash:
        return (*act.crash, Crash())
    if act.full:
        text = "No space left on device"
        ours = act.full[0] in ("a file is made durable", "the snapshot is copied")
        return (*act.full, OSError(errno.ENOSPC, text) if ours else duckdb.IOException(text))
    return None


def _words(report: Any) -> str:
    if report is None:
        return "crashed"
    told = f" ({report.error.kind}: {report.error.message})" if report.error else ""
    return f"{report.status}{told}"


def played(told: Story) -> Play:
    """A story, played in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="onepipe-simulation-") as folder:
        play = Play(told, Path(folder))
        try:
            play.all()
        except Exception as error:
            play.wrong.append("".join(traceback.format_exception(error)))
        return play


def _wrong(seed: int) -> tuple[int, list[str]]:
    return seed, played(story(seed)).wrong


def main() -> int:
    """Play seeds; 1 where one failed."""
    say = sys.stdout.write
    if "SEED" in os.environ:
        play = played(story(int(os.environ["SEED"])))
        say(f"{play}\nas a story to keep in named.py:\n{play.story!r}\n")
        return 1 if play.wrong else 0
    count = int(os.environ.get("SEEDS", "1000"))
    first = int(os.environ.get("FIRST") or int(datetime.now(UTC).timestamp()) % 10_000_000 * 100)
    say(f"{count} seeds from {first}\n")
    began, failed = time.monotonic(), []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as players:
        for number, (seed, wrong) in enumerate(players.map(_wrong, range(first, first + count)), start=1):
            if wrong:
                failed.append(seed)
                told = [f"seed {seed} failed; again with: SEED={seed} make soak", *(line[-600:] for line in wrong[:4])]
                say("\n  ".join(told) + "\n")
            if number % 50 == 0:
                say(f"{number} played, {len(failed)} failed, {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    say(f"{count} seeds from {first}: {len(failed)} failed {failed or ''}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

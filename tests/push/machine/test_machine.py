"""Edits on both sides, pushes, troubles and crashes in any order, against the real engine: what must hold always.

HYPOTHESIS_PROFILE=soak plays more than ten thousand steps, other ones each time.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import onepipe.push.resolve as resolving
from onepipe.control.conflicts import Conflict
from onepipe.errors import OnepipeError
from onepipe.push.calls import call
from onepipe.push.decided import Decision
from onepipe.push.revert import revert
from onepipe.push.words import Plan, PushReport
from onepipe.run import Options, sync
from onepipe.warehouse.work import published
from tests.push.desk import CRMS, CURRENCY, Patience
from tests.push.machine import laws
from tests.push.machine.ledger import GAP, OTHERS
from tests.push.machine.wishes import Wishes
from tests.push.machine.world import FIELDS, Trouble, World, rounded, world
from tests.push.test_behaviours_lost import NEW

# A process that ends at a crash leaves its files open, which a real one's system closes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

TALLY: Counter[str] = Counter()
ONE_OF = st.integers(0, 11)
CRASH = st.one_of(st.just(0), st.just(0), st.integers(1, 60))
SECONDS = st.sampled_from([1, 7, 40, 130, 4000])
POLICIES = st.sampled_from(["ask", "ask", "ask", "local_wins", "remote_wins"])
TROUBLES: list[tuple[str, dict[str, Any]]] = [
    ("reset", {}),
    ("reset", {"after": True}),
    ("late", {"seconds": 5}),
    ("late", {"seconds": 100}),
    ("status", {"status": 422}),
    ("status", {"status": 429, "retry_after": 3}),
    ("status", {"status": 429, "retry_after": 600}),
    ("status", {"status": 401}),
    ("status", {"status": 503}),
    ("status", {"status": 500, "after": True}),
    ("misread", {"edit": rounded}),
    ("ignores", {}),
]
CALLS = {
    "administrate": ("generate_quote", "cover_letter"),
    "tactile": ("add_note", "note"),
    "capsule": ("add_note", "note"),
    "overplane": ("add_lost_reason", "lost_reason"),
}


class Pushes(RuleBasedStateMachine):
    """One account, its users, ours, and a network and processes that fail."""

    world: World
    wishes: Wishes

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.made: list[str] = []
        self.called: dict[str, str] = {}  # text -> record
        self.happened: set[str] = set()
        self.conflicts: list[Conflict] = []
        self.runs: list[str] = []
        self.plan: Plan | None = None
        self.sound = False

    @initialize(crm=st.sampled_from(CRMS), policy=POLICIES)
    def begin(self, crm: str, policy: str) -> None:
        """An account that was synced once."""
        limits = {"max_deletes": 99, "canary": 99}
        self.world = world(crm, conflict=policy, limits=limits)
        self.wishes = Wishes(self.world, policy)
        self.sound = True

    # What people do here

    @rule(which=ONE_OF, name=ONE_OF, clear=st.integers(0, 7), crash=CRASH)
    def edit(self, which: int, name: int, clear: int, crash: int) -> None:
        """Somebody here asks for another value of a field, or for none."""
        field, key = self._field(name), self._deal(which)
        words = {} if clear == 0 else {field: self._value("ours", field)}
        self._try(lambda: self.world.edit(self.world.name, key, *([] if words else [field]), **words), crash)

    @rule(which=ONE_OF)
    def edit_two(self, which: int) -> None:
        """Two fields of one deal at once."""
        key, fields = self._deal(which), FIELDS[self.world.name][:2]
        self._try(lambda: self.world.edit(self.world.name, key, **{one: self._value("ours", one) for one in fields}))

    @rule()
    def ask_for_a_new_one(self) -> None:
        """Somebody here asks for a new deal."""
        name = self._value("ours", "name").rstrip("~")
        self.made.append(name)
        words = {**NEW[self.world.name], "name": name}
        if "contact_email" in words:  # two open deals of one contact are refused
            words["contact_email"] = f"new{self.number}@example.org"
        self._try(lambda: self.world.new(self.world.name, **words))

    @rule(which=ONE_OF)
    def ask_to_delete(self, which: int) -> None:
        """Somebody here asks for a deal to be deleted; two stay."""
        key, asked = self._deal(which), sum(one.op == "delete" for one in self.wishes.open())
        if len(self.world.ledger.rows) - asked > 2:
            self._try(lambda: self.world.delete(self.world.name, key))

    @precondition(lambda self: any(self.wishes.open()))
    @rule(which=ONE_OF)
    def drop(self, which: int) -> None:
        """Somebody gives a wish up, and with one of a new deal all of them."""
        waiting = list(self.wishes.open())
        one = waiting[which % len(waiting)]
        same = [other.edit_id for other in waiting if other.record == one.record and one.op == "create"]
        self.wishes.dropped |= {one.edit_id, *same}
        if not self._try(lambda: self.world.drop(one.edit_id)):
            self.wishes.dropped -= {one.edit_id, *same}

    # What others do in the CRM

    @rule(which=ONE_OF, name=ONE_OF, how=st.sampled_from(["anew", "anew", "alike", "back"]))
    def edit_remotely(self, which: int, name: int, how: str) -> None:
        """Another hand sets a field: anew, to what we want, or back to what it was."""
        self._remote(which, name, how, OTHERS)

    @rule(which=ONE_OF, name=ONE_OF)
    def edit_remotely_in_the_gap(self, which: int, name: int) -> None:
        """Another hand comes between our read and our write."""
        self.world.gaps.append(lambda: self._remote(which, name, "anew", GAP))

    @rule(which=ONE_OF, gap=st.booleans())
    def delete_remotely(self, which: int, gap: bool) -> None:
        """Another hand deletes a deal; two stay."""
        key, hand = self._deal(which), GAP if gap else OTHERS

        def work() -> None:
            if len(self.world.ledger.rows) > 2:
                self.world.remotely_delete(key, hand)

        if gap:
            self.world.gaps.append(work)
        else:
            work()

    # What goes wrong

    @rule(which=st.integers(0, len(TROUBLES) - 1), on=st.sampled_from(["write", "read"]))
    def trouble_comes(self, which: int, on: str) -> None:
        """The next write, or read, will meet trouble."""
        self.trouble(which, on)

    def trouble(self, which: int, on: str) -> None:
        """What does not make sense for a read is left out."""
        kind, how = TROUBLES[which]
        if on == "write" or (kind == "status" and how["status"] != 422 and not how.get("after")):
            self.world.troubles.append(Trouble(on, kind, dict(how)))

    @rule(seconds=st.sampled_from([0, 8]))
    def lists_lag(self, seconds: int) -> None:
        """Lists show new deals late, or at once."""
        self.world.server.options.apply({"list_lag_seconds": seconds})

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        """Seconds, or an hour."""
        self.world.later(seconds=seconds)
        self.world.catch_up()

    # What onepipe does

    @rule(crash=CRASH)
    def sync(self, crash: int) -> None:
        """One sync, which may fail."""
        with self.world.project() as project, self.world.ending_at(crash):
            onepipe_sync(project, self.world)

    @rule()
    def make_a_plan(self) -> None:
        """A plan, kept for later."""
        self.plan = None

        def plan() -> None:
            self.plan = self.world.plan()

        self._try(plan)

    @rule(crash=CRASH)
    def apply(self, crash: int) -> None:
        """All that waits is pushed."""
        self._apply(None, crash)

    @rule(which=st.integers(0, len(TROUBLES) - 1), crash=CRASH)
    def apply_in_trouble(self, which: int, crash: int) -> None:
        """The same, and its first write meets trouble."""
        self.trouble(which, "write")
        self._apply(None, crash)

    @rule(which=ONE_OF, name=ONE_OF, how=st.sampled_from(["anew", "alike", "back"]))
    def apply_beside_others(self, which: int, name: int, how: str) -> None:
        """The same, while another hand changes what is about to be written, if anything is."""
        waiting = [one for one in self.wishes.open() if one.record in self.world.ledger.rows and one.field]
        waiting = [one for one in waiting if one.field in FIELDS[self.world.name]]
        if waiting:
            one = waiting[which % len(waiting)]
            which, name = self._place(one.record), FIELDS[self.world.name].index(one.field)
        self.world.gaps.append(lambda: self._remote(which, name, how, GAP))
        self._apply(None, 0)

    @precondition(lambda self: self.plan is not None)
    @rule(crash=CRASH)
    def apply_a_plan(self, crash: int) -> None:
        """What the plan holds is pushed, if it is still what it was made for."""
        self._apply(self.plan, crash)

    @precondition(lambda self: self.conflicts)
    @rule(which=ONE_OF, how=st.sampled_from(["ours", "theirs", "value"]), crash=CRASH)
    def decide(self, which: int, how: str, crash: int) -> None:
        """Somebody decides a conflict."""
        self._decide(self.conflicts[which % len(self.conflicts)], how, crash)

    @precondition(lambda self: self.world.name in CALLS)
    @rule(which=ONE_OF, again=st.booleans(), crash=CRASH)
    def call(self, which: int, again: bool, crash: int) -> None:
        """Somebody calls an action; or the same one again, where nobody knows whether it happened."""
        unsure = self._unsure() if again else []
        if unsure:
            self._call(unsure[0], self.called[unsure[0]], crash)
        else:
            self._call(self._value("ours", "name").rstrip("~"), self._deal(which), crash)

    @precondition(lambda self: self.runs)
    @rule()
    def take_back(self) -> None:
        """Somebody takes the last run back."""
        run = self.runs.pop()

        def work() -> None:
            with self.world.project() as project:
                revert(project, run)

        self._try(work)

    # What must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No wish lost, nothing laid over unasked, nothing made twice; the books agree."""
        if not self.sound:
            return
        TALLY["steps"] += 1
        self.sound = False
        with self.world.project() as project:
            self.conflicts = project.control.conflicts.open()
            self.wishes.take_stock(project.control)
            laws.hold(self.world, self.wishes, project.control, self.made, list(self.called))
        self._say()
        self.sound = True

    def teardown(self) -> None:
        """Trouble ends: everything comes to an end, and stays there."""
        try:
            if self.sound:
                self._end()
                TALLY["ends"] += 1
        finally:
            if hasattr(self, "world"):
                TALLY["gaps"] += self.wishes.gaps
                TALLY["late"] += self.wishes.late
                shutil.rmtree(self.world.folder)

    # How it is done

    def _try(self, work: Callable[[], object], crash: int = 0) -> bool:
        """Do something that may be refused, or meet trouble; whether it came to its end."""
        done = False
        with self.world.ending_at(crash):
            try:
                work()
                done = True
            except OnepipeError as error:
                TALLY[f"refused: {type(error).__name__}"] += 1
        return done

    def _apply(self, plan: Plan | None, crash: int) -> PushReport | None:
        self.wishes.planned = laws.planned(plan)
        reports: list[PushReport] = []

        def work() -> None:
            reports.append(self.world.apply(plan=plan))

        self._try(work, crash)
        self.wishes.planned = None
        if not reports:
            TALLY["crashed"] += self.world.died
            return None
        report = reports[0]
        if any(error["kind"] == "internal" for error in report.errors.values()):
            self.world.wrong.append(f"a fault of onepipe itself: {report.errors}")
        self.runs += [report.run_id] if any(one.state == "done" for one in report.items) else []
        for one in report.items:
            TALLY[f"item: {one.state}"] += 1
        if "publish" not in report.errors and report.items:
            laws.landed(self.world)
        return report

    def _call(self, text: str, record: str, crash: int) -> None:
        action, word = CALLS[self.world.name]
        self.called[text] = record
        given = {word: text} | ({"title": text} if self.world.name == "tactile" else {})

        def work() -> None:
            with self.world.project() as project:
                done = call(project, self.world.name, action, record, given, sleep=self.world.sleep, now=self.world.at)
            self.happened |= {text} if done.state == "done" else set()
            TALLY[f"call: {done.state}"] += 1

        self._try(work, crash)

    def _unsure(self) -> list[str]:
        """The calls of which `push status` says that they are not over."""
        with self.world.project() as project:
            calls = [one for one in project.control.outbox.waiting() if one.op == "call"]
        word = CALLS[self.world.name][1]
        return [one.asked["given"][word] for one in calls]

    def _decide(self, conflict: Conflict, how: str, crash: int) -> None:
        """As somebody does who has looked into the CRM."""
        record, words = conflict.source_id or conflict.draft or "", how
        if conflict.kind == "lost":
            words = self._found(conflict)
            if not words:
                return
        elif conflict.kind == "delete":
            words = "theirs" if how == "theirs" else "ours"
        elif how == "value":
            words = self._value("ours", conflict.field)
        waiting = [one for one in self.wishes.open() if one.record == record]
        if words == "theirs":
            field = conflict.field if conflict.kind == "field" else ""
            ended = {one.edit_id for one in waiting if conflict.kind == "lost" or one.field == field}
            self.wishes.dropped |= ended
            self.wishes.given_up |= ended
        elif conflict.kind == "delete":
            self.wishes.agree_to_delete(record)
        elif conflict.kind == "field":
            self.wishes.agree(record, conflict.field, conflict.theirs)

        def work() -> None:
            with self.world.project() as project:
                resolving.resolve(project, [Decision(conflict_id=conflict.conflict_id, how=words)], now=self.world.at)

        TALLY[f"decided: {conflict.kind}"] += 1
        self._try(work, crash)

    def _found(self, conflict: Conflict) -> str:
        """What of a lost request is true; empty while the CRM may still do it."""
        if self.world.server._postponed:
            return ""
        if conflict.field:  # a call
            return "theirs"
        keys = [key for key, name, _ in self.world.ledger.made if name == conflict.ours]
        if not keys:
            return "ours"
        return keys[0] if keys[0] in self.world.ledger.rows else "theirs"

    def _remote(self, which: int, name: int, how: str, hand: str) -> None:
        key, field = self._deal(which), self._field(name)
        wanted = [one.value for one in self.wishes.open() if (one.record, one.field) == (key, field) and one.value]
        old = [one.value for one in self.world.ledger.history.get((key, field), ()) if one.value]
        value = self._value("theirs", field)
        if how == "alike" and wanted:
            value = wanted[-1]
        elif how == "back" and len(old) > 1:
            value = old[-2]
        self.world.later(seconds=1)
        self.world.remotely(key, hand, **{field: value})

    def _deal(self, which: int) -> str:
        keys = sorted(self.world.ledger.rows)
        return keys[which % len(keys)]

    def _place(self, key: str) -> int:
        return sorted(self.world.ledger.rows).index(key)

    def _field(self, name: int) -> str:
        fields = FIELDS[self.world.name]
        return fields[name % len(fields)]

    def _value(self, whose: str, field: str) -> str:
        """A value that was never used before."""
        self.number += 1
        if field == "amount":
            return f"{1000 + self.number}.25"
        if field == "expected_close_date":
            return f"{2027 + self.number // 336}-{self.number // 28 % 12 + 1:02}-{self.number % 28 + 1:02}"
        return f"{whose} {self.number:04}" + ("~" if (whose, field) == ("ours", "name") else "")

    def _say(self) -> None:
        wrong, self.world.wrong = self.world.wrong, []
        if wrong:
            raise AssertionError("\n".join(wrong))

    def _end(self) -> None:
        """Nothing goes wrong any more: pushes come to rest, and the warehouse is what the CRM holds."""
        world = self.world
        world.troubles.clear()
        world.gaps.clear()
        world.server.options.apply({"list_lag_seconds": 0})
        self._rests()
        world.later(seconds=60)
        world.catch_up()
        self._must(lambda: world.sync())
        self._wish_once_more()
        self._rests()
        versions = laws.versions(world)
        self._must(lambda: world.sync())
        if versions != laws.versions(world):
            world.wrong.append("what we pushed ourselves was a change to the next sync")
        with published(world.warehouse) as db:
            world.wrong += laws.unlike_the_crm(db, world.server, CURRENCY.get(world.name))
        world.wrong += [f"{one} still waits" for one in self.wishes.open()]
        counts = Counter(text for text in self.called for body in world.executed if text in body)
        lost = [text for text in self.happened if counts[text] != 1]
        world.wrong += [f"{text} was called, and is not there" for text in lost]
        self._say()

    def _wish_once_more(self) -> None:
        key = self._deal(0)
        self._must(lambda: self.world.edit(self.world.name, key, name=self._value("ours", "name").rstrip("~")))
        self.nothing_is_wrong()

    def _must(self, work: Callable[[], object]) -> None:
        with self.world.ending_at(0):
            work()

    def _rests(self) -> None:
        """Two runs in a row that send nothing, with nothing left open, before long."""
        quiet = 0
        for turn in range(30):
            writes = len(self.world.writes(self.world.name))
            report = self._apply(None, 0)
            self.nothing_is_wrong()
            waiting = list(self.conflicts)
            for one in waiting:
                self._decide(one, "ours", 0)
                self.nothing_is_wrong()
            self.world.later(seconds=150)
            self.world.catch_up()
            still = len(self.world.writes(self.world.name)) == writes and not waiting
            quiet = quiet + 1 if still and report is not None and not report.items else 0
            if quiet == 2:
                TALLY["turns"] = max(TALLY["turns"], turn)
                return
        raise AssertionError(f"pushes do not come to rest: {report.document() if report else None}")


def onepipe_sync(project: Any, one: World) -> None:
    """One sync that may fail."""
    sync(project, (), Options(), one.notes, stop=Patience(one))


SOAKING = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
Pushes.TestCase.settings = settings(
    max_examples=420 if SOAKING else 6,
    stateful_step_count=40 if SOAKING else 25,
    derandomize=not SOAKING,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a story that fails takes minutes to shrink
    suppress_health_check=list(HealthCheck),
)
TestPushes = Pushes.TestCase

"""How the rules of the machine are carried out, and how every story ends."""

import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import reject
from hypothesis.stateful import RuleBasedStateMachine

import onepipe.push.resolve as resolving
from onepipe.control.conflicts import Conflict
from onepipe.errors import OnepipeError
from onepipe.push.calls import call
from onepipe.push.decided import Decision
from onepipe.push.revert import revert
from onepipe.push.words import Plan, PushReport
from onepipe.run import Options, sync
from onepipe.warehouse.work import published
from tests.push.desk import CURRENCY, Patience
from tests.push.machine import laws
from tests.push.machine.remote import FIELDS, Trouble, rounded
from tests.push.machine.wishes import Wishes
from tests.push.machine.world import World

TALLY: Counter[str] = Counter()
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


class Play(RuleBasedStateMachine):
    """One account, and all that was asked of it. `sound`: nothing was wrong so far."""

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

    def take_stock(self) -> None:
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

    def _sync(self, crash: int) -> None:
        def work() -> None:
            with self.world.project() as project:
                sync(project, (), Options(), self.world.notes, stop=Patience(self.world))

        self._try(work, crash)

    def _revert(self, run_id: str) -> None:
        def work() -> None:
            with self.world.project() as project:
                revert(project, run_id)

        self._try(work)

    def _trouble(self, which: int, on: str) -> None:
        """What does not make sense for a read is left out."""
        kind, how = TROUBLES[which]
        if on == "write" or (kind == "status" and how["status"] != 422 and not how.get("after")):
            self.world.troubles.append(Trouble(on, kind, dict(how)))

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
        if not keys:
            reject()  # a CRM whose last deal was deleted has no more stories to tell
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
        self._sweep()
        self._wish_once_more()
        self._rests()
        versions = laws.versions(world)
        self._sweep()
        more = [one for one in laws.versions(world) if one not in versions]
        world.wrong += [f"what we pushed ourselves was a change to the next sync: {more}"] if more else []
        with published(world.warehouse) as db:
            world.wrong += laws.unlike_the_crm(db, world.server, CURRENCY.get(world.name))
        world.wrong += [f"{one} still waits" for one in self.wishes.open()]
        counts = Counter(text for text in self.called for body in world.executed if text in body)
        lost = [text for text in self.happened if counts[text] != 1]
        world.wrong += [f"{text} was called, and is not there" for text in lost]
        self._say()

    def _sweep(self) -> None:
        """A complete read; somebody has looked into the CRM, and says that what is missing was deleted."""
        for asked in (Options(sweep=True), Options(sweep=True, restart=True, approve=True)):
            with self.world.project() as project, self.world.ending_at(0):
                report = sync(project, (), asked, self.world.notes, stop=Patience(self.world))
        if report.status != "complete":
            self.world.wrong.append(f"nothing is wrong any more, and a sync is {report.document()}")

    def _wish_once_more(self) -> None:
        if not self.world.ledger.rows:
            return
        key = self._deal(0)
        self._must(lambda: self.world.edit(self.world.name, key, name=self._value("ours", "name").rstrip("~")))
        self.take_stock()

    def _must(self, work: Callable[[], object]) -> None:
        with self.world.ending_at(0):
            work()

    def _rests(self) -> None:
        """Two runs in a row that send nothing, with nothing left open, before long."""
        quiet = 0
        for turn in range(30):
            writes = len(self.world.writes(self.world.name))
            report = self._apply(None, 0)
            self.take_stock()
            waiting = list(self.conflicts)
            for one in waiting:
                self._decide(one, "ours", 0)
                self.take_stock()
            self.world.later(seconds=150)
            self.world.catch_up()
            still = len(self.world.writes(self.world.name)) == writes and not waiting
            quiet = quiet + 1 if still and report is not None and not report.items else 0
            if quiet == 2:
                TALLY["turns"] = max(TALLY["turns"], turn)
                return
        raise AssertionError(f"pushes do not come to rest: {report.document() if report else None}")

"""Edits on both sides, pushes, troubles and crashes in any order, against the real engine: what must hold always.

HYPOTHESIS_PROFILE=soak plays more than ten thousand steps, other ones each time.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.push.desk import CRMS
from tests.push.machine.ledger import GAP, OTHERS
from tests.push.machine.play import CALLS, TROUBLES, Play
from tests.push.machine.remote import FIELDS
from tests.push.machine.wishes import Wishes
from tests.push.machine.world import world
from tests.push.test_behaviours_lost import NEW

# A process that ends at a crash leaves its files open, which a real one's system closes.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

ONE_OF = st.integers(0, 11)
CRASH = st.one_of(st.just(0), st.just(0), st.integers(1, 60))
SECONDS = st.sampled_from([1, 7, 40, 130, 4000])
POLICIES = st.sampled_from(["ask", "ask", "ask", "local_wins", "remote_wins"])


class Pushes(Play):
    """One account, its users, ours, and a network and processes that fail."""

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
        if not words:  # to clear what was empty before withdraws the wish that waits
            mine = [one for one in self.wishes.open() if (one.record, one.field) == (key, field)]
            self.wishes.dropped |= {one.edit_id for one in mine}
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
        self._trouble(which, on)

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
        self._sync(crash)

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
        self._trouble(which, "write")
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
        self._revert(self.runs.pop())

    # What must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No wish lost, nothing laid over unasked, nothing made twice; the books agree."""
        self.take_stock()


SOAKING = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
Pushes.TestCase.settings = settings(
    max_examples=250 if SOAKING else 5,
    stateful_step_count=50 if SOAKING else 20,
    derandomize=not SOAKING,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a story that fails takes minutes to shrink
    suppress_health_check=list(HealthCheck),
)
TestPushes = Pushes.TestCase

"""Edits, pushes and crashes in any order: no edit is lost, and nothing that may have been sent is sent again unread."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from onepipe.control import Control, Wish
from onepipe.errors import UsageError
from onepipe.merge import states

RECORDS, FIELDS = st.sampled_from(["43", "44"]), st.sampled_from(["amount", "name"])
MEMORY = Path("/dev/shm")  # noqa: S108 - thousands of commits, none of which has to outlive the test
ON_ITS_WAY = {"sending", "unknown", "ambiguous"}


class Queue(RuleBasedStateMachine):
    """A real control file, and beside it what must be in it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.lease = 1
        self.edits: dict[tuple[str, str], tuple[str, str]] = {}  # record and field -> id and state
        self.pushes: dict[str, tuple[int, str, list[str]]] = {}  # record -> id, state, edits
        self.sent: dict[int, int] = {}
        self.control = Control(self.folder)

    def teardown(self) -> None:
        self.control.close()
        shutil.rmtree(self.folder)

    @rule(record=RECORDS, field=FIELDS)
    def edit(self, record: str, field: str) -> None:
        """A new edit takes the place of a queued one; of one on its way it is refused."""
        wish = Wish(connection="acme", source_id=record, field=field, slot=field, value="1")
        before = self.edits.get((record, field))
        try:
            (edit_id,) = self.control.edits.put([wish], "ann")
        except UsageError:
            assert before is not None
            assert "pushing" == before[1]
        else:
            assert before is None or before[1] == "queued"
            self.edits[record, field] = (edit_id, "queued")

    @precondition(lambda self: self.edits)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """Only what is queued can be dropped."""
        place = data.draw(st.sampled_from(sorted(self.edits)))
        edit_id, state = self.edits[place]
        try:
            self.control.edits.drop([edit_id])
        except UsageError:
            assert "pushing" == state
        else:
            assert "queued" == state
            del self.edits[place]

    @rule(record=RECORDS)
    def plan(self, record: str) -> None:
        """A push carries the queued edits of a record, unless an older one may have been carried out."""
        carried = [one for (key, _), (one, state) in self.edits.items() if key == record and state == "queued"]
        push_id = self.control.outbox.add("run", "acme", "update", {}, source_id=record, edits=carried)
        before = self.pushes.get(record)
        assert (push_id is None) == (before is not None and before[1] in ON_ITS_WAY)
        if push_id is not None:
            self.control.outbox.claim(push_id, self.lease)
            self.pushes[record] = (push_id, "ready", carried)

    @precondition(lambda self: self.pushes)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        """A request is written down, unless an edit was given up or it may have been sent already."""
        record = data.draw(st.sampled_from(sorted(self.pushes)))
        push_id, state, carried = self.pushes[record]
        wanted = set(carried) <= {one for one, _ in self.edits.values()}
        try:
            n = self.control.outbox.attempt(push_id, self.lease, "{}")
        except AssertionError:
            assert "sending" not in (state, *states.STATES[state].next)
            return
        assert wanted == (n is not None)
        if n is not None:
            assert state not in ("unknown", "ambiguous")
            self.sent[push_id] = n
            self._becomes(record, "sending", carried)

    @precondition(lambda self: self.pushes)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A push goes where the table of states lets it, its edits with it, in one journal line."""
        record = data.draw(st.sampled_from(sorted(self.pushes)))
        push_id, state, carried = self.pushes[record]
        after = data.draw(st.sampled_from([one for one in states.STATES[state].next if states.STATES[one].shown]))
        line = self.control.outbox.settle(push_id, self.lease, after, {"state": after})
        assert {"state": after} == self.control.outbox.journal(after=line - 1)[0].told
        self._becomes(record, after, carried)

    @rule()
    def crash(self) -> None:
        """The process dies; the next one takes over: what was being sent is unknown."""
        self.control.close()
        self.control = Control(self.folder)
        self.lease += 1
        self.control.outbox.recovered("acme", self.lease)
        for record, (push_id, state, carried) in self.pushes.items():
            self.pushes[record] = (push_id, states.after_restart(state), carried)

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        """No edit is lost or doubled; whatever is on its way is carried by a push that somebody has to settle."""
        open_ = {(one.source_id, one.field): (one.edit_id, one.state) for one in self.control.edits.open()}
        assert self.edits == open_
        waiting = {one.source_id: (one.push_id, one.state) for one in self.control.outbox.waiting()}
        assert {record: one[:2] for record, one in self.pushes.items()} == waiting
        carried = {one for _, state, edits in self.pushes.values() if state in ON_ITS_WAY for one in edits}
        assert {one for one, state in self.edits.values() if state == "pushing"} <= carried
        assert self.sent == {one: len(self.control.outbox.attempts(one)) for one in self.sent}

    def _becomes(self, record: str, after: str, carried: list[str]) -> None:
        push_id = self.pushes[record][0]
        self.pushes[record] = (push_id, after, carried)
        state = "pushing" if after in ON_ITS_WAY else "queued"
        for place, (edit_id, _) in list(self.edits.items()):
            if edit_id in carried:
                self.edits[place] = (edit_id, state)
                if states.STATES[after].final:
                    del self.edits[place]
        if states.STATES[after].final:
            del self.pushes[record]


TestQueue = Queue.TestCase

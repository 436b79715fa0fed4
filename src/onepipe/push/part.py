"""One connection's part of a run of pushes: what is attempted, in what order, and when the rest is held."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event

from onepipe.control import Edit, Edits, Push
from onepipe.edit import Asked
from onepipe.errors import AuthRefused, RateLimited, SourceError
from onepipe.push.halting import Halt, Halted, halt_of
from onepipe.push.lost import settle_lost
from onepipe.push.made import create
from onepipe.push.one import carry_out
from onepipe.push.site import Clock, Site
from onepipe.push.watch import Watch
from onepipe.push.words import Done, Item

MISMATCHES = ("not_applied", "overwritten", "rejected", "unknown", "dead")
WRITTEN = ("done", "done_normalised", *MISMATCHES)
SENT = "it may have been carried out; `onepipe push apply` looks before it sends again"
STOPPED = "the run was told to stop before it"


@dataclass(slots=True, kw_only=True)
class Part:
    """One connection's part of a run: the items so far, and why the rest is held, if it is."""

    name: str
    wanted: Mapping[str, Item | None]
    canary: int
    edits: Edits
    watch: Watch
    stop: Event
    now: Clock
    items: list[Done] = field(default_factory=list)
    settled: set[str] = field(default_factory=set)
    looked: set[str] = field(default_factory=set)
    written: list[Done] = field(default_factory=list)
    unread: int = 0
    halt: Halt | None = None
    held: tuple[str, str] | None = None

    def settle(self, site: Site, push: Push) -> None:
        """A push that an earlier run left open."""
        record = record_of(push)
        asked = next((one for one in site.asked if (one.source_id or one.draft) == record), None)
        if record in self.wanted and not self.held:
            self._try(record, lambda: settle_lost(site, push, asked), asked)
            self.looked.add(record)
            self.written.clear()  # of earlier runs: no canary for this one

    def carry(self, site: Site, asked: Asked) -> None:
        """A record's edits."""
        record = asked.source_id or asked.draft or ""
        if record not in self.wanted or record in self.settled:
            return
        if self.stop.is_set():
            self.held = self.held or ("ready", STOPPED)
        self._canary()
        planned = self.wanted[record]
        if record in self.looked:  # some of it may be settled by now
            found = site.wanted(record)
            if found is None:
                return
            asked = found
        if self.held:
            self._add(record, _unsent(site.name, asked, *self.held))
        elif asked.op == "create":
            self._try(record, lambda: create(site, asked, planned), asked)
        else:
            self._try(record, lambda: carry_out(site, asked, planned), asked)

    def hold(self, state: str, message: str) -> None:
        """Attempt nothing more."""
        self.held = (state, message)
        self.rest(state, message)

    def rest(self, state: str, message: str) -> list[Done]:
        """The items so far, and those that nobody came to."""
        for edit in self.edits.open({self.name}):
            record = edit.source_id or edit.draft or ""
            if record in self.wanted and record not in self.settled:
                told = ("unknown", SENT) if edit.state == "pushing" else (state, message)
                self._add(record, _left(edit, *told))
        return self.items

    def _try(self, record: str, work: Callable[[], Done | None], asked: Asked | None = None) -> None:
        try:
            done = work()
            self.unread = 0
        except Halted as halted:
            done = halted.done
            self._halt(halted.halt)
        except SourceError as error:
            done = self._unread(error, asked)
        if done is not None:
            self._add(record, done)

    def _unread(self, error: SourceError, asked: Asked | None) -> Done | None:
        """A record that could not be read: nothing was sent for it. Two in a row are the CRM's trouble, not theirs."""
        halt = halt_of(error, self.now()) or Halt("ready", error)
        self.unread += 1
        if self.unread > 1 or isinstance(error, AuthRefused | RateLimited):
            self._halt(halt)
        if asked is None:
            return None
        return _unsent(asked.edits[0].connection, asked, halt.state, error.message)

    def _halt(self, halt: Halt) -> None:
        self.halt = halt
        self.held = (halt.state, halt.error.message)

    def _canary(self) -> None:
        """So many records are written first; the rest only if each of them was verified."""
        wrong = [one for one in self.written[: self.canary] if one.state in MISMATCHES]
        if wrong and len(self.written) >= self.canary:
            told = f"{wrong[0].source_id or wrong[0].draft} is {wrong[0].state}"
            first = f"the first {self.canary} records of a run have to be verified before the rest"
            self.held = self.held or ("ready", f"not attempted: {told}, and {first} (`limits: {{canary: ...}}`)")

    def _add(self, record: str, done: Done) -> None:
        self.settled.add(record)
        self.items.append(done)
        self.written += [done] if done.state in WRITTEN else []
        self.watch.pushed(done)


def _left(edit: Edit, state: str, message: str) -> Done:
    """A record that nobody came to, or that was taken away in the middle."""
    return Done(
        connection=edit.connection,
        source_id=edit.source_id,
        op=edit.op,
        state=state,
        message=message,
        draft=edit.draft,
    )


def _unsent(connection: str, asked: Asked, state: str, message: str) -> Done:
    """A record that was not attempted."""
    record = next((base for base in asked.bases.values() if base), {})
    return Done(
        connection=connection,
        source_id=asked.source_id,
        op=asked.op,
        state=state,
        message=message,
        draft=asked.draft,
        name=record.get("name") or asked.ours.get("name"),
    )


def record_of(push: Push) -> str:
    """What a push is about, as runs name it: a record, or, for a call, itself."""
    return f"push {push.push_id}" if push.op == "call" else push.source_id or push.draft or ""

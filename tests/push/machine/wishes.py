"""What people asked for, beside the engine's own books: what each wish may lay over, and how it may end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from onepipe.control import Control, Edit
from onepipe.merge import states
from tests.push.machine.ledger import GAP, LATE, OURS, Change
from tests.push.machine.remote import FIELDS, form, rounded
from tests.push.machine.world import World

OPEN = ("queued", "pushing")
BUSY = ("429", "500", "503")


@dataclass
class Wish:
    """One edit. `known` are the CRM's values that whoever asked had seen; `base`, of a delete, the whole record's.

    `ended`: dropped, replaced, theirs (a person decided), or the state it was settled in.
    """

    edit_id: str
    record: str
    op: str
    field: str
    value: str | None
    since: int
    known: set[str | None] = field(default_factory=set)
    base: dict[str, set[str | None]] = field(default_factory=dict)
    ended: str = ""


class Wishes:
    """All wishes of one world; whatever is not as it must be goes to `world.wrong`."""

    def __init__(self, world: World, policy: str) -> None:
        self.world, self.ledger, self.policy = world, world.ledger, policy
        self.all: dict[str, Wish] = {}
        self.dropped: set[str] = set()
        self.given_up: set[str] = set()
        self.planned: Mapping[tuple[str, str], str | None] | None = None
        self.gaps = self.late = 0
        world.on_write_done = self.wrote

    def open(self) -> Iterator[Wish]:
        """Those that wait."""
        return (one for one in self.all.values() if not one.ended)

    def agree(self, record: str, name: str, value: str | None) -> None:
        """A person saw this value of theirs, and wants ours all the same."""
        for one in self.open():
            if (one.record, one.field) == (record, name):
                one.known.add(value)

    def agree_to_delete(self, record: str) -> None:
        """A person saw the record as it is, and wants it gone."""
        for one in self.open():
            if (one.record, one.op) == (record, "delete"):
                for name, value in self.ledger.last_read[record][1].items():
                    one.base[name].add(value)

    # What was written

    def wrote(self) -> None:
        """A request of ours was carried out: nothing that our last read could see was laid over unasked."""
        for change in self.ledger.changed:
            self._laid_over(change)
        for key in self.ledger.removed:
            self._removed(key)

    def _laid_over(self, change: Change) -> None:
        about = f"{change.key} {change.field}: {change.before} became {change.entry.value}"
        wishes = [one for one in self.open() if (one.record, one.field) == (change.key, change.field)]
        meant = [one for one in wishes if change.entry.value in _forms(one)]
        saw = self.ledger.last_read[change.key][1].get(change.field)
        if saw != change.before and (meant or change.entry.value == saw):  # a form may want what was just read again
            self._in_between(change)
        elif not meant:
            self.world.wrong.append(f"{about}: nobody asked for it ({wishes})")
        elif not self._may(meant[-1], saw, change):
            self.world.wrong.append(f"{about}: our last read saw that it was changed, and nobody decided ({meant[-1]})")
        elif self.planned is not None and self.planned.get((change.key, change.field), "nothing") != saw:
            self.world.wrong.append(f"{about}: the plan was made for another value, or without it")

    def _may(self, wish: Wish, saw: str | None, change: Change) -> bool:
        own = self.ledger.history[change.key, change.field][-2].hand in (OURS, LATE)
        return saw in wish.known or own or self.policy == "local_wins"

    def _in_between(self, change: Change) -> None:
        """The one-request gap: another hand, or a late request of ours, between our read and our write."""
        hand = self.ledger.history[change.key, change.field][-2].hand
        self.gaps += hand == GAP
        self.late += hand == LATE
        if hand not in (GAP, LATE):
            self.world.wrong.append(f"{change.key} {change.field}: written without a read just before ({hand})")

    def _removed(self, key: str) -> None:
        wish = next((one for one in self.open() if (one.record, one.op) == (key, "delete")), None)
        if wish is None:
            self.world.wrong.append(f"{key} was deleted, and nobody asked for it")
            return
        for name, saw in self.ledger.last_read[key][1].items():
            own = self.ledger.last_hand(key, name) in (OURS, LATE)
            if saw not in wish.base[name] and not own and self.policy != "local_wins":
                self.world.wrong.append(f"{key} was deleted although {name} had become {saw}, not {wish.base[name]}")

    # What became of wishes

    def take_stock(self, control: Control) -> None:
        """Meet new edits, and see what became of the others."""
        while edit := control.edits.get(str(len(self.all) + 1)):
            self._meet(edit)
        for wish in list(self.open()):
            kept = control.edits.get(wish.edit_id)
            if kept is None:
                self.world.wrong.append(f"{wish} is gone from the control file")
                continue
            wish.record, wish.op = kept.source_id or kept.draft or "", kept.op
            if kept.state not in OPEN:
                self._ends(control, wish, kept.state)

    def _meet(self, edit: Edit) -> None:
        record = edit.source_id or edit.draft or ""
        wish = Wish(edit.edit_id, record, edit.op, edit.field, form(edit.field, edit.value), self.ledger.seq)
        at = edit.base.read_at if edit.base else None
        if at is not None and edit.field:
            wish.known = {self.ledger.value(record, edit.field, at)}
        elif at is not None:
            wish.base = {name: {self.ledger.value(record, name, at)} for name in FIELDS[self.world.name]}
        for before in self.open():
            if (before.record, before.field) == (record, edit.field):
                wish.known |= before.known
        self.all[edit.edit_id] = wish

    def _ends(self, control: Control, wish: Wish, state: str) -> None:
        wish.ended = state
        if state == "dropped" and wish.edit_id not in self.dropped:
            self.world.wrong.append(f"{wish} was dropped, and nobody did it")
        if state == "replaced" and not self._follower(wish):
            self.world.wrong.append(f"{wish} was replaced by nothing")
        if state == "settled":
            wish.ended, told = _told(control, self.world.name, wish)
            if not wish.ended or (wish.op != "delete" and form(wish.field, told) != wish.value):
                self.world.wrong.append(f"{wish} was settled, and no line of the journal shows it ({told})")
            elif not self._reason(wish):
                struck = self.ledger.troubles(wish.since)
                history = self.ledger.since(wish.record, wish.field, wish.since)
                self.world.wrong.append(f"{wish} ended so without a reason: {struck}, {history}")

    def _follower(self, wish: Wish) -> bool:
        later = (one for one in self.all.values() if int(one.edit_id) > int(wish.edit_id))
        return any((one.record, one.field) == (wish.record, wish.field) for one in later)

    def _reason(self, wish: Wish) -> bool:
        """Whether what happened since it was asked for explains how it ended."""
        struck = self.ledger.troubles(wish.since)
        since = self.ledger.since(wish.record, wish.field, wish.since)
        if wish.field and wish.field not in FIELDS[self.world.name]:  # what a new deal needs, and nobody edits
            return wish.record in self.ledger.rows or wish.record in self.ledger.gone or wish.ended != "done"
        if wish.ended in ("done", "converged"):
            return (
                wish.record in self.ledger.gone if wish.op == "delete" else wish.value in {one.value for one in since}
            )
        return {
            "done_normalised": "misread" in struck or wish.value is None,
            "overwritten": any(one.hand in (OURS, LATE) for one in since),
            "not_applied": bool({"ignores", "misread"} & set(struck)) or any(one.hand != OURS for one in since[1:]),
            "rejected": "422" in struck,
            "gone": wish.record in self.ledger.gone,
            "dead": wish.edit_id in self.given_up or sum(one in BUSY for one in struck) > 2,
            "kept_remote": self.policy == "remote_wins",
        }.get(wish.ended, False)


def _forms(wish: Wish) -> tuple[str | None, ...]:
    """A value as the CRM may keep it: as it is, rounded and trimmed; for an amount that is cleared, zero."""
    if wish.value is None:
        return (None, "0.00") if wish.field == "amount" else (None,)
    return wish.value, rounded(wish.value.encode()).decode() + ("0" if wish.value.endswith(".25") else "")


def _told(control: Control, name: str, wish: Wish) -> tuple[str, Any]:
    """The final state that a journal line tells of an edit, and the value it shows."""
    pushes = control.outbox.of_connection(name)
    # An edit that is settled before the others of its push is no longer among that push's.
    for push in reversed([one for one in pushes if wish.edit_id in one.edits or one.source_id == wish.record]):
        for line in reversed(control.outbox.lines(push.push_id)):
            told = line.told["push"]
            one = told if wish.op == "delete" else told["fields"].get(wish.field, {})
            final = one.get("state") in states.STATES and states.STATES[one["state"]].final
            same = wish.op != "delete" and form(wish.field, one.get("ours")) == wish.value
            if final and (same or wish.edit_id in push.edits):
                return one["state"], one.get("ours")
    return "", None

"""What a person's decision on a conflict comes to, or why it cannot be carried out. Nothing is changed here."""

from dataclasses import dataclass, replace
from typing import Any

import onepipe.edit.fields as editing
from onepipe.config import Config
from onepipe.control import Conflict, Control, Edit, Push, Wish
from onepipe.edit import Target, open_target, records, slot
from onepipe.merge import MISSING, Refused, value
from onepipe.warehouse import ledger
from onepipe.warehouse.database import Database

SIDES = ("ours", "theirs")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person says of a conflict: `how` is ours, theirs, or another value. `place` is where, if in a file."""

    conflict_id: str
    how: str
    reason: str = ""
    place: str = ""

    @property
    def side(self) -> str:
        """`ours` or `theirs`; empty for a value."""
        word = self.how.strip().lower()
        return word if word in SIDES else ""

    @property
    def word(self) -> str:
        """What is decided: `ours`, `theirs`, or the value."""
        return self.side or self.how.strip()

    def fault(self, reason: str) -> str:
        """What is wrong with it, as a line for people."""
        return ": ".join(filter(None, (self.place, f"conflict {self.conflict_id}", reason)))


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What is to be done. `how`: ours, theirs, or the value; `wish` takes the place of `edit`; `push` is in doubt."""

    conflict: Conflict
    how: str
    reason: str
    next: str
    edit: Edit | None = None
    wish: Wish | None = None
    push: Push | None = None

    @property
    def links(self) -> bool:
        """Whether a record was named as the one that a create made."""
        return self.push is not None and self.how not in SIDES


class Judge:
    """Judges decisions by what is known now: the queue, the outbox and the published warehouse."""

    def __init__(self, config: Config, control: Control, db: Database) -> None:
        self._config = config
        self._control = control
        self._db = db
        self._targets: dict[str, Target | Refused] = {}

    def decide(self, decision: Decision) -> Decided | Refused:
        """What a decision comes to."""
        conflict = self._control.conflicts.get(decision.conflict_id)
        if conflict is None:
            return Refused("there is none of this id")
        if conflict.state != "open":
            return Refused(f"it is {conflict.state} already: {conflict.resolution}")
        if decision.reason == conflict.reason:  # a file that `conflicts list` wrote holds the conflict's own reason
            decision = replace(decision, reason="")
        if conflict.kind == "lost":
            return self._lost(conflict, decision)
        edit = self._edit_of(conflict)
        if isinstance(edit, Refused):
            return edit
        judged = self._delete if conflict.kind == "delete" else self._field
        return judged(conflict, decision, edit)

    def _edit_of(self, conflict: Conflict) -> Edit | Refused:
        """The open edit that a conflict is about."""
        wanted = (conflict.source_id or conflict.draft, "" if conflict.kind == "delete" else conflict.slot)
        edits = self._control.edits.open({conflict.connection})
        edit = next((one for one in edits if (one.source_id or one.draft, one.slot) == wanted), None)
        if edit is None:
            return Refused("its edit waits no longer, so there is nothing to decide; the next push closes it")
        if edit.state == "pushing":
            return Refused(f"edit {edit.edit_id} may be on its way to the CRM: `onepipe push apply` finds out first")
        return edit

    def _delete(self, conflict: Conflict, decision: Decision, edit: Edit) -> Decided | Refused:
        told = {
            "ours": "the next push deletes it, if nothing more is changed until then",
            "theirs": f"it stays, and edit {edit.edit_id} is dropped",
        }
        if not decision.side:
            return Refused("a deletion is decided by ours or theirs")
        return _decided(conflict, decision, told[decision.side], edit=edit)

    def _field(self, conflict: Conflict, decision: Decision, edit: Edit) -> Decided | Refused:
        ours = "empties it" if edit.value is None else f"writes {edit.value}"
        told = {
            "ours": f"the next push {ours}",
            "theirs": f"the CRM keeps {conflict.theirs or 'nothing'}, and edit {edit.edit_id} is dropped",
        }
        if decision.side:
            return _decided(conflict, decision, told[decision.side], edit=edit)
        wish = self._wish(conflict, decision, edit)
        if isinstance(wish, Refused):
            return wish
        what = f"the next push writes {wish.value}" + (f" ({wish.note})" if wish.note else "")
        return _decided(conflict, decision, what, edit=edit, wish=wish)

    def _wish(self, conflict: Conflict, decision: Decision, edit: Edit) -> Wish | Refused:
        """Another value, judged as an edit of the field is."""
        target = self._target(conflict.connection)
        if isinstance(target, Refused):
            return target
        if reason := editing.not_written(target, edit.field, new=False):
            return Refused(f"{edit.field} {reason}")
        record = records(self._db, target, [conflict.record])[0] if conflict.record else {}
        made = editing.meant(target, edit.field, decision.how, record)
        if isinstance(made, Refused):
            return Refused(f"{edit.field} {made.reason}; or say ours or theirs")
        if made.value is MISSING:
            return Refused("the value is empty; say ours or theirs, or edit it with --clear")
        return Wish(
            connection=edit.connection,
            source_id=edit.source_id,
            field=edit.field,
            slot=slot(edit.field),
            value=value.as_text(made.value),
            reason=decision.reason or edit.reason,
            note=made.note,
        )

    def _lost(self, conflict: Conflict, decision: Decision) -> Decided | Refused:
        """A create or a call that may have happened."""
        push = self._control.outbox.get(conflict.push_id or 0)
        if push is None or push.state != "ambiguous":
            return Refused("what became of it is known by now, or is found out by the next `onepipe push apply`")
        about, side = f"push {push.push_id}", decision.side
        if push.op == "call" and side != "theirs":
            return Refused(
                f"a call is never sent again: theirs closes {about}; if it did not happen, `onepipe call` it anew"
            )
        if not side and push.op != "create":
            return Refused("this is decided by ours or theirs")
        told = {
            "ours": f"{about} did not happen: the next push sends it again",
            "theirs": f"{about} is over, and nothing more is sent for it",
            "": f"the edits of {about} are of deal {decision.word} from now on",
        }
        return _decided(conflict, decision, told[side], push=push)

    def _target(self, name: str) -> Target | Refused:
        if name not in self._targets:
            self._targets[name] = self._opened(name)
        return self._targets[name]

    def _opened(self, name: str) -> Target | Refused:
        if name not in self._config.connections or name not in ledger.names(self._db):
            return Refused(f"{name} is retired: it is no longer in config.yaml")
        return open_target(self._config, self._config.connections[name], self._db)


def _decided(conflict: Conflict, decision: Decision, next_: str, **more: Any) -> Decided:
    return Decided(conflict=conflict, how=decision.word, reason=decision.reason, next=next_, **more)

"""The oracle: every state that every record of a simulated CRM was ever in, since when, and by when it must be seen."""

from dataclasses import dataclass, field
from typing import Any

from tests.truth.canonical import NOTHING, sent
from tests.truth.crms import READERS
from tests.truth.desk import Row

# What sub-requests and contacts tell, and labels that are looked up, come at times of their own: compared at the very
# end only.
APART = {
    "administrate": set[str](),
    "tactile": set[str](),
    "capsule": {"tags", "custom", "stage"},
    "onautomate": {"stage", "pipeline", "company", "contact", "contact_email", "contact_phone", "tags"},
    "overplane": {"lost_reason"},
}
SINCE_EVER = float("-inf")


@dataclass(frozen=True)
class State:
    """What a record was like from `since` on (seconds of the world), None: it was not there.

    `level` says what must see it: "run" the next run, "sweep" a complete read ("set back": because its stamp was),
    "full" only one that is asked for.
    """

    since: float
    level: str
    row: Row | None


@dataclass
class Chronicle:
    """All states of all records, oldest first, by source_id."""

    crm: Any
    states: dict[str, list[State]] = field(default_factory=dict)
    shown: dict[str, int] = field(default_factory=dict)
    """The oldest state that was due when a record was last seen to be right; it never goes back behind it."""

    def begin(self) -> None:
        """Note what there is before anything happens."""
        for key in self.crm.rows:
            self.states[str(key)] = [State(SINCE_EVER, "run", self.row(key))]

    def note(self, key: Any, level: str, since: float) -> None:
        """A record was just written, or removed."""
        row = self.row(key) if key in self.crm.rows else None
        self.states.setdefault(str(key), []).append(State(since, level, row))

    def row(self, key: Any) -> Row:
        """The record as a canonical row, as it is now."""
        told = {**NOTHING, **READERS[self.crm.name](sent(self.crm, key), self.crm, True)}
        return {name: value for name, value in told.items() if name not in APART[self.crm.name]}

    def required(self, source_id: str, through: float | None, swept: float | None) -> int:
        """The oldest state that a warehouse may hold which claims to know all changes and all rows before an instant.

        -1: it may know nothing of the record at all. A stamp that was set back hides earlier edits from a filter, too;
        and so does a removal that only a sweep tells of, or an archiving, unless a run came between: then the edit was
        shown, and stays.
        """
        least = whole = -1
        for number, state in enumerate(self.states[source_id]):
            if swept is not None and state.since < swept and state.level != "full":
                whole = number
            if state.level == "run" and through is not None and state.since < through:
                least = number
            gone = state.row is None or state.row["is_archived"]
            hidden = state.level == "set back" or (state.level == "sweep" and gone)
            least = whole if hidden else max(least, whole)
        return max(least, self.shown.get(source_id, -1)) if through is not None else least

    def owed(self, source_id: str, through: float) -> bool:
        """Whether a record was changed after an instant, so that the next run comes by it: it may have moved away.

        Or the next sweep, where its stamp was set back.
        """
        return any(state.level in ("run", "set back") and state.since >= through for state in self.states[source_id])

    def was_there(self, source_id: str, since: float) -> bool:
        """Whether a record has been there without a break from an instant until now."""
        states = self.states[source_id]
        inside = [state for state in states if state.since > since] + [one for one in states if one.since <= since][-1:]
        return all(state.row is not None for state in inside)

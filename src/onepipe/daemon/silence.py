"""The silence detector: a connection that runs without an error, and brings far less than it usually does.

What its runs count is judged as they end. Which fields are filled is looked up in the snapshot, seldom, and only of
connections of which enough rows changed. Whatever is found, the rows are loaded all the same. Used by one thread.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from onepipe.control.notices import Alerts
from onepipe.daemon.alerts import Bulletin
from onepipe.daemon.onlooker import Event
from onepipe.daemon.usual import ENOUGH, Usual
from onepipe.report import ConnectionReport
from onepipe.warehouse import filled
from onepipe.warehouse.filled import Filled
from onepipe.warehouse.work import published

LOOKS = 60.0  # seconds between two looks at the snapshot, at least
AT_ONCE = 10  # connections whose fields are looked at in one of them: half a second each, in a large warehouse
KEPT_EVERY = 300.0  # seconds between two writes of what was learned
HINT = (
    "The rows are loaded all the same. See in the CRM whether it is so: a permission or a renamed field may hide them"
)


@dataclass(frozen=True)
class _Changed:
    """Rows of a connection that changed since, and were not looked at yet."""

    since: datetime
    rows: int
    run_id: str


class Silence:
    """Judges the runs of all connections. `snapshot` says where the published warehouse is."""

    def __init__(
        self, kept: Alerts, bulletin: Bulletin, snapshot: Callable[[], Path], clock: Callable[[], float]
    ) -> None:
        self._kept, self._bulletin, self._snapshot, self._clock = kept, bulletin, snapshot, clock
        self._usual = {name: Usual.read(text) for name, text in kept.volumes().items()}
        self._unkept: set[str] = set()
        self._kept_at = clock()
        self._looked_at = 0.0
        self._fresh = False
        self._changed: dict[str, _Changed] = {}

    def reload(self, connections: Collection[str]) -> None:
        """Only these connections are there."""
        for known in (self._usual, self._changed):
            for name in known.keys() - connections:
                del known[name]

    def ran(self, report: ConnectionReport, run_id: str) -> None:
        """A run ended; only a complete one tells anything."""
        deals = report.resources.get("opportunity")
        if report.status != "complete" or deals is None:
            return
        name, counts = report.connection, deals.counts
        at = datetime.fromtimestamp(self._clock(), UTC)
        usual = self._usual.setdefault(name, Usual())
        number = counts.new + counts.changed + counts.deleted
        self._judge(name, "reads", usual.is_lean(counts.fetched, at.date()), at, run_id)
        lean = any(one.what == "reads" for one in self._bulletin.standing("silent", name))
        if (not lean and usual.reads(counts.fetched, at.date())) | usual.changed(number, at.timestamp(), at.date()):
            self._unkept.add(name)
        quiet = usual.is_quiet(at.timestamp()) or usual.is_thin(at.timestamp(), at.date())
        self._judge(name, "changes", quiet, at, run_id)
        if number:
            before = self._changed.get(name)
            if before is None or number >= ENOUGH:  # a large run is looked at by itself, small ones together
                before = _Changed(report.started_at, 0, run_id)
            self._changed[name] = _Changed(before.since, before.rows + number, run_id)

    def published(self) -> None:
        """A new snapshot is in place."""
        self._fresh = True

    def look(self) -> None:
        """Look at what changed in a new snapshot, unless that was done a moment ago. Raises DiskTrouble."""
        now = self._clock()
        waits = 0 <= now - self._looked_at < LOOKS
        if not self._fresh or not self._changed or waits or not self._snapshot().is_file():
            return
        self._looked_at, self._fresh = now, False
        at = datetime.fromtimestamp(now, UTC)
        silent = {one.connection for one in self._bulletin.standing("silent") if _is_field(one.what)}
        with published(self._snapshot()) as db:
            for name, number in filled.live(db, list(self._changed)).items():
                self._lives(name, number, at)
            held = filled.runs(db, [one.run_id for one in self._changed.values()])  # the others come with the next one
            there = {name: one for name, one in self._changed.items() if one.run_id in held}
            ripe = [name for name, one in there.items() if one.rows >= ENOUGH or name in silent]
            for name in ripe[:AT_ONCE]:  # those that wait longest
                waiting = self._changed.pop(name)
                self._fields(name, waiting, filled.filled(db, name, waiting.since.isoformat()), at)
        self._fresh = self._fresh or len(ripe) > AT_ONCE

    def keep(self, *, at_once: bool = False) -> None:
        """Write down what was learned, every few minutes. Raises DiskTrouble."""
        now = self._clock()
        if self._unkept and (at_once or not 0 <= now - self._kept_at < KEPT_EVERY):
            self._kept.keep_volumes({name: self._usual[name].text() for name in self._unkept & self._usual.keys()})
            self._unkept.clear()
            self._kept_at = now

    def _lives(self, name: str, number: int, at: datetime) -> None:
        usual = self._usual.setdefault(name, Usual())
        why = usual.is_shrunk(number, at.date())
        self._judge(name, "deals", why, at, None)
        if not why and usual.lives(number, at.date()):
            self._unkept.add(name)

    def _fields(self, name: str, waiting: _Changed, rows: Sequence[Filled], at: datetime) -> None:
        standing = {one.what for one in self._bulletin.standing("silent", name) if _is_field(one.what)}
        held = {what for what in standing if any(one.new and one.values.get(what[6:]) for one in rows)}
        for what in held:
            self._bulletin.over(name, ["silent"], at, what=what)
        for column, usual, number in silent_fields(rows):
            why = (
                f"{column} is empty in all {number} deals that changed last, and is filled in {usual:.0%} of such deals"
            )
            self._judge(name, f"field {column}", why, at, waiting.run_id, field=column)

    def _judge(self, name: str, what: str, why: str | None, at: datetime, run_id: str | None, **more: str) -> None:
        """Tell of a silence when it begins, and when it is over; one that goes on is only counted."""
        if not why:
            self._bulletin.over(name, ["silent"], at, what=what)
            return
        details = {"what": what.partition(" ")[0], **more}
        event = Event(
            event="silent", at=at, connection=name, text=f"{name}: {why}.", hint=HINT, run_id=run_id, details=details
        )
        self._bulletin.happened(event, what)


def silent_fields(rows: Sequence[Filled]) -> Iterator[tuple[str, float, int]]:
    """Columns that are empty in all new rows though by the rows before, of the same status, most should be filled.

    Each with the part that should be, and how many new rows there are.
    """
    new, old = [one for one in rows if one.new], {one.status: one for one in rows if not one.new}
    number = sum(one.rows for one in new)
    if number < ENOUGH or sum(one.rows for one in old.values()) < ENOUGH:
        return
    for column in new[0].values:
        if any(one.values[column] for one in new):
            continue
        expected = sum(
            one.rows * old[one.status].values[column] / old[one.status].rows for one in new if one.status in old
        )
        if expected * 2 > number:
            yield column, expected / number, number


def _is_field(what: str) -> bool:
    return what.startswith("field ")

"""What must hold after every run, whatever happened in it: every breach as a line of text."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from onepipe.report import ConnectionReport
from tests.simulation.chronicle import APART, Chronicle, State
from tests.simulation.world import World
from tests.truth.canonical import opportunities
from tests.truth.desk import Picture, Row
from tests.truth.ledger import chain, unlike

COMPLETED = ("tags", "custom", "lost_reason", "stage", "pipeline", "changed_fields", "valid_to", "children")


@dataclass
class Ran:
    """One run: what it reported (None: it crashed), and the warehouse and its books before and after it.

    `began` is when its first request was answered, by the CRM's clock; `date_skew` how far the Date it sends is ahead.
    `lied`: since the last sweep the CRM said something that nobody could know to be false, so it may have missed some.
    """

    report: ConnectionReport | None
    old: Picture
    new: Picture
    was: dict[str, Any]
    books: dict[str, Any]
    began: float
    date_skew: float = 0.0
    lied: bool = False


def breaches(world: World, chronicle: Chronicle, ran: Ran) -> Iterator[str]:
    """All of them."""
    yield from _report(ran)
    yield from _cursor(world, ran)
    yield from _kept(ran.old, ran.new)
    yield from _raw(ran.old, ran.new)
    for key, versions in ran.new.history.items():
        yield from (f"{key[1]}: {text}" for text in chain(ran.new.opportunities[key], versions))
    yield from _states(world, chronicle, ran)


def _report(ran: Ran) -> Iterator[str]:
    if ran.report is None:
        return
    error = ran.report.error
    if error is not None and error.kind in ("internal", "config", "lease"):
        yield f"the run ended as {error.kind}: {error.message}"
    if ran.report.status not in ("complete", "partial", "failed"):
        yield f"the run's status is {ran.report.status}"
    if (ran.report.status == "complete") != (error is None):
        yield f"{ran.report.status} with the error {error}"
    told = ran.report.resources.get("opportunity")
    new, fresh = told.counts.new if told else 0, len(ran.new.opportunities) - len(ran.old.opportunities)
    if error is not None and error.kind == "disk" and new < fresh:
        return  # committed, and then the file could not be closed: the report knows no better
    if new != fresh:
        yield f"{new} rows are reported as new, {fresh} were added"


def _cursor(world: World, ran: Ran) -> Iterator[str]:
    """The cursor never runs ahead of the server's clock at the beginning of the scan, and never goes back."""
    now, before = ran.books["complete_through"], ran.was["complete_through"]
    if before is not None and (now is None or now < before):
        yield f"the cursor went back from {before} to {now}"
    if now is not None and now != before and now > ran.began + max(0.0, ran.date_skew) + 0.001:
        yield f"the cursor stands at {now}, the run began at {ran.began} (its Date is {ran.date_skew} s ahead)"
    if ran.report is not None and ran.report.status == "complete" and now is None:
        yield "a complete run that covers nothing"


def _kept(old: Picture, new: Picture) -> Iterator[str]:
    """No row and no version is ever removed or rewritten, but for what a detail or a label that was owed completes."""
    yield from (f"{key[1]}: the row was removed" for key in old.opportunities.keys() - new.opportunities.keys())
    for key, before in old.history.items():
        versions = new.history.get(key, [])
        for one, other in zip(before, versions, strict=False):
            wrong = {name for name in one if name not in COMPLETED and one[name] != other[name]}
            if wrong:
                yield f"{key[1]}: version {one['version']} was rewritten in {sorted(wrong)}"


def _raw(old: Picture, new: Picture) -> Iterator[str]:
    """Raw is appended to, and holds no observation twice in a row."""
    if old.raw != new.raw[: len(old.raw)]:
        yield "raw.records was not appended to, but changed"
    seen: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for row in new.raw:
        seen.setdefault((row["resource"], row["record_id"]), []).append((row["kind"], row["payload_hash"]))
    for what, told in seen.items():
        if any(one == other for one, other in pairwise(told)):
            yield f"{what}: the same observation twice in a row in raw.records"


def _states(world: World, chronicle: Chronicle, ran: Ran) -> Iterator[str]:
    """Each row is a state that its record was really in, and new enough for what coverage claims, run or no run."""
    name = world.name
    through, swept = (None, None) if ran.lied else (ran.books["complete_through"], ran.books["last_sweep_at"])
    if through is not None:
        through -= max(0.0, ran.date_skew)
    if swept is not None:
        swept -= world.skew
    strangers = {key[1] for key in ran.new.opportunities} - chronicle.states.keys()
    yield from (f"{source_id}: nobody ever saw such a record" for source_id in strangers)
    for source_id, states in chronicle.states.items():
        key = (name, source_id)
        row, before = ran.new.opportunities.get(key), ran.old.opportunities.get(key)
        least = chronicle.required(source_id, through, swept)
        if row is None:
            owed = through is not None and chronicle.owed(source_id, through)
            if (
                least >= 0
                and not owed
                and all(state.row is not None and not _archived(state) for state in states[least:])
            ):
                yield f"{source_id}: missing, although all is loaded through {through}, swept {swept}"
            continue
        known = before is not None and before["is_deleted"]
        if row["is_deleted"] and not known and chronicle.was_there(source_id, ran.began):
            yield f"{source_id}: marked as deleted ({row['deleted_evidence']}), and was there all the time"
        apart = set(APART[name])
        if row["status"] is None and not ran.new.stages.get(name):
            apart.add("status")  # Capsule's stages tell it, whose list could not be read yet
        # Deleted, restored, and archived before any list showed it again: nobody could know.
        unseen = row["is_deleted"] and known and any(_archived(state) for state in states[max(0, least) :])
        if not unseen and all(differs(row, state, apart) for state in states[max(0, least) :]):
            wrong = min((differs(row, state, apart) for state in states[max(0, least) :]), key=len)
            yield f"{source_id}: is no state since {least} of {len(states)} (through {through}, swept {swept}): {wrong}"
        chronicle.shown[source_id] = max(least, chronicle.shown.get(source_id, -1))


def _archived(state: State) -> bool:
    return bool(state.row and state.row["is_archived"])


def differs(row: Row, state: State, apart: Collection[str]) -> list[str]:
    """In which columns a published row is not a state of its record; `apart` are columns that are not looked at."""
    if state.row is None or row["is_deleted"]:
        return [] if (state.row is None and row["is_deleted"]) else [f"is_deleted is {row['is_deleted']}"]
    told = {**state.row, **{column: row[column] for column in apart}}
    return unlike(row, told)


def final(world: World, picture: Picture) -> Iterator[str]:
    """The warehouse is exactly what the CRM holds: the same live records, the same values in every column."""
    truth = opportunities(world.crm)
    for source_id, told in truth.items():
        row = picture.opportunities.get((world.name, source_id))
        if (row is None or row["is_deleted"]) and world.name == "tactile" and told["is_archived"]:
            continue  # archived before any list showed it, or showed it again
        if row is None or row["is_deleted"]:
            yield f"{source_id}: {'missing' if row is None else 'marked as deleted'} at the end"
        else:
            yield from (f"{source_id}: {line}" for line in unlike(row, told))
    for key, row in picture.opportunities.items():
        if key[1] not in truth and not row["is_deleted"]:
            yield f"{key[1]}: still there at the end"


def changed(old: Picture, new: Picture) -> Iterator[str]:
    """A run over an unchanged CRM changes nothing."""
    for part in ("opportunities", "history", "raw", "problems", "stages"):
        if getattr(old, part) != getattr(new, part):
            yield f"a second run changed {part}"

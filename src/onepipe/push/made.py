"""Creating a record: sent once, and never again before it is proved that the first time made none."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from onepipe.control.stored import instant
from onepipe.edit import Asked
from onepipe.errors import OnepipeError, Rejected, SourceError, UsageError
from onepipe.merge import same, states, value_of
from onepipe.merge.words import MISSING
from onepipe.push.halting import Halted, halt_of, halted, patiently
from onepipe.push.items import begun
from onepipe.push.merging import Weighed
from onepipe.push.one import carry_out, unclear, verified
from onepipe.push.sending import carried, change_of, decided, named, requests
from onepipe.push.site import Site
from onepipe.push.theirs import stored
from onepipe.push.words import Done, Item
from onepipe.push.work import Withdrawn, Work, begin
from onepipe.records import Record
from onepipe.warehouse.canonical import seen_before

SKEW = timedelta(minutes=5)  # a CRM's clock may be so far from ours, and its list still holds what was made
TELLING = ("name", "company", "company_id", "contact", "contact_id", "contact_email", "contact_phone")
NOWHERE = "the answer was lost, and the CRM's list does not show it so far"


@dataclass(frozen=True, slots=True)
class Sighted:
    """Records that a lost request may have made: `fits` hold all that was sent, `near` share its name or its customer.

    Another hand, or a rule of the CRM's, may have changed it before it was looked for.
    """

    fits: list[str]
    near: list[str]

    @property
    def sure(self) -> str | None:
        """The one that it is."""
        return self.fits[0] if len(self.fits) == 1 else None

    @property
    def all(self) -> list[str]:
        """Those that a person has to look at, where none is sure."""
        return self.fits or self.near


def create(site: Site, wanted: Asked, planned: Item | None = None) -> Done:
    """Make one record, and write to it what its form cannot carry. Raises Halted, LeaseHeld."""
    weighed = decided(site, wanted, None)
    work = begin(site, weighed)
    if work is None:
        return unclear(begun(site, weighed))
    if planned is not None and set(planned.edits) != {edit.edit_id for edit in wanted.edits}:
        return work.settle("stale", "the edits of this record have changed since")
    if not weighed.merged.writes:
        return work.settle()
    try:
        return _sent(work)
    except Withdrawn:
        return work.settle("stale", "the edits of this record have changed since")


def finish(work: Work, record_id: str) -> Done:
    """The record is there: read it back, settle, and write what is still to be written to it."""
    done, rest = adopt(work, record_id)
    if not rest or not states.STATES[done.state].sound:
        return done
    followed = work.site.wanted(record_id)
    if followed is None:
        return done
    try:
        return joined(done, carry_out(work.site, followed))
    except Halted as halted:
        raise Halted(joined(done, halted.done), halted.halt) from halted
    except SourceError as error:  # the record is there; what it still lacks waits
        halt = halt_of(error, work.site.now())
        work.put(rest, halt.state if halt else "ready", error.message)
        done.state = states.worst(one.state for one in done.fields.values())
        done.message = f"the record was made; not written yet: {', '.join(rest)}: {error.message}"
        if halt is not None:
            raise Halted(done, halt) from error
        return done


def adopt(work: Work, record_id: str) -> tuple[Done, list[str]]:
    """The record is there: read it back, and settle; also what is still to be written to it."""
    names = list(work.weighed.merged.writes)
    change = change_of(work.site, work.weighed, names)
    first = carried(work.site.target, work.weighed, names, requests(work.site, work.weighed, change)[0])
    rest = [name for name in names if name not in first]
    return verified(work, record_id, first, source_id=record_id, wait_for=rest), rest


def made(site: Site, weighed: Weighed, sent_at: datetime) -> Sighted | None:
    """The records that may be the one whose answer was lost; None where this CRM cannot be asked.

    They were created since, and not known before. Raises every SourceError.
    """
    if not site.connector.can("created_since"):
        return None
    names = list(weighed.merged.writes)
    change = change_of(site, weighed, names)
    found = list(_listed(site, sent_at - SKEW, change))
    read = site.reader.read(site.target, [stored(one.id, one.payload, {}, site.now()) for one in found])
    ours = {push.source_id for push in site.outbox.of_connection(site.name)}
    with site.reader.alone() as db:
        known = seen_before(db, site.name, [one.id for one in found], sent_at)
    new = {
        one.id: _shared(site, weighed, names, record)
        for one, record in zip(found, read, strict=True)
        if one.id not in ours and one.id not in known and _in_time(site, record, sent_at)
    }
    derived = site.target.writes.derived if site.target.writes else ()
    fits = [key for key, shared in new.items() if all(one for name, one in shared.items() if name not in derived)]
    return Sighted(fits, [key for key, shared in new.items() if any(shared.get(name) for name in TELLING)])


def joined(first: Done, then: Done) -> Done:
    """One item of what a record's creation and the writes that followed it came to."""
    for name, one in then.fields.items():
        first.fields[name] = one
    first.state = states.worst([first.state, then.state])
    first.message = "; ".join(filter(None, (first.message, then.message)))
    return first


def _sent(work: Work) -> Done:
    site, names = work.site, list(work.weighed.merged.writes)
    try:
        [request] = requests(site, work.weighed, change_of(site, work.weighed, names))
    except UsageError as error:
        work.put(names, "refused", error.message)
        return work.settle()
    sent = patiently(work, request)
    if sent.error is not None and sent.error.unapplied:
        return _refused(work, sent.error)
    record_id = None
    if sent.answer is not None:
        with suppress(OnepipeError):
            record_id = site.connector.made(sent.answer)
    if record_id is not None:
        return finish(work, record_id)
    return look_for(work, site.now(), sent.error.message if sent.error else "the answer names no record")


def look_for(work: Work, sent_at: datetime, told: str) -> Done:
    """Look at once, and once more when the CRM's lists must show it, for a record whose answer was lost."""
    lag = work.site.target.writes.lag if work.site.target.writes else timedelta()
    for pause in (0.0, lag.total_seconds()):
        if pause:
            work.site.sleep(pause)
        try:
            found = made(work.site, work.weighed, sent_at)
        except SourceError:
            continue
        work.site.outbox.looked(work.push_id, {"found": found.all if found else None})
        if found is not None and found.sure:
            return finish(work, found.sure)
        if found is None or found.all:
            break
    work.put(list(work.weighed.merged.writes), "unknown", f"{NOWHERE}: {told}")
    return work.settle("unknown")


def _refused(work: Work, error: OnepipeError) -> Done:
    """The CRM made nothing: the words it has for single fields are told with them."""
    if isinstance(error, Rejected):
        told = named(work.site.target, error.words, work.done.fields)
        rest = [name for name in work.done.fields if name not in told]
        for name, words in told.items():
            work.put([name], "rejected", words)
        work.put(rest, "rejected", "" if told else _words(error.words, error.message))
        return work.settle()
    return halted(work, error)


def _words(words: Any, message: str) -> str:
    return "; ".join(f"{key} {text}".strip() for key, text in words.items()) or message


def _listed(site: Site, since: datetime, change: Any) -> Iterator[Record]:
    yield from site.connector.created_since(since, change)  # type: ignore[attr-defined]


def _shared(site: Site, weighed: Weighed, names: Sequence[str], record: dict[str, Any]) -> dict[str, bool]:
    """Of what was sent, as far as the list tells it: whether a record holds the same."""
    wanted = weighed.merged.writes
    told = {name: value_of(record, name) for name in names if name not in ("tags", "line_items")}
    return {
        name: same(name, wanted[name], held, site.target.habits)
        for name, held in told.items()
        if held is not MISSING and wanted[name] is not None
    }


def _in_time(site: Site, record: dict[str, Any], sent_at: datetime) -> bool:
    """Whether a record may be as old as the request; one whose time of creation is not told may be."""
    late = site.target.writes.late if site.target.writes else timedelta()
    created = record.get("created_at")
    return not isinstance(created, datetime) or sent_at - SKEW <= created.astimezone(UTC) <= sent_at + late + SKEW


def sent_at(site: Site, push_id: int) -> datetime:
    """When the last request of a push was sent."""
    attempts = site.outbox.attempts(push_id)
    return instant(attempts[-1].sent_at) if attempts else site.now()

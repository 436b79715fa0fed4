"""From what is decided to what is sent: canonical values to the CRM's own names, and the connector's requests."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from onepipe.compile import column_of, invert
from onepipe.connector import Change, Request
from onepipe.edit import Asked, Target, slot
from onepipe.edit.target import PARTNER
from onepipe.errors import UsageError
from onepipe.merge import CLEAR, Refused, steps, value
from onepipe.merge.units import groups
from onepipe.push.merging import Weighed, asked_of, weigh
from onepipe.push.site import Site
from onepipe.push.theirs import Theirs

MEMBERS = ("tags", "line_items")


def change_of(site: Site, weighed: Weighed, names: Iterable[str]) -> Change:
    """What these fields become in the CRM's own names. May read. Raises UsageError for what cannot be sent."""
    sent = {column: one for name in names for column, one in _columns(site, weighed, name).items()}
    items = sent.pop("line_items", None)
    change = invert(site.target.mapping, sent, also=site.target.places)
    if items is not None:
        change["line_items"] = steps(weighed.record.get("line_items") or [], items)
    return change


def carried(target: Target, weighed: Weighed, names: Iterable[str], request: Request) -> list[str]:
    """Those of these fields that a request is for."""
    return [name for name in names if _parts(target, weighed, name) <= set(request.carries)]


def requests(site: Site, weighed: Weighed, change: Change) -> list[Request]:
    """What would be sent, in order: of a new record the first request alone. May read. Raises UsageError."""
    asked, connector = weighed.asked, site.connector
    if asked.op == "create":
        return [connector.create(change)]  # type: ignore[attr-defined]
    if weighed.theirs is None:
        return []
    record_id, payload = asked.source_id, weighed.theirs.stored.payload.encode()
    if asked.op == "delete":
        return [connector.delete(record_id, payload)]  # type: ignore[attr-defined]
    made: list[Request] = connector.update(record_id, payload, change)  # type: ignore[attr-defined]
    return made


def apart(site: Site, weighed: Weighed, names: Iterable[str], reason: str) -> dict[str, str]:
    """Of fields that could not be sent together, for this `reason`: those that cannot be sent alone, and why. May read.

    What is decided as one is tried as one. All of them, where each alone could be sent.
    """
    against, every = dict[str, str](), list(names)
    for unit in groups(every) if weighed.asked.op == "update" else ():
        try:
            requests(site, weighed, change_of(site, weighed, unit))
        except UsageError as error:
            against |= dict.fromkeys(unit, error.message)
    return against or dict.fromkeys(every, reason)


def named(target: Target, words: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The CRM's words of refusal, by those of our fields that they are about."""
    found: dict[str, str] = {}
    for word, told in words.items():
        column = column_of(target.mapping, word, target.places)
        for name in names:
            if column is not None and column in (name, PARTNER.get(name), slot(name)):
                found[name] = told
    return found


def _columns(site: Site, weighed: Weighed, name: str) -> dict[str, Any]:
    """The value of one field under the column that is written."""
    writes = site.target.writes
    if name in MEMBERS:
        return {name: weighed.merged.writes.get(name) or []}
    found = dict(weighed.meant[name].sent)
    chosen = writes.by_id if writes else frozenset()
    text = asked_of(weighed.asked, name).value
    return {column: _id_of(site, column, text) if column in chosen and one is not None else one
            for column, one in found.items()}  # fmt: skip


def decided(site: Site, asked: Asked, theirs: Theirs | None) -> Weighed:
    """One record's edits, decided; what is chosen from a list by the CRM's id is compared by its label."""
    chosen = site.target.writes.by_id if site.target.writes else frozenset()
    given = {name: one for name, one in asked.ours.items() if name in chosen and one is not CLEAR}
    ours = {**asked.ours, **{name: _label_of(site, name, one) for name, one in given.items()}}
    return weigh(site.target, replace(asked, ours=ours), theirs, site.policy)


def _options(site: Site, column: str) -> list[tuple[str, str]]:
    """Id and label of what a column can hold: as the CRM tells it, else as its deals do."""
    told = site.connector.choices(column)
    return list(site.target.pairs.get(column, ())) if told is None else told


def _label_of(site: Site, column: str, wanted: Any) -> Any:
    found = value.choose(str(wanted), _options(site, column), "either")
    return wanted if isinstance(found, Refused) else found[1]


def _id_of(site: Site, column: str, wanted: Any) -> Any:
    """The CRM's id of what people gave as its label or its id. Raises UsageError for a label that is not there."""
    found = value.choose(str(wanted), _options(site, column), "either")
    if not isinstance(found, Refused):
        return found[0]
    if str(wanted).isdigit() and site.connector.choices(column) is None:  # no list to hold it against
        return wanted
    raise UsageError(f"{column} {found.reason}; or give the CRM's id")


def _parts(target: Target, weighed: Weighed, name: str) -> set[str]:
    """The parts of a change that a field becomes, by their first names."""
    if name == "line_items":
        return {name}
    sent = {name: []} if name == "tags" else dict(weighed.meant[name].sent)
    return set(invert(target.mapping, sent, also=target.places))

"""Why a deal is not as it was frozen, in words: what was learned since, or read otherwise, when and by whom."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onepipe.reports.numbers import listed, minute

Row = dict[str, Any]
REASONS = {
    "mapping": "read by another mapping now",
    "stages": "stages.csv decides otherwise",
    "people": "people.csv decides otherwise",
    "currency": "config.yaml names another currency",
    "reread": "read again otherwise",
    "first_seen": "first seen after it was frozen",
    "changed": "changed in the CRM, seen after it was frozen",
    "pushed": "written by us, seen after it was frozen",
    "deleted": "deleted in the CRM, seen after it was frozen",
    "connection": "connection retired, or in use again",
    "rate": "rates.csv has another rate for that day",
}
_EVIDENCE = {
    "tombstone": "the CRM lists it as deleted",
    "gone": "the CRM says that it does not exist",
    "absent": "no way of asking finds it",
}
_RE_READ = ("mapping", "stages", "people", "currency", "reread")


def why(deal: Row, kept: Row) -> list[str]:
    """The reasons of one deal, in the order in which they came; never empty."""
    found = [text for step in _telling(deal) for text in [_told(step, deal, kept)] if text]
    return list(dict.fromkeys(found)) or [_told({"reason": "reread"}, deal, kept)]


def kinds(deal: Row) -> list[str]:
    """The keys of REASONS that a deal differs for."""
    return list(dict.fromkeys(step["reason"] for step in _telling(deal))) or ["reread"]


def _telling(deal: Row) -> Iterator[Row]:
    """The steps that made a difference: in what it is worth, or in a field that no later version explains."""
    way: Sequence[Row] = deal["way"]
    fields = {change["field"] for change in deal["changes"]}
    later = {name for step in way for name in step["changed_fields"] or () if step["reason"] not in _RE_READ}
    for before, step in zip([None, *way], way, strict=False):
        if step["reason"] == "frozen":
            continue
        moved = _worth(before) != _worth(step)
        if step["reason"] in _RE_READ:
            if moved or fields - later:
                yield step
        elif step["reason"] == "connection":
            if moved:
                yield step
        elif (
            moved
            or not fields
            or fields & set(step["changed_fields"] or ())
            or step["reason"] in ("first_seen", "deleted")
        ):
            yield step


def _worth(step: Row | None) -> tuple[Any, Any, Any]:
    if step is None or not step["inside"]:
        return False, None, None
    return True, step["amount"], step["currency"]


def _told(step: Mapping[str, Any], deal: Row, kept: Row) -> str:
    reason = step["reason"]
    if reason == "mapping":
        then = kept["mappings"].get(deal["connection"])
        versions = f" ({step['mapping_version']} instead of {then})" if step.get("mapping_version") and then else ""
        return f"read by another mapping now{versions}"
    if reason in ("changed", "pushed"):
        return _changed(step)
    if reason == "first_seen":
        return (
            f"first seen on {minute(step['recorded_at'])} UTC, after it was frozen; so in the CRM since {_since(step)}"
        )
    if reason == "deleted":
        evidence = _EVIDENCE.get(step["deleted_evidence"] or "", "")
        since = minute(step["deleted_at"] or step["valid_from"])
        found = f"found on {minute(step['recorded_at'])} UTC, after it was frozen"
        return f"deleted in the CRM on {since} UTC{f' ({evidence})' if evidence else ''}, {found}"
    if reason == "connection":
        state = "in use again" if step["inside"] else "retired: it is not in config.yaml any more"
        return f"{deal['connection']} is {state}"
    return REASONS[reason]


def _changed(step: Mapping[str, Any]) -> str:
    """`changed in the CRM on ... (amount), seen on ..., after it was frozen`."""
    named = [name for name in step["changed_fields"] or () if name not in ("updated_at", "extra")]
    fields = f" ({listed(named, 8)})" if named else ""
    seen = f"seen on {minute(step['recorded_at'])} UTC, after it was frozen"
    if step["reason"] == "changed":
        return f"changed in the CRM on {_since(step)}{fields}, {seen}"
    wanted = ": ".join(filter(None, (step["actor"], step["wanted"])))
    return f"written by us on {_since(step)}{fields}{f' for {wanted}' if wanted else ''}, {seen}"


def _since(step: Mapping[str, Any]) -> str:
    return f"{minute(step['valid_from'])} UTC"

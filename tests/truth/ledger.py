"""What one run may do to the warehouse, whatever it had to do: every breach of that as a line of text."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from onepipe.report import RunReport
from tests.truth.canonical import COLUMNS, KNOWN_STATUS
from tests.truth.desk import Desk, Key, Picture, Row

# What sub-requests tell is read one kind after the other: what two of them find changed may be two versions.
TOLD_APART = {"tags", "custom", "notes", "contacts", "line_items", "lost_reason"}
TICK = timedelta(microseconds=1)
VERSION = ("valid_from", "valid_to", "recorded_at", "version", "changed_fields", "change_origin", "children")


def unlike(row: Row, truth: Row) -> list[str]:
    """The columns in which a published row is not what the CRM's record says."""
    plain = [
        f"{name}: {truth[name]!r} became {row[name]!r}"
        for name in COLUMNS
        if name != "extra" and not same(truth[name], row[name])
    ]
    expected, found = as_digits(truth["extra"]), as_digits(row["extra"])
    keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    return plain + [f"extra.{key}: {expected.get(key)!r} became {found.get(key)!r}" for key in keys]


Rows = Mapping[Key, list[Row]]


def unlike_lists(name: str, truth: Rows, held: Rows, key: Key) -> list[str]:
    """Where the rows of a table of children are not what the CRM's record says."""
    told, found = truth.get(key, []), held.get(key, [])
    if [sorted(one.items()) for one in told] == [sorted(one.items()) for one in found]:
        return []
    return [f"{name}: {told!r} became {found!r}"]


def same(expected: Any, found: Any) -> bool:
    """Equal in value and in type."""
    return bool(expected == found) and type(expected) is type(found)


def as_digits(extra: Row) -> Row:
    """`extra` without what drifts by itself; a long number and the text of its digits count as the same."""
    told = {key: value for key, value in extra.items() if key != "age"}
    return {key: digits(value) for key, value in told.items()}


def digits(value: Any) -> Any:
    """A number, or the text of one with more digits than a double carries, as a Decimal."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9.]{16,}", value):
        return Decimal(value)
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def breaches(desk: Desk, old: Picture, new: Picture, report: RunReport) -> Iterator[str]:
    """Everything in which the step from `old` to `new`, made by one run, was not as it must be."""
    yield from (f"{key}: a row was removed" for key in old.opportunities.keys() - new.opportunities.keys())
    if old.raw != new.raw[: len(old.raw)]:
        yield "raw.records was not appended to, but changed"
    yield from (f"{row}: a problem was rewritten" for row in old.problems if row not in new.problems)
    told = {(row["connection"], row["record_id"]): row for row in new.raw_of(report.run_id) if is_observation(row)}
    for key, row in new.opportunities.items():
        before, versions = old.history.get(key, []), new.history[key]
        yield from (f"{key}: {text}" for text in chain(row, versions))
        yield from (f"{key}: {text}" for text in kept(before, versions))
        added = versions[len(before) :]
        if not added:
            if key in old.opportunities and old.opportunities[key] != row:
                yield f"{key}: changed without a version: {difference(old.opportunities[key], row)}"
        else:
            later = {name for row in added[1:] for name in row["changed_fields"]}
            if not later <= TOLD_APART or not all(row["changed_fields"] for row in added[1:]):
                yield f"{key}: {len(added)} versions in one run, which changed {later}"
            for one, other in zip([before[-1] if before else None, *added], added, strict=False):
                yield from (f"{key}: {text}" for text in added_right(desk, key, one, other))
            if key in told and told[key]["payload_hash"] != row["payload_hash"]:
                yield f"{key}: read from {row['payload_hash']}, not from what was just stored"
    changed = {key for key, versions in new.history.items() if len(versions) > len(old.history.get(key, []))}
    yield from (f"{key}: observed in raw.records, but no version came of it" for key in told.keys() - changed)


def is_observation(raw: Row) -> bool:
    """Whether a raw row is of an opportunity, not of a reference list or a detail."""
    return bool(raw["resource"] == "opportunity")


def chain(row: Row, versions: list[Row]) -> Iterator[str]:
    """The versions of one key: numbered without gaps, back to back, the last one open and equal to the row."""
    if [version["version"] for version in versions] != list(range(1, len(versions) + 1)):
        yield f"versions are numbered {[version['version'] for version in versions]}"
    for one, other in pairwise(versions):
        if one["valid_to"] != other["valid_from"] or one["valid_from"] >= other["valid_from"]:
            yield f"{one['valid_from']}..{one['valid_to']} is followed by {other['valid_from']}"
        if one["recorded_at"] > other["recorded_at"] or one["first_seen_at"] != other["first_seen_at"]:
            yield f"version {other['version']} was recorded before its predecessor, or first seen at another time"
    if versions[-1]["valid_to"] is not None or any(one["valid_to"] is None for one in versions[:-1]):
        yield "not exactly the last version is open"
    if {name: value for name, value in versions[-1].items() if name not in VERSION} != row:
        yield f"the row is not its last version: {difference(versions[-1], row)}"


def kept(before: list[Row], versions: list[Row]) -> Iterator[str]:
    """What was written of a record stays as it was, but for the end of the version that was current."""
    for one, other in zip(before, versions, strict=False):
        end = one["valid_to"] if one["valid_to"] is not None else other["valid_to"]
        if {**one, "valid_to": end} != other:
            yield f"version {one['version']} was rewritten: {difference(one, other)}"


def added_right(desk: Desk, key: Key, before: Row | None, row: Row) -> Iterator[str]:
    """The one version that a run added to a record."""
    if not desk.started <= row["recorded_at"] <= desk.finished:
        yield f"recorded at {row['recorded_at']}, outside of the run"
    if row["last_changed_at"] != row["recorded_at"]:
        yield f"last_changed_at {row['last_changed_at']} is not when it was fetched"
    if row["first_seen_at"] != (before["first_seen_at"] if before else row["recorded_at"]):
        yield f"first_seen_at is {row['first_seen_at']}"
    wanted = begins(before, row)
    if row["valid_from"] != wanted:
        yield f"valid_from is {row['valid_from']}, not {wanted}"
    fields = changed(before, row)
    if sorted(row["changed_fields"]) != sorted(fields):
        yield f"changed_fields is {row['changed_fields']}, not {fields}"
    origin = "deletion" if row["is_deleted"] else "source"
    if row["change_origin"] != origin:
        yield f"change_origin is {row['change_origin']}, not {origin}"
    gone = (row["deleted_at"], row["deleted_evidence"])
    if (None in gone) if row["is_deleted"] else (gone != (None, None)):
        yield f"is_deleted is {row['is_deleted']} with {gone}"
    closed = closing(desk, key, before, row)
    if (row["closed_on"], row["closed_on_evidence"]) != closed:
        yield f"closed_on is {row['closed_on']} ({row['closed_on_evidence']}), not {closed}"


def begins(before: Row | None, row: Row) -> datetime:
    """valid_from: the CRM's own time of the change, within what we saw."""
    told = row["updated_at"] if before is None or before["updated_at"] != row["updated_at"] else None
    if row["is_deleted"]:
        told = row["deleted_at"]
    wanted: datetime = min(told or row["recorded_at"], row["recorded_at"])
    return wanted if before is None else max(wanted, before["valid_from"] + TICK)


def changed(before: Row | None, row: Row) -> list[str]:
    """The mapped columns, the lists of children, and is_deleted, that differ from the version before."""
    if before is None:
        return []
    plain = [name for name in (*COLUMNS, "is_deleted") if name != "extra" and before[name] != row[name]]
    plain += [name for name, told in before["children"].items() if told != row["children"][name]]
    return plain + ["extra"] * (as_digits(before["extra"]) != as_digits(row["extra"]))


def closing(desk: Desk, key: Key, before: Row | None, row: Row) -> tuple[date | None, str | None]:
    """The day a deal closed, and how we know."""
    zone = ZoneInfo(desk.zone)
    if row["status"] == "open":
        return None, None
    if row["is_deleted"] and before:
        return before["closed_on"], before["closed_on_evidence"]
    own = desk.own_closing_day(key)
    if own is not None:
        return own, "crm"
    if row["status"] is None:
        return None, None
    if before is None:
        at = row["updated_at"]
        return (at.astimezone(zone).date(), "first_seen") if at else (None, None)
    if before["status"] in KNOWN_STATUS:
        return before["closed_on"], before["closed_on_evidence"]
    return row["recorded_at"].astimezone(zone).date(), "observed"


def difference(one: Row, other: Row) -> dict[str, tuple[Any, Any]]:
    """The columns both have in which two rows differ."""
    return {name: (value, other[name]) for name, value in one.items() if name in other and other[name] != value}

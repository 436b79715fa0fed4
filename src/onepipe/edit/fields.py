"""One field of one edit: whether it can be written at all, and what its text means to this CRM."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from onepipe.compile.invert import invert
from onepipe.edit.target import PARTNER, Target, slot
from onepipe.errors import UsageError
from onepipe.merge import MISSING, Refused, fit, value, value_of

_MANY = 20  # names that are listed where one is not among them
_NEVER_EMPTY = ("name", "stage", "status", "pipeline", "is_archived")


@dataclass(frozen=True, slots=True)
class Meant:
    """What an edit means. `value` is canonical, None empties; `sent` holds it under the column that is written, as far
    as that is known without asking the CRM; `note` says what was done to it."""

    value: Any
    sent: Mapping[str, Any]
    note: str = ""


def not_written(target: Target, field: str, new: bool) -> str:
    """Why a field of this connection cannot be edited; empty where it can."""
    if reason := value.not_editable(field):
        return reason
    if target.writes is None:
        return f"cannot be written: the connector {target.connection.connector} only reads"
    for name in (field, PARTNER.get(field, field)):
        if not target.connection.write.allows(name):
            return f"may not be written: config.yaml says `{name}: {{write: false}}`"
    column = target.written(field)
    if column is None:
        return _no_way(target, field)
    if not new and {field, column} & target.writes.new_only:
        return "can be given for a new record only"
    return ""


def cleared(target: Target, field: str) -> Meant | Refused:
    """What emptying a field means."""
    required = {one for names in (target.writes.required if target.writes else ()) for one in _each(names)}
    if slot(field) in _NEVER_EMPTY or {field, PARTNER.get(field)} & required:
        return Refused("cannot be empty")
    empty: Any = [] if field in ("tags", "line_items") else None
    return Meant(empty, {target.written(field) or field: empty})


def meant(target: Target, field: str, text: str, record: Mapping[str, Any]) -> Meant | Refused:
    """What a text means for a field; value MISSING for an empty one, which changes nothing.

    `record` is what is known of the record otherwise: a stage is one of its pipeline.
    """
    read = value.read(field, text)
    if isinstance(read, Refused):
        return read
    if read.value is MISSING:
        return Meant(MISSING, {})
    made, note = read.value, ""
    if isinstance(made, Decimal) and "." not in field:
        fitted = fit(field, made, target.habits.scales.get(field))
        if isinstance(fitted, Refused):
            return fitted
        made, note = fitted.value, fitted.note
    sent = _sent(target, field, made, record)
    if isinstance(sent, Refused):
        return sent
    if target.customs and field.startswith("custom."):
        seen = _custom_seen(target.customs, field.partition(".")[2])
        if isinstance(seen, Refused):
            return seen
        note = seen
    refused = _cannot_be_sent(target, sent)
    return refused or Meant(made, sent, note)


def _custom_seen(customs: Iterable[str], key: str) -> str | Refused:
    """What is to be said of a custom field's name: nothing, that no deal has it, or that it stands for several."""
    twins = sorted(one for one in customs if re.fullmatch(re.escape(key) + r" \(.+\)", one))
    if len(twins) > 1:
        return Refused(f"{key!r} is the name of several custom fields: give one of {', '.join(twins)}")
    if key in customs:
        return ""
    near = "".join(f" (did you mean {one!r}?)" for one in get_close_matches(key, list(customs), 1))
    return f"no deal has a custom field of this name so far{near}; the plan asks the CRM"


def missing(target: Target, given: Iterable[str]) -> list[str]:
    """What a new record lacks: the fields its CRM wants and nobody gave, an id standing for its label."""
    there = {slot(field) for field in given}
    wanted = target.writes.required if target.writes else ()
    return [
        " or ".join(told for one in _each(names) for told in _either(target, one))
        for names in wanted
        if not {slot(one) for one in _each(names)} & there
    ]


def at_odds(record: Mapping[str, Any], field: str, fields: Iterable[str]) -> str:
    """Why a price cannot be edited like this: a deal is priced as a whole, or by the period; empty where it can."""
    if field == "amount" and record.get("unit_amount") not in (None, MISSING):
        return "is unit_amount x periods in this deal: edit one of them"
    if field in ("unit_amount", "periods") and record.get("period") in (None, MISSING) and "period" not in fields:
        return "belongs to a price by the period, and this deal has one for the whole: edit amount, or give period, too"
    return ""


def _either(target: Target, field: str) -> list[str]:
    """A field that is wanted, and its label where that can be given instead."""
    label = slot(field)
    chosen = label == "stage" or bool(target.pairs.get(label)) or target.written(label) == label
    return [label, field] if label != field and chosen else [field]


def _sent(target: Target, field: str, made: Any, record: Mapping[str, Any]) -> dict[str, Any] | Refused:
    """The value under the column that is written: of an id and its label the CRM takes one, or either."""
    column = target.written(field) or field
    if slot(field) == "stage":
        return _stage(target, field, column, str(made), record)
    if column == field:
        return _in_vain(target, field, made) or {field: made}
    found = value.choose(str(made), _known(target, slot(field)), value.given(field))
    if isinstance(found, Refused):
        known = found.reason if len(_known(target, slot(field))) <= _MANY else found.reason.partition("; there are:")[0]
        return Refused(f"{known}; or give {column}")
    return {column: found[0 if column != slot(field) else 1]}


def _in_vain(target: Target, field: str, made: Any) -> Refused | None:
    """Why a label cannot be sent by its id: no deal has it, and this CRM tells of no others."""
    if not target.writes or field not in target.writes.by_id or target.tells or str(made).isdigit():
        return None
    found = value.choose(str(made), target.pairs.get(field, ()), "either")
    return Refused(f"{found.reason}; or give the CRM's id") if isinstance(found, Refused) else None


def _known(target: Target, label: str) -> list[tuple[str, str]]:
    """The ids and labels that are known of a pipeline, an owner, a company or a contact."""
    listed = [(one["pipeline_id"], one["pipeline"]) for one in target.stages] if label == "pipeline" else []
    return [(id_, name) for id_, name in listed if id_ and name] + list(target.pairs.get(label, ()))


def _stage(target: Target, field: str, column: str, made: str, record: Mapping[str, Any]) -> dict[str, Any] | Refused:
    """A stage that is one of the record's pipeline, where the CRM lists them."""
    if not target.listed and column == field:
        return {field: made}
    if not target.stages and field.endswith("_id"):
        return {field: made}
    pipeline = _pipeline(target, record)
    there = [one for one in target.stages if pipeline in (None, one["pipeline_id"])]
    options = [(one["stage_id"] or "", one["stage"] or "") for one in there]
    found = value.choose(made, options, value.given(field))
    if isinstance(found, Refused):
        return Refused(f"{found.reason}" + (f" (in pipeline {pipeline})" if pipeline else ""))
    return {column: found[0 if column.endswith("_id") else 1]}


def _pipeline(target: Target, record: Mapping[str, Any]) -> str | None:
    """The id of the pipeline a record is, or will be, in; None where it has none."""
    given = value_of(record, "pipeline_id")
    if isinstance(given, str):
        return given
    label = value_of(record, "pipeline")
    return next((id_ for id_, name in _known(target, "pipeline") if name == label), None)


def _cannot_be_sent(target: Target, sent: Mapping[str, Any]) -> Refused | None:
    plain = {name: one for name, one in sent.items() if name != "line_items"}
    try:
        invert(target.mapping, plain, also=target.places)
        if target.writes and target.writes.items:
            for row in sent.get("line_items", []):
                target.writes.items.native({k: v for k, v in row.items() if k not in ("item_id", "position")})
    except UsageError as error:
        return Refused(error.message)
    return None


def _no_way(target: Target, field: str) -> str:
    whole, _, key = field.partition(".")
    if whole == "extra" and key:
        known = sorted(name for name in target.places if name.startswith("extra."))
        told = f"those that can are {', '.join(known)}" if known else "no field without a column can"
        return f"cannot be written to this CRM; {told}"
    if field == "line_items":
        return "cannot be written to this CRM"
    partner = PARTNER.get(field)
    if field not in target.mapping.fields and partner not in target.mapping.fields and whole != "custom":
        return "is nothing this CRM has"
    if target.writes and field in target.writes.derived:
        return "cannot be written: the CRM sets it itself, by the stage or other fields"
    return f"cannot be written: the mapping of {target.connection.connector} has no way back for it"


def _each(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names

"""What each simulated CRM's records are as canonical rows, worked out in plain Python from what the columns mean.

It shares nothing with the mappings: no YAML, no SQL, no transform. Amounts are Decimal, dates are date, instants are
aware datetimes in UTC. `opportunities` is what a reader of the CRM's own screens would write down.
"""

import json
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from onepipe.sandbox.crm import Crm
from onepipe.sandbox.wire import dump
from tests.truth.crms import READERS, capsule_custom
from tests.truth.values import Row, day, instant

COLUMNS = (
    *("name", "description", "amount", "currency", "unit_amount", "period", "periods", "pipeline_id", "pipeline"),
    *("stage_id", "stage", "status", "probability", "expected_close_date", "closed_at", "owner_id", "owner"),
    *("company_id", "company", "contact_id", "contact", "contact_email", "contact_phone", "lead_source", "type"),
    *("lost_reason", "url", "tags", "created_at", "updated_at", "custom", "extra", "is_archived"),
)
NOTHING: Row = {**dict.fromkeys(COLUMNS), "is_archived": False}
KNOWN_STATUS = ("won", "lost", "abandoned")  # a deal whose status is not known is not said to be closed


def opportunities(crm: Crm, currency: str | None = None, details: bool = True) -> dict[str, Row]:
    """Every record the CRM holds now, by its id as text. `currency` is the connection's key, `details` its setting."""
    rows = {}
    for key in crm.records:
        record = sent(crm, key)
        row = {**NOTHING, **READERS[crm.name](record, crm, details)}
        row["currency"] = row["currency"] or (currency.upper() if currency else None)
        rows[str(key)] = row
    return rows


def sent(crm: Crm, key: Any) -> Row:
    """A record as it goes over the wire: JSON values with exact numbers; Capsule's are all texts."""
    return dict(json.loads(dump(crm.records[key]), parse_float=Decimal))


def content(crm: Crm) -> dict[str, str]:
    """What counts as the content of each record: everything sent but what drifts by itself, and its sub-requests."""
    held = {}
    for key in crm.records:
        record = sent(crm, key)
        record.pop("age" if crm.name == "administrate" else "", None)
        held[str(key)] = dump([record, details_of(crm, key)]).decode()
    return held


def details_of(crm: Any, key: Any) -> list[Any]:
    """What the sub-requests that a mapping reads would answer."""
    if crm.name == "capsule":
        return [crm.tags.get(key, []), capsule_custom(crm, key)]
    if crm.name == "overplane":
        return [one["lost_reason"] for one in crm.children["opportunity-lost-reason-detail"].get(key, [])]
    return []


def own_closing_day(crm: Crm, key: Any, zone: ZoneInfo) -> date | None:
    """The day the CRM itself says a deal closed: a calendar date as it is, an instant in the reporting zone."""
    record = sent(crm, key)
    if crm.name == "capsule":
        return day(record.get("actualCloseDate"))
    if crm.name == "onautomate" and record["status"] != "open":
        at = instant(record["lastStatusChangeAt"])
        return at.astimezone(zone).date() if at else None
    return None

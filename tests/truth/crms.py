"""One record of each simulated CRM as a canonical row, in plain Python; columns it has nothing for are left out."""

import html
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from onepipe.sandbox import tactile_values
from onepipe.sandbox.tactile import STATUSES
from tests.truth.values import Row, day, instant, left_over, money, of, percent, text, verbatim


def administrate(record: Row, crm: Any, details: bool) -> Row:
    """value is computed by the CRM; an embedded step carries no probability of its own."""
    company, contact, user, step = (record[name] for name in ("company", "contact", "user", "step"))
    read = {"id", "name", "value", "closing_date", "created_at", "updated_at", "attributes", "currency.id"}
    read |= {f"{one}.{part}" for one in ("step", "user", "company", "contact") for part in ("id", "name")}
    return {
        "name": verbatim(record["name"]),
        "amount": money(record["value"]),
        "currency": text(of(record["currency"], "id")),
        "stage_id": text(of(step, "id")),
        "stage": text(of(step, "name")),
        "status": {"Open": "open", "Won": "won", "Lost": "lost"}.get(step["stage"]["status"]),
        "probability": percent(of(step, "probability")),
        "expected_close_date": day(record["closing_date"]),
        "owner_id": text(of(user, "id")),
        "owner": text(of(user, "name")),
        "company_id": text(of(company, "id")),
        "company": text(of(company, "name")),
        "contact_id": text(of(contact, "id")),
        "contact": text(of(contact, "name")),
        "lead_source": text(of(record["source_type"], "name")),
        "created_at": instant(record["created_at"]),
        "updated_at": instant(record["updated_at"]),
        "custom": record["attributes"],
        "extra": left_over(record, read | {"source_type.name"}),
    }


def tactile(record: Row, crm: Any, details: bool) -> Row:
    """Looked-up names may be HTML-escaped; statuses are names whose ids only /options tells, where it tells."""
    status = unescaped(record["status"])
    ids = {name: str(key) for key, name in STATUSES.items()} if crm.options.options_filled else {}
    owner = text(of(record, "assigned_to")) or text(record["owner"])
    owner = owner.partition("//")[0] if owner else None
    read = {"id", "name", "description", "cost", "status", "probability", "enddate", "assigned_to", "owner", "type"}
    read |= {"organisation_id", "organisation", "person_id", "person", "source", "created", "lastupdated", "archived"}
    return {
        "name": verbatim(record["name"]),
        "description": verbatim(record["description"]),
        "amount": money(record["cost"]),
        "stage_id": ids.get(status or ""),
        "stage": status,
        "status": {"Won": "won", "Lost": "lost", None: None}.get(status, "open"),
        "probability": percent(record["probability"]),
        "expected_close_date": day(record["enddate"]),
        "owner_id": owner,
        "owner": owner,
        "company_id": text(record["organisation_id"]),
        "company": text(record["organisation"]),
        "contact_id": text(record["person_id"]),
        "contact": text(record["person"]),
        "lead_source": unescaped(record["source"]),
        "type": unescaped(record["type"]),
        "url": f"{crm.url}/opportunities/view/{record['id']}",
        "tags": sorted(set(record["tags"])) if "tags" in record else None,
        "created_at": instant(record["created"]),
        "updated_at": instant(record["lastupdated"]),
        "custom": {one["name"]: tactile_value(one) for one in record["custom_values"]}
        if "custom_values" in record
        else None,
        "extra": left_over(record, read),
        "is_archived": record["archived"],
    }


def unescaped(value: str | None) -> str | None:
    """A looked-up name without its HTML entities."""
    return text(html.unescape(value)) if value else None


def tactile_value(one: Row) -> Any:
    """A custom value of a select field: its option's label."""
    assert one["type"] == "s", "the simulated account has select fields only"
    field: Row = tactile_values.FIELD
    return field["options"][one["option"]]["value"]


def capsule(record: Row, crm: Any, details: bool) -> Row:
    """`value` is the price of one `durationBasis`, unless that is FIXED; empty elements are not sent."""
    key, get = int(record["id"]), record.get
    stage = crm.milestones[crm.rows[key]["milestoneId"]]
    fixed = get("durationBasis", "FIXED") == "FIXED"
    value, periods = money(get("value")), money(get("duration"))
    total = None if value is None or periods is None else money(value * periods)
    won = {100: "won", 0: "lost"}.get(stage["probability"]) if stage["complete"] else "open"
    read = {"id", "name", "description", "partyId", "currency", "value", "durationBasis", "duration", "milestone"}
    read |= {"expectedCloseDate", "actualCloseDate", "milestoneId", "probability", "owner", "createdOn", "updatedOn"}
    return {
        "name": verbatim(get("name")),
        "description": verbatim(get("description")),
        "amount": value if fixed else total,
        "currency": text(get("currency")),
        "unit_amount": None if fixed else value,
        "period": None if fixed else record["durationBasis"].lower(),
        "periods": None if fixed else periods,
        "stage_id": text(get("milestoneId")),
        "stage": text(get("milestone")),
        "status": won,
        "probability": percent(get("probability")),
        "expected_close_date": day(get("expectedCloseDate")),
        "closed_at": instant(get("actualCloseDate")),
        "owner_id": text(get("owner")),
        "owner": text(get("owner")),
        "company_id": text(get("partyId")),
        "url": f"{crm.url}/opportunity/{key}",
        "tags": sorted(set(crm.tags.get(key, []))) if details else None,
        "created_at": instant(get("createdOn")),
        "updated_at": instant(get("updatedOn")),
        "custom": capsule_custom(crm, key) if details else None,
        "extra": left_over(record, read),
    }


def capsule_custom(crm: Any, key: int) -> Row:
    """By label; one that stands twice with its data tag in brackets. An unticked box is not sent."""
    fields = [one for one in crm.fields.get(key, {}).values() if one.get("boolean") != "false"]
    labels = [one["label"] for one in fields]
    return {
        f"{one['label']} ({one['tag']})" if labels.count(one["label"]) > 1 else one["label"]: capsule_value(one)
        for one in fields
    }


def capsule_value(one: Row) -> Any:
    """A text, a calendar date, a ticked box, or a number."""
    if "date" in one:
        return str(day(one["date"]))
    if "boolean" in one:
        return True
    return json.loads(one["number"], parse_float=Decimal) if "number" in one else one["text"]


def onautomate(record: Row, crm: Any, details: bool) -> Row:
    """Pipelines and stages are looked up; a lookup that finds nothing leaves the label NULL and the id as it is."""
    pipeline = crm.pipelines.get(record["pipelineId"], {"name": None, "stages": []})
    stages = {one["id"]: one["name"] for one in pipeline["stages"]}
    contact = record["contact"]
    read = {"id", "name", "monetaryValue", "pipelineId", "pipelineStageId", "assignedTo", "status", "source"}
    read |= {"lastStatusChangeAt", "createdAt", "updatedAt", "contact.id", "contact.name"}
    return {
        "name": verbatim(record["name"]),
        "amount": money(record["monetaryValue"]),
        "pipeline_id": text(record["pipelineId"]),
        "pipeline": text(pipeline["name"]),
        "stage_id": text(record["pipelineStageId"]),
        "stage": text(stages.get(record["pipelineStageId"])),
        "status": text(record["status"]),
        "closed_at": None if record["status"] == "open" else instant(record["lastStatusChangeAt"]),
        "owner_id": text(record["assignedTo"]),
        "company": text(contact["companyName"]),
        "contact_id": text(contact["id"]),
        "contact": text(contact["name"]),
        "contact_email": text(contact["email"]),
        "contact_phone": text(contact["phone"]),
        "lead_source": text(record["source"]),
        "tags": sorted(set(contact["tags"])),
        "created_at": instant(record["createdAt"]),
        "updated_at": instant(record["updatedAt"]),
        "extra": left_over(record, read),
    }


def overplane(record: Row, crm: Any, details: bool) -> Row:
    """ERPNext's words; the lost reasons are a sub-request, read where the record names none itself."""
    reasons = crm.children["opportunity-lost-reason-detail"].get(record["id"], [])
    told = "; ".join(one["lost_reason"] for one in sorted(reasons, key=lambda one: int(one["idx"])))
    statuses = dict.fromkeys(("Open", "Replied", "Quotation"), "open")
    statuses |= {"Converted": "won", "Lost": "lost", "Closed": "abandoned"}
    read = {"id", "title", "opportunity_amount", "currency", "sales_stage", "status", "probability", "utm_source"}
    read |= {"expected_closing", "opportunity_owner", "party_name", "customer_name", "contact_person", "phone"}
    read |= {"contact_display", "contact_email", "contact_mobile", "opportunity_type", "order_lost_reason"}
    return {
        "name": verbatim(record["title"]),
        "amount": money(record["opportunity_amount"]),
        "currency": text(record["currency"]),
        "stage_id": text(record["sales_stage"]),
        "stage": text(record["sales_stage"]),
        "status": statuses.get(record["status"]),
        "probability": percent(record["probability"]),
        "expected_close_date": day(record["expected_closing"]),
        "owner_id": text(record["opportunity_owner"]),
        "owner": text(record["opportunity_owner"]),
        "company_id": text(record["party_name"]),
        "company": text(record["customer_name"]),
        "contact_id": text(record["contact_person"]),
        "contact": text(record["contact_display"]),
        "contact_email": text(record["contact_email"]),
        "contact_phone": text(record["contact_mobile"]) or text(record["phone"]),
        "lead_source": text(record["utm_source"]),
        "type": text(record["opportunity_type"]),
        "lost_reason": text(record["order_lost_reason"]) or (text(told) if details else None),
        "created_at": instant(record["created_at"]),
        "updated_at": instant(record["updated_at"]),
        "extra": left_over(record, read | {"created_at", "updated_at"}),
    }


Reader = Callable[[Row, Any, bool], Row]
READERS: dict[str, Reader] = {
    "administrate": administrate,
    "tactile": tactile,
    "capsule": capsule,
    "onautomate": onautomate,
    "overplane": overplane,
}

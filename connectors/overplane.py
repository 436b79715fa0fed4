"""Overplane: crm/opportunity, with the fields of an ERPNext Opportunity.

    GET /api/crm/opportunity?limit=100&offset=0
    {"data": [{"id": "opportunity_7f2c", "title": "Northwind", "status": "Open", ...}], "has_more": true, "total": 61}

Lists    newest first by offset: a deletion during the scan makes the next page skip a row, so pages overlap by one.
         The end is what `has_more` and `total` say. No filter of any kind: every run reads the whole list.
Details  line items and lost reasons are lists of their own, by `parent_id`, without times; settings:
         {details: false} leaves them out.
Writes   PATCH keeps what is not sent; items and lost reasons are written one by one, beside the opportunity; of their
         reorder only the path is documented. Totals, amounts, customer_name and an empty title are made by the server.
Oddest   the reference prints times as `2024-01-15T09: 30: 00Z`; an unknown parameter is ignored with a 200.
Access   Bearer secret key (sk_live_..., sk_test_...) that may read the CRM module.
Limits   none documented, no shape of errors either: only the status counts.
Life     no end announced. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from onepipe.connector import (
    Answer,
    Change,
    Connector,
    Facts,
    Http,
    Items,
    Open,
    Page,
    Record,
    Request,
    Step,
    Token,
    Window,
    Writes,
    action,
    by_offset,
    json_facts,
    json_page,
    json_record,
    part,
    read,
    rows,
)

OPPORTUNITIES = "/api/crm/opportunity"
ITEMS = "/api/crm/opportunity-item"
LOST_REASONS = "/api/crm/opportunity-lost-reason-detail"
OWN = (  # what has no column, and can be written under its own name
    *("opportunity_from", "company", "transaction_date", "territory", "customer_group", "customer_address", "industry"),
    *(
        "market_segment",
        "website",
        "whatsapp",
        "phone",
        "phone_ext",
        "job_title",
        "city",
        "state",
        "country",
        "language",
    ),
    *("annual_revenue", "no_of_employees", "conversion_rate", "utm_medium", "utm_campaign", "utm_content"),
)
LINES = Items(
    read="items",
    columns={
        "name": ("item_name", "item_code"),
        "quantity": ("qty",),
        "unit_amount": ("rate",),
        "amount": ("amount",),
        "description": ("description",),
    },
    computed=frozenset({"amount"}),
)


class Overplane(Connector):
    facts = Facts(
        title="Overplane",
        api="API reference of crm/opportunity (no version)",
        verified="the vendor's reference, and the sandbox; no live account",
        base_url="https://api.overplane.dev",
        prefix="/api",
        credentials=("api_key",),
        page_size=100,
        stamp="updated_at",
        filter="none",
        details=("lost_reason", "items"),
        settings={"details": "false leaves line items and lost reasons out (two requests per changed opportunity)"},
    )
    writes = Writes(
        required=("name", "company_id", "extra.opportunity_from", "extra.company", "extra.transaction_date"),
        defaults={"extra.opportunity_from": "Customer", "extra.transaction_date": "$today"},
        places={f"extra.{name}": (name,) for name in OWN},
        derived=("company", "contact", "extra.total", "extra.base_total", "extra.conversion_rate"),
        items=LINES,
        notes={"name": "an empty one becomes the customer's name", "line_items": "one request each: not all or none"},
    )

    def open(self, door: Open) -> Http:
        return door(headers={"Authorization": f"Bearer {self.credentials['api_key']}", "Accept": "application/json"})

    def count(self, window: Window | None = None) -> int | None:
        return self._page(OPPORTUNITIES, 0, limit=1).total

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        return self._list(OPPORTUNITIES, window.resume)

    def get(self, record_id: str, payload: bytes | None) -> Record:
        return json_record(self.opportunity(id=record_id).content, stamp="updated_at")

    def detail(self, name: str, record_id: str, payload: bytes) -> bytes:
        return self.items(id=record_id) if name == "items" else self.lost_reasons(id=record_id)

    def create(self, change: Change) -> Request:
        body = {name: value for name, value in change.items() if name != "line_items"}
        return Request("POST", OPPORTUNITIES, body, carries=tuple(body), gone=())

    def update(self, record_id: str, payload: bytes, change: Change) -> list[Request]:
        body = {name: value for name, value in change.items() if name != "line_items"}
        own = [Request("PATCH", f"{OPPORTUNITIES}/{part(record_id)}", body, carries=tuple(body))] if body else []
        return own + [self._item(record_id, step) for step in change.get("line_items", ())]

    def delete(self, record_id: str, payload: bytes) -> Request:
        return Request("DELETE", f"{OPPORTUNITIES}/{part(record_id)}")

    def created_since(self, since: datetime, change: Change) -> Iterator[Record]:
        for record in (record for page in self._list(OPPORTUNITIES) for record in page.records):
            if datetime.fromisoformat(json_facts(record.payload, "created_at")[0].replace(": ", ":")) < since:
                return  # the newest come first
            yield record

    @action(look="_order_of_items")
    def reorder_items(self, *, id: str, ids: tuple[str, ...]) -> Request:
        """Put the line items in the order of these ids."""
        return Request("POST", f"{ITEMS}/reorder", {"parent_id": id, "ids": list(ids)})

    @action(look="_reasons")
    def add_lost_reason(self, *, id: str, lost_reason: str) -> Request:
        """One more reason why it was lost."""
        return Request("POST", LOST_REASONS, {"opportunity_id": id, "lost_reason": lost_reason})

    @action(look="_reasons")
    def remove_lost_reason(self, *, id: str, reason_id: str) -> Request:
        """Take a reason away, by its own id."""
        return Request("DELETE", f"{LOST_REASONS}/{part(reason_id)}", gone=())

    @action(look="_reasons")
    def reorder_lost_reasons(self, *, id: str, ids: tuple[str, ...]) -> Request:
        """Put the lost reasons in the order of these ids."""
        return Request("POST", f"{LOST_REASONS}/reorder", {"parent_id": id, "ids": list(ids)})

    @read
    def opportunity(self, *, id: str) -> Answer:
        """One opportunity as it is now."""
        return self.http.get(f"{OPPORTUNITIES}/{part(id)}", gone=True)

    @read
    def items(self, *, id: str) -> bytes:
        """The line items of one opportunity."""
        return rows(self._list(ITEMS, parent_id=id))

    @read
    def lost_reasons(self, *, id: str) -> bytes:
        """Why one opportunity was lost."""
        return rows(self._list(LOST_REASONS, parent_id=id))

    def _item(self, record_id: str, step: Step) -> Request:
        columns = LINES.native(step.columns)
        if step.do == "add":
            return Request("POST", ITEMS, {"opportunity_id": record_id, **columns}, carries=("line_items",))
        one, body = f"{ITEMS}/{part(step.item_id)}", columns or None
        return Request("PATCH" if step.do == "change" else "DELETE", one, body, carries=("line_items",), gone=())

    def _order_of_items(self, *, id: str, ids: tuple[str, ...]) -> list[str]:
        return [record.id for page in self._list(ITEMS, parent_id=id) for record in page.records]

    def _reasons(self, *, id: str, lost_reason: str = "", reason_id: str = "", ids: tuple[str, ...] = ()) -> list[Any]:
        """What the call is about: the one reason it removes, those of its words, or all in their order."""
        held = [record for page in self._list(LOST_REASONS, parent_id=id) for record in page.records]
        if lost_reason:
            return [one.id for one in held if json_facts(one.payload, "lost_reason")[0] == lost_reason]
        return [one.id for one in held if one.id == reason_id or ids]

    def _list(self, path: str, resume: Token = None, **query: Any) -> Iterator[Page]:
        return by_offset(lambda start: self._page(path, start, gone="parent_id" in query, **query), resume, fixed=True)

    def _page(self, path: str, start: int, limit: int = 100, gone: bool = False, **query: Any) -> Page:
        answer = self.http.get(path, gone=gone, limit=limit, offset=start, **query)
        return json_page(answer.content, "data", stamp="updated_at", total="total", more="has_more")

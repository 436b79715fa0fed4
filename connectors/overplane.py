"""Overplane: crm/opportunity, with the fields of an ERPNext Opportunity.

    GET /api/crm/opportunity?limit=100&offset=0
    {"data": [{"id": "opportunity_7f2c", "title": "Northwind", "status": "Open", ...}], "has_more": true, "total": 61}

Lists    newest first by offset: a deletion during the scan makes the next page skip a row, so pages overlap by one.
         The end is what `has_more` and `total` say. No filter of any kind: every run reads the whole list.
Children line items and lost reasons are lists of their own, by `parent_id`, without times; settings:
         {details: false} leaves the lost reasons out.
Oddest   the reference prints times as `2024-01-15T09: 30: 00Z`; an unknown parameter is ignored with a 200.
Access   Bearer secret key (sk_live_..., sk_test_...) that may read the CRM module.
Limits   none documented, no shape of errors either: only the status counts.
Life     no end announced. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from typing import Any

from onepipe.connector import (
    Answer,
    Connector,
    Facts,
    Http,
    Open,
    Page,
    Record,
    Token,
    Window,
    by_offset,
    json_page,
    json_record,
    part,
    read,
    rows,
)

OPPORTUNITIES = "/api/crm/opportunity"
ITEMS = "/api/crm/opportunity-item"
LOST_REASONS = "/api/crm/opportunity-lost-reason-detail"


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
        details=("lost_reason",),
        settings={"details": "false leaves lost reasons out (one request per changed opportunity)"},
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
        return self.lost_reasons(id=record_id)

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

    def _list(self, path: str, resume: Token = None, **query: Any) -> Iterator[Page]:
        return by_offset(lambda start: self._page(path, start, gone="parent_id" in query, **query), resume, fixed=True)

    def _page(self, path: str, start: int, limit: int = 100, gone: bool = False, **query: Any) -> Page:
        answer = self.http.get(path, gone=gone, limit=limit, offset=start, **query)
        return json_page(answer.content, "data", stamp="updated_at", total="total", more="has_more")

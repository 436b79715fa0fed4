"""Administrate REST API v2.5: the sales opportunities of a training company.

    GET /api/v2.5/crm/opportunities?updated_at__ge=2024-03-01T10:00:00Z&id__gt=42&_order=id&_limit=100
    [{"id": 43, "name": "Autumn cohort", "updated_at": "2024-03-01T10:00:05Z", "step": {...}, ...}]

Lists    bare arrays; the counts are in headers: X-Pagination-Page, -Pages, -Per, -Total. Read by id__gt, so no row is
         skipped when others come and go; by page number where that proves wrong.
Filters  attribute + __ge, __le, __gt ... (v2 says __gte: another spelling). An unknown one may be ignored with a 200.
Oddest   `age` grows every day without a write; a DELETE answers 200 with the body of what it deleted.
Access   HTTP Basic: e-mail and password of a "WEB User" for the product "REST API" that may read the CRM.
Limits   6,000 requests in 5 minutes per source address, then 429 without Retry-After.
Life     legacy; the vendor announced its end for 2026-05-12. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from typing import Any

from onepipe.connector import (
    Answer,
    Connector,
    Facts,
    Gone,
    Http,
    Open,
    Page,
    Quota,
    Record,
    Token,
    Window,
    by_key,
    by_page,
    json_page,
    json_record,
    part,
    read,
    rows,
)

OPPORTUNITIES = "/api/v2.5/crm/opportunities"
STEPS = "/api/v2.5/crm/opportunity_steps"
TEMPLATES = "/api/v2.5/system/document_templates"
FILTER = ("updated_at__ge", "updated_at__le")


class Administrate(Connector):
    facts = Facts(
        title="Administrate",
        api="REST API v2.5",
        verified="the vendor's pages of v2.5 and v2, and the sandbox; no live account",
        ends="2026-05-12",
        base_url="https://SUBDOMAIN.administrateapp.com",
        prefix="/api/v2.5",
        credentials=("username", "password"),
        page_size=100,
        stamp="updated_at",
        filter="range",
        order="id",
        quota=(Quota(6000, 300, "address"),),
        drifting=("age",),
        reference=("steps",),
    )

    def open(self, door: Open) -> Http:
        user, password = self.credentials["username"], self.credentials["password"]
        return door(auth=(user, password), headers={"Accept": "application/json"})

    def count(self, window: Window | None = None) -> int | None:
        bounds = (window or Window()).bounds(*FILTER)
        return self.http.get(OPPORTUNITIES, _order="id", _limit=1, **bounds).number("X-Pagination-Total")

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        if resource == "steps":
            return self._steps()
        bounds = window.bounds(*FILTER)
        if "order" in window.distrust:
            return self._numbered(OPPORTUNITIES, window.resume, **bounds)
        return by_key(lambda last: self._after(last, **bounds), window.resume)

    def get(self, record_id: str, payload: bytes | None) -> Record:
        return json_record(self.opportunity(id=record_id).content, stamp="updated_at")

    @read
    def opportunity(self, *, id: str) -> Answer:
        """One opportunity as it is now."""
        return self.http.get(f"{OPPORTUNITIES}/{part(id)}", gone=True)

    @read
    def steps(self) -> bytes:
        """The steps of the sales pipeline, with their transitions."""
        return rows(self._numbered(STEPS))

    @read
    def step(self, *, id: str) -> Answer:
        """One step of the sales pipeline."""
        return self.http.get(f"{STEPS}/{part(id)}", gone=True)

    @read
    def document_templates(self) -> bytes:
        """The document templates, with their bodies."""
        return rows(self._numbered(TEMPLATES))

    @read
    def document_template(self, *, id: str) -> Answer:
        """One document template."""
        return self.http.get(f"{TEMPLATES}/{part(id)}", gone=True)

    @read
    def render_pdf(self, *, quote_id: str) -> Answer:
        """A generated quote as a PDF file."""
        return self.http.get(f"{OPPORTUNITIES}/quotes/{part(quote_id)}/render_pdf", gone=True)

    def _steps(self) -> Iterator[Page]:
        try:
            yield from self._numbered(STEPS, gone=True)
        except Gone:  # not in every account's API, and each opportunity carries its own step
            return

    def _after(self, last: Token, **bounds: Any) -> Page:
        answer = self.http.get(OPPORTUNITIES, id__gt=last, _order="id", _limit=100, **bounds)
        # Both headers count the rows after `last`, so the first page may be the only one.
        page = json_page(answer.content, stamp="updated_at", total=answer.number("X-Pagination-Total"))
        left = answer.number("X-Pagination-Pages")
        page.more = False if left is not None and left <= 1 else None
        return page

    def _numbered(self, path: str, resume: Token = None, **filters: Any) -> Iterator[Page]:
        def page(number: int) -> Page:
            answer = self.http.get(path, _page=number, _order="id", _limit=100, **filters)
            total, pages = answer.number("X-Pagination-Total"), answer.number("X-Pagination-Pages")
            whole = path != OPPORTUNITIES and total is None and pages is None  # a short list, printed in one piece
            more = False if whole else None
            return json_page(answer.content, stamp="updated_at", total=total, pages=pages, more=more)

        return by_page(page, resume, fixed=True)

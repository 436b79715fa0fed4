"""Administrate REST API v2.5: the sales opportunities of a training company.

    GET /api/v2.5/crm/opportunities?updated_at__ge=2024-03-01T10:00:00Z&id__gt=42&_order=id&_limit=100
    [{"id": 43, "name": "Autumn cohort", "updated_at": "2024-03-01T10:00:05Z", "step": {...}, ...}]

Lists    bare arrays; the counts are in headers: X-Pagination-Page, -Pages, -Per, -Total. Read by id__gt, so no row is
         skipped when others come and go; by page number where that proves wrong.
Filters  attribute + __ge, __le, __gt ... (v2 says __gte: another spelling). An unknown one may be ignored with a 200.
Writes   PUT is partial; relations are {"id": 1}. Whether a nested list is appended to or replaced is not said, so the
         elements that are there are sent again with their ids. Moving a deal to another step may make an invoice, a
         registration, a contact and an account: its transitions say so.
Oddest   `age` grows every day without a write; a DELETE answers 200 with the body of what it deleted.
Access   HTTP Basic: e-mail and password of a "WEB User" for the product "REST API" that may read the CRM.
Limits   6,000 requests in 5 minutes per source address, then 429 without Retry-After.
Life     legacy; the vendor announced its end for 2026-05-12. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from onepipe.connector import (
    Answer,
    Change,
    Connector,
    Facts,
    Gone,
    Habits,
    Http,
    Open,
    Page,
    Quota,
    Record,
    Request,
    Token,
    Window,
    Writes,
    action,
    by_key,
    by_page,
    given,
    json_facts,
    json_page,
    json_record,
    part,
    read,
    relation,
    rows,
    utc,
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
    writes = Writes(
        required=("name", "company_id", "stage_id", "owner_id", "currency"),
        places={
            "lead_source": ("source_type", "id"),
            "extra.source_type": ("source_type", "id"),
            "extra.region": ("region", "id"),
            "extra.external_id": ("external_id",),
        },
        by_id=frozenset({"lead_source"}),
        habits=Habits(drifting=frozenset({"age"})),
        derived=("amount", "status", "probability", "extra.invoice", "extra.registration", "extra.account"),
        notes={"interests, documents": "appended or replaced is not documented; all are sent again with their ids"},
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

    def create(self, change: Change) -> Request:
        return Request("POST", OPPORTUNITIES, _sent(change), carries=tuple(change), gone=())

    def update(self, record_id: str, payload: bytes, change: Change) -> list[Request]:
        body = _sent(change)
        if "attributes" in change:  # the whole object, whether it is replaced or merged
            body["attributes"] = {**(json_facts(payload, "attributes")[0] or {}), **change["attributes"]}
        return [self._put(record_id, body)]

    def delete(self, record_id: str, payload: bytes) -> Request:
        return Request("DELETE", f"{OPPORTUNITIES}/{part(record_id)}")

    def created_since(self, since: datetime, change: Change) -> Iterator[Record]:
        bound = {"created_at__ge": utc(since, "%Y-%m-%dT%H:%M:%SZ")}
        for page in by_key(lambda last: self._after(last, **bound)):
            yield from page.records

    def foresees(self, payload: bytes, change: Change) -> list[str]:
        step, wanted = json_facts(payload, "step")[0] or {}, (_sent(change).get("step") or {}).get("id")
        if wanted in (None, step.get("id")):
            return []
        way = next((way for way in step.get("transitions") or () if way.get("to_step_id") == wanted), None)
        if way is None:
            return [f"step {step.get('id')} has no transition to {wanted}: it will probably be refused"]
        makes = [name.removeprefix("create_") for name, does in (way.get("triggers") or {}).items() if does]
        needs = [name for name in way.get("required") or () if not (change.get(name) or json_facts(payload, name)[0])]
        told = {"the move makes": makes, "the move needs": needs}
        return [f"{words}: {', '.join(sorted(names))}" for words, names in told.items() if names]

    @action(look="_quotes")
    def generate_quote(self, *, id: str, cover_letter: str | None = None, expires_at: date | None = None) -> Request:
        """A quote of the interests as they are now; cover_letter may hold simple HTML."""
        return self._post(id, "generate_quote", given(cover_letter=cover_letter, expires_at=expires_at))

    @action()
    def send_email(
        self,
        *,
        id: str,
        subject: str,
        body_document_template_id: int,
        document_attachments: list[Any] | None = None,
        quote_attachments: list[Any] | None = None,
        include_invoice: bool | None = None,
    ) -> Request:
        """An e-mail from the deal's owner to its contact."""
        body = {"subject": subject, "body_document_template_id": body_document_template_id}
        files = given(document_attachments=document_attachments, quote_attachments=quote_attachments)
        return self._post(id, "send_email", body | files | given(include_invoice=include_invoice))

    @action(look="_interests")
    def add_interest(self, *, id: str, event_id: int, delegates: list[Any] | None = None) -> Request:
        """An interest in an event, with the delegates: first_name, last_name, email."""
        new = {"event": {"id": event_id}} | given(delegates=delegates)
        return self._put(id, {"interests": [*self._held(id, "interests"), new]})

    @action(look="_documents")
    def add_document(self, *, id: str, document_template_id: int, name: str, user_id: int | None = None) -> Request:
        """A document made of a template."""
        new = {
            "document_template": {"id": document_template_id},
            "name": name,
            **given(user=user_id and {"id": user_id}),
        }
        return self._put(id, {"documents": [*self._held(id, "documents"), new]})

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
    @action()
    def render_pdf(self, *, quote_id: str) -> Answer:
        """A generated quote as a PDF file."""
        return self.http.get(f"{OPPORTUNITIES}/quotes/{part(quote_id)}/render_pdf", gone=True)

    def _put(self, record_id: str, body: dict[str, Any]) -> Request:
        return Request("PUT", f"{OPPORTUNITIES}/{part(record_id)}", body, carries=tuple(body))

    def _post(self, record_id: str, verb: str, body: dict[str, Any]) -> Request:
        return Request("POST", f"{OPPORTUNITIES}/{part(record_id)}/{verb}", body)

    def _held(self, record_id: str, name: str) -> list[Any]:
        """The elements of a nested list as they are sent again: with their ids, relations by id only."""
        return [_again(one) for one in json_facts(self.get(record_id, None).payload, name)[0] or ()]

    def _quotes(self, *, id: str, cover_letter: str | None = None, expires_at: date | None = None) -> int:
        """How many quotes there are with this cover and expiry."""
        same = given(cover_letter=cover_letter, expires_at=expires_at).items()
        return sum(same <= one.items() for one in self._held(id, "quotes"))

    def _interests(self, *, id: str, event_id: int, delegates: list[Any] | None = None) -> int:
        """How many interests there are in this event."""
        return sum((one.get("event") or {}).get("id") == event_id for one in self._held(id, "interests"))

    def _documents(self, *, id: str, document_template_id: int, name: str, user_id: int | None = None) -> int:
        """How many documents there are of this template and name."""
        same = {"document_template": {"id": document_template_id}, "name": name}
        return sum(all(one.get(key) == value for key, value in same.items()) for one in self._held(id, "documents"))

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


def _sent(change: Change) -> dict[str, Any]:
    return {name: value if name == "attributes" else relation(value) for name, value in change.items()}


def _again(element: dict[str, Any]) -> dict[str, Any]:
    """An interest or document as it was read, fit to be written: relations by id, its own people and parts whole."""
    kept = {name: value for name, value in element.items() if name not in ("created_at", "updated_at")}
    for name, value in kept.items():
        if isinstance(value, dict) and "id" in value:
            kept[name] = {"id": value["id"]}
        elif isinstance(value, list):
            kept[name] = [_again(one) if isinstance(one, dict) else one for one in value]
    return kept

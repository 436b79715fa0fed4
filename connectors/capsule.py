"""Capsule CRM, API v1, read as XML.

    GET /api/opportunity?lastmodified=20240301T100000&start=0&limit=100
    <opportunities size="1"><opportunity><id>43</id><name>Consulting</name>...</opportunity></opportunities>

Lists    by row offset over an order nobody documents; `size` counts the rows of this page, there is no total and no
         next link: the end is an empty page. A hidden cap on `limit` is possible.
Filter   lastmodified, in UTC as YYYYMMDDTHHMMSS; one filter per request.
Oddest   `value` is the price of one `durationBasis`; empty fields are left out; tags and custom fields are requests of
         their own (the first accounts answer /customfield, later ones /customfields) and may not move updatedOn;
         settings: {details: false} leaves them out.
Access   HTTP Basic: the API token as user, anything as password. It sees what its user may see.
Limits   4,000 requests an hour per user; X-RateLimit-Remaining and -Reset tell. A bad token may be answered in HTML.
Life     v1 was announced to close on 2018-01-31. Deletions: /api/opportunity/deleted, which the first years lack.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from onepipe.connector import (
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
    by_offset,
    part,
    read,
    rows,
    utc,
    xml_json,
    xml_page,
    xml_record,
)

OPPORTUNITIES = "/api/opportunity"
STAMP = "%Y%m%dT%H%M%S"
ARRAYS = ("tags", "customFields", "customfields", "history", "parties", "currencies")


class Capsule(Connector):
    facts = Facts(
        title="Capsule CRM",
        api="API v1 (XML)",
        verified="the vendor's page of 2012, answers recorded in 2011, and the sandbox; no live account",
        ends="2018-01-31",
        base_url="https://ACCOUNT.capsulecrm.com",
        prefix="/api",
        credentials=("token",),
        page_size=100,
        stamp="updatedOn",
        filter="since",
        quota=(Quota(4000, 3600),),
        reference=("milestones",),
        details=("tag", "customfield"),
        settings={"details": "false leaves tags and custom fields out (two requests per changed opportunity)"},
    )

    def open(self, door: Open) -> Http:
        return door(auth=(self.credentials["token"], "x"), headers={"Accept": "application/xml"})

    def count(self, window: Window | None = None) -> int | None:
        self.http.get(OPPORTUNITIES, start=0, limit=1)
        return None

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        if resource == "milestones":
            return iter([self._milestones()])
        return self._list(window.resume, lastmodified=utc(window.since, STAMP))

    def get(self, record_id: str, payload: bytes | None) -> Record:
        answer = self.http.get(f"{OPPORTUNITIES}/{part(record_id)}", gone=True)
        return xml_record(answer.content, stamp="updatedOn")

    def deleted(self, since: datetime | None) -> Iterator[Page]:
        since = since or datetime(2000, 1, 1, tzinfo=UTC)
        try:
            answer = self.http.get(f"{OPPORTUNITIES}/deleted", gone=True, since=utc(since, STAMP))
        except Gone:  # the API of the first years: no tombstones, the sweep finds deletions
            return
        yield xml_page(answer.content, "deletedOpportunity", stamp="deletedDate")

    def detail(self, name: str, record_id: str, payload: bytes) -> bytes:
        return self.tags(id=record_id) if name == "tag" else self.customfields(id=record_id)

    @read
    def opportunity(self, *, id: str) -> bytes:
        """One opportunity as it is now."""
        return self.get(id, None).payload

    @read
    def by_milestone(self, *, milestone: str) -> bytes:
        """The opportunities at the milestone of that name."""
        return rows(self._list(milestone=milestone))

    @read
    def by_tag(self, *, tag: str) -> bytes:
        """The opportunities with that tag."""
        return rows(self._list(tag=tag))

    @read
    def by_party(self, *, party_id: str) -> bytes:
        """The opportunities related to a person or organisation."""
        answer = self.http.get(f"/api/party/{part(party_id)}/opportunity", gone=True)
        return rows([xml_page(answer.content, "opportunity")])

    @read
    def milestones(self) -> bytes:
        """The milestones with their probability, and whether they complete a deal."""
        return rows([self._milestones()])

    @read
    def currencies(self) -> bytes:
        """The ISO codes an opportunity can be in."""
        return xml_json(self.http.get("/api/resource/currency").content, ARRAYS)

    @read
    def deleted_(self, *, since: datetime | None = None) -> bytes:
        """What was deleted since an instant, as far as the API remembers."""
        return rows(self.deleted(since))

    @read
    def tags(self, *, id: str) -> bytes:
        """The tags of one opportunity."""
        return self._children(id, "tag")

    @read
    def customfields(self, *, id: str) -> bytes:
        """The custom fields of one opportunity that have a value."""
        try:
            return self._children(id, "customfields")
        except Gone:
            return self._children(id, "customfield")

    @read
    def history(self, *, id: str) -> bytes:
        """The notes and e-mails of one opportunity."""
        return self._children(id, "history")

    @read
    def parties(self, *, id: str) -> bytes:
        """The additional people and organisations of one opportunity."""
        return self._children(id, "party")

    def _children(self, record_id: str, name: str) -> bytes:
        return xml_json(self.http.get(f"{OPPORTUNITIES}/{part(record_id)}/{name}", gone=True).content, ARRAYS)

    def _milestones(self) -> Page:
        content = self.http.get(f"{OPPORTUNITIES}/milestones").content
        page = xml_page(content, "milestone")
        return page if page.records else xml_page(content, "milestone", id="name")  # ids came in later years

    def _list(self, resume: Token = None, **filters: Any) -> Iterator[Page]:
        def page(start: int) -> Page:
            answer = self.http.get(OPPORTUNITIES, start=start, limit=100, **filters)
            return xml_page(answer.content, "opportunity", stamp="updatedOn")

        return by_offset(page, resume)

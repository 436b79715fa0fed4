"""Capsule CRM, API v1, read as XML.

    GET /api/opportunity?lastmodified=20240301T100000&start=0&limit=100
    <opportunities size="1"><opportunity><id>43</id><name>Consulting</name>...</opportunity></opportunities>

Lists    by row offset over an order nobody documents; `size` counts the rows of this page, there is no total and no
         next link: the end is an empty page. A hidden cap on `limit` is possible.
Filter   lastmodified, in UTC as YYYYMMDDTHHMMSS; one filter per request.
Writes   PUT keeps the elements that are not sent; a new deal is posted to its party and answered with 201, Location and
         nothing else; a deal is moved by a PUT below its new party. A person's deal becomes that of the person's
         organisation. Tags, custom fields and notes are requests of their own. A probability is a whole number. That
         an empty element clears a field is not documented.
Details  tags, custom fields (the first accounts answer /customfield, later ones /customfields), history and additional
         parties are one request each for each opportunity, and may not move updatedOn; settings: {details: false}
         leaves them out.
Oddest   `value` is the price of one `durationBasis`; empty fields are left out.
Access   HTTP Basic: the API token as user, anything as password. It sees what its user may see.
Limits   4,000 requests an hour per user; X-RateLimit-Remaining and -Reset tell. A bad token may be answered in HTML.
Life     v1 was announced to close on 2018-01-31. Deletions: /api/opportunity/deleted, which the first years lack.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from onepipe.connector import (
    Answer,
    BadPayload,
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
    Scale,
    Token,
    UsageError,
    Window,
    Writes,
    action,
    by_offset,
    part,
    read,
    rows,
    utc,
    xml_body,
    xml_json,
    xml_page,
    xml_record,
)

OPPORTUNITIES = "/api/opportunity"
STAMP = "%Y%m%dT%H%M%S"
XML = {"Content-Type": "application/xml"}
APART = ("tags", "custom")  # requests of their own
ARRAYS = ("tags", "customFields", "customfields", "history", "parties", "email", "currencies", "customFieldDefinitions")


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
        details=("tag", "customfield", "history", "party"),
        settings={"details": "false leaves tags, custom fields, history, parties out (four requests per changed deal)"},
    )
    writes = Writes(
        required=("name", "company_id", "stage_id"),
        places={"company_id": ("partyId",), "tags": ("tags",), "custom": ("custom",)},
        habits=Habits(scales={"probability": Scale(Decimal("0.01"), rounds=False)}, empty=frozenset({"custom"})),
        derived=("probability", "status", "closed_at", "company_id"),
        unstamped=frozenset(APART),
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
        return xml_record(self.http.get(f"{OPPORTUNITIES}/{part(record_id)}", gone=True).content, stamp="updatedOn")

    def deleted(self, since: datetime | None) -> Iterator[Page]:
        since = since or datetime(2000, 1, 1, tzinfo=UTC)
        with suppress(Gone):  # the API of the first years: no tombstones (or read as an id), the sweep finds deletions
            answer = self.http.get(f"{OPPORTUNITIES}/deleted", gone=(400, 404, 405, 410), since=utc(since, STAMP))
            yield xml_page(answer.content, "deletedOpportunity", stamp="deletedDate")

    def detail(self, name: str, record_id: str, payload: bytes) -> bytes:
        return self.customfields(id=record_id) if name == "customfield" else self._children(record_id, name)

    def create(self, change: Change) -> Request:
        return _written("POST", f"/api/party/{part(change['partyId'])}/opportunity", change)

    def made(self, answer: Answer) -> str | None:
        return (answer.headers.get("location") or "").rstrip("/").rpartition("/")[2] or None

    def update(self, record_id: str, payload: bytes, change: Change) -> list[Request]:
        below = f"/api/party/{part(change['partyId'])}/opportunity" if "partyId" in change else OPPORTUNITIES
        told = [_written("PUT", f"{below}/{part(record_id)}", change)] if change.keys() - set(APART) else []
        told += [self._custom(record_id, change["custom"])] if "custom" in change else []
        return told + (self._retag(record_id, change["tags"] or []) if "tags" in change else [])

    def delete(self, record_id: str, payload: bytes) -> Request:
        return Request("DELETE", f"{OPPORTUNITIES}/{part(record_id)}")

    def created_since(self, since: datetime, change: Change) -> Iterator[Record]:
        return (record for page in self._list(lastmodified=utc(since, STAMP)) for record in page.records)

    @action(look="_tagged")
    def add_tag(self, *, id: str, tag: str) -> Request:
        """Put a tag on it."""
        return self._child("POST", id, "tag", tag)

    @action(look="_tagged")
    def remove_tag(self, *, id: str, tag: str) -> Request:
        """Take a tag off it."""
        return self._child("DELETE", id, "tag", tag)

    @action(look="_noted")
    def add_note(self, *, id: str, note: str) -> Request:
        """Add a note to its history."""
        return Request("POST", self._path(id, "history"), xml_body("historyItem", {"note": note}), headers=XML)

    @action(look="_has_party")
    def add_party(self, *, id: str, party_id: str) -> Request:
        """Add a person or organisation beside the main one."""
        return self._child("POST", id, "party", party_id)

    @action(look="_has_party")
    def remove_party(self, *, id: str, party_id: str) -> Request:
        """Take an additional person or organisation away."""
        return self._child("DELETE", id, "party", party_id)

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
        path = f"/api/party/{part(party_id)}/opportunity"
        return rows([xml_page(self.http.get(path, gone=True).content, "opportunity")])

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
        return self._fields(id)[1]

    @read
    def history(self, *, id: str) -> bytes:
        """The notes and e-mails of one opportunity."""
        return self._children(id, "history")

    @read
    def parties(self, *, id: str) -> bytes:
        """The additional people and organisations of one opportunity."""
        return self._children(id, "party")

    def _path(self, record_id: str, name: str) -> str:
        return f"{OPPORTUNITIES}/{part(record_id)}/{name}"

    def _children(self, record_id: str, name: str) -> bytes:
        found = xml_json(self.http.get(self._path(record_id, name), gone=True).content, ARRAYS)
        if found[:1] != b"[":
            raise BadPayload(f"Capsule's answer to {name} is no list.")
        return found

    def _fields(self, record_id: str) -> tuple[str, bytes]:  # the path that answers, and what it answers
        with suppress(Gone):
            return self._path(record_id, "customfields"), self._children(record_id, "customfields")
        return self._path(record_id, "customfield"), self._children(record_id, "customfield")

    def _child(self, method: str, record_id: str, name: str, key: str, *carries: str) -> Request:
        # a 404 may be the tag's or the party's
        return Request(method, f"{self._path(record_id, name)}/{part(key)}", carries=carries, gone=())

    def _retag(self, record_id: str, wanted: list[str]) -> list[Request]:  # one a tag missing or too many
        held = [one["name"] for one in json.loads(self.tags(id=record_id))]
        added = [self._child("POST", record_id, "tag", tag, "tags") for tag in wanted if tag not in held]
        return added + [self._child("DELETE", record_id, "tag", tag, "tags") for tag in held if tag not in wanted]

    def _custom(self, record_id: str, wanted: Change) -> Request:  # the others stay: merged by tag and label
        defined = [{"label": name, "type": "Text"} for name in wanted]  # where none are listed: by the label, as text
        with suppress(Gone):
            defined = json.loads(self._children("customfield", "definitions"))
        body = xml_body("customFields", {"customField": [_field(defined, *one) for one in wanted.items()]})
        return Request("PUT", self._fields(record_id)[0], body, headers=XML, carries=("custom",), gone=())

    def _tagged(self, *, id: str, tag: str) -> bool:
        return {"name": tag} in json.loads(self.tags(id=id))

    def _noted(self, *, id: str, note: str) -> int:  # how many notes of this text
        return sum((one.get("note") or "").split() == note.split() for one in json.loads(self.history(id=id)))

    def _has_party(self, *, id: str, party_id: str) -> bool:
        return party_id in [one.get("id") for one in json.loads(self.parties(id=id))]

    def _milestones(self) -> Page:
        content = self.http.get(f"{OPPORTUNITIES}/milestones").content
        return xml_page(content, "milestone", id="id" if b"<id>" in content else "name")  # ids came in later years

    def _list(self, resume: Token = None, **filters: Any) -> Iterator[Page]:
        def page(start: int) -> Page:
            answer = self.http.get(OPPORTUNITIES, start=start, limit=100, **filters)
            return xml_page(answer.content, "opportunity", stamp="updatedOn")

        return by_offset(page, resume)


def _written(method: str, path: str, change: Change) -> Request:
    """A deal's own elements, without those that are requests of their own or stand in the path."""
    own = {name: value for name, value in change.items() if name not in ("partyId", *APART)}
    if not str(own.get("milestoneId", 0)).isdigit():  # in the API's first years the name is the id
        own["milestone"] = own.pop("milestoneId")
    carries = tuple(name for name in change if name not in APART)
    gone = (404, 410) if method == "PUT" else ()
    return Request(method, path, xml_body("opportunity", own), headers=XML, carries=carries, gone=gone)


def _field(defined: list[dict[str, Any]], name: str, value: Any) -> dict[str, Any]:
    """One custom field as it is sent, found by its label; with its data tag in brackets where a label stands twice."""
    names = [f"{one['label']} ({key})" if (key := one.get("tag") or one.get("id")) else one["label"] for one in defined]
    found = [one for full, one in zip(names, defined, strict=True) if name in (full, one["label"])]
    if len(found) != 1:
        raise UsageError(f"{name!r} is not the name of one custom field; there are: {', '.join(names) or 'none'}")
    label, kind = {key: found[0][key] for key in ("tag", "label") if found[0].get(key)}, str(found[0].get("type"))
    sent = f"{str(value)[:10]}T00:00:00Z" if kind == "Date" else value
    return label if value is None else {**label, "text" if kind == "List" else kind.lower(): sent}

"""A simulated OnAutomate API v1 (white-label GoHighLevel v1): opportunities in pipelines, contacts in them.

Its habits: no account-wide list and no changed-since filter; two paging styles; `nextPageUrl` on the last page too;
writes say `title` and `stageId` where reads say `name` and `pipelineStageId`, and a written `name` renames the contact.
Source: OnAutomate API 1.1.1 page; GoHighLevel API v1 pages and captured answers for the list.
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from onepipe.sandbox.crm import Crm, Options
from onepipe.sandbox.data import SOURCES, Deal, Invent, secret
from onepipe.sandbox.wire import Answer, Call, Refused, Row, as_utc, dump, load, whole

STATUSES = ("open", "won", "lost", "abandoned")
PIPELINES = (
    ("Sales", ("New lead", "Contacted", "Proposal sent", "Negotiation")),
    ("Partners & Resellers", ("Intro", "Due diligence", "Contract", "Live")),
    ("Renouvellements été", ("À contacter", "Devis", "Relance", "Accord")),
)
STAMPS = ("lastStatusChangeAt", "createdAt", "updatedAt")
PAGING = frozenset({"page", "limit", "startAfter", "startAfterId"})


@dataclass
class OnAutomateOptions(Options):
    """Switches for what the documentation leaves open.

    next_page_url: "always" (v1, the last page too) or "until_end" (null there, as V2)
    cursor_id: whether startAfterId is the "contact" or the "opportunity" of the last row
    bad_date: "ignore" (no filter) or "reject" (400) for a startDate or endDate that is no number
    put_rule: "form" (422 unless title, stageId, status, contact are sent) or "lenient" (title and status)
    allow_duplicates: several opportunities of one contact in one pipeline
    duplicate_body: "plain" or "v2" error body
    missing_status: status for an unknown id
    empty_body: "string" (`""`) or "zero" (no bytes) after delete and status calls
    contact_edit_bumps: whether editing a contact moves updatedAt; index_lag_seconds: how late lists see a write
    """

    next_page_url: str = "always"
    cursor_id: str = "contact"
    bad_date: str = "ignore"
    put_rule: str = "form"
    allow_duplicates: bool = False
    duplicate_body: str = "plain"
    missing_status: int = 400
    empty_body: str = "string"
    contact_edit_bumps: bool = False
    index_lag_seconds: float = 0
    rate_window_seconds: float = 10


class OnAutomate(Crm):
    """OnAutomate: ids are 20-letter texts, stamps milliseconds in UTC with Z, money JSON numbers without a currency."""

    name = "onautomate"
    lists = ("list_opportunities",)
    filters = frozenset({"stageId", "assignedTo", "campaignId", "query", "status", "startDate", "endDate"})
    routes = [
        ("GET", "/v1/pipelines", "list_pipelines"),
        ("GET", "/v1/pipelines/{pipeline_id}/opportunities", "list_opportunities"),
        ("POST", "/v1/pipelines/{pipeline_id}/opportunities", "create"),
        ("GET", "/v1/pipelines/{pipeline_id}/opportunities/{row_id}", "read"),
        ("PUT", "/v1/pipelines/{pipeline_id}/opportunities/{row_id}", "change"),
        ("DELETE", "/v1/pipelines/{pipeline_id}/opportunities/{row_id}", "remove"),
        ("PUT", "/v1/pipelines/{pipeline_id}/opportunities/{row_id}/status", "set_status"),
    ]

    # Data

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills the location: three pipelines, users, a contact and an opportunity for each of `rows`."""
        self.options: OnAutomateOptions = OnAutomateOptions()
        self.credentials = {"api_key": secret(seed, self.name)}
        invent = Invent(seed, self.name, now)
        self._invent = invent
        self._late: dict[str, tuple[datetime, Row | None]] = {}
        self.pipelines: dict[str, Row] = {}
        for name, stages in PIPELINES:
            pipeline_id = invent.letters(20)
            told = [{"id": _uuid(invent), "name": stage} for stage in stages]
            self.pipelines[pipeline_id] = {"id": pipeline_id, "name": name, "stages": told}
        self.users = [invent.letters(20) for _ in range(4)]
        self.contacts: dict[str, Row] = {}
        companies = invent.companies(max(20, rows // 4))
        pipelines = list(self.pipelines.values())
        for deal in invent.deals(rows):
            self._from_deal(deal, pipelines[int(deal.dice**2 * 3)], companies[deal.company % len(companies)])
        if rows > 30:  # a pipeline nobody has used yet
            empty = invent.letters(20)
            self.pipelines[empty] = {"id": empty, "name": "Empty", "stages": [{"id": _uuid(invent), "name": "Only"}]}

    def _from_deal(self, deal: Deal, pipeline: Row, company: str) -> None:
        first, last = self._invent.person(deal.number)
        contact = {
            "id": self._invent.letters(20),
            "name": f"{first} {last}",
            "companyName": None if deal.dice < 0.1 else company,
            "email": None if deal.dice > 0.95 else f"person{deal.number}@example.org",
            "phone": None if deal.dice < 0.2 else f"+1202555{deal.number % 10000:04d}",
            "tags": deal.tags,
        }
        self.contacts[str(contact["id"])] = contact
        row = {
            "id": self._invent.letters(20),
            "name": deal.name,
            "monetaryValue": deal.amount,
            "pipelineId": pipeline["id"],
            "pipelineStageId": pipeline["stages"][deal.stage]["id"],
            "assignedTo": None if deal.dice < 0.15 else self.users[deal.owner],
            "status": deal.outcome,
            "source": None if deal.dice > 0.85 else SOURCES[deal.owner],
            "lastStatusChangeAt": deal.closed or deal.created,
            "createdAt": deal.created,
            "updatedAt": deal.updated,
            "contact": contact["id"],
        }
        self.rows[row["id"]] = row

    def show(self, row: Row) -> Row:
        """The opportunity as GET by id prints it, its contact inside."""
        shown = {**row, "contact": self.contacts[row["contact"]]}
        for name in STAMPS:
            shown[name] = _millis_z(row[name])
        return shown

    # Auth and errors

    def admit(self, call: Call) -> None:
        """Bearer with the location's API key."""
        if call.headers.get("authorization") != f"Bearer {self.credentials['api_key']}":
            raise Refused(self.refuse(401, "Unauthorized"))

    def refuse(self, status: int, message: str) -> Answer:
        """{"msg": text}."""
        return Answer(status, dump({"msg": {400: "Bad Request", 401: "Unauthorized"}.get(status, message)}))

    def disguised_refusal(self) -> Answer:
        """The documented body of a 401, sent with 200."""
        return Answer(200, b'{"msg":"Unauthorized"}')

    def error_envelope(self) -> Answer:
        """The documented body of a 400, sent with 200."""
        return Answer(200, b'{"msg":"Bad Request"}')

    def misshapen(self, shape: str) -> Answer:
        """A list answer whose `opportunities` is missing or of the wrong type."""
        meta = {"total": 3, "nextPage": ""}
        lists: dict[str, Any] = {"object": {"opportunities": {}}, "null": {"opportunities": None}}
        return Answer(200, dump([1, 2] if shape == "list" else {**lists.get(shape, {}), "meta": meta}))

    def emptied(self, answer: Answer) -> Answer:
        """No rows under the same meta."""
        answer.body = dump({**load(answer.body), "opportunities": []})
        return answer

    def rate_headers(self, answer: Answer, left: int) -> None:
        """The five headers known from V2."""
        limit = self.stated_limit()
        values = {
            "X-RateLimit-Limit-Daily": 200_000,
            "X-RateLimit-Daily-Remaining": max(0, 200_000 - len(self.log)),
            "X-RateLimit-Interval-Milliseconds": int(self.options.rate_window_seconds * 1000),
            "X-RateLimit-Max": limit,
            "X-RateLimit-Remaining": max(0, left),
        }
        answer.headers += [(name, str(value)) for name, value in values.items()]

    def _pipeline(self, pipeline_id: str) -> Row:
        if pipeline_id not in self.pipelines:
            raise Refused(self.refuse(400, "Bad Request"))
        return self.pipelines[pipeline_id]

    def _row(self, pipeline_id: str, row_id: str) -> Row:
        row = self.rows.get(row_id)
        if row is None or row["pipelineId"] != pipeline_id:
            raise Refused(self.refuse(self.options.missing_status, "Not Found"))
        return row

    def _empty(self) -> Answer:
        return Answer(200, b'""' if self.options.empty_body == "string" else b"")

    # Reading

    def list_pipelines(self, call: Call) -> Answer:
        """All pipelines with their stages."""
        return Answer(200, dump({"pipelines": list(self.pipelines.values())}))

    def read(self, call: Call, pipeline_id: str, row_id: str) -> Answer:
        """One opportunity, no wrapper; an unknown id, or one of another pipeline, is refused alike."""
        return Answer(200, dump(self.show(self._row(pipeline_id, row_id))))

    def list_opportunities(self, call: Call, pipeline_id: str) -> Answer:
        """A page of one pipeline, newest created first, by `page` or by `startAfter` and `startAfterId`."""
        self._pipeline(pipeline_id)
        rows = self._ordered(call, pipeline_id)
        for name, wanted in call.query:
            test = self._test(name, wanted) if wanted else None
            rows = [row for row in rows if test(row)] if test else rows
        limit = whole(call.param("limit"), 20)
        limit = min(limit, 100) if limit > 0 else 20
        limit = limit if call.cap is None else min(limit, call.cap)
        start = self._start(call, rows, limit)
        page = rows[start : start + limit]
        meta = self._meta(call, page, len(rows), start // limit + 1, start + limit < len(rows))
        return Answer(200, dump({"opportunities": [self.show(row) for row in page], "meta": meta}))

    def _ordered(self, call: Call, pipeline_id: str) -> list[Row]:
        if call.ignore_order:
            rows = self.scrambled()
        else:
            rows = self.in_order("created" + self.options.cursor_id, self._place, reverse=True)
        return self._as_indexed([row for row in rows if row["pipelineId"] == pipeline_id], pipeline_id)

    def _place(self, row: Row) -> tuple[datetime, str, str]:
        """Where a row stands in the list: created at, cursor id, own id."""
        return row["createdAt"], row["contact" if self.options.cursor_id == "contact" else "id"], row["id"]

    def _as_indexed(self, rows: list[Row], pipeline_id: str) -> list[Row]:
        """The rows as the list's index still has them: recent writes are not seen yet."""
        now = self.now()
        self._late = {key: late for key, late in self._late.items() if late[0] > now}
        if not self._late:
            return rows
        kept = [row for row in rows if row["id"] not in self._late]
        kept += [old for _, old in self._late.values() if old is not None and old["pipelineId"] == pipeline_id]
        return sorted(kept, key=self._place, reverse=True)

    def _start(self, call: Call, rows: list[Row], limit: int) -> int:
        after, after_id = call.param("startAfter"), call.param("startAfterId")
        if not after or not after_id:
            return (max(1, whole(call.param("page"), 1)) - 1) * limit
        mark = (whole(after, 0), after_id)
        places = ((_millis(row["createdAt"]), self._place(row)[1]) for row in rows)
        return next((index for index, place in enumerate(places) if place < mark), len(rows))

    def _meta(self, call: Call, page: list[Row], total: int, number: int, more: bool) -> Row:
        after_id = self._place(page[-1])[1] if page else None
        after = _millis(page[-1]["createdAt"]) if page else None
        kept = [(key, value) for key, value in call.query if key not in PAGING]
        cursor = [("startAfter", after), ("startAfterId", after_id)] if page else []
        url = f"{self.url}{call.path.rstrip('/')}?{urlencode([*kept, *cursor])}"
        ended = self.options.next_page_url == "until_end" and not more
        return {
            "total": total,
            "nextPageUrl": None if ended else url,
            "startAfterId": after_id,
            "startAfter": after,
            "currentPage": number,
            "nextPage": number + 1 if more else None if ended else "",
            "prevPage": number - 1 if number > 1 else None,
        }

    def _test(self, name: str, wanted: str) -> Callable[[Row], bool] | None:
        """A filter as a test of one row; None for parameters that do nothing (monetaryValue among them)."""
        if name in ("startDate", "endDate"):
            return self._date_test(name, wanted)
        if name == "query":
            return lambda row: wanted.casefold() in self._searched(row)
        column = {
            "stageId": "pipelineStageId",
            "assignedTo": "assignedTo",
            "status": "status",
            "campaignId": "campaign",
        }
        return (lambda row: row.get(column[name]) == wanted) if name in column else None

    def _date_test(self, name: str, wanted: str) -> Callable[[Row], bool] | None:
        bound = whole(wanted, -1)
        if bound < 0:
            if self.options.bad_date == "reject":
                raise Refused(self.refuse(400, "Bad Request"))
            return None
        if name == "startDate":
            return lambda row: _millis(row["createdAt"]) >= bound
        return lambda row: _millis(row["createdAt"]) <= bound

    def _searched(self, row: Row) -> str:
        contact = self.contacts[row["contact"]]
        parts = [
            row["name"],
            *(contact[key] or "" for key in ("name", "phone", "email", "companyName")),
            *contact["tags"],
        ]
        return "\n".join(parts).casefold()

    # Writing

    def create(self, call: Call, pipeline_id: str) -> Answer:
        """200 and the bare object; finds or makes the contact; one opportunity per contact and pipeline."""
        pipeline, body = self._pipeline(pipeline_id), self._object(call)
        self._check(body, pipeline, ("title", "stageId", "status", "contact"))
        contact = self._contact(body)
        self._refuse_twin(pipeline_id, contact["id"])
        row = self._blank(pipeline, contact["id"])
        self._keep(row, self._lay_over(row, body))
        return Answer(200, dump(self.show(self.rows[row["id"]])))

    def change(self, call: Call, pipeline_id: str, row_id: str) -> Answer:
        """200 and the bare object; the form's mandatory fields must be there, the others are a patch."""
        row, body, pipeline = self._row(pipeline_id, row_id), self._object(call), self._pipeline(pipeline_id)
        lenient = self.options.put_rule == "lenient"
        self._check(body, pipeline, ("title", "status") if lenient else ("title", "stageId", "status", "contact"))
        fresh = dict(row)
        if any(body.get(key) for key in ("contactId", "email", "phone")):
            fresh["contact"] = self._contact(body)["id"]
        else:
            self._edit_contact(self.contacts[row["contact"]], body)
        self._keep(row, self._lay_over(fresh, body) | {"updatedAt": self._now()})
        return Answer(200, dump(self.show(self.rows[row_id])))

    def set_status(self, call: Call, pipeline_id: str, row_id: str) -> Answer:
        """Sets status and stage, both required; the body of the answer is empty."""
        row, body = self._row(pipeline_id, row_id), self._object(call)
        self._check(body, self._pipeline(pipeline_id), ("status", "stageId"))
        self._keep(row, self._lay_over(dict(row), body) | {"updatedAt": self._now()})
        return self._empty()

    def remove(self, call: Call, pipeline_id: str, row_id: str) -> Answer:
        """200 and an empty body; a second time it is refused as an unknown id."""
        self.delete(self._row(pipeline_id, row_id)["id"])
        return self._empty()

    def _object(self, call: Call) -> Row:
        body = call.json()
        if not isinstance(body, dict):
            raise Refused(self.refuse(400, "Bad Request"))
        return body

    def _check(self, body: Row, pipeline: Row, required: tuple[str, ...]) -> None:
        """Raises `Refused` 422 with every failing field at once, keyed by field."""
        failing: dict[str, Row] = {}
        labels = {"title": "title", "status": "status", "stageId": "stage id"}
        for name in required:
            if name == "contact" and not any(body.get(key) for key in ("contactId", "email", "phone")):
                failing["contactId or email"] = _rule("contactId or email", "required")
            elif name != "contact" and not body.get(name):
                failing[name] = _rule(labels[name], "required")
        if body.get("status") and body["status"] not in STATUSES:
            failing["status"] = _rule("status", "invalid")
        if body.get("stageId") and body["stageId"] not in [stage["id"] for stage in pipeline["stages"]]:
            failing["stageId"] = _rule("stage id", "invalid")
        if body.get("contactId") and body["contactId"] not in self.contacts:
            failing["contactId"] = _rule("contactId", "invalid")
        if failing:
            raise Refused(Answer(422, dump(failing)))

    def _contact(self, body: Row) -> Row:
        """The contact by id, else by e-mail, else by phone, else a new one, with the body's contact fields."""
        found = self.contacts.get(body.get("contactId") or "")
        for key in ("email", "phone"):
            if found is None and body.get(key):
                wanted = str(body[key]).casefold()
                found = next((one for one in self.contacts.values() if (one[key] or "").casefold() == wanted), None)
        if found is None:
            found = {
                "id": self._invent.letters(20),
                "name": "",
                "companyName": None,
                "email": None,
                "phone": None,
                "tags": [],
            }
            self.contacts[found["id"]] = found
        self._edit_contact(found, body)
        return found

    def _edit_contact(self, contact: Row, body: Row) -> None:
        for key in ("name", "companyName", "email", "phone", "tags"):
            if key in body:
                contact[key] = body[key]

    def _refuse_twin(self, pipeline_id: str, contact_id: str) -> None:
        twin = next(
            (row for row in self.rows.values() if row["pipelineId"] == pipeline_id and row["contact"] == contact_id),
            None,
        )
        if twin is None or self.options.allow_duplicates:
            return
        answer = self.refuse(400, "Bad Request")
        if self.options.duplicate_body == "v2":
            told = {"statusCode": 400, "message": "Can not create duplicate opportunity for the contact."}
            told |= {"code": "OPPORTUNITY_NO_DUPLICATE", "meta": {"existingId": twin["id"]}, "error": "Bad Request"}
            answer.body = dump(told)
        raise Refused(answer)

    def _blank(self, pipeline: Row, contact_id: str) -> Row:
        at = self._now()
        made = {"id": self._invent.letters(20), "name": "", "monetaryValue": Decimal(0), "pipelineId": pipeline["id"]}
        made |= {"pipelineStageId": pipeline["stages"][0]["id"], "assignedTo": None, "status": "open", "source": None}
        return made | dict.fromkeys(STAMPS, at) | {"contact": contact_id}

    def _lay_over(self, row: Row, body: Row) -> Row:
        """The row with the body's fields under their read names; a changed status moves lastStatusChangeAt."""
        names = {"title": "name", "stageId": "pipelineStageId", "monetaryValue": "monetaryValue"}
        names |= {"assignedTo": "assignedTo", "status": "status", "source": "source"}
        fresh = row | {names[key]: value for key, value in body.items() if key in names}
        if fresh["status"] != row["status"]:
            fresh["lastStatusChangeAt"] = self._now()
        return fresh

    def _keep(self, old: Row, fresh: Row) -> None:
        self._lag(old)
        self.rows[fresh["id"]] = fresh
        self.touched()

    def _lag(self, row: Row) -> None:
        """Lists go on showing the row as it is now until the index lag is over."""
        seconds = self.options.index_lag_seconds
        if seconds and row["id"] not in self._late:
            seen = copy.copy(row) if row["id"] in self.rows else None
            self._late[row["id"]] = (self.now() + timedelta(seconds=seconds), seen)

    def _now(self) -> datetime:
        return _cut(self.now())

    # What a user of the CRM does

    def insert(self, **changes: Any) -> str:
        """Creates an opportunity from read names; `contact` is a contact id or a dict of contact fields ."""
        with self.lock:
            pipeline = self.pipelines.get(str(changes.get("pipelineId")), next(iter(self.pipelines.values())))
            given = changes.pop("contact", {"name": "New Contact"})
            if isinstance(given, dict):
                given = self._contact({"name": "New Contact", **given})["id"]
            row = self._blank(pipeline, given) | {"name": "New opportunity"}
            self._keep(row, self._changed(row, changes))
            return str(row["id"])

    def update(self, row_id: str, *, silently: bool = False, **changes: Any) -> None:
        """Changes fields by read names, `contact` as a dict of its fields; `updatedAt` moves unless `silently`."""
        with self.lock:
            row = self.rows[row_id]
            contact = changes.pop("contact", None)
            if isinstance(contact, dict):
                self._edit_contact(self.contacts[row["contact"]], contact)
            elif contact is not None:
                changes["contact"] = contact
            fresh = self._changed(row, changes)
            bumps = bool(changes) or contact is None or self.options.contact_edit_bumps
            if not silently and "updatedAt" not in changes and bumps:
                fresh["updatedAt"] = self._now()
            if fresh["status"] != row["status"] and not silently and "lastStatusChangeAt" not in changes:
                fresh["lastStatusChangeAt"] = self._now()
            self._keep(row, fresh)

    def _changed(self, row: Row, changes: Row) -> Row:
        unknown = set(changes) - set(row)
        if unknown:
            raise ValueError(f"an OnAutomate opportunity has no {', '.join(sorted(unknown))}")
        fresh = {**row, **changes}
        if "pipelineId" in changes and "pipelineStageId" not in changes:
            fresh["pipelineStageId"] = self.pipelines[fresh["pipelineId"]]["stages"][0]["id"]
        return fresh | {name: _cut(as_utc(fresh[name])) for name in STAMPS}

    def delete(self, row_id: str) -> None:
        """Removes a record for good; its contact stays."""
        with self.lock:
            self._lag(self.rows[row_id])
            super().delete(row_id)


def _rule(label: str, rule: str) -> Row:
    return {"message": f"The {label} field is {'mandatory' if rule == 'required' else 'invalid'}.", "rule": rule}


def _cut(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _millis(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _millis_z(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _uuid(invent: Invent) -> str:
    digits = invent.letters(32, "0123456789abcdef")
    return "-".join((digits[:8], digits[8:12], "4" + digits[13:16], "8" + digits[17:20], digits[20:]))

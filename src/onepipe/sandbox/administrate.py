"""A simulated Administrate REST API v2.5 (legacy), opportunities: bare arrays, X-Pagination headers, Basic auth.

Its habits: page numbers, not offsets; attribute filters with suffixes; POST and DELETE answer 200 with the whole
object; PUT is partial; moving the step fires triggers. Source: vendor documentation of v2.5.
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from onepipe.sandbox.administrate_rules import (
    COLUMNS,
    MOVES,
    STAMPS,
    STEPS,
    TESTS,
    reader,
    required_for,
    sortable,
    step_of,
    triggers_of,
)
from onepipe.sandbox.crm import Crm, Options
from onepipe.sandbox.data import CURRENCIES, SOURCES, Deal, Invent, secret
from onepipe.sandbox.wire import Answer, Call, Refused, Row, as_utc, dump, next_id, seconds_z, whole

REGIONS = {"SCO": "Scotland", "ENG": "England", "BY": "Bayern", "IDF": "Île-de-France"}
TEMPLATES = {1: ("MergeTemplate", "{company} is great!"), 2: ("Basic", "Basic document template content")}
NAMED = (
    "company",
    "account",
    "contact",
    "marketing_activity",
    "promotion_type",
    "discount_type",
    "user",
    "source_type",
)
WRITABLE = frozenset({"name", "closing_date", "external_id", "attributes", "categories", *NAMED, "currency", "region"})
INTEREST = {
    **dict.fromkeys(("event", "course", "item", "track", "tag", "tax_type", "price", "quantity", "notes")),
    "is_reserved": False,
    "is_iht": False,
    "is_taxable": True,
    "is_discountable": True,
}
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)


@dataclass
class AdministrateOptions(Options):
    """Switches for what the documentation leaves open.

    unknown_filter: "ignore" (answers everything, the dangerous one) or "reject" (400) for an unknown column or suffix
    nested: "append" or "replace" for interests and documents on PUT; one sent with its id stays either way
    child_bumps_parent: whether adding an interest or document, a quote or an e-mail moves updated_at
    check_transitions: whether PUT may only move along a transition of the current step
    """

    unknown_filter: str = "ignore"
    nested: str = "append"
    child_bumps_parent: bool = False
    check_transitions: bool = True


class Administrate(Crm):
    """Administrate: ids are integers, stamps whole seconds in UTC with Z, money JSON numbers."""

    name = "administrate"
    lists = ("list_opportunities",)
    routes = [
        ("GET", "/api/v2.5/crm/opportunities", "list_opportunities"),
        ("POST", "/api/v2.5/crm/opportunities", "create"),
        ("GET", "/api/v2.5/crm/opportunities/quotes/{quote_id}/render_pdf", "render_pdf"),
        ("GET", "/api/v2.5/crm/opportunities/{row_id}", "read"),
        ("PUT", "/api/v2.5/crm/opportunities/{row_id}", "change"),
        ("DELETE", "/api/v2.5/crm/opportunities/{row_id}", "remove"),
        ("POST", "/api/v2.5/crm/opportunities/{row_id}/generate_quote", "generate_quote"),
        ("POST", "/api/v2.5/crm/opportunities/{row_id}/send_email", "send_email"),
        ("GET", "/api/v2.5/crm/opportunity_steps", "list_steps"),
        ("GET", "/api/v2.5/crm/opportunity_steps/{row_id}", "read_step"),
        ("GET", "/api/v2.5/system/document_templates", "list_templates"),
        ("GET", "/api/v2.5/system/document_templates/{row_id}", "read_template"),
    ]

    # Data

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills the account: companies, contacts, users, and `rows` opportunities."""
        self.options: AdministrateOptions = AdministrateOptions()
        self.credentials = {"username": "rest.user@example.org", "password": secret(seed, self.name)[:20]}
        self._invent = invent = Invent(seed, self.name, now)
        self.companies = dict(enumerate(invent.companies(max(20, rows // 4)), start=1))
        self.people = {n: " ".join(invent.person(n)) for n in range(1, max(40, rows // 2))}
        self.users = {n: " ".join(invent.person(9 * n + 8)) for n in range(1, 5)}
        self.sources = dict(enumerate(SOURCES, start=1))
        self.emails: list[Row] = []
        self._ids: dict[str, int] = {}
        for deal in invent.deals(rows):
            row = self._from_deal(deal, len(self.rows) + 1)
            self.rows[row["id"]] = row

    def _from_deal(self, deal: Deal, row_id: int) -> Row:
        dice = deal.dice
        step = {"open": deal.stage + 1, "won": 5}.get(deal.outcome, 6)
        company = deal.company % len(self.companies) + 1
        row = self._blank(row_id, deal.name, deal.created)
        row |= {
            "updated_at": deal.updated.replace(microsecond=0),
            "currency": None if dice < 0.05 else {"id": deal.currency},
            "company": {"id": company, "name": self.companies[company]},
            "step_id": step,
            "user": {"id": deal.owner + 1, "name": self.users[deal.owner + 1]},
            "region": None if dice > 0.7 else self._region(list(REGIONS)[deal.owner]),
            "source_type": None if dice < 0.2 else self._source(int(dice * len(SOURCES)) + 1, company),
            "closing_date": None if dice < 0.1 else deal.expected.isoformat(),
            "attributes": {"Priority": "High", "Note": deal.tags[0]} if deal.tags else {},
            "external_id": f"EXT-{row_id:05d}" if dice > 0.6 else None,
        }
        if dice > 0.3:
            person = deal.company % len(self.people) + 1
            row["contact"] = {"id": person, "name": self.people.get(person, "")}
        if deal.amount is not None:
            self._add_interests(row, deal)
        if step == 5:
            row["invoice"] = {"id": self._number("invoice"), "name": f"Invoice {row_id}"}
            row["registration"] = {"id": self._number("registration"), "name": deal.name}
        if dice > 0.9:
            self._add_document(row, {"document_template": {"id": 1}, "name": "Letter", "user": {"id": 1}}, deal.updated)
        if dice > 0.8:
            row["quotes"].append(self._quote(row, {"cover_letter": deal.note}, deal.updated))
        return row

    def _add_interests(self, row: Row, deal: Deal) -> None:
        amount = deal.amount or Decimal(0)
        start = {"id": 1 + deal.stage, "title": "Safety 101", "start": f"{deal.expected}T00:00:00Z"}
        event = {**start, "code": None, "course": None, "places_available": None}
        seats = 4 if amount % 4 == 0 and amount else 1
        first = {"event": event, "price": Decimal(f"{amount / seats}"), "quantity": seats, "notes": deal.note}
        wanted: list[Row] = [first]
        if deal.dice > 0.85:
            wanted.append({"course": {"id": 7, "title": "First aid <basic>"}, "notes": "no price yet"})
        if deal.dice > 0.5:
            name, last = self._invent.person(deal.number)
            first["delegates"] = [{"first_name": name, "last_name": last, "email": f"p{deal.number}@example.org"}]
        for interest in wanted:
            self._add_interest(row, interest)
        self._revalue(row)

    def _blank(self, row_id: int, name: str, at: datetime) -> Row:
        nothing = dict.fromkeys(("currency", "invoice", "registration", "promotion_type"))
        return {
            "updated_at": at.replace(microsecond=0),
            **nothing,
            "categories_order": "",
            **{part: [] for part in ("children", "documents")},
            "marketing_activity": None,
            "id": row_id,
            **{part: [] for part in ("quotes", "resources", "interests")},
            **dict.fromkeys(("parent", "company", "discount_type")),
            "step_id": 1,
            **dict.fromkeys(("user", "region")),
            "categories": [],
            "account": None,
            "name": name,
            **dict.fromkeys(("source_type", "closing_date")),
            "created_at": at.replace(microsecond=0),
            "value": Decimal("0.0"),
            "contact": None,
            "attributes": {},
            "external_id": None,
        }

    def show(self, row: Row) -> Row:
        """The opportunity as GET by id prints it; `age` is days since creation by the CRM's clock."""
        shown = {key: value for key, value in row.items() if key != "step_id"}
        shown["created_at"], shown["updated_at"] = seconds_z(row["created_at"]), seconds_z(row["updated_at"])
        shown["step"] = step_of(row["step_id"], embedded=True)
        shown["age"] = (self.now() - row["created_at"]).days
        return shown

    # Auth, errors and pages

    def admit(self, call: Call) -> None:
        """HTTP Basic with a WEB user's e-mail and password."""
        pair = f"{self.credentials['username']}:{self.credentials['password']}".encode()
        if call.headers.get("authorization") != "Basic " + base64.b64encode(pair).decode():
            answer = self.refuse(401, "invalid login")
            answer.headers.append(("WWW-Authenticate", 'Basic realm="Administrate"'))
            raise Refused(answer)

    def emptied(self, answer: Answer) -> Answer:
        """An empty array under the same X-Pagination headers."""
        answer.body = b"[]"
        return answer

    def is_filter(self, name: str) -> bool:
        """Everything that is not paging or order filters."""
        return not name.startswith("_")

    def _page(self, call: Call, found: list[Row], show: Callable[[Row], Row]) -> Answer:
        limit = max(1, whole(call.param("_limit"), 50))
        limit = limit if call.cap is None else min(limit, call.cap)
        page = max(1, whole(call.param("_page"), 1))
        answer = Answer(200, dump([show(row) for row in found[(page - 1) * limit : page * limit]]))
        counts = {"Page": page, "Pages": -(-len(found) // limit), "Per": limit, "Total": len(found)}
        answer.headers += [(f"X-Pagination-{name}", str(value)) for name, value in counts.items()]
        return answer

    def _row(self, row_id: str) -> Row:
        row = self.rows.get(whole(row_id, -1))
        if row is None:
            raise Refused(self.refuse(404, "does not exist"))
        return row

    def _bad(self, message: str) -> Refused:
        return Refused(self.refuse(400, message))

    # Reading

    def list_opportunities(self, call: Call) -> Answer:
        """A page of opportunities that pass all filters, in `_order`."""
        found = self.scrambled() if call.ignore_order else self._ordered(call.param("_order") or "id")
        for name, wanted in call.query:
            if self.is_filter(name):
                found = self._filtered(found, name, wanted)
        return self._page(call, found, self.show)

    def _ordered(self, order: str) -> list[Row]:
        names = [name.strip() for name in order.split(",") if name.strip()]
        if any(name.lstrip("-") not in COLUMNS for name in names):
            raise self._bad(f"cannot order by {order!r}")
        kept = self._orders.get(order)
        if kept is None or kept[0] != self._version:
            rows = list(self.rows.values())
            for name in reversed(names):  # stable sorts, the least significant column first
                rows.sort(key=sortable(name.lstrip("-")), reverse=name.startswith("-"))
            kept = self._orders[order] = (self._version, rows)
        return kept[1]

    def _filtered(self, rows: list[Row], name: str, wanted: str) -> list[Row]:
        column, _, suffix = name.partition("__")
        test = TESTS.get(suffix or "eq")
        if column not in COLUMNS or test is None:
            if self.options.unknown_filter == "reject":
                raise self._bad(f"unknown filter {name!r}")
            return rows
        try:
            passes = test(column, wanted)
        except (ValueError, ArithmeticError) as error:
            raise self._bad(f"{name}: bad value {wanted!r}") from error
        read = reader(column, self.now())
        return [row for row in rows if passes(read(row))]

    def read(self, call: Call, row_id: str) -> Answer:
        """One opportunity, no wrapper; 404 when it does not exist."""
        return Answer(200, dump(self.show(self._row(row_id))))

    def list_steps(self, call: Call) -> Answer:
        """The pipeline's steps, each with its stage, probability and transitions."""
        return self._page(call, [step_of(number) for number in STEPS], lambda step: step)

    def read_step(self, call: Call, row_id: str) -> Answer:
        """One step."""
        if whole(row_id, -1) not in STEPS:
            raise Refused(self.refuse(404, "does not exist"))
        return Answer(200, dump(step_of(int(row_id))))

    def list_templates(self, call: Call) -> Answer:
        """Document templates: id, name, body."""
        rows = [{"id": n, "name": name, "body": body} for n, (name, body) in TEMPLATES.items()]
        return self._page(call, rows, lambda row: row)

    def read_template(self, call: Call, row_id: str) -> Answer:
        """One document template."""
        number = whole(row_id, -1)
        if number not in TEMPLATES:
            raise Refused(self.refuse(404, "does not exist"))
        name, body = TEMPLATES[number]
        return Answer(200, dump({"id": number, "name": name, "body": body}))

    def render_pdf(self, call: Call, quote_id: str) -> Answer:
        """The PDF of a quote, by the quote's id."""
        if not any(str(quote["id"]) == quote_id for row in self.rows.values() for quote in row["quotes"]):
            raise Refused(self.refuse(404, "not found"))
        return Answer(200, PDF, [("Content-Type", "application/pdf")])

    # Writing

    def create(self, call: Call) -> Answer:
        """A new opportunity from relations given as {id}: 200 and the whole object."""
        body = self._object(call)
        if not body.get("name"):
            raise self._bad("name is required")
        row = self._blank(next_id([*self.rows, *self.removed]), body["name"], self.now())
        row["user"] = {"id": 1, "name": self.users[1]}
        step = (body.pop("step", None) or {}).get("id", 1)
        if step not in STEPS:
            raise self._bad("unknown step")
        row["step_id"] = step
        self._write(row, body)
        self.rows[row["id"]] = row
        self.touched()
        return Answer(200, dump(self.show(row)))

    def change(self, call: Call, row_id: str) -> Answer:
        """A partial update: what is not sent stays; a legal step change fires its triggers."""
        row, body = self._row(row_id), self._object(call)
        if "name" in body and not body["name"]:
            raise self._bad("name may not be empty")
        fresh = copy.deepcopy(row)
        step = body.pop("step", None)
        self._write(fresh, body)
        if step is not None:
            self._move(fresh, step.get("id"))
        if self.options.child_bumps_parent or step is not None or set(body) - {"interests", "documents"}:
            fresh["updated_at"] = self.now().replace(microsecond=0)
        self.rows[row["id"]] = fresh
        self.touched()
        return Answer(200, dump(self.show(fresh)))

    def remove(self, call: Call, row_id: str) -> Answer:
        """Deletes for good: 200 and the deleted object's whole body."""
        shown = self.show(self._row(row_id))
        self.delete(shown["id"])
        return Answer(200, dump(shown))

    def generate_quote(self, call: Call, row_id: str) -> Answer:
        """Freezes the interests as a new quote; not idempotent."""
        row, body = self._row(row_id), self._object(call)
        expires = body.get("expires_at")
        if expires is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(expires)):
            raise self._bad("expires_at must be YYYY-MM-DD")
        quote = self._quote(row, body, self.now())
        row["quotes"].append(quote)
        self._child_written(row)
        url = f"{self.url}/api/v2.5/crm/opportunities/quotes/{quote['id']}/render_pdf"
        told = {"id": quote["id"], "pdf_url": url, "value": quote["value"]}
        return Answer(200, dump({"message": "Quote generated for opportunity", "quote": told}))

    def send_email(self, call: Call, row_id: str) -> Answer:
        """Schedules an e-mail from the owner to the contact; kept in `emails`. 400 without either."""
        row, body = self._row(row_id), self._object(call)
        template = TEMPLATES.get(body.get("body_document_template_id") or 0)
        if not body.get("subject") or template is None or row["user"] is None or row["contact"] is None:
            raise self._bad("subject, body_document_template_id, an owner and a contact are required")
        files = [{**item, "type": "opportunity_document"} for item in body.get("document_attachments", [])]
        files += [{**item, "type": "opportunity_quote"} for item in body.get("quote_attachments", [])]
        held = {(kind, item["id"]) for kind in ("document", "quote") for item in row[f"{kind}s"]}
        if any((item["type"].removeprefix("opportunity_"), item.get("id")) not in held for item in files):
            raise self._bad("no such attachment on the opportunity")
        email = {"attachments": files, "body": self._merged(row, template[1]), "subject": body["subject"]}
        email |= {"from": f"user{row['user']['id']}@example.com", "to": f"contact{row['contact']['id']}@example.org"}
        self.emails.append({"opportunity_id": row["id"], **email})
        self._child_written(row)
        return Answer(200, dump({"email": email, "message": "Email scheduled successfully"}))

    def _object(self, call: Call) -> Row:
        body = call.json()
        if not isinstance(body, dict):
            raise self._bad("an object is expected")
        return body

    def _write(self, row: Row, body: Row) -> None:
        """Lays the writable fields of a request over a row; others (value, age, stamps) are ignored."""
        for name in WRITABLE & set(body):
            given = body[name]
            row[name] = self._related(name, given, row) if name in (*NAMED, "currency", "region") and given else given
        for part in ("interests", "documents") if self.options.nested == "replace" else ():
            named = [child.get("id") for child in body.get(part) or []]
            row[part] = [child for child in row[part] if part not in body or child["id"] in named]
        for interest in body.get("interests") or []:
            if not self._merge_child(row["interests"], interest):
                self._add_interest(row, interest)
        for document in body.get("documents") or []:
            if not self._merge_child(row["documents"], document):
                self._add_document(row, document, self.now())
        if "interests" in body:
            self._revalue(row)

    def _related(self, name: str, given: Any, row: Row) -> Row:
        key = given.get("id") if isinstance(given, dict) else given
        known: dict[str, Any] = {"company": self.companies, "contact": self.people, "user": self.users}
        if name == "currency" and key in CURRENCIES:
            return {"id": key}
        if name == "region" and key in REGIONS:
            return self._region(key)
        if name == "source_type" and key in self.sources:
            return self._source(key, (row["company"] or {"id": 1})["id"])
        if key in known.get(name, {}):
            return {"id": key, "name": known[name][key]}
        if name in ("account", "marketing_activity", "promotion_type", "discount_type") and isinstance(key, int):
            return {"id": key, "name": f"{name} {key}"}
        raise self._bad(f"unknown {name} {key!r}")

    def _move(self, row: Row, step: Any) -> None:
        if step == row["step_id"]:
            return
        if step not in STEPS or (self.options.check_transitions and (row["step_id"], step) not in MOVES):
            raise self._bad(f"no transition from step {row['step_id']} to {step!r}")
        missing = [name for name in required_for(row["step_id"], step) if row[name] is None]
        if missing:
            raise self._bad(f"required for this transition: {', '.join(missing)}")
        row["step_id"] = step
        triggers = triggers_of(step)
        for name in ("invoice", "registration", "account", "contact"):
            if triggers[f"create_{name}"] and row[name] is None:
                row[name] = {"id": self._number(name), "name": row["name"]}

    def _merge_child(self, children: list[Row], given: Row) -> bool:
        """Updates the child with the same id in place; False when the element has no id of ours."""
        child = next((child for child in children if child["id"] == given.get("id")), None)
        if child is not None:
            child |= {name: value for name, value in given.items() if not self._same_relation(child.get(name), value)}
        return child is not None

    def _same_relation(self, held: Any, given: Any) -> bool:
        """Whether {"id": 5} names what the child is related to already."""
        return isinstance(held, dict) and isinstance(given, dict) and given == {"id": held.get("id")}

    def _add_interest(self, row: Row, given: Row) -> None:
        people = [
            {
                "first_name": "",
                "last_name": "",
                "notes": None,
                "contact": None,
                "email": None,
                **person,
                "id": self._number("delegate"),
            }
            for person in given.get("delegates") or []
        ]
        event = given.get("event")
        if event and "title" not in event:
            event = {"id": event["id"], "title": f"Event {event['id']}", "start": "2025-05-01T00:00:00Z"}
            event |= {"code": None, "course": None, "places_available": None}
        own = {"id": self._number("interest"), "event": event, "delegates": people, "children": []}
        row["interests"].append({**INTEREST, **given, **own})

    def _add_document(self, row: Row, given: Row, at: datetime) -> None:
        template = (given.get("document_template") or {}).get("id")
        if template not in TEMPLATES:
            raise self._bad("unknown document template")
        name, body = TEMPLATES[template]
        user = (given.get("user") or {"id": 1})["id"]
        row["documents"].append(
            {
                "body": given.get("body") or self._merged(row, body),
                "name": given.get("name") or name,
                "created_at": seconds_z(at),
                "updated_at": seconds_z(at),
                "document_template": {"id": template, "name": name},
                "user": {"id": user, "name": self.users.get(user, "")},
                "id": self._number("document"),
            }
        )

    def _quote(self, row: Row, body: Row, at: datetime) -> Row:
        left_out = ("delegates", "tag", "track", "is_reserved")
        frozen = [{key: value for key, value in one.items() if key not in left_out} for one in row["interests"]]
        quote = {"id": self._number("quote"), "cover_letter": body.get("cover_letter"), "value": row["value"]}
        quote |= {"expires_at": body.get("expires_at"), "created_at": seconds_z(at), "updated_at": seconds_z(at)}
        return (
            quote
            | {key: row[key] for key in ("company", "currency", "discount_type", "region", "user")}
            | {"interests": frozen}
        )

    def _merged(self, row: Row, template: str) -> str:
        return template.replace("{company}", escape((row["company"] or {"name": ""})["name"], quote=False))

    def _revalue(self, row: Row) -> None:
        """The value is the sum of price times quantity over the interests."""
        parts = [one for one in row["interests"] if one["price"] is not None]
        total = sum((Decimal(str(one["price"])) * (one["quantity"] or 1) for one in parts), Decimal(0))
        row["value"] = total if total.as_tuple().exponent != 0 else Decimal(f"{total}.0")

    def _child_written(self, row: Row) -> None:
        if self.options.child_bumps_parent:
            row["updated_at"] = self.now().replace(microsecond=0)
        self.touched()

    def _number(self, kind: str) -> int:
        self._ids[kind] = self._ids.get(kind, 0) + 1
        return self._ids[kind]

    def _region(self, key: str) -> Row:
        return {"id": key, "default_tax": None, "name": REGIONS[key]}

    def _source(self, key: int, company: int) -> Row:
        return {"companies": [{"id": company, "name": self.companies[company]}], "id": key, "name": self.sources[key]}

    # What a user of the CRM does

    def insert(self, **changes: Any) -> int:
        """Creates an opportunity; relations as {id} or as the whole object, step as {id}, any field of the record."""
        with self.lock:
            row = self._blank(next_id([*self.rows, *self.removed]), "New opportunity", self.now())
            row |= {"company": {"id": 1, "name": self.companies[1]}, "user": {"id": 1, "name": self.users[1]}}
            self.rows[row["id"]] = row
            self._set(row, changes)
            return int(row["id"])

    def update(self, row_id: int, *, silently: bool = False, **changes: Any) -> None:
        """Changes any field of the record, legal or not; `updated_at` moves unless `silently` or given."""
        with self.lock:
            row = self.rows[row_id]
            if not silently:
                row["updated_at"] = self.now().replace(microsecond=0)
            self._set(row, changes)

    def _set(self, row: Row, changes: Row) -> None:
        for name, value in changes.items():
            if name == "step":
                row["step_id"] = value["id"]
            elif name in STAMPS:
                row[name] = as_utc(value).replace(microsecond=0)
            elif name in ("interests", "documents"):
                self._write(row, {name: value})
            elif name in row:
                short = isinstance(value, dict) and set(value) == {"id"}
                row[name] = self._related(name, value, row) if short else value
            else:
                raise ValueError(f"an Administrate opportunity has no {name!r}")
        self.touched()

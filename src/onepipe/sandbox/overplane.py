"""A simulated Overplane API, crm/opportunity: Stripe-like envelopes around ERPNext-like records, newest first.

Its habits: no filter and no sort of any kind (unknown parameters are ignored); children are requests of their own,
without stamps and without a read by id. Source: Overplane API reference; ERPNext for what a save does.
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from onepipe.sandbox.crm import Crm, Options
from onepipe.sandbox.data import Deal, Invent, secret
from onepipe.sandbox.wire import Answer, Call, Refused, Row, as_utc, dump, load, seconds_z, shuffled, whole

COMPANY, COMPANY_CURRENCY = "Example Corp", "USD"
RATES = {"USD": "1.0", "EUR": "1.08", "GBP": "1.27", "JPY": "0.0067", "CHF": "1.12", "SEK": "0.095"}
FIELDS = (
    *("id", "created_at", "updated_at", "opportunity_from", "party_name", "customer_name", "title"),
    *("opportunity_type", "status", "order_lost_reason", "expected_closing", "currency", "opportunity_amount"),
    *("sales_stage", "probability", "customer_address", "address_display", "territory", "customer_group"),
    *("contact_person", "contact_display", "contact_email", "contact_mobile", "company", "transaction_date"),
    *("first_response_time", "language", "base_opportunity_amount", "base_total", "total", "conversion_rate"),
    *("no_of_employees", "annual_revenue", "industry", "market_segment", "opportunity_owner", "website"),
    *("whatsapp", "phone", "phone_ext", "job_title", "city", "state", "country", "utm_source", "utm_campaign"),
    *("utm_medium", "utm_content"),
)
ITEM_FIELDS = (
    *("id", "idx", "opportunity_id", "item_code", "qty", "item_group", "brand", "uom", "item_name"),
    *("description", "image", "image_view", "rate", "base_amount", "amount", "base_rate"),
)
REASON_FIELDS = ("id", "idx", "opportunity_id", "lost_reason")
REQUIRED = ("opportunity_from", "party_name", "company", "transaction_date")
COMPUTED = frozenset({"id", "created_at", "updated_at", "customer_name", "total", "base_total"})
SALES_STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", "Negotiation/Review")
STATUSES = ("Open", "Quotation", "Converted", "Lost", "Replied", "Closed")
REASONS = ("Price", "Competitor", "No budget", "Went silent", "R&D delay")
ITEMS = {"SKU-1": "Annual licence", "SKU-2": "Training day", "SKU-3": 'Box "XL" & cable', "SKU-4": "保守契約"}
MONEY = frozenset({"opportunity_amount", "base_opportunity_amount", "conversion_rate", "annual_revenue", "probability"})


@dataclass
class OverplaneOptions(Options):
    """Switches for what the reference leaves open.

    max_limit: greatest `limit`; over_limit: "clamp" to it or "reject" (400)
    timestamps: "clean" (09:30:00Z), "spaced" (09: 30: 00Z, as the reference prints) or "mixed"
    shuffle_ties: rows created in the same second come in another order on each request
    create_status: 200 or 201; missing_required: status when a required field is missing
    child_bumps_parent: whether item and lost-reason writes move the parent's updated_at
    child_cap: most rows a child list returns, silently and without has_more; None for none
    recompute_base_amount: base_opportunity_amount = amount x rate on the server (ERPNext leaves it to the browser)
    """

    max_limit: int = 100
    over_limit: str = "clamp"
    timestamps: str = "clean"
    shuffle_ties: bool = False
    create_status: int = 200
    missing_required: int = 422
    child_bumps_parent: bool = False
    child_cap: int | None = None
    recompute_base_amount: bool = False


class Overplane(Crm):
    """Overplane: ids are texts with a prefix, stamps whole seconds in UTC with Z, money JSON numbers."""

    name = "overplane"
    lists = ("list_opportunities",)
    routes = [
        ("GET", "/api/crm/opportunity", "list_opportunities"),
        ("POST", "/api/crm/opportunity", "create"),
        ("GET", "/api/crm/opportunity/{row_id}", "read"),
        ("PATCH", "/api/crm/opportunity/{row_id}", "change"),
        ("DELETE", "/api/crm/opportunity/{row_id}", "remove"),
        ("GET", "/api/crm/{kind}", "list_children"),
        ("POST", "/api/crm/{kind}", "create_child"),
        ("POST", "/api/crm/{kind}/reorder", "reorder_children"),
        ("PATCH", "/api/crm/{kind}/{child_id}", "change_child"),
        ("DELETE", "/api/crm/{kind}/{child_id}", "remove_child"),
    ]

    # Data

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills the account: parties and `rows` opportunities with items and lost reasons."""
        self.options: OverplaneOptions = OverplaneOptions()
        self.credentials = {"api_key": "sk_test_" + secret(seed, self.name)[:32]}
        self.children: dict[str, dict[str, list[Row]]] = {"opportunity-item": {}, "opportunity-lost-reason-detail": {}}
        self._requests = 0
        self._invent = Invent(seed, self.name, now)
        names = self._invent.companies(max(20, rows // 4))
        self.parties = {f"customer_{number}": name for number, name in enumerate(names, start=1)}
        for deal in self._invent.deals(rows):
            self._from_deal(deal)

    def _from_deal(self, deal: Deal) -> None:
        dice, row_id = deal.dice, f"opportunity_{self._hex()}"
        party = f"customer_{deal.company % len(self.parties) + 1}"
        first, last = self._invent.person(deal.number)
        row: Row = dict.fromkeys(FIELDS)
        row |= {
            "id": row_id,
            "created_at": deal.created.replace(microsecond=0),
            "updated_at": deal.updated.replace(microsecond=0),
            "opportunity_from": "Customer" if dice < 0.6 else "Lead",
            "party_name": party,
            "title": deal.name,
            "opportunity_type": "Sales" if dice < 0.9 else "Maintenance",
            "status": {
                "open": ("Open", "Replied", "Quotation")[deal.owner % 3],
                "won": "Converted",
                "lost": "Lost",
            }.get(deal.outcome, "Closed"),
            "expected_closing": None if dice < 0.1 else deal.expected.isoformat(),
            "currency": deal.currency,
            "opportunity_amount": deal.amount,
            "sales_stage": SALES_STAGES[deal.stage],
            "probability": {"won": 100, "open": 25 * deal.stage + 10}.get(deal.outcome, 0),
            "company": COMPANY,
            "transaction_date": deal.created.date().isoformat(),
            "opportunity_owner": f"owner{deal.owner}@example.org",
            "utm_source": None if dice > 0.5 else "newsletter",
        }
        if dice > 0.4:
            row |= {"contact_person": f"contact_{deal.number}", "contact_display": f"{first} {last}"}
            row |= {
                "contact_email": f"p{deal.number}@example.org",
                "contact_mobile": "+44 20 7946 0000",
                "country": "België",
            }
            row |= {
                "annual_revenue": Decimal("1250000.50"),
                "no_of_employees": "51-200",
                "first_response_time": deal.number * 60,
            }
        self._seed_children(row, deal)
        self._recompute(row)
        if deal.amount is not None:
            row["base_opportunity_amount"] = deal.amount * row["conversion_rate"]
        self.rows[row_id] = row

    def _seed_children(self, row: Row, deal: Deal) -> None:
        if deal.outcome == "lost" and deal.dice > 0.2:
            for reason in REASONS[deal.owner : deal.owner + 2]:
                self._add_child("opportunity-lost-reason-detail", {"opportunity_id": row["id"], "lost_reason": reason})
            row["order_lost_reason"] = deal.note
        count = 23 if deal.number == 7 else int(deal.dice * 4)
        amount = deal.amount or Decimal(0)
        for number in range(count):
            code = list(ITEMS)[number % 4]
            rate = amount if count == 1 else Decimal(100 + number)
            self._add_child(
                "opportunity-item", {"opportunity_id": row["id"], "item_code": code, "qty": 1, "rate": rate}
            )

    def _hex(self) -> str:
        return self._invent.random.randbytes(7).hex()

    def show(self, row: Row) -> Row:
        """The opportunity as GET by id prints it: all fields, null where unset."""
        return {**row, "created_at": self._stamp(row, "created_at"), "updated_at": self._stamp(row, "updated_at")}

    def _stamp(self, row: Row, name: str) -> str:
        text = seconds_z(row[name])
        mode = self.options.timestamps
        spaced = mode == "spaced" or (mode == "mixed" and shuffled(row["id"])[0] % 2)
        return text.replace(":", ": ") if spaced else text

    # Auth and errors

    def admit(self, call: Call) -> None:
        """Bearer with an sk_ key."""
        if call.headers.get("authorization") != f"Bearer {self.credentials['api_key']}":
            raise Refused(self.refuse(401, "Invalid API key"))

    def refuse(self, status: int, message: str) -> Answer:
        """A Stripe-like error object; the reference documents none."""
        return self._error(status, message, None)

    def _error(self, status: int, message: str, param: str | None) -> Answer:
        code = {401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 429: "rate_limited"}.get(
            status, "invalid"
        )
        return Answer(
            status, dump({"error": {"type": "invalid_request_error", "code": code, "message": message, "param": param}})
        )

    def error_envelope(self) -> Answer:
        """An error object sent with 200."""
        answer = self.refuse(500, "internal error")
        answer.status = 200
        return answer

    def misshapen(self, shape: str) -> Answer:
        """A list answer whose `data` is missing or of the wrong type."""
        lists: dict[str, Any] = {"object": {"data": {}}, "null": {"data": None}}
        return Answer(200, dump([1, 2] if shape == "list" else {**lists.get(shape, {}), "has_more": True, "total": 3}))

    def emptied(self, answer: Answer) -> Answer:
        """No rows under the same has_more and total."""
        answer.body = dump({**load(answer.body), "data": []})
        return answer

    def is_filter(self, name: str) -> bool:
        """There are no filters to leave out."""
        return False

    def _row(self, row_id: str) -> Row:
        row = self.rows.get(row_id)
        if row is None:
            raise Refused(self.refuse(404, f"No such opportunity: {row_id}"))
        return row

    # Reading

    def list_opportunities(self, call: Call) -> Answer:
        """A slice of all rows, newest created first; every parameter but limit and offset is ignored."""
        self._requests += 1
        if call.ignore_order:
            rows = self.scrambled()
        elif self.options.shuffle_ties:
            turn = self._requests
            rows = self.in_order(
                ("ties", turn), lambda row: (row["created_at"], shuffled(row["id"], turn)), reverse=True
            )
            self._orders.pop(("ties", turn))
        else:
            rows = self.in_order("created", lambda row: (row["created_at"], row["id"]), reverse=True)
        start, limit = self._slice(call)
        page = [self.show(row) for row in rows[start : start + limit]]
        return Answer(
            200, dump({"data": page, "has_more": start + len(page) < len(rows) and bool(page), "total": len(rows)})
        )

    def _slice(self, call: Call) -> tuple[int, int]:
        start, limit = max(0, whole(call.param("offset"), 0)), whole(call.param("limit"), 20)
        if limit > self.options.max_limit and self.options.over_limit == "reject":
            raise Refused(self._error(400, f"limit may be at most {self.options.max_limit}", "limit"))
        limit = min(limit if limit > 0 else 20, self.options.max_limit)
        return start, limit if call.cap is None else min(limit, call.cap)

    def read(self, call: Call, row_id: str) -> Answer:
        """One opportunity, no wrapper; 404 when it does not exist."""
        return Answer(200, dump(self.show(self._row(row_id))))

    def list_children(self, call: Call, kind: str) -> Answer:
        """Children of the opportunity named by parent_id, in idx order."""
        held = self._held(kind)
        parent = call.param("parent_id")
        if not parent:
            raise Refused(self._error(400, "parent_id is required", "parent_id"))
        rows = held.get(parent, [])
        start, limit = self._slice(call)
        if self.options.child_cap is not None:
            rows = rows[: self.options.child_cap]
        page = rows[start : start + limit]
        return Answer(
            200, dump({"data": page, "has_more": start + len(page) < len(rows) and bool(page), "total": len(rows)})
        )

    def _held(self, kind: str) -> dict[str, list[Row]]:
        if kind not in self.children:
            raise Refused(self.refuse(404, f"No such resource: {kind}"))
        return self.children[kind]

    # Writing

    def create(self, call: Call) -> Answer:
        """The new object; four fields are required, computed ones are ignored."""
        body = self._object(call)
        missing = next((name for name in REQUIRED if not body.get(name)), None)
        if missing:
            raise Refused(self._error(self.options.missing_required, f"{missing} is required", missing))
        row = self._blank()
        self._lay_over(row, body)
        self._keep(row)
        return Answer(self.options.create_status, dump(self.show(row)))

    def change(self, call: Call, row_id: str) -> Answer:
        """The updated object; fields not sent stay."""
        row = copy.copy(self._row(row_id))
        self._lay_over(row, self._object(call))
        row["updated_at"] = self.now().replace(microsecond=0)
        self._keep(row)
        return Answer(200, dump(self.show(row)))

    def remove(self, call: Call, row_id: str) -> Answer:
        """Deletes for good, children too."""
        self.delete(self._row(row_id)["id"])
        return Answer(200, dump({"id": row_id, "deleted": True}))

    def create_child(self, call: Call, kind: str) -> Answer:
        """A new child at the end of its parent's list; the parent is named by opportunity_id (or parent_id)."""
        self._held(kind)
        body = self._object(call)
        body.setdefault("opportunity_id", body.pop("parent_id", None))
        if body["opportunity_id"] not in self.rows:
            raise Refused(self._error(self.options.missing_required, "opportunity_id is required", "opportunity_id"))
        if kind == "opportunity-item" and Decimal(str(body.get("qty", 1))) <= 0:
            raise Refused(self._error(self.options.missing_required, "qty must be greater than 0", "qty"))
        child = self._add_child(kind, body)
        self._child_written(child["opportunity_id"])
        return Answer(self.options.create_status, dump(child))

    def change_child(self, call: Call, kind: str, child_id: str) -> Answer:
        """The updated child; fields not sent stay."""
        child = self._child(kind, child_id)
        fields = ITEM_FIELDS if kind == "opportunity-item" else REASON_FIELDS
        child |= {
            key: value
            for key, value in self._object(call).items()
            if key in fields and key not in ("id", "opportunity_id")
        }
        self._child_written(child["opportunity_id"])
        return Answer(200, dump(child))

    def remove_child(self, call: Call, kind: str, child_id: str) -> Answer:
        """Deletes a child and closes the gap in idx."""
        child = self._child(kind, child_id)
        siblings = self.children[kind][child["opportunity_id"]]
        siblings.remove(child)
        _number(siblings)
        self._child_written(child["opportunity_id"])
        return Answer(200, dump({"id": child_id, "deleted": True}))

    def reorder_children(self, call: Call, kind: str) -> Answer:
        """{"parent_id", "ids"}: sets the order of all children of one parent (method and body are a guess)."""
        held, body = self._held(kind), self._object(call)
        siblings = {child["id"]: child for child in held.get(str(body.get("parent_id")), [])}
        if sorted(body.get("ids") or []) != sorted(siblings):
            raise Refused(self._error(400, "ids must name all children of parent_id", "ids"))
        ordered = [siblings[child_id] for child_id in body["ids"]]
        _number(ordered)
        held[body["parent_id"]] = ordered
        self._child_written(body["parent_id"])
        return Answer(200, dump({"data": ordered, "has_more": False, "total": len(ordered)}))

    def _object(self, call: Call) -> Row:
        body = call.json()
        if not isinstance(body, dict):
            raise Refused(self.refuse(400, "an object is expected"))
        return body

    def _child(self, kind: str, child_id: str) -> Row:
        child = next((one for held in self._held(kind).values() for one in held if one["id"] == child_id), None)
        if child is None:
            raise Refused(self.refuse(404, f"No such {kind}: {child_id}"))
        return child

    def _blank(self) -> Row:
        row: Row = dict.fromkeys(FIELDS)
        at = self.now().replace(microsecond=0)
        row |= {"id": f"opportunity_{self._hex()}", "created_at": at, "updated_at": at, "status": "Open"}
        row |= {
            "sales_stage": "Prospecting",
            "probability": 100,
            "opportunity_type": "Sales",
            "currency": COMPANY_CURRENCY,
        }
        return row | {"opportunity_amount": 0, "base_opportunity_amount": 0}

    def _lay_over(self, row: Row, body: Row) -> None:
        if body.get("status") is not None and body["status"] not in STATUSES:
            raise Refused(self._error(self.options.missing_required, "unknown status", "status"))
        row |= {key: value for key, value in body.items() if key in FIELDS and key not in COMPUTED}

    def _keep(self, row: Row) -> None:
        self._recompute(row)
        self.rows[row["id"]] = row
        self.touched()

    def _recompute(self, row: Row) -> None:
        """What ERPNext derives on each save: the party's name, an empty title, the rate, item amounts and totals."""
        row["customer_name"] = self.parties.get(row["party_name"], row["party_name"])
        row["title"] = row["title"] or row["customer_name"]
        row["conversion_rate"] = _rate(row)
        items = self.children["opportunity-item"].get(row["id"], [])
        for item in items:
            rate, qty = Decimal(str(item["rate"] or 0)), Decimal(str(item["qty"] or 1))
            item["amount"] = rate * qty
            item["base_rate"], item["base_amount"] = rate * row["conversion_rate"], rate * qty * row["conversion_rate"]
        row["total"] = sum((item["amount"] for item in items), Decimal(0))
        row["base_total"] = row["total"] * row["conversion_rate"]
        if self.options.recompute_base_amount:
            row["base_opportunity_amount"] = Decimal(str(row["opportunity_amount"] or 0)) * row["conversion_rate"]

    def _add_child(self, kind: str, body: Row) -> Row:
        fields = ITEM_FIELDS if kind == "opportunity-item" else REASON_FIELDS
        child: Row = dict.fromkeys(fields) | {key: value for key, value in body.items() if key in fields}
        siblings = self.children[kind].setdefault(child["opportunity_id"], [])
        child |= {"id": f"{kind}_{self._hex()}", "idx": len(siblings) + 1}
        if kind == "opportunity-item":
            child["qty"] = 1 if child["qty"] is None else child["qty"]
            child["item_name"] = child["item_name"] or ITEMS.get(child["item_code"] or "")
            child["rate"] = 0 if child["rate"] is None else child["rate"]
        siblings.append(child)
        return child

    def _child_written(self, row_id: str) -> None:
        row = self.rows[row_id]
        self._recompute(row)
        if self.options.child_bumps_parent:
            row["updated_at"] = self.now().replace(microsecond=0)
        self.touched()

    # What a user of the CRM does

    def insert(self, **changes: Any) -> str:
        """Creates an opportunity from field names; also `items` and `lost_reasons`, lists."""
        with self.lock:
            row = self._blank() | {"opportunity_from": "Customer", "party_name": "customer_1", "company": COMPANY}
            row["transaction_date"] = self.now().date().isoformat()
            self._set(row, changes)
            return str(row["id"])

    def update(self, row_id: str, *, silently: bool = False, **changes: Any) -> None:
        """Changes any field; `items` and `lost_reasons` replace the children; `updated_at` moves unless `silently`."""
        with self.lock:
            row = copy.copy(self.rows[row_id])
            if not silently:
                row["updated_at"] = self.now().replace(microsecond=0)
            self._set(row, changes)

    def _set(self, row: Row, changes: Row) -> None:
        kinds = {"items": "opportunity-item", "lost_reasons": "opportunity-lost-reason-detail"}
        for name, value in changes.items():
            if name in kinds:
                self.children[kinds[name]][row["id"]] = []
                for child in value:
                    inner = child if isinstance(child, dict) else {"lost_reason": child}
                    self._add_child(kinds[name], {**inner, "opportunity_id": row["id"]})
            elif name in ("created_at", "updated_at"):
                row[name] = as_utc(value).replace(microsecond=0)
            elif name in FIELDS:
                row[name] = value
            else:
                raise ValueError(f"an Overplane opportunity has no {name!r}")
        self._keep(row)

    def delete(self, row_id: str) -> None:
        """Removes a record with its children."""
        with self.lock:
            super().delete(row_id)
            for held in self.children.values():
                held.pop(row_id, None)


def _rate(row: Row) -> Decimal:
    if row["currency"] in (None, COMPANY_CURRENCY):
        return Decimal("1.0")
    given = row["conversion_rate"]
    if given in (None, 0) or Decimal(str(given)) == 1:
        return Decimal(RATES.get(row["currency"], "1.0"))
    return Decimal(str(given))


def _number(siblings: list[Row]) -> None:
    for index, child in enumerate(siblings, start=1):
        child["idx"] = index

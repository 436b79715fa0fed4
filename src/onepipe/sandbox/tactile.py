"""A simulated Tactile CRM: a web application's own paths, a token in the query string, and 200 for nearly everything.

Two eras: "doc" is the API as its documentation page shows it, "head" the later open source code. They differ in which
rows a list holds, in spellings, and in how errors look. Source: documentation and PHP source.
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from onepipe.sandbox.crm import Crm, Options
from onepipe.sandbox.data import SOURCES, Deal, Invent, secret
from onepipe.sandbox.faults import LOGIN_PAGE
from onepipe.sandbox.tactile_values import (
    FIELD,
    SETTERS,
    TWIN,
    USERS,
    body_of,
    custom_values,
    escaped,
    php_json,
    strtotime,
    wall_time,
)
from onepipe.sandbox.wire import Answer, Call, Refused, Row, as_utc, next_id, shuffled, whole

HTML = [("Content-Type", "text/html; charset=UTF-8")]
STATUSES = {1: "New", 2: "Preliminaries", 3: "Discussion", 4: "Negotiation", 5: "Won", 6: "Lost", 7: "Dropped"}
OPEN = frozenset({"New", "Preliminaries", "Discussion", "Negotiation"})
TYPES = {1: "Exisiting Business", 2: "New Business", 3: "R&D"}
HANDLERS = {"options": "read_options"}  # actions whose handler has another name
ERAS: dict[str, dict[str, Any]] = {
    "doc": {
        "list_rule": "unarchived",
        "usernames": "plain",
        "offset": "colon",
        "messages": "array",
        "options_filled": True,
        "extra_keys": False,
        "list_all": False,
    },
    "head": {
        "list_rule": "open",
        "usernames": "site",
        "offset": "plain",
        "messages": "object",
        "options_filled": False,
        "extra_keys": True,
        "list_all": True,
    },
}


@dataclass
class TactileOptions(Options):
    """Switches; `use_era("doc" | "head")` sets the ones that differ between the eras together.

    list_rule: "unarchived" or "open" (open and unarchived) rows in /opportunities
    usernames: "plain" or "site" (`paul//sandbox`); offset: "colon" (+00:00) or "plain" (+0000)
    messages: error texts as an "array", an "object", or under "errors" as the index page of the documentation says
    options_filled: whether /options has its four maps; extra_keys: tags and custom_* on every row
    list_all: whether that action exists
    tie_seed: permutes rows of the same name; suspended: every page redirects to /suspension
    hidden_ids: rows the token's user may no longer see; page_zero_status: status of the HTML failure for page <= 0
    duplicate_keys: /timeline repeats keys, null first, as the documented sample does
    timeline_pages: whether /timeline is told in pages; documented is the whole, whatever page is asked for
    """

    list_rule: str = "unarchived"
    usernames: str = "plain"
    offset: str = "colon"
    messages: str = "array"
    options_filled: bool = True
    extra_keys: bool = False
    list_all: bool = False
    tie_seed: int = 0
    suspended: bool = False
    hidden_ids: set[int] = field(default_factory=set)
    page_zero_status: int = 500
    duplicate_keys: bool = True
    timeline_pages: bool = True

    def use_era(self, era: str) -> None:
        """Sets list_rule, usernames, offset, messages, options_filled, extra_keys, list_all for "doc" or "head"."""
        for name, value in ERAS[era].items():
            setattr(self, name, value)

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Also takes `era`, and `hidden_ids` as a list."""
        rest = dict(changes)
        if "era" in rest:
            self.use_era(rest.pop("era"))
        if "hidden_ids" in rest:
            self.hidden_ids = set(rest.pop("hidden_ids"))
        super().apply(rest)


class Tactile(Crm):
    """Tactile: ids are integers, stamps London wall time in whole seconds, money JSON numbers without a currency."""

    name = "tactile"
    lists = ("list_opportunities", "mine", "recently_won", "recently_lost", "list_all")
    filters = frozenset(
        ["created_before", "created_after", "updated_before", "updated_after", "name", "organisation_id", "person_id"]
    )
    actions = frozenset(
        (
            *("view", "timeline", "mine", "recently_won", "recently_lost", "options", "save", "save_note", "add_tag"),
            "list_all",
        )
    )

    # Data

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills the account: organisations, people, `rows` opportunities with their notes."""
        self.options: TactileOptions = TactileOptions()
        self.credentials = {"api_token": secret(seed, self.name)[:40]}
        self.user = USERS[1]
        invent = Invent(seed, self.name, now)
        self.organisations = {9000 + n: name for n, name in enumerate(invent.companies(max(20, rows // 4)))}
        self.people = {87000 + n: " ".join(invent.person(n)) for n in range(max(40, rows // 2))}
        self.definitions: list[Row] = [FIELD, TWIN]
        self.sources = dict(enumerate(SOURCES, start=3))
        self.notes: dict[int, list[Row]] = {}
        self._last_note = 500
        for deal in invent.deals(rows):
            self._keep(self._from_deal(deal))

    def _from_deal(self, deal: Deal) -> Row:
        dice, row_id = deal.dice, 1001 + deal.number
        status = {"open": deal.stage + 1, "won": 5, "lost": 6}.get(deal.outcome, 7)
        probability = {"won": 100, "lost": 0, "abandoned": 0}.get(deal.outcome, 20 * deal.stage + 10)
        organisation = None if dice < 0.05 else 9000 + deal.company % len(self.organisations)
        person = None if dice > 0.6 else 87000 + deal.company % len(self.people)
        if dice > 0.2:
            stamp = wall_time(deal.created + (deal.updated - deal.created) / 2)
            self._add_note(row_id, "Call" if dice < 0.6 else 'They said "maybe" <b>&</b> 世界', deal.note or "", stamp)
        return {
            "id": row_id,
            "name": deal.name[:200],
            "description": deal.note,
            "organisation_id": organisation,
            "person_id": person,
            "probability": 37 if deal.number == 8 else probability,
            "cost": min(deal.amount, Decimal("99999999.99")).quantize(Decimal("0.01")) if deal.amount else deal.amount,
            "archived": deal.outcome != "open" and dice < 0.3,
            "status_id": None if deal.number == 9 else status,
            "type_id": None if dice < 0.3 else 1 + int(dice * 3),
            "source_id": None if dice > 0.8 else 3 + int(dice * len(SOURCES)),
            "owner": USERS[deal.owner],
            "assigned_to": USERS[deal.owner] if dice < 0.8 else self.user,
            "alteredby": USERS[deal.owner],
            "created": wall_time(deal.created),
            "lastupdated": wall_time(deal.updated),
            "enddate": deal.expected.isoformat(),
            "tags": deal.tags,
            "region": "12" if dice < 0.4 else None,
        }

    def _keep(self, row: Row) -> None:
        row["key"] = row["name"].casefold()
        self.rows[row["id"]] = row
        self.touched()

    def show(self, row: Row) -> Row:
        """The opportunity as /opportunities/view prints it in the era set."""
        return self._shown(row, in_view=True)

    def _shown(self, row: Row, in_view: bool) -> Row:
        status = STATUSES.get(row["status_id"])
        cost = row["cost"]
        shown = {
            "name": row["name"] or None,
            "description": row["description"] or None,
            "organisation": self.organisations.get(row["organisation_id"]),
            "id": row["id"],
            "probability": row["probability"] if row["probability"] % 5 == 0 else None,
            "organisation_id": row["organisation_id"],
            "cost": int(cost) if cost is not None and cost == int(cost) else cost,
            "archived": row["archived"],
            "status": escape(status, quote=False) if status and in_view else status,
            "type": escaped(TYPES.get(row["type_id"])),
            "source": escaped(self.sources.get(row["source_id"])),
            **{name: self._user(row[name]) for name in ("owner", "assigned_to", "alteredby")},
            "created": self._stamp(row["created"]),
            "lastupdated": self._stamp(row["lastupdated"]),
            "enddate": row["enddate"],
            "person_id": row["person_id"],
            "person": self.people.get(row["person_id"]),
        }
        if self.options.extra_keys:
            if row["tags"]:
                shown["tags"] = list(reversed(row["tags"]))
            shown["custom_fields"] = self.definitions
            shown["custom_values"] = custom_values(row)
        return shown

    def _user(self, name: str | None) -> str | None:
        return f"{name}//sandbox" if name and self.options.usernames == "site" else name

    def _stamp(self, wall: datetime) -> str:
        return wall.isoformat() if self.options.offset == "colon" else wall.strftime("%Y-%m-%dT%H:%M:%S%z")

    # Routing, auth and errors

    def _find(self, call: Call) -> tuple[str, dict[str, str]]:
        """`opportunities(/action(/digits))?`, not anchored at the end: /opportunities/1234 is the list."""
        path = call.path.lstrip("/")
        if path.rstrip("/") == "notes/save":
            return "save_any_note", {}
        match = re.match(r"opportunities(?:/([a-z_]+)(?:/(\d+))?)?", path)
        if match is None or (match[1] and (match[1] not in self.actions or not self._exists(match[1]))):
            return "", {}
        return HANDLERS.get(match[1], match[1] or "list_opportunities"), {"path_id": match[2] or ""}

    def _exists(self, action: str) -> bool:
        return self.options.list_all or action != "list_all"

    def _respond(self, call: Call) -> Answer:
        if call.param("api_token") and self.options.suspended:
            return Answer(302, b"", [*HTML, ("Location", f"{self.url}/suspension")])
        if call.param("api_token") and self._find(call)[0] == "":
            self.admit(call)
            return self._login_page()
        return super()._respond(call)

    def admit(self, call: Call) -> None:
        """The token is read from the query string only: none brings the login page, a wrong one a 200 error."""
        token = call.param("api_token")
        if not token:
            raise Refused(self._login_page())
        if token != self.credentials["api_token"]:
            raise Refused(self.disguised_refusal())

    def _login_page(self) -> Answer:
        return Answer(200, LOGIN_PAGE, list(HTML))

    def disguised_refusal(self) -> Answer:
        """The exact body for a wrong token, with 200."""
        return Answer(200, b'{"status":"error", "messages": {"403":"Failed to login"}}')

    def error_envelope(self) -> Answer:
        """A failure in Tactile's own envelope, always with 200."""
        return self._errors({"_0": "Something went wrong, please try again"})

    def refuse(self, status: int, message: str) -> Answer:
        """An error with that status; Tactile itself sends 200 for API errors."""
        answer = self._errors({"_0": message})
        answer.status = status
        return answer

    def misshapen(self, shape: str) -> Answer:
        """A success envelope whose list is missing or of the wrong type."""
        lists = {"missing": "", "object": ',"opportunities":{}', "null": ',"opportunities":null', "list": ""}
        body = "[1,2]" if shape == "list" else f'{{"status":"success"{lists[shape]},"cur_page":1,"total":3}}'
        return Answer(200, body.encode())

    def emptied(self, answer: Answer) -> Answer:
        """The same counters around an empty array."""
        body = answer.body.decode()
        start = body.index("[")
        tail = body.rfind('], "cur_page"')
        answer.body = (body[: start + 1] + body[tail if tail > 0 else body.rindex("]") :]).encode()
        return answer

    def _errors(self, messages: dict[str, str]) -> Answer:
        texts: dict[str, str] = {}
        for key, text in messages.items():
            if text not in texts.values():
                texts[key] = text
        if self.options.messages == "object":
            return Answer(200, b'{"status":"error", "messages": ' + php_json(texts) + b"}")
        name = "errors" if self.options.messages == "errors" else "messages"
        return Answer(200, f'{{"status":"error", "{name}": '.encode() + php_json(list(texts.values())) + b"}")

    def _failed(self, message: str) -> Refused:
        return Refused(self._errors({"_0": message}))

    # Reading

    def list_opportunities(self, call: Call, path_id: str = "") -> Answer:
        """A page of the main list, by name."""
        open_only = self.options.list_rule == "open"

        def listed(row: Row) -> bool:
            return not row["archived"] and (not open_only or STATUSES.get(row["status_id"]) in OPEN)

        return self._page(call, [row for row in self._by_name(call) if listed(row)])

    def mine(self, call: Call, path_id: str) -> Answer:
        """Unarchived rows assigned to the token's user, any status."""
        rows = self._by_name(call)
        return self._page(call, [row for row in rows if not row["archived"] and row["assigned_to"] == self.user])

    def recently_won(self, call: Call, path_id: str) -> Answer:
        """Rows won, changed within 60 days, newest first, archived ones too."""
        return self._recent_with(call, "Won")

    def recently_lost(self, call: Call, path_id: str) -> Answer:
        """Rows lost, changed within 60 days, newest first, archived ones too."""
        return self._recent_with(call, "Lost")

    def _recent_with(self, call: Call, status: str) -> Answer:
        since = wall_time(self.now() - timedelta(days=60))
        rows = self.in_order("newest", lambda row: row["lastupdated"], reverse=True)
        return self._page(
            call, [r for r in rows if STATUSES.get(r["status_id"]) == status and r["lastupdated"] > since]
        )

    def list_all(self, call: Call, path_id: str) -> Answer:
        """Every visible row without paging, eight keys each, ids as texts."""
        rows = [self._brief(row) for row in self._filtered(call, self._by_name(call))]
        return Answer(200, b'{"status":"success","opportunities":' + php_json(rows) + b"}")

    def _brief(self, row: Row) -> Row:
        person, organisation = row["person_id"], row["organisation_id"]
        return {
            "id": str(row["id"]),
            "name": row["name"],
            "organisation_id": str(organisation) if organisation else None,
            "organisation": self.organisations.get(organisation),
            "person_id": str(person) if person else None,
            "person": self.people.get(person),
            "lastupdated": self._stamp(row["lastupdated"]),
            "archived": row["archived"],
        }

    def _by_name(self, call: Call) -> list[Row]:
        if call.ignore_order:
            return self.scrambled()
        salt = self.options.tie_seed
        if not salt:
            return self.in_order("name", lambda row: (row["key"], row["id"]))
        return self.in_order(("name", salt), lambda row: (row["key"], shuffled(row["id"], salt)))

    def _page(self, call: Call, rows: list[Row]) -> Answer:
        rows = self._filtered(call, rows)
        limit = whole(call.param("limit"), 30)
        limit = limit if 1 <= limit <= 100 else 30
        limit = limit if call.cap is None else min(limit, call.cap)
        page = whole(re.sub(r"\D.*$", "", call.param("page") or "1", count=1) or "0", 0)
        if page < 1 and rows:
            failure = b"<html><body><h1>An error occurred</h1>OFFSET must not be negative</body></html>"
            return Answer(self.options.page_zero_status, failure, list(HTML))
        shown = [self._shown(row, in_view=False) for row in rows[(page - 1) * limit : page * limit]]
        counters = (
            f', "cur_page":{page}, "num_pages":{-(-len(rows) // limit)}, "per_page":{limit}, "total":{len(rows)}}}'
        )
        return Answer(200, b'{"status":"success", "opportunities":' + php_json(shown) + counters.encode())

    def _filtered(self, call: Call, rows: list[Row]) -> list[Row]:
        hidden = self.options.hidden_ids
        if hidden:
            rows = [row for row in rows if row["id"] not in hidden]
        for name, value in call.query:
            test = self._test(name, value)
            rows = [row for row in rows if test(row)] if test else rows
        return rows

    def _test(self, name: str, value: str) -> Callable[[Row], bool] | None:
        """A filter as a test of one row; stamps compare strictly, in London wall time."""
        if name not in self.filters or value in ("", "0"):
            return None
        if name == "name":
            pattern = re.compile(re.escape(value).replace(r"\*", ".*"), re.IGNORECASE | re.DOTALL)
            return lambda row: pattern.fullmatch(row["name"]) is not None
        if name.endswith("_id"):
            return lambda row: str(row[name]) == value
        column, _, side = name.partition("_")
        stamp = "lastupdated" if column == "updated" else "created"
        bound = strtotime(value, self.now())
        if bound is None:
            raise self._failed(f"Invalid Date Value for {name}")
        return (lambda row: row[stamp] > bound) if side == "after" else (lambda row: row[stamp] < bound)

    def view(self, call: Call, path_id: str) -> Answer:
        """One row, closed and archived ones too."""
        return Answer(
            200, b'{"status":"success", "opportunity":' + php_json(self.show(self._row(call, path_id))) + b"}"
        )

    def _row(self, call: Call, path_id: str, verb: str = "view that Opportunity") -> Row:
        row = self.rows.get(whole(path_id or call.param("id"), -1))
        if row is None:
            raise self._failed("Invalid id specified")
        if row["id"] in self.options.hidden_ids:
            raise self._failed(f"You don't have permission to {verb}")
        return row

    def timeline(self, call: Call, path_id: str) -> Answer:
        """The notes of one opportunity, newest first, 50 a page; all of them where `timeline_pages` is off."""
        row = self._row(call, path_id)
        notes = sorted(self.notes.get(row["id"], []), key=lambda note: (note["created"], note["id"]), reverse=True)
        page, paged = max(1, whole(call.param("page"), 1)), self.options.timeline_pages
        listed = notes[(page - 1) * 50 : page * 50] if paged else notes
        shown = php_json([{"note": self._note(row, note)} for note in listed])
        if self.options.duplicate_keys and not self.options.extra_keys:
            for name in (b'"opportunity":', b'"opportunity_id":'):
                shown = shown.replace(name, name + b"null," + name)
        counters = f', "cur_page":{page}, "num_pages":{-(-len(notes) // 50)}, "per_page":50, "total":{len(notes)}'
        return Answer(200, b'{"status":"success","timeline":' + shown + (counters if paged else "").encode() + b"}")

    def _note(self, row: Row, note: Row) -> Row:
        inner = {
            "title": note["title"],
            "note": note["note"],
            "opportunity": row["name"],
            "organisation": self.organisations.get(row["organisation_id"]),
            "id": note["id"],
            "opportunity_id": row["id"],
            "organisation_id": row["organisation_id"],
            "private": False,
            "owner": self._user(note["owner"]),
            "created": self._stamp(note["created"]),
            "lastupdated": self._stamp(note["created"]),
            "person_id": row["person_id"],
            "person": self.people.get(row["person_id"]),
        }
        if self.options.extra_keys:  # the later source: ids as texts, naive stamps
            inner |= {key: str(inner[key]) if inner[key] is not None else None for key in inner if key.endswith("id")}
            inner |= {
                key: note["created"].strftime("%Y-%m-%d %H:%M:%S") for key in ("created", "lastupdated", "received")
            }
        return inner

    def _add_note(self, row_id: int, title: str, text: str, at: datetime) -> int:
        self._last_note += 1
        note = {"id": self._last_note, "title": title, "note": text, "owner": self.user, "created": at}
        self.notes.setdefault(row_id, []).append(note)
        return self._last_note

    def read_options(self, call: Call, path_id: str) -> Answer:
        """/options: maps of users, statuses, types and sources, by id as text; all empty in the later source."""
        named = {"status": STATUSES, "type": TYPES, "source": self.sources}
        maps = {name: {str(key): text for key, text in values.items()} for name, values in named.items()}
        filled: Row = {"assigned_to": {user: user for user in USERS}, **maps}
        told = filled if self.options.options_filled else {name: {} for name in filled}
        return Answer(200, b'{"status":"success","opportunity_options":' + php_json(told) + b"}")

    # Writing

    def save(self, call: Call, path_id: str) -> Answer:
        """Creates, or updates when `id` is inside Opportunity; an id in the URL alone creates a new row."""
        given = body_of(call, "Opportunity")
        if path_id and self._row(call, path_id, "edit this item")["archived"]:
            raise self._failed("You cannot edit archived opportunities")
        row_id = whole(str(given["id"]), -1) if given.get("id") else None
        if row_id is not None and row_id not in self.rows:
            raise self._failed("Invalid ID specified")
        if row_id in self.options.hidden_ids:
            raise self._failed("You don't have permission to edit this item")
        row = dict(self.rows[row_id]) if row_id is not None else self._blank()
        problems = self._lay_over(row, given)
        required = ("name", "enddate", *(("status_id",) if self.options.list_rule == "open" else ()))
        for name in required:
            if row[name] in (None, ""):
                label = {"name": "Name", "enddate": "Enddate"}.get(name, "Status")
                problems.setdefault(f"opportunity_{name}", f"{label} is a compulsory field, you must enter a value")
        if problems:
            raise Refused(self._errors(problems))
        row["lastupdated"], row["alteredby"] = self._now(), self.user
        self._keep(row)
        return Answer(200, b'{"status":"success", "id":' + str(row["id"]).encode() + b"}")

    def _blank(self) -> Row:
        texts = dict.fromkeys(("name", "description", "enddate", "region"))
        nothing = texts | dict.fromkeys(("organisation_id", "person_id", "status_id", "type_id", "source_id"))
        new_id = next_id([*self.rows, *self.removed, 1000])
        base = {"id": new_id, "probability": 0, "cost": Decimal(0), "archived": False, "tags": []}
        stamps = {"created": self._now(), "lastupdated": self._now()}
        return nothing | base | stamps | dict.fromkeys(("owner", "assigned_to", "alteredby"), self.user)

    def _lay_over(self, row: Row, given: Row) -> dict[str, str]:
        """Writes the given keys over a row; returns problems by message key. Names of status and type do nothing."""
        problems: dict[str, str] = {}
        lookups: dict[str, Mapping[int, str]] = {"status_id": STATUSES, "type_id": TYPES, "source_id": self.sources}
        lookups |= {"organisation_id": self.organisations, "person_id": self.people}
        for name, value in given.items():
            empty = value in (None, "", "null")
            if name in lookups:
                row[name] = None if empty else whole(str(value), -1)
                if not empty and row[name] not in lookups[name]:
                    problems[f"opportunity_{name}"] = "Invalid ID specified"
            elif name in ("name", "description"):
                row[name] = None if empty else value
            elif name in SETTERS:
                problem = SETTERS[name](row, None if empty else value)
                problems |= {f"opportunity_{name}": problem} if problem else {}
        for kind, table in (("organisation", self.organisations), ("person", self.people)):
            if given.get(kind) and not given.get(f"{kind}_id"):  # a name alone makes a new one every time
                row[f"{kind}_id"] = next_id(table)
                table[row[f"{kind}_id"]] = given[kind]
        return problems

    def add_tag(self, call: Call, path_id: str) -> Answer:
        """A GET that writes; a quote in the tag breaks the answer's JSON. Does not move lastupdated."""
        row, tag = self._row(call, path_id), call.param("tag") or ""
        if tag in row["tags"]:
            raise Refused(self._errors({"tag": "Item already has that tag", "_1": "Error Tagging"}))
        row["tags"] = [*row["tags"], tag]
        return Answer(200, f'{{"status":"success", "tag":"{tag}"}}'.encode())

    def save_any_note(self, call: Call) -> Answer:
        """POST /notes/save: a note on an opportunity; does not move lastupdated."""
        given = body_of(call, "Note")
        row = self.rows.get(whole(str(given.get("opportunity_id")), -1))
        if row is None or not given.get("title"):
            raise self._failed("Title is a compulsory field, you must enter a value" if row else "Invalid ID specified")
        number = self._add_note(row["id"], given["title"], given.get("note") or "", self._now())
        return Answer(200, b'{"status":"success", "id":' + str(number).encode() + b"}")

    def save_note(self, call: Call, path_id: str) -> Answer:
        """Saves the note and then fails for want of a template."""
        self.save_any_note(call)
        return Answer(200, b'{"status":"error", "messages": {"500":"Template missing"}}')

    def _now(self) -> datetime:
        return wall_time(self.now())

    # What a user of the CRM does

    def insert(self, **changes: Any) -> int:
        """Creates an opportunity; names for status, type, source, organisation, person are found or made."""
        with self.lock:
            row = self._blank() | {"name": "New opportunity", "status_id": 1}
            row["enddate"] = (self.now() + timedelta(days=30)).date().isoformat()
            self._set(row, changes)
            return int(row["id"])

    def update(self, row_id: int, *, silently: bool = False, **changes: Any) -> None:
        """Changes any field; `lastupdated` moves unless `silently` or given."""
        with self.lock:
            row = dict(self.rows[row_id])
            if not silently:
                row["lastupdated"] = self._now()
            self._set(row, changes)

    def write_note(self, row_id: int, text: str) -> int:
        """Puts a note on an opportunity, which moves no stamp; its id."""
        with self.lock:
            return self._add_note(row_id, text, text, self._now())

    def add_option(self, option_id: str, text: str) -> None:
        """One more value that the account's custom field may take; no stamp moves."""
        with self.lock:
            options = FIELD["options"] | {option_id: {"id": option_id, "value": text}}
            self.definitions = [FIELD | {"options": options}, TWIN]
            self.touched()

    def _set(self, row: Row, changes: Row) -> None:
        tables = {"status": STATUSES, "type": TYPES, "source": self.sources}
        tables |= {"organisation": self.organisations, "person": self.people}
        for name, value in changes.items():
            if name in tables:
                found = next((key for key, text in tables[name].items() if text == value), None)
                if found is None and value is not None:
                    found = next_id(tables[name])
                    tables[name][found] = value
                row[f"{name}_id"] = found
            elif name in ("created", "lastupdated"):
                row[name] = wall_time(as_utc(value))
            elif name == "cost":
                row[name] = None if value is None else Decimal(str(value))
            elif name in row:
                row[name] = value
            else:
                raise ValueError(f"a Tactile opportunity has no {name!r}")
        self._keep(row)

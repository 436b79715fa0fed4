"""A simulated Capsule CRM API v1: XML by default, JSON by Accept, offset paging without a total, 201 with Location.

Its habits: `size` counts the rows of one page; empty elements are left out; a person with an organisation hands the
opportunity to the organisation; tags, custom fields, history and extra parties are requests of their own.
Source: Capsule API v1 pages; recorded traffic of 2011 for headers and XML style; open points are options.
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from onepipe.sandbox.capsule_details import CapsuleDetails, CapsuleOptions, done
from onepipe.sandbox.data import CURRENCIES, Deal, Invent, secret
from onepipe.sandbox.markup import leaves, node, text_of
from onepipe.sandbox.wire import Answer, Call, Refused, Row, as_utc, next_id, seconds_z, whole

BASES = ("FIXED", "HOUR", "DAY", "MONTH", "YEAR")
ELEMENTS = (
    *("id", "name", "description", "partyId", "currency", "value", "durationBasis", "duration", "expectedCloseDate"),
    *("actualCloseDate", "milestoneId", "milestone", "probability", "owner", "createdOn", "updatedOn"),
)
USERS = ("a.user", "jdoe", "r.ito", "zoë")
DEFINITIONS = (  # label, data tag, type, options; one label twice, under different data tags
    ("Region", "Deals", "List", "North;South;Süd & Ost"),
    ("Region", "Partners", "Text", ""),
    ("Signed", "", "Boolean", ""),
    ("Renewal", "", "Date", ""),
    ("Seats", "", "Number", ""),
)


class Capsule(CapsuleDetails):
    """Capsule: ids are integers, stamps whole seconds in UTC with Z, money decimal text with two or more places."""

    name = "capsule"
    lists = ("list_opportunities", "list_of_party")
    filters = frozenset({"milestone", "tag", "lastmodified"})
    routes = [
        ("GET", "/api/opportunity", "list_opportunities"),
        ("GET", "/api/opportunity/deleted", "list_deleted"),
        ("GET", "/api/opportunity/milestones", "list_milestones"),
        ("GET", "/api/opportunity/customfield/definitions", "list_definitions"),
        ("GET", "/api/opportunity/{row_id}", "read"),
        ("PUT", "/api/opportunity/{row_id}", "change"),
        ("DELETE", "/api/opportunity/{row_id}", "remove"),
        ("GET", "/api/opportunity/{row_id}/tag", "list_tags"),
        ("POST", "/api/opportunity/{row_id}/tag/{tag}", "add_tag"),
        ("DELETE", "/api/opportunity/{row_id}/tag/{tag}", "remove_tag"),
        ("GET", "/api/opportunity/{row_id}/customfields", "list_fields"),
        ("PUT", "/api/opportunity/{row_id}/customfields", "put_fields"),
        ("GET", "/api/opportunity/{row_id}/customfield", "list_fields"),
        ("PUT", "/api/opportunity/{row_id}/customfield", "put_fields"),
        ("GET", "/api/opportunity/{row_id}/party", "list_parties"),
        ("POST", "/api/opportunity/{row_id}/party/{party_id}", "add_party"),
        ("DELETE", "/api/opportunity/{row_id}/party/{party_id}", "remove_party"),
        ("GET", "/api/opportunity/{row_id}/history", "list_history"),
        ("POST", "/api/opportunity/{row_id}/history", "add_note"),
        ("PUT", "/api/opportunity/{row_id}/history/{note_id}", "change_note"),
        ("DELETE", "/api/opportunity/{row_id}/history/{note_id}", "remove_note"),
        ("POST", "/api/opportunity/{row_id}/task", "add_task"),
        ("GET", "/api/tasks", "list_tasks"),
        ("POST", "/api/task/{task_id}/{verb}", "move_task"),
        ("GET", "/api/party/{party_id}", "read_party"),
        ("GET", "/api/party/{party_id}/opportunity", "list_of_party"),
        ("POST", "/api/party/{party_id}/opportunity", "create"),
        ("PUT", "/api/party/{party_id}/opportunity/{row_id}", "change"),
        ("GET", "/api/resource/currency", "list_currencies"),
        ("GET", "/api/currencies", "list_currencies"),
        ("GET", "/api/tracks", "list_tracks"),
        ("GET", "/api/users", "list_users"),
    ]

    # Data

    def seed_rows(self, rows: int, seed: int, now: datetime) -> None:
        """Fills the account: organisations, people, milestones, `rows` opportunities and their sub-resources."""
        self.options: CapsuleOptions = CapsuleOptions()
        self.credentials = {"token": secret(seed, self.name)[:32]}
        self.user = USERS[0]
        self.milestones: dict[int, Row] = {
            number: {"id": number, "name": name, "description": text, "probability": odds, "complete": complete}
            for number, name, text, odds, complete in (
                (1, "New", "You have a potential buyer for your offering", 10, False),
                (2, "Bid", "A bid was put forward", 50, False),
                (3, "Negotiation", "", 75, False),
                (4, "Won", "", 100, True),
                (5, "Lost", "", 0, True),
                (6, "Handed to partner", "Somebody else closes it", 60, True),
            )
        }
        self.tombstones: dict[int, datetime] = {}
        self.clear_details()
        invent = Invent(seed, self.name, now)
        self._seed_parties(invent, rows)
        for deal in invent.deals(rows):
            self._from_deal(deal)

    def _seed_parties(self, invent: Invent, rows: int) -> None:
        organisations = invent.companies(max(20, rows // 4))
        self.parties: dict[int, Row] = {n: {"id": n, "name": name} for n, name in enumerate(organisations, start=2)}
        first = next_id(self.parties)
        for number in range(max(40, rows // 2)):
            given, family = invent.person(number)
            person = {"id": first + number, "firstName": given, "lastName": family}
            person["title"] = ("Prof", None, "Ms")[number % 3]
            person["organisationId"] = 2 + number % len(organisations) if number % 3 else None
            self.parties[first + number] = person
        self.people = list(range(first, first + max(40, rows // 2)))
        addresses = ("p{0}@example.org", "p{0}@example.com")
        self.emails = {number: [one.format(number) for one in addresses[: number % 3]] for number in self.people}

    def _from_deal(self, deal: Deal) -> None:
        dice, row_id = deal.dice, 43 + deal.number
        milestone = {"open": min(deal.stage, 2) + 1, "won": 4, "lost": 5}.get(deal.outcome, 6)
        fixed = dice < 0.7
        row = self._blank(row_id, deal.name, deal.created) | {
            "description": deal.note,
            "partyId": 2 + deal.company % (len(self.parties) - len(self.people))
            if dice < 0.8
            else self.people[3 * deal.owner],
            "currency": None if dice < 0.04 else deal.currency,
            "value": deal.amount if deal.amount is None else _money(deal.amount),
            "durationBasis": "FIXED" if fixed else BASES[1 + deal.owner],
            "duration": None if fixed else 3 + deal.owner,
            "expectedCloseDate": None if dice < 0.08 else f"{deal.expected}T00:00:00Z",
            "milestoneId": milestone,
            "probability": self.milestones[milestone]["probability"] if dice < 0.9 else 33,
            "owner": USERS[deal.owner],
            "updatedOn": deal.updated.replace(microsecond=0),
            "actualCloseDate": f"{deal.closed.date()}T00:00:00Z" if deal.closed else None,
        }
        self._keep(row)
        if deal.tags:
            self.tags[row_id] = deal.tags
        if dice > 0.3:
            self.fields[row_id] = _some_fields(deal)
        if dice > 0.75:
            self.extra_parties[row_id] = [self.people[deal.company % len(self.people)]]
        if dice > 0.5 and deal.note:
            self._note(row_id, deal.note, deal.created)

    def _blank(self, row_id: int, name: str, at: datetime) -> Row:
        row: Row = dict.fromkeys(ELEMENTS)
        stamps = {"createdOn": at.replace(microsecond=0), "updatedOn": at.replace(microsecond=0)}
        return row | {"id": row_id, "name": name, "durationBasis": "FIXED", "owner": self.user} | stamps

    def _keep(self, row: Row) -> None:
        row["key"] = (row["name"] or "").casefold()
        self.rows[row["id"]] = row
        self.touched()

    def show(self, row: Row) -> Row:
        """The opportunity's elements as texts by name; empty ones are left out."""
        shown = {name: row[name] for name in ELEMENTS}
        shown["milestone"] = self.milestones[row["milestoneId"]]["name"]
        shown["createdOn"], shown["updatedOn"] = seconds_z(row["createdOn"]), seconds_z(row["updatedOn"])
        if self.options.extra_elements:
            shown["trackingRef"] = f"T{row['id']}"
        return {name: text_of(value) for name, value in shown.items() if value not in (None, "")}

    # Reading

    def list_opportunities(self, call: Call) -> Answer:
        """A slice of all rows, open and closed, that pass the first filter sent; others are not looked at."""
        rows = self._ordered(call)
        asked = next(((name, value) for name, value in call.query if name in self.filters), None)
        if asked is not None:
            passes = self._test(*asked)
            rows = [row for row in rows if passes(row)]
        return self._slice(call, rows)

    def _ordered(self, call: Call) -> list[Row]:
        if call.ignore_order or self.options.order == "shuffled":
            return self.scrambled()
        key = "id" if self.options.order == "id" else "key"
        return self.in_order(key, lambda row: (row[key], row["id"]))

    def _slice(self, call: Call, rows: list[Row]) -> Answer:
        start, limit = max(0, whole(call.param("start"), 0)), whole(call.param("limit"), len(rows))
        limit = limit if call.cap is None else min(limit, call.cap)
        page = rows[start : start + max(0, limit)]
        return self._wrapped("opportunities", [leaves("opportunity", self.show(row)) for row in page])

    def _test(self, name: str, value: str) -> Callable[[Row], bool]:
        if name == "milestone":
            chosen = {number for number, milestone in self.milestones.items() if milestone["name"] == value}
            return lambda row: row["milestoneId"] in chosen
        if name == "tag":
            return lambda row: value in self.tags.get(row["id"], ())
        since = self._compact(value)
        if self.options.lastmodified == "strict":
            return lambda row: row["updatedOn"] > since
        return lambda row: row["updatedOn"] >= since

    def _compact(self, text: str) -> datetime:
        """YYYYMMDDTHHMMSS in UTC. Raises `Refused` 400 for anything else."""
        try:
            if not re.fullmatch(r"\d{8}T\d{6}", text):
                raise ValueError(text)
            return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        except ValueError as error:
            raise self._bad("date not in the format YYYYMMDDTHHMMSS") from error

    def list_of_party(self, call: Call, party_id: str) -> Answer:
        """Opportunities of a party, as main or as additional party."""
        number = int(self._party(party_id)["id"])
        extra = {row_id for row_id, parties in self.extra_parties.items() if number in parties}
        return self._slice(call, [row for row in self._ordered(call) if row["partyId"] == number or row["id"] in extra])

    def list_deleted(self, call: Call) -> Answer:
        """Tombstones in order of their date, from `since` on; `deleted_status` where `deleted` is off."""
        if not self.options.deleted:
            raise Refused(self.refuse(self.options.deleted_status, "could not find opportunity"))
        asked = call.param("since")
        since = self._compact(asked) if asked else datetime.min.replace(tzinfo=UTC)
        if self.options.retention_days is not None:
            since = max(since, self.now() - timedelta(days=self.options.retention_days))
        gone = sorted((at, row_id) for row_id, at in self.tombstones.items() if at >= since)
        stones = [leaves("deletedOpportunity", {"id": row_id, "deletedDate": seconds_z(at)}) for at, row_id in gone]
        return self._wrapped("deletedOpportunities", stones)

    def list_milestones(self, call: Call) -> Answer:
        """The account's milestones with id, probability and whether they complete a deal."""
        made = [leaves("milestone", one) for one in self.milestones.values()]
        return self._wrapped("milestones", made)

    def list_definitions(self, call: Call) -> Answer:
        """Custom field definitions: label, data tag, type, options as a `;` list; 404 where `definitions` is off."""
        if not self.options.definitions:
            raise Refused(self.refuse(404, "could not find opportunity"))
        made = [
            leaves("customFieldDefinition", {"label": label, "tag": tag, "type": kind, "options": options})
            for label, tag, kind, options in DEFINITIONS
        ]
        return self._wrapped("customFieldDefinitions", made)

    def list_currencies(self, call: Call) -> Answer:
        """ISO codes of the currencies supported."""
        return self._print(node("currencies", [node("currency", code) for code in sorted(CURRENCIES)]))

    def list_tracks(self, call: Call) -> Answer:
        """Tracks of opportunities."""
        track = {"id": 1, "description": "Onboarding", "captureRule": "OPPORTUNITY", "direction": "START_DATE"}
        return self._wrapped("tracks", [leaves("track", track)])

    def list_users(self, call: Call) -> Answer:
        """The account's users."""
        made = [
            {"username": name, "name": name.title(), "currency": "GBP", "loggedIn": name == self.user} for name in USERS
        ]
        return self._wrapped("users", [leaves("user", user) for user in made])

    def read(self, call: Call, row_id: str) -> Answer:
        """One opportunity; 404 when it does not exist."""
        return self._print(leaves("opportunity", self.show(self._row(row_id))))

    def read_party(self, call: Call, party_id: str) -> Answer:
        """A person or an organisation."""
        return self._print(self._party_node(self._party(party_id)))

    # Writing

    def create(self, call: Call, party_id: str) -> Answer:
        """201, Location, empty body; name and milestone are required."""
        party, given = self._party(party_id), self._given(call)
        if not given.get("name") or not (given.get("milestone") or given.get("milestoneId")):
            raise self._bad("name and milestone are required")
        row = self._blank(next_id([*self.rows, *self.tombstones]), "", self.now())
        row["currency"] = "GBP"
        self._lay_over(row, given)
        self._attach(row, party)
        self._keep(row)
        return self._created(f"/api/opportunity/{row['id']}")

    def change(self, call: Call, row_id: str, party_id: str = "") -> Answer:
        """200 and an empty body; elements that are not sent stay; the party form of the path moves the opportunity."""
        row, given = dict(self._row(row_id)), self._given(call)
        if party_id:
            self._attach(row, self._party(party_id))
        self._lay_over(row, given)
        row["updatedOn"] = self.now().replace(microsecond=0)
        self._keep(row)
        return done()

    def remove(self, call: Call, row_id: str) -> Answer:
        """200; the id turns up in the deleted list."""
        self.delete(self._row(row_id)["id"])
        return done()

    def _attach(self, row: Row, party: Row) -> None:
        """A person with an organisation becomes an additional party of the organisation's opportunity."""
        row["partyId"] = party.get("organisationId") or party["id"]
        if row["partyId"] != party["id"]:
            self._add_party(row["id"], party["id"])

    def _given(self, call: Call) -> Row:
        root, body = self._parsed(call)
        if root != "opportunity" or not isinstance(body, dict):
            raise self._bad("an opportunity is expected")
        return body

    def _lay_over(self, row: Row, given: Row) -> None:
        """Writes the known elements over a row; read-only and unknown ones are tolerated and ignored."""
        for name in ("name", "description", "currency", "owner", "durationBasis", "expectedCloseDate"):
            if name in given:
                row[name] = str(given[name]) if given[name] not in (None, "") else None
        if not row["name"]:
            raise self._bad("name is required")
        if row["durationBasis"] not in (None, *BASES) or (row["currency"] or "GBP") not in CURRENCIES:
            raise self._bad("durationBasis or currency is not one of the options")
        self._set_milestone(row, given)
        for name, number in (("probability", _integer), ("duration", _integer), ("value", _decimal)):
            if name in given:
                try:
                    row[name] = number(str(given[name] if given[name] is not None else ""))
                except (ValueError, InvalidOperation) as error:
                    raise self._bad("value not formatted as a number") from error
        row["durationBasis"] = row["durationBasis"] or "FIXED"
        if row["durationBasis"] == "FIXED":
            row["duration"] = None
        elif row["duration"] is None:
            raise self._bad("duration is required")

    def _set_milestone(self, row: Row, given: Row) -> None:
        if not (given.get("milestone") or given.get("milestoneId")):
            return
        wanted = given.get("milestone"), str(given.get("milestoneId") or "")
        by_name = {one["name"]: number for number, one in self.milestones.items()}
        number = by_name.get(wanted[0]) if wanted[0] else whole(wanted[1], -1)
        if number not in self.milestones:
            raise self._bad("milestone is not one of the options")
        if number != row["milestoneId"]:
            self._enter(row, number)

    def _enter(self, row: Row, number: int) -> None:
        """Entering a complete milestone sets actualCloseDate, leaving it clears it; probability follows."""
        milestone = self.milestones[number]
        row["milestoneId"], row["probability"] = number, milestone["probability"]
        row["actualCloseDate"] = f"{self.now():%Y-%m-%d}T00:00:00Z" if milestone["complete"] else None

    # What a user of the CRM does

    def insert(self, **changes: Any) -> int:
        """Creates an opportunity from element names; also `tags`, a list."""
        with self.lock:
            row = self._blank(next_id([*self.rows, *self.tombstones, 42]), "New opportunity", self.now())
            row |= {"partyId": 2, "currency": "GBP"}
            self._enter(row, 1)
            self._set(row, changes)
            return int(row["id"])

    def update(self, row_id: int, *, silently: bool = False, **changes: Any) -> None:
        """Changes any element; `updatedOn` moves unless `silently` or given."""
        with self.lock:
            row = dict(self.rows[row_id])
            if not silently:
                row["updatedOn"] = self.now().replace(microsecond=0)
            self._set(row, changes)

    def _set(self, row: Row, changes: Row) -> None:
        for name, value in changes.items():
            if name == "tags":
                self.tags[row["id"]] = list(value)
            elif name in ("milestone", "milestoneId"):
                self._set_milestone(row, {name: value})
            elif name in ("createdOn", "updatedOn"):
                row[name] = as_utc(value).replace(microsecond=0)
            elif name in ELEMENTS:
                row[name] = Decimal(str(value)) if name == "value" and value is not None else value
            else:
                raise ValueError(f"a Capsule opportunity has no {name!r}")
        self._keep(row)

    def delete(self, row_id: int) -> None:
        """Removes a record with its sub-resources and leaves a tombstone."""
        with self.lock:
            super().delete(row_id)
            self.tombstones[row_id] = self.now().replace(microsecond=0)
            for held in (self.tags, self.fields, self.extra_parties, self.history):
                held.pop(row_id, None)

    def write_note(self, row_id: int, text: str) -> int:
        """Puts a note into an opportunity's history, which moves no stamp; its id."""
        with self.lock:
            return int(self._note(row_id, text, self.now())["id"])

    def rename_milestone(self, number: int, name: str) -> None:
        """Shows at once on all opportunities, without moving their updatedOn."""
        with self.lock:
            self.milestones[number]["name"] = name


def _money(amount: Decimal) -> Decimal:
    return amount if -int(amount.as_tuple().exponent) >= 2 else amount.quantize(Decimal("0.01"))


def _integer(text: str) -> int | None:
    return int(text) if text else None


def _decimal(text: str) -> Decimal | None:
    return _money(Decimal(text)) if text else None


def _some_fields(deal: Deal) -> dict[tuple[str, str], Row]:
    held: dict[tuple[str, str], Row] = {("Deals", "Region"): {"tag": "Deals", "label": "Region", "text": "Süd & Ost"}}
    if deal.dice > 0.5:
        held["Partners", "Region"] = {"tag": "Partners", "label": "Region", "text": "second field of that name"}
        held["", "Signed"] = {"label": "Signed", "boolean": "true" if deal.dice > 0.6 else "false"}
    if deal.dice > 0.7:
        held["", "Renewal"] = {"label": "Renewal", "date": f"{deal.expected}T00:00:00Z"}
        held["", "Seats"] = {"label": "Seats", "number": str(deal.owner * 10)}
    return held

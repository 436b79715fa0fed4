"""The parts of the simulated Capsule around an opportunity: its printing and errors, and its sub-resources.

Tags, custom fields, additional parties, history and tasks are requests of their own (Capsule API v1).
"""

# ruff: noqa: ARG002 - handlers share one signature

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onepipe.sandbox.crm import Crm, Options
from onepipe.sandbox.markup import Node, from_xml, leaves, node, text_of, to_json, to_xml
from onepipe.sandbox.wire import Answer, Call, Refused, Row, dump, next_id, seconds_z, whole

ERROR_PAGE = b"<html></html>"
KINDS = ("text", "date", "boolean", "number")


@dataclass
class CapsuleOptions(Options):
    """Switches for what is not documented.

    order: of lists, "name" (case-insensitive), "id" or "shuffled"; size: whether wrappers carry it
    lastmodified: "inclusive" or "strict"; deleted: whether /opportunity/deleted exists
    deleted_status: what it answers where it does not (400 where "deleted" is read as an id)
    retention_days: how long the deleted list remembers, None for ever
    echo_accept: `Content-Type: */*` when Accept is missing or */*
    error_body: "html", "empty" or "xml" for errors in XML mode
    early_fields: whether custom fields stand at /customfield alone; definitions: whether those are listed
    child_bumps_parent: whether tags, custom fields, history, parties move updatedOn
    extra_elements: whether unknown elements appear
    rate_limit counts per rate_window_seconds (4,000 an hour are documented)
    """

    order: str = "name"
    size: bool = True
    lastmodified: str = "inclusive"
    deleted: bool = True
    deleted_status: int = 404
    retention_days: int | None = None
    echo_accept: bool = True
    error_body: str = "html"
    early_fields: bool = False
    definitions: bool = True
    child_bumps_parent: bool = False
    extra_elements: bool = False
    rate_window_seconds: float = 3600


class CapsuleDetails(Crm):
    """What every Capsule request goes through, and the sub-resources of an opportunity by its id."""

    options: CapsuleOptions
    user: str
    parties: dict[int, Row]

    def clear_details(self) -> None:
        """Starts without any sub-resource."""
        self.tags: dict[int, list[str]] = {}
        self.fields: dict[int, dict[tuple[str, str], Row]] = {}
        self.extra_parties: dict[int, list[int]] = {}
        self.history: dict[int, list[Row]] = {}
        self.tasks: dict[int, Row] = {}
        self.emails: dict[int, list[str]] = {}  # of parties
        self._last_note = 900

    # Auth, errors and printing

    def admit(self, call: Call) -> None:
        """Basic auth: the token as user name, any password. 401 has an HTML body."""
        scheme, _, given = call.headers.get("authorization", "").partition(" ")
        try:
            user = base64.b64decode(given).decode().partition(":")[0] if scheme == "Basic" else ""
        except ValueError:
            user = ""
        if user != self.credentials["token"]:
            headers = [("Content-Type", "text/html"), ("WWW-Authenticate", 'Basic realm="Capsule"')]
            raise Refused(Answer(401, ERROR_PAGE, headers))

    def prepare(self, call: Call) -> None:
        """Remembers the flavour asked for."""
        self._accept = call.headers.get("accept", "")

    def _respond(self, call: Call) -> Answer:
        self.prepare(call)
        try:
            answer = super()._respond(call)
        except Refused as refused:
            answer = refused.answer
        answer.headers.append(("Set-Cookie", "JSESSIONID=sandbox; Path=/; HttpOnly"))
        return answer

    def refuse(self, status: int, message: str) -> Answer:
        """JSON {"message"}, or in XML mode what `error_body` says."""
        if "json" in getattr(self, "_accept", "json"):
            return Answer(status, dump({"message": message}))
        if self.options.error_body == "xml":
            return Answer(status, to_xml(node("error", message)), [("Content-Type", "application/xml")])
        body = ERROR_PAGE if self.options.error_body == "html" else b""
        return Answer(status, body, [("Content-Type", "text/html")])

    def _print(self, tree: Node) -> Answer:
        if "json" in self._accept:
            return Answer(200, to_json(tree))
        bare = self.options.echo_accept and self._accept in ("", "*/*")
        return Answer(200, to_xml(tree), [("Content-Type", "*/*" if bare else "application/xml")])

    def _wrapped(self, name: str, children: list[Node]) -> Answer:
        return self._print(node(name, children, **({"size": str(len(children))} if self.options.size else {})))

    def emptied(self, answer: Answer) -> Answer:
        """An empty wrapper: there is nothing else in a Capsule list."""
        kind = answer.header("Content-Type") or ""
        empty = node("opportunities", [], size="0")
        answer.body = to_json(empty) if "json" in kind else to_xml(empty)
        return answer

    def misshapen(self, shape: str) -> Answer:
        """A page of another root, of one bare text, or with text where elements belong."""
        trees = {
            "missing": node("result", "ok"),
            "object": node("opportunities", "none"),
            "null": node("opportunities", ""),
        }
        return self._print(trees.get(shape, node("list", [node("item", "1"), node("item", "two")])))

    def limited(self) -> Answer:
        """429 with `error`, not `message`, and X-RateLimit-Reset in epoch seconds."""
        answer = super().limited()
        answer.body = b'{"error": "rate limit reached"}'
        answer.set("Content-Type", "application/json")
        return answer

    def rate_headers(self, answer: Answer, left: int) -> None:
        """X-RateLimit-Limit, -Remaining, -Reset."""
        limit = self.stated_limit()
        values = {"Limit": limit, "Remaining": left, "Reset": int(self.window_ends().timestamp())}
        answer.headers += [(f"X-RateLimit-{name}", str(value)) for name, value in values.items()]

    def _row(self, row_id: str) -> Row:
        row = self.rows.get(whole(row_id, -1))
        if row is None:
            raise Refused(self.refuse(404, "could not find opportunity"))
        return row

    def _party(self, party_id: str) -> Row:
        party = self.parties.get(whole(party_id, -1))
        if party is None:
            raise Refused(self.refuse(404, "could not find party"))
        return party

    def _bad(self, message: str) -> Refused:
        return Refused(self.refuse(400, message))

    def _parsed(self, call: Call) -> tuple[str, Any]:
        """Root name and content of an XML or JSON body. Raises `Refused` 400."""
        if "json" in call.headers.get("content-type", ""):
            body = call.json()
            if not isinstance(body, dict) or len(body) != 1:
                raise self._bad("one root object expected")
            return next(iter(body.items()))
        try:
            return from_xml(call.body)
        except ValueError as error:
            raise self._bad(str(error)) from error

    def _created(self, path: str) -> Answer:
        return Answer(201, b"", [("Content-Type", "text/plain; charset=UTF-8"), ("Location", self.url + path)])

    def _child_written(self, row: Row) -> None:
        if self.options.child_bumps_parent:
            row["updatedOn"] = self.now().replace(microsecond=0)
        self.touched()

    # Sub-resources

    def list_tags(self, call: Call, row_id: str) -> Answer:
        """The tags of one opportunity."""
        row = self._row(row_id)
        return self._wrapped("tags", [leaves("tag", {"name": name}) for name in self.tags.get(row["id"], [])])

    def add_tag(self, call: Call, row_id: str, tag: str) -> Answer:
        """201 with Location, or 200 when the tag is already there."""
        row = self._row(row_id)
        tags = self.tags.setdefault(row["id"], [])
        if tag in tags:
            return done()
        tags.append(tag)
        self._child_written(row)
        return self._created(call.path)

    def remove_tag(self, call: Call, row_id: str, tag: str) -> Answer:
        """200, or 404 for a tag that is not there."""
        row = self._row(row_id)
        if tag not in self.tags.get(row["id"], []):
            raise Refused(self.refuse(404, "could not find tag"))
        self.tags[row["id"]].remove(tag)
        self._child_written(row)
        return done()

    def list_fields(self, call: Call, row_id: str) -> Answer:
        """Custom fields that have a value; unticked booleans and empty fields are left out."""
        held = self.fields.get(self._fielded(call, row_id)["id"], {})
        shown = [one for one in held.values() if one.get("boolean") != "false"]
        return self._wrapped("customFields", [leaves("customField", {"id": 1, **one}) for one in shown])

    def _fielded(self, call: Call, row_id: str) -> Row:
        if self.options.early_fields and call.path.rstrip("/").endswith("customfields"):
            raise Refused(self.refuse(404, "could not find opportunity"))
        return self._row(row_id)

    def put_fields(self, call: Call, row_id: str) -> Answer:
        """Merges by data tag and label; a label without a value removes the field."""
        row = self._fielded(call, row_id)
        held = self.fields.setdefault(row["id"], {})
        _, body = self._parsed(call)
        inner = body.get("customField", []) if isinstance(body, dict) else []
        for one in inner if isinstance(inner, list) else [inner]:
            key = (str(one.get("tag") or ""), str(one.get("label") or ""))
            value = {kind: text_of(one[kind]) for kind in KINDS if one.get(kind) not in (None, "")}
            held.pop(key, None)
            if value:
                held[key] = ({"tag": key[0]} if key[0] else {}) | {"label": key[1]} | value
        self._child_written(row)
        return done()

    def _party_node(self, party: Row) -> Node:
        kind = "person" if "firstName" in party else "organisation"
        name, attributes, inside = leaves(kind, party)
        told = [leaves("email", {"type": "Work", "emailAddress": one}) for one in self.emails.get(party["id"], [])]
        return name, attributes, [*(inside if isinstance(inside, list) else []), node("contacts", told)]

    def list_parties(self, call: Call, row_id: str) -> Answer:
        """Additional parties of one opportunity."""
        extra = self.extra_parties.get(self._row(row_id)["id"], [])
        return self._wrapped("parties", [self._party_node(self.parties[number]) for number in extra])

    def add_party(self, call: Call, row_id: str, party_id: str) -> Answer:
        """Adds an additional party."""
        row, party = self._row(row_id), self._party(party_id)
        self._add_party(row["id"], party["id"])
        self._child_written(row)
        return self._created(call.path)

    def remove_party(self, call: Call, row_id: str, party_id: str) -> Answer:
        """Removes an additional party."""
        row, party = self._row(row_id), self._party(party_id)
        self.extra_parties[row["id"]] = [n for n in self.extra_parties.get(row["id"], []) if n != party["id"]]
        self._child_written(row)
        return done()

    def _add_party(self, row_id: int, party_id: int) -> None:
        parties = self.extra_parties.setdefault(row_id, [])
        if party_id not in parties:
            parties.append(party_id)

    def list_history(self, call: Call, row_id: str) -> Answer:
        """Notes of one opportunity, newest first."""
        notes = sorted(
            self.history.get(self._row(row_id)["id"], []), key=lambda note: str(note["entryDate"]), reverse=True
        )
        made: list[Node] = []
        for note in notes:
            name, attributes, inside = leaves("historyItem", note)
            made.append((name, attributes, [*(inside if isinstance(inside, list) else []), node("attachments")]))
        return self._wrapped("history", made)

    def add_note(self, call: Call, row_id: str) -> Answer:
        """201 with Location of the new history item; entryDate may be back-dated."""
        row = self._row(row_id)
        _, body = self._parsed(call)
        if not isinstance(body, dict) or not body.get("note"):
            raise self._bad("note is required")
        note = self._note(row["id"], str(body["note"]), self.now())
        note["entryDate"] = body.get("entryDate") or note["entryDate"]
        self._child_written(row)
        return self._created(f"{call.path.rstrip('/')}/{note['id']}")

    def change_note(self, call: Call, row_id: str, note_id: str) -> Answer:
        """Changes the text of a history item."""
        row = self._row(row_id)
        note = self._note_of(row, note_id)
        _, body = self._parsed(call)
        note["note"] = str(body.get("note") or note["note"]) if isinstance(body, dict) else note["note"]
        note["subject"] = note["note"].splitlines()[0][:60]
        self._child_written(row)
        return done()

    def remove_note(self, call: Call, row_id: str, note_id: str) -> Answer:
        """Deletes a history item."""
        row = self._row(row_id)
        self.history[row["id"]].remove(self._note_of(row, note_id))
        self._child_written(row)
        return done()

    def _note_of(self, row: Row, note_id: str) -> Row:
        note = next((note for note in self.history.get(row["id"], []) if str(note["id"]) == note_id), None)
        if note is None:
            raise Refused(self.refuse(404, "could not find history item"))
        return note

    def _note(self, row_id: int, text: str, at: datetime) -> Row:
        self._last_note += 1
        note = {"id": self._last_note, "type": "Note", "entryDate": seconds_z(at), "creator": self.user}
        note |= {"creatorName": self.user.title(), "subject": text.splitlines()[0][:60], "note": text}
        self.history.setdefault(row_id, []).append(note)
        return note

    def list_tasks(self, call: Call) -> Answer:
        """Tasks, open ones unless `status` says otherwise."""
        status = (call.param("status") or "OPEN").upper()
        return self._wrapped(
            "tasks", [leaves("task", task) for task in self.tasks.values() if task["status"] == status]
        )

    def add_task(self, call: Call, row_id: str) -> Answer:
        """201 with the Location of the task."""
        row = self._row(row_id)
        _, body = self._parsed(call)
        if not isinstance(body, dict) or not body.get("description"):
            raise self._bad("description is required")
        number = next_id(self.tasks)
        due = {key: body[key] for key in ("dueDate", "dueDateTime", "category", "detail") if body.get(key)}
        task = {"id": number, "description": body["description"], **due, "status": "OPEN", "owner": self.user}
        self.tasks[number] = task | {"opportunityId": row["id"], "opportunityName": row["name"]}
        return self._created(f"/api/task/{number}")

    def move_task(self, call: Call, task_id: str, verb: str) -> Answer:
        """Completes or reopens a task."""
        task = self.tasks.get(whole(task_id, -1))
        if task is None or verb not in ("complete", "reopen"):
            raise Refused(self.refuse(404, "could not find task"))
        task["status"] = "COMPLETED" if verb == "complete" else "OPEN"
        task["completedOn"] = seconds_z(self.now()) if verb == "complete" else None
        return done()


def done() -> Answer:
    """200 with an empty body."""
    return Answer(200, b"", [("Content-Type", "text/plain; charset=UTF-8")])

"""Tactile CRM: the web interface's own paths, answering JSON.

    GET /opportunities?api_token=...&limit=100&page=1&updated_after=2009-07-02T14:31:43Z
    {"status": "success", "opportunities": [{"id": 1234, ...}], "cur_page": 1, "num_pages": 2, ..., "total": 141}

Lists    by page number, in order of name; a `limit` above 100 silently becomes 30. Archived opportunities are hidden
         (settings: {archived: true} reads those of long ago), later on closed ones too, so what closes is not seen to
         change there: list_all tells, or recently_won and recently_lost; early accounts have none. No tombstones.
Details  the timeline (notes, e-mails) is one request for each opportunity; settings: {details: false} leaves it out.
Filter   updated_after, updated_before: strict, in whole seconds of London time, whose hour repeats in autumn.
Writes   POST /opportunities/save, partial, by ids (status_id, type_id, source_id ...); the id stands inside: one in the
         path alone makes a new row, as would a name instead of an id for organisation or person. null clears. A
         probability that is no multiple of 5 is kept and no longer shown. Nothing can be deleted, no tag removed.
Oddest   200 to everything: errors are {"status": "error", "messages": array or object, or "errors": [...]}; an HTML
         login page means that the token is missing or the action unknown. A GET to add_tag writes.
Access   the query parameter api_token, one per user; it sees what its user sees. Life: no limit, no end documented.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from onepipe.connector import (
    Answer,
    AuthRefused,
    BadPayload,
    Change,
    Connector,
    Facts,
    Gone,
    Habits,
    Http,
    Incomplete,
    Open,
    Page,
    Record,
    Rejected,
    Request,
    Scale,
    Window,
    Writes,
    action,
    by_page,
    id_number,
    json_facts,
    json_page,
    json_record,
    part,
    read,
    refusal,
    rows,
)

OPPORTUNITIES = "/opportunities"
LISTS = ("list_all", "recently_won", "recently_lost")
FILTER = ("updated_after", "updated_before")
REFUSED = re.compile("compulsory|must be|not a valid|cannot edit|invalid|permission|already has|limit", re.I)
COST = Scale(Decimal("0.01"), most=Decimal("99999999.99"))
SAVING = (OPPORTUNITIES, f"{OPPORTUNITIES}/save", "/notes/save")  # where an unknown id may be that of a status


class Denied(AuthRefused):
    """The envelope that refuses the token: unlike the login page it never means that an action is not there."""


class Missing(suppress):
    """How an account answers to an action it does not have, 404 or the login page, is passed over."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        return kind is not Denied and bool(super().__exit__(kind, error, trace))


class Tactile(Connector):
    facts = Facts(
        title="Tactile CRM",
        api="JSON API (no version)",
        verified="the vendor's pages of 2009, the source published in 2015, and the sandbox; no live account",
        base_url="https://SITE.tactilecrm.com",
        credentials=("api_token",),
        page_size=100,
        stamp="lastupdated",
        filter="range",
        floor=timedelta(minutes=70),
        reference=("options",),
        drifting=("custom_fields",),  # the definitions of the whole account, on every row
        details=("timeline",),
        settings={
            "archived": "true also reads what was archived before the first run, where list_all answers",
            "details": "false leaves timelines out (one request per changed opportunity)",
        },
        writing_paths=("/opportunities/add_tag*",),
    )
    writes = Writes(
        required=("name", "expected_close_date", "stage_id"),
        places={"type": ("type_id",), "lead_source": ("source_id",)},
        by_id=frozenset({"type", "lead_source"}),
        habits=Habits(scales={"amount": COST, "probability": Scale(Decimal("0.05"), rounds=False)}),
        derived=("status", "extra.alteredby"),
        notes={"owner": "a user of the site by name; who does not exist is refused"},
    )

    def open(self, door: Open) -> Http:
        return door(query={"api_token": self.credentials["api_token"]}, check=_check)

    def count(self, window: Window | None = None) -> int | None:
        answer = self.http.get(OPPORTUNITIES, limit=1, **(window or Window()).bounds(*FILTER))
        return json_page(answer.content, "opportunities", total="total").total

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        return self._options() if resource == "options" else self._opportunities(window)

    def get(self, record_id: str, payload: bytes | None) -> Record:
        return json_record(self.opportunity(id=record_id).content, "opportunity", stamp="lastupdated")

    def detail(self, name: str, record_id: str, payload: bytes) -> bytes:
        return self.timeline(id=record_id)

    def create(self, change: Change) -> Request:
        own = {name: id_number(value) if name.endswith("_id") else value for name, value in change.items()}
        return Request("POST", f"{OPPORTUNITIES}/save", {"Opportunity": own}, carries=tuple(change), gone=())

    def update(self, record_id: str, payload: bytes, change: Change) -> list[Request]:
        own = {"id": id_number(record_id), **self.create(change).body["Opportunity"]}
        return [Request("POST", f"{OPPORTUNITIES}/save", {"Opportunity": own}, carries=tuple(change))]

    def created_since(self, since: datetime, change: Change) -> Iterator[Record]:
        bound = Window(since=since - self.facts.floor).bounds("created_after", "created_before")
        seen = {record.id: record for page in self._numbered(OPPORTUNITIES, **bound) for record in page.records}
        yield from seen.values()
        yield from (self.get(one, None) for one in {row.id for row in self._unlisted(Window(), bound)} - seen.keys())

    def choices(self, column: str) -> list[tuple[str, str]] | None:
        name = {"stage": "status", "lead_source": "source", "owner": "assigned_to"}.get(column, column)
        page = next(self._options(), None)
        return list((json_facts(page.records[0].payload, name)[0] or {}).items()) or None if page else None

    @action(look="_tagged")
    def add_tag(self, *, id: str, tag: str) -> Request:
        """Put a tag on it; one that it has already is refused."""
        return Request("GET", f"{OPPORTUNITIES}/add_tag", query={"id": id, "tag": tag})

    @action(look="_noted")
    def add_note(self, *, id: str, title: str, note: str) -> Request:
        """Add a note to its timeline."""
        return Request("POST", "/notes/save", {"Note": {"title": title, "note": note, "opportunity_id": id_number(id)}})

    @read
    def opportunity(self, *, id: str) -> Answer:
        """One opportunity as it is now, archived ones too."""
        return self.http.get(f"{OPPORTUNITIES}/view/{part(id)}", gone=True)

    @read
    def mine(self) -> bytes:
        """The unarchived opportunities assigned to the token's user."""
        return rows(self._numbered(f"{OPPORTUNITIES}/mine"))

    @read
    def recently_won(self) -> bytes:
        """The opportunities won and changed within 60 days, archived ones too."""
        return rows(self._numbered(f"{OPPORTUNITIES}/recently_won"))

    @read
    def recently_lost(self) -> bytes:
        """The opportunities lost and changed within 60 days, archived ones too."""
        return rows(self._numbered(f"{OPPORTUNITIES}/recently_lost"))

    @read
    def list_all(self) -> Answer:
        """Every opportunity the token sees, eight fields each; later accounts only."""
        return self.http.get(f"{OPPORTUNITIES}/list_all")

    @read
    def timeline(self, *, id: str) -> bytes:
        """The notes and e-mails of one opportunity, newest first."""
        got: dict[int, list[str]] = {}

        def page(number: int) -> Page:
            answer = self.http.get(f"{OPPORTUNITIES}/timeline", gone=True, id=id, page=number)
            found = json_page(answer.content, "timeline", id="", total="total", pages="num_pages")
            got[number] = [json.dumps(json.loads(one), ensure_ascii=False) for one in found.unreadable]  # last key wins
            if (found.total, found.pages) == (None, None) and got[number] == got.get(number - 1):
                return Page([])  # the first accounts answer every page with the whole
            return Page([Record(one, one.encode()) for one in got[number]], total=found.total, pages=found.pages)

        with suppress(ValueError, RecursionError):
            return rows(by_page(page))
        raise BadPayload("The timeline holds an entry that is not UTF-8, or that cannot be read.")

    @read
    def options(self) -> Answer:
        """The users, and the statuses, types and sources by id."""
        return self.http.get(f"{OPPORTUNITIES}/options", gone=True)

    def _opportunities(self, window: Window) -> Iterator[Page]:
        bounds = window.bounds(*FILTER)
        seen: set[str] = set()
        for page in self._numbered(OPPORTUNITIES, window.resume, **bounds):
            seen.update(record.id for record in page.records)
            yield page
        hidden = {brief.id for brief in self._unlisted(window, bounds) if self._wanted(brief, window)}
        if window.resume and hidden - seen:  # what stood on the pages before is not known here
            seen.update(record.id for page in self._numbered(OPPORTUNITIES, **bounds) for record in page.records)
        for record_id in sorted(hidden - seen):
            with suppress(Gone):
                yield Page([self.get(record_id, None)])

    def _wanted(self, brief: Record, window: Window) -> bool:
        """Whatever has changed since; of the history, what was archived before only with the setting."""
        if not window.since or window.history:
            return bool(self.settings.get("archived")) or not json_facts(brief.payload, "archived")[0]
        with suppress(ValueError, TypeError):  # a stamp that cannot be read is no reason to miss its row
            return datetime.fromisoformat(brief.stamp or "") >= window.since
        return True

    def _unlisted(self, window: Window, bounds: dict[str, Any]) -> Iterator[Record]:
        """Brief rows of what the main list may leave out, as far as this account has lists that tell."""
        absent = window.distrust if window.since else ()  # a complete read asks again for what was missing
        for name in (one for one in LISTS if f"no {one}" not in absent):
            path = f"{OPPORTUNITIES}/{name}"
            with Missing(Gone, AuthRefused):
                if name != "list_all":
                    yield from (record for page in self._numbered(path, **bounds) for record in page.records)
                    continue
                answer = self.http.get(path, gone=True, **bounds)
                page = json_page(answer.content, "opportunities", stamp="lastupdated", total="total")
                if page.total not in (None, len(page.records) + len(page.unreadable)):  # it states none, unpaged
                    raise Incomplete(f"Tactile's list_all states {page.total} rows and holds {len(page.records)}.")
                yield from page.records
                return
            self.lacks.add(f"no {name}")

    def _tagged(self, *, id: str, tag: str) -> bool | None:
        tags, custom = json_facts(self.get(id, None).payload, "tags", "custom_fields")
        return None if tags is None and custom is None else tag in (tags or ())  # the first accounts do not tell

    def _noted(self, *, id: str, title: str, note: str) -> int:
        """How many notes of this title and text there are."""
        same = {"title": title, "note": note}.items()
        return sum(same <= (one.get("note") or {}).items() for one in json.loads(self.timeline(id=id)))

    def _options(self) -> Iterator[Page]:
        with Missing(Gone, AuthRefused):
            found = json_facts(self.options().content, "opportunity_options")[0]
            yield Page([Record("options", json.dumps(found or {}, ensure_ascii=False).encode())])

    def _numbered(self, path: str, resume: Any = None, **bounds: Any) -> Iterator[Page]:
        def page(number: int) -> Page:
            answer = self.http.get(path, gone=path != OPPORTUNITIES, limit=100, page=number, **bounds)
            return json_page(answer.content, "opportunities", stamp="lastupdated", total="total", pages="num_pages")

        return by_page(page, resume)


def _check(answer: Answer) -> None:
    """Turn an error envelope, which comes with 200, into the error it is."""
    status, messages, errors = json_facts(answer.content, "status", "messages", "errors")
    if status == "success" or (status is None and not (messages or errors)):
        return
    told = refusal(answer.content) or {"": "no reason"}
    words = "; ".join(f"{key} {text}".strip() for key, text in told.items())
    if answer.path not in SAVING and re.search("invalid id|permission to view|not found", words, re.I):
        raise Gone(f"Tactile says: {words}")
    if answer.path.endswith((*LISTS, "options")) and "Template missing" in words:  # announced, and never written
        raise Gone(f"Tactile says: {words}")
    if {"401", "403"} & set(told) or re.search("log ?in|token|authori[sz]|denied|forbidden", words, re.I):
        raise Denied(f"Tactile refuses the token: {words}")
    if any(key.startswith("opportunity_") for key in told) or REFUSED.search(words):
        plain = {key.removeprefix("opportunity_") if key[:1] != "_" else "": text for key, text in told.items()}
        raise Rejected(f"Tactile refuses it: {words}", plain)
    raise BadPayload(f"Tactile answers an error: {words}")

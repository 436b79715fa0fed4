"""OnAutomate API v1 (a white-label GoHighLevel): opportunities, pipeline by pipeline.

    GET /pipelines/bCk1/opportunities?limit=100&startAfter=1709108130255&startAfterId=c9
    {"opportunities": [{"id": "k3Qv...", "name": "Roof repair", ...}], "meta": {"total": 41, "startAfter": ..., ...}}

Lists    newest first, one list a pipeline, 20 a page unless `limit` says more (100 at most). The cursor is the pair in
         `meta`, echoed; hosts that know only `page` give no pair, or repeat the first page: they are read by number.
         meta.nextPageUrl stands on the last page too, in plain http: never followed.
Filter   none by time of change: every run reads all pipelines. All parameters are sent again on each page.
Writes   PUT is a form that wants title, stageId, status and the contact even where they stay: they go along as just
         read. A status alone has a call of its own. A written e-mail or name is the contact's, in all of its deals; a
         refusal (422) is an object by field. A contact has one deal a pipeline, unless the location allows more.
Oddest   read `name`, write `title`; an unknown id answers 400 or 404, and so does a deal that moved to another
         pipeline; errors {"msg": ...} may come with 200.
Access   Bearer API key of one location (sub-account). Limits: 100 requests in 10 seconds, 200,000 a day.
Life     the vendor of v1 ended its support on 2025-12-31. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from onepipe.connector import (
    Answer,
    AuthRefused,
    BadPayload,
    Change,
    Connector,
    Facts,
    Gone,
    Http,
    Incomplete,
    Open,
    Page,
    PagingLoop,
    Quota,
    Record,
    Request,
    Token,
    UsageError,
    Window,
    Writes,
    action,
    by_cursor,
    by_page,
    by_part,
    json_facts,
    json_page,
    json_record,
    part,
    read,
    rows,
)

UNKNOWN = (400, 404, 410)
CONTACT = ("contactId", "name", "companyName", "email", "phone", "tags")


class OnAutomate(Connector):
    facts = Facts(
        title="OnAutomate",
        api="API v1 (V1.1.1)",
        verified="the vendor's page, GoHighLevel's v1 pages, and the sandbox; no live account",
        ends="2025-12-31",
        base_url="https://link.amtssl.com",
        prefix="/v1",
        credentials=("api_key",),
        page_size=100,
        stamp="updatedAt",
        filter="none",
        resolution=timedelta(milliseconds=1),
        quota=(Quota(100, 10), Quota(200_000, 86_400)),
        reference=("pipelines",),
    )
    writes = Writes(
        required=("name", "pipeline_id", "stage_id", "status", ("contact_id", "contact_email", "contact_phone")),
        places={"pipeline_id": ("pipelineId",)},
        new_only=frozenset({"pipeline_id", "pipeline"}),
        derived=("closed_at", "contact_id"),
        unstamped=frozenset(CONTACT),
        forced=("title", "stageId", "status", "contactId"),
        guards={"lastStatusChangeAt": "status"},
        notes={"tags": "replaced or merged is not documented; all that are wanted are sent"},
        lag=timedelta(seconds=30),
    )

    def open(self, door: Open) -> Http:
        key = self.credentials["api_key"]
        return door(headers={"Authorization": f"Bearer {key}", "Accept": "application/json"}, check=_check)

    def count(self, window: Window | None = None) -> int | None:
        self._pipelines()
        return None

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        if resource == "pipelines":
            yield self._pipelines()
            return
        numbered = "order" in window.distrust
        pipelines = [pipeline.id for pipeline in self._pipelines().records]
        yield from by_part(pipelines, lambda one, resume: self._opportunities(one, resume, numbered), window.resume)

    def get(self, record_id: str, payload: bytes | None) -> Record:
        home = json_facts(payload, "pipelineId")[0] if payload else None
        for pipeline in self._pipelines_from(home):
            try:
                return json_record(self.opportunity(pipeline_id=pipeline, id=record_id).content, stamp="updatedAt")
            except Gone:  # it may have moved
                continue
        raise Gone(f"no pipeline has the opportunity {record_id}", evidence="absent")

    def create(self, change: Change) -> Request:
        body = {name: value for name, value in change.items() if name != "pipelineId"}
        return Request("POST", self._list(change["pipelineId"]) + "/", body, carries=tuple(change), gone=())

    def update(self, record_id: str, payload: bytes, change: Change) -> list[Request]:
        if "pipelineId" in change:
            raise UsageError("OnAutomate cannot move a deal to another pipeline; make a new one there")
        home, title, stage, status, contact = json_facts(
            payload, "pipelineId", "name", "pipelineStageId", "status", "contact"
        )
        if change.keys() == {"status"} or (change.keys() == {"status", "stageId"} and change["status"] != status):
            return [self._status(record_id, home, {"stageId": stage, **change}, tuple(change))]
        forced = {"title": title, "stageId": stage, "status": status, **_who(contact or {})}
        return [Request("PUT", self._one(home, record_id), {**forced, **change}, carries=tuple(change))]

    def delete(self, record_id: str, payload: bytes) -> Request:
        return Request("DELETE", self._one(json_facts(payload, "pipelineId")[0], record_id))

    def created_since(self, since: datetime, change: Change) -> Iterator[Record]:
        for page in self._opportunities(change["pipelineId"]):
            for record in page.records:
                if datetime.fromisoformat(json_facts(record.payload, "createdAt")[0]) < since:
                    return  # the newest come first
                yield record

    def foresees(self, payload: bytes, change: Change) -> list[str]:
        own = [name for name in CONTACT[1:] if name in change]
        return [f"{', '.join(own)} are the contact's, and change in all of its deals"] if own else []

    @action(look="_standing")
    def set_status(self, *, id: str, status: str, stage_id: str | None = None) -> Request:
        """Set open, won, lost or abandoned, and with it the stage, which stays where it is if not given."""
        home, stage = json_facts(self.get(id, None).payload, "pipelineId", "pipelineStageId")
        return self._status(id, home, {"status": status, "stageId": stage_id or stage}, ())

    @read
    def pipelines(self) -> bytes:
        """The pipelines with their stages."""
        return rows([self._pipelines()])

    @read
    def opportunities(
        self,
        *,
        pipeline_id: str,
        status: str | None = None,
        stage_id: str | None = None,
        assigned_to: str | None = None,
        query: str | None = None,
    ) -> bytes:
        """The opportunities of one pipeline; status is open, won, lost or abandoned, query searches the contact."""
        filters = {"status": status, "stageId": stage_id, "assignedTo": assigned_to, "query": query}
        return rows(self._opportunities(pipeline_id, filters=filters))

    @read
    def opportunity(self, *, pipeline_id: str, id: str) -> Answer:
        """One opportunity as it is now."""
        return self.http.get(self._one(pipeline_id, id), gone=UNKNOWN)

    def _standing(self, *, id: str, status: str, stage_id: str | None = None) -> list[Any]:
        return json_facts(self.get(id, None).payload, "status", "pipelineStageId")

    def _status(self, record_id: str, home: str, body: dict[str, Any], carries: tuple[str, ...]) -> Request:
        return Request("PUT", f"{self._one(home, record_id)}/status", body, carries=carries)

    def _one(self, pipeline: str, record_id: str) -> str:
        return f"{self._list(pipeline)}/{part(record_id)}"

    def _list(self, pipeline: str) -> str:
        return f"/v1/pipelines/{part(pipeline)}/opportunities"

    def _pipelines(self) -> Page:
        return json_page(self.http.get("/v1/pipelines/").content, "pipelines")

    def _pipelines_from(self, home: str | None) -> Iterator[str]:
        """The pipeline a deal was last seen in, then every other."""
        if home:
            yield home
        yield from (pipeline.id for pipeline in self._pipelines().records if pipeline.id != home)

    def _opportunities(
        self, pipeline: str, resume: Token = None, numbered: bool = False, filters: dict[str, Any] | None = None
    ) -> Iterator[Page]:
        def page(**place: Token) -> Page:
            answer = self.http.get(self._list(pipeline), limit=100, **(filters or {}), **place)
            total = None if filters else "meta.total"  # whether it heeds the filters is not written anywhere
            found = json_page(answer.content, "opportunities", stamp="updatedAt", total=total)
            homes = (json_facts(record.payload, "pipelineId")[0] for record in found.records)
            if found.records and all(home and str(home) != pipeline for home in homes):
                raise Incomplete(f"OnAutomate's list of pipeline {pipeline} answers nothing but deals of others.")
            after, after_id = json_facts(answer.content, "meta.startAfter", "meta.startAfterId")
            found.cursor = {"startAfter": after, "startAfterId": after_id} if after and after_id else None
            return found

        def after(cursor: Token) -> Page:
            found = page(**(cursor or {}))
            if found.records and not found.cursor:
                raise PagingLoop("this host gives no cursor")
            return found

        if not numbered and (resume is None or isinstance(resume, dict)):
            try:
                yield from by_cursor(after, resume)
                return
            except Incomplete:
                raise
            except PagingLoop:
                resume = None
        yield from by_page(lambda number: page(page=number), resume, fixed=True)


def _who(contact: dict[str, Any]) -> dict[str, Any]:
    """What names the contact in a form, by the first of id, e-mail and phone that it has."""
    known = {"contactId": contact.get("id"), "email": contact.get("email"), "phone": contact.get("phone")}
    return dict([next(((name, value) for name, value in known.items() if value), ("contactId", None))])


def _check(answer: Answer) -> None:
    """Turn a {"msg": ...} that comes with 200 into the error it is; "" is a success."""
    if answer.content.lstrip()[:1] == b"{":
        message = json_facts(answer.content, "msg")[0]
        if message and "unauthorized" in str(message).lower():
            raise AuthRefused(f"OnAutomate refuses the API key: {message}")
        if message:
            raise BadPayload(f"OnAutomate answers an error: {message}")

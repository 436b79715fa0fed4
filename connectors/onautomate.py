"""OnAutomate API v1 (a white-label GoHighLevel): opportunities, pipeline by pipeline.

    GET /pipelines/bCk1/opportunities?limit=100&startAfter=1709108130255&startAfterId=c9
    {"opportunities": [{"id": "k3Qv...", "name": "Roof repair", ...}], "meta": {"total": 41, "startAfter": ..., ...}}

Lists    newest first, one list a pipeline, 20 a page unless `limit` says more (100 at most). The cursor is the pair in
         `meta`, echoed; hosts that know only `page` give no pair, or repeat the first page: they are read by number.
         meta.nextPageUrl stands on the last page too, in plain http: never followed.
Filter   none by time of change: every run reads all pipelines. All parameters are sent again on each page.
Oddest   read `name`, write `title`; an unknown id answers 400 or 404, and so does a deal that moved to another
         pipeline; errors {"msg": ...} may come with 200.
Access   Bearer API key of one location (sub-account). Limits: 100 requests in 10 seconds, 200,000 a day.
Life     the vendor of v1 ended its support on 2025-12-31. No tombstones: deletions are found by the sweep.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from onepipe.connector import (
    Answer,
    AuthRefused,
    BadPayload,
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
    Token,
    Window,
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
        return self.http.get(f"{self._list(pipeline_id)}/{part(id)}", gone=UNKNOWN)

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


def _check(answer: Answer) -> None:
    """Turn a {"msg": ...} that comes with 200 into the error it is; "" is a success."""
    if answer.content.lstrip()[:1] == b"{":
        message = json_facts(answer.content, "msg")[0]
        if message and "unauthorized" in str(message).lower():
            raise AuthRefused(f"OnAutomate refuses the API key: {message}")
        if message:
            raise BadPayload(f"OnAutomate answers an error: {message}")

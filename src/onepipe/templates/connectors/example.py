"""Example CRM, API v1: one sentence on what it is.

    GET /deals?offset=0&limit=100&updated_since=2024-03-01T10:00:00Z
    {"data": [{"id": 43, "title": "Consulting", "updated_at": "2024-03-01T10:00:05Z", ...}], "total": 230}

Lists    how a list is paged, in which order, and how its end is told
Filter   whether a list can be narrowed to what changed since an instant
Oddest   what a stranger would not expect: read it here, not in an incident
Access   where the credential is found, and which right it needs
Limits   how many requests in how much time. Life: the API's version, and its end where one was announced
"""

from collections.abc import Iterator

from onepipe.connector import (
    Connector,
    Facts,
    Http,
    Open,
    Page,
    Record,
    Window,
    by_offset,
    json_page,
    json_record,
    part,
    utc,
)


class Example(Connector):
    facts = Facts(
        title="Example CRM",
        api="API v1",
        verified="its documentation; no live account yet",
        base_url="https://api.example.com",
        credentials=("api_key",),
        page_size=100,
        stamp="updated_at",
        filter="since",
    )

    def open(self, door: Open) -> Http:
        return door(headers={"Authorization": f"Bearer {self.credentials['api_key']}", "Accept": "application/json"})

    def count(self, window: Window | None = None) -> int | None:
        return self._page(0, limit=1).total

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        since = utc(window.since, "%Y-%m-%dT%H:%M:%SZ")
        yield from by_offset(lambda offset: self._page(offset, since), window.resume)

    def get(self, record_id: str, payload: bytes | None) -> Record:
        return json_record(self.http.get(f"/deals/{part(record_id)}", gone=True).content, stamp="updated_at")

    def _page(self, offset: int, since: str | None = None, limit: int = 100) -> Page:
        answer = self.http.get("/deals", offset=offset, limit=limit, updated_since=since)
        return json_page(answer.content, "data", stamp="updated_at", total="total")

"""What is known of an API, and what one scan of it asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from onepipe.errors import BadPayload
from onepipe.paging import Page, Token
from onepipe.quotas import Quota


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an API, declared once; the engine checks what it can and stops trusting what proves wrong.

    `stamp` is the path of the last-change time inside a record; `filter` says whether a list can be narrowed to
    changes since an instant; `resolution` and `floor` (how far each run reads back at the least) are durations;
    `quota` holds a `Quota(requests, seconds, scope)` for each that is documented, scope "account" or "address" (all
    requests from one address count together); `drifting` names fields that change without a write and so do not
    count as a change; `reference` and `details` are resources pulled before the list and once per record;
    `prefix` is how all paths begin, such as "/v1": people may or may not write it into base_url;
    `writing_paths` are paths, with `*` for any text, of GETs that write: the gate stops them like any write.
    """

    title: str
    api: str
    verified: str
    base_url: str
    credentials: tuple[str, ...]
    page_size: int
    ends: str | None = None
    stamp: str | None = None
    filter: Literal["none", "since", "range"] = "none"
    order: str | None = None
    resolution: timedelta = timedelta(seconds=1)
    floor: timedelta = timedelta(minutes=2)
    quota: tuple[Quota, ...] = ()
    drifting: tuple[str, ...] = ()
    reference: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    writing_paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(isinstance(one, Quota) for one in self.quota):
            raise TypeError("quota is a tuple of Quota(requests, seconds): quota=(Quota(100, 10),)")


@dataclass(frozen=True, kw_only=True)
class Window:
    """What one scan asks for. All None and empty: everything, from the beginning.

    `since` and `until` are instants in UTC, given only to connectors that can filter, and already widened so far that
    strict or inclusive does not matter; `resume` is the `next` token of the last page that was kept; `distrust` names
    facts that proved wrong for this account: "filter", "order". `history`: the bounds cut a part out of a load of
    everything; without it, `since` asks for what changed.
    """

    since: datetime | None = None
    until: datetime | None = None
    resume: Token = None
    distrust: frozenset[str] = frozenset()
    history: bool = False

    def bounds(self, since: str, until: str, form: str = "%Y-%m-%dT%H:%M:%SZ") -> dict[str, Any]:
        """The two instants as query parameters of these names, in UTC and in `form` (strftime)."""
        return {since: utc(self.since, form), until: utc(self.until, form)}


def rows(pages: Iterable[Page]) -> bytes:
    """The records of all pages as one JSON array, each exactly as the CRM sent it.

    Raises BadPayload where an element is no record (see `Page.unreadable`): without it the list would pass for whole.
    """
    records: list[bytes] = []
    for page in pages:
        if page.unreadable:
            raise BadPayload("The list holds an element that is no object, has no id or is not UTF-8.")
        records += [record.payload for record in page.records]
    return b"[" + b",".join(records) + b"]"


def utc(instant: datetime | None, form: str) -> str | None:
    """An instant in UTC in the form (strftime) that an API filters by; None for None."""
    return instant.astimezone(UTC).strftime(form) if instant else None

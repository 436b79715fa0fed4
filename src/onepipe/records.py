"""What a fetched list is made of: records and pages. Words of the house, without behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

Token = Any
"""Where in a list a page stands, as JSON can hold it (a number, a text, a list of such), or None."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a CRM as it came.

    `id` is the CRM's id as text, exact to the last digit. `payload` is one JSON object in one line of UTF-8, the
    CRM's own bytes where it speaks JSON. `stamp` is the text of the last change at `Facts.stamp`, as sent.
    """

    id: str
    payload: bytes
    stamp: str | None = None


@dataclass(slots=True)
class Page:
    """One answer of a list. A connector fills the first half, the paging functions the second.

    `unreadable` holds list elements that are no object or have no id, as sent. `total` is how many rows and `pages`
    how many pages the list says it has in all; `more` is whether it says that another page follows; `cursor` is
    what it wants to be asked with next. None: it does not say.

    `token` is how this page was asked for; `next` is where a later run can go on after it, None after the last;
    `moved` is whether rows were seen to move under the scan up to this page; `unjoined` whether this page shares no
    row with the one before, so that only the list's total would tell that one slipped through between them.
    """

    records: list[Record]
    unreadable: list[bytes] = field(default_factory=list)
    total: int | None = None
    pages: int | None = None
    more: bool | None = None
    cursor: Token = None

    token: Token = None
    next: Token = None
    moved: bool = False
    unjoined: bool = False


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One opportunity as it was read and kept, so that it can be read through any mapping later.

    `payload` is its JSON text as the CRM sent it, `details` what its sub-requests answered (JSON text by name); one
    that is not there was never fetched. `read_at` is by our clock, in UTC.
    """

    source_id: str
    payload: str
    payload_hash: str
    details: Mapping[str, str] = field(default_factory=dict)
    read_at: datetime

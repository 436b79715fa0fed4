"""What is worth telling now: what lasts is told when it begins and when it is over, and no flood of it leaves.

Kept in the control file, so that a restart tells nothing twice and forgets nothing. Used by one thread.
"""

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from onepipe import __version__, logs
from onepipe.config.service import Happening
from onepipe.control.notices import Alerts, Message, Notice
from onepipe.daemon.onlooker import Event
from onepipe.daemon.ways import Way
from onepipe.errors import DiskTrouble
from onepipe.report import stamp

LASTING = ("failed", "suspect", "paused", "stale", "silent")
OF_RUNS = ("failed", "suspect", "paused", "stale")  # over with the next complete run; told again after a day
A_DAY = 86_400.0  # after it, what still lasts is told again
A_MINUTE = 60.0
SINGLY = 10  # of one event so many are told singly within a minute; the rest becomes one message
NAMED = 50  # connections that a message names at the most
WRITTEN_EVERY = 60.0  # seconds: how often what is met is counted anew goes to the disk

Ways = dict[str, list[Way]]
Key = tuple[str, str, str]


class Bulletin:
    """What stands, and what of it people were told. `ways` are those of the config in force, by event."""

    def __init__(self, kept: Alerts, clock: Callable[[], float]) -> None:
        self._kept = kept
        self._clock = clock
        self._ways: Ways = {}
        self._standing = {one.key: one for one in kept.notices()}
        self._minutes: dict[str, tuple[float, int]] = {}  # when it began, and how many left in it
        self._unwritten: dict[Key, Notice | None] = {}  # None: over
        self._outgoing: list[Message] = []
        self._urgent, self._written_at = False, clock()

    def tells(self, event: str) -> bool:
        """Whether anybody is to be told of such an event."""
        return bool(self._ways.get(event))

    def reload(self, ways: Ways, connections: Collection[str]) -> None:
        """Tell in these ways from now on; what stands of other connections is over, without a word."""
        self._ways = ways
        gone = [one for one in self._standing.values() if one.connection and one.connection not in connections]
        self._change([], gone)

    def standing(self, event: str | None = None, connection: str | None = None) -> list[Notice]:
        """What lasts and is not over, of one event and one connection, or of all."""
        return [
            one
            for one in list(self._standing.values())
            if one.event in LASTING and event in (None, one.event) and connection in (None, one.connection)
        ]

    def happened(self, event: Event, what: str = "") -> None:
        """Something happened, or goes on: what lasts is told once, anything else each time."""
        if event.event == "recovered":
            self.over(event.connection or "", OF_RUNS, event.at, event)
        elif event.event == "failed" and event.kind == "auth" and self.tells("paused"):
            return  # told as paused
        elif event.event in LASTING:
            self._begins(event, what)
        elif self.tells(event.event):
            self._change([_notice(event, what or uuid.uuid4().hex)], [])

    def over(
        self,
        connection: str,
        events: Iterable[str],
        at: datetime,
        said: Event | None = None,
        what: str | None = None,
    ) -> None:
        """These do not last any more: told as recovered, unless nobody was told that they had begun."""
        chosen = [
            one for one in self.standing(connection=connection) if one.event in events and what in (None, one.what)
        ]
        if not chosen:
            return
        told = [one for one in chosen if one.told_at is not None]
        news = [_notice(said or _recovered(connection, told, at), "")] if told and self.tells("recovered") else []
        self._change(news, chosen)

    def tell(self) -> int:
        """Make messages of all that is to be told by now, and write down what stands; how many. Raises DiskTrouble."""
        now = self._clock()
        for event in sorted({one.event for one in self._standing.values()}):
            due = list(self._due(event, now))[: self._room(event, now)] if self.tells(event) else []
            if due:
                self._outgoing += self._messages(event, due, now)
                self._change(
                    [replace(one, told_at=now) for one in due if event in LASTING],
                    [one for one in due if event not in LASTING],
                )
        made = len(self._outgoing)
        if self._urgent or (self._unwritten and now - self._written_at >= WRITTEN_EVERY):
            self._write()
            self._written_at = now
        return made

    def take_messages(self) -> list[Message]:
        """The messages that could not be written down, to be delivered all the same; they are not kept here."""
        found, self._outgoing = self._outgoing, []
        return found

    def _begins(self, event: Event, what: str) -> None:
        before = self._standing.get((str(event.event), event.connection or "", what))
        if before is None:
            self._change([_notice(event, what)], [])
        elif event.run_id is None or event.run_id != json.loads(before.body)["run_id"]:  # one run is met once
            met = replace(before, times=before.times + 1, body=_body(event))
            self._standing[met.key] = self._unwritten[met.key] = met

    def _change(self, kept: list[Notice], over: list[Notice]) -> None:
        for one in over:
            self._standing.pop(one.key, None)
            self._unwritten[one.key] = None
        for one in kept:
            self._standing[one.key] = self._unwritten[one.key] = one
        self._urgent = self._urgent or bool(kept or over)

    def _write(self) -> None:
        """All that changed, and the messages, in one step: none is told twice, and none is lost."""
        changed, self._unwritten, self._urgent = self._unwritten, {}, False
        try:
            lost = self._kept.keep(
                [one for one in changed.values() if one],
                [key for key, one in changed.items() if one is None],
                self._outgoing,
            )
            self._outgoing = []
        except DiskTrouble:
            self._unwritten, self._urgent = changed | self._unwritten, True
            raise
        if lost:
            logs.get().error("alerts given up: too many wait for their delivery", number=lost)

    def _due(self, event: str, now: float) -> Iterator[Notice]:
        for one in self._standing.values():
            if one.event == event and (one.told_at is None or (event in OF_RUNS and now - one.told_at >= A_DAY)):
                yield one

    def _room(self, event: str, now: float) -> int | None:
        """How many notices may become messages now: none while the minute's are used up; None for any number."""
        began, left = self._minutes.get(event, (0.0, 0))
        if not 0 <= now - began < A_MINUTE:
            self._minutes[event] = (now, 0)
            return None
        return max(SINGLY - left, 0)

    def _messages(self, event: str, due: list[Notice], now: float) -> list[Message]:
        """One for each notice and way; one for all of them where they are many."""
        bodies = [_told(one) for one in due] if len(due) <= SINGLY else [_bundle(event, due, now)]
        began, left = self._minutes[event]
        self._minutes[event] = (began, left + (len(bodies) if len(due) <= SINGLY else SINGLY))
        return [
            Message(id=body["id"], way=way.key, body=json.dumps(body), next_at=now)
            for body in bodies
            for way in self._ways[event]
        ]


def payload(event: Event) -> dict[str, Any]:
    """What people are sent of an event; `id` is new each time. No secret is in it."""
    return {
        "event": event.event,
        "connection": event.connection,
        "at": stamp(event.at),
        "text": logs.redact(event.text),
        "hint": logs.redact(event.hint),
        "kind": event.kind,
        "run_id": event.run_id,
        "details": event.details,
        "id": uuid.uuid4().hex,
        "onepipe_version": __version__,
    }


def _body(event: Event) -> str:
    return json.dumps(payload(event))


def _notice(event: Event, what: str) -> Notice:
    return Notice(
        event=event.event,
        connection=event.connection or "",
        what=what,
        since=event.at.timestamp(),
        body=_body(event),
    )


def _told(notice: Notice) -> dict[str, Any]:
    """The message of one notice; of one that was told before, since when it lasts."""
    body: dict[str, Any] = json.loads(notice.body) | {"id": uuid.uuid4().hex}
    if notice.event in LASTING:
        since = datetime.fromtimestamp(notice.since, UTC)
        body["details"] |= {"since": stamp(since), "times": notice.times}
        if notice.told_at is not None:
            body["text"] += f" This lasts since {since:%Y-%m-%d %H:%M} UTC"
            body["text"] += f", {notice.times} times running." if notice.times > 1 else "."
    return body


def _recovered(connection: str, over: list[Notice], at: datetime) -> Event:
    since = datetime.fromtimestamp(min((one.since for one in over), default=at.timestamp()), UTC)
    words = " and ".join(sorted({"failing" if one.event == "failed" else one.event for one in over}))
    return Event(
        event="recovered",
        at=at,
        connection=connection or None,
        text=f"{connection or 'All'} is well again: it was {words} since {since:%Y-%m-%d %H:%M} UTC.",
        details={"over": sorted({one.event for one in over}), "since": stamp(since)},
    )


def _bundle(event: str, due: list[Notice], now: float) -> dict[str, Any]:
    """One message for many notices of one event."""
    names = sorted({one.connection for one in due if one.connection})
    shown = ", ".join(names[:SINGLY]) + (f" and {len(names) - SINGLY} more" if len(names) > SINGLY else "")
    texts = {one.connection: json.loads(one.body)["text"] for one in due[:NAMED]}
    happening: Happening = due[0].event  # type: ignore[assignment]
    return payload(
        Event(
            event=happening,
            at=datetime.fromtimestamp(now, UTC),
            text=f"{event}: {len(due)} at once, of {len(names)} connections: {shown}.",
            hint="`onepipe status` says what to do about each",
            details={"count": len(due), "connections": names[: 10 * NAMED], "texts": texts},
        )
    )

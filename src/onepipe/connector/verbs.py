"""The class that every connector is: required verbs, and what it has without asking."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from onepipe.connector.facts import Facts, Window
from onepipe.connector.reads import Read, doc_of, marked, parameters_of
from onepipe.connector.writes import Action, Change, Request, Writes
from onepipe.decode import Record, json_facts, refusal
from onepipe.errors import Rejected, UsageError
from onepipe.http import Answer, Http
from onepipe.paging import Page

Open = Callable[..., Http]

REQUIRED = ("open", "count", "pull", "get")
VERBS = (*REQUIRED, "deleted", "detail", "auth", "create", "update", "delete")


class Connector:
    """One account of one CRM.

    Required: `facts`, `open`, `count`, `pull`, `get`. Optional: `deleted`, `detail`, `auth`, reads marked with
    `@read`, and the writing verbs `create`, `update`, `delete`, and actions. `lacks` is what this account was seen not
    to have while it was read, such as "no list_all": later runs are told in `Window.distrust`, until a complete read.
    """

    facts: ClassVar[Facts]
    writes: ClassVar[Writes | None] = None

    def __init__(
        self, base_url: str, credentials: Mapping[str, str], settings: Mapping[str, Any] | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/").removesuffix(self.facts.prefix)
        self.credentials = credentials
        self.settings = settings or {}
        self.http: Http
        self.lacks: set[str] = set()

    def open(self, door: Open) -> Http:
        """Say how requests are authorised: `return door(auth=..., headers=..., query=..., check=...)`."""
        raise NotImplementedError

    def count(self, window: Window | None = None) -> int | None:
        """Make one cheap request; how many opportunities the credential sees, None where the CRM does not tell.

        Where `facts.filter` is "range": how many of them last changed between the window's two instants.
        """
        raise NotImplementedError

    def pull(self, resource: str, window: Window) -> Iterator[Page]:
        """Yield the pages of "opportunity", or of one of `facts.reference`."""
        raise NotImplementedError

    def get(self, record_id: str, payload: bytes | None) -> Record:
        """Read one opportunity as it is now. `payload` is its newest stored form. Raises Gone."""
        raise NotImplementedError

    @classmethod
    def can(cls, verb: str) -> bool:
        """Whether this CRM has a verb: derived from what the class defines, never declared."""
        return callable(getattr(cls, verb, None))

    @classmethod
    def reads(cls) -> dict[str, Read]:
        """The named reads, in the order of the file."""
        found = {name.rstrip("_"): method for name, method in marked(cls, "onepipe_read").items()}
        return {name: Read(name, doc_of(method), parameters_of(method)) for name, method in found.items()}

    def ask(self, name: str, given: Mapping[str, str]) -> Any:
        """What one named read answers to `key=value` words. Raises UsageError, Gone and every SourceError."""
        known = self.reads()
        if name not in known:
            raise UsageError(f"{self.facts.title} has no read {name!r}", hint=f"it has: {', '.join(known)}")
        method = getattr(self, f"{name}_") if name in VERBS else getattr(self, name)
        return method(**known[name].arguments(given))

    # Writing: verbs and actions describe, `send` sends.

    def send(self, request: Request) -> Answer:
        """Put a described write through the door, once. What it raises says in `unapplied` whether nothing was done.

        Raises Rejected with the CRM's words by field, Gone, and every SourceError.
        """
        as_text = isinstance(request.body, str)
        try:
            return self.http.send(
                request.method,
                request.path,
                json=None if as_text else request.body,
                content=request.body if as_text else None,
                headers=request.headers,
                gone=request.gone,
                **request.query,
            )
        except Rejected as error:
            error.words = error.words or refusal(error.content)
            raise

    def made(self, answer: Answer) -> str | None:
        """The id of the new record that a create's answer tells; None where it does not."""
        found = json_facts(answer.content, "id")[0]
        return None if found is None else str(found)

    def foresees(self, payload: bytes, change: Change) -> list[str]:  # noqa: ARG002
        """What the CRM will do beside what is asked, or will probably refuse: sentences for people, before sending."""
        return []

    def choices(self, column: str) -> list[tuple[str, str]] | None:  # noqa: ARG002
        """Id and label of what a column can hold, as the CRM tells it now; None where it does not tell."""
        return None

    def foreign(self, before: bytes, answer: Answer, now: bytes, change: Change) -> bool | None:
        """Whether another hand wrote between our read and our reading back; None where the CRM's stamps do not tell.

        `before` and `now` are the record as read before and after, `answer` is that to the write of `change`.
        """
        writes, stamp = self.writes, self.facts.stamp
        for path, name in writes.guards.items() if writes else ():
            if name not in change and json_facts(before, path) != json_facts(now, path):
                return True
        if not stamp or answer.content.lstrip()[:1] != b"{":
            return None
        ours, last = json_facts(answer.content, stamp)[0], json_facts(now, stamp)[0]
        if None in (ours, last) or ours != last:
            return None if None in (ours, last) else True
        sure = self.facts.resolution < timedelta(seconds=1) and not (writes and writes.unstamped & change.keys())
        return False if sure else None

    @classmethod
    def actions(cls) -> dict[str, Action]:
        """The named actions, in the order of the file."""
        return {
            name: Action(
                name,
                doc_of(method),
                parameters_of(method),
                hasattr(method, "onepipe_read"),
                method.__dict__["onepipe_action"] or None,
            )
            for name, method in marked(cls, "onepipe_action").items()
        }

    def act(self, name: str, record_id: str, given: Mapping[str, str]) -> Request:
        """Describe an action on `key=value` words. Raises UsageError; may read, and raises what reads raise."""
        arguments = self._arguments(name, record_id, given)
        made: Request = getattr(self, name)(**arguments)
        return made

    def look(self, name: str, record_id: str, given: Mapping[str, str]) -> Any:
        """What this very action would change, as it is now, as plain values; None where nobody can tell."""
        arguments = self._arguments(name, record_id, given)
        look = self.actions()[name].look
        return getattr(self, look)(**arguments) if look else None

    def _arguments(self, name: str, record_id: str, given: Mapping[str, str]) -> dict[str, Any]:
        known = self.actions()
        if name not in known:
            raise UsageError(f"{self.facts.title} has no action {name!r}", hint=f"it has: {', '.join(known) or 'none'}")
        return known[name].arguments({known[name].parameters[0].name: record_id, **given})

    # Optional verbs, with the signatures the engine uses:
    #   deleted(since: datetime | None) -> Iterator[Page]   tombstones: id, and the instant in `stamp` of each record
    #   detail(name: str, record_id: str, payload: bytes) -> bytes   a JSON array, for one of facts.details; raises Gone
    #   auth(kept: dict[str, str]) -> dict[str, str]   tokens to use from now on; the engine keeps what is returned
    # and, to describe writes, reading what they need and sending nothing:
    #   create(change: Change) -> Request
    #   update(record_id: str, payload: bytes, change: Change) -> list[Request]   in the order to be sent
    #   delete(record_id: str, payload: bytes) -> Request
    #   created_since(since: datetime, change: Change) -> Iterator[Record]   what a lost create is looked for among

"""What config.yaml says of the daemon: its port, how it works, and whom it tells."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

import onepipe.config.notation as notation
from onepipe.config.kinds import Duration, Listen, Part, default

Happening = Literal["failed", "suspect", "conflict", "stale", "silent", "paused", "recovered", "published"]


def _words(value: object) -> object:
    return ["sh", "-c", value] if isinstance(value, str) else value


def _address(value: str) -> str:
    """An address to post to; one whose placeholders were left alone is not known yet."""
    return value if "${" in value else notation.webhook(value)


Command = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]
Webhook = Annotated[
    str,
    BeforeValidator(lambda value: _address(value) if isinstance(value, str) else value),
    WithJsonSchema({"type": "string", "pattern": "^https?://"}),
]


class Tell(Part):
    """One way to tell people of an event: exactly one of the two is given."""

    command: Command | None = default(
        None, "Run with the event as JSON on its input and ONEPIPE_EVENT in its environment; a text is for the shell"
    )
    webhook: Webhook | None = default(None, "POSTed the event as JSON; https, or http to this machine")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.command is None) == (self.webhook is None):
            raise ValueError("needs either a command or a webhook")
        return self


def _several(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Tells = Annotated[tuple[Tell, ...], BeforeValidator(_several)]


class Daemon(Part):
    """How the daemon works, and whom it tells."""

    listen: Listen | None = default(None, "host:port of health and metrics; absent: no port")
    workers: int = default(8, "Connections pulled at once", ge=1, le=64)
    drain: Duration = default("20s", "How long runs may take to end once the daemon is told to stop")
    jitter: Duration = default("0s", "Runs begin up to so much later, each connection by its own part of it")
    stale_after: int = default(3, "After so many intervals without a success a connection is stale", ge=1)
    on_event: dict[Happening, Tells] = default({}, "Whom to tell of what: {failed: {command: [...]}}")

    def told_of(self, event: str) -> tuple[Tell, ...]:
        """The ways in which people are told of an event; none where nobody asked for it."""
        found: dict[Any, tuple[Tell, ...]] = dict(self.on_event)
        return found.get(event, ())

"""The command `call`: one action of a CRM on one record, and the actions that only read.

understood -> lease -> `calling.send` -> landed and published
"""

import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from onepipe import logs
from onepipe.account import allowance, open_connector, utc_now
from onepipe.config import Connection
from onepipe.connector import Action, Answer
from onepipe.edit import last_known
from onepipe.errors import OnepipeError, UsageError
from onepipe.merge import states
from onepipe.project import Project
from onepipe.publish import guard, restore
from onepipe.push.calling import send, settle_lost
from onepipe.push.callrow import Call
from onepipe.push.site import Clock, Site, Sleep, open_site, reading, same_account
from onepipe.push.words import Done
from onepipe.registry import load
from onepipe.report import Watch
from onepipe.run import publish_now
from onepipe.yamlmarks import did_you_mean

__all__ = ["Called", "call", "settle_lost"]

_exact = msgspec.json.Encoder(decimal_format="number")
_digits = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, kw_only=True)
class Called:
    """What became of a call. `answer` is the CRM's, where it is JSON; `path` the file that was written.

    `push_id` and `run_id` are None for an action that only reads. `trouble` is what kept it from being published.
    """

    connection: str
    source_id: str
    action: str
    state: str
    message: str = ""
    run_id: str | None = None
    push_id: int | None = None
    next_at: str | None = None
    answer: Any = None
    path: Path | None = None
    trouble: OnepipeError | None = None

    @property
    def exit_code(self) -> int:
        """0 where it is done and published, else 1."""
        return 1 if self.trouble else states.exit_code([self.state])

    def document(self) -> dict[str, Any]:
        """For `--json`; decimals of the answer are as exact as the CRM sent them."""
        plain = ("connection", "source_id", "action", "state", "message", "run_id", "push_id", "next_at", "answer")
        return {name: getattr(self, name) for name in plain} | {"path": str(self.path) if self.path else None}


def call(
    project: Project,
    connection: str,
    action: str,
    record_id: str,
    given: Mapping[str, str],
    *,
    out: Path | None = None,
    reason: str = "",
    wait: float = 0.0,
    sleep: Sleep = time.sleep,
    now: Clock = utc_now,
    watch: Watch | None = None,
) -> Called:
    """Call one action on one record, once; or fetch what one that only reads answers, into a file (`out`).

    `given` are its words, `wait` the seconds to wait for a connection that another process holds. Raises UsageError
    and ConfigError before anything is asked, LeaseHeld, Gone and every SourceError before anything is sent.
    """
    chosen = _chosen(project, connection)
    wanted = Call(action=_known(project, chosen, action), record_id=record_id, given=given, reason=reason)
    _check(wanted, connection)
    if wanted.action.reads:
        return _fetched(project, chosen, wanted, out, sleep, now)
    _allow(chosen, wanted, out)
    watch = watch or Watch()
    restore(project.warehouse, project.config.warehouse, lambda text: watch.say("", text))
    guard(project.warehouse, project.config.warehouse)
    run_id = f"{now():%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with (
        reading(project) as reader,
        project.control.lease(f"connection:{chosen.name}", wait=wait) as lease,
        logs.bound(run_id=run_id, connection=chosen.name),
    ):
        same_account(project, chosen, reader)
        with open_site(project, chosen, reader, run_id=run_id, lease=lease, writing=True, sleep=sleep, now=now) as site:
            done, answer = send(_knowing(site, record_id), wanted)
    return replace(_told(wanted, done, answer, run_id), trouble=_published(project, run_id, watch))


def _chosen(project: Project, connection: str) -> Connection:
    """The one connection that is named."""
    found = project.choose([connection])
    if len(found) != 1:
        raise UsageError(
            f"{connection!r} names {len(found)} connections, and one is called at a time; nothing was sent"
        )
    if not found[0].enabled:
        raise UsageError(f"{found[0].name} is disabled in config.yaml; nothing was sent", "set `enabled: true` for it")
    return found[0]


def _known(project: Project, connection: Connection, action: str) -> Action:
    made = load(connection.connector, project.config.folder)
    known = made.actions()
    if action not in known:
        guess = did_you_mean(action, known) if known else "it has none"
        near = guess.startswith("did")
        told = f"{action!r} ({guess})" if near else f"{action!r}; {guess}"
        every = f"it has: {', '.join(known)}" if near else None
        raise UsageError(f"{made.facts.title} has no action {told}; nothing was sent", every)
    return known[action]


def _check(call: Call, connection: str) -> None:
    """Refuse an unknown, missing or unreadable argument. Raises UsageError, which shows how it is typed."""
    first, *others = call.action.parameters
    words = [f"{one.name}=..." if one.required else f"[{one.name}=...]" for one in others]
    usage = " ".join(["usage: onepipe call", connection, call.action.name, "ID", *words])
    if not call.record_id.strip():
        raise UsageError(f"{call.action.name}: the ID is empty; nothing was sent", usage)
    if first.name in call.given:
        raise UsageError(f"{call.action.name}: the ID stands by itself, without {first.name}=; nothing was sent", usage)
    try:
        call.action.arguments({first.name: call.record_id, **call.given})
    except UsageError as error:
        raise UsageError(f"{error.message}; nothing was sent", usage) from error


def _allow(connection: Connection, call: Call, out: Path | None) -> None:
    """Raise UsageError unless config.yaml lets this connection be written to."""
    if connection.write.mode != "on":
        raise UsageError(
            f"{call.action.name} changes data in the CRM, and the write mode of {connection.name} is "
            f"{connection.write.mode} in config.yaml; nothing was sent",
            'set `write: {mode: "on"}` for it',
        )
    if out is not None:
        raise UsageError(f"{call.action.name} answers with no file to be kept; nothing was sent", "leave --out away")


def _knowing(site: Site, record_id: str) -> Site:
    """The same, with what is known of this record."""
    with site.reader.alone() as db:
        known = last_known(db, site.project.control, site.name, {record_id})
    return replace(site, known={**site.known, **{key: one.record for key, one in known.items()}})


def _told(call: Call, done: Done, answer: Answer | None, run_id: str) -> Called:
    return Called(
        connection=done.connection,
        source_id=call.record_id,
        action=call.action.name,
        state=done.state,
        message=done.message,
        run_id=run_id,
        push_id=done.push_id,
        next_at=done.next_at,
        answer=_read(answer.content) if answer else None,
    )


def _published(project: Project, run_id: str, watch: Watch) -> OnepipeError | None:
    """Land what happened, and publish; what kept that from being done: what happened stays written down."""
    try:
        with project.warehouse.commit(run_id):
            pass
    except OnepipeError as error:
        return error
    return publish_now(project, watch)


def _fetched(
    project: Project, connection: Connection, call: Call, out: Path | None, sleep: Sleep, now: Clock
) -> Called:
    """What an action answers that only reads: a file, written once it is there whole."""
    path = out or Path(f"{call.action.parameters[0].name.removesuffix('_id')}-{_plain(call.record_id)}.pdf")
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder, or in none; nothing was asked")
    logs.add_secrets(connection.secrets)
    counted = allowance(project.config, connection, project.control.quotas, now)
    connector = open_connector(project.config, connection, ledger=counted, now=now, sleep=sleep)
    with connector.http:
        answer = connector.ask(call.action.name, {call.action.parameters[0].name: call.record_id, **call.given})
    content = getattr(answer, "content", answer)
    _write(path, content if isinstance(content, bytes) else _exact.encode(content))
    return Called(
        connection=connection.name, source_id=call.record_id, action=call.action.name, state="done", path=path
    )


def _write(path: Path, content: bytes) -> None:
    part = path.absolute().with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _plain(record_id: str) -> str:
    """An id as a part of a file's name."""
    return re.sub(r"[^\w.-]", "_", record_id)


def _read(content: bytes) -> Any:
    """An answer that is JSON, digit for digit; None for any other."""
    try:
        return _digits.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None

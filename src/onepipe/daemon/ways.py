"""How people are told: a command that is given the event, or an address that it is posted to."""

import hashlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import onepipe.http.webhook as webhook
from onepipe import logs, registry
from onepipe.config import Config
from onepipe.config.service import Tell
from onepipe.errors import ConfigError, OnepipeError, Unavailable

PATIENCE = 30.0  # seconds that a command may take
_TAIL = 500  # bytes of what a failing command says
_running: set["subprocess.Popen[bytes]"] = set()


@dataclass(frozen=True, kw_only=True, repr=False)
class Way:
    """One way of telling. `key` names it in the control file without showing what it is; `against` is why it must not
    be used.
    """

    tell: Tell
    folder: Path
    against: str | None = None

    @property
    def key(self) -> str:
        """A digest of what it is."""
        return hashlib.sha256(json.dumps([self.tell.command, self.tell.webhook]).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """For people: the program, or the host of the address; what follows may be a secret."""
        if self.tell.webhook is not None:
            return f"webhook at {webhook.place(self.tell.webhook).netloc}"
        return f"command {(self.tell.command or ('',))[0]}"

    def deliver(self, body: Mapping[str, Any], patience: float = PATIENCE) -> None:
        """Tell it once. Raises OnepipeError where that failed."""
        if self.against:
            raise ConfigError(self.against)
        if self.tell.webhook is not None:
            webhook.post(self.tell.webhook, json.dumps(body).encode(), str(body["id"]))
        else:
            _run(self.tell.command or (), body, self.folder, patience)


def every(config: Config) -> dict[str, list[Way]]:
    """The ways in which people are told, by event."""
    crms = _crms(config) if any(config.daemon.on_event.values()) else {}
    return {
        event: [Way(tell=tell, folder=config.folder, against=_against(tell, crms)) for tell in tells]
        for event, tells in config.daemon.on_event.items()
    }


def secrets(config: Config) -> list[str]:
    """The addresses that no log, error or report may show: whoever has one can post to it."""
    found = {tell.webhook for tells in config.daemon.on_event.values() for tell in tells if tell.webhook}
    return [url for url in found if url.partition("://")[2].strip("/").count("/")] + [
        tail for url in found if len(tail := url.partition("://")[2].partition("/")[2]) >= 12
    ]


def _crms(config: Config) -> dict[tuple[str, int | None], str]:
    """The places of all CRMs, each with a connection that is there."""
    usual: dict[str, str] = {}
    for name in {one.connector for one in config.connections.values() if not one.base_url}:
        with suppress(OnepipeError):  # a connector that cannot be loaded is told by its runs
            usual[name] = registry.load(name, config.folder).facts.base_url or ""
    found = {}
    for one in config.connections.values():
        with suppress(ConfigError):  # no address, which its runs say
            found[_spot(one.base_url or usual.get(one.connector, ""))] = one.name
    return found


def _spot(url: str) -> tuple[str, int | None]:
    there = webhook.place(url)
    return there.host, there.port or {"http": 80, "https": 443}[there.scheme]


def _against(tell: Tell, crms: Mapping[tuple[str, int | None], str]) -> str | None:
    """A webhook must not be a CRM's address: nothing but a push writes there."""
    if tell.webhook is None or not (name := crms.get(_spot(tell.webhook))):
        return None
    place = webhook.place(tell.webhook).netloc
    return f"the webhook at {place} is the address of {name}'s CRM, where only a push may write"


def _run(command: Iterable[str], body: Mapping[str, Any], folder: Path, patience: float) -> None:
    """Run a command with the event as JSON on its input; it is ended with its children when it takes too long."""
    words = list(command)
    named = {"ONEPIPE_EVENT": str(body["event"]), "ONEPIPE_CONNECTION": str(body["connection"] or "")}
    with tempfile.TemporaryFile() as given:
        given.write(json.dumps(body).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 - what the user wrote, word by word
                words,
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, **named},
                cwd=folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise Unavailable(f"the command {words[0]} could not be started: {error}") from error
    said = _Tail(process.stderr)
    _running.add(process)
    try:
        code = process.wait(patience)
    except subprocess.TimeoutExpired:
        _end(process)
        raise Unavailable(f"the command {words[0]} took longer than {patience:g} seconds and was ended") from None
    finally:
        _running.discard(process)
    said.join(0.5)  # what it left running on purpose may hold its output open
    if code:
        raise Unavailable(logs.redact(f"the command {words[0]} ended with {code}: {said.text or 'it said nothing'}"))


def end_running() -> None:
    """End the commands that run now, with their children: whoever would end them in time is ending."""
    for process in list(_running):
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command that still runs, and whatever it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        else:
            process.kill()
    process.wait()


class _Tail(threading.Thread):
    """Reads what a command says, and keeps its end: a chatty one must not fill the memory."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        super().__init__(daemon=True, name="alert-words")
        self._stream, self._kept = stream, b""
        self.start()

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace").strip()

    def run(self) -> None:
        if self._stream is None:
            return
        with self._stream as stream:
            while block := stream.read1(4096):  # type: ignore[attr-defined]
                self._kept = (self._kept + block)[-_TAIL:]

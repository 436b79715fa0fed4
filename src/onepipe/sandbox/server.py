"""The loopback server: routes a request to its CRM, plays the faults, and has a control door for other processes.

Each CRM answers under its own prefix, `http://127.0.0.1:PORT/capsule/...`. The control door speaks JSON:

    GET  /_sandbox/CRM/records            {"ID": record, ...}
    GET  /_sandbox/CRM/log                [{"method", "path", "query", "headers", "body", "status", "at"}, ...]
    POST /_sandbox/CRM/insert             {field: value, ...} -> {"id": ID}
    POST /_sandbox/CRM/update             {"id": ID, "silently": false, "fields": {field: value, ...}} -> {}
    POST /_sandbox/CRM/delete             {"id": ID} -> {}
    GET, PUT /_sandbox/CRM/faults         [{"kind": "status", "status": 503, "count": 2, ...}, ...]: PUT replaces all
    GET, PUT /_sandbox/CRM/options        {name: value, ...}: PUT changes the named ones

It refuses with 400 and {"message": text}. The server listens on 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import struct
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Self, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from onepipe.sandbox.administrate import Administrate
from onepipe.sandbox.capsule import Capsule
from onepipe.sandbox.crm import Crm
from onepipe.sandbox.faults import CHANGING, REPLACING, Fault
from onepipe.sandbox.onautomate import OnAutomate
from onepipe.sandbox.overplane import Overplane
from onepipe.sandbox.tactile import Tactile
from onepipe.sandbox.wire import Answer, Call, Refused, dump, load

CRMS: dict[str, type[Crm]] = {crm.name: crm for crm in (Administrate, Tactile, Capsule, OnAutomate, Overplane)}

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Sandbox:
    """The five CRMs (or those named in `crms`) with `rows` opportunities each, served on 127.0.0.1.

    rows, seed, now decide the data; `now` is the instant the data ends at, by default the present.
    port 0 takes any free one. Use it in a `with`, or call start and stop.
    """

    def __init__(
        self,
        rows: int = 60,
        seed: int = 7,
        port: int = 0,
        crms: Sequence[str] | None = None,
        now: datetime | None = None,
    ) -> None:
        base = now or datetime.now(UTC)
        with _without_collection():
            self.crms: dict[str, Crm] = {name: CRMS[name](rows, seed, base) for name in (crms or CRMS)}
        self.port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __getitem__(self, name: str) -> Any:
        return self.crms[name]

    @property
    def urls(self) -> dict[str, str]:
        """The base URL of each CRM, without a slash at the end."""
        return {name: crm.url for name, crm in self.crms.items()}

    @property
    def credentials(self) -> dict[str, dict[str, str]]:
        """The valid credentials of each CRM."""
        return {name: dict(crm.credentials) for name, crm in self.crms.items()}

    def start(self) -> Self:
        """Serves in a background thread; returns when connections are accepted. Raises OSError if the port is taken."""
        listener = socket.socket(
            socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
        )  # asyncio sets NODELAY on TCP only
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self.port))
            listener.listen(256)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        for name, crm in self.crms.items():
            crm.url = f"http://127.0.0.1:{self.port}/{name}"
        config = uvicorn.Config(
            cast(Any, self._serve_one),
            http=_Connection,
            ws="none",
            interface="asgi3",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=120,
        )
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(config, listener, ready), name="sandbox", daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def _run(self, config: uvicorn.Config, listener: socket.socket, ready: threading.Event) -> None:
        async def main() -> None:
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
            await _Server(config, self._stopping).serve(sockets=[listener])

        asyncio.run(main())

    def stop(self) -> None:
        """Ends the server and every answer still hanging; may be called twice."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        thread.join(5)
        self._thread = self._loop = self._stopping = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # One request

    async def _serve_one(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        _, prefix, *rest = scope["raw_path"].decode("ascii").split("/", 2)
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        path = "/" + (rest[0] if rest else "")
        call = Call(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)
        if prefix == "_sandbox":
            answer = await asyncio.to_thread(self._control, call)
        elif prefix in self.crms:
            answer = await self._play(self.crms[prefix], call)
        else:
            answer = Answer(404, dump({"message": f"no CRM {prefix!r}; there are {', '.join(self.crms)}"}))
        await _send(answer, scope, receive, send)

    async def _play(self, crm: Crm, call: Call) -> Answer:
        """The CRM's answer with the faults that strike this request."""
        with crm.lock:
            crm.prepare(call)
            faults = crm.faults.striking(call, crm.is_list(call))
        for fault in faults:
            if fault.call is not None and not fault.after:
                await asyncio.to_thread(fault.call)
            await self._pause(fault.pause() if not fault.after else 0)
            fault.alter_request(call)
        replacing = next((fault for fault in faults if fault.kind in REPLACING), None)
        if replacing is None or replacing.after:
            answer = crm.answer(call)
        for fault in faults:
            if fault.call is not None and fault.after:
                await asyncio.to_thread(fault.call)
        with crm.lock:
            if replacing is not None:
                if replacing.kind == "late":
                    crm.postpone(call, 60.0 if replacing.seconds is None else replacing.seconds)
                answer = crm.stamped(replacing.replacement(crm))
            for fault in faults:
                answer = fault.change(crm, answer) if fault.kind in CHANGING else answer
        crm.note(call, 0 if answer.cut == "reset" else answer.status)
        await self._pause(sum(fault.pause() for fault in faults if fault.after))
        return answer

    async def _pause(self, seconds: float) -> None:
        if seconds > 0 and self._stopping is not None:
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                return

    # The control door

    def _control(self, call: Call) -> Answer:
        name, _, verb = call.path.strip("/").partition("/")
        doors: dict[tuple[str, str], Callable[[Crm, Any], Any]] = {
            ("GET", "records"): lambda crm, _: {str(key): row for key, row in crm.records.items()},
            ("GET", "log"): lambda crm, _: [_told(asdict(seen)) for seen in crm.log],
            ("POST", "insert"): lambda crm, body: {"id": crm.insert(**body)},
            ("POST", "update"): _update,
            ("POST", "delete"): _delete,
            ("GET", "faults"): lambda crm, _: crm.faults.told(),
            ("PUT", "faults"): _set_faults,
            ("GET", "options"): lambda crm, _: asdict(crm.options),
            ("PUT", "options"): _set_options,
        }
        door = doors.get((call.method, verb))
        if name not in self.crms or door is None:
            return Answer(404, dump({"message": f"no such door: {call.method} /_sandbox{call.path}"}))
        try:
            return Answer(200, dump(door(self.crms[name], load(call.body) if call.body.strip() else {})))
        except Refused as refused:
            return refused.answer
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Answer(400, dump({"message": f"{type(error).__name__}: {error}"}))


def _update(crm: Crm, body: Any) -> dict[str, Any]:
    crm.update(_own_id(crm, body["id"]), silently=body.get("silently", False), **body.get("fields", {}))
    return {}


def _delete(crm: Crm, body: Any) -> dict[str, Any]:
    crm.delete(_own_id(crm, body["id"]))
    return {}


def _set_options(crm: Crm, body: Any) -> dict[str, Any]:
    crm.options.apply(body)
    return asdict(crm.options)


def _set_faults(crm: Crm, body: Any) -> list[dict[str, Any]]:
    made = [Fault(**wanted) for wanted in body]
    crm.faults.clear()
    for fault in made:
        crm.faults.append(fault)
    return crm.faults.told()


def _own_id(crm: Crm, given: Any) -> Any:
    """The id as the CRM spells it: a text from JSON may stand for a number."""
    return next((key for key in crm.rows if str(key) == str(given)), given)


def _told(seen: dict[str, Any]) -> dict[str, Any]:
    return {**seen, "body": seen["body"].decode("utf-8", "replace"), "at": seen["at"].isoformat()}


@contextmanager
def _without_collection() -> Iterator[None]:
    """Makes many objects in half the time: nothing among them is garbage."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class _Server(uvicorn.Server):
    """Uvicorn without its polling: it serves until `ending` is set and leaves at once."""

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def main_loop(self) -> None:
        """Waits for the end."""
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closes listeners and connections, gives running answers a moment, drops the rest."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(list(self.server_state.tasks), timeout=0.2)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


class _Connection(H11Protocol):
    """An HTTP connection that lets the application reach its socket, to break it on purpose."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["sandbox.transport"] = self.transport
            await inner(scope, receive, send)

        self.app = app


async def _send(answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    if answer.cut:
        transport: asyncio.Transport = scope["sandbox.transport"]
        (_reset if answer.cut == "reset" else _send_short)(transport, answer)
        while (await receive())["type"] != "http.disconnect":
            continue
        return
    bare = answer.status in (204, 304)
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers]
    if not bare:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bare else answer.body})


def _reset(transport: asyncio.Transport, _: Answer) -> None:
    """Closes with RST instead of FIN: the peer sees "connection reset"."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _send_short(transport: asyncio.Transport, answer: Answer) -> None:
    """Announces the whole body, sends a part, closes."""
    head = [f"HTTP/1.1 {answer.status} OK", f"Content-Length: {len(answer.body)}"]
    head += [f"{name}: {value}" for name, value in answer.headers]
    transport.write(
        "\r\n".join([*head, "", ""]).encode("latin-1", "replace") + answer.body[: len(answer.body) * 3 // 5]
    )
    transport.close()


def serve(port: int = 0, rows: int = 60, seed: int = 7) -> None:
    """Serves all five in the foreground until SIGINT or SIGTERM; prints one JSON line of base URLs and credentials."""
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    with Sandbox(rows=rows, seed=seed, port=port) as sandbox:
        told = {name: {"base_url": url, "credentials": sandbox.credentials[name]} for name, url in sandbox.urls.items()}
        sys.stdout.write(dump(told).decode() + "\n")
        sys.stdout.flush()
        while not done.wait(0.2):
            continue

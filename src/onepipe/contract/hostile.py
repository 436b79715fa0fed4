"""The loopback server between a connector and a fake CRM: notes what is asked, spoils what is answered."""

import threading
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from onepipe.contract.rig import Asked, Told

PREFIX = "/some/prefix"

Spoil = Callable[[Asked, Told], Told]


def honest(_: Asked, told: Told) -> Told:
    """The CRM's answer as it is."""
    return told


class HostileServer:
    """Serves `answer` under a path prefix on 127.0.0.1; `spoil` may change each answer; `asked` lists the requests.

    A request outside the prefix is answered 500 and noted in `strays`.
    """

    def __init__(self, answer: Callable[[Asked], Told]) -> None:
        self.answer = answer
        self.spoil: Spoil = honest
        self.asked: list[Asked] = []
        self.strays: list[str] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where a connector finds the CRM."""
        return f"http://127.0.0.1:{self._server.server_port}{PREFIX}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self, spoil: Spoil = honest) -> None:
        """Forget the requests and spoil in another way."""
        self.spoil, self.asked, self.strays = spoil, [], []

    def play(self, method: str, target: str, headers: dict[str, str]) -> Told:
        """The answer to one request; one at a time, so that fakes need no locks."""
        parts = urlsplit(target)
        if not parts.path.startswith(PREFIX + "/"):
            self.strays.append(parts.path)
            return Told(500, b"outside of the base_url")
        raw = parts.path.removeprefix(PREFIX)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        asked = Asked(method, unquote(raw), query, headers, raw, parts.query)
        with self._lock:
            self.asked.append(asked)
            return self.spoil(asked, self.answer(asked))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Says nothing: a connector that hangs up early is no fault of the server."""


def _handler(server: HostileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length:
                self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            told = server.play(self.command, self.path, headers)
            body = told.body[: len(told.body) // 2] if told.cut else told.body
            self.send_response_only(told.status)
            sent = {"Date": formatdate(usegmt=True), **told.headers, "Content-Length": str(len(told.body))}
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)
            self.close_connection = self.close_connection or told.cut

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _reply  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Says nothing."""

    return Handler

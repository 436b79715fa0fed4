"""The port: what the daemon answers over HTTP to whoever watches it. It reads, and changes nothing."""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from onepipe import logs
from onepipe.config.notation import Address, is_loopback
from onepipe.errors import ConfigError

AT_ONCE = 16  # requests that are answered at the same time; more are sent away
SECONDS = 10.0  # for a whole request with its answer, however slowly it is asked
_GONE = (ConnectionError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its status, its text, and how that is to be read."""

    text: str | bytes
    status: int = 200
    kind: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


Pages = Mapping[str, Callable[[str], Page]]
"""Pages by path; each is given the request's Accept header."""


class Server:
    """Answers GET and HEAD on an address until it is closed. Raises ConfigError where the address cannot be used."""

    def __init__(self, address: Address, pages: Pages, tick: Callable[[], float] = time.monotonic) -> None:
        self.configured = address
        try:
            self._http = _Http(address, pages, tick)
        except OSError as error:
            raise ConfigError(
                f"daemon.listen in config.yaml names {address}, which cannot be used: {error.strerror or error}; "
                "nothing was started",
                "another program may use that port: name another one, or 0 for any that is free",
            ) from error
        host, port = self._http.server_address[:2]
        self.address = Address(str(host), int(port))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
        self._thread.start()
        logs.get().info("listening", address=str(self.address))

    def close(self) -> None:
        """Answer no more."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(2)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address, pages: Pages, tick: Callable[[], float]) -> None:
        self.pages, self.local, self._tick = pages, is_loopback(address.host), tick
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind, without asking the name service who we are."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Send away whoever comes while so many are there."""
        with self._lock:
            if len(self._open) >= AT_ONCE:
                return False
            self._open[request] = self._tick() + SECONDS
            return True

    def service_actions(self) -> None:
        """Twice a second: hang up on those who take too long, so that nobody holds a place for ever."""
        with self._lock:
            late = [one for one, until in self._open.items() if self._tick() > until]
        for one in late:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """One is done."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Somebody hung up, or a fault of our own."""
        logs.get().debug("a request to the daemon's port broke off", client=str(client_address), exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = 5.0
    server_version, sys_version = "onepipe", ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """What answers a method: the library asks for do_GET, do_POST and so on."""
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self._reads if name in ("do_GET", "do_HEAD") else self._refuses

    def _reads(self) -> None:
        self._answer(self._page())

    def _refuses(self) -> None:
        self.close_connection = True
        self._answer(Page("this port only answers GET and HEAD\n", 405, headers={"Allow": "GET, HEAD"}))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
        """Probes come every few seconds: not worth a line."""

    def _page(self) -> Page:
        if self.server.local and not _is_ours(self.headers.get("Host")):
            # A page in somebody's browser that had its own name point here must not read what we tell.
            return Page("this port is asked by the name of this machine only\n", 403)
        found = self.server.pages.get(self.path.partition("?")[0])
        if found is None:
            return Page("there is no such page; / names those that are there\n", 404)
        try:
            return found(self.headers.get("Accept") or "")
        except Exception:
            logs.get().exception("a page of the daemon's port failed", page=self.path.partition("?")[0])
            return Page("the page could not be made; the log says why\n", 500)

    def _answer(self, page: Page) -> None:
        content = page.text.encode() if isinstance(page.text, str) else page.text
        try:
            self.send_response(page.status)
            for name, value in {
                "Content-Type": page.kind,
                "Content-Length": str(len(content)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                **page.headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except _GONE:
            self.close_connection = True


def _is_ours(host: str | None) -> bool:
    """Whether a Host header names this machine: an address or localhost. No browser leaves it out."""
    if host is None:
        return True
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.lower() in ("localhost", "localhost.")
    return True

"""The only place that touches httpx: one request out, one whole answer in, or the reason why not."""

import logging
import ssl
import threading
import urllib.request
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import httpx

from onepipe.http.answer import Headers
from onepipe.http.paths import Origin

# At DEBUG it would write the headers of every answer, in which a CRM may echo a token.
logging.getLogger("httpcore").setLevel(logging.INFO)

_MAKING = threading.Lock()
LARGEST = 256 * 1024 * 1024
"""An answer that grows beyond this many bytes, packed or not, is given up."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds. `whole` bounds one request with all its tries and slow bodies; waits we are told come on top."""

    connect: float = 10.0
    read: float = 30.0
    whole: float = 85.0


@dataclass(frozen=True, slots=True)
class Got:
    """A whole answer, unpacked."""

    status: int
    headers: Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """No whole answer. `sent` False: it certainly did not reach the server. `final`: asking again is no use."""

    reason: str
    sent: bool = True
    cut: bool = False
    final: bool = False


class Wire:
    """Connections to one origin, kept open between reads. No cookies, no redirects, TLS always verified."""

    def __init__(self, origin: Origin, timeouts: Timeouts, tick: Callable[[], float], *, keep_alive: bool) -> None:
        self._timeouts, self._tick = timeouts, tick
        self._url = httpx.URL(scheme=origin.scheme, host=origin.host, port=origin.port)
        self._patience = _Patience(tick)
        # A write never rides on a kept connection: if the server has just closed it, nobody knows whether it arrived.
        limits = httpx.Limits(
            max_connections=32, max_keepalive_connections=16 if keep_alive else 0, keepalive_expiry=20
        )
        proxy = None if origin.is_loopback else _proxy(origin)
        self._transport = httpx.HTTPTransport(verify=_trusted(), limits=limits, proxy=proxy, trust_env=False)
        weakref.finalize(self, self._transport.close)  # a door that nobody closed leaves no socket behind
        pool: Any = self._transport._pool
        pool._network_backend = _Backend(pool._network_backend, self._patience)

    def send(
        self, method: str, target: bytes, headers: list[tuple[bytes, bytes]], content: bytes | None, until: float
    ) -> Got | Lost:
        """Make one try that ends by `until` (on `tick`). The connection errors of the world become Lost."""
        read = min(self._timeouts.read, until - self._tick())
        timeout = {"connect": min(self._timeouts.connect, read), "read": read, "write": read, "pool": read}
        # httpx would parse a URL anew for each request; "target" is its documented way to say what the line holds.
        extensions = {"timeout": timeout, "target": target}
        request = httpx.Request(method, self._url, headers=headers, content=content, extensions=extensions)
        self._patience.until = until
        try:
            response = self._transport.handle_request(request)
            try:
                named = Headers(
                    (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
                )
                return Got(response.status_code, named, self._whole(response, named))
            finally:
                response.close()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, zlib.error, _TooLargeError) as error:
            return _lost(error)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @staticmethod
    def _whole(response: httpx.Response, headers: Headers) -> bytes:
        packing = (headers.get("content-encoding") or "identity").strip().lower()
        chunks: list[bytes] = []
        size = 0
        for chunk in response.stream:  # type: ignore[union-attr]
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST:
                raise _TooLargeError
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return content if packing == "identity" or not content else _unpacked(content, packing)


class _TooLargeError(Exception):
    """The answer is larger than any page or record."""


class _Patience(threading.local):
    """The instant by which the try of this thread must end; read by every read and write on its connection."""

    def __init__(self, tick: Callable[[], float]) -> None:
        self.tick = tick
        self.until = float("inf")

    def within(self, timeout: float | None) -> float:
        left = self.until - self.tick()
        if left <= 0:
            raise TimeoutError("the answer came too slowly")
        return left if timeout is None else min(timeout, left)


class _Backend:
    """Connections whose every single wait ends in time.

    httpx bounds each wait and no sum of them: a server that drips a byte of its header every few seconds would hold
    a thread for ever. Its transports take no network backend of ours, hence the one private name used above.
    """

    def __init__(self, backend: Any, patience: _Patience) -> None:
        self._backend, self._patience = backend, patience

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> "_Stream":
        stream = self._backend.connect_tcp(host, port, timeout=self._patience.within(timeout), **options)
        return _Stream(stream, self._patience)


class _Stream:
    def __init__(self, stream: Any, patience: _Patience) -> None:
        self._stream, self._patience = stream, patience

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._patience.within(timeout))  # type: ignore[no-any-return]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._patience.within(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Stream":
        stream = self._stream.start_tls(ssl_context, server_hostname, self._patience.within(timeout))
        return _Stream(stream, self._patience)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _lost(error: Exception) -> Lost:
    """Say why in words of ours: httpx's errors carry the request, and with it the query string."""
    if isinstance(error, _TooLargeError):
        return Lost(f"the answer is larger than {LARGEST >> 20} MB", final=True)
    if isinstance(error, httpx.RemoteProtocolError) and "complete message body" in str(error):
        return Lost(f"the answer was cut short ({str(error).rpartition('(')[2].rstrip(')')})", cut=True)
    if isinstance(error, (zlib.error, httpx.DecodingError)):
        return Lost("the answer is packed and cannot be unpacked", cut=True)
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return Lost("no connection within the time allowed", sent=False)
    if isinstance(error, httpx.ConnectError):
        return Lost(f"no connection: {error}", sent=False, final="CERTIFICATE_VERIFY_FAILED" in str(error))
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return Lost("no answer within the time allowed")
    return Lost(f"the connection broke ({type(error).__name__})")


def _unpacked(content: bytes, packing: str) -> bytes:
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise zlib.error(f"unknown packing {packing}")
    raw_deflate = packing == "deflate" and content[0] & 0x0F != 8
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS if raw_deflate else zlib.MAX_WBITS | 32)
    text = unpacker.decompress(content, LARGEST)
    if unpacker.unconsumed_tail:
        raise _TooLargeError
    if not unpacker.eof:
        raise zlib.error("ends early")
    return text


def _trusted() -> ssl.SSLContext:
    with _MAKING:  # 60 ms of work, which all threads of a pool would do at once
        return _context()


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _proxy(origin: Origin) -> str | None:
    """Return the proxy that the environment names for this origin (HTTPS_PROXY, NO_PROXY)."""
    if urllib.request.proxy_bypass(origin.netloc):
        return None
    return urllib.request.getproxies().get(origin.scheme)

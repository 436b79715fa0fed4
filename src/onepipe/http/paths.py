"""Where requests go: one origin, checked once, and targets under it that cannot leave it."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from onepipe.errors import BadPayload, ConfigError

_ENCODED_DOTS = re.compile(r"%2e", re.I)


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of one account: where its credentials may be sent, and nowhere else. `prefix` has no final slash."""

    scheme: str
    host: str
    port: int | None
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.prefix}"

    @property
    def netloc(self) -> str:
        """Host and port as a Host header has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether requests stay on this machine."""
        return _is_loopback(self.host)


def origin(base_url: str) -> Origin:
    """Read a base_url. Raises ConfigError unless it is https, or http to this machine, without credentials or query."""
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError as error:
        raise ConfigError(f"base_url is no URL: {error}") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigError("base_url must not hold a user or password; they belong under credentials")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError("base_url must be like https://acme.example.com, without ? or #")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(f"base_url must be https: over http the credentials for {host} would travel unencrypted")
    return Origin(parts.scheme, host, port, parts.path.rstrip("/"))


def part(value: object) -> str:
    """Return a value as one segment of a path; whatever stands in it, it cannot become two, nor climb out.

    Raises BadPayload for a value that no server would take for one segment: "", "." and "..".
    """
    text = quote(str(value), safe="")
    if text in ("", ".", ".."):
        raise BadPayload(f"An id “{value}” cannot stand in a path.")
    return text


def target(prefix: str, path: str, query: Mapping[str, Any]) -> bytes:
    """Return what stands in the request line. None is left out, True and False are written in lower case.

    Raises BadPayload for a path that could lead out of `prefix`; use `part` for what comes from a record.
    """
    segments = _ENCODED_DOTS.sub(".", path).split("/")
    safe = path.isascii() and path.isprintable() and not any(c in path for c in " ?#\\")
    if segments[0] or not safe or "//" in path or ".." in segments or "." in segments:
        raise BadPayload(f"“{path.partition('?')[0]}” is no path below the base_url.")
    pairs = [f"{quote(name, safe='')}={_value(value)}" for name, value in query.items() if value is not None]
    return f"{prefix}{path}{'?' if pairs else ''}{'&'.join(pairs)}".encode("ascii")


def _value(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else quote(str(value), safe="")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

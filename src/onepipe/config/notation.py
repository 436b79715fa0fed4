"""How durations, schedules, addresses and zones are written; each function reads one, or says by ValueError how."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from onepipe.yamlmarks import did_you_mean

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a connection is due: `every` so long, or by `cron`; exactly one is set.

    In `cron` days of the week are a list of names (`sun,mon`), never numbers or ranges, because schedulers count them
    from different days.
    """

    text: str
    every: timedelta | None = None
    cron: str | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def duration(value: object) -> timedelta:
    """`30s`, `15m`, `6h` or `1d` as a timedelta."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value).strip())
    if not found:
        raise ValueError(f"{value!r} is no duration: write a number and s, m, h or d, such as 15m")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def reserve(value: object) -> float:
    """`50%` as 0.5: from 0% to 95%, so that something is left to work with."""
    found = re.fullmatch(r"([0-9]{1,3})(\.[0-9]+)?%", str(value).strip())
    if not found:
        raise ValueError(f"{value!r} is no part of a quota: write a number and %, such as 50%")
    part = float(str(value).strip().rstrip("%")) / 100
    if part > 0.95:
        raise ValueError(f"{value!r} would leave too little to work with: the most is 95%")
    return part


def schedule(value: object) -> Schedule:
    """An interval (`15m`) or a five-field cron expression (`0 6 * * 1-5`) as a Schedule."""
    text = str(value).strip()
    fields = text.split()
    if len(fields) == 5:
        return Schedule(text, cron=_cron(fields))
    if len(fields) != 1 or text.startswith("@"):
        raise ValueError(f"{text!r} is no schedule: a cron expression has five fields, such as 0 6 * * mon-fri")
    every = duration(value)
    if not every:
        raise ValueError("a schedule of nothing would never rest: the shortest is 1s")
    return Schedule(text, every=every)


def base_url(value: object) -> str:
    """The address of a CRM account without a slash at its end: https, or http to this machine; a path is allowed."""
    text = str(value).strip()
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or re.search(r"[\s\\]", text):
        raise ValueError("is no address: write https://host, with a path if the API has one")
    _ = parts.port  # raises ValueError, in good words, for a port that is none
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password: they belong under credentials")
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        raise ValueError("holds a ? or #: write the address alone, with a path if the API has one")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"would send the credentials unencrypted: write https://{parts.netloc}{parts.path}")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def webhook(value: object) -> str:
    """An address to post to: https, or http to this machine; unlike a CRM's, it may carry a query."""
    text = str(value).strip()
    address, _, query = text.partition("?")
    return base_url(address) + (f"?{query}" if query else "")


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine's own loopback: localhost, 127.0.0.0/8, ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def address(value: object) -> Address:
    """`127.0.0.1:9464` or `[::1]:9464` as an Address; port 0 takes any free one."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):([0-9]{1,5})", str(value).strip())
    if not found or int(found[2]) > 65535:
        raise ValueError(f"{value!r} is no address to listen on: write host:port, such as 127.0.0.1:9464")
    return Address(found[1].strip("[]"), int(found[2]))


def timezone(value: object) -> str:
    """The name of a zone in the tz database, as it is written there."""
    text = str(value).strip()
    try:
        return ZoneInfo(text).key
    except (KeyError, OSError, ValueError):  # no such zone, a folder of zones, no name at all
        raise ValueError(f"{text!r} is no time zone; {_nearest_zone(text)}") from None


def currency(value: object) -> str:
    """An ISO 4217 code in capitals; only its form is checked."""
    text = str(value).strip().upper()
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError(f"{value!r} is no currency: write its three letters, such as GBP")
    return text


def _nearest_zone(text: str) -> str:
    guess = did_you_mean(text.replace(" ", "_"), sorted(available_timezones()))
    return guess if guess.startswith("did") else "write one such as Europe/London or UTC"


def _cron(fields: list[str]) -> str:
    minute, hour, day, month, weekday = fields
    _cron_field(minute, "minute", 0, 59)
    _cron_field(hour, "hour", 0, 23)
    _cron_field(day, "day of the month", 1, 31)
    _cron_field(month, "month", 1, 12, dict(zip(_MONTHS, range(1, 13), strict=True)))
    days = _cron_field(weekday, "day of the week", 0, 7, dict(zip(_DAYS, range(7), strict=True)))
    if weekday == "*":
        return " ".join(fields)
    if day != "*":
        # The original cron runs on either, most schedulers only on both: no reading would be the user's for sure.
        raise ValueError("a schedule names days of the month or days of the week, not both: write * for one of them")
    return " ".join([minute, hour, day, month.lower(), ",".join(_DAYS[n] for n in sorted({n % 7 for n in days}))])


def _cron_field(text: str, what: str, low: int, high: int, names: dict[str, int] | None = None) -> set[int]:
    """The numbers that a field of a cron expression stands for: lists of `*`, `n`, `n-m`, the last two by name as well,
    and steps `*/n` and `n-m/k`."""
    numbers: set[int] = set()
    for part in text.lower().split(","):
        found = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([0-9]+))?", part)
        if not found or (found[4] and not (found[1] or found[3])):
            raise ValueError(f"{text!r} is no {what} of a cron expression: write *, a number, a range, a list or */n")
        first, last = low, high
        if not found[1]:
            first, last = (_cron_number(word, what, names or {}) for word in (found[2], found[3] or found[2]))
        step = int(found[4] or 1)
        if not low <= first <= last <= high or not 1 <= step <= high:
            raise ValueError(f"{text!r} is no {what} of a cron expression: it runs from {low} to {high}")
        numbers.update(range(first, last + 1, step))
    return numbers


def _cron_number(word: str, what: str, names: dict[str, int]) -> int:
    if word in names:
        return names[word]
    if not re.fullmatch(r"[0-9]{1,2}", word):
        raise ValueError(f"{word!r} is no {what} of a cron expression")
    return int(word)

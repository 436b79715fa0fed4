"""What an answer means: data, or which error, and whether it is worth asking again."""

import re
from collections.abc import Container
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from onepipe.errors import (
    AuthRefused,
    BadPayload,
    Gone,
    NotAccepted,
    OnepipeError,
    RateLimited,
    Rejected,
    Unavailable,
)
from onepipe.excerpt import excerpt, visible
from onepipe.http.answer import LONGEST, Answer, http_date, until_reset

# 520 to 524 are what a common CDN answers when the server behind it does not.
RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524))
_REMAINING = "x-ratelimit-remaining"
_PROLOGUE = re.compile(rb"(?:\xef\xbb\xbf|\s|<\?.*?\?>|<!--.*?-->)*", re.S)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|(?:html|head|body|title|meta|link|style|script|h[1-6]|p|div|center|form)(?=[\s/>]))", re.I
)
_DOWN = re.compile(r"maintenance|unavailable|gateway|overload|temporar|be back|try again|5\d\d\b|down for", re.I)
_LOGIN = re.compile(rb"log.?in|sign.?in|password|session|authori[sz]|sso\b", re.I)
_LOGIN_PATH = re.compile(r"log.?in|sign.?in|auth|sso|suspen|terms|password", re.I)
_ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)")
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
_whole = msgspec.json.Decoder(msgspec.Raw)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer that is no data. `again`: a read may be asked again, after `wait` seconds where the server says so.

    `why` says so in few words, without anything of the answer's body, to be kept.
    """

    error: OnepipeError
    again: bool = False
    wait: float | None = None
    why: str = ""


def judge(
    answer: Answer, what: str, now: float, gone: Container[int], ends: str | None, *, writes: bool = False
) -> Verdict | None:
    """Return None for data, else what is wrong. `what` names the request without its query; `now` is our clock.

    Of a write, an answer in the four hundreds says that it was not done (408 and 425 leave that open).
    """
    verdict = _judged(answer, what, now, gone, ends, writes)
    if verdict is not None and writes:
        verdict.error.unapplied = 400 <= answer.status < 500 and answer.status not in (408, 425)
    return verdict


def _judged(
    answer: Answer, what: str, now: float, gone: Container[int], ends: str | None, writes: bool
) -> Verdict | None:
    status = answer.status
    if 200 <= status < 300:
        return _page_instead_of_data(answer, what, ends) or _cut_short(answer, what)
    said = f"{what} was answered {status}: {excerpt(answer.content)}"
    end = f" The end of this API was announced: {ends}." if ends else ""
    if status in gone:
        return Verdict(Gone(f"The record does not exist: {said}"))
    if status in (401, 403):
        return Verdict(AuthRefused(f"The CRM refuses the credential: {said}", _CREDENTIAL))
    if status in RETRIED:
        return _later(answer, said, now, f"The CRM said to wait: {what} was answered {status}")
    if 300 <= status < 400:
        return Verdict(_redirected(answer, what))
    if writes and 400 <= status < 500:
        return Verdict(Rejected(f"The CRM refuses it: {said}", content=answer.content))
    if status in (404, 405, 410, 501):
        told = f"The CRM has no such path: {said}.{end}"
        return Verdict(Unavailable(told, "Check the connection's base_url.", lasting=True))
    if status >= 500:
        return Verdict(Unavailable(f"The CRM failed: {said}"))
    return Verdict(NotAccepted(f"The CRM does not accept the request: {said}"))


_CREDENTIAL = "Check the connection's credentials, and that their user may read opportunities."


def _later(answer: Answer, said: str, now: float, why: str) -> Verdict:
    wait = server_wait(answer, now)
    if answer.status == 429:
        return Verdict(RateLimited(f"The CRM asks us to slow down: {said}"), again=True, wait=wait, why=why)
    return Verdict(Unavailable(f"The CRM is not available: {said}"), again=True, wait=wait, why=why)


def server_wait(answer: Answer, now: float) -> float | None:
    """Return how many seconds the server asks to wait, on its own clock, a year at most; None where it does not say.

    Retry-After as seconds or as a date, else X-RateLimit-Reset (epoch seconds, Capsule API v1) or the interval of
    X-RateLimit-Interval-Milliseconds (LeadConnector). A refused or a last allowed request only.
    """
    spent = answer.status == 429 or (_REMAINING in answer.headers and answer.number(_REMAINING) == 0)
    if not spent and answer.status != 503:
        return None
    date = answer.date
    server_now = date.timestamp() if date else now
    text = (answer.headers.get("retry-after") or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return min(float(text), LONGEST)
    instant = http_date(text)
    if instant:
        return min(max(0.0, instant.timestamp() - server_now), LONGEST)
    if not spent:
        return None
    reset = answer.number("x-ratelimit-reset")
    if reset is not None:
        return until_reset(reset, server_now)
    interval = answer.number("x-ratelimit-interval-milliseconds")
    return None if interval is None else min(interval / 1000, LONGEST)


def _redirected(answer: Answer, what: str) -> OnepipeError:
    where = urlsplit(answer.headers.get("location") or "")
    place = f"{where.hostname or ''}{where.path}" or "nowhere"
    if _LOGIN_PATH.search(where.path):
        return AuthRefused(f"The CRM does not accept the credential: {what} leads to the page {place}.", _CREDENTIAL)
    return Unavailable(
        f"{what} is answered {answer.status}, a redirect to {place}; credentials are not sent there.",
        "Check the connection's base_url: scheme, host and path prefix.",
    )


def _page_instead_of_data(answer: Answer, what: str, ends: str | None) -> Verdict | None:
    if not _is_page(answer):
        return None
    said = f"{what} was answered with HTML instead of data: {excerpt(answer.content)}"
    end = f" The end of this API was announced: {ends}." if ends else ""
    if _DOWN.search(visible(answer.content)) and not _LOGIN.search(answer.content, 0, 20_000):
        return Verdict(Unavailable(f"{said}.{end}"), again=True)
    return Verdict(
        AuthRefused(f"{said}. A page like this means that the credential was not accepted.{end}", _CREDENTIAL)
    )


def _is_page(answer: Answer) -> bool:
    """Whether it is HTML by what it begins with; what stands deeper may be data (`<title>`: that of a person)."""
    start = _from_root(answer.content)
    if start[:1] == b"<":
        return _HTML.match(start) is not None
    kind = answer.headers.get("content-type") or ""
    return "html" in kind.lower() and bool(start) and start[:1] not in b'{["-0123456789tfn'


def _from_root(content: bytes) -> bytes:
    """The beginning of an answer behind what may stand before its root: marks, blanks, declarations, comments."""
    prologue = _PROLOGUE.match(content)
    begins = prologue.end() if prologue else 0
    return content[begins : begins + 2048]


def _cut_short(answer: Answer, what: str) -> Verdict | None:
    """Tell an answer that ends in the middle of its data: its length may agree with its header all the same."""
    content = answer.content
    if not content or not (_half_json(content) if content.lstrip()[:1] in (b"{", b"[") else _half_xml(content)):
        return None
    error = BadPayload(f"{what} was answered with {len(content)} bytes that end in the middle of the data.")
    return Verdict(error, again=True)


def _half_json(content: bytes) -> bool:
    try:
        _whole.decode(content)
    except msgspec.DecodeError as error:
        if "truncated" not in str(error):
            return False
        bare = _STRINGS.sub(b"", content)  # half a surrogate pair is reported as truncation, too
        return b'"' in bare or bare.count(b"{") > bare.count(b"}") or bare.count(b"[") > bare.count(b"]")
    except RecursionError:
        return False
    return False


def _half_xml(content: bytes) -> bool:
    start = _from_root(content)
    if start[:1] != b"<":
        return False
    root = _ROOT.search(start)
    end = content[-256:].rstrip()
    return root is not None and not end.endswith((b"</%b>" % root[1], b"/>", b"-->"))

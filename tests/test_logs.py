"""Logs: for people on a terminal, for machines elsewhere, and never a secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from onepipe import logs

SECRET = 'p/+é"w\\ord 1'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test begins without secrets and leaves logging as it found it."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr(logs, "_forms", ())
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_a_line_is_one_json_object() -> None:
    """What collects logs needs no parser of ours: instant in UTC, level, event and context."""
    logs.configure(stream=(out := io.StringIO()))
    with logs.bound(run_id="r1", connection="acme"):
        logs.get().info("page fetched", rows=100)
    logs.get().debug("not shown")
    (line,) = lines(out)
    assert str(line.pop("timestamp")).endswith("Z")
    assert {"event": "page fetched", "rows": 100, "run_id": "r1", "connection": "acme", "level": "info"} == line


def test_on_a_terminal_people_can_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets words and colours; NO_COLOR takes the colours away."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    logs.configure(stream=(out := Terminal()))
    logs.get().warning("waits", seconds=3)
    assert "waits" in out.getvalue() and "\x1b[" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure(stream=(out := Terminal()))
    logs.get().warning("waits", seconds=3)
    assert "waits" in out.getvalue() and "\x1b[" not in out.getvalue()


@pytest.mark.parametrize("form", ["human", "json"])
def test_no_secret_appears_in_any_form(form: Literal["human", "json"]) -> None:
    """Not in an event, a key, a value, an encoded URL, an exception, a traceback, or a library's message."""
    logs.configure(form, stream=(out := io.StringIO()))
    logs.add_secrets([SECRET, "x", ""])  # one letter is no secret, and nothing is none
    logs.get().info("next")
    logs.get().info(f"token {SECRET}", **{SECRET: 1}, nested={"a": [SECRET]}, url="?t=p%2F%2B%C3%A9%22w%5Cord+1")
    logs.get().info("in bytes", path="p/%2B%C3%A9%22w%5Cord%201")
    try:
        raise ValueError(f"refused {SECRET}")
    except ValueError:
        logs.get().exception("failed")
    logging.getLogger("some.library").error("sent %s", SECRET)
    text = out.getvalue()
    assert "ord" not in text.replace("records", ""), text
    assert text.count(logs.HIDDEN) >= 7
    assert "Traceback" in text
    assert "next" in text


def test_a_secret_within_another_hides_both() -> None:
    """The longer one is hidden whole, not its inner part alone."""
    logs.add_secrets(["abcd", "abcdefgh"])
    assert "*** ***" == logs.redact("abcdefgh abcd")


def test_libraries_speak_through_us_from_warnings_on() -> None:
    """APScheduler's warnings arrive as ours; httpx's lines, which hold whole URLs, do not."""
    logs.configure("json", stream=(out := io.StringIO()))
    logging.getLogger("apscheduler").warning("late by %s", 3)
    logging.getLogger("httpx").info("HTTP Request: GET https://crm.example.com/?api_token=1")
    (line,) = lines(out)
    assert ("late by 3", "apscheduler", "warning") == (line["event"], line["logger"], line["level"])

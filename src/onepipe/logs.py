"""What onepipe says while it works: to stderr, for people on a terminal, one JSON object a line elsewhere, no secrets.

Data and reports go to stdout and never through here. An error is raised, not logged; what is logged is progress.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus

import structlog
from structlog.types import EventDict, WrappedLogger

HIDDEN = "***"
_SHORTEST = 4  # fewer letters are no secret, and hiding every "x" would make a log unreadable

_lock = threading.Lock()
_forms: tuple[str, ...] = ()


def configure(
    form: Literal["auto", "human", "json"] = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send logs to `stream` (stderr) from now on. `auto` is human on a terminal and JSON elsewhere."""
    out = stream or sys.stderr
    human = form == "human" or (form == "auto" and out.isatty())
    colors = human and out.isatty() and not os.environ.get("NO_COLOR")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False) if human else _INSTANT,
            *([] if human else [structlog.processors.format_exc_info]),
            _Renderer(_people(colors) if human else structlog.processors.JSONRenderer()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _take_over_logging()


def get(**context: Any) -> Any:
    """A logger: `logs.get().info("page fetched", rows=100)`. Cheap; ask for one where it is needed."""
    return structlog.get_logger(**context)


def bound(**context: Any) -> AbstractContextManager[Any]:
    """For a `with`: every line of this thread carries `context` (run_id, connection). A new thread begins without."""
    return structlog.contextvars.bound_contextvars(**context)


def add_secrets(secrets: Iterable[str]) -> None:
    """Values that must not appear in any line from now on, in any form in which they usually travel."""
    global _forms
    with _lock:
        forms = {*_forms, *(form for secret in secrets if len(secret) >= _SHORTEST for form in _forms_of(secret))}
        _forms = tuple(sorted(forms, key=len, reverse=True))  # the longest first: one may be part of another


def redact(text: str) -> str:
    """`text` with every known secret hidden."""
    for form in _forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


_INSTANT = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _people(colors: bool) -> structlog.dev.ConsoleRenderer:
    # The plain traceback: a framed one shows local variables and breaks a secret over two lines, past the redaction.
    return structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)


class _Renderer:
    """Redaction after rendering, so that no value, key, exception or traceback escapes it."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        return redact(str(self._renderer(logger, name, event)))


class _Forward(logging.Handler):
    """What libraries log by Python's own logging, from warnings on, takes the same way."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, record.getMessage(), logger=record.name)


def _take_over_logging() -> None:
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)
    # httpx logs whole URLs below this level, and a token may travel in one.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _forms_of(secret: str) -> set[str]:
    in_urls = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    return {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        *in_urls,
    }

"""The beginning of an answer, fit for an error message: one line, without markup, credentials or query strings."""

import re

_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title>", re.I | re.S)
_MARKUP = re.compile(rb"<(script|style)\b.*?</\1>|<[^>]*>", re.I | re.S)
_QUERY = re.compile(r"\?[^\s\"'<>]+")
# Nobody here knows the secrets, so a long word that could be one is not shown.
_LONG_WORD = re.compile(r"[\w.+/=~-]{20,}")


def title(content: bytes) -> str | None:
    """Return the title of an HTML page, None where there is none in its first 8 KB."""
    found = _TITLE.search(content, 0, 8192)
    return _one_line(found[1])[:120] if found else None


def visible(content: bytes) -> str:
    """Return the words that a reader of an HTML page sees, those of its first 20 KB."""
    return _one_line(_MARKUP.sub(b" ", content[:20_000]))


def excerpt(content: bytes, length: int = 160) -> str:
    """Return words for what an answer is: the page's title, or its first characters."""
    named = title(content)
    if named:
        return f"a page titled “{named}”"
    html = content[:512].lower().find(b"<html") >= 0
    text = visible(content) if html else _one_line(content[: length * 4])
    return f"it begins: {text[:length]}{'…' if len(text) > length else ''}" if text else "an empty body"


def _one_line(content: bytes) -> str:
    text = " ".join(content.decode("utf-8", "replace").split())
    return _LONG_WORD.sub("…", _QUERY.sub("?…", text))

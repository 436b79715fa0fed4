"""Numbers as text, for readers that would pass them through a double."""

import re

# Only outside of strings does a digit follow one of these; a text such as ":  1234" costs the slow path, nothing else.
_SUSPECT = re.compile(rb"[\[:,\s]-?\d(?:[\d.]{15}|[\d.]*[eE])")
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.]*(?:[eE][+-]?\d+)?', re.S)
_EXACT_DIGITS = 15
_EXACT_POWERS = range(-290, 290)


def long_numbers_quoted(payload: bytes) -> bytes:
    """Return the same JSON with each number a double would not carry exactly turned into a string.

    That is: more than 15 significant digits, or a power of ten near a double's limits. Texts inside strings stay as
    they are; a payload without such a number is returned itself. Works on one record and on many joined alike.
    """
    if not _SUSPECT.search(payload):
        return payload
    return _TOKEN.sub(_quoted, payload)


def _quoted(match: re.Match[bytes]) -> bytes:
    token = match[0]
    if token[:1] == b'"' or (len(token) <= _EXACT_DIGITS and b"e" not in token and b"E" not in token):
        return token
    digits, _, power = token.lower().partition(b"e")
    significant = digits.translate(None, b"-.").lstrip(b"0")
    if len(significant) <= _EXACT_DIGITS and (not power or int(power) in _EXACT_POWERS):
        return token
    return b'"%b"' % token

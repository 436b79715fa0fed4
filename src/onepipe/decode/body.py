"""The body of an answer, before any format: unpacked, without byte order mark."""

import zlib

from onepipe.errors import BadPayload

UNPACKED_LIMIT = 512 * 1024 * 1024
"""A packed body that grows beyond this many bytes is refused: it is not a page of opportunities."""

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"


def body_of(content: bytes) -> bytes:
    """Return `content` unpacked if it is gzip, and without a byte order mark. Raises BadPayload when it is empty."""
    if content[:2] == _GZIP:
        content = _unpacked(content)
    if content[:3] == _BOM:
        content = content[3:]
    if not content or content.isspace():
        raise BadPayload("The answer has an empty body where data was promised.")
    return content


def _unpacked(content: bytes) -> bytes:
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(content, UNPACKED_LIMIT)
    except zlib.error as error:
        raise BadPayload(f"The answer is marked as gzip and cannot be unpacked ({error}).") from None
    if unpacker.unconsumed_tail:
        raise BadPayload(f"The answer unpacks to more than {UNPACKED_LIMIT >> 20} MB.")
    if not unpacker.eof:
        raise BadPayload("The answer is gzip and was cut short.")
    return text

"""Whether two payloads say the same: the order of keys says nothing, the order of a list does."""

import json
import zlib
from collections.abc import Iterable


def weight(payload: bytes) -> int:
    """A number that two payloads share when one is the other with its keys in another order: length and sum of bytes.

    (The lower half of Adler-32 is the sum of the bytes.) Payloads of one weight may still differ: compare those.
    """
    return len(payload) << 16 | zlib.adler32(payload) & 0xFFFF


def same_content(one: bytes, other: bytes, apart: Iterable[str] = ()) -> bool:
    """Whether two JSON objects hold the same, apart from some of their keys. Numbers are compared as written."""
    first, second = (json.loads(payload, parse_float=str, parse_int=str) for payload in (one, other))
    for name in apart:
        first.pop(name, None)
        second.pop(name, None)
    return bool(first == second)

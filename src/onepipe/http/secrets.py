"""What must never be shown: every known form of a credential, taken out of texts and of answers that echo it."""

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
SHORTEST = 4
"""Shorter values are no secrets (Capsule's password is the letter x); taking them out would make texts unreadable."""
SHORTEST_IN_DATA = 12
"""A shorter secret could be an ordinary word of somebody's deal; an e-mail address is a name, not a secret."""


class Redactor:
    """Takes secrets out of texts and answers. Its repr shows none."""

    __slots__ = ("_echoes", "_text")

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
        forms = sorted({form for secret in known for form in _forms(secret)}, key=len, reverse=True)
        self._text = re.compile("|".join(map(re.escape, forms)), re.I) if forms else None
        self._echoes = [s.encode() for s in known if len(s) >= SHORTEST_IN_DATA and "@" not in s]

    def __repr__(self) -> str:
        return "Redactor()"

    def text(self, text: str) -> str:
        """Return the text with every form of every secret replaced."""
        return self._text.sub(MASK, text) if self._text else text

    def answer(self, content: bytes, *, thorough: bool) -> bytes:
        """Return an answer without the credential, should it echo it, so that no raw row and no excerpt holds it.

        `thorough` is for errors, of which only words are shown: every form goes, however short.
        """
        if thorough and self._text and content:
            return self.text(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        for secret in self._echoes:
            if secret in content:
                content = content.replace(secret, MASK.encode())
        return content


def basic(user: str, password: str) -> str:
    """Return the Basic credential as it stands in the Authorization header."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _forms(secret: str) -> set[str]:
    packed = base64.b64encode(secret.encode()).decode()
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), escaped, packed, packed.rstrip("=")}
    return {form for form in forms | {escaped.replace("/", "\\/")} if len(form) >= SHORTEST}

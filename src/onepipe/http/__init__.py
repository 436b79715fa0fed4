"""The one door to the network: reads with retries, quota, timeouts, refusals, redaction; writes only where allowed."""

from onepipe.http.answer import Answer
from onepipe.http.door import Http
from onepipe.http.gate import Budget, Gate
from onepipe.http.paths import part

__all__ = ["Answer", "Budget", "Gate", "Http", "part"]

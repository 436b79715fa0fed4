"""What a run that ended means for the next one of that connection: how long it is left alone, and who decides.

A CRM that does not answer is asked less and less often. A credential that is refused is not tried again and again,
which locks accounts: the connection is paused until somebody changed something, and tried at most a few times a day.
"""

from datetime import timedelta
from typing import Literal

from onepipe.errors import Stopped
from onepipe.report import ConnectionReport

Outcome = Literal["complete", "partial", "failed", "refused", "limited", "elsewhere", "stopped", "skipped"]

LONGEST = timedelta(hours=1)  # no connection is left alone for longer, unless its own interval is
FIRST_PROBE, LAST_PROBE = timedelta(hours=1), timedelta(hours=24)  # between two tries with a credential refused before
DOUBLED = 20  # more doublings than that reach any limit


def outcome(report: ConnectionReport) -> Outcome:
    """What a run came to, as far as the next one is concerned.

    "refused" is the credential, "limited" the CRM's quota, "elsewhere" another process that has the connection.
    """
    error = report.error
    if isinstance(error, Stopped):
        return "stopped"
    if error is not None and error.kind == "rate_limited":
        return "limited"
    if report.status != "failed":
        return report.status
    kinds: dict[str, Outcome] = {"auth": "refused", "lease": "elsewhere"}
    return kinds.get(error.kind if error else "", "failed")


def rest(failures: int, interval: timedelta) -> timedelta:
    """How long a connection is left alone after so many failed runs in a row."""
    most = max(LONGEST, interval).total_seconds()
    return timedelta(seconds=min(interval.total_seconds() * 2.0 ** min(failures, DOUBLED), most))


def probe(failures: int) -> timedelta:
    """How long it is until a credential that was refused so many times is tried once more."""
    return min(FIRST_PROBE * 2.0 ** min(failures - 1, DOUBLED), LAST_PROBE)

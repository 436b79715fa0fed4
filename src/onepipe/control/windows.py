"""Counting requests in the control file, so that no window of a quota ever holds more than our part of it.

Time is cut into buckets of a thirtieth of the quota's interval, and requests are counted in the bucket in which they
may leave. The buckets of the last interval and the one begun cover every window that ends now, so a sum over them that
stays within our part keeps every window within it; the price is that at most a thirtieth of it is not used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from onepipe.quotas import DAY, Quota, Told

PARTS = 30
BELIEVED = float(DAY)  # seconds that a limit which a server told is used in place of the documented one
SOON = 3600.0  # seconds that a statement counts which does not say when the server begins anew


@dataclass(frozen=True, slots=True)
class Statement:
    """What the server said last of a quota, and what was granted since, as it applies now.

    `until` is when it ends, on our clock; with `resets` the server's count begins anew then.
    """

    requests: int
    remaining: int
    until: float
    resets: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class Room:
    """How a quota stands: `quota` as documented, `allowed` as the server tells it, `ours` of its requests are ours.

    `used` of them left within its interval, by our count. `left` may leave now, in `bucket`, which ends at `ends`; if
    none may, `free_at` is when, and `why` says why not.
    """

    quota: Quota
    allowed: Quota
    ours: int
    used: int
    left: int
    bucket: int
    ends: float
    free_at: float = 0.0
    why: str = ""
    statement: Statement | None = None


def room(db: Connection, key: str, quota: Quota, share: float, now: float) -> Room:
    """How a quota of an account stands at `now`. Only reads."""
    told = _statement(db, key, quota, now)
    allowed = Quota(told.requests, told.seconds, quota.scope) if told else quota
    ours, kept = allowed.ours(share), allowed.requests - allowed.ours(share)
    bucket = math.floor(now * PARTS / allowed.seconds)
    counted = db.execute(
        "SELECT bucket, used FROM quota_used WHERE key = ? AND seconds = ? AND bucket BETWEEN ? AND ? ORDER BY bucket",
        (key, quota.seconds, bucket - PARTS, bucket + PARTS),  # later ones: our clock was set back
    ).fetchall()
    used = sum(row["used"] for row in counted)
    left, free_at = ours - used, now
    why = f"Our part of the quota is used up: {ours:,} of {allowed}"
    if left <= 0:
        free_at = (_leaving(counted, 1 - left) + PARTS + 1) * allowed.seconds / PARTS
    if told and told.until > now and (told.resets or told.remaining - kept < left):
        left, free_at = told.remaining - kept, told.until if told.resets else max(told.until, free_at)
        why = f"The CRM says that {max(told.remaining, 0):,} of {allowed} are left to all its users"
    why += f"; {kept:,} are kept for people (`reserve`)" if kept else ""
    ends = (bucket + 1) * allowed.seconds / PARTS
    return Room(quota, allowed, ours, used, max(left, 0), bucket, ends, free_at, why, told)


def count(db: Connection, key: str, room: Room, requests: int) -> None:
    """Count requests that may leave now, and drop what is too old to matter."""
    place = (key, room.quota.seconds, room.bucket)
    db.execute(
        "INSERT INTO quota_used VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET used = used + excluded.used",
        (*place, requests),
    )
    db.execute("DELETE FROM quota_used WHERE key = ? AND seconds = ? AND bucket < ?", (*place[:2], room.bucket - PARTS))
    told = room.statement
    if told:
        db.execute(
            "UPDATE quota_told SET remaining = ?, until = ? WHERE key = ? AND seconds = ?",
            (told.remaining - requests, told.until, key, room.quota.seconds),
        )


def uncount(db: Connection, key: str, seconds: int, bucket: int, requests: int) -> None:
    """Take back requests that were counted and did not leave."""
    change = "UPDATE quota_used SET used = max(used - ?, 0) WHERE key = ? AND seconds = ? AND bucket = ?"
    db.execute(change, (requests, key, seconds, bucket))
    db.execute(
        "UPDATE quota_told SET remaining = remaining + ? WHERE key = ? AND seconds = ?", (requests, key, seconds)
    )


def learn(db: Connection, keys: Sequence[tuple[str, Quota]], told: Told, now: float) -> None:
    """Note what a server said; it stands in place of our own count of the quota that it speaks of."""
    daily = told.seconds == DAY
    about = [(key, quota) for key, quota in keys if (quota.seconds == DAY) == daily]
    if not about:
        return
    key, quota = min(about, key=lambda one: one[1].seconds)
    seconds = max(1, math.ceil(told.seconds)) if told.seconds else quota.seconds
    until = now + (min(seconds, SOON) if told.resets is None else told.resets)
    values = (told.requests, told.remaining, now, until, told.resets is not None, seconds)
    db.execute("INSERT OR REPLACE INTO quota_told VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (key, quota.seconds, *values))


def _statement(db: Connection, key: str, quota: Quota, now: float) -> Statement | None:
    row = db.execute("SELECT * FROM quota_told WHERE key = ? AND seconds = ?", (key, quota.seconds)).fetchone()
    if row is None or not -SOON < now - row["at"] < BELIEVED:
        return None
    until, remaining = row["until"], row["remaining"]
    if row["resets"] and until <= now < until + row["span"]:
        until, remaining = until + row["span"], row["requests"]  # as the server counts from its reset on
    return Statement(row["requests"], remaining, until, bool(row["resets"]), row["span"])


def _leaving(counted: Sequence[tuple[int, int]], wanted: int) -> int:
    """The bucket with which so many requests leave the window."""
    for bucket, used in counted:
        wanted -= used
        if wanted <= 0:
            return bucket
    return int(counted[-1][0])

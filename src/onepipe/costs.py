"""What a backfill costs, told before it begins: slices, rows, requests, share of the quota, time; and what it may cost.

Nothing but counts is asked of the CRM, and nothing is written.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import onepipe.pull.backfill as backfill
from onepipe import registry
from onepipe.account import Account, mapping_of, open_account
from onepipe.config import Connection
from onepipe.errors import OnepipeError, RateLimited, UsageError
from onepipe.http import Budget
from onepipe.project import COMMIT_WAIT, Project
from onepipe.pull import Options
from onepipe.pull.cut import Part, counting, cut
from onepipe.quotas import Quota
from onepipe.report import described, stamp
from onepipe.warehouse import books, pieces
from onepipe.warehouse.database import reading

AHEAD = 8  # pages that are fetched side by side where they go by number
SIDE_BY_SIDE = 4  # details that are


def plan(project: Project, words: Sequence[str], options: Options) -> list[dict[str, Any]]:
    """For each connection its slices and what they are expected to cost; None for what the CRM does not tell.

    Those that are disabled or paused are left out, as a backfill leaves them out.
    """
    paused = project.control.service.pauses()
    chosen = [one for one in project.choose(words) if one.enabled and one.name not in paused]
    return [_unplanned(one, one.fault) if one.fault else _planned(project, one, options) for one in chosen]


def _unplanned(connection: Connection, fault: OnepipeError) -> dict[str, Any]:
    unknown = ("slices", "since", "until", "rows", "requests", "quota_share", "quota", "seconds")
    return {
        "connection": connection.name,
        **dict.fromkeys(unknown),
        "error": described(fault),
        "details": 0,
        "pieces": [],
    }


def _planned(project: Project, connection: Connection, options: Options) -> dict[str, Any]:
    mapping = mapping_of(project.config, connection)
    account = open_account(project.config, connection, mapping, quotas=project.control.quotas)
    began, parts, error = time.monotonic(), list[Part](), None
    with account.http:
        try:
            parts = _parts(project, account, options)
        except OnepipeError as trouble:
            error = described(trouble)
    took = (time.monotonic() - began) / max(account.http.requests, 1)
    told = [] if error else [_priced(account, place, part) for place, part in enumerate(parts, start=1)]
    rows = None if error or any(part.rows is None for part in parts) else sum(part.rows or 0 for part in parts)
    details = len(account.reading.details)
    requests = None
    if rows is not None:
        requests = len(account.facts.reference) + sum(one["requests"] for one in told) + rows * details
    widest = max(account.facts.quota, key=lambda quota: quota.seconds, default=None)
    return {
        "connection": connection.name,
        "slices": len(told) or 1,
        "since": options.since.isoformat() if options.since else None,
        "until": options.until.isoformat() if options.until else None,
        "rows": rows,
        "requests": requests,
        "quota_share": round(requests / widest.requests, 4) if widest and requests is not None else None,
        "quota": "; ".join(map(str, account.facts.quota)) or None,
        "seconds": _seconds(account, rows, requests, took),
        "error": error,
        "details": details,
        "pieces": told,
    }


def _parts(project: Project, account: Account, options: Options) -> list[Part]:
    """The slices that a backfill would read now: those left of an unfinished one, or new ones.

    Raises UsageError where a backfill with other bounds is unfinished, as the backfill itself does.
    """
    kept, distrust = _known(project, account.name)
    asked, count = (options.since, options.until), counting(account.connector)
    sliceable = account.facts.filter == "range" and not {"filter", "range"} & distrust
    if sliceable and kept and not options.restart:
        if asked != (kept[0].lo, kept[-1].until):
            raise UsageError(
                f"{account.name}: a backfill with other bounds is unfinished, and this one would be refused",
                "`onepipe status` tells its own --since and --until; `--restart` gives it up for this one",
            )
        count(None, None)
        return [Part(one.lo, one.until, one.rows) for one in kept if one.done_at is None]
    total = count(None, None)
    if not sliceable or total is None or (total <= backfill.SMALL and not any(asked)):
        return [Part(None, None, total)]
    return cut(count, *asked, account.now())


def _known(project: Project, name: str) -> tuple[list[pieces.Piece], frozenset[str]]:
    """The slices of an unfinished backfill, and what is not believed of an account; nothing is made or changed."""
    path = project.warehouse.path
    if not path.exists():
        return [], frozenset()
    with project.control.commit_lock(COMMIT_WAIT), reading(path) as db:
        if not db.one("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'pieces'"):
            return [], frozenset()  # an older onepipe's; the next run brings it up
        return pieces.of(db, name), books.standing(db, name).distrust


def _priced(account: Account, place: int, part: Part) -> dict[str, Any]:
    requests = None if part.rows is None else max(1, -(-part.rows // account.facts.page_size))
    span = {"since": stamp(part.lo), "until": stamp(part.until)}
    return {"place": place, **span, "rows": part.rows, "requests": requests}


def _seconds(account: Account, rows: int | None, requests: int | None, took: float) -> float | None:
    """The longer of what the quota allows and what the answers to the counts, which took so long each, let expect."""
    if rows is None or requests is None:
        return None
    details = rows * len(account.reading.details)
    ahead = 1 if account.facts.order else AHEAD
    waiting = took * ((requests - details) / ahead + details / SIDE_BY_SIDE)
    return round(max(waiting, account.cost(rows)[2] or 0.0), 3)


def budgets(
    project: Project, chosen: Sequence[Connection], options: Options, whole: Budget | None
) -> dict[str, Budget]:
    """The budget of each connection where one was asked for, within that of the `whole` run.

    Raises UsageError for a share of a quota that is not known, before anything is asked.
    """
    if options.budget is None and options.share is None:
        return {}
    enabled = [one for one in chosen if one.enabled]
    quotas = {one.name: registry.load(one.connector, project.config.folder).facts.quota for one in enabled}
    unknown = [name for name, known in quotas.items() if not known]
    if options.share is not None and unknown:
        raise UsageError(
            f"{', '.join(unknown)}: the CRM documents no quota, so there is nothing to take {options.share:.0%} of",
            "say how many requests instead: `--budget N` for each connection, or `--max-requests N` in all",
        )
    return {name: _budget(known, options, whole) for name, known in quotas.items()}


def _budget(quotas: Sequence[Quota], options: Options, whole: Budget | None) -> Budget:
    if options.share is None:
        return Portion(options.budget or 0, whole=whole)
    widest = max(quotas, key=lambda quota: quota.seconds)
    words = f", {options.share:.0%} of {widest},"
    return Portion(max(1, int(widest.requests * options.share)), whole=whole, words=words, seconds=widest.seconds)


@dataclass
class Portion(Budget):
    """What one connection may spend in a run, within what the `whole` run may.

    `seconds` is how long the window lasts that it is a part of, and `words` says so.
    """

    whole: Budget | None = None
    words: str = ""
    seconds: float | None = None
    began: datetime | None = field(default=None, repr=False)

    def take(self) -> None:
        """Count one request. Raises RateLimited when the budget is spent; nothing leaves then."""
        self.began = self.began or datetime.now(UTC)
        try:
            super().take()
        except RateLimited as error:
            until = self.began + timedelta(seconds=self.seconds) if self.seconds else None
            raise RateLimited(f"the budget of {self.limit:,} requests{self.words} is spent", until=until) from error
        if self.whole is not None:
            self.whole.take()

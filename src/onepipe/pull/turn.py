"""When a CRM that must be read in full may be read again: so that complete reads take at most our part of its quota."""

from datetime import datetime, timedelta

from onepipe.errors import RateLimited
from onepipe.pull.job import Job
from onepipe.warehouse.books import Slice, Standing

SOON = timedelta(seconds=60)  # a shorter rest is left to the ledger, which lets no request leave too early


def await_turn(job: Job) -> None:
    """Raise RateLimited for a run too soon after the last complete read, unless a person asked for one."""
    allowance, options = job.account.allowance, job.options
    asked = options.sweep or options.full or options.command == "backfill"
    at = allowance.next_scan() if allowance and not asked else None
    if at and at - job.account.now() > SOON:
        raise RateLimited(
            f"{job.name}: {job.account.facts.title} tells no changes, so every run reads everything, which may take "
            f"at most {job.account.share:.0%} of its quota; the next one may begin at {at:%Y-%m-%d %H:%M:%S} UTC",
            f"what was loaded is safe; `onepipe sync {job.name} --sweep` reads everything now all the same",
            until=at,
        )


def note_scan(job: Job, standing: Standing, piece: Slice, requests: int, began: datetime) -> None:
    """Write down what a complete read took, where every run has to make one."""
    blind = job.account.facts.filter == "none" or "filter" in standing.distrust
    if blind and piece.kind in ("first", "full") and job.account.allowance:
        job.account.allowance.scan_ended(requests, began)

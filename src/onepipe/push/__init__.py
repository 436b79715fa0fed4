"""Pushing: edits go back to the CRMs, each decided on a fresh read, written down before it is sent, read back after.

    edit -> `planning` (what would be done) -> `applying` -> for each connection `part` -> for each record `one` or
    `made` -> `work` (outbox, journal) -> `verify`; what an earlier run left open: `lost`

docs/decisions/0013-pushing.md says why it is so.
"""

from onepipe.push.applying import apply
from onepipe.push.planning import plan, read_plan
from onepipe.push.watch import Watch
from onepipe.push.words import Done, DoneField, Item, Plan, PlannedField, PushReport

__all__ = [
    "Done",
    "DoneField",
    "Item",
    "Plan",
    "PlannedField",
    "PushReport",
    "Watch",
    "apply",
    "plan",
    "read_plan",
]

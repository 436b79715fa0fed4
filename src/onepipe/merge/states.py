"""What can become of an edit on its way to the CRM: one table for the push, the command line and the docs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Group = Literal["done", "waiting", "needs you", "failed"]
GROUPS: tuple[Group, ...] = ("done", "waiting", "needs you", "failed")


@dataclass(frozen=True, slots=True)
class State:
    """One state. `final`: no run and no person takes it further; what comes next is another edit.

    `sound`: it leaves the exit code at 0. `next`: the states it may become. `advice`: what people should do, if
    anything. `shown`: seen outside; the others are over when a run ends or, after a crash, become `unknown`.
    """

    name: str
    group: Group
    final: bool
    sound: bool
    meaning: str
    next: tuple[str, ...] = ()
    advice: str = ""
    shown: bool = True


_SETTLED = ("done", "done_normalised", "not_applied", "overwritten")
_MERGED = ("converged", "kept_remote", "conflict", "refused", "gone")
_TRIED = ("sending", "waiting", "stale", "rejected", "dead")

# The least pressing first: an item is in the state of its most pressing field.
_TABLE = (
    State("converged", "done", True, True, "both sides are equal; nothing was sent"),
    State("kept_remote", "done", True, True, "the CRM's value was kept, as the policy says"),
    State("done", "done", True, True, "written, and read back as it was sent"),
    State("done_normalised", "done", True, True, "written; the CRM keeps its own form, which is the base from now on"),
    State(
        "waiting",
        "waiting",
        False,
        True,
        "certainly not applied yet, and tried again by itself",
        ("ready", "sending", *_MERGED, "stale", "rejected", "dead"),
    ),
    State(
        "ready",
        "waiting",
        False,
        False,
        "not done: a canary, a limit or a refused credential stopped the run before it",
        (*_TRIED, *_MERGED),
        "look at what stopped the run, then `onepipe push apply` again",
    ),
    State(
        "sending",
        "waiting",
        False,
        False,
        "the request may be on its way",
        (*_SETTLED, *_MERGED, "ready", "waiting", "stale", "rejected", "unknown", "dead"),
        shown=False,
    ),
    State(
        "unknown",
        "waiting",
        False,
        False,
        "sent, and the answer was lost: it may have happened; it is not sent again before two looks found nothing",
        ("ready", "ambiguous", *_SETTLED, *_MERGED),
        "run `onepipe push apply` again: it looks, and sends only what certainly did not happen",
    ),
    State(
        "stale",
        "needs you",
        False,
        False,
        "the CRM has changed since the plan; nothing was sent",
        ("ready", *_MERGED, "dead"),
        "make a new plan with `onepipe push plan`",
    ),
    State(
        "conflict",
        "needs you",
        False,
        False,
        "both sides changed it; nothing was sent for it",
        ("ready", "converged", "kept_remote", "refused", "gone"),
        "`onepipe conflicts list`, then `onepipe conflicts resolve ID ours|theirs|VALUE`",
    ),
    State(
        "ambiguous",
        "needs you",
        False,
        False,
        "it may have happened, and reading cannot tell; it is never sent again by itself",
        ("ready", "done", "done_normalised", "dead"),
        "look in the CRM, then `onepipe conflicts resolve ID ours|theirs`",
    ),
    State(
        "overwritten",
        "needs you",
        True,
        False,
        "written, and another hand wrote over it before we read it back; both values are kept",
        advice="look at both values; edit again if yours is the right one",
    ),
    State(
        "refused",
        "needs you",
        False,
        False,
        "not sent: the mode, a limit, a rule for the field or the value itself stands against it",
        ("ready", *_MERGED, "dead"),
        "put right what the message names, or `onepipe edit drop ID`",
    ),
    State("gone", "failed", True, False, "the CRM no longer has the record; nothing was sent"),
    State(
        "rejected",
        "failed",
        True,
        False,
        "the CRM refuses it, in its own words",
        advice="edit again with another value",
    ),
    State(
        "not_applied",
        "failed",
        True,
        False,
        "the CRM said yes and did not do it: read-only there, or undone by a rule of its own",
        advice="change it in the CRM itself",
    ),
    State("dead", "failed", True, False, "given up after many tries, or by a person", advice="edit again"),
)

STATES: dict[str, State] = {state.name: state for state in _TABLE}
SHOWN: tuple[str, ...] = tuple(name for name, state in STATES.items() if state.shown)
_PRESSING = {name: rank for rank, name in enumerate(STATES)}


def worst(states: Iterable[str]) -> str:
    """The state of an item, given those of its fields: the most pressing; `converged` if there are none."""
    return max(states, key=_PRESSING.__getitem__, default="converged")


def exit_code(states: Iterable[str]) -> int:
    """0 where every item is done or waiting for a retry; else 1."""
    return 0 if all(STATES[name].sound for name in states) else 1


def may_become(state: str, after: str) -> bool:
    """Whether an item may go from one state to another; a state may be set again."""
    return state == after or after in STATES[state].next


def after_restart(state: str) -> str:
    """What a state is once its process has died: what may have been on the wire is unknown, all else as it was."""
    return state if STATES[state].shown else "unknown"

"""What runs, conflicts, pauses and staleness mean for the people who are told. Used by one thread."""

from collections.abc import Sequence
from datetime import datetime

from onepipe.control import Control
from onepipe.daemon.alerts import OF_RUNS, Bulletin
from onepipe.daemon.onlooker import Event, Line, State
from onepipe.daemon.staleness import Staleness
from onepipe.errors import Stopped
from onepipe.report import ConnectionReport, stamp

NEUTRAL = ("rate_limited", "lease")  # somebody said wait: the run goes on later
SHOWN = 50  # conflicts named in a message


def judge_run(bulletin: Bulletin, report: ConnectionReport, run_id: str, at: datetime) -> None:
    """A run ended: something is over, or begins, or goes on."""
    name, error = report.connection, report.error
    if report.status == "complete":
        bulletin.over(name, OF_RUNS, at)
        bulletin.over("", OF_RUNS, at)  # nor does anything keep all of them from running
    elif error is not None and error.kind not in NEUTRAL and not isinstance(error, Stopped):
        part = "is not read whole" if report.status == "partial" else "failed"
        bulletin.happened(
            Event(
                event="suspect" if error.kind == "suspect" else "failed",
                at=at,
                connection=name,
                text=f"{name} {part}: {error.message}",
                hint=error.hint or "",
                kind=error.kind,
                run_id=run_id,
            )
        )


def judge_state(bulletin: Bulletin, staleness: Staleness, state: State, intervals: int, now: datetime) -> None:
    """Who is stale by now, and who is paused."""
    stale, well = staleness.look(state, intervals, now)
    known = {event: {one.connection for one in bulletin.standing(event)} for event in ("stale", "paused")}
    for line in stale:
        if line.connection not in known["stale"]:
            bulletin.happened(_stale(line, intervals, now))
    for line in well:
        if line.connection in known["stale"]:
            bulletin.over(line.connection, ["stale"], now)
    for line in state.lines:
        if line.place == "paused" and line.connection not in known["paused"]:
            name = line.connection
            text = f"{name} is paused{f': {line.why}' if line.why else ''}"
            hint = f"`onepipe resume {name}` ends that"
            bulletin.happened(Event(event="paused", at=now, connection=name, text=text, hint=hint))


def _stale(line: Line, intervals: int, now: datetime) -> Event:
    name = line.connection
    since = f"since {line.last_success:%Y-%m-%d %H:%M} UTC" if line.last_success else "ever"
    why = f" It is {line.place}: {line.why}." if line.why else ""
    text = f"{name} is stale: no run was complete {since}, for more than {intervals} intervals.{why}"
    return Event(event="stale", at=now, connection=name, text=text, hint=f"`onepipe status {name}` says what to do")


def judge_conflicts(bulletin: Bulletin, control: Control, now: datetime) -> None:
    """Conflicts that were opened since people were last told of any. Raises DiskTrouble."""
    told = control.alerts.mark("conflict")
    found = control.conflicts.open_of()
    new: dict[str, list[int]] = {}
    for number, connection in found:
        if number > told:
            new.setdefault(connection, []).append(number)
    for connection, numbers in new.items():
        bulletin.happened(_conflict(connection, numbers, sum(name == connection for _, name in found), now))
    if new:
        bulletin.tell()  # first: what was not written down is told once more after a kill, not lost
        control.alerts.keep_mark("conflict", max(max(numbers) for numbers in new.values()))


def _conflict(connection: str, numbers: Sequence[int], still: int, now: datetime) -> Event:
    many = "a new conflict waits" if len(numbers) == 1 else f"{len(numbers)} new conflicts wait"
    return Event(
        event="conflict",
        at=now,
        connection=connection,
        text=f"{connection}: {many} for a person's decision between an edit and the CRM; {still} are open.",
        hint=f"`onepipe conflicts list {connection}` shows them",
        details={"conflicts": [str(number) for number in numbers[:SHOWN]], "open": still},
    )


def judge_published(bulletin: Bulletin, control: Control, state: State, seconds: float, now: datetime) -> None:
    """A new snapshot is in place. Raises DiskTrouble."""
    if not bulletin.tells("published") or state.published is None:
        return
    if state.published > control.alerts.mark("published"):
        text = f"The warehouse was published: generation {state.published}, in {seconds:.1f} seconds."
        details = {"generation": state.published, "published_at": stamp(state.published_at)}
        bulletin.happened(Event(event="published", at=now, text=text, details=details), "newest")
        bulletin.tell()
        control.alerts.keep_mark("published", state.published)

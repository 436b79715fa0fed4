"""What a standing means for people: its state in one word, whether it is stale, and what to do, in sentences.

complete    all that the CRM told up to `complete through` is loaded
failing     the last run was not complete
suspect     a sweep found more deletions than it believes; somebody has to decide
held back   the CRM's quota, or our own, says wait
loading     the first load is under way, or was interrupted
paused      somebody wants it left alone
never run, disabled, retired    as config.yaml says
"""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onepipe.cli.screen as screen
import onepipe.cli.unfinished as unfinished

if TYPE_CHECKING:
    from onepipe.config import Config, Connection, Schedule
    from onepipe.control.look import Look

Standing = dict[str, Any]

STATES = ("failing", "suspect", "held back", "loading", "paused", "never run", "complete", "disabled", "retired")
IDLE = ("disabled", "retired")
A_DAY = timedelta(hours=26)  # runs by hand or by the system's cron: one a day, and two hours late
WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
COPIES = 3  # of work.duckdb: itself, the snapshot, and the copy that becomes the next one


def at_control(seen: "Look", one: Standing) -> Standing:
    """What the control file knows of a connection: who is at work on it, its hold, when it may be read whole, and how
    many conflicts wait for a person.
    """
    key = f"connection:{one['connection']}"
    owner, hold = seen.owners.get(key), seen.hold(one["connection"], one["connector"])
    scan = seen.next_scan.get(key)
    return {
        "at_work": f"{owner.command} (process {owner.pid} on {owner.host})" if owner else None,
        "held_until": _iso(hold[0]) if hold else None,
        "held_why": hold[1] if hold else None,
        "next_scan_at": _iso(scan) if scan else None,
        "conflicts": seen.conflicts.get(one["connection"], 0),
        **_service(seen, one["connection"]),
    }


def _service(seen: "Look", name: str) -> Standing:
    """What people and the daemon said of a connection: its pause, why it is left alone, the runs that were not made."""
    paused, broken = seen.pauses.get(name), seen.broken.get(name)
    return {
        "paused": str(paused) if paused else None,
        "left_alone_until": _iso(datetime.fromtimestamp(broken.until, UTC)) if broken else None,
        "left_alone_for": broken.kind if broken else None,
        "failures": broken.failures if broken else 0,
        "passed_over": [
            {"why": each.why, "times": each.times, "first_at": _at(each.first), "last_at": _at(each.last)}
            for each in seen.passed.get(name, [])
        ],
    }


def judged(one: Standing, connection: "Connection | None", now: datetime) -> Standing:
    """A standing with its state in one word, how old it is, and whether that is older than its schedule promises."""
    through = one["complete_through"]
    age = (now - datetime.fromisoformat(through)).total_seconds() if through else None
    told = one | {"state": _state(one), "behind_seconds": None if age is None else round(max(age, 0))}
    limit = _patience(connection, one["last_command"]) if connection else None
    awaited = told["state"] not in (*IDLE, "paused", "never run") and limit is not None
    return told | {"stale": bool(awaited and limit and (age is None or age > limit.total_seconds()))}


def _state(one: Standing) -> str:
    if one["state"] not in IDLE and one.get("paused"):
        return "paused"
    if one["state"] != "active":
        return str(one["state"])
    failing, kind = bool(one["failing_since"]), one["error_kind"]
    if (failing and kind == "suspect") or (one["suspect_since"] and not failing):
        return "suspect"
    if one["held_until"] or (failing and kind == "rate_limited"):
        return "held back"
    if failing:
        return "failing"
    return "loading" if one["complete_through"] is None else "complete"


def _patience(connection: "Connection", last_command: str | None) -> timedelta | None:
    """How old a connection may be: twice its schedule, or a day where nobody wrote one and no daemon runs it."""
    if "schedule" not in connection.model_fields_set and last_command != "daemon":
        return A_DAY
    schedule: Schedule = connection.schedule
    if schedule.every is not None:
        return 2 * schedule.every + timedelta(minutes=10)
    _, hour, day, month, weekday = (schedule.cron or "").split()
    if month != "*":
        return None
    if day != "*":
        return timedelta(days=32)
    if weekday != "*":
        days = sorted(WEEK.index(name) for name in weekday.split(","))
        gaps = [(after - before) % 7 or 7 for before, after in zip(days, [*days[1:], days[0]], strict=True)]
        return timedelta(days=max(gaps), hours=2)
    return timedelta(hours=2) if hour == "*" else A_DAY


def well(one: Standing) -> bool:
    """Whether nobody has to look at it."""
    return one["state"] in (*IDLE, "complete") and not one["stale"] and not one.get("conflicts")


def sentences(one: Standing, config: "Config") -> list[str]:
    """What is wrong, what is safe, and what to type; then what else there is to know."""
    return [*_state_of(one, config), *_remarks(one, config)]


def _state_of(one: Standing, config: "Config") -> Iterator[str]:
    name, state = one["connection"], one["state"]
    if state == "paused":
        yield f"paused {one['paused']}; `onepipe resume {name}` lets it run again"
    if state == "never run":
        yield _never_run(name, one.get("looks_like"))
    if one["suspect_since"] or state == "suspect":
        yield _suspect(one)
    if state == "held back":
        yield _held(one)
    elif one["failing_since"] and state == "failing":
        cause = f" ({one['error_kind']}): {one['error_message']}" if one["error_kind"] else ""
        yield f"failing since {screen.when(one['failing_since'], ' UTC')}{cause}"
        yield _remedy(one, config)
        yield from _left_alone(one)
    elif state not in (*IDLE, "paused") and one["open_slices"] and not (one["at_work"] or one.get("backfill")):
        yield f"a read of the whole list was interrupted; `onepipe sync {name}` goes on with it"
    if one.get("backfill") and state not in (*IDLE, "paused") and not one["at_work"]:
        yield unfinished.sentence(one["backfill"])
    if one["at_work"]:
        yield f"being read now by {one['at_work']}"
    if one["stale"] and state == "complete":
        since = screen.when(one["complete_through"], " UTC")
        yield f"stale: nothing was read since {since}; `onepipe sync {name}` reads, `onepipe daemon` keeps it fresh"


def _never_run(name: str, retired: str | None) -> str:
    if retired is None:
        return f"never run; `onepipe sync {name}` loads it"
    return (
        f"never run; it looks like the retired {retired} under another name: `onepipe connection rename {retired} "
        f"{name}` keeps its history (stop the daemon first), `onepipe sync {name}` begins anew"
    )


def _left_alone(one: Standing) -> Iterator[str]:
    """What the daemon makes of a connection that fails."""
    if not one.get("left_alone_until"):
        return
    name, runs = one["connection"], screen.counted(one["failures"], "run")
    until = f"{one['left_alone_until'][:16].replace('T', ' ')} UTC"
    if one["left_alone_for"] == "auth":
        yield (
            f"the daemon leaves it alone, so that the account is not locked: it tries once more at {until}, or as soon "
            f"as the credential is another one (reload it with SIGHUP), or after `onepipe resume {name}`"
        )
    else:
        yield f"after {runs} that failed the daemon tries again at {until}; `onepipe run-now {name}` does at once"


def passed_over(one: Standing) -> str | None:
    """The runs that were due and that the daemon did not make, in one sentence; None where it made all."""
    if not one["passed_over"]:
        return None
    last = max(each["last_at"] for each in one["passed_over"])[:16].replace("T", " ")
    reasons = ", ".join(f"{each['times']:,} {each['why']}" for each in one["passed_over"])
    return f"runs that were due and not made, by reason: {reasons}; the last one at {last} UTC"


def _suspect(one: Standing) -> str:
    rows = screen.counted(one["suspect_rows"], "deal") if one["suspect_rows"] else "many deals"
    since = f" since {screen.when(one['suspect_since'], ' UTC')}" if one["suspect_since"] else ""
    why = f" ({one['suspect_reason']})" if one["suspect_reason"] else ""
    return (
        f"suspect{since}: a sweep did not find {rows}{why}. Nothing was marked as deleted, and all that arrived is "
        f"loaded. {_decision(one)}"
    )


def _decision(one: Standing) -> str:
    """How a person decides about what a sweep did not find, in the state that the connection is in."""
    name, state = one["connection"], one["state"]
    if state == "retired":
        return f"`onepipe sweep show` lists them; to decide about them, name {name} in config.yaml again"
    first = {"disabled": " (which reads: enable it first)", "paused": f" (which reads: `onepipe resume {name}` first)"}
    return (
        f"`onepipe sweep show {name}` lists them; `onepipe sweep approve {name}` if they are deleted"
        f"{first.get(state, '')}, `onepipe sweep discard {name}` if they are not"
    )


def _held(one: Standing) -> str:
    name, until = one["connection"], one["held_until"]
    why = one["held_why"] or one["error_message"] or "its quota is used up"
    when = f" until {until[:16].replace('T', ' ')} UTC" if until else ""
    what = "brings changes" if one.get("backfill") else "goes on"
    return (
        f"held back{when}: {why}. {_safe(one)}; the daemon {what} by itself, else `onepipe sync {name}` does. "
        "`onepipe quota` shows what is left"
    )


def _safe(one: Standing) -> str:
    through = one["complete_through"]
    if through:
        return f"Everything up to {through[:16].replace('T', ' ')} UTC is loaded and safe"
    return "What was read is safe"


def _remedy(one: Standing, config: "Config") -> str:
    """What is safe and what to type, for a connection whose last run was not complete."""
    name, again = one["connection"], unfinished.again(one)
    remedies: dict[str, Callable[[], str]] = {
        "auth": lambda: f"put a credential that is accepted in place, then `onepipe check {name}`",
        "unavailable": lambda: f"`onepipe check {name}` says whether the CRM answers; then `{again}`",
        "bad_payload": lambda: f"`{again}` tries again; if it stays, report it to the CRM's vendor",
        "paging": lambda: f"`{again}` tries again, best while few people work in the CRM",
        "config": lambda: f"`onepipe check {name}` names every mistake with its line",
        "lease": lambda: f"`{again} --wait 600` waits for the other process",
        "disk": lambda: f"{_space(config)}; then `{again}`",
        "internal": lambda: f"`{again.replace('onepipe', 'onepipe --debug', 1)}` prints what to report",
    }
    remedy = remedies.get(one["error_kind"] or "", lambda: f"`{again}` tries again")
    return f"{_safe(one)}. To do: {remedy()}"


def _space(config: "Config") -> str:
    """How much room the state folder needs and has."""
    work: Path = config.state / "work.duckdb"
    try:
        needed, free = COPIES * work.stat().st_size, shutil.disk_usage(config.state).free
    except OSError:
        return f"see that {config.state} and {config.warehouse.parent} can be written and have space left"
    return (
        f"about {screen.size(needed)} are needed in all on the disks of {config.state} and {config.warehouse.parent}, "
        f"and {screen.size(free)} are free: make room"
    )


def _remarks(one: Standing, config: "Config") -> Iterator[str]:
    name = one["connection"]
    if one.get("conflicts"):
        count = screen.counted(one["conflicts"], "conflict")
        yield f"{count} between your edits and the CRM to decide: `onepipe conflicts list {name}`"
    if one["details_owed"]:
        details = screen.counted(one["details_owed"], "detail")
        yield f"{details} (tags, notes, items) still to be read; each run reads as many as the quota allows"
    if one["problems"]:
        values = screen.counted(one["problems"], "value")
        are = "is" if one["problems"] == 1 else "are"
        yield f"{values} could not be read and {are} NULL; `onepipe problems {name}` lists them"
    yield from _lateness(one, config.connections.get(name))
    if one["next_scan_at"] and one["state"] not in IDLE:
        yield _next_scan(one)
    if one["state"] == "retired":
        yield f"not in config.yaml any more: its rows stay, nothing is read; name {name} there again to go on"
        yield f"`onepipe connection forget {name}` removes it for good, history included"


def _lateness(one: Standing, connection: "Connection | None") -> Iterator[str]:
    proposed = one["proposed_overlap"]
    # What comes later than a sweep, the sweep finds: no overlap need be longer.
    behind = timedelta(seconds=proposed or 0)
    if one["late_rows"] and connection and connection.overlap < behind < connection.sweep:
        rows = screen.counted(one["late_rows"], "deal")
        yield (
            f"{rows} came to be seen after their own time had been read; sweeps find such deals, `overlap: "
            f"{proposed // 60}m` in config.yaml would have found all of them at once"
        )
    if one["undated_rows"]:
        rows = screen.counted(one["undated_rows"], "deal")
        yield f"{rows} without a time of change: only a sweep finds what changes in them"


def _next_scan(one: Standing) -> str:
    when = str(one["next_scan_at"])[:16].replace("T", " ")
    return f"this CRM has to be read whole for every change, with our part of its quota at most: next at {when} UTC"


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _at(seconds: float) -> str:
    return _iso(datetime.fromtimestamp(seconds, UTC))


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)

"""What /status.json tells: how the daemon and each connection stand, in one document."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from onepipe import __version__, logs
from onepipe.control.notices import Notice
from onepipe.control.quota import State as Quota
from onepipe.daemon.metrics import Moment
from onepipe.daemon.onlooker import Line, State
from onepipe.report import stamp

SCHEMA_VERSION = 1
Passed = Mapping[str, Sequence[Mapping[str, Any]]]


def document(moment: Moment, standing: Sequence[Notice], passed: Passed, ready: str | None) -> dict[str, Any]:
    """The whole document. `passed` are the runs not made, by connection; `ready` is why the daemon is not, if so."""
    silent: dict[str, list[str]] = {}
    for one in standing:
        if one.event == "silent":
            silent.setdefault(one.connection, []).append(one.what)
    lines = [_line(line, moment, silent.get(line.connection, []), passed) for line in moment.state.lines]
    places = Counter(line.place for line in moment.state.lines)
    return {
        "schema_version": SCHEMA_VERSION,
        "onepipe_version": __version__,
        **_daemon(moment.state),
        "ready": ready is None,
        "why_not_ready": ready,
        "totals": {
            "connections": len(lines),
            **places,
            "stale": sum(one["stale"] for one in lines),
            "silent": len(silent),
            "failing": sum(bool(one["failures"]) for one in lines),
            "conflicts": sum(one["conflicts"] for one in lines),
        },
        "alerts": {"standing": [_notice(one) for one in standing], "waiting": moment.waiting_alerts},
        "connections": lines,
    }


def _daemon(state: State) -> dict[str, Any]:
    behind = None if state.generation is None else state.generation - (state.published or 0)
    return {
        "started_at": stamp(state.started_at),
        "looked_at": stamp(state.looked_at),
        "draining": state.draining,
        "loop": {"beat_at": stamp(state.beat), "lag_seconds": round(state.lag, 3)},
        "config": {"read_at": stamp(state.config_read_at), "refused": state.refused and logs.redact(state.refused)},
        "warehouse": {
            "generation": state.generation,
            "published": state.published,
            "unpublished": behind,
            "published_at": stamp(state.published_at),
        },
    }


def _line(line: Line, moment: Moment, silent: list[str], passed: Passed) -> dict[str, Any]:
    quota = moment.seen.quotas.get(line.connection)
    error = line.last_error
    return {
        "connection": line.connection,
        "connector": line.connector,
        "labels": line.labels,
        "place": line.place,
        "why": logs.redact(line.why),
        "interval_seconds": line.interval,
        "next_due_at": stamp(line.next_due),
        "last_started_at": stamp(line.last_started),
        "last_success_at": stamp(line.last_success),
        "last_status": line.last_status,
        "last_error": {k: logs.redact(v) if isinstance(v, str) else v for k, v in error.items()} if error else None,
        "failures": line.failures,
        "stale": line.connection in moment.stale,
        "silent": silent,
        "passed_over": list(passed.get(line.connection, ())),
        "conflicts": moment.seen.conflicts.get(line.connection, 0),
        **_quota(quota),
    }


def _quota(state: Quota | None) -> dict[str, Any]:
    """As `onepipe quota --json` tells it."""
    rooms = state.quotas if state else ()
    hold = state.hold if state else None
    return {
        "quotas": [
            {
                "scope": room.allowed.scope,
                "requests": room.allowed.requests,
                "seconds": room.allowed.seconds,
                "ours": room.ours,
                "used": room.used,
                "left": room.left,
            }
            for room in rooms
        ],
        "held_until": stamp(hold.until) if hold else None,
        "held_why": hold.why if hold else None,
        "next_scan_at": stamp(state.next_scan) if state else None,
    }


def _notice(notice: Notice) -> dict[str, Any]:
    return {
        "event": notice.event,
        "connection": notice.connection or None,
        "what": notice.what or None,
        "since": instant(notice.since),
        "times": notice.times,
        "told_at": instant(notice.told_at),
    }


def instant(seconds: float | None) -> str | None:
    """Epoch seconds as documents tell them."""
    return None if seconds is None else stamp(datetime.fromtimestamp(seconds, UTC))

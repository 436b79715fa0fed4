"""The figures of the daemon for Prometheus: what was counted since it started, and how it stands at this moment.

Above MANY connections the label `connection` is empty and figures are those of a connector: sums, and of instants the
oldest. Every label has few values.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from onepipe import __version__
from onepipe.daemon.onlooker import Line, Place, State
from onepipe.daemon.rooms import Seen
from onepipe.daemon.tallies import Tally
from onepipe.errors import OnepipeError
from onepipe.report import ConnectionReport

MANY = 200
OWN = ("connection", "connector")
# Answers that have a name of their own; any other is told by its class, 4xx: a server must not make up labels.
CODES = {200, 201, 202, 204, 304, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 502, 503, 504}
NO_ANSWER = "none"


@dataclass
class Counted:
    """What happened since the daemon started."""

    runs: Tally = field(default_factory=Tally)
    seconds: Tally = field(default_factory=Tally)
    rows: Tally = field(default_factory=Tally)
    requests: Tally = field(default_factory=Tally)
    waited: Tally = field(default_factory=Tally)
    passed: Tally = field(default_factory=Tally)
    published: int = 0
    publishing: float = 0.0

    def ran(self, report: ConnectionReport, seconds: float) -> None:
        """A run ended."""
        who, asked = (report.connection, report.connector), report.asked
        self.runs.add(*who, report.status)
        self.seconds.add(*who, value=seconds)
        deals = report.resources.get("opportunity")
        if deals:
            counts = deals.counts
            for change, number in {
                "read": counts.fetched,
                "new": counts.new,
                "changed": counts.changed,
                "deleted": counts.deleted,
            }.items():
                self.rows.add(*who, change, value=number)
        for status, number in asked.statuses.items():
            self.requests.add(*who, str(status) if status in CODES else f"{status // 100}xx", value=number)
        if lost := asked.requests - sum(asked.statuses.values()):
            self.requests.add(*who, NO_ANSWER, value=lost)
        self.waited.add(*who, value=asked.waited)

    def keep_only(self, connections: Iterable[str]) -> None:
        """Only these connections are there."""
        names = set(connections)
        for tally in (self.runs, self.seconds, self.rows, self.requests, self.waited, self.passed):
            tally.keep_only(names)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """How everything stands at the moment of asking; `stale` are connections, `alerts` results by event and outcome."""

    state: State
    seen: Seen
    workers: int
    stale: frozenset[str]
    silent: frozenset[str]
    alerts: Counter[tuple[str, str]]
    waiting_alerts: int


class Figures(Collector):
    """All figures; `moment` is asked each time and may raise OnepipeError, which leaves out what it would tell."""

    def __init__(self, counted: Counted, moment: Callable[[], Moment]) -> None:
        self._counted, self._moment = counted, moment
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The page in the form that the request's Accept header asks for, and its content type."""
        encoder, kind = choose_encoder(accept)
        return encoder(self.registry), kind

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: names are ours alone in this registry."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family of figures."""
        build = GaugeMetricFamily("onepipe_build_info", "Which onepipe this is", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        with suppress(OnepipeError):
            moment = self._moment()
            together = len(moment.state.lines) > MANY
            yield from _counts(self._counted, moment, together=together)
            yield from _connections(moment, together=together)
            yield from _quotas(moment, together=together)
            yield from _daemon(moment, self._counted)


def _counts(counted: Counted, moment: Moment, *, together: bool) -> Iterator[Metric]:
    for name, text, tally, more in (
        ("onepipe_runs", "Runs that ended, by status", counted.runs, ["status"]),
        ("onepipe_rows", "Opportunities read, and found new, changed or deleted", counted.rows, ["change"]),
        ("onepipe_http_requests", "Requests to CRMs, by the status of the answer", counted.requests, ["code"]),
        ("onepipe_quota_wait_seconds", "Seconds that requests waited for the quota", counted.waited, []),
        ("onepipe_passed_over", "Runs that were due and not made, by reason", counted.passed, ["reason"]),
    ):
        family = CounterMetricFamily(name, text, labels=[*OWN, *more])
        for labels, value in tally.rows(together=together):
            family.add_metric(labels, value)
        yield family
    seconds = SummaryMetricFamily("onepipe_run_seconds", "How long runs took", labels=OWN)
    runs: Counter[tuple[str, str]] = Counter()
    for labels, value in counted.runs.rows(together=together):
        runs[labels[0], labels[1]] += int(value)
    for labels, value in counted.seconds.rows(together=together):
        seconds.add_metric(labels, runs[labels[0], labels[1]], value)
    yield seconds
    alerts = CounterMetricFamily("onepipe_alerts", "Messages to people, by outcome", labels=["event", "outcome"])
    for (event, outcome), number in list(moment.alerts.items()):
        alerts.add_metric([event, outcome], number)
    yield alerts


def _connections(moment: Moment, *, together: bool) -> Iterator[Metric]:
    lines = [line for line in moment.state.lines if line.place != "disabled"]
    success = [(line, line.last_success.timestamp()) for line in lines if line.last_success]
    conflicts = moment.seen.conflicts
    for name, text, values, over in (
        ("last_success_timestamp_seconds", "When a run last ended complete", success, min),
        ("interval_seconds", "Time between two runs", [(line, line.interval) for line in lines], max),
        ("stale", "No success for too long", [(line, line.connection in moment.stale) for line in lines], sum),
        ("silent", "Far less comes than usual", [(line, line.connection in moment.silent) for line in lines], sum),
        ("failures", "Runs in a row that failed", [(line, line.failures) for line in lines], sum),
        ("held", "Held back by the quota's ledger", [(line, line.place == "held") for line in lines], sum),
        (
            "conflicts_open",
            "Conflicts that wait for a person",
            [(line, conflicts.get(line.connection, 0)) for line in lines],
            sum,
        ),
    ):
        yield _gauge(f"onepipe_{name}", text, [(line, (), value) for line, value in values], over, together=together)
    places = GaugeMetricFamily("onepipe_connections", "Connections, by what they do", labels=["connector", "place"])
    counts = Counter((line.connector, line.place) for line in moment.state.lines)
    for connector in sorted({line.connector for line in moment.state.lines}):
        for place in get_args(Place):
            places.add_metric([connector, place], counts[connector, place])
    yield places


def _quotas(moment: Moment, *, together: bool) -> Iterator[Metric]:
    rooms = [
        (line, (str(room.allowed.seconds),), room)
        for line in moment.state.lines
        if (state := moment.seen.quotas.get(line.connection))
        for room in state.quotas
    ]
    left = [(line, window, room.left) for line, window, room in rooms]
    ours = [(line, window, room.ours) for line, window, room in rooms]
    yield _gauge("onepipe_quota_left", "Requests that may leave now", left, min, ["seconds"], together=together)
    yield _gauge("onepipe_quota_ours", "Our part of the quota, in requests", ours, min, ["seconds"], together=together)


def _gauge(
    name: str,
    text: str,
    values: Iterable[tuple[Line, tuple[str, ...], float]],
    over: Callable[[list[float]], float],
    more: Sequence[str] = (),
    *,
    together: bool,
) -> GaugeMetricFamily:
    """A figure of each connection; of each connector, by `over` of its connections', where they are together."""
    family = GaugeMetricFamily(name, text, labels=[*OWN, *more])
    found: dict[tuple[str, ...], list[float]] = {}
    for line, labels, value in values:
        found.setdefault(("" if together else line.connection, line.connector, *labels), []).append(float(value))
    for key, several in found.items():
        family.add_metric(list(key), over(several))
    return family


def _daemon(moment: Moment, counted: Counted) -> Iterator[Metric]:
    state = moment.state
    places = Counter(line.place for line in state.lines)
    behind = (state.generation or 0) - (state.published or 0) if state.generation is not None else None
    single: dict[str, tuple[str, float | None]] = {
        "onepipe_start_timestamp_seconds": ("When the daemon started", state.started_at.timestamp()),
        "onepipe_loop_lag_seconds": ("How late the loop last woke", state.lag),
        "onepipe_workers": ("Connections that may be pulled at once", moment.workers),
        "onepipe_workers_busy": ("Connections that are pulled now", places["running"]),
        "onepipe_queue_length": ("Connections that are due and wait for a worker", places["queued"]),
        "onepipe_draining": ("Whether the daemon is ending", state.draining),
        "onepipe_unpublished_generations": ("Commits that the published warehouse lacks", behind),
        "onepipe_config_refused": ("Whether the newest config.yaml was not taken", state.refused is not None),
        "onepipe_alerts_waiting": ("Messages to people that are still to be delivered", moment.waiting_alerts),
        "onepipe_published_timestamp_seconds": (
            "When the snapshot was made",
            state.published_at.timestamp() if state.published_at else None,
        ),
        "onepipe_config_read_timestamp_seconds": (
            "When the config in force was read",
            state.config_read_at.timestamp() if state.config_read_at else None,
        ),
    }
    for name, (text, value) in single.items():
        if value is not None:
            yield GaugeMetricFamily(name, text, value=float(value))
    yield SummaryMetricFamily(
        "onepipe_publish_seconds",
        "How long publishing took",
        count_value=counted.published,
        sum_value=counted.publishing,
    )

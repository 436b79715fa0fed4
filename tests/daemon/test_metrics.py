"""The figures: a page that Prometheus reads, with few labels, and the same numbers as the run history."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from onepipe.daemon.metrics import MANY, Counted, Figures, Moment
from onepipe.daemon.onlooker import Line
from onepipe.daemon.rooms import Seen
from onepipe.errors import Unavailable
from onepipe.http.quota import Alone, Pace
from onepipe.quotas import Quota
from onepipe.report import Asked, ConnectionReport, Counts, ResourceReport
from onepipe.sandbox import Sandbox
from tests.cli.place import Place, connection, write
from tests.daemon.watched import NOON, Clock, ask, line, state, until

Figure = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Figure:
    """Every figure of a page by name and labels. Fails where the page cannot be parsed, or tells one twice."""
    found: Figure = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def of(page: Figure, name: str, **labels: str) -> float:
    """The sum of a figure over all that have these labels."""
    return sum(v for (found, have), v in page.items() if found == name and labels.items() <= dict(have).items())


def moment(*lines: Line, **changed: Any) -> Moment:
    from collections import Counter

    told: dict[str, Any] = {
        "state": state(*lines, generation=12, published=10, published_at=NOON, config_read_at=NOON),
        "seen": Seen({}, {"c1": 2}),
        "workers": 8,
        "stale": frozenset({"c1"}),
        "silent": frozenset(),
        "alerts": Counter({("failed", "sent"): 1}),
        "waiting_alerts": 0,
    }
    return Moment(**(told | changed))


def page(counted: Counted, at: Moment) -> Figure:
    content, _ = Figures(counted, lambda: at).page("")
    return read(content.decode())


def ran(name: str, connector: str = "capsule", status: str = "complete") -> ConnectionReport:
    """A run that read ten deals with three requests, of which one was never answered."""
    asked = Asked(requests=3)
    asked.statuses.update({200: 1, 599: 1})
    asked.waited = 0.5
    resources = {"opportunity": ResourceReport("opportunity", Counts(fetched=10, new=4, changed=3, deleted=1))}
    return ConnectionReport(name, connector, NOON, status=status, resources=resources, asked=asked)  # type: ignore[arg-type]


def test_every_figure_is_told_by_connection() -> None:
    """What was counted, and how everything stands, where connections are few."""
    counted = Counted()
    counted.ran(ran("c1"), 1.5)
    counted.ran(ran("c1", status="failed"), 0.5)
    counted.passed.add("c1", "capsule", "held")
    told = page(counted, moment(line("c1", failures=2), line("c2", place="running"), line("c3", place="disabled")))
    assert 1 == of(told, "onepipe_runs_total", connection="c1", connector="capsule", status="failed")
    assert (2, 2.0) == (of(told, "onepipe_run_seconds_count"), of(told, "onepipe_run_seconds_sum", connection="c1"))
    assert [20, 8, 6, 2] == [
        of(told, "onepipe_rows_total", connection="c1", change=word) for word in ("read", "new", "changed", "deleted")
    ]
    assert [2, 2, 2] == [of(told, "onepipe_http_requests_total", code=code) for code in ("200", "5xx", "none")]
    assert 1.0 == of(told, "onepipe_quota_wait_seconds_total", connection="c1")
    assert 1 == of(told, "onepipe_passed_over_total", reason="held")
    assert NOON.timestamp() == of(told, "onepipe_last_success_timestamp_seconds", connection="c1")
    assert (1, 0) == (of(told, "onepipe_stale", connection="c1"), of(told, "onepipe_stale", connection="c2"))
    assert (2, 2, 2) == tuple(
        of(told, f"onepipe_{name}") for name in ("conflicts_open", "unpublished_generations", "failures")
    )
    assert (1, 1) == (
        of(told, "onepipe_connections", place="running"),
        of(told, "onepipe_connections", place="disabled"),
    )
    assert (8, 1, 0) == tuple(of(told, f"onepipe_{name}") for name in ("workers", "workers_busy", "queue_length"))
    assert (0, 1) == (of(told, "onepipe_config_refused"), of(told, "onepipe_build_info"))
    assert of(told, "process_resident_memory_bytes") > 0


def test_above_two_hundred_connections_they_are_added_up() -> None:
    """The label is empty then; sums stay what they were, and of the successes the oldest is told."""
    counted = Counted()
    names = [f"c{n}" for n in range(MANY + 1)]
    for name in names:
        counted.ran(ran(name), 1.0)
    few = page(counted, moment(*(line(name) for name in names[:-1])))
    many = page(counted, moment(*(line(name) for name in names)))
    assert {""} == {dict(labels)["connection"] for _, labels in many if "connection" in dict(labels)}
    assert MANY + 1 == of(few, "onepipe_runs_total") == of(many, "onepipe_runs_total")
    assert len(many) < 150 < len(few)
    assert NOON.timestamp() == of(many, "onepipe_last_success_timestamp_seconds")
    assert 1 == of(many, "onepipe_stale")


def test_a_connection_that_is_gone_is_forgotten_and_its_sum_is_not() -> None:
    """A counter of a connector never falls; a connection's own series ends with it."""
    counted = Counted()
    for name in ("c1", "c2"):
        counted.ran(ran(name), 1.0)
    counted.keep_only(["c2"])
    few = page(counted, moment(line("c2")))
    assert (1, 0) == (of(few, "onepipe_runs_total"), of(few, "onepipe_runs_total", connection="c1"))
    many = page(counted, moment(*(line(f"c{n}") for n in range(2, MANY + 3))))
    assert 2 == of(many, "onepipe_runs_total")


def test_waiting_for_the_quota_is_measured_at_the_door() -> None:
    """In seconds, of all requests together; one that need not wait adds nothing."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.now += seconds

    pace = Pace(Alone([Quota(1, 10)], clock), clock, sleep)
    for _ in range(3):
        pace.turn()
    assert 20 == round(pace.waited, 6)


def test_what_cannot_be_known_is_left_out() -> None:
    """A daemon that hangs still has a page, which says which onepipe it is."""

    def hangs() -> Moment:
        raise Unavailable("the loop hangs")

    content, _ = Figures(Counted(), hangs).page("")
    told = read(content.decode())
    assert (1, 0) == (of(told, "onepipe_build_info"), of(told, "onepipe_workers"))


def test_the_form_is_the_one_asked_for() -> None:
    """OpenMetrics where the scraper understands it, else the plain text."""
    figures = Figures(Counted(), lambda: moment(line("c1")))
    content, kind = figures.page("application/openmetrics-text; version=1.0.0")
    assert (True, True) == ("openmetrics" in kind, content.endswith(b"# EOF\n"))
    assert figures.page("text/html")[1].startswith("text/plain")


@contextmanager
def daemon(place: Place) -> Iterator[str]:
    """A daemon in a process of its own, and the address of its port."""
    log = place.folder / "log"
    with log.open("w") as stream:
        process = place.start("daemon", stderr=stream)
        try:
            until(lambda: '"listening"' in log.read_text() or process.poll() is not None)
            lines = [json.loads(one) for one in log.read_text().splitlines() if one.endswith("}")]
            yield next(one["address"] for one in lines if one["event"] == "listening")
            process.send_signal(signal.SIGTERM)
            assert 0 == process.wait(30), log.read_text()
        finally:
            process.kill()
            process.communicate()


@pytest.mark.long
def test_the_figures_are_those_of_the_run_history(tmp_path: Path) -> None:
    """Runs, rows and requests of a real daemon agree with sync_runs, when it has come to rest."""
    with Sandbox(rows=12, seed=7, crms=("capsule", "tactile")) as crms:
        write(
            tmp_path,
            connection(crms, "capsule", schedule="6h"),
            connection(crms, "tactile", schedule="6h", currency="GBP"),
        )
        config = tmp_path / "config.yaml"
        config.write_text("daemon: {listen: '127.0.0.1:0'}\n" + config.read_text())
        place = Place(tmp_path)
        with daemon(place) as address:
            until(lambda: 2 == of(read(ask(address, "/metrics")[1]), "onepipe_runs_total", status="complete"), 60)
            until(lambda: 0 == of(read(ask(address, "/metrics")[1]), "onepipe_unpublished_generations"), 60)
            told = read(ask(address, "/metrics")[1])
            standing = json.loads(ask(address, "/status.json")[1])
            assert 200 == ask(address, "/readyz")[0]
            assert abs(time.time() - of(told, "onepipe_published_timestamp_seconds")) < 120
    query = (
        "SELECT connection, count(DISTINCT run_id) AS runs, sum(requests)::BIGINT AS requests, "
        "sum(fetched) FILTER (resource = 'opportunity')::BIGINT AS read, "
        "sum(new) FILTER (resource = 'opportunity')::BIGINT AS new FROM sync_runs GROUP BY ALL ORDER BY ALL"
    )
    history = place.run("sql", query, "--json").json
    assert ["capsule", "tactile"] == [one["connection"] for one in history]
    for one in history:
        who = {"connection": one["connection"], "connector": one["connection"]}
        assert one["runs"] == of(told, "onepipe_runs_total", **who)
        assert one["requests"] == of(told, "onepipe_http_requests_total", **who)
        assert one["read"] == of(told, "onepipe_rows_total", **who, change="read") > 0
        assert one["new"] == of(told, "onepipe_rows_total", **who, change="new") > 0
    assert ["complete"] * 2 == [one["last_status"] for one in standing["connections"]]
    assert (
        0 < of(told, "onepipe_quota_left", connection="capsule") <= of(told, "onepipe_quota_ours", connection="capsule")
    )


def test_a_port_in_use_ends_the_daemon_before_it_starts(tmp_path: Path) -> None:
    """Exit code 2 and the address; nothing was asked of a CRM."""
    import socket

    with Sandbox(rows=1, seed=7, crms=("capsule",)) as crms, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write(tmp_path, connection(crms, "capsule"))
        config = tmp_path / "config.yaml"
        config.write_text(f"daemon: {{listen: '127.0.0.1:{port}'}}\n" + config.read_text())
        process = Place(tmp_path).start("daemon")
        _, err = process.communicate(timeout=30)
        assert (2, True) == (process.returncode, f"127.0.0.1:{port}, which cannot be used" in err)
        assert [] == list(crms["capsule"].log)


@pytest.mark.parametrize("accounts", [50, 2000])
def test_a_page_of_a_fleet_is_small(accounts: int) -> None:
    """Labels are bounded, whatever the number of accounts."""
    counted = Counted()
    names = [f"account-{n}" for n in range(accounts)]
    for name in names:
        counted.ran(ran(name), 1.0)
    content, _ = Figures(counted, lambda: moment(*(line(name) for name in names))).page("")
    assert len(content) < 200_000

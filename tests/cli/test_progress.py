"""Progress in plain lines: at most one in ten seconds, and what a first load costs."""

import io
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from onepipe.cli.progress import Lines, expectation, watching
from onepipe.report import ConnectionReport


@dataclass
class Clock:
    """Seconds that pass when told."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_ten_seconds_make_a_line() -> None:
    """A log of an hour's load has some hundred lines, not one for each page."""
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    for page in range(1, 31):
        clock.now = page
        lines.page("acme", "opportunity", page * 100, 5_000, page)
    told = out.getvalue().splitlines()
    assert 3 == len(told)
    assert "acme: 1,000 of 5,000 opportunities, 10 requests, 100 rows/s, about 40 s left" == told[0]


def test_many_connections_share_a_line() -> None:
    """Fifty connections at once do not make fifty lines."""
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    for number in range(50):
        lines.page(f"c{number}", "opportunity", number, None, 1)
    clock.now = 10
    lines.page("c0", "opportunity", 1, None, 1)
    (told,) = out.getvalue().splitlines()
    assert told.startswith("c49: 49 opportunities, 1 request")
    assert told.endswith("47 more at work")


def test_rows_read_before_an_interruption_do_not_count_as_speed() -> None:
    """A load that goes on at row 40,000 did not read them in a second."""
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    lines.page("acme", "opportunity", 40_000, 50_000, 1)
    clock.now = 10
    lines.page("acme", "opportunity", 41_000, 50_000, 11)
    assert "100 rows/s, about 2 min left" in out.getvalue()


def test_notices_come_at_once() -> None:
    """What a person should know does not wait for ten seconds; what concerns no connection has no name before it."""
    out = io.StringIO()
    lines = Lines(out, Clock())
    lines.say("acme", "the filter is not believed any more")
    lines.say("", "the work file was restored")
    assert "acme: the filter is not believed any more\nthe work file was restored\n" == out.getvalue()


def test_connections_that_are_done_are_counted() -> None:
    """How many are left says more than who is fast."""
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, clock)
    lines.page("acme", "opportunity", 5, 5, 1)
    lines.ended(ConnectionReport("acme", "capsule", datetime.now(UTC)))
    clock.now = 11
    lines.page("beta", "opportunity", 5, None, 1)
    assert out.getvalue().endswith("; 1 connection done\n")


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        ((None, None, None), "first load: everything is read once; this CRM does not tell how much there is"),
        ((1, 1, None), "first load: 1 opportunity to read (about 1 request)"),
        ((5_000, 50, 130.0), "first load: 5,000 opportunities to read (about 50 requests, about 2 min)"),
    ],
)
def test_a_first_load_says_what_it_expects_to_cost(
    cost: tuple[int | None, int | None, float | None], words: str
) -> None:
    """Rows, requests and time as far as they are known; nothing is made up."""
    assert words == expectation(*cost)


def test_no_bars_where_nobody_looks_on() -> None:
    """In a pipe or a log there are plain lines."""
    with watching() as watch:
        assert isinstance(watch, Lines)

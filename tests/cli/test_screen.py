"""What is drawn: tables that fit, numbers and times in words."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from onepipe.cli import exits, screen


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A terminal of 40 columns, without colours."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    yield monkeypatch


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    """Numbers stand flush right, NULL is told apart from an empty text."""
    lines = list(screen.table(["deal", "amount"], [["Big one", "1,200"], [None, "7"]], right=[1], null="NULL"))
    assert ["deal     amount", "───────  ──────", "Big one   1,200", "NULL          7"] == lines


def test_a_letter_of_two_columns_counts_twice() -> None:
    """Chinese company names must not push the columns after them out of line."""
    lines = list(screen.table(["company", "n"], [["世界貿易", "1"], ["Acme", "2"]]))
    assert ["世界貿易  1", "Acme      2"] == lines[2:]


def test_nothing_from_a_crm_can_steer_the_terminal() -> None:
    """A deal called ESC]0;owned BEL is shown, not obeyed; a line break does not break the table."""
    assert "  ]0;owned  x" == screen.plain("\x1b ]0;owned\a\nx").replace("\x1b", " ")
    assert screen.plain("\x1b[31mred\nline").isprintable()


def test_on_a_narrow_terminal_the_widest_column_is_cut(terminal: pytest.MonkeyPatch) -> None:
    """A cut cell ends in an ellipsis, and the table fits."""
    lines = list(screen.table(["id", "name"], [["1", "x" * 60]]))
    assert [40, 40] == [len(line) for line in lines[1:]]
    assert lines[2].endswith("x…")


def test_on_a_terminal_too_narrow_for_all_columns_a_row_is_shown_one_field_a_line(
    terminal: pytest.MonkeyPatch,
) -> None:
    """`SELECT *` from 45 columns stays readable."""
    names = [f"column_{n}" for n in range(9)]
    lines = list(screen.table(names, [[f"value {n}" for n in range(9)]]))
    assert "── 1 ──" == lines[0]
    assert ["column_0  value 0", "column_1  value 1"] == lines[1:3]


def test_no_escape_codes_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a pipe, nor with NO_COLOR, nor on a dumb terminal."""
    assert "x" == screen.strong("x")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1mx\x1b[0m" == screen.strong("x")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "x" == screen.strong("x")
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "x" == screen.strong("x")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (-3, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "60 min"), (7_300, "2 h"), (200_000, "2 days")],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds: float, words: str) -> None:
    """4 min says more at a glance than 247.3 s."""
    assert words == screen.duration(seconds)


def test_an_instant_is_told_with_its_age() -> None:
    """People ask how old the data is, before when it is from."""
    now = datetime(2026, 1, 15, 11, 59, tzinfo=UTC)
    assert "2026-01-15 11:55 (4 min ago)" == screen.when("2026-01-15T11:55:00Z", now=lambda: now)
    assert "" == screen.when(None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("the list moved", "The list moved."),
        ("config.yaml is empty", "config.yaml is empty."),
        ("`onepipe sync` first", "`onepipe sync` first."),
        ("Really?", "Really?"),
    ],
)
def test_messages_become_sentences(given: str, told: str) -> None:
    """A capital unless it begins with a name, and a full stop."""
    assert told == exits.sentence(given)

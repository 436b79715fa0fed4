"""Stamps, ids, money and the odd values between them, through the wire into the warehouse. Behaviours 7, 8 and 27."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.behaviours.conftest import Make
from tests.behaviours.desk import AMOUNT, OF_DEALS, rows_of

SUMMER = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HUGE = 9_007_199_254_740_993  # the first whole number that a double cannot hold


@pytest.mark.parametrize("era", ["doc", "head"])
def test_07_london_stamps_with_and_without_a_colon_are_instants(desk: Make, era: str) -> None:
    """7. Given +01:00 or +0100 in summer, then stamps are the instants they are, and the filter is believed on."""
    made = desk("tactile", rows=0, era=era)
    made.now = SUMMER
    first, *_ = made.fill(3)
    made.rename(first, "in summer")
    made.sync()
    updated = "SELECT strftime(updated_at, '%Y-%m-%dT%H:%M:%S') FROM opportunities WHERE name = 'in summer'"
    assert [("2026-07-01T12:00:00",)] == made.work(updated)
    made.later(minutes=71)
    made.sync()
    made.later(minutes=1)
    report = made.sync()
    assert ("complete", 0) == (report.status, made.line(report)["fetched"])
    assert [] == made.work("SELECT fact FROM store.distrust WHERE fact = 'filter'")


@pytest.mark.parametrize("form", ["2026-07-01T12:00:00Z", "2026-07-01T07:00:00-05:00", "2026-07-01T12: 00: 00Z"])
def test_07_one_instant_in_any_form(desk: Make, form: str) -> None:
    """7. Given Z, another offset, or Overplane's blanks after colons, then the instant is the same."""
    made = desk("overplane", rows=2)
    made.rewrite(lambda body: rows_of(body, lambda rows: [{**row, "updated_at": form} for row in rows]))
    assert "complete" == made.sync().status
    stamps = "SELECT DISTINCT strftime(updated_at, '%Y-%m-%dT%H:%M:%SZ') FROM opportunities"
    assert [("2026-07-01T12:00:00Z",)] == made.work(stamps)


def test_07_a_stamp_without_a_zone_is_no_instant(desk: Make) -> None:
    """7. Given a stamp without a zone, then no zone is invented: the value is a problem, and the filter stays."""
    made = desk("administrate", rows=2)
    naive = "2026-07-01T12:00:00"
    made.rewrite(lambda body: rows_of(body, lambda rows: [{**row, "updated_at": naive} for row in rows]))
    made.sync()
    made.sync()
    assert [(None,)] == made.work("SELECT DISTINCT updated_at::VARCHAR FROM opportunities")
    assert [("updated_at", naive)] == made.work("SELECT DISTINCT field, value FROM problems")
    assert [] == made.work("SELECT fact FROM store.distrust WHERE fact = 'filter'")


@pytest.mark.parametrize("crm", ["administrate", "overplane"])
def test_08_rows_without_a_stamp_are_stored_and_counted(desk: Make, crm: str) -> None:
    """8. Given records without a time of change, then they are stored like others, and counted as undated."""
    made = desk(crm, rows=5)
    made.rewrite(lambda body: rows_of(body, lambda rows: [rows[0] | {made.stamp: None}, *rows[1:]]))
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    assert [(1,)] == made.work(f"SELECT undated_rows FROM coverage {OF_DEALS}")


def test_administrates_age_grows_without_a_change(desk: Make) -> None:
    """Given a field that grows every day by itself, then no version is made of it."""
    made = desk("administrate")
    made.sync()
    made.later(days=3)
    report = made.sync(sweep=True)
    assert ("complete", 0, 12) == (report.status, *(made.line(report)[name] for name in ("changed", "unchanged")))


ODD: dict[str, tuple[bytes, str | None, str]] = {
    "NaN": (b"NaN", None, "NaN"),
    "Infinity": (b"-Infinity", None, "-Infinity"),
    "1e400": (b"1e400", None, "1e400"),
    "too long": (b"123456789012345678901234567890", None, "123456789012345678901234567890"),
    "a double would round it": (b"98765432109876.5433", "98765432109876.5433", ""),
    "a text": (b'"12.5"', "12.5", ""),
}


@pytest.mark.parametrize("crm", ["administrate", "overplane"])
def test_27_a_value_is_exact_or_a_problem(desk: Make, crm: str) -> None:
    """27. Given NaN, 1e400 or more digits than a double holds, then the value is exact or named; its row loads."""
    made = desk(crm, rows=len(ODD))
    ids = sorted(map(str, made.crm.records))
    wanted = dict(zip(ids, ODD.values(), strict=True))

    def put(row: dict[str, Any]) -> dict[str, Any]:
        return row | {AMOUNT.get(crm, "value"): f"@{row['id']}@"}

    def edit(body: bytes) -> bytes:
        body = rows_of(body, lambda rows: [put(row) for row in rows])
        for key, (value, _, _) in wanted.items():
            body = body.replace(b'"@%s@"' % key.encode(), value)
        return body

    made.rewrite(edit)
    report = made.sync()
    assert "complete" == report.status
    held = dict(made.work("SELECT source_id, amount::VARCHAR FROM opportunities"))
    exact = {key: Decimal(amount) for key, amount in held.items() if amount is not None}
    assert {key: Decimal(amount) for key, (_, amount, _) in wanted.items() if amount} == exact
    problems = dict(made.work("SELECT source_id, value FROM problems WHERE field = 'amount'"))
    assert {key: value for key, (_, _, value) in wanted.items() if value} == problems
    assert len(problems) == made.line(report)["problems"]


def test_27_xml_money_is_exact_or_a_problem(desk: Make) -> None:
    """27. Given Capsule's decimal text, then every digit arrives, and what is no number is named; its row loads."""
    made = desk("capsule", rows=2)
    exact, odd = made.crm.records
    made.crm.update(exact, value=Decimal("98765432109876.5433"))
    made.crm.update(odd, value=Decimal("1e400"))
    made.sync()
    assert [("98765432109876.5433",), (None,)] == made.work("SELECT amount::VARCHAR FROM opportunities ORDER BY name")
    assert [("amount",)] == made.work("SELECT field FROM problems")


def test_27_long_ids_keep_every_digit(desk: Make) -> None:
    """27. Given ids beyond what a double holds, then neither paging by key nor the warehouse rounds them."""
    made = desk("administrate", rows=0, cap=2)
    for number in range(5):
        row_id = made.insert(f"Deal {number}")
        row = made.crm.rows.pop(row_id)
        made.crm.rows[HUGE + number] = row | {"id": HUGE + number}
        made.crm.touched()
    assert "complete" == made.sync().status
    assert {str(HUGE + number) for number in range(5)} == set(made.held())
    made.crm.delete(HUGE + 3)
    made.later(minutes=5)
    made.sync()
    assert {str(HUGE + number) for number in range(5) if number != 3} == set(made.held())


@pytest.mark.parametrize("crm", ["administrate", "overplane"])
def test_27_a_key_that_stands_twice_reads_as_its_last(desk: Make, crm: str) -> None:
    """27. Given one key twice in a record, then the last value is read, and the payload is kept as it was sent."""
    made = desk(crm, rows=2)
    title = b'"%s":' % made.title.encode()
    made.rewrite(lambda body: body.replace(title, title + b'"first",' + title))
    assert "complete" == made.sync().status
    assert made.truth() == made.held()
    payloads = made.work("SELECT payload::VARCHAR FROM raw.records WHERE resource = 'opportunity'")
    assert all(f'"{made.title}":"first","{made.title}":"' in payload for (payload,) in payloads)


@pytest.mark.parametrize("crm", ["capsule", "overplane"])
def test_27_packing_and_marks_make_no_difference(desk: Make, crm: str) -> None:
    """27. Given gzip, a byte order mark, or UTF-8 said to be Latin-1, then texts are what the CRM holds."""
    made = desk(crm, rows=0)
    for kind in ("gzip", "bom", "latin1"):
        made.insert(f"Zoë \u4e16\u754c {kind}")
        fault = made.spoil(kind, count=None)
        assert "complete" == made.sync().status
        made.crm.faults.remove(fault)
        assert made.truth() == made.held()

"""rates.csv: what is read, every fault with its line, days without a rate, and what the warehouse makes of it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import onepipe.beside.rates as rates
import onepipe.warehouse.rates as worth
from onepipe.sandbox import Sandbox
from onepipe.warehouse.database import Engine
from onepipe.warehouse.layout import create, dress
from tests.cli.place import Place, connection, write

HEAD = "date,currency,rate\n"
JANUARY = date(2026, 1, 1)


def said(folder: Path, text: str | bytes) -> Path:
    """A rates.csv with this text."""
    path = folder / "rates.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def faults(folder: Path, text: str | bytes) -> list[str]:
    """What is wrong with it, without its folder."""
    _, found = rates.read(said(folder, text), "GBP")
    return [str(fault).removeprefix(f"{folder}/") for fault in found]


def gaps(folder: Path, text: str, today: date) -> list[str]:
    """Which days have no rate."""
    lines, wrong = rates.read(said(folder, HEAD + text), "GBP")
    assert [] == wrong
    return list(rates.gaps(lines, today))


@pytest.mark.parametrize(
    "text",
    [
        b"date,currency,rate\n2026-01-31,EUR,0.8512\n",
        b"\xef\xbb\xbfDate;Currency;Rate\r\n2026-01-31;eur;0,8512\r\n;;\r\n",
        b"rate\tdate\tcurrency\n0.851200000\t2026-01-31\tEUR\n",
    ],
    ids=["plain", "excel", "tabs"],
)
def test_a_line_is_a_day_a_currency_and_a_rate(tmp_path: Path, text: bytes) -> None:
    """As people and spreadsheets write them; the rate is exact."""
    lines, wrong = rates.read(said(tmp_path, text), "GBP")
    assert ([], [(date(2026, 1, 31), "EUR", Decimal("0.8512"))]) == (wrong, [one.row for one in lines])


def test_the_reporting_currency_may_stand_there_as_one(tmp_path: Path) -> None:
    """A table made for all currencies is fine; another worth of the reporting currency is not."""
    assert [] == faults(tmp_path, HEAD + "2026-01-31,GBP,1\n")
    wrong = "rates.csv:2: rate: GBP is the reporting currency: it is worth 1 on every day"
    assert [wrong] == faults(tmp_path, HEAD + "2026-01-31,gbp,1.1\n")


def test_all_faults_are_told_with_their_lines(tmp_path: Path) -> None:
    """What cannot be read, what no rate can be, and what stands there twice."""
    lines = [
        *(
            "31.01.2026,EUR,0.85",
            "2026-02-30,EUR,0.85",
            "2026-01-31,EU,0.85",
            "2026-01-31,EUR,",
            "2026-01-31,EUR,about 1",
        ),
        *("2026-01-31,EUR,0", "2026-01-31,EUR,-0.85", "2026-01-31,EUR,0.1234567891", "2026-01-31,EUR,1234567890"),
        *("2026-01-31,EUR,0.85", "2026-01-31,eur,0.86", "20260131,£,0", "2026-01-31,USD"),
    ]
    assert {
        2: "date: '31.01.2026' is no day, such as 2026-01-31",
        3: "date: '2026-02-30' is no day, such as 2026-01-31",
        4: "currency: 'EU' is no currency of three letters, such as EUR",
        5: "rate: '' is no number, such as 0.8512",
        6: "rate: 'about 1' is no number, such as 0.8512",
        7: "rate: '0' is not more than zero",
        8: "rate: '-0.85' is not more than zero",
        9: "rate: '0.1234567891' has more than 9 digits before or 9 behind the point; round it",
        10: "rate: '1234567890' has more than 9 digits before or 9 behind the point; round it",
        12: "date: line 11 has a rate of EUR for that day; keep one of them",
        13: "rate: '0' is not more than zero",
        14: "(line): it has 2 cells, and there are 3 columns",
    } == {
        int(place.split(":")[1]): place.split(": ", 1)[1] for place in faults(tmp_path, HEAD + "\n".join(lines) + "\n")
    }
    assert 14 == len(faults(tmp_path, HEAD + "\n".join(lines) + "\n"))  # line 13 is wrong in all three of its cells


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "rates.csv:1: (headings): the column 'date' is missing"),
        ("date,rate\n", "rates.csv:1: (headings): the column 'currency' is missing"),
        ("date,currency,rates\n", "rates.csv:1: (headings): the column 'rate' is missing"),
        (b"date,currency,rate\n2026-01-31,\xa3,1\n", "rates.csv:1: (file): it cannot be read: it is not in UTF-8"),
    ],
)
def test_what_is_no_table_of_rates_is_told(tmp_path: Path, text: str | bytes, wrong: str) -> None:
    """Without its three columns nothing is read."""
    assert any(fault.startswith(wrong) for fault in faults(tmp_path, text))


def test_days_without_a_rate_are_named_with_their_lines(tmp_path: Path) -> None:
    """A rate holds 31 days: a month is no gap, one day more is; after the last line too."""
    dense = "2026-01-01,EUR,0.85\n2026-02-01,EUR,0.86\n"
    assert [] == gaps(tmp_path, dense, date(2026, 3, 3))
    assert [
        "EUR has no rate since 2026-03-04 (line 3 is the last one); amounts of those days are not converted"
    ] == gaps(tmp_path, dense, date(2026, 3, 4))
    sparse = "2026-03-01,USD,0.75\n2026-01-01,USD,0.74\n2026-01-01,EUR,0.85\n2026-02-02,EUR,0.86\n2026-03-01,EUR,0.8\n"
    assert [
        "EUR has no rate from 2026-02-01 to 2026-02-01 (lines 4 and 5); amounts of those days are not converted",
        "USD has no rate from 2026-02-01 to 2026-02-28 (lines 3 and 2); amounts of those days are not converted",
    ] == sorted(gaps(tmp_path, sparse, date(2026, 3, 31)))


def test_many_gaps_are_counted(tmp_path: Path) -> None:
    """A table by quarters tells the first ones, and how many more."""
    (told,) = gaps(tmp_path, "".join(f"20{year}-01-01,EUR,0.85\n" for year in range(10, 30)), date(2029, 1, 20))
    assert ("lines 6 and 7), and 14 more;" in told, "line 8" in told) == (True, False)


def test_each_day_has_the_rate_of_its_line_for_31_days(tmp_path: Path) -> None:
    """Until the next line of that currency; the reporting currency is worth 1, and nothing else is worth anything."""
    lines = [
        (JANUARY, "EUR", Decimal("0.850000001")),
        (JANUARY + timedelta(10), "EUR", Decimal("0.9")),
        (JANUARY + timedelta(5), "USD", Decimal("123456789.123456789")),
    ]
    with Engine().writing(tmp_path / "work.duckdb") as db:
        create(db, "test")
        dress(db)
        worth.keep(db, "GBP", iter(lines), "one")
        days = db.run(
            "SELECT currency, min(day), max(day), count(*), rate FROM store.day_rates GROUP BY ALL ORDER BY ALL"
        )
        assert [
            ("EUR", JANUARY, JANUARY + timedelta(9), 10, Decimal("0.850000001")),
            ("EUR", JANUARY + timedelta(10), JANUARY + timedelta(40), 31, Decimal("0.9")),
            ("USD", JANUARY + timedelta(5), JANUARY + timedelta(35), 31, Decimal("123456789.123456789")),
        ] == days
        on = "SELECT * FROM " + worth.of("DATE '2026-02-10'") + " ORDER BY ALL"
        assert [("EUR", Decimal("0.9")), ("GBP", Decimal(1))] == db.run(on)
        worth.keep(db, "GBP", iter(lines[:1]), "one")
        assert 72 == db.one("SELECT count(*) FROM store.day_rates")  # the same mark: nothing is read
        worth.keep(db, "GBP", iter(lines[:1]), "two")
        assert 31 == db.one("SELECT count(*) FROM store.day_rates")
        worth.keep(db, None, iter(()), "")
        assert [(None,)] == db.run("SELECT currency FROM " + worth.of("DATE '2026-01-02'"))


REPORTED = (
    "SELECT currency, reporting_currency, sum(amount) AS amount, sum(reporting_amount) AS reported, "
    "sum(deals_without_rate) AS without FROM pipeline_by_stage WHERE amount IS NOT NULL GROUP BY ALL ORDER BY ALL"
)


def test_a_file_of_rates_is_in_the_figures_from_the_next_run_on(tmp_path: Path) -> None:
    """Amounts are in the reporting currency; a changed file counts at the next sync, and a wrong one asks no CRM."""
    with Sandbox(rows=12, seed=7, crms=("capsule",)) as crms:
        write(tmp_path, connection(crms, "capsule", settings={"details": False}))
        place = Place(tmp_path)
        with place.config.open("a") as config:
            config.write("reporting: {currency: XAU, rates: monthly.csv}\n")
        missing = place.run("sync")
        assert (2, True) == (missing.code, "monthly.csv:1: (file): it cannot be read: No such file" in missing.err)
        today = datetime.now(UTC).date()
        (tmp_path / "monthly.csv").write_text(
            f"{HEAD}{today - timedelta(20)},GBP,0.5\n{today - timedelta(90)},GBP,0.4\n"
        )
        told = place.run("sync")
        assert (0, True) == (told.code, "monthly.csv: GBP has no rate from " in told.err), told.err
        (line,) = [one for one in place.run("sql", REPORTED, "--json").json if one["currency"] == "GBP"]
        assert ("XAU", Decimal(line["amount"]) / 2, 0) == (
            line["reporting_currency"],
            Decimal(line["reported"]),
            int(line["without"]),
        )
        asked = len(crms["capsule"].log)
        (tmp_path / "monthly.csv").write_text(f"{HEAD}{today},GBP,0\n{today},EU,0.5\n")
        wrong = place.run("sync")
        for fault in ("2: rate: '0' is not more than zero", "3: currency: 'EU' is no currency of three letters"):
            assert (2, True) == (wrong.code, f"monthly.csv:{fault}" in wrong.err)
        assert asked == len(crms["capsule"].log)
        (tmp_path / "monthly.csv").write_text(f"{HEAD}{today - timedelta(40)},GBP,0.5\n")
        assert 0 == place.run("sync").code
        (line,) = [one for one in place.run("sql", REPORTED, "--json").json if one["currency"] == "GBP"]
        assert (None, True) == (line["reported"], int(line["without"]) > 0)

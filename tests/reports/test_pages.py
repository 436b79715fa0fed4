"""The pages: they stand alone, everything in them is labelled, and nothing that a CRM sends becomes markup."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

import onepipe.reports.drawing as drawing
import onepipe.reports.forecast as forecast
import onepipe.reports.health as health
import onepipe.reports.pipeline as pipeline
import onepipe.reports.velocity as velocity
from onepipe.reports.frame import BARS, Frame
from onepipe.reports.numbers import money, signed
from onepipe.reports.page import as_html
from onepipe.reports.words import Bar, Picture, Report
from tests.reports.published import deal, opened, small
from tests.warehouse.world import invent, stored

HOSTILE = '</td><script>alert(1)</script><img src="https://x/y.png" onerror="alert(1)"> & `code`'
REPORTS: list[Callable[[Frame], Report]] = [pipeline.report, forecast.report, velocity.report, health.report]
Page = html.HtmlElement


def read(text: str) -> Page:
    return html.document_fromstring(text)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    """Every report of one random history, in which names, stages and connections are hostile."""
    world = invent(5, "Europe/London", date(2025, 9, 1), count=80)
    for versions in world.deals.values():
        for one in versions:
            one["name"] = HOSTILE
            one["stage"] = one["stage"] and f"{one['stage']} {HOSTILE}"
    with stored(world, tmp_path_factory.mktemp("pages")) as db:
        db.run("UPDATE stages SET stage = stage || ?", [f" {HOSTILE}"])
        db.run(
            "INSERT INTO problems SELECT connection, source_id, 'amount', ?, ?, 'r1', 'h' FROM store.current",
            [HOSTILE, HOSTILE],
        )
        db.run("UPDATE store.current SET payload_hash = 'h'")
        db.run(
            "INSERT INTO conflicts (conflict_id, connection, source_id, ours, theirs, state, opened_at) "
            "VALUES ('1', 'acme', '1', $it, $it, 'open', now())",
            {"it": HOSTILE},
        )
        frame = opened(db)
        return [read(as_html(make(frame))) for make in REPORTS]


def test_nothing_is_fetched_and_nothing_runs(pages: list[Page]) -> None:
    """No script, no font, no picture, no style from elsewhere; and a policy that would stop them."""
    for page in pages:
        assert [] == page.xpath("//script|//link|//img|//iframe|//object|//form|//base|//image|//use|//foreignObject")
        assert [] == page.xpath("//@src|//@href|//@*[starts-with(name(), 'on')]|//@style")
        assert "url(" not in page.xpath("string(//style)") and "@import" not in page.xpath("string(//style)")
        (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
        assert "default-src 'none'; style-src 'unsafe-inline'" == policy


def test_what_a_crm_sends_is_text(pages: list[Page]) -> None:
    """A name with markup in it is shown as it is."""
    for page in pages:
        assert HOSTILE.replace("`", "") in page.text_content().replace("`", "")


def test_every_picture_says_what_it_shows(pages: list[Page]) -> None:
    """A title, the unit of its axis, marks on it, and beside each bar its label and what it is worth."""
    for page in pages:
        assert page.xpath("//figure")
        for figure in page.xpath("//figure"):
            assert figure.xpath("string(figcaption)").strip() and figure.xpath("string(figcaption/span)").strip("() ")
            (axis,) = figure.xpath(".//*[local-name()='svg'][@class='axis']")
            assert len(axis.xpath("./*[local-name()='text']")) >= 3
            bars = figure.xpath(".//*[local-name()='svg'][@class='bar']")
            assert bars and len(bars) == len(figure.xpath(".//div[@class='label'][normalize-space()]"))
        for svg in page.xpath("//*[local-name()='svg']"):
            assert svg.xpath("string(./*[local-name()='title'])").strip(), "an svg without a title"
            assert svg.xpath("string(./*[local-name()='text'])").strip(), "an svg without a word"


def test_no_bar_leaves_its_axis(pages: list[Page]) -> None:
    """Every rectangle lies between 0 and 100 per cent of the width, and so does every mark."""
    for page in pages:
        for rect in page.xpath("//*[local-name()='rect']"):
            left, width = (float(rect.get(name).strip("%")) for name in ("x", "width"))
            assert 0 <= left and 0 <= width and left + width <= 100.01
        for line in page.xpath("//*[local-name()='line']"):
            assert 0 <= float(line.get("x1").strip("%")) <= 100


def test_words_beside_a_bar_never_run_out_of_the_page(pages: list[Page]) -> None:
    """They are in lines that fit on a telephone, one below the other, above the bar."""
    for svg in (one for page in pages for one in page.xpath("//*[local-name()='svg'][@class='bar']")):
        lines = svg.xpath("./*[local-name()='text']")
        assert all(len(line.text) <= 48 for line in lines)
        places = [int(line.get("y")) for line in lines]
        assert places == sorted(set(places)) and places[-1] < int(svg.xpath("./*[local-name()='rect']")[0].get("y"))


def test_every_cell_knows_its_heading(pages: list[Page]) -> None:
    """On a narrow screen rows are shown one field a line, each with what stands above its column."""
    for page in pages:
        for table in page.xpath("//table"):
            headings = [cell.text_content() for cell in table.xpath(".//th")]
            for row in table.xpath(".//tr[td][not(@class)]"):
                assert headings == [cell.get("data-title") for cell in row.xpath("td")]


amounts = st.decimals(min_value=-(10**14), max_value=10**14, places=4)


@given(st.lists(amounts, min_size=1, max_size=6))
def test_an_axis_is_round_and_holds_every_bar(values: list[Decimal]) -> None:
    """Few marks at even distances, zero among them; nothing lies outside."""
    axis = drawing.scale(Picture("", "", "money", [Bar("", "", value) for value in values]))
    assert all(0 <= axis.at(value) <= 100 for value in [*values, Decimal(0)])
    assert 2 <= len(axis.ticks) <= 7 and Decimal(0) in axis.ticks
    assert 1 == len({after - before for before, after in zip(axis.ticks, axis.ticks[1:], strict=False)})


def test_an_axis_of_counts_has_whole_marks() -> None:
    """No picture tells of half a deal."""
    axis = drawing.scale(Picture("", "", "count", [Bar("", "", Decimal(1)), Bar("", "", Decimal(2))]))
    assert all(value == int(value) for value in axis.ticks)


def test_money_is_told_to_the_cent() -> None:
    """Thousands are apart, halves are rounded up; what is smaller than a cent has four decimals, and is not nothing."""
    told = {"0": "0.00", "1234567.5": "1,234,567.50", "0.1234": "0.12", "-1000": "-1,000.00", "12.3450": "12.35"}
    told |= {"0.0040": "0.0040", "-0.0040": "-0.0040", "-2.0050": "-2.01", "0.0100": "0.01", "-0.00001": "0.00"}
    assert told == {text: money(Decimal(text)) for text in told}
    assert ["+1.00", "-1.00", "0.00"] == [signed(Decimal(n)) for n in (1, -1, 0)]


def test_three_hundred_stages_fit(tmp_path: Path) -> None:
    """The picture shows the largest and says so; the table has them all."""
    world = small()
    for n in range(300):
        deal(world, str(n), stage_id=f"x{n}", stage=f"Stage {n}", amount=n + 1)
    with stored(world, tmp_path) as db:
        page = read(as_html(pipeline.report(opened(db))))
    figure = page.xpath("//figure")[0]
    assert BARS == len(figure.xpath(".//*[local-name()='svg'][@class='bar']"))
    assert f"The {BARS} largest of 300 stages" in figure.text_content()
    assert 300 == sum("Stage " in cell.text_content() for cell in page.xpath("//table//td[@data-title='stage']"))


def test_an_empty_warehouse_makes_pages_that_say_so(tmp_path: Path) -> None:
    """No picture without a bar, and no sum that is not there."""
    with stored(small(), tmp_path) as db:
        db.run("DELETE FROM connections")
        pages = [read(as_html(make(opened(db)))) for make in REPORTS]
    for page in pages:
        assert [] == page.xpath("//figure")
        assert "There is no connection yet." in page.text_content()
    assert "No deal is in the pipeline." in pages[0].text_content()

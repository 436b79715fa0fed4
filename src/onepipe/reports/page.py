"""A report as one file for a browser: nothing is fetched when it is opened, and no script is in it."""

import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

import onepipe.reports.drawing as drawing
from onepipe.reports.numbers import shown
from onepipe.reports.words import Report, Table


def as_html(report: Report) -> str:
    """The whole page. Every text of a CRM is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        shown=shown, scale=drawing.scale, bar=drawing.bar, ticks=drawing.ticks, grouped=grouped, coded=coded
    )
    return made.get_template("page.html").render(report=report)


def coded(text: str) -> Markup:
    """A paragraph, in which what stands between ` and ` is something to type."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def grouped(table: Table) -> list[tuple[str, list[list[object]]]]:
    """The rows of a table below the headings that its leading columns make; one without a heading if there are none."""
    found: list[tuple[str, list[list[object]]]] = []
    for row in table.rows:
        head = " / ".join(str(cell) for cell in row[: table.group] if cell is not None)
        if not found or found[-1][0] != head:
            found.append((head, []))
        found[-1][1].append(list(row[table.group :]))
    return found

"""Pictures as SVG that stands in a page: bars over one axis, each with what it is worth in words.

Every length along the axis is a share of the width, and text is never scaled: a picture is as readable on a telephone
as on a wall. Labels of lines are the page's own text, which wraps.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from markupsafe import Markup

from onepipe.reports.words import Bar, Kind, Picture

_STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
_TICKS = 4  # parts of an axis, at the most
_TOP, _THICK, _BELOW, _LINE = 19, 12, 17, 15  # where a bar begins, what it and the rest below take, a line of text
_LETTERS = 48  # of a line of text: what the narrowest screens have room for
_UNITS = ((Decimal(10) ** 12, "tn"), (Decimal(10) ** 9, "bn"), (Decimal(10) ** 6, "m"), (Decimal(10) ** 3, "k"))


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, with a mark at each of `ticks`."""

    low: Decimal
    high: Decimal
    ticks: tuple[Decimal, ...]

    def at(self, value: Decimal) -> Decimal:
        """Where a value is, in per cent of the width."""
        return (value - self.low) * 100 / (self.high - self.low)


def scale(picture: Picture) -> Scale:
    """An axis on which all bars of a picture have their place; it always shows zero."""
    values = [Decimal(0), *(value for bar in picture.bars for value in (bar.start, bar.end, bar.behind or bar.end))]
    if picture.kind == "share":
        return Scale(Decimal(0), Decimal(1), tuple(Decimal(n) / 4 for n in range(5)))
    low, high = min(values), max(values)
    step = _step((high - low) or Decimal(1), whole=picture.kind == "count")
    first = int((low / step).to_integral_value(ROUND_FLOOR))
    last = max(int((high / step).to_integral_value(ROUND_CEILING)), first + 1)
    return Scale(first * step, last * step, tuple(n * step for n in range(first, last + 1)))


def _step(width: Decimal, whole: bool) -> Decimal:
    """The smallest round step of which few cover a width."""
    size = Decimal(10) ** ((width / _TICKS).adjusted())
    step = next(size * one for one in _STEPS if size * one * _TICKS >= width)
    return max(step.to_integral_value(), Decimal(1)) if whole else step


def bar(one: Bar, axis: Scale) -> Markup:
    """A line of a picture: its value in words, in as many lines as a narrow screen needs, and its bar below it."""
    lines = textwrap.wrap(one.told, _LETTERS)
    top = _TOP + _LINE * (len(lines) - 1)
    words = (
        Markup('<text x="0" y="{}" class="value">{}</text>').format(13 + _LINE * n, text)
        for n, text in enumerate(lines)
    )
    behind = "" if one.behind is None else _rect(axis, one.start, one.behind, "pale", top)
    return Markup('<svg class="bar" width="100%" height="{}" role="img"><title>{}</title>{}{}{}{}</svg>').format(
        top + _BELOW,
        f"{one.label}: {one.told}",
        _grid(axis, top),
        Markup().join(words),
        behind,
        _rect(axis, one.start, one.end, one.tone, top),
    )


def ticks(picture: Picture, axis: Scale) -> Markup:
    """The axis below the bars: its marks, and what it measures."""
    last = len(axis.ticks) - 1
    anchors = ["start" if n == 0 else "end" if n == last else "middle" for n in range(last + 1)]
    marks = [
        Markup('<text x="{}%" y="13" text-anchor="{}">{}</text>').format(_short(axis.at(value)), anchor, text)
        for value, anchor, text in zip(axis.ticks, anchors, _marks(axis.ticks, picture.kind), strict=True)
    ]
    return Markup(
        '<svg class="axis" width="100%" height="34" role="img"><title>Axis: {}</title>{}'
        '<text x="50%" y="29" text-anchor="middle">{}</text></svg>'
    ).format(picture.axis, Markup().join(marks), picture.axis)


def _rect(axis: Scale, start: Decimal, end: Decimal, tone: str, top: int) -> Markup:
    left, right = sorted((axis.at(start), axis.at(end)))
    return Markup('<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>').format(
        tone, _short(left), top, _short(right - left), _THICK
    )


def _grid(axis: Scale, top: int) -> Markup:
    lines = (
        Markup('<line class="{}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(
            "zero" if not value else "grid", *[_short(axis.at(value))] * 2, top - 3, top + _BELOW
        )
        for value in axis.ticks
    )
    return Markup().join(lines)


def _marks(values: Sequence[Decimal], kind: Kind) -> list[str]:
    """Marks in one unit: `0`, `250k`, `500k`."""
    if kind == "share":
        return [f"{value * 100:.0f} %" for value in values]
    most = max(abs(value) for value in values)
    size, unit = next(((size, unit) for size, unit in _UNITS if most >= size), (Decimal(1), ""))
    return [f"{_short(value / size)}{unit if value else ''}" for value in values]


def _short(value: Decimal) -> str:
    """A number without zeros that say nothing."""
    text = f"{value:.3f}"
    return text.rstrip("0").rstrip(".") if text != "-0.000" else "0"

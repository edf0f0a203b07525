"""Plots as plain SVG: axes with round ticks, lines and points with intervals, bars, rules, a legend.

:meth:`Plot.to_svg` draws for a page with the variables of :mod:`lrat_sim.colours`, so that it follows the page's theme,
or for a file with the light colours, since few programs but browsers know variables.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec import Struct

from lrat_sim.colours import INK, MUTED, PAPER, RULE, Colour
from lrat_sim.tables import NORMAL_QUANTILE, number

Point = tuple[float, float]

_SIZE, _LINE, _DOWN = 13, 17, 4.5
"""The text's size, the height of its lines, and how far its foot lies below its middle, in the drawing's units;
readable where a plot shrinks to a phone's width."""
_GAP = 24  # between panels beside one another
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_LONGEST, _END = 26, 12
_RADIUS = 3.6
_SHAPES: dict[str, list[Point]] = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    "up": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
    "down": [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
    "plus": [(-0.4, -1.3), (0.4, -1.3), (0.4, -0.4), (1.3, -0.4), (1.3, 0.4), (0.4, 0.4), (0.4, 1.3), (-0.4, 1.3),
             (-0.4, 0.4), (-1.3, 0.4), (-1.3, -0.4), (-0.4, -0.4)],
    "cross": [(-1.2, -0.6), (-0.6, -1.2), (0, -0.6), (0.6, -1.2), (1.2, -0.6), (0.6, 0), (1.2, 0.6), (0.6, 1.2),
              (0, 0.6), (-0.6, 1.2), (-1.2, 0.6), (-0.6, 0)],
    "hexagon": [(0, -1.2), (1.05, -0.6), (1.05, 0.6), (0, 1.2), (-1.05, 0.6), (-1.05, -0.6)],
}  # fmt: skip


class Axis(Struct, frozen=True, kw_only=True):
    """One axis of a panel; its ends are by default the first round numbers beyond what is drawn."""

    label: str = ""
    low: float | None = None
    high: float | None = None
    ticks: dict[float, str] | None = None  # in place of round numbers; none at all where it is empty
    percent: bool = False  # shares as percentages, with the ends within 0 and 1
    whole: bool = False
    log: bool = False
    grid: bool = True


class Mark(Struct, frozen=True, kw_only=True):
    """What every mark has: a colour, dashes, and a name where the legend is to show it."""

    colour: Colour
    name: str | None = None
    dashes: str = ""


class Line(Mark, frozen=True, kw_only=True):
    """Points (x, y) in the axes' units, joined by a line, each with the lower and upper end of its interval."""

    points: Sequence[Point]
    marker: str = ""  # a shape of :mod:`lrat_sim.colours`
    every: int = 1  # only each so many-th point gets a marker
    intervals: Sequence[Point] = ()
    sideways: bool = False  # intervals lie along x
    band: bool = False  # intervals are shaded rather than drawn as bars
    joined: bool = True


class Bars(Mark, frozen=True, kw_only=True):
    """Rectangles, each (x from, x to, y from, y to) in the axes' units; standing, lying, stacked or a histogram."""

    boxes: Sequence[tuple[float, float, float, float]]


class Across(Mark, frozen=True, kw_only=True):
    """A straight line across the panel at a value of y, or of x, with a text at its end."""

    at: float
    along_x: bool = True
    text: str = ""


class Note(Mark, frozen=True, kw_only=True):
    """A text at a point; ``anchor`` is start, middle or end."""

    at: Point
    text: str
    anchor: str = "start"


class Panel(Struct, frozen=True, kw_only=True):
    """Two axes and what is drawn between them."""

    marks: Sequence[Line | Bars | Across | Note]
    x: Axis = Axis()
    y: Axis = Axis()
    title: str = ""
    height: float = 210  # of the space between the axes
    right: float = 12  # space to the right of the axes, for notes there


class Plot(Struct, frozen=True, kw_only=True):
    """A plot: one or more panels, beside one another in so many columns."""

    slug: str  # its name as a file, and within a page
    title: str
    description: str  # in words, for readers who cannot see it
    panels: Sequence[Panel]
    note: str = ""
    records: Sequence[dict[str, Any]] = ()  # the numbers drawn, for the CSV
    columns: int = 1
    width: float = 450

    @classmethod
    def of(cls, marks: Sequence[Line | Bars | Across | Note], x: Axis, y: Axis, **fields: Any) -> Plot:
        """A plot of one panel; ``fields`` are the others."""
        return cls(panels=[Panel(marks=marks, x=x, y=y)], **fields)

    def to_svg(self, *, page: bool = False) -> str:
        """The drawing: of a ``page`` that declares the variables of :mod:`lrat_sim.colours`, or a file of its own."""
        return _Drawing(page).plot(self)


def noise_interval(share: float, error: float | None) -> Point:
    """Where 95 % of a share's noise lies, within 0 and 1; the share itself where its standard error is unknown."""
    noise = NORMAL_QUANTILE * (error or 0.0)
    return max(0.0, share - noise), min(1.0, share + noise)


def short_name(name: str) -> str:
    """A name as a plot can hold it; long ones keep both ends, since names often differ in the last letters."""
    name = printable(name)
    return name if len(name) <= _LONGEST else f"{name[:_END]}…{name[-_END:]}"


def printable(text: str) -> str:
    """A text without what XML does not allow."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def round_ticks(low: float, high: float, *, whole: bool = False, most: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, the first at or below ``low``, the last at or above ``high``."""
    span = (high - low) or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most + 1e-9)
    step = max(step, 1.0) if whole else step
    # an end that is a multiple but for its last bit is one
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, max(last, first + 1) + 1)]


class _Scale:
    """From values to positions along an axis, with the ticks that are shown."""

    def __init__(self, axis: Axis, values: Sequence[float], start: float, end: float):
        self._log, self._start, self._end = axis.log, start, end
        low = min(values, default=0.0) if axis.low is None else axis.low
        high = max(values, default=1.0) if axis.high is None else axis.high
        shown = axis.ticks
        if shown is None:
            ticks = [] if axis.log else round_ticks(low, max(low, high), whole=axis.whole)
            if axis.log:
                exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
                ticks = [factor * 10.0**exponent for exponent in exponents for factor in (1, 2, 5)]
            shown = {tick: _tick_text(tick, tick if axis.log else ticks[1] - ticks[0], axis.percent) for tick in ticks}
            if not axis.log:  # an axis ends at a tick
                low, high = ticks[0] if axis.low is None else low, ticks[-1] if axis.high is None else high
        if axis.percent:
            low, high = max(low, 0.0), min(high, 1.0)
        self._low, self._high = self._value(low), self._value(high)
        if self._high == self._low:  # one value stands in the middle
            self._low, self._high = self._low - 0.5, self._high + 0.5
        self.ticks = {tick: text for tick, text in shown.items() if -1e-9 <= self._share(tick) <= 1 + 1e-9}

    def __call__(self, value: float) -> float:
        return self._start + self._share(value) * (self._end - self._start)

    def _share(self, value: float) -> float:
        return (self._value(value) - self._low) / (self._high - self._low)

    def _value(self, value: float) -> float:
        return math.log10(value) if self._log else value


def _tick_text(tick: float, step: float, percent: bool) -> str:
    scale = 100 if percent else 1
    digits = max(0, -math.floor(math.log10(scale * step) + 1e-9))
    return number(tick, digits, scale=scale, unit=" %" if percent else "")


class _Frame(NamedTuple):
    """The space between the axes of a panel, and their scales."""

    x: _Scale
    y: _Scale
    start: float
    end: float
    top: float
    bottom: float


class _Drawing:
    """The parts of one SVG, from the top downwards."""

    def __init__(self, page: bool):
        self._page, self._parts = page, list[str]()

    def plot(self, plot: Plot) -> str:
        marks = {mark.name: mark for panel in plot.panels for mark in panel.marks if mark.name is not None}
        top = self._legend(list(marks.values()), plot.width)
        width = (plot.width - _GAP * (plot.columns - 1)) / plot.columns
        for first in range(0, len(plot.panels), plot.columns):
            row = plot.panels[first : first + plot.columns]
            top = max(self._panel(panel, index * (width + _GAP), top, width) for index, panel in enumerate(row)) + 12
        namespace = "" if self._page else ' xmlns="http://www.w3.org/2000/svg"'
        head = [
            f'<svg{namespace} viewBox="0 0 {plot.width:g} {top - 8:.1f}" role="img" aria-labelledby="{plot.slug}-title '
            f'{plot.slug}-desc" font-family="{_FONT}" font-size="{_SIZE}" fill="none" stroke-linejoin="round">',
            f'<title id="{plot.slug}-title">{escape(printable(plot.title))}</title>',
            f'<desc id="{plot.slug}-desc">{escape(printable(plot.description))}</desc>',
        ]
        # a page has its paper; without one a file would be transparent, and black on black in some viewers
        paper = [] if self._page else [f'<rect width="100%" height="100%" fill="{PAPER.light}"/>']
        return "\n".join([*head, *paper, *self._parts, "</svg>\n"])

    def _paint(self, colour: Colour) -> str:
        return f"var(--{colour.name})" if self._page else colour.light

    def _text(self, at: Point, text: str, colour: Colour = MUTED, anchor: str = "start", extra: str = "") -> None:
        (x, y), lines = at, escape(printable(text)).split("\n")
        spans = "".join(f'<tspan x="{x:.1f}" dy="{_LINE}">{line}</tspan>' for line in lines[1:])
        style = f'fill="{self._paint(colour)}" text-anchor="{anchor}"{extra}'
        self._parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}>{lines[0]}{spans}</text>')

    def _stroke(self, points: Sequence[Point], colour: Colour, width: float = 1.0, dashes: str = "") -> None:
        path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(f'<path d="{path}" stroke="{self._paint(colour)}" stroke-width="{width:g}"{dashed}/>')

    def _area(self, points: Iterable[Point], colour: Colour, opacity: float = 1.0) -> None:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        faint = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
        self._parts.append(f'<polygon points="{corners}" fill="{self._paint(colour)}"{faint}/>')

    def _box(self, x: Point, y: Point, colour: Colour) -> None:
        self._area([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], colour)

    def _marker(self, shape: str, x: float, y: float, colour: Colour) -> None:
        if shape == "circle":
            self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" fill="{self._paint(colour)}"/>')
        else:
            self._area([(x + _RADIUS * across, y + _RADIUS * down) for across, down in _SHAPES[shape]], colour)

    def _legend(self, marks: Sequence[Mark], width: float) -> float:
        """Draws the legend from the top; returns where it ends."""
        left, middle = 0.0, _LINE / 2
        for mark in marks:
            name = short_name(mark.name or "")
            wide = 34 + text_width(name)
            if left and left + wide > width:
                left, middle = 0.0, middle + _LINE + 2
            if isinstance(mark, Bars):
                self._box((left + 8, left + 20), (middle - 6, middle + 6), mark.colour)
            else:
                self._stroke([(left, middle), (left + 28, middle)], mark.colour, 1.8, mark.dashes)
            if isinstance(mark, Line) and mark.marker:
                self._marker(mark.marker, left + 14, middle, mark.colour)
            self._text((left + 34, middle + _DOWN), name, INK)
            left += wide + 16
        return middle + _LINE / 2 + 10 if marks else 4.0

    def _panel(self, panel: Panel, left: float, top: float, width: float) -> float:
        """Draws a panel; returns where it ends."""
        if panel.title:
            self._text((left, top + _SIZE), panel.title, INK)
            top += _LINE + 6
        xs, ys = _values(panel)
        bottom, end = top + panel.height, left + width - panel.right
        # y first: how wide its labels are says where x begins
        y = _Scale(panel.y, ys, bottom, top + 5)
        beside = max((text_width(text) + 8 for text in y.ticks.values()), default=1.0)
        start = left + beside + (_LINE + 3 if panel.y.label else 0)
        frame = _Frame(_Scale(panel.x, xs, start, end), y, start, end, top, bottom)
        self._y_axis(panel.y, frame, left)
        below = self._x_axis(panel.x, frame, left, end + panel.right)
        for mark in panel.marks:
            self._mark(mark, frame)
        return below

    def _y_axis(self, axis: Axis, frame: _Frame, left: float) -> None:
        _, y, start, end, top, bottom = frame
        for tick, text in y.ticks.items():
            if axis.grid:
                self._stroke([(start, y(tick)), (end, y(tick))], RULE, 0.8)
            first = y(tick) + _DOWN - _LINE / 2 * text.count("\n")
            self._text((start - 8, first), text, MUTED if axis.ticks is None else INK, "end")
        if axis.grid and axis.ticks is None:
            self._stroke([(start, top), (start, bottom)], MUTED, 0.9)
        if axis.label:
            across, down = left + _SIZE, (top + bottom) / 2
            self._text((across, down), axis.label, MUTED, "middle", f' transform="rotate(-90 {across:.1f} {down:.1f})"')

    def _x_axis(self, axis: Axis, frame: _Frame, left: float, right: float) -> float:
        x, _, start, end, top, bottom = frame
        free = -math.inf
        for tick, text in x.ticks.items():
            if axis.grid:
                self._stroke([(x(tick), top), (x(tick), bottom)], RULE, 0.8)
            half = text_width(text) / 2
            # the outermost ones stay within the drawing, and one that would cover its neighbour is left out
            centre = max(left + half, min(x(tick), right - half))
            if centre - half > free:
                self._text((centre, bottom + _LINE), text, MUTED, "middle")
                free = centre + half + 6
        self._stroke([(start, bottom), (end, bottom)], MUTED, 0.9)
        below = bottom + _LINE * max((text.count("\n") + 1 for text in x.ticks.values()), default=0) + 6
        if axis.label:
            self._text(((start + end) / 2, below + _SIZE), axis.label, MUTED, "middle")
        return below + (_LINE + 2 if axis.label else 0)

    def _mark(self, mark: Line | Bars | Across | Note, frame: _Frame) -> None:
        x, y, start, end, top, bottom = frame
        match mark:
            case Bars():
                for left, right, low, high in mark.boxes:
                    self._box((x(left), x(right)), (y(low), y(high)), mark.colour)
            case Across():
                at = y(mark.at) if mark.along_x else x(mark.at)
                ends = [(start, at), (end, at)] if mark.along_x else [(at, top), (at, bottom)]
                self._stroke(ends, mark.colour, 1.3, mark.dashes)
                if mark.text:
                    self._text((end, at - 4), mark.text, mark.colour, "end")
            case Note():
                self._text((x(mark.at[0]), y(mark.at[1]) + _DOWN), mark.text, mark.colour, mark.anchor)
            case Line():
                self._line(mark, x, y)

    def _line(self, mark: Line, x: _Scale, y: _Scale) -> None:
        at = [(x(across), y(up)) for across, up in mark.points]
        scale = x if mark.sideways else y
        ends = [(scale(low), scale(high)) for low, high in mark.intervals]
        if mark.band:
            upper = [(across, high) for (across, _), (_, high) in zip(at, ends, strict=True)]
            lower = [(across, low) for (across, _), (low, _) in zip(at, ends, strict=True)]
            self._area([*upper, *reversed(lower)], mark.colour, 0.13)
        else:
            for (across, up), (low, high) in zip(at, ends, strict=False):
                if low != high:
                    bar = [((low, up), (high, up))] if mark.sideways else [((across, low), (across, high))]
                    caps = [((end, up - 4), (end, up + 4)) if mark.sideways else ((across - 4, end), (across + 4, end))
                            for end in (low, high)]  # fmt: skip
                    for stroke in (*bar, *caps):
                        self._stroke(stroke, mark.colour, 1.2)
        if mark.joined and len(at) > 1:
            self._stroke(at, mark.colour, 1.8, mark.dashes)
        if mark.marker:
            for across, up in at[:: mark.every]:
                self._marker(mark.marker, across, up, mark.colour)


def _values(panel: Panel) -> tuple[list[float], list[float]]:
    """All that the axes of a panel must hold."""
    xs, ys = [*(panel.x.ticks or ())], [*(panel.y.ticks or ())]
    for mark in panel.marks:
        match mark:
            case Line():
                xs += [x for x, _ in mark.points]
                ys += [y for _, y in mark.points]
                (xs if mark.sideways else ys).extend(end for ends in mark.intervals for end in ends)
            case Bars():
                xs += [end for box in mark.boxes for end in box[:2]]
                ys += [end for box in mark.boxes for end in box[2:]]
            case Across():
                (ys if mark.along_x else xs).append(mark.at)
    return xs, ys


def stairs(edges: Sequence[float], heights: Sequence[float]) -> list[Point]:
    """The outline of a histogram as the points of a line: one height a bin, one edge more than bins."""
    steps = [(end, height) for ends, height in zip(pairwise(edges), heights, strict=True) for end in ends]
    return [(edges[0], 0.0), *steps, (edges[-1], 0.0)]


def text_width(text: str) -> float:
    """About how wide a text is in the drawing's units: the fonts are those of whoever looks at it."""

    def ems(letter: str) -> float:
        if unicodedata.east_asian_width(letter) in "WF" or letter in "%@mwMW":
            return 1.0
        return 0.36 if letter in "iljtf.,:;|!' ()" else 0.64

    return _SIZE * max(sum(map(ems, line)) for line in text.split("\n"))

"""One plot: drawn by matplotlib, as part of a page that follows its colours, and as a file of its own."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from msgspec import Struct

from lrat_sim.report.colours import INK, LINE, MUTED, PAPER, themed
from lrat_sim.report.numbers import QUANTILE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Bars = npt.NDArray[np.float64]

WIDTH = 4.5
"""Inches.  Narrow, so that its text can still be read where the plot is shrunk to a phone's width."""

_SVG = "http://www.w3.org/2000/svg"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_LONGEST = 26
_SHORT = 12
"""Letters of a name up to which a legend has three columns."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the font of the page
    "svg.hashsalt": "lrat-sim",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": MUTED.light,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE.light,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK.light,
    "lines.markersize": 4.5,
    "text.color": INK.light,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "figure.facecolor": PAPER.light,
    "axes.facecolor": PAPER.light,
    "savefig.facecolor": PAPER.light,
}


class Plot(Struct, frozen=True, kw_only=True):
    """A plot of a report.

    ``description`` says in words what it shows, for who cannot see it; ``note`` stands below it.  ``inline`` is the
    drawing for the page, its colours variables; ``file`` the same with the light colours on white, for a paper, since
    few programs but browsers know variables.  ``records`` are the numbers drawn.
    """

    slug: str
    title: str
    description: str
    note: str
    inline: str
    file: str
    records: list[dict[str, Any]]


def draw(
    slug: str,
    title: str,
    description: str,
    paint: Callable[[Figure], None],
    records: list[dict[str, Any]],
    *,
    height: float = 3.0,
    note: str = "",
) -> Plot:
    """Draws a plot.

    Args:
        slug: its name as a file, and within the page.
        title: above it.
        description: what it shows, in words.
        paint: draws on the figure, in the light colours of :mod:`lrat_sim.report.colours`.
        records: the numbers drawn.
        height: inches.
        note: below it.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = BytesIO()
    with rc_context(_STYLE), warnings.catch_warnings():
        # the browser's fonts draw the text, not those that are here
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure)
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = _cleaned(ElementTree.fromstring(drawn.getvalue()), slug, _printable(title), _printable(description))
    root.set("xmlns", _SVG)
    file = '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"
    del root.attrib["xmlns"]
    for each in root.iter():
        each.attrib.update({key: themed(value) for key, value in each.attrib.items()})
    inline = ElementTree.tostring(root, "unicode")
    return Plot(slug=slug, title=title, description=description, note=note, inline=inline, file=file, records=records)


def name_of(arm: str) -> str:
    """The name of an arm as a plot can hold it: short, and without what XML does not allow."""
    name = _printable(arm)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def add_legend(figure: Figure, handles: list[Any], names: list[str]) -> None:
    """A legend above the axes, whatever the names: matplotlib leaves out those that begin with an underscore."""
    columns = min(len(names), 3 if max(map(len, names)) <= _SHORT else 2 if max(map(len, names)) <= 2 * _SHORT else 1)
    legend = figure.legend(
        handles,
        [str(number) for number in range(len(names))],
        loc="outside upper left",
        ncols=columns,
        handlelength=2.4,
        columnspacing=1.4,
        borderaxespad=0.2,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name_of(name))


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def noise_bars(shares: Sequence[float], errors: Sequence[float | None]) -> Bars:
    """How far 95 % of the noise reaches below and above shares, within 0 and 1; nothing where it is unknown.

    Args:
        shares: means, NaN where there is none.
        errors: their standard errors.

    Returns:
        Shape (2, shares).
    """
    import numpy as np

    values, noise = np.asarray(shares, np.float64), QUANTILE * np.array([error or 0.0 for error in errors])
    return np.stack([np.minimum(noise, values), np.minimum(noise, 1 - values)]).clip(min=0)


def percent_axis(axes: Axes) -> None:
    """Shares on the y axis, as percent."""
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def _cleaned(root: ElementTree.Element, slug: str, title: str, description: str) -> ElementTree.Element:
    """The drawing without what would reach beyond it in a page: namespaces, a style sheet for all, ids of others."""
    used = set(re.findall(r"#([\w-]+)", " ".join(value for each in root.iter() for value in each.attrib.values())))
    for each in list(root.iter()):
        each.tag = each.tag.rpartition("}")[2]
        for key, value in list(each.attrib.items()):
            del each.attrib[key]
            if key == "id" and value not in used:
                continue
            value = f"{slug}-{value}" if key == "id" else re.sub(r"#([\w-]+)", _prefix(slug, used), value)
            each.set(key.rpartition("}")[2], re.sub(r"(font:[^;]*?[\d.]+px) [^;]*", rf"\1 {_FONT}", value))
        for child in list(each):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                each.remove(child)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{slug}-title {slug}-desc"}
    root.set("style", "stroke-linejoin: round; stroke-linecap: butt")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        said = ElementTree.Element(tag, {"id": f"{slug}-{tag}"})
        said.text = text
        root.insert(place, said)
    return root


def _prefix(slug: str, used: set[str]) -> Callable[[re.Match[str]], str]:
    def prefixed(found: re.Match[str]) -> str:
        # a colour is no reference, though it is written like one
        return found[0] if re.fullmatch(r"[0-9a-f]{6}", found[1]) else f"#{slug}-{found[1]}"

    return prefixed

"""The plot of a comparison's answer: the success of every arm, with its interval."""

from __future__ import annotations

from lrat_sim.colours import Looks
from lrat_sim.plots import Axis, Line, Panel, Plot, short_name
from lrat_sim.tables import NORMAL_QUANTILE, percent
from lrat_sim.viewer.library import ComparisonCard

_ROW = 30


def success_plot(card: ComparisonCard, number: int) -> str:
    """The plot as SVG for a page, empty where no success is known.

    Args:
        card: the comparison.
        number: tells its plot from others of the page.
    """
    looks = Looks(arm.name for arm in card.summaries)
    arms = [(arm.name, success, arm.over_tasks.get("success") or 0.0) for arm in card.summaries
            if (success := arm.means.get("success")) is not None]  # fmt: skip
    if not arms:
        return ""
    marks = []
    for row, (name, success, error) in enumerate(reversed(arms)):
        colour, marker, _ = looks.of(name)
        low, high = max(0.0, success - NORMAL_QUANTILE * error), min(1.0, success + NORMAL_QUANTILE * error)
        marks.append(
            Line(colour=colour, points=[(success, row)], intervals=[(low, high)], marker=marker, sideways=True)
        )
    ticks = {float(row): short_name(name) for row, (name, _, _) in enumerate(reversed(arms))}
    panel = Panel(
        marks=marks,
        x=Axis(label="success, with its 95 % interval", percent=True, low=0.0),
        y=Axis(ticks=ticks, low=-0.6, high=len(arms) - 0.4, grid=False),
        height=_ROW * len(arms),
        right=24,
    )
    said = "; ".join(f"{name} {percent(success)}" for name, success, _ in arms)
    plot = Plot(slug=f"success-{number}", title="Success by arm", description=said, panels=[panel])
    return plot.to_svg(page=True)

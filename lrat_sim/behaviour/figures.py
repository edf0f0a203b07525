"""Behaviour as pictures: the panels of LRAT's Figure 4, and what the relevance judge makes of reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lrat_sim.artifact import write_text
from lrat_sim.behaviour.measures import RANKS, Measures, layout
from lrat_sim.behaviour.observed import ObservedRuns
from lrat_sim.behaviour.resample import MeasureEstimate
from lrat_sim.behaviour.targets import Target, Targets
from lrat_sim.colours import INK, Looks
from lrat_sim.plots import Axis, Bars, Line, Panel, Plot, Point, stairs

FIGURES = ("figure-4.svg", "judge.svg")

_DASHES = "6 3"
_BINS = np.geomspace(4, 2000, 41)


def draw(groups: Sequence[ObservedRuns], measures: Sequence[Measures], targets: Targets | None, folder: Path) -> None:
    """Draws figure-4 and judge as SVG, with the targets marked; the same behaviour gives the same files."""
    by_name = {runs.name: of_group for runs, of_group in zip(groups, measures, strict=True)}
    wanted = targets.targets if targets else []
    a, c, d, kept = (
        _bars(title, shown["unit"], shown["measures"], by_name, wanted) for title, shown in layout("bars").items()
    )
    figure_4, judge = (a, _ranks(by_name, wanted), c, d), (kept, _spread(groups, wanted))
    for name, subject, panels in zip(FIGURES, ("Behaviour", "The relevance judge"), (figure_4, judge), strict=True):
        title = f"{subject} in {sum(len(group.runs) for group in groups):,} runs"
        plot = Plot(
            slug=name.removesuffix(".svg"),
            title=title,
            description=f"{title}. " + "; ".join(panel.title for panel in panels),
            panels=panels,
            note="Intervals are 95 % over tasks.",
            columns=2,
            width=960,
        )
        write_text(folder / name, plot.to_svg())


def _bars(
    title: str, unit: str, names: Mapping[str, str], groups: Mapping[str, Measures], wanted: Sequence[Target]
) -> Panel:
    """One cluster a measure, one bar a group; the target as a line across the cluster."""
    width, looks = 0.8 / len(groups), Looks(groups)
    marks: list[Bars | Line] = []
    for index, (group, measures) in enumerate(groups.items()):
        estimates = [measures[measure] for measure in names.values()]
        starts = [cluster - 0.4 + width * index for cluster in range(len(names))]
        bars = list(zip(starts, (estimate.value or 0.0 for estimate in estimates), strict=True))
        boxes = [(start, start + width * 0.9, 0.0, height) for start, height in bars]
        marks.append(Bars(boxes=boxes, colour=looks.of(group).colour, name=group))
        middles = [(start + width * 0.45, height) for start, height in bars]
        marks.append(Line(points=middles, intervals=_intervals(estimates), joined=False, colour=INK))
    clusters = {measure: cluster for cluster, measure in enumerate(names.values())}
    for target in wanted:
        if target.value is not None and target.lognormal is None and target.measure in clusters:
            middle = clusters[target.measure]
            across = [(middle - 0.45, target.value), (middle + 0.45, target.value)]
            marks.append(Line(points=across, colour=INK, dashes=_DASHES, name="target"))
    ticks = {float(cluster): name for cluster, name in enumerate(names)}
    x = Axis(low=-0.5, high=len(names) - 0.5, ticks=ticks, grid=False)
    return Panel(marks=marks, title=title, x=x, y=Axis(label=unit, low=0))


def _intervals(estimates: Sequence[MeasureEstimate]) -> list[Point]:
    """The interval of each value, of no width where it has none."""
    return [
        (estimate.value or 0.0, estimate.value or 0.0)
        if estimate.low is None or estimate.high is None
        else (estimate.low, estimate.high)
        for estimate in estimates
    ]


def _ranks(groups: Mapping[str, Measures], wanted: Sequence[Target]) -> Panel:
    marks, looks, ranks = [], Looks(groups), [float(rank) for rank in range(1, RANKS + 1)]
    for group, measures in groups.items():
        estimates, look = [measures[f"rank.{rank:g}"] for rank in ranks], looks.of(group)
        points = list(zip(ranks, (estimate.value or 0.0 for estimate in estimates), strict=True))
        intervals = _intervals(estimates)
        marks.append(Line(points=points, intervals=intervals, colour=look.colour, marker=look.marker, name=group))
    for target in wanted:
        if target.measure == "rank" and target.distribution is not None:
            points = [(float(rank), share) for rank, share in enumerate(target.distribution, start=1)]
            marks.append(Line(points=points, colour=INK, dashes=_DASHES, name="target, shuffled lists"))
    x = Axis(label="rank", ticks={rank: f"{rank:g}" for rank in ranks}, grid=False)
    title = "(b) rank at which an opened document stood"
    return Panel(marks=marks, title=title, x=x, y=Axis(label="share of browses", low=0))


def _spread(groups: Sequence[ObservedRuns], wanted: Sequence[Target]) -> Panel:
    """How lengths are distributed, by whether the document is evidence: solid where it is."""
    from scipy import stats

    marks, looks = [], Looks(runs.name for runs in groups)
    for runs in groups:
        for of, dashes in (("evidence", ""), ("other", "1.5 2.5")):
            lengths, _ = runs.lengths(of)
            if len(lengths):
                outline = stairs(_BINS.tolist(), (np.histogram(lengths, _BINS)[0] / len(lengths)).tolist())
                colour = looks.of(runs.name).colour
                marks.append(Line(points=outline, colour=colour, dashes=dashes, name=f"{runs.name}, {of}"))
    for target in wanted:
        if target.lognormal is not None:
            curve = stats.lognorm(s=target.lognormal.sigma, scale=target.lognormal.median)
            points = list(zip(_BINS[1:].tolist(), np.diff(curve.cdf(_BINS)).tolist(), strict=True))
            marks.append(Line(points=points, colour=INK, dashes=_DASHES, name="released pairs"))
    x = Axis(label="tokens", low=float(_BINS[0]), high=float(_BINS[-1]), log=True)
    title = "length of the reasoning right after a browse"
    return Panel(marks=marks, title=title, x=x, y=Axis(label="share of browses", low=0))

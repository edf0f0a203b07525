"""Behaviour as pictures: the panels of LRAT's Figure 4, and what the relevance judge makes of reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lrat_sim.artifact import write_text
from lrat_sim.behaviour.measures import EVIDENCE_BINS, RANKS, Measures
from lrat_sim.behaviour.observed import ObservedRuns
from lrat_sim.behaviour.resample import MeasureEstimate
from lrat_sim.behaviour.targets import Target, Targets
from lrat_sim.colours import INK, Looks
from lrat_sim.plots import Axis, Bars, Line, Panel, Plot, Point, stairs

FIGURES = ("figure-4.svg", "judge.svg")

_DASHES = "6 3"
_BINS = np.geomspace(4, 2000, 41)
_NOTE = "Intervals are 95 % over tasks."

_AFTER = {
    "search →\nbrowse,\ncorrect": "after_search.browse.correct",
    "search →\nbrowse,\nincorrect": "after_search.browse.incorrect",
    "browse →\nbrowse,\ncorrect": "after_browse.browse.correct",
    "browse →\nbrowse,\nincorrect": "after_browse.browse.incorrect",
}
_LENGTHS = {name: f"length.{name}" for name in ("correct", "incorrect", "evidence", "other")}
_ACCURACY = {f"{low}–{high}": f"accuracy.{low}-{high}" for low, high in EVIDENCE_BINS}
_KEPT = {"evidence": "kept.evidence", "other": "kept.other"}

Found = Mapping[str, Measures]
"""The measures of each group, by name."""


def draw(groups: Sequence[ObservedRuns], found: Sequence[Measures], targets: Targets | None, folder: Path) -> None:
    """Draws figure-4 and judge as SVG; the same behaviour gives the same files.

    Args:
        groups: the runs.
        found: the measures of each group.
        targets: marked in the plots, where given.
        folder: made if missing.
    """
    by_name = {runs.name: measures for runs, measures in zip(groups, found, strict=True)}
    wanted = targets.targets if targets else []
    looks = Looks(by_name)
    runs = f"{sum(group.runs for group in groups):,} runs"
    figure_4 = (
        _bars("(a) what follows a search, and a browse", "share of steps", _AFTER, by_name, wanted, looks),
        _ranks(by_name, wanted, looks),
        _bars("(c) reasoning right after a browse", "mean tokens", _LENGTHS, by_name, wanted, looks),
        _bars("(d) accuracy by evidence documents opened", "share correct", _ACCURACY, by_name, wanted, looks),
    )
    judge = (
        _bars("opened documents that the judge keeps", "share", _KEPT, by_name, wanted, looks),
        _spread(groups, wanted, looks),
    )
    for name, title, panels in zip(FIGURES, ("Behaviour", "The relevance judge"), (figure_4, judge), strict=True):
        description = f"{title} in {runs}. " + "; ".join(panel.title for panel in panels)
        plot = Plot(
            slug=name.removesuffix(".svg"),
            title=f"{title} in {runs}",
            description=description,
            panels=panels,
            note=_NOTE,
            columns=2,
            width=960,
        )
        write_text(folder / name, plot.to_svg())


def _bars(
    title: str, unit: str, names: Mapping[str, str], found: Found, wanted: Sequence[Target], looks: Looks
) -> Panel:
    """One cluster a measure, one bar a group; the target as a line across the cluster."""
    width = 0.8 / len(found)
    marks: list[Bars | Line] = []
    for index, (group, measures) in enumerate(found.items()):
        values = [measures[measure] for measure in names.values()]
        starts = [cluster - 0.4 + width * index for cluster in range(len(names))]
        boxes = [
            (start, start + width * 0.9, 0.0, value.value or 0.0) for start, value in zip(starts, values, strict=True)
        ]
        middles = [((start + end) / 2, value) for start, end, _, value in boxes]
        marks += [
            Bars(boxes=boxes, colour=looks.of(group).colour, name=group),
            Line(points=middles, intervals=_intervals(values), joined=False, colour=INK),
        ]
    clusters = {measure: cluster for cluster, measure in enumerate(names.values())}
    for target in wanted:
        if target.value is not None and target.lognormal is None and target.measure in clusters:
            middle = clusters[target.measure]
            ends = [(middle - 0.45, target.value), (middle + 0.45, target.value)]
            marks.append(Line(points=ends, colour=INK, dashes=_DASHES, name="target"))
    ticks = {float(cluster): name for cluster, name in enumerate(names)}
    x = Axis(low=-0.5, high=len(names) - 0.5, ticks=ticks, grid=False)
    return Panel(marks=marks, title=title, x=x, y=Axis(label=unit, low=0))


def _intervals(values: Sequence[MeasureEstimate]) -> list[Point]:
    """The interval of each value, of no width where it has none."""
    shown = [value.value or 0.0 for value in values]
    return [
        (at if value.low is None else value.low, at if value.high is None else value.high)
        for at, value in zip(shown, values, strict=True)
    ]


def _ranks(found: Found, wanted: Sequence[Target], looks: Looks) -> Panel:
    marks = []
    for group, measures in found.items():
        values, look = [measures[f"rank.{rank}"] for rank in range(1, RANKS + 1)], looks.of(group)
        points = [(float(rank), value.value or 0.0) for rank, value in enumerate(values, start=1)]
        marks.append(
            Line(points=points, intervals=_intervals(values), colour=look.colour, marker=look.marker, name=group)
        )
    for target in wanted:
        if target.measure == "rank" and target.distribution is not None:
            points = [(float(rank), share) for rank, share in enumerate(target.distribution, start=1)]
            marks.append(Line(points=points, colour=INK, dashes=_DASHES, name="target, shuffled lists"))
    x = Axis(label="rank", ticks={float(rank): str(rank) for rank in range(1, RANKS + 1)}, grid=False)
    title = "(b) rank at which an opened document stood"
    return Panel(marks=marks, title=title, x=x, y=Axis(label="share of browses", low=0))


def _spread(groups: Sequence[ObservedRuns], wanted: Sequence[Target], looks: Looks) -> Panel:
    """How lengths lie, by whether the document is evidence: solid where it is."""
    from scipy import stats

    marks = []
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

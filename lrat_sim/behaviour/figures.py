"""Behaviour as pictures: the panels of LRAT's Figure 4, and what the relevance judge makes of reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lrat_sim.artifact import ensure_folder, writing
from lrat_sim.behaviour.measures import EVIDENCE_BINS, RANKS
from lrat_sim.behaviour.observed import Observed
from lrat_sim.behaviour.report import FIGURES, Behaviour
from lrat_sim.behaviour.resample import Estimate
from lrat_sim.behaviour.targets import Lognormal, Targets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#2a6f97", "#d1495b", "#2a7f62", "#edae49", "#6a4c93", "#8a8f98")
_TARGET = "#111111"
_BINS = np.geomspace(4, 2000, 41)

_AFTER = {
    "search → browse,\ncorrect": "after_search.browse.correct",
    "search → browse,\nincorrect": "after_search.browse.incorrect",
    "browse → browse,\ncorrect": "after_browse.browse.correct",
    "browse → browse,\nincorrect": "after_browse.browse.incorrect",
}
_LENGTHS = {name: f"length.{name}" for name in ("correct", "incorrect", "evidence", "other")}
_ACCURACY = {f"{low}–{high}": f"accuracy.{low}-{high}" for low, high in EVIDENCE_BINS}
_KEPT = {"evidence": "kept.evidence", "other": "kept.other"}


def draw(seen: Sequence[Observed], found: Behaviour, targets: Targets | None, folder: Path) -> None:
    """Draws figure-4 and judge, each as SVG and PNG; the same behaviour gives the same SVG.

    Args:
        seen: the groups, in the order of ``found``.
        found: their measures.
        targets: marked in the plots, where given.
        folder: made if missing.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ensure_folder(folder)
    wanted = {each.measure: each.value for each in targets.targets if each.lognormal is None} if targets else {}
    with rc_context({"svg.hashsalt": "lrat-sim", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 7.5), layout="constrained")
        (after, ranks), (lengths, accuracy) = figure.subplots(2, 2)
        _bars(after, "(a) what follows a search, and a browse", "share of steps", _AFTER, found, wanted)
        _ranks(ranks, found, targets)
        _bars(lengths, "(c) reasoning right after a browse", "mean tokens", _LENGTHS, found, wanted)
        _bars(accuracy, "(d) accuracy by evidence documents opened", "share correct", _ACCURACY, found, wanted)
        _save(figure, found, folder / FIGURES[0])
        figure = Figure(figsize=(11, 4), layout="constrained")
        kept, spread = figure.subplots(1, 2, width_ratios=(1, 2))
        _bars(kept, "opened documents that the judge keeps", "share", _KEPT, found, wanted)
        _spread(spread, seen, targets)
        _save(figure, found, folder / FIGURES[1])


def _save(figure: Figure, found: Behaviour, path: Path) -> None:
    names, places = figure.axes[0].get_legend_handles_labels()
    figure.legend(names, places, loc="outside lower center", ncols=min(6, len(places)), frameon=False)
    figure.suptitle(f"{sum(group.runs for group in found.groups):,} runs; bars are 95 % intervals over tasks")
    with writing(path):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        figure.savefig(path.with_suffix(".png"), dpi=150)


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _bars(
    axes: Axes,
    title: str,
    unit: str,
    names: Mapping[str, str],
    found: Behaviour,
    wanted: Mapping[str, float | None],
) -> None:
    """One cluster a measure, one bar a group; the target as a line across the cluster."""
    width = 0.8 / len(found.groups)
    for place, group in enumerate(found.groups):
        x = [cluster - 0.4 + width * (place + 0.5) for cluster in range(len(names))]
        values = [group.measures[measure] for measure in names.values()]
        axes.bar(x, [each.value or 0.0 for each in values], width * 0.9, color=_colour(place), label=group.name)
        axes.errorbar(x, [each.value or 0.0 for each in values], _errors(values), fmt="none", ecolor="#333", lw=0.8)
    for cluster, measure in enumerate(names.values()):
        target = wanted.get(measure)
        if target is not None:
            label = "target" if cluster == 0 else "_"
            axes.hlines(target, cluster - 0.45, cluster + 0.45, colors=_TARGET, ls="--", lw=1.2, label=label)
    axes.set_xticks(range(len(names)), list(names))
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_ylabel(unit)


def _errors(values: Sequence[Estimate]) -> list[list[float]]:
    below = [0.0 if each.value is None or each.low is None else max(0.0, each.value - each.low) for each in values]
    above = [0.0 if each.value is None or each.high is None else max(0.0, each.high - each.value) for each in values]
    return [below, above]


def _ranks(axes: Axes, found: Behaviour, targets: Targets | None) -> None:
    ranks = range(1, RANKS + 1)
    for place, group in enumerate(found.groups):
        values = [group.measures[f"rank.{rank}"] for rank in ranks]
        shown = [each.value or 0.0 for each in values]
        axes.errorbar(ranks, shown, _errors(values), color=_colour(place), marker="o", ms=3, lw=1, label=group.name)
    for target in targets.targets if targets else ():
        if target.measure == "rank" and target.distribution is not None:
            axes.plot(ranks, target.distribution, color=_TARGET, ls="--", lw=1.2, label="target, shuffled lists")
            axes.annotate(
                "target, shuffled lists",
                (RANKS, target.distribution[-1]),
                (0, 8),
                textcoords="offset points",
                ha="right",
            )
    axes.set_xticks(list(ranks))
    axes.set_ylim(bottom=0)
    axes.set_title("(b) rank at which an opened document stood")
    axes.set_xlabel("rank")
    axes.set_ylabel("share of browses")


def _spread(axes: Axes, seen: Sequence[Observed], targets: Targets | None) -> None:
    """How lengths lie, by whether the document is evidence: solid where it is."""
    for place, group in enumerate(seen):
        for of, style in (("evidence", "-"), ("other", ":")):
            values, _ = group.lengths(of)
            if len(values):
                share = np.histogram(values, _BINS)[0] / len(values)
                axes.stairs(share, _BINS, color=_colour(place), ls=style, lw=1.3, label=f"{group.name}, {of}")
    for target in targets.targets if targets else ():
        if target.lognormal is not None:
            axes.plot(_BINS[1:], _lognormal(target.lognormal), color=_TARGET, ls="--", lw=1.2, label="released pairs")
    axes.set_xscale("log")
    axes.set_xlim(_BINS[0], _BINS[-1])
    axes.set_title("length of the reasoning right after a browse")
    axes.set_xlabel("tokens")
    axes.set_ylabel("share of browses")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)


def _lognormal(wanted: Lognormal) -> list[float]:
    from scipy import stats

    shares: list[float] = np.diff(stats.lognorm(s=wanted.sigma, scale=wanted.median).cdf(_BINS)).tolist()
    return shares

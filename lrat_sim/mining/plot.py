"""A mining report as a picture: what became of browses and listed documents, and who takes the weight."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from lrat_sim.artifact import ensure_folder, writing
from lrat_sim.mining.report import MEANING, UNLABELLED, Histogram, MiningReport, Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KEPT, _DROPPED, _NEITHER = "#2a7f62", "#b5523b", "#8a8f98"
_GROUPS = 12
"""Agents and outcomes that are drawn, those with the most weight."""
_LABEL = 42
"""Characters of a label's line."""


def draw(report: MiningReport, path: Path) -> None:
    """Draws the report to a file, SVG or whatever else its suffix says.

    The same report gives the same file.

    Args:
        report: of one mining.
        path: its folder is made.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ensure_folder(path.parent)
    with rc_context({"svg.hashsalt": "lrat-sim", "font.size": 8}):
        figure = Figure(figsize=(12, 8), layout="constrained")
        (browses, documents), (weights, groups) = figure.subplots(2, 2)
        figure.suptitle(f"{report.pairs:,} pairs from {report.mined:,} of {report.trajectories:,} runs")
        _counts(browses, "opened documents", {**report.browses, **report.dropped}, MEANING, {"kept"})
        listed = {**{f"negative: {tier}": count for tier, count in report.negatives.items()}, **report.unlabelled}
        _counts(documents, "listed documents, for each pair", listed, UNLABELLED, set(report.negatives))
        _weights(weights, report.weight_histogram)
        _shares(groups, {**report.by_agent, **{f"answer {name}": each for name, each in report.by_outcome.items()}})
        with writing(path):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _counts(axes: Axes, title: str, counts: dict[str, int], meaning: dict[str, str], kept: set[str]) -> None:
    names = list(counts)[::-1]
    colours = [
        _KEPT if name in kept or name.startswith("negative: ") else _DROPPED if "dropped" in meaning[name] else _NEITHER
        for name in names
    ]
    bars = axes.barh(
        [fill(meaning.get(name, name), _LABEL) for name in names], [counts[name] for name in names], color=colours
    )
    axes.bar_label(bars, labels=[f"{counts[name]:,}" for name in names], padding=3)
    axes.margins(x=0.15)
    axes.set_title(title)


def _weights(axes: Axes, histogram: Histogram | None) -> None:
    axes.set_title("weights of the pairs; the line is their mean")
    axes.set_xlabel("weight")
    axes.set_ylabel("pairs")
    if histogram is not None:
        axes.stairs(histogram.counts, histogram.edges, fill=True, color=_KEPT)
        axes.axvline(1.0, color=_DROPPED)


def _shares(axes: Axes, groups: dict[str, Share]) -> None:
    most = sorted(groups, key=lambda name: groups[name].weight_share, reverse=True)[:_GROUPS][::-1]
    total = sum(groups[name].pairs for name in groups if name.startswith("answer ")) or 1
    places = list(range(len(most)))
    axes.barh([place + 0.2 for place in places], [groups[name].weight_share for name in most], 0.4, color=_KEPT)
    axes.barh([place - 0.2 for place in places], [groups[name].pairs / total for name in most], 0.4, color=_NEITHER)
    axes.set_yticks(places, most)
    axes.legend(["share of the weight", "share of the pairs"])
    axes.set_title("who takes the weight")

"""What mining kept, dropped and left unlabelled, and how the weights lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from lrat_sim.artifact import ensure_folder, write_json, writing
from lrat_sim.catalog import read_yaml
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.weights import Numbers
from lrat_sim.tables import Group, Row, Table, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import RenderableType

_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
_BINS = 20

_KEPT, _DROPPED, _NEITHER = "#2a7f62", "#b5523b", "#8a8f98"
_GROUPS = 12
"""Agents and outcomes that are drawn, those with the most weight."""
_LABEL = 42
"""Characters of a line of a label."""

_REASONS = read_yaml(Path(__file__).with_name("reasons.yaml"))
MEANING: dict[str, str] = _REASONS["runs_browses_and_pairs"]
"""What the reasons mean, for runs, browses and pairs."""
UNLABELLED: dict[str, str] = _REASONS["listed_documents"]
"""Why a listed document is no negative, counted for each pair."""


class WeightShare(Struct, frozen=True, kw_only=True):
    """What a group of pairs takes: how many they are, their share of all weight, their mean weight and length."""

    pairs: int
    weight_share: float
    mean_weight: float
    mean_length: float


class Histogram(Struct, frozen=True, kw_only=True):
    """Counts between edges, of which there is one more."""

    edges: list[float]
    counts: list[int]


class MiningReport(Struct, frozen=True, kw_only=True):
    """The account of one mining.

    ``left_out`` counts runs that were not mined, ``browses`` what became of every browse of the others, ``dropped``
    the pairs that guards took out again.  ``flagged`` are those of the pairs that are no positives.  ``negatives``
    counts by rule, ``unlabelled`` the listed documents that are neither, by reason.  ``beta`` is the half-life in the
    unit of lengths, ``mean_raw`` the mean raw weight, ``lengths`` and ``weights`` quantiles over the pairs, None where
    there are no pairs; ``by_agent`` and ``by_outcome`` say who takes how much of the weight.  ``runs`` are the folders
    that were read, seen from the report's own; ``judge`` is the one whose verdicts counted, None where the latest of
    any did.
    """

    recipe: MiningRecipe
    recipe_fingerprint: str
    runs: list[str] = []
    judge: str | None = None
    trajectories: int
    mined: int
    left_out: dict[str, int]
    searches: int
    searches_with_pairs: int
    browses: dict[str, int]
    dropped: dict[str, int] = {}
    pairs: int
    flagged: int = 0
    pairs_without_negatives: int
    negatives: dict[str, int]
    unlabelled: dict[str, int] = {}
    beta: float | None
    mean_raw: float | None
    lengths: dict[str, float] | None
    weights: dict[str, float] | None
    weight_histogram: Histogram | None = None
    length_histogram: Histogram | None = None
    by_agent: dict[str, WeightShare] = {}
    by_outcome: dict[str, WeightShare] = {}

    def save(self, path: Path) -> None:
        """Writes the report as JSON."""
        write_json(path, self)

    def table(self) -> Table:
        """The report as a table of counts."""

        def counted(counts: Mapping[str, int], meaning: Mapping[str, str], prefix: str = "") -> list[Row]:
            return [Row([number(count, 0), prefix + meaning.get(name, name)]) for name, count in counts.items()]

        listed = [
            Row([number(self.searches, 0), f"searches, {self.searches_with_pairs:,} of them with a pair"]),
            *counted(self.negatives, {}, "negatives: "),
            *counted(self.unlabelled, UNLABELLED, "neither: "),
            Row([number(self.pairs_without_negatives, 0), "pairs without a negative of their own"]),
        ]
        unit, numbers = self.recipe.length, []
        if self.beta is not None:
            meaning = f"beta: the median length of the reasoning after the browse, in {unit}"
            numbers.append(Row([f"{self.beta:g}", meaning]))
        if self.mean_raw is not None:
            numbers.append(Row([number(self.mean_raw, 4), "mean raw weight"]))
        for what, values in ((unit, self.lengths), ("weight", self.weights)):
            shown = ", ".join(f"{name} {value:.3g}" for name, value in (values or {}).items())
            numbers += [Row(["", f"{what}: {shown}"])] if shown else []
        shares = []
        for kind, groups in (("agent", self.by_agent), ("outcome", self.by_outcome)):
            for name, share in groups.items():
                means = f"mean weight {number(share.mean_weight, 2)}, mean length {number(share.mean_length, 0)}"
                said = f"of the weight: {kind} {name}, {share.pairs:,} pairs, {means}"
                shares.append(Row([percent(share.weight_share), said]))
        parts = (counted(counts, MEANING) for counts in (self.left_out, self.browses, self.dropped))
        return Table(
            title=f"Mining: {self.pairs:,} pairs from {self.mined:,} of {self.trajectories:,} runs",
            columns=["count", "what"],
            groups=[Group(rows) for rows in (*parts, listed, numbers, shares) if rows],
            text_columns=(1,),
        )

    def __rich__(self) -> RenderableType:
        return self.table().to_terminal()


def quantiles(values: Numbers) -> dict[str, float] | None:
    """Minimum, quantiles and maximum of some values; None where there are none."""
    if not values.size:
        return None
    found = np.quantile(values, list(_QUANTILES.values()))
    return {name: float(value) for name, value in zip(_QUANTILES, found, strict=True)}


def histogram(values: Numbers) -> Histogram | None:
    """Counts of some values between 0 and the largest; None where there are none."""
    if not values.size:
        return None
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, float(values.max()) or 1.0))
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def weight_shares(groups: Sequence[str], lengths: Numbers, weights: Numbers) -> dict[str, WeightShare]:
    """What each group of pairs takes, by name, given the group of each pair."""
    total = float(weights.sum()) or 1.0
    group = np.array(groups, np.str_)
    found: dict[str, WeightShare] = {}
    for name in sorted(set(groups)):
        own = group == name
        found[name] = WeightShare(
            pairs=int(own.sum()),
            weight_share=float(weights[own].sum()) / total,
            mean_weight=float(weights[own].mean()),
            mean_length=float(lengths[own].mean()),
        )
    return found


def draw(report: MiningReport, path: Path) -> None:
    """Draws what became of browses and listed documents, and who takes the weight.

    The same report gives the same file.

    Args:
        report: of one mining.
        path: an SVG, or whatever else its suffix says; its folder is made.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    ensure_folder(path.parent)
    with rc_context({"svg.hashsalt": "lrat-sim", "font.size": 8}):
        figure = Figure(figsize=(12, 8), layout="constrained")
        (browses, documents), (weights, groups) = figure.subplots(2, 2)
        figure.suptitle(f"{report.pairs:,} pairs from {report.mined:,} of {report.trajectories:,} runs")
        _draw_counts(browses, "opened documents", {**report.browses, **report.dropped}, MEANING)
        listed = {**{f"negative: {tier}": count for tier, count in report.negatives.items()}, **report.unlabelled}
        _draw_counts(documents, "listed documents, for each pair", listed, UNLABELLED)
        weights.set(title="weights of the pairs; the line is their mean", xlabel="weight", ylabel="pairs")
        if report.weight_histogram is not None:
            weights.stairs(report.weight_histogram.counts, report.weight_histogram.edges, fill=True, color=_KEPT)
            weights.axvline(1.0, color=_DROPPED)
        _draw_shares(groups, report)
        with writing(path):
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_counts(axes: Axes, title: str, counts: dict[str, int], meaning: dict[str, str]) -> None:
    names = list(counts)[::-1]
    labels = [meaning.get(name, name) for name in names]
    colours = [
        _KEPT if name == "kept" or name not in meaning else _DROPPED if "dropped" in label else _NEITHER
        for name, label in zip(names, labels, strict=True)
    ]
    bars = axes.barh([fill(label, _LABEL) for label in labels], [counts[name] for name in names], color=colours)
    axes.bar_label(bars, labels=[f"{counts[name]:,}" for name in names], padding=3)
    axes.margins(x=0.15)
    axes.set_title(title)


def _draw_shares(axes: Axes, report: MiningReport) -> None:
    groups = {**report.by_agent, **{f"answer {name}": share for name, share in report.by_outcome.items()}}
    most = sorted(groups, key=lambda name: groups[name].weight_share, reverse=True)[:_GROUPS][::-1]
    of_pairs = [groups[name].pairs / (report.pairs or 1) for name in most]
    rows = np.arange(len(most))
    axes.barh(rows + 0.2, [groups[name].weight_share for name in most], 0.4, color=_KEPT)
    axes.barh(rows - 0.2, of_pairs, 0.4, color=_NEITHER)
    axes.set_yticks(rows, most)
    axes.legend(["share of the weight", "share of the pairs"])
    axes.set_title("who takes the weight")

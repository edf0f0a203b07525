"""What mining kept, dropped and left unlabelled, and how the weights lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.artifact import write_text
from lrat_sim.catalog import read_yaml
from lrat_sim.colours import ARMS, INK, TIED, Colour
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.weights import Numbers
from lrat_sim.plots import Across, Axis, Bars, Note, Panel, Plot
from lrat_sim.tables import Group, Row, Table, number, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
_BINS = 20

_KEPT, _DROPPED = ARMS[2], ARMS[1]
_GROUPS = 12
"""Agents and outcomes that are drawn, those with the most weight."""
_LABEL, _ROW = 60, 40
"""Characters of a line of a label, and the height of a row in the drawing."""

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
    """The account of one mining: how many of what, by reason."""

    recipe: MiningRecipe
    recipe_fingerprint: str
    runs: list[str] = []  # the folders that were read, seen from the report's own
    judge: str | None = None  # whose verdicts counted, None where the latest of any did
    trajectories: int
    mined: int
    asked_with: dict[str, int] = {}  # runs by the query text that their retriever read, which may be another
    left_out: dict[str, int]  # runs that were not mined
    searches: int
    searches_with_pairs: int
    browses: dict[str, int]  # what became of every browse of the runs that were mined
    dropped: dict[str, int] = {}  # pairs that guards took out again
    pairs: int
    flagged: int = 0  # pairs that are no positives
    pairs_without_reasoning: int = 0  # these weigh 1 where weights are made from lengths
    pairs_without_negatives: int
    negatives: dict[str, int]  # by rule
    unlabelled: dict[str, int] = {}  # listed documents that are neither
    beta: float | None  # the half-life in the unit of lengths
    mean_raw: float | None
    lengths: dict[str, float] | None  # quantiles over the pairs, None where there are no pairs
    weights: dict[str, float] | None
    weight_histogram: Histogram | None = None
    length_histogram: Histogram | None = None
    by_agent: dict[str, WeightShare] = {}
    by_outcome: dict[str, WeightShare] = {}

    def table(self) -> Table:
        """The report as a table of counts."""

        def counted(counts: Mapping[str, int], meaning: Mapping[str, str], prefix: str = "") -> list[Row]:
            return [Row([number(count, 0), prefix + meaning.get(name, name)]) for name, count in counts.items()]

        listed = [
            Row([number(self.searches, 0), f"searches, {self.searches_with_pairs:,} of them with a pair"]),
            *counted(self.negatives, {}, "negatives: "),
            *counted(self.unlabelled, UNLABELLED, "neither: "),
            Row([number(self.pairs_without_negatives, 0), "pairs without a negative of their own"]),
            Row([number(self.pairs_without_reasoning, 0), "pairs without reasoning after the browse"]),
        ]
        unit, numbers = self.recipe.length, []
        if self.beta is not None:
            meaning = f"beta: the median length of the reasoning after the browse, in {unit}"
            numbers.append(Row([f"{self.beta:g}", meaning]))
        if self.mean_raw is not None:
            numbers.append(Row([number(self.mean_raw, 4), "mean raw weight"]))
        for what, values in ((unit, self.lengths), ("weight", self.weights)):
            if values:
                numbers.append(Row(["", f"{what}: {', '.join(f'{name} {v:.3g}' for name, v in values.items())}"]))
        shares = []
        for kind, groups in (("agent", self.by_agent), ("outcome", self.by_outcome)):
            for name, share in groups.items():
                means = f"mean weight {number(share.mean_weight, 2)}, mean length {number(share.mean_length, 0)}"
                text = f"of the weight: {kind} {name}, {share.pairs:,} pairs, {means}"
                shares.append(Row([percent(share.weight_share), text]))
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
    return dict(zip(_QUANTILES, np.quantile(values, list(_QUANTILES.values())).tolist(), strict=True))


def histogram(values: Numbers) -> Histogram | None:
    """Counts of some values between 0 and the largest; None where there are none."""
    if not values.size:
        return None
    counts, edges = np.histogram(values, bins=_BINS, range=(0.0, float(values.max()) or 1.0))
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def weight_shares(
    names: Sequence[str], group: npt.NDArray[np.int64], lengths: Numbers, weights: Numbers
) -> dict[str, WeightShare]:
    """What each group of pairs takes, in the order of their names; ``group`` is the position of each pair's name."""
    total = float(weights.sum()) or 1.0
    shares: dict[str, WeightShare] = {}
    for name in sorted(names):
        own = group == names.index(name)
        if own.any():
            shares[name] = WeightShare(
                pairs=int(own.sum()),
                weight_share=float(weights[own].sum()) / total,
                mean_weight=float(weights[own].mean()),
                mean_length=float(lengths[own].mean()),
            )
    return shares


def draw(report: MiningReport, path: Path) -> None:
    """Draws what became of browses and listed documents, and who takes the weight, as an SVG.

    The same report gives the same file.
    """
    title = f"{report.pairs:,} pairs from {report.mined:,} of {report.trajectories:,} runs"
    listed = {f"negative: {tier}": count for tier, count in report.negatives.items()} | report.unlabelled
    panels = [
        _counts_panel("opened documents", report.browses | report.dropped, MEANING),
        _counts_panel("listed documents, counted for each pair", listed, UNLABELLED),
    ]
    if report.weight_histogram is not None:
        edges, counts = report.weight_histogram.edges, report.weight_histogram.counts
        bars = [(*ends, 0.0, count) for ends, count in zip(pairwise(edges), counts, strict=True)]
        marks: list[Bars | Across] = [Bars(boxes=bars, colour=_KEPT), Across(at=1.0, along_x=False, colour=INK)]
        title_of_weights = "weights of the pairs; the line is their mean"
        panels += [
            Panel(marks=marks, title=title_of_weights, x=Axis(label="weight"), y=Axis(label="pairs")),
            _shares_panel(report),
        ]
    plot = Plot(slug="mining", title=title, description=title, panels=panels, width=900)
    write_text(path, plot.to_svg())


def _counts_panel(title: str, counts: dict[str, int], meaning: dict[str, str]) -> Panel:
    marks: list[Bars | Note] = []
    for row, (name, count) in enumerate(counts.items()):
        colour: Colour = _DROPPED if "dropped" in meaning.get(name, "") else TIED
        if name == "kept" or name not in meaning:  # the negatives, which are named by their rule
            colour = _KEPT
        marks.append(Bars(boxes=[(0.0, count, -row - 0.35, -row + 0.35)], colour=colour))
        marks.append(Note(at=(count + 0.01 * max(counts.values()), -row), text=f"{count:,}", colour=INK))
    labels = [fill(meaning.get(name, name), _LABEL) for name in counts]
    return _rows_panel(title, labels, marks, Axis(low=0, whole=True))


def _shares_panel(report: MiningReport) -> Panel:
    groups = report.by_agent | {f"answer {name}": share for name, share in report.by_outcome.items()}
    most = sorted(groups, key=lambda name: -groups[name].weight_share)[:_GROUPS]
    weight = [(0.0, groups[name].weight_share, -row, -row + 0.4) for row, name in enumerate(most)]
    pairs = [(0.0, groups[name].pairs / report.pairs, -row - 0.4, -row) for row, name in enumerate(most)]
    marks = [
        Bars(boxes=weight, colour=_KEPT, name="share of the weight"),
        Bars(boxes=pairs, colour=TIED, name="share of the pairs"),
    ]
    return _rows_panel("who takes the weight", most, marks, Axis(low=0, percent=True))


def _rows_panel(title: str, labels: Sequence[str], marks: Sequence[Bars | Note], x: Axis) -> Panel:
    rows = Axis(low=0.5 - len(labels), high=0.5, ticks={-row: label for row, label in enumerate(labels)}, grid=False)
    return Panel(marks=marks, title=title, x=x, y=rows, height=20 + _ROW * len(labels), right=60)

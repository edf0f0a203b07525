"""What mining kept, dropped and left unlabelled, and how the weights lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from rich.table import Table

from lrat_sim.artifact import write_json
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.mining.weights import Numbers

_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}
_BINS = 20

MEANING = {
    "kept": "positives of a pair",
    "flagged": "written with a flag and never trained on: the judge called the document irrelevant",
    "older_list": "dropped: the document stood in an older result list only",
    "never_shown": "dropped: no result list had shown the document",
    "repeated": "dropped: the document was browsed before in the same chain",
    "failed": "dropped: the browse did not succeed",
    "no_query": "dropped: the search had an empty query",
    "search_left_out": "dropped: the recipe leaves out the search",
    "not_in_corpus": "dropped: the corpus does not hold the document",
    "irrelevant": "unlabelled: the judge called the document irrelevant, or the run made no use of it",
    "unjudged": "unlabelled: the judge could not say, or whether the run made use of it is unclear",
    "no_reasoning": "unlabelled: no reasoning follows the browse",
    "no_verdict": "unlabelled: the browse was never judged",
    "not_answered": "left out: the run gave no answer",
    "error": "left out: the run broke",
    "other_outcome": "left out: the recipe asks for another outcome",
    "ungraded": "left out: the answer was not graded",
    "duplicate": "pairs dropped: the same query and positive stand in another",
    "pairs_per_document": "pairs dropped: the document is the positive of enough others",
}
"""What the reasons mean, for runs, browses and pairs."""

UNLABELLED = {
    "useful_now": "opened from this list, and relevant",
    "rejected_now": "opened from this list, and irrelevant",
    "unjudged_now": "opened from this list without a verdict, or asked for in vain",
    "useful_before": "opened earlier, and relevant",
    "rejected_before": "opened earlier, and irrelevant",
    "unjudged_before": "opened earlier without a verdict",
    "opened_later": "opened later in the run",
    "seen_before": "listed before and never opened",
    "new": "never opened",
    "rejected": "opened and rejected",
    "unopened": "not opened",
    "not_in_corpus": "not in the corpus",
    "question_positive": "a positive of the same question",
    "near_positive": "as like the query as the positive, for the encoder",
    "over_limit": "beyond the limit of its rule",
    "negatives_per_document": "a negative of enough other pairs",
}
"""Why a listed document is no negative, counted for each pair."""


class Share(Struct, frozen=True, kw_only=True):
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
    by_agent: dict[str, Share] = {}
    by_outcome: dict[str, Share] = {}

    def save(self, path: Path) -> None:
        """Writes the report as JSON."""
        write_json(path, self)

    def __rich__(self) -> Table:
        table = Table(title=f"Mining: {self.pairs:,} pairs from {self.mined:,} of {self.trajectories:,} runs")
        table.add_column("count", justify="right")
        table.add_column("what", overflow="fold")
        for counts in (self.left_out, self.browses, self.dropped):
            for name, count in counts.items():
                table.add_row(f"{count:,}", MEANING[name])
            table.add_section()
        table.add_row(f"{self.searches:,}", f"searches, {self.searches_with_pairs:,} of them with a pair")
        for tier, count in self.negatives.items():
            table.add_row(f"{count:,}", f"negatives: {tier}")
        for name, count in self.unlabelled.items():
            table.add_row(f"{count:,}", f"neither: {UNLABELLED[name]}")
        table.add_row(f"{self.pairs_without_negatives:,}", "pairs without a negative of their own")
        table.add_section()
        unit = self.recipe.length
        if self.beta is not None:
            table.add_row(f"{self.beta:g}", f"beta: the median length of the reasoning after the browse, in {unit}")
        if self.mean_raw is not None:
            table.add_row(f"{self.mean_raw:.4f}", "mean raw weight")
        for what, quantiles in ((unit, self.lengths), ("weight", self.weights)):
            if quantiles is not None:
                shown = ", ".join(f"{name} {value:.3g}" for name, value in quantiles.items())
                table.add_row("", f"{what}: {shown}")
        table.add_section()
        for kind, groups in (("agent", self.by_agent), ("outcome", self.by_outcome)):
            for name, share in groups.items():
                table.add_row(
                    f"{share.weight_share:.1%}",
                    f"of the weight: {kind} {name}, {share.pairs:,} pairs, mean weight {share.mean_weight:.2f}, "
                    f"mean length {share.mean_length:.0f}",
                )
        return table


def report(
    *,
    recipe: MiningRecipe,
    runs: list[str],
    judge: str | None,
    trajectories: int,
    left_out: dict[str, int],
    searches: int,
    searches_with_pairs: int,
    browses: dict[str, int],
    dropped: dict[str, int],
    flagged: int,
    pairs_without_negatives: int,
    negatives: dict[str, int],
    unlabelled: dict[str, int],
    beta: float | None,
    mean_raw: float | None,
    lengths: Numbers,
    weights: Numbers,
    agents: Sequence[str],
    outcomes: Sequence[str],
) -> MiningReport:
    """A report from counts, and from the length, weight, agent and outcome of each pair."""
    return MiningReport(
        recipe=recipe,
        recipe_fingerprint=recipe.fingerprint,
        runs=runs,
        judge=judge,
        trajectories=trajectories,
        mined=trajectories - sum(left_out.values()),
        left_out=left_out,
        searches=searches,
        searches_with_pairs=searches_with_pairs,
        browses=browses,
        dropped=dropped,
        pairs=len(lengths),
        flagged=flagged,
        pairs_without_negatives=pairs_without_negatives,
        negatives=negatives,
        unlabelled=unlabelled,
        beta=beta,
        mean_raw=mean_raw,
        lengths=quantiles(lengths),
        weights=quantiles(weights),
        weight_histogram=histogram(weights),
        length_histogram=histogram(lengths),
        by_agent=shares(agents, lengths, weights),
        by_outcome=shares(outcomes, lengths, weights),
    )


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


def shares(groups: Sequence[str], lengths: Numbers, weights: Numbers) -> dict[str, Share]:
    """What each group of pairs takes, by name."""
    number = {name: place for place, name in enumerate(sorted(set(groups)))}
    places = np.array([number[name] for name in groups], np.int64)
    total = float(weights.sum()) or 1.0
    found: dict[str, Share] = {}
    for name, place in number.items():
        own = places == place
        found[name] = Share(
            pairs=int(own.sum()),
            weight_share=float(weights[own].sum()) / total,
            mean_weight=float(weights[own].mean()),
            mean_length=float(lengths[own].mean()),
        )
    return found


def in_order(counts: Counter[str], meaning: Mapping[str, str]) -> dict[str, int]:
    """The counts above 0, in the order in which their reasons are explained."""
    return {name: counts[name] for name in meaning if counts[name]}

"""What mining kept, dropped and left unlabelled, and how the weights lie."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from rich.table import Table

from lrat_sim.mining.parts import Numbers
from lrat_sim.mining.recipe import MiningRecipe
from lrat_sim.store import ensure_folder

_QUANTILES = {"min": 0.0, "p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "max": 1.0}

MEANING = {
    "kept": "positives of a pair",
    "older_list": "dropped: the document stood in an older result list only",
    "never_shown": "dropped: no result list had shown the document",
    "repeated": "dropped: the document was browsed before in the same chain",
    "failed": "dropped: the browse did not succeed",
    "no_query": "dropped: the search had an empty query",
    "search_left_out": "dropped: the recipe leaves out the search",
    "irrelevant": "unlabelled: the judge called the document irrelevant",
    "unjudged": "unlabelled: the judge could not say",
    "no_reasoning": "unlabelled: no reasoning follows the browse",
    "no_verdict": "unlabelled: the browse was never judged",
    "not_answered": "left out: the run gave no answer",
    "error": "left out: the run broke",
    "other_outcome": "left out: the recipe asks for another outcome",
    "ungraded": "left out: the answer was not graded",
}


class MiningReport(Struct, frozen=True, kw_only=True):
    """The account of one mining.

    ``left_out`` counts runs that were not mined, ``browses`` what became of every browse of the others; their sum
    with ``kept`` is the number of browses.  ``beta`` is the half-life in tokens, ``mean_raw`` the mean raw weight,
    ``lengths`` (tokens) and ``weights`` quantiles over the pairs, None where there are no pairs.
    """

    recipe: MiningRecipe
    recipe_fingerprint: str
    trajectories: int
    mined: int
    left_out: dict[str, int]
    searches: int
    searches_with_pairs: int
    browses: dict[str, int]
    pairs: int
    pairs_without_negatives: int
    negatives: dict[str, int]
    beta: float | None
    mean_raw: float | None
    lengths: dict[str, float] | None
    weights: dict[str, float] | None

    def save(self, path: Path) -> None:
        """Writes the report as JSON."""
        ensure_folder(path.parent)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    def __rich__(self) -> Table:
        table = Table(title=f"Mining: {self.pairs:,} pairs from {self.mined:,} of {self.trajectories:,} runs")
        table.add_column("count", justify="right")
        table.add_column("what", overflow="fold")
        for counts in (self.left_out, self.browses):
            for name, count in counts.items():
                table.add_row(f"{count:,}", MEANING[name])
            table.add_section()
        table.add_row(f"{self.searches:,}", f"searches, {self.searches_with_pairs:,} of them with a pair")
        for tier, count in self.negatives.items():
            table.add_row(f"{count:,}", f"negatives: {tier}")
        table.add_row(f"{self.pairs_without_negatives:,}", "pairs without a negative of their own")
        table.add_section()
        if self.beta is not None:
            table.add_row(f"{self.beta:g}", "beta: the median length of the reasoning after the browse, in tokens")
        if self.mean_raw is not None:
            table.add_row(f"{self.mean_raw:.4f}", "mean raw weight")
        for what, quantiles in (("tokens", self.lengths), ("weight", self.weights)):
            if quantiles is not None:
                shown = ", ".join(f"{name} {value:.3g}" for name, value in quantiles.items())
                table.add_row("", f"{what}: {shown}")
        return table


def quantiles(values: Numbers) -> dict[str, float] | None:
    """Minimum, quantiles and maximum of some values; None where there are none."""
    if not values.size:
        return None
    found = np.quantile(values, list(_QUANTILES.values()))
    return {name: float(value) for name, value in zip(_QUANTILES, found, strict=True)}

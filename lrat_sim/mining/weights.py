"""What a pair weighs: raw weights from the lengths of reasoning or from the judge, scaled to a mean of 1.

A pair without reasoning has no length to be weighed by: it weighs 1 and has no part in the half-life and the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


class PairNumbers(NamedTuple):
    """What is known of each pair, an entry a pair."""

    lengths: Numbers
    agents: npt.NDArray[np.int64]  # who ran, a number for each agent
    shares: Numbers  # of the judge's readable votes for the document; 1 where there were no votes


class Weighting(NamedTuple):
    """Raw weights, one a pair, and the half-life they were made with, where there is one.

    ``counted`` says which of them make the mean and are scaled by it; all do where it is None.
    """

    raw: Numbers
    beta: float | None
    counted: npt.NDArray[np.bool_] | None = None

    @property
    def mean(self) -> float | None:
        """The mean raw weight."""
        raw = self.raw if self.counted is None else self.raw[self.counted]
        return float(raw.mean()) if raw.size else None

    @property
    def weights(self) -> Numbers:
        """The weights: E[w] = 1; where every raw weight is 0 there is nothing to scale."""
        mean = self.mean
        scaled = self.raw / mean if mean else np.ones_like(self.raw)
        return scaled if self.counted is None else np.where(self.counted, scaled, self.raw)


def by_length(pairs: PairNumbers) -> Weighting:
    """raw(l) = 1 - exp(-ln 2 * l / beta), beta the median of l (section 5.1, intensity), so that raw(beta) = 0.5."""
    lengths = pairs.lengths
    counted = lengths > 0
    if not counted.any():
        return Weighting(np.ones_like(lengths), None, counted)
    beta = float(np.median(lengths[counted]))
    # one by one, since the last digit of numpy's exponential depends on the machine
    raw = [1 - math.exp(-length * math.log(2.0) / beta) if length else 1.0 for length in lengths.tolist()]
    return Weighting(np.array(raw), beta, counted)


def clipped(pairs: PairNumbers) -> Weighting:
    """As ``length``, with raw weights kept between 0.25 and 0.75: no pair weighs more than three times another.

    Lengths from 0.42 to 2 beta tell pairs apart.
    """
    raw, beta, _ = by_length(pairs)
    counted = pairs.lengths > 0
    return Weighting(np.where(counted, np.clip(raw, 0.25, 0.75), raw), beta, counted)


def within_agent(pairs: PairNumbers) -> Weighting:
    """Phi(z), z the logarithm of the length standardised within its agent, so that verbose agents gain nothing by it.

    Every agent's pairs have a raw weight about 0.5; those of an agent whose lengths do not differ have just that.
    """
    from scipy.special import ndtr

    lengths, counted = np.log1p(pairs.lengths), pairs.lengths > 0
    z = np.zeros_like(lengths)
    for agent in np.unique(pairs.agents[counted]):
        own = (pairs.agents == agent) & counted
        spread = lengths[own].std()
        if spread > 0:
            z[own] = (lengths[own] - lengths[own].mean()) / spread
    return Weighting(np.where(counted, ndtr(z), 1.0), None, counted)


WEIGHTS: Mapping[str, Callable[[PairNumbers], Weighting]] = {
    "length": by_length,
    "length_clipped": clipped,
    "length_within_agent": within_agent,
    "judge": lambda pairs: Weighting(pairs.shares.copy(), None),
    "none": lambda pairs: Weighting(np.ones_like(pairs.lengths), None),
}

"""Bootstrap intervals over tasks, for means, ratios and whatever can be computed from weighted observations.

Whole tasks are drawn, with all their runs and browses: a resample is a weight for each task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.tables import with_interval

RESAMPLES = 1000
_CELLS = 4_000_000  # weights held at once, which bounds memory

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Statistic = Callable[[Values], Values]
"""From weights (resamples, observations) to one value a resample; NaN where it is undefined."""


class MeasureEstimate(Struct, frozen=True, kw_only=True):
    """A value over ``n`` observations with its 95 % interval; None where it is undefined, or cannot be resampled."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0

    def text(self, digits: int = 1, *, scale: float = 1.0) -> str:
        """The value with its interval, as tables show it."""
        return with_interval(self.value, self.low, self.high, digits, scale=scale)


class TaskResamples:
    """Resamples of the tasks of a group; names may repeat."""

    def __init__(self, tasks: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES):
        names = sorted(set(tasks))
        self.count = count = len(names)
        self._index = {name: index for index, name in enumerate(names)}
        rng = np.random.default_rng(seed)
        self._weights = np.zeros((resamples if count > 1 else 0, count), np.uint8)  # one task cannot be resampled
        for weights in self._weights:
            weights[:] = np.minimum(np.bincount(rng.integers(0, count, count), minlength=count), 255)

    def indices(self, tasks: Sequence[str]) -> Indices:
        """The tasks of observations, as the other methods take them."""
        return np.array([self._index[task] for task in tasks], np.int64)

    def ratio(
        self, tasks: Indices, numerator: npt.ArrayLike, denominator: npt.ArrayLike | None = None
    ) -> MeasureEstimate:
        """The sum of one quantity over the sum of another, one number an observation; by default 1, for a mean."""
        bottom = np.ones(len(tasks)) if denominator is None else denominator
        n = int(np.sum(bottom))
        return self.of_sums(tasks, [numerator, bottom], lambda sums: share(sums[:, 0], sums[:, 1]), n)

    def of_sums(
        self, tasks: Indices, quantities: Sequence[npt.ArrayLike], compute: Statistic, n: int
    ) -> MeasureEstimate:
        """A function of the sums of quantities, (resamples, quantities), over ``n`` observations."""
        columns = [np.asarray(quantity, np.float64) for quantity in quantities]
        by_task = np.stack([np.bincount(tasks, column, minlength=self.count) for column in columns], axis=1)
        return self._estimate(lambda weights: compute(weights @ by_task), self.count, n)

    def statistic(self, tasks: Indices, compute: Statistic) -> MeasureEstimate:
        """Any statistic of weighted observations; ``tasks`` is the task of each."""
        return self._estimate(lambda weights: compute(weights[:, tasks]), max(self.count, len(tasks)), len(tasks))

    def _estimate(self, compute: Statistic, width: int, n: int) -> MeasureEstimate:
        """The value at weight 1 of each task, and its 95 % interval over the resamples that are defined.

        ``width`` is how many numbers ``compute`` holds a resample.
        """
        value = float(compute(np.ones((1, self.count)))[0]) if n else np.nan
        if not np.isfinite(value):
            return MeasureEstimate(value=None, n=n)
        size = max(1, _CELLS // width)
        batches = (self._weights[start : start + size] for start in range(0, len(self._weights), size))
        drawn = np.concatenate([np.empty(0), *(compute(weights.astype(np.float64)) for weights in batches)])
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return MeasureEstimate(value=value, n=n)
        low, high = np.quantile(known, (0.025, 0.975))
        return MeasureEstimate(value=value, low=float(low), high=float(high), n=n)


def share(part: Values, whole: Values) -> Values:
    """``part / whole``, NaN where the whole is not positive."""
    quotient: Values = np.divide(part, whole, where=whole > 0, out=np.full(np.broadcast(part, whole).shape, np.nan))
    return quotient


def auc(values: Values, positive: npt.NDArray[np.bool_]) -> Statistic:
    """The chance that a positive observation has a higher value than another, ties counted half."""
    order = np.argsort(values, kind="stable")
    starts = np.unique(values[order], return_index=True)[1]
    yes = positive[order]

    def compute(weights: Values) -> Values:
        ordered = weights[:, order]
        above = np.add.reduceat(ordered * yes, starts, axis=1)
        below = np.add.reduceat(ordered * ~yes, starts, axis=1)
        lower = np.cumsum(below, axis=1) - below / 2
        return share((above * lower).sum(axis=1), above.sum(axis=1) * below.sum(axis=1))

    return compute


def quantile(values: Values, level: float) -> Statistic:
    """The value below which such a share of the observations lies."""
    order = np.argsort(values, kind="stable")

    def compute(weights: Values) -> Values:
        reached = np.cumsum(weights[:, order], axis=1)
        first = (reached >= level * reached[:, -1:]).argmax(axis=1)
        reached_value: Values = np.where(reached[:, -1] > 0, values[order][first], np.nan)
        return reached_value

    return compute


def log_spread(values: Values) -> Statistic:
    """The standard deviation of the logarithm: sigma, were the values lognormal."""
    logs = np.log(values)

    def compute(weights: Values) -> Values:
        total = weights.sum(axis=1)
        variance = share(weights @ logs**2, total) - share(weights @ logs, total) ** 2
        spread: Values = np.sqrt(np.maximum(variance, 0.0))
        return spread

    return compute


def kolmogorov_smirnov(values: Values, share_below: Callable[[Values], Values]) -> Statistic:
    """The greatest distance between the observations' distribution function and a given one."""
    order = np.argsort(values, kind="stable")
    points, starts = np.unique(values[order], return_index=True)
    wanted = share_below(points)

    def compute(weights: Values) -> Values:
        reached = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
        upto = share(reached, reached[:, -1:])
        before = np.concatenate([np.zeros((len(upto), 1)), upto[:, :-1]], axis=1)
        distance: Values = np.maximum(np.abs(upto - wanted), np.abs(before - wanted)).max(axis=1)
        return distance

    return compute

"""Bootstrap intervals over tasks, for means, ratios and whatever can be computed from weighted observations.

Runs of one task resemble each other, so whole tasks are drawn, with all their runs and browses.  A resample is a
weight for each task, the same for every measure of a group of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

RESAMPLES = 1000
_CELLS = 4_000_000
"""Weights held at once, which bounds memory."""

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


class TaskResamples:
    """Resamples of the tasks of a group.

    Args:
        tasks: the task of each run.
        seed: of the drawing.
        resamples: how often tasks are drawn.
    """

    def __init__(self, tasks: Sequence[str], *, seed: int = 0, resamples: int = RESAMPLES):
        names = sorted(set(tasks))
        self.count = len(names)
        self._index = {name: index for index, name in enumerate(names)}
        rng = np.random.default_rng(seed)
        count = len(names)
        self._weights: npt.NDArray[np.uint8] | None = None
        if count > 1:
            drawn = (np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(resamples))
            self._weights = np.stack([np.minimum(each, 255).astype(np.uint8) for each in drawn])

    @property
    def weights(self) -> Values:
        """All resamples, shape (resamples, tasks), tasks in the order of their names; none for a single task."""
        return np.empty((0, self.count)) if self._weights is None else self._weights.astype(np.float64)

    def indices(self, tasks: Sequence[str]) -> Indices:
        """The tasks of observations, as the other methods take them."""
        return np.array([self._index[task] for task in tasks], np.int64)

    def ratio(
        self, tasks: Indices, numerator: npt.ArrayLike, denominator: npt.ArrayLike | None = None
    ) -> MeasureEstimate:
        """The sum of one quantity over the sum of another (1 an observation by default: a mean).

        Args:
            tasks: the task of each observation.
            numerator, denominator: shape (observations,).
        """
        top = np.asarray(numerator, np.float64)
        bottom = np.ones_like(top) if denominator is None else np.asarray(denominator, np.float64)
        total = bottom.sum()
        if not total:
            return MeasureEstimate(value=None)
        value, n = float(top.sum() / total), int(total if denominator is not None else len(top))
        if self._weights is None:
            return MeasureEstimate(value=value, n=n)
        count = self._weights.shape[1]
        sums = np.stack([np.bincount(tasks, each, minlength=count) for each in (top, bottom)], axis=1)
        drawn = np.concatenate([weights @ sums for weights in self._batches(count)])
        return estimate(value, np.divide(drawn[:, 0], drawn[:, 1], where=drawn[:, 1] > 0, out=_nan(len(drawn))), n)

    def statistic(self, tasks: Indices, compute: Statistic) -> MeasureEstimate:
        """Any statistic of weighted observations.

        Args:
            tasks: the task of each observation.
            compute: see :data:`Statistic`; weights of 1 give the value itself.
        """
        if not len(tasks):
            return MeasureEstimate(value=None)
        value = float(compute(np.ones((1, len(tasks))))[0])
        if not np.isfinite(value) or self._weights is None:
            return MeasureEstimate(value=value if np.isfinite(value) else None, n=len(tasks))
        drawn = np.concatenate([compute(weights[:, tasks]) for weights in self._batches(len(tasks))])
        return estimate(value, drawn, len(tasks))

    def _batches(self, observations: int) -> Iterator[Values]:
        assert self._weights is not None
        size = max(1, _CELLS // max(observations, self._weights.shape[1]))
        for start in range(0, len(self._weights), size):
            yield self._weights[start : start + size].astype(np.float64)


def _nan(count: int) -> Values:
    return np.full(count, np.nan, np.float64)


def estimate(value: float, drawn: Values, n: int) -> MeasureEstimate:
    """A value with the 2.5 % and 97.5 % quantiles of its resamples; undefined ones are passed over."""
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return MeasureEstimate(value=value, n=n)
    low, high = np.quantile(known, (0.025, 0.975))
    return MeasureEstimate(value=value, low=float(low), high=float(high), n=n)


def auc(values: Values, positive: npt.NDArray[np.bool_]) -> Statistic:
    """The chance that a positive observation has a higher value than another, ties counted half.

    Args:
        values: shape (observations,).
        positive: which of them are.
    """
    order = np.argsort(values, kind="stable")
    starts = np.unique(values[order], return_index=True)[1]
    yes = positive[order]

    def compute(weights: Values) -> Values:
        ordered = weights[:, order]
        above = np.add.reduceat(ordered * yes, starts, axis=1)
        below = np.add.reduceat(ordered * ~yes, starts, axis=1)
        lower = np.cumsum(below, axis=1) - below / 2
        pairs = above.sum(axis=1) * below.sum(axis=1)
        share: Values = np.divide((above * lower).sum(axis=1), pairs, where=pairs > 0, out=_nan(len(weights)))
        return share

    return compute


def quantile(values: Values, share: float) -> Statistic:
    """The value below which a share of the observations lies."""
    order = np.argsort(values, kind="stable")

    def compute(weights: Values) -> Values:
        reached = np.cumsum(weights[:, order], axis=1)
        first = (reached >= share * reached[:, -1:]).argmax(axis=1)
        found: Values = np.where(reached[:, -1] > 0, values[order][first], np.nan)
        return found

    return compute


def log_spread(values: Values) -> Statistic:
    """The standard deviation of the logarithm: sigma, were the values lognormal."""
    logs = np.log(values)

    def compute(weights: Values) -> Values:
        total = np.where(weights.sum(axis=1) > 0, weights.sum(axis=1), np.nan)
        mean = weights @ logs / total
        spread: Values = np.sqrt(np.maximum(weights @ logs**2 / total - mean**2, 0.0))
        return spread

    return compute


def kolmogorov_smirnov(values: Values, share_below: Callable[[Values], Values]) -> Statistic:
    """The greatest distance between the observations' distribution function and a given one."""
    points, inverse = np.unique(values, return_inverse=True)
    order, starts = np.argsort(inverse, kind="stable"), np.searchsorted(np.sort(inverse), np.arange(len(points)))
    wanted = share_below(points)

    def compute(weights: Values) -> Values:
        reached = np.cumsum(np.add.reduceat(weights[:, order], starts, axis=1), axis=1)
        total = np.where(reached[:, -1:] > 0, reached[:, -1:], np.nan)
        upto = reached / total
        before = np.concatenate([np.zeros((len(upto), 1)), upto[:, :-1]], axis=1)
        distance: Values = np.maximum(np.abs(upto - wanted), np.abs(before - wanted)).max(axis=1)
        return distance

    return compute

"""Statistics of one metric under two arms, paired by task.

Both arms ran on the same tasks, so the difference is taken task by task; that removes how hard each task is from
the noise.  Intervals come from resampling tasks, never arms apart (``scipy.stats.bootstrap``, percentile).
The percentile method is taken because it costs time linear in the tasks, has no degenerate case where all
differences are equal, and carries over to ratios.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from lrat_sim.comparison.significance import BATCH_CELLS, Values, mcnemar, smallest_difference
from lrat_sim.tables import NORMAL_QUANTILE, interval

CONFIDENCE = 0.95

Better = Literal["higher", "lower"]
Test = Literal["mcnemar", "permutation"]

_UNBOUNDED = 1e100
"""A ratio whose denominator vanished in a resample; finite, also squared, so that quantiles beside it are numbers."""


class Estimate(Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval; ``value`` None where it is undefined.

    ``low`` or ``high`` is None where that side has no bound (a ratio whose denominator may be zero) or where fewer
    than two tasks leave nothing to resample.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return (self.low is not None and self.low > 0) or (self.high is not None and self.high < 0)

    def interval(self, digits: int = 1, *, scale: float = 1.0) -> str:
        """Its interval as a table shows it."""
        return interval(self.low, self.high, digits, scale=scale)


class Paired(Struct, frozen=True, kw_only=True):
    """One metric under an arm and the base, over the tasks where both have a value; empty where no task has.

    ``difference`` is arm - base; ``relative`` is that divided by the base's mean.  A win is a task where the arm is
    better, whichever direction that is.  ``p`` is the two-sided p-value by ``test``, ``p_holm`` that corrected for all
    tests of the comparison; None where nothing was tested.  ``smallest`` is the smallest difference that these tasks
    could show (:func:`~lrat_sim.comparison.significance.smallest_difference`).  ``over_tasks`` is the difference's
    standard error from the spread over tasks, ``over_seeds`` its standard deviation between seeds, where both arms
    have several.
    """

    tasks: int = 0
    base: float | None = None
    arm: float | None = None
    difference: Estimate = Estimate()
    relative: Estimate = Estimate()
    wins: int = 0
    ties: int = 0
    losses: int = 0
    p: float | None = None
    p_holm: float | None = None
    test: Test | None = None
    smallest: float | None = None
    over_tasks: float | None = None
    over_seeds: float | None = None


def compare_pair(base: Values, arm: Values, *, better: Better, seed: int, resamples: int) -> Paired:
    """Difference, relative difference, wins, ties and losses, the smallest difference that could show.

    Values of 0 and 1 are tested by McNemar's test; permutation tests are left to the caller, who knows all of them
    (:func:`~lrat_sim.comparison.significance.permutation_tests`).

    Args:
        base: one value a task, shape (tasks,).
        arm: the other arm's, same tasks in the same order.
        better: whether a higher or a lower value wins a task.
        seed: of the resampling; the same seed draws the same tasks for every metric over as many tasks.
        resamples: bootstrap resamples of the tasks.
    """
    if len(base) == 0:
        return Paired()
    start, end = (resampled(values, seed=seed, resamples=resamples) for values in (base, arm))
    # equal up to rounding is a tie: means over samples such as 1/3 + 1/3 need not be equal to the last bit
    gain = np.where(np.isclose(arm, base), 0.0, arm - base) * (1 if better == "higher" else -1)
    paired = pair(
        (float(base.mean()), float(arm.mean())), (start, end), gain, tasks=len(base), error=standard_error(arm - base)
    )
    is_binary = bool(np.isin(base, (0.0, 1.0)).all() and np.isin(arm, (0.0, 1.0)).all())
    return replace(paired, test="mcnemar", p=mcnemar(paired.wins, paired.losses)) if is_binary else paired


def pair(
    values: tuple[float, float], drawn: tuple[Values, Values], gain: Values, *, tasks: int, error: float | None = None
) -> Paired:
    """Two values of a metric as :class:`Paired`, to be tested by permutation.

    Args:
        values: the base's and the arm's.
        drawn: the same in resamples of the tasks, shape (resamples,).
        gain: by how much the arm is better, one a task that can be won or lost.
        tasks: how many there are.
        error: the standard error of the difference; by default that of a normal distribution as wide as the interval.
    """
    (base, arm), (start, end) = values, drawn
    difference = estimate(arm - base, end - start)
    relative = float(ratio(np.array(arm - base), np.array(base)))
    if error is None and difference.low is not None and difference.high is not None:
        error = (difference.high - difference.low) / (2 * NORMAL_QUANTILE)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    return Paired(
        tasks=tasks,
        base=base,
        arm=arm,
        difference=difference,
        relative=estimate(relative, ratio(end - start, start)),
        wins=wins,
        ties=tasks - wins - losses,
        losses=losses,
        test="permutation",
        smallest=None if error is None else smallest_difference(error),
        over_tasks=error,
    )


def standard_error(values: Values) -> float | None:
    """Of a mean over tasks: the standard deviation / sqrt(tasks); None below two tasks."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def gap_closed(base: Values, arm: Values, oracle: Values, *, seed: int, resamples: int) -> Estimate:
    """The share of the way from base to oracle that the arm has gone: (arm - base) / (oracle - base), of means.

    Args:
        base: one value a task, shape (tasks,).
        arm: the arm's, same tasks in the same order.
        oracle: the oracle's, same tasks in the same order.
        seed: of the resampling.
        resamples: bootstrap resamples of the tasks; the three arms of a task are drawn together.

    Returns:
        Value None where the oracle does not exceed the base.
    """
    if len(base) == 0 or oracle.mean() <= base.mean():
        return Estimate()

    start, end, bound = (resampled(values, seed=seed, resamples=resamples) for values in (base, arm, oracle))
    # a resample in which the oracle does not exceed the base lies beyond the pole: no bound, not a negative share
    shares = ratio(end - start, np.maximum(bound - start, 0.0))
    return estimate(float((arm.mean() - base.mean()) / (oracle.mean() - base.mean())), shares)


def estimate(value: float, drawn: Values) -> Estimate:
    """A value with the percentile interval of what it was in resamples, shape (resamples,), where there are any."""
    known = _finite(value)
    if known is None or len(drawn) == 0:
        return Estimate(value=known)
    # rounded, so that a difference of equal sums is 0 and not the last bit of one
    low, high = np.round(np.percentile(drawn, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]), 12)
    return Estimate(value=known, low=_finite(low), high=_finite(high))


def resampled(values: Values, *, seed: int, resamples: int) -> Values:
    """Means over resamples of the tasks, drawn with replacement; one seed draws the same tasks for all values.

    Args:
        values: one a task, shape (tasks,), or several, shape (tasks, parts).
        seed: of the drawing.
        resamples: how many.

    Returns:
        Shape (resamples,) or (parts, resamples); no resamples below two tasks.
    """
    if len(values) < 2:
        return np.empty((*values.shape[1:], 0))
    table = np.ascontiguousarray(values.reshape(len(values), -1))
    means = _resampled(table.tobytes(), table.shape[1], seed, resamples)
    return means if values.ndim > 1 else means[0]


@lru_cache(maxsize=512)  # an arm meets every other one, over the same tasks
def _resampled(data: bytes, parts: int, seed: int, resamples: int) -> Values:
    from scipy import stats

    table = np.frombuffer(data, dtype=np.float64).reshape(-1, parts)
    tasks = len(table)

    def means(drawn: npt.NDArray[np.int64], axis: int = -1) -> Values:
        rows = drawn.reshape(-1, tasks)
        # how often each task was drawn, by which means over draws are a product of matrices
        positions = (rows + tasks * np.arange(len(rows))[:, None]).ravel()
        counts = np.bincount(positions, minlength=rows.size).reshape(*drawn.shape[:-1], tasks)
        return np.moveaxis(counts @ table / tasks, -1, 0)

    result = stats.bootstrap(
        (np.arange(tasks),),
        means,
        n_resamples=resamples,
        batch=int(np.clip(BATCH_CELLS // tasks, 1, resamples)),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    distribution: Values = result.bootstrap_distribution
    distribution.setflags(write=False)
    return distribution


def ratio(numerator: Values, denominator: Values) -> Values:
    """Their ratio, unbounded where the denominator is 0."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.sign(numerator) * _UNBOUNDED, numerator / safe)


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < _UNBOUNDED / 1e50 else None

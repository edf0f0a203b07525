"""Statistics of one metric under two arms, paired by task.

Both arms ran on the same tasks, so the difference is taken task by task; that removes how hard each task is from
the noise.  Intervals come from resampling tasks, never arms apart (``scipy.stats.bootstrap``, percentile).
The percentile method is taken because it costs time linear in the tasks, has no degenerate case where all
differences are equal, and carries over to ratios.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.comparison.significance import BATCH_CELLS, Values, mcnemar, smallest_difference
from lrat_sim.tables import NORMAL_QUANTILE, interval

CONFIDENCE = 0.95

Statistic = Callable[[Values], Values]
"""A metric of several tasks, shape (...,), from what each adds, averaged over them, shape (..., parts)."""

Better = Literal["higher", "lower"]
Test = Literal["mcnemar", "permutation"]

# a ratio whose denominator vanished in a resample; finite, also squared, so that quantiles beside it are numbers
_UNBOUNDED = 1e100


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
    """One metric under an arm and the base, over the tasks where both have a value; empty where no task has."""

    tasks: int = 0
    base: float | None = None
    arm: float | None = None
    difference: Estimate = Estimate()  # arm - base
    relative: Estimate = Estimate()  # that divided by the base's mean
    wins: int = 0  # tasks on which the arm is better, whichever direction that is
    ties: int = 0
    losses: int = 0
    p: float | None = None  # two-sided, by `test`; None where nothing was tested
    p_holm: float | None = None  # corrected for all tests of the comparison
    test: Test | None = None
    smallest: float | None = None  # the smallest difference that these tasks could show
    over_tasks: float | None = None  # the difference's standard error from the spread over tasks
    over_seeds: float | None = None  # its standard deviation between seeds, where both arms have several


def compare_pair(
    base: Values, arm: Values, *, better: Better, seed: int, resamples: int, statistic: Statistic | None = None
) -> Paired:
    """Difference, relative difference, wins, ties and losses, the smallest difference that could show.

    Values of 0 and 1 are tested by McNemar's test; permutation tests are left to the caller, who knows all of them
    (:func:`~lrat_sim.comparison.significance.permutation_tests`).

    Args:
        base: one value a task, shape (tasks,); what each task adds, shape (tasks, parts), for a ``statistic``.
        arm: the other arm's, same tasks in the same order.
        better: whether a higher or a lower value wins a task.
        seed: of the resampling; the same seed draws the same tasks for every metric over as many tasks.
        resamples: bootstrap resamples of the tasks.
        statistic: the metric of all tasks together, where it is not the mean of the tasks' values.  It is won or lost
            on tasks that count under both arms, by its value on a single one.
    """
    before, after = value_of(base, statistic), value_of(arm, statistic)
    if before is None or after is None:
        return Paired()
    of = statistic or _itself
    start, end = (of(resampled(values, seed=seed, resamples=resamples).T) for values in (base, arm))
    difference = _estimate(after - before, end - start)
    counted = [_counts(values) for values in (base, arm)]
    tasks, both = int((counted[0] | counted[1]).sum()), counted[0] & counted[1]
    first, second = of(base[both]), of(arm[both])
    # equal up to rounding is a tie: means over samples such as 1/3 + 1/3 need not be equal to the last bit
    gain = np.where(np.isclose(second, first), 0.0, second - first) * (1 if better == "higher" else -1)
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    error: float | None = None
    if statistic is None:
        error = standard_error(arm - base)
    elif difference.low is not None and difference.high is not None:
        # that of a normal distribution as wide as the interval
        error = (difference.high - difference.low) / (2 * NORMAL_QUANTILE)
    is_binary = statistic is None and bool(np.isin([base, arm], (0.0, 1.0)).all())
    return Paired(
        tasks=tasks,
        base=before,
        arm=after,
        difference=difference,
        relative=_estimate(float(_ratio(np.array(after - before), np.array(before))), _ratio(end - start, start)),
        wins=wins,
        ties=tasks - wins - losses,
        losses=losses,
        p=mcnemar(wins, losses) if is_binary else None,
        test="mcnemar" if is_binary else "permutation",
        smallest=None if error is None else smallest_difference(error),
        over_tasks=error,
    )


def value_of(values: Values, statistic: Statistic | None = None) -> float | None:
    """The mean over tasks, or another statistic of them; None where no task counts."""
    if not _counts(values).any():
        return None
    return float((statistic or _itself)(values.mean(axis=0)))


def _itself(means: Values) -> Values:
    return means


def _counts(values: Values) -> npt.NDArray[np.bool_]:
    """Which tasks count: of several parts, the last is how often a task does."""
    return np.ones(len(values), np.bool_) if values.ndim == 1 else values[:, -1] > 0


def standard_error(values: Values) -> float | None:
    """Of a mean over tasks: the standard deviation / sqrt(tasks); None below two tasks."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def gap_closed(base: Values, arm: Values, oracle: Values, *, seed: int, resamples: int) -> Estimate:
    """The share of the way from base to oracle that the arm has gone: (arm - base) / (oracle - base), of means.

    Each has one value a task, shape (tasks,), in the same order; the three of a task are resampled together.  The value
    is None where the oracle does not exceed the base.
    """
    if len(base) == 0 or oracle.mean() <= base.mean():
        return Estimate()
    start, end, bound = (resampled(values, seed=seed, resamples=resamples) for values in (base, arm, oracle))
    # a resample in which the oracle does not exceed the base lies beyond the pole: no bound, not a negative share
    shares = _ratio(end - start, np.maximum(bound - start, 0.0))
    return _estimate(float((arm.mean() - base.mean()) / (oracle.mean() - base.mean())), shares)


def _estimate(value: float, drawn: Values) -> Estimate:
    """A value with the percentile interval of what it was in resamples, shape (resamples,), where there are any."""
    known = _finite(value)
    if known is None or len(drawn) == 0:
        return Estimate(value=known)
    # rounded, so that a difference of equal sums is 0 and not the last bit of one
    low, high = np.round(np.percentile(drawn, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)]), 12)
    return Estimate(value=known, low=_finite(low), high=_finite(high))


def resampled(values: Values, *, seed: int, resamples: int) -> Values:
    """Means over resamples of the tasks, drawn with replacement; one seed draws the same tasks for all values.

    Takes one value a task, shape (tasks,), or several, shape (tasks, parts); returns shape (resamples,) or
    (parts, resamples), without resamples below two tasks.
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


def _ratio(numerator: Values, denominator: Values) -> Values:
    """Their ratio, unbounded where the denominator is 0."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.sign(numerator) * _UNBOUNDED, numerator / safe)


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < _UNBOUNDED / 1e50 else None

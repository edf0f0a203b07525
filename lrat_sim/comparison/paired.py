"""Statistics of one metric under two arms, paired by task, which removes how hard each task is from the noise.

Intervals come from resampling tasks, never arms apart (``scipy.stats.bootstrap``).  The percentile method costs time
linear in the tasks, has no degenerate case where all differences are equal, and carries over to ratios.

Tests: under the null hypothesis the two arms of a task could as well have been the other way round.  *McNemar's* test,
exact and for values of 0 and 1, asks how often so uneven a split of the discordant tasks comes up then.  The
*permutation test* exchanges the arms' labels task by task (for a mean: flips the sign of each task's difference) and
asks how often so large a difference comes up; it is exact up to 13 tasks, and takes random exchanges beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from lrat_sim.tables import NORMAL_QUANTILE, interval

Values = npt.NDArray[np.float64]

# resampled values held at once: bounds memory whatever the number of tasks
BATCH_CELLS = 4_000_000

CONFIDENCE, LEVEL, POWER = 0.95, 0.05, 0.8
PERMUTATIONS = 9_999

Statistic = Callable[[Values], Values]
"""A metric of several tasks, shape (...,), from what each adds, averaged over them, shape (..., parts)."""

Better = Literal["higher", "lower"]
Test = Literal["mcnemar", "permutation"]

# a ratio whose denominator vanished in a resample; finite, also squared, so that quantiles beside it are numbers
_UNBOUNDED = 1e100


class Estimate(Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval."""

    value: float | None = None  # None where it is undefined
    # None where that side has no bound (a ratio whose denominator may be zero), and below two tasks
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
    (:func:`~lrat_sim.comparison.paired.permutation_tests`).

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
    error = standard_error(arm - base) if statistic is None else None
    if statistic is not None and difference.low is not None and difference.high is not None:
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
    return float((statistic or _itself)(values.mean(axis=0))) if _counts(values).any() else None


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
    """Means over resamples of the tasks, drawn with replacement, from shape (tasks,) or (tasks, parts) to shape
    (resamples,) or (parts, resamples); below two tasks there are no resamples."""
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

    batch, rng = int(np.clip(BATCH_CELLS // tasks, 1, resamples)), np.random.default_rng(seed)
    how: dict[str, Any] = {"n_resamples": resamples, "batch": batch, "vectorized": True, "method": "percentile"}
    distribution: Values = stats.bootstrap((np.arange(tasks),), means, **how, rng=rng).bootstrap_distribution
    distribution.setflags(write=False)
    return distribution


def _ratio(numerator: Values, denominator: Values) -> Values:
    """Their ratio, unbounded where the denominator is 0."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.sign(numerator) * _UNBOUNDED, numerator / safe)


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < _UNBOUNDED / 1e50 else None


class Exchange(Struct, frozen=True, kw_only=True):
    """A statistic of two arms whose labels are exchanged by task."""

    # arm - base of what the statistic is made of, shape (tasks, parts); a task that does not count is 0
    differences: Values
    # the arms' difference, shape (...,), from sums over tasks of `differences` with signs, shape (..., parts); by
    # default that of the means, but for a factor that the test does not depend on
    difference: Callable[[Values], Values] = lambda sums: sums[..., 0]


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test: the p-value of ``wins`` of the discordant pairs if either were as likely."""
    from scipy import stats  # here, since loading it takes longer than all else that a short command does

    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def permutation_tests(exchanges: Sequence[Exchange], *, seed: int, permutations: int = PERMUTATIONS) -> list[float]:
    """The two-sided p-value of each statistic, all under the same exchanges of the arms' labels by task.

    There are so many ``permutations``, or all there are where those are fewer; the smallest p-value that can come out
    is 2 / (permutations + 1).
    """
    if not exchanges:
        return []
    from scipy import stats

    tasks = len(exchanges[0].differences)
    if tasks < 2:
        return [1.0] * len(exchanges)
    ends = np.cumsum([exchange.differences.shape[1] for exchange in exchanges])[:-1]
    columns = np.concatenate([exchange.differences for exchange in exchanges], axis=1)
    scale = np.abs(columns).max(axis=0, initial=0.0)
    scale[scale == 0] = 1.0

    def statistic(signs: Values, axis: int = -1) -> Values:
        # rounded, so that sums that are equal are so to the last bit: ties count as extreme
        sums = np.round(signs @ (columns / scale), 9) * scale
        parts = np.split(sums, ends, axis=-1)
        return np.stack([exchange.difference(part) for exchange, part in zip(exchanges, parts, strict=True)], axis=-1)

    # flipping the signs of ones gives the signs themselves, drawn once for all statistics
    batch, rng = max(1, BATCH_CELLS // max(tasks, columns.shape[1])), np.random.default_rng(seed)
    how: dict[str, Any] = {"permutation_type": "samples", "vectorized": True, "n_resamples": permutations}
    result = stats.permutation_test((np.ones(tasks),), statistic, **how, batch=batch, rng=rng)
    return [float(p) for p in np.minimum(np.atleast_1d(result.pvalue), 1.0)]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): p-values that may all be held against one level, in the order given.

    With the p-values in rising order, p_(1) to p_(m), the corrected one is the largest of (m - j + 1) * p_(j) over
    j = 1 ... i, at most 1.  Calling significant what then lies below the level errs anywhere in the family with at
    most that probability, however the tests depend on one another.
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(1.0, highest)
    return corrected


def smallest_difference(error: float) -> float | None:
    """The smallest true difference that these tasks would show, with 80 % power at a two-sided level of 5 %; None where
    nothing varied.

    It is (z_0.975 + z_0.8) * e = 2.80 * e, where e is the standard error of the difference.  That assumes that the
    difference of the means is about normal, and that the tasks' differences would spread about its true value as they
    do about the measured one; it is not corrected for the number of tests.
    """
    from scipy import stats

    return float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * error if error > 0 else None

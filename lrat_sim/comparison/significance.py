"""Tests of a difference between two arms, and what they could have shown.

Under the null hypothesis the two arms of a task could as well have been the other way round.  *McNemar's* test asks how
often so uneven a split of the discordant tasks comes up then; it is exact, and for values of 0 and 1.  The *permutation
test* exchanges the arms' labels task by task (for a mean: flips the sign of each task's difference) and asks how often
so large a difference comes up; it assumes no distribution, is exact up to 13 tasks, and takes random exchanges beyond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Values = npt.NDArray[np.float64]

# resampled values held at once: bounds memory whatever the number of tasks
BATCH_CELLS = 4_000_000

LEVEL, POWER = 0.05, 0.8
PERMUTATIONS = 9_999


class Exchange(Struct, frozen=True, kw_only=True):
    """A statistic of two arms whose labels are exchanged by task.

    Args:
        differences: arm - base of what the statistic is made of, shape (tasks, parts); a task that does not count is 0.
        difference: the difference between the arms, shape (...,), from sums over tasks of ``differences`` with signs,
            shape (..., parts).  By default that of the means, but for a factor that the test does not depend on.
    """

    differences: Values
    difference: Callable[[Values], Values] = lambda sums: sums[..., 0]


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided McNemar test: the p-value of ``wins`` of the discordant pairs if either were as likely."""
    from scipy import stats  # here, since loading it takes longer than all else that a short command does

    return float(stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def permutation_tests(exchanges: Sequence[Exchange], *, seed: int, permutations: int = PERMUTATIONS) -> list[float]:
    """The two-sided p-value of each statistic, all under the same exchanges of the arms' labels.

    Args:
        exchanges: over the same tasks in the same order.
        seed: of the exchanges.
        permutations: how many; all there are, where those are fewer.  The smallest p-value that can come out is
            2 / (permutations + 1).
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
    result = stats.permutation_test(
        (np.ones(tasks),),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=max(1, BATCH_CELLS // max(tasks, columns.shape[1])),
        rng=np.random.default_rng(seed),
    )
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

    It is (z_0.975 + z_0.8) * e = 2.80 * e, where e is the standard error of the difference: the standard deviation of
    the tasks' differences / sqrt(tasks).  That assumes that the difference of the means is about normal, and that the
    tasks' differences would spread about its true value as they do about the measured one; it is not corrected for the
    number of tests.
    """
    from scipy import stats

    return float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)) * error if error > 0 else None
